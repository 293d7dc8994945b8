//! A file that appears at its name only when it is complete.
//!
//! Invariants: until [`NewFile::keep`] the bytes stand under a random name in the same directory, made anew
//! (`O_EXCL`), readable by the owner only; dropped before that, the file is removed, whatever the reason. `keep`
//! syncs the file, renames it without a moment in which another file could be overwritten unasked, and syncs
//! the directory. All names are relative to the directory as it was opened.
//! Known limit: a process that is killed leaves the file under its random name, `.claviger-….partial`.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use claviger_kms::fill_random;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};

use crate::{EnvelopeError, Result};

/// What to do with a file that stands at the output's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail, also if it appears while the output is being written.
    Refuse,
    /// Replace it in one step. A symbolic link itself is replaced, not what it points to.
    Replace,
}

/// A file under its random name.
#[derive(Debug)]
pub(super) struct NewFile {
    directory: OwnedFd,
    temporary: OsString,
    name: OsString,
    path: PathBuf,
    existing: Existing,
    file: File,
    kept: bool,
}

impl NewFile {
    /// Makes the file under a random name beside `path`. Fails at once where `keep` would.
    pub(super) fn create(path: &Path, existing: Existing) -> Result<Self> {
        let doing = || format!("making {}", path.display());
        let Some(name) = path.file_name() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "this is not a file's name");
            return Err(EnvelopeError::Io { doing: doing(), source });
        };
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(CWD, above.unwrap_or(Path::new(".")), flags, Mode::empty())
                .map_err(|errno| EnvelopeError::io(doing())(errno.into()))?;
        if existing == Existing::Refuse && stands_at(&directory, name) {
            return Err(EnvelopeError::OutputExists { path: path.to_owned() });
        }
        let temporary = random_name()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, &temporary, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| EnvelopeError::io(doing())(errno.into()))?;
        let (name, path) = (name.to_owned(), path.to_owned());
        Ok(Self { directory, temporary, name, path, existing, file: file.into(), kept: false })
    }

    /// Where to write.
    pub(super) fn writer(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, durably.
    pub(super) fn keep(mut self) -> Result<()> {
        let doing = |what: &str| format!("{what} {}", self.path.display());
        self.file.sync_all().map_err(EnvelopeError::io(doing("syncing")))?;
        match self.rename() {
            Err(Errno::EXIST) if self.existing == Existing::Refuse => {
                return Err(EnvelopeError::OutputExists { path: self.path.clone() });
            }
            renamed => renamed
                .map_err(|errno| EnvelopeError::io(doing("giving its name to"))(errno.into()))?,
        }
        let synced = rustix::fs::fsync(&self.directory)
            .map_err(|errno| EnvelopeError::io(doing("syncing the directory of"))(errno.into()));
        self.kept = true;
        synced
    }

    fn rename(&self) -> Result<(), Errno> {
        let (directory, from, to) = (&self.directory, &self.temporary, &self.name);
        if self.existing == Existing::Replace {
            return rustix::fs::renameat(directory, from, directory, to);
        }
        match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
            // Some file systems do not know the flag; a hard link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
                rustix::fs::unlinkat(directory, from, AtFlags::empty())
            }
            renamed => renamed,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing more can be done about a file that cannot be removed.
            let _ = rustix::fs::unlinkat(&self.directory, &self.temporary, AtFlags::empty());
        }
    }
}

/// Whether anything, a dangling link too, stands at this name.
fn stands_at(directory: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn random_name() -> Result<OsString> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    Ok(format!(".claviger-{}.partial", hex::encode(bytes)).into())
}
