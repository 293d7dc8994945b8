//! Where the service is and how long to wait for it.

use std::{path::PathBuf, time::Duration};

/// How a client reaches the service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The service's data socket.
    pub data_socket: PathBuf,
    /// The service's admin socket: only for making and changing keys, and for the status.
    pub admin_socket: Option<PathBuf>,
    /// Longest time for a whole call, a repetition included; default 10 s.
    pub timeout: Duration,
    /// Most calls at once to each socket, each on a connection of its own; further ones wait within
    /// their timeout. Default 16, at least 1.
    pub connections: usize,
}

impl ClientConfig {
    /// The defaults, for this data socket and no admin socket.
    pub fn new(data_socket: impl Into<PathBuf>) -> Self {
        Self {
            data_socket: data_socket.into(),
            admin_socket: None,
            timeout: Duration::from_secs(10),
            connections: 16,
        }
    }

    /// The same with this admin socket.
    #[must_use]
    pub fn with_admin_socket(self, admin_socket: impl Into<PathBuf>) -> Self {
        Self { admin_socket: Some(admin_socket.into()), ..self }
    }

    /// The same with this timeout.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}
