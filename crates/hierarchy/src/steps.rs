//! The steps in the life of a key, as pure functions on its record: what the service carries out and what
//! the model of the protocol drives.
//!
//! Invariants: every step of a version is one row of the transition table in `claviger-kms`; a step that is
//! refused leaves the record as it was; a record has at most one primary version; none is promoted twice.

use claviger_keystore::{KeyRecord, Material};
use claviger_kms::{
    KeyState, KeyVersion, KmsError, QuarantineFacts, QuarantineReason, Requirement, Result,
    Timestamp, VersionState,
};

/// What a step rests on beside its action's permit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Grounds {
    /// Two persons said so.
    pub two_persons: bool,
    /// There is evidence that nothing needs the version.
    pub evidence: bool,
}

/// What a quarantine did to a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Versions quarantined now.
    pub versions: Vec<KeyVersion>,
    /// Pending versions given up now.
    pub abandoned: Vec<KeyVersion>,
    /// Callers may still open what is quarantined, now that this was added to earlier quarantines.
    pub drained: bool,
}

impl Stopped {
    /// Whether nothing was left to stop.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.abandoned.is_empty()
    }
}

/// Makes a pending version primary and the primary enabled.
///
/// # Errors
/// [`KmsError::NotFound`]; [`KmsError::KeyUnusable`] unless the key is active, the version pending and
/// newer than the primary.
pub fn promote(record: &mut KeyRecord, version: KeyVersion, now: Timestamp) -> Result<()> {
    if record.version(version).is_none() {
        return Err(no_version(record, version));
    }
    if record.state != KeyState::Active {
        return Err(unusable(record, "only an active key gets a new primary version"));
    }
    if let Some(newer) = record.primary.filter(|&primary| primary > version) {
        return Err(KmsError::key_unusable(format!(
            "version {version} of the key {} is older than its primary version {newer}; rotations \
             only go forward: make a new version",
            record.path
        )));
    }
    // The new version is checked first, so that a refusal leaves the former primary as it is.
    change_state(record, version, VersionState::Primary, Grounds::default(), now)?;
    if let Some(former) = record.primary {
        change_state(record, former, VersionState::Enabled, Grounds::default(), now)?;
    }
    record.primary = Some(version);
    Ok(())
}

/// Stops every version that wraps or unwraps, or the one named; gives up pending versions unless one is
/// named. Afterwards the key has no primary version, unless another than the named one is. While versions of an
/// earlier quarantine stay quarantined, what was stricter stays in force for the key: no drain opens again what was
/// stopped without, which takes two persons, and a leak stays a leak.
///
/// # Errors
/// [`KmsError::NotFound`]; [`KmsError::KeyUnusable`] for a named version in a state that cannot be stopped.
pub fn quarantine(
    record: &mut KeyRecord,
    only: Option<KeyVersion>,
    facts: QuarantineFacts,
) -> Result<Stopped> {
    let now = facts.at;
    let mut stopped = Stopped::default();
    let facts = with_earlier(record, facts);
    stopped.drained = facts.drain;
    let all: Vec<_> = record.versions.iter().map(|found| (found.number, found.state)).collect();
    if let Some(only) = only.filter(|only| all.iter().all(|(number, _)| number != only)) {
        return Err(no_version(record, only));
    }
    for (number, state) in all {
        let named = only == Some(number);
        match state {
            VersionState::Quarantined => {}
            VersionState::Pending if only.is_none() => {
                change_state(record, number, VersionState::Destroyed, Grounds::default(), now)?;
                forget_material(record, number);
                stopped.abandoned.push(number);
            }
            state
                if named
                    || (only.is_none()
                        && matches!(state, VersionState::Primary | VersionState::Enabled)) =>
            {
                change_state(record, number, VersionState::Quarantined, Grounds::default(), now)?;
                stopped.versions.push(number);
            }
            _ => {}
        }
    }
    if record.primary.is_some_and(|primary| stopped.versions.contains(&primary)) {
        record.primary = None;
    }
    let tighter = record
        .quarantine
        .as_ref()
        .is_some_and(|earlier| (earlier.drain, earlier.reason) != (facts.drain, facts.reason));
    if !stopped.is_empty() || tighter {
        record.quarantine = Some(facts);
    }
    Ok(stopped)
}

/// These facts, and what is stricter of an earlier quarantine whose versions are still quarantined.
fn with_earlier(record: &KeyRecord, facts: QuarantineFacts) -> QuarantineFacts {
    let stands = record.versions.iter().any(|found| found.state == VersionState::Quarantined);
    let Some(earlier) = record.quarantine.as_ref().filter(|_| stands) else { return facts };
    let leaked = earlier.reason == QuarantineReason::MaterialLeaked;
    QuarantineFacts {
        drain: facts.drain && earlier.drain,
        reason: if leaked { earlier.reason } else { facts.reason },
        ..facts
    }
}

/// Lets a disabled or quarantined version unwrap again.
///
/// # Errors
/// [`KmsError::NotFound`], [`KmsError::KeyUnusable`].
pub fn enable_version(
    record: &mut KeyRecord,
    version: KeyVersion,
    grounds: Grounds,
    now: Timestamp,
) -> Result<()> {
    // A primary becomes enabled too, but by promoting a newer one only.
    only_from(record, version, &[VersionState::Disabled, VersionState::Quarantined], "enabled")?;
    change_state(record, version, VersionState::Enabled, grounds, now)
}

/// Stops a version from unwrapping; the primary only of a retired key.
///
/// # Errors
/// As [`enable_version`].
pub fn disable_version(record: &mut KeyRecord, version: KeyVersion, now: Timestamp) -> Result<()> {
    // One whose destruction is scheduled becomes disabled too, but by cancelling that only.
    use VersionState::{Enabled, Primary, Quarantined};
    only_from(record, version, &[Primary, Enabled, Quarantined], "disabled")?;
    change_state(record, version, VersionState::Disabled, Grounds::default(), now)?;
    if record.primary == Some(version) {
        record.primary = None;
    }
    Ok(())
}

/// Schedules the destruction of a disabled version.
///
/// # Errors
/// As [`enable_version`].
pub fn schedule_destroy(
    record: &mut KeyRecord,
    version: KeyVersion,
    at: Timestamp,
    grounds: Grounds,
    now: Timestamp,
) -> Result<()> {
    change_state(record, version, VersionState::DestroyScheduled, grounds, now)?;
    if let Some(found) = found_mut(record, version) {
        found.destroy_after = Some(at);
    }
    Ok(())
}

/// Cancels a scheduled destruction.
///
/// # Errors
/// As [`enable_version`].
pub fn cancel_destroy(record: &mut KeyRecord, version: KeyVersion, now: Timestamp) -> Result<()> {
    if record.version(version).is_some_and(|found| found.state != VersionState::DestroyScheduled) {
        return Err(KmsError::key_unusable(format!(
            "no destruction of version {version} of the key {} is scheduled",
            record.path
        )));
    }
    change_state(record, version, VersionState::Disabled, Grounds::default(), now)?;
    if let Some(found) = found_mut(record, version) {
        found.destroy_after = None;
        found.evidence = None;
    }
    Ok(())
}

/// Erases the material of a version whose time has come; a tombstone stays.
///
/// # Errors
/// [`KmsError::KeyUnusable`] before its time; else as [`enable_version`].
pub fn destroy(record: &mut KeyRecord, version: KeyVersion, now: Timestamp) -> Result<()> {
    let found = record.version(version).ok_or_else(|| no_version(record, version))?;
    if found.state != VersionState::DestroyScheduled
        || found.destroy_after.is_none_or(|after| now < after)
    {
        return Err(KmsError::key_unusable(format!(
            "version {version} of the key {} is {} and its time has not come",
            record.path, found.state
        )));
    }
    change_state(record, version, VersionState::Destroyed, Grounds::default(), now)?;
    forget_material(record, version);
    Ok(())
}

/// Refuses every use of the key.
///
/// # Errors
/// [`KmsError::KeyUnusable`] for a retired key, which stays retired.
pub fn disable_key(record: &mut KeyRecord) -> Result<()> {
    if record.state == KeyState::Retired {
        return Err(unusable(record, "disable its versions, or enable the key first"));
    }
    record.state = KeyState::Disabled;
    Ok(())
}

/// Takes a disabled or retired key into use again.
pub fn enable_key(record: &mut KeyRecord) {
    record.state = KeyState::Active;
}

/// Lets the key make nothing new.
///
/// # Errors
/// [`KmsError::KeyUnusable`] for a disabled key.
pub fn retire_key(record: &mut KeyRecord) -> Result<()> {
    if record.state == KeyState::Disabled {
        return Err(unusable(record, "enable it first"));
    }
    record.state = KeyState::Retired;
    Ok(())
}

/// Moves one version along one row of the transition table.
fn change_state(
    record: &mut KeyRecord,
    version: KeyVersion,
    to: VersionState,
    grounds: Grounds,
    now: Timestamp,
) -> Result<()> {
    let retired = record.state == KeyState::Retired;
    let missing = no_version(record, version);
    let path = record.path.clone();
    let found = found_mut(record, version).ok_or(missing)?;
    let refused = |why: &str| {
        KmsError::key_unusable(format!(
            "version {version} of the key {path} is {}: {why}",
            found.state
        ))
    };
    let transition = found.state.transition_to(to).map_err(|error| refused(&error.to_string()))?;
    let why_not = match transition.needs {
        Requirement::Nothing => None,
        Requirement::KeyRetired => {
            (!retired).then_some("set another version primary first, or retire the key")
        }
        Requirement::TwoPersons => (!grounds.two_persons).then_some(NEEDS_TWO),
        Requirement::TwoPersonsIfEverQuarantined => {
            (found.ever_quarantined && !grounds.two_persons).then_some(NEEDS_TWO)
        }
        Requirement::EvidenceOrTwoPersons => (!grounds.evidence && !grounds.two_persons)
            .then_some("there is no evidence that nothing needs it, and no two persons shred it"),
        _ => Some("this release does not know what this step needs"),
    };
    if let Some(why) = why_not {
        return Err(refused(why));
    }
    found.state = to;
    found.state_changed_at = now;
    found.ever_quarantined |= to == VersionState::Quarantined;
    Ok(())
}

/// Whether a step is for a version in this state: two steps may lead to one state from different ones.
fn only_from(
    record: &KeyRecord,
    version: KeyVersion,
    states: &[VersionState],
    to: &str,
) -> Result<()> {
    match record.version(version) {
        Some(found) if !states.contains(&found.state) => Err(KmsError::key_unusable(format!(
            "version {version} of the key {} is {} and cannot be {to}",
            record.path, found.state
        ))),
        _ => Ok(()),
    }
}

fn forget_material(record: &mut KeyRecord, version: KeyVersion) {
    if let Some(found) = found_mut(record, version) {
        found.material = Material::Gone;
    }
}

fn found_mut(
    record: &mut KeyRecord,
    version: KeyVersion,
) -> Option<&mut claviger_keystore::VersionRecord> {
    record.versions.iter_mut().find(|found| found.number == version)
}

pub(crate) fn no_version(record: &KeyRecord, version: KeyVersion) -> KmsError {
    KmsError::not_found(format!("version {version} of the key {}", record.path))
}

fn unusable(record: &KeyRecord, remedy: &str) -> KmsError {
    KmsError::key_unusable(format!("the key {} is {}; {remedy}", record.path, record.state))
}

const NEEDS_TWO: &str = "this step needs two persons";

#[cfg(test)]
pub(crate) mod tests;
