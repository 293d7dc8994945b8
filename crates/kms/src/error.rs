//! What can go wrong with a use of a key, as the caller has to know it.
//!
//! Invariants: every cryptographic rejection is the one variant [`KmsError::Rejected`], which says
//! nothing; "not allowed" and "no such key" are the one variant [`KmsError::Denied`] to whoever has no
//! permission. Messages name the input, the limit and the remedy, never a secret.

use serde::{Deserialize, Serialize};

/// `Result` of every operation on keys.
pub type Result<T, E = KmsError> = std::result::Result<T, E>;

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// Not allowed, or no such key: the two look alike to whoever lacks permission.
    #[error("not allowed, or there is no such key")]
    Denied,
    /// The request cannot be carried out as it stands; repeating it will not help.
    #[error("{reason}")]
    Invalid {
        /// Names the input, the limit and the remedy.
        reason: String,
    },
    /// The ciphertext was not made by this key with this context, or was altered. Says no more.
    #[error("the ciphertext was rejected")]
    Rejected,
    /// The caller may know of the key, and it does not exist.
    #[error("{what} does not exist")]
    NotFound {
        /// The thing looked for.
        what: String,
    },
    /// The thing exists already, or changed meanwhile.
    #[error("{reason}")]
    Conflict {
        /// What stands in the way.
        reason: String,
    },
    /// The key or version is in a state that does not allow this use.
    #[error("{reason}")]
    KeyUnusable {
        /// The key, the version, its state and the remedy.
        reason: String,
    },
    /// This key service cannot do it; see its capabilities.
    #[error("{reason}")]
    Unsupported {
        /// What is not supported.
        reason: String,
    },
    /// The service, its token, its store or its audit log is out of reach; try again later.
    #[error("{reason}")]
    Unavailable {
        /// What is out of reach.
        reason: String,
    },
}

/// The kinds of [`KmsError`], with a stable code each, as they travel on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// [`KmsError::Denied`]
    Denied,
    /// [`KmsError::Invalid`]
    InvalidRequest,
    /// [`KmsError::Rejected`]
    CiphertextRejected,
    /// [`KmsError::NotFound`]
    NotFound,
    /// [`KmsError::Conflict`]
    Conflict,
    /// [`KmsError::KeyUnusable`]
    KeyUnusable,
    /// [`KmsError::Unsupported`]
    Unsupported,
    /// [`KmsError::Unavailable`]
    Unavailable,
}

impl ErrorCode {
    /// Every code, for documents and tests.
    pub const ALL: [Self; 8] = [
        Self::Denied,
        Self::InvalidRequest,
        Self::CiphertextRejected,
        Self::NotFound,
        Self::Conflict,
        Self::KeyUnusable,
        Self::Unsupported,
        Self::Unavailable,
    ];

    /// The code as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::InvalidRequest => "invalid-request",
            Self::CiphertextRejected => "ciphertext-rejected",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::KeyUnusable => "key-unusable",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the same request may succeed when repeated later, without any change.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self == Self::Unavailable
    }
}

impl KmsError {
    /// [`KmsError::Invalid`] with this reason.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    /// [`KmsError::NotFound`] of this thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// [`KmsError::Conflict`] with this reason.
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into() }
    }

    /// [`KmsError::KeyUnusable`] with this reason.
    pub fn key_unusable(reason: impl Into<String>) -> Self {
        Self::KeyUnusable { reason: reason.into() }
    }

    /// [`KmsError::Unsupported`] with this reason.
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self::Unsupported { reason: reason.into() }
    }

    /// [`KmsError::Unavailable`] with this reason.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into() }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Denied => ErrorCode::Denied,
            Self::Invalid { .. } => ErrorCode::InvalidRequest,
            Self::Rejected => ErrorCode::CiphertextRejected,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::KeyUnusable { .. } => ErrorCode::KeyUnusable,
            Self::Unsupported { .. } => ErrorCode::Unsupported,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
        }
    }

    /// The error a code and its message stand for: how a client turns an answer back into an error.
    #[must_use]
    pub fn from_code(code: ErrorCode, message: String) -> Self {
        match code {
            ErrorCode::Denied => Self::Denied,
            ErrorCode::InvalidRequest => Self::Invalid { reason: message },
            ErrorCode::CiphertextRejected => Self::Rejected,
            ErrorCode::NotFound => Self::NotFound {
                what: message.strip_suffix(" does not exist").unwrap_or(&message).to_owned(),
            },
            ErrorCode::Conflict => Self::Conflict { reason: message },
            ErrorCode::KeyUnusable => Self::KeyUnusable { reason: message },
            ErrorCode::Unsupported => Self::Unsupported { reason: message },
            ErrorCode::Unavailable => Self::Unavailable { reason: message },
        }
    }

    /// Whether the same request may succeed when repeated later, without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.code().is_retryable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for code in ErrorCode::ALL {
            let error = KmsError::from_code(code, "x does not exist".to_owned());
            assert_eq!(error.code(), code);
            assert_eq!(KmsError::from_code(code, error.to_string()), error);
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }

    #[test]
    fn only_unavailable_is_retryable() {
        for code in ErrorCode::ALL {
            let error = KmsError::from_code(code, String::new());
            assert_eq!(error.is_retryable(), code == ErrorCode::Unavailable);
        }
    }
}
