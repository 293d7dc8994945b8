//! Requests and replies about data keys and values; also the JSON of Claviger's own API.
//!
//! The fields that name a `wire::secret_…` are all the secrets that travel.

use serde::{Deserialize, Serialize};

use crate::{
    CampaignId, EncryptionContext, EnvelopeId, KeyPath, KeyVersion, SecretBytes, SecretKey, wire,
};

/// What a ciphertext is bound to, given again to open it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The caller's encryption context.
    #[serde(default, skip_serializing_if = "EncryptionContext::is_empty")]
    pub context: EncryptionContext,
    /// The envelope a data key belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<EnvelopeId>,
}

/// A value to encrypt.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Encrypt {
    /// Under this key's primary version.
    pub key: KeyPath,
    /// The value.
    #[serde(with = "wire::secret_bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::ValueText))]
    pub plaintext: SecretBytes,
    /// Bound to this.
    #[serde(default)]
    pub binding: Binding,
}

/// What was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Encrypted {
    /// Opaque bytes; for Claviger the layout of [`Ciphertext`](crate::Ciphertext).
    #[serde(with = "wire::bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::CiphertextText))]
    pub ciphertext: Vec<u8>,
    /// The key's path.
    pub key: KeyPath,
    /// The version used.
    pub version: KeyVersion,
}

/// A ciphertext to decrypt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Decrypt {
    /// As returned; it names its key and version.
    #[serde(with = "wire::bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::CiphertextText))]
    pub ciphertext: Vec<u8>,
    /// As given when it was made.
    #[serde(default)]
    pub binding: Binding,
}

/// What was decrypted.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Decrypted {
    /// The value, or the 32 bytes of a data key.
    #[serde(with = "wire::secret_bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::ValueText))]
    pub plaintext: SecretBytes,
    /// The key's path.
    pub key: KeyPath,
    /// The version used.
    pub version: KeyVersion,
}

/// A data key to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenerateDataKey {
    /// Wrapped under this key's primary version.
    pub key: KeyPath,
    /// Bound to this.
    #[serde(default)]
    pub binding: Binding,
}

/// A data key, plain and wrapped.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataKey {
    /// The 256-bit key: use it, then drop it.
    #[serde(with = "wire::secret_key")]
    pub plaintext: SecretKey,
    /// The wrapped key: keep it beside the data.
    #[serde(flatten)]
    pub wrapped: Encrypted,
}

/// A ciphertext to move to the primary version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rewrap {
    /// As returned.
    #[serde(with = "wire::bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::CiphertextText))]
    pub ciphertext: Vec<u8>,
    /// As given when it was made; it stays bound to the same.
    #[serde(default)]
    pub binding: Binding,
    /// The open campaign this is part of: only so is a quarantined version moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rewrapped {
    /// The ciphertext under the primary version; the same bytes if it was there already.
    #[serde(with = "wire::bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::CiphertextText))]
    pub ciphertext: Vec<u8>,
    /// The key's path.
    pub key: KeyPath,
    /// The version before.
    pub from: KeyVersion,
    /// The version now.
    pub to: KeyVersion,
}
