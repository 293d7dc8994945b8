//! What each error code means, why it usually happens and what to do: the one place where that is written,
//! read by `claviger explain` and by the OpenAPI document.

use crate::ErrorCode;

/// A kind of failure, explained for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What happened; sentences.
    pub meaning: &'static str,
    /// Why, most often; sentences.
    pub cause: &'static str,
    /// What to do: one sentence without its full stop. Empty where there is nothing to say.
    pub remedy: &'static str,
}

impl ErrorCode {
    /// Meaning, likely cause and remedy.
    #[must_use]
    pub fn explanation(self) -> Explanation {
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
                "List keys with `claviger key tree`, and campaigns with `claviger campaign status`",
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
        };
        Explanation { meaning, cause, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_in_sentences() {
        for code in ErrorCode::ALL {
            let Explanation { meaning, cause, remedy } = code.explanation();
            assert!(meaning.ends_with('.') && cause.ends_with('.'), "{code:?}");
            assert!(!remedy.is_empty() && !remedy.ends_with('.'), "{code:?}");
            assert!(![meaning, cause, remedy].join(" ").contains("  "), "{code:?}");
        }
    }
}
