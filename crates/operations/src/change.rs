//! State changes: an intent before, the change, an outcome after.
//!
//! Invariant: no change is made unless its intent is durable; the outcome names every key record that
//! the change wrote, with epoch, hash and generation, so that an older store is noticed at the next start.

use claviger_audit::{AuditResult, Digest, Entry, Phase, StateChange};
use claviger_hierarchy::{Change, Written};
use claviger_kms::{Action, EncryptionContext, KeyMetadata, KeyPath, Result};
use claviger_policy::{ActionType, Permit};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted, not_recorded, result_of},
};

impl LocalKms {
    /// Permits, records the intent, lets `act` change, records the outcome.
    pub(crate) async fn change<A: ActionType>(
        &self,
        key: &KeyPath,
        act: impl AsyncFnOnce(Permit<A>) -> Result<Written>,
    ) -> Result<KeyMetadata> {
        let action: Action = A::ACTION;
        let mut attempt = Attempt::begin(self, action);
        let permit = match attempt.permit::<A>(self, key, &EncryptionContext::new()) {
            Ok(permit) => permit,
            Err(denied) => {
                return Attempted { result: Err(denied), attempt }.recorded(self).await;
            }
        };
        let mut intent = attempt.entry.clone();
        intent.phase = Phase::Intent;
        intent.result = AuditResult::Pending;
        self.operations().audit.append(intent).await.map_err(not_recorded)?;

        let result = act(permit).await;
        attempt.entry.phase = Phase::Outcome;
        let outcome = attempt.close(self, result_of(&result));
        let entries = match &result {
            Ok(written) => outcomes(&outcome, written),
            Err(_) => vec![outcome],
        };
        self.operations().audit.append_all(entries).await.map_err(not_recorded)?;
        result.map(|written| written.metadata)
    }
}

/// One outcome for each record written; one in all if nothing had to be.
fn outcomes(outcome: &Entry, written: &Written) -> Vec<Entry> {
    if written.changes.is_empty() {
        return vec![outcome.clone()];
    }
    let of = |change: &Change| {
        let mut entry = outcome.clone();
        entry.key = Some(change.key.clone());
        entry.key_id = Some(change.key_id);
        entry.change = Some(StateChange {
            key_id: change.key_id,
            epoch: change.epoch,
            record_hash: Digest::from_bytes(change.record_hash),
            generation: change.generation,
        });
        if change.key_id == written.metadata.id {
            entry.key_version = written.metadata.versions.last().map(|version| version.version);
        }
        entry
    };
    written.changes.iter().map(of).collect()
}
