use claviger_kms::{Attestation, CallerUsage, GateFacts, KeyVersion, Uses};

use super::*;

const HOUR: i64 = 3600;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + hours * HOUR).unwrap()
}

fn scan(begun: i64, ended: i64) -> ScanFacts {
    ScanFacts {
        begun_at: at(begun),
        ended_at: at(ended),
        complete: true,
        scanned: 10,
        holding: 0,
        unreadable: 0,
        others: 10,
    }
}

/// Last wrap at 0, gate closed at 1, settled at 2, scans from 3 to 4 and from 5 to 6, disabled at 7, now 40.
struct Case {
    request: SubmitEvidence,
    facts: VersionMetadata,
    usage: VersionUsage,
    registered: BTreeSet<String>,
}

impl Case {
    fn new() -> Self {
        let gate = GateFacts { closed_at: at(1), settled_at: at(2), definition: "0".repeat(64) };
        let source = SourceFacts {
            gate: Some(gate),
            max_hold_seconds: None,
            scans: vec![scan(3, 4), scan(5, 6)],
        };
        let uses = |count, last| Uses { count, last: Some(at(last)) };
        let caller = CallerUsage {
            principal: None,
            first_used: at(-9),
            wraps: uses(7, 0),
            unwraps: uses(3, 6),
            rewraps: uses(7, 5),
            refused: Uses::default(),
        };
        Self {
            request: SubmitEvidence {
                key: "eu".parse().unwrap(),
                version: KeyVersion::FIRST,
                sources: [("cards".to_owned(), source)].into(),
                attestation: Attestation {
                    completeness: "these are all".to_owned(),
                    backups_until: at(0),
                    missing: 7,
                },
            },
            facts: VersionMetadata {
                version: KeyVersion::FIRST,
                state: VersionState::Disabled,
                made_at: at(-10),
                state_changed_at: at(7),
                parent_version: KeyVersion::FIRST,
                fingerprint: "00".to_owned(),
                ever_quarantined: false,
                destroy_after: None,
            },
            usage: VersionUsage {
                version: KeyVersion::FIRST,
                counted_since: Some(at(-9)),
                callers: vec![caller],
            },
            registered: BTreeSet::new(),
        }
    }

    fn source(&mut self) -> &mut SourceFacts {
        self.request.sources.values_mut().next().unwrap()
    }

    fn verdict(&self) -> Verdict {
        let soak = Duration::from_secs(86_400);
        let (facts, usage, registered) = (&self.facts, &self.usage, &self.registered);
        judge(&self.request, &Known { facts, usage, now: at(40), soak, registered })
    }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Case), word: &str) {
    let mut case = Case::new();
    change(&mut case);
    match case.verdict() {
        Verdict::Met => panic!("it was taken, not refused for {word:?}"),
        Verdict::Unmet(reasons) | Verdict::Contradicted(reasons) => {
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert!(reasons[0].contains(word), "{reasons:?} lacks {word:?}");
        }
    }
}

#[test]
fn what_meets_every_rule_is_evidence() {
    assert_eq!(Case::new().verdict(), Verdict::Met);
}

#[test]
fn a_version_that_is_not_disabled_or_not_for_long_enough_is_refused() {
    refused(|case| case.facts.state = VersionState::Enabled, "disable it");
    refused(|case| case.facts.state = VersionState::Quarantined, "disable it");
    refused(|case| case.facts.state_changed_at = at(17), "wait");
    refused(|case| case.usage.callers[0].refused = Uses { count: 1, last: Some(at(17)) }, "tried");
    let mut exact = Case::new();
    exact.facts.state_changed_at = at(16);
    assert_eq!(exact.verdict(), Verdict::Met);
}

#[test]
fn without_sources_gates_or_two_whole_scans_it_is_refused() {
    refused(|case| case.request.sources.clear(), "no source");
    refused(|case| case.source().gate = None, "no write gate");
    refused(|case| case.source().scans.truncate(1), "two are needed");
    refused(|case| case.source().scans[1].complete = false, "did not come to the end");
    refused(|case| case.source().scans[1].begun_at = at(3), "before the first had ended");
    refused(|case| case.source().gate.as_mut().unwrap().settled_at = at(4), "older than the gate");
    refused(|case| case.source().gate.as_mut().unwrap().closed_at = at(-1), "close it again");
}

#[test]
fn a_scan_with_findings_is_refused_and_only_a_holder_contradicts() {
    refused(|case| case.source().scans[0].unreadable = 1, "cannot be read");
    let mut case = Case::new();
    case.source().scans[1].holding = 2;
    assert!(matches!(case.verdict(), Verdict::Contradicted(_)));
    let mut case = Case::new();
    case.source().scans[1].unreadable = 2;
    assert!(matches!(case.verdict(), Verdict::Unmet(_)));
}

#[test]
fn a_scan_from_the_future_or_from_long_ago_is_refused() {
    refused(|case| case.source().scans[1].ended_at = at(41), "in the future");
    let last = |case: &mut Case| {
        let scan = &mut case.source().scans[1];
        (scan.begun_at, scan.ended_at) = (Timestamp::MAX, Timestamp::MAX);
    };
    refused(last, "in the future");
    refused(
        |case| {
            let gate = case.source().gate.as_mut().unwrap();
            (gate.closed_at, gate.settled_at) = (at(-1000), at(-999));
            case.usage.callers[0].wraps.last = Some(at(-1001));
            let source = case.source();
            (source.scans[0].begun_at, source.scans[0].ended_at) = (at(-998), at(-997));
        },
        "seven days",
    );
}

#[test]
fn without_a_gate_a_scan_waits_until_nobody_holds_an_old_wrap() {
    let hold = |case: &mut Case, seconds| {
        case.source().gate = None;
        case.source().max_hold_seconds = Some(seconds);
    };
    let mut case = Case::new();
    hold(&mut case, 3 * 3600);
    assert_eq!(case.verdict(), Verdict::Met);
    refused(|case| hold(case, 3 * 3600 + 1), "scan after that");
    refused(|case| hold(case, u64::MAX), "scan after that");
}

#[test]
fn what_is_attested_is_what_was_shown() {
    refused(|case| case.request.attestation.missing = 0, "7 are missing");
    refused(|case| case.request.attestation.missing = 8, "7 are missing");
}

/// Evidence that left out a known table was taken.
#[test]
fn every_source_that_a_campaign_has_reported_is_named() {
    refused(|case| case.registered.extend(["archive".to_owned()]), "the source archive");
    let mut case = Case::new();
    case.registered.extend(case.request.sources.keys().cloned());
    assert_eq!(case.verdict(), Verdict::Met);
}
