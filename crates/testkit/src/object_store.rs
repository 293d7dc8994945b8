//! An S3 store of a test's own, on loopback: moto's server, in the environment of `scripts/python-env`.
//!
//! It keeps everything in memory and ends with the test's process. It honours `If-Match`; whether a caller's
//! signature is right it asks only after [`ObjectStore::require_permission`]. A machine where it cannot be had prints
//! `SKIP`; where `CLAVIGER_REQUIRE_OBJECT_STORE=1` is set, as in `scripts/test`, that fails the test.

use std::{
    env, fs,
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A running store; killed when it is dropped.
#[derive(Debug)]
pub struct ObjectStore {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl ObjectStore {
    /// Starts an empty store. `None`, and a line `SKIP`, where it cannot be had.
    ///
    /// # Panics
    /// When it can and does not start; when it cannot and `CLAVIGER_REQUIRE_OBJECT_STORE` is `1`.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with TLS: with this certificate and key, PEM.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_tls(certificate: &Path, key: &Path) -> Option<Self> {
        let path = |path: &Path| path.display().to_string();
        Self::start_with(&["-s", "-c", &path(certificate), "-k", &path(key)])
    }

    fn start_with(arguments: &[&str]) -> Option<Self> {
        let python = python()?;
        let folder = tempfile::Builder::new()
            .prefix("claviger-objects-")
            .tempdir()
            .expect("a temporary folder");
        let log = folder.path().join("log");
        let output = File::create(&log).expect("a log");
        let child = Command::new(python)
            .args(["-c", PROGRAM, "-H", "127.0.0.1", "-p", "0"])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a log"))
            .stderr(output)
            .spawn()
            .expect("Python runs");
        let mut store = Self { child, address: (Ipv4Addr::LOCALHOST, 0).into(), _folder: folder };
        let begun = Instant::now();
        loop {
            let told = fs::read_to_string(&log).expect("its log");
            if let Some(port) = port_in(&told) {
                store.address.set_port(port);
                return Some(store);
            }
            let ended = store.child.try_wait().expect("its state");
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(60),
                "the store did not start: {told}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When it is refused.
    pub fn create_bucket(&self, name: &str) {
        let (status, body) = self.request("PUT", &format!("/{name}"), "s3", "");
        assert_eq!(status, 200, "{body}");
    }

    /// Makes a user who may do these actions and no other; his key id and secret.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn create_user(&self, name: &str, actions: &[&str]) -> (String, String) {
        let policy = format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Resource\":\"*\",\
             \"Action\":[\"{}\"]}}]}}",
            actions.join("\",\"")
        );
        let ask = |action: &str, more: &str| {
            let body = format!("Action={action}&Version=2010-05-08&UserName={name}{more}");
            let (status, answer) = self.request("POST", "/", "iam", &body);
            assert_eq!(status, 200, "{answer}");
            answer
        };
        ask("CreateUser", "");
        ask("PutUserPolicy", &format!("&PolicyName=p&PolicyDocument={policy}"));
        let key = ask("CreateAccessKey", "");
        let element = |name: &str| {
            let (_, rest) = key.split_once(&format!("<{name}>")).expect("an access key");
            rest.split_once('<').expect("an end").0.to_owned()
        };
        (element("AccessKeyId"), element("SecretAccessKey"))
    }

    /// From now on only users with a right to it may do anything.
    ///
    /// # Panics
    /// When it is refused.
    pub fn require_permission(&self) {
        let (status, body) = self.request("POST", "/moto-api/reset-auth", "s3", "0");
        assert_eq!(status, 200, "{body}");
    }

    /// One request to one of its services, without a signature.
    fn request(&self, method: &str, path: &str, service: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let kind =
            if service == "iam" { "application/x-www-form-urlencoded" } else { "text/plain" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=none/20200101/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=none\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), answer)
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter of the project's environment, made if need be.
fn python() -> Option<String> {
    let output = Command::new("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python-env"))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs scripts/python-env");
    if output.status.success() {
        let path = String::from_utf8(output.stdout).expect("the script prints text");
        return Some(path.trim().to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let required = env::var(REQUIRED).is_ok_and(|value| value == "1");
    assert!(!required, "{REQUIRED} is set, and there is no object store: {words}");
    crate::postgres::skip(words.trim());
    None
}

/// The port in ` * Running on http://127.0.0.1:PORT`.
fn port_in(told: &str) -> Option<u16> {
    let (_, rest) = told.split_once("127.0.0.1:")?;
    let (port, _) = rest.split_once('\n')?;
    port.trim().parse().ok()
}

/// Ends when its standard input does: with the test, however that ends.
const PROGRAM: &str = "
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main(sys.argv[1:])
";
const REQUIRED: &str = "CLAVIGER_REQUIRE_OBJECT_STORE";
