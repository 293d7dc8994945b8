//! Files that were a store once.

use std::fs;

use claviger_keystore::{SqliteStore, StoreError};
use rusqlite::Connection;
use tempfile::tempdir;

use crate::{Broken, filled, unreadable, whole_generation};

#[tokio::test]
async fn a_file_cut_off_anywhere_is_refused_with_the_remedy() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    filled(&path).await;
    let whole = fs::read(&path).unwrap();
    let end = whole.len();
    let mut lengths = vec![0, 1, 15, 16, 99, 100, 101, 511, 512, 4095, 4096, 4097, 8192];
    lengths.extend([end / 4, end / 3, end / 2, end - 8192, end - 4097, end - 4096, end - 512]);
    lengths.extend([end - 2, end - 1]);
    for length in lengths {
        fs::write(&path, &whole[..length]).unwrap();
        println!("cut to {length} of {end}");
        let message = unreadable(&path);
        assert!(message.contains("restore a backup"), "cut to {length}: {message}");
        assert_eq!(fs::read(&path).unwrap(), whole[..length], "cut to {length}: changed");
    }
    fs::write(&path, &whole).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(whole_generation(&store).await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_flipped_byte_is_refused_or_found_by_the_mac_or_means_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    filled(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut by_store = 0;
    let mut by_mac = 0;
    // A stride that is prime to the page size walks through every part of a page.
    for at in (0..whole.len()).step_by(397) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        match SqliteStore::open(&path) {
            Err(StoreError::Unreadable { .. }) => by_store += 1,
            Err(error) => panic!("byte {at}: {error:?}"),
            Ok(store) => match whole_generation(&store).await {
                Ok(found) => assert_eq!(found, Some(2), "byte {at}"),
                Err(Broken::FoundByMac) => by_mac += 1,
                Err(Broken::FoundByStore(StoreError::Unreadable { .. })) => by_store += 1,
                Err(error) => panic!("byte {at}: {error:?}"),
            },
        }
    }
    assert!(by_store > 0 && by_mac > 0, "{by_store} by the store, {by_mac} by the MAC");
}

#[tokio::test]
async fn tables_that_are_not_ours_are_damage_not_a_crash() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    for (number, meddling) in [
        "DROP TABLE record",
        "DROP TABLE head; CREATE TABLE head (x)",
        "DROP TABLE head; CREATE TABLE head (generation, buckets, mac, mac_key);
         INSERT INTO head VALUES ('seven', x'00', x'00', -1)",
        "DROP TABLE record; CREATE TABLE record (id, epoch, body, mac, mac_key);
         INSERT INTO record VALUES (x'07', -1, NULL, 'short', 1.5)",
        "DROP TABLE record; CREATE VIEW record AS SELECT 1 AS id",
        "DROP TABLE document; CREATE TABLE document (name, revision, bytes);
         INSERT INTO document VALUES ('facts', -3, 'text')",
    ]
    .into_iter()
    .enumerate()
    {
        let _ = fs::remove_file(&path);
        filled(&path).await;
        Connection::open(&path).unwrap().execute_batch(meddling).unwrap();
        let found = match SqliteStore::open(&path) {
            Err(error) => error,
            Ok(store) => match whole_generation(&store).await {
                Err(Broken::FoundByStore(error)) => error,
                other => panic!("meddling {number}: {other:?}"),
            },
        };
        assert!(matches!(found, StoreError::Unreadable { .. }), "meddling {number}: {found:?}");
    }
}

#[tokio::test]
async fn a_trigger_planted_in_the_file_does_not_run() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    filled(&path).await;
    let plant = "CREATE TRIGGER quiet AFTER UPDATE ON record BEGIN DELETE FROM document; END";
    Connection::open(&path).unwrap().execute_batch(plant).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let commit = crate::next_commit(Some(2), 100);
    claviger_keystore::KeyStore::commit(&store, commit).await.unwrap();
    assert_eq!(whole_generation(&store).await.unwrap(), Some(3));
}
