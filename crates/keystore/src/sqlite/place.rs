//! Where the open file stands on its disk: whether its path still leads to it, and room kept for it.
//!
//! Invariant: nothing is written once the file, or its write-ahead log, was moved away or replaced: SQLite
//! would go on in files that nobody finds again. Reading goes on.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::{
    StoreError,
    sqlite::{failure::Failure, open::with_suffix},
};

/// The files that are open, by their identity.
pub(super) struct Place {
    files: [(PathBuf, Option<(u64, u64)>); 2],
}

impl Place {
    /// The store that was just opened at this path, and its write-ahead log.
    pub(super) fn of(path: &Path) -> Self {
        let found = |path: PathBuf| {
            let identity = identity(&path).ok();
            (path, identity)
        };
        Self { files: [found(path.to_owned()), found(with_suffix(path, "-wal"))] }
    }

    /// Refuses when one of them is not what its path leads to any more.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (path, opened) in &self.files {
            if identity(path).ok() != *opened {
                return Err(Failure::Store(StoreError::Unavailable {
                    reason: format!(
                        "{} was moved away or replaced while it was open, so nothing is written; put \
                         the file back, or restart the service if the one there now is meant",
                        path.display()
                    ),
                }));
            }
        }
        Ok(())
    }
}

/// Keeps room for the write-ahead log of a store that was just opened, so that a key can still be disabled
/// when others have filled the disk.
pub(super) fn reserve(path: &Path) {
    let log = with_suffix(path, "-wal");
    let reserved = File::options()
        .write(true)
        .open(&log)
        .and_then(|file| Ok(fallocate(&file, FallocateFlags::KEEP_SIZE, 0, RESERVE)?));
    if let Err(error) = reserved {
        tracing::warn!(path = %log.display(), %error, "no room is kept for the key store's changes");
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// More than the log grows before SQLite folds it into the file: 1,000 pages of 4 KiB.
pub(super) const RESERVE: u64 = 5 << 20;
