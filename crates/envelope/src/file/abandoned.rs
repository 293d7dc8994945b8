//! Removing the temporary files of runs that were killed.
//!
//! Invariant: a file goes only when it has a name of our kind, is a regular file of this user, and its lock can
//! be had, so its maker is gone; it is removed under that lock, and only while its name still leads to it.
//! Whoever makes such a file looks after locking it whether it was removed (`new_file.rs`).

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt as _,
        unix::fs::MetadataExt as _,
    },
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags},
    io::Errno,
};

use super::is_temporary_name;
use crate::{EnvelopeError, Result};

/// Removes the temporary files in `directory` whose makers are gone, and gives their number. Leaves those of
/// other users and those still being written. Blocking; reads the whole directory.
///
/// # Errors
/// [`EnvelopeError::Io`] when the directory cannot be read. A file that cannot be removed is no error.
pub fn remove_abandoned(directory: impl AsFd) -> Result<usize> {
    let directory = directory.as_fd();
    let names = temporary_names(directory)
        .map_err(|errno| EnvelopeError::io("looking for abandoned files")(errno.into()))?;
    Ok(names.iter().filter(|name| remove(directory, name).unwrap_or(false)).count())
}

fn temporary_names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_temporary_name(name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes it if it is abandoned; whether it did.
fn remove(directory: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    let Ok(found) = file.metadata() else { return Ok(false) };
    let ours = found.is_file() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || file.try_lock().is_err() {
        return Ok(false);
    }
    let named = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (named.st_dev, named.st_ino) != (found.dev(), found.ino()) {
        return Ok(false);
    }
    rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
    Ok(true)
}
