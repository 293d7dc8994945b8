//! The kinds of failure this tool tells apart, each with a stable code and an exit code.
//!
//! Eight of them are the service's own error codes, the others concern envelopes and the user's files.
//! Invariant: every mapping from here on is a total match. Only the two matches that read enums of other
//! crates, which may grow, have a last arm; tests walk all that those crates have today.

use claviger_envelope::EnvelopeError;
use claviger_kms::ErrorCode;

use crate::Exit;

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Problem {
    Denied,
    InvalidRequest,
    CiphertextRejected,
    NotFound,
    Conflict,
    KeyUnusable,
    Unsupported,
    Unavailable,
    Usage,
    NotAnEnvelope,
    UnknownFormat,
    HeadersDamaged,
    NoService,
    SourceUnavailable,
    OutputExists,
    FileError,
    Partial,
    CampaignPartial,
    OutputClosed,
    Unexpected,
}

impl Problem {
    /// Every kind: the service's first.
    pub(crate) const ALL: [Self; 20] = [
        Self::Denied,
        Self::InvalidRequest,
        Self::CiphertextRejected,
        Self::NotFound,
        Self::Conflict,
        Self::KeyUnusable,
        Self::Unsupported,
        Self::Unavailable,
        Self::Usage,
        Self::NotAnEnvelope,
        Self::UnknownFormat,
        Self::HeadersDamaged,
        Self::NoService,
        Self::SourceUnavailable,
        Self::OutputExists,
        Self::FileError,
        Self::Partial,
        Self::CampaignPartial,
        Self::OutputClosed,
        Self::Unexpected,
    ];

    /// The kind with this code.
    pub(crate) fn with_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.code() == code)
    }

    /// The stable code, as in JSON and for `claviger explain`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Denied => ErrorCode::Denied.as_str(),
            Self::InvalidRequest => ErrorCode::InvalidRequest.as_str(),
            Self::CiphertextRejected => ErrorCode::CiphertextRejected.as_str(),
            Self::NotFound => ErrorCode::NotFound.as_str(),
            Self::Conflict => ErrorCode::Conflict.as_str(),
            Self::KeyUnusable => ErrorCode::KeyUnusable.as_str(),
            Self::Unsupported => ErrorCode::Unsupported.as_str(),
            Self::Unavailable => ErrorCode::Unavailable.as_str(),
            Self::Usage => "usage",
            Self::NotAnEnvelope => "not-an-envelope",
            Self::UnknownFormat => "unknown-format",
            Self::HeadersDamaged => "headers-damaged",
            Self::NoService => "no-service",
            Self::SourceUnavailable => "source-unavailable",
            Self::OutputExists => "output-exists",
            Self::FileError => "file-error",
            Self::Partial => "partial",
            Self::CampaignPartial => "campaign-partial",
            Self::OutputClosed => "output-closed",
            Self::Unexpected => "unexpected",
        }
    }

    /// How the run ends.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Denied => Exit::Denied,
            Self::InvalidRequest | Self::NotAnEnvelope | Self::HeadersDamaged => Exit::InvalidInput,
            Self::CiphertextRejected => Exit::Rejected,
            Self::NotFound => Exit::NotFound,
            Self::Conflict | Self::OutputExists => Exit::Conflict,
            Self::KeyUnusable => Exit::KeyUnusable,
            Self::Unsupported | Self::UnknownFormat | Self::NoService => Exit::Unsupported,
            Self::Unavailable | Self::SourceUnavailable => Exit::Unavailable,
            Self::Usage => Exit::Usage,
            Self::FileError => Exit::File,
            Self::Partial => Exit::Partial,
            Self::CampaignPartial => Exit::CampaignPartial,
            Self::OutputClosed => Exit::OutputClosed,
            Self::Unexpected => Exit::Unexpected,
        }
    }

    /// Whether the same command may succeed when repeated later, unchanged.
    pub(crate) fn is_retryable(self) -> bool {
        self.exit() == Exit::Unavailable
    }
}

impl From<ErrorCode> for Problem {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Denied => Self::Denied,
            ErrorCode::InvalidRequest => Self::InvalidRequest,
            ErrorCode::CiphertextRejected => Self::CiphertextRejected,
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Conflict => Self::Conflict,
            ErrorCode::KeyUnusable => Self::KeyUnusable,
            ErrorCode::Unsupported => Self::Unsupported,
            ErrorCode::Unavailable => Self::Unavailable,
            _ => Self::Unexpected,
        }
    }
}

impl From<&EnvelopeError> for Problem {
    fn from(error: &EnvelopeError) -> Self {
        match error {
            EnvelopeError::NotAnEnvelope { .. } => Self::NotAnEnvelope,
            EnvelopeError::UnknownFormat { .. } => Self::UnknownFormat,
            EnvelopeError::HeadersTorn => Self::HeadersDamaged,
            EnvelopeError::Rejected => Self::CiphertextRejected,
            EnvelopeError::NoService { .. } => Self::NoService,
            EnvelopeError::Kms { source } => Self::from(source.code()),
            EnvelopeError::OutputExists { .. } => Self::OutputExists,
            EnvelopeError::Io { .. } => Self::FileError,
            _ => Self::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_service_is_known_and_ends_with_an_exit_code_of_its_own() {
        let mut exits = Vec::new();
        for code in ErrorCode::ALL {
            let problem = Problem::from(code);
            assert_eq!(problem.code(), code.as_str());
            assert_ne!(problem.exit(), Exit::Unexpected, "{problem:?}");
            assert!(!exits.contains(&problem.exit()), "{problem:?}");
            exits.push(problem.exit());
        }
    }

    #[test]
    fn no_code_is_used_twice_and_none_ends_in_success() {
        for problem in Problem::ALL {
            assert_eq!(Problem::with_code(problem.code()), Some(problem));
            assert_ne!(problem.exit(), Exit::Success);
        }
        assert_eq!(Problem::with_code("no-such-code"), None);
    }

    #[test]
    fn only_what_is_out_of_reach_is_worth_repeating() {
        let away = [Problem::Unavailable, Problem::SourceUnavailable];
        for problem in Problem::ALL {
            assert_eq!(problem.is_retryable(), away.contains(&problem), "{problem:?}");
        }
    }
}
