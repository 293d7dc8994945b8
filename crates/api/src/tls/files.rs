//! The files of a TLS listener, and reading them.
//!
//! Invariants: a key that others can read is refused; an error names the file and never its content; a
//! PEM file with nothing of the wanted kind in it is an error, not an empty list.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::TrustDomain;

/// Where certificates, keys and revocation lists are, all PEM, and whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The service's certificate, then its intermediates.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8, SEC 1 or PKCS #1); readable by the owner only.
    pub key: PathBuf,
    /// The CAs that sign callers' certificates.
    pub client_ca: PathBuf,
    /// Their revocation lists. If there is any, every certificate of a caller's chain must be covered by
    /// one that has not expired; if there is none, nothing is ever revoked.
    pub revocation_lists: Vec<PathBuf>,
    /// The trust domains callers may come from; each CA may name callers of all of them.
    pub trust_domains: Vec<TrustDomain>,
}

/// Why TLS files were not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{what} {}: {source}", path.display())]
    Unreadable {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Others than its owner can use the key.
    #[error("the key {0} has mode {mode:04o}: others can read it; run: chmod 600 {0}", path.display())]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not what it must be.
    #[error("{what} {}: {reason}", path.display())]
    Malformed {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key is not the certificate's.
    #[error("the key {} does not belong to the certificate {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate or list is not valid at this time.
    #[error("{what} {}: {when}; get a new one, or set the clock", path.display())]
    NotValidNow {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Which bound is not kept.
        when: String,
    },
    /// No trust domain is named, so nobody could be let in.
    #[error("trust-domains is empty: name those whose callers are let in")]
    NoTrustDomain,
    /// The parts are good and do not work together.
    #[error("TLS: {reason}")]
    Unusable {
        /// What rustls says.
        reason: String,
    },
}

pub(crate) fn read_certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<CertificateDer<'static>> = read_all(what, path, "certificate")?;
    for certificate in &certificates {
        if X509Certificate::from_der(certificate).is_err() {
            return Err(malformed(what, path, "a certificate in it cannot be read"));
        }
    }
    Ok(certificates)
}

pub(crate) fn read_revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    read_all(CRL, path, "revocation list")
}

/// The private key. Its text is wiped; what rustls makes of it is on the ordinary heap.
pub(crate) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(KEY, path, true)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| malformed(KEY, path, "no unencrypted private key in PEM is in it"))
}

fn read_all<T: PemObject>(what: &'static str, path: &Path, kind: &str) -> Result<Vec<T>, TlsError> {
    let text = read(what, path, false)?;
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&text).collect();
    match items {
        Ok(items) if !items.is_empty() => Ok(items),
        Ok(_) => Err(malformed(what, path, &format!("no {kind} in PEM is in it"))),
        Err(_) => Err(malformed(what, path, "it is no PEM")),
    }
}

fn read(what: &'static str, path: &Path, private: bool) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file: the name could be given to another one meanwhile.
    let found = rustix::fs::fstat(&file).map_err(|error| unreadable(error.into()))?;
    let mode = found.st_mode & 0o777;
    if private && mode & 0o077 != 0 {
        return Err(TlsError::KeyExposed { path: path.to_owned(), mode });
    }
    // Made large enough at once: a buffer that grows leaves copies.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    let most = u64::try_from(MAX_FILE + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() > MAX_FILE {
        return Err(malformed(what, path, &format!("it is larger than {MAX_FILE} bytes")));
    }
    Ok(text)
}

pub(crate) fn malformed(what: &'static str, path: &Path, reason: &str) -> TlsError {
    TlsError::Malformed { what, path: path.to_owned(), reason: reason.to_owned() }
}

pub(crate) const CERTIFICATE: &str = "the certificate";
pub(crate) const KEY: &str = "the key";
pub(crate) const CLIENT_CA: &str = "the client CA";
pub(crate) const CRL: &str = "the revocation list";

/// Most bytes of one file: a list of some 100,000 revoked certificates fits.
const MAX_FILE: usize = 8 * 1024 * 1024;
