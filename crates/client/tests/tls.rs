//! The client over TLS against a real service: several addresses, files that change, what it refuses.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use claviger_api::Limits;
use claviger_client::{Client, ClientConfig, Endpoint, Tls, TlsFiles, blocking};
use claviger_kms::{
    Binding, CreateKey, Decrypt, ErrorCode, GenerateDataKey, KeyManagementService as _, KeyPath,
    ListKeys,
};
use claviger_testkit::{
    Service, TlsDoors,
    certificates::{Authority, Wanted},
    endpoint,
};
use tokio::net::TcpListener;

async fn start() -> (Service, TlsDoors) {
    let mut service = Service::start().await;
    let doors = service.listen_tls(Limits::default()).await;
    (service, doors)
}

fn eu() -> KeyPath {
    "eu".parse().unwrap()
}

/// An address at which nothing listens.
async fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn list(client: &Client) -> claviger_kms::Result<()> {
    client.list_keys(ListKeys::default()).await.map(drop)
}

fn caller_files(doors: &TlsDoors) -> TlsFiles {
    let issued = doors.issue("caller", &Wanted::caller(Service::TLS_CALLER));
    doors.client_files(&issued)
}

#[tokio::test]
async fn a_dead_address_is_passed_over_even_by_what_must_not_be_repeated() {
    let (service, doors) = start().await;
    let dead = endpoint(dead().await);
    let config = ClientConfig::at([dead.clone(), endpoint(doors.data)])
        .with_admin([dead, endpoint(doors.admin)]);
    let client = Client::new(config.with_tls(doors.tls()));
    client.create_key(CreateKey::at(eu())).await.unwrap();
    list(&client).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn the_address_that_answered_is_kept_and_a_unix_socket_is_one_too() {
    let (service, doors) = start().await;
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap();
    drop(first);
    let addresses = [endpoint(address), Endpoint::Unix(service.data_socket())];
    let client = Client::new(ClientConfig::at(addresses).with_tls(doors.tls()));
    list(&client).await.unwrap();
    // Now somebody listens at the first address and says nothing: it is not asked again.
    let first = TcpListener::bind(address).await.unwrap();
    let begun = Instant::now();
    list(&client).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(tokio::time::timeout(Duration::from_millis(100), first.accept()).await.is_err());
    service.stop().await;
}

#[tokio::test]
async fn an_address_that_says_nothing_costs_its_connect_timeout_only() {
    let (service, doors) = start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [endpoint(silent.local_addr().unwrap()), endpoint(doors.data)];
    let mut config = ClientConfig::at(addresses).with_tls(doors.tls());
    config.connect_timeout = Duration::from_millis(200);
    let begun = Instant::now();
    list(&Client::new(config)).await.unwrap();
    let took = begun.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_secs(3)).contains(&took), "{took:?}");
    service.stop().await;
}

#[tokio::test]
async fn when_no_address_answers_each_is_named() {
    let (service, doors) = start().await;
    let (one, two) = (dead().await, dead().await);
    let config = ClientConfig::at([endpoint(one), endpoint(two)]).with_tls(doors.tls());
    let refused = list(&Client::new(config)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    let text = refused.to_string();
    assert!(text.contains(&one.to_string()) && text.contains(&two.to_string()), "{text}");
    let none = list(&Client::new(ClientConfig::at([]))).await.unwrap_err();
    assert!(none.to_string().contains("no address"), "{none}");
    service.stop().await;
}

#[tokio::test]
async fn a_service_whose_certificate_is_not_believed_is_sent_nothing() {
    let (service, doors) = start().await;
    let other = doors.folder().join("other-ca.pem");
    Authority::new("another").write(&other);
    let files = caller_files(&doors);
    for (files, says) in [
        (TlsFiles { ca: other, ..files.clone() }, "invalid peer certificate"),
        (TlsFiles { server_name: Some("keys.example.org".into()), ..files.clone() }, "not valid"),
    ] {
        let client = Client::new(doors.config(Tls::read(files).unwrap()));
        let refused = list(&client).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Unavailable);
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let named = TlsFiles { server_name: Some("localhost".into()), ..files };
    list(&Client::new(doors.config(Tls::read(named).unwrap()))).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn an_address_with_tls_and_a_client_without_is_an_error_that_says_so() {
    let (service, doors) = start().await;
    let refused = list(&Client::new(ClientConfig::at([endpoint(doors.data)]))).await.unwrap_err();
    assert!(refused.to_string().contains("no TLS certificate, key and CA"), "{refused}");
    service.stop().await;
}

#[tokio::test]
async fn bad_files_are_refused_by_name_and_not_quoted() {
    let (service, doors) = start().await;
    let files = caller_files(&doors);
    let other = doors.issue("other", &Wanted::caller(Service::TLS_CALLER));
    let missing = doors.folder().join("missing.pem");
    for (bad, says) in [
        (TlsFiles { certificate: missing.clone(), ..files.clone() }, "missing.pem"),
        (TlsFiles { ca: missing, ..files.clone() }, "missing.pem"),
        (TlsFiles { ca: files.key.clone(), ..files.clone() }, "no certificate"),
        (TlsFiles { key: files.certificate.clone(), ..files.clone() }, "lets others read it"),
        (TlsFiles { key: other.key, ..files.clone() }, "not the certificate's"),
        (TlsFiles { server_name: Some("a b".into()), ..files.clone() }, "server name"),
    ] {
        let refused = Tls::read(bad).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidRequest);
        let text = refused.to_string();
        assert!(text.contains(says) && !text.contains("BEGIN"), "{says}: {text}");
    }
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Tls::read(files).unwrap_err().to_string().contains("chmod 600"));
    service.stop().await;
}

/// Certificates of workloads live for hours; a process lives longer.
#[tokio::test]
async fn renewed_files_are_used_by_the_next_connection_and_bad_ones_are_not() {
    let (service, doors) = start().await;
    let files = caller_files(&doors);
    doors.client().create_key(CreateKey::at(eu())).await.unwrap();
    let good = (fs::read(&files.certificate).unwrap(), fs::read(&files.key).unwrap());
    // In the same place, somebody whom no rule names.
    drop(doors.issue("caller", &Wanted::caller("spiffe://claviger.test/nobody")));
    let tls = Tls::read(files.clone()).unwrap();
    let ask = async || {
        // A client of its own, so that a connection is opened; the files are shared.
        let client = Client::new(doors.config(tls.clone()));
        let request = GenerateDataKey { key: eu(), binding: Binding::default() };
        client.generate_data_key(request).await
    };
    assert_eq!(ask().await.unwrap_err().code(), ErrorCode::Denied);
    fs::write(&files.certificate, &good.0).unwrap();
    // Half renewed: certificate and key do not belong together, so the old pair stays.
    assert_eq!(ask().await.unwrap_err().code(), ErrorCode::Denied);
    fs::write(&files.key, &good.1).unwrap();
    ask().await.unwrap();
    fs::remove_file(&files.key).unwrap();
    ask().await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blocking_client_does_the_same_from_any_thread() {
    let (service, doors) = start().await;
    let config = doors.config(doors.tls());
    let work = std::thread::spawn(move || {
        let client = blocking::Client::new(config).unwrap();
        client.create_key(CreateKey::at(eu())).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| client.clone())
            .map(|client| {
                std::thread::spawn(move || {
                    let request = GenerateDataKey { key: eu(), binding: Binding::default() };
                    let made = client.generate_data_key(request).unwrap();
                    let ciphertext = made.wrapped.ciphertext;
                    client.decrypt(Decrypt { ciphertext, binding: Binding::default() }).unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let denied = client.describe_key(&"none".parse().unwrap()).unwrap_err();
        (client.status().unwrap(), denied)
    });
    let (status, denied) = tokio::task::spawn_blocking(|| work.join().unwrap()).await.unwrap();
    assert_eq!(status["hierarchy"]["keys"], 1);
    assert_eq!(denied.code(), ErrorCode::NotFound);
    service.stop().await;
}

#[tokio::test]
async fn the_blocking_client_refuses_to_stop_a_runtime_and_says_what_to_use() {
    let client = blocking::Client::new(ClientConfig::new("/nonexistent/data.sock")).unwrap();
    let refused = client.list_keys(ListKeys::default()).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unsupported);
    assert!(refused.to_string().contains("claviger_client::Client"), "{refused}");
    let outside = std::thread::spawn(move || client.list_keys(ListKeys::default()).unwrap_err());
    let missing = outside.join().unwrap();
    assert!(missing.to_string().contains("is clavigerd running?"), "{missing}");
}
