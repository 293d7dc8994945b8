//! A look at every source that changes nothing: what there is, of which key and version, and what would move.

use std::collections::BTreeMap;

use claviger_kms::{CampaignCounts, KeyManagementService, KeyPath, KeyVersion, KmsError};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    CampaignFile, Destination, Findings, Result, Source,
    decide::{self, Found, Goal, Step},
    engine::look,
};

/// What a campaign would find.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The key.
    pub key: KeyPath,
    /// Its primary version, to which envelopes would move.
    pub primary: KeyVersion,
    /// The key of another service to which they would move instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<KeyPath>,
    /// Whether every source was looked at to its end.
    pub whole: bool,
    /// Envelopes that would move.
    pub to_move: u64,
    /// The least seconds a run takes at the file's rate, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_at_rate: Option<u64>,
    /// Each source.
    pub sources: BTreeMap<String, SourcePlan>,
}

/// What one source holds.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct SourcePlan {
    /// Places looked at.
    pub scanned: u64,
    /// Envelopes that would move.
    pub to_move: u64,
    /// Envelopes that are current.
    pub current: u64,
    /// Places without an envelope.
    pub empty: u64,
    /// Envelopes by `key id/version`, all wraps and headers counted: at most 1,000 pairs.
    pub versions: BTreeMap<String, u64>,
    /// Envelopes of other keys.
    pub foreign: u64,
    /// Not envelopes.
    pub malformed: u64,
    /// Envelopes that cannot be moved as they are.
    pub refused: u64,
    /// The first places of each kind.
    pub findings: Findings,
}

/// Looks at every source until `stop` is asked for; with a destination at what would move there.
///
/// # Errors
/// When the key or a source is out of reach.
pub async fn plan(
    service: &dyn KeyManagementService,
    destination: Option<&Destination>,
    file: &CampaignFile,
    sources: &[std::sync::Arc<dyn Source>],
    stop: &CancellationToken,
) -> Result<Plan> {
    let describe = || service.describe_key(&file.key);
    let key = file.patience.try_until(stop, describe).await?;
    let Some(primary) = key.primary else {
        return Err(KmsError::key_unusable(format!("{} has no primary version", file.key)).into());
    };
    let newest = key.versions.iter().map(|version| version.version).max().unwrap_or(primary);
    let goal = match destination {
        Some(destination) => destination.goal(&key, file, stop).await?,
        None => Goal::Version { key: key.id, primary, newest },
    };
    let mut whole = true;
    let mut plans = BTreeMap::new();
    for source in sources {
        let mut found = SourcePlan::default();
        let mut after = None;
        loop {
            if stop.is_cancelled() {
                whole = false;
                break;
            }
            let scan = || source.scan(after.as_ref(), file.batch);
            let batch = file.patience.try_until(stop, scan).await;
            let batch = batch.map_err(|error| error.of(source.name()))?;
            batch.items.iter().for_each(|item| found.count(item, &goal));
            let Some(next) = batch.next else { break };
            after = Some(next);
        }
        plans.insert(source.name().to_owned(), found);
    }
    let to_move = plans.values().map(|plan: &SourcePlan| plan.to_move).sum::<u64>();
    let seconds_at_rate = file.rate.map(|rate| to_move.div_ceil(u64::from(rate)));
    Ok(Plan {
        key: file.key.clone(),
        primary,
        moved_to: destination.map(|destination| destination.key.clone()),
        whole,
        to_move,
        seconds_at_rate,
        sources: plans,
    })
}

impl SourcePlan {
    fn count(&mut self, item: &crate::Item, goal: &Goal) {
        let (found, _, why) = look(&item.content);
        let step = decide::step(&found, goal);
        if let Found::Envelope(keys) = &found {
            for (id, version) in keys {
                let name = format!("{id}/{version}");
                if self.versions.len() < MOST_VERSIONS || self.versions.contains_key(&name) {
                    *self.versions.entry(name).or_default() += 1;
                }
            }
        }
        let mut counts = CampaignCounts::default();
        match (step, &item.context) {
            (Step::Move, Ok(_)) => {
                self.to_move += 1;
                counts.scanned = 1;
            }
            (step, _) => decide::count_left(&mut counts, step),
        }
        let kind = match (step, &item.context) {
            (Step::Malformed, _) => Some(("malformed", why)),
            (Step::Foreign, _) => Some(("foreign", "of another key".to_owned())),
            (Step::UnknownVersion, _) => {
                Some(("refused", "it claims a version that the key does not have".to_owned()))
            }
            (Step::Move, Err(reason)) => Some(("refused", reason.clone())),
            _ => None,
        };
        if let Some((kind, reason)) = kind {
            self.findings.add(kind, &item.locator, reason);
        }
        self.scanned += counts.scanned;
        self.current += counts.current;
        self.empty += counts.empty;
        self.foreign += counts.foreign;
        self.malformed += counts.malformed;
        self.refused += counts.refused;
    }
}

const MOST_VERSIONS: usize = 1000;
