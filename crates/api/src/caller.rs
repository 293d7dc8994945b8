//! Who is at the other end, from the kernel and from nowhere else.
//!
//! Invariant: a request without the credentials that the listener put there is refused; there is no
//! default identity.

use axum::{extract::FromRequestParts, http::request::Parts};
use claviger_kms::{KmsError, Principal};
use claviger_operations::{Caller, LocalKms, Peer, Proof};
use tokio::net::unix::UCred;

use crate::{
    door::Door,
    problem::{Problem, Result},
    request::RequestName,
};

/// The process at the other end of a Unix socket, as the kernel names it (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Its process id when it connected; 0 where the system does not say.
    pub pid: u32,
    /// Its effective user id when it connected.
    pub uid: u32,
    /// Its effective group id when it connected.
    pub gid: u32,
}

impl PeerCredentials {
    /// The principal this is.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::of_uid(self.uid)
    }
}

impl From<UCred> for PeerCredentials {
    fn from(peer: UCred) -> Self {
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Self { pid, uid: peer.uid(), gid: peer.gid() }
    }
}

/// The key service as the caller of this request sees it.
pub(crate) struct Kms(pub(crate) LocalKms);

impl FromRequestParts<Door> for Kms {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self> {
        let peer = parts.extensions.get::<PeerCredentials>();
        let name = parts.extensions.get::<RequestName>();
        let (Some(peer), Some(name)) = (peer, name) else {
            return Err(KmsError::unavailable("the listener does not say who asks").into());
        };
        let caller = Caller {
            principal: peer.principal(),
            proof: Proof::PeerCredentials,
            peer: Some(Peer::Process { pid: peer.pid, uid: peer.uid, gid: peer.gid }),
            request: name.id,
            foreign_request: name.foreign.clone(),
        };
        Ok(Self(door.operations.local_kms(caller)))
    }
}
