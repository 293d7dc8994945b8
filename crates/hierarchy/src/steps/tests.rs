use std::collections::BTreeSet;

use claviger_keystore::VersionRecord;
use claviger_kms::{KeyDetails, KeyId, Principal, Protection, Purpose, QuarantineReason, StoreId};
use proptest::prelude::*;

use super::*;

pub(crate) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

pub(crate) fn number(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

pub(crate) fn facts(reason: QuarantineReason) -> QuarantineFacts {
    QuarantineFacts { reason, drain: false, by: Principal::of_uid(1), at: now() }
}

fn pending(number: KeyVersion) -> VersionRecord {
    VersionRecord {
        number,
        state: VersionState::Pending,
        made_at: now(),
        state_changed_at: now(),
        parent_version: KeyVersion::FIRST,
        material: Material::Wrapped(vec![1]),
        fingerprint: String::new(),
        ever_quarantined: false,
        backed_up: false,
        destroy_after: None,
        evidence: None,
        request: None,
    }
}

/// A key with `versions` versions, the last primary.
pub(crate) fn key(versions: u32) -> KeyRecord {
    let mut record = KeyRecord {
        format: KeyRecord::FORMAT,
        store_id: StoreId::from_bytes([1; 16]),
        id: KeyId::from_bytes([2; 16]),
        path: "eu".parse().unwrap(),
        purpose: Purpose::Encryption,
        protection: Protection::Memory,
        state: KeyState::Active,
        details: KeyDetails::default(),
        rotation_period: None,
        primary: None,
        epoch: 1,
        quarantine: None,
        quarantine_request: None,
        emergencies: Vec::new(),
        made_at: now(),
        made_by: Principal::of_uid(1),
        request: None,
        versions: Vec::new(),
    };
    for next in 1..=versions {
        record.versions.push(pending(number(next)));
        promote(&mut record, number(next), now()).unwrap();
    }
    record
}

fn states(record: &KeyRecord) -> Vec<VersionState> {
    record.versions.iter().map(|version| version.state).collect()
}

#[test]
fn a_quarantine_stops_all_that_wraps_or_unwraps_and_leaves_no_primary() {
    let mut record = key(3);
    disable_version(&mut record, number(1), now()).unwrap();
    record.versions.push(pending(number(4)));
    let stopped = quarantine(&mut record, None, facts(QuarantineReason::MisuseSuspected)).unwrap();
    assert_eq!(stopped.versions, [number(2), number(3)]);
    assert_eq!(stopped.abandoned, [number(4)]);
    assert_eq!(record.primary, None);
    use VersionState::{Destroyed, Disabled, Quarantined};
    assert_eq!(states(&record), [Disabled, Quarantined, Quarantined, Destroyed]);
    assert_eq!(record.version(number(4)).unwrap().material, Material::Gone);
    let again = quarantine(&mut record, None, facts(QuarantineReason::MisuseSuspected)).unwrap();
    assert!(again.is_empty());
}

#[test]
fn a_named_version_is_quarantined_alone_also_when_disabled() {
    let mut record = key(3);
    disable_version(&mut record, number(1), now()).unwrap();
    let facts = || facts(QuarantineReason::MisuseSuspected);
    let stopped = quarantine(&mut record, Some(number(1)), facts()).unwrap();
    assert_eq!(stopped.versions, [number(1)]);
    assert_eq!(record.primary, Some(number(3)));
    assert!(quarantine(&mut record, Some(number(9)), facts()).is_err());
}

#[test]
fn whoever_was_quarantined_is_enabled_by_two_persons_only() {
    let mut record = key(2);
    quarantine(&mut record, None, facts(QuarantineReason::MisuseSuspected)).unwrap();
    let (alone, two) = (Grounds::default(), Grounds { two_persons: true, evidence: false });
    assert!(enable_version(&mut record, number(1), alone, now()).is_err());
    enable_version(&mut record, number(1), two, now()).unwrap();
    // Also on the way round by disabled.
    disable_version(&mut record, number(2), now()).unwrap();
    assert!(enable_version(&mut record, number(2), alone, now()).is_err());
    enable_version(&mut record, number(2), two, now()).unwrap();
}

#[test]
fn destruction_needs_evidence_or_two_persons_and_its_time() {
    let mut record = key(2);
    disable_version(&mut record, number(1), now()).unwrap();
    let later = now() + std::time::Duration::from_secs(60);
    let evidence = Grounds { evidence: true, two_persons: false };
    let schedule = |record: &mut KeyRecord, grounds| {
        schedule_destroy(record, number(1), later, grounds, now())
    };
    assert!(schedule(&mut record, Grounds::default()).is_err());
    schedule(&mut record, evidence).unwrap();
    assert!(destroy(&mut record, number(1), now()).is_err(), "destroyed before its time");
    cancel_destroy(&mut record, number(1), now()).unwrap();
    assert!(destroy(&mut record, number(1), later).is_err(), "destroyed though cancelled");
    schedule(&mut record, Grounds { evidence: false, two_persons: true }).unwrap();
    destroy(&mut record, number(1), later).unwrap();
    assert_eq!(record.version(number(1)).unwrap().material, Material::Gone);
    assert!(cancel_destroy(&mut record, number(1), later).is_err());
    assert!(cancel_destroy(&mut record, number(2), later).is_err());
}

#[test]
fn the_primary_is_disabled_only_of_a_retired_key() {
    let mut record = key(1);
    assert!(disable_version(&mut record, number(1), now()).is_err());
    retire_key(&mut record).unwrap();
    assert!(promote(&mut record, number(1), now()).is_err());
    disable_version(&mut record, number(1), now()).unwrap();
    assert_eq!(record.primary, None);
    enable_key(&mut record);
    assert_eq!(record.state, KeyState::Active);
}

/// The table lets a primary become enabled (when a newer one is promoted) and a scheduled destruction
/// become disabled (when it is cancelled): enabling a primary once demoted it, and disabling once cancelled.
#[test]
fn two_steps_to_one_state_are_not_each_other() {
    let mut record = key(2);
    assert!(enable_version(&mut record, number(2), Grounds::default(), now()).is_err());
    assert_eq!(record.primary, Some(number(2)));
    disable_version(&mut record, number(1), now()).unwrap();
    let two = Grounds { two_persons: true, evidence: false };
    schedule_destroy(&mut record, number(1), now(), two, now()).unwrap();
    assert!(disable_version(&mut record, number(1), now()).is_err());
    assert_eq!(states(&record)[0], VersionState::DestroyScheduled);
}

#[derive(Debug, Clone)]
enum Act {
    Add,
    Promote(u32),
    Quarantine(Option<u32>),
    Enable(u32, bool),
    Disable(u32),
    Schedule(u32, bool),
    Cancel(u32),
    Destroy(u32),
    Retire,
    DisableKey,
    EnableKey,
}

fn act() -> impl Strategy<Value = Act> {
    let version = 1..6_u32;
    prop_oneof![
        Just(Act::Add),
        version.clone().prop_map(Act::Promote),
        prop::option::of(version.clone()).prop_map(Act::Quarantine),
        (version.clone(), any::<bool>()).prop_map(|(v, two)| Act::Enable(v, two)),
        version.clone().prop_map(Act::Disable),
        (version.clone(), any::<bool>()).prop_map(|(v, two)| Act::Schedule(v, two)),
        version.clone().prop_map(Act::Cancel),
        version.prop_map(Act::Destroy),
        Just(Act::Retire),
        Just(Act::DisableKey),
        Just(Act::EnableKey),
    ]
}

fn carry_out(record: &mut KeyRecord, act: &Act) -> Result<()> {
    let two = |two_persons| Grounds { two_persons, evidence: false };
    match *act {
        Act::Add => {
            let next = u32::try_from(record.versions.len()).unwrap() + 1;
            record.versions.push(pending(number(next)));
            Ok(())
        }
        Act::Promote(v) => promote(record, number(v), now()),
        Act::Quarantine(v) => {
            quarantine(record, v.map(number), facts(QuarantineReason::MaterialLeaked)).map(drop)
        }
        Act::Enable(v, grounds) => enable_version(record, number(v), two(grounds), now()),
        Act::Disable(v) => disable_version(record, number(v), now()),
        Act::Schedule(v, grounds) => {
            schedule_destroy(record, number(v), now(), two(grounds), now())
        }
        Act::Cancel(v) => cancel_destroy(record, number(v), now()),
        Act::Destroy(v) => destroy(record, number(v), now()),
        Act::Retire => retire_key(record),
        Act::DisableKey => disable_key(record),
        Act::EnableKey => {
            enable_key(record);
            Ok(())
        }
    }
}

proptest! {
    #[test]
    fn no_order_of_steps_breaks_a_record(acts in prop::collection::vec(act(), 1..60)) {
        let mut record = key(2);
        let mut were_primary: BTreeSet<KeyVersion> = [number(1), number(2)].into();
        for act in acts {
            let before = record.clone();
            let outcome = carry_out(&mut record, &act);
            if outcome.is_err() {
                prop_assert_eq!(&record, &before, "a refused step left a trace");
            }
            let primaries: Vec<_> = record.versions.iter()
                .filter(|v| v.state == VersionState::Primary).map(|v| v.number).collect();
            prop_assert_eq!(record.primary.into_iter().collect::<Vec<_>>(), primaries.clone());
            if let (Some(now), true) = (record.primary, record.primary != before.primary) {
                prop_assert!(were_primary.insert(now), "version {now} was promoted twice");
            }
            for version in &record.versions {
                let gone = version.material == Material::Gone;
                prop_assert_eq!(gone, version.state == VersionState::Destroyed);
            }
        }
    }
}
