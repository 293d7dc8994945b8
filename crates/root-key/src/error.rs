//! What can go wrong between the service and the token.
//!
//! Every error of the module keeps the function and the return code. Retry defaults to no: only
//! [`TokenError::Unreachable`] and [`TokenError::TimedOut`] may be tried again, later.

use std::time::Duration;

use claviger_kms::KmsError;

/// Why the token did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The configuration does not lead to one token.
    #[error("{reason}")]
    Misconfigured {
        /// What was looked for, what was found, and the remedy.
        reason: String,
    },
    /// The PIN was refused. It is not tried again: tokens lock after 3 to 10 attempts.
    #[error(
        "the token refused the PIN ({code}); it is not tried again, since tokens lock: correct the PIN file and reload, or restart"
    )]
    PinRefused {
        /// The module's return code.
        code: String,
    },
    /// The object is not in the token.
    #[error("the token has no {what}")]
    ObjectMissing {
        /// What was looked for.
        what: String,
    },
    /// The object is not what it must be: planted, duplicated, extractable, or of other attributes.
    #[error("{reason}")]
    ObjectUnsafe {
        /// What was found and the remedy.
        reason: String,
    },
    /// The token is out of reach, or answered an error that does not say more.
    #[error("the token does not answer: {function} gave {code}")]
    Unreachable {
        /// The PKCS#11 function.
        function: &'static str,
        /// The module's return code.
        code: String,
    },
    /// The token refused the operation.
    #[error("the token refused {function}: {code}")]
    Refused {
        /// The PKCS#11 function.
        function: &'static str,
        /// The module's return code.
        code: String,
    },
    /// The call did not come back in time.
    #[error("the token did not answer {function} within {deadline:?}")]
    TimedOut {
        /// The question asked.
        function: &'static str,
        /// The deadline.
        deadline: Duration,
    },
}

impl From<TokenError> for KmsError {
    fn from(error: TokenError) -> Self {
        Self::unavailable(error.to_string())
    }
}
