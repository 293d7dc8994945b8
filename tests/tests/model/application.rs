//! The source and the application that writes to it.
//!
//! An envelope is asked for, wrapped while the service may change its mind, held as long as the application
//! likes, and written in a transaction that sees the gate as it was when it began.

use claviger_hierarchy::uses;
use claviger_kms::{KeyVersion, VersionUse};

use crate::{
    record::Envelope,
    world::{Bug, World},
};

/// A row, and what the checker knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    /// Where it stands in the order of a scan.
    pub(crate) place: u8,
    pub(crate) envelope: Envelope,
    /// The mark the application wrote last.
    pub(crate) last: u8,
    /// Whether the application wrote it since the campaign was opened.
    pub(crate) written: bool,
}

/// What the application has in hand, for a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Hand {
    Empty,
    Asked { row: u8, version: KeyVersion },
    Sealed { row: u8, envelope: Envelope },
    Writing { row: u8, envelope: Envelope, before_gate: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Ask(u8),
    Seal,
    /// Takes the envelope that stands there, to write it back.
    Copy(u8),
    Begin,
    Commit,
    /// Changes the row's key columns, and so its place; the envelope stays.
    Move(u8),
}

impl World {
    pub(crate) fn application_acts(&self, places: u8, acts: &mut Vec<Act>) {
        let rows = 0..self.rows.len() as u8;
        match &self.hand {
            Hand::Empty if self.writes > 0 => {
                acts.extend(rows.clone().flat_map(|row| [Act::Ask(row), Act::Copy(row)]));
            }
            Hand::Empty => {}
            Hand::Asked { .. } => acts.push(Act::Seal),
            Hand::Sealed { .. } => acts.push(Act::Begin),
            Hand::Writing { .. } => acts.push(Act::Commit),
        }
        if self.moves > 0 && usize::from(places) > self.rows.len() {
            acts.extend(rows.map(Act::Move));
        }
    }

    pub(crate) fn application_acts_on(
        &mut self,
        act: Act,
        bug: Option<Bug>,
        places: u8,
    ) -> Option<()> {
        match act {
            Act::Ask(row) => {
                let version = uses::primary_of(&self.record).ok()?;
                self.ghost.begins_to_wrap(version);
                self.hand = Hand::Asked { row, version };
                self.writes -= 1;
            }
            Act::Seal => self.seal(bug)?,
            Act::Copy(row) => {
                let envelope = self.rows.get(usize::from(row))?.envelope;
                self.hand = Hand::Sealed { row, envelope };
                self.writes -= 1;
            }
            Act::Begin => {
                let Hand::Sealed { row, envelope } = self.hand else { return None };
                let before_gate = !self.evidence.gate;
                self.hand = Hand::Writing { row, envelope, before_gate };
            }
            Act::Commit => self.commit(bug)?,
            Act::Move(row) => {
                let free = (0..places).find(|place| self.row_at(*place).is_none())?;
                let row = self.rows.get_mut(usize::from(row))?;
                row.place = free;
                // A pass may not see it either; the scans before a destruction must.
                row.written = true;
                self.moves -= 1;
            }
        }
        Some(())
    }

    /// The service's answer: it looks at the record again before the new envelope leaves.
    fn seal(&mut self, bug: Option<Bug>) -> Option<()> {
        let Hand::Asked { row, version } = self.hand else { return None };
        self.marks += 1;
        if !self.wrap_may_leave(version, bug) {
            self.hand = Hand::Empty;
            return Some(());
        }
        self.ghost.wrapped(version);
        let envelope = Envelope::under(&self.record, version, self.marks)?;
        self.hand = Hand::Sealed { row, envelope };
        Some(())
    }

    pub(crate) fn wrap_may_leave(&self, version: KeyVersion, bug: Option<Bug>) -> bool {
        match bug {
            Some(Bug::DoesNotConfirm) => true,
            Some(Bug::ConfirmsAWrapAsAnUnwrap) => {
                uses::check_use(&self.record, version, VersionUse::UnwrapForCaller).is_ok()
            }
            _ => uses::check_wrapped(&self.record, version).is_ok(),
        }
    }

    /// The gate reads the version from the new bytes, if these changed.
    fn commit(&mut self, bug: Option<Bug>) -> Option<()> {
        let Hand::Writing { row, envelope, before_gate } = self.hand else { return None };
        self.hand = Hand::Empty;
        let gated = self.evidence.gate && !before_gate && bug != Some(Bug::NoGate);
        let row = self.rows.get_mut(usize::from(row))?;
        if gated && envelope.version == KeyVersion::FIRST && row.envelope != envelope {
            return Some(());
        }
        row.envelope = envelope;
        row.last = envelope.mark;
        row.written = true;
        Some(())
    }

    pub(crate) fn row_at(&self, place: u8) -> Option<&Row> {
        self.rows.iter().find(|row| row.place == place)
    }

    pub(crate) fn has_older_transaction(&self) -> bool {
        matches!(self.hand, Hand::Writing { before_gate: true, .. })
    }
}
