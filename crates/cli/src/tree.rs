//! A directory and what stands below it, for `-r`.
//!
//! Invariants: symbolic links are never followed, neither when listing nor when a file is opened later, so
//! nothing outside the directory is read or written whoever exchanges names meanwhile; a path below it has
//! plain names only. Temporary files of our own are not listed.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use clap::Args;
use claviger_envelope::file::{is_temporary_name, remove_abandoned};
use claviger_kms::{EncryptionContext, KmsError};
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{CliError, Result};

/// How to work on a directory.
#[derive(Debug, Clone, Args)]
pub(crate) struct TreeArguments {
    /// Take a directory with everything below it; each file's path in it is bound as the context's entry "path"
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Files to work on at a time, with -r
    #[arg(long, value_name = "N", default_value = "2", requires = "recursive",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,
}

/// A directory, opened once.
#[derive(Debug)]
pub(crate) struct Tree {
    folder: OwnedFd,
    path: PathBuf,
}

/// What a listing found.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Regular files, by their paths below the directory, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Their bytes together.
    pub(crate) bytes: u64,
    /// Symbolic links.
    pub(crate) links: u64,
    /// Neither files nor directories nor links.
    pub(crate) special: u64,
    /// Directories that could not be read.
    pub(crate) failed: Vec<(PathBuf, CliError)>,
}

impl Tree {
    /// Opens a directory; here a link may lead to it. Blocking.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| CliError::file(format!("opening {}", path.display()))(errno.into()))?;
        Ok(Self { folder, path: path.to_owned() })
    }

    /// The same, made if it is not there. Blocking.
    pub(crate) fn make(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .map_err(CliError::file(format!("making {}", path.display())))?;
        Self::open(path)
    }

    /// The path for messages of something below it.
    pub(crate) fn path_of(&self, relative: &Path) -> PathBuf {
        self.path.join(relative)
    }

    /// Lists everything below it, except the directory `without`. Blocking.
    pub(crate) fn list(&self, without: Option<&Self>) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut folders = vec![PathBuf::new()];
        while let Some(relative) = folders.pop() {
            if let Err(error) = self.list_one(&relative, without, &mut listing, &mut folders) {
                let doing = format!("reading {}", self.path_of(&relative).display());
                listing.failed.push((relative, CliError::file(doing)(error)));
            }
        }
        listing.files.sort();
        Ok(listing)
    }

    fn list_one(
        &self,
        relative: &Path,
        without: Option<&Self>,
        listing: &mut Listing,
        folders: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        use rustix::fs::{AtFlags, Dir, FileType, fstat, statat};
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let folder = self.folder_below(relative, false)?;
        let here = fstat(&folder)?;
        let excluded = match without {
            Some(without) => {
                Some(fstat(&without.folder)?).map(|found| (found.st_dev, found.st_ino))
            }
            None => None,
        };
        if !relative.as_os_str().is_empty() && excluded == Some((here.st_dev, here.st_ino)) {
            return Ok(());
        }
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." || is_temporary_name(name) {
                continue;
            }
            let found = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => {
                    listing.files.push(relative.join(name));
                    listing.bytes += u64::try_from(found.st_size).unwrap_or(0);
                }
                FileType::Directory => folders.push(relative.join(name)),
                FileType::Symlink => listing.links += 1,
                _ => listing.special += 1,
            }
        }
        Ok(())
    }

    /// Opens a file below it; never through a link. `None` if nothing is there. Blocking.
    pub(crate) fn open_file(&self, relative: &Path, writing: bool) -> Result<Option<File>> {
        let access = if writing { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let above = relative.parent().unwrap_or(Path::new(""));
        let name = relative.file_name().unwrap_or_default();
        let opened = self.folder_below(above, false).and_then(|folder| {
            Ok(File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?))
        });
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(CliError::file(format!("opening {}", self.path_of(relative).display()))(error))
            }
        }
    }

    /// The directory that holds `relative`, made if it is not there (its owner's only); a link in its place is
    /// refused. Blocking.
    pub(crate) fn make_folder_of(&self, relative: &Path) -> Result<OwnedFd> {
        let above = relative.parent().unwrap_or(Path::new(""));
        self.folder_below(above, true)
            .map_err(CliError::file(format!("making {}", self.path_of(above).display())))
    }

    /// Removes what killed runs left beside these files. Blocking.
    pub(crate) fn clear<'a>(&self, files: impl Iterator<Item = &'a PathBuf>) {
        let mut last = None;
        for above in files.map(|file| file.parent()) {
            if last != Some(above) {
                last = Some(above);
                if let Ok(folder) = self.folder_below(above.unwrap_or(Path::new("")), false) {
                    // What cannot be looked for is left.
                    let _ = remove_abandoned(folder);
                }
            }
        }
    }

    fn folder_below(&self, relative: &Path, make: bool) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = rustix::fs::openat(&self.folder, ".", flags, Mode::empty())?;
        for component in relative.components() {
            let Component::Normal(name) = component else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, LEAVES));
            };
            if make {
                match rustix::fs::mkdirat(&folder, name, Mode::RWXU) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            folder = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
        }
        Ok(folder)
    }
}

/// The context of a file of a tree: what the user gave and the entry `path`, with `/` between names.
///
/// # Errors
/// [`CliError::Kms`] with `KmsError::Invalid` for a path that is not UTF-8 or too long for a context.
pub(crate) fn context_of(given: &EncryptionContext, relative: &Path) -> Result<EncryptionContext> {
    let path = relative.to_str().ok_or_else(|| {
        KmsError::invalid(format!(
            "the name {} is not UTF-8, so it cannot be bound",
            relative.display()
        ))
    })?;
    let given = given.entries().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let path = (PATH.to_owned(), path.to_owned());
    Ok(EncryptionContext::from_pairs(given.chain([path]))?)
}

/// Refuses what would name a file's path twice.
pub(crate) fn check_context(given: &EncryptionContext) -> Result<()> {
    match given.value_of(PATH) {
        None => Ok(()),
        Some(_) => Err(CliError::usage("with -r the context's entry \"path\" is each file's own")),
    }
}

/// The context's entry that holds a file's path.
const PATH: &str = "path";

const LEAVES: &str = "the path leaves the directory";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_that_leave_the_directory_and_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("x"), "precious").unwrap();
        let tree = Tree::make(&inside).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("x"), inside.join("file-link")).unwrap();
        for path in ["../out/x", "link/x", "file-link", "/etc/passwd", "a/../../out/x"] {
            assert!(!matches!(tree.open_file(Path::new(path), false), Ok(Some(_))), "{path}");
        }
        for path in ["../out/y/x", "link/y/x", "/tmp/y/x"] {
            assert!(tree.make_folder_of(Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        let listing = tree.list(None).unwrap();
        assert_eq!((listing.files.len(), listing.links), (0, 2));
    }
}
