//! The thread that writes: takes all that waits, writes it once, syncs once, wakes all.
//!
//! Invariant: a caller hears of success only after the sync that covers its last entry returned. An
//! entry whose caller's time has passed before its turn is not written.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    AuditConfig, AuditError, AuditHealth, Failing, Record, Sequence, line,
    queue::{Group, Queue, Stamped, Work},
    segment::{Failure, Line, length},
    store::{Store, now},
};

/// The writer's own state.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    store: Store,
    config: AuditConfig,
    failing: Option<Failing>,
}

/// What is about to be written together, and whom it concerns.
#[derive(Default)]
struct Batch {
    lines: Vec<Line>,
    bytes: u64,
    groups: Vec<Numbered>,
}

/// The numbers a group gets, and who waits for them.
struct Numbered {
    numbers: Range<u64>,
    reply: oneshot::Sender<Result<Vec<Sequence>, AuditError>>,
}

impl Writer {
    pub(crate) fn new(queue: Arc<Queue>, store: Store, config: AuditConfig) -> Self {
        let mut writer = Self { queue, store, config, failing: None };
        writer.note(None);
        writer.queue.done(writer.health());
        writer
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let gone = Gone(Arc::clone(&self.queue));
        loop {
            match self.queue.take(self.failing.as_ref().map(|_| BETWEEN_LOOKS)) {
                Work::Write(groups) => self.write(groups),
                Work::Look => self.look(),
                Work::Stop => break,
            }
        }
        // The directory is free before anyone hears of the end.
        drop(self.store);
        drop(gone);
    }

    fn write(&mut self, groups: Vec<Group>) {
        let mut batch = Batch::default();
        let mut failure = None;
        let mut probes = Vec::new();
        for Group { entries, expires, reply } in groups {
            if expires <= Instant::now() {
                let _ = reply.send(Err(AuditError::TimedOut { deadline: self.config.deadline }));
                continue;
            }
            if entries.is_empty() {
                probes.push(reply);
                continue;
            }
            let emergency = entries.iter().all(|stamped| stamped.entry.emergency);
            let mut records = self.records(entries);
            let mut lines = self.encode(&mut records, &batch);
            let mut fits = self.fits(&lines, &batch, emergency);
            if !fits && !batch.lines.is_empty() {
                // What was accepted before may be what fills the room: write it, then look again.
                failure = self.flush(std::mem::take(&mut batch)).err().or(failure);
                lines = self.encode(&mut records, &batch);
                fits = self.fits(&lines, &batch, emergency);
            }
            match lines {
                Err(reason) => drop(reply.send(Err(AuditError::Failing { reason }))),
                Ok(_) if !fits => {
                    let lack = self.store.lack();
                    let _ = reply.send(Err(self.error(&lack)));
                    failure = Some(lack);
                }
                Ok(lines) => batch.add(lines, self.store.next(), reply),
            }
        }
        if !batch.lines.is_empty() {
            failure = self.flush(batch).err().or(failure);
        }
        if !probes.is_empty() {
            // Whoever asks wants to know that the disk answers, not what.
            failure = self.store.probe().err().or(failure);
            for reply in probes {
                let _ = reply.send(Ok(Vec::new()));
            }
        }
        if failure.is_some() {
            self.note(failure);
        }
        self.queue.done(self.health());
    }

    fn records(&self, entries: Vec<Stamped>) -> Vec<Record> {
        let record = |stamped: Stamped| Record {
            sequence: Sequence::new(0),
            time: stamped.time,
            monotonic_us: stamped.monotonic_us,
            instance: self.store.instance(),
            durable: 0,
            entry: stamped.entry,
        };
        entries.into_iter().map(record).collect()
    }

    /// Numbers the records behind those of the batch and encodes them.
    fn encode(&self, records: &mut [Record], batch: &Batch) -> Result<Vec<Line>, String> {
        let first = self.store.next() + count(&batch.lines);
        let mut lines = Vec::with_capacity(records.len());
        for (number, record) in (first..).zip(records) {
            record.sequence = Sequence::new(number);
            record.durable = self.store.next() - 1;
            let generation = record.entry.highest_generation();
            lines.push(Line { bytes: line::encode(record)?, generation });
        }
        Ok(lines)
    }

    fn fits(&mut self, lines: &Result<Vec<Line>, String>, batch: &Batch, emergency: bool) -> bool {
        let more = lines.as_ref().map_or(0, |lines| bytes_of(lines));
        self.store.has_room(batch.bytes + more, emergency)
    }

    /// Makes a batch durable and answers those who wait for it.
    fn flush(&mut self, batch: Batch) -> Result<(), Failure> {
        let outcome = self.store.append(&batch.lines);
        let confirmed = self.store.confirmed();
        self.note(outcome.clone().err());
        // Published before the callers are woken: who asks for the health next sees this state.
        self.queue.publish(self.health());
        for Numbered { numbers, reply } in batch.groups {
            let _ = reply.send(match &outcome {
                Err(failure) if numbers.end > confirmed => Err(self.error(failure)),
                _ => Ok(numbers.map(Sequence::new).collect()),
            });
        }
        outcome
    }

    /// Looks whether a failure has passed, so that the health report says so before anyone writes.
    fn look(&mut self) {
        self.store.allocate();
        let failure = self.store.probe().err();
        self.note(failure);
        self.queue.done(self.health());
    }

    /// Notes a failure, or that there is none any more. Without room for ordinary entries there is.
    fn note(&mut self, failure: Option<Failure>) {
        let full = || (self.store.room().0 == 0).then(|| self.store.lack());
        let Some(failure) = failure.or_else(full) else {
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

impl Batch {
    fn add(
        &mut self,
        mut lines: Vec<Line>,
        next: u64,
        reply: oneshot::Sender<Result<Vec<Sequence>, AuditError>>,
    ) {
        let first = next + count(&self.lines);
        self.groups.push(Numbered { numbers: first..first + count(&lines), reply });
        self.bytes += bytes_of(&lines);
        self.lines.append(&mut lines);
    }
}

fn count(lines: &[Line]) -> u64 {
    u64::try_from(lines.len()).unwrap_or(u64::MAX)
}

fn bytes_of(lines: &[Line]) -> u64 {
    lines.iter().map(|line| length(&line.bytes)).sum()
}

/// Tells waiting and later callers that there is no writer any more, also after a panic.
struct Gone(Arc<Queue>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
