//! Who asks: a namespaced identity, never flattened.
//!
//! Invariant: a principal says how it was named (`uds:uid=1000`, `spiffe://example.org/payments`,
//! `local:NAME` inside one process), holds no control character and compares byte by byte.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::KmsError;

/// The identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal(String);

impl Principal {
    /// Most bytes of a principal (the limit of SPIFFE IDs).
    pub const MAX_LENGTH: usize = 2048;

    /// The process at the other end of a Unix socket runs as this user.
    #[must_use]
    pub fn of_uid(uid: u32) -> Self {
        Self(format!("uds:uid={uid}"))
    }

    /// The service itself, when it does by schedule what was decided before.
    #[must_use]
    pub fn of_schedule() -> Self {
        Self("local:schedule".to_owned())
    }

    /// The principal as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Principal {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        let namespaced = ["uds:uid=", "spiffe://", "local:"]
            .iter()
            .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        let clean = text.chars().all(|c| c.is_ascii_graphic());
        if !namespaced || !clean || text.len() > Self::MAX_LENGTH {
            return Err(KmsError::invalid(
                "a principal is uds:uid=NUMBER, spiffe://DOMAIN/PATH or local:NAME, \
                 at most 2048 visible ASCII characters",
            ));
        }
        if let Some(uid) = text.strip_prefix("uds:uid=") {
            let canonical = uid.parse::<u32>().is_ok_and(|n| n.to_string() == uid);
            if !canonical {
                return Err(KmsError::invalid("uds:uid= is followed by a user id such as 1000"));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Principal {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_identities_without_namespace_or_with_control_characters() {
        for bad in [
            "",
            "root",
            "uid=0",
            "uds:uid=",
            "uds:uid=01",
            "uds:uid=-1",
            "uds:uid=0 ",
            "spiffe://",
            "spiffe://a\n",
            "spiffe://a/\u{202e}b",
            "local:",
            "local:a b",
        ] {
            assert!(bad.parse::<Principal>().is_err(), "{bad:?} was taken");
        }
        assert_eq!(Principal::of_uid(7).to_string().parse(), Ok(Principal::of_uid(7)));
    }
}
