//! Data keys kept for further records: off unless asked for, bounded, forgotten when their key changes.
//!
//! A held data key comes with its header, and so with its envelope id: the id is the *data key's*, and the
//! records sealed under it share it (see `FORMAT.md`, "Reusing data keys", for what that gives up).
//! Invariants: a data key is reused only for the same key path and the same full context, by the same
//! [`Envelopes`](crate::Envelopes) and so the same services and principal; never past its count, bytes or
//! age; never after a newer version, or another key at its path, was seen in any reply.
//! Known limit: rotation by others is seen only in replies; until one comes, and for the keys of further
//! services always, age is the bound.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use claviger_kms::{EncryptionContext, KeyId, KeyPath, KeyVersion, KmsError};

use crate::{Header, Result, data_key::Seen, payload::PayloadKey};

/// How far records may share a data key.
///
/// It saves calls of the key service, and gives up that every record has a key of its own: records with the
/// same context that share a data key can be exchanged for one another unseen, a data key that leaks opens all
/// of them, and the service's audit log shows one use for all of them. A context that names the row
/// leaves nothing to exchange, and nothing to reuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKeyReuse {
    /// Most records under one data key. Default 1,000, at most 2^32 - 1.
    pub max_records: u32,
    /// Most bytes of plaintext under one data key. Default 1 GiB, at most 1 TiB.
    pub max_bytes: u64,
    /// Longest time from making a data key to its last use. Default 5 minutes, at most 1 hour.
    pub max_age: Duration,
    /// Most data keys held at a time; the one made first gives way. Default 256, at most 4,096.
    pub max_held: usize,
}

impl Default for DataKeyReuse {
    fn default() -> Self {
        Self {
            max_records: 1000,
            max_bytes: 1 << 30,
            max_age: Duration::from_secs(5 * 60),
            max_held: 256,
        }
    }
}

/// A header and its payload key, to seal with.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) header: Header,
    pub(crate) payload_key: PayloadKey,
}

/// The data keys held by one [`Envelopes`](crate::Envelopes).
#[derive(Debug)]
pub(crate) struct ReuseCache {
    bounds: DataKeyReuse,
    held: Mutex<Held>,
}

/// Which flush a data key was asked for after: one that was under way during a flush is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Round(u64);

#[derive(Debug, Default)]
struct Held {
    round: u64,
    entries: HashMap<(KeyPath, Vec<u8>), Entry>,
    newest: HashMap<KeyPath, (Option<KeyId>, KeyVersion)>,
}

#[derive(Debug)]
struct Entry {
    sealing: Arc<Sealing>,
    id: Option<KeyId>,
    version: KeyVersion,
    records: u32,
    bytes: u64,
    made: (Instant, SystemTime),
}

impl ReuseCache {
    pub(crate) fn new(bounds: DataKeyReuse) -> Result<Self> {
        let within = bounds.max_bytes <= 1 << 40
            && bounds.max_age <= Duration::from_secs(60 * 60)
            && bounds.max_held <= 4096;
        if !within {
            return Err(KmsError::invalid(
                "a data key is reused for at most 1 TiB and 1 hour, and at most 4096 are held",
            )
            .into());
        }
        Ok(Self { bounds, held: Mutex::default() })
    }

    /// A held data key with room for a record of `length` bytes; else the round to [`put`](Self::put) a
    /// fresh one with.
    pub(crate) fn take(
        &self,
        key: &KeyPath,
        context: &EncryptionContext,
        length: u64,
    ) -> Result<Arc<Sealing>, Round> {
        let mut held = self.held();
        let round = Round(held.round);
        let place = (key.clone(), context.canonical_bytes());
        let Some(entry) = held.entries.get_mut(&place) else { return Err(round) };
        if !entry.take(&self.bounds, length) {
            held.entries.remove(&place);
            return Err(round);
        }
        Ok(Arc::clone(&entry.sealing))
    }

    /// Keeps a data key that has just sealed its first record, of `length` bytes.
    pub(crate) fn put(
        &self,
        round: Round,
        context: &EncryptionContext,
        seen: &Seen,
        length: u64,
        sealing: &Arc<Sealing>,
    ) {
        let mut held = self.held();
        let newest = held.newest.get(&seen.key).copied();
        let outdated = newest.is_some_and(|newest| newest != (seen.id, seen.version));
        if held.round != round.0 || outdated {
            return;
        }
        let mut entry = Entry {
            sealing: Arc::clone(sealing),
            id: seen.id,
            version: seen.version,
            records: 0,
            bytes: 0,
            made: (Instant::now(), SystemTime::now()),
        };
        if !entry.take(&self.bounds, length) {
            return;
        }
        held.entries.retain(|_, entry| entry.is_young(&self.bounds));
        if held.entries.len() >= self.bounds.max_held {
            held.drop_oldest();
        }
        held.entries.insert((seen.key.clone(), context.canonical_bytes()), entry);
    }

    /// Takes note of a version that a reply named: older data keys of that key are forgotten.
    pub(crate) fn note(&self, seen: &Seen) {
        let mut held = self.held();
        if held.newest.len() >= MOST_PATHS && !held.newest.contains_key(&seen.key) {
            held.forget_all();
        }
        let newest = match held.newest.get(&seen.key) {
            Some((id, version)) if *id == seen.id => (*version).max(seen.version),
            _ => seen.version,
        };
        held.newest.insert(seen.key.clone(), (seen.id, newest));
        held.entries.retain(|(key, _), entry| {
            *key != seen.key || (entry.id == seen.id && entry.version == newest)
        });
    }

    /// Forgets everything, and whatever is being made now.
    pub(crate) fn flush(&self) {
        self.held().forget_all();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn forget_all(&mut self) {
        self.round += 1;
        self.entries.clear();
        self.newest.clear();
    }

    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.made.0);
        if let Some(place) = oldest.map(|(place, _)| place.clone()) {
            self.entries.remove(&place);
        }
    }
}

impl Entry {
    /// Counts one more record, if it is within the bounds.
    fn take(&mut self, bounds: &DataKeyReuse, length: u64) -> bool {
        let bytes = self.bytes.saturating_add(length);
        if self.records >= bounds.max_records || bytes > bounds.max_bytes || !self.is_young(bounds)
        {
            return false;
        }
        self.records += 1;
        self.bytes = bytes;
        true
    }

    /// By both clocks: the monotonic one stops while the machine sleeps, the other can be set.
    fn is_young(&self, bounds: &DataKeyReuse) -> bool {
        let (instant, wall) = self.made;
        let by_wall = wall.elapsed().is_ok_and(|age| age < bounds.max_age);
        by_wall && instant.elapsed() < bounds.max_age
    }
}

/// Most key paths whose newest version is remembered.
const MOST_PATHS: usize = 4096;

#[cfg(test)]
mod tests;
