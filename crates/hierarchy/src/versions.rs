//! The life of key versions: make, promote, rotate, enable, disable. Every change is a step of
//! [`steps`](crate::steps) and one commit.

use std::sync::Arc;

use claviger_keystore::KeyRecord;
use claviger_kms::{
    IdempotencyKey, KeyPath, KeyState, KeyVersion, KmsError, RequestId, Result, Timestamp,
    VersionState,
};
use claviger_policy::{Permit, action};

use crate::{
    Change, ChildrenBehind, TwoPersons, Written,
    commit::{ATTEMPTS, Seen, overtaken},
    emergency,
    hierarchy::Hierarchy,
    steps::{self, Grounds},
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
        let (record, changes) = self
            .change_record(permit.key(), |record| {
                if record.primary == Some(version) {
                    return Ok(());
                }
                steps::promote(record, version, Timestamp::now())
            })
            .await?;
        Ok(rotated(&record, changes))
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
        self.new_primary(permit.key(), Renewal::now(tag)).await
    }

    /// Makes a version and promotes it, unless that was done already.
    pub(crate) async fn new_primary(&self, path: &KeyPath, renewal: Renewal) -> Result<Written> {
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            let before = self.record(path)?;
            if renewal.was_done(&before) {
                return Ok(rotated(&before, Vec::new()));
            }
            let seen = self.see_with_parent(&before);
            let mut record = self.with_new_version(&before, renewal.tag.clone()).await?;
            let newest = record.versions.last().map_or(KeyVersion::FIRST, |version| version.number);
            steps::promote(&mut record, newest, renewal.at)?;
            if let Some(changes) = self.commit_if(&seen, vec![record]).await? {
                return Ok(rotated(&*self.record(path)?, changes));
            }
        }
        Err(overtaken(path))
    }

    /// Lets a disabled or quarantined version unwrap again.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`] from any other state, and without two persons
    /// if the version was ever quarantined.
    pub async fn enable_version(
        &self,
        permit: Permit<action::Enable>,
        version: KeyVersion,
        second: Option<TwoPersons>,
    ) -> Result<Written> {
        let grounds = grounds(permit.key(), second.as_ref());
        let (record, changes) = self
            .change_record(permit.key(), |record| {
                if in_state(record, version, VersionState::Enabled) {
                    return Ok(());
                }
                steps::enable_version(record, version, grounds, Timestamp::now())
            })
            .await?;
        Ok(Written::new(record.metadata(), changes))
    }

    /// Stops a version from unwrapping. Needs neither token nor audit log.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::KeyUnusable`] for the primary version of an active key.
    pub async fn disable_version(
        &self,
        permit: Permit<action::Disable>,
        version: KeyVersion,
        request: RequestId,
    ) -> Result<Written> {
        let written = self
            .change_record(permit.key(), |record| {
                if in_state(record, version, VersionState::Disabled) {
                    return Ok(());
                }
                let now = Timestamp::now();
                steps::disable_version(record, version, now)?;
                emergency::add(record, &permit, request, now);
                Ok(())
            })
            .await;
        if let Ok(record) = self.record(permit.key()) {
            self.cache.forget(record.id, version);
        }
        let (record, changes) = written?;
        Ok(Written::new(record.metadata(), changes))
    }

    /// Changes one record by a step that needs no token; nothing is written if the step changes nothing.
    pub(crate) async fn change_record(
        &self,
        path: &KeyPath,
        step: impl Fn(&mut KeyRecord) -> Result<()>,
    ) -> Result<(Arc<KeyRecord>, Vec<Change>)> {
        self.certain().await?;
        for _ in 0..ATTEMPTS {
            let before = self.record(path)?;
            let mut record = KeyRecord::clone(&before);
            step(&mut record)?;
            if record == *before {
                return Ok((before, Vec::new()));
            }
            if let Some(changes) = self.commit_if(&[Seen::record(&before)], vec![record]).await? {
                return Ok((self.record(path)?, changes));
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
        // What was quarantined can be replaced when rotations have used up all others.
        let replaces = record.primary.is_none() && record.quarantine.is_some();
        let most = if replaces { MAX_VERSIONS } else { MAX_VERSIONS - KEPT_FOR_EMERGENCIES };
        if record.versions.len() >= most {
            return Err(KmsError::invalid(format!(
                "the key {} has {} versions; a key may have {} and {KEPT_FOR_EMERGENCIES} more after \
                 quarantines: make a new key",
                record.path,
                record.versions.len(),
                MAX_VERSIONS - KEPT_FOR_EMERGENCIES
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

/// A new primary version that is asked for.
#[derive(Debug)]
pub(crate) struct Renewal {
    /// The request, which is carried out once.
    pub(crate) tag: Option<String>,
    /// The version to replace; another one needs nothing.
    pub(crate) from: Option<KeyVersion>,
    /// Since when the new one is primary.
    pub(crate) at: Timestamp,
}

impl Renewal {
    /// Of whatever is primary, now.
    pub(crate) fn now(tag: Option<String>) -> Self {
        Self { tag, from: None, at: Timestamp::now() }
    }

    fn was_done(&self, record: &KeyRecord) -> bool {
        let replaced = self.from.is_some() && record.primary != self.from;
        replaced || already_made(record, self.tag.as_deref())
    }
}

/// The answer to a rotation, also to a repeated one: children may be behind.
fn rotated(record: &KeyRecord, changes: Vec<Change>) -> Written {
    let mut written = Written::new(record.metadata(), changes);
    let notice = "promotion was immediate: no backup is configured".to_owned();
    written.metadata.notices.push(notice);
    written.behind = Some(ChildrenBehind { parent: Some(record.path.clone()) });
    written
}

/// What a step on this key rests on.
pub(crate) fn grounds(path: &KeyPath, second: Option<&TwoPersons>) -> Grounds {
    Grounds { two_persons: second.is_some_and(|second| second.is_for(path)), evidence: false }
}

fn in_state(record: &KeyRecord, version: KeyVersion, state: VersionState) -> bool {
    record.version(version).is_some_and(|found| found.state == state)
}

fn already_made(record: &KeyRecord, tag: Option<&str>) -> bool {
    tag.is_some() && record.versions.iter().any(|version| version.request.as_deref() == tag)
}

/// Most versions of one key: its record is one document, read whole.
const MAX_VERSIONS: usize = 1000;
/// Of these, for the replacement of quarantined ones.
const KEPT_FOR_EMERGENCIES: usize = 50;
