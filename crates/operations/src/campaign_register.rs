//! The register of campaigns as one principal sees it.

use async_trait::async_trait;
use claviger_audit::{AuditResult, Phase};
use claviger_kms::{
    Campaign, CampaignId, CampaignRegister, KeyPath, OpenCampaign, ReportCampaign, Result,
};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted, not_recorded},
};

#[async_trait]
impl CampaignRegister for LocalKms {
    async fn open_campaign(&self, request: OpenCampaign) -> Result<Campaign> {
        self.to_the_end(|kms| async move { kms.open_campaign_recorded(request).await }).await
    }

    async fn report_campaign(&self, report: ReportCampaign) -> Result<Campaign> {
        self.to_the_end(|kms| async move { kms.report_campaign_recorded(report).await }).await
    }

    async fn describe_campaign(&self, id: CampaignId) -> Result<Campaign> {
        self.to_the_end(
            |kms| async move { kms.try_describe_campaign(id).await.recorded(&kms).await },
        )
        .await
    }

    async fn list_campaigns(&self, key: Option<&KeyPath>) -> Result<Vec<Campaign>> {
        let key = key.cloned();
        self.to_the_end(|kms| async move {
            kms.try_list_campaigns(key.as_ref()).await.recorded(&kms).await
        })
        .await
    }
}

impl LocalKms {
    /// Records the intent of a permitted change, makes it, and records the outcome.
    pub(crate) async fn in_two_records<T>(
        &self,
        mut attempt: Attempt,
        act: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut intent = attempt.entry.clone();
        intent.phase = Phase::Intent;
        intent.result = AuditResult::Pending;
        self.operations().audit.append(intent).await.map_err(not_recorded)?;
        let result = act().await;
        attempt.entry.phase = Phase::Outcome;
        Attempted { result, attempt }.recorded(self).await
    }
}
