//! The audit log as an auditor reads it.

use std::path::Path;

use claviger_audit::{Record, read_segment, segments};

/// Every record of the log in this directory, in order.
///
/// # Panics
/// When a line is damaged.
#[must_use]
pub fn audit_trail(directory: &Path) -> Vec<Record> {
    let segments = segments(directory).unwrap();
    segments.iter().flat_map(|path| read_segment(path).unwrap()).map(Result::unwrap).collect()
}

/// Fails unless the log in this directory numbers its records from 1, without a gap.
///
/// # Panics
/// When it does not.
pub fn assert_unbroken(directory: &Path) {
    let trail = audit_trail(directory);
    for (expected, record) in (1..).zip(&trail) {
        assert_eq!(record.sequence.number(), expected, "of {} records", trail.len());
    }
}
