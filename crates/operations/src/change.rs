//! State changes: an intent before, the change, an outcome after. (Emergencies: see `emergency`.)
//!
//! Invariant: no change is made unless its intent is durable; an outcome names each key record that the
//! change wrote, with epoch, hash and generation, so that an older store is noticed at the next start.

use claviger_audit::{AuditDecision, AuditResult, Digest, Entry, Phase, StateChange};
use claviger_hierarchy::{Change, ChildrenBehind, Written};
use claviger_kms::{Action, EncryptionContext, KeyMetadata, KeyPath, KeyVersion, Result};
use claviger_policy::{ActionType, Permit};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted, not_recorded, result_of},
};

impl LocalKms {
    /// Permits, records the intent, lets `act` change, records the outcome. `version` is the one asked
    /// for; a change that makes one is recorded with the newest.
    pub(crate) async fn change<A: ActionType>(
        &self,
        key: &KeyPath,
        version: Option<KeyVersion>,
        act: impl AsyncFnOnce(Permit<A>) -> Result<Written>,
    ) -> Result<KeyMetadata> {
        let (attempt, permit) = self.permitted::<A>(key, version).await?;
        self.carry_out(attempt, async || act(permit).await).await
    }

    /// Begins and permits; a refusal is recorded.
    pub(crate) async fn permitted<A: ActionType>(
        &self,
        key: &KeyPath,
        version: Option<KeyVersion>,
    ) -> Result<(Attempt, Permit<A>)> {
        let mut attempt = Attempt::begin(self, A::ACTION);
        attempt.entry.key_version = version;
        match attempt.permit::<A>(self, key, &EncryptionContext::new()) {
            Ok(permit) => Ok((attempt, permit)),
            Err(denied) => Attempted { result: Err(denied), attempt }.recorded(self).await,
        }
    }

    /// Records the intent of a permitted change of something that is no key, makes it, and records the outcome.
    pub(crate) async fn in_two_records<T>(
        &self,
        mut attempt: Attempt,
        act: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<T> {
        self.record_intent(&mut attempt).await?;
        let result = act().await;
        Attempted { result, attempt }.recorded(self).await
    }

    /// Pays the log what it is owed, and records the intent; what the attempt is recorded as next is its outcome.
    async fn record_intent(&self, attempt: &mut Attempt) -> Result<()> {
        self.operations().pay_the_log().await?;
        let mut intent = attempt.entry.clone();
        intent.phase = Phase::Intent;
        intent.result = AuditResult::Pending;
        self.operations().audit.append(intent).await.map_err(not_recorded)?;
        attempt.entry.phase = Phase::Outcome;
        Ok(())
    }

    /// A change that another one brings with it, or that the service makes by itself, with records of its
    /// own under the same request.
    pub(crate) async fn internal_change(
        &self,
        action: Action,
        key: &KeyPath,
        version: Option<KeyVersion>,
        act: impl AsyncFnOnce() -> Result<Written>,
    ) -> Result<KeyMetadata> {
        let mut attempt = Attempt::begin(self, action);
        attempt.entry.decision = AuditDecision::Internal;
        attempt.entry.key = Some(key.clone());
        attempt.entry.key_id = self.operations().hierarchy.id_of(key);
        attempt.entry.key_version = version;
        self.carry_out(attempt, act).await
    }

    /// Records the intent, acts, records the outcome, moves the keys below.
    async fn carry_out(
        &self,
        mut attempt: Attempt,
        act: impl AsyncFnOnce() -> Result<Written>,
    ) -> Result<KeyMetadata> {
        self.record_intent(&mut attempt).await?;
        let version = attempt.entry.key_version;
        let result = act().await;
        if let (None, Ok(written)) = (version, &result)
            && !written.changes.is_empty()
        {
            let newest = written.metadata.versions.last();
            attempt.entry.key_version = newest.map(|newest| newest.version);
        }
        let outcome = attempt.close(self, result_of(&result));
        let entries = match &result {
            Ok(written) => outcomes(&outcome, &written.changes),
            Err(_) => vec![outcome.clone()],
        };
        self.operations().audit.append_all(entries).await.map_err(not_recorded)?;
        let Written { mut metadata, behind, .. } = result?;
        if let Some(behind) = behind
            && let Some(notice) = self.move_children(&outcome, &behind).await?
        {
            metadata.notices.push(notice);
        }
        Ok(metadata)
    }

    /// Moves on the children that an interrupted rotation left behind; says what stays and why.
    pub(crate) async fn resume_move(&self, behind: &ChildrenBehind) -> Result<Option<String>> {
        let mut attempt = Attempt::begin(self, Action::Rotate);
        attempt.entry.decision = AuditDecision::Internal;
        attempt.entry.key = behind.parent().cloned();
        attempt.entry.key_id =
            behind.parent().and_then(|key| self.operations().hierarchy.id_of(key));
        self.record_intent(&mut attempt).await?;
        let outcome = attempt.close(self, AuditResult::Done);
        let left = self.move_children(&outcome, behind).await?;
        self.operations().audit.append(outcome).await.map_err(not_recorded)?;
        Ok(left)
    }

    /// After a rotation: moves the children batch by batch, each batch recorded before the next is
    /// begun, so that the log is never further behind the store than one batch.
    async fn move_children(
        &self,
        outcome: &Entry,
        behind: &ChildrenBehind,
    ) -> Result<Option<String>> {
        // Of a child all versions move, so none is named.
        let mut outcome = outcome.clone();
        outcome.key_version = None;
        loop {
            match self.operations().hierarchy.move_children(behind).await {
                Ok(moved) if moved.changes.is_empty() => return Ok(moved.notice),
                Ok(moved) => {
                    let entries = moved.changes.iter().map(|change| of_change(&outcome, change));
                    let recorded = self.operations().audit.append_all(entries.collect()).await;
                    recorded.map_err(not_recorded)?;
                }
                Err(error) => {
                    tracing::warn!(%error, "children keep their former wrapping for now");
                    return Ok(Some(format!(
                        "some keys below keep their former wrapping for now ({error}); repeating \
                         this, or rotating again, moves them too"
                    )));
                }
            }
        }
    }
}

/// One outcome for each record written; one in all if nothing had to be.
pub(crate) fn outcomes(outcome: &Entry, changes: &[Change]) -> Vec<Entry> {
    if changes.is_empty() {
        return vec![outcome.clone()];
    }
    changes.iter().map(|change| of_change(outcome, change)).collect()
}

fn of_change(outcome: &Entry, change: &Change) -> Entry {
    let mut entry = outcome.clone();
    entry.key = Some(change.key.clone());
    entry.key_id = Some(change.key_id);
    entry.change = Some(StateChange {
        key_id: change.key_id,
        epoch: change.epoch,
        record_hash: Digest::from_bytes(change.record_hash),
        generation: change.generation,
    });
    entry
}
