//! Sealed columns and blind indexes in real databases: SQLite and PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "compares what was opened with what was sealed")]

mod blind_index;
mod end_to_end;
mod postgres;
mod sqlite;

use std::sync::Arc;

use claviger_envelope::{ColumnContext, EnvelopeError, Envelopes, Result, SealedColumn};
use claviger_kms::{CreateVersion, KeyManagementService, KeyPath, SecretBytes};
use claviger_testkit::MemoryKms;

/// What somebody stored unsealed by mistake: no error may quote it.
const UNSEALED: &str = "000-12-3456";

fn key() -> KeyPath {
    "eu/users".parse().unwrap()
}

fn service() -> Arc<MemoryKms> {
    Arc::new(MemoryKms::with_keys(&["eu/users", "eu/mail"]).unwrap())
}

fn ssn(row: i64) -> ColumnContext {
    ColumnContext::new("users", "ssn", row).unwrap()
}

async fn seal(envelopes: &Envelopes, row: i64, plaintext: &str) -> SealedColumn {
    envelopes.seal_column(&key(), &ssn(row), plaintext.as_bytes()).await.unwrap()
}

async fn rotate(service: &dyn KeyManagementService) {
    service.rotate(CreateVersion { key: key(), idempotency_key: None }).await.unwrap();
}

fn plain(opened: Result<SecretBytes>) -> String {
    opened.unwrap().with_bytes(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

fn is_rejected<T>(result: &Result<T>) -> bool {
    matches!(result, Err(EnvelopeError::Rejected))
}
