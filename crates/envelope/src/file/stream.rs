//! Copying between streams through a wiped buffer, with a count for a progress bar.
//!
//! Bounded memory: this buffer, one on the sealed side, and one chunk held by cobblestone; together under
//! 512 KiB whatever the file's length.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

/// What failed: the reading or the writing side.
pub(super) enum CopyError {
    Reading(io::Error),
    Writing(io::Error),
}

/// Copies all of `from`, calling `progress` with the bytes so far after each buffer.
pub(super) fn copy(
    mut from: impl Read,
    mut to: impl Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, CopyError> {
    let mut buffer = Zeroizing::new(vec![0; BUFFER]);
    let mut total = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Reading(error)),
        };
        to.write_all(buffer.get(..count).unwrap_or_default()).map_err(CopyError::Writing)?;
        total += count as u64;
        progress(total);
    }
}

/// Bytes of the plaintext buffer, and of the one on the sealed side.
pub(super) const BUFFER: usize = 128 * 1024;
