//! The encryption context: a small map of text that is bound into a ciphertext and must be given
//! again, the same, to open it.
//!
//! Invariant: one context has one canonical encoding (sorted by key bytes, length-prefixed), so equal
//! maps bind equally whatever their order on the wire, and duplicates are refused rather than merged.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};

use crate::{Canonical, KmsError};

/// A map of text bound into a ciphertext. It is not secret and appears, hashed, in the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// Most entries.
    pub const MAX_ENTRIES: usize = 32;
    /// Most bytes of one key.
    pub const MAX_KEY: usize = 128;
    /// Most bytes of one value.
    pub const MAX_VALUE: usize = 1024;
    /// Most bytes of all keys and values together.
    pub const MAX_TOTAL: usize = 8 * 1024;

    /// The empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The context of these pairs.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] on a duplicate key, an empty key, or a limit exceeded.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, KmsError> {
        let mut context = Self::new();
        for (key, value) in pairs {
            context.insert(key.into(), value.into())?;
        }
        Ok(context)
    }

    /// The value of an entry.
    #[must_use]
    pub fn value_of(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The entries, sorted by key.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The canonical bytes: label, number of entries, then key and value of each, sorted by key.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0
            .iter()
            .fold(Canonical::new("claviger/1/encryption-context").u32(count), |c, (key, value)| {
                c.text(key).text(value)
            })
            .finish()
    }

    fn insert(&mut self, key: String, value: String) -> Result<(), KmsError> {
        if key.is_empty() || key.len() > Self::MAX_KEY || key.chars().any(char::is_control) {
            return Err(KmsError::invalid(format!(
                "a key of the encryption context has {} bytes; 1 to {} without control characters are allowed",
                key.len(),
                Self::MAX_KEY
            )));
        }
        if value.len() > Self::MAX_VALUE {
            return Err(KmsError::invalid(format!(
                "the encryption context's value of {key:?} has {} bytes; at most {} are allowed",
                value.len(),
                Self::MAX_VALUE
            )));
        }
        if self.0.contains_key(&key) {
            return Err(KmsError::invalid(format!("the encryption context names {key:?} twice")));
        }
        self.0.insert(key, value);
        let total: usize = self.0.iter().map(|(k, v)| k.len() + v.len()).sum();
        if self.0.len() > Self::MAX_ENTRIES || total > Self::MAX_TOTAL {
            return Err(KmsError::invalid(format!(
                "the encryption context is too large; at most {} entries and {} bytes are allowed",
                Self::MAX_ENTRIES,
                Self::MAX_TOTAL
            )));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for EncryptionContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = EncryptionContext;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of text to text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut context = EncryptionContext::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    context.insert(key, value).map_err(A::Error::custom)?;
                }
                Ok(context)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_on_the_wire_does_not_matter() {
        let a: EncryptionContext = serde_json::from_str(r#"{"a":"1","b":"2"}"#).unwrap();
        let b: EncryptionContext = serde_json::from_str(r#"{"b":"2","a":"1"}"#).unwrap();
        assert_eq!(a.canonical_bytes(), b.canonical_bytes());
    }

    #[test]
    fn refuses_duplicates_empty_keys_and_other_types() {
        for bad in [
            r#"{"a":"1","a":"1"}"#,
            r#"{"":"1"}"#,
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            r#"["a"]"#,
            r#"{"a\u0000":"1"}"#,
        ] {
            assert!(serde_json::from_str::<EncryptionContext>(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn refuses_what_is_too_large() {
        let many = (0..33).map(|i| (i.to_string(), ""));
        assert!(EncryptionContext::from_pairs(many).is_err());
        assert!(EncryptionContext::from_pairs([("a", "x".repeat(1025))]).is_err());
        let heavy = (0..9).map(|i| (i.to_string(), "x".repeat(1024)));
        assert!(EncryptionContext::from_pairs(heavy).is_err());
    }

    #[test]
    fn moving_text_between_key_and_value_changes_the_bytes() {
        let one = EncryptionContext::from_pairs([("ab", "c")]).unwrap();
        let other = EncryptionContext::from_pairs([("a", "bc")]).unwrap();
        assert_ne!(one.canonical_bytes(), other.canonical_bytes());
        assert_ne!(EncryptionContext::new().canonical_bytes(), one.canonical_bytes());
    }
}
