//! The few things asked of the file system, each in one place.
//!
//! Tests put faults in here (`fsync` fails, a write hangs) that no real disk can be made to show on
//! demand; everything else runs on real files.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::FallocateFlags;

/// Access to the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: crate::tests::Faults,
}

impl Disk {
    /// Makes an empty file for its owner only, in place of one that may stand there.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    /// Opens a file for reading and writing; a symbolic link is refused.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
    }

    /// Reserves `bytes` for the file without changing its length. `Ok(false)` where the file system
    /// cannot do it.
    ///
    /// What is reserved already is not asked for again: some file systems refuse even that when full.
    pub(crate) fn allocate(&self, file: &File, bytes: u64) -> io::Result<bool> {
        if file.metadata()?.blocks().saturating_mul(512) >= bytes {
            return Ok(true);
        }
        #[cfg(test)]
        self.faults.strike(crate::tests::Operation::Allocate)?;
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all bytes at this offset.
    pub(crate) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.strike(crate::tests::Operation::Write)?;
        file.write_all_at(bytes, offset)
    }

    /// Waits until the file's content is durable (`fdatasync`).
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.strike(crate::tests::Operation::Sync)?;
        file.sync_data()
    }

    /// Waits until the names in the directory are durable.
    pub(crate) fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    /// Whether the open file is the one that stands at `path`.
    pub(crate) fn is_at(&self, file: &File, path: &Path) -> io::Result<bool> {
        let open = file.metadata()?;
        match std::fs::symlink_metadata(path) {
            Ok(named) => Ok(named.dev() == open.dev() && named.ino() == open.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether the error says that there is no room, which passes, rather than that the disk is broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
