//! Sealing a stream in the memory of one chunk.
//!
//! Invariant: a message has its end only after [`Writer::finish`]. A writer that is dropped before, or
//! has met an error, leaves a truncated message behind, which never opens as a whole.

use std::{
    fmt,
    io::{self, Write},
};

use claviger_kms::{Salt, SecretKey};
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    layout::{CHUNK, MOST_CHUNKS, SEALED_CHUNK, TAG, TOO_LONG},
    message_key::MessageKey,
};

/// Seals what is written to it, chunk by chunk, into `inner`. Whole chunks are sealed straight from the
/// caller's slice; at most one chunk of plaintext is held, and wiped.
#[must_use = "a message has its end only after `finish`"]
pub struct Writer<W: Write> {
    sink: Sink<W>,
    held: Zeroizing<Vec<u8>>,
    failed: bool,
}

impl<W: Write> Writer<W> {
    /// Starts a message under `key`, with a fresh random salt, bound to `context`; writes its first 56
    /// bytes.
    ///
    /// # Errors
    /// [`Error::Random`]; [`Error::Io`] when `inner` does not take the bytes.
    pub fn new(mut inner: W, key: &SecretKey, context: &[u8]) -> Result<Self> {
        let salt = Salt::make_random().map_err(|source| Error::Random { source })?;
        let (key, header) = MessageKey::for_sealing(key, &salt, context)?;
        inner.write_all(&header).map_err(|source| Error::Io { source })?;
        let sealed = vec![0; SEALED_CHUNK].into_boxed_slice();
        Ok(Self {
            sink: Sink { inner, key, next: 0, sealed },
            held: Zeroizing::new(Vec::with_capacity(CHUNK)),
            failed: false,
        })
    }

    /// Seals the last chunk, flushes `inner` and gives it back. Only now is the message complete.
    ///
    /// # Errors
    /// [`Error::Io`] when `inner` does not take the bytes, now or earlier; [`Error::TooLong`].
    pub fn finish(mut self) -> Result<W> {
        self.unless_failed(|writer| {
            writer.sink.put(&writer.held)?;
            writer.sink.inner.flush().map_err(|source| Error::Io { source })
        })?;
        Ok(self.sink.inner)
    }

    fn accept(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        if !self.held.is_empty() {
            let missing = CHUNK.saturating_sub(self.held.len());
            let (first, after) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.held.extend_from_slice(first);
            if self.held.len() < CHUNK {
                return Ok(());
            }
            self.sink.put(&self.held)?;
            self.held.clear();
            rest = after;
        }
        let (chunks, last) = rest.as_chunks::<CHUNK>();
        chunks.iter().try_for_each(|chunk| self.sink.put(chunk))?;
        self.held.extend_from_slice(last);
        Ok(())
    }

    /// Does it, unless something failed before; what fails now fails for ever.
    fn unless_failed(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.failed {
            return Err(Error::Io { source: io::Error::other(FAILED_BEFORE) });
        }
        act(self).inspect_err(|_| self.failed = true)
    }
}

impl<W: Write> Write for Writer<W> {
    /// Takes all of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_failed(|writer| writer.accept(bytes))?;
        Ok(bytes.len())
    }

    /// Flushes `inner`. A chunk that is not full stays held: sealing it would end the message.
    fn flush(&mut self) -> io::Result<()> {
        let flush =
            |writer: &mut Self| writer.sink.inner.flush().map_err(|source| Error::Io { source });
        Ok(self.unless_failed(flush)?)
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("next_chunk", &self.sink.next).finish_non_exhaustive()
    }
}

/// Where sealed chunks go.
struct Sink<W: Write> {
    inner: W,
    key: MessageKey,
    next: u64,
    sealed: Box<[u8]>,
}

impl<W: Write> Sink<W> {
    fn put(&mut self, plain: &[u8]) -> Result<()> {
        // A full chunk is never the last, so there must be room for one more.
        if plain.len() == CHUNK && self.next + 1 >= MOST_CHUNKS {
            return Err(TOO_LONG);
        }
        let sealed = self.sealed.get_mut(..plain.len() + TAG).ok_or(Error::CipherFailed)?;
        self.key.seal_chunk(self.next, plain, sealed)?;
        self.next += 1;
        self.inner.write_all(sealed).map_err(|source| Error::Io { source })
    }
}

const FAILED_BEFORE: &str = "an earlier write failed; this message will never be complete";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_full_chunk_where_only_the_last_may_stand() {
        let key = SecretKey::make_random().unwrap();
        let mut writer = Writer::new(Vec::new(), &key, b"").unwrap();
        writer.sink.next = MOST_CHUNKS - 1;
        writer.write_all(&[0; CHUNK - 1]).unwrap();
        let refused = writer.write_all(&[0; 1]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        assert!(writer.finish().is_err());
    }

    #[test]
    fn a_last_chunk_may_stand_at_the_limit_and_not_past_it() {
        let key = SecretKey::make_random().unwrap();
        for (next, taken) in [(MOST_CHUNKS - 1, true), (MOST_CHUNKS, false)] {
            let mut writer = Writer::new(Vec::new(), &key, b"").unwrap();
            writer.sink.next = next;
            assert_eq!(writer.finish().is_ok(), taken);
        }
    }

    #[test]
    fn never_holds_more_than_one_chunk() {
        let key = SecretKey::make_random().unwrap();
        let mut writer = Writer::new(io::sink(), &key, b"").unwrap();
        for length in [1, 16383, 16384, 16385, 100_000, 7] {
            writer.write_all(&vec![0; length]).unwrap();
            assert!(writer.held.len() < CHUNK);
            assert_eq!(writer.held.capacity(), CHUNK);
        }
    }
}
