//! What is explored.

#![expect(clippy::print_stdout, reason = "says how much was explored")]

use std::{collections::BTreeSet, time::Instant};

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::{
    service::Command::{
        Cancel, Destroy, Disable, DisableKey, Enable, EnableKey, Quarantine, RetireKey, Rotate,
        Schedule,
    },
    world::{
        A_CAMPAIGN_COMPLETES, A_THIRD_PRIMARY, Bug, CANCELLED_AT_EXPIRY, DESTROYED_WITH_EVIDENCE,
        QUARANTINED_IS_MOVED, SHREDDED, Scenario,
    },
};

/// Two operators rotate and stop the same key at once while the application writes.
pub(crate) fn operators() -> Scenario {
    Scenario {
        commands: vec![
            Rotate,
            Rotate,
            Quarantine { drain: true },
            Enable { version: 1, two_persons: true },
        ],
        operators: 2,
        writes: 1,
        faults: 1,
        shows: &[A_THIRD_PRIMARY],
        ..nothing()
    }
}

/// Two operators, one of whom shreds what the other would keep.
pub(crate) fn shredding() -> Scenario {
    Scenario {
        commands: vec![
            Rotate,
            Disable { version: 1 },
            Schedule { version: 1, two_persons: true },
            Destroy { version: 1 },
            Cancel { version: 1 },
        ],
        operators: 2,
        writes: 1,
        faults: 1,
        shows: &[SHREDDED],
        ..nothing()
    }
}

/// Whole keys are disabled, retired and taken back meanwhile.
pub(crate) fn whole_keys() -> Scenario {
    Scenario {
        commands: vec![
            DisableKey,
            EnableKey,
            RetireKey,
            Rotate,
            Disable { version: 1 },
            Quarantine { drain: false },
        ],
        operators: 2,
        writes: 1,
        shows: &[A_THIRD_PRIMARY],
        ..nothing()
    }
}

/// One runner that may die, an application that writes and copies, two rotations.
pub(crate) fn campaign() -> Scenario {
    Scenario {
        commands: vec![Rotate, Rotate],
        rows: 2,
        places: 2,
        writes: 1,
        runners: 1,
        starts: 2,
        faults: 1,
        shows: &[A_CAMPAIGN_COMPLETES, A_THIRD_PRIMARY],
        ..nothing()
    }
}

/// Two runners of one campaign at once, and a version disabled under them.
pub(crate) fn two_runners() -> Scenario {
    Scenario {
        commands: vec![Rotate, Rotate, Disable { version: 1 }],
        writes: 1,
        runners: 2,
        starts: 2,
        shows: &[A_CAMPAIGN_COMPLETES, A_THIRD_PRIMARY],
        ..nothing()
    }
}

/// An emergency: the campaign moves what only a quarantined version opens.
pub(crate) fn emergency() -> Scenario {
    Scenario {
        commands: vec![Quarantine { drain: false }, Disable { version: 1 }],
        operators: 2,
        rows: 2,
        places: 2,
        writes: 1,
        runners: 1,
        starts: 2,
        faults: 1,
        shows: &[A_CAMPAIGN_COMPLETES, QUARANTINED_IS_MOVED],
        ..nothing()
    }
}

/// After a rotation, from the campaign to the destruction with evidence, against an application that holds an old envelope,
/// has a transaction older than the gate and moves a row, and an operator who opens the gate again.
pub(crate) fn destruction() -> Scenario {
    Scenario {
        rotated: true,
        commands: vec![
            Disable { version: 1 },
            Schedule { version: 1, two_persons: false },
            Destroy { version: 1 },
        ],
        operators: 1,
        rows: 1,
        places: 2,
        writes: 1,
        moves: 1,
        evidence: Some(1),
        runners: 1,
        starts: 1,
        shows: &[A_CAMPAIGN_COMPLETES, DESTROYED_WITH_EVIDENCE, CANCELLED_AT_EXPIRY],
        ..nothing()
    }
}

fn nothing() -> Scenario {
    Scenario {
        rotated: false,
        commands: Vec::new(),
        operators: 1,
        rows: 1,
        places: 1,
        writes: 0,
        moves: 0,
        evidence: None,
        runners: 0,
        starts: 0,
        faults: 0,
        shows: &[],
        bug: None,
    }
}

/// Explores all of a scenario: every property holds, what it is to show can happen, and it is not small.
pub(crate) fn holds(name: &str, scenario: Scenario, at_least: usize) {
    let began = Instant::now();
    let checker = scenario.checker().threads(2).spawn_dfs().join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states in {:.1} s", began.elapsed().as_secs_f64());
    checker.assert_properties();
    assert!(checker.is_done(), "{name} was not explored to its end");
    assert!(states >= at_least, "{name} has shrunk to {states} states");
}

/// Plants a mistake and shows the shortest way to the property it breaks; without it the same scenario holds.
pub(crate) fn finds(bug: Bug, scenario: Scenario, property: &'static str) {
    let began = Instant::now();
    let planted = Scenario { bug: Some(bug), shows: &[], ..scenario };
    let until = HasDiscoveries::AllOf(BTreeSet::from([property]));
    let checker = planted.checker().finish_when(until).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.unwrap_or_else(|| panic!("{bug:?} does not break: {property}"));
    let events = path.into_actions();
    let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
    println!("{bug:?}: {property}: {states} states in {seconds:.1} s: {events:?}");
}
