//! The actions as types, so that a permit for one is not a permit for another.
//!
//! Invariant: there is exactly one marker for each [`claviger_kms::Action`]; no other crate can add
//! one.

use std::fmt;

use claviger_kms::Action;

/// A marker for one action; sealed.
pub trait ActionType: sealed::Sealed + fmt::Debug + Send + Sync + 'static {
    /// The action it stands for.
    const ACTION: Action;
}

mod sealed {
    pub trait Sealed {}
}

/// Encrypt a value.
#[derive(Debug)]
pub struct Encrypt;

impl sealed::Sealed for Encrypt {}

impl ActionType for Encrypt {
    const ACTION: Action = Action::Encrypt;
}

/// Decrypt a value or a data key.
#[derive(Debug)]
pub struct Decrypt;

impl sealed::Sealed for Decrypt {}

impl ActionType for Decrypt {
    const ACTION: Action = Action::Decrypt;
}

/// Make a data key, plain and wrapped.
#[derive(Debug)]
pub struct DataKey;

impl sealed::Sealed for DataKey {}

impl ActionType for DataKey {
    const ACTION: Action = Action::DataKey;
}

/// Make a data key, wrapped only.
#[derive(Debug)]
pub struct DataKeyWrapped;

impl sealed::Sealed for DataKeyWrapped {}

impl ActionType for DataKeyWrapped {
    const ACTION: Action = Action::DataKeyWrapped;
}

/// Move a ciphertext to the primary version.
#[derive(Debug)]
pub struct Rewrap;

impl sealed::Sealed for Rewrap {}

impl ActionType for Rewrap {
    const ACTION: Action = Action::Rewrap;
}

/// Sign.
#[derive(Debug)]
pub struct Sign;

impl sealed::Sealed for Sign {}

impl ActionType for Sign {
    const ACTION: Action = Action::Sign;
}

/// Verify a signature.
#[derive(Debug)]
pub struct Verify;

impl sealed::Sealed for Verify {}

impl ActionType for Verify {
    const ACTION: Action = Action::Verify;
}

/// Make a key.
#[derive(Debug)]
pub struct Create;

impl sealed::Sealed for Create {}

impl ActionType for Create {
    const ACTION: Action = Action::Create;
}

/// Make a version, or promote it.
#[derive(Debug)]
pub struct Rotate;

impl sealed::Sealed for Rotate {}

impl ActionType for Rotate {
    const ACTION: Action = Action::Rotate;
}

/// Stop a key in an emergency.
#[derive(Debug)]
pub struct Quarantine;

impl sealed::Sealed for Quarantine {}

impl ActionType for Quarantine {
    const ACTION: Action = Action::Quarantine;
}

/// Disable a version or key.
#[derive(Debug)]
pub struct Disable;

impl sealed::Sealed for Disable {}

impl ActionType for Disable {
    const ACTION: Action = Action::Disable;
}

/// Enable a version or key.
#[derive(Debug)]
pub struct Enable;

impl sealed::Sealed for Enable {}

impl ActionType for Enable {
    const ACTION: Action = Action::Enable;
}

/// Schedule or cancel the destruction of a version.
#[derive(Debug)]
pub struct Destroy;

impl sealed::Sealed for Destroy {}

impl ActionType for Destroy {
    const ACTION: Action = Action::Destroy;
}

/// Open or close a write gate.
#[derive(Debug)]
pub struct Gate;

impl sealed::Sealed for Gate {}

impl ActionType for Gate {
    const ACTION: Action = Action::Gate;
}

/// Submit evidence that nothing needs a version.
#[derive(Debug)]
pub struct Evidence;

impl sealed::Sealed for Evidence {}

impl ActionType for Evidence {
    const ACTION: Action = Action::Evidence;
}

/// See keys and versions, never their material.
#[derive(Debug)]
pub struct ReadMetadata;

impl sealed::Sealed for ReadMetadata {}

impl ActionType for ReadMetadata {
    const ACTION: Action = Action::ReadMetadata;
}

/// Read the audit log.
#[derive(Debug)]
pub struct ReadAudit;

impl sealed::Sealed for ReadAudit {}

impl ActionType for ReadAudit {
    const ACTION: Action = Action::ReadAudit;
}

/// Read or reload the policy.
#[derive(Debug)]
pub struct Policy;

impl sealed::Sealed for Policy {}

impl ActionType for Policy {
    const ACTION: Action = Action::Policy;
}

/// Approve another person's request.
#[derive(Debug)]
pub struct Approve;

impl sealed::Sealed for Approve {}

impl ActionType for Approve {
    const ACTION: Action = Action::Approve;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_has_exactly_one_marker() {
        let markers = [
            Encrypt::ACTION,
            Decrypt::ACTION,
            DataKey::ACTION,
            DataKeyWrapped::ACTION,
            Rewrap::ACTION,
            Sign::ACTION,
            Verify::ACTION,
            Create::ACTION,
            Rotate::ACTION,
            Quarantine::ACTION,
            Disable::ACTION,
            Enable::ACTION,
            Destroy::ACTION,
            Gate::ACTION,
            Evidence::ACTION,
            ReadMetadata::ACTION,
            ReadAudit::ACTION,
            Policy::ACTION,
            Approve::ACTION,
        ];
        assert_eq!(BTreeSet::from(markers), BTreeSet::from(Action::ALL));
        assert_eq!(markers.len(), Action::ALL.len());
    }
}
