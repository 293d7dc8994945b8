//! A file written as a whole in place of another: made beside it, then exchanged with it in one step.
//!
//! Invariant: what was displaced is compared with what was read; if it is anything else, the application has
//! written meanwhile, and the two are exchanged back. Between the two steps the file's name leads to the new
//! envelope of the older content. Known limit: a crash just there leaves the application's file under the name
//! `.claviger-….displaced`, which nothing removes; every scan shows it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Read, Seek as _, SeekFrom, Write as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::Path,
};

use claviger_envelope::{
    EnvelopeError,
    file::{FileResealer, PAYLOAD_OFFSET},
};
use claviger_kms::fill_random;
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, openat, openat2, renameat_with, statat,
    unlinkat,
};
use sha2::{Digest as _, Sha256};

use super::Tree;
use crate::{Content, Replaced, SourceError};

/// A record's file.
pub(super) fn bytes(
    tree: &Tree,
    path: &Path,
    content: &Content,
    new: &[u8],
) -> Result<Replaced, SourceError> {
    let Content::Bytes(old) = content else {
        return Err(SourceError::unusable("it is not a record's file"));
    };
    let Some(file) = tree.open(path, false)? else { return Ok(Replaced::Gone) };
    let expected: [u8; 32] = Sha256::digest(old).into();
    exchange(tree, path, &file, expected, |output| {
        output.write_all(new).map_err(SourceError::unusable)
    })
}

/// A sealed file of any length.
pub(super) fn reseal(
    tree: &Tree,
    path: &Path,
    content: &Content,
    resealer: FileResealer,
) -> Result<Replaced, SourceError> {
    let Content::File(read) = content else {
        return Err(SourceError::unusable("it is not a sealed file"));
    };
    let Some(mut file) = tree.open(path, false)? else { return Ok(Replaced::Gone) };
    // Others that replace headers in place wait meanwhile, or find a conflict.
    if file.try_lock().is_err() {
        return Ok(Replaced::Conflict);
    }
    if claviger_envelope::file::FileHeader::read_at_start(&file).ok().as_ref() != Some(&**read) {
        return Ok(Replaced::Conflict);
    }
    let expected = hash(&mut file)?;
    file.seek(SeekFrom::Start(PAYLOAD_OFFSET as u64)).map_err(SourceError::unusable)?;
    let reading = file.try_clone().map_err(SourceError::unusable)?;
    exchange(tree, path, &file, expected, |output| {
        resealer.reseal(reading, output).map(drop).map_err(|error| match error {
            EnvelopeError::Rejected => SourceError::unusable(format!(
                "{} was rejected: altered, or another context",
                path.display()
            )),
            error => SourceError::unusable(error),
        })
    })
}

/// Writes a new file beside `path` and exchanges the two, if `old` with this hash still stands there.
fn exchange(
    tree: &Tree,
    path: &Path,
    old: &File,
    expected: [u8; 32],
    write: impl FnOnce(&mut File) -> Result<(), SourceError>,
) -> Result<Replaced, SourceError> {
    let failed = |what: &str| {
        let place = tree.path.join(path).display().to_string();
        let what = what.to_owned();
        move |error: std::io::Error| {
            SourceError::unusable(format!("{what} {place} failed: {error}"))
        }
    };
    let directory = above(tree, path)?;
    let Some(name) = path.file_name() else { return Ok(Replaced::Gone) };
    let temporary = Temporary::make(&directory).map_err(failed("writing beside"))?;
    let mut output = temporary.file.try_clone().map_err(failed("writing beside"))?;
    write(&mut output)?;
    like(old, &output).map_err(failed("keeping owner and mode of"))?;
    output.sync_all().map_err(failed("syncing the successor of"))?;
    if !tree.is_still(path, old)? {
        return Ok(Replaced::Conflict);
    }
    let swap = || {
        renameat_with(&directory, &temporary.name, &directory, name, RenameFlags::EXCHANGE)
            .map_err(std::io::Error::from)
    };
    match swap() {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Replaced::Gone),
        Err(error) => return Err(failed("exchanging")(error)),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let displaced = openat(&directory, &temporary.name, flags, Mode::empty());
    let same = displaced.map(File::from).ok().is_some_and(|mut displaced| {
        let regular = displaced.metadata().is_ok_and(|found| found.is_file());
        regular && hash(&mut displaced).is_ok_and(|found| found == expected)
    });
    if !same {
        let put = identity(&temporary.file).map_err(failed("looking at the successor of"))?;
        if let Err(error) = put_back(&directory, &temporary.name, name, put) {
            temporary.keep();
            return Err(failed("exchanging back")(error));
        }
        return Ok(Replaced::Conflict);
    }
    drop(temporary);
    rustix::fs::fsync(&directory)
        .map_err(std::io::Error::from)
        .map_err(failed("syncing the folder of"))?;
    Ok(Replaced::Replaced)
}

/// Gives the name back to what was displaced, or to what the application has written since: only what this process
/// itself had put under the name is left to be removed, or what the application wrote over.
fn put_back(
    directory: &OwnedFd,
    displaced: &OsStr,
    name: &OsStr,
    mut put: Identity,
) -> std::io::Result<()> {
    for _ in 0..MOST_EXCHANGES {
        let next = identity_at(directory, displaced)?;
        renameat_with(directory, displaced, directory, name, RenameFlags::EXCHANGE)?;
        if identity_at(directory, displaced)? == put {
            return Ok(());
        }
        // The application wrote between: its file goes back in turn.
        put = next;
    }
    Err(std::io::Error::other("the application keeps writing"))
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(file: &File) -> std::io::Result<Identity> {
    file.metadata().map(|found| (found.dev(), found.ino()))
}

fn identity_at(directory: &OwnedFd, name: &OsStr) -> std::io::Result<Identity> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((found.st_dev, found.st_ino))
}

/// The directory of a file, reached without following a link.
fn above(tree: &Tree, path: &Path) -> Result<OwnedFd, SourceError> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(&tree.root, above.unwrap_or(Path::new(".")), flags, Mode::empty(), resolve)
        .map_err(|error| SourceError::unusable(format!("{}: {error}", path.display())))
}

/// Gives `new` the owner and mode of `old`.
fn like(old: &File, new: &File) -> std::io::Result<()> {
    let (wanted, made) = (old.metadata()?, new.metadata()?);
    if (wanted.uid(), wanted.gid()) != (made.uid(), made.gid()) {
        std::os::unix::fs::fchown(new, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    new.set_permissions(wanted.permissions())
}

fn hash(file: &mut File) -> Result<[u8; 32], SourceError> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 128 * 1024]);
    file.seek(SeekFrom::Start(0)).map_err(SourceError::unusable)?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SourceError::unusable(error)),
        }
    }
}

/// A file under a name that nobody removes by itself; removed when dropped.
struct Temporary<'d> {
    directory: &'d OwnedFd,
    name: OsString,
    file: File,
    kept: bool,
}

impl<'d> Temporary<'d> {
    fn make(directory: &'d OwnedFd) -> std::io::Result<Self> {
        let mut random = [0; 16];
        fill_random(&mut random).map_err(std::io::Error::other)?;
        let name = OsString::from(format!("{BEFORE}{}{AFTER}", hex::encode(random)));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { directory, name, file: File::from(file), kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing more can be done about a file that cannot be removed.
            let _ = unlinkat(self.directory, &self.name, AtFlags::empty());
        }
    }
}

/// Whether a crash may have left an application's file under this name.
pub(super) fn is_displaced(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(BEFORE) && name.ends_with(AFTER))
}

const BEFORE: &str = ".claviger-";
const AFTER: &str = ".displaced";
/// Far more than an application writes in the time of an exchange.
const MOST_EXCHANGES: u32 = 100;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The application wrote B before our file took its name, and C before B had it back: C was removed.
    #[test]
    fn what_the_application_wrote_last_gets_the_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (name, beside) = (OsStr::new("row.claviger"), OsStr::new(".claviger-0.displaced"));
        let write = |name: &OsStr, text: &str| fs::write(folder.path().join(name), text);
        let ours = tempfile::tempfile().expect("a file");
        let put = identity(&ours).expect("it is there");
        write(beside, "B").expect("written");
        write(name, "C").expect("written");
        let directory = OwnedFd::from(File::open(folder.path()).expect("opened"));
        put_back(&directory, beside, name, put).expect("put back");
        assert_eq!(fs::read(folder.path().join(name)).expect("read"), b"C");
        assert_eq!(fs::read(folder.path().join(beside)).expect("read"), b"B");
    }
}
