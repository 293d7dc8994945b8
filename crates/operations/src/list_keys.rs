//! List the keys a caller may see.
//!
//! Each key is permitted by itself; what is not is left out, as if it did not exist. The list as a whole
//! is one audit record: allowed if anything was shown or there was nothing to show.

use claviger_audit::AuditDecision;
use claviger_kms::{
    Action, EncryptionContext, KeyPage, KeyPath, KmsError, ListKeys, Result, Timestamp,
};
use claviger_policy::{Permit, Question, action};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

impl LocalKms {
    pub(crate) fn try_list(&self, request: &ListKeys) -> Attempted<KeyPage> {
        let mut attempt = Attempt::begin(self, Action::ReadMetadata);
        attempt.entry.key.clone_from(&request.under);
        let result = self.list(&mut attempt, request);
        Attempted { result, attempt }
    }

    fn list(&self, attempt: &mut Attempt, request: &ListKeys) -> Result<KeyPage> {
        let limit = match request.limit {
            None => DEFAULT_LIMIT,
            Some(limit @ 1..=MAX_LIMIT) => limit,
            Some(other) => {
                return Err(KmsError::invalid(format!(
                    "the limit is {other}; 1 to {MAX_LIMIT} are allowed"
                )));
            }
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let hierarchy = &self.operations().hierarchy;
        let mut keys = Vec::new();
        let mut after = request.after.clone();
        let mut hidden = false;
        // One more than asked for is looked for: a next page is named only if the caller may see a key
        // on it, so that the answer does not tell of keys he may not see.
        'looking: loop {
            let candidates = hierarchy.paths(request.under.as_ref(), after.as_ref(), CANDIDATES);
            let Some(last) = candidates.last().cloned() else { break };
            for path in candidates {
                match self.permit_to_see(&path) {
                    Some(permit) => keys.push(hierarchy.describe(permit)?),
                    None => hidden = true,
                }
                if keys.len() > limit {
                    break 'looking;
                }
            }
            after = Some(last);
        }
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(|key| key.key.clone());
        if !keys.is_empty() || !hidden {
            attempt.entry.decision = AuditDecision::Allowed;
        }
        Ok(KeyPage { keys, next })
    }

    pub(crate) fn permit_to_see(&self, key: &KeyPath) -> Option<Permit<action::ReadMetadata>> {
        let context = EncryptionContext::new();
        let principal = &self.caller().principal;
        let question = Question { principal, key, context: &context, at: Timestamp::now() };
        self.policy().policy.permit(&question).ok()
    }
}

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
const CANDIDATES: usize = 1000;
