//! Why the log cannot be opened, or why an entry is not durable.

use std::{io, path::PathBuf, time::Duration};

use claviger_kms::KmsError;

/// What is wrong with the log, for the operator. Callers of the service see only that it is
/// unavailable: the conversion to [`KmsError`] names no path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A value of the configuration is outside its limits.
    #[error("the configuration of the audit log: {reason}")]
    Configuration {
        /// Names the value, its limits and the remedy.
        reason: String,
    },
    /// The directory or a file in it cannot be used.
    #[error("the audit log cannot use {}: {source}", path.display())]
    Unusable {
        /// The directory or file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another process holds the log.
    #[error("another process writes the audit log in {}; stop it first", directory.display())]
    InUse {
        /// The log's directory.
        directory: PathBuf,
    },
    /// The log was altered, or is not whole.
    #[error(
        "{} is damaged in line {line}: {what}. The log is not opened. Keep the directory for \
         examination: move it aside, and a new log is begun",
        file.display()
    )]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// The line, from 1; 0 for the file as a whole.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// There is no room left that this entry may use. Nothing was written.
    #[error(
        "the audit log in {} is full: make room on its file system; it goes on by itself",
        directory.display()
    )]
    Full {
        /// The log's directory.
        directory: PathBuf,
    },
    /// The log cannot be written. The entry may have reached the disk nevertheless.
    #[error("the audit log cannot be written: {reason}")]
    Failing {
        /// What failed, and where.
        reason: String,
    },
    /// The entry was not durable in time. It may become so later, if the disk answers again.
    #[error("the audit entry was not durable within {deadline:?}")]
    TimedOut {
        /// The longest wait.
        deadline: Duration,
    },
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
}

impl From<AuditError> for KmsError {
    fn from(error: AuditError) -> Self {
        Self::unavailable(match error {
            AuditError::Configuration { .. }
            | AuditError::Unusable { .. }
            | AuditError::InUse { .. }
            | AuditError::Damaged { .. } => "the audit log is not open",
            AuditError::Full { .. } => "the audit log is full",
            AuditError::Failing { .. } => "the audit log cannot be written",
            AuditError::TimedOut { .. } => "the audit log did not answer in time",
            AuditError::Closed => "the service is stopping",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_learn_no_path_and_may_retry() {
        let full = AuditError::Full { directory: "/var/log/claviger".into() };
        assert!(full.to_string().contains("/var/log/claviger"));
        let shown = KmsError::from(full);
        assert!(!shown.to_string().contains("/var"));
        assert!(shown.is_retryable());
    }
}
