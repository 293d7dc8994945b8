//! Evidence that nothing needs a key version any more: what a runner found beside the data, what a person
//! attests, and what the service makes of both.
//!
//! The service sees no source: it believes what the submitter reports of them, and holds it against what it knows
//! itself. What a scan cannot see (a backup, a copy, a source nobody named) is a person's word.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    CampaignName, EvidenceId, KeyId, KeyPath, KeyVersion, KmsError, Principal, Result, VersionUsage,
};

/// Evidence to submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitEvidence {
    /// The key.
    pub key: KeyPath,
    /// The version, disabled.
    pub version: KeyVersion,
    /// What was found at each source, by the source's name; 1 to 64.
    pub sources: BTreeMap<String, SourceFacts>,
    /// What a person says.
    pub attestation: Attestation,
}

/// What was found at one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceFacts {
    /// Its write gate, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateFacts>,
    /// Without a gate: the longest time, in seconds, that a writer holds an envelope before it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hold_seconds: Option<u64>,
    /// Whole looks at it, oldest first; two are needed.
    pub scans: Vec<ScanFacts>,
}

/// A write gate that was found in place and as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GateFacts {
    /// When it was closed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub closed_at: Timestamp,
    /// When every transaction older than it was seen to have ended.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub settled_at: Timestamp,
    /// SHA-256 of its definition, in hexadecimal.
    pub definition: String,
}

/// One look at every place of a source. `scanned` is the sum of `holding`, `unreadable` and `others`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ScanFacts {
    /// When it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub begun_at: Timestamp,
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub ended_at: Timestamp,
    /// Whether it came to the source's end.
    pub complete: bool,
    /// Places looked at.
    pub scanned: u64,
    /// Places that name the version.
    pub holding: u64,
    /// Places whose version cannot be read: garbage, damage, files without the right to read them.
    pub unreadable: u64,
    /// Places that are empty or name other versions or keys only.
    pub others: u64,
}

/// What a person says and answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// In his own words: that the sources named are all there are. 1 to 1,000 bytes.
    pub completeness: String,
    /// Until when backups are kept that hold envelopes of the version.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub backups_until: Timestamp,
    /// Issued minus found, as it was shown to him: wraps under the version of which no envelope was found.
    pub missing: u64,
}

/// Evidence as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Its identity, as the key's record names it.
    pub id: EvidenceId,
    /// The key.
    pub key: KeyPath,
    /// The key's identity.
    pub key_id: KeyId,
    /// The version.
    pub version: KeyVersion,
    /// By whom it was submitted; somebody else destroys.
    pub submitted_by: Principal,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub submitted_at: Timestamp,
    /// Since when the version was disabled.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub disabled_since: Timestamp,
    /// Since when nobody tried to use it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub quiet_since: Timestamp,
    /// Since when its uses were counted; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub counted_since: Option<Timestamp>,
    /// Wraps under it that were counted.
    pub issued: u64,
    /// Rewraps from it to newer versions that were counted; a repeated one is counted again.
    pub rewrapped: u64,
    /// Uses of every kind that were counted, refused ones too: one more, whatever the clock says, and the evidence
    /// does not stand.
    pub attempts: u64,
    /// What the person said.
    pub attestation: Attestation,
    /// What the runner reported.
    pub sources: BTreeMap<String, SourceFacts>,
}

impl SubmitEvidence {
    /// Most sources.
    pub const MAX_SOURCES: usize = 64;
    /// Most scans of one source.
    pub const MAX_SCANS: usize = 8;
    /// Most bytes of the person's words.
    pub const MAX_WORDS: usize = 1000;

    /// Checks the limits.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the limit, or the source whose counts do not add up.
    pub fn check(&self) -> Result<()> {
        let words = &self.attestation.completeness;
        if words.trim().is_empty() || words.len() > Self::MAX_WORDS {
            return Err(KmsError::invalid(format!(
                "the attestation of completeness has 1 to {} bytes, not {}",
                Self::MAX_WORDS,
                words.len()
            )));
        }
        if words.chars().any(char::is_control) {
            return Err(KmsError::invalid(
                "the attestation of completeness holds a control character; write it as one line of text",
            ));
        }
        if self.sources.len() > Self::MAX_SOURCES {
            return Err(KmsError::invalid(format!(
                "the evidence has {} sources; at most {} are allowed",
                self.sources.len(),
                Self::MAX_SOURCES
            )));
        }
        for (name, source) in &self.sources {
            let _: CampaignName = name.parse()?;
            source.check().map_err(|what| KmsError::invalid(format!("source {name}: {what}")))?;
        }
        Ok(())
    }
}

impl SourceFacts {
    fn check(&self) -> Result<(), String> {
        if self.scans.len() > SubmitEvidence::MAX_SCANS {
            return Err(format!("at most {} scans are allowed", SubmitEvidence::MAX_SCANS));
        }
        if !self.scans.iter().all(ScanFacts::adds_up) {
            return Err("the counts of a scan do not add up to what was scanned".to_owned());
        }
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match &self.gate {
            Some(gate) if !is_hash(&gate.definition) => {
                Err("the gate's definition is a SHA-256 in hexadecimal".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl ScanFacts {
    /// Whether the parts add up to what was scanned.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let parts = [self.holding, self.unreadable, self.others];
        parts.into_iter().try_fold(0, u64::checked_add) == Some(self.scanned)
    }
}

impl VersionUsage {
    /// How often anybody wrapped under the version, and rewrapped from it.
    #[must_use]
    pub fn issued_and_rewrapped(&self) -> (u64, u64) {
        self.callers.iter().fold((0, 0), |(wraps, rewraps), caller| {
            (wraps.saturating_add(caller.wraps.count), rewraps.saturating_add(caller.rewraps.count))
        })
    }

    /// How often anybody tried to use the version, refused or not.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        let of = |caller: &crate::CallerUsage| {
            let kinds = [caller.wraps, caller.unwraps, caller.rewraps, caller.refused];
            kinds.iter().fold(0, |sum: u64, uses| sum.saturating_add(uses.count))
        };
        self.callers.iter().map(of).fold(0, u64::saturating_add)
    }

    /// The last wrap by anybody was not later than this; none if there was none.
    #[must_use]
    pub fn last_wrap(&self) -> Option<Timestamp> {
        self.callers.iter().filter_map(|caller| caller.wraps.last).max()
    }

    /// The last attempt of any kind, refused ones too, was not later than this; none if there was none.
    #[must_use]
    pub fn last_attempt(&self) -> Option<Timestamp> {
        self.callers.iter().filter_map(crate::CallerUsage::last).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(scans: Vec<ScanFacts>, words: &str) -> SubmitEvidence {
        let source = SourceFacts { gate: None, max_hold_seconds: Some(60), scans };
        SubmitEvidence {
            key: "eu".parse().unwrap(),
            version: KeyVersion::FIRST,
            sources: [("cards".to_owned(), source)].into(),
            attestation: Attestation {
                completeness: words.to_owned(),
                backups_until: Timestamp::UNIX_EPOCH,
                missing: 0,
            },
        }
    }

    fn scan(scanned: u64) -> ScanFacts {
        ScanFacts {
            begun_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
            complete: true,
            scanned,
            holding: 1,
            unreadable: 2,
            others: 3,
        }
    }

    #[test]
    fn what_does_not_add_up_or_says_nothing_is_refused() {
        assert!(submission(vec![scan(6)], "all").check().is_ok());
        assert!(submission(vec![scan(7)], "all").check().is_err());
        assert!(submission(vec![scan(6)], "all\u{1b}[31m").check().is_err());
        let overflowing = ScanFacts { holding: u64::MAX, ..scan(4) };
        assert!(submission(vec![overflowing], "all").check().is_err());
        for words in ["", " \n", &"x".repeat(1001)] {
            assert!(submission(Vec::new(), words).check().is_err());
        }
        assert!(submission(vec![scan(6); 9], "all").check().is_err());
        let mut other = submission(Vec::new(), "all");
        let source = other.sources.pop_first().unwrap().1;
        other.sources.insert("Cards!".to_owned(), source);
        assert!(other.check().is_err());
    }
}
