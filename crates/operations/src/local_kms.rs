//! The key service as one caller sees it: the trait, each method in a file of its own.
//!
//! Invariant: an operation that began is carried to its end, its record included, whatever becomes of
//! the caller: each runs as a task of its own, so dropping a call drops only its answer.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_kms::{
    Action, Capabilities, Ciphertext, CreateKey, CreateVersion, DataKey, Decrypt, Decrypted,
    Encrypt, Encrypted, GenerateDataKey, KeyManagementService, KeyMetadata, KeyPage, KeyPath,
    KmsError, ListKeys, MAX_BATCH, Purpose, Result, Rewrap, Rewrapped, VersionRequest,
};

use crate::{Caller, Operations, policy_in_force::PolicyInForce};

/// A [`KeyManagementService`] bound to one caller and one request.
#[derive(Debug, Clone)]
pub struct LocalKms {
    operations: Arc<Operations>,
    caller: Caller,
    /// Taken anew for each call, which keeps it to its end.
    policy: Arc<PolicyInForce>,
}

impl LocalKms {
    pub(crate) fn new(operations: Arc<Operations>, caller: Caller) -> Self {
        let policy = operations.policy.load_full();
        Self { operations, caller, policy }
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The policy that decides this call.
    pub(crate) fn policy(&self) -> &PolicyInForce {
        &self.policy
    }

    /// Runs `work` to its end, even if nobody waits for it any more.
    pub(crate) async fn to_the_end<T, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let place = Arc::clone(&self.operations.places).acquire_owned().await;
        self.carry(place, work).await
    }

    /// The same without waiting for a place: for what the service does by itself, one thing at a time, and for
    /// emergencies, which do not stand behind data operations that a hanging token holds up.
    pub(crate) async fn to_the_end_at_once<T, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.carry((), work).await
    }

    async fn carry<T, F>(
        &self,
        place: impl Send + 'static,
        work: impl FnOnce(Self) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let policy = self.operations.policy.load_full();
        let work = work(Self { policy, ..self.clone() });
        let task = self.operations.under_way.spawn(async move {
            let _place = place;
            work.await
        });
        task.await.unwrap_or_else(|_| {
            tracing::error!(request = %self.caller.request, "an operation ended abnormally");
            Err(KmsError::unavailable(
                "the operation ended abnormally; whether it acted is not known",
            ))
        })
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
        self.to_the_end(|kms| async move { kms.create_key_recorded(request).await }).await
    }

    async fn describe_key(&self, key: &KeyPath) -> Result<KeyMetadata> {
        let key = key.clone();
        self.to_the_end(|kms| async move { kms.try_describe(&key).recorded(&kms).await }).await
    }

    async fn list_keys(&self, request: ListKeys) -> Result<KeyPage> {
        self.to_the_end(|kms| async move { kms.try_list(&request).recorded(&kms).await }).await
    }

    async fn create_version(&self, request: CreateVersion) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.create_version_recorded(request).await }).await
    }

    async fn set_primary(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.set_primary_recorded(request).await }).await
    }

    async fn rotate(&self, request: CreateVersion) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.rotate_recorded(request).await }).await
    }

    async fn enable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.to_the_end(|kms| async move { kms.enable_version_recorded(request).await }).await
    }

    async fn disable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.to_the_end_at_once(|kms| async move { kms.disable_version_recorded(request).await })
            .await
    }

    async fn encrypt(&self, request: Encrypt) -> Result<Encrypted> {
        self.to_the_end(|kms| async move { kms.try_encrypt(request).await.recorded(&kms).await })
            .await
    }

    async fn decrypt(&self, request: Decrypt) -> Result<Decrypted> {
        self.to_the_end(|kms| async move { kms.try_decrypt(request).await.recorded(&kms).await })
            .await
    }

    async fn generate_data_key(&self, request: GenerateDataKey) -> Result<DataKey> {
        self.to_the_end(|kms| async move { kms.try_data_key(request).await.recorded(&kms).await })
            .await
    }

    async fn generate_wrapped_data_key(&self, request: GenerateDataKey) -> Result<Encrypted> {
        self.to_the_end(|kms| async move {
            kms.try_wrapped_data_key(request).await.recorded(&kms).await
        })
        .await
    }

    async fn rewrap(&self, request: Rewrap) -> Result<Rewrapped> {
        self.to_the_end(|kms| async move { kms.try_rewrap(request).await.recorded(&kms).await })
            .await
    }

    async fn encrypt_batch(&self, items: Vec<Encrypt>) -> Result<Vec<Result<Encrypted>>> {
        self.to_the_end(|kms| async move {
            kms.batch(Action::Encrypt, items, |item| kms.try_encrypt(item)).await
        })
        .await
    }

    async fn decrypt_batch(&self, items: Vec<Decrypt>) -> Result<Vec<Result<Decrypted>>> {
        self.to_the_end(|kms| async move {
            kms.batch(Action::Decrypt, items, |item| kms.try_decrypt(item)).await
        })
        .await
    }

    async fn generate_data_key_batch(
        &self,
        items: Vec<GenerateDataKey>,
    ) -> Result<Vec<Result<DataKey>>> {
        self.to_the_end(|kms| async move {
            kms.batch(Action::DataKey, items, |item| kms.try_data_key(item)).await
        })
        .await
    }

    async fn rewrap_batch(&self, items: Vec<Rewrap>) -> Result<Vec<Result<Rewrapped>>> {
        self.to_the_end(|kms| async move {
            kms.batch(Action::Rewrap, items, |item| kms.try_rewrap(item)).await
        })
        .await
    }
}
