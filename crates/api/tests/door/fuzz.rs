//! Random bytes and mutated requests at the real door: each gets a proper answer or none, none makes
//! anything panic, and afterwards the door is as good as before. The seed is fixed: a failure comes again.

use std::{
    panic,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use claviger_api::Limits;
use claviger_testkit::Service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    task::JoinSet,
    time::timeout,
};

use crate::{
    support::{get, post, post_with, send},
    tls_support,
};

const SEED: u64 = 0xc1a7_16e2_0000_0001;
const TRIES: usize = 2000;
/// Under way at once: most wait for a time limit.
const AT_ONCE: usize = 100;
const SHORT: Duration = Duration::from_millis(100);

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_mutated_requests_get_proper_answers_and_harm_nothing() {
    count_panics();
    let mut limits = Limits::default();
    (limits.header_timeout, limits.body_timeout) = (SHORT, SHORT);
    let service = Service::start_with(&Service::permissive_policy(), limits).await;
    let (data, admin) = (service.data_socket(), service.admin_socket());
    for key in [r#"{"key":"eu"}"#, r#"{"key":"spare"}"#] {
        assert_eq!(send(&admin, &post("/v1/keys", key)).await.status, 200);
    }
    let sealed = send(&data, &post("/v1/encrypt", r#"{"key":"eu","plaintext":"AQID"}"#)).await;
    let sealed: serde_json::Value = serde_json::from_str(&sealed.body).unwrap();
    let decrypt = post("/v1/decrypt", &format!(r#"{{"ciphertext":{}}}"#, sealed["ciphertext"]));
    assert_eq!(send(&data, &decrypt).await.status, 200);

    let samples = samples(&data, &admin, &decrypt);
    let mut noise = Noise(SEED);
    let mut answers = [0_usize; 6];
    let mut under_way = JoinSet::new();
    for number in 0..TRIES {
        let (socket, bytes) = noise.try_of(&samples);
        under_way.spawn(async move { (number, answer(socket, &bytes).await, bytes) });
        if under_way.len() == AT_ONCE {
            count(under_way.join_next().await.unwrap().unwrap(), &mut answers);
        }
    }
    while let Some(done) = under_way.join_next().await {
        count(done.unwrap(), &mut answers);
    }
    // Without successes and refusals it would not have been a test.
    assert!(answers[2] > 50 && answers[4] > 500, "{answers:?}");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    assert_eq!(send(&data, &decrypt).await.status, 200);
    assert_eq!(send(&admin, &get("/readyz")).await.status, 200);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_in_place_of_a_handshake_get_no_byte_of_http_and_harm_nothing() {
    count_panics();
    let (service, doors) = tls_support::start(|limits| limits.handshake_timeout = SHORT).await;
    let mut noise = Noise(SEED);
    let mut under_way = JoinSet::new();
    for _ in 0..300 {
        let mut bytes = noise.bytes(600);
        // Half of them begin like a handshake record.
        if noise.below(2) == 0 {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            bytes.splice(0..0, [0x16, 3, 1, length[0], length[1], 1]);
        }
        let address = doors.data;
        under_way.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let mut reply = Vec::new();
            let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut reply)).await;
            assert!(read.is_ok(), "the connection stayed open");
            assert!(reply.is_empty() || reply[0] == 0x15, "{reply:?}");
        });
        if under_way.len() == AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.unwrap();
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    assert_eq!(tls_support::send(&doors, &get("/livez")).await.status, 200);
    service.stop().await;
}

/// What is good, and goes to which socket.
fn samples(data: &Path, admin: &Path, decrypt: &[u8]) -> Vec<(PathBuf, Vec<u8>)> {
    let json = "content-type: application/json\r\n";
    let chunked = b"POST /v1/data-key HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\ne\r\n{\"key\":\"eu\"   }\r\n0\r\n\r\n";
    let bound = r#"{"key":"eu","plaintext":"AQID","binding":{"context":{"row":"1","table":"t"}}}"#;
    let batch = r#"{"items":[{"key":"eu","plaintext":""},{"key":"eu","plaintext":"AQID"}]}"#;
    let to_data = [
        decrypt.to_vec(),
        chunked.to_vec(),
        get("/v1/keys/eu"),
        get("/v1/keys?limit=10&under=eu"),
        post("/v1/encrypt", bound),
        post("/v1/batch/encrypt", batch),
        post_with("/v1/data-key", &format!("{json}x-request-id: 17\r\n"), r#"{"key":"eu"}"#),
        [get("/livez"), get("/readyz")].concat(),
    ];
    let to_admin = [
        post("/v1/keys", r#"{"key":"spare/one"}"#),
        post("/v1/rotate", r#"{"key":"spare"}"#),
        post("/v1/disable-version", r#"{"key":"spare","version":1}"#),
        get("/v1/status"),
        get("/metrics"),
    ];
    let data = to_data.into_iter().map(|bytes| (data.to_owned(), bytes));
    data.chain(to_admin.into_iter().map(|bytes| (admin.to_owned(), bytes))).collect()
}

async fn answer(socket: PathBuf, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // A service that refuses does not always read to the end.
    let _ = stream.write_all(bytes).await;
    let mut reply = Vec::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut reply)).await;
    assert!(read.is_ok(), "the connection stayed open after {:?}", String::from_utf8_lossy(bytes));
    reply
}

/// Counts the answers by their hundreds; each must be whole, and a refusal of the service's own making a
/// problem document.
fn count((number, replies, sent): (usize, Vec<u8>, Vec<u8>), answers: &mut [usize; 6]) {
    let shown = || format!("try {number}: {:?}", String::from_utf8_lossy(&sent));
    let text = String::from_utf8(replies).unwrap();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{}", shown()));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|head| head.get(..3));
        let status: usize = status.and_then(|text| text.parse().ok()).unwrap_or(0);
        assert!((100..504).contains(&status) && status != 500, "{status} to {}", shown());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let body = body.get(..length).unwrap_or_else(|| panic!("cut: {}", shown()));
        if status >= 500 || (status >= 400 && length > 0) {
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(head.contains("content-type: application/problem+json"), "{}", shown());
            assert!(problem["code"].is_string() && problem["status"] == status, "{}", shown());
        }
        answers[status / 100] += 1;
        rest = &rest[head.len() + 4 + length..];
    }
}

fn count_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        usual(panic);
    }));
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Noise(u64);

impl Noise {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.draw() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.draw().to_le_bytes()[0]).collect()
    }

    /// One in eight is nothing but noise; the others are good requests with one to four changes.
    fn try_of(&mut self, samples: &[(PathBuf, Vec<u8>)]) -> (PathBuf, Vec<u8>) {
        let (socket, sample) = &samples[self.below(samples.len())];
        if self.below(8) == 0 {
            return (socket.clone(), self.bytes(2000));
        }
        let mut bytes = sample.clone();
        for _ in 0..=self.below(4) {
            let other = &samples[self.below(samples.len())].1;
            self.change(&mut bytes, other);
        }
        (socket.clone(), bytes)
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let at = self.below(bytes.len());
        let end = bytes.len().min(at + 1 + self.below(40));
        match self.below(8) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.draw().to_le_bytes()[0],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let noise = self.bytes(20);
                bytes.splice(at..at, noise);
            }
            5 => {
                let token = TOKENS[self.below(TOKENS.len())];
                bytes.splice(at..at, token.bytes());
            }
            6 => bytes.truncate(at),
            _ => {
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}

/// What parsers stumble over.
const TOKENS: &[&str] = &[
    "\0",
    "%00",
    "%2e%2e/",
    "../",
    "\r\n",
    "\r\n\r\n",
    "[[[[[[[[[[[[[[[[",
    "{\"key\":",
    "99999999999999999999",
    "-1",
    "1e400",
    "\\ud800",
    "\u{202e}",
    "\"",
    "transfer-encoding: chunked\r\n",
    "content-length: 5\r\n",
    "expect: 100-continue\r\n",
    "upgrade: h2c\r\n",
];
