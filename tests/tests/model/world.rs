//! The world: everything that is not one of the service's own rules, and the properties that must hold in it.

use claviger_kms::{KeyVersion, VersionState};
use stateright::{Model, Property};

use crate::{
    application::{Act, Hand, Row},
    campaign::{Register, Runner, Turn},
    evidence::{Evidence, Scan},
    ghost::{self, Ghost},
    record::{Envelope, Stored, new_key},
    service::{self, Command, Request},
};

/// The bounds of one exploration, and the mistake that is planted in it.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// Whether the key was rotated once before.
    pub(crate) rotated: bool,
    /// What the operators ask for, each once, in any order.
    pub(crate) commands: Vec<Command>,
    pub(crate) operators: usize,
    pub(crate) rows: u8,
    /// Places in the source; more than rows, if rows may move.
    pub(crate) places: u8,
    /// Envelopes the application writes.
    pub(crate) writes: u8,
    pub(crate) moves: u8,
    /// Whether there is a gate, and how often it may be opened again.
    pub(crate) evidence: Option<u8>,
    pub(crate) runners: usize,
    /// Campaign runs begun.
    pub(crate) starts: u8,
    /// Crashes and lost replies.
    pub(crate) faults: u8,
    /// What can happen in it, else it shows nothing.
    pub(crate) shows: &'static [&'static str],
    pub(crate) bug: Option<Bug>,
}

/// A mistake that the model must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    NoStoreCompare,
    NoSourceCompare,
    NoGate,
    PromotesTwice,
    QuarantineKeepsThePrimary,
    RepeatsRetries,
    DoesNotConfirm,
    ConfirmsAWrapAsAnUnwrap,
    RewrapOpensDisabled,
    CancelsTooLate,
    DestroysWithoutEvidence,
    NoRecheck,
    OneScan,
    ScansBesideOlderTransactions,
    CursorIsTheTruth,
    ResumesPastARotation,
    MovesToAnyOtherVersion,
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) struct World {
    /// What the store holds.
    pub(crate) record: Stored,
    /// Commands not yet given.
    pub(crate) unsent: Vec<u8>,
    pub(crate) operators: Vec<Option<Request>>,
    pub(crate) rows: Vec<Row>,
    pub(crate) hand: Hand,
    pub(crate) writes: u8,
    pub(crate) moves: u8,
    /// Marks given out.
    pub(crate) marks: u8,
    pub(crate) evidence: Evidence,
    pub(crate) register: Option<Register>,
    pub(crate) runners: Vec<Option<Runner>>,
    pub(crate) starts: u8,
    pub(crate) faults: u8,
    pub(crate) ghost: Ghost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Send { operator: usize, command: u8 },
    Read { operator: usize },
    Commit { operator: usize, reply_lost: bool },
    InstanceCrashes { operator: usize },
    Application(Act),
    CloseGate,
    OpenGate,
    BeginScan,
    LookAtNextPlace,
    Runner { runner: usize, turn: Turn },
}

impl Model for Scenario {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let record = new_key(self.rotated);
        let row = |place| Row {
            place,
            envelope: Envelope { version: KeyVersion::FIRST, material: 0, mark: place },
            last: place,
            written: false,
        };
        // The last places, so that a row may move behind a scan.
        let free = self.places - self.rows;
        vec![World {
            ghost: Ghost::new(&record),
            record,
            unsent: (0..self.commands.len() as u8).collect(),
            operators: vec![None; self.operators],
            rows: (free..self.places).map(row).collect(),
            hand: Hand::Empty,
            writes: self.writes,
            moves: self.moves,
            marks: self.places,
            evidence: Evidence { openings: self.evidence.unwrap_or(0), ..Evidence::default() },
            register: None,
            runners: vec![None; self.runners],
            starts: self.starts,
            faults: self.faults,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        // One idle operator is as good as the other.
        if let Some(operator) = world.operators.iter().position(Option::is_none) {
            let send = |command: &u8| Event::Send { operator, command: *command };
            events.extend(world.unsent.iter().map(send));
        }
        for (operator, request) in world.operators.iter().enumerate() {
            match request {
                None => {}
                Some(Request { read: None, .. }) => events.push(Event::Read { operator }),
                Some(_) => {
                    events.push(Event::Commit { operator, reply_lost: false });
                    if world.faults > 0 {
                        events.push(Event::Commit { operator, reply_lost: true });
                        events.push(Event::InstanceCrashes { operator });
                    }
                }
            }
        }
        let mut acts = Vec::new();
        world.application_acts(self.places, &mut acts);
        events.extend(acts.into_iter().map(Event::Application));
        if self.evidence.is_some() {
            self.evidence_events(world, events);
        }
        for runner in 0..world.runners.len() {
            let mut turns = Vec::new();
            world.runner_turns(runner, &mut turns);
            events.extend(turns.into_iter().map(|turn| Event::Runner { runner, turn }));
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::Send { operator, command } => {
                next.unsent.retain(|unsent| *unsent != command);
                let asked = *self.commands.get(usize::from(command))?;
                *next.operators.get_mut(operator)? = Some(Request::new(command + 1, asked));
            }
            Event::Read { operator } => {
                let now = next.record.clone();
                next.operators.get_mut(operator)?.as_mut()?.read = Some(now);
            }
            Event::Commit { operator, reply_lost } => {
                self.commit(&mut next, operator, reply_lost)?
            }
            Event::InstanceCrashes { operator } => {
                next.operators.get_mut(operator)?.as_mut()?.again();
                next.faults -= 1;
            }
            Event::Application(act) => next.application_acts_on(act, self.bug, self.places)?,
            Event::CloseGate => next.evidence.gate = true,
            Event::OpenGate => next.evidence.open_gate(),
            Event::BeginScan => next.evidence.scan = Some(Scan { place: 0, clean: true }),
            Event::LookAtNextPlace => {
                let place = next.evidence.scan.as_ref()?.place;
                let found = next.row_at(place).map(|row| row.envelope.version);
                next.evidence.look(found == Some(KeyVersion::FIRST), self.places);
            }
            Event::Runner { runner, turn } => {
                next.runner_turn(runner, turn, self.bug, self.places)?;
            }
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(AT_MOST_ONE_PRIMARY, |_, world: &World| at_most_one_primary(world)),
            Property::always(ONLY_FORWARD, |_, world: &World| !world.ghost.promoted_back),
            Property::always(ENVELOPES_OPEN, |_, world: &World| envelopes_open(world)),
            Property::always(NOTHING_NEEDED_DESTROYED, |_, world: &World| {
                !world.ghost.destroyed_in_use
            }),
            Property::always(NO_UPDATE_LOST, |_, world: &World| {
                world.rows.iter().all(|row| row.envelope.mark == row.last)
            }),
            Property::always(QUARANTINED_NEVER_WRAPS, |_, world: &World| {
                !world.ghost.wrapped_stopped
            }),
            Property::always(DISABLED_NEVER_UNWRAPS, |_, world: &World| {
                !world.ghost.unwrapped_disabled
            }),
            Property::always(DESTROYED_STAYS_SO, |_, world: &World| {
                world.ghost.destroyed.iter().all(|v| ghost::is_tombstone(&world.record, *v))
            }),
            Property::always(ONE_REQUEST_ONE_CHANGE, |_, world: &World| !world.ghost.changed_twice),
            Property::always(CAMPAIGNS_GO_FORWARD, |_, world: &World| !world.ghost.moved_back),
            Property::always(COMPLETE_IS_COMPLETE, |_, world: &World| !world.ghost.left_behind),
        ];
        let possible = [
            Property::sometimes(A_CAMPAIGN_COMPLETES, |_, world: &World| world.ghost.completed),
            Property::sometimes(QUARANTINED_IS_MOVED, |_, world: &World| world.ghost.rescued),
            Property::sometimes(DESTROYED_WITH_EVIDENCE, |_, world: &World| {
                world.ghost.destroyed_with_evidence
            }),
            Property::sometimes(CANCELLED_AT_EXPIRY, |_, world: &World| {
                world.ghost.cancelled_at_expiry
            }),
            Property::sometimes(A_THIRD_PRIMARY, |_, world: &World| {
                world.ghost.primaries.len() > 2
            }),
            Property::sometimes(SHREDDED, |_, world: &World| {
                world.ghost.destroyed.iter().any(|version| world.ghost.is_shredded(*version))
            }),
        ];
        properties.extend(possible.into_iter().filter(|p| self.shows.contains(&p.name)));
        properties
    }
}

impl Scenario {
    /// The compare-and-swap, and the reply.
    fn commit(&self, world: &mut World, operator: usize, reply_lost: bool) -> Option<()> {
        let mut request = world.operators.get(operator)?.clone()?;
        let read = request.read.take()?;
        let before = world.record.clone();
        let stepped = service::step(world, self.bug, &request, &read);
        let mut done = true;
        if let Ok(mut record) = stepped {
            let unchanged = read == Stored::new(record.clone());
            if !unchanged && read.epoch != before.epoch && self.bug != Some(Bug::NoStoreCompare) {
                // Overtaken: it reads again.
                if reply_lost {
                    return None;
                }
                *world.operators.get_mut(operator)? = Some(request);
                return Some(());
            }
            if !unchanged {
                record.epoch += 1;
                world.record = Stored::new(record);
                request.changed += 1;
                let stops = !request.replaces;
                ghost::observe(world, &before, request.command, stops);
            }
            // The others have no name: repeated after another's contrary wish, they are a new wish.
            world.ghost.changed_twice |= match request.command {
                Command::Rotate => request.changed > 1,
                Command::Quarantine { .. } => request.changed > 2,
                _ => false,
            };
            if matches!(request.command, Command::Quarantine { .. }) && !request.replaces {
                request.replaces = true;
                done = false;
            }
        }
        if reply_lost {
            world.faults -= 1;
            request.again();
        }
        *world.operators.get_mut(operator)? = (reply_lost || !done).then_some(request);
        Some(())
    }

    fn evidence_events(&self, world: &World, events: &mut Vec<Event>) {
        let evidence = &world.evidence;
        if !evidence.gate {
            events.push(Event::CloseGate);
        } else if evidence.openings > 0 && world.ghost.destroyed.is_empty() {
            events.push(Event::OpenGate);
        }
        if evidence.scan.is_some() {
            events.push(Event::LookAtNextPlace);
        } else if evidence.may_scan(world.has_older_transaction(), self.bug) {
            events.push(Event::BeginScan);
        }
    }
}

/// One in the record, the one it names; and each number stands for one key for ever.
fn at_most_one_primary(world: &World) -> bool {
    let mut primaries = world
        .record
        .versions
        .iter()
        .filter(|version| version.state == VersionState::Primary)
        .map(|version| version.number);
    let named = world.record.primary == primaries.next() && primaries.next().is_none();
    let keys = &world.ghost.primaries;
    named && keys.iter().all(|one| keys.iter().all(|two| one.0 != two.0 || one == two))
}

fn envelopes_open(world: &World) -> bool {
    world.rows.iter().map(|row| row.envelope).all(|envelope| {
        let shredded = world.ghost.is_shredded(envelope.version)
            && world.record.is(envelope.version, VersionState::Destroyed);
        envelope.opens(&world.record) || shredded
    })
}

pub(crate) const AT_MOST_ONE_PRIMARY: &str = "at most one primary version";
pub(crate) const ONLY_FORWARD: &str = "versions only go forward";
pub(crate) const ENVELOPES_OPEN: &str = "every envelope opens until its version is shredded";
pub(crate) const NOTHING_NEEDED_DESTROYED: &str =
    "no version is destroyed while an envelope needs it";
pub(crate) const NO_UPDATE_LOST: &str = "no update of the application is lost";
pub(crate) const QUARANTINED_NEVER_WRAPS: &str = "a quarantined version never wraps again";
pub(crate) const DISABLED_NEVER_UNWRAPS: &str = "a disabled version unwraps nothing";
pub(crate) const DESTROYED_STAYS_SO: &str = "a destroyed version never comes back";
pub(crate) const ONE_REQUEST_ONE_CHANGE: &str =
    "a repeated rotation or quarantine changes nothing twice";
pub(crate) const CAMPAIGNS_GO_FORWARD: &str = "a campaign never moves an envelope back";
pub(crate) const COMPLETE_IS_COMPLETE: &str = "a complete campaign left nothing behind";

pub(crate) const A_CAMPAIGN_COMPLETES: &str = "a campaign completes";
pub(crate) const QUARANTINED_IS_MOVED: &str = "a quarantined version is opened for a campaign";
pub(crate) const DESTROYED_WITH_EVIDENCE: &str = "a version is destroyed with evidence";
pub(crate) const CANCELLED_AT_EXPIRY: &str = "a destruction is cancelled at its time";
pub(crate) const A_THIRD_PRIMARY: &str = "a third version becomes primary";
pub(crate) const SHREDDED: &str = "a version is shredded";
