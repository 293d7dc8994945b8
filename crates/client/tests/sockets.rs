//! The client against real sockets whose other end misbehaves as told.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use claviger_client::{Client, ClientConfig};
use claviger_kms::{
    Binding, CreateKey, CreateVersion, ErrorCode, GenerateDataKey, KeyManagementService, KeyPath,
    ListKeys, SecretBytes, VersionRequest,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

/// What the other end does with one request.
#[derive(Clone, Copy)]
enum Act {
    Answer(&'static str),
    AnswerAndClose(&'static str),
    Close,
    CutTheReply,
    Endless,
    Silence,
}

struct OtherEnd {
    folder: TempDir,
    socket: PathBuf,
    requests: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
    /// Ends with all its connections when dropped.
    tasks: JoinSet<()>,
}

impl OtherEnd {
    /// Ends, and begins again at the same path.
    async fn restart(mut self, acts: &'static [Act]) -> Self {
        self.tasks.shutdown().await;
        std::fs::remove_file(&self.socket).unwrap();
        other_end_in(self.folder, acts)
    }
}

/// Request number N is answered by act N; the last act is for all further ones.
fn other_end(acts: &'static [Act]) -> OtherEnd {
    other_end_in(tempfile::tempdir().unwrap(), acts)
}

fn other_end_in(folder: TempDir, acts: &'static [Act]) -> OtherEnd {
    let socket = folder.path().join("data.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let open = Arc::new(AtomicUsize::new(0));
    let most_open = Arc::new(AtomicUsize::new(0));
    let (counter, most) = (Arc::clone(&requests), Arc::clone(&most_open));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
            let (counter, open) = (Arc::clone(&counter), Arc::clone(&open));
            connections.spawn(async move {
                while read_request(&mut stream).await {
                    let number = counter.fetch_add(1, SeqCst);
                    let act = acts[number.min(acts.len() - 1)];
                    if !carry_out(act, &mut stream).await {
                        break;
                    }
                }
                open.fetch_sub(1, SeqCst);
            });
        }
    });
    OtherEnd { folder, socket, requests, most_open, tasks }
}

async fn read_request(stream: &mut UnixStream) -> bool {
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        match stream.read(&mut some).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => read.extend_from_slice(&some[..count]),
        }
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return true;
        }
    }
}

async fn carry_out(act: Act, stream: &mut UnixStream) -> bool {
    match act {
        Act::Answer(body) | Act::AnswerAndClose(body) => {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let length = body.len();
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(reply.as_bytes()).await.unwrap();
            matches!(act, Act::Answer(_))
        }
        Act::Close => false,
        Act::CutTheReply => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{").await.unwrap();
            false
        }
        Act::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'['; 65_536]).await.is_ok() {}
            false
        }
        Act::Silence => std::future::pending().await,
    }
}

const PAGE: Act = Act::Answer(r#"{"keys":[],"next":null}"#);
const METADATA: &str = r#"{"key":"eu","id":"6f2c0a1e-5d3b-4c8f-9a7e-1b2c3d4e5f60",
    "purpose":"encryption","protection":"memory","state":"active","primary":1,
    "details":{"description":"","owner":"","tags":{}},"made_at":"2026-11-24T00:00:00Z","epoch":1,
    "versions":[]}"#;
const ENCRYPTED: &str = r#"{"ciphertext":"AA==","key":"eu","version":1}"#;

fn client(end: &OtherEnd) -> Client {
    let config = ClientConfig::new(&end.socket).with_admin_socket(&end.socket);
    Client::new(config.with_timeout(Duration::from_secs(5)))
}

fn eu() -> KeyPath {
    "eu".parse().unwrap()
}

fn rotation(name: Option<&str>) -> CreateVersion {
    CreateVersion { key: eu(), idempotency_key: name.map(|name| name.parse().unwrap()) }
}

fn encrypt() -> claviger_kms::Encrypt {
    let plaintext = SecretBytes::copy_of(b"hunter2");
    claviger_kms::Encrypt { key: eu(), plaintext, binding: Binding::default() }
}

#[tokio::test]
async fn a_missing_socket_is_named_and_asks_whether_the_service_runs() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    let refused = Client::new(ClientConfig::new(&socket)).describe_key(&eu()).await.unwrap_err();
    let text = refused.to_string();
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert!(text.contains(socket.to_str().unwrap()), "{text}");
    assert!(text.contains("is clavigerd running?"), "{text}");
}

#[tokio::test]
async fn a_socket_nobody_listens_on_is_named_and_asks_whether_the_service_runs() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("left-behind.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let refused = Client::new(ClientConfig::new(&socket)).encrypt(encrypt()).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("nothing answers at") && text.contains("left-behind.sock"), "{text}");
}

#[tokio::test]
async fn silence_ends_at_the_timeout() {
    let end = other_end(&[Act::Silence]);
    let config = ClientConfig::new(&end.socket).with_timeout(Duration::from_millis(200));
    let begun = Instant::now();
    let refused = Client::new(config).describe_key(&eu()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(end.requests.load(SeqCst), 1, "a call that ran out of time was sent again");
}

#[tokio::test]
async fn waiting_for_a_connection_counts_against_the_timeout() {
    let end = other_end(&[Act::Silence]);
    let mut config = ClientConfig::new(&end.socket).with_timeout(Duration::from_millis(300));
    config.connections = 1;
    let client = Client::new(config);
    let begun = Instant::now();
    let (key, other) = (eu(), eu());
    let (one, two) = tokio::join!(client.describe_key(&key), client.describe_key(&other));
    assert!(one.is_err() && two.is_err());
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn what_stores_nothing_is_repeated_once_when_the_connection_breaks() {
    for first in [Act::Close, Act::CutTheReply] {
        let acts: &'static [Act] = Box::leak(Box::new([first, Act::Answer(ENCRYPTED)]));
        let end = other_end(acts);
        assert!(client(&end).encrypt(encrypt()).await.is_ok());
        assert_eq!(end.requests.load(SeqCst), 2);
    }
    let end = other_end(&[Act::Close, PAGE]);
    assert!(client(&end).list_keys(ListKeys::default()).await.is_ok());
}

#[tokio::test]
async fn nothing_is_sent_a_third_time() {
    let end = other_end(&[Act::Close]);
    let request = GenerateDataKey { key: eu(), binding: Binding::default() };
    let refused = client(&end).generate_data_key(request).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unavailable);
    assert_eq!(end.requests.load(SeqCst), 2);
}

#[tokio::test]
async fn what_creates_is_never_repeated_without_an_idempotency_key() {
    let end = other_end(&[Act::Close, Act::Answer(METADATA)]);
    assert!(client(&end).rotate(rotation(None)).await.is_err());
    assert_eq!(end.requests.load(SeqCst), 1);
    let end = other_end(&[Act::Close, Act::Answer(METADATA)]);
    assert!(client(&end).create_key(CreateKey::at(eu())).await.is_err());
    assert_eq!(end.requests.load(SeqCst), 1);
    let end = other_end(&[Act::Close, Act::Answer(METADATA)]);
    let version = VersionRequest { key: eu(), version: claviger_kms::KeyVersion::FIRST };
    assert!(client(&end).disable_version(version).await.is_err());
    assert_eq!(end.requests.load(SeqCst), 1);
}

#[tokio::test]
async fn what_creates_is_repeated_with_its_idempotency_key() {
    let end = other_end(&[Act::Close, Act::Answer(METADATA)]);
    assert!(client(&end).rotate(rotation(Some("once"))).await.is_ok());
    assert_eq!(end.requests.load(SeqCst), 2);
}

#[tokio::test]
async fn a_connection_closed_between_calls_fails_no_call() {
    let end = other_end(&[Act::AnswerAndClose(METADATA)]);
    let client = client(&end);
    for _ in 0..3 {
        client.rotate(rotation(None)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(end.requests.load(SeqCst), 3);
}

#[tokio::test]
async fn a_service_that_was_restarted_is_found_again() {
    let mut end = other_end(&[Act::Answer(METADATA)]);
    let client = client(&end);
    for _ in 0..3 {
        client.rotate(rotation(None)).await.unwrap();
        end = end.restart(&[Act::Answer(METADATA)]).await;
        client.describe_key(&eu()).await.unwrap();
    }
}

#[tokio::test]
async fn an_endless_reply_is_refused() {
    let end = other_end(&[Act::Endless]);
    let refused = client(&end).describe_key(&eu()).await.unwrap_err();
    assert!(refused.to_string().contains("longer than"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_opens_more_connections_than_configured() {
    let end = other_end(&[PAGE]);
    let mut config = ClientConfig::new(&end.socket);
    config.connections = 3;
    let client = Client::new(config);
    let calls: Vec<_> = (0..60)
        .map(|_| client.clone())
        .map(|client| tokio::spawn(async move { client.list_keys(ListKeys::default()).await }))
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(end.requests.load(SeqCst), 60);
    assert!(end.most_open.load(SeqCst) <= 3, "{} were open", end.most_open.load(SeqCst));
}

#[tokio::test]
async fn managing_keys_without_an_admin_socket_is_unsupported_and_sends_nothing() {
    let end = other_end(&[PAGE]);
    let client = Client::new(ClientConfig::new(&end.socket));
    assert!(!client.capabilities().manages_keys);
    let refused = client.create_key(CreateKey::at(eu())).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unsupported);
    assert!(refused.to_string().contains("admin socket"), "{refused}");
    assert_eq!(client.rotate(rotation(None)).await.unwrap_err().code(), ErrorCode::Unsupported);
    assert_eq!(client.status().await.unwrap_err().code(), ErrorCode::Unsupported);
    assert_eq!(end.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn a_reply_of_another_shape_is_unavailable_not_a_panic() {
    let end = other_end(&[Act::Answer("[]"), Act::Answer("{\"key\":\"EU\"}"), Act::Answer("")]);
    let client = client(&end);
    for _ in 0..3 {
        let refused = client.describe_key(&eu()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Unavailable);
    }
}
