//! Leases and the wall clock they end by.

use std::time::Duration;

use claviger_keystore::{KeyStore as _, SqliteStore};
use rusqlite::Connection;
use tempfile::tempdir;

/// A service took a lease while the clock was a year ahead, and was killed: nobody could lead for a year.
#[tokio::test]
async fn a_lease_of_a_clock_that_went_back_is_no_lease() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("keys.db");
    crate::filled(&path).await;
    let store = SqliteStore::open(&path).unwrap();
    let half_a_minute = Duration::from_secs(30);
    assert!(store.lease("leader", "a", half_a_minute).await.unwrap());
    drop(store);
    let ahead = |milliseconds: i64| {
        let sql = format!("UPDATE lease SET expires_at_ms = expires_at_ms + {milliseconds}");
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    };
    ahead(30 * 60 * 1000);
    let store = SqliteStore::open(&path).unwrap();
    assert!(!store.lease("leader", "b", half_a_minute).await.unwrap(), "within a term's length");
    drop(store);
    ahead(365 * 24 * 3600 * 1000);
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.lease("leader", "b", half_a_minute).await.unwrap());
    assert!(!store.lease("leader", "a", half_a_minute).await.unwrap());
    // A longer term than an hour is one of an hour, so that it holds.
    assert!(store.lease("leader", "b", Duration::from_secs(1_000_000)).await.unwrap());
    assert!(!store.lease("leader", "a", half_a_minute).await.unwrap());
}
