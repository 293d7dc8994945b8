//! The header of a file: both slots, and the one that counts.
//!
//! Invariant: of two whole slots the one with the higher sequence counts, the first if they are equal (which
//! no writer makes); one whole slot is enough; none is an error that names the remedy.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
};

use super::{
    PAYLOAD_OFFSET, SLOT_LENGTH,
    slot::{HeaderSlot, SlotContent},
};
use crate::{EnvelopeError, Header, Inspection, Result};

/// The header of a file as read, not yet verified: that is done by
/// [`Envelopes::open_file`](crate::Envelopes::open_file).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    slots: [Option<HeaderSlot>; 2],
    current: HeaderSlot,
}

impl FileHeader {
    /// Reads the first 8,192 bytes of a file; `file` then stands at the payload. Blocking.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`EnvelopeError::Io`].
    pub fn read_from(mut file: impl Read) -> Result<Self> {
        let mut bytes = Vec::with_capacity(PAYLOAD_OFFSET);
        file.by_ref()
            .take(PAYLOAD_OFFSET as u64)
            .read_to_end(&mut bytes)
            .map_err(EnvelopeError::io("reading the file's header"))?;
        Self::parse(&bytes)
    }

    /// Reads the first 8,192 bytes of a file without moving in it. Blocking.
    ///
    /// # Errors
    /// As [`read_from`](Self::read_from).
    pub fn read_at_start(file: &File) -> Result<Self> {
        let mut bytes = Vec::with_capacity(PAYLOAD_OFFSET);
        let mut buffer = [0; SLOT_LENGTH];
        while bytes.len() < PAYLOAD_OFFSET {
            let room = buffer.len().min(PAYLOAD_OFFSET - bytes.len());
            let part = buffer.get_mut(..room).unwrap_or_default();
            match file.read_at(part, bytes.len() as u64) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(part.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(EnvelopeError::io("reading the file's header")(source)),
            }
        }
        Self::parse(&bytes)
    }

    /// Reads the header from the first bytes of a file, 8,192 or more.
    ///
    /// # Errors
    /// [`EnvelopeError::NotAnEnvelope`] when there are fewer bytes or neither slot begins as one,
    /// [`EnvelopeError::HeadersTorn`] when neither is whole, [`EnvelopeError::UnknownFormat`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let slots = header_slots(bytes)?;
        let [first, second] = &slots;
        let current = match (first, second) {
            (Some(first), Some(second)) if second.sequence() > first.sequence() => second,
            (Some(first), _) => first,
            (None, Some(second)) => second,
            (None, None) => return Err(EnvelopeError::HeadersTorn),
        };
        Ok(Self { current: current.clone(), slots })
    }

    /// The header that counts.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.current.header()
    }

    /// The sequence of the slot that counts.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.current.sequence()
    }

    /// Both slots, `None` for a damaged one. A census counts both: until the older is overwritten too,
    /// its key version can still open the file.
    #[must_use]
    pub fn slots(&self) -> [Option<&HeaderSlot>; 2] {
        self.slots.each_ref().map(Option::as_ref)
    }

    /// What the header claims, with a payload of this many bytes: the file's length less 8,192.
    #[must_use]
    pub fn inspect(&self, payload_length: u64) -> Inspection {
        let damaged = self.slots.iter().filter(|slot| slot.is_none()).count();
        Inspection::of(self.header(), payload_length, damaged)
    }
}

/// Both header slots of a file, from its first 8,192 bytes; `None` for a damaged one.
///
/// # Errors
/// [`EnvelopeError::NotAnEnvelope`] when there are fewer bytes or neither slot begins as one,
/// [`EnvelopeError::UnknownFormat`].
pub fn header_slots(bytes: &[u8]) -> Result<[Option<HeaderSlot>; 2]> {
    if bytes.starts_with(&Header::MAGIC) {
        return Err(EnvelopeError::not_an_envelope("it is a record's envelope, not a file's"));
    }
    let (slots, _) = bytes.as_chunks::<SLOT_LENGTH>();
    let [first, second, ..] = slots else {
        return Err(EnvelopeError::not_an_envelope(format!(
            "it has {} bytes; a file's header alone has {PAYLOAD_OFFSET}",
            bytes.len()
        )));
    };
    let contents = [HeaderSlot::parse(first)?, HeaderSlot::parse(second)?];
    if let [SlotContent::Foreign, SlotContent::Foreign] = contents {
        return Err(EnvelopeError::not_an_envelope("neither header slot begins with CLVF"));
    }
    Ok(contents.map(|content| match content {
        SlotContent::Whole(slot) => Some(slot),
        SlotContent::Damaged | SlotContent::Foreign => None,
    }))
}

/// Whether these bytes should be read as a file: either slot begins as one.
pub(crate) fn may_be_file(bytes: &[u8]) -> bool {
    let second = bytes.get(SLOT_LENGTH..).unwrap_or_default();
    bytes.starts_with(&HeaderSlot::MAGIC)
        || (second.starts_with(&HeaderSlot::MAGIC) && !bytes.starts_with(&Header::MAGIC))
}
