//! The ciphertext a Claviger service returns: a wrapped data key, or a small value under one.
//!
//! | offset | bytes | is |
//! |---|---|---|
//! | 0 | 1 | format, 1 |
//! | 1 | 1 | kind: 1 = data key, 2 = value |
//! | 2 | 16 | key id |
//! | 18 | 4 | key version, big-endian |
//! | 22 | 104 | the data key, wrapped (C2SP chunked-encryption message of 32 bytes) |
//! | 126 | rest | kind 2 only: the value, sealed under that data key |
//!
//! Invariant: reading these fields needs no key, and trusting them needs one: id and version are bound
//! into the wrapped key. The format byte is for ever: a shipped format keeps opening.

use std::fmt;

use crate::{KeyId, KeyVersion, KmsError};

/// What a ciphertext holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CiphertextKind {
    /// A wrapped 256-bit data key.
    DataKey,
    /// A value of up to [`Ciphertext::MAX_VALUE`] bytes, sealed under a data key of its own.
    Value,
}

/// A parsed ciphertext. Parsing checks lengths and numbers, not authenticity.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext {
    kind: CiphertextKind,
    key_id: KeyId,
    version: KeyVersion,
    wrapped_key: [u8; Ciphertext::WRAPPED_KEY],
    sealed_value: Vec<u8>,
}

impl Ciphertext {
    /// The format written now.
    pub const FORMAT: u8 = 1;
    /// Bytes of a wrapped data key: salt 24, commitment 32, key 32, tag 16.
    pub const WRAPPED_KEY: usize = 104;
    /// Bytes before the wrapped key.
    pub const HEADER: usize = 22;
    /// Bytes of a whole ciphertext of kind data key.
    pub const DATA_KEY_LENGTH: usize = Self::HEADER + Self::WRAPPED_KEY;
    /// Most bytes of a value the service itself encrypts; anything larger belongs in an envelope.
    pub const MAX_VALUE: usize = 4096;
    /// What sealing a value of at most [`MAX_VALUE`](Self::MAX_VALUE) bytes adds.
    pub const VALUE_OVERHEAD: usize = 72;
    /// Most bytes of any ciphertext.
    pub const MAX_LENGTH: usize = Self::DATA_KEY_LENGTH + Self::MAX_VALUE + Self::VALUE_OVERHEAD;

    /// The ciphertext of a wrapped data key.
    #[must_use]
    pub fn of_data_key(id: KeyId, version: KeyVersion, wrapped: [u8; Self::WRAPPED_KEY]) -> Self {
        Self {
            kind: CiphertextKind::DataKey,
            key_id: id,
            version,
            wrapped_key: wrapped,
            sealed_value: Vec::new(),
        }
    }

    /// The ciphertext of a value sealed under a wrapped data key.
    #[must_use]
    pub fn of_value(
        id: KeyId,
        version: KeyVersion,
        wrapped: [u8; Self::WRAPPED_KEY],
        sealed_value: Vec<u8>,
    ) -> Self {
        Self {
            kind: CiphertextKind::Value,
            sealed_value,
            ..Self::of_data_key(id, version, wrapped)
        }
    }

    /// The same content under another version of the key: what a rewrap returns.
    #[must_use]
    pub fn rewrapped(self, version: KeyVersion, wrapped_key: [u8; Self::WRAPPED_KEY]) -> Self {
        Self { version, wrapped_key, ..self }
    }

    /// Reads the layout above.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] on an unknown format or kind, a wrong length or version 0.
    pub fn parse(bytes: &[u8]) -> Result<Self, KmsError> {
        let invalid = |what: &str| KmsError::invalid(format!("the ciphertext {what}"));
        match bytes.first() {
            None => return Err(invalid("is empty")),
            Some(&Self::FORMAT) => {}
            Some(other) => {
                return Err(invalid(&format!(
                    "has format {other}; this release reads format {}",
                    Self::FORMAT
                )));
            }
        }
        let (header, rest) = bytes
            .split_first_chunk::<{ Self::HEADER }>()
            .ok_or_else(|| invalid("is shorter than its header"))?;
        let (wrapped, sealed) = rest
            .split_first_chunk::<{ Self::WRAPPED_KEY }>()
            .ok_or_else(|| invalid("ends inside its wrapped key"))?;
        let [_, kind, fields @ ..] = header;
        let (id, number) =
            fields.split_first_chunk::<{ KeyId::LENGTH }>().ok_or_else(|| invalid("has no id"))?;
        let number = <[u8; 4]>::try_from(number).map_err(|_| invalid("has no version"))?;
        let version = KeyVersion::new(u32::from_be_bytes(number))
            .ok_or_else(|| invalid("names key version 0, which does not exist"))?;
        let kind = match (kind, sealed.len()) {
            (1, 0) => CiphertextKind::DataKey,
            (1, _) => return Err(invalid("has bytes after its wrapped key")),
            (2, length) => {
                let most = Self::MAX_VALUE + Self::VALUE_OVERHEAD;
                if !(Self::VALUE_OVERHEAD..=most).contains(&length) {
                    return Err(invalid(&format!(
                        "holds a sealed value of {length} bytes; {} to {most} are possible",
                        Self::VALUE_OVERHEAD
                    )));
                }
                CiphertextKind::Value
            }
            (other, _) => return Err(invalid(&format!("has the unknown kind {other}"))),
        };
        Ok(Self {
            kind,
            key_id: KeyId::from_bytes(*id),
            version,
            wrapped_key: *wrapped,
            sealed_value: sealed.to_vec(),
        })
    }

    /// Writes the layout above.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.kind {
            CiphertextKind::DataKey => 1,
            CiphertextKind::Value => 2,
        };
        let mut bytes = Vec::with_capacity(Self::DATA_KEY_LENGTH + self.sealed_value.len());
        bytes.extend_from_slice(&[Self::FORMAT, kind]);
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes.extend_from_slice(&self.version.number().to_be_bytes());
        bytes.extend_from_slice(&self.wrapped_key);
        bytes.extend_from_slice(&self.sealed_value);
        bytes
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> CiphertextKind {
        self.kind
    }

    /// The key it claims to be under.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The version it claims to be under.
    #[must_use]
    pub fn version(&self) -> KeyVersion {
        self.version
    }

    /// The wrapped data key.
    #[must_use]
    pub fn wrapped_key(&self) -> &[u8; Self::WRAPPED_KEY] {
        &self.wrapped_key
    }

    /// The sealed value; empty for a data key.
    #[must_use]
    pub fn sealed_value(&self) -> &[u8] {
        &self.sealed_value
    }
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphertext")
            .field("kind", &self.kind)
            .field("key_id", &self.key_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> Ciphertext {
        let id = KeyId::from_bytes([9; 16]);
        Ciphertext::of_value(id, KeyVersion::FIRST, [5; 104], vec![6; 72])
    }

    #[test]
    fn both_kinds_survive_a_round_trip() {
        let key = Ciphertext::of_data_key(KeyId::from_bytes([9; 16]), KeyVersion::FIRST, [5; 104]);
        assert_eq!(key.to_bytes().len(), 126);
        assert_eq!(Ciphertext::parse(&key.to_bytes()).unwrap(), key);
        assert_eq!(Ciphertext::parse(&value().to_bytes()).unwrap(), value());
    }

    #[test]
    fn refuses_every_truncation() {
        let bytes = value().to_bytes();
        for length in 0..bytes.len() {
            assert!(Ciphertext::parse(&bytes[..length]).is_err(), "{length} bytes were taken");
        }
    }

    #[test]
    fn refuses_other_formats_kinds_versions_and_lengths() {
        let with = |at: usize, byte: u8| {
            let mut bytes = value().to_bytes();
            bytes[at] = byte;
            bytes
        };
        for bad in [with(0, 0), with(0, 2), with(1, 0), with(1, 1), with(1, 3), with(21, 0)] {
            assert!(Ciphertext::parse(&bad).is_err());
        }
        let mut long = value().to_bytes();
        long.resize(Ciphertext::MAX_LENGTH + 1, 0);
        assert!(Ciphertext::parse(&long).is_err());
    }
}
