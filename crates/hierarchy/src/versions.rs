//! The life of key versions: make, promote, rotate, enable, disable. Every step is one row of the
//! transition table in `claviger-kms` and one commit.

use std::sync::Arc;

use claviger_keystore::KeyRecord;
use claviger_kms::{
    IdempotencyKey, KeyPath, KeyState, KeyVersion, KmsError, Requirement, Result, Timestamp,
    VersionState,
};
use claviger_policy::{Permit, action};

use crate::{
    Change, ChildrenBehind, Written,
    commit::{ATTEMPTS, Seen, overtaken},
    hierarchy::Hierarchy,
};

impl Hierarchy {
    /// Makes a further version, pending.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`] unless the key is active.
    pub async fn create_version(
        &self,
        permit: Permit<action::Rotate>,
        request: Option<&IdempotencyKey>,
    ) -> Result<Written> {
        let tag = self.tag(permit.principal(), "create-version", request);
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            let before = self.record(permit.key())?;
            if already_made(&before, tag.as_deref()) {
                return Ok(Written::new(before.metadata(), Vec::new()));
            }
            let seen = self.see_with_parent(&before);
            let record = self.with_new_version(&before, tag.clone()).await?;
            if let Some(changes) = self.commit_if(&seen, vec![record]).await? {
                return Ok(Written::new(self.record(permit.key())?.metadata(), changes));
            }
        }
        Err(overtaken(permit.key()))
    }

    /// Promotes a pending version. The direct children are then to be moved under it.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`] if the version was promoted before.
    pub async fn set_primary(
        &self,
        permit: Permit<action::Rotate>,
        version: KeyVersion,
    ) -> Result<Written> {
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            let before = self.record(permit.key())?;
            if before.primary == Some(version) {
                return Ok(rotated(&before, Vec::new()));
            }
            let mut record = KeyRecord::clone(&before);
            promote(&mut record, version)?;
            if let Some(changes) = self.commit_if(&[Seen::record(&before)], vec![record]).await? {
                return Ok(rotated(&*self.record(permit.key())?, changes));
            }
        }
        Err(overtaken(permit.key()))
    }

    /// Makes a further version and promotes it in one commit. The direct children are then to be moved
    /// under it.
    ///
    /// # Errors
    /// As [`create_version`](Self::create_version).
    pub async fn rotate(
        &self,
        permit: Permit<action::Rotate>,
        request: Option<&IdempotencyKey>,
    ) -> Result<Written> {
        let tag = self.tag(permit.principal(), "rotate", request);
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            let before = self.record(permit.key())?;
            if already_made(&before, tag.as_deref()) {
                return Ok(rotated(&before, Vec::new()));
            }
            let seen = self.see_with_parent(&before);
            let mut record = self.with_new_version(&before, tag.clone()).await?;
            let newest = record.versions.last().map_or(KeyVersion::FIRST, |version| version.number);
            promote(&mut record, newest)?;
            if let Some(changes) = self.commit_if(&seen, vec![record]).await? {
                return Ok(rotated(&*self.record(permit.key())?, changes));
            }
        }
        Err(overtaken(permit.key()))
    }

    /// Lets a disabled version unwrap again.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`] from any other state, or if the version was
    /// ever quarantined.
    pub async fn enable_version(
        &self,
        permit: Permit<action::Enable>,
        version: KeyVersion,
    ) -> Result<Written> {
        self.move_version(permit.key(), version, VersionState::Enabled).await
    }

    /// Stops a version from unwrapping.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`] for the primary version of an active key.
    pub async fn disable_version(
        &self,
        permit: Permit<action::Disable>,
        version: KeyVersion,
    ) -> Result<Written> {
        let written = self.move_version(permit.key(), version, VersionState::Disabled).await;
        if let Ok(record) = self.record(permit.key()) {
            self.cache.forget(record.id, version);
        }
        written
    }

    async fn move_version(
        &self,
        path: &KeyPath,
        version: KeyVersion,
        to: VersionState,
    ) -> Result<Written> {
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            let before = self.record(path)?;
            if before.version(version).is_some_and(|found| found.state == to) {
                return Ok(Written::new(before.metadata(), Vec::new()));
            }
            // A primary becomes enabled too, but only when a newer version is promoted.
            if to == VersionState::Enabled && before.primary == Some(version) {
                return Err(KmsError::key_unusable(format!(
                    "version {version} of the key {path} is primary: it wraps and unwraps already"
                )));
            }
            let mut record = KeyRecord::clone(&before);
            change_state(&mut record, version, to)?;
            if let Some(changes) = self.commit_if(&[Seen::record(&before)], vec![record]).await? {
                return Ok(Written::new(self.record(path)?.metadata(), changes));
            }
        }
        Err(overtaken(path))
    }

    fn see_with_parent(&self, record: &KeyRecord) -> Vec<Seen> {
        let parent = record.path.parent().map(|parent| self.see(&parent));
        std::iter::once(Seen::record(record)).chain(parent).collect()
    }

    async fn with_new_version(
        &self,
        record: &Arc<KeyRecord>,
        tag: Option<String>,
    ) -> Result<KeyRecord> {
        if record.state != KeyState::Active {
            return Err(KmsError::key_unusable(format!(
                "the key {} is {}; only an active key gets new versions",
                record.path, record.state
            )));
        }
        if record.versions.len() >= MAX_VERSIONS {
            return Err(KmsError::invalid(format!(
                "the key {} has {MAX_VERSIONS} versions, the most a key may have; make a new key",
                record.path
            )));
        }
        let number = match record.versions.last() {
            Some(newest) => newest.number.next()?,
            None => KeyVersion::FIRST,
        };
        let version = self.make_version(record, number, tag).await?;
        let mut record = KeyRecord::clone(record);
        record.versions.push(version);
        Ok(record)
    }
}

/// The answer to a rotation, also to a repeated one: children may be behind.
fn rotated(record: &KeyRecord, changes: Vec<Change>) -> Written {
    let mut written = Written::new(record.metadata(), changes);
    let notice = "promotion was immediate: no backup is configured".to_owned();
    written.metadata.notices.push(notice);
    written.behind = Some(ChildrenBehind { parent: record.path.clone() });
    written
}

/// Makes a pending version primary and the primary enabled.
fn promote(record: &mut KeyRecord, version: KeyVersion) -> Result<()> {
    if record.version(version).is_none() {
        return Err(no_version(record, version));
    }
    if record.state != KeyState::Active {
        return Err(KmsError::key_unusable(format!("the key {} is {}", record.path, record.state)));
    }
    if let Some(newer) = record.primary.filter(|&primary| primary > version) {
        return Err(KmsError::key_unusable(format!(
            "version {version} of the key {} is older than its primary version {newer}; rotations \
             only go forward: make a new version",
            record.path
        )));
    }
    // The new version is checked first, so that a refusal leaves the former primary as it is.
    change_state(record, version, VersionState::Primary)?;
    if let Some(former) = record.primary {
        change_state(record, former, VersionState::Enabled)?;
    }
    record.primary = Some(version);
    Ok(())
}

/// Moves one version along one row of the transition table.
fn change_state(record: &mut KeyRecord, version: KeyVersion, to: VersionState) -> Result<()> {
    let retired = record.state == KeyState::Retired;
    let missing = no_version(record, version);
    let path = record.path.clone();
    let found = record.versions.iter_mut().find(|found| found.number == version).ok_or(missing)?;
    let refused = |why: &str| {
        KmsError::key_unusable(format!(
            "version {version} of the key {path} is {}: {why}",
            found.state
        ))
    };
    let transition = found.state.transition_to(to).map_err(|error| refused(&error.to_string()))?;
    let held = match transition.needs {
        Requirement::Nothing => true,
        Requirement::KeyRetired => retired,
        Requirement::TwoPersonsIfEverQuarantined => !found.ever_quarantined,
        _ => false,
    };
    if !held {
        return Err(refused(match transition.needs {
            Requirement::KeyRetired => "set another version primary first, then disable this one",
            _ => "this step needs two persons, which this release does not support",
        }));
    }
    found.state = to;
    found.state_changed_at = Timestamp::now();
    Ok(())
}

fn already_made(record: &KeyRecord, tag: Option<&str>) -> bool {
    tag.is_some() && record.versions.iter().any(|version| version.request.as_deref() == tag)
}

fn no_version(record: &KeyRecord, version: KeyVersion) -> KmsError {
    KmsError::not_found(format!("version {version} of the key {}", record.path))
}

/// Most versions of one key: its record is one document, read whole.
const MAX_VERSIONS: usize = 1000;
