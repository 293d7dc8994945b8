//! Reading whole chunks from a source that gives a few bytes at a time, and handing them on.

use std::io::{self, Read};

use crate::{Error, Result};

/// Reads until `buffer` is full or the source ends, and says how many bytes there were. Short reads and
/// interrupted system calls are taken as they come.
///
/// # Errors
/// [`Error::Io`] with any other error of the source.
pub(crate) fn fill<R: Read>(source: &mut R, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Io { source }),
        }
    }
    Ok(filled)
}

/// As [`fill`], for bytes that must be there.
///
/// # Errors
/// [`Error::Rejected`] when the source ends before, which is a truncated message.
pub(crate) fn fill_all<R: Read>(source: &mut R, buffer: &mut [u8]) -> Result<()> {
    if fill(source, buffer)? == buffer.len() { Ok(()) } else { Err(Error::Rejected) }
}

/// Copies as many bytes as there are and fit; says how many.
pub(crate) fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..count), to.get_mut(..count)) {
        to.copy_from_slice(from);
    }
    count
}
