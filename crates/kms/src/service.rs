//! The trait every key service is used through, whether in this process, over the wire, or another
//! vendor's; and its requests and replies, which are also the JSON of Claviger's own API.
//!
//! Batches: every operation on data has a form that takes many items and answers each by itself, in
//! order. The provided form loops; a service that can do better overrides it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    EncryptionContext, EnvelopeId, IdempotencyKey, KeyId, KeyPath, KeyState, KeyVersion, KmsError,
    Protection, Purpose, Result, SecretBytes, SecretKey, VersionState, wire,
};

/// A key service.
///
/// # Errors
/// Every method fails with the kinds of [`KmsError`]; a kind means the same in every implementation,
/// and the conformance suite in `claviger-testkit` holds implementations to it.
#[async_trait]
pub trait KeyManagementService: Send + Sync {
    /// What this service can do.
    fn capabilities(&self) -> Capabilities;

    /// Makes a key with its first version, already primary. Repeating a request with the same
    /// idempotency key returns the key made the first time.
    async fn create_key(&self, request: CreateKey) -> Result<KeyMetadata>;
    /// The key and its versions.
    async fn describe_key(&self, key: &KeyPath) -> Result<KeyMetadata>;
    /// Keys the caller may see, by path, a page at a time.
    async fn list_keys(&self, request: ListKeys) -> Result<KeyPage>;

    /// Makes a further version, pending: it wraps nothing until it is set primary.
    async fn create_version(&self, request: CreateVersion) -> Result<KeyMetadata>;
    /// Promotes a pending version; the former primary becomes enabled. Setting the version that is
    /// primary already changes nothing.
    async fn set_primary(&self, request: VersionRequest) -> Result<KeyMetadata>;
    /// Makes a further version and promotes it, in one step.
    async fn rotate(&self, request: CreateVersion) -> Result<KeyMetadata>;
    /// Lets a disabled version unwrap again.
    async fn enable_version(&self, request: VersionRequest) -> Result<KeyMetadata>;
    /// Stops a version from unwrapping.
    async fn disable_version(&self, request: VersionRequest) -> Result<KeyMetadata>;
    /// The versions of a key, oldest first.
    async fn list_versions(&self, key: &KeyPath) -> Result<Vec<VersionMetadata>> {
        Ok(self.describe_key(key).await?.versions)
    }

    /// Encrypts a value of at most [`Capabilities::max_value`] bytes.
    async fn encrypt(&self, request: Encrypt) -> Result<Encrypted>;
    /// Decrypts what [`encrypt`](Self::encrypt) or a data key's generation returned.
    async fn decrypt(&self, request: Decrypt) -> Result<Decrypted>;
    /// Makes a 256-bit data key and returns it plain and wrapped.
    async fn generate_data_key(&self, request: GenerateDataKey) -> Result<DataKey>;
    /// Makes a 256-bit data key and returns it wrapped only.
    async fn generate_wrapped_data_key(&self, request: GenerateDataKey) -> Result<Encrypted>;
    /// Moves a ciphertext to the key's primary version; its content stays in the service.
    async fn rewrap(&self, request: Rewrap) -> Result<Rewrapped>;

    /// Many [`encrypt`](Self::encrypt)s.
    async fn encrypt_batch(&self, items: Vec<Encrypt>) -> Result<Vec<Result<Encrypted>>> {
        self.capabilities().check_batch(items.len())?;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push(self.encrypt(item).await);
        }
        Ok(results)
    }
    /// Many [`decrypt`](Self::decrypt)s.
    async fn decrypt_batch(&self, items: Vec<Decrypt>) -> Result<Vec<Result<Decrypted>>> {
        self.capabilities().check_batch(items.len())?;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push(self.decrypt(item).await);
        }
        Ok(results)
    }
    /// Many [`generate_data_key`](Self::generate_data_key)s.
    async fn generate_data_key_batch(
        &self,
        items: Vec<GenerateDataKey>,
    ) -> Result<Vec<Result<DataKey>>> {
        self.capabilities().check_batch(items.len())?;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push(self.generate_data_key(item).await);
        }
        Ok(results)
    }
    /// Many [`rewrap`](Self::rewrap)s.
    async fn rewrap_batch(&self, items: Vec<Rewrap>) -> Result<Vec<Result<Rewrapped>>> {
        self.capabilities().check_batch(items.len())?;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push(self.rewrap(item).await);
        }
        Ok(results)
    }
}

/// What a key service can do; what it cannot answers [`KmsError::Unsupported`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Name of the kind of service, such as `claviger`.
    pub service: String,
    /// Purposes a key can be made for.
    pub purposes: Vec<Purpose>,
    /// Whether keys and versions can be made, promoted, enabled and disabled through this connection.
    pub manages_keys: bool,
    /// Whether a ciphertext can be moved to the primary version inside the service.
    pub rewraps: bool,
    /// Whether the version of a ciphertext can be read without a key.
    pub version_readable: bool,
    /// Most bytes of a value it encrypts.
    pub max_value: usize,
    /// Most items of a batch.
    pub max_batch: usize,
}

impl Capabilities {
    /// Checks the number of items of a batch.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the limit when there are more than [`Self::max_batch`].
    pub fn check_batch(&self, items: usize) -> Result<()> {
        if items > self.max_batch {
            return Err(KmsError::invalid(format!(
                "the batch has {items} items; at most {} are allowed, send several batches",
                self.max_batch
            )));
        }
        Ok(())
    }
}

/// Most items of a batch over Claviger's own API.
pub const MAX_BATCH: usize = 256;

/// A key to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// Where it stands; the key above must exist, except for a region.
    pub key: KeyPath,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
    /// Where its material is held.
    #[serde(default)]
    pub protection: Protection,
    /// For people.
    #[serde(default)]
    pub details: KeyDetails,
    /// Name of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

impl CreateKey {
    /// An encryption key held in memory, without details.
    #[must_use]
    pub fn at(key: KeyPath) -> Self {
        Self {
            key,
            purpose: Purpose::default(),
            protection: Protection::default(),
            details: KeyDetails::default(),
            idempotency_key: None,
        }
    }
}

/// What people note about a key. Texts without control characters; limits in [`KeyDetails::check`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyDetails {
    /// What the key protects; at most 1,024 bytes.
    #[serde(default)]
    pub description: String,
    /// Whom to call; at most 256 bytes.
    #[serde(default)]
    pub owner: String,
    /// Free tags; at most 32, of 128 and 256 bytes.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl KeyDetails {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the text that is too long or holds a control character.
    pub fn check(&self) -> Result<()> {
        let text = |what: &str, text: &str, most: usize| {
            if text.len() > most || text.chars().any(char::is_control) {
                return Err(KmsError::invalid(format!(
                    "{what} has {} bytes; at most {most} without control characters are allowed",
                    text.len()
                )));
            }
            Ok(())
        };
        text("the description", &self.description, 1024)?;
        text("the owner", &self.owner, 256)?;
        if self.tags.len() > 32 {
            return Err(KmsError::invalid(format!(
                "{} tags; at most 32 are allowed",
                self.tags.len()
            )));
        }
        for (name, value) in &self.tags {
            text("a tag's name", name, 128)?;
            text("a tag's value", value, 256)?;
        }
        Ok(())
    }
}

/// A key and its versions, without any material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyMetadata {
    /// Its path.
    pub key: KeyPath,
    /// Its identity.
    pub id: KeyId,
    /// What it is for.
    pub purpose: Purpose,
    /// Where its material is held.
    pub protection: Protection,
    /// State of the whole key.
    pub state: KeyState,
    /// The version that wraps; none while the key is quarantined or retired.
    pub primary: Option<KeyVersion>,
    /// For people.
    pub details: KeyDetails,
    /// When it was made.
    pub made_at: Timestamp,
    /// Counts the changes of its record.
    pub epoch: u64,
    /// Its versions, oldest first.
    pub versions: Vec<VersionMetadata>,
    /// What the operator should know, such as "promotion was immediate: no backup is configured".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// A key version, without its material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionMetadata {
    /// Its number.
    pub version: KeyVersion,
    /// Its state.
    pub state: VersionState,
    /// When it was made.
    pub made_at: Timestamp,
    /// When its state last changed.
    pub state_changed_at: Timestamp,
    /// The version of the key above (of the root, for a region) that wraps it.
    pub parent_version: KeyVersion,
    /// 16 hexadecimal digits that tell key materials apart without giving them away.
    pub fingerprint: String,
}

/// Which keys to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListKeys {
    /// Only this key and those below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<KeyPath>,
    /// Only keys after this one: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<KeyPath>,
    /// Most keys on the page; 1 to 1,000, default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPage {
    /// The keys, by path.
    pub keys: Vec<KeyMetadata>,
    /// Where the next page begins, if there is one.
    pub next: Option<KeyPath>,
}

/// A version to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateVersion {
    /// Of this key.
    pub key: KeyPath,
    /// Name of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// One version of one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRequest {
    /// The key.
    pub key: KeyPath,
    /// The version.
    pub version: KeyVersion,
}

/// What a ciphertext is bound to, given again to open it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[serde(deny_unknown_fields)]
pub struct Encrypt {
    /// Under this key's primary version.
    pub key: KeyPath,
    /// The value.
    #[serde(with = "wire::secret_bytes")]
    pub plaintext: SecretBytes,
    /// Bound to this.
    #[serde(default)]
    pub binding: Binding,
}

/// What was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encrypted {
    /// Opaque bytes; for Claviger the layout of [`Ciphertext`](crate::Ciphertext).
    #[serde(with = "wire::bytes")]
    pub ciphertext: Vec<u8>,
    /// The key's path.
    pub key: KeyPath,
    /// The version used.
    pub version: KeyVersion,
}

/// A ciphertext to decrypt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decrypt {
    /// As returned; it names its key and version.
    #[serde(with = "wire::bytes")]
    pub ciphertext: Vec<u8>,
    /// As given when it was made.
    #[serde(default)]
    pub binding: Binding,
}

/// What was decrypted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decrypted {
    /// The value, or the 32 bytes of a data key.
    #[serde(with = "wire::secret_bytes")]
    pub plaintext: SecretBytes,
    /// The key's path.
    pub key: KeyPath,
    /// The version used.
    pub version: KeyVersion,
}

/// A data key to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[serde(deny_unknown_fields)]
pub struct Rewrap {
    /// As returned.
    #[serde(with = "wire::bytes")]
    pub ciphertext: Vec<u8>,
    /// As given when it was made; it stays bound to the same.
    #[serde(default)]
    pub binding: Binding,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrapped {
    /// The ciphertext under the primary version; the same bytes if it was there already.
    #[serde(with = "wire::bytes")]
    pub ciphertext: Vec<u8>,
    /// The key's path.
    pub key: KeyPath,
    /// The version before.
    pub from: KeyVersion,
    /// The version now.
    pub to: KeyVersion,
}
