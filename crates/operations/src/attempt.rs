//! Decide, act, record: the one way every use of a key goes.
//!
//! Invariants: nothing is done without a permit; no result leaves before its use is counted and its record
//! durable; when either cannot be, the result is dropped (and wiped) and the caller is refused.

use std::time::Instant;

use claviger_audit::{AuditDecision, AuditError, AuditResult, Entry, Event, RuleWord};
use claviger_kms::{
    Action, Binding, EncryptionContext, KeyId, KeyPath, KeyVersion, KmsError, Result, Timestamp,
};
use claviger_policy::{ActionType, Permit, Question, RuleName, ServicePermit};

use crate::{
    LocalKms,
    usage::{Pending, UseKind},
};

/// One operation under way: what will be its audit record, filled in as facts become known.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) entry: Entry,
    /// The version before a rewrap.
    pub(crate) moved_from: Option<KeyVersion>,
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
        Self { entry, moved_from: None, action, started: Instant::now() }
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
        Err(self.refuse_unknown(kms, KmsError::Rejected))
    }

    /// The refusal of a thing that is of no key: who may do this with every key there could be is `told`,
    /// everybody else is denied.
    pub(crate) fn refuse_unknown(&mut self, kms: &LocalKms, told: KmsError) -> KmsError {
        let principal = &kms.caller().principal;
        match kms.policy().policy.allows_everywhere(self.action, principal) {
            Some(rule) => {
                self.entry.decision = AuditDecision::Allowed;
                self.entry.rule = rule_word(rule);
                told
            }
            None => KmsError::Denied,
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

    /// Counts what it did, or was not let do, with key versions.
    async fn count_uses<T>(&self, kms: &LocalKms, result: &Result<T>) -> Result<Vec<Pending>> {
        let entry = &self.entry;
        let (Some(key_id), Some(version), AuditDecision::Allowed) =
            (entry.key_id, entry.key_version, entry.decision)
        else {
            return Ok(Vec::new());
        };
        let refused = match result {
            Ok(_) => false,
            Err(KmsError::KeyUnusable { .. }) => true,
            Err(_) => return Ok(Vec::new()),
        };
        let version_and = |kind| [Some((version, kind)), None];
        let uses = match (entry.event, self.moved_from) {
            (Event::Action(action), _) if refused && is_of_data(action) => {
                version_and(UseKind::Refused)
            }
            (Event::Action(Action::Decrypt), _) => version_and(UseKind::Unwrap),
            (Event::Action(Action::Rewrap), Some(from)) => [
                Some((from, UseKind::Rewrap)),
                (from != version).then_some((version, UseKind::Wrap)),
            ],
            (Event::Action(action), _) if is_of_data(action) => version_and(UseKind::Wrap),
            _ => [None; 2],
        };
        let usage = &kms.operations().usage;
        let mut pending = Vec::with_capacity(1);
        for (version, kind) in uses.into_iter().flatten() {
            pending.push(usage.count(key_id, version, &kms.caller().principal, kind).await?);
        }
        Ok(pending)
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
    /// Waits until the use is counted and the record durable, then lets the result go.
    pub(crate) async fn recorded(mut self, kms: &LocalKms) -> Result<T> {
        let counted = self.attempt.count_uses(kms, &self.result).await;
        self.counted(counted).await;
        let entry = self.attempt.close(kms, result_of(&self.result));
        kms.operations().audit.append(entry).await.map_err(not_recorded)?;
        self.result
    }

    /// What could not be counted at all is refused; the result is dropped, and wiped.
    async fn counted(&mut self, counted: Result<Vec<Pending>>) {
        match counted {
            Ok(counted) => {
                for pending in counted {
                    pending.durable().await;
                }
            }
            Err(refused) => self.result = Err(refused),
        }
    }

    /// The same for a batch, with one wait.
    pub(crate) async fn all_recorded(mut all: Vec<Self>, kms: &LocalKms) -> Result<Vec<Result<T>>> {
        let mut counted = Vec::with_capacity(all.len());
        for Self { attempt, result } in &all {
            counted.push(attempt.count_uses(kms, result).await);
        }
        for (attempted, counted) in all.iter_mut().zip(counted) {
            attempted.counted(counted).await;
        }
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

/// Whether an action uses a key on data.
fn is_of_data(action: Action) -> bool {
    use Action::{DataKey, DataKeyWrapped, Decrypt, Encrypt, Rewrap};
    matches!(action, Encrypt | Decrypt | DataKey | DataKeyWrapped | Rewrap)
}

fn rule_word(rule: &RuleName) -> Option<RuleWord> {
    rule.as_str().parse().ok()
}
