//! Hashes of values that a reader of the log could guess: keyed, so that guessing needs the key.
//!
//! An encryption context (`table=users, row=17`) and an envelope are not secret, yet a plain hash of
//! them would let anyone with the log test guesses. HMAC-SHA-256 cut to 128 bits, with the version
//! of its key beside it, still lets an auditor who has the key find all uses of one value.

#![expect(clippy::disallowed_methods, reason = "computes the HMAC with the audit log's hash key")]

use std::{fmt, str::FromStr};

use claviger_kms::{Canonical, KeyVersion, KmsError, SecretKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The keyed hash of a value, with the version of the key: `1:6f2c0a1e5d3b4c8f9a7e1b2c3d4e5f60`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyedHash {
    key_version: KeyVersion,
    hash: [u8; KeyedHash::LENGTH],
}

impl KeyedHash {
    /// Length of the hash in bytes.
    pub const LENGTH: usize = 16;

    /// The version of the key it was computed with.
    #[must_use]
    pub fn key_version(&self) -> KeyVersion {
        self.key_version
    }
}

/// Computes keyed hashes with one version of the log's hash key.
pub struct KeyedHasher {
    key: SecretKey,
    version: KeyVersion,
}

impl KeyedHasher {
    /// A hasher with this key, which is used for nothing else.
    #[must_use]
    pub fn new(key: SecretKey, version: KeyVersion) -> Self {
        Self { key, version }
    }

    /// HMAC-SHA-256(key, canonical(`claviger/1/audit-hash`, `label`, `bytes`)), its first 16 bytes.
    /// The label says what is hashed (`context`, `envelope`): equal bytes of two kinds differ.
    ///
    /// # Errors
    /// None in practice: HMAC takes a key of any length.
    pub fn hash(&self, label: &str, bytes: &[u8]) -> Result<KeyedHash, KmsError> {
        let message = Canonical::new("claviger/1/audit-hash").text(label).bytes(bytes).finish();
        let mut mac = self
            .key
            .with_bytes(|key| <Hmac<Sha256>>::new_from_slice(key))
            .map_err(|_| KmsError::invalid("HMAC refused a key of 32 bytes"))?;
        mac.update(&message);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut hash = [0; KeyedHash::LENGTH];
        for (to, from) in hash.iter_mut().zip(full) {
            *to = from;
        }
        Ok(KeyedHash { key_version: self.version, hash })
    }
}

impl fmt::Debug for KeyedHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedHasher(key version {})", self.version)
    }
}

impl fmt::Display for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key_version, hex::encode(self.hash))
    }
}

impl FromStr for KeyedHash {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        let refused = || KmsError::invalid("a keyed hash is a key version, a colon and 32 digits");
        let (version, digits) = text.split_once(':').ok_or_else(refused)?;
        let mut hash = [0; Self::LENGTH];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| refused())?;
        let parsed = Self { key_version: version.parse()?, hash };
        if parsed.to_string() == text { Ok(parsed) } else { Err(refused()) }
    }
}

impl TryFrom<String> for KeyedHash {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<KeyedHash> for String {
    fn from(hash: KeyedHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use claviger_kms::EncryptionContext;

    use super::*;

    fn hasher(byte: u8, version: u32) -> KeyedHasher {
        let key = SecretKey::make_with(|key| {
            key.fill(byte);
            Ok::<_, KmsError>(())
        });
        KeyedHasher::new(key.unwrap(), KeyVersion::new(version).unwrap())
    }

    #[test]
    fn the_same_context_under_another_key_has_another_hash() {
        let context = EncryptionContext::from_pairs([("table", "users")]).unwrap();
        let bytes = context.canonical_bytes();
        let one = hasher(1, 1).hash("context", &bytes).unwrap();
        assert_eq!(one, hasher(1, 1).hash("context", &bytes).unwrap());
        assert_ne!(one.hash, hasher(2, 1).hash("context", &bytes).unwrap().hash);
        assert_ne!(one.hash, hasher(1, 1).hash("envelope", &bytes).unwrap().hash);
        assert_eq!(hasher(1, 7).hash("context", &bytes).unwrap().key_version().number(), 7);
    }

    #[test]
    fn moving_a_byte_between_label_and_value_changes_the_hash() {
        let hasher = hasher(1, 1);
        assert_ne!(hasher.hash("a", b"bc").unwrap(), hasher.hash("ab", b"c").unwrap());
    }

    #[test]
    fn has_one_spelling_and_refuses_others() {
        let hash = hasher(1, 1).hash("context", b"").unwrap();
        let text = hash.to_string();
        assert_eq!(text.parse(), Ok(hash));
        for bad in
            [&text.to_uppercase(), &text[2..], &format!("0{text}"), &text.replace("1:", "0:")]
        {
            let same = *bad == text;
            assert!(same || bad.parse::<KeyedHash>().is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", hasher(0xAB, 3)), "KeyedHasher(key version 3)");
    }
}
