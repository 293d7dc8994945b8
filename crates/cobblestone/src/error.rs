//! What can go wrong when a message is sealed or opened.
//!
//! Invariant: whatever is wrong with a message (salt, commitment, a chunk, its order, its length, the
//! key or the context) is the one variant [`Error::Rejected`], which says nothing more. Errors of the
//! medium beneath are passed on as they are and are never taken for a rejection.

use std::io;

use claviger_kms::KmsError;

/// `Result` of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a message was not sealed or not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The message was not made with this key and context, or was altered or cut. Says no more.
    #[error("the ciphertext was rejected")]
    Rejected,
    /// The plaintext is longer than a message can hold.
    #[error("a message holds at most {limit} bytes of plaintext")]
    TooLong {
        /// Most bytes of plaintext in one message, 2^52 - 1.
        limit: u64,
    },
    /// The medium beneath gave an error.
    #[error("reading or writing the ciphertext failed: {source}")]
    Io {
        /// The error it gave.
        source: io::Error,
    },
    /// The operating system gives no random bytes for the salt.
    #[error("no salt for the message: {source}")]
    Random {
        /// The error it gave.
        source: KmsError,
    },
    /// The cipher could not be set up or used: out of memory, or a defect of the library.
    #[error("the AES-256-GCM library failed")]
    CipherFailed,
}

impl From<Error> for KmsError {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected => Self::Rejected,
            Error::TooLong { .. } => Self::invalid(error.to_string()),
            Error::Io { .. } | Error::CipherFailed => Self::unavailable(error.to_string()),
            Error::Random { source } => source,
        }
    }
}

/// For `Read` and `Write`: a rejection is of kind `InvalidData` and carries [`Error::Rejected`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { source } => source,
            Error::Rejected => Self::new(io::ErrorKind::InvalidData, error),
            Error::TooLong { .. } => Self::new(io::ErrorKind::FileTooLarge, error),
            Error::Random { .. } | Error::CipherFailed => Self::other(error),
        }
    }
}

/// The way back: what a [`Reader`](crate::Reader) or [`Writer`](crate::Writer) said through `io` is
/// itself again.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|source| Self::Io { source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_survives_the_way_through_io_and_stays_silent() {
        let through = io::Error::from(Error::Rejected);
        assert_eq!(through.kind(), io::ErrorKind::InvalidData);
        assert!(matches!(Error::from(through), Error::Rejected));
        assert_eq!(KmsError::from(Error::Rejected), KmsError::Rejected);
    }

    #[test]
    fn an_error_of_the_medium_is_never_a_rejection() {
        let error = Error::from(io::Error::from(io::ErrorKind::InvalidData));
        assert!(matches!(error, Error::Io { .. }));
        assert!(KmsError::from(error).is_retryable());
    }

    #[test]
    fn too_long_names_the_limit() {
        let error = KmsError::from(Error::TooLong { limit: 7 });
        assert_eq!(error.to_string(), "a message holds at most 7 bytes of plaintext");
    }
}
