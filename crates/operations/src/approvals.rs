//! The second person: one asks, another approves exactly that, the first repeats his request.
//!
//! Invariants: an approval is for one request of one principal, word for word, and follows from them, so
//! repeating the request finds it; it is used once, within fifteen minutes, and only while the approver may
//! still approve; nobody approves his own. Approvals stand in the key store under a MAC.

use std::time::Duration;

use claviger_hierarchy::{StoredDocument, TwoPersons};
use claviger_kms::{
    Action, Approval, ApprovalId, Canonical, EncryptionContext, KeyVersion, KmsError, Result,
    Timestamp,
};
use claviger_policy::{ActionType, Permit, Question, action};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    approval: Approval,
    used: bool,
}

impl LocalKms {
    /// Proof of a second person for exactly this, used up; or the refusal that asks for one.
    pub(crate) async fn second_person<A: ActionType>(
        &self,
        permit: &Permit<A>,
        version: Option<KeyVersion>,
        words: String,
    ) -> Result<TwoPersons> {
        let approval = self.asked(permit, version, words);
        let name = document(approval.id);
        let found: Option<StoredDocument<Kept>> =
            self.operations().hierarchy.document(&name).await?;
        let revision = found.as_ref().map(|found| found.revision);
        let standing = found
            .map(|found| found.value)
            .filter(|kept| !kept.used && kept.approval.until > Timestamp::now());
        let Some(Kept { approval: standing, .. }) = standing else {
            let kept = Kept { approval: approval.clone(), used: false };
            self.operations().hierarchy.put_document(&name, revision, &kept).await?;
            return Err(waiting_for(&approval));
        };
        let Some(approver) = &standing.approved_by else { return Err(waiting_for(&standing)) };
        let context = EncryptionContext::new();
        let at = Timestamp::now();
        let question = Question { principal: approver, key: permit.key(), context: &context, at };
        let second: Permit<action::Approve> =
            self.policy().policy.permit(&question).map_err(|_| {
                KmsError::key_unusable("whoever approved this may not approve it any more")
            })?;
        let two = TwoPersons::of(permit, &second)?;
        let kept = Kept { approval: standing, used: true };
        self.operations().hierarchy.put_document(&name, revision, &kept).await?;
        Ok(two)
    }

    pub(crate) async fn approve_recorded(&self, id: ApprovalId) -> Result<Approval> {
        let mut attempt = Attempt::begin(self, Action::Approve);
        let name = document(id);
        let found: Option<StoredDocument<Kept>> =
            self.operations().hierarchy.document(&name).await?;
        let Some(StoredDocument { value: kept, revision }) = found else {
            let result = Err(self.unknown(&mut attempt));
            return Attempted { result, attempt }.recorded(self).await;
        };
        attempt.entry.key_version = kept.approval.version;
        let key = kept.approval.key.clone();
        let permit = attempt.permit::<action::Approve>(self, &key, &EncryptionContext::new());
        let checked = permit.and_then(|permit| can_be_approved(&kept, &permit));
        if let Err(error) = checked {
            return Attempted { result: Err(error), attempt }.recorded(self).await;
        }
        let approved_by = Some(self.caller().principal.clone());
        let approval = Approval { approved_by, ..kept.approval };
        let kept = Kept { approval: approval.clone(), used: false };
        self.in_two_records(attempt, async || {
            self.operations().hierarchy.put_document(&name, Some(revision), &kept).await?;
            Ok(approval)
        })
        .await
    }

    /// An id that nobody asked for is told from one that is not his only to who may approve everything.
    fn unknown(&self, attempt: &mut Attempt) -> KmsError {
        let policy = &self.policy().policy;
        if policy.allows_everywhere(Action::Approve, &self.caller().principal).is_some() {
            attempt.entry.decision = claviger_audit::AuditDecision::Allowed;
            KmsError::not_found("this approval")
        } else {
            KmsError::Denied
        }
    }

    fn asked<A: ActionType>(
        &self,
        permit: &Permit<A>,
        version: Option<KeyVersion>,
        request: String,
    ) -> Approval {
        let now = Timestamp::now();
        let principal = permit.principal().clone();
        let digest = Sha256::digest(
            Canonical::new("claviger/1/approval")
                .text(principal.as_str())
                .text(A::ACTION.as_str())
                .text(permit.key().as_str())
                .u32(version.map_or(0, KeyVersion::number))
                .text(&request)
                .finish(),
        );
        let id = ApprovalId::from_bytes(*digest.first_chunk().unwrap_or(&[0; 16]));
        Approval {
            id,
            action: A::ACTION,
            key: permit.key().clone(),
            version,
            request,
            asked_by: principal,
            asked_at: now,
            until: now + VALID_FOR,
            approved_by: None,
        }
    }
}

fn can_be_approved(kept: &Kept, permit: &Permit<action::Approve>) -> Result<()> {
    let Kept { approval, used } = kept;
    if *used {
        return Err(KmsError::conflict("the approval was used already; ask for another"));
    }
    if approval.until <= Timestamp::now() {
        return Err(KmsError::conflict(
            "the fifteen minutes for this approval are over; repeat the request to ask again",
        ));
    }
    if approval.asked_by == *permit.principal() {
        return Err(KmsError::invalid("nobody approves his own request; let another person do it"));
    }
    Ok(())
}

fn waiting_for(approval: &Approval) -> KmsError {
    KmsError::key_unusable(format!(
        "this needs a second person ({}); let another one run `claviger approve {}` until {}, then \
         repeat your request unchanged",
        approval.request,
        approval.id,
        approval.until.strftime("%H:%M:%S UTC")
    ))
}

fn document(id: ApprovalId) -> String {
    format!("approval/{id}")
}

const VALID_FOR: Duration = Duration::from_secs(15 * 60);
