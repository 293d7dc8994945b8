//! Evidence that nothing needs a version: submitted, judged, kept, withdrawn, and looked at again at the end.
//!
//! Invariants: evidence stands in the document `evidence/KEY-ID/VERSION`, of which there is one, so that newer
//! evidence replaces older; it is written only when every rule of [`rules`] is met; a report that finds the version
//! still in use removes what stood. A destruction rests on it only while it is standing, and is called off at its
//! time if it is not.
//!
//! Known limits: the service sees no source and no gate, and believes what is reported of them. Documents have a
//! MAC but are not under the store's head: whoever writes the store's file can put back older evidence about the
//! same version; it does not count unless the version has stayed disabled and unused since.

mod recheck;
mod rules;
mod standing;

use claviger_hierarchy::StoredDocument;
use claviger_kms::{
    Action, EncryptionContext, Evidence, EvidenceId, KeyId, KeyVersion, KmsError, Result,
    SubmitEvidence, Timestamp,
};
use claviger_policy::{Permit, action};
use serde::{Deserialize, Serialize};

use crate::{
    Clocks, LocalKms, Operations,
    attempt::{Attempt, Attempted},
};
use rules::{Known, Verdict};

/// The body of a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    evidence: Evidence,
}

impl LocalKms {
    /// Submits evidence that nothing needs a version. What was submitted before about it is replaced; a report
    /// that finds the version in use withdraws it.
    ///
    /// # Errors
    /// [`KmsError::Denied`], [`KmsError::NotFound`], [`KmsError::Invalid`]; [`KmsError::KeyUnusable`] naming every
    /// rule that is not met; [`KmsError::Unavailable`].
    pub async fn submit_evidence(&self, request: SubmitEvidence) -> Result<Evidence> {
        self.to_the_end(|kms| async move { kms.submit_evidence_recorded(request).await }).await
    }

    async fn submit_evidence_recorded(&self, request: SubmitEvidence) -> Result<Evidence> {
        let mut attempt = Attempt::begin(self, Action::Evidence);
        attempt.entry.key_version = Some(request.version);
        let checked = request.check();
        let permit =
            attempt.permit::<action::Evidence>(self, &request.key, &EncryptionContext::new());
        match permit.and_then(|permit| checked.map(|()| permit)) {
            Ok(permit) => {
                self.in_two_records(attempt, async || self.judge_and_keep(permit, request).await)
                    .await
            }
            Err(refused) => Attempted { result: Err(refused), attempt }.recorded(self).await,
        }
    }

    async fn judge_and_keep(
        &self,
        permit: Permit<action::Evidence>,
        request: SubmitEvidence,
    ) -> Result<Evidence> {
        let operations = self.operations();
        operations.schedule.date.check(&operations.hierarchy, Clocks::now()).await?;
        let SubmitEvidence { key, version, .. } = &request;
        let not_found = || KmsError::not_found(format!("version {version} of the key {key}"));
        let key_id = operations.hierarchy.id_of(key).ok_or_else(not_found)?;
        let facts = operations.hierarchy.version_of(key, *version).ok_or_else(not_found)?;
        // Before the counters are read, and no finer than they count: a later use is seen as later.
        let now = Timestamp::now();
        let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let usage = operations.usage.settled(key_id, *version).await?;
        let (soak, registered) =
            (operations.hierarchy.pace().days(1), &operations.campaigns.sources_of(key));
        let known = Known { facts: &facts, usage: &usage, now, soak, registered };
        match rules::judge(&request, &known) {
            Verdict::Met => {}
            Verdict::Unmet(reasons) => return Err(unmet(&request, &reasons)),
            Verdict::Contradicted(reasons) => {
                operations.withdraw_evidence(key_id, *version).await?;
                return Err(unmet(&request, &reasons));
            }
        }
        let (issued, rewrapped) = usage.issued_and_rewrapped();
        let evidence = Evidence {
            id: EvidenceId::make_random()?,
            key_id,
            version: *version,
            submitted_by: permit.principal().clone(),
            submitted_at: now,
            disabled_since: facts.state_changed_at,
            quiet_since: rules::quiet_since(&facts, &usage),
            counted_since: usage.counted_since,
            issued,
            rewrapped,
            attempts: usage.attempts(),
            key: request.key,
            attestation: request.attestation,
            sources: request.sources,
        };
        operations.keep_evidence(&evidence).await?;
        Ok(evidence)
    }
}

impl Operations {
    /// What stands about a version.
    async fn evidence(
        &self,
        key_id: KeyId,
        version: KeyVersion,
    ) -> Result<Option<StoredDocument<Evidence>>> {
        let name = name_of(key_id, version);
        let Some(StoredDocument { value: Stored { format, evidence }, revision }) =
            self.hierarchy.document::<Stored>(&name).await?
        else {
            return Ok(None);
        };
        if format != FORMAT || (evidence.key_id, evidence.version) != (key_id, version) {
            return Err(KmsError::unavailable("the evidence is not one this release reads"));
        }
        Ok(Some(StoredDocument { value: evidence, revision }))
    }

    async fn keep_evidence(&self, evidence: &Evidence) -> Result<()> {
        let name = name_of(evidence.key_id, evidence.version);
        let revision = self.hierarchy.document_revision(&name).await?;
        let value = Stored { format: FORMAT, evidence: evidence.clone() };
        self.hierarchy.put_document(&name, revision, &value).await.map(drop)
    }

    async fn withdraw_evidence(&self, key_id: KeyId, version: KeyVersion) -> Result<()> {
        let name = name_of(key_id, version);
        match self.hierarchy.document_revision(&name).await? {
            None => Ok(()),
            Some(revision) => self.hierarchy.remove_document(&name, revision).await,
        }
    }
}

fn unmet(request: &SubmitEvidence, reasons: &[String]) -> KmsError {
    KmsError::key_unusable(format!(
        "this is no evidence that nothing needs version {} of the key {}: {}",
        request.version,
        request.key,
        reasons.join("; ")
    ))
}

fn name_of(key_id: KeyId, version: KeyVersion) -> String {
    format!("evidence/{key_id}/{version}")
}

const FORMAT: u32 = 1;
