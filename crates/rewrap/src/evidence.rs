//! What a runner can say towards evidence: gates that stand and have settled, and two whole scans of every source.
//!
//! Invariant: the first scan of a source begins after its gate was seen closed with every older transaction ended;
//! the second begins after the first of all sources; gates are looked at again after the last scan. It judges
//! nothing: what the facts come to is the service's to say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use claviger_kms::{KeyId, KeyVersion, ScanFacts, SourceFacts};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    CampaignFile, Closes, Findings, Gate, GateState, Result, Source, SourceError, SourceSettings,
    census::look_at,
};

/// Facts of every source, for [`SubmitEvidence`](claviger_kms::SubmitEvidence).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gathered {
    /// By the source's name.
    pub sources: BTreeMap<String, SourceFacts>,
    /// Places of the last scan that name the version.
    pub found: u64,
    /// What the scans met that needs a look, by the source's name.
    pub findings: BTreeMap<String, Findings>,
}

/// Gathers facts about one version until `stop` is asked for. Waits, as long as the file's `give-up-seconds` say,
/// for transactions older than a gate.
///
/// # Errors
/// A source without gate and without `max-hold-seconds`, a gate that was altered or opened, an older transaction
/// that does not end, a source out of reach.
pub async fn gather(
    file: &CampaignFile,
    sources: &[Arc<dyn Source>],
    (key, version): (KeyId, KeyVersion),
    stop: &CancellationToken,
) -> Result<Gathered> {
    let closes = Closes { key, version };
    let mut gathered = Gathered { sources: BTreeMap::new(), found: 0, findings: BTreeMap::new() };
    for settings in &file.sources {
        let facts = gate_facts(file, settings, closes, stop).await;
        let facts = facts.map_err(|error| error.of(settings.name.as_str()))?;
        gathered.sources.insert(settings.name.to_string(), facts);
    }
    for _ in 0..2 {
        gathered.found = 0;
        for source in sources {
            let tally = look_at(file, source.as_ref(), Some((key, version)), stop).await;
            let (census, holding) = (tally.census, tally.holding);
            gathered.found += holding;
            let unreadable = census.malformed + census.unreadable;
            let scan = ScanFacts {
                begun_at: census.begun_at,
                ended_at: census.ended_at,
                complete: census.complete,
                scanned: census.scanned,
                holding,
                unreadable,
                others: census.scanned - holding - unreadable,
            };
            if let Some(facts) = gathered.sources.get_mut(source.name()) {
                facts.scans.push(scan);
            }
            gathered.findings.insert(source.name().to_owned(), census.findings);
        }
    }
    for settings in &file.sources {
        let facts = gathered.sources.get(settings.name.as_str());
        let still = still_closed(settings, closes, facts).await;
        still.map_err(|error| error.of(settings.name.as_str()))?;
    }
    Ok(gathered)
}

async fn gate_facts(
    file: &CampaignFile,
    settings: &SourceSettings,
    closes: Closes,
    stop: &CancellationToken,
) -> Result<SourceFacts, SourceError> {
    let gate = Gate::of(settings, closes)?;
    let hold = settings.max_hold.map(|hold| hold.as_secs());
    let begun = Instant::now();
    loop {
        let state = file.patience.try_until(stop, || gate.state()).await?;
        match (state, hold) {
            (GateState::Closed { .. }, _) => {}
            (GateState::Altered { reason }, _) => return Err(SourceError::unusable(reason)),
            (_, Some(_)) => {
                return Ok(SourceFacts { gate: None, max_hold_seconds: hold, scans: Vec::new() });
            }
            (GateState::Unsupported, None) => {
                return Err(SourceError::unusable(
                    "it cannot have a write gate: declare max-hold-seconds in the campaign file",
                ));
            }
            (_, None) => {
                return Err(SourceError::unusable(
                    "its write gate is open: close it with `claviger gate sql FILE --version N --apply`",
                ));
            }
        }
        if let Some(facts) = file.patience.try_until(stop, || gate.settled()).await? {
            return Ok(SourceFacts {
                gate: Some(facts),
                max_hold_seconds: None,
                scans: Vec::new(),
            });
        }
        if stop.is_cancelled() || begun.elapsed() > file.patience.longest() {
            return Err(SourceError::unreachable(
                "a transaction older than the gate still runs; end it, or try again later",
            ));
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Whether the gate that the scans rested on is the one that stands now.
async fn still_closed(
    settings: &SourceSettings,
    closes: Closes,
    facts: Option<&SourceFacts>,
) -> Result<(), SourceError> {
    let Some(gate) = facts.and_then(|facts| facts.gate.as_ref()) else { return Ok(()) };
    match Gate::of(settings, closes)?.state().await? {
        GateState::Closed { closed_at, .. } if closed_at == gate.closed_at => Ok(()),
        _ => Err(SourceError::unusable("its write gate was opened or altered during the scans")),
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
