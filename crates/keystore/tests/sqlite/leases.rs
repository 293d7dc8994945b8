//! Leases and the wall clock they end by.

use std::time::Duration;

use claviger_keystore::{KeyStore as _, SqliteStore};
use rusqlite::Connection;
use tempfile::tempdir;

/// A service took a lease while the clock was a year ahead: nobody could lead for a year.
#[tokio::test]
async fn a_lease_of_a_clock_that_went_back_is_no_lease() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    crate::filled(&path).await;
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.lease("leader", "a", HALF_A_MINUTE).await.unwrap());
    let ahead = |milliseconds: i64| {
        let sql = format!("UPDATE lease SET expires_at_ms = expires_at_ms + {milliseconds}");
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    };
    ahead(30 * 60 * 1000);
    assert!(!store.lease("leader", "b", HALF_A_MINUTE).await.unwrap(), "within a term's length");
    ahead(365 * 24 * 3600 * 1000);
    assert!(store.lease("leader", "b", HALF_A_MINUTE).await.unwrap());
    assert!(!store.lease("leader", "a", HALF_A_MINUTE).await.unwrap());
    // A longer term than an hour is one of an hour, so that it holds.
    assert!(store.lease("leader", "b", Duration::from_secs(1_000_000)).await.unwrap());
    assert!(!store.lease("leader", "a", HALF_A_MINUTE).await.unwrap());
}

/// A service was killed: the one started in its place rotated nothing for half a minute, waiting for the dead.
#[tokio::test]
async fn a_lease_ends_with_the_process_that_had_the_store() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    crate::filled(&path).await;
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.lease("leader", "a", HALF_A_MINUTE).await.unwrap());
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.lease("leader", "b", HALF_A_MINUTE).await.unwrap());
}

const HALF_A_MINUTE: Duration = Duration::from_secs(30);
