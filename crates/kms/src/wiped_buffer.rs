//! A growing byte buffer for encoded secrets, such as a JSON body that holds a data key.
//!
//! Invariant: no byte written to it stays behind. It is wiped when dropped, and when it has to grow the
//! old memory is wiped before it is given back, which a plain vector does not do.

use std::{fmt, io};

use zeroize::Zeroizing;

/// Bytes that are wiped when dropped, and when the buffer moves.
#[derive(Default)]
pub struct WipedBuffer(Zeroizing<Vec<u8>>);

impl WipedBuffer {
    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, bytes: &[u8]) {
        let wanted = self.0.len().saturating_add(bytes.len());
        if wanted > self.0.capacity() {
            let larger = wanted.max(self.0.capacity().saturating_mul(2)).max(256);
            let mut moved = Zeroizing::new(Vec::with_capacity(larger));
            moved.extend_from_slice(&self.0);
            self.0 = moved;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl AsRef<[u8]> for WipedBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl io::Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for WipedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WipedBuffer({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_written_while_it_grows() {
        let mut buffer = WipedBuffer::with_capacity(1);
        let bytes: Vec<u8> = (0..=255).collect();
        for piece in bytes.repeat(20).chunks(7) {
            buffer.extend(piece);
        }
        assert_eq!(buffer.as_ref(), bytes.repeat(20));
    }

    #[test]
    fn debug_shows_no_byte() {
        let mut buffer = WipedBuffer::default();
        buffer.extend(b"hunter2");
        assert_eq!(format!("{buffer:?}"), "WipedBuffer(7 bytes)");
    }
}
