//! What the schedule must remember beside the key records: failures, and versions dated in the future.
//! One document for each key that has such a thing, under `rotation/`.
//!
//! Losing one loses only a waiting time: nothing here can make a key rotate twice.

use std::{collections::BTreeMap, time::Duration};

use claviger_hierarchy::Hierarchy;
use claviger_kms::{KeyId, KeyVersion, Result, RotationFailure, Timestamp};
use serde::{Deserialize, Serialize};

use super::clocks::JUMP;

/// A note about one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    format: u32,
    /// The primary version it is about; of another one it says nothing.
    pub(crate) version: KeyVersion,
    /// The period is counted from here while the version is dated in the future.
    pub(crate) counted_from: Option<Timestamp>,
    /// The last failure.
    pub(crate) failure: Option<RotationFailure>,
}

impl Note {
    pub(crate) fn about(version: KeyVersion) -> Self {
        Self { format: 1, version, counted_from: None, failure: None }
    }

    /// With one failure more.
    pub(crate) fn failed(mut self, now: Timestamp, reason: String) -> Self {
        let attempts = self.failure.map_or(0, |failure| failure.attempts).saturating_add(1);
        let again_at = now.checked_add(back_off(attempts)).unwrap_or(Timestamp::MAX);
        self.failure = Some(RotationFailure { at: now, reason, attempts, again_at });
        self
    }

    /// Whether it is too early to try again. What lies further ahead than any waiting time was noted by
    /// another clock.
    pub(crate) fn waits(&self, now: Timestamp) -> bool {
        self.failure.as_ref().is_some_and(|failure| {
            let wait = failure.again_at.duration_since(now);
            wait.is_positive() && wait.unsigned_abs() <= LONGEST_WAIT
        })
    }
}

/// Time to wait after so many failures in a row.
pub(crate) fn back_off(attempts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

/// Whether a time lies further ahead of now than clocks differ by adjustment.
pub(crate) fn is_ahead(time: Timestamp, now: Timestamp) -> bool {
    let ahead = time.duration_since(now);
    ahead.is_positive() && ahead.unsigned_abs() > JUMP
}

/// Every note there is. One that cannot be read is as good as none.
pub(crate) async fn load(hierarchy: &Hierarchy) -> Result<BTreeMap<KeyId, Note>> {
    const PAGE: usize = 500;
    let mut notes = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let names = hierarchy.document_names(PREFIX, after.as_deref(), PAGE).await?;
        for name in &names {
            let id = name.strip_prefix(PREFIX).and_then(|id| id.parse::<KeyId>().ok());
            match (id, hierarchy.document::<Note>(name).await) {
                (Some(id), Ok(Some(note))) => drop(notes.insert(id, note.value)),
                (_, Ok(None)) => {}
                (_, result) => {
                    tracing::warn!(name, ?result, "a note of the schedule is unreadable")
                }
            }
        }
        if names.len() < PAGE {
            return Ok(notes);
        }
        after = names.last().cloned();
    }
}

/// Writes a note over whatever stands there; none removes it.
pub(crate) async fn store(hierarchy: &Hierarchy, id: KeyId, note: Option<&Note>) -> Result<()> {
    let name = format!("{PREFIX}{id}");
    let revision = hierarchy.document_revision(&name).await?;
    match (note, revision) {
        (Some(note), revision) => hierarchy.put_document(&name, revision, note).await.map(drop),
        (None, Some(revision)) => hierarchy.remove_document(&name, revision).await,
        (None, None) => Ok(()),
    }
}

const PREFIX: &str = "rotation/";
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_up_to_an_hour_and_ends_though_the_clock_goes_back() {
        let waits: Vec<u64> = (1..=8).map(|attempts| back_off(attempts).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(back_off(u32::MAX), LONGEST_WAIT);

        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let later = |seconds| now + Duration::from_secs(seconds);
        let note = Note::about(KeyVersion::FIRST).failed(now, "away".to_owned());
        assert!(note.waits(now) && note.waits(later(59)) && !note.waits(later(60)));
        assert!(!note.waits(now - Duration::from_secs(365 * 86_400)), "it waits for a year");
    }
}
