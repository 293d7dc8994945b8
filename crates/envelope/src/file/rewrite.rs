//! Replacing a file's header in place, for a rewrap.
//!
//! Invariant: at every moment at least one slot on the disk is whole and opens the file. The slot that does
//! not count is written and synced first; only then the other. A crash in between leaves the old header or the
//! new one, and writing again finishes. The payload is neither read nor written: all that is done to the file
//! goes through [`Medium`]. Headers are compared and written under the file's lock (`lock.rs`), and a version
//! never goes back.

use std::{fs::File, io, os::unix::fs::FileExt as _, time::Duration};

use claviger_kms::KmsError;

use super::{FileHeader, HeaderSlot, PAYLOAD_OFFSET, SLOT_LENGTH, lock::HeaderLock};
use crate::{EnvelopeError, Header, Result, WrapOutcome};

/// A file after a rewrap in place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewrappedFile {
    /// The header as it now stands, in both slots.
    pub header: FileHeader,
    /// What happened to each wrap.
    pub outcomes: Vec<WrapOutcome>,
    /// Whether anything was written: not when both slots held the newest header already.
    pub written: bool,
}

/// Writes `new` into both header slots of `file`, which must still be as it was `read`: that is looked at under
/// the file's lock (`flock`), which is waited for up to 10 seconds. Blocking. Gives the header back as it now
/// stands.
///
/// # Errors
/// [`EnvelopeError::Kms`] with `KmsError::Conflict` when the header changed meanwhile, somebody else keeps the
/// lock, or `new` holds an older version of a key; or `KmsError::Invalid` when `new` is another envelope's;
/// nothing is then written. [`EnvelopeError::Io`]: the file then opens with the old header or the new one.
pub fn rewrap_file_header(file: &mut File, read: &FileHeader, new: &Header) -> Result<FileHeader> {
    let _lock = HeaderLock::wait(file, LONGEST_WAIT)?;
    replace(file, read, new)
}

/// What a header stands on: a file, or in tests one that dies at a chosen step.
trait Medium {
    /// The first 8,192 bytes.
    fn read_header(&self) -> io::Result<Vec<u8>>;
    /// Writes one slot, whole.
    fn write_slot(&self, write: &SlotWrite) -> io::Result<()>;
    /// Returns when all that was written is on the disk.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn read_header(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PAYLOAD_OFFSET];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_slot(&self, write: &SlotWrite) -> io::Result<()> {
        self.write_all_at(&write.bytes, write.offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

fn replace(medium: &impl Medium, read: &FileHeader, new: &Header) -> Result<FileHeader> {
    if read_header(medium)? != *read {
        return Err(EnvelopeError::from(KmsError::conflict(
            "the file's header changed since it was read; read it again",
        )));
    }
    for write in plan(read, new)? {
        medium
            .write_slot(&write)
            .and_then(|()| medium.sync())
            .map_err(EnvelopeError::io("writing the file's header"))?;
    }
    read_header(medium)
}

fn read_header(medium: &impl Medium) -> Result<FileHeader> {
    let bytes = medium.read_header().map_err(EnvelopeError::io("reading the file's header"))?;
    FileHeader::parse(&bytes)
}

/// Whether `new` holds an older version than `old` of the same key.
fn goes_back(old: &Header, new: &Header) -> bool {
    old.wraps().iter().filter_map(crate::Wrap::key_version).any(|(key, old)| {
        let mut versions = new.wraps().iter().filter_map(crate::Wrap::key_version);
        versions.any(|(same, new)| same == key && new < old)
    })
}

/// One write of a whole slot, to be synced before the next.
struct SlotWrite {
    offset: u64,
    bytes: [u8; SLOT_LENGTH],
}

/// The slot that does not count, then the other, with the next two sequence numbers.
fn plan(read: &FileHeader, new: &Header) -> Result<[SlotWrite; 2]> {
    if new.envelope_id() != read.header().envelope_id() {
        return Err(EnvelopeError::from(KmsError::invalid(
            "the new header is another envelope's; the file would never open again",
        )));
    }
    if goes_back(read.header(), new) {
        return Err(EnvelopeError::from(KmsError::conflict(
            "the new header holds an older version of the key than the file's",
        )));
    }
    let (first, second) = match read.slots() {
        [Some(first), _] if first.sequence() == read.sequence() => (SLOT_LENGTH as u64, 0),
        _ => (0, SLOT_LENGTH as u64),
    };
    let write = |offset, by| -> Result<SlotWrite> {
        let sequence = read.sequence().checked_add(by).ok_or_else(|| {
            EnvelopeError::not_an_envelope("its header's sequence number has reached its end")
        })?;
        let bytes = HeaderSlot::new(sequence, new.clone())?.to_bytes();
        Ok(SlotWrite { offset, bytes })
    };
    Ok([write(first, 1)?, write(second, 2)?])
}

/// Nobody keeps the lock for longer than two small writes take.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;
