//! The embedded store: one SQLite file, one process.
//!
//! Invariants: every commit is one transaction with full synchronisation, so after a crash the old
//! state or the new one stands; a second opener is refused; a file that is not certainly ours and whole
//! is refused and not touched; nothing is written once the path leads to another file. All SQL runs on
//! one thread of its own, so async callers never block.
//!
//! Known limit: the file must be on a local disk (write-ahead logging needs shared memory).

mod commit;
mod failure;
mod lease;
mod open;
mod place;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use claviger_kms::KeyId;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::{
    Commit, Document, KeyStore, NamedDocument, PutDocument, StoreError, StoredHead, StoredRecord,
    rules,
    sqlite::{place::Place, worker::Worker},
};

/// A key store in one SQLite file. Dropping it waits for what is under way, folds the write-ahead log
/// into the file and lets the next opener in.
pub struct SqliteStore {
    path: PathBuf,
    place: Arc<Place>,
    generation: Arc<watch::Sender<u64>>,
    worker: Worker,
    /// Whether this process has ended what others held; not before it wants a lease, so that opening writes nothing.
    leases_begun: Arc<AtomicBool>,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes it (mode 0600) where there is no file. Blocks while it
    /// checks the whole file.
    ///
    /// Beside the file stand `PATH.lock`, locked as long as the store is open, and SQLite's own
    /// `PATH-wal` and `PATH-shm`.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when it is open already; [`StoreError::Unreadable`] when the file is not a
    /// Claviger store, was made by a newer release, or is damaged; [`StoreError::Unavailable`] when
    /// folder or file cannot be reached or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open::open(path).inspect_err(|error| tracing::error!(%error, "key store not opened"))
    }
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn head(&self) -> Result<Option<StoredHead>, StoreError> {
        self.worker.run(|connection| read::head(connection)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let place = Arc::clone(&self.place);
        let question = move |connection: &mut Connection| {
            place.check()?;
            read::head(connection).map(drop)
        };
        self.worker.run(question).await
    }

    async fn record(&self, id: KeyId) -> Result<Option<StoredRecord>, StoreError> {
        self.worker.run(move |connection| read::record(connection, id)).await
    }

    async fn records(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.worker.run(move |connection| read::records(connection, after, limit)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        commit.check()?;
        let (place, generation) = (Arc::clone(&self.place), Arc::clone(&self.generation));
        self.worker
            .run(move |connection| {
                place.check()?;
                commit::commit(connection, &commit)?;
                // Here and not after the wait: a caller who has gone away has committed all the same.
                generation.send_replace(commit.head.generation);
                Ok(())
            })
            .await
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        rules::check_name("document", name)?;
        let name = name.to_owned();
        self.worker.run(move |connection| read::document(connection, &name)).await
    }

    async fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, StoreError> {
        rules::check_name("document", prefix)?;
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.worker
            .run(move |connection| read::documents(connection, &prefix, after.as_deref(), limit))
            .await
    }

    async fn put_documents(&self, puts: Vec<PutDocument>) -> Result<(), StoreError> {
        PutDocument::check_all(&puts)?;
        let place = Arc::clone(&self.place);
        self.worker
            .run(move |connection| {
                place.check()?;
                // Reads of keys wait behind this.
                connection.busy_timeout(DOCUMENTS_BUSY)?;
                let written = commit::put_documents(connection, &puts);
                connection.busy_timeout(open::BUSY)?;
                written
            })
            .await
    }

    async fn remove_document(&self, name: &str, expected_revision: u64) -> Result<(), StoreError> {
        rules::check_name("document", name)?;
        let name = name.to_owned();
        let place = Arc::clone(&self.place);
        self.worker
            .run(move |connection| {
                place.check()?;
                commit::remove_document(connection, &name, expected_revision)
            })
            .await
    }

    /// Free pages are overwritten as they become free (`secure_delete`); what is left is the log of
    /// changes, written into the file and cut to nothing here.
    async fn purge(&self) -> Result<(), StoreError> {
        let place = Arc::clone(&self.place);
        self.worker
            .run(move |connection| {
                place.check()?;
                connection
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                    .map_err(Into::into)
            })
            .await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    async fn lease(&self, name: &str, holder: &str, term: Duration) -> Result<bool, StoreError> {
        rules::check_name("lease", name)?;
        rules::check_name("holder", holder)?;
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let begun = Arc::clone(&self.leases_begun);
        self.worker
            .run(move |connection| {
                if !begun.load(Relaxed) {
                    lease::end_all(connection)?;
                    begun.store(true, Relaxed);
                }
                lease::lease(connection, &name, &holder, term)
            })
            .await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Longest wait of a document's write for another program that has locked the file.
const DOCUMENTS_BUSY: Duration = Duration::from_millis(100);
