//! Writing records: one compare-and-swap for each change.
//!
//! Invariants: only one writer at a time in this process, and none holds the others up while it asks the
//! token; the tree in memory changes only after the store did; after a failure whose outcome is not known
//! no key is used until the store was read again, so a change whose reply was lost is in force.

use std::{fmt, sync::atomic::Ordering};

use claviger_keystore::{Commit, KeyRecord, PutRecord, StoredRecord};
use claviger_kms::{KeyId, KeyMetadata, KeyPath, KmsError, Result};

use crate::{emergency, hierarchy::Hierarchy, record_mac::record_hash};

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
#[derive(Debug)]
#[non_exhaustive]
pub struct Written {
    /// The key as it is now.
    pub metadata: KeyMetadata,
    /// Every record changed; empty if there was nothing to do.
    pub changes: Vec<Change>,
    /// Children to be moved, after a rotation.
    pub behind: Option<ChildrenBehind>,
}

impl Written {
    pub(crate) fn new(metadata: KeyMetadata, changes: Vec<Change>) -> Self {
        Self { metadata, changes, behind: None }
    }
}

/// A key as a writer saw it when he decided.
#[derive(Debug)]
pub(crate) struct Seen {
    path: KeyPath,
    /// `None` if there was none.
    epoch: Option<u64>,
}

impl Seen {
    /// A key as in this record.
    pub(crate) fn record(record: &KeyRecord) -> Self {
        Self { path: record.path.clone(), epoch: Some(record.epoch) }
    }
}

/// Children of a rotated key that may still be under an older version of it: to be moved, batch by batch,
/// with [`Hierarchy::move_children`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "children stay under the former version until they are moved"]
pub struct ChildrenBehind {
    /// `None` for the root.
    pub(crate) parent: Option<KeyPath>,
}

impl ChildrenBehind {
    /// The key whose children they are; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&KeyPath> {
        self.parent.as_ref()
    }

    /// The key, or the root, in words.
    pub(crate) fn name(&self) -> &str {
        self.parent.as_ref().map_or("the root", KeyPath::as_str)
    }
}

/// Attempts before a writer that others keep overtaking gives up.
pub(crate) const ATTEMPTS: usize = 100;

/// What a writer that was overtaken each time answers.
pub(crate) fn overtaken(path: impl fmt::Display) -> KmsError {
    KmsError::unavailable(format!("the key {path} is changed by many at once; try again"))
}

impl Hierarchy {
    /// Writes records if every key named in `seen` is still as it was then; `None` if one is not, and
    /// the caller decides anew. Keys are made and wrapped before this is called, so the lock is held
    /// for the commit only and an emergency never waits for the token.
    pub(crate) async fn commit_if(
        &self,
        seen: &[Seen],
        records: Vec<KeyRecord>,
    ) -> Result<Option<Vec<Change>>> {
        let _writing = self.writing.lock().await;
        self.settle().await?;
        let unchanged = {
            let tree = self.tree();
            seen.iter().all(|seen| tree.at(&seen.path).map(|now| now.epoch) == seen.epoch)
        };
        if !unchanged {
            return Ok(None);
        }
        self.commit(records).await.map(Some)
    }

    /// A key as it is now, or its absence.
    pub(crate) fn see(&self, path: &KeyPath) -> Seen {
        Seen { path: path.clone(), epoch: self.tree().at(path).map(|record| record.epoch) }
    }

    /// Writes records; the caller holds the writing lock. Epochs are counted here.
    async fn commit(&self, records: Vec<KeyRecord>) -> Result<Vec<Change>> {
        let next_generation = self.tree().generation() + 1;
        let mut changed = Vec::with_capacity(records.len());
        let mut puts = Vec::with_capacity(records.len());
        for mut record in records {
            let expected_epoch = (record.epoch > 0).then_some(record.epoch);
            record.epoch += 1;
            emergency::place(&mut record, next_generation);
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
                self.in_doubt.store(true, Ordering::Release);
                self.settle().await?;
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
