use std::sync::Arc;

use claviger_client::{Client, ClientConfig};
use claviger_kms::{CreateKey, ErrorCode, GenerateDataKey, KeyManagementService as _};
use claviger_testkit::{Service, certificates::Wanted, endpoint, kms_conformance};
use rustls::{
    HandshakeKind, NamedGroup, ProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs, aws_lc_rs::kx_group},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    support::{audit_log, get},
    tls_support::{config_of, config_with, connect, connect_good, connect_sharing, good, start},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_does_over_tls_what_every_key_service_must_do() {
    let (service, doors) = start(|_| {}).await;
    kms_conformance::run(Arc::new(doors.client()), "conformance").await;
    service.stop().await;
}

#[tokio::test]
async fn the_key_exchange_is_hybrid_and_the_protocol_is_http_1_over_tls_1_3() {
    let (service, doors) = start(|_| {}).await;
    let mut config = config_of(&doors, Some(&good(&doors)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = connect(&doors, config).await.unwrap();
    let connection = stream.get_ref().1;
    let group = connection.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
    service.stop().await;
}

#[tokio::test]
async fn an_older_client_without_the_hybrid_is_not_shut_out() {
    let (service, doors) = start(|_| {}).await;
    let old = CryptoProvider { kx_groups: vec![kx_group::X25519], ..aws_lc_rs::default_provider() };
    let stream = connect(&doors, config_with(old, &doors, Some(&good(&doors)))).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519);
    service.stop().await;
}

/// A resumed session would skip the revocation lists.
#[tokio::test]
async fn no_session_is_resumed() {
    let (service, doors) = start(|_| {}).await;
    let config = Arc::new(config_of(&doors, Some(&good(&doors))));
    for _ in 0..3 {
        let mut stream = connect_sharing(&doors, &config).await.unwrap();
        stream.write_all(&get("/livez")).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let connection = stream.get_ref().1;
        assert_eq!(connection.tls13_tickets_received(), 0);
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
    }
    service.stop().await;
}

#[tokio::test]
async fn the_audit_log_names_the_spiffe_id_its_proof_and_its_address() {
    let (service, doors) = start(|_| {}).await;
    doors.client().create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let log = audit_log(&service);
    for part in [Service::TLS_CALLER, "client-certificate", "\"address\":\"127.0.0.1:"] {
        assert!(log.contains(part), "no {part}");
    }
    service.stop().await;
}

#[tokio::test]
async fn one_certificate_is_not_another_and_no_header_changes_that() {
    let (service, doors) = start(|_| {}).await;
    doors.client().create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
    let other = doors.issue("other", &Wanted::caller("spiffe://claviger.test/other"));
    let client = Client::new(doors.config(doors.tls_of(&other)));
    let request = GenerateDataKey { key: "eu".parse().unwrap(), binding: Default::default() };
    assert_eq!(client.generate_data_key(request).await.unwrap_err().code(), ErrorCode::Denied);

    let mut stream = connect(&doors, config_of(&doors, Some(&other))).await.unwrap();
    let lines = format!(
        "GET /v1/keys/eu HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         x-forwarded-client-cert: URI={0}\r\nx-spiffe-id: {0}\r\n\r\n",
        Service::TLS_CALLER
    );
    stream.write_all(lines.as_bytes()).await.unwrap();
    crate::support::read(&mut stream).await.assert_problem(403, "denied", "");
    service.stop().await;
}

#[tokio::test]
async fn the_admin_listener_is_at_its_own_address_and_the_data_listener_makes_no_keys() {
    let (service, doors) = start(|_| {}).await;
    assert_ne!(doors.data, doors.admin);
    let data = [endpoint(doors.data)];
    let config = ClientConfig::at(data.clone()).with_admin(data).with_tls(doors.tls());
    let refused = Client::new(config).create_key(CreateKey::at("eu".parse().unwrap())).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidRequest);
    service.stop().await;
}

#[tokio::test]
async fn those_who_never_finish_a_handshake_take_no_room_from_those_who_did() {
    let (service, doors) = start(|limits| {
        limits.max_connections = 1;
        limits.max_handshakes = 4;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(doors.data).await.unwrap());
    }
    let mut known = connect_good(&doors).await;
    known.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 1024];
    assert!(known.read(&mut some).await.unwrap() > 0);

    // One more who is known is told that there is no room.
    let mut second = connect_good(&doors).await;
    let refused = crate::support::read(&mut second).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));

    // A fifth handshake is turned away at once.
    silent.push(TcpStream::connect(doors.data).await.unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let mut fifth = TcpStream::connect(doors.data).await.unwrap();
    assert_eq!(fifth.read(&mut some).await.unwrap_or(0), 0);
    known.write_all(&get("/livez")).await.unwrap();
    assert!(known.read(&mut some).await.unwrap() > 0, "the known caller was cut off");
    service.stop().await;
}

#[tokio::test]
async fn a_connection_past_its_age_has_one_last_reply_that_says_so() {
    let (service, doors) =
        start(|limits| limits.connection_age = std::time::Duration::from_millis(300)).await;
    let mut stream = connect_good(&doors).await;
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut some = [0; 1024];
    let length = stream.read(&mut some).await.unwrap();
    assert!(!String::from_utf8_lossy(&some[..length]).contains("connection: close"));
    tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    stream.write_all(request).await.unwrap();
    let last = crate::support::read(&mut stream).await;
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));

    // A client notices nothing.
    let client = doors.client();
    for _ in 0..4 {
        client.ask_capabilities().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_handshake_under_way_does_not_hold_up_the_shutdown() {
    let (service, doors) = start(|_| {}).await;
    let _silent = TcpStream::connect(doors.data).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let begun = std::time::Instant::now();
    service.stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(3));
}
