//! Quarantine: stop a key, or all below it, at once; then give it a new primary version.
//!
//! Invariants: stopping needs neither the token nor the audit log and is never kept waiting by either; of
//! many keys those above are stopped first; a repeated request stops nothing that was made since.

use std::sync::Arc;

use claviger_keystore::{Commit, KeyRecord, VersionRecord};
use claviger_kms::{
    IdempotencyKey, KeyPath, KeyVersion, QuarantineFacts, QuarantineReason, QuarantineReport,
    QuarantinedKey, RequestId, Result, Timestamp, VersionState,
};
use claviger_policy::{Permit, action};

use crate::{
    Change, Written,
    commit::{ATTEMPTS, Seen, overtaken},
    emergency,
    hierarchy::Hierarchy,
    steps::{self, Stopped},
    versions::Renewal,
};

/// What is to be stopped, and why.
#[derive(Debug, Clone)]
pub struct QuarantineOrder {
    /// Why.
    pub reason: QuarantineReason,
    /// Whether callers may still unwrap.
    pub drain: bool,
    /// Only this version.
    pub version: Option<KeyVersion>,
    /// The request, for the record.
    pub request: RequestId,
    /// The request's name.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Hierarchy {
    /// Stops the keys of these permits, fifty a commit. What was stopped before, by the same request or
    /// by state, is left as it is.
    ///
    /// # Errors
    /// [`KmsError::NotFound`](claviger_kms::KmsError::NotFound), and
    /// [`KmsError::Unavailable`](claviger_kms::KmsError::Unavailable) when the store is out of reach.
    pub async fn stop(
        &self,
        permits: &[Permit<action::Quarantine>],
        order: &QuarantineOrder,
    ) -> Result<(Vec<Stopped>, Vec<Change>)> {
        self.certain().await?;
        let (mut stopped, mut changes) = (Vec::new(), Vec::new());
        for batch in permits.chunks(Commit::MAX_RECORDS) {
            let (of_batch, written) = self.stop_batch(batch, order).await?;
            stopped.extend(of_batch);
            changes.extend(written);
        }
        Ok((stopped, changes))
    }

    async fn stop_batch(
        &self,
        permits: &[Permit<action::Quarantine>],
        order: &QuarantineOrder,
    ) -> Result<(Vec<Stopped>, Vec<Change>)> {
        for _ in 0..ATTEMPTS {
            let (mut all, mut seen, mut records) = (Vec::new(), Vec::new(), Vec::new());
            for permit in permits {
                let before = self.record(permit.key())?;
                let mut record = KeyRecord::clone(&before);
                let stopped = self.stop_one(&mut record, permit, order)?;
                if record != *before {
                    seen.push(Seen::record(&before));
                    records.push(record);
                }
                all.push(stopped);
            }
            if records.is_empty() {
                return Ok((all, Vec::new()));
            }
            if let Some(changes) = self.commit_if(&seen, records).await? {
                return Ok((all, changes));
            }
        }
        match permits.first() {
            Some(permit) => Err(overtaken(permit.key())),
            None => Ok((Vec::new(), Vec::new())),
        }
    }

    fn stop_one(
        &self,
        record: &mut KeyRecord,
        permit: &Permit<action::Quarantine>,
        order: &QuarantineOrder,
    ) -> Result<Stopped> {
        let tag = self.quarantine_tag(permit, order);
        if tag.is_some() && record.quarantine_request == tag {
            return Ok(Stopped::default());
        }
        let now = Timestamp::now();
        let by = permit.principal().clone();
        let facts = QuarantineFacts { reason: order.reason, drain: order.drain, by, at: now };
        let before = record.quarantine.clone();
        let stopped = steps::quarantine(record, order.version, facts)?;
        if !stopped.is_empty() || record.quarantine != before {
            record.quarantine_request = tag;
            emergency::add(record, permit, order.request, now);
        }
        Ok(stopped)
    }

    /// What [`stop`](Self::stop) would do, changing nothing.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn would_stop(
        &self,
        permits: &[Permit<action::Quarantine>],
        order: &QuarantineOrder,
    ) -> Result<QuarantineReport> {
        let mut keys = Vec::with_capacity(permits.len());
        for permit in permits {
            let mut record = KeyRecord::clone(&*self.record(permit.key())?);
            let stopped = self.stop_one(&mut record, permit, order)?;
            let mut told = QuarantinedKey::new(record.path, stopped.versions, stopped.abandoned);
            told.primary = record.primary;
            keys.push(told);
        }
        Ok(QuarantineReport { dry_run: true, keys, notices: Vec::new() })
    }

    /// Gives a stopped key a new primary version, once for each request. Its children are then behind.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub async fn replace_stopped(
        &self,
        permit: &Permit<action::Quarantine>,
        order: &QuarantineOrder,
    ) -> Result<Written> {
        let tag = self.quarantine_tag(permit, order);
        self.new_primary(permit.key(), Renewal::now(tag)).await
    }

    /// Active keys that were stopped and have no primary version yet, as when the token was away.
    #[must_use]
    pub fn without_primary(&self) -> Vec<KeyPath> {
        let waits = |record: &Arc<KeyRecord>| {
            record.primary.is_none()
                && record.quarantine.is_some()
                && record.state == claviger_kms::KeyState::Active
        };
        let paths = self.paths(None, None, usize::MAX).into_iter();
        paths.filter(|path| self.tree().at(path).as_ref().is_some_and(waits)).collect()
    }

    /// Active keys below one whose material leaked, with a primary version made before that: the leaked key may open
    /// its wrapping. Not while the leak is dated in the future.
    #[must_use]
    pub fn behind_a_leak(&self, now: Timestamp) -> Vec<KeyPath> {
        let is_behind = |path: &KeyPath| {
            let Some(record) = self.tree().at(path) else { return false };
            let leaked = path.parent().and_then(|above| self.last_leak(&above));
            let leaked = leaked.filter(|leaked| *leaked <= now);
            let made = record.primary.and_then(|number| record.version(number));
            record.state == claviger_kms::KeyState::Active
                && leaked.zip(made).is_some_and(|(leaked, made)| made.made_at < leaked)
        };
        self.paths(None, None, usize::MAX).into_iter().filter(is_behind).collect()
    }

    /// Whether what was wrapped under a version may be in wrong hands: material of its key, or of one above, leaked
    /// after it was made, or it was stopped for that, whatever its date says. A new wrapping does not cure that; only
    /// new data keys do.
    #[must_use]
    pub(crate) fn has_leaked(&self, path: &KeyPath, version: &VersionRecord) -> bool {
        let stopped = version.state == VersionState::Quarantined && self.leak_of(path).is_some();
        stopped || self.last_leak(path).is_some_and(|leaked| version.made_at < leaked)
    }

    /// Whether a key has versions that open for a rewrap and may be in wrong hands, since material of it, or of a key
    /// above, leaked: its campaigns are then of mode `reencrypt`. Says nothing of whether the caller may know.
    #[must_use]
    pub fn needs_reencryption(&self, path: &KeyPath) -> bool {
        let opens = |version: &&VersionRecord| {
            matches!(version.state, VersionState::Enabled | VersionState::Quarantined)
        };
        let Some(record) = self.tree().at(path) else { return false };
        record.versions.iter().filter(opens).any(|version| self.has_leaked(path, version))
    }

    /// When material of a key, or of one above it, was last said to have leaked.
    fn last_leak(&self, path: &KeyPath) -> Option<Timestamp> {
        let upwards = std::iter::successors(Some(path.clone()), KeyPath::parent);
        upwards.filter_map(|path| self.leak_of(&path)).max()
    }

    /// When material of this very key was last said to have leaked.
    fn leak_of(&self, path: &KeyPath) -> Option<Timestamp> {
        let facts = self.tree().at(path)?.quarantine.clone()?;
        (facts.reason == QuarantineReason::MaterialLeaked).then_some(facts.at)
    }

    fn quarantine_tag(
        &self,
        permit: &Permit<action::Quarantine>,
        order: &QuarantineOrder,
    ) -> Option<String> {
        self.tag(permit.principal(), "quarantine", order.idempotency_key.as_ref())
    }
}
