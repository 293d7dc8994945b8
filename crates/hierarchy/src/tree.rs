//! The verified records, in memory, and the head that names them.
//!
//! Invariants: a record is in the tree only after its MAC, its store id, its epoch and the head's bucket
//! over it were checked; every key's parent is in the tree; one path, one key.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use claviger_keystore::{KeyRecord, StoredHead, StoredRecord};
use claviger_kms::{KeyId, KeyPath, StoreId};

use crate::{OpenError, head::Buckets, record_mac::RecordMac};

/// All keys by path.
#[derive(Debug)]
pub(crate) struct Tree {
    keys: BTreeMap<KeyPath, Arc<KeyRecord>>,
    paths: HashMap<KeyId, KeyPath>,
    buckets: Buckets,
    generation: u64,
}

impl Tree {
    /// No keys, generation 0: what a store is before its ceremony.
    pub(crate) fn empty() -> Self {
        Self {
            keys: BTreeMap::new(),
            paths: HashMap::new(),
            buckets: Buckets::empty(),
            generation: 0,
        }
    }

    /// Checks everything against the head and takes it in.
    pub(crate) fn verify(
        store_id: StoreId,
        mac: &RecordMac,
        head: &StoredHead,
        records: Vec<StoredRecord>,
    ) -> Result<Self, OpenError> {
        if !mac.head_is_genuine(head) {
            return Err(OpenError::tampered("the store head does not match its MAC"));
        }
        let mut tree = Self::empty();
        tree.generation = head.generation;
        for stored in records {
            let id = stored.id;
            if !mac.record_is_genuine(&stored) {
                return Err(OpenError::tampered(format!("key record {id} does not match its MAC")));
            }
            let record = KeyRecord::from_bytes(&stored.body)?;
            if record.id != id || record.epoch != stored.epoch || record.store_id != store_id {
                return Err(OpenError::tampered(format!("key record {id} is of another place")));
            }
            let path = record.path.clone();
            if tree.paths.insert(id, path.clone()).is_some() || tree.keys.contains_key(&path) {
                return Err(OpenError::tampered(format!("{path} stands in the store twice")));
            }
            tree.keys.insert(path, Arc::new(record));
            tree.buckets.apply([&stored]);
        }
        if tree.buckets.hashes() != head.buckets {
            return Err(OpenError::tampered(
                "a key record is missing, added or older than the store head says",
            ));
        }
        for path in tree.keys.keys() {
            if let Some(parent) = path.parent()
                && !tree.keys.contains_key(&parent)
            {
                return Err(OpenError::tampered(format!("{path} stands under no key")));
            }
        }
        Ok(tree)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn at(&self, path: &KeyPath) -> Option<Arc<KeyRecord>> {
        self.keys.get(path).map(Arc::clone)
    }

    pub(crate) fn path_of(&self, id: KeyId) -> Option<&KeyPath> {
        self.paths.get(&id)
    }

    /// Paths in order, after `after`, at or under `under`.
    pub(crate) fn paths<'a>(
        &'a self,
        under: Option<&'a KeyPath>,
        after: Option<&'a KeyPath>,
    ) -> impl Iterator<Item = &'a KeyPath> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let from = match (under, after) {
            (Some(under), Some(after)) if after < under => Included(under),
            (_, Some(after)) => Excluded(after),
            (Some(under), None) => Included(under),
            (None, None) => Unbounded,
        };
        self.keys
            .range::<KeyPath, _>((from, Unbounded))
            .map(|(path, _)| path)
            // `a-b` sorts between `a` and `a/b`, so this filters; it stops at what no longer begins so.
            .take_while(move |path| {
                under.is_none_or(|under| path.as_str().starts_with(under.as_str()))
            })
            .filter(move |path| under.is_none_or(|under| path.is_at_or_under(under)))
    }

    /// The keys directly below a key, or the regions.
    pub(crate) fn children(&self, parent: Option<&KeyPath>) -> Vec<Arc<KeyRecord>> {
        self.paths(parent, None)
            .filter(|path| path.parent().as_ref() == parent)
            .filter_map(|path| self.at(path))
            .collect()
    }

    /// The head after these records are written, without its MAC.
    pub(crate) fn next_head(&self, changed: &[StoredRecord]) -> StoredHead {
        StoredHead {
            generation: self.generation + 1,
            buckets: self.buckets.hashes_with(changed),
            mac: [0; 32],
            mac_key: 0,
        }
    }

    /// Takes in what was committed.
    pub(crate) fn apply(&mut self, generation: u64, changed: Vec<(KeyRecord, StoredRecord)>) {
        self.generation = generation;
        self.buckets.apply(changed.iter().map(|(_, stored)| stored));
        for (record, _) in changed {
            self.paths.insert(record.id, record.path.clone());
            self.keys.insert(record.path.clone(), Arc::new(record));
        }
    }
}
