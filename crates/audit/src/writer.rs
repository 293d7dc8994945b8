//! The thread that writes: takes all that waits, writes it once, syncs once, wakes all.
//!
//! Invariant: a caller hears of success only after the sync that covers its last entry returned. An
//! entry whose caller's time has passed before its turn is not written.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    AuditError, AuditHealth, Failing, Record, Sequence, line,
    queue::{Group, Queue, Work},
    segment::{Failure, Line, length},
    store::{Store, now},
};

/// The writer's own state.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    store: Store,
    config: crate::AuditConfig,
    failing: Option<Failing>,
}

/// A group whose lines are encoded, and the numbers it gets.
struct Numbered {
    first: u64,
    count: u64,
    reply: tokio::sync::oneshot::Sender<Result<Vec<Sequence>, AuditError>>,
}

impl Writer {
    pub(crate) fn new(queue: Arc<Queue>, store: Store, config: crate::AuditConfig) -> Self {
        Self { queue, store, config, failing: None }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let gone = Gone(Arc::clone(&self.queue));
        loop {
            let troubled = self.failing.is_some() || self.store.room().0 == 0;
            match self.queue.take(troubled.then_some(BETWEEN_LOOKS)) {
                Work::Write(groups) => self.write(groups),
                Work::Look => self.look(),
                Work::Stop => break,
            }
        }
        drop(gone);
    }

    fn write(&mut self, groups: Vec<Group>) {
        let mut lines = Vec::new();
        let mut accepted = Vec::new();
        let mut bytes = 0;
        let mut refused = None;
        for group in groups {
            match self.accept(group, &lines, &mut bytes) {
                Ok((numbered, mut more)) => {
                    lines.append(&mut more);
                    accepted.push(numbered);
                }
                Err(Some(failure)) => refused = Some(failure),
                Err(None) => {}
            }
        }
        let outcome = self.store.append(&lines);
        self.note(outcome.clone().err().or(refused));
        // Published before the callers are woken: who asks for the health next sees this state.
        self.queue.done(self.health());
        for group in accepted {
            let durable = group.first + group.count <= self.store.next();
            let _ = group.reply.send(match &outcome {
                Err(failure) if !durable => Err(self.error(failure)),
                _ => Ok((group.first..group.first + group.count).map(Sequence::new).collect()),
            });
        }
    }

    /// Encodes a group behind the lines accepted so far, or answers its caller with the refusal.
    fn accept(
        &mut self,
        group: Group,
        before: &[Line],
        bytes: &mut u64,
    ) -> Result<(Numbered, Vec<Line>), Option<Failure>> {
        let Group { entries, expires, reply } = group;
        if expires <= Instant::now() {
            let _ = reply.send(Err(AuditError::TimedOut { deadline: self.config.deadline }));
            return Err(None);
        }
        let durable = self.store.next() - 1;
        let first = self.store.next() + u64::try_from(before.len()).unwrap_or(u64::MAX);
        let emergency = entries.iter().all(|stamped| stamped.entry.emergency);
        let mut lines = Vec::with_capacity(entries.len());
        for (sequence, stamped) in (first..).zip(entries) {
            let record = Record {
                sequence: Sequence::new(sequence),
                time: stamped.time,
                monotonic_us: stamped.monotonic_us,
                instance: self.store.instance(),
                durable,
                entry: stamped.entry,
            };
            match line::encode(&record) {
                Ok(bytes) => {
                    let generation = record.entry.change.map_or(0, |change| change.generation);
                    lines.push(Line { bytes, generation });
                }
                Err(reason) => {
                    let _ = reply.send(Err(AuditError::Failing { reason }));
                    return Err(None);
                }
            }
        }
        let more: u64 = lines.iter().map(|line| length(&line.bytes)).sum();
        if !self.store.has_room(*bytes + more, emergency) {
            let _ = reply.send(Err(self.error(&Failure::Full)));
            return Err(Some(Failure::Full));
        }
        *bytes += more;
        let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        Ok((Numbered { first, count, reply }, lines))
    }

    /// Looks whether a failure has passed, so that the health report says so before anyone writes.
    fn look(&mut self) {
        self.store.allocate();
        let failure = match self.store.probe() {
            Ok(()) if self.store.room().0 == 0 => Some(Failure::Full),
            outcome => outcome.err(),
        };
        self.note(failure);
        self.queue.done(self.health());
    }

    fn note(&mut self, failure: Option<Failure>) {
        let Some(failure) = failure else {
            if self.failing.take().is_some() {
                tracing::info!("the audit log can be written again");
            }
            return;
        };
        let reason = self.error(&failure).to_string();
        match &mut self.failing {
            Some(failing) => failing.reason = reason,
            None => {
                tracing::error!(%reason, "the audit log refuses entries");
                self.failing = Some(Failing { since: now(), reason });
            }
        }
    }

    fn error(&self, failure: &Failure) -> AuditError {
        match failure {
            Failure::Full => AuditError::Full { directory: self.config.directory.clone() },
            Failure::Disk(reason) => AuditError::Failing { reason: reason.clone() },
        }
    }

    fn health(&self) -> AuditHealth {
        health_of(&self.store, self.failing.clone())
    }
}

/// The health of a store.
pub(crate) fn health_of(store: &Store, failing: Option<Failing>) -> AuditHealth {
    let (room_bytes, reserve_bytes) = store.room();
    let (records, syncs) = store.counters();
    AuditHealth {
        failing,
        room_bytes,
        reserve_bytes,
        preallocated: store.is_preallocated(),
        next_sequence: store.next(),
        records,
        syncs,
    }
}

/// Tells waiting and later callers that there is no writer any more, also after a panic.
struct Gone(Arc<Queue>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
