//! Whether evidence stands for whoever wants a version destroyed.

use std::time::Duration;

use claviger_hierarchy::StandingEvidence;
use claviger_kms::{Evidence, KmsError, Result, ScheduleDestroy, Timestamp, VersionUsage};
use claviger_policy::{Permit, action};

use crate::LocalKms;

impl LocalKms {
    /// The evidence about this version, if it stands and another than who asks has submitted it.
    ///
    /// # Errors
    /// [`KmsError::KeyUnusable`] saying why there is none; [`KmsError::Unavailable`].
    pub(crate) async fn standing_evidence(
        &self,
        permit: &Permit<action::Destroy>,
        request: &ScheduleDestroy,
    ) -> Result<Option<StandingEvidence>> {
        let operations = self.operations();
        let Some(key_id) = operations.hierarchy.id_of(&request.key) else { return Ok(None) };
        let Some(found) = operations.evidence(key_id, request.version).await? else {
            return Ok(None);
        };
        let evidence = found.value;
        let refused = |why: String| {
            KmsError::key_unusable(format!(
                "the evidence about version {} of the key {} does not stand for this: {why}",
                request.version, request.key
            ))
        };
        if evidence.submitted_by == *permit.principal() {
            return Err(refused(
                "you submitted it yourself; somebody else must destroy".to_owned(),
            ));
        }
        let now = Timestamp::now();
        if evidence.submitted_at + STANDS_FOR < now || evidence.submitted_at > now + STANDS_FOR {
            return Err(refused("it is older than 30 days; submit it anew".to_owned()));
        }
        let at = now + operations.hierarchy.pace().days(request.days);
        if evidence.attestation.backups_until > at {
            return Err(refused(format!(
                "backups that hold its envelopes are kept until {}; choose more days, or wait",
                evidence.attestation.backups_until
            )));
        }
        let usage = operations.usage.of_version(key_id, request.version).await?;
        if let Some(why) = used_since(&evidence, &usage) {
            return Err(refused(why));
        }
        let Evidence { id, version, disabled_since, .. } = evidence;
        Ok(Some(StandingEvidence { id, key_id, version, disabled_since }))
    }
}

/// What the counters say against the evidence.
pub(super) fn used_since(evidence: &Evidence, usage: &VersionUsage) -> Option<String> {
    if let Some(last) = usage.last_attempt().filter(|last| *last >= evidence.submitted_at) {
        return Some(format!("somebody tried to use the version at {last}; see `claviger usage`"));
    }
    // Begun anew, or lower than they were: whoever did that may hide a use.
    let attempts = usage.attempts();
    if attempts > evidence.attempts {
        let more = attempts - evidence.attempts;
        return Some(format!(
            "{more} further uses of the version were counted; see `claviger usage`"
        ));
    }
    let lost = usage.counted_since != evidence.counted_since || attempts < evidence.attempts;
    lost.then(|| "the counters of its uses are no longer those it rests on".to_owned())
}

/// How long evidence can be acted on.
const STANDS_FOR: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use claviger_kms::{Attestation, CallerUsage, EvidenceId, KeyId, KeyVersion, Principal, Uses};

    use super::*;

    fn evidence(attempts: u64) -> Evidence {
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Evidence {
            id: EvidenceId::make_random().expect("random bytes"),
            key: "eu".parse().expect("a path"),
            key_id: KeyId::from_bytes([1; 16]),
            version: KeyVersion::FIRST,
            submitted_by: Principal::of_schedule(),
            submitted_at: now,
            disabled_since: now,
            quiet_since: now,
            counted_since: None,
            issued: 0,
            rewrapped: 0,
            attempts,
            attestation: Attestation {
                completeness: "all".to_owned(),
                backups_until: now,
                missing: 0,
            },
            sources: Default::default(),
        }
    }

    /// Evidence was submitted while the date was ahead; an attempt after it was put right was dated before the
    /// evidence, and the version was destroyed.
    #[test]
    fn a_further_attempt_counts_whatever_its_date() {
        let long_ago = Timestamp::UNIX_EPOCH;
        let uses = |count| Uses { count, last: (count > 0).then_some(long_ago) };
        let usage = |refused| VersionUsage {
            version: KeyVersion::FIRST,
            counted_since: None,
            callers: vec![CallerUsage {
                principal: None,
                first_used: long_ago,
                wraps: uses(1),
                unwraps: uses(0),
                rewraps: uses(0),
                refused: uses(refused),
            }],
        };
        assert_eq!(used_since(&evidence(1), &usage(0)), None);
        assert!(used_since(&evidence(1), &usage(1)).is_some());
        assert!(used_since(&evidence(3), &usage(1)).is_some(), "counters that went back");
    }
}
