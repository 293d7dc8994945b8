use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use claviger_client::Client;
use claviger_kms::{ErrorCode, KeyManagementService as _, ListKeys};
use claviger_testkit::{
    Service, TlsDoors,
    certificates::{Authority, Issued, Wanted},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    support::get,
    tls_support::{config_of, connect, start},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What was logged since the last time.
    fn take(&self) -> String {
        let lines = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8(lines).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The client is told that its certificate is refused, the log why, and no request is read.
async fn assert_refused(doors: &TlsDoors, log: &Lines, issued: &Issued, why: &str) {
    let client = Client::new(doors.config(doors.tls_of(issued)));
    let refused = client.list_keys(ListKeys::default()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unavailable, "{why}");
    let text = refused.to_string();
    assert!(text.contains("refused this client's certificate"), "{why}: {text}");
    let log = log.take();
    assert!(log.contains("a client certificate was refused"), "{why}: {log}");
    assert!(log.contains(why), "{why}: {log}");
    assert!(!log.contains("latency_us") && !log.contains("PRIVATE"), "{why}: {log}");
}

/// Everything runs on this thread, so that the log of the listener's tasks is seen.
#[tokio::test]
async fn a_certificate_that_names_nobody_clearly_is_refused_within_the_handshake() {
    let (service, doors) = start(|_| {}).await;
    let log = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let caller = || Wanted::caller(Service::TLS_CALLER);
    let uris = |uris: &[&str]| {
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        Wanted { uris, ..caller() }
    };
    let own = Service::TLS_CALLER;
    let dns = || Wanted { dns: vec!["tester.claviger.test".to_owned()], ..uris(&[]) };
    for (number, (wanted, why)) in [
        (Wanted { from: 2020, until: 2021, ..caller() }, "expired"),
        (Wanted { from: 2090, until: 2091, ..caller() }, "not valid yet"),
        (uris(&[own, "spiffe://claviger.test/second"]), "2 URI names"),
        (uris(&[own, own]), "2 URI names"),
        (uris(&[own, "https://claviger.test/"]), "2 URI names"),
        (uris(&[]), "no URI name"),
        (dns(), "no URI name"),
        (Wanted { is_ca: true, ..caller() }, "CaUsedAsEndEntity"),
        (Wanted { signs: true, ..caller() }, "may sign other certificates"),
        (uris(&["spiffe://elsewhere.test/tester"]), "elsewhere.test is not one of trust-domains"),
        (uris(&["spiffe://sub.claviger.test/a"]), "sub.claviger.test is not one of trust-domains"),
        (uris(&["spiffe://CLAVIGER.test/tester"]), "its trust domain has other characters"),
        (uris(&["spiffe://claviger.test"]), "it has no path"),
        (uris(&["spiffe://claviger.test/../tester"]), "relative segment"),
        (uris(&["spiffe://claviger.test/tester?a=b"]), "other characters than letters"),
        (uris(&["spiffe://claviger.test/tester#a"]), "other characters than letters"),
        (uris(&["spiffe://claviger.test:443/tester"]), "its trust domain has other characters"),
        (uris(&["spiffe://a@claviger.test/tester"]), "its trust domain has other characters"),
        (uris(&["https://claviger.test/tester"]), "does not begin with spiffe://"),
        (uris(&["uds:uid=0"]), "does not begin with spiffe://"),
    ]
    .into_iter()
    .enumerate()
    {
        let issued = doors.issue(&format!("bad-{number}"), &wanted);
        assert_refused(&doors, &log, &issued, why).await;
    }

    // Of another CA, whatever that one is called.
    for name in ["another", "the authority"] {
        let issued = Authority::new(name).issue(doors.folder(), "foreign", &caller());
        assert_refused(&doors, &log, &issued, "invalid peer certificate").await;
    }

    // The same helpers make one that is taken; other names beside the URI do no harm.
    let good = doors.issue("good", &Wanted { dns: vec!["a.test".to_owned()], ..caller() });
    let client = Client::new(doors.config(doors.tls_of(&good)));
    client.list_keys(ListKeys::default()).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_client_without_certificate_gets_no_byte_of_http() {
    let (service, doors) = start(|_| {}).await;
    let mut stream = connect(&doors, config_of(&doors, None)).await.unwrap();
    let _ = stream.write_all(&get("/livez")).await;
    let mut reply = Vec::new();
    let error = stream.read_to_end(&mut reply).await.unwrap_err();
    assert!(reply.is_empty());
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    service.stop().await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_its_neighbour_is_not() {
    let (service, doors) = start(|_| {}).await;
    let log = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let wanted = |serial| Wanted { serial, ..Wanted::caller(Service::TLS_CALLER) };
    let (one, two) = (doors.issue("one", &wanted(41)), doors.issue("two", &wanted(42)));
    let ask = async |issued: &Issued| {
        let client = Client::new(doors.config(doors.tls_of(issued)));
        client.list_keys(ListKeys::default()).await
    };
    assert!(ask(&one).await.is_ok() && ask(&two).await.is_ok());
    let list = doors.files.revocation_lists.first().unwrap();
    std::fs::write(list, doors.authority.revoke(&[41], 2100)).unwrap();
    doors.material.reload().unwrap();
    log.take();
    assert_refused(&doors, &log, &one, "Revoked").await;
    assert!(ask(&two).await.is_ok());

    // With lists at all, an authority without one is not believed blindly.
    std::fs::write(list, Authority::new("another").revoke(&[], 2100)).unwrap();
    doors.material.reload().unwrap();
    log.take();
    assert_refused(&doors, &log, &two, "UnknownRevocationStatus").await;
    service.stop().await;
}
