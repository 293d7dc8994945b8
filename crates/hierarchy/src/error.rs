//! Why a tree cannot be opened. Errors of later operations are `KmsError`s.

use std::io;

use claviger_keystore::StoreError;
use claviger_kms::KmsError;
use claviger_root_key::TokenError;

/// Why the tree was not opened, or the ceremony not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No ceremony was held on this store.
    #[error("the key store has no root yet; run `clavigerd root init` once")]
    NoRoot,
    /// A ceremony was held already.
    #[error(
        "the key store has a root already; it is left as it is (`clavigerd root verify` checks it)"
    )]
    RootExists,
    /// The token's root is not the one recorded at the ceremony.
    #[error("the root key is not the one of the ceremony: {reason}")]
    WrongRoot {
        /// What was expected and what was found.
        reason: String,
    },
    /// The store is older than what the audit log has seen.
    #[error(
        "the key store was rolled back: its generation is {found}, the audit log has seen {expected}. \
         If this is a restore that you mean to keep, run `clavigerd root accept-restore`"
    )]
    RolledBack {
        /// Generation of the store.
        found: u64,
        /// Highest generation in the audit log.
        expected: u64,
    },
    /// Something in the store does not match its MAC or contradicts the head.
    #[error("the key store was altered or damaged: {reason}; restore a backup")]
    Tampered {
        /// What does not match.
        reason: String,
    },
    /// Memory for keys could not be mapped or, where that is required, locked.
    #[error("memory for keys: {source}")]
    Memory {
        /// What the operating system said.
        source: io::Error,
    },
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The key store, or a key operation.
    #[error(transparent)]
    Kms(#[from] KmsError),
}

impl OpenError {
    pub(crate) fn tampered(reason: impl Into<String>) -> Self {
        Self::Tampered { reason: reason.into() }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Kms(error.into())
    }
}

impl From<claviger_cobblestone::Error> for OpenError {
    fn from(error: claviger_cobblestone::Error) -> Self {
        Self::Kms(error.into())
    }
}
