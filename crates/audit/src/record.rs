//! What stands in a segment: one header, then records. `FORMAT.md` is the specification.

use std::fmt;

use claviger_kms::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Digest, Entry, InstanceId};

/// The number of a record: 1 for the first of the log, then one more for each, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence with this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Its number.
    pub sequence: Sequence,
    /// When it was handed to the log, by the wall clock, to the microsecond.
    pub time: Timestamp,
    /// The same moment in microseconds since the instance opened the log, by a clock that is never
    /// set (`CLOCK_MONOTONIC`; it stands still while the machine sleeps).
    pub monotonic_us: u64,
    /// The run of the service that wrote it.
    pub instance: InstanceId,
    /// Every record up to this number was durable before this one was written; 0 for none.
    pub durable: u64,
    /// What the caller said.
    #[serde(flatten)]
    pub entry: Entry,
}

/// The first line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Header {
    /// Version of the format, [`Header::FORMAT`].
    pub format: u32,
    /// When the segment was begun.
    pub time: Timestamp,
    /// The run of the service that began it.
    pub instance: InstanceId,
    /// The number of its first record.
    pub first_sequence: Sequence,
    /// The highest store generation that any record before it named; 0 for none.
    pub highest_generation: u64,
    /// The segment before; none for the first of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSegment>,
}

impl Header {
    /// The version of the format written here.
    pub const FORMAT: u32 = 1;
}

/// What a segment says about the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PreviousSegment {
    /// Its first record.
    pub first_sequence: Sequence,
    /// Its length in bytes, header included.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: Digest,
    /// Why it ended.
    pub ended: Ended,
}

/// Why a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ended {
    /// The next record did not fit.
    Full,
    /// The disk failed; bytes after the stated length were never acknowledged and do not count.
    Failed,
}
