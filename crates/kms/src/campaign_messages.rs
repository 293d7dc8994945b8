//! Campaigns: one run that moves the envelopes of one key, where the data lives, to its primary version.
//!
//! The service keeps a campaign's record, so that a run can be seen, resumed and cancelled from anywhere,
//! and so that a rewrap can name it. The record is an aid: what was moved is known from the envelopes
//! alone, and a lost or stale cursor costs a second look at what is current already.

use std::{collections::BTreeMap, fmt, str::FromStr};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CampaignId, KeyId, KeyPath, KeyVersion, KmsError, Principal, Result};

/// The register of campaigns, in this process or over the wire.
///
/// # Errors
/// Every method fails with the kinds of [`KmsError`].
#[async_trait]
pub trait CampaignRegister: Send + Sync {
    /// Opens a campaign. One of this name that is open on this key in this mode is returned as it is,
    /// to be resumed; one in another mode is a [`KmsError::Conflict`].
    async fn open_campaign(&self, request: OpenCampaign) -> Result<Campaign>;
    /// Writes progress or ends the campaign, if its revision is still the one expected; else
    /// [`KmsError::Conflict`]: another runner works on it, or it was cancelled. The last report, repeated
    /// word for word, is answered as it was the first time: its reply may have been lost.
    async fn report_campaign(&self, report: ReportCampaign) -> Result<Campaign>;
    /// One campaign.
    async fn describe_campaign(&self, id: CampaignId) -> Result<Campaign>;
    /// The newest 100 campaigns of keys the caller may see, newest first; only of this key, if one is
    /// named.
    async fn list_campaigns(&self, key: Option<&KeyPath>) -> Result<Vec<Campaign>>;
}

/// What a campaign does with each envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CampaignMode {
    /// Same data key, newest key version; the data key stays in the service.
    Rewrap,
    /// New data key, new ciphertext: what key material that leaked demands.
    Reencrypt,
}

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CampaignState {
    /// Running, or waiting to be resumed.
    Open,
    /// Its last pass over every source found nothing left to move.
    Complete,
    /// It ended, and something was left: see the counts.
    Partial,
    /// A person stopped it.
    Cancelled,
}

/// A campaign to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenCampaign {
    /// Moves envelopes of this key.
    pub key: KeyPath,
    /// Its name, as in the campaign file.
    pub name: CampaignName,
    /// What to do with each envelope.
    pub mode: CampaignMode,
}

/// A campaign's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its identity.
    pub id: CampaignId,
    /// Its name.
    pub name: CampaignName,
    /// The key's path.
    pub key: KeyPath,
    /// The key's identity.
    pub key_id: KeyId,
    /// What it does.
    pub mode: CampaignMode,
    /// Where it stands.
    pub state: CampaignState,
    /// The primary version when it was opened: envelopes of this version or a newer one are current.
    pub target: KeyVersion,
    /// By whom it was opened.
    pub opened_by: Principal,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub opened_at: Timestamp,
    /// When the record was last written.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub changed_at: Timestamp,
    /// One more at every write, from 1.
    pub revision: u64,
    /// How far each source is, by the source's name.
    pub sources: BTreeMap<String, SourceProgress>,
}

/// How far one source is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceProgress {
    /// Passes finished.
    pub passes: u32,
    /// Where the pass under way stands; none at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// What the pass under way, or the last one, found.
    pub counts: CampaignCounts,
}

/// What became of the envelopes of one pass: `scanned` is the sum of all the others but `bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CampaignCounts {
    /// Looked at.
    pub scanned: u64,
    /// Moved, and the old bytes replaced.
    pub moved: u64,
    /// Current already.
    pub current: u64,
    /// No envelope: NULL, or an empty value.
    pub empty: u64,
    /// Changed or locked by the application meanwhile, and left to the next pass.
    pub conflicts: u64,
    /// Deleted meanwhile.
    pub gone: u64,
    /// Envelopes of another key, left alone.
    pub foreign: u64,
    /// Bytes that are no envelope, or one of a format this release does not read, left alone.
    pub malformed: u64,
    /// Envelopes that did not open with this context, or whose version may not be used, left alone.
    pub refused: u64,
    /// Bytes of envelopes and headers written.
    pub bytes: u64,
}

/// Campaigns, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CampaignPage {
    /// The newest 100.
    pub campaigns: Vec<Campaign>,
}

/// Progress to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportCampaign {
    /// Of this campaign.
    pub id: CampaignId,
    /// The revision the runner saw.
    pub expected_revision: u64,
    /// Where it stands now; a campaign that ended is not opened again.
    pub state: CampaignState,
    /// How far each source is.
    pub sources: BTreeMap<String, SourceProgress>,
}

/// A campaign's name: 1 to 64 characters of `a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CampaignName(String);

/// Where a pass stands, in its source's own words: at most 1,024 bytes without control characters. May
/// hold key columns of the user's rows, never an envelope or a context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor(String);

impl CampaignCounts {
    /// What is left to do or to look into: everything that is neither moved, current, empty nor gone.
    #[must_use]
    pub fn left(&self) -> u64 {
        [self.conflicts, self.foreign, self.malformed, self.refused]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Whether the parts add up to what was scanned.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let parts = [self.moved, self.current, self.empty, self.gone, self.left()];
        parts.into_iter().fold(0, u64::saturating_add) == self.scanned
    }

    /// The counts of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let sum = |one: u64, two: u64| one.saturating_add(two);
        Self {
            scanned: sum(self.scanned, other.scanned),
            moved: sum(self.moved, other.moved),
            current: sum(self.current, other.current),
            empty: sum(self.empty, other.empty),
            conflicts: sum(self.conflicts, other.conflicts),
            gone: sum(self.gone, other.gone),
            foreign: sum(self.foreign, other.foreign),
            malformed: sum(self.malformed, other.malformed),
            refused: sum(self.refused, other.refused),
            bytes: sum(self.bytes, other.bytes),
        }
    }
}

impl ReportCampaign {
    /// Most sources of one campaign.
    pub const MAX_SOURCES: usize = 64;

    /// Checks the limits.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] naming the limit, or the source whose counts do not add up.
    pub fn check(&self) -> Result<()> {
        if self.sources.len() > Self::MAX_SOURCES {
            return Err(KmsError::invalid(format!(
                "the campaign has {} sources; at most {} are allowed, open several campaigns",
                self.sources.len(),
                Self::MAX_SOURCES
            )));
        }
        for (name, progress) in &self.sources {
            let _: CampaignName = name.parse()?;
            if !progress.counts.adds_up() {
                return Err(KmsError::invalid(format!(
                    "the counts of the source {name} do not add up to what was scanned"
                )));
            }
        }
        Ok(())
    }
}

impl CampaignName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CampaignName {
    type Err = KmsError;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
            return Err(KmsError::invalid(
                "the name of a campaign or source has 1 to 64 characters of a-z 0-9 . _ -",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CampaignName {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<CampaignName> for String {
    fn from(name: CampaignName) -> Self {
        name.0
    }
}

impl fmt::Display for CampaignName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Cursor {
    /// Most bytes.
    pub const MAX_LENGTH: usize = 1024;

    /// The cursor as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Cursor {
    type Error = KmsError;

    fn try_from(text: String) -> Result<Self> {
        if text.len() > Self::MAX_LENGTH || text.chars().any(char::is_control) {
            return Err(KmsError::invalid(format!(
                "a cursor has at most {} bytes and no control characters",
                Self::MAX_LENGTH
            )));
        }
        Ok(Self(text))
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.0
    }
}

impl CampaignState {
    /// The state's word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for CampaignState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl CampaignMode {
    /// The mode's word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rewrap => "rewrap",
            Self::Reencrypt => "reencrypt",
        }
    }
}

impl fmt::Display for CampaignMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_do_not_add_up_are_refused() {
        let good = CampaignCounts {
            scanned: 9,
            moved: 3,
            current: 2,
            gone: 1,
            refused: 3,
            ..CampaignCounts::default()
        };
        assert!(good.adds_up());
        assert_eq!(good.left(), 3);
        assert!(good.plus(&good).adds_up());
        assert!(!CampaignCounts { scanned: 10, ..good }.adds_up());
    }

    #[test]
    fn refuses_other_names_and_cursors() {
        for bad in ["", "A", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<CampaignName>().is_err(), "{bad:?} was taken");
        }
        for bad in ["a\n".to_owned(), "x".repeat(1025)] {
            assert!(Cursor::try_from(bad).is_err());
        }
    }
}
