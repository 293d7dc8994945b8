//! The trait every key service is used through, whether in this process, over the wire, or another
//! vendor's.
//!
//! Batches: every operation on data has a form that takes many items and answers each by itself, in
//! order. The provided form loops; a service that can do better overrides it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    CreateKey, CreateVersion, DataKey, Decrypt, Decrypted, Encrypt, Encrypted, GenerateDataKey,
    KeyMetadata, KeyPage, KeyPath, KmsError, ListKeys, Purpose, Result, Rewrap, Rewrapped,
    VersionMetadata, VersionRequest,
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
