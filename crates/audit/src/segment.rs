//! The segment being written.
//!
//! Invariant: `bytes` is how much of the file is durable, and `hasher` has seen exactly that. After a
//! failed write or sync the file is not trusted again: what is durable of the attempt is unknown, and
//! a second `fsync` on the same file may report success for pages the kernel already dropped. The
//! one exception is a full disk, where the write itself was refused: it is undone by cutting the
//! file back.

use std::{fs::File, path::PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{
    Digest, Ended, Header, PreviousSegment, Sequence,
    disk::{Disk, is_full},
};

/// Why lines are not durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No room.
    Full,
    /// The disk failed, or the log is not where it was.
    Disk(String),
}

/// An encoded record.
#[derive(Debug)]
pub(crate) struct Line {
    /// With its newline.
    pub(crate) bytes: Vec<u8>,
    /// The store generation it names, or 0.
    pub(crate) generation: u64,
}

/// An open segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    first: Sequence,
    previous: Option<PreviousSegment>,
    bytes: u64,
    room: u64,
    hasher: Sha256,
    ended: Option<Ended>,
}

impl Segment {
    /// A segment with this much durable content and room up to `room` bytes.
    pub(crate) fn new(
        path: PathBuf,
        file: File,
        header: &Header,
        bytes: u64,
        hasher: Sha256,
        room: u64,
    ) -> Self {
        let (first, previous) = (header.first_sequence, header.previous);
        Self { path, file, first, previous, bytes, room, hasher, ended: None }
    }

    /// Bytes that can still be written.
    pub(crate) fn left(&self) -> u64 {
        if self.ended.is_some() { 0 } else { self.room.saturating_sub(self.bytes) }
    }

    /// Durable bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sets the room, after an attempt to allocate it.
    pub(crate) fn set_room(&mut self, room: u64) {
        self.room = room;
    }

    /// How many of these lines fit.
    pub(crate) fn fitting(&self, lines: &[Line]) -> usize {
        let mut left = self.left();
        let fits = |line: &&Line| match left.checked_sub(length(&line.bytes)) {
            Some(after) => {
                left = after;
                true
            }
            None => false,
        };
        lines.iter().take_while(fits).count()
    }

    /// Writes the lines and waits until they are durable. On failure none of them counts.
    pub(crate) fn append(&mut self, disk: &Disk, lines: &[Line]) -> Result<(), Failure> {
        let chunk = lines.iter().map(|line| line.bytes.as_slice()).collect::<Vec<_>>().concat();
        if let Err(error) = disk.write(&self.file, &chunk, self.bytes) {
            return Err(if is_full(&error) && self.cut_back().is_ok() {
                Failure::Full
            } else {
                self.fail(&error)
            });
        }
        if let Err(error) = disk.sync(&self.file) {
            return Err(self.fail(&error));
        }
        self.hasher.update(&chunk);
        self.bytes = self.bytes.saturating_add(length(&chunk));
        Ok(())
    }

    /// Ends the segment, if it has not ended yet, and says what its successor's header says of the
    /// segment before. `next` is the successor's first record: when it is this segment's own, this
    /// one has none and is replaced, not followed.
    pub(crate) fn end(&mut self, ended: Ended, next: Sequence) -> Option<PreviousSegment> {
        let ended = *self.ended.get_or_insert(ended);
        if next == self.first {
            return self.previous;
        }
        Some(PreviousSegment {
            first_sequence: self.first,
            bytes: self.bytes,
            sha256: Digest::from_bytes(self.hasher.clone().finalize().into()),
            ended,
        })
    }

    /// Whether nothing more is written here.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Removes what follows the durable content, and gives back room that is not needed.
    pub(crate) fn cut_back(&self) -> std::io::Result<()> {
        self.file.set_len(self.bytes)
    }

    fn fail(&mut self, error: &std::io::Error) -> Failure {
        self.ended = Some(Ended::Failed);
        Failure::Disk(format!("{}: {error}", self.path.display()))
    }
}

pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
