//! Replacing a file's header in place, for a rewrap.
//!
//! Invariant: at every moment at least one slot on the disk is whole and opens the file. The slot that does
//! not count is written and synced first; only then the other. A crash in between leaves the old header or the
//! new one, and writing again finishes. The payload is neither read nor written.
//! Known limit: the check that nobody else replaced the header is made just before the first write and is no
//! lock: two who rewrap one file at one time must agree between themselves.

use std::{fs::File, os::unix::fs::FileExt as _};

use claviger_kms::KmsError;

use super::{FileHeader, HeaderSlot, PAYLOAD_OFFSET, SLOT_LENGTH};
use crate::{EnvelopeError, Header, Result};

/// Writes `new` into both header slots of `file`, which must still be as it was `read`. Blocking. Gives the
/// header back as it now stands.
///
/// # Errors
/// [`EnvelopeError::Kms`] with `KmsError::Conflict` when the header changed meanwhile, or `KmsError::Invalid`
/// when `new` is another envelope's; nothing is then written. [`EnvelopeError::Io`]: the file then opens with
/// the old header or the new one.
pub fn rewrap_file_header(file: &mut File, read: &FileHeader, new: &Header) -> Result<FileHeader> {
    if read_header(file)? != *read {
        return Err(EnvelopeError::from(KmsError::conflict(
            "the file's header changed since it was read; read it again",
        )));
    }
    for write in plan(read, new)? {
        file.write_all_at(&write.bytes, write.offset)
            .and_then(|()| file.sync_data())
            .map_err(EnvelopeError::io("writing the file's header"))?;
    }
    read_header(file)
}

fn read_header(file: &File) -> Result<FileHeader> {
    let mut bytes = vec![0; PAYLOAD_OFFSET];
    file.read_exact_at(&mut bytes, 0).map_err(EnvelopeError::io("reading the file's header"))?;
    FileHeader::parse(&bytes)
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

#[cfg(test)]
mod tests;
