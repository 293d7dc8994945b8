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
    /// The change was not one that a store takes: too large, a number skipped, a name not allowed.
    #[error("the key store refused a change: {reason}")]
    Refused {
        /// Which rule it breaks.
        reason: String,
    },
    /// This store is open already, in this process or another.
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

/// For callers: what stands in the way of their request, but no path and no word of the store's own.
/// Whoever makes a [`StoreError`] that is not a conflict writes it to the log first.
impl From<StoreError> for KmsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::conflict(error.to_string()),
            StoreError::Refused { .. } => Self::invalid(error.to_string()),
            StoreError::InUse { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Unavailable { .. } => {
                Self::unavailable("the key store is not available; the service's log says why")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_learns_nothing_of_the_stores_place() {
        let reason = "/var/lib/claviger/keys.db: disk full".to_owned();
        for error in [
            StoreError::InUse { reason: reason.clone() },
            StoreError::Unreadable { reason: reason.clone() },
            StoreError::Unavailable { reason },
        ] {
            let told = KmsError::from(error);
            assert!(matches!(told, KmsError::Unavailable { .. }));
            assert!(!told.to_string().contains("/var"), "{told}");
        }
    }
}
