//! Each rule by itself.

use super::*;

fn key(number: u8) -> KeyId {
    KeyId::from_bytes([number; 16])
}

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

fn goal() -> Goal {
    Goal::Version { key: key(1), primary: version(3), newest: version(4) }
}

fn under(keys: &[(u8, u32)]) -> Found {
    Found::Envelope(keys.iter().map(|(id, number)| (key(*id), version(*number))).collect())
}

#[test]
fn only_older_versions_of_the_key_move() {
    for (found, expected) in [
        (Found::Empty, Step::Empty),
        (Found::Malformed, Step::Malformed),
        (under(&[]), Step::Foreign),
        (under(&[(2, 1)]), Step::Foreign),
        (under(&[(1, 2)]), Step::Move),
        (under(&[(1, 3)]), Step::Current),
        (under(&[(1, 4)]), Step::Current),
        (under(&[(1, 5)]), Step::UnknownVersion),
        (under(&[(2, 9), (1, 2)]), Step::Move),
        (under(&[(2, 9), (1, 3)]), Step::Current),
        // The two headers of a file that a crash has left between two versions.
        (under(&[(1, 3), (1, 2)]), Step::Move),
    ] {
        assert_eq!(step(&found, &goal()), expected, "{found:?}");
    }
}

#[test]
fn a_move_between_services_leaves_what_has_arrived() {
    let goal = Goal::Key { from: key(1), to: Some(key(2)) };
    assert_eq!(step(&under(&[(1, 9)]), &goal), Step::Move);
    assert_eq!(step(&under(&[(2, 1)]), &goal), Step::Current);
    assert_eq!(step(&under(&[(3, 1)]), &goal), Step::Foreign);
}

#[test]
fn an_older_version_of_the_same_key_is_a_step_back() {
    let one = |id, number| vec![(key(id), version(number))];
    assert!(goes_back(&one(1, 3), &one(1, 2)));
    assert!(!goes_back(&one(1, 3), &one(1, 3)));
    assert!(!goes_back(&one(1, 3), &one(2, 1)));
}

#[test]
fn whatever_is_counted_adds_up_and_only_a_replacement_is_moved() {
    let mut counts = CampaignCounts::default();
    for outcome in [Replaced::Replaced, Replaced::Conflict, Replaced::Gone, Replaced::Refused] {
        count_replaced(&mut counts, outcome);
    }
    let all = [Step::Empty, Step::Malformed, Step::Foreign, Step::Current, Step::Move];
    for step in all.into_iter().chain([Step::UnknownVersion]) {
        count_left(&mut counts, step);
    }
    assert!(counts.adds_up());
    assert_eq!((counts.scanned, counts.moved, counts.refused), (10, 1, 3));
}

#[test]
fn a_pass_that_moved_or_met_a_conflict_is_not_the_last() {
    let counts = CampaignCounts::default();
    let with = |moved, conflicts, refused| CampaignCounts { moved, conflicts, refused, ..counts };
    assert_eq!(after_pass(&with(0, 0, 0), true, 1, 5), Next::Complete);
    assert_eq!(after_pass(&with(1, 0, 0), true, 1, 5), Next::Again);
    assert_eq!(after_pass(&with(0, 1, 0), true, 4, 5), Next::Again);
    assert_eq!(after_pass(&with(0, 1, 0), true, 5, 5), Next::Partial);
    assert_eq!(after_pass(&with(1, 0, 0), true, 5, 5), Next::Partial);
    assert_eq!(after_pass(&with(0, 0, 1), true, 1, 5), Next::Partial);
    assert_eq!(campaign_state(&[Next::Complete, Next::Again]), None);
    assert_eq!(campaign_state(&[Next::Complete, Next::Partial]), Some(CampaignState::Partial));
    assert_eq!(campaign_state(&[Next::Complete]), Some(CampaignState::Complete));
}

#[test]
fn a_watcher_runs_at_start_after_a_rotation_and_when_it_helps() {
    let last = |number, again| Some(LastRun { primary: version(number), again });
    assert!(!should_run(1, Some(version(1)), None));
    assert!(should_run(2, Some(version(2)), None));
    assert!(!should_run(2, None, None));
    assert!(!should_run(2, Some(version(2)), last(2, false)));
    assert!(should_run(2, Some(version(2)), last(2, true)));
    assert!(should_run(3, Some(version(3)), last(2, false)));
}

/// A pass that found everything current was killed halfway and the key rotated; the resumed run looked only at
/// the rest, for the newer version, and called the campaign complete. A watcher then left the first half
/// under the old version until the next rotation.
#[test]
fn a_pass_that_was_resumed_or_overtaken_is_not_the_last() {
    let nothing_left = CampaignCounts::default();
    assert_eq!(after_pass(&nothing_left, false, 1, 5), Next::Again);
    assert_eq!(after_pass(&nothing_left, false, 5, 5), Next::Partial);
}
