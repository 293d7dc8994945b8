//! What the tests share: keys, plain copies of secrets, and media as awkward as real ones.

#![expect(clippy::disallowed_methods, reason = "compares an opened plaintext in a test")]

use std::io::{self, Read, Write};

use claviger_cobblestone::{Error, Reader, SeekReader};
use claviger_kms::{SecretBytes, SecretKey};

/// The key with these bytes.
pub(crate) fn key(bytes: &[u8; 32]) -> SecretKey {
    SecretKey::make_with(|key| {
        key.copy_from_slice(bytes);
        Ok::<_, Error>(())
    })
    .unwrap()
}

/// A copy for comparison.
pub(crate) fn plain(secret: &SecretBytes) -> Vec<u8> {
    secret.with_bytes(<[u8]>::to_vec)
}

/// `length` bytes in which no two chunks are alike: byte i is `i + 31 * (i / 256)`, modulo 256.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| ((i + i / 256 * 31) & 0xFF) as u8).collect()
}

/// Gives and takes at most so many bytes at a time (the sizes in turn), and is interrupted before every
/// call that works.
#[derive(Debug)]
pub(crate) struct Trickle<T> {
    inner: T,
    sizes: Vec<usize>,
    calls: usize,
}

impl<T> Trickle<T> {
    pub(crate) fn new(inner: T, sizes: &[usize]) -> Self {
        assert!(sizes.iter().all(|&size| size > 0));
        Self { inner, sizes: sizes.to_vec(), calls: 0 }
    }

    pub(crate) fn into_inner(self) -> T {
        self.inner
    }

    fn next_size(&mut self) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(self.sizes[self.calls / 2 % self.sizes.len()])
    }
}

impl<R: Read> Read for Trickle<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.next_size()?.min(buffer.len());
        self.inner.read(&mut buffer[..most])
    }
}

impl<W: Write> Write for Trickle<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.next_size()?.min(bytes.len());
        self.inner.write(&bytes[..most])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads to the end in reads of these sizes, in turn. Gives what came out, and the error if there was one.
pub(crate) fn read_by(mut reader: impl Read, sizes: &[usize]) -> (Vec<u8>, Option<io::Error>) {
    let mut output = Vec::new();
    for size in sizes.iter().cycle() {
        let mut buffer = vec![0; *size];
        match reader.read(&mut buffer) {
            Ok(0) => return (output, None),
            Ok(count) => output.extend_from_slice(&buffer[..count]),
            Err(error) => return (output, Some(error)),
        }
    }
    unreachable!("there is at least one size")
}

/// What a [`Reader`] over an awkward medium gives out, and the error if there was one.
pub(crate) fn stream(
    key: &SecretKey,
    context: &[u8],
    message: &[u8],
    source_sizes: &[usize],
    read_sizes: &[usize],
) -> (Vec<u8>, Option<Error>) {
    match Reader::new(Trickle::new(message, source_sizes), key, context) {
        Ok(reader) => {
            let (output, error) = read_by(reader, read_sizes);
            (output, error.map(Error::from))
        }
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// What a [`SeekReader`] gives out for a message that stands behind `before` other bytes.
pub(crate) fn seek_and_read(
    key: &SecretKey,
    context: &[u8],
    message: &[u8],
    before: usize,
    read_sizes: &[usize],
) -> (Vec<u8>, Option<Error>) {
    let medium = [&vec![0xEE; before], message].concat();
    match SeekReader::new(io::Cursor::new(medium), before as u64, key, context) {
        Ok(reader) => {
            let (output, error) = read_by(reader, read_sizes);
            (output, error.map(Error::from))
        }
        Err(error) => (Vec::new(), Some(error)),
    }
}
