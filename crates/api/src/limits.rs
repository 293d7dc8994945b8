//! What one listener lets in, and for how long.

use std::time::Duration;

/// The limits of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most connections at once; a further one is answered 503 and closed. Default 1,024.
    pub max_connections: usize,
    /// Most TLS handshakes at once; a further connection is closed. They take no room from connections
    /// whose caller is known. Default 256.
    pub max_handshakes: usize,
    /// Most bytes of a body; default 256 KiB.
    pub max_body: usize,
    /// Most bytes of the body of a batch; default 4 MiB.
    pub max_batch_body: usize,
    /// Longest time for a TLS handshake; default 5 s.
    pub handshake_timeout: Duration,
    /// Longest life of a TLS connection, and so the longest time an old certificate or revocation list
    /// counts; it ends with the client certificate too. Default 1 h.
    pub connection_age: Duration,
    /// Longest time from one request's end to the end of the next one's headers; default 10 s.
    pub header_timeout: Duration,
    /// Longest time for a body to arrive; default 10 s.
    pub body_timeout: Duration,
    /// Longest time until a reply; default 30 s.
    pub request_timeout: Duration,
    /// Longest time for what is under way at shutdown; default 10 s.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_handshakes: 256,
            max_body: 256 * 1024,
            max_batch_body: 4 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(5),
            connection_age: Duration::from_secs(3600),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}
