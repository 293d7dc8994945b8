//! The cache of unwrapped KEKs.
//!
//! Invariants: plain KEKs of the tree lie nowhere else; never more than the capacity, never longer than
//! the time to live, counted on a clock that goes on while the machine sleeps; what leaves is wiped.

#![expect(clippy::disallowed_methods, reason = "moves an unwrapped KEK into locked memory")]

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use claviger_kms::{KeyId, KeyVersion, SecretKey};

use crate::{arena::Arena, clock};

/// Bounded, expiring, in locked memory.
#[derive(Debug)]
pub(crate) struct KekCache {
    inner: Mutex<Inner>,
    time_to_live: Duration,
}

#[derive(Debug)]
struct Inner {
    arena: Arena,
    entries: HashMap<(KeyId, KeyVersion), Entry>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    slot: usize,
    expires: Duration,
    last_used: Duration,
}

impl KekCache {
    pub(crate) fn new(arena: Arena, time_to_live: Duration) -> Self {
        let free = (0..arena.slots()).rev().collect();
        Self { inner: Mutex::new(Inner { arena, entries: HashMap::new(), free }), time_to_live }
    }

    /// Looks at a cached key, or returns `None`.
    pub(crate) fn with<R>(
        &self,
        id: KeyId,
        version: KeyVersion,
        look: impl FnOnce(&[u8; SecretKey::LENGTH]) -> R,
    ) -> Option<R> {
        let now = clock::since_boot();
        let mut inner = self.lock();
        let Inner { arena, entries, .. } = &mut *inner;
        let entry = entries.get_mut(&(id, version))?;
        if entry.expires <= now {
            inner.remove(id, version);
            return None;
        }
        entry.last_used = now;
        Some(arena.read(entry.slot, look))
    }

    /// Takes a key in, wiping the original and, if there is no room, the key longest unused.
    pub(crate) fn insert(&self, id: KeyId, version: KeyVersion, key: SecretKey) {
        let now = clock::since_boot();
        let mut inner = self.lock();
        inner.remove(id, version);
        if inner.free.is_empty() {
            inner.remove_expired(now);
        }
        if inner.free.is_empty() {
            let oldest = inner.entries.iter().min_by_key(|(_, entry)| entry.last_used);
            if let Some((&(old_id, old_version), _)) = oldest {
                inner.remove(old_id, old_version);
            }
        }
        let Some(slot) = inner.free.pop() else { return };
        key.with_bytes(|bytes| inner.arena.write(slot, |place| place.copy_from_slice(bytes)));
        let entry = Entry { slot, expires: now + self.time_to_live, last_used: now };
        inner.entries.insert((id, version), entry);
    }

    /// Wipes a version, if it is here.
    pub(crate) fn forget(&self, id: KeyId, version: KeyVersion) {
        self.lock().remove(id, version);
    }

    /// Wipes what has expired; called now and then so that unused keys do not linger.
    pub(crate) fn sweep(&self) {
        self.lock().remove_expired(clock::since_boot());
    }

    /// Wipes everything.
    pub(crate) fn clear(&self) {
        self.lock().remove_expired(Duration::MAX);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held leaves the map and the arena consistent: both are changed by
        // single steps that do not panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, id: KeyId, version: KeyVersion) {
        if let Some(entry) = self.entries.remove(&(id, version)) {
            self.arena.wipe(entry.slot);
            self.free.push(entry.slot);
        }
    }

    fn remove_expired(&mut self, now: Duration) {
        let expired: Vec<_> =
            self.entries.iter().filter(|(_, e)| e.expires <= now).map(|(key, _)| *key).collect();
        for (id, version) in expired {
            self.remove(id, version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(slots: usize, time_to_live: Duration) -> KekCache {
        KekCache::new(Arena::map(slots).unwrap(), time_to_live)
    }

    fn id(n: u8) -> KeyId {
        KeyId::from_bytes([n; 16])
    }

    fn key(n: u8) -> SecretKey {
        SecretKey::make_with(|k| {
            k.fill(n);
            Ok::<_, ()>(())
        })
        .unwrap()
    }

    #[test]
    fn the_key_longest_unused_makes_room() {
        let cache = cache(2, Duration::from_secs(60));
        cache.insert(id(1), KeyVersion::FIRST, key(1));
        cache.insert(id(2), KeyVersion::FIRST, key(2));
        assert_eq!(cache.with(id(1), KeyVersion::FIRST, |k| k[0]), Some(1));
        cache.insert(id(3), KeyVersion::FIRST, key(3));
        assert_eq!(cache.with(id(2), KeyVersion::FIRST, |k| k[0]), None);
        assert_eq!(cache.with(id(1), KeyVersion::FIRST, |k| k[0]), Some(1));
        assert_eq!(cache.with(id(3), KeyVersion::FIRST, |k| k[0]), Some(3));
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn an_expired_key_is_gone_and_its_slot_wiped() {
        let cache = cache(1, Duration::ZERO);
        cache.insert(id(1), KeyVersion::FIRST, key(1));
        assert_eq!(cache.with(id(1), KeyVersion::FIRST, |k| k[0]), None);
        assert_eq!(cache.lock().arena.read(0, |k| *k), [0; 32]);
    }

    #[test]
    fn a_forgotten_key_is_wiped() {
        let cache = cache(1, Duration::from_secs(60));
        cache.insert(id(1), KeyVersion::FIRST, key(9));
        cache.forget(id(1), KeyVersion::FIRST);
        assert_eq!(cache.lock().arena.read(0, |k| *k), [0; 32]);
        assert_eq!(cache.len(), 0);
    }
}
