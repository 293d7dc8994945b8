//! What the tests of the log share.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of it; helpers of tests"
)]

use std::path::{Path, PathBuf};

use claviger_audit::{
    AuditConfig, AuditDecision, AuditLog, AuditResult, Digest, Entry, Record, Recovered,
    StateChange, read_segment, segments,
};
use claviger_kms::{Action, KeyId, Principal, RequestId};
use tempfile::TempDir;

/// The smallest log that the configuration allows.
pub(crate) fn small(directory: &Path) -> AuditConfig {
    let mut config = AuditConfig::in_directory(directory);
    config.segment_bytes = 4 << 20;
    config.reserve_bytes = 1 << 20;
    config
}

/// A directory for a log that does not exist yet.
pub(crate) fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("audit");
    (home, directory)
}

pub(crate) async fn open(directory: &Path) -> (AuditLog, Recovered) {
    AuditLog::open(small(directory)).await.unwrap()
}

/// A decryption, about as large as a usual one.
pub(crate) fn entry() -> Entry {
    let request = RequestId::make_random().unwrap();
    let mut entry = Entry::new(request, Action::Decrypt, AuditDecision::Allowed, AuditResult::Done);
    entry.principal = Some(Principal::of_uid(1000));
    entry.key = Some("us-east-1/payments/cards".parse().unwrap());
    entry
}

/// A quarantine that may use the reserve.
pub(crate) fn emergency() -> Entry {
    let request = RequestId::make_random().unwrap();
    let mut entry = Entry::intent(request, Action::Quarantine, AuditDecision::Allowed);
    entry.emergency = true;
    entry
}

/// A rotation that names a generation of the store.
pub(crate) fn rotation(generation: u64) -> Entry {
    let request = RequestId::make_random().unwrap();
    let mut entry = Entry::new(request, Action::Rotate, AuditDecision::Allowed, AuditResult::Done);
    entry.change = Some(StateChange {
        key_id: KeyId::from_bytes([1; 16]),
        epoch: 1,
        record_hash: Digest::of(b"record"),
        generation,
    });
    entry
}

/// Appends so many entries, 256 at a time.
pub(crate) async fn fill(log: &AuditLog, count: usize) {
    let mut left = count;
    while left > 0 {
        let now = left.min(256);
        log.append_all((0..now).map(|_| entry()).collect()).await.unwrap();
        left -= now;
    }
}

/// Every record of the log; each line and the numbering across segments is verified.
pub(crate) fn records(directory: &Path) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    for path in segments(directory).unwrap() {
        let segment = read_segment(&path).unwrap();
        let next = all.last().map_or(1, |last| last.sequence.number() + 1);
        assert_eq!(segment.header().first_sequence.number(), next, "{}", path.display());
        all.extend(segment.map(Result::unwrap));
    }
    all
}
