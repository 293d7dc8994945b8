//! The files of a tree in a fixed order: names of each directory by their bytes, depth first. Those that are included,
//! and those that a crash may have left under another name.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    vec,
};

use claviger_envelope::file::is_temporary_name;
use rustix::{
    fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use super::{Tree, exchange::is_displaced};
use crate::SourceError;

/// A walk under way: the names still to visit of each directory down to the current one.
#[derive(Debug)]
pub(super) struct Walk(Vec<(PathBuf, vec::IntoIter<(OsString, bool)>)>);

impl Walk {
    pub(super) fn begin(tree: &Tree) -> Result<Self, SourceError> {
        Ok(Self(vec![(PathBuf::new(), names(tree, Path::new("."))?.into_iter())]))
    }

    /// The walk that goes on after this file.
    pub(super) fn after(tree: &Tree, last: &Path) -> Result<Self, SourceError> {
        let mut stack = Vec::new();
        let mut directory = PathBuf::new();
        let mut parts = last.iter().peekable();
        while let Some(part) = parts.next() {
            let at = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
            let mut rest = names(tree, at)?;
            // A directory on the way is visited by the next round, from the middle.
            rest.retain(|(name, _)| name.as_os_str() > part);
            stack.push((directory.clone(), rest.into_iter()));
            if parts.peek().is_some() {
                directory.push(part);
            }
        }
        Ok(Self(stack))
    }

    /// The next file's path.
    pub(super) fn next(&mut self, tree: &Tree) -> Result<Option<PathBuf>, SourceError> {
        while let Some((directory, rest)) = self.0.last_mut() {
            let Some((name, is_directory)) = rest.next() else {
                self.0.pop();
                continue;
            };
            let path = directory.join(&name);
            if is_directory {
                let inside = names(tree, &path)?.into_iter();
                self.0.push((path, inside));
            } else if is_displaced(&name)
                || tree.include.is_match(&path) && !is_temporary_name(&name)
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// The files and directories in a directory, sorted; none where it is gone meanwhile.
fn names(tree: &Tree, directory: &Path) -> Result<Vec<(OsString, bool)>, SourceError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let failed = |error: Errno| {
        let path = tree.path.join(directory);
        SourceError::unusable(format!("reading {} failed: {error}", path.display()))
    };
    let opened = match openat2(&tree.root, directory, flags, Mode::empty(), resolve) {
        Ok(opened) => opened,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&opened).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                rustix::fs::statat(&opened, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode))
            }
            kind => kind,
        };
        if matches!(kind, FileType::Directory | FileType::RegularFile) {
            names.push((name.to_owned(), kind == FileType::Directory));
        }
    }
    names.sort();
    Ok(names)
}
