//! What can go wrong when an envelope is sealed, opened, read or moved.
//!
//! Invariant: every cryptographic rejection, the key service's and the payload's, is the one variant
//! [`EnvelopeError::Rejected`], which says nothing. What can be seen without a key (no envelope, a newer
//! format, a torn header) is said plainly.

use std::{io, path::PathBuf};

use claviger_cobblestone as cobblestone;
use claviger_kms::KmsError;

/// `Result` of everything here.
pub type Result<T, E = EnvelopeError> = std::result::Result<T, E>;

/// Why an envelope was not sealed, opened, read or moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// These bytes are not an envelope, or not of the kind asked for.
    #[error("not a Claviger envelope: {reason}")]
    NotAnEnvelope {
        /// What was found, and what was expected.
        reason: String,
    },
    /// An envelope of a format this release does not know.
    #[error("the envelope has format {format}; this release reads format 1, take a newer one")]
    UnknownFormat {
        /// The format found.
        format: u8,
    },
    /// Neither header slot of a file is whole, so its data key cannot be found.
    #[error("both headers of the file are damaged; restore its first 8192 bytes from a backup")]
    HeadersTorn,
    /// The envelope was not made with this key and context, or was altered or cut. Says no more.
    #[error("the envelope was rejected")]
    Rejected,
    /// None of the wraps is of a provider that was given.
    #[error("no key service was given for the envelope's providers: {providers}")]
    NoService {
        /// The names of the providers that could open it.
        providers: String,
    },
    /// The key service refused or failed; its own error.
    #[error("{source}")]
    Kms {
        /// What it said.
        source: KmsError,
    },
    /// The output exists and was not to be replaced. Nothing was changed.
    #[error("{} exists already; nothing was written", path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// A file, a stream or a directory gave an error.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The error.
        source: io::Error,
    },
}

impl EnvelopeError {
    pub(crate) fn not_an_envelope(reason: impl Into<String>) -> Self {
        Self::NotAnEnvelope { reason: reason.into() }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The error of a payload that stands in `medium`, such as "writing the envelope".
    pub(crate) fn of_payload(doing: &str, error: impl Into<cobblestone::Error>) -> Self {
        match error.into() {
            cobblestone::Error::Rejected => Self::Rejected,
            cobblestone::Error::Io { source } => Self::Io { doing: doing.to_owned(), source },
            other => Self::from(KmsError::from(other)),
        }
    }
}

impl From<KmsError> for EnvelopeError {
    fn from(source: KmsError) -> Self {
        match source {
            KmsError::Rejected => Self::Rejected,
            source => Self::Kms { source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_the_same_wherever_it_comes_from() {
        let of_service = EnvelopeError::from(KmsError::Rejected);
        let of_payload = EnvelopeError::of_payload("x", cobblestone::Error::Rejected);
        let of_stream =
            EnvelopeError::of_payload("x", io::Error::from(cobblestone::Error::Rejected));
        for error in [of_service, of_payload, of_stream] {
            assert_eq!(error.to_string(), "the envelope was rejected");
        }
    }

    #[test]
    fn an_error_of_the_medium_says_what_was_being_done() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let error = EnvelopeError::of_payload("writing the envelope", source);
        assert!(error.to_string().starts_with("writing the envelope failed: "));
    }
}
