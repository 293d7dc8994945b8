//! Rotation by schedule: which period a key has, when it falls due, and the rotation itself.
//!
//! Invariants: from one primary version there is at most one rotation by schedule, whoever asks, however
//! often, and whatever the clock says; a key is due before its primary version is older than its period.
//! Everything here follows from the key record alone, which is durable and under the store head: the time
//! of the next rotation cannot be lost, and a new period counts at once.

use std::{sync::Arc, time::Duration};

use claviger_keystore::KeyRecord;
use claviger_kms::{
    Canonical, KeyId, KeyPath, KeyState, KeyVersion, Principal, Result, RotationPeriod,
    ScheduledRotation, Timestamp,
};
use claviger_policy::{Permit, action};
use sha2::{Digest as _, Sha256};

use crate::{Pace, Written, hierarchy::Hierarchy, record_mac::RecordMac, versions::Renewal};

/// What a key's record says of its rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationPlan {
    /// The key's identity.
    pub id: KeyId,
    /// The version that wraps, and since when.
    pub primary: Option<(KeyVersion, Timestamp)>,
    /// The period in force and the key it is of.
    pub period: Option<(RotationPeriod, KeyPath)>,
    /// Why it is not rotated by schedule although it may have a period.
    pub held: Option<String>,
    /// How long after a primary version was promoted its successor falls due.
    due_after: Option<Duration>,
}

impl RotationPlan {
    /// When the next rotation falls due, were the primary version promoted at `since`; none if nothing is
    /// scheduled.
    #[must_use]
    pub fn next_after(&self, since: Timestamp) -> Option<Timestamp> {
        // Past the end of time is never.
        self.due_after.and_then(|after| since.checked_add(after).ok())
    }
}

impl Hierarchy {
    /// What is planned for a key. Says nothing of whether the caller may know.
    ///
    /// # Errors
    /// [`KmsError::NotFound`](claviger_kms::KmsError::NotFound).
    pub fn rotation_plan(&self, path: &KeyPath) -> Result<RotationPlan> {
        let record = self.record(path)?;
        let primary = record.primary.and_then(|number| record.version(number));
        let primary = primary.map(|version| (version.number, version.state_changed_at));
        let period = self.period_of(&record);
        let days = period.as_ref().and_then(|(period, _)| period.days());
        let due_after = days.zip(primary).map(|(days, (version, _))| {
            let period = self.pace.days(days);
            period - spread(period, self.pace, record.id, version)
        });
        Ok(RotationPlan { id: record.id, primary, period, held: self.why_held(&record), due_after })
    }

    /// Sets how often a key rotates by itself; none for the period of the nearest key above.
    ///
    /// # Errors
    /// [`KmsError::NotFound`](claviger_kms::KmsError::NotFound).
    pub async fn set_rotation(
        &self,
        permit: Permit<action::Rotate>,
        period: Option<RotationPeriod>,
    ) -> Result<Written> {
        let (record, changes) = self
            .change_record(permit.key(), |record| {
                record.rotation_period = period;
                Ok(())
            })
            .await?;
        Ok(Written::new(record.metadata(), changes))
    }

    /// Rotates a key that was due while version `from` was primary; does nothing if it was rotated since.
    /// `now` is when the new version becomes primary.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub async fn rotate_due(
        &self,
        permit: Permit<action::Rotate>,
        from: KeyVersion,
        now: Timestamp,
    ) -> Result<Written> {
        let tag = Some(schedule_tag(&self.mac, from));
        self.new_primary(permit.key(), Renewal { tag, from: Some(from), at: now }).await
    }

    /// The last rotation of a key by schedule.
    ///
    /// # Errors
    /// [`KmsError::NotFound`](claviger_kms::KmsError::NotFound).
    pub fn last_scheduled(&self, path: &KeyPath) -> Result<Option<ScheduledRotation>> {
        let record = self.record(path)?;
        // Mostly the version before is the one it replaced.
        let made_by_schedule = |number: KeyVersion, request: &str| {
            let older = record.versions.iter().rev().map(|version| version.number);
            older
                .filter(|older| *older < number)
                .any(|from| schedule_tag(&self.mac, from) == request)
        };
        let last = record.versions.iter().rev().find(|version| {
            let request = version.request.as_deref();
            request.is_some_and(|request| made_by_schedule(version.number, request))
        });
        Ok(last.map(|version| ScheduledRotation { version: version.number, at: version.made_at }))
    }

    /// The period of this key, or of the nearest above that has one.
    fn period_of(&self, record: &Arc<KeyRecord>) -> Option<(RotationPeriod, KeyPath)> {
        let mut at = Arc::clone(record);
        loop {
            if let Some(period) = at.rotation_period {
                return Some((period, at.path.clone()));
            }
            at = self.tree().at(&at.path.parent()?)?;
        }
    }

    /// What keeps a key, or a key above it, from getting a new version.
    fn why_held(&self, record: &Arc<KeyRecord>) -> Option<String> {
        let mut at = Arc::clone(record);
        loop {
            if at.state != KeyState::Active {
                return Some(format!("the key {} is {}", at.path, at.state));
            }
            if at.primary.is_none() {
                return Some(format!("the key {} has no primary version now", at.path));
            }
            at = self.tree().at(&at.path.parent()?)?;
        }
    }
}

/// How much before the end of its period a key falls due: the same at each look, another for each key
/// version, so that keys made together do not rotate together. At most a twentieth of the period and a day.
fn spread(period: Duration, pace: Pace, id: KeyId, version: KeyVersion) -> Duration {
    let most = (period / 20).min(pace.days(1));
    let label = Canonical::new("claviger/1/rotation-spread");
    let hash = Sha256::digest(label.bytes(id.as_bytes()).u32(version.number()).finish());
    let part = u32::from_be_bytes(hash.first_chunk().copied().unwrap_or_default());
    most.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

/// How a version remembers that the schedule made it, in place of `from`.
fn schedule_tag(mac: &RecordMac, from: KeyVersion) -> String {
    let principal = Principal::of_schedule();
    mac.request_tag(principal.as_str(), "scheduled-rotation", &from.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_spread_is_bounded_steady_and_differs_between_versions() {
        for (days, most) in [(1, DAY / 20), (10, DAY / 2), (90, DAY), (3650, DAY)] {
            let mut seen = std::collections::BTreeSet::new();
            for number in 1..=200 {
                let version = KeyVersion::new(number).expect("a version");
                let of = |id| spread(DAY * days, Pace::REAL, KeyId::from_bytes([id; 16]), version);
                assert!(of(7) <= most, "{days} days: {:?}", of(7));
                assert_eq!(of(7), of(7));
                seen.insert(of(7));
                seen.insert(of(8));
            }
            assert_eq!(seen.len(), 400, "{days} days: rotations fall together");
            let (least, last) = (seen.first().expect("some"), seen.last().expect("some"));
            assert!(*least < most / 10 && *last > most / 10 * 9, "{days} days: {least:?} {last:?}");
        }
    }
}
