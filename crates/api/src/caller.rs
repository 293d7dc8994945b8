//! Who is at the other end, as the listener found out and from nowhere else.
//!
//! Invariant: a request without the identity that the listener put there is refused; there is no default
//! identity.

use std::net::SocketAddr;

use axum::{extract::FromRequestParts, http::request::Parts};
use claviger_kms::{KmsError, Principal};
use claviger_operations::{Caller, LocalKms, Peer, Proof};
use tokio::net::unix::UCred;

use crate::{
    door::Door,
    problem::{Problem, Result},
    request::RequestName,
    tls::CertificateIdentity,
};

/// Who is at the other end of a connection, and how the listener knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerIdentity {
    principal: Principal,
    proof: Proof,
    peer: Peer,
}

impl PeerIdentity {
    /// The process at the other end of a Unix socket, as the kernel names it (`SO_PEERCRED`): effective
    /// user and group when it connected; process id 0 where the system does not say.
    pub(crate) fn of_process(peer: UCred) -> Self {
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Self {
            principal: Principal::of_uid(peer.uid()),
            proof: Proof::PeerCredentials,
            peer: Peer::Process { pid, uid: peer.uid(), gid: peer.gid() },
        }
    }

    /// The holder of a verified client certificate.
    pub(crate) fn of_certificate(identity: CertificateIdentity, address: SocketAddr) -> Self {
        Self {
            principal: identity.principal,
            proof: Proof::ClientCertificate,
            peer: Peer::Network { address },
        }
    }

    /// The principal this is.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// The key service as the caller of this request sees it.
pub(crate) struct Kms(pub(crate) LocalKms);

impl FromRequestParts<Door> for Kms {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self> {
        let peer = parts.extensions.get::<PeerIdentity>();
        let name = parts.extensions.get::<RequestName>();
        let (Some(peer), Some(name)) = (peer, name) else {
            return Err(KmsError::unavailable("the listener does not say who asks").into());
        };
        let caller = Caller {
            principal: peer.principal.clone(),
            proof: peer.proof,
            peer: Some(peer.peer),
            request: name.id,
            foreign_request: name.foreign.clone(),
        };
        Ok(Self(door.operations.local_kms(caller)))
    }
}
