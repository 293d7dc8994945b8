//! What a check works with: the service, a key of its own, and short forms of the requests.

#![expect(
    clippy::disallowed_methods,
    reason = "compares what was decrypted with what was encrypted"
)]

use std::sync::Arc;

use claviger_kms::{
    Binding, CreateKey, CreateVersion, DataKey, Decrypt, Decrypted, Encrypt, Encrypted,
    EncryptionContext, EnvelopeId, ErrorCode, GenerateDataKey, KeyManagementService, KeyMetadata,
    KeyPath, KeyVersion, Result, Rewrap, Rewrapped, SecretBytes, VersionRequest,
};
use tokio::task::JoinError;

/// The service under test and one key in it.
pub(super) struct Bench {
    pub(super) kms: Arc<dyn KeyManagementService>,
    /// A key that exists, with one version.
    pub(super) key: KeyPath,
}

impl Bench {
    pub(super) async fn make(kms: Arc<dyn KeyManagementService>, region: &str, name: &str) -> Self {
        let key: KeyPath = format!("{region}/{name}").parse().unwrap();
        kms.create_key(CreateKey::at(key.clone())).await.unwrap();
        Self { kms, key }
    }

    /// The path of a key below the check's own.
    pub(super) fn below(&self, name: &str) -> KeyPath {
        format!("{}/{name}", self.key).parse().unwrap()
    }

    /// Makes a key below the check's own.
    pub(super) async fn make_below(&self, name: &str) -> KeyPath {
        let key = self.below(name);
        self.kms.create_key(CreateKey::at(key.clone())).await.unwrap();
        key
    }

    pub(super) async fn describe(&self) -> KeyMetadata {
        self.kms.describe_key(&self.key).await.unwrap()
    }

    pub(super) async fn rotate(&self) -> KeyMetadata {
        self.kms.rotate(rotation(&self.key, None)).await.unwrap()
    }

    pub(super) fn version(&self, number: u32) -> VersionRequest {
        VersionRequest { key: self.key.clone(), version: version(number) }
    }

    pub(super) async fn encrypt(&self, value: &[u8], binding: Binding) -> Encrypted {
        self.kms.encrypt(encryption(&self.key, value, binding)).await.unwrap()
    }

    pub(super) async fn data_key(&self, binding: Binding) -> DataKey {
        let request = GenerateDataKey { key: self.key.clone(), binding };
        self.kms.generate_data_key(request).await.unwrap()
    }

    pub(super) async fn decrypt(&self, ciphertext: &[u8], binding: Binding) -> Result<Decrypted> {
        self.kms.decrypt(Decrypt { ciphertext: ciphertext.to_vec(), binding }).await
    }

    pub(super) async fn rewrap(&self, ciphertext: &[u8], binding: Binding) -> Result<Rewrapped> {
        self.kms.rewrap(Rewrap { ciphertext: ciphertext.to_vec(), binding, campaign: None }).await
    }
}

pub(super) fn rotation(key: &KeyPath, name: Option<&str>) -> CreateVersion {
    CreateVersion { key: key.clone(), idempotency_key: name.map(|name| name.parse().unwrap()) }
}

pub(super) fn encryption(key: &KeyPath, value: &[u8], binding: Binding) -> Encrypt {
    Encrypt { key: key.clone(), plaintext: SecretBytes::copy_of(value), binding }
}

pub(super) fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

/// A context of two entries and an envelope id.
pub(super) fn binding(row: &str) -> Binding {
    Binding { context: context([("table", "users"), ("row", row)]), envelope_id: envelope_id(7) }
}

pub(super) fn context<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> EncryptionContext {
    EncryptionContext::from_pairs(pairs).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "the field it is for is optional")]
pub(super) fn envelope_id(byte: u8) -> Option<EnvelopeId> {
    Some(EnvelopeId::from_bytes([byte; 16]))
}

pub(super) fn assert_holds(opened: &Decrypted, value: &[u8]) {
    opened.plaintext.with_bytes(|plain| assert!(plain == value, "another plaintext came back"));
}

/// Fails unless it was refused, with one of these codes.
pub(super) fn assert_refused<T>(outcome: Result<T>, allowed: &[ErrorCode], what: &str) {
    match outcome {
        Ok(_) => panic!("{what}: was not refused"),
        Err(error) => {
            let code = error.code();
            assert!(allowed.contains(&code), "{what}: {code:?} ({error}), not one of {allowed:?}");
        }
    }
}

pub(super) fn message_of(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "cancelled".to_owned() };
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "panicked".to_owned())
}
