//! The key service as one caller sees it: the trait, each method in a file of its own.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_kms::{
    Capabilities, Ciphertext, CreateKey, CreateVersion, DataKey, Decrypt, Decrypted, Encrypt,
    Encrypted, GenerateDataKey, KeyManagementService, KeyMetadata, KeyPage, KeyPath, ListKeys,
    MAX_BATCH, Purpose, Result, Rewrap, Rewrapped, VersionRequest,
};

use crate::{Caller, Operations};

/// A [`KeyManagementService`] bound to one caller and one request.
#[derive(Debug, Clone)]
pub struct LocalKms {
    operations: Arc<Operations>,
    caller: Caller,
}

impl LocalKms {
    pub(crate) fn new(operations: Arc<Operations>, caller: Caller) -> Self {
        Self { operations, caller }
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }
}

#[async_trait]
impl KeyManagementService for LocalKms {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            service: "claviger".to_owned(),
            purposes: vec![Purpose::Encryption],
            manages_keys: true,
            rewraps: true,
            version_readable: true,
            max_value: Ciphertext::MAX_VALUE,
            max_batch: MAX_BATCH,
        }
    }

    async fn create_key(&self, request: CreateKey) -> Result<KeyMetadata> {
        self.create_key_recorded(request).await
    }

    async fn describe_key(&self, key: &KeyPath) -> Result<KeyMetadata> {
        self.try_describe(key).recorded(self).await
    }

    async fn list_keys(&self, request: ListKeys) -> Result<KeyPage> {
        self.try_list(&request).recorded(self).await
    }

    async fn create_version(&self, request: CreateVersion) -> Result<KeyMetadata> {
        self.create_version_recorded(request).await
    }

    async fn set_primary(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.set_primary_recorded(request).await
    }

    async fn rotate(&self, request: CreateVersion) -> Result<KeyMetadata> {
        self.rotate_recorded(request).await
    }

    async fn enable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.enable_version_recorded(request).await
    }

    async fn disable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.disable_version_recorded(request).await
    }

    async fn encrypt(&self, request: Encrypt) -> Result<Encrypted> {
        self.try_encrypt(request).await.recorded(self).await
    }

    async fn decrypt(&self, request: Decrypt) -> Result<Decrypted> {
        self.try_decrypt(request).await.recorded(self).await
    }

    async fn generate_data_key(&self, request: GenerateDataKey) -> Result<DataKey> {
        self.try_data_key(request).await.recorded(self).await
    }

    async fn generate_wrapped_data_key(&self, request: GenerateDataKey) -> Result<Encrypted> {
        self.try_wrapped_data_key(request).await.recorded(self).await
    }

    async fn rewrap(&self, request: Rewrap) -> Result<Rewrapped> {
        self.try_rewrap(request).await.recorded(self).await
    }

    async fn encrypt_batch(&self, items: Vec<Encrypt>) -> Result<Vec<Result<Encrypted>>> {
        self.batch(items, |item| self.try_encrypt(item)).await
    }

    async fn decrypt_batch(&self, items: Vec<Decrypt>) -> Result<Vec<Result<Decrypted>>> {
        self.batch(items, |item| self.try_decrypt(item)).await
    }

    async fn generate_data_key_batch(
        &self,
        items: Vec<GenerateDataKey>,
    ) -> Result<Vec<Result<DataKey>>> {
        self.batch(items, |item| self.try_data_key(item)).await
    }

    async fn rewrap_batch(&self, items: Vec<Rewrap>) -> Result<Vec<Result<Rewrapped>>> {
        self.batch(items, |item| self.try_rewrap(item)).await
    }
}
