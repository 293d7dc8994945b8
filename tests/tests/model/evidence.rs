//! What may be known of a source before a version is destroyed: a write gate, and scans after it.

use claviger_hierarchy::steps::Grounds;
use claviger_kms::{KeyVersion, VersionState};

use crate::world::{Bug, World};

/// The facts, of version 1 only: the one that the scenarios destroy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Evidence {
    /// The source refuses envelopes under the version, from transactions begun since.
    pub(crate) gate: bool,
    /// Clean scans in a row begun since the gate closed and every older transaction ended.
    pub(crate) clean: u8,
    /// The scan under way.
    pub(crate) scan: Option<Scan>,
    /// How often the gate may be opened yet.
    pub(crate) openings: u8,
}

/// A scan, place by place: it sees each as it is then, not all at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scan {
    pub(crate) place: u8,
    pub(crate) clean: bool,
}

impl Evidence {
    pub(crate) fn open_gate(&mut self) {
        *self = Self { openings: self.openings.saturating_sub(1), ..Self::default() };
    }

    /// Whether a scan begun now counts.
    pub(crate) fn may_scan(&self, older_transaction: bool, bug: Option<Bug>) -> bool {
        let ended = !older_transaction || bug == Some(Bug::ScansBesideOlderTransactions);
        self.scan.is_none() && self.gate && ended && self.clean < ENOUGH
    }

    /// Looks at one place.
    pub(crate) fn look(&mut self, found: bool, places: u8) {
        let Some(scan) = &mut self.scan else { return };
        scan.clean &= !found;
        scan.place += 1;
        if scan.place == places {
            self.clean = if scan.clean { self.clean + 1 } else { 0 };
            self.scan = None;
        }
    }
}

/// What the destruction of a version rests on: the order of gate and scans, which `claviger_operations` judges by
/// their times.
pub(crate) fn grounds(
    world: &World,
    bug: Option<Bug>,
    version: KeyVersion,
    two_persons: bool,
) -> Grounds {
    let stopped = world.record.version(version).is_some_and(|found| {
        matches!(found.state, VersionState::Disabled | VersionState::DestroyScheduled)
    });
    let scans = if bug == Some(Bug::OneScan) { 1 } else { ENOUGH };
    let facts = &world.evidence;
    let evidence = version == KeyVersion::FIRST && stopped && facts.gate && facts.clean >= scans;
    Grounds { two_persons, evidence: evidence || bug == Some(Bug::DestroysWithoutEvidence) }
}

const ENOUGH: u8 = 2;
