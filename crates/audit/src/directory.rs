//! The log's directory: made for its owner only, held by one process, its segments listed by name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{AuditError, Sequence};

/// The segments in a log's directory, oldest first. Other files are not looked at.
///
/// # Errors
/// [`AuditError::Unusable`] when the directory cannot be read.
pub fn segments(directory: impl AsRef<Path>) -> Result<Vec<PathBuf>, AuditError> {
    let directory = directory.as_ref();
    let unusable = |source| AuditError::Unusable { path: directory.to_owned(), source };
    let mut found = Vec::new();
    for item in fs::read_dir(directory).map_err(unusable)? {
        let path = item.map_err(unusable)?.path();
        if first_sequence_of(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The number in a segment's name, `audit-` and 20 digits and `.jsonl`.
pub(crate) fn first_sequence_of(path: &Path) -> Option<Sequence> {
    let digits = path.file_name()?.to_str()?.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Sequence::new)
}

/// The log's directory, held against other processes until dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is missing, and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, AuditError> {
        let unusable = |source| AuditError::Unusable { path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unusable(error));
            }
            _ => {}
        }
        let mode = fs::metadata(path).map_err(unusable)?.permissions().mode();
        if mode & 0o022 != 0 {
            let reason = format!(
                "others than its owner may write to it (mode {:03o}); chmod go-w it",
                mode & 0o777
            );
            return Err(unusable(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
        }
        let lock = path.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock)
            .map_err(|source| AuditError::Unusable { path: lock.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(AuditError::InUse { directory: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(AuditError::Unusable { path: lock, source }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the segment that begins with this record stands.
    pub(crate) fn segment(&self, first: Sequence) -> PathBuf {
        self.path.join(format!("audit-{:020}.jsonl", first.number()))
    }

    /// Where the next segment waits, allocated and empty.
    pub(crate) fn spare(&self) -> PathBuf {
        self.path.join("spare")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_segments() {
        let number = |name: &str| first_sequence_of(Path::new(name)).map(Sequence::number);
        assert_eq!(number("/a/audit-00000000000000000017.jsonl"), Some(17));
        for other in [
            "audit-17.jsonl",
            "audit-00000000000000000017.json",
            "audit-0000000000000000001x.jsonl",
            "audit-+0000000000000000017.jsonl",
            "audit-99999999999999999999.jsonl",
            "spare",
        ] {
            assert_eq!(number(other), None, "{other} was taken");
        }
    }

    #[test]
    fn refuses_a_directory_that_others_may_write_to() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let error = Directory::take(home.path()).unwrap_err();
        assert!(error.to_string().contains("mode 770"), "{error}");
    }

    #[test]
    fn makes_the_directory_but_not_the_one_above() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("audit");
        drop(Directory::take(&log).unwrap());
        assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(
            Directory::take(&home.path().join("missing/audit")),
            Err(AuditError::Unusable { .. })
        ));
    }
}
