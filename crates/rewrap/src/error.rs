//! What ends a campaign, and what goes wrong at a source.
//!
//! Invariant: no message holds an envelope, a context or a connection string.

use std::path::PathBuf;

use claviger_envelope::EnvelopeError;
use claviger_kms::KmsError;

/// `Result` of everything here.
pub type Result<T, E = CampaignError> = std::result::Result<T, E>;

/// Why a campaign was not run, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The campaign file cannot be used.
    #[error("{}{place}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `:line:column`, or nothing.
        place: String,
        /// What is wrong, with the key's name.
        reason: String,
    },
    /// A source cannot be used as it was declared, or gave an error that repeating does not cure.
    #[error("source {source_name}: {source}")]
    Source {
        /// The source's name.
        source_name: String,
        /// What it said.
        source: SourceError,
    },
    /// The key service, or its register of campaigns, refused or failed.
    #[error("{source}")]
    Kms {
        /// What it said.
        #[from]
        source: KmsError,
    },
}

/// What goes wrong at a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Out of reach, or too busy: worth repeating.
    #[error("out of reach: {reason}")]
    Unreachable {
        /// What was being done, and the error.
        reason: String,
    },
    /// Repeating does not help.
    #[error("{reason}")]
    Unusable {
        /// The table, column, file or right that is missing, and the remedy.
        reason: String,
    },
}

impl SourceError {
    pub(crate) fn unreachable(reason: impl ToString) -> Self {
        Self::Unreachable { reason: reason.to_string() }
    }

    pub(crate) fn unusable(reason: impl ToString) -> Self {
        Self::Unusable { reason: reason.to_string() }
    }

    pub(crate) fn of(self, source: &str) -> CampaignError {
        CampaignError::Source { source_name: source.to_owned(), source: self }
    }
}

impl From<EnvelopeError> for CampaignError {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::Kms { source } => Self::Kms { source },
            EnvelopeError::Rejected => Self::Kms { source: KmsError::Rejected },
            other => Self::Kms { source: KmsError::invalid(other.to_string()) },
        }
    }
}
