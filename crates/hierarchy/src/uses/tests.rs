use claviger_kms::{QuarantineFacts, QuarantineReason};

use super::*;
use crate::steps::{
    Grounds, enable_version, promote, quarantine,
    tests::{facts, key, now, number},
};

fn quarantined(drain: bool) -> KeyRecord {
    let mut record = key(1);
    let facts = QuarantineFacts { drain, ..facts(QuarantineReason::MisuseSuspected) };
    quarantine(&mut record, None, facts).unwrap();
    record
}

/// The token was slow, the key was quarantined with `drain` meanwhile, and since callers may still unwrap,
/// a new data key left under the version that had been stopped.
#[test]
fn a_late_wrap_does_not_leave_under_a_quarantined_version_while_it_is_drained() {
    let first = number(1);
    for drain in [false, true] {
        let record = quarantined(drain);
        assert_eq!(check_use(&record, first, VersionUse::UnwrapForCaller).is_ok(), drain);
        assert!(check_wrapped(&record, first).is_err());
    }
}

#[test]
fn a_late_wrap_does_not_leave_under_a_version_that_two_persons_enabled_meanwhile() {
    let mut record = quarantined(false);
    let two = Grounds { two_persons: true, evidence: false };
    enable_version(&mut record, number(1), two, now()).unwrap();
    assert!(check_use(&record, number(1), VersionUse::UnwrapForCaller).is_ok());
    assert!(check_wrapped(&record, number(1)).is_err());
}

#[test]
fn a_late_wrap_leaves_under_a_version_that_was_rotated_away() {
    let mut record = key(2);
    assert!(check_wrapped(&record, number(1)).is_ok());
    assert!(check_wrapped(&record, number(2)).is_ok());
    assert!(promote(&mut record, number(1), now()).is_err());
    assert_eq!(primary_of(&record).unwrap(), number(2));
}

#[test]
fn a_version_that_is_not_there_is_rejected() {
    for wanted in [VersionUse::Wrap, VersionUse::UnwrapForCaller, VersionUse::UnwrapInternally] {
        assert!(matches!(check_use(&key(1), number(2), wanted), Err(KmsError::Rejected)));
    }
}
