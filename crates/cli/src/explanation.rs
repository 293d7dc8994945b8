//! What each kind of failure means, why it usually happens and what to do: one total match, printed by
//! `claviger explain` and, for the remedy, after every error.

use crate::problem::Problem;

/// A failure explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// What happened.
    pub(crate) meaning: &'static str,
    /// Why, most often.
    pub(crate) cause: &'static str,
    /// What to do, in one sentence; shown after every error of this kind. Empty where there is none.
    pub(crate) remedy: &'static str,
}

impl Problem {
    /// Meaning, likely cause and remedy.
    pub(crate) fn explanation(self) -> Explanation {
        let [meaning, cause, remedy] = match self {
            Self::Denied => [
                "The service does not allow it, or there is no such key. It never says which to \
                 somebody who may not know.",
                "The policy has no rule for this user, action, key and context; or the key path is \
                 misspelt.",
                "Check the key path, then ask for a rule in the service's policy",
            ],
            Self::InvalidRequest => [
                "An input is outside what the service or a format allows.",
                "A value, a context or a list is too long, or a file does not hold what was asked \
                 for. The message names the limit.",
                "Correct the input named here; repeating the command unchanged will not help",
            ],
            Self::CiphertextRejected => [
                "The ciphertext or envelope was not made with this key service and context, or it \
                 was altered or cut. Nobody is told which.",
                "Another encryption context than at sealing; an incomplete copy of a file; an \
                 envelope of another installation.",
                "Give the context it was made with, and compare the file with its source",
            ],
            Self::NotFound => [
                "The thing does not exist, and the caller may know that.",
                "A misspelt key path, or a version the key never had.",
                "List what there is with `claviger key tree`",
            ],
            Self::Conflict => [
                "It exists already, or was changed by somebody else meanwhile.",
                "The key was made before; two rotations at one time; an idempotency key used for \
                 another request.",
                "Look at the present state with `claviger key show` and decide again",
            ],
            Self::KeyUnusable => [
                "The key or the version is in a state that does not allow this use.",
                "The version is disabled, quarantined or pending, or the key has no primary \
                 version.",
                "See the states with `claviger key show`; an operator can enable or rotate",
            ],
            Self::Unsupported => [
                "This key service cannot do it.",
                "A purpose, protection level or operation that this service does not offer, or \
                 only on its admin socket.",
                "See what the service offers, or use the admin socket",
            ],
            Self::Unavailable => [
                "The service, its token, its store or its audit log is out of reach. The only \
                 failure for which repeating the same command later helps.",
                "clavigerd is not running or listens on another socket; the token is unplugged; \
                 the disk of the audit log is full.",
                "Start clavigerd, or name its sockets with --socket and --admin-socket \
                 (CLAVIGER_SOCKET, CLAVIGER_ADMIN_SOCKET); then repeat",
            ],
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
