//! HTTP over a Unix socket as bytes: one request a connection, and what no client library would send.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// A reply as it came.
#[derive(Debug)]
pub struct Reply {
    /// Its status; 0 when there was no reply.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The name that the service gave the request.
    #[must_use]
    pub fn request(&self) -> &str {
        self.header("claviger-request-id").unwrap()
    }

    /// The body of a reply of status 200.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Fails unless it is a problem document of this status and code.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_problem(&self, status: u16, code: &str, says: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["code"], code, "{self:?}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{self:?}");
    }
}

/// `GET target`.
#[must_use]
pub fn get(socket: &Path, target: &str) -> Reply {
    let head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    Begun::send(socket, head.as_bytes()).map_or_else(none, Begun::reply)
}

/// `POST target` of JSON.
#[must_use]
pub fn post(socket: &Path, target: &str, body: &Value) -> Reply {
    post_text(socket, target, &body.to_string())
}

/// `POST target` of what is said to be JSON. A connection that breaks gives status 0.
#[must_use]
pub fn post_text(socket: &Path, target: &str, body: &str) -> Reply {
    Begun::send(socket, &request(target, body)).map_or_else(none, Begun::reply)
}

/// A request of which the service has all but the last byte.
///
/// # Panics
/// When the service takes no connection.
#[must_use]
pub fn begin_post(socket: &Path, target: &str, body: &Value) -> Begun {
    let mut request = request(target, &body.to_string());
    let last = request.pop().unwrap();
    Begun { last: Some(last), ..Begun::send(socket, &request).unwrap() }
}

/// A request under way.
#[derive(Debug)]
pub struct Begun {
    stream: UnixStream,
    last: Option<u8>,
}

impl Begun {
    fn send(socket: &Path, bytes: &[u8]) -> Option<Self> {
        let mut stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A service that refuses does not always read to the end.
        let _ = stream.write_all(bytes);
        Some(Self { stream, last: None })
    }

    /// Sends what is missing, and waits for the reply.
    #[must_use]
    pub fn reply(mut self) -> Reply {
        if let Some(last) = self.last {
            let _ = self.stream.write_all(&[last]);
        }
        let mut bytes = Vec::new();
        if self.stream.read_to_end(&mut bytes).is_err() {
            return none();
        }
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }
}

fn request(target: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn none() -> Reply {
    Reply { status: 0, head: String::new(), body: String::new() }
}
