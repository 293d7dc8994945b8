//! The store head's buckets: 256 hashes over the id, epoch and MAC of every record.
//!
//! Invariant: any record rolled back, added or removed by itself changes its bucket's hash. A commit
//! hashes anew only the buckets of the records it writes.

use std::collections::BTreeMap;

use claviger_keystore::{StoredHead, StoredRecord};
use claviger_kms::{Canonical, KeyId};
use sha2::{Digest as _, Sha256};

type Members = BTreeMap<KeyId, (u64, [u8; 32])>;

/// The members of each bucket and its hash.
#[derive(Debug)]
pub(crate) struct Buckets {
    members: Vec<Members>,
    hashes: Vec<[u8; 32]>,
}

impl Buckets {
    /// No records.
    pub(crate) fn empty() -> Self {
        let members = vec![Members::new(); StoredHead::BUCKETS];
        let hashes = members.iter().map(hash).collect();
        Self { members, hashes }
    }

    pub(crate) fn hashes(&self) -> &[[u8; 32]] {
        &self.hashes
    }

    /// The hashes after these records are written.
    pub(crate) fn hashes_with(&self, changed: &[StoredRecord]) -> Vec<[u8; 32]> {
        let mut hashes = self.hashes.clone();
        let mut touched: BTreeMap<usize, Members> = BTreeMap::new();
        for stored in changed {
            let at = bucket_of(stored.id);
            let members = touched
                .entry(at)
                .or_insert_with(|| self.members.get(at).cloned().unwrap_or_default());
            members.insert(stored.id, (stored.epoch, stored.mac));
        }
        for (at, members) in touched {
            if let Some(place) = hashes.get_mut(at) {
                *place = hash(&members);
            }
        }
        hashes
    }

    /// Takes these records in.
    pub(crate) fn apply<'a>(&mut self, changed: impl IntoIterator<Item = &'a StoredRecord>) {
        let mut touched = Vec::new();
        for stored in changed {
            let at = bucket_of(stored.id);
            if let Some(members) = self.members.get_mut(at) {
                members.insert(stored.id, (stored.epoch, stored.mac));
                touched.push(at);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for at in touched {
            if let (Some(members), Some(place)) = (self.members.get(at), self.hashes.get_mut(at)) {
                *place = hash(members);
            }
        }
    }
}

fn bucket_of(id: KeyId) -> usize {
    Sha256::digest(id.as_bytes()).first().copied().map_or(0, usize::from)
}

fn hash(members: &Members) -> [u8; 32] {
    let named = members
        .iter()
        .fold(Canonical::new("claviger/1/head-bucket"), |encoding, (id, (epoch, mac))| {
            encoding.bytes(id.as_bytes()).u64(*epoch).bytes(mac)
        });
    Sha256::digest(named.finish()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: u8, epoch: u64, mac: u8) -> StoredRecord {
        let id = KeyId::from_bytes([id; 16]);
        StoredRecord { id, epoch, body: Vec::new(), mac: [mac; 32], mac_key: 1 }
    }

    #[test]
    fn what_is_foretold_is_what_comes() {
        let mut buckets = Buckets::empty();
        for round in 1..=40_u8 {
            let changed = [stored(round % 7, u64::from(round), round), stored(round, 1, round)];
            let foretold = buckets.hashes_with(&changed);
            buckets.apply(&changed);
            assert_eq!(buckets.hashes(), foretold);
        }
    }

    #[test]
    fn an_older_a_missing_and_an_added_record_each_show() {
        let of = |records: &[StoredRecord]| {
            let mut buckets = Buckets::empty();
            buckets.apply(records);
            buckets.hashes().to_vec()
        };
        let now = of(&[stored(1, 2, 5), stored(2, 1, 6)]);
        assert_ne!(now, of(&[stored(1, 1, 5), stored(2, 1, 6)]));
        assert_ne!(now, of(&[stored(1, 2, 5)]));
        assert_ne!(now, of(&[stored(1, 2, 5), stored(2, 1, 6), stored(3, 1, 7)]));
        assert_ne!(now, of(&[stored(1, 2, 4), stored(2, 1, 6)]));
    }
}
