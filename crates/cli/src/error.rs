//! What a command can fail with, and how it is told: one line for people, one object for programs.
//!
//! Invariant: text that came from elsewhere (the service, file names) is shown without control
//! characters, so that nothing can write to the terminal in our name.

use std::{io, path::PathBuf};

use claviger_envelope::EnvelopeError;
use claviger_kms::KmsError;
use serde_json::json;

use crate::{problem::Problem, reply::printable};

/// `Result` of every command.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line does not make sense.
    #[error("{reason}")]
    Usage {
        /// Names the option and the remedy.
        reason: String,
    },
    /// The key service refused or failed.
    #[error("{source}")]
    Kms {
        #[from]
        source: KmsError,
    },
    /// An envelope could not be sealed, opened, read or moved.
    #[error("{source}")]
    Envelope {
        #[from]
        source: EnvelopeError,
    },
    /// The envelope was rejected after a part of its plaintext was already given out.
    #[error(
        "the envelope was rejected after {released} bytes of its plaintext were written: what \
         follows is altered or missing, so the output is not the whole and must not be used"
    )]
    Incomplete {
        /// Bytes given out; each was verified, but their end never came.
        released: u64,
    },
    /// The output exists and was not to be replaced.
    #[error("{} exists already; nothing was written", path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// Of many files some could not be done.
    #[error("{failed} could not be done; each was named above, the others are done")]
    Partial {
        /// How many.
        failed: u64,
    },
    /// A campaign ended, and something was left.
    #[error("the campaign {name} is partial: something was left, its report above says what")]
    CampaignPartial {
        /// Its name.
        name: String,
    },
    /// A campaign's source is out of reach.
    #[error("{reason}")]
    Source {
        /// Which, and what was said.
        reason: String,
    },
    /// A file gave an error.
    #[error("{doing} failed: {source}")]
    File {
        /// What was being done, with the file's name.
        doing: String,
        source: io::Error,
    },
    /// Nobody reads the output any more.
    #[error("the reader of the output went away")]
    OutputClosed,
    /// What nobody foresaw.
    #[error("{source:#}")]
    Unexpected {
        #[from]
        source: anyhow::Error,
    },
}

impl CliError {
    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::Usage { reason: reason.into() }
    }

    /// For `map_err`: an error of a file while `doing` this.
    pub(crate) fn file(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::File { doing, source }
    }

    /// For `map_err`: an error of the standard output, where a reader that went away is no failure
    /// of ours.
    pub(crate) fn output(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::File { doing: "writing to the standard output".to_owned(), source }
    }

    /// Its kind.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Usage { .. } => Problem::Usage,
            Self::Kms { source } => Problem::from(source.code()),
            Self::Envelope { source } => Problem::from(source),
            Self::Incomplete { .. } => Problem::CiphertextRejected,
            Self::OutputExists { .. } => Problem::OutputExists,
            Self::Partial { .. } => Problem::Partial,
            Self::CampaignPartial { .. } => Problem::CampaignPartial,
            Self::Source { .. } => Problem::SourceUnavailable,
            Self::File { .. } => Problem::FileError,
            Self::OutputClosed => Problem::OutputClosed,
            Self::Unexpected { .. } => Problem::Unexpected,
        }
    }

    /// `claviger: what. remedy`, in one line. A message of the service that has a remedy of its own has
    /// it after a semicolon.
    pub(crate) fn to_line(&self) -> String {
        let message = printable(&self.to_string());
        let end = if message.ends_with(['.', '?', '!']) { "" } else { "." };
        match self.problem().explanation().remedy {
            _ if matches!(self, Self::Kms { .. }) && message.contains("; ") => {
                format!("claviger: {message}{end}")
            }
            "" => format!("claviger: {message}{end}"),
            remedy => format!("claviger: {message}{end} {remedy}."),
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let problem = self.problem();
        error_object(problem, &self.to_string())
    }
}

/// `{"error":{"code","message","retryable"}}`.
pub(crate) fn error_object(problem: Problem, message: &str) -> serde_json::Value {
    json!({"error": {
        "code": problem.code(),
        "message": message,
        "retryable": problem.is_retryable(),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    #[test]
    fn an_error_is_one_line_of_what_and_remedy() {
        let error = CliError::from(KmsError::not_found("the key eu/pay"));
        assert_eq!(
            error.to_line(),
            "claviger: the key eu/pay does not exist. \
             List keys with `claviger key tree`, and campaigns with `claviger campaign status`."
        );
        assert_eq!(error.problem().exit(), Exit::NotFound);
    }

    /// After "let another one run `claviger approve`, then repeat" stood "an operator can enable or rotate".
    #[test]
    fn a_remedy_of_its_own_is_not_followed_by_a_general_one() {
        let error = CliError::from(KmsError::key_unusable("this needs a second person; ask one"));
        assert_eq!(error.to_line(), "claviger: this needs a second person; ask one.");
    }

    #[test]
    fn a_service_cannot_write_to_the_terminal_through_an_error() {
        let error = CliError::from(KmsError::conflict("\u{1b}]0;owned\u{7}\r\nclaviger: done"));
        assert!(!error.to_line().chars().any(char::is_control));
    }

    #[test]
    fn a_program_reads_code_message_and_whether_to_repeat() {
        let error = CliError::from(KmsError::unavailable("away"));
        let object = json!({
            "error": {"code": "unavailable", "message": "away", "retryable": true}
        });
        assert_eq!(error.to_json(), object);
    }

    #[test]
    fn a_broken_pipe_is_not_a_broken_file() {
        let broken = CliError::output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(broken.problem().exit(), Exit::OutputClosed);
        let full = CliError::output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.problem().exit(), Exit::File);
    }

    #[test]
    fn a_rejection_ends_alike_wherever_it_comes_from() {
        for error in [
            CliError::from(KmsError::Rejected),
            CliError::from(EnvelopeError::Rejected),
            CliError::Incomplete { released: 65_536 },
        ] {
            assert_eq!(error.problem().exit(), Exit::Rejected);
        }
    }
}
