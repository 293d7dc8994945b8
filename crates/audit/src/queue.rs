//! Where callers leave entries for the writer, and what both know of each other.
//!
//! Invariant: entries are numbered in the order in which they entered the queue, and their times are
//! taken in that order. Nobody waits for the disk while holding the lock.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use claviger_kms::Timestamp;
use tokio::sync::oneshot;

use crate::{AuditError, AuditHealth, Entry, Failing, Sequence, store::now};

/// An entry with the times of its arrival.
#[derive(Debug)]
pub(crate) struct Stamped {
    pub(crate) time: Timestamp,
    pub(crate) monotonic_us: u64,
    pub(crate) entry: Entry,
}

/// Entries of one caller, numbered one after the other and answered together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) entries: Vec<Stamped>,
    pub(crate) expires: Instant,
    pub(crate) reply: oneshot::Sender<Result<Vec<Sequence>, AuditError>>,
}

/// The queue and the last state of the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    opened: Instant,
    deadline: Duration,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Group>,
    entries: usize,
    closed: bool,
    /// Since when the writer has been at work, and the wall clock then.
    busy: Option<(Instant, Timestamp)>,
    health: AuditHealth,
}

/// What the writer is to do.
pub(crate) enum Work {
    /// Write these.
    Write(Vec<Group>),
    /// Nothing waits: look whether a failure has passed.
    Look,
    /// Nothing waits and nothing will.
    Stop,
}

impl Queue {
    pub(crate) fn new(deadline: Duration, health: AuditHealth) -> Self {
        let state =
            State { waiting: VecDeque::new(), entries: 0, closed: false, busy: None, health };
        Self { opened: Instant::now(), deadline, state: Mutex::new(state), wake: Condvar::new() }
    }

    /// Leaves entries for the writer. Refused at once when the writer has been stuck for longer than
    /// the deadline, when too many wait, or when the log is closed.
    pub(crate) fn put(
        &self,
        entries: Vec<Entry>,
    ) -> Result<oneshot::Receiver<Result<Vec<Sequence>, AuditError>>, AuditError> {
        let mut state = self.lock();
        if state.closed {
            return Err(AuditError::Closed);
        }
        if state.busy.is_some_and(|(since, _)| since.elapsed() > self.deadline) {
            return Err(AuditError::Failing { reason: NO_ANSWER.to_owned() });
        }
        let count = entries.len();
        if state.entries + count > MOST_WAITING {
            let reason = format!("{} entries wait for the disk already", state.entries);
            return Err(AuditError::Failing { reason });
        }
        let (reply, receiver) = oneshot::channel();
        let elapsed = self.opened.elapsed().as_micros();
        let monotonic_us = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let time = now();
        let entries =
            entries.into_iter().map(|entry| Stamped { time, monotonic_us, entry }).collect();
        let expires = Instant::now() + self.deadline;
        state.waiting.push_back(Group { entries, expires, reply });
        state.entries += count;
        self.wake.notify_one();
        Ok(receiver)
    }

    /// Waits for work. `patience`, if any, is how long before looking around.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Work {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                let groups = state.take_batch();
                state.busy = Some((Instant::now(), now()));
                return Work::Write(groups);
            }
            if state.closed {
                return Work::Stop;
            }
            state = match patience {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (mut state, waited) = self
                        .wake
                        .wait_timeout(state, patience)
                        .unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.waiting.is_empty() && !state.closed {
                        state.busy = Some((Instant::now(), now()));
                        return Work::Look;
                    }
                    state
                }
            };
        }
    }

    /// The writer is done with its work.
    pub(crate) fn done(&self, health: AuditHealth) {
        let mut state = self.lock();
        state.busy = None;
        state.health = health;
    }

    /// The writer goes on, and this is the state so far.
    pub(crate) fn publish(&self, health: AuditHealth) {
        self.lock().health = health;
    }

    /// Takes no more entries; those that wait are still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Closes, and drops what waits: the writer is gone.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.entries = 0;
        let closed = || Failing { since: now(), reason: "the audit log is closed".to_owned() };
        state.health.failing.get_or_insert_with(closed);
        state.busy = None;
    }

    pub(crate) fn health(&self) -> AuditHealth {
        let state = self.lock();
        let mut health = state.health.clone();
        if let Some((since, time)) = state.busy
            && since.elapsed() > self.deadline
        {
            let stuck = || Failing { since: time, reason: NO_ANSWER.to_owned() };
            health.failing.get_or_insert_with(stuck);
        }
        health
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whole groups from the front, about [`BATCH`] entries.
    fn take_batch(&mut self) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut taken = 0;
        while taken < BATCH
            && let Some(group) = self.waiting.pop_front()
        {
            taken += group.entries.len();
            groups.push(group);
        }
        self.entries = self.entries.saturating_sub(taken);
        groups
    }
}

const NO_ANSWER: &str = "the disk has not answered for longer than the deadline";
/// Most entries that wait; beyond it callers are refused. About 16 MiB at the usual size.
const MOST_WAITING: usize = 32 * 1024;
/// Entries of one write, unless one group alone has more.
const BATCH: usize = 1024;
