//! Key paths: `us-east-1/payments/cards`.
//!
//! Invariant: there is one parser and every path in the system went through it. A path has 1 to 8
//! segments, each `[a-z0-9][a-z0-9._-]{0,62}`; so there is no `..`, no empty segment, no upper case, no
//! percent sign, and equality of bytes is equality of keys.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::KmsError;

/// The name of a region or service key in the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPath(String);

impl KeyPath {
    /// Most segments a path may have.
    pub const MAX_DEPTH: usize = 8;
    /// Most characters a segment may have.
    pub const MAX_SEGMENT: usize = 63;

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, region first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Number of segments: 1 for a region.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.segments().count()
    }

    /// Whether this names a region key, which stands directly under the root.
    #[must_use]
    pub fn is_region(&self) -> bool {
        !self.0.contains('/')
    }

    /// The key above, or `None` for a region, which stands under the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(above, _)| Self(above.to_owned()))
    }

    /// Whether this is `above` itself or stands anywhere below it.
    #[must_use]
    pub fn is_at_or_under(&self, above: &Self) -> bool {
        self.0.strip_prefix(&above.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for KeyPath {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        if text.is_empty() {
            return Err(KmsError::invalid(format!("the key path is empty; {RULE}")));
        }
        let longest = Self::MAX_DEPTH * (Self::MAX_SEGMENT + 1);
        let depth = text.split('/').count();
        if depth > Self::MAX_DEPTH || text.len() > longest {
            return Err(KmsError::invalid(format!(
                "the key path has {depth} segments and {} characters; {RULE}",
                text.len()
            )));
        }
        for (index, segment) in text.split('/').enumerate() {
            check_segment(segment).map_err(|reason| {
                KmsError::invalid(format!("segment {} of the key path {reason}; {RULE}", index + 1))
            })?;
        }
        Ok(Self(text.to_owned()))
    }
}

fn check_segment(segment: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match segment.chars().next() {
        None => return Err("is empty".to_owned()),
        Some(first) if !plain(first) => return Err(format!("begins with {first:?}")),
        Some(_) => {}
    }
    if let Some(bad) = segment.chars().find(|&c| !plain(c) && !matches!(c, '.' | '_' | '-')) {
        return Err(format!("contains {bad:?}"));
    }
    if segment.len() > KeyPath::MAX_SEGMENT {
        return Err(format!("has {} characters", segment.len()));
    }
    Ok(())
}

const RULE: &str = "a key path is 1 to 8 segments joined by '/', each 1 to 63 characters of \
                    a-z 0-9 . _ - beginning with a letter or digit, such as us-east-1/payments";

impl TryFrom<String> for KeyPath {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<KeyPath> for String {
    fn from(path: KeyPath) -> Self {
        path.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_path() {
        let long = "a".repeat(64);
        let deep = ["a"; 9].join("/");
        let very_deep = vec!["a"; 300].join("/");
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "a/.",
            "A",
            "us-East-1",
            "a b",
            "a\0b",
            "-a",
            "a/%2e%2e",
            "ä",
            "a\n",
            "a\\b",
            &long,
            &deep,
            &very_deep,
        ] {
            assert!(bad.parse::<KeyPath>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn takes_the_longest_and_deepest_path_allowed() {
        let widest = vec!["a".repeat(63); 8].join("/");
        assert_eq!(widest.parse::<KeyPath>().unwrap().depth(), 8);
        assert!("a..b/0_-.".parse::<KeyPath>().is_ok());
    }

    #[test]
    fn a_sibling_with_the_same_beginning_is_not_below() {
        let path = |text: &str| text.parse::<KeyPath>().unwrap();
        assert!(path("eu/users").is_at_or_under(&path("eu")));
        assert!(path("eu").is_at_or_under(&path("eu")));
        assert!(!path("eu-west/users").is_at_or_under(&path("eu")));
        assert_eq!(path("eu/users/a").parent(), Some(path("eu/users")));
        assert_eq!(path("eu").parent(), None);
    }
}
