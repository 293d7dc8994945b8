//! The seam between the service and the token.
//!
//! Everything the service asks of a token is one of the typed questions below, so that the process
//! that maps the vendor's module can move behind a socket without changing a caller. No question
//! returns root material, and none wraps, unwraps, encrypts or decrypts.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use claviger_kms::{Derivation, KmsError, SecretBytes, SecretKey, fill_random};
use serde::{Deserialize, Serialize};

use crate::{TokenError, TokenReport};

/// A PKCS#11 token, logged in.
///
/// # Errors
/// Every question fails with a [`TokenError`]; none is repeated by itself unless the error says so.
#[async_trait]
pub trait Token: Send + Sync + fmt::Debug {
    /// HMAC-SHA-256 of the derivation's block under the object: the input key of one message.
    async fn derive(
        &self,
        object: ObjectId,
        derivation: &Derivation,
    ) -> Result<SecretKey, TokenError>;

    /// ECDSA P-256 over SHA-256 of a checkpoint's text (C2SP tlog-checkpoint): `r || s`, 64 bytes.
    async fn sign_checkpoint(&self, object: ObjectId, text: &str) -> Result<[u8; 64], TokenError>;

    /// `length` bytes (at most 1,024) from the token's generator.
    async fn random(&self, length: usize) -> Result<SecretBytes, TokenError>;

    /// Makes a key object with a random id, reads its attributes back and tries what must be refused.
    async fn make_object(&self, kind: ObjectKind) -> Result<ObjectReport, TokenError>;

    /// Finds exactly one object with this id and reads its attributes back.
    async fn inspect_object(
        &self,
        kind: ObjectKind,
        object: ObjectId,
    ) -> Result<ObjectReport, TokenError>;

    /// Destroys the object with this id (and the public half of a signing key).
    async fn destroy_object(&self, kind: ObjectKind, object: ObjectId) -> Result<(), TokenError>;

    /// What this token can do, tried now with throw-away objects.
    async fn report(&self) -> Result<TokenReport, TokenError>;

    /// A person says that a refused PIN was put right: one login may be tried again. A PIN that was refused
    /// before is not sent again.
    async fn forget_pin_refusal(&self);

    /// Whether the token answers now: a few random bytes are asked for.
    async fn check(&self) -> Result<(), TokenError> {
        self.random(16).await.map(drop)
    }
}

/// What a key object in the token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ObjectKind {
    /// A root key or token-level KEK: a generic secret of 32 bytes that may only sign (HMAC).
    Derivation,
    /// The audit signing key: ECDSA P-256.
    CheckpointSigning,
}

/// The `CKA_ID` of a key object: 16 random bytes, shown in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId([u8; ObjectId::LENGTH]);

impl ObjectId {
    /// Length in bytes.
    pub const LENGTH: usize = 16;

    /// A random id.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the operating system gives no random bytes.
    pub fn make_random() -> Result<Self, KmsError> {
        let mut bytes = [0; Self::LENGTH];
        fill_random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl FromStr for ObjectId {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        let refused = || KmsError::invalid("a token object id is 32 lower-case hexadecimal digits");
        let plain = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() != 2 * Self::LENGTH || !text.chars().all(plain) {
            return Err(refused());
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| refused())
    }
}

impl TryFrom<String> for ObjectId {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What was read back of one key object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectReport {
    /// Its id.
    pub id: ObjectId,
    /// What it is for.
    pub kind: ObjectKind,
    /// Uncompressed SEC1 point (65 bytes) of a signing key, in hexadecimal.
    pub public_key: Option<String>,
    /// Whether the module took `CKA_COPYABLE = false`.
    pub copy_refused_by_attribute: bool,
    /// Whether the module took `CKA_ALLOWED_MECHANISMS`.
    pub mechanisms_restricted: bool,
    /// What the operator should know; empty when everything holds.
    pub warnings: Vec<String>,
}
