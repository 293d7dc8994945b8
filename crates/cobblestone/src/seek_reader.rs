//! Opening any part of a message without reading the rest.
//!
//! Invariant: the length is believed only after the last chunk was verified at the place where it must
//! stand, which [`SeekReader::new`] does first; no byte is handed out before its chunk is verified.
//! Chunks that are never read are never verified.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
};

use claviger_kms::SecretKey;
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    layout::{CHUNK, OVERHEAD, SEALED_CHUNK, TAG, plain_length},
    message_key::MessageKey,
    source::{copy, fill_all},
};

/// Reads the plaintext of a message at any position. The message stands in `inner` from a given offset
/// to the end. One chunk is held, and wiped.
pub struct SeekReader<R: Read + Seek> {
    inner: R,
    start: u64,
    key: MessageKey,
    length: u64,
    position: u64,
    sealed: Box<[u8]>,
    held: Zeroizing<Box<[u8]>>,
    held_number: Option<u64>,
}

impl<R: Read + Seek> SeekReader<R> {
    /// Compares the commitment of the message at offset `start` of `inner`, then verifies its last chunk.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the message is another key's or context's, or is not complete;
    /// [`Error::Io`].
    pub fn new(mut inner: R, start: u64, key: &SecretKey, context: &[u8]) -> Result<Self> {
        let end = inner.seek(SeekFrom::End(0)).map_err(|source| Error::Io { source })?;
        let length = plain_length(end.checked_sub(start).ok_or(Error::Rejected)?)?;
        inner.seek(SeekFrom::Start(start)).map_err(|source| Error::Io { source })?;
        let mut header = [0; OVERHEAD];
        fill_all(&mut inner, &mut header)?;
        let mut reader = Self {
            inner,
            start,
            key: MessageKey::for_opening(key, context, &header)?,
            length,
            position: 0,
            sealed: vec![0; SEALED_CHUNK].into_boxed_slice(),
            held: Zeroizing::new(vec![0; CHUNK].into_boxed_slice()),
            held_number: None,
        };
        reader.hold(length / CHUNK as u64)?;
        Ok(reader)
    }

    /// Bytes of plaintext.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is no plaintext.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads from the current position, within one chunk.
    fn read_here(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let number = self.position / CHUNK as u64;
        let within = usize::try_from(self.position % CHUNK as u64).unwrap_or(CHUNK);
        let plain_length = self.plain_length_of(number);
        if within == 0
            && self.held_number != Some(number)
            && let Some(target) = buffer.get_mut(..plain_length)
        {
            self.fetch(number)?;
            let sealed = self.sealed.get(..plain_length + TAG).ok_or(Error::Rejected)?;
            self.key.open_chunk(number, sealed, target)?;
            return Ok(plain_length);
        }
        self.hold(number)?;
        let held = self.held.get(within..plain_length).unwrap_or_default();
        Ok(copy(held, buffer))
    }

    /// Has chunk `number`, verified, in `held`.
    fn hold(&mut self, number: u64) -> Result<()> {
        if self.held_number == Some(number) {
            return Ok(());
        }
        self.fetch(number)?;
        self.held_number = None;
        let plain_length = self.plain_length_of(number);
        let sealed = self.sealed.get(..plain_length + TAG).ok_or(Error::Rejected)?;
        let plain = self.held.get_mut(..plain_length).ok_or(Error::Rejected)?;
        self.key.open_chunk(number, sealed, plain)?;
        self.held_number = Some(number);
        Ok(())
    }

    /// Reads chunk `number` into `sealed`.
    fn fetch(&mut self, number: u64) -> Result<()> {
        let offset = self.start + OVERHEAD as u64 + number * SEALED_CHUNK as u64;
        self.inner.seek(SeekFrom::Start(offset)).map_err(|source| Error::Io { source })?;
        let length = self.plain_length_of(number) + TAG;
        let sealed = self.sealed.get_mut(..length).ok_or(Error::Rejected)?;
        fill_all(&mut self.inner, sealed)
    }

    fn plain_length_of(&self, number: u64) -> usize {
        let rest = self.length.saturating_sub(number * CHUNK as u64);
        usize::try_from(rest).map_or(CHUNK, |rest| rest.min(CHUNK))
    }
}

impl<R: Read + Seek> Read for SeekReader<R> {
    /// Reads verified plaintext from the current position; 0 at the end and past it.
    ///
    /// A rejection is of kind `InvalidData` and carries [`Error::Rejected`]; the position then stays.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.length {
            return Ok(0);
        }
        let count = self.read_here(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for SeekReader<R> {
    /// Moves to a position of the plaintext. Past the end is allowed, before the start is not.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        let before_start = || io::Error::new(io::ErrorKind::InvalidInput, BEFORE_START);
        self.position = target.ok_or_else(before_start)?;
        Ok(self.position)
    }
}

impl<R: Read + Seek> fmt::Debug for SeekReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeekReader")
            .field("length", &self.length)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

const BEFORE_START: &str = "a position lies between 0 and 2^64 - 1";
