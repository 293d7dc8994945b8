//! What a client shows and whom it believes over TLS, read from PEM files and read again when they change.
//!
//! Invariants: TLS 1.3 only, X25519MLKEM768 first; no session is resumed; files that became bad leave what
//! was read before in force; a key that others can read is refused; an error names the file, never content.

use std::{
    fmt,
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use claviger_kms::{KmsError, Result};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};
use zeroize::Zeroizing;

/// The PEM files of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The client's certificate, then its intermediates. Its one URI name is who the client is.
    pub certificate: PathBuf,
    /// Its private key, readable by the owner only.
    pub key: PathBuf,
    /// The CAs that sign the service's certificate; no others are believed.
    pub ca: PathBuf,
    /// The name the service's certificate must have, where that is not the address's host.
    pub server_name: Option<String>,
}

/// A client's side of TLS. Cloning shares it.
///
/// Files that were renewed are noticed when the next connection is opened.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    server_name: Option<ServerName<'static>>,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    stamps: [Stamp; 3],
    config: Arc<ClientConfig>,
}

/// What changes when a file is replaced or written: device, inode, length, seconds and nanoseconds.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the file and what is wrong with it.
    pub fn read(files: TlsFiles) -> Result<Self> {
        let server_name = files.server_name.as_deref().map(name_of).transpose()?;
        let current = ArcSwap::from_pointee(Loaded::read(&files)?);
        Ok(Self(Arc::new(Inner { files, server_name, current })))
    }

    /// For a new connection: what the files say now, or what they said while they were good.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let current = self.0.current.load_full();
        if current.stamps == stamps_of(&self.0.files) {
            return Arc::clone(&current.config);
        }
        match Loaded::read(&self.0.files) {
            Ok(loaded) => {
                let config = Arc::clone(&loaded.config);
                self.0.current.store(Arc::new(loaded));
                config
            }
            Err(error) => {
                tracing::warn!(%error, "the TLS files changed and are bad; the old ones stay");
                Arc::clone(&current.config)
            }
        }
    }

    /// The name to verify the service's certificate for.
    pub(crate) fn server_name(&self, host: &str) -> io::Result<ServerName<'static>> {
        match &self.0.server_name {
            Some(name) => Ok(name.clone()),
            None => {
                name_of(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

impl Loaded {
    fn read(files: &TlsFiles) -> Result<Self> {
        // Taken first: a change while they are read is seen at the next connection.
        let stamps = stamps_of(files);
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates("CA", &files.ca)? {
            roots
                .add(certificate)
                .map_err(|_| wrong("CA", &files.ca, "a certificate is no CA's"))?;
        }
        let chain = read_certificates("certificate", &files.certificate)?;
        let key = read_key(&files.key)?;
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .map_err(|error| KmsError::invalid(format!("TLS: {error}")))?
                .with_root_certificates(roots)
                .with_client_auth_cert(chain, key)
                .map_err(|_| {
                    wrong("key", &files.key, "it is of no known kind or not the certificate's")
                })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { stamps, config: Arc::new(config) })
    }
}

fn stamps_of(files: &TlsFiles) -> [Stamp; 3] {
    [&files.certificate, &files.key, &files.ca].map(|path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    })
}

fn name_of(text: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(text.to_owned())
        .map_err(|_| KmsError::invalid("the server name is neither a DNS name nor an IP address"))
}

fn read_certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(what, path, |_| Ok(()))?;
    let certificates: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(wrong(what, path, "no certificate in PEM is in it")),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = read("key", path, |found| {
        let mode = found.mode() & 0o777;
        let exposed = mode & 0o077 != 0;
        let remedy = format!("mode {mode:04o} lets others read it; run: chmod 600");
        if exposed { Err(wrong("key", path, &remedy)) } else { Ok(()) }
    })?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| wrong("key", path, "no unencrypted private key in PEM is in it"))
}

fn read(
    what: &str,
    path: &Path,
    check: impl FnOnce(&Metadata) -> Result<()>,
) -> Result<Zeroizing<Vec<u8>>> {
    let unreadable = |error: io::Error| wrong(what, path, &error.to_string());
    let file = File::open(path).map_err(unreadable)?;
    check(&file.metadata().map_err(unreadable)?)?;
    // Made large enough at once: a buffer that grows leaves copies.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE));
    let most = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn wrong(what: &str, path: &Path, reason: &str) -> KmsError {
    KmsError::invalid(format!("the TLS {what} {}: {reason}", path.display()))
}

/// Most bytes that are read of a file.
const MAX_FILE: usize = 1024 * 1024;
