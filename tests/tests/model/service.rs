//! Two operators, each before an instance of the service, on one store: read, step, compare and swap. Between
//! any two of these anything may happen; a reply may be lost after the commit, an instance may crash before it.

use claviger_hierarchy::steps::{self, Grounds};
use claviger_keystore::KeyRecord;
use claviger_kms::{
    KeyVersion, KmsError, Principal, QuarantineFacts, QuarantineReason, Result, VersionState,
};

use crate::{
    evidence,
    record::{NOW, Stored, newest, pending},
    world::{Bug, World},
};

/// What an operator, or the scheduler in his place, asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    Rotate,
    Quarantine { drain: bool },
    Enable { version: u32, two_persons: bool },
    Disable { version: u32 },
    Schedule { version: u32, two_persons: bool },
    Cancel { version: u32 },
    Destroy { version: u32 },
    DisableKey,
    EnableKey,
    RetireKey,
}

/// A request under way.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) struct Request {
    /// Its place in the scenario's list; its name is made of it.
    pub(crate) number: u8,
    pub(crate) command: Command,
    /// What the instance has read.
    pub(crate) read: Option<Stored>,
    /// A quarantine stops first and makes a new primary version then.
    pub(crate) replaces: bool,
    /// How often it changed the record: of a quarantine, each part by itself.
    pub(crate) changed: u8,
}

impl Request {
    pub(crate) fn new(number: u8, command: Command) -> Self {
        Self { number, command, read: None, replaces: false, changed: 0 }
    }

    /// The idempotency key, as the record keeps it.
    fn tag(&self) -> String {
        format!("request {}", self.number)
    }

    /// The same request once more, after a crash or a lost reply.
    pub(crate) fn again(&mut self) {
        self.read = None;
        self.replaces = false;
    }
}

/// What is written by a request, from what it has read; the same record if it changes nothing.
pub(crate) fn step(
    world: &World,
    bug: Option<Bug>,
    request: &Request,
    read: &Stored,
) -> Result<KeyRecord> {
    let mut record = read.copy();
    let in_state = |number: KeyVersion, state| read.is(number, state);
    match request.command {
        Command::Rotate => rotate(&mut record, request, bug)?,
        Command::Quarantine { .. } if request.replaces => rotate(&mut record, request, bug)?,
        Command::Quarantine { drain } => quarantine(&mut record, request, drain, bug)?,
        Command::Enable { version, two_persons } => {
            let version = number(version);
            if bug == Some(Bug::PromotesTwice) {
                // Undoes a rotation by making the old version primary again.
                return promote_again(record, version);
            }
            if !in_state(version, VersionState::Enabled) {
                let grounds = Grounds { two_persons, evidence: false };
                steps::enable_version(&mut record, version, grounds, NOW)?;
            }
        }
        Command::Disable { version } => {
            if !in_state(number(version), VersionState::Disabled) {
                steps::disable_version(&mut record, number(version), NOW)?;
            }
        }
        Command::Schedule { version, two_persons } => {
            let version = number(version);
            if !in_state(version, VersionState::DestroyScheduled) {
                let grounds = evidence::grounds(world, bug, version, two_persons);
                steps::schedule_destroy(&mut record, version, NOW, grounds, NOW)?;
                if let Some(found) = record.versions.iter_mut().find(|v| v.number == version) {
                    found.evidence = grounds.evidence.then(|| "evidence".to_owned());
                }
            }
        }
        Command::Cancel { version } if bug == Some(Bug::CancelsTooLate) => {
            // Does not look whether it is destroyed already.
            if let Some(found) = record.versions.iter_mut().find(|v| v.number == number(version)) {
                found.state = VersionState::Disabled;
            }
        }
        Command::Cancel { version } => steps::cancel_destroy(&mut record, number(version), NOW)?,
        Command::Destroy { version } => destroy(world, bug, &mut record, number(version))?,
        Command::DisableKey => steps::disable_key(&mut record)?,
        Command::EnableKey => steps::enable_key(&mut record),
        Command::RetireKey => steps::retire_key(&mut record)?,
    }
    Ok(record)
}

/// At its time a version is destroyed if what it rests on still holds, and its destruction cancelled else.
fn destroy(
    world: &World,
    bug: Option<Bug>,
    record: &mut KeyRecord,
    version: KeyVersion,
) -> Result<()> {
    let rests_on_evidence = record.version(version).is_some_and(|found| found.evidence.is_some());
    let rechecks = rests_on_evidence && bug != Some(Bug::NoRecheck);
    if rechecks && !evidence::grounds(world, bug, version, false).evidence {
        return steps::cancel_destroy(record, version, NOW);
    }
    steps::destroy(record, version, NOW)
}

fn rotate(record: &mut KeyRecord, request: &Request, bug: Option<Bug>) -> Result<()> {
    let tag = Some(request.tag());
    let made = record.versions.iter().any(|version| version.request == tag);
    if made && bug != Some(Bug::RepeatsRetries) {
        return Ok(());
    }
    let next = newest(record).next()?;
    record.versions.push(pending(next, request.number, tag));
    steps::promote(record, next, NOW)
}

fn quarantine(
    record: &mut KeyRecord,
    request: &Request,
    drain: bool,
    bug: Option<Bug>,
) -> Result<()> {
    let tag = Some(request.tag());
    if record.quarantine_request == tag && bug != Some(Bug::RepeatsRetries) {
        return Ok(());
    }
    let by = Principal::of_uid(1);
    let reason = QuarantineReason::MisuseSuspected;
    let primary = record.primary;
    steps::quarantine(record, None, QuarantineFacts { reason, drain, by, at: NOW })?;
    record.quarantine_request = tag;
    if bug == Some(Bug::QuarantineKeepsThePrimary) {
        record.primary = primary;
        for version in record.versions.iter_mut().filter(|v| Some(v.number) == primary) {
            version.state = VersionState::Primary;
        }
    }
    Ok(())
}

fn promote_again(mut record: KeyRecord, version: KeyVersion) -> Result<KeyRecord> {
    let former = record.primary.replace(version);
    for found in &mut record.versions {
        if found.number == version {
            found.state = VersionState::Primary;
        } else if Some(found.number) == former {
            found.state = VersionState::Enabled;
        }
    }
    record.version(version).ok_or(KmsError::Rejected)?;
    Ok(record)
}

pub(crate) fn number(number: u32) -> KeyVersion {
    KeyVersion::new(number).expect("from 1")
}
