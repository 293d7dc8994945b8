//! Who asks, how that was proven, and which request it is.

use claviger_audit::{ForeignId, Peer, Proof};
use claviger_kms::{KmsError, Principal, RequestId};

/// One request's caller, as a door established it; nothing the caller says can change it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// How the door knows.
    pub proof: Proof,
    /// From where.
    pub peer: Option<Peer>,
    /// This request.
    pub request: RequestId,
    /// The id another system gave it.
    pub foreign_request: Option<ForeignId>,
}

impl Caller {
    /// A caller linked into this process, with a new request id.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
    pub fn in_process(principal: Principal) -> Result<Self, KmsError> {
        Ok(Self {
            principal,
            proof: Proof::InProcess,
            peer: None,
            request: RequestId::make_random()?,
            foreign_request: None,
        })
    }

    /// The service itself, doing what was decided before.
    pub(crate) fn of_schedule() -> Result<Self, KmsError> {
        Ok(Self { proof: Proof::Internal, ..Self::in_process(Principal::of_schedule())? })
    }
}
