//! One rule: who, what, which keys, and whether that is allowed or denied.

use std::collections::BTreeSet;

use claviger_kms::Action;
use serde::Deserialize;

use crate::{Question, RuleName, key_glob::KeyGlob, principal_glob::PrincipalGlob};

/// What a matching rule does. `Deny` sorts first: it wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    Deny,
    #[default]
    Allow,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    pub(crate) name: RuleName,
    pub(crate) principals: Vec<PrincipalGlob>,
    pub(crate) actions: BTreeSet<Action>,
    pub(crate) keys: Vec<KeyGlob>,
}

impl Rule {
    /// Whether the rule speaks of this question, its actions apart. `path` is the segments of the
    /// question's key, split once for all rules.
    pub(crate) fn matches(&self, question: &Question<'_>, path: &[&str]) -> bool {
        self.principals.iter().any(|glob| glob.matches(question.principal))
            && self.keys.iter().any(|glob| glob.matches(path))
    }
}
