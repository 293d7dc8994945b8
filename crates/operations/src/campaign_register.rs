//! The register of campaigns as one principal sees it.

use async_trait::async_trait;
use claviger_kms::{
    Campaign, CampaignId, CampaignRegister, KeyPath, OpenCampaign, ReportCampaign, Result,
};

use crate::LocalKms;

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
