//! Tell when keys rotate by themselves: the status, and what would be rotated within some days.

use std::time::Duration;

use claviger_kms::{
    Action, KeyPath, KeyRotation, KmsError, ListRotations, Result, RotationPage, RotationPeriod,
    Timestamp,
};
use claviger_policy::{Permit, action};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
    list_keys::Page,
    schedule::Clocks,
};

impl LocalKms {
    /// When the keys the caller may see rotate by themselves.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] on limits, [`KmsError::Unavailable`].
    pub async fn list_rotations(&self, request: ListRotations) -> Result<RotationPage> {
        self.to_the_end(|kms| async move {
            let mut attempt = Attempt::begin(&kms, Action::ReadMetadata);
            attempt.entry.key.clone_from(&request.under);
            let result = kms.rotations(&mut attempt, &request).await;
            Attempted { result, attempt }.recorded(&kms).await
        })
        .await
    }

    async fn rotations(
        &self,
        attempt: &mut Attempt,
        request: &ListRotations,
    ) -> Result<RotationPage> {
        let clocks = Clocks::now();
        let now = clocks.wall;
        let until = request.within_days.map(|days| self.within(days, now)).transpose()?;
        let ListRotations { under, after, limit, .. } = request;
        let page = Page { under: under.as_ref(), after: after.as_ref(), limit: *limit };
        let (keys, next) = self.list(attempt, &page, |permit| {
            let told = self.rotation(permit, now)?;
            let is_asked_for = until.is_none_or(|until| {
                told.held.is_none() && told.next.is_some_and(|next| next <= until)
            });
            Ok(is_asked_for.then_some(told))
        })?;
        let (leader, paused) = self.operations().schedule.standing(clocks).await;
        let paused_until = paused.and_then(|left| now.checked_add(left).ok());
        Ok(RotationPage { now, leader, paused_until, keys, next })
    }

    fn within(&self, days: u32, now: Timestamp) -> Result<Timestamp> {
        if days > RotationPeriod::MAX_DAYS {
            return Err(KmsError::invalid(format!(
                "{days} days ahead; at most {} are allowed",
                RotationPeriod::MAX_DAYS
            )));
        }
        let ahead: Duration = self.operations().hierarchy.pace().days(days);
        Ok(now.checked_add(ahead).unwrap_or(Timestamp::MAX))
    }

    fn rotation(
        &self,
        permit: Permit<action::ReadMetadata>,
        now: Timestamp,
    ) -> Result<KeyRotation> {
        let operations = self.operations();
        let key: &KeyPath = permit.key();
        let outlook = operations.schedule.outlook(&operations.hierarchy, key, now)?;
        let (primary, primary_since) = outlook.plan.primary.unzip();
        let (period, period_of) = outlook.plan.period.unzip();
        let is_scheduled = period.is_some_and(|period| period.days().is_some());
        Ok(KeyRotation {
            key: key.clone(),
            primary,
            primary_since,
            period,
            period_of,
            next: outlook.next,
            due: outlook.due,
            held: outlook.plan.held.filter(|_| is_scheduled),
            last: operations.hierarchy.last_scheduled(key)?,
            failure: outlook.note.and_then(|note| note.failure),
        })
    }
}
