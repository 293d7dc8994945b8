use std::time::{Duration, Instant};

use claviger_api::Limits;
use claviger_kms::{CreateKey, KeyManagementService as _, KeyPath};
use claviger_testkit::Service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::support::{audit_log, get, post, read, send};

fn eu() -> KeyPath {
    "eu".parse().unwrap()
}

async fn with_limits(change: impl FnOnce(&mut Limits)) -> Service {
    let mut limits = Limits::default();
    change(&mut limits);
    Service::start_with(&Service::permissive_policy(), limits).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_finished_and_recorded_though_the_caller_hung_up() {
    let service = Service::start().await;
    let client = service.client();
    client.create_key(CreateKey::at(eu())).await.unwrap();
    for patience in (0..40).map(|number| Duration::from_micros(50 * number)) {
        let mut stream = UnixStream::connect(service.admin_socket()).await.unwrap();
        stream.write_all(&post("/v1/rotate", r#"{"key":"eu"}"#)).await.unwrap();
        tokio::time::sleep(patience).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let key = client.describe_key(&eu()).await.unwrap();
    assert!(key.versions.len() > 1, "no rotation got as far as being cut");
    assert_eq!(key.primary, key.versions.last().map(|version| version.version));
    let log = audit_log(&service);
    let records = |phase: &str| {
        let of = |line: &&str| line.contains("\"rotate\"") && line.contains(phase);
        log.lines().filter(of).count()
    };
    let (intents, outcomes) = (records("\"intent\""), records("\"outcome\""));
    assert!(intents > 0 && intents == outcomes, "{intents} intents, {outcomes} outcomes");
    service.stop().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_inside_a_body_harms_nobody() {
    let service = Service::start().await;
    for _ in 0..50 {
        let mut stream = UnixStream::connect(service.data_socket()).await.unwrap();
        let request = post("/v1/encrypt", r#"{"key":"eu","plaintext":""}"#);
        stream.write_all(&request[..request.len() - 5]).await.unwrap();
    }
    assert_eq!(send(&service.data_socket(), &get("/livez")).await.status, 200);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_answers_what_is_under_way_and_takes_nothing_new() {
    let service = Service::start().await;
    let client = service.client();
    client.create_key(CreateKey::at(eu())).await.unwrap();
    // The service has the head of this request when the shutdown begins, and gets its end afterwards.
    let mut stream = UnixStream::connect(service.data_socket()).await.unwrap();
    let request = post("/v1/data-key", r#"{"key":"eu"}"#);
    let (first, rest) = request.split_at(request.len() - 4);
    stream.write_all(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let data = service.data_socket();
    let _silent = UnixStream::connect(&data).await.unwrap();
    let _idle = send_and_keep(&data).await;
    service.begin_shutdown();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(UnixStream::connect(&data).await.is_err(), "a new connection was taken");
    stream.write_all(rest).await.unwrap();
    assert_eq!(read(&mut stream).await.status, 200);
    let begun = Instant::now();
    service.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "idle connections held up the shutdown");
}

#[tokio::test]
async fn shutdown_ends_at_the_grace_period_whatever_a_caller_does() {
    let service = with_limits(|limits| limits.grace = Duration::from_millis(300)).await;
    let mut stream = UnixStream::connect(service.data_socket()).await.unwrap();
    let request = post("/v1/data-key", r#"{"key":"eu"}"#);
    stream.write_all(&request[..request.len() - 4]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    service.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_slow_body_and_slow_headers_end_at_their_timeouts() {
    let service = with_limits(|limits| {
        limits.body_timeout = Duration::from_millis(200);
        limits.header_timeout = Duration::from_millis(200);
    })
    .await;
    let mut stream = UnixStream::connect(service.data_socket()).await.unwrap();
    let request = post("/v1/data-key", r#"{"key":"eu"}"#);
    stream.write_all(&request[..request.len() - 4]).await.unwrap();
    read(&mut stream).await.assert_problem(408, "invalid-request", "did not arrive in time");

    let mut stream = UnixStream::connect(service.data_socket()).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost").await.unwrap();
    let begun = Instant::now();
    let mut nothing = Vec::new();
    let _ = stream.read_to_end(&mut nothing).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    service.stop().await;
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_the_others_go_on() {
    let service = with_limits(|limits| limits.max_connections = 2).await;
    let mut first = UnixStream::connect(service.data_socket()).await.unwrap();
    let _second = UnixStream::connect(service.data_socket()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = UnixStream::connect(service.data_socket()).await.unwrap();
    let refused = read(&mut third).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.body.contains("too many connections"), "{refused:?}");
    first.write_all(&get("/livez")).await.unwrap();
    assert_eq!(read(&mut first).await.status, 200);
    assert_eq!(send(&service.admin_socket(), &get("/livez")).await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn is_alive_and_ready_and_counts() {
    let service = Service::start().await;
    let ready = send(&service.data_socket(), &get("/readyz")).await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(send(&service.admin_socket(), &get("/livez")).await.status, 200);
    let metrics = send(&service.admin_socket(), &get("/metrics")).await;
    assert!(metrics.status == 200 && metrics.body.contains("# EOF"), "{metrics:?}");
    service.stop().await;
}

/// A connection that has had one reply.
async fn send_and_keep(socket: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 1024];
    assert!(stream.read(&mut some).await.unwrap() > 0);
    stream
}
