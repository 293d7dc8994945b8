//! What can go wrong between the tree and its store.

use claviger_kms::KmsError;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody wrote in between; read again and decide anew.
    #[error("the key store changed meanwhile: {what}")]
    Conflict {
        /// What changed.
        what: String,
    },
    /// Another process has this store open.
    #[error("{reason}")]
    InUse {
        /// Which store, and the remedy.
        reason: String,
    },
    /// The store is not one of ours, is of a newer release, or is damaged.
    #[error("{reason}")]
    Unreadable {
        /// What was found, and the remedy.
        reason: String,
    },
    /// The store is out of reach, locked or full.
    #[error("the key store is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
}

impl From<StoreError> for KmsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::conflict(error.to_string()),
            StoreError::InUse { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Unavailable { .. } => Self::unavailable(error.to_string()),
        }
    }
}
