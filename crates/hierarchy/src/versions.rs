//! The life of key versions: make, promote, rotate, enable, disable. Every step is one row of the
//! transition table in `claviger-kms` and one commit.

use std::sync::Arc;

use claviger_keystore::KeyRecord;
use claviger_kms::{
    IdempotencyKey, KeyPath, KeyState, KeyVersion, KmsError, Requirement, Result, Timestamp,
    VersionState,
};
use claviger_policy::{Permit, action};

use crate::{Change, Written, hierarchy::Hierarchy};

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
        let _writing = self.writing.lock().await;
        let record = self.record(permit.key())?;
        if let Some(done) = already_made(&record, tag.as_deref()) {
            return Ok(done);
        }
        let record = self.with_new_version(&record, tag).await?;
        self.write(record).await
    }

    /// Promotes a pending version, then re-wraps the direct children.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`] if the version was promoted before.
    pub async fn set_primary(
        &self,
        permit: Permit<action::Rotate>,
        version: KeyVersion,
    ) -> Result<Written> {
        let _writing = self.writing.lock().await;
        let record = self.record(permit.key())?;
        if record.primary == Some(version) {
            return Ok(Written { metadata: record.metadata(), changes: Vec::new() });
        }
        let mut record = KeyRecord::clone(&record);
        promote(&mut record, version)?;
        let path = record.path.clone();
        let changes = self.commit(vec![record]).await?;
        self.finish_rotation(&path, changes).await
    }

    /// Makes a further version and promotes it in one commit, then re-wraps the direct children.
    ///
    /// # Errors
    /// As [`create_version`](Self::create_version).
    pub async fn rotate(
        &self,
        permit: Permit<action::Rotate>,
        request: Option<&IdempotencyKey>,
    ) -> Result<Written> {
        let tag = self.tag(permit.principal(), "rotate", request);
        let _writing = self.writing.lock().await;
        let record = self.record(permit.key())?;
        if let Some(done) = already_made(&record, tag.as_deref()) {
            return Ok(done);
        }
        let mut record = self.with_new_version(&record, tag).await?;
        let newest = record.versions.last().map_or(KeyVersion::FIRST, |version| version.number);
        promote(&mut record, newest)?;
        let path = record.path.clone();
        let changes = self.commit(vec![record]).await?;
        self.finish_rotation(&path, changes).await
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
        let written = self.move_version(permit.key(), version, VersionState::Disabled).await?;
        self.cache.forget(written.metadata.id, version);
        Ok(written)
    }

    async fn move_version(
        &self,
        path: &KeyPath,
        version: KeyVersion,
        to: VersionState,
    ) -> Result<Written> {
        let _writing = self.writing.lock().await;
        let record = self.record(path)?;
        if record.version(version).is_some_and(|found| found.state == to) {
            return Ok(Written { metadata: record.metadata(), changes: Vec::new() });
        }
        let mut record = KeyRecord::clone(&record);
        change_state(&mut record, version, to)?;
        self.write(record).await
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

    async fn write(&self, record: KeyRecord) -> Result<Written> {
        let path = record.path.clone();
        let changes = self.commit(vec![record]).await?;
        Ok(Written { metadata: self.record(&path)?.metadata(), changes })
    }

    async fn finish_rotation(&self, path: &KeyPath, mut changes: Vec<Change>) -> Result<Written> {
        let left = self.rewrap_children(path, &mut changes).await;
        let mut metadata = self.record(path)?.metadata();
        metadata.notices.push("promotion was immediate: no backup is configured".to_owned());
        if let Err(error) = left {
            tracing::warn!(key = %path, %error, "children keep their former wrapping for now");
            metadata.notices.push(format!(
                "some keys below keep their former wrapping for now ({error}); rotating again \
                 moves them too"
            ));
        }
        Ok(Written { metadata, changes })
    }
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

fn already_made(record: &KeyRecord, tag: Option<&str>) -> Option<Written> {
    let tag = tag?;
    record
        .versions
        .iter()
        .any(|version| version.request.as_deref() == Some(tag))
        .then(|| Written { metadata: record.metadata(), changes: Vec::new() })
}

fn no_version(record: &KeyRecord, version: KeyVersion) -> KmsError {
    KmsError::not_found(format!("version {version} of the key {}", record.path))
}

/// Most versions of one key: its record is one document, read whole.
const MAX_VERSIONS: usize = 1000;
