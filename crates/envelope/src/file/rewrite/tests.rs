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
    crate::file::header_slots(image).unwrap().map(|slot| slot.unwrap().header().clone())
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
