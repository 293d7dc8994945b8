//! What each kind of failure means, why it usually happens and what to do: one total match, printed by
//! `claviger explain` and, for the remedy, after every error. The service's own codes explain themselves.

use claviger_kms::{ErrorCode, Explanation};

use crate::problem::Problem;

impl Problem {
    /// Meaning, likely cause and remedy.
    pub(crate) fn explanation(self) -> Explanation {
        let [meaning, cause, remedy] = match self {
            Self::Denied => return ErrorCode::Denied.explanation(),
            Self::InvalidRequest => return ErrorCode::InvalidRequest.explanation(),
            Self::CiphertextRejected => return ErrorCode::CiphertextRejected.explanation(),
            Self::NotFound => return ErrorCode::NotFound.explanation(),
            Self::Conflict => return ErrorCode::Conflict.explanation(),
            Self::KeyUnusable => return ErrorCode::KeyUnusable.explanation(),
            Self::Unsupported => return ErrorCode::Unsupported.explanation(),
            Self::Unavailable => return ErrorCode::Unavailable.explanation(),
            Self::Usage => [
                "The command line is wrong. Nothing was done.",
                "A missing, misspelt or contradictory option.",
                "See `claviger help`",
            ],
            Self::NotAnEnvelope => [
                "The input is not an envelope, or not of the kind asked for.",
                "Another file; a file that was cut within its first 8,192 bytes; an envelope that \
                 was encoded for transport and not decoded.",
                "Check that it is the file meant, that it is whole, and that it is not encoded for transport",
            ],
            Self::UnknownFormat => [
                "The envelope has a format this release does not read.",
                "It was made by a newer release.",
                "Take the newer release",
            ],
            Self::HeadersDamaged => [
                "Both headers of a sealed file are damaged, so its data key cannot be found.",
                "A disk error, or something wrote over the beginning of the file.",
                "Restore its first 8,192 bytes from any copy, also one made before a rewrap",
            ],
            Self::NoService => [
                "None of the key services that wrapped the envelope's data key was given.",
                "It was sealed under another vendor's key service only.",
                "See its providers with `claviger inspect`",
            ],
            Self::SourceUnavailable => [
                "A database or store that a campaign file names is out of reach. Nothing was lost; repeating the same \
                 command later helps.",
                "The database is down or too busy; the connection in the campaign file leads elsewhere.",
                "Start the database, or mend the connection in the campaign file; then repeat",
            ],
            Self::OutputExists => [
                "The output exists, and was left as it is.",
                "The command ran before, or the name is taken.",
                "Give another output, or --force where the command has it",
            ],
            Self::FileError => [
                "Reading or writing a file of yours failed. An output was not made, and nothing \
                 half-written is left behind.",
                "No such file, no permission, a full disk. The message has the operating system's \
                 words.",
                "",
            ],
            Self::Partial => [
                "Of many files some were done and some were not.",
                "Each file that was not done was named with its own reason.",
                "Mend what was named and repeat the command: what is done is skipped",
            ],
            Self::CampaignPartial => [
                "The campaign ended, and some envelopes were not moved; none was harmed.",
                "Rows that kept changing or stayed locked, bytes that are no envelope, another \
                 context, a version that may not be used, or a source that went out of reach.",
                "Look at the places named in the report, mend them, and run the campaign again",
            ],
            Self::OutputClosed => [
                "Whoever read the output went away before its end.",
                "A pipe into something like `head`.",
                "",
            ],
            Self::Unexpected => [
                "Something happened that this program did not foresee.",
                "A defect, or a service that answers against its protocol.",
                "Please report it with the message",
            ],
        };
        Explanation { meaning, cause, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_explained_and_remedies_are_sentences_without_their_end() {
        for problem in Problem::ALL {
            let Explanation { meaning, cause, remedy } = problem.explanation();
            assert!(meaning.ends_with('.') && cause.ends_with('.'), "{problem:?}");
            assert!(!remedy.ends_with('.') && !remedy.contains("  "), "{problem:?}");
        }
    }
}
