//! The record-MAC key: pinned in locked memory from start to exit, never expiring.
//!
//! Invariant: no record, head or root facts are believed before their MAC was checked, in constant
//! time. From this key also come, each with its own label, the fingerprints that tell key materials
//! apart and the key of the audit log's hashes.

#![expect(
    clippy::disallowed_methods,
    reason = "keeps the record-MAC key and fingerprints new KEKs"
)]

use claviger_keystore::{StoredHead, StoredRecord};
use claviger_kms::{Canonical, SecretKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{OpenError, arena::Arena};

/// Makes and checks MACs with one version of the record-MAC key.
#[derive(Debug)]
pub(crate) struct RecordMac {
    arena: Arena,
    number: u32,
}

impl RecordMac {
    pub(crate) fn pin(key: SecretKey, number: u32) -> Result<Self, OpenError> {
        let mut arena = Arena::map(1).map_err(|source| OpenError::Memory { source })?;
        key.with_bytes(|bytes| arena.write(0, |slot| slot.copy_from_slice(bytes)));
        Ok(Self { arena, number })
    }

    /// The key's number, written beside each MAC.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn protection(&self) -> crate::MemoryProtection {
        self.arena.protection()
    }

    pub(crate) fn sign_record(&self, record: &mut StoredRecord) {
        record.mac_key = self.number;
        record.mac = self.mac(&record.canonical_bytes());
    }

    pub(crate) fn record_is_genuine(&self, record: &StoredRecord) -> bool {
        record.mac_key == self.number && self.matches(&record.canonical_bytes(), &record.mac)
    }

    pub(crate) fn sign_head(&self, head: &mut StoredHead) {
        head.mac_key = self.number;
        head.mac = self.mac(&head.canonical_bytes());
    }

    pub(crate) fn head_is_genuine(&self, head: &StoredHead) -> bool {
        head.mac_key == self.number && self.matches(&head.canonical_bytes(), &head.mac)
    }

    /// The MAC of the root facts' text.
    pub(crate) fn of_facts(&self, text: &str) -> [u8; 32] {
        self.mac(&Canonical::new("claviger/1/root-facts").u32(self.number).text(text).finish())
    }

    pub(crate) fn facts_are_genuine(&self, text: &str, mac: &[u8]) -> bool {
        self.of_facts(text).ct_eq(mac).into()
    }

    /// The MAC of a document beside the records.
    pub(crate) fn of_document(&self, name: &str, text: &str) -> [u8; 32] {
        let label = Canonical::new("claviger/1/document").u32(self.number);
        self.mac(&label.text(name).text(text).finish())
    }

    pub(crate) fn document_is_genuine(&self, name: &str, text: &str, mac: &[u8]) -> bool {
        self.of_document(name, text).ct_eq(mac).into()
    }

    /// 16 hexadecimal digits that tell key materials apart: nobody without this key can test a guess.
    pub(crate) fn fingerprint(&self, key: &SecretKey) -> String {
        let mac = key.with_bytes(|bytes| {
            self.keyed(|mac| {
                mac.update(&Canonical::new("claviger/1/fingerprint").finish());
                mac.update(bytes);
            })
        });
        hex::encode(mac.first_chunk::<8>().unwrap_or(&[0; 8]))
    }

    /// A key of its own for the audit log's keyed hashes.
    pub(crate) fn audit_hash_key(&self) -> SecretKey {
        let mut derived = self.mac(&Canonical::new("claviger/1/audit-hash").finish());
        let key = SecretKey::make_with(|place| {
            place.copy_from_slice(&derived);
            Ok::<_, std::convert::Infallible>(())
        });
        zeroize::Zeroize::zeroize(&mut derived);
        match key {
            Ok(key) => key,
            Err(never) => match never {},
        }
    }

    /// Hash of a principal and its idempotency key, as kept in the records it made.
    pub(crate) fn request_tag(&self, principal: &str, operation: &str, key: &str) -> String {
        let text =
            Canonical::new("claviger/1/request").text(principal).text(operation).text(key).finish();
        hex::encode(self.mac(&text))
    }

    fn matches(&self, bytes: &[u8], mac: &[u8; 32]) -> bool {
        self.mac(bytes).ct_eq(mac).into()
    }

    fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        self.keyed(|mac| mac.update(bytes))
    }

    fn keyed(&self, feed: impl FnOnce(&mut Hmac<Sha256>)) -> [u8; 32] {
        self.arena.read(0, |key| {
            // HMAC takes a key of any length, so this cannot fail; were it to, no MAC would match.
            let Ok(mut mac) = <Hmac<Sha256>>::new_from_slice(key) else { return [0; 32] };
            feed(&mut mac);
            mac.finalize().into_bytes().into()
        })
    }
}

/// SHA-256 of a stored record, as it stands in audit records of state changes.
pub(crate) fn record_hash(record: &StoredRecord) -> [u8; 32] {
    Sha256::digest(record.canonical_bytes()).into()
}
