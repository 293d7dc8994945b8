//! A file that appears at its name only when it is complete.
//!
//! Invariants: until [`NewFile::keep`] the bytes stand under a random name in the same directory, made anew
//! (`O_EXCL`), readable by the owner only; dropped before that, the file is removed, whatever the reason. `keep`
//! syncs the file, renames it without a moment in which another file could be overwritten unasked, and syncs
//! the directory. All names are relative to the directory as it was opened.
//! A process that is killed leaves the file under its random name, `.claviger-….partial`. It is locked (`flock`)
//! as long as its maker lives, so that [`remove_abandoned`](super::remove_abandoned) can tell.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, TryLockError},
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
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

/// A file under its random name: it gets its own by [`keep`](Self::keep), or is removed when dropped.
#[derive(Debug)]
#[must_use = "a file that is not kept is removed"]
pub struct NewFile {
    directory: OwnedFd,
    temporary: OsString,
    name: OsString,
    path: PathBuf,
    existing: Existing,
    file: File,
    kept: bool,
}

impl NewFile {
    /// Makes the file under a random name beside `path`. Fails at once where [`keep`](Self::keep) would.
    /// Blocking.
    ///
    /// # Errors
    /// [`EnvelopeError::OutputExists`], [`EnvelopeError::Io`].
    pub fn create(path: &Path, existing: Existing) -> Result<Self> {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(CWD, above.unwrap_or(Path::new(".")), flags, Mode::empty())
                .map_err(|errno| EnvelopeError::io(making(path))(errno.into()))?;
        Self::create_in(directory, path, existing)
    }

    /// The same in a directory that is open already: only the last name of `path` counts, the rest is for
    /// messages. Nobody can lead the file elsewhere by exchanging a directory for a link.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_in(directory: OwnedFd, path: &Path, existing: Existing) -> Result<Self> {
        let Some(name) = path.file_name() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "this is not a file's name");
            return Err(EnvelopeError::Io { doing: making(path), source });
        };
        if existing == Existing::Refuse && stands_at(&directory, name) {
            return Err(EnvelopeError::OutputExists { path: path.to_owned() });
        }
        let (temporary, file) = make_locked(&directory, path)?;
        let (name, path) = (name.to_owned(), path.to_owned());
        Ok(Self { directory, temporary, name, path, existing, file, kept: false })
    }

    /// Where to write.
    #[must_use]
    pub fn writer(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, durably. Blocking.
    ///
    /// # Errors
    /// [`EnvelopeError::OutputExists`], [`EnvelopeError::Io`].
    pub fn keep(mut self) -> Result<()> {
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

/// A new file under a random name, locked until it is closed. Whoever clears up may find it between the two
/// steps and remove it: then once more.
fn make_locked(directory: &OwnedFd, path: &Path) -> Result<(OsString, File)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    loop {
        let temporary = random_name()?;
        let file = rustix::fs::openat(directory, &temporary, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| EnvelopeError::io(making(path))(errno.into()))?;
        let file = File::from(file);
        // Where the file system knows no locks, nobody who clears up gets one either, and nothing is removed.
        let taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        let links = file.metadata().map_err(EnvelopeError::io(making(path)))?.nlink();
        if !taken && links > 0 {
            return Ok((temporary, file));
        }
    }
}

fn making(path: &Path) -> String {
    format!("making {}", path.display())
}

fn random_name() -> Result<OsString> {
    let mut bytes = [0; RANDOM];
    fill_random(&mut bytes)?;
    Ok(format!("{PREFIX}{}{SUFFIX}", hex::encode(bytes)).into())
}

/// Whether a name is one that outputs have until they are complete: `.claviger-`, 32 hexadecimal digits,
/// `.partial`.
#[must_use]
pub fn is_temporary_name(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    random.is_some_and(|random| random.len() == 2 * RANDOM && random.bytes().all(digit))
}

const PREFIX: &str = ".claviger-";
const SUFFIX: &str = ".partial";

/// Random bytes in a temporary name.
const RANDOM: usize = 16;
