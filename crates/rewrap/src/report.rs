//! What a run did: as JSON for programs, as lines for people. Its counts add up to what was scanned.

use std::{collections::BTreeMap, fmt};

use claviger_kms::{
    CampaignCounts, CampaignId, CampaignMode, CampaignName, KeyPath, KeyVersion, KmsError,
};
use serde::Serialize;

use crate::Findings;

/// The end of a run.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its name.
    pub name: CampaignName,
    /// The key.
    pub key: KeyPath,
    /// What was done with each envelope.
    pub mode: CampaignMode,
    /// The version envelopes were moved to, or a newer one.
    pub target: KeyVersion,
    /// The key of another service that envelopes were moved to instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<KeyPath>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where it is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the key service said, where the run failed.
    #[serde(skip)]
    pub error: Option<KmsError>,
    /// Seconds it took.
    pub seconds: f64,
    /// All passes of this run over all sources.
    pub total: CampaignCounts,
    /// Each source.
    pub sources: BTreeMap<String, SourceReport>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing is left to move.
    Complete,
    /// Something is left: the counts and reasons say what.
    Partial,
    /// It was asked to stop, and goes on when it is run again.
    Stopped,
    /// Somebody cancelled the campaign.
    Cancelled,
    /// Another runner works on this campaign.
    Superseded,
    /// It could not go on: the reason says why.
    Failed,
}

/// What became of one source.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct SourceReport {
    /// Passes finished.
    pub passes: u32,
    /// All passes of this run.
    pub total: CampaignCounts,
    /// The last pass alone: what is left now.
    pub last_pass: CampaignCounts,
    /// Why it was not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the last pass left alone: the first 20 places of each kind.
    pub findings: Findings,
}

impl Outcome {
    /// The word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match &self.moved_to {
            Some(key) => format!("{key} of the other key service"),
            None => format!("version {}", self.target),
        };
        writeln!(
            f,
            "campaign {} ({}): {} of {} to {to}: {}",
            self.name,
            self.campaign,
            self.mode,
            self.key,
            self.outcome.as_str()
        )?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  {reason}")?;
        }
        for (name, source) in &self.sources {
            let (total, last) = (&source.total, &source.last_pass);
            writeln!(f, "{name}: {} moved in {} passes", total.moved, source.passes)?;
            writeln!(
                f,
                "  last pass: scanned {} = moved {} + current {} + empty {} + gone {} + conflicts {} + \
                 foreign {} + malformed {} + refused {}",
                last.scanned,
                last.moved,
                last.current,
                last.empty,
                last.gone,
                last.conflicts,
                last.foreign,
                last.malformed,
                last.refused
            )?;
            if let Some(reason) = &source.reason {
                writeln!(f, "  not finished: {reason}")?;
            }
            for (kind, places) in source.findings.kinds() {
                for place in places {
                    writeln!(f, "  {kind}: {} ({})", place.locator, place.reason)?;
                }
            }
        }
        Ok(())
    }
}
