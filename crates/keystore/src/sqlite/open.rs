//! From a path to an open store, or to the reason why not.
//!
//! Order: the folder, the lock, the file, what it says of itself, whether it is whole; nothing is
//! written to a file before all of these are known. A new store is made under another name and renamed
//! when it is complete: an empty file under the store's own name is therefore damage, never a new store.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::watch;

use crate::{
    SqliteStore, StoreError,
    sqlite::{
        failure::{Failure, damaged},
        place::{self, Place},
        read, schema,
        worker::Worker,
    },
};

pub(super) fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    let path = real_path(path)?;
    let lock = lock(&path)?;
    match fs::metadata(&path) {
        Ok(file) if !file.is_file() => return Err(unavailable(&path, "is not a file")),
        Ok(file) => check_beginning(&path, file.len())?,
        Err(error) if error.kind() == ErrorKind::NotFound => make(&path)?,
        Err(error) => return Err(unavailable(&path, &error.to_string())),
    }
    let (connection, generation) = connect(&path).map_err(|failure| failure.at(&path))?;
    let place = Arc::new(Place::of(&path));
    place::reserve(&path);
    let worker = Worker::start(path.clone(), connection, lock)
        .map_err(|error| unavailable(&path, &error.to_string()))?;
    let generation = Arc::new(watch::Sender::new(generation));
    let leases_begun = Arc::default();
    Ok(SqliteStore { path, place, generation, worker, leases_begun })
}

/// One name for one file, so that a link is no way round the lock.
fn real_path(path: &Path) -> Result<PathBuf, StoreError> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let name = path.file_name().ok_or_else(|| unavailable(path, "has no file name"))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|error| {
        unavailable(folder, &format!("is the store's folder and cannot be opened: {error}"))
    })?;
    Ok(folder.join(name))
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let beside = with_suffix(path, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(MODE)
        .open(&beside)
        .map_err(|error| unavailable(&beside, &format!("cannot be opened: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            reason: format!(
                "the key store {} is in use (its lock {} is held); one process at a time opens it: \
                 stop the other clavigerd. The lock ends with its process; leave the file",
                path.display(),
                beside.display()
            ),
        }),
        Err(TryLockError::Error(error)) => {
            Err(unavailable(&beside, &format!("cannot be locked: {error}")))
        }
    }
}

/// Refuses what SQLite would take for an empty database or read past. Called under the lock, before
/// SQLite has the file open: closing a second handle would end SQLite's own locks.
fn check_beginning(path: &Path, length: u64) -> Result<(), StoreError> {
    if length == 0 {
        return Err(damaged(path, "it is empty"));
    }
    let mut header = [0; 18];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(unavailable(path, &format!("cannot be read: {error}"))),
        Ok(()) => {}
    }
    // SQLite database file format, section 1.3: magic text, then the page size (1 is 65,536).
    let [magic @ .., high, low] = header;
    if &magic != b"SQLite format 3\0" {
        return Err(damaged(path, "it does not begin like an SQLite file"));
    }
    let page = match u16::from_be_bytes([high, low]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // A crash may leave such an end, but then the log has the page; without a log it is cut off, and
    // SQLite would read zeros there.
    let log = fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0);
    if page < 512 || length < page || (!log && !length.is_multiple_of(page)) {
        return Err(damaged(path, "it ends within a page"));
    }
    Ok(())
}

/// Makes an empty store. Called under the lock.
fn make(path: &Path) -> Result<(), StoreError> {
    let log = with_suffix(path, "-wal");
    if log.exists() {
        return Err(StoreError::Unreadable {
            reason: format!(
                "{} is not there, but its write-ahead log {} is; put the file back or restore a \
                 backup; to begin with an empty store, move the log away",
                path.display(),
                log.display()
            ),
        });
    }
    let unfinished = with_suffix(path, ".new");
    for suffix in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(with_suffix(&unfinished, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(unavailable(&unfinished, &error.to_string()));
            }
            _ => {}
        }
    }
    let io = |error: io::Error| unavailable(path, &format!("cannot be made: {error}"));
    OpenOptions::new().create_new(true).write(true).mode(MODE).open(&unfinished).map_err(io)?;
    make_tables(&unfinished).map_err(|failure| failure.at(&unfinished))?;
    fs::rename(&unfinished, path).map_err(io)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()).map_err(io)
}

fn make_tables(path: &Path) -> Result<(), Failure> {
    let mut connection = Connection::open_with_flags(path, FLAGS)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    schema::migrate(&mut connection)?;
    connection.close().map_err(|(_, error)| Failure::from(error))
}

/// The connection, and the generation found.
fn connect(path: &Path) -> Result<(Connection, u64), Failure> {
    let mut connection = Connection::open_with_flags(path, FLAGS)?;
    connection.busy_timeout(BUSY)?;
    // What the file says must not make SQLite run anything of the file's own.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;

    check_whose(&connection, path)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(damaged(path, &found).into());
    }
    if connection.is_readonly("main")? {
        return Err(unavailable(path, "can only be read; the service must be able to write").into());
    }

    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let found = "cannot keep a write-ahead log there; put the store on a local disk";
        return Err(unavailable(path, found).into());
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A wrapped key that is replaced does not stay in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    schema::migrate(&mut connection)?;
    let generation = read::head(&connection)?.map_or(0, |head| head.generation);
    Ok((connection, generation))
}

fn check_whose(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = number("application_id")?;
    if application != schema::APPLICATION_ID {
        return Err(Failure::Store(StoreError::Unreadable {
            reason: format!(
                "{} is not a Claviger store (an SQLite file with application id {application}); \
                 nothing was changed; check the path in the configuration",
                path.display()
            ),
        }));
    }
    let version = number("user_version")?;
    match usize::try_from(version) {
        Ok(version) if (1..=schema::VERSION).contains(&version) => Ok(()),
        Ok(version) if version > schema::VERSION => Err(Failure::Store(StoreError::Unreadable {
            reason: format!(
                "{} was made by a newer release (store version {version}; this release reads up \
                     to {}); nothing was changed; install that release, or restore a backup made \
                     by this one",
                path.display(),
                schema::VERSION
            ),
        })),
        _ => Err(damaged(path, &format!("its store version is {version}")).into()),
    }
}

fn unavailable(path: &Path, what: &str) -> StoreError {
    StoreError::Unavailable { reason: format!("{} {what}", path.display()) }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Only the service's user reads and writes. SQLite gives its log the mode of the file.
const MODE: u32 = 0o600;
/// No creation (a missing file is not a new store by itself) and no URI (a path is a path).
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
/// How long to wait for a program that reads or copies the file just now.
pub(super) const BUSY: Duration = Duration::from_secs(5);
