//! What a version may be used for, as pure functions on its record: asked before the token is waited for, and
//! once more before a result leaves.
//!
//! Invariant: only the primary version begins to wrap, and no wrap leaves under a version that was stopped
//! meanwhile.

use claviger_keystore::KeyRecord;
use claviger_kms::{KeyState, KeyVersion, KmsError, Result, VersionUse};

/// The version that wraps.
///
/// # Errors
/// [`KmsError::KeyUnusable`] unless the key is active and has a primary version.
pub fn primary_of(record: &KeyRecord) -> Result<KeyVersion> {
    if record.state != KeyState::Active {
        return Err(KmsError::key_unusable(format!("the key {} is {}", record.path, record.state)));
    }
    let number = record.primary.ok_or_else(|| {
        KmsError::key_unusable(format!("the key {} has no primary version now", record.path))
    })?;
    check_use(record, number, VersionUse::Wrap)?;
    Ok(number)
}

/// Whether a version may be used so.
///
/// # Errors
/// [`KmsError::Rejected`] for a version that is not there; [`KmsError::KeyUnusable`] for a disabled key and
/// in a state that does not allow it.
pub fn check_use(record: &KeyRecord, number: KeyVersion, wanted: VersionUse) -> Result<()> {
    let version = record.version(number).ok_or(KmsError::Rejected)?;
    if record.state == KeyState::Disabled {
        return Err(KmsError::key_unusable(format!("the key {} is disabled", record.path)));
    }
    let drain = record.quarantine.as_ref().is_some_and(|facts| facts.drain);
    if !version.state.allows(wanted, drain) {
        return Err(unusable(record, number, version.state.as_str()));
    }
    Ok(())
}

/// Whether what was wrapped while a version was primary may leave now. Rotated away meanwhile is no harm,
/// since it still opens; stopped is, also while it is drained and after two persons enabled it.
///
/// # Errors
/// As [`check_use`].
pub fn check_wrapped(record: &KeyRecord, number: KeyVersion) -> Result<()> {
    check_use(record, number, VersionUse::UnwrapForCaller)?;
    if record.version(number).is_some_and(|version| version.ever_quarantined) {
        return Err(unusable(record, number, "quarantined or was so meanwhile"));
    }
    Ok(())
}

fn unusable(record: &KeyRecord, number: KeyVersion, is: &str) -> KmsError {
    KmsError::key_unusable(format!("version {number} of the key {} is {is}", record.path))
}

#[cfg(test)]
mod tests;
