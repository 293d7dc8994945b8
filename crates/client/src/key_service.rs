//! The trait, one line of protocol for each method.

use async_trait::async_trait;
use claviger_kms::{
    Capabilities, Ciphertext, CreateKey, CreateVersion, DataKey, Decrypt, Decrypted, Encrypt,
    Encrypted, GenerateDataKey, IdempotencyKey, KeyManagementService, KeyMetadata, KeyPage,
    KeyPath, ListKeys, MAX_BATCH, Purpose, Result, Rewrap, Rewrapped, VersionRequest,
};

use crate::{Client, connection::Repeat};

#[async_trait]
impl KeyManagementService for Client {
    /// What a Claviger service of this release can do; making keys needs the admin socket.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            service: "claviger".to_owned(),
            purposes: vec![Purpose::Encryption],
            manages_keys: self.has_admin(),
            rewraps: true,
            version_readable: true,
            max_value: Ciphertext::MAX_VALUE,
            max_batch: MAX_BATCH,
        }
    }

    async fn create_key(&self, request: CreateKey) -> Result<KeyMetadata> {
        self.manage("keys", &request, repeat_if_named(request.idempotency_key.as_ref())).await
    }

    async fn describe_key(&self, key: &KeyPath) -> Result<KeyMetadata> {
        self.read(format!("/v1/keys/{key}")).await
    }

    async fn list_keys(&self, request: ListKeys) -> Result<KeyPage> {
        self.read(format!("/v1/keys{}", query_of(&request))).await
    }

    async fn create_version(&self, request: CreateVersion) -> Result<KeyMetadata> {
        let repeat = repeat_if_named(request.idempotency_key.as_ref());
        self.manage("create-version", &request, repeat).await
    }

    async fn set_primary(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.manage("set-primary", &request, Repeat::Never).await
    }

    async fn rotate(&self, request: CreateVersion) -> Result<KeyMetadata> {
        let repeat = repeat_if_named(request.idempotency_key.as_ref());
        self.manage("rotate", &request, repeat).await
    }

    async fn enable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.manage("enable-version", &request, Repeat::Never).await
    }

    async fn disable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.manage("disable-version", &request, Repeat::Never).await
    }

    async fn encrypt(&self, request: Encrypt) -> Result<Encrypted> {
        self.use_key("encrypt", &request).await
    }

    async fn decrypt(&self, request: Decrypt) -> Result<Decrypted> {
        self.use_key("decrypt", &request).await
    }

    async fn generate_data_key(&self, request: GenerateDataKey) -> Result<DataKey> {
        self.use_key("data-key", &request).await
    }

    async fn generate_wrapped_data_key(&self, request: GenerateDataKey) -> Result<Encrypted> {
        self.use_key("data-key-wrapped", &request).await
    }

    async fn rewrap(&self, request: Rewrap) -> Result<Rewrapped> {
        self.use_key("rewrap", &request).await
    }

    async fn encrypt_batch(&self, items: Vec<Encrypt>) -> Result<Vec<Result<Encrypted>>> {
        self.use_keys("encrypt", &items).await
    }

    async fn decrypt_batch(&self, items: Vec<Decrypt>) -> Result<Vec<Result<Decrypted>>> {
        self.use_keys("decrypt", &items).await
    }

    async fn generate_data_key_batch(
        &self,
        items: Vec<GenerateDataKey>,
    ) -> Result<Vec<Result<DataKey>>> {
        self.use_keys("data-key", &items).await
    }

    async fn rewrap_batch(&self, items: Vec<Rewrap>) -> Result<Vec<Result<Rewrapped>>> {
        self.use_keys("rewrap", &items).await
    }
}

/// A request that has a name creates nothing twice.
pub(crate) fn repeat_if_named(name: Option<&IdempotencyKey>) -> Repeat {
    if name.is_some() { Repeat::Safe } else { Repeat::Never }
}

/// Key paths hold no character that a query would have to escape.
fn query_of(request: &ListKeys) -> String {
    let under = request.under.as_ref().map(|key| format!("under={key}"));
    let after = request.after.as_ref().map(|key| format!("after={key}"));
    let limit = request.limit.map(|limit| format!("limit={limit}"));
    let parts: Vec<String> = [under, after, limit].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}
