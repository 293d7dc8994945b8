//! What a pass met and left alone: how many of each kind, and where the first ones are. Never their contents.

use std::collections::BTreeMap;

use serde::Serialize;

/// The first places of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(BTreeMap<&'static str, Vec<Finding>>);

/// One place, and why it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Such as `users id=17`.
    pub locator: String,
    /// Why.
    pub reason: String,
}

impl Findings {
    /// Most places told of each kind.
    pub const MOST: usize = 20;

    /// The places of a kind: `foreign`, `malformed`, `refused`, `conflict`.
    #[must_use]
    pub fn of(&self, kind: &str) -> &[Finding] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Every kind and its places.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &[Finding])> {
        self.0.iter().map(|(kind, places)| (*kind, places.as_slice()))
    }

    pub(crate) fn add(&mut self, kind: &'static str, locator: &str, reason: impl Into<String>) {
        let places = self.0.entry(kind).or_default();
        if places.len() < Self::MOST {
            places.push(Finding { locator: locator.to_owned(), reason: reason.into() });
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        for (kind, found) in other.0 {
            let places = self.0.entry(kind).or_default();
            places.extend(found);
            places.truncate(Self::MOST);
        }
    }
}
