//! Whole keys, and the end of versions: disable, enable, retire, schedule, cancel, destroy.
//!
//! Invariant: a version is destroyed only at its time, only when no record names it as the version above,
//! and leaves a tombstone that says so.

use std::time::Duration;

use claviger_keystore::{KeyRecord, Material, VersionRecord};
use claviger_kms::{
    KeyMetadata, KeyPath, KeyState, KeyVersion, KmsError, RequestId, Result, ScheduleDestroy,
    Timestamp, VersionMetadata, VersionState,
};
use claviger_policy::{Permit, action};

use crate::{
    StandingEvidence, TwoPersons, Written, emergency, hierarchy::Hierarchy, steps,
    versions::grounds,
};

/// How long a day is: one day, or less where a developer watches a schedule go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    scale: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self::REAL
    }
}

impl Pace {
    /// Days as everywhere.
    pub const REAL: Self = Self { scale: 1 };

    /// Days that pass `scale` times as fast; 0 counts as 1. For development only.
    #[must_use]
    pub fn faster(scale: u32) -> Self {
        Self { scale: scale.max(1) }
    }

    /// Whether days are days.
    #[must_use]
    pub fn is_real(self) -> bool {
        self == Self::REAL
    }

    /// So many days.
    #[must_use]
    pub fn days(self, days: u32) -> Duration {
        DAY * days / self.scale
    }
}

impl Hierarchy {
    /// Refuses every use of a key, and of the keys below it, until it is enabled again. Needs neither token
    /// nor audit log.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; [`KmsError::KeyUnusable`] for a retired key.
    pub async fn disable_key(
        &self,
        permit: Permit<action::Disable>,
        request: RequestId,
    ) -> Result<Written> {
        let (record, changes) = self
            .change_record(permit.key(), |record| {
                if record.state == KeyState::Disabled {
                    return Ok(());
                }
                steps::disable_key(record)?;
                emergency::add(record, &permit, request, Timestamp::now());
                Ok(())
            })
            .await?;
        Ok(Written::new(record.metadata(), changes))
    }

    /// Takes a disabled or retired key into use again.
    ///
    /// # Errors
    /// [`KmsError::NotFound`].
    pub async fn enable_key(&self, permit: Permit<action::Enable>) -> Result<Written> {
        let (record, changes) = self
            .change_record(permit.key(), |record| {
                steps::enable_key(record);
                Ok(())
            })
            .await?;
        Ok(Written::new(record.metadata(), changes))
    }

    /// Lets a key make nothing new.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; [`KmsError::KeyUnusable`] for a disabled key.
    pub async fn retire_key(&self, permit: Permit<action::Disable>) -> Result<Written> {
        let (record, changes) = self.change_record(permit.key(), steps::retire_key).await?;
        Ok(Written::new(record.metadata(), changes))
    }

    /// Schedules the destruction of a disabled version. One that is scheduled already stays as it is.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] on the delay; [`KmsError::NotFound`]; [`KmsError::KeyUnusable`] from another
    /// state, without evidence or two persons, or while a key below is under this version.
    pub async fn schedule_destroy(
        &self,
        permit: Permit<action::Destroy>,
        request: &ScheduleDestroy,
        second: Option<TwoPersons>,
        evidence: Option<StandingEvidence>,
    ) -> Result<Written> {
        request.check()?;
        let path = permit.key();
        let mut grounds = grounds(path, second.as_ref());
        grounds.evidence = evidence.is_some();
        let (record, changes) = self
            .change_record(path, |record| {
                let found = record.version(request.version);
                if found.is_some_and(|found| found.state == VersionState::DestroyScheduled) {
                    return Ok(());
                }
                self.check_unneeded(record, request.version)?;
                if let Some(evidence) = &evidence {
                    evidence.check(record, request.version)?;
                }
                let now = Timestamp::now();
                let at = now + self.pace.days(request.days);
                steps::schedule_destroy(record, request.version, at, grounds, now)?;
                let found = record.versions.iter_mut().find(|v| v.number == request.version);
                if let Some(found) = found {
                    found.evidence = evidence.as_ref().map(|evidence| evidence.id.to_string());
                }
                Ok(())
            })
            .await?;
        Ok(Written::new(with_copies(&record, request.version), changes))
    }

    /// Whether the destruction of a version could be scheduled if somebody else agreed; he is asked only then.
    ///
    /// # Errors
    /// As [`schedule_destroy`](Self::schedule_destroy), but for evidence and persons.
    pub fn check_destroyable(
        &self,
        permit: &Permit<action::Destroy>,
        version: KeyVersion,
    ) -> Result<()> {
        let mut record = KeyRecord::clone(&*self.record(permit.key())?);
        self.check_unneeded(&record, version)?;
        let (grounds, now) =
            (steps::Grounds { two_persons: true, evidence: true }, Timestamp::now());
        steps::schedule_destroy(&mut record, version, now, grounds, now)
    }

    /// A version's facts. Says nothing of whether the caller may know.
    #[must_use]
    pub fn version_of(&self, key: &KeyPath, version: KeyVersion) -> Option<VersionMetadata> {
        let metadata = self.tree().at(key)?.metadata();
        metadata.versions.into_iter().find(|found| found.version == version)
    }

    /// Whether the destruction of a version is scheduled. Says nothing of whether the caller may know.
    #[must_use]
    pub fn is_scheduled(&self, key: &KeyPath, version: KeyVersion) -> bool {
        self.version_is(key, version, |found| found.state == VersionState::DestroyScheduled)
    }

    /// Whether a version was ever quarantined. Says nothing of whether the caller may know.
    #[must_use]
    pub fn was_quarantined(&self, key: &KeyPath, version: KeyVersion) -> bool {
        self.version_is(key, version, |found| found.ever_quarantined)
    }

    fn version_is(
        &self,
        key: &KeyPath,
        version: KeyVersion,
        what: impl Fn(&VersionRecord) -> bool,
    ) -> bool {
        let record = self.tree().at(key);
        record.and_then(|record| record.version(version).map(what)).unwrap_or(false)
    }

    /// Cancels a scheduled destruction.
    ///
    /// # Errors
    /// [`KmsError::NotFound`]; [`KmsError::KeyUnusable`] if none is scheduled.
    pub async fn cancel_destroy(
        &self,
        permit: Permit<action::Destroy>,
        version: KeyVersion,
    ) -> Result<Written> {
        let (record, changes) = self
            .change_record(permit.key(), |record| {
                steps::cancel_destroy(record, version, Timestamp::now())
            })
            .await?;
        Ok(Written::new(record.metadata(), changes))
    }

    /// Versions whose destruction is due, with the evidence it rests on.
    #[must_use]
    pub fn due_for_destruction(
        &self,
        now: Timestamp,
    ) -> Vec<(KeyPath, KeyVersion, Option<String>)> {
        let mut due = Vec::new();
        for path in self.paths(None, None, usize::MAX) {
            let Some(record) = self.tree().at(&path) else { continue };
            for version in &record.versions {
                if version.state == VersionState::DestroyScheduled
                    && version.destroy_after.is_some_and(|after| after <= now)
                {
                    due.push((path.clone(), version.number, version.evidence.clone()));
                }
            }
        }
        due
    }

    /// Erases a version whose time has come: from the record, the cache and the store's free pages.
    ///
    /// # Errors
    /// [`KmsError::KeyUnusable`] before its time or while a key below is under it.
    pub async fn destroy_version(
        &self,
        permit: Permit<action::Destroy>,
        version: KeyVersion,
        now: Timestamp,
    ) -> Result<Written> {
        let (record, changes) = self
            .change_record(permit.key(), |record| {
                let found = record.version(version);
                if found.is_some_and(|found| found.state == VersionState::Destroyed) {
                    return Ok(());
                }
                self.check_unneeded(record, version)?;
                steps::destroy(record, version, now)
            })
            .await?;
        self.cache.forget(record.id, version);
        let purged = self.store().purge().await;
        let mut metadata = with_copies(&record, version);
        if purged.is_err() {
            metadata.notices.push(
                "the key store's own files may still hold the former record; the log says why"
                    .into(),
            );
        }
        Ok(Written::new(metadata, changes))
    }

    /// Whether no key below is still wrapped by this version.
    fn check_unneeded(&self, record: &KeyRecord, version: KeyVersion) -> Result<()> {
        let children = self.tree().children(Some(&record.path));
        let named = children.iter().find(|child| {
            child.versions.iter().any(|below| {
                below.parent_version == version && !matches!(below.material, Material::Gone)
            })
        });
        match named {
            None => Ok(()),
            Some(child) => Err(KmsError::key_unusable(format!(
                "version {version} of the key {} still wraps {}; rotate {} once more to move the keys \
                 below it, then repeat this",
                record.path, child.path, record.path
            ))),
        }
    }
}

/// The key, and what copies of the version's wrapped material may outlive it.
fn with_copies(record: &KeyRecord, version: KeyVersion) -> KeyMetadata {
    let mut metadata = record.metadata();
    let above = match record.path.parent() {
        Some(parent) => format!("the versions of {parent} that wrapped it"),
        None => "the versions of the root that wrapped it".to_owned(),
    };
    let backed_up = record.version(version).is_some_and(|found| found.backed_up);
    metadata.notices.push(format!(
        "copies of the key store made before the destruction still hold version {version}, wrapped; they \
         open it until {above} are destroyed too{}",
        if backed_up { ", the backups of this service among them" } else { "" }
    ));
    metadata
}

const DAY: Duration = Duration::from_secs(86_400);
