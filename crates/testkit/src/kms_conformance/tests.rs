//! The suite must find a service that does it wrong: each fault here is one that a real service could
//! have, and is named by the check it must not pass.

use async_trait::async_trait;
use claviger_kms::{
    Binding, Capabilities, CreateKey, CreateVersion, DataKey, Decrypt, Decrypted, Encrypt,
    Encrypted, GenerateDataKey, KeyManagementService, KeyMetadata, KeyPage, KeyPath, KmsError,
    ListKeys, Result, Rewrap, Rewrapped, VersionRequest,
};

use super::*;
use crate::MemoryKms;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    BindsNothing,
    CreatesAgain,
    AnswersBatchesBackwards,
    PromotesAtOnce,
    DisablesNothing,
    RewrapsNothing,
    SaysWhyItRejected,
    ListsOnePageOnly,
}

#[tokio::test]
async fn finds_nothing_wrong_with_a_service_without_fault() {
    assert_eq!(failed_checks(Fault::None).await, Vec::<String>::new());
}

#[tokio::test]
async fn finds_each_fault() {
    for (fault, check) in [
        (Fault::BindsNothing, "another-binding-is-rejected"),
        (Fault::BindsNothing, "rewrap-rejects-another-binding"),
        (Fault::CreatesAgain, "an-idempotency-key-creates-one-key"),
        (Fault::CreatesAgain, "an-idempotency-key-rotates-once"),
        (Fault::AnswersBatchesBackwards, "a-batch-answers-each-item-in-order"),
        (Fault::PromotesAtOnce, "a-pending-version-wraps-nothing"),
        (Fault::DisablesNothing, "a-disabled-version-opens-nothing-until-enabled"),
        (Fault::DisablesNothing, "the-primary-version-cannot-be-disabled"),
        (Fault::RewrapsNothing, "rewrap-moves-to-the-primary-version"),
        (Fault::SaysWhyItRejected, "no-flipped-bit-of-a-data-key-opens"),
        (Fault::ListsOnePageOnly, "keys-are-listed-in-order-a-page-at-a-time"),
    ] {
        let failed = failed_checks(fault).await;
        assert!(failed.iter().any(|name| name == check), "{fault:?}: only {failed:?} failed");
    }
}

async fn failed_checks(fault: Fault) -> Vec<String> {
    let kms = Arc::new(Faulty { inner: MemoryKms::new(), fault });
    let failed = failures(kms, "conformance").await;
    failed.iter().filter_map(|line| line.split(':').next()).map(str::to_owned).collect()
}

struct Faulty {
    inner: MemoryKms,
    fault: Fault,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn binding(&self, binding: Binding) -> Binding {
        if self.has(Fault::BindsNothing) { Binding::default() } else { binding }
    }

    fn once(&self, request: CreateVersion) -> CreateVersion {
        if self.has(Fault::CreatesAgain) {
            CreateVersion { idempotency_key: None, ..request }
        } else {
            request
        }
    }
}

#[async_trait]
impl KeyManagementService for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn create_key(&self, mut request: CreateKey) -> Result<KeyMetadata> {
        if self.has(Fault::CreatesAgain) {
            request.idempotency_key = None;
        }
        self.inner.create_key(request).await
    }

    async fn describe_key(&self, key: &KeyPath) -> Result<KeyMetadata> {
        self.inner.describe_key(key).await
    }

    async fn list_keys(&self, request: ListKeys) -> Result<KeyPage> {
        let page = self.inner.list_keys(request).await?;
        let next = page.next.filter(|_| !self.has(Fault::ListsOnePageOnly));
        Ok(KeyPage { next, ..page })
    }

    async fn create_version(&self, request: CreateVersion) -> Result<KeyMetadata> {
        if self.has(Fault::PromotesAtOnce) {
            return self.inner.rotate(request).await;
        }
        self.inner.create_version(self.once(request)).await
    }

    async fn set_primary(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.inner.set_primary(request).await
    }

    async fn rotate(&self, request: CreateVersion) -> Result<KeyMetadata> {
        self.inner.rotate(self.once(request)).await
    }

    async fn enable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        self.inner.enable_version(request).await
    }

    async fn disable_version(&self, request: VersionRequest) -> Result<KeyMetadata> {
        if self.has(Fault::DisablesNothing) {
            return self.inner.describe_key(&request.key).await;
        }
        self.inner.disable_version(request).await
    }

    async fn encrypt(&self, mut request: Encrypt) -> Result<Encrypted> {
        request.binding = self.binding(request.binding);
        self.inner.encrypt(request).await
    }

    async fn decrypt(&self, mut request: Decrypt) -> Result<Decrypted> {
        request.binding = self.binding(request.binding);
        match self.inner.decrypt(request).await {
            Err(KmsError::Rejected) if self.has(Fault::SaysWhyItRejected) => {
                Err(KmsError::invalid("the tag is wrong"))
            }
            other => other,
        }
    }

    async fn generate_data_key(&self, mut request: GenerateDataKey) -> Result<DataKey> {
        request.binding = self.binding(request.binding);
        self.inner.generate_data_key(request).await
    }

    async fn generate_wrapped_data_key(&self, request: GenerateDataKey) -> Result<Encrypted> {
        Ok(self.generate_data_key(request).await?.wrapped)
    }

    async fn rewrap(&self, mut request: Rewrap) -> Result<Rewrapped> {
        request.binding = self.binding(request.binding);
        let before = request.ciphertext.clone();
        let moved = self.inner.rewrap(request).await?;
        if self.has(Fault::RewrapsNothing) {
            return Ok(Rewrapped { ciphertext: before, to: moved.from, ..moved });
        }
        Ok(moved)
    }

    async fn decrypt_batch(&self, items: Vec<Decrypt>) -> Result<Vec<Result<Decrypted>>> {
        self.capabilities().check_batch(items.len())?;
        let mut results = Vec::new();
        for item in items {
            results.push(self.decrypt(item).await);
        }
        if self.has(Fault::AnswersBatchesBackwards) {
            results.reverse();
        }
        Ok(results)
    }
}
