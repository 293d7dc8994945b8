//! Emergency changes (disable, quarantine): made first, recorded after, whatever the log and the token do.
//!
//! Invariants: the change never waits for the audit log; its intent stands in the key record until the log
//! has it, so that neither a full disk nor a crash loses it; no other change is made before what is owed to
//! the log is paid.

use std::sync::{Mutex, PoisonError};

use claviger_audit::{AuditDecision, AuditError, AuditResult, Entry, Phase, Proof};
use claviger_hierarchy::{Change, UnloggedEmergency, Written};
use claviger_kms::{Action, KeyMetadata, KeyPath, KeyVersion, Result};
use claviger_policy::{ActionType, Permit};

use crate::{
    LocalKms, Operations,
    attempt::{Attempt, not_recorded, result_of},
    change::outcomes,
};

/// Entries of changes that were made and could not be recorded yet.
#[derive(Debug, Default)]
pub(crate) struct Owed(Mutex<Vec<Entry>>);

impl Owed {
    fn add(&self, entries: Vec<Entry>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
    }

    fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LocalKms {
    /// Permits, lets `act` change, then records intent and outcome; if they cannot be recorded now, they
    /// are owed, and the reply says so.
    pub(crate) async fn emergency<A: ActionType>(
        &self,
        key: &KeyPath,
        version: Option<KeyVersion>,
        act: impl AsyncFnOnce(Permit<A>) -> Result<Written>,
    ) -> Result<KeyMetadata> {
        let (attempt, permit) = self.permitted::<A>(key, version).await?;
        let result = act(permit).await;
        let changes = result.as_ref().map_or(&[][..], |written| &written.changes);
        let notice = self.record_emergency(attempt, result_of(&result), changes).await;
        let mut metadata = result?.metadata;
        metadata.notices.extend(notice);
        Ok(metadata)
    }

    /// Records an emergency that was acted on; what the operator should know if it is owed to the log.
    pub(crate) async fn record_emergency(
        &self,
        mut attempt: Attempt,
        result: AuditResult,
        changes: &[Change],
    ) -> Option<String> {
        attempt.entry.emergency = true;
        attempt.entry.phase = Phase::Outcome;
        let outcome = attempt.close(self, result);
        let mut intent = outcome.clone();
        intent.phase = Phase::Intent;
        intent.result = AuditResult::Pending;
        let mut entries = vec![intent];
        entries.extend(outcomes(&outcome, changes));
        match self.operations().record_or_owe(entries).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, "an emergency change is in force and not recorded yet");
                Some(
                    "the audit log cannot be written: the change is in force, and is recorded as soon \
                     as it can be"
                        .to_owned(),
                )
            }
        }
    }
}

impl Operations {
    async fn record_or_owe(&self, entries: Vec<Entry>) -> std::result::Result<(), AuditError> {
        match self.audit.append_all(entries.clone()).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.owed.add(entries);
                Err(error)
            }
        }
    }

    /// Records what is owed to the log; before any change that is not an emergency, and every few seconds.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`](claviger_kms::KmsError::Unavailable) while it cannot be written.
    pub(crate) async fn pay_the_log(&self) -> Result<()> {
        let entries = self.owed.take();
        if entries.is_empty() {
            return Ok(());
        }
        self.record_or_owe(entries).await.map_err(not_recorded)
    }

    /// At start: records the emergencies that the log has not seen.
    pub(crate) async fn replay_emergencies(&self, logged: u64) -> Result<()> {
        for UnloggedEmergency { emergency, key, key_id, change, .. } in
            self.hierarchy.emergencies_after(logged).await?
        {
            let action: Action = emergency.action;
            let decision = AuditDecision::Allowed;
            let mut entry = Entry::new(emergency.request, action, decision, AuditResult::Done);
            entry.phase = Phase::Outcome;
            entry.principal = Some(emergency.by);
            entry.proof = Proof::None;
            tracing::warn!(%key, %action, "recording an emergency change made earlier");
            entry.key = Some(key);
            entry.key_id = Some(key_id);
            entry.occurred_at = Some(emergency.at);
            entry.emergency = true;
            let entries = outcomes(&entry, change.as_slice());
            self.audit.append_all(entries).await.map_err(not_recorded)?;
        }
        Ok(())
    }
}
