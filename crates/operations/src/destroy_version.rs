//! Schedule the destruction of a version, cancel it, and carry it out at its time, or call it off.

use claviger_kms::{
    Action, KeyMetadata, KeyPath, KeyVersion, Result, ScheduleDestroy, Timestamp, VersionRequest,
};
use claviger_policy::{Permit, action};

use crate::{Clocks, LocalKms, Operations};

impl LocalKms {
    pub(crate) async fn schedule_destroy_recorded(
        &self,
        request: ScheduleDestroy,
    ) -> Result<KeyMetadata> {
        let version = request.version;
        self.change::<action::Destroy>(&request.key, Some(version), async |permit| {
            request.check()?;
            let hierarchy = &self.operations().hierarchy;
            let scheduled = hierarchy.is_scheduled(&request.key, version);
            let (second, evidence) = match (scheduled, request.shred) {
                (true, _) => (None, None),
                (false, true) => {
                    hierarchy.check_destroyable(&permit, version)?;
                    let words = format!(
                        "shred version {version} of {} in {} days: whatever still needs it is lost for ever",
                        request.key, request.days
                    );
                    (Some(self.second_person(&permit, Some(version), words).await?), None)
                }
                (false, false) => (None, self.standing_evidence(&permit, &request).await?),
            };
            hierarchy.schedule_destroy(permit, &request, second, evidence).await
        })
        .await
    }

    pub(crate) async fn cancel_destroy_recorded(
        &self,
        request: VersionRequest,
    ) -> Result<KeyMetadata> {
        let VersionRequest { key, version } = request;
        self.change::<action::Destroy>(&key, Some(version), async |permit| {
            self.operations().hierarchy.cancel_destroy(permit, version).await
        })
        .await
    }

    /// Destroys what is due; what cannot be destroyed yet stays scheduled and is tried again. Nothing is while the
    /// date may be wrong.
    pub(crate) async fn destroy_due(&self, clocks: Clocks) {
        let Operations { hierarchy, schedule, .. } = self.operations();
        let due = hierarchy.due_for_destruction(clocks.wall);
        if due.is_empty() {
            return;
        }
        if let Err(error) = schedule.date.check(hierarchy, clocks).await {
            return tracing::warn!(%error, due = due.len(), "what is due is not destroyed");
        }
        for (key, version, evidence) in due {
            let ended = self.end_of(&key, version, evidence.as_deref(), clocks.wall).await;
            if let Err(error) = ended {
                tracing::warn!(%key, %version, %error, "a version that is due was not destroyed");
            }
        }
    }

    /// Destroys a version that is due, or calls it off if the evidence it rests on no longer holds.
    async fn end_of(
        &self,
        key: &KeyPath,
        version: KeyVersion,
        evidence: Option<&str>,
        now: Timestamp,
    ) -> Result<KeyMetadata> {
        if let Some(id) = evidence
            && let Some(why) = self.evidence_fails(key, version, id).await?
        {
            return self.call_off(key, version, &why).await;
        }
        self.destroy_one(key, version, now).await
    }

    async fn destroy_one(
        &self,
        key: &KeyPath,
        version: KeyVersion,
        now: Timestamp,
    ) -> Result<KeyMetadata> {
        self.internal_change(Action::Destroy, key, Some(version), async || {
            let permit = Permit::<action::Destroy>::of_schedule(key.clone());
            self.operations().hierarchy.destroy_version(permit, version, now).await
        })
        .await
    }
}
