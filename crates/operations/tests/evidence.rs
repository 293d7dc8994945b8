//! Evidence before destruction, and the look at it when the time comes, over a real token, store and audit log.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use claviger_audit::{AuditDecision, AuditResult, Phase, Record, read_segment, segments};
use claviger_hierarchy::Pace;
use claviger_kms::{
    Action, Attestation, Binding, CreateKey, CreateVersion, DataKey, Decrypt, Evidence, GateFacts,
    GenerateDataKey, KeyLifecycle as _, KeyManagementService as _, KeyPath, KeyVersion, KmsError,
    QuarantineKey, QuarantineReason, ScanFacts, ScheduleDestroy, SourceFacts, SubmitEvidence,
    Timestamp, VersionRequest, VersionState,
};
use claviger_operations::{Caller, LocalKms};
use claviger_testkit::Service;

const POLICY: &str = r#"
[[rule]]
name = "all"
principals = ["local:admin", "local:auditor"]
actions = ["*"]
keys = ["**"]
"#;

/// A day, and with it the soak.
const DAY: Duration = Duration::from_millis(300);

struct Bench {
    service: Service,
    admin: LocalKms,
    auditor: LocalKms,
    /// Under version 1.
    made: DataKey,
}

impl Bench {
    /// The key `eu`, one data key under version 1, which is disabled.
    async fn new() -> Self {
        let service =
            Service::start_at_pace(POLICY, Default::default(), Pace::faster(288_000)).await;
        let kms = |who: &str| {
            service.operations().local_kms(Caller::in_process(who.parse().unwrap()).unwrap())
        };
        let (admin, auditor) = (kms("local:admin"), kms("local:auditor"));
        admin.create_key(CreateKey::at(key())).await.unwrap();
        let request = GenerateDataKey { key: key(), binding: Binding::default() };
        let made = admin.generate_data_key(request).await.unwrap();
        admin.rotate(CreateVersion { key: key(), idempotency_key: None }).await.unwrap();
        admin.disable_version(version(1)).await.unwrap();
        Self { service, admin, auditor, made }
    }

    /// Scans now, soaks, and submits what `change` makes of it.
    async fn submit(&self, change: impl FnOnce(&mut SubmitEvidence)) -> Result<Evidence, KmsError> {
        let mut request = submission();
        tokio::time::sleep(DAY + Duration::from_millis(20)).await;
        change(&mut request);
        self.auditor.submit_evidence(request).await
    }

    async fn schedule(&self) -> Result<VersionState, KmsError> {
        let key = self.admin.schedule_destroy(destroy()).await?;
        Ok(key.versions[0].state)
    }

    async fn state(&self) -> VersionState {
        self.admin.describe_key(&key()).await.unwrap().versions[0].state
    }

    /// What happens when the seven days are over.
    async fn comes_due(&self) -> VersionState {
        tokio::time::sleep(DAY * 7 + Duration::from_millis(50)).await;
        self.service.operations().keep_up().await.unwrap();
        self.state().await
    }

    async fn tries_to_decrypt(&self) {
        let ciphertext = self.made.wrapped.ciphertext.clone();
        let tried = self.admin.decrypt(Decrypt { ciphertext, binding: Binding::default() }).await;
        assert!(matches!(tried, Err(KmsError::KeyUnusable { .. })));
    }

    fn records(&self) -> Vec<Record> {
        let files = segments(self.service.folder().join("audit")).unwrap();
        files.iter().flat_map(|file| read_segment(file).unwrap().map(Result::unwrap)).collect()
    }
}

fn key() -> KeyPath {
    "eu".parse().unwrap()
}

fn version(number: u32) -> VersionRequest {
    VersionRequest { key: key(), version: KeyVersion::new(number).unwrap() }
}

fn destroy() -> ScheduleDestroy {
    ScheduleDestroy { key: key(), version: KeyVersion::FIRST, days: 7, shred: false }
}

/// Two clean scans behind a gate that was closed just now, with the one wrap there was attested as missing.
fn submission() -> SubmitEvidence {
    let now = Timestamp::now();
    let after = |millis| now + Duration::from_millis(millis);
    let scan = |begun| ScanFacts {
        begun_at: after(begun),
        ended_at: after(begun + 1),
        complete: true,
        scanned: 5,
        holding: 0,
        unreadable: 0,
        others: 5,
    };
    let gate = GateFacts { closed_at: now, settled_at: after(1), definition: "ab".repeat(32) };
    let source =
        SourceFacts { gate: Some(gate), max_hold_seconds: None, scans: vec![scan(2), scan(4)] };
    SubmitEvidence {
        key: key(),
        version: KeyVersion::FIRST,
        sources: [("cards".to_owned(), source)].into(),
        attestation: Attestation {
            completeness: "cards is the only table".to_owned(),
            backups_until: now,
            missing: 1,
        },
    }
}

fn found(request: &mut SubmitEvidence) {
    let scan = &mut request.sources.get_mut("cards").unwrap().scans[1];
    (scan.holding, scan.others) = (1, 4);
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, KmsError>, word: &str) {
    match result {
        Err(KmsError::KeyUnusable { reason }) => assert!(reason.contains(word), "{reason}"),
        other => panic!("{other:?} is not a refusal for {word:?}"),
    }
}

#[tokio::test]
async fn with_evidence_of_another_person_a_version_is_destroyed_at_its_time() {
    let bench = Bench::new().await;
    refused(bench.schedule().await, "no evidence");
    let evidence = bench.submit(|_| ()).await.unwrap();
    assert_eq!((evidence.issued, evidence.submitted_by.as_str()), (1, "local:auditor"));
    assert_eq!(bench.schedule().await.unwrap(), VersionState::DestroyScheduled);
    // Repeating it changes nothing.
    assert_eq!(bench.schedule().await.unwrap(), VersionState::DestroyScheduled);
    assert_eq!(bench.comes_due().await, VersionState::Destroyed);
    let records = bench.records();
    let of = |phase| {
        let submitted = |record: &&Record| {
            record.entry.event == Action::Evidence.into() && record.entry.phase == phase
        };
        records.iter().find(submitted).unwrap()
    };
    assert_eq!(of(Phase::Intent).entry.result, AuditResult::Pending);
    let outcome = &of(Phase::Outcome).entry;
    assert_eq!(outcome.result, AuditResult::Done);
    assert_eq!(outcome.key_version, Some(KeyVersion::FIRST));
    assert_eq!(outcome.principal.as_ref().unwrap().as_str(), "local:auditor");
    bench.service.stop().await;
}

#[tokio::test]
async fn who_submitted_evidence_does_not_destroy() {
    let bench = Bench::new().await;
    bench.submit(|_| ()).await.unwrap();
    refused(bench.auditor.schedule_destroy(destroy()).await, "somebody else must destroy");
    bench.schedule().await.unwrap();
    bench.service.stop().await;
}

#[tokio::test]
async fn a_refused_attempt_during_the_soak_begins_it_anew() {
    let bench = Bench::new().await;
    let request = submission();
    refused(bench.auditor.submit_evidence(request.clone()).await, "it was disabled at");
    tokio::time::sleep(DAY).await;
    bench.tries_to_decrypt().await;
    refused(bench.auditor.submit_evidence(request.clone()).await, "somebody last tried to use it");
    tokio::time::sleep(DAY + Duration::from_millis(20)).await;
    bench.auditor.submit_evidence(request).await.unwrap();
    bench.service.stop().await;
}

#[tokio::test]
async fn an_attempt_after_the_evidence_keeps_it_from_being_acted_on() {
    let bench = Bench::new().await;
    bench.submit(|_| ()).await.unwrap();
    bench.tries_to_decrypt().await;
    refused(bench.schedule().await, "somebody tried to use the version");
    bench.service.stop().await;
}

#[tokio::test]
async fn an_attempt_after_it_was_scheduled_calls_a_destruction_off_at_its_time() {
    let bench = Bench::new().await;
    bench.submit(|_| ()).await.unwrap();
    bench.schedule().await.unwrap();
    bench.tries_to_decrypt().await;
    assert_eq!(bench.comes_due().await, VersionState::Disabled);
    let records = bench.records();
    let called_off = records.iter().find(|record| {
        record.entry.event == Action::Evidence.into()
            && record.entry.decision == AuditDecision::Internal
            && record.entry.change.is_some()
    });
    let called_off = &called_off.expect("it is recorded").entry;
    assert_eq!(called_off.principal.as_ref().unwrap().as_str(), "local:schedule");
    // The data still opens once it is enabled again; and the old evidence is of no use any more.
    refused(bench.schedule().await, "somebody tried to use the version");
    bench.admin.enable_version(version(1)).await.unwrap();
    let ciphertext = bench.made.wrapped.ciphertext.clone();
    bench.admin.decrypt(Decrypt { ciphertext, binding: Binding::default() }).await.unwrap();
    bench.service.stop().await;
}

#[tokio::test]
async fn a_scan_that_finds_the_version_withdraws_what_stood_and_calls_the_destruction_off() {
    let bench = Bench::new().await;
    bench.submit(|_| ()).await.unwrap();
    bench.schedule().await.unwrap();
    let now = bench.submit(|request| {
        found(request);
        request.attestation.missing = 0;
    });
    refused(now.await, "destroy-scheduled");
    assert_eq!(bench.comes_due().await, VersionState::Disabled);
    refused(bench.schedule().await, "no evidence");
    bench.service.stop().await;
}

#[tokio::test]
async fn a_second_scan_with_findings_is_refused() {
    let bench = Bench::new().await;
    let findings = bench.submit(|request| {
        found(request);
        request.attestation.missing = 0;
    });
    refused(findings.await, "1 places still name the version");
    let cut_short = bench.submit(|request| {
        request.sources.get_mut("cards").unwrap().scans[1].complete = false;
    });
    refused(cut_short.await, "did not come to the end");
    refused(bench.schedule().await, "no evidence");
    bench.service.stop().await;
}

#[tokio::test]
async fn evidence_is_about_the_version_as_it_was_disabled_then() {
    let bench = Bench::new().await;
    bench.submit(|_| ()).await.unwrap();
    bench.admin.enable_version(version(1)).await.unwrap();
    bench.admin.disable_version(version(1)).await.unwrap();
    refused(bench.schedule().await, "as it is now");
    // Nor is it about another version.
    let other = ScheduleDestroy { version: KeyVersion::new(2).unwrap(), ..destroy() };
    assert!(bench.admin.schedule_destroy(other).await.is_err());
    bench.service.stop().await;
}

#[tokio::test]
async fn a_version_is_not_destroyed_while_backups_with_its_envelopes_are_kept() {
    let bench = Bench::new().await;
    let kept = |request: &mut SubmitEvidence| {
        request.attestation.backups_until = Timestamp::now() + DAY * 20;
    };
    bench.submit(kept).await.unwrap();
    refused(bench.schedule().await, "backups that hold its envelopes are kept until");
    let later = ScheduleDestroy { days: 30, ..destroy() };
    bench.admin.schedule_destroy(later).await.unwrap();
    bench.service.stop().await;
}

#[tokio::test]
async fn what_is_attested_must_be_what_the_counters_say() {
    let bench = Bench::new().await;
    refused(bench.submit(|request| request.attestation.missing = 0).await, "1 are missing");
    bench.service.stop().await;
}

#[tokio::test]
async fn who_may_not_submit_evidence_cannot_tell_a_key_from_none() {
    let bench = Bench::new().await;
    let caller = Caller::in_process("local:stranger".parse().unwrap()).unwrap();
    let stranger = bench.service.operations().local_kms(caller);
    for key in ["eu", "nowhere"] {
        let request = SubmitEvidence { key: key.parse().unwrap(), ..submission() };
        assert_eq!(stranger.submit_evidence(request.clone()).await, Err(KmsError::Denied));
        // Also where the request makes no sense.
        let mut request = request;
        request.attestation.completeness.clear();
        assert_eq!(stranger.submit_evidence(request).await, Err(KmsError::Denied));
    }
    let missing = SubmitEvidence { key: "nowhere".parse().unwrap(), ..submission() };
    let missing = bench.auditor.submit_evidence(missing).await;
    assert!(matches!(missing, Err(KmsError::NotFound { .. })));
    bench.service.stop().await;
}

#[tokio::test]
async fn a_dry_run_of_a_quarantine_says_who_will_be_cut_off() {
    let bench = Bench::new().await;
    let request = GenerateDataKey { key: key(), binding: Binding::default() };
    bench.auditor.generate_data_key(request).await.unwrap();
    let mut request = QuarantineKey {
        key: key(),
        version: None,
        reason: QuarantineReason::MisuseSuspected,
        drain: false,
        recursive: false,
        dry_run: true,
        idempotency_key: None,
    };
    let report = bench.admin.quarantine(request.clone()).await.unwrap();
    // Version 1 is disabled already: nobody is cut off from it.
    let [cut_off] = report.keys[0].cut_off.as_slice() else { panic!("{report:?}") };
    assert_eq!(cut_off.version.number(), 2);
    assert_eq!(cut_off.principal.as_ref().unwrap().as_str(), "local:auditor");
    assert!(cut_off.last_used.is_some());
    request.drain = true;
    let report = bench.admin.quarantine(request).await.unwrap();
    assert!(report.notices[0].contains("may still unwrap"), "{report:?}");
    bench.service.stop().await;
}
