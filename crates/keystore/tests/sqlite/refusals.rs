//! Files and folders that are not opened, and stay as they were found.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use claviger_keystore::{KeyStore, SqliteStore, StoreError};
use rusqlite::Connection;
use tempfile::tempdir;

use crate::{filled, next_commit, unavailable, unreadable, whole_generation};

#[test]
fn names_the_folder_that_is_missing() {
    let folder = tempdir().unwrap();
    let message = unavailable(&folder.path().join("none/keys.db"));
    assert!(message.contains("none") && message.contains("folder"), "{message}");
    assert!(!folder.path().join("none").exists());
    unavailable(folder.path());
    unavailable(Path::new("/"));
    unavailable(Path::new(""));
}

#[test]
fn refuses_an_sqlite_file_of_another_program_and_leaves_it() {
    let folder = tempdir().unwrap();
    for (name, application) in [("plain.db", 0), ("other.db", 77)] {
        let path = folder.path().join(name);
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "application_id", application).unwrap();
        other.execute_batch("CREATE TABLE record (x); INSERT INTO record VALUES (1)").unwrap();
        drop(other);
        let before = fs::read(&path).unwrap();
        let message = unreadable(&path);
        assert!(message.contains("not a Claviger store"), "{message}");
        assert_eq!(before, fs::read(&path).unwrap());
    }
}

#[test]
fn refuses_what_is_no_database_and_leaves_it() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    for bytes in [
        &b"x"[..],
        b"[[rule]]\nname = \"a\"\n",
        b"SQLite format 3\0",
        &[0; 8192],
        &[0xff; 100_000],
        b"",
    ] {
        fs::write(&path, bytes).unwrap();
        let message = unreadable(&path);
        assert!(message.contains("keys.db") && message.contains("backup"), "{message}");
        assert_eq!(bytes, fs::read(&path).unwrap());
    }
}

#[tokio::test]
async fn refuses_a_store_of_a_newer_release_and_leaves_it() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    filled(&path).await;
    let set = |version: i32| {
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
    };
    for version in [2, 999, i32::MAX] {
        set(version);
        let message = unreadable(&path);
        assert!(message.contains("newer release"), "{message}");
    }
    for version in [0, -1] {
        set(version);
        assert!(unreadable(&path).contains("damaged"));
    }
    set(1);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(whole_generation(&store).await.unwrap(), Some(2));
}

#[tokio::test]
async fn refuses_to_begin_anew_beside_the_log_of_a_lost_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let log = folder.path().join("keys.db-wal");
    fs::write(&log, b"the only copy of something").unwrap();
    assert!(unreadable(&path).contains("keys.db-wal"));
    assert!(log.exists() && !path.exists());
}

#[tokio::test]
async fn a_second_opener_is_refused_with_the_lock_named_until_the_first_is_gone() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let link = folder.path().join("link.db");
    symlink(&path, &link).unwrap();
    let first = SqliteStore::open(&path).unwrap();
    first.commit(next_commit(None, 100)).await.unwrap();
    for again in [&path, &link, &folder.path().join("./keys.db")] {
        match SqliteStore::open(again) {
            Err(error @ StoreError::InUse { .. }) => {
                let message = error.to_string();
                assert!(message.contains("keys.db.lock"), "{message}");
                assert!(message.contains("stop the other"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    // The refused openers took nothing from the first.
    first.commit(next_commit(Some(1), 100)).await.unwrap();
    drop(first);
    assert!(folder.path().join("keys.db.lock").exists(), "a left lock file stops nobody");
    let second = SqliteStore::open(&path).unwrap();
    assert_eq!(whole_generation(&second).await.unwrap(), Some(2));
    assert_eq!(*second.watch().borrow(), 2);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // Nobody, root neither, makes files in /proc.
    let message = unavailable(Path::new("/proc/keys.db"));
    assert!(message.contains("/proc/keys.db"), "{message}");

    let folder = tempdir().unwrap();
    let inside = folder.path().join("readonly");
    fs::create_dir(&inside).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(inside.join("probe"), b"").is_ok() {
        println!("SKIP: this user writes where nobody may (root)");
        return;
    }
    let message = unavailable(&inside.join("keys.db"));
    assert!(message.contains("readonly"), "{message}");
}

#[tokio::test]
async fn a_file_that_can_only_be_read_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    filled(&path).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        println!("SKIP: this user writes what nobody may (root)");
        return;
    }
    let message = unavailable(&path);
    assert!(message.contains("can only be read"), "{message}");
}

#[tokio::test]
async fn only_the_owner_can_read_any_of_its_files() {
    let folder = tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("keys.db")).unwrap();
    store.commit(next_commit(None, 100)).await.unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?} has mode {mode:o}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["keys.db", "keys.db-shm", "keys.db-wal", "keys.db.lock"]);
}

#[tokio::test]
async fn a_path_is_a_path_whatever_is_in_it() {
    let folder = tempdir().unwrap();
    for name in ["file:keys.db", "keys.db?mode=memory", "a b#%41'\"", ":memory:", "ключи"] {
        let path = folder.path().join(name);
        filled(&path).await;
        assert!(path.is_file(), "{name}");
        assert_eq!(whole_generation(&SqliteStore::open(&path).unwrap()).await.unwrap(), Some(2));
    }
}

#[tokio::test]
async fn what_an_unfinished_making_left_is_no_hindrance() {
    let folder = tempdir().unwrap();
    for suffix in [".new", ".new-journal", ".new-wal"] {
        fs::write(folder.path().join(format!("keys.db{suffix}")), b"half").unwrap();
    }
    filled(&folder.path().join("keys.db")).await;
    assert!(!folder.path().join("keys.db.new").exists());
    assert!(!folder.path().join("keys.db.new-journal").exists());
}
