//! What a TLS listener uses for new connections, replaced while it runs.
//!
//! Invariants: everything is read and checked together before anything changes, so a bad file leaves the old
//! material in force; connections keep what they were opened with, for as long as
//! [`Limits::connection_age`](crate::Limits) allows.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, CertificateRevocationListDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
    version::TLS13,
};
use x509_parser::{prelude::*, time::ASN1Time};

use super::{
    TlsError, TlsFiles, TrustDomain,
    files::{
        CERTIFICATE, CLIENT_CA, CRL, malformed, read_certificates, read_key, read_revocation_lists,
    },
    verifier::CallerVerifier,
};

/// Certificate, key, CAs and revocation lists of one TLS listener, read from their files.
#[derive(Debug)]
pub struct TlsMaterial {
    files: TlsFiles,
    current: ArcSwap<PreparedTls>,
}

/// Material that was read and checked, and is not in force yet.
pub struct PreparedTls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) trusted: Arc<[TrustDomain]>,
    valid_until: SystemTime,
}

impl TlsMaterial {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] naming the file and the remedy.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(PreparedTls::read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again; new connections use what they say now. Upon an error everything stays.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn reload(&self) -> Result<(), TlsError> {
        self.install(self.prepare()?);
        Ok(())
    }

    /// The first half of [`reload`](Self::reload), for a caller who reloads other things together with it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn prepare(&self) -> Result<PreparedTls, TlsError> {
        PreparedTls::read(&self.files)
    }

    /// The second half.
    pub fn install(&self, prepared: PreparedTls) {
        self.current.store(Arc::new(prepared));
    }

    /// When the service's certificate ends.
    #[must_use]
    pub fn valid_until(&self) -> SystemTime {
        self.current.load().valid_until
    }

    pub(crate) fn current(&self) -> Arc<PreparedTls> {
        self.current.load_full()
    }
}

impl PreparedTls {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        if files.trust_domains.is_empty() {
            return Err(TlsError::NoTrustDomain);
        }
        let trusted: Arc<[TrustDomain]> = files.trust_domains.clone().into();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = read_certificates(CERTIFICATE, &files.certificate)?;
        let valid_until = check_own(&files.certificate, chain.first())?;
        let own = certified(files, chain, &provider)?;
        let verifier = chain_verifier(files, &provider)?;
        let verifier = Arc::new(CallerVerifier::new(verifier, Arc::clone(&trusted)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would skip the CAs, the dates and the revocation lists.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), trusted, valid_until })
    }
}

impl fmt::Debug for PreparedTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedTls")
            .field("trusted", &self.trusted)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

fn certified(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let key = provider
        .key_provider
        .load_private_key(read_key(&files.key)?)
        .map_err(|_| malformed(super::files::KEY, &files.key, "its kind is not supported"))?;
    let own = CertifiedKey::new(chain, key);
    own.keys_match().map_err(|_| TlsError::KeyMismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
    })?;
    Ok(own)
}

fn chain_verifier(
    files: &TlsFiles,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(CLIENT_CA, &files.client_ca)? {
        roots
            .add(certificate)
            .map_err(|_| malformed(CLIENT_CA, &files.client_ca, "a certificate is no CA's"))?;
    }
    let mut lists = Vec::new();
    for path in &files.revocation_lists {
        for list in read_revocation_lists(path)? {
            check_list(path, &list)?;
            lists.push(list);
        }
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(lists)
        .enforce_revocation_expiration()
        .build()
        .map_err(unusable)
}

fn check_own(path: &Path, leaf: Option<&CertificateDer<'_>>) -> Result<SystemTime, TlsError> {
    let leaf = leaf.map(|leaf| X509Certificate::from_der(leaf));
    let Some(Ok((_, leaf))) = leaf else {
        return Err(malformed(CERTIFICATE, path, "it cannot be read"));
    };
    let validity = leaf.validity();
    refuse_outside(CERTIFICATE, path, validity.not_before, Some(validity.not_after))?;
    let seconds = u64::try_from(validity.not_after.timestamp()).unwrap_or(0);
    let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    until.ok_or_else(|| malformed(CERTIFICATE, path, "its end is beyond all time"))
}

fn check_list(path: &Path, list: &CertificateRevocationListDer<'_>) -> Result<(), TlsError> {
    let (_, list) = CertificateRevocationList::from_der(list)
        .map_err(|_| malformed(CRL, path, "it cannot be read"))?;
    refuse_outside(CRL, path, list.last_update(), list.next_update())
}

fn refuse_outside(
    what: &'static str,
    path: &Path,
    from: ASN1Time,
    until: Option<ASN1Time>,
) -> Result<(), TlsError> {
    let now = ASN1Time::now();
    let when = match until {
        _ if now < from => format!("it is not valid before {from}"),
        Some(until) if now > until => format!("it has expired, on {until}"),
        _ => return Ok(()),
    };
    Err(TlsError::NotValidNow { what, path: path.to_owned(), when })
}

fn unusable(error: impl fmt::Display) -> TlsError {
    TlsError::Unusable { reason: error.to_string() }
}
