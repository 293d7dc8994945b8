//! What can be asked of the service: the words that policies grant and audit records name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::KmsError;

/// Something a principal can be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Encrypt a value.
    Encrypt,
    /// Decrypt a value or a data key.
    Decrypt,
    /// Make a data key, plain and wrapped.
    DataKey,
    /// Make a data key, wrapped only.
    DataKeyWrapped,
    /// Move a ciphertext to the primary version.
    Rewrap,
    /// Sign.
    Sign,
    /// Verify a signature.
    Verify,
    /// Make a key.
    Create,
    /// Make a version, or promote it.
    Rotate,
    /// Stop a key in an emergency.
    Quarantine,
    /// Disable a version or key.
    Disable,
    /// Enable a version or key.
    Enable,
    /// Schedule or cancel the destruction of a version.
    Destroy,
    /// Open or close a write gate.
    Gate,
    /// Submit evidence that nothing needs a version.
    Evidence,
    /// See keys and versions, never their material.
    ReadMetadata,
    /// Read the audit log.
    ReadAudit,
    /// Read or reload the policy.
    Policy,
    /// Approve another person's request.
    Approve,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 19] = [
        Self::Encrypt,
        Self::Decrypt,
        Self::DataKey,
        Self::DataKeyWrapped,
        Self::Rewrap,
        Self::Sign,
        Self::Verify,
        Self::Create,
        Self::Rotate,
        Self::Quarantine,
        Self::Disable,
        Self::Enable,
        Self::Destroy,
        Self::Gate,
        Self::Evidence,
        Self::ReadMetadata,
        Self::ReadAudit,
        Self::Policy,
        Self::Approve,
    ];

    /// The action's word in policies, audit records and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::DataKey => "data-key",
            Self::DataKeyWrapped => "data-key-wrapped",
            Self::Rewrap => "rewrap",
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Create => "create",
            Self::Rotate => "rotate",
            Self::Quarantine => "quarantine",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Destroy => "destroy",
            Self::Gate => "gate",
            Self::Evidence => "evidence",
            Self::ReadMetadata => "read-metadata",
            Self::ReadAudit => "read-audit",
            Self::Policy => "policy",
            Self::Approve => "approve",
        }
    }
}

impl FromStr for Action {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            KmsError::invalid(format!("{text:?} is not an action; actions are {known}"))
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_word() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{action}\""));
        }
        assert!("Encrypt".parse::<Action>().is_err());
    }
}
