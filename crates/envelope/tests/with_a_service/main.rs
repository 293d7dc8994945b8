//! Envelopes through a real key service in memory: records, files, several services, data-key reuse.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "compares what was opened with what was sealed")]

mod campaigns;
mod files;
mod new_files;
mod records;
mod reuse;
mod several_services;

use std::sync::Arc;

use claviger_envelope::{EnvelopeError, Envelopes, Result};
use claviger_kms::{
    CreateVersion, EncryptionContext, KeyManagementService as _, KeyPath, KmsError, SecretBytes,
};
use claviger_testkit::MemoryKms;

fn key() -> KeyPath {
    path("eu/pay")
}

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

fn service() -> Arc<MemoryKms> {
    Arc::new(MemoryKms::with_keys(&["eu/pay", "eu/mail"]).unwrap())
}

fn envelopes() -> Envelopes {
    Envelopes::new(service())
}

fn row(row: &str) -> EncryptionContext {
    EncryptionContext::from_pairs([("table", "users"), ("row", row)]).unwrap()
}

async fn rotate(service: &MemoryKms) {
    service.rotate(CreateVersion { key: key(), idempotency_key: None }).await.unwrap();
}

fn plain(opened: Result<SecretBytes>) -> Vec<u8> {
    opened.unwrap().with_bytes(<[u8]>::to_vec)
}

fn is_rejected<T>(result: &Result<T>) -> bool {
    matches!(result, Err(EnvelopeError::Rejected))
}

fn kms_error<T>(result: Result<T>) -> KmsError {
    match result {
        Err(EnvelopeError::Kms { source }) => source,
        Err(other) => panic!("not of the key service: {other}"),
        Ok(_) => panic!("it succeeded"),
    }
}
