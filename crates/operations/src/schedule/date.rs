//! Whether the date can be relied on, by a clock that nobody can set.
//!
//! Invariant: after the date jumped, also while the service was stopped, nothing rotates by schedule for an hour, and
//! nothing is destroyed and no evidence is taken for a day: time for a person to put it right. Both times pass by the
//! clock that nobody can set, across restarts of the service (document `date` of the key store).
//!
//! Known limit: nobody knows how long a machine was off; a date that is less than a day ahead after that is believed.

use std::{fs, time::Duration};

use claviger_hierarchy::{Hierarchy, StoredDocument};
use claviger_kms::{KmsError, Result, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::clocks::{Clocks, JUMP, PAUSE};

/// The date as it was seen last.
#[derive(Debug)]
pub(crate) struct Date {
    /// Of the machine's run; empty where the system does not tell.
    boot: String,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone)]
struct Seen {
    mark: Mark,
    /// Of the document; none before the first.
    revision: Option<u64>,
    /// Since boot.
    written: Option<Duration>,
}

/// The body of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: u32,
    boot: String,
    wall: Timestamp,
    since_boot_ms: u64,
    /// How much of the day after a jump is left.
    waits_ms: u64,
}

impl Date {
    pub(super) fn new() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), seen: Mutex::default() }
    }

    /// Looks at both clocks; whether the date jumped since the last look.
    pub(super) async fn look(&self, hierarchy: &Hierarchy, clocks: Clocks) -> bool {
        let mut seen = self.seen.lock().await;
        let before = match seen.take() {
            Some(seen) => Some(seen),
            None => match hierarchy.document::<Mark>(NAME).await {
                Ok(found) => found.map(|StoredDocument { value: mark, revision }| Seen {
                    mark,
                    revision: Some(revision),
                    written: None,
                }),
                Err(error) => {
                    tracing::warn!(%error, "the date of the last run is not known");
                    None
                }
            },
        };
        let (mark, jumped) = Mark::at(clocks, &self.boot, before.as_ref().map(|seen| &seen.mark));
        let mut now = Seen {
            mark,
            revision: before.as_ref().and_then(|seen| seen.revision),
            written: before.and_then(|seen| seen.written),
        };
        let due =
            now.written.is_none_or(|at| clocks.since_boot.saturating_sub(at) > BETWEEN_WRITES);
        if jumped || due {
            match hierarchy.put_document(NAME, now.revision, &now.mark).await {
                Ok(revision) => {
                    (now.revision, now.written) = (Some(revision), Some(clocks.since_boot))
                }
                Err(error) => {
                    tracing::warn!(%error, "the date could not be noted");
                    now.revision = hierarchy.document_revision(NAME).await.ok().flatten();
                }
            }
        }
        *seen = Some(now);
        jumped
    }

    /// How long nothing rotates by schedule any more.
    pub(super) async fn pause(&self, clocks: Clocks) -> Option<Duration> {
        self.waits(clocks).await?.checked_sub(SETTLES - PAUSE).filter(|left| !left.is_zero())
    }

    /// Refuses what cannot be taken back while the date may be wrong.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`], saying for how long.
    pub(crate) async fn check(&self, hierarchy: &Hierarchy, clocks: Clocks) -> Result<()> {
        self.look(hierarchy, clocks).await;
        let Some(left) = self.waits(clocks).await else { return Ok(()) };
        Err(KmsError::unavailable(format!(
            "the date jumped, and for {} hours more nothing is destroyed and no evidence is taken; see that the \
             clock is right",
            left.as_secs().div_ceil(3600)
        )))
    }

    async fn waits(&self, clocks: Clocks) -> Option<Duration> {
        let seen = self.seen.lock().await;
        let mark = &seen.as_ref()?.mark;
        let passed = clocks.since_boot.saturating_sub(Duration::from_millis(mark.since_boot_ms));
        Duration::from_millis(mark.waits_ms).checked_sub(passed).filter(|left| !left.is_zero())
    }
}

impl Mark {
    /// The mark of this moment, and whether the date jumped since `before`.
    fn at(clocks: Clocks, boot: &str, before: Option<&Self>) -> (Self, bool) {
        let (jumped, waited) = match before {
            None => (false, 0),
            Some(before) if before.boot == boot && !boot.is_empty() => {
                let since_boot = Duration::from_millis(before.since_boot_ms);
                let then = Clocks { wall: before.wall, since_boot };
                let passed = clocks.since_boot.saturating_sub(since_boot);
                (clocks.jumped_since(then), before.waits_ms.saturating_sub(milliseconds(passed)))
            }
            Some(before) => {
                let moved = clocks.wall.duration_since(before.wall).as_millis();
                let (most, least) = (SETTLES.as_millis() as i128, JUMP.as_millis() as i128);
                (moved > most || moved < -least, before.waits_ms)
            }
        };
        let waits_ms = if jumped { milliseconds(SETTLES) } else { waited };
        let since_boot_ms = milliseconds(clocks.since_boot);
        let boot = boot.to_owned();
        (Self { format: FORMAT, boot, wall: clocks.wall, since_boot_ms, waits_ms }, jumped)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const NAME: &str = "date";
const FORMAT: u32 = 1;
/// How long after a jump nothing is destroyed.
const SETTLES: Duration = Duration::from_secs(24 * 3600);
/// As much of a day's wait may be waited twice after a crash.
const BETWEEN_WRITES: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(wall: i64, boot: u64) -> Clocks {
        Clocks {
            wall: Timestamp::from_second(1_800_000_000 + wall).expect("a time"),
            since_boot: Duration::from_secs(100 + boot),
        }
    }

    #[test]
    fn a_jump_waits_a_day_across_restarts_and_another_jump_begins_it_anew() {
        let (first, jumped) = Mark::at(at(0, 0), "a", None);
        assert!(!jumped && first.waits_ms == 0);
        let (ahead, jumped) = Mark::at(at(31 * DAY, 5), "a", Some(&first));
        assert!(jumped && ahead.waits_ms == 86_400_000);
        let (later, jumped) = Mark::at(at(31 * DAY + 3600, 3605), "a", Some(&ahead));
        assert!(!jumped && later.waits_ms == 82_800_000);
        let (back, jumped) = Mark::at(at(7200, 7205), "a", Some(&later));
        assert!(jumped && back.waits_ms == 86_400_000);
    }

    #[test]
    fn after_a_boot_less_than_a_day_is_believed_and_more_or_backwards_is_not() {
        let (before, _) = Mark::at(at(0, 50_000), "a", None);
        for (moved, jumps) in [(5, false), (DAY - 5, false), (DAY + 5, true), (-7200, true)] {
            let (_, jumped) = Mark::at(at(moved, 3), "b", Some(&before));
            assert_eq!(jumped, jumps, "{moved}");
        }
    }
}
