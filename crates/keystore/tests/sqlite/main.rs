//! What only the embedded store can meet: other people's files, damage, kills, a second opener.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "how a killed process tells what it has done")]

mod damage;
mod kill;
mod leases;
mod refusals;

use std::path::Path;

use claviger_keystore::{
    Commit, KeyStore, PutDocument, PutRecord, SqliteStore, StoreError, StoredHead, StoredRecord,
};
use claviger_kms::KeyId;
use sha2::{Digest, Sha256};

const RECORDS: u8 = 12;

/// The next commit, which writes every record, one document and the head. Bodies tell the generation
/// and are large enough for many pages.
fn next_commit(expected_generation: Option<u64>, body: usize) -> Commit {
    let generation = expected_generation.unwrap_or(0) + 1;
    let records: Vec<PutRecord> = (0..RECORDS)
        .map(|number| {
            let id = KeyId::from_bytes([number; 16]);
            let body = generation.to_be_bytes().repeat(body / 8);
            let record = StoredRecord { id, epoch: generation, body, mac: [0; 32], mac_key: 1 };
            let mac = stand_in_mac(&record.canonical_bytes());
            PutRecord {
                expected_epoch: expected_generation,
                record: StoredRecord { mac, ..record },
            }
        })
        .collect();
    let mut buckets = vec![[0; 32]; StoredHead::BUCKETS];
    buckets[0] = bucket_hash(records.iter().map(|put| &put.record));
    let head = StoredHead { generation, buckets, mac: [0; 32], mac_key: 1 };
    let mac = stand_in_mac(&head.canonical_bytes());
    Commit {
        expected_generation,
        head: StoredHead { mac, ..head },
        records,
        documents: vec![PutDocument {
            name: "facts".to_owned(),
            expected_revision: expected_generation,
            bytes: generation.to_be_bytes().to_vec(),
        }],
    }
}

/// The generation, if head, records and document belong together as their MACs say.
async fn whole_generation(store: &dyn KeyStore) -> Result<Option<u64>, Broken> {
    let Some(head) = store.head().await? else { return Ok(None) };
    let records = store.records(None, 1000).await?;
    let document = store.document("facts").await?;
    let generation = head.generation;
    let honest = head.mac == stand_in_mac(&head.canonical_bytes())
        && head.buckets[0] == bucket_hash(records.iter())
        && records.iter().all(|record| {
            record.mac == stand_in_mac(&record.canonical_bytes()) && record.epoch == generation
        })
        && document.is_some_and(|document| document.bytes == generation.to_be_bytes());
    if honest { Ok(Some(generation)) } else { Err(Broken::FoundByMac) }
}

#[derive(Debug)]
enum Broken {
    FoundByStore(StoreError),
    FoundByMac,
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::FoundByStore(error)
    }
}

/// In place of the HMAC that the store's users make: these tests guard against accidents.
fn stand_in_mac(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn bucket_hash<'a>(records: impl Iterator<Item = &'a StoredRecord>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for record in records {
        hash.update(record.id.as_bytes());
        hash.update(record.epoch.to_be_bytes());
        hash.update(record.mac);
    }
    hash.finalize().into()
}

/// A closed store of two generations.
async fn filled(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    store.commit(next_commit(None, 2000)).await.unwrap();
    store.commit(next_commit(Some(1), 3000)).await.unwrap();
}

fn unreadable(path: &Path) -> String {
    match SqliteStore::open(path) {
        Err(StoreError::Unreadable { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn unavailable(path: &Path) -> String {
    match SqliteStore::open(path) {
        Err(error @ StoreError::Unavailable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}
