//! How the log is, for the health report and the metrics.

use claviger_kms::Timestamp;
use serde::Serialize;

/// The state of the log at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct AuditHealth {
    /// What is wrong, if anything is.
    pub failing: Option<Failing>,
    /// Bytes that ordinary entries can still use without a new segment being allocated.
    pub room_bytes: u64,
    /// Bytes that emergency entries can still use beyond that.
    pub reserve_bytes: u64,
    /// Whether the room is really allocated on the disk; not every file system can do it.
    pub preallocated: bool,
    /// The number the next record gets.
    pub next_sequence: u64,
    /// Records made durable since the log was opened.
    pub records: u64,
    /// Synchronisations (`fdatasync`) that made them so.
    pub syncs: u64,
}

impl AuditHealth {
    /// Whether entries can be made durable.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failing.is_none()
    }
}

/// Since when and why entries are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Failing {
    /// Since when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
    /// Why, for the operator: names paths.
    pub reason: String,
}
