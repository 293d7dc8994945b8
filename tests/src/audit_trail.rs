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
