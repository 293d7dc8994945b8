//! Writing records: one compare-and-swap for each change.
//!
//! Invariants: only one writer at a time in this process; the tree in memory changes only after the
//! store did; after a failure whose outcome is not known the store is read again, so a reply that was
//! lost is found to have happened, and nothing is done twice.

use claviger_keystore::{Commit, KeyRecord, PutRecord, StoredRecord};
use claviger_kms::{KeyId, KeyMetadata, KeyPath, Result};

use crate::{hierarchy::Hierarchy, record_mac::record_hash};

/// A change of one record, as the audit log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The key.
    pub key: KeyPath,
    /// Its identity.
    pub key_id: KeyId,
    /// The record's epoch after the change.
    pub epoch: u64,
    /// SHA-256 of the record after the change.
    pub record_hash: [u8; 32],
    /// The store's generation after the change.
    pub generation: u64,
}

/// What a writing operation did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Written {
    /// The key as it is now.
    pub metadata: KeyMetadata,
    /// Every record changed; empty if there was nothing to do.
    pub changes: Vec<Change>,
}

impl Hierarchy {
    /// Writes records; the caller holds the writing lock and raised nothing: epochs are counted here.
    pub(crate) async fn commit(&self, records: Vec<KeyRecord>) -> Result<Vec<Change>> {
        let mut changed = Vec::with_capacity(records.len());
        let mut puts = Vec::with_capacity(records.len());
        for mut record in records {
            let expected_epoch = (record.epoch > 0).then_some(record.epoch);
            record.epoch += 1;
            let mut stored = StoredRecord {
                id: record.id,
                epoch: record.epoch,
                body: record.to_bytes()?,
                mac: [0; 32],
                mac_key: 0,
            };
            self.mac.sign_record(&mut stored);
            puts.push(PutRecord { expected_epoch, record: stored.clone() });
            changed.push((record, stored));
        }
        let stored: Vec<StoredRecord> = changed.iter().map(|(_, stored)| stored.clone()).collect();
        let (expected, mut head) = {
            let tree = self.tree();
            (tree.generation(), tree.next_head(&stored))
        };
        self.mac.sign_head(&mut head);
        let generation = head.generation;
        let commit = Commit {
            expected_generation: Some(expected),
            head,
            records: puts,
            documents: Vec::new(),
        };
        let changes = changed
            .iter()
            .map(|(record, stored)| Change {
                key: record.path.clone(),
                key_id: record.id,
                epoch: record.epoch,
                record_hash: record_hash(stored),
                generation,
            })
            .collect();
        match self.store.commit(commit).await {
            Ok(()) => self.tree_mut().apply(generation, changed),
            Err(error) => {
                tracing::warn!(%error, generation, "commit failed; reading the store again");
                if let Err(reload) = self.reload().await {
                    tracing::error!(error = %reload, "the key store could not be read again");
                    return Err(error.into());
                }
                let done = changed.iter().all(|(record, _)| {
                    self.tree().at(&record.path).is_some_and(|now| *now == *record)
                });
                if !done {
                    return Err(error.into());
                }
            }
        }
        Ok(changes)
    }
}
