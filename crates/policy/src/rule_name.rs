//! The name of a rule, as decisions and audit records give it.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use claviger_kms::KmsError;
use serde::{Deserialize, Serialize};

/// The name of a rule: `[a-z0-9][a-z0-9-]{0,63}`. Cloning copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleName(Arc<str>);

impl RuleName {
    /// Most characters of a name.
    pub const MAX_LENGTH: usize = 64;

    pub(crate) fn of_schedule() -> Self {
        Self("schedule".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleName {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let begins = text.chars().next().is_some_and(plain);
        let clean = text.chars().all(|c| plain(c) || c == '-');
        if !begins || !clean || text.len() > Self::MAX_LENGTH {
            return Err(KmsError::invalid(format!(
                "a rule name has 1 to {} characters of a-z 0-9 - and begins with a letter or digit",
                Self::MAX_LENGTH
            )));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for RuleName {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for RuleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_name() {
        let long = "a".repeat(65);
        for bad in ["", "-a", "A", "a b", "a_b", "a/b", "a\n", "ä", "a.b", "*", &long] {
            assert!(bad.parse::<RuleName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn takes_the_longest_name_allowed() {
        for good in ["a", "0", "payments-seal", "a-", &"a".repeat(64)] {
            assert_eq!(good.parse::<RuleName>().unwrap().as_str(), good);
        }
    }
}
