//! The seam between the tree and where its records are kept.
//!
//! Invariants: a commit changes all of its records, documents and the head, or nothing; it succeeds
//! only if the head's generation is the one the writer saw. The store keeps bytes and MACs and checks
//! neither: whoever holds the record-MAC key does. What a store refuses is in `rules.rs`, the same for
//! every store.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use claviger_kms::{Canonical, KeyId};

use crate::StoreError;

/// A store of key records.
///
/// # Errors
/// Every method fails with a [`StoreError`]; after [`StoreError::Conflict`] nothing has changed.
#[async_trait]
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// The head, or `None` in an empty store.
    async fn head(&self) -> Result<Option<StoredHead>, StoreError>;
    /// Whether the store answers and is where it was opened.
    async fn check(&self) -> Result<(), StoreError> {
        self.head().await.map(drop)
    }
    /// One record.
    async fn record(&self, id: KeyId) -> Result<Option<StoredRecord>, StoreError>;
    /// Up to `limit` records in the order of their ids, after `after`.
    async fn records(
        &self,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, StoreError>;
    /// Changes records, documents and head in one step. [`StoreError::Conflict`] says what has changed
    /// meanwhile; [`StoreError::Refused`] comes from [`Commit::check`].
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// A named document beside the records (root facts, campaigns, usage counters, checkpoints), not
    /// under the head.
    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError>;
    /// Up to `limit` documents whose names begin with `prefix`, in the order of their names, after the
    /// name `after`.
    async fn documents(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDocument>, StoreError>;
    /// Writes documents, all or none, if the revision of each is still the one expected.
    async fn put_documents(&self, puts: Vec<PutDocument>) -> Result<(), StoreError>;
    /// Removes a document if its revision is still the one expected. A document of the same name
    /// begins again at revision 1.
    async fn remove_document(&self, name: &str, expected_revision: u64) -> Result<(), StoreError>;

    /// Writes one document if its revision is still the one expected; returns the new revision.
    async fn put_document(&self, put: PutDocument) -> Result<u64, StoreError> {
        let revision = put.expected_revision.unwrap_or(0).saturating_add(1);
        self.put_documents(vec![put]).await?;
        Ok(revision)
    }

    /// Erases what the store's own files still hold of earlier versions of records, after a destruction.
    /// Copies and backups are not reached.
    async fn purge(&self) -> Result<(), StoreError>;

    /// The generation (0 in an empty store), whenever it changes (also by other processes, where the
    /// store is shared).
    fn watch(&self) -> tokio::sync::watch::Receiver<u64>;
    /// Takes or renews a named lease for `holder`; `false` while another holds it. A term of zero gives
    /// it up, one of more than an hour counts as an hour. A lease saves work that two would do twice; only
    /// compare-and-swap keeps writes apart.
    async fn lease(&self, name: &str, holder: &str, term: Duration) -> Result<bool, StoreError>;
}

/// One record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The key's id.
    pub id: KeyId,
    /// The record's epoch, as in its bytes.
    pub epoch: u64,
    /// The record's bytes.
    pub body: Vec<u8>,
    /// HMAC-SHA-256 under the record-MAC key over [`StoredRecord::canonical_bytes`].
    pub mac: [u8; 32],
    /// Version of the record-MAC key.
    pub mac_key: u32,
}

impl StoredRecord {
    /// What the MAC is over.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        Canonical::new("claviger/1/key-record")
            .bytes(self.id.as_bytes())
            .u64(self.epoch)
            .u32(self.mac_key)
            .bytes(&self.body)
            .finish()
    }
}

/// The head of the store: it names every record's epoch and MAC, so none can be rolled back, added or
/// removed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// One more at every commit.
    pub generation: u64,
    /// 256 bucket hashes; bucket = first byte of SHA-256(id).
    pub buckets: Vec<[u8; 32]>,
    /// HMAC-SHA-256 under the record-MAC key over [`StoredHead::canonical_bytes`].
    pub mac: [u8; 32],
    /// Version of the record-MAC key.
    pub mac_key: u32,
}

impl StoredHead {
    /// Number of buckets.
    pub const BUCKETS: usize = 256;

    /// What the MAC is over.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        Canonical::new("claviger/1/store-head")
            .u64(self.generation)
            .u32(self.mac_key)
            .bytes(self.buckets.as_flattened())
            .finish()
    }
}

/// A change of the store in one step.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The generation the writer saw; `None` for an empty store.
    pub expected_generation: Option<u64>,
    /// The new head; its generation is higher than expected (one more, but after an accepted restore).
    pub head: StoredHead,
    /// Records to write, at most [`Commit::MAX_RECORDS`].
    pub records: Vec<PutRecord>,
    /// Documents to write.
    pub documents: Vec<PutDocument>,
}

impl Commit {
    /// Most records of one commit.
    pub const MAX_RECORDS: usize = 50;
}

/// A record to write.
#[derive(Debug, Clone)]
pub struct PutRecord {
    /// The epoch it replaces; `None` for a new key.
    pub expected_epoch: Option<u64>,
    /// The record; its epoch is one more than expected (1 for a new key).
    pub record: StoredRecord,
}

/// A document as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// 1 at first, one more at every write.
    pub revision: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A document and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDocument {
    /// Its name.
    pub name: String,
    /// The document.
    pub document: Document,
}

/// A document to write.
#[derive(Debug, Clone)]
pub struct PutDocument {
    /// Its name: 1 to [`PutDocument::MAX_NAME`] characters of `a-z 0-9 / . _ -`.
    pub name: String,
    /// The revision it replaces; `None` for a new document.
    pub expected_revision: Option<u64>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl PutDocument {
    /// Most characters of a document's name.
    pub const MAX_NAME: usize = 128;
}
