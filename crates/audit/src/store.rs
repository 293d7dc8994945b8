//! The segments as one growing file: rotation, the spare segment, and who may use how much room.
//!
//! Invariants:
//! - a segment's header is durable before the file has a segment's name, so no named segment is ever
//!   without one;
//! - once a successor was begun, nothing more is written to the former segment, even if beginning
//!   the successor failed: its header may have reached the disk;
//! - ordinary entries never use the last `reserve_bytes` of the room that is allocated.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    AuditConfig, Ended, Header, InstanceId, PreviousSegment, Sequence,
    directory::Directory,
    disk::Disk,
    line,
    segment::{Failure, Line, Segment},
    spare::{activate, make_spare},
};
use claviger_kms::Timestamp;

/// Everything the writer owns on the disk.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Disk,
    directory: Directory,
    config: AuditConfig,
    instance: InstanceId,
    segment: Segment,
    spare: Option<fs::File>,
    spare_tried: Option<Instant>,
    spare_failure: Option<Failure>,
    preallocated: bool,
    next: u64,
    confirmed: u64,
    highest_generation: u64,
    records: u64,
    syncs: u64,
}

impl Store {
    /// Begins a log in an empty directory.
    pub(crate) fn begin(
        disk: Disk,
        directory: Directory,
        config: AuditConfig,
        instance: InstanceId,
    ) -> Result<Self, Failure> {
        let (spare, _) = make_spare(&disk, &directory, config.segment_bytes)?;
        let header = header(instance, 1, 0, None);
        let segment = activate(&disk, &directory, spare, &header, config.segment_bytes)?;
        Ok(Self::resume(disk, directory, config, instance, segment, (1, 0)))
    }

    /// Goes on with this segment; `position` is the next record's number and the highest generation
    /// so far.
    pub(crate) fn resume(
        disk: Disk,
        directory: Directory,
        config: AuditConfig,
        instance: InstanceId,
        segment: Segment,
        position: (u64, u64),
    ) -> Self {
        let (next, highest_generation) = position;
        let mut store = Self {
            disk,
            directory,
            config,
            instance,
            segment,
            spare: None,
            spare_tried: None,
            spare_failure: None,
            preallocated: true,
            next,
            confirmed: next,
            highest_generation,
            records: 0,
            syncs: 0,
        };
        store.reserve_segment();
        store.ensure_spare();
        store
    }

    /// Number of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Every record before this one is durable where it will be found, and may be acknowledged.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Records and synchronisations since the log was opened.
    pub(crate) fn counters(&self) -> (u64, u64) {
        (self.records, self.syncs)
    }

    pub(crate) fn is_preallocated(&self) -> bool {
        self.preallocated
    }

    /// Bytes that ordinary entries may still use, and those beyond for emergencies.
    pub(crate) fn room(&self) -> (u64, u64) {
        let spare = self.spare.as_ref().map_or(0, |_| self.config.segment_bytes - HEADER_ROOM);
        let all = self.segment.left().saturating_add(spare);
        // Less than any line might need counts as nothing: full is full for every entry alike.
        let ordinary = match all.saturating_sub(self.config.reserve_bytes + SLACK) {
            ordinary if ordinary < SLACK => 0,
            ordinary => ordinary,
        };
        (ordinary, all - ordinary)
    }

    /// Whether `bytes` more fit where such an entry may be written; allocates if that helps.
    pub(crate) fn has_room(&mut self, bytes: u64, emergency: bool) -> bool {
        let fits = |(ordinary, reserve): (u64, u64)| {
            bytes <= if emergency { ordinary + reserve } else { ordinary }
        };
        if fits(self.room()) {
            return true;
        }
        if self.spare_tried.is_none_or(|at| at.elapsed() >= BETWEEN_ATTEMPTS) {
            self.allocate();
        }
        fits(self.room())
    }

    /// Why there is no room.
    pub(crate) fn lack(&self) -> Failure {
        self.spare_failure.clone().unwrap_or(Failure::Full)
    }

    /// Tries again to get the room there should be. Called from time to time.
    pub(crate) fn allocate(&mut self) {
        if self.spare.is_none() {
            self.reserve_segment();
            self.ensure_spare();
        }
    }

    /// Makes the lines durable, in order. On failure, [`confirmed`](Self::confirmed) says how many are.
    pub(crate) fn append(&mut self, lines: &[Line]) -> Result<(), Failure> {
        self.check_in_place()?;
        let mut rest = lines;
        let mut may_replace = true;
        while !rest.is_empty() {
            let count = self.segment.fitting(rest);
            if count == 0 {
                self.begin_segment(Ended::Full)?;
                if self.segment.fitting(rest) == 0 {
                    return Err(Failure::Full);
                }
                continue;
            }
            let (now, later) = rest.split_at(count);
            self.syncs += 1;
            match self.segment.append(&self.disk, now) {
                Ok(()) => {
                    self.count(now);
                    self.check_in_place()?;
                    self.confirmed = self.next;
                    rest = later;
                }
                Err(Failure::Disk(reason)) if may_replace => {
                    tracing::error!(%reason, "the audit log begins a new segment after a failure");
                    may_replace = false;
                    self.begin_segment(Ended::Failed)?;
                }
                Err(Failure::Full) => {
                    // The write was undone, and what was reserved went with it.
                    self.segment.set_room(self.segment.bytes());
                    self.reserve_segment();
                    return Err(Failure::Full);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Whether entries could be made durable again, after a failure.
    pub(crate) fn probe(&mut self) -> Result<(), Failure> {
        self.check_in_place()?;
        if self.segment.has_ended() {
            return self.begin_segment(Ended::Failed);
        }
        let synced = self.disk.sync(&self.segment.file);
        synced.map_err(|error| Failure::Disk(format!("{}: {error}", self.segment.path.display())))
    }

    fn count(&mut self, lines: &[Line]) {
        for line in lines {
            self.next += 1;
            self.records += 1;
            self.highest_generation = self.highest_generation.max(line.generation);
        }
    }

    fn begin_segment(&mut self, ended: Ended) -> Result<(), Failure> {
        self.allocate();
        let Some(spare) = self.spare.take() else { return Err(self.lack()) };
        // Should this fail, the spare is lost, and the next attempt makes another at once.
        self.spare_tried = None;
        let previous = self.segment.end(ended, Sequence::new(self.next));
        let header = header(self.instance, self.next, self.highest_generation, previous);
        let size = self.config.segment_bytes;
        let next = activate(&self.disk, &self.directory, spare, &header, size)?;
        let former = std::mem::replace(&mut self.segment, next);
        if let Err(error) = former.cut_back() {
            // The header says where it ends; readers do not look beyond.
            tracing::warn!(segment = %former.path.display(), %error, "cannot cut the segment");
        }
        self.ensure_spare();
        Ok(())
    }

    /// An unlinked or moved file takes writes for ever, and nobody will find them.
    fn check_in_place(&self) -> Result<(), Failure> {
        let path = &self.segment.path;
        match self.disk.is_at(&self.segment.file, path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Disk(format!(
                "{} was moved or removed; put it back, or restart the service to begin a new log",
                path.display()
            ))),
            Err(error) => Err(Failure::Disk(format!("{}: {error}", path.display()))),
        }
    }

    fn reserve_segment(&mut self) {
        if self.segment.has_ended() {
            return;
        }
        let size = self.config.segment_bytes;
        match self.disk.allocate(&self.segment.file, size) {
            Ok(preallocated) => {
                self.preallocated = preallocated;
                self.segment.set_room(size);
            }
            // The room it has, it keeps.
            Err(error) => {
                tracing::debug!(%error, "the rest of the audit segment cannot be allocated");
            }
        }
    }

    fn ensure_spare(&mut self) {
        self.spare_tried = Some(Instant::now());
        let size = self.config.segment_bytes;
        let made =
            self.check_in_place().and_then(|()| make_spare(&self.disk, &self.directory, size));
        match made {
            Ok((spare, preallocated)) => {
                self.spare = Some(spare);
                self.spare_failure = None;
                self.preallocated = preallocated;
            }
            Err(failure) => {
                if self.spare_failure.is_none() {
                    tracing::warn!(?failure, "the next audit segment cannot be allocated");
                }
                self.spare_failure = Some(failure);
            }
        }
    }
}

fn header(
    instance: InstanceId,
    first: u64,
    highest_generation: u64,
    previous: Option<PreviousSegment>,
) -> Header {
    Header {
        format: Header::FORMAT,
        time: now(),
        instance,
        first_sequence: Sequence::new(first),
        highest_generation,
        previous,
    }
}

/// The wall clock, to the microsecond.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// Room a header takes at most.
const HEADER_ROOM: u64 = 1024;
/// Room that a line too long for the end of a segment may leave unused there.
const SLACK: u64 = line::MAX_LINE as u64;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);
