//! What the checker remembers and no part of the protocol knows: what was ever done.

use claviger_keystore::{KeyRecord, Material};
use claviger_kms::{KeyVersion, VersionState};

use crate::{
    record::{Stored, material},
    service::Command,
    world::World,
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// Every version that was primary, with its material, in order.
    pub(crate) primaries: Vec<(KeyVersion, u8)>,
    pub(crate) promoted_back: bool,
    /// Versions that a quarantine was to stop.
    stopped: Vec<KeyVersion>,
    pub(crate) wrapped_stopped: bool,
    pub(crate) unwrapped_disabled: bool,
    /// Whether a campaign opened a version that was stopped.
    pub(crate) rescued: bool,
    /// Versions that were destroyed, and those of them that two persons shredded.
    pub(crate) destroyed: Vec<KeyVersion>,
    shredded: Vec<KeyVersion>,
    pub(crate) destroyed_in_use: bool,
    pub(crate) destroyed_with_evidence: bool,
    pub(crate) cancelled_at_expiry: bool,
    pub(crate) changed_twice: bool,
    pub(crate) moved_back: bool,
    pub(crate) completed: bool,
    pub(crate) left_behind: bool,
}

impl Ghost {
    pub(crate) fn new(record: &Stored) -> Self {
        let mut ghost = Self::default();
        ghost.sees_primary(record);
        ghost
    }

    pub(crate) fn begins_to_wrap(&mut self, version: KeyVersion) {
        self.wrapped_stopped |= self.stopped.contains(&version);
    }

    pub(crate) fn wrapped(&mut self, version: KeyVersion) {
        self.wrapped_stopped |= self.stopped.contains(&version);
    }

    pub(crate) fn unwrapped(&mut self, record: &Stored, version: KeyVersion) {
        use VersionState::{DestroyScheduled, Destroyed, Disabled};
        self.rescued |= self.stopped.contains(&version);
        self.unwrapped_disabled |=
            [Disabled, DestroyScheduled, Destroyed].iter().any(|state| record.is(version, *state));
    }

    /// Whether two persons gave up what stands under this version.
    pub(crate) fn is_shredded(&self, version: KeyVersion) -> bool {
        self.shredded.contains(&version)
    }

    fn sees_primary(&mut self, record: &Stored) {
        let Some(primary) = record.primary else { return };
        let found = record.version(primary).and_then(material).map(|key| (primary, key));
        let last = self.primaries.last().copied();
        if let Some(found) = found.filter(|found| Some(*found) != last) {
            self.promoted_back |= last.is_some_and(|(last, _)| found.0 < last);
            self.primaries.push(found);
        }
    }
}

/// One write to the store, as the checker sees it.
pub(crate) fn observe(world: &mut World, before: &Stored, command: Command, stops: bool) {
    let after = world.record.clone();
    if let (Command::Quarantine { .. }, true) = (command, stops) {
        let uses = |state| matches!(state, VersionState::Primary | VersionState::Enabled);
        let stopped = before.versions.iter().filter(|version| uses(version.state));
        world.ghost.stopped.extend(stopped.map(|version| version.number));
    }
    world.ghost.sees_primary(&after);
    for version in &after.versions {
        let was = before.version(version.number);
        let became = |state| version.state == state && was.is_none_or(|was| was.state != state);
        let by_two = matches!(command, Command::Schedule { two_persons: true, .. });
        if by_two && became(VersionState::DestroyScheduled) {
            world.ghost.shredded.push(version.number);
        }
        if let Command::Destroy { .. } = command {
            world.ghost.cancelled_at_expiry |= became(VersionState::Disabled);
        }
        if became(VersionState::Destroyed) {
            let shredded = world.ghost.is_shredded(version.number);
            let stands = world.rows.iter().any(|row| row.envelope.version == version.number);
            world.ghost.destroyed.push(version.number);
            world.ghost.destroyed_in_use |= stands && !shredded;
            world.ghost.destroyed_with_evidence |= !shredded;
        }
        if was.is_some_and(|was| was.state == VersionState::DestroyScheduled)
            && became(VersionState::Disabled)
        {
            world.ghost.shredded.retain(|number| *number != version.number);
        }
    }
}

pub(crate) fn is_tombstone(record: &KeyRecord, number: KeyVersion) -> bool {
    record.version(number).is_some_and(|version| {
        version.state == VersionState::Destroyed && version.material == Material::Gone
    })
}
