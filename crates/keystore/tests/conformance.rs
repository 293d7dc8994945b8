//! The embedded store does what every key store must.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{cell::Cell, sync::Arc};

use claviger_keystore::{KeyStore, SqliteStore};
use claviger_testkit::key_store_conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let made = Cell::new(0);
    let make = async || {
        made.set(made.get() + 1);
        let path = folder.path().join(format!("{}.db", made.get()));
        Arc::new(SqliteStore::open(&path).unwrap()) as Arc<dyn KeyStore>
    };
    key_store_conformance::run(make).await;
    assert!(made.get() >= 16, "only {} checks ran", made.get());
}
