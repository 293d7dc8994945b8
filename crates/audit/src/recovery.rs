//! Opening a log: find the end of what is whole, cut off what a crash left, refuse everything else.
//!
//! Read are the names, the first line of every segment, the last segment in full and the bytes of the
//! one before it (for its hash); never the whole history.
//!
//! What a crash can leave at the end of the last segment is a write that was never acknowledged: an
//! incomplete line, or blocks of zeros where the file grew before its content arrived. That tail is cut
//! off. A complete line that does not verify, a hole that a later record says was durable, a number
//! out of order, a hash that does not match: none of these comes from a crash, so the log is refused.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    AuditConfig, AuditError, Digest, Ended, Header, InstanceId, PreviousSegment, Sequence,
    directory::{Directory, first_sequence_of, segments},
    disk::Disk,
    line, read_segment,
    reader::gap,
    segment::{Failure, Segment, length},
    store::Store,
};

/// What was found when the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The number the next record gets.
    pub next_sequence: u64,
    /// The highest store generation that any record named; 0 for none.
    pub highest_generation: u64,
    /// Bytes of unacknowledged records that a crash left and that were cut off.
    pub torn_bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// This run's id, which its records carry.
    pub instance: InstanceId,
}

/// Opens or begins the log. Blocks.
pub(crate) fn open(config: AuditConfig, disk: Disk) -> Result<(Store, Recovered), AuditError> {
    config.check()?;
    let instance = InstanceId::make_random()
        .map_err(|error| AuditError::Failing { reason: error.to_string() })?;
    let directory = Directory::take(&config.directory)?;
    let paths = segments(directory.path())?;
    let Some(last) = paths.last() else {
        let store = Store::begin(disk, directory, config.clone(), instance)
            .map_err(|failure| cannot_begin(failure, &config.directory))?;
        let recovered = Recovered {
            next_sequence: 1,
            highest_generation: 0,
            torn_bytes: 0,
            segments: 1,
            instance,
        };
        return Ok((store, recovered));
    };
    let header = check_chain(&paths)?;
    let unusable = |source| AuditError::Unusable { path: last.clone(), source };
    let file = disk.open(last).map_err(unusable)?;
    let whole = scan(last, &file, &header)?;
    if whole.torn_bytes > 0 {
        tracing::warn!(
            segment = %last.display(),
            bytes = whole.torn_bytes,
            "cut off unacknowledged audit records that a crash left"
        );
        file.set_len(whole.bytes).map_err(unusable)?;
    }
    // After a kill, records may have been read that are only in the page cache; a successor's header
    // must never state more than is durable.
    file.sync_all().map_err(unusable)?;
    let recovered = Recovered {
        next_sequence: whole.next,
        highest_generation: whole.highest_generation,
        torn_bytes: whole.torn_bytes,
        segments: paths.len(),
        instance,
    };
    let segment = Segment::new(last.clone(), file, &header, whole.bytes, whole.hasher, whole.bytes);
    let position = (whole.next, whole.highest_generation);
    Ok((Store::resume(disk, directory, config, instance, segment, position), recovered))
}

fn cannot_begin(failure: Failure, directory: &Path) -> AuditError {
    match failure {
        Failure::Full => AuditError::Full { directory: directory.to_owned() },
        Failure::Disk(reason) => AuditError::Failing { reason },
    }
}

fn damaged(file: &Path, line: u64, what: impl Into<String>) -> AuditError {
    AuditError::Damaged { file: file.to_owned(), line, what: what.into() }
}

/// Checks that every segment follows the one before, and returns the last header. The oldest may
/// follow a segment that was archived.
fn check_chain(paths: &[PathBuf]) -> Result<Header, AuditError> {
    let mut former: Option<(&Path, Header)> = None;
    let last = paths.len().saturating_sub(1);
    for (index, path) in paths.iter().enumerate() {
        let header = read_segment(path)?.header().clone();
        if first_sequence_of(path) != Some(header.first_sequence) {
            let what = format!("it begins with record {}, unlike its name", header.first_sequence);
            return Err(damaged(path, 1, what));
        }
        match (&former, &header.previous) {
            (None, None) if header.first_sequence != Sequence::new(1) => {
                return Err(damaged(path, 1, "it names no segment before it"));
            }
            (None, _) => {}
            (Some(_), None) => return Err(damaged(path, 1, "it names no segment before it")),
            (Some((before, from)), Some(previous)) => {
                check_link(path, previous, before, from, index == last)?;
            }
        }
        former = Some((path, header));
    }
    former.map(|(_, header)| header).ok_or(AuditError::Closed)
}

fn check_link(
    path: &Path,
    previous: &PreviousSegment,
    before: &Path,
    from: &Header,
    with_hash: bool,
) -> Result<(), AuditError> {
    if previous.first_sequence != from.first_sequence {
        let what = format!(
            "the segment before it begins with record {}, and that file is missing",
            previous.first_sequence
        );
        return Err(damaged(path, 1, what));
    }
    let unusable = |source| AuditError::Unusable { path: before.to_owned(), source };
    let file = File::open(before).map_err(unusable)?;
    let length = file.metadata().map_err(unusable)?.len();
    let surplus_is_known = previous.ended == Ended::Failed && length > previous.bytes;
    if length != previous.bytes && !surplus_is_known {
        let what = format!(
            "it has {length} bytes; its successor says that it ended with {}",
            previous.bytes
        );
        return Err(damaged(before, 0, what));
    }
    if with_hash && hash_of(file, previous.bytes).map_err(unusable)? != previous.sha256 {
        return Err(damaged(before, 0, "its hash is not the one its successor states"));
    }
    Ok(())
}

fn hash_of(file: File, bytes: u64) -> std::io::Result<Digest> {
    let mut reader = BufReader::with_capacity(1 << 18, std::io::Read::take(file, bytes));
    let mut hasher = Sha256::new();
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(chunk);
        let read = chunk.len();
        reader.consume(read);
    }
}

/// What of the last segment counts.
struct Whole {
    bytes: u64,
    hasher: Sha256,
    next: u64,
    highest_generation: u64,
    torn_bytes: u64,
}

/// As much of a record as recovery needs.
#[derive(Deserialize)]
struct Skimmed {
    sequence: u64,
    durable: u64,
    change: Option<SkimmedChange>,
    store_generation: Option<u64>,
}

#[derive(Deserialize)]
struct SkimmedChange {
    generation: u64,
}

fn scan(path: &Path, file: &File, header: &Header) -> Result<Whole, AuditError> {
    let unusable = |source| AuditError::Unusable { path: path.to_owned(), source };
    let size = file.metadata().map_err(unusable)?.len();
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut text = Vec::new();
    let mut number = 1;
    reader.read_until(b'\n', &mut text).map_err(unusable)?;
    let mut whole = Whole {
        bytes: length(&text),
        hasher: Sha256::new_with_prefix(&text),
        next: header.first_sequence.number(),
        highest_generation: header.highest_generation,
        torn_bytes: 0,
    };
    loop {
        text.clear();
        number += 1;
        if reader.read_until(b'\n', &mut text).map_err(unusable)? == 0 {
            return Ok(whole);
        }
        let ended = text.strip_suffix(b"\n");
        let record = ended.ok_or("the line does not end".to_owned());
        match record.and_then(line::decode::<Skimmed>) {
            Ok(record) if record.sequence == whole.next => {
                whole.bytes += length(&text);
                whole.hasher.update(&text);
                whole.next += 1;
                let changed = record.change.map_or(0, |change| change.generation);
                let named = record.store_generation.unwrap_or(0);
                whole.highest_generation = whole.highest_generation.max(changed).max(named);
            }
            Ok(record) => return Err(damaged(path, number, gap(record.sequence, whole.next))),
            Err(what) if ended.is_some() && !text.contains(&0) => {
                return Err(damaged(path, number, what));
            }
            Err(_) => {
                let proven = was_durable(&mut reader, whole.next).map_err(unusable)?;
                if proven {
                    let what = format!("record {}, once durable, is a hole", whole.next);
                    return Err(damaged(path, number, what));
                }
                whole.torn_bytes = size.saturating_sub(whole.bytes);
                return Ok(whole);
            }
        }
    }
}

/// Whether a record further on says that this one was durable when it was written.
fn was_durable(reader: &mut impl BufRead, sequence: u64) -> std::io::Result<bool> {
    let mut text = Vec::new();
    loop {
        text.clear();
        if reader.read_until(b'\n', &mut text)? == 0 {
            return Ok(false);
        }
        let record = text.strip_suffix(b"\n").and_then(|t| line::decode::<Skimmed>(t).ok());
        if record.is_some_and(|record| record.durable >= sequence) {
            return Ok(true);
        }
    }
}
