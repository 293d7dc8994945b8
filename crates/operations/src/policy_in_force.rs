//! The policy in force and its hash: one value, replaced as a whole.
//!
//! Invariant: a request takes the value once and is decided and recorded with it to its end, so no record
//! names another policy than the one that decided.

use claviger_audit::Digest;
use claviger_kms::Result;
use claviger_policy::Policy;

#[derive(Debug)]
pub(crate) struct PolicyInForce {
    pub(crate) policy: Policy,
    pub(crate) hash: Digest,
}

impl PolicyInForce {
    pub(crate) fn new(policy: Policy) -> Result<Self> {
        let hash = policy.hash().parse()?;
        Ok(Self { policy, hash })
    }
}
