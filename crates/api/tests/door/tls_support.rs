//! TLS by hand: what no client library would send, and what was negotiated.

use std::sync::Arc;

use claviger_api::Limits;
use claviger_testkit::{
    Service, TlsDoors,
    certificates::{Issued, Wanted},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Raw, read};

/// A service with TLS listeners of these limits.
pub(crate) async fn start(change: impl FnOnce(&mut Limits)) -> (Service, TlsDoors) {
    let mut service = Service::start().await;
    let mut limits = Limits::default();
    change(&mut limits);
    let doors = service.listen_tls(limits).await;
    (service, doors)
}

/// A caller whose certificate is good.
pub(crate) fn good(doors: &TlsDoors) -> Issued {
    doors.issue("good", &Wanted::caller(Service::TLS_CALLER))
}

/// rustls' own configuration of a client, with a certificate or none.
pub(crate) fn config_of(doors: &TlsDoors, issued: Option<&Issued>) -> ClientConfig {
    config_with(aws_lc_rs::default_provider(), doors, issued)
}

pub(crate) fn config_with(
    provider: CryptoProvider,
    doors: &TlsDoors,
    issued: Option<&Issued>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(doors.authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots);
    match issued {
        Some(issued) => {
            let chain = CertificateDer::pem_file_iter(&issued.certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(&issued.key).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    }
}

pub(crate) async fn connect(
    doors: &TlsDoors,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_sharing(doors, &Arc::new(config)).await
}

pub(crate) async fn connect_sharing(
    doors: &TlsDoors,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(doors.data).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// A connection of a caller whose certificate is good.
pub(crate) async fn connect_good(doors: &TlsDoors) -> TlsStream<TcpStream> {
    connect(doors, config_of(doors, Some(&good(doors)))).await.unwrap()
}

/// Sends bytes as they are over TLS and reads until the service closes.
pub(crate) async fn send(doors: &TlsDoors, bytes: &[u8]) -> Raw {
    let mut stream = connect_good(doors).await;
    stream.write_all(bytes).await.unwrap();
    read(&mut stream).await
}
