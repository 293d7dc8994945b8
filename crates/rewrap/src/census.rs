//! A census: every place of every source looked at once, read-only, and counted by the key versions it names.
//!
//! Invariants: the counts of a source add up to what was scanned; a place is counted under every version that any
//! of its wraps names, in both headers of a file; a source that was not looked at to its end says so and why. No
//! key and no service is needed: versions are read from headers, which are claims.

mod tally;
mod text;

use std::collections::BTreeMap;

use claviger_kms::{CampaignName, KeyId, KeyPath, KeyVersion, Timestamp};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{CampaignFile, Findings, Source};
pub(crate) use tally::Tally;

/// What a census found.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Census {
    /// The campaign file's name.
    pub name: CampaignName,
    /// The key the file is about; envelopes of every key are counted.
    pub key: KeyPath,
    /// When it began.
    pub begun_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether every source named was looked at to its end.
    pub complete: bool,
    /// By `key id/version`, over all sources.
    pub versions: BTreeMap<String, Named>,
    /// Each source.
    pub sources: BTreeMap<String, SourceCensus>,
    /// What no census can see: it is for a person to answer for.
    pub not_seen: Vec<&'static str>,
}

/// How often one key version is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Named {
    /// Places that name it at least once.
    pub places: u64,
    /// Wraps that name it: a place has up to four in each header, a file two headers.
    pub wraps: u64,
}

/// What one source holds. `scanned` is the sum of `empty`, `envelopes`, `bare_keys`, `foreign`, `malformed` and
/// `unreadable`.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SourceCensus {
    /// When the look at it began.
    pub begun_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether it came to the source's end.
    pub complete: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Places looked at.
    pub scanned: u64,
    /// Without anything.
    pub empty: u64,
    /// With an envelope that names at least one key version.
    pub envelopes: u64,
    /// With a wrapped key or value that is no envelope, such as a blind index's key.
    pub bare_keys: u64,
    /// With an envelope of other key services only, whose versions are not readable.
    pub foreign: u64,
    /// With bytes that are none of these, or damaged.
    pub malformed: u64,
    /// That could not be read.
    pub unreadable: u64,
    /// Headers of files that are damaged beside one that is whole.
    pub damaged_headers: u64,
    /// By `key id/version`; at most 1,000.
    pub versions: BTreeMap<String, Named>,
    /// Wraps of further key versions, beyond the 1,000.
    pub wraps_beyond: u64,
    /// The first 20 places of each kind that needs a look.
    pub findings: Findings,
}

/// Looks at every source once, one after the other, until `stop` is asked for. A source that fails is told of in
/// its part, and the others are looked at all the same.
pub async fn census(
    file: &CampaignFile,
    sources: &[std::sync::Arc<dyn Source>],
    stop: &CancellationToken,
) -> Census {
    let begun_at = Timestamp::now();
    let mut counted = BTreeMap::new();
    for source in sources {
        let tally = look_at(file, source.as_ref(), None, stop).await;
        counted.insert(source.name().to_owned(), tally.census);
    }
    let mut versions: BTreeMap<String, Named> = BTreeMap::new();
    for (name, named) in counted.values().flat_map(|source| &source.versions) {
        let sum = versions.entry(name.clone()).or_default();
        sum.places += named.places;
        sum.wraps += named.wraps;
    }
    Census {
        name: file.name.clone(),
        key: file.key.clone(),
        begun_at,
        ended_at: Timestamp::now(),
        complete: counted.values().all(|source| source.complete),
        versions,
        sources: counted,
        not_seen: NOT_SEEN.to_vec(),
    }
}

/// One look at one source; places that name `wanted` are counted apart and told of.
pub(crate) async fn look_at(
    file: &CampaignFile,
    source: &dyn Source,
    wanted: Option<(KeyId, KeyVersion)>,
    stop: &CancellationToken,
) -> Tally {
    let mut tally = Tally::new(wanted);
    let mut after = None;
    let ended = loop {
        if stop.is_cancelled() {
            break Err("it was asked to stop".to_owned());
        }
        let scan = || source.scan(after.as_ref(), file.batch);
        match file.patience.try_until(stop, scan).await {
            Ok(batch) => {
                batch.items.iter().for_each(|item| tally.count(item));
                let Some(next) = batch.next else { break Ok(()) };
                after = Some(next);
            }
            Err(error) => break Err(error.to_string()),
        }
    };
    tally.end(ended);
    tally
}

impl SourceCensus {
    /// Whether the parts add up to what was scanned.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let Self { empty, envelopes, bare_keys, foreign, malformed, unreadable, .. } = self;
        empty + envelopes + bare_keys + foreign + malformed + unreadable == self.scanned
    }
}

const NOT_SEEN: [&str; 5] = [
    "sources that the campaign file does not name: other tables, replicas, exports, backups, object versions",
    "files that a source's include patterns leave out, and links",
    "what was written to a place after it was looked at, and envelopes on their way to a source",
    "whether an envelope opens: key ids and versions are read from headers, which are claims",
    "data keys that somebody holds in memory",
];
