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
mod tests {
    use std::io::Write as _;

    use claviger_kms::EnvelopeId;

    use super::*;
    use crate::{EnvelopeKind, Provider, Wrap};

    fn header(wrap: u8) -> Header {
        let wrap = Wrap::new(Provider::AWS_KMS, vec![wrap; 126]).unwrap();
        Header::new(EnvelopeKind::File, EnvelopeId::from_bytes([1; 16]), vec![wrap]).unwrap()
    }

    fn slot(sequence: u64, wrap: u8) -> [u8; SLOT_LENGTH] {
        HeaderSlot::new(sequence, header(wrap)).unwrap().to_bytes()
    }

    /// Every state of a disk that lost power during `write`: each 512-byte sector old, new or rotten, for all
    /// prefixes; and cut within a sector.
    fn torn(image: &[u8], write: &SlotWrite) -> Vec<Vec<u8>> {
        let start = usize::try_from(write.offset).unwrap();
        let lengths = (0..=SLOT_LENGTH).step_by(512).chain([1, 17, 300, SLOT_LENGTH - 1]);
        lengths
            .flat_map(|length| {
                let mut prefix = image.to_vec();
                prefix[start..start + length].copy_from_slice(&write.bytes[..length]);
                let mut suffix = image.to_vec();
                suffix[start + length..start + SLOT_LENGTH].copy_from_slice(&write.bytes[length..]);
                let mut rotten = prefix.clone();
                rotten[start + length.saturating_sub(100)..start + SLOT_LENGTH].fill(0xFF);
                [prefix, suffix, rotten]
            })
            .collect()
    }

    /// A rewrap that loses power at every point of either write, from every state a file can be in.
    #[test]
    fn a_crash_at_any_point_leaves_the_old_header_or_the_new_one() {
        let junk = [0xEE; SLOT_LENGTH];
        let starts = [
            [slot(1, 1), slot(2, 1)],
            [slot(4, 1), slot(3, 1)],
            [slot(3, 1), slot(2, 9)],
            [junk, slot(2, 1)],
            [slot(1, 1), junk],
            [slot(7, 1), slot(7, 9)],
        ];
        for start in starts {
            let mut image = start.concat();
            let read = FileHeader::parse(&image).unwrap();
            assert_eq!(*read.header(), header(1));
            for (number, write) in plan(&read, &header(2)).unwrap().iter().enumerate() {
                for crashed in torn(&image, write) {
                    let found = FileHeader::parse(&crashed).unwrap();
                    let old_is_fine = number == 0 && *found.header() == header(1);
                    assert!(old_is_fine || *found.header() == header(2), "write {number}");
                    // Whoever finds it so can finish.
                    let mut finished = crashed;
                    for write in plan(&found, &header(2)).unwrap() {
                        let at = usize::try_from(write.offset).unwrap();
                        finished[at..at + SLOT_LENGTH].copy_from_slice(&write.bytes);
                    }
                    let [a, b] = header_slots_of(&finished);
                    assert_eq!((a, b), (header(2), header(2)));
                }
                let at = usize::try_from(write.offset).unwrap();
                image[at..at + SLOT_LENGTH].copy_from_slice(&write.bytes);
            }
        }
    }

    fn header_slots_of(image: &[u8]) -> [Header; 2] {
        super::super::header_slots(image).unwrap().map(|slot| slot.unwrap().header().clone())
    }

    fn file(image: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(image).unwrap();
        file
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn both_slots_hold_the_new_header_and_the_payload_is_the_same() {
        let image = [&slot(1, 1)[..], &slot(2, 1), b"payload"].concat();
        let mut file = file(&image);
        let read = FileHeader::parse(&image).unwrap();
        let written = rewrap_file_header(&mut file, &read, &header(2)).unwrap();
        assert_eq!(written.slots().map(|slot| slot.unwrap().sequence()), [3, 4]);
        let after = content(&file);
        assert_eq!(header_slots_of(&after), [header(2), header(2)]);
        assert_eq!(&after[PAYLOAD_OFFSET..], b"payload");
    }

    #[test]
    fn refuses_a_header_that_changed_and_writes_nothing() {
        let image = [slot(1, 1), slot(2, 1)].concat();
        let mut file = file(&image);
        let read = FileHeader::parse(&[slot(1, 1), slot(2, 9)].concat()).unwrap();
        let refused = rewrap_file_header(&mut file, &read, &header(2)).unwrap_err();
        assert!(matches!(refused, EnvelopeError::Kms { source: KmsError::Conflict { .. } }));
        assert_eq!(content(&file), image);
    }

    #[test]
    fn refuses_another_envelopes_header_a_records_and_a_last_sequence() {
        let image = [slot(1, 1), slot(2, 1)].concat();
        let read = FileHeader::parse(&image).unwrap();
        let wraps = header(2).wraps().to_vec();
        let other = EnvelopeId::from_bytes([9; 16]);
        let foreign = Header::new(EnvelopeKind::File, other, wraps.clone()).unwrap();
        let same = EnvelopeId::from_bytes([1; 16]);
        let record = Header::new(EnvelopeKind::Record, same, wraps).unwrap();
        let mut file = file(&image);
        for bad in [foreign, record] {
            assert!(rewrap_file_header(&mut file, &read, &bad).is_err());
        }
        assert_eq!(content(&file), image);
        let last = FileHeader::parse(&[slot(u64::MAX, 1), slot(2, 1)].concat()).unwrap();
        assert!(plan(&last, &header(2)).is_err());
    }
}
