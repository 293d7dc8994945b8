//! Another key service that envelopes move to.

use std::path::{Path, PathBuf};

use claviger_kms::{CampaignMode, KeyPath};
use serde::Deserialize;

/// Where envelopes move to. Who its caller is there is the matter of the socket's peer, or of the certificate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TargetSettings {
    /// The key there.
    pub key: KeyPath,
    /// How to reach the service.
    pub reach: TargetReach,
}

/// How to reach the service that envelopes move to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TargetReach {
    /// At its data socket.
    Socket(PathBuf),
    /// At these addresses of its data listener.
    #[non_exhaustive]
    Tls {
        /// `https://HOST:PORT`, in the order in which they are tried.
        addresses: Vec<String>,
        /// The caller's certificate, PEM: who he is there.
        certificate: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
        /// The CAs to believe about the service, PEM.
        ca: PathBuf,
        /// The name in the service's certificate, where it is not the address's host.
        server_name: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawTarget {
    key: KeyPath,
    socket: Option<PathBuf>,
    address: Option<Vec<String>>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    tls_server_name: Option<String>,
}

impl RawTarget {
    pub(super) fn check(self, mode: CampaignMode, base: &Path) -> Result<TargetSettings, String> {
        if mode != CampaignMode::Rewrap {
            return Err("with a [target] the mode is \"rewrap\": the payload stays. Run \"reencrypt\" with \
                        the other service afterwards"
                .to_owned());
        }
        let files = (self.tls_cert, self.tls_key, self.tls_ca);
        let reach = match (self.socket, self.address, files) {
            (Some(socket), None, (None, None, None)) if self.tls_server_name.is_none() => {
                TargetReach::Socket(base.join(socket))
            }
            (None, Some(addresses), (Some(certificate), Some(key), Some(ca)))
                if !addresses.is_empty() =>
            {
                TargetReach::Tls {
                    addresses,
                    certificate: base.join(certificate),
                    key: base.join(key),
                    ca: base.join(ca),
                    server_name: self.tls_server_name,
                }
            }
            _ => {
                return Err(
                    "the target needs socket alone, or address, tls-cert, tls-key and tls-ca"
                        .to_owned(),
                );
            }
        };
        Ok(TargetSettings { key: self.key, reach })
    }
}
