//! Globs over principals: `uds:uid=1000`, `spiffe://example.org/payments/*`, `local:**`.
//!
//! Invariants: the namespace (before the first `:`) is always literal and one that principals have, so
//! no rule speaks of two namespaces; a glob without `*` is a principal.

use claviger_kms::Principal;

use crate::wildcard::Wildcard;

#[derive(Debug)]
pub(crate) struct PrincipalGlob(Wildcard);

impl PrincipalGlob {
    /// Reads a glob; the error is a sentence for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('*') {
            text.parse::<Principal>().map_err(|error| format!("{text:?}: {error}"))?;
        }
        let namespace = text.split_once(':').map_or(text, |(namespace, _)| namespace);
        if !NAMESPACES.contains(&namespace) {
            return Err(format!(
                "{text:?} does not begin with a namespace; principals are in {}, and the namespace \
                 takes no `*`",
                NAMESPACES.join(":, ") + ":"
            ));
        }
        if text.len() > Principal::MAX_LENGTH || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(format!(
                "a principal has at most {} visible ASCII characters and no space",
                Principal::MAX_LENGTH
            ));
        }
        Wildcard::parse(text).map(Self).ok_or_else(|| {
            format!("{text:?} has three `*` in a row; `**` is any run of characters")
        })
    }

    pub(crate) fn matches(&self, principal: &Principal) -> bool {
        self.0.matches(principal.as_str())
    }
}

/// The namespaces [`Principal`] takes.
const NAMESPACES: [&str; 3] = ["uds", "spiffe", "local"];

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, principal: &str) -> bool {
        PrincipalGlob::parse(glob).unwrap().matches(&principal.parse().unwrap())
    }

    #[test]
    fn refuses_globs_in_the_namespace_and_what_no_principal_is() {
        let long = format!("local:{}*", "a".repeat(2048));
        for bad in [
            "",
            "*",
            "**",
            "*:uid=0",
            "u*s:uid=0",
            "spiffe*://example.org/a",
            "spiffe",
            "root",
            "http://example.org/*",
            "uds:uid=01",
            "uds:gid=1",
            "uds:1000",
            "local:",
            "local:a b*",
            "local:ä*",
            "local:a\n*",
            "local:a***",
            " local:*",
            "UDS:uid=*",
            &long,
        ] {
            assert!(PrincipalGlob::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_star_ends_at_a_slash() {
        assert!(matches("spiffe://example.org/payments/*", "spiffe://example.org/payments/a"));
        assert!(!matches("spiffe://example.org/payments/*", "spiffe://example.org/payments/a/b"));
        assert!(!matches("spiffe://example.org/payments/*", "spiffe://example.org/payments"));
        assert!(matches("spiffe://example.org/**", "spiffe://example.org/payments/a/b"));
        assert!(!matches("spiffe://example.org/**", "spiffe://example.org.evil/payments"));
        assert!(!matches("spiffe://*", "spiffe://example.org/a"));
        assert!(matches("uds:uid=*", "uds:uid=1000"));
        assert!(!matches("uds:uid=1000", "uds:uid=10000"));
        assert!(!matches("local:**", "uds:uid=0"));
    }

    #[test]
    fn every_namespace_is_one_that_principals_have() {
        for (namespace, example) in
            NAMESPACES.into_iter().zip(["uds:uid=0", "spiffe://a/b", "local:a"])
        {
            assert!(example.starts_with(namespace));
            assert!(example.parse::<Principal>().is_ok());
            assert!(PrincipalGlob::parse(example).is_ok());
        }
    }
}
