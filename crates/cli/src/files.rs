//! Inputs and outputs of `seal` and `open`: their names, and what is refused before anything is done.
//!
//! `-` is a stream. The output of a file is a file beside it unless told otherwise; what exists is left alone
//! without `--force`, and with it only a regular file is replaced, never a link or a device. What is written
//! here appears at its name only when it is complete and on the disk.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use claviger_envelope::{
    EnvelopeError,
    file::{Existing, NewFile, remove_abandoned},
};
use claviger_kms::KmsError;

use crate::{
    error::{CliError, Result},
    streams::Streams,
};

/// What a sealed file's name ends with.
pub(crate) const SUFFIX: &str = ".claviger";

/// A file, or the standard stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Written `-`.
    Stream,
    /// A path.
    File(PathBuf),
}

impl Place {
    /// `-`, or a path; a file of that name is written `./-`.
    pub(crate) fn named(name: impl Into<PathBuf>) -> Self {
        let path = name.into();
        if path.as_os_str() == "-" { Self::Stream } else { Self::File(path) }
    }

    /// For messages.
    pub(crate) fn display(&self) -> String {
        match self {
            Self::Stream => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Where sealing this goes to, unless told otherwise.
    pub(crate) fn sealed(&self) -> Self {
        match self {
            Self::Stream => Self::Stream,
            Self::File(path) => {
                let mut name = OsString::from(path.as_os_str());
                name.push(SUFFIX);
                Self::File(name.into())
            }
        }
    }

    /// Where opening this goes to, unless told otherwise.
    ///
    /// # Errors
    /// [`CliError::Usage`] for a file whose name does not end with [`SUFFIX`], or is nothing else.
    pub(crate) fn opened(&self) -> Result<Self> {
        let Self::File(path) = self else { return Ok(Self::Stream) };
        opened_path(path).map(Self::File).ok_or_else(|| {
            CliError::usage(format!(
                "{} does not end with {SUFFIX}, so the output has no name; give one with -O",
                path.display()
            ))
        })
    }

    /// What to do with what stands at this output.
    ///
    /// # Errors
    /// [`CliError::OutputExists`] without `force`; [`CliError::Usage`] with it when it is not a regular file.
    pub(crate) fn check_output(&self, force: bool) -> Result<Existing> {
        let Self::File(path) = self else { return Ok(Existing::Refuse) };
        let Ok(found) = path.symlink_metadata() else { return Ok(Existing::Refuse) };
        if !force {
            return Err(CliError::OutputExists { path: path.clone() });
        }
        if !found.is_file() {
            return Err(CliError::usage(format!(
                "{} is not a regular file and is not replaced; - is the standard output",
                path.display()
            )));
        }
        Ok(Existing::Replace)
    }

    /// An envelope's error while writing here: a reader that went away is no failure of ours.
    pub(crate) fn explain(&self, error: EnvelopeError) -> CliError {
        match error {
            EnvelopeError::Io { source, .. }
                if *self == Self::Stream && source.kind() == io::ErrorKind::BrokenPipe =>
            {
                CliError::OutputClosed
            }
            EnvelopeError::Io { doing, source } if is_full(&source) => CliError::File {
                doing: format!(
                    "{doing} to {} (make room there and repeat; nothing was left behind)",
                    self.display()
                ),
                source,
            },
            error => error.into(),
        }
    }

    /// Opens it for reading, with its length where it has one. Blocking.
    ///
    /// # Errors
    /// [`CliError::File`], for a directory too.
    pub(crate) fn open(&self, streams: &Streams) -> Result<(File, Option<u64>)> {
        let file = match self {
            Self::Stream => streams.share()?.input,
            Self::File(path) => open_file(path)?,
        };
        let found =
            file.metadata().map_err(CliError::file(format!("reading {}", self.display())))?;
        if found.is_dir() {
            return Err(CliError::usage(format!(
                "{} is a directory; -r takes all of its files",
                self.display()
            )));
        }
        Ok((file, found.is_file().then_some(found.len())))
    }
}

/// The path without [`SUFFIX`]; `None` if it does not end so, or is nothing else.
pub(crate) fn opened_path(path: &Path) -> Option<PathBuf> {
    (path.extension() == Some(OsStr::new("claviger")))
        .then(|| path.with_extension(""))
        .filter(|plain| plain.file_name().is_some() && *plain != *path)
}

/// What to do with an output of many that stands already: nothing (`None`) if it `is_done`.
///
/// # Errors
/// [`CliError::OutputExists`] without `force` when it is something else, and always when it is no file.
pub(crate) fn check_existing(
    path: &Path,
    is_file: bool,
    is_done: bool,
    force: bool,
) -> Result<Option<Existing>> {
    match (is_file, is_done, force) {
        (true, _, true) => Ok(Some(Existing::Replace)),
        (true, true, false) => Ok(None),
        _ => Err(CliError::OutputExists { path: path.to_owned() }),
    }
}

/// Makes a file that appears at its name only when it is complete and on the disk, readable by its owner only.
/// Blocking.
///
/// # Errors
/// [`CliError::Envelope`] with `EnvelopeError::OutputExists`, [`CliError::File`]; then nothing is left behind.
pub(crate) fn write_new_file(
    path: &Path,
    existing: Existing,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<()> {
    let mut file = NewFile::create(path, existing)?;
    write(file.writer()).map_err(CliError::file(format!("writing {}", path.display())))?;
    Ok(file.keep()?)
}

/// Replaces the content of a file in one step; it keeps its owner and its permissions. Blocking.
///
/// # Errors
/// [`CliError::Kms`] with `KmsError::Conflict` when it no longer has the content `old`; [`CliError::File`].
pub(crate) fn replace_file(path: &Path, old: &[u8], new: &[u8]) -> Result<()> {
    let doing = || CliError::file(format!("replacing {}", path.display()));
    // Not the link, if it is one.
    let path = path.canonicalize().map_err(doing())?;
    let mut output = NewFile::create(&path, Existing::Replace)?;
    let file = output.writer();
    file.write_all(new).map_err(doing())?;
    let found = path.metadata().map_err(doing())?;
    let made = file.metadata().map_err(doing())?;
    if (found.uid(), found.gid()) != (made.uid(), made.gid()) {
        std::os::unix::fs::fchown(&*file, Some(found.uid()), Some(found.gid())).map_err(doing())?;
    }
    file.set_permissions(found.permissions()).map_err(doing())?;
    if std::fs::read(&path).map_err(doing())? != old {
        return Err(KmsError::conflict(format!(
            "{} changed since it was read; nothing was written",
            path.display()
        ))
        .into());
    }
    Ok(output.keep()?)
}

/// Removes what killed runs left in the folder of an output. Blocking.
pub(crate) fn clear_beside(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        // What cannot be looked for is left; the work itself says what is wrong with the folder.
        let _ = remove_abandoned(folder);
    }
}

fn open_file(path: &Path) -> Result<File> {
    File::open(path).map_err(CliError::file(format!("opening {}", path.display())))
}

/// Whether there was no room for what was written.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    fn sealed(name: &str) -> Place {
        Place::named(name).sealed()
    }

    #[test]
    fn a_dash_is_a_stream_and_stays_one() {
        assert_eq!(sealed("-"), Place::Stream);
        assert_eq!(Place::named("-").opened().unwrap(), Place::Stream);
        assert_eq!(sealed("./-"), Place::named("./-.claviger"));
    }

    #[test]
    fn the_suffix_comes_and_goes() {
        for name in ["report.pdf", "a/b/report", ".hidden", "archive.tar.gz", "x.claviger"] {
            let plain = Place::named(name);
            assert_eq!(plain.sealed(), Place::named(format!("{name}.claviger")));
            assert_eq!(plain.sealed().opened().unwrap(), plain);
        }
    }

    #[test]
    fn a_name_without_the_suffix_gives_no_output() {
        for name in ["report.pdf", ".claviger", "a/.claviger", "claviger", "x.claviger.bak"] {
            let refused = Place::named(name).opened().unwrap_err();
            assert_eq!(refused.problem(), Problem::Usage, "{name}");
        }
    }

    #[test]
    fn what_exists_is_refused_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let place = Place::named(&path);
        assert_eq!(place.check_output(false).unwrap(), Existing::Refuse);
        assert_eq!(place.check_output(true).unwrap(), Existing::Refuse);
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(place.check_output(false).unwrap_err().problem(), Problem::OutputExists);
        assert_eq!(place.check_output(true).unwrap(), Existing::Replace);
    }

    #[test]
    fn links_directories_and_devices_are_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        let dangling = folder.path().join("dangling");
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        for path in [&link, &dangling, folder.path(), Path::new("/dev/null")] {
            let place = Place::named(path);
            assert_eq!(place.check_output(true).unwrap_err().problem(), Problem::Usage);
            assert_eq!(place.check_output(false).unwrap_err().problem(), Problem::OutputExists);
        }
    }

    #[test]
    fn a_failed_writing_leaves_nothing_and_an_existing_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(&path, "precious").unwrap();
        let full = |_: &mut File| Err(io::ErrorKind::StorageFull.into());
        let refused = write_new_file(&path, Existing::Replace, full).unwrap_err();
        assert_eq!(refused.problem(), Problem::FileError);
        let refused = write_new_file(&path, Existing::Refuse, |_| Ok(())).unwrap_err();
        assert_eq!(refused.problem(), Problem::OutputExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_its_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("record"), folder.path().join("link"));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace_file(&link, b"old", b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
        let refused = replace_file(&path, b"old", b"newer").unwrap_err();
        assert_eq!(refused.problem(), Problem::Conflict);
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_directory_is_no_input() {
        let streams = Streams::standard().unwrap();
        let refused = Place::named("/").open(&streams).unwrap_err();
        assert!(refused.to_string().contains("directory"));
        let refused = Place::named("/nonexistent").open(&streams).unwrap_err();
        assert_eq!(refused.problem(), Problem::FileError);
    }
}
