//! `[listen.tls]` and `[listen.admin-tls]`: where TLS is served and with which files.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use claviger_api::{TlsFiles, TrustDomain};
use serde::{Deserialize, Serialize};

/// One listener with TLS.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TlsConfig {
    /// IP address and port.
    pub address: SocketAddr,
    /// The service's certificate and its intermediates, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, readable by the owner only.
    pub key: PathBuf,
    /// The CAs that sign callers' certificates, PEM.
    pub client_ca: PathBuf,
    /// Their revocation lists, PEM.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// The trust domains callers may come from.
    pub trust_domains: Vec<TrustDomain>,
}

impl TlsConfig {
    /// The files it names.
    #[must_use]
    pub fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            client_ca: self.client_ca.clone(),
            revocation_lists: self.crl.clone(),
            trust_domains: self.trust_domains.clone(),
        }
    }

    pub(super) fn resolve(&mut self, base: &Path) {
        let files = [&mut self.certificate, &mut self.key, &mut self.client_ca];
        for path in files.into_iter().chain(&mut self.crl) {
            *path = base.join(&path);
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.trust_domains.is_empty() {
            return Err("trust-domains is empty: name those whose callers are let in");
        }
        if self.address.port() == 0 {
            return Err("address has port 0; choose one");
        }
        Ok(())
    }
}
