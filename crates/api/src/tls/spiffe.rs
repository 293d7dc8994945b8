//! SPIFFE IDs: `spiffe://trust-domain/path`, as the SPIFFE ID standard writes them.
//!
//! Invariant: one spelling for one identity. Upper case in the scheme or trust domain, a port, user
//! information, a query, a fragment, percent-encoding, an empty segment, `.` and `..` are refused.

use std::{fmt, str::FromStr};

use claviger_kms::{KmsError, Principal};
use serde::{Deserialize, Serialize};

/// A trust domain, such as `example.org`: whose certificates may name callers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl FromStr for TrustDomain {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self, KmsError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if text.is_empty() || text.len() > MAX_DOMAIN || !text.chars().all(plain) {
            return Err(KmsError::invalid(
                "a trust domain has 1 to 255 of the characters a-z, 0-9, '-', '_' and '.', such as \
                 example.org",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self, KmsError> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The trust domain and the principal of a workload's SPIFFE ID.
///
/// # Errors
/// What is wrong with it, without the text.
pub(crate) fn parse(text: &str) -> Result<(TrustDomain, Principal), &'static str> {
    if text.len() > Principal::MAX_LENGTH {
        return Err("it is longer than 2048 bytes");
    }
    let rest = text.strip_prefix("spiffe://").ok_or("it does not begin with spiffe://")?;
    let (domain, path) = rest.split_once('/').ok_or("it has no path")?;
    let domain: TrustDomain =
        domain.parse().map_err(|_| "its trust domain has other characters than a-z, 0-9, - _ .")?;
    if !path.split('/').all(is_segment) {
        return Err(
            "its path has an empty or relative segment, or other characters than letters, \
                    digits, - _ .",
        );
    }
    let principal = text.parse().map_err(|_| "it is no principal")?;
    Ok((domain, principal))
}

fn is_segment(segment: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(plain)
}

const MAX_DOMAIN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_every_other_spelling() {
        let long = format!("spiffe://example.org/{}", "a".repeat(2048));
        let wide = format!("spiffe://{}/a", "d".repeat(256));
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/./a",
            "spiffe://example.org/a/../b",
            "spiffe://example.org/%61",
            "spiffe://example.org/a?b=c",
            "spiffe://example.org/a#b",
            "spiffe://example.org:8443/a",
            "spiffe://user@example.org/a",
            "spiffe://user:word@example.org/a",
            "spiffe://Example.org/a",
            "spiffe://[::1]/a",
            "SPIFFE://example.org/a",
            "https://example.org/a",
            "spiffe:/example.org/a",
            "spiffe://example.org/a b",
            "spiffe://example.org/a\0",
            "spiffe://example.org/a\n",
            "spiffe://example.org/\u{e4}",
            "spiffe://ex\u{430}mple.org/a",
            " spiffe://example.org/a",
            &long,
            &wide,
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn takes_what_the_standard_allows_byte_for_byte() {
        let longest = format!("spiffe://example.org/{}", "a".repeat(2048 - 21));
        for good in ["spiffe://example.org/ns/Prod/sa/web-1", "spiffe://a_b-c.9/...", &longest] {
            let (_, principal) = parse(good).unwrap();
            assert_eq!(principal.as_str(), good);
        }
    }

    #[test]
    fn refuses_trust_domains_that_are_none() {
        for bad in ["", "Example.org", "a b", "spiffe://a", "a/b", "a:1", "*", "a*"] {
            assert!(bad.parse::<TrustDomain>().is_err(), "{bad:?} was taken");
        }
    }
}
