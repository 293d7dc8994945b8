//! Where the service is and how long to wait for it.

use std::{path::PathBuf, time::Duration};

use crate::{Endpoint, Tls};

/// How a client reaches the service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The service's data listener: its addresses in the order in which they are tried. The one that
    /// answered last is tried first.
    pub data: Vec<Endpoint>,
    /// The same for its admin listener: only for making and changing keys, and for the status.
    pub admin: Vec<Endpoint>,
    /// Certificate, key and CA for addresses with TLS.
    pub tls: Option<Tls>,
    /// Longest time for a whole call, further addresses and a repetition included; default 10 s.
    pub timeout: Duration,
    /// Longest time to connect to one address; default 3 s.
    pub connect_timeout: Duration,
    /// Most calls at once to each listener, each on a connection of its own; further ones wait within
    /// their timeout. Default 16, at least 1.
    pub connections: usize,
}

impl ClientConfig {
    /// The defaults, for this data socket and no admin socket.
    pub fn new(data_socket: impl Into<PathBuf>) -> Self {
        Self::at([Endpoint::Unix(data_socket.into())])
    }

    /// The defaults, for these addresses of the data listener.
    pub fn at(data: impl IntoIterator<Item = Endpoint>) -> Self {
        Self {
            data: data.into_iter().collect(),
            admin: Vec::new(),
            tls: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            connections: 16,
        }
    }

    /// The same with this admin socket.
    #[must_use]
    pub fn with_admin_socket(self, admin_socket: impl Into<PathBuf>) -> Self {
        self.with_admin([Endpoint::Unix(admin_socket.into())])
    }

    /// The same with these addresses of the admin listener.
    #[must_use]
    pub fn with_admin(self, admin: impl IntoIterator<Item = Endpoint>) -> Self {
        Self { admin: admin.into_iter().collect(), ..self }
    }

    /// The same with this side of TLS.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The same with this timeout.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}
