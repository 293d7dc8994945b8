//! What is asked of a policy, and what it answers.

use claviger_kms::{Action, EncryptionContext, KeyPath, KmsError, Principal, Timestamp};

use crate::RuleName;

/// Everything a decision may depend on beside the action.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// For which key.
    pub key: &'a KeyPath,
    /// With which encryption context (empty where the operation has none).
    pub context: &'a EncryptionContext,
    /// When.
    pub at: Timestamp,
}

/// The answer, with the rule it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allowed {
        /// The allowing rule with the smallest name.
        rule: RuleName,
    },
    /// Denied.
    Denied {
        /// The denying rule with the smallest name; `None` when no rule says anything.
        rule: Option<RuleName>,
    },
}

impl Decision {
    /// Whether it is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// The rule the decision rests on.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleName> {
        match self {
            Self::Allowed { rule } => Some(rule),
            Self::Denied { rule } => rule.as_ref(),
        }
    }
}

/// A refusal. Its text is for logs and audit records; callers see [`KmsError::Denied`], which does
/// not tell a missing key from a forbidden one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{action} is denied{}", .rule.as_ref().map_or_else(
    || ": no rule allows it".to_owned(),
    |rule| format!(" by rule {rule}"),
))]
pub struct Denial {
    action: Action,
    rule: Option<RuleName>,
}

impl Denial {
    pub(crate) fn new(action: Action, rule: Option<RuleName>) -> Self {
        Self { action, rule }
    }

    /// What was asked for.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The denying rule; `None` when no rule allows it.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleName> {
        self.rule.as_ref()
    }
}

impl From<Denial> for KmsError {
    fn from(_: Denial) -> Self {
        Self::Denied
    }
}
