//! From a node key to the input key of one message.
//!
//! One block of SP 800-108r1 counter mode (section 4.1) with HMAC-SHA-256, the same whether the node
//! key stands in the token or in locked memory:
//!
//! ```text
//! HMAC-SHA-256(node key, 00000001 || "claviger/1/" role || 00 || salt[24] || SHA-256(context) || 00000100)
//! ```
//!
//! Invariant: a role has one use and one fixed length of input, so no input of one role is the input
//! of another.

#![expect(clippy::disallowed_methods, reason = "computes the HMAC with a node key in memory")]

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::{KmsError, Result, SecretKey, fill_random};

/// What a derived input key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A KEK version under its parent.
    KekWrap,
    /// A data key under a KEK.
    DekWrap,
    /// The AWS external key store's wrapping.
    Xks,
    /// The known answer recorded at the ceremony.
    KnownAnswer,
    /// The record-MAC key under the root.
    RecordMac,
    /// The key of a store backup under the root.
    BackupWrap,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::KekWrap,
        Self::DekWrap,
        Self::Xks,
        Self::KnownAnswer,
        Self::RecordMac,
        Self::BackupWrap,
    ];

    /// The role's word in the derivation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KekWrap => "kek-wrap",
            Self::DekWrap => "dek-wrap",
            Self::Xks => "xks",
            Self::KnownAnswer => "known-answer",
            Self::RecordMac => "record-mac",
            Self::BackupWrap => "backup-wrap",
        }
    }
}

/// The 192-bit random salt of one message; also the salt of its ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; Salt::LENGTH]);

impl Salt {
    /// Length in bytes.
    pub const LENGTH: usize = 24;

    /// A salt from the operating system's generator, which reseeds on fork and VM clone.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
    pub fn make_random() -> Result<Self> {
        let mut bytes = [0; Self::LENGTH];
        fill_random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The salt with these bytes, as read from a ciphertext or a record.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The 24 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// The derivation of one input key, without the node key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derivation {
    role: Role,
    salt: Salt,
    context_hash: [u8; 32],
}

impl Derivation {
    /// The derivation for this role, salt and canonical context bytes.
    #[must_use]
    pub fn new(role: Role, salt: Salt, context: &[u8]) -> Self {
        Self { role, salt, context_hash: Sha256::digest(context).into() }
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The HMAC's input, 72 bytes and the length of `claviger/1/` and the role's word.
    #[must_use]
    pub fn block(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(96);
        block.extend_from_slice(&1_u32.to_be_bytes());
        block.extend_from_slice(b"claviger/1/");
        block.extend_from_slice(self.role.as_str().as_bytes());
        block.push(0);
        block.extend_from_slice(self.salt.as_bytes());
        block.extend_from_slice(&self.context_hash);
        block.extend_from_slice(&256_u32.to_be_bytes());
        block
    }

    /// HMAC-SHA-256(`node_key`, [block](Self::block)): the input key, for a node key in memory.
    ///
    /// # Errors
    /// None in practice: HMAC takes a key of any length.
    pub fn derive_from(&self, node_key: &SecretKey) -> Result<SecretKey> {
        node_key.with_bytes(|key| self.derive_from_bytes(key))
    }

    /// As [`derive_from`](Self::derive_from), for a key that lies in an arena of locked memory.
    ///
    /// # Errors
    /// None in practice: HMAC takes a key of any length.
    pub fn derive_from_bytes(&self, node_key: &[u8; SecretKey::LENGTH]) -> Result<SecretKey> {
        let mut mac = <Hmac<Sha256>>::new_from_slice(node_key)
            .map_err(|_| KmsError::invalid("HMAC refused a key of 32 bytes"))?;
        mac.update(&self.block());
        let mut output = mac.finalize().into_bytes();
        SecretKey::make_with(|key| {
            key.copy_from_slice(&output);
            zeroize::Zeroize::zeroize(output.as_mut_slice());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_as_specified() {
        let salt = Salt::from_bytes([7; 24]);
        let block = Derivation::new(Role::DekWrap, salt, b"context").block();
        assert_eq!(&block[..4], [0, 0, 0, 1]);
        assert_eq!(&block[4..24], b"claviger/1/dek-wrap\0");
        assert_eq!(&block[24..48], [7; 24]);
        assert_eq!(&block[48..80], Sha256::digest(b"context").as_slice());
        assert_eq!(&block[80..], [0, 0, 1, 0]);
    }

    #[test]
    fn role_salt_and_context_each_change_the_key() {
        let node = SecretKey::make_random().unwrap();
        let key = |role, salt: u8, context: &[u8]| {
            Derivation::new(role, Salt::from_bytes([salt; 24]), context).derive_from(&node).unwrap()
        };
        let base = key(Role::DekWrap, 1, b"c");
        assert!(base.is_same_as(&key(Role::DekWrap, 1, b"c")));
        assert!(!base.is_same_as(&key(Role::KekWrap, 1, b"c")));
        assert!(!base.is_same_as(&key(Role::DekWrap, 2, b"c")));
        assert!(!base.is_same_as(&key(Role::DekWrap, 1, b"d")));
    }
}
