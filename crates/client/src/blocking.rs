//! The client for programs without an async runtime.
//!
//! A client has a thread with a runtime of its own; calls of several threads run there side by side. A call
//! from inside a runtime would stop that runtime, so it is refused.

use std::sync::{Arc, mpsc};

use claviger_kms::{
    Capabilities, CreateKey, CreateVersion, DataKey, Decrypt, Decrypted, Encrypt, Encrypted,
    GenerateDataKey, KeyManagementService, KeyMetadata, KeyPage, KeyPath, KeyUsage, KmsError,
    ListKeys, Result, Rewrap, Rewrapped, VersionRequest,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::ClientConfig;

/// A key service, each call of which waits for its answer. Cloning shares thread and connections.
///
/// Every method is that of [`KeyManagementService`] or of the async [`Client`](crate::Client), with its
/// errors, and answers [`KmsError::Unsupported`] when it is called inside a Tokio runtime.
#[derive(Debug, Clone)]
pub struct Client {
    inner: crate::Client,
    thread: Arc<Thread>,
}

/// The thread ends when this is dropped: then the word to stop can come no more.
#[derive(Debug)]
struct Thread {
    runtime: Handle,
    _running: oneshot::Sender<()>,
}

impl Client {
    /// A client with this configuration, and its thread.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] when the system gives no thread.
    pub fn new(config: ClientConfig) -> Result<Self> {
        let failed = |error| KmsError::unavailable(format!("the client's thread: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("claviger-client".to_owned())
            .spawn(move || drop(runtime.block_on(ended)))
            .map_err(failed)?;
        let thread = Arc::new(Thread { runtime: handle, _running: running });
        Ok(Self { inner: crate::Client::new(config), thread })
    }

    /// What a service of this release can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    /// As [`crate::Client::ask_capabilities`].
    ///
    /// # Errors
    /// As there.
    pub fn ask_capabilities(&self) -> Result<Capabilities> {
        self.wait(|client| async move { client.ask_capabilities().await })
    }

    /// As [`crate::Client::status`].
    ///
    /// # Errors
    /// As there.
    pub fn status(&self) -> Result<serde_json::Value> {
        self.wait(|client| async move { client.status().await })
    }

    /// As [`crate::Client::key_usage`].
    ///
    /// # Errors
    /// As there.
    pub fn key_usage(&self, key: &KeyPath) -> Result<KeyUsage> {
        let key = key.clone();
        self.wait(|client| async move { client.key_usage(&key).await })
    }

    /// As [`KeyManagementService::create_key`].
    ///
    /// # Errors
    /// As there.
    pub fn create_key(&self, request: CreateKey) -> Result<KeyMetadata> {
        self.wait(|client| async move { client.create_key(request).await })
    }

    /// As [`KeyManagementService::describe_key`].
    ///
    /// # Errors
    /// As there.
    pub fn describe_key(&self, key: &KeyPath) -> Result<KeyMetadata> {
        let key = key.clone();
        self.wait(|client| async move { client.describe_key(&key).await })
    }

    /// As [`KeyManagementService::list_keys`].
    ///
    /// # Errors
    /// As there.
    pub fn list_keys(&self, request: ListKeys) -> Result<KeyPage> {
        self.wait(|client| async move { client.list_keys(request).await })
    }

    /// As [`KeyManagementService::create_version`].
    ///
    /// # Errors
    /// As there.
    pub fn create_version(&self, request: CreateVersion) -> Result<KeyMetadata> {
        self.wait(|client| async move { client.create_version(request).await })
    }

    /// As [`KeyManagementService::set_primary`].
    ///
    /// # Errors
    /// As there.
    pub fn set_primary(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.wait(|client| async move { client.set_primary(request).await })
    }

    /// As [`KeyManagementService::rotate`].
    ///
    /// # Errors
    /// As there.
    pub fn rotate(&self, request: CreateVersion) -> Result<KeyMetadata> {
        self.wait(|client| async move { client.rotate(request).await })
    }

    /// As [`KeyManagementService::enable_version`].
    ///
    /// # Errors
    /// As there.
    pub fn enable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.wait(|client| async move { client.enable_version(request).await })
    }

    /// As [`KeyManagementService::disable_version`].
    ///
    /// # Errors
    /// As there.
    pub fn disable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.wait(|client| async move { client.disable_version(request).await })
    }

    /// As [`KeyManagementService::encrypt`].
    ///
    /// # Errors
    /// As there.
    pub fn encrypt(&self, request: Encrypt) -> Result<Encrypted> {
        self.wait(|client| async move { client.encrypt(request).await })
    }

    /// As [`KeyManagementService::decrypt`].
    ///
    /// # Errors
    /// As there.
    pub fn decrypt(&self, request: Decrypt) -> Result<Decrypted> {
        self.wait(|client| async move { client.decrypt(request).await })
    }

    /// As [`KeyManagementService::generate_data_key`].
    ///
    /// # Errors
    /// As there.
    pub fn generate_data_key(&self, request: GenerateDataKey) -> Result<DataKey> {
        self.wait(|client| async move { client.generate_data_key(request).await })
    }

    /// As [`KeyManagementService::generate_wrapped_data_key`].
    ///
    /// # Errors
    /// As there.
    pub fn generate_wrapped_data_key(&self, request: GenerateDataKey) -> Result<Encrypted> {
        self.wait(|client| async move { client.generate_wrapped_data_key(request).await })
    }

    /// As [`KeyManagementService::rewrap`].
    ///
    /// # Errors
    /// As there.
    pub fn rewrap(&self, request: Rewrap) -> Result<Rewrapped> {
        self.wait(|client| async move { client.rewrap(request).await })
    }

    /// As [`KeyManagementService::encrypt_batch`].
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_batch(&self, items: Vec<Encrypt>) -> Result<Vec<Result<Encrypted>>> {
        self.wait(|client| async move { client.encrypt_batch(items).await })
    }

    /// As [`KeyManagementService::decrypt_batch`].
    ///
    /// # Errors
    /// As there.
    pub fn decrypt_batch(&self, items: Vec<Decrypt>) -> Result<Vec<Result<Decrypted>>> {
        self.wait(|client| async move { client.decrypt_batch(items).await })
    }

    /// As [`KeyManagementService::generate_data_key_batch`].
    ///
    /// # Errors
    /// As there.
    pub fn generate_data_key_batch(
        &self,
        items: Vec<GenerateDataKey>,
    ) -> Result<Vec<Result<DataKey>>> {
        self.wait(|client| async move { client.generate_data_key_batch(items).await })
    }

    /// As [`KeyManagementService::rewrap_batch`].
    ///
    /// # Errors
    /// As there.
    pub fn rewrap_batch(&self, items: Vec<Rewrap>) -> Result<Vec<Result<Rewrapped>>> {
        self.wait(|client| async move { client.rewrap_batch(items).await })
    }

    /// Runs a call on the client's thread and waits for its answer.
    ///
    /// # Errors
    /// The call's own; [`KmsError::Unsupported`] inside a Tokio runtime.
    fn wait<T, F>(&self, call: impl FnOnce(crate::Client) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        if Handle::try_current().is_ok() {
            return Err(KmsError::unsupported(
                "the blocking client was called inside a Tokio runtime, which it would stop; use \
                 claviger_client::Client there, from spawn_blocking through Handle::block_on",
            ));
        }
        let (sender, answer) = mpsc::sync_channel(1);
        let call = call(self.inner.clone());
        self.thread.runtime.spawn(async move {
            // The receiver waits below for as long as this runs.
            let _ = sender.send(call.await);
        });
        answer.recv().unwrap_or_else(|_| Err(KmsError::unavailable("the client's thread ended")))
    }
}
