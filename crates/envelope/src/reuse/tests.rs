use claviger_kms::{Ciphertext, EnvelopeId, SecretKey};

use super::*;
use crate::{EnvelopeKind, Provider, Wrap};

fn key() -> KeyPath {
    "eu/pay".parse().unwrap()
}

fn seen(key_id: u8, version: u32) -> Seen {
    let version = KeyVersion::new(version).unwrap();
    Seen { key: key(), id: Some(KeyId::from_bytes([key_id; 16])), version }
}

fn sealing(key: u8, version: u32) -> Arc<Sealing> {
    let version = KeyVersion::new(version).unwrap();
    let wrapped = Ciphertext::of_data_key(KeyId::from_bytes([key; 16]), version, [2; 104]);
    let wrap = Wrap::new(Provider::CLAVIGER, wrapped.to_bytes()).unwrap();
    let envelope = EnvelopeId::make_random().unwrap();
    let header = Header::new(EnvelopeKind::Record, envelope, vec![wrap]).unwrap();
    let data_key = SecretKey::make_random().unwrap();
    let payload_key = PayloadKey::released(&header, &EncryptionContext::new(), data_key);
    Arc::new(Sealing { header, payload_key })
}

fn row(row: &str) -> EncryptionContext {
    EncryptionContext::from_pairs([("row", row)]).unwrap()
}

/// A cache that holds a data key of key 1, version 1, for row 1, with one record of 10 bytes.
fn cache(bounds: DataKeyReuse) -> ReuseCache {
    let cache = ReuseCache::new(bounds).unwrap();
    let round = cache.take(&key(), &row("1"), 10).unwrap_err();
    cache.put(round, &row("1"), &seen(1, 1), 10, &sealing(1, 1));
    cache
}

fn holds(cache: &ReuseCache, context: &str, length: u64) -> bool {
    cache.take(&key(), &row(context), length).is_ok()
}

#[test]
fn serves_the_same_key_and_context_only() {
    let cache = cache(DataKeyReuse::default());
    assert!(holds(&cache, "1", 10));
    assert!(!holds(&cache, "2", 10));
    let other: KeyPath = "eu/mail".parse().unwrap();
    assert!(cache.take(&other, &row("1"), 10).is_err());
}

#[test]
fn stops_at_the_count() {
    let cache = cache(DataKeyReuse { max_records: 3, ..DataKeyReuse::default() });
    assert!(holds(&cache, "1", 0) && holds(&cache, "1", 0));
    assert!(!holds(&cache, "1", 0));
}

#[test]
fn stops_at_the_bytes_and_does_not_overflow() {
    let bounds = DataKeyReuse { max_bytes: 20, ..DataKeyReuse::default() };
    assert!(holds(&cache(bounds.clone()), "1", 10));
    assert!(!holds(&cache(bounds.clone()), "1", 11));
    assert!(!holds(&cache(bounds), "1", u64::MAX));
}

#[test]
fn stops_at_the_age() {
    let cache = cache(DataKeyReuse { max_age: Duration::from_millis(40), ..Default::default() });
    assert!(holds(&cache, "1", 0));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!holds(&cache, "1", 0));
}

#[test]
fn a_newer_version_or_another_key_at_the_path_ends_it() {
    for (key, version) in [(1, 2), (9, 1)] {
        let cache = cache(DataKeyReuse::default());
        cache.note(&seen(1, 1));
        assert!(holds(&cache, "1", 0));
        cache.note(&seen(key, version));
        assert!(!holds(&cache, "1", 0), "key {key}, version {version}");
    }
}

#[test]
fn an_older_version_seen_when_opening_ends_nothing() {
    let cache = ReuseCache::new(DataKeyReuse::default()).unwrap();
    let round = cache.take(&key(), &row("1"), 0).unwrap_err();
    cache.note(&seen(1, 2));
    cache.put(round, &row("1"), &seen(1, 2), 0, &sealing(1, 2));
    cache.note(&seen(1, 1));
    assert!(holds(&cache, "1", 0));
}

#[test]
fn a_data_key_overtaken_by_a_rotation_or_a_flush_is_not_kept() {
    let cache = ReuseCache::new(DataKeyReuse::default()).unwrap();
    let round = cache.take(&key(), &row("1"), 0).unwrap_err();
    cache.note(&seen(1, 2));
    cache.put(round, &row("1"), &seen(1, 1), 0, &sealing(1, 1));
    assert!(!holds(&cache, "1", 0));

    let round = cache.take(&key(), &row("1"), 0).unwrap_err();
    cache.flush();
    cache.put(round, &row("1"), &seen(1, 2), 0, &sealing(1, 2));
    assert!(!holds(&cache, "1", 0));
}

#[test]
fn a_flush_forgets_everything() {
    let cache = cache(DataKeyReuse::default());
    cache.flush();
    assert!(!holds(&cache, "1", 0));
}

#[test]
fn holds_no_more_than_it_may() {
    let cache = ReuseCache::new(DataKeyReuse { max_held: 2, ..Default::default() }).unwrap();
    for context in ["1", "2", "3"] {
        let round = cache.take(&key(), &row(context), 0).unwrap_err();
        cache.put(round, &row(context), &seen(1, 1), 0, &sealing(1, 1));
    }
    assert!(!holds(&cache, "1", 0));
    assert!(holds(&cache, "2", 0) && holds(&cache, "3", 0));
}

#[test]
fn refuses_bounds_that_are_none() {
    let day = Duration::from_secs(86_400);
    for bad in [
        DataKeyReuse { max_age: day, ..Default::default() },
        DataKeyReuse { max_bytes: u64::MAX, ..Default::default() },
        DataKeyReuse { max_held: 5000, ..Default::default() },
    ] {
        assert!(ReuseCache::new(bad).is_err());
    }
}
