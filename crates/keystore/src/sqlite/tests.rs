//! What needs the connection inside the store: a full disk, another program's lock, the pragmas.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    thread,
    time::{Duration, Instant},
};

use claviger_kms::KeyId;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    Commit, KeyStore, PutRecord, SqliteStore, StoreError, StoredHead, StoredRecord,
    sqlite::place::RESERVE,
};

fn store() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("keys.db")).unwrap();
    (folder, store)
}

fn commit(expected_generation: Option<u64>, bytes: usize) -> Commit {
    let next = expected_generation.unwrap_or(0) + 1;
    let id = KeyId::from_bytes([1; 16]);
    let record = StoredRecord { id, epoch: next, body: vec![7; bytes], mac: [1; 32], mac_key: 1 };
    Commit {
        expected_generation,
        head: StoredHead {
            generation: next,
            buckets: vec![[0; 32]; StoredHead::BUCKETS],
            mac: [1; 32],
            mac_key: 1,
        },
        records: vec![PutRecord { expected_epoch: expected_generation, record }],
        documents: Vec::new(),
    }
}

async fn pragma(store: &SqliteStore, name: &'static str) -> i64 {
    store
        .worker
        .run(move |connection| Ok(connection.pragma_query_value(None, name, |row| row.get(0))?))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_room_heals_it() {
    let (_folder, store) = store();
    store.commit(commit(None, 100)).await.unwrap();
    let before = (store.head().await.unwrap(), store.records(None, 9).await.unwrap());

    let pages = pragma(&store, "page_count").await;
    let limit = async |pages: i64| {
        let set = move |connection: &mut Connection| {
            Ok(connection.pragma_update_and_check(None, "max_page_count", pages, |row| {
                row.get::<_, i64>(0)
            })?)
        };
        store.worker.run(set).await.unwrap()
    };
    assert_eq!(limit(pages + 2).await, pages + 2);
    for _ in 0..3 {
        match store.commit(commit(Some(1), 1_000_000)).await {
            Err(StoreError::Unavailable { reason }) => {
                assert!(reason.contains("full") && reason.contains("make room"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        let after = (store.head().await.unwrap(), store.records(None, 9).await.unwrap());
        assert_eq!(before, after);
        assert_eq!(*store.watch().borrow(), 1);
    }

    limit(1_000_000).await;
    store.commit(commit(Some(1), 1_000_000)).await.unwrap();
}

#[tokio::test]
async fn another_programs_lock_is_an_error_with_a_remedy_and_passes() {
    let (folder, store) = store();
    store.commit(commit(None, 100)).await.unwrap();
    let shorter =
        |connection: &mut Connection| Ok(connection.busy_timeout(Duration::from_millis(20))?);
    store.worker.run(shorter).await.unwrap();

    let other = Connection::open(folder.path().join("keys.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    match store.commit(commit(Some(1), 100)).await {
        Err(StoreError::Unavailable { reason }) => {
            assert!(reason.contains("locked") && reason.contains("end the program"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.head().await.unwrap().unwrap().generation, 1, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(commit(Some(1), 100)).await.unwrap();
}

/// SQLite goes on in a file whose name is gone; what it wrote there was lost at the next start.
#[tokio::test]
async fn nothing_is_written_once_its_path_leads_elsewhere_and_reading_goes_on() {
    let (folder, store) = store();
    store.commit(commit(None, 100)).await.unwrap();
    let path = |name: &str| folder.path().join(name);
    let facts = |expected_revision| crate::PutDocument {
        name: "facts".to_owned(),
        expected_revision,
        bytes: Vec::new(),
    };
    for (generation, name) in [(1, "keys.db"), (2, "keys.db-wal")] {
        fs::rename(path(name), path("aside")).unwrap();
        for replaced in [false, true] {
            if replaced {
                fs::copy(path("aside"), path(name)).unwrap();
            }
            for error in [
                store.commit(commit(Some(generation), 100)).await.unwrap_err(),
                store.put_document(facts(None)).await.unwrap_err(),
                store.check().await.unwrap_err(),
            ] {
                let words = error.to_string();
                assert!(words.contains(name) && words.contains("put the file back"), "{words}");
            }
            assert_eq!(store.head().await.unwrap().unwrap().generation, generation);
        }
        fs::rename(path("aside"), path(name)).unwrap();
        store.check().await.unwrap();
        store.commit(commit(Some(generation), 100)).await.unwrap();
    }
}

#[tokio::test]
async fn room_is_kept_for_changes_on_a_disk_that_others_fill() {
    let (folder, store) = store();
    let log = fs::metadata(folder.path().join("keys.db-wal")).unwrap();
    assert!(log.blocks() * 512 >= RESERVE, "{} blocks", log.blocks());
    store.commit(commit(None, 100)).await.unwrap();
    drop(store);
    SqliteStore::open(&folder.path().join("keys.db")).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_disk_does_not_stop_the_runtime() {
    let (_folder, store) = store();
    let slow = store.worker.run(|_| {
        thread::sleep(Duration::from_millis(400));
        Ok(())
    });
    let begun = Instant::now();
    let ticks = async {
        let mut ticks = 0;
        while begun.elapsed() < Duration::from_millis(300) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            ticks += 1;
        }
        ticks
    };
    let (slow, ticks) = tokio::join!(slow, ticks);
    slow.unwrap();
    assert!(ticks >= 5, "{ticks} ticks while SQL was running");
}

#[tokio::test]
async fn a_commit_whose_caller_goes_away_is_whole_and_seen_by_watchers() {
    let (_folder, store) = store();
    let mut watcher = store.watch();
    let hold = store.worker.run(|_| {
        thread::sleep(Duration::from_millis(100));
        Ok(())
    });
    let abandoned = tokio::time::timeout(Duration::from_millis(20), store.commit(commit(None, 9)));
    let (held, abandoned) = tokio::join!(hold, abandoned);
    held.unwrap();
    assert!(abandoned.is_err(), "the commit waits behind the slow job");
    watcher.wait_for(|&generation| generation == 1).await.unwrap();
    assert_eq!(store.records(None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_job_that_panics_ends_the_store_and_lets_the_next_opener_in() {
    let (folder, store) = store();
    store.commit(commit(None, 9)).await.unwrap();
    let panics = store.worker.run::<(), _>(|_| panic!("in the store's thread, on purpose")).await;
    for error in [panics.unwrap_err(), store.head().await.unwrap_err()] {
        assert!(error.to_string().contains("restart the service"), "{error}");
    }
    drop(store);
    let store = SqliteStore::open(&folder.path().join("keys.db")).unwrap();
    assert_eq!(*store.watch().borrow(), 1);
}

#[tokio::test]
async fn every_commit_is_synchronised_and_replaced_keys_are_overwritten() {
    let (_folder, store) = store();
    // FULL is 2.
    for (name, expected) in [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)] {
        assert_eq!(pragma(&store, name).await, expected, "{name}");
    }
    let mode = store.worker.run(|connection| {
        Ok(connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?)
    });
    assert_eq!(mode.await.unwrap(), "wal");
}

#[tokio::test]
async fn a_replaced_wrapped_key_is_not_in_the_file_after_closing() {
    let (folder, store) = store();
    let mut first = commit(None, 0);
    let needle = b"the wrapped key of a version that is now destroyed";
    first.records[0].record.body = needle.repeat(200);
    store.commit(first).await.unwrap();
    store.commit(commit(Some(1), 3)).await.unwrap();
    drop(store);
    let file = std::fs::read(folder.path().join("keys.db")).unwrap();
    assert!(!file.windows(needle.len()).any(|window| window == needle));
    assert!(!folder.path().join("keys.db-wal").exists());
}
