//! Opening a stream in the memory of one chunk.
//!
//! Invariant: no byte is handed out before the chunk it stands in is verified, and the end of the stream
//! is reported only after the last chunk is. A caller that acts on what it has read before that must be
//! ready to take it back: that a message is cut is seen only at the cut.

use std::{
    fmt,
    io::{self, Read},
    ops::Range,
};

use claviger_kms::SecretKey;
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    layout::{CHUNK, OVERHEAD, SEALED_CHUNK, TAG},
    message_key::MessageKey,
    source::{copy, fill, fill_all},
};

/// Reads the plaintext of the message in `inner`, which ends with `inner`. A chunk is opened straight
/// into the caller's buffer where it fits there.
pub struct Reader<R: Read> {
    inner: R,
    key: MessageKey,
    next: u64,
    sealed: Box<[u8]>,
    held: Zeroizing<Box<[u8]>>,
    unread: Range<usize>,
    state: State,
}

impl<R: Read> Reader<R> {
    /// Reads the first 56 bytes of the message and compares the commitment.
    ///
    /// # Errors
    /// [`Error::Rejected`] when they are another key's or context's, or not there; [`Error::Io`].
    pub fn new(mut inner: R, key: &SecretKey, context: &[u8]) -> Result<Self> {
        let mut header = [0; OVERHEAD];
        fill_all(&mut inner, &mut header)?;
        Ok(Self {
            inner,
            key: MessageKey::for_opening(key, context, &header)?,
            next: 0,
            sealed: vec![0; SEALED_CHUNK].into_boxed_slice(),
            held: Zeroizing::new(vec![0; CHUNK].into_boxed_slice()),
            unread: 0..0,
            state: State::Reading,
        })
    }

    /// Opens the next chunk into `buffer`, or into `held` where it does not fit; says how many bytes are
    /// in `buffer`.
    fn open_next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = fill(&mut self.inner, &mut self.sealed)?;
        let sealed = self.sealed.get(..length).ok_or(Error::Rejected)?;
        let plain_length = length.checked_sub(TAG).ok_or(Error::Rejected)?;
        let direct = buffer.get_mut(..plain_length);
        let opened = if direct.is_some() { plain_length } else { 0 };
        let target = match direct {
            Some(target) => target,
            None => self.held.get_mut(..plain_length).ok_or(Error::Rejected)?,
        };
        self.key.open_chunk(self.next, sealed, target)?;
        self.next += 1;
        self.unread = opened..plain_length;
        if length < SEALED_CHUNK {
            self.state = State::Ended;
        }
        Ok(opened)
    }
}

impl<R: Read> Read for Reader<R> {
    /// Reads verified plaintext; 0 only at the verified end. After an error every read fails.
    ///
    /// A rejection is of kind `InvalidData` and carries [`Error::Rejected`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.unread.is_empty() {
            match self.state {
                State::Reading => {}
                State::Ended => return Ok(0),
                State::Rejected => return Err(Error::Rejected.into()),
                State::Broken => return Err(io::Error::other(FAILED_BEFORE)),
            }
            let opened = self.open_next(buffer).inspect_err(|error| {
                self.state = match error {
                    Error::Rejected => State::Rejected,
                    _ => State::Broken,
                };
            })?;
            if self.unread.is_empty() {
                return Ok(opened);
            }
        }
        let held = self.held.get(self.unread.clone()).unwrap_or_default();
        let count = copy(held, buffer);
        self.unread.start += count;
        Ok(count)
    }
}

impl<R: Read> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("next_chunk", &self.next)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// How far the stream has come.
#[derive(Debug, Clone, Copy)]
enum State {
    /// There is a chunk to come.
    Reading,
    /// The last chunk was opened.
    Ended,
    /// A chunk was refused.
    Rejected,
    /// The source failed; where it stands is not known.
    Broken,
}

const FAILED_BEFORE: &str = "an earlier read failed; open the message again from its start";
