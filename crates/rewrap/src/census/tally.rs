//! Counting one source's places.

use std::collections::{BTreeMap, BTreeSet};

use claviger_kms::{Ciphertext, KeyId, KeyVersion, Timestamp};

use super::{Named, SourceCensus};
use crate::{Content, Findings, Item, decide::Found, engine::look};

/// Counts under way.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) census: SourceCensus,
    /// Places that name the version wanted.
    pub(crate) holding: u64,
    wanted: Option<(KeyId, KeyVersion)>,
}

impl Tally {
    pub(super) fn new(wanted: Option<(KeyId, KeyVersion)>) -> Self {
        let now = Timestamp::now();
        let census = SourceCensus {
            begun_at: now,
            ended_at: now,
            complete: false,
            reason: None,
            scanned: 0,
            empty: 0,
            envelopes: 0,
            bare_keys: 0,
            foreign: 0,
            malformed: 0,
            unreadable: 0,
            damaged_headers: 0,
            versions: BTreeMap::new(),
            wraps_beyond: 0,
            findings: Findings::default(),
        };
        Self { census, holding: 0, wanted }
    }

    pub(super) fn count(&mut self, item: &Item) {
        let census = &mut self.census;
        census.scanned += 1;
        if let Content::File(file) = &item.content {
            census.damaged_headers +=
                file.slots().into_iter().filter(Option::is_none).count() as u64;
        }
        let (found, _, why) = look(&item.content);
        let keys = match found {
            Found::Empty => {
                census.empty += 1;
                return;
            }
            Found::Envelope(keys) if keys.is_empty() => {
                census.foreign += 1;
                let why = "an envelope of other key services only";
                census.findings.add("foreign", &item.locator, why);
                return;
            }
            Found::Envelope(keys) => {
                census.envelopes += 1;
                keys
            }
            Found::Malformed => match (bare_key(&item.content), &item.content) {
                (Some(key), _) => {
                    census.bare_keys += 1;
                    vec![key]
                }
                (None, Content::Unreadable(_)) => {
                    census.unreadable += 1;
                    census.findings.add("unreadable", &item.locator, why);
                    return;
                }
                (None, _) => {
                    census.malformed += 1;
                    census.findings.add("malformed", &item.locator, why);
                    return;
                }
            },
        };
        self.count_keys(&keys, &item.locator);
    }

    fn count_keys(&mut self, keys: &[(KeyId, KeyVersion)], locator: &str) {
        let distinct: BTreeSet<_> = keys.iter().collect();
        for pair in distinct {
            let (id, version) = pair;
            let wraps = keys.iter().filter(|key| *key == pair).count() as u64;
            let name = format!("{id}/{version}");
            let versions = &mut self.census.versions;
            if versions.len() < MOST_VERSIONS || versions.contains_key(&name) {
                let named: &mut Named = versions.entry(name).or_default();
                named.places += 1;
                named.wraps += wraps;
            } else {
                self.census.wraps_beyond += wraps;
            }
            if self.wanted.as_ref() == Some(pair) {
                self.holding += 1;
                self.census.findings.add("holding", locator, "it names the version");
            }
        }
    }

    pub(super) fn end(&mut self, ended: Result<(), String>) {
        self.census.ended_at = Timestamp::now();
        self.census.complete = ended.is_ok();
        self.census.reason = ended.err();
    }
}

/// A ciphertext of the service that stands for itself.
fn bare_key(content: &Content) -> Option<(KeyId, KeyVersion)> {
    let Content::Bytes(bytes) = content else { return None };
    let ciphertext = Ciphertext::parse(bytes).ok()?;
    Some((ciphertext.key_id(), ciphertext.version()))
}

const MOST_VERSIONS: usize = 1000;
