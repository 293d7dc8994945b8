//! Raw HTTP over a Unix socket: what no client library would send.

use std::path::Path;

use claviger_testkit::Service;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// A reply as it came.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The body, which must be a problem document of this code.
    pub(crate) fn assert_problem(&self, status: u16, code: &str, says: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["type"], format!("urn:claviger:error:{code}"), "{self:?}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{self:?}");
        assert!(self.header("claviger-request-id").is_some(), "{self:?}");
    }
}

/// Sends bytes as they are and reads until the service closes.
pub(crate) async fn send(socket: &Path, bytes: &[u8]) -> Raw {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read(&mut stream).await
}

pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Raw {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let reply = String::from_utf8(reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Raw { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").into_bytes()
}

pub(crate) fn post(target: &str, body: &str) -> Vec<u8> {
    post_with(target, "content-type: application/json\r\n", body)
}

/// A POST with these further header lines, each ended by CR LF.
pub(crate) fn post_with(target: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// All of the audit log's segments.
pub(crate) fn audit_log(service: &Service) -> String {
    let mut log = String::new();
    for segment in std::fs::read_dir(service.folder().join("audit")).unwrap() {
        let bytes = std::fs::read(segment.unwrap().path()).unwrap();
        log.push_str(&String::from_utf8_lossy(&bytes));
    }
    log
}
