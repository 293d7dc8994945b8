//! The two clocks of the schedule, and what is done when they disagree.

use std::time::Duration;

use claviger_kms::Timestamp;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// The date, which anybody may set.
    pub wall: Timestamp,
    /// Time since the machine started, sleep included, which nobody can set.
    pub since_boot: Duration,
}

impl Clocks {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: Timestamp::now(), since_boot: claviger_hierarchy::since_boot() }
    }

    /// Whether the date moved by more than an hour apart from the time that passed.
    pub(crate) fn jumped_since(self, before: Self) -> bool {
        let by_date = self.wall.duration_since(before.wall).as_millis();
        let passed = self.since_boot.saturating_sub(before.since_boot).as_millis();
        let passed = i128::try_from(passed).unwrap_or(i128::MAX);
        (by_date - passed).unsigned_abs() > JUMP.as_millis()
    }
}

/// What no clock is wrong by when it is only adjusted.
pub(crate) const JUMP: Duration = Duration::from_secs(3600);

/// How long nothing rotates after a jump: time for a person to put the clock right.
pub(crate) const PAUSE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_jump_from_a_long_wait_and_from_an_adjustment() {
        let (hour, year) = (3600, 365 * 24 * 3600);
        let at = |wall: i64, boot: u64| Clocks {
            wall: Timestamp::from_second(1_800_000_000 + wall).expect("a time"),
            since_boot: Duration::from_secs(10 + boot),
        };
        let before = at(0, 0);
        for (wall, boot) in [(5, 5), (hour, 5), (10 - hour, 5), (year, year as u64)] {
            assert!(!at(wall, boot).jumped_since(before), "{wall} in {boot} is no jump");
        }
        for (wall, boot) in [(hour + 10, 5), (-hour, 15), (year, 5), (-year, 5), (5, year as u64)] {
            assert!(at(wall, boot).jumped_since(before), "{wall} in {boot} is a jump");
        }
    }
}
