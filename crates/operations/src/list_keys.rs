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

/// Which page of the keys.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) under: Option<&'a KeyPath>,
    pub(crate) after: Option<&'a KeyPath>,
    pub(crate) limit: Option<u32>,
}

impl LocalKms {
    pub(crate) fn try_list(&self, request: &ListKeys) -> Attempted<KeyPage> {
        let mut attempt = Attempt::begin(self, Action::ReadMetadata);
        attempt.entry.key.clone_from(&request.under);
        let ListKeys { under, after, limit } = request;
        let page = Page { under: under.as_ref(), after: after.as_ref(), limit: *limit };
        let listed = self.list(&mut attempt, &page, |permit| {
            self.operations().hierarchy.describe(permit).map(Some)
        });
        let result = listed.map(|(keys, next)| KeyPage { keys, next });
        Attempted { result, attempt }
    }

    /// What `look` tells of each key the caller may see, and the last key of the page if there is a
    /// further one.
    pub(crate) fn list<T>(
        &self,
        attempt: &mut Attempt,
        page: &Page<'_>,
        look: impl Fn(Permit<action::ReadMetadata>) -> Result<Option<T>>,
    ) -> Result<(Vec<T>, Option<KeyPath>)> {
        let limit = match page.limit {
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
        let (mut keys, mut last_shown, mut more) = (Vec::new(), None, false);
        let mut after = page.after.cloned();
        let mut hidden = false;
        // One more than asked for is looked for: a next page is named only if the caller may see a key
        // on it, so that the answer does not tell of keys he may not see.
        'looking: loop {
            let candidates = hierarchy.paths(page.under, after.as_ref(), CANDIDATES);
            let Some(last) = candidates.last().cloned() else { break };
            for path in candidates {
                let Some(permit) = self.permit_to_see(&path) else {
                    hidden = true;
                    continue;
                };
                let Some(told) = look(permit)? else { continue };
                if keys.len() == limit {
                    more = true;
                    break 'looking;
                }
                keys.push(told);
                last_shown = Some(path);
            }
            after = Some(last);
        }
        if !keys.is_empty() || !hidden {
            attempt.entry.decision = AuditDecision::Allowed;
        }
        Ok((keys, last_shown.filter(|_| more)))
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
