//! One header slot: 4,096 bytes with a sequence number and a checksum.
//!
//! | offset | bytes | is |
//! |---|---|---|
//! | 0 | 4 | `CLVF` |
//! | 4 | 1 | format, 1 |
//! | 5 | 8 | sequence, big-endian |
//! | 13 | 2 | length of the header, big-endian |
//! | 15 | length | the header, of kind file |
//! | then | to 4064 | zeros |
//! | 4064 | 32 | SHA-256 of the first 4,064 bytes |
//!
//! Invariant: the checksum finds torn and rotten slots, not altered ones; only the key service's unwrapping
//! authenticates a header. A slot has one encoding.

use sha2::{Digest as _, Sha256};

use crate::{EnvelopeError, EnvelopeKind, Header, Result};

/// Bytes of a header slot: a page, and a block of every common disk.
pub const SLOT_LENGTH: usize = 4096;

/// A whole header slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSlot {
    sequence: u64,
    header: Header,
}

/// What stands where a slot should be.
#[derive(Debug)]
pub(super) enum SlotContent {
    /// A whole slot.
    Whole(HeaderSlot),
    /// Begins as a slot and is not whole.
    Damaged,
    /// Does not begin as a slot.
    Foreign,
}

impl HeaderSlot {
    pub(super) const MAGIC: [u8; 4] = *b"CLVF";

    /// A slot of this header.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAnEnvelope`] when the header is a record's.
    pub(super) fn new(sequence: u64, header: Header) -> Result<Self> {
        if header.kind() != EnvelopeKind::File {
            return Err(EnvelopeError::not_an_envelope("a record's header in a file's slot"));
        }
        Ok(Self { sequence, header })
    }

    /// The writing's number: the slot with the higher one counts.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The header it holds.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn to_bytes(&self) -> [u8; SLOT_LENGTH] {
        let header = self.header.to_bytes();
        let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
        let mut body = Vec::with_capacity(SLOT_LENGTH);
        body.extend_from_slice(&Self::MAGIC);
        body.push(Header::FORMAT);
        body.extend_from_slice(&self.sequence.to_be_bytes());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&header);
        body.resize(BODY, 0);
        let mut slot = [0; SLOT_LENGTH];
        let (start, sum) = slot.split_at_mut(BODY);
        start.copy_from_slice(&body);
        sum.copy_from_slice(&Sha256::digest(&body));
        slot
    }

    /// Reads a slot.
    ///
    /// # Errors
    /// [`EnvelopeError::UnknownFormat`] when it is whole and of another format.
    pub(super) fn parse(slot: &[u8; SLOT_LENGTH]) -> Result<SlotContent> {
        let (body, sum) = slot.split_at(BODY);
        if !body.starts_with(&Self::MAGIC) {
            return Ok(SlotContent::Foreign);
        }
        if Sha256::digest(body).as_slice() != sum {
            return Ok(SlotContent::Damaged);
        }
        if let Some(&format) = body.get(4)
            && format != Header::FORMAT
        {
            return Err(EnvelopeError::UnknownFormat { format });
        }
        match Self::parse_body(body) {
            Some(slot) => Ok(SlotContent::Whole(slot)),
            None => Ok(SlotContent::Damaged),
        }
    }

    fn parse_body(body: &[u8]) -> Option<Self> {
        let (sequence, rest) = body.get(5..)?.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (header, padding) = rest.split_at_checked(length)?;
        let (header, after) = Header::parse(header).ok()?;
        if !after.is_empty() || padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        Self::new(u64::from_be_bytes(*sequence), header).ok()
    }
}

/// Bytes under the checksum.
const BODY: usize = SLOT_LENGTH - 32;

/// Bytes of a slot before its header.
const BEFORE_HEADER: usize = 15;

// The largest header there can be fits.
const _: () = assert!(BEFORE_HEADER + Header::MAX_LENGTH <= BODY);

#[cfg(test)]
mod tests {
    use claviger_kms::EnvelopeId;
    use proptest::prelude::*;

    use super::*;
    use crate::{Provider, Wrap};

    fn slot(wraps: usize, length: usize) -> HeaderSlot {
        let wrap = Wrap::new(Provider::AWS_KMS, vec![7; length]).unwrap();
        let id = EnvelopeId::from_bytes([1; 16]);
        let header = Header::new(EnvelopeKind::File, id, vec![wrap; wraps]).unwrap();
        HeaderSlot::new(5, header).unwrap()
    }

    fn with_checksum(mut bytes: [u8; SLOT_LENGTH]) -> [u8; SLOT_LENGTH] {
        let sum = Sha256::digest(&bytes[..BODY]);
        bytes[BODY..].copy_from_slice(&sum);
        bytes
    }

    #[test]
    fn the_smallest_and_the_largest_survive_a_round_trip() {
        for slot in [slot(1, 1), slot(4, 1000)] {
            let SlotContent::Whole(read) = HeaderSlot::parse(&slot.to_bytes()).unwrap() else {
                panic!("not whole");
            };
            assert_eq!(read, slot);
        }
    }

    #[test]
    fn every_altered_byte_is_found() {
        let bytes = slot(1, 126).to_bytes();
        for at in 4..SLOT_LENGTH {
            let mut altered = bytes;
            altered[at] ^= 0x10;
            let content = HeaderSlot::parse(&altered).unwrap();
            assert!(matches!(content, SlotContent::Damaged), "byte {at}");
        }
    }

    #[test]
    fn a_checksum_does_not_make_nonsense_a_slot() {
        // Length too small, too large; a record's header; bytes where zeros must be; no wraps.
        for (at, byte) in [(14, 0), (13, 0xFF), (20, 1), (4000, 1), (37, 0)] {
            let mut bytes = slot(1, 126).to_bytes();
            bytes[at] = byte;
            let content = HeaderSlot::parse(&with_checksum(bytes)).unwrap();
            assert!(matches!(content, SlotContent::Damaged), "byte {at}");
        }
    }

    #[test]
    fn a_whole_slot_of_another_format_says_so() {
        let mut bytes = slot(1, 126).to_bytes();
        bytes[4] = 2;
        let refused = HeaderSlot::parse(&with_checksum(bytes));
        assert!(matches!(refused, Err(EnvelopeError::UnknownFormat { format: 2 })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), format: u8) {
            let mut slot = [0; SLOT_LENGTH];
            slot[..5].copy_from_slice(&[b'C', b'L', b'V', b'F', format]);
            slot[5..5 + bytes.len()].copy_from_slice(&bytes);
            let _ = HeaderSlot::parse(&slot);
            let _ = HeaderSlot::parse(&with_checksum(slot));
        }
    }
}
