//! Campaign runners over the source, as the `rewrap` crate's are: pass after pass, place by place, with a cursor
//! in the register. A runner may die at any moment; two may run at once.

use std::hash::{Hash, Hasher};

use claviger_hierarchy::uses;
use claviger_kms::{CampaignCounts, CampaignState, KeyVersion, VersionUse};
use claviger_rewrap::{
    Replaced,
    decide::{self, Found, Goal, Next, Step},
};

use crate::{
    record::{Envelope, Stored, key_id, newest},
    world::{Bug, World},
};

/// The campaign's record, in the service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Register {
    pub(crate) target: KeyVersion,
    pub(crate) revision: u8,
    pub(crate) progress: Progress,
    pub(crate) state: State,
}

/// How far a pass is, and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    pub(crate) place: u8,
    pub(crate) counts: Counts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State(pub(crate) CampaignState);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts(pub(crate) CampaignCounts);

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Runner {
    revision: u8,
    primary: KeyVersion,
    newest: KeyVersion,
    /// The present pass was begun by another run.
    resumed: bool,
    progress: Progress,
    passes: u8,
    work: Work,
}

/// What a runner does with one place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    Scan,
    /// The service unwraps `old`, and wraps under what was its primary version when it was asked.
    Asked {
        old: Envelope,
        under: KeyVersion,
    },
    Moved {
        old: Envelope,
        new: Envelope,
    },
    End(Ending),
}

/// How a run ends, as the register is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ending {
    Complete,
    Partial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    Start,
    Work,
    /// The source's reply is lost after it has written.
    LoseReply,
    Report,
    Crash,
}

impl World {
    pub(crate) fn runner_turns(&self, runner: usize, turns: &mut Vec<Turn>) {
        let open = self.register.as_ref().is_none_or(|r| r.state.0 == CampaignState::Open);
        let Some(run) = self.runners.get(runner).and_then(Option::as_ref) else {
            if open && self.starts > 0 && self.record.primary.is_some() {
                turns.push(Turn::Start);
            }
            return;
        };
        turns.push(Turn::Work);
        if self.register.as_ref().is_some_and(|register| register.progress != run.progress) {
            turns.push(Turn::Report);
        }
        if self.faults > 0 {
            turns.push(Turn::Crash);
            if matches!(run.work, Work::Moved { .. }) {
                turns.push(Turn::LoseReply);
            }
        }
    }

    pub(crate) fn runner_turn(
        &mut self,
        runner: usize,
        turn: Turn,
        bug: Option<Bug>,
        places: u8,
    ) -> Option<()> {
        let run = self.runners.get(runner)?.clone();
        let next = match (turn, run) {
            (Turn::Start, None) => Some(self.start()?),
            (Turn::Work, Some(run)) => self.work(run, bug, places)?,
            (Turn::LoseReply, Some(run)) => {
                let Work::Moved { old, new } = run.work else { return None };
                self.replace(run.progress.place, old, new, bug);
                self.faults -= 1;
                Some(run)
            }
            (Turn::Report, Some(run)) => self.report(run, CampaignState::Open),
            (Turn::Crash, Some(_)) => {
                self.faults -= 1;
                None
            }
            _ => return None,
        };
        *self.runners.get_mut(runner)? = next;
        Some(())
    }

    /// Opens the campaign, or goes on with the open one where its cursor stands.
    fn start(&mut self) -> Option<Runner> {
        let target = uses::primary_of(&self.record).ok();
        if self.register.is_none() {
            let state = State(CampaignState::Open);
            let progress = Progress::default();
            self.register = Some(Register { target: target?, revision: 1, progress, state });
            self.rows.iter_mut().for_each(|row| row.written = false);
        }
        self.starts -= 1;
        let register = self.register.clone()?;
        let (primary, newest) = goal(&self.record, register.target)?;
        Some(Runner {
            revision: register.revision,
            primary,
            newest,
            resumed: register.progress.place > 0,
            progress: register.progress,
            passes: 0,
            work: Work::Scan,
        })
    }

    fn work(&mut self, mut run: Runner, bug: Option<Bug>, places: u8) -> Option<Option<Runner>> {
        match run.work.clone() {
            Work::Scan => self.scan(&mut run, bug, places)?,
            Work::Asked { old, under } => self.answer(&mut run, old, under, bug, places)?,
            Work::Moved { old, new } => {
                let outcome = self.replace(run.progress.place, old, new, bug);
                decide::count_replaced(&mut run.progress.counts.0, outcome);
                self.advance(&mut run, bug, places)?;
            }
            Work::End(end) => {
                let state = match end {
                    Ending::Complete => CampaignState::Complete,
                    Ending::Partial => CampaignState::Partial,
                };
                let primary = run.primary;
                if self.report(run, state).is_some() && state == CampaignState::Complete {
                    self.ghost.completed = true;
                    let left = |row: &crate::application::Row| {
                        !row.written && row.envelope.version < primary
                    };
                    self.ghost.left_behind |= self.rows.iter().any(left);
                }
                return Some(None);
            }
        }
        Some(Some(run))
    }

    /// Looks at one place, and asks the service to move what stands there if it is old.
    fn scan(&mut self, run: &mut Runner, bug: Option<Bug>, places: u8) -> Option<()> {
        let found = self.row_at(run.progress.place).map(|row| row.envelope);
        let keys = found.map_or(Found::Empty, |e| Found::Envelope(vec![(key_id(), e.version)]));
        let mut step = decide::step(&keys, &run.goal());
        if bug == Some(Bug::MovesToAnyOtherVersion) {
            step = match found {
                Some(envelope) if envelope.version != run.primary => Step::Move,
                _ => step,
            };
        }
        if bug == Some(Bug::CursorIsTheTruth) {
            // Writes the cursor before the place it stands after is done.
            let (revision, place) = (run.revision, run.progress.place + 1);
            let register = self.register.as_mut()?;
            if register.revision == revision && place < places {
                register.progress.place = place;
            }
        }
        match (step, found) {
            (Step::Move, Some(old)) => {
                let under = match bug {
                    Some(Bug::MovesToAnyOtherVersion) => Some(run.primary),
                    _ => uses::primary_of(&self.record).ok(),
                };
                match under.filter(|_| self.opens_for_rewrap(old.version, bug)) {
                    Some(under) => run.work = Work::Asked { old, under },
                    None => self.leave(run, Step::Move, bug, places)?,
                }
            }
            (step, _) => self.leave(run, step, bug, places)?,
        }
        Some(())
    }

    /// The service's answer: both versions are looked at again before it leaves. A campaign's rewrap opens
    /// quarantined versions too.
    fn answer(
        &mut self,
        run: &mut Runner,
        old: Envelope,
        under: KeyVersion,
        bug: Option<Bug>,
        places: u8,
    ) -> Option<()> {
        let careless = bug == Some(Bug::DoesNotConfirm);
        let opens = self.opens_for_rewrap(old.version, bug) && old.opens(&self.record);
        let wraps = self.wrap_may_leave(under, bug);
        let new = Envelope::under(&self.record, under, old.mark);
        match new.filter(|_| (careless || opens) && wraps) {
            Some(new) => {
                self.ghost.unwrapped(&self.record, old.version);
                self.ghost.wrapped(under);
                let (was, is) = ([(key_id(), old.version)], [(key_id(), new.version)]);
                let found = Found::Envelope(is.to_vec());
                let forward = decide::step(&found, &run.goal()) != Step::Move
                    && !decide::goes_back(&was, &is);
                if forward || bug == Some(Bug::MovesToAnyOtherVersion) {
                    run.work = Work::Moved { old, new };
                    return Some(());
                }
                self.leave(run, Step::Move, bug, places)
            }
            None => self.leave(run, Step::Move, bug, places),
        }
    }

    fn opens_for_rewrap(&self, version: KeyVersion, bug: Option<Bug>) -> bool {
        uses::check_use(&self.record, version, VersionUse::UnwrapInternally).is_ok()
            || bug == Some(Bug::RewrapOpensDisabled)
    }

    fn leave(&mut self, run: &mut Runner, step: Step, bug: Option<Bug>, places: u8) -> Option<()> {
        decide::count_left(&mut run.progress.counts.0, step);
        self.advance(run, bug, places)
    }

    /// To the next place; after the last, whatever the counts of the pass say.
    fn advance(&mut self, run: &mut Runner, bug: Option<Bug>, places: u8) -> Option<()> {
        run.work = Work::Scan;
        run.progress.place += 1;
        if run.progress.place < places {
            return Some(());
        }
        run.passes += 1;
        let counts = run.progress.counts.0;
        run.progress = Progress::default();
        let now = goal(&self.record, self.register.as_ref()?.target);
        let whole = !run.resumed && now == Some((run.primary, run.newest));
        let careless = [Some(Bug::ResumesPastARotation), Some(Bug::CursorIsTheTruth)];
        let whole = whole || careless.contains(&bug);
        run.resumed = false;
        match decide::after_pass(&counts, whole, u32::from(run.passes), MOST_PASSES) {
            Next::Complete => run.work = Work::End(Ending::Complete),
            Next::Partial => run.work = Work::End(Ending::Partial),
            Next::Again => {
                // Without a primary version the runner waits; the next pass begins with what it knew.
                if let Some((primary, newest)) = now {
                    (run.primary, run.newest) = (primary, newest);
                }
            }
        }
        Some(())
    }

    /// Writes where the old bytes stand. Repeated after a lost reply, it finds its own.
    fn replace(&mut self, place: u8, old: Envelope, new: Envelope, bug: Option<Bug>) -> Replaced {
        let Some(row) = self.rows.iter_mut().find(|row| row.place == place) else {
            return Replaced::Gone;
        };
        let compares = bug != Some(Bug::NoSourceCompare);
        if compares && row.envelope == new {
            return Replaced::Replaced;
        }
        if compares && row.envelope != old {
            return Replaced::Conflict;
        }
        self.ghost.moved_back |= new.version < row.envelope.version;
        row.envelope = new;
        Replaced::Replaced
    }

    /// Writes the register, if nobody else has since; the runner stops else.
    fn report(&mut self, mut run: Runner, state: CampaignState) -> Option<Runner> {
        let register = self.register.as_mut()?;
        if register.revision != run.revision || register.state.0 != CampaignState::Open {
            return None;
        }
        register.revision += 1;
        register.progress = run.progress.clone();
        register.state = State(state);
        run.revision = register.revision;
        Some(run)
    }
}

impl Runner {
    fn goal(&self) -> Goal {
        Goal::Version { key: key_id(), primary: self.primary, newest: self.newest }
    }
}

/// The version envelopes go to, and the newest there is.
fn goal(record: &Stored, target: KeyVersion) -> Option<(KeyVersion, KeyVersion)> {
    record.primary.map(|primary| (primary.max(target), newest(record)))
}

impl Hash for Counts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let counts = &self.0;
        (counts.scanned, counts.moved, counts.current, counts.empty).hash(state);
        (counts.conflicts, counts.gone, counts.refused).hash(state);
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

const MOST_PASSES: u32 = 4;
