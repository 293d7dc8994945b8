//! The texts a record may hold: short words from a strict alphabet.
//!
//! Invariant: each has one parser, so no control character, quotation mark, space or byte outside
//! ASCII reaches a record, and no word is long enough to carry a document.

use std::{fmt, str::FromStr};

use claviger_kms::KmsError;
use serde::{Deserialize, Serialize};

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Most characters.
            pub const MAX_LENGTH: usize = $most;

            /// The word as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = KmsError;

            fn from_str(text: &str) -> Result<Self, KmsError> {
                if text.is_empty() || text.len() > $most || !text.chars().all(is_plain) {
                    return Err(KmsError::invalid(concat!(
                        $what, " has 1 to ", $most, " characters of A-Z a-z 0-9 . _ : / + = @ # -"
                    )));
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = KmsError;

            fn try_from(text: String) -> Result<Self, KmsError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(
    /// The id another system gave the request, such as a trace id or a Kubernetes UID.
    ForeignId,
    "a foreign request id",
    128
);
word!(
    /// The name of the policy rule that decided.
    RuleWord,
    "the name of a rule",
    128
);

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '+' | '=' | '@' | '#' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_free_text() {
        let long = "a".repeat(129);
        for bad in ["", "a b", "a\n", "a\"", "a\\", "{", "ä", "\u{202e}", "a\0", &long] {
            assert!(bad.parse::<ForeignId>().is_err(), "{bad:?} was taken");
            assert!(bad.parse::<RuleWord>().is_err(), "{bad:?} was taken");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<ForeignId>(&json).is_err(), "{json} was taken");
        }
    }

    #[test]
    fn takes_the_ids_of_the_field() {
        for good in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "6f2c0a1e-5d3b-4c8f-9a7e-1b2c3d4e5f60",
            "dGVzdA==",
        ] {
            assert_eq!(good.parse::<ForeignId>().unwrap().to_string(), good);
        }
    }
}
