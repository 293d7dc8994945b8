//! Decide, act, record: the one way every use of a key goes.
//!
//! Invariants: nothing is done without a permit; no result leaves before its record is durable; when
//! the record cannot be written, the result is dropped (and wiped) and the caller is refused.

use std::time::Instant;

use claviger_audit::{AuditDecision, AuditError, AuditResult, Entry, RuleWord};
use claviger_kms::{
    Action, Binding, EncryptionContext, KeyId, KeyPath, KeyVersion, KmsError, Result, Timestamp,
};
use claviger_policy::{ActionType, Permit, Question, RuleName, ServicePermit};

use crate::LocalKms;

/// One operation under way: what will be its audit record, filled in as facts become known.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) entry: Entry,
    action: Action,
    started: Instant,
}

/// What an operation came to, before it is recorded.
#[derive(Debug)]
pub(crate) struct Attempted<T> {
    pub(crate) result: Result<T>,
    pub(crate) attempt: Attempt,
}

impl Attempt {
    pub(crate) fn begin(kms: &LocalKms, action: Action) -> Self {
        let caller = kms.caller();
        let mut entry =
            Entry::new(caller.request, action, AuditDecision::Denied, AuditResult::Pending);
        entry.foreign_request.clone_from(&caller.foreign_request);
        entry.principal = Some(caller.principal.clone());
        entry.proof = caller.proof;
        entry.peer = caller.peer;
        entry.policy_hash = Some(kms.policy().hash);
        Self { entry, action, started: Instant::now() }
    }

    /// Asks the policy, and notes the key, the rule and the decision.
    pub(crate) fn permit<A: ActionType>(
        &mut self,
        kms: &LocalKms,
        key: &KeyPath,
        context: &EncryptionContext,
    ) -> Result<Permit<A>> {
        let question =
            Question { principal: &kms.caller().principal, key, context, at: Timestamp::now() };
        self.entry.key = Some(key.clone());
        match kms.policy().policy.permit::<A>(&question) {
            Ok(permit) => {
                self.entry.decision = AuditDecision::Allowed;
                self.entry.rule = rule_word(permit.rule());
                self.entry.key_id = kms.operations().hierarchy.id_of(key);
                Ok(permit)
            }
            Err(denial) => {
                self.entry.decision = AuditDecision::Denied;
                self.entry.rule = denial.rule().and_then(rule_word);
                Err(KmsError::Denied)
            }
        }
    }

    /// Asks the policy about the service as a whole, and notes the rule and the decision.
    pub(crate) fn permit_service<A: ActionType>(
        &mut self,
        kms: &LocalKms,
    ) -> Result<ServicePermit<A>> {
        match kms.policy().policy.permit_service::<A>(&kms.caller().principal) {
            Ok(permit) => {
                self.entry.decision = AuditDecision::Allowed;
                self.entry.rule = rule_word(permit.rule());
                Ok(permit)
            }
            Err(denial) => {
                self.entry.decision = AuditDecision::Denied;
                self.entry.rule = denial.rule().and_then(rule_word);
                Err(KmsError::Denied)
            }
        }
    }

    /// The path of a key that a ciphertext names by its id. An id that no key has is judged as any key
    /// might be: who may do this with every key there could be learns that the ciphertext is rejected,
    /// everybody else is denied, as he is for a key that is not his.
    pub(crate) fn path_of(&mut self, kms: &LocalKms, id: KeyId) -> Result<KeyPath> {
        if let Some(path) = kms.operations().hierarchy.path_of(id) {
            return Ok(path);
        }
        let principal = &kms.caller().principal;
        match kms.policy().policy.allows_everywhere(self.action, principal) {
            Some(rule) => {
                self.entry.decision = AuditDecision::Allowed;
                self.entry.rule = rule_word(rule);
                Err(KmsError::Rejected)
            }
            None => Err(KmsError::Denied),
        }
    }

    /// Notes what the use is bound to, as keyed hashes.
    pub(crate) fn note_binding(&mut self, kms: &LocalKms, binding: &Binding) -> Result<()> {
        let hasher = &kms.operations().hasher;
        self.entry.context_hash = Some(hasher.hash("context", &binding.context.canonical_bytes())?);
        if let Some(id) = &binding.envelope_id {
            self.entry.envelope_hash = Some(hasher.hash("envelope", id.as_bytes())?);
        }
        Ok(())
    }

    pub(crate) fn note_version(&mut self, version: KeyVersion) {
        self.entry.key_version = Some(version);
    }

    pub(crate) fn note_sizes(&mut self, request: usize, reply: usize) {
        self.entry.request_bytes = u64::try_from(request).ok();
        self.entry.reply_bytes = u64::try_from(reply).ok();
    }

    /// The finished entry.
    pub(crate) fn close(mut self, kms: &LocalKms, result: AuditResult) -> Entry {
        self.entry.result = result;
        let elapsed = self.started.elapsed();
        self.entry.latency_us = u64::try_from(elapsed.as_micros()).ok();
        kms.operations().metrics.count(&self.entry, elapsed);
        self.entry
    }
}

impl<T> Attempted<T> {
    /// Waits until the record is durable, then lets the result go.
    pub(crate) async fn recorded(self, kms: &LocalKms) -> Result<T> {
        let entry = self.attempt.close(kms, result_of(&self.result));
        kms.operations().audit.append(entry).await.map_err(not_recorded)?;
        self.result
    }

    /// The same for a batch, with one wait.
    pub(crate) async fn all_recorded(all: Vec<Self>, kms: &LocalKms) -> Result<Vec<Result<T>>> {
        let mut results = Vec::with_capacity(all.len());
        let mut entries = Vec::with_capacity(all.len());
        for Self { result, attempt } in all {
            entries.push(attempt.close(kms, result_of(&result)));
            results.push(result);
        }
        if !entries.is_empty() {
            kms.operations().audit.append_all(entries).await.map_err(not_recorded)?;
        }
        Ok(results)
    }
}

pub(crate) fn result_of<T>(result: &Result<T>) -> AuditResult {
    match result {
        Ok(_) => AuditResult::Done,
        Err(error) => AuditResult::Failed(error.code()),
    }
}

/// The operator reads the whole reason in the log, the caller only that the record failed.
pub(crate) fn not_recorded(error: AuditError) -> KmsError {
    tracing::error!(%error, "an operation was refused because it could not be recorded");
    error.into()
}

fn rule_word(rule: &RuleName) -> Option<RuleWord> {
    rule.as_str().parse().ok()
}
