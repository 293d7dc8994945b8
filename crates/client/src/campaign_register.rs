//! The register of campaigns, over the admin socket. Opening and reporting answer a repeated request as
//! they did the first, so that a lost reply is asked for again.

use async_trait::async_trait;
use claviger_kms::{
    Campaign, CampaignId, CampaignPage, CampaignRegister, KeyPath, OpenCampaign, ReportCampaign,
    Result,
};

use crate::{Client, connection::Repeat};

#[async_trait]
impl CampaignRegister for Client {
    async fn open_campaign(&self, request: OpenCampaign) -> Result<Campaign> {
        self.manage("open-campaign", &request, Repeat::Safe).await
    }

    async fn report_campaign(&self, report: ReportCampaign) -> Result<Campaign> {
        self.manage("report-campaign", &report, Repeat::Safe).await
    }

    async fn describe_campaign(&self, id: CampaignId) -> Result<Campaign> {
        self.look(format!("/v1/campaigns/{id}")).await
    }

    async fn list_campaigns(&self, key: Option<&KeyPath>) -> Result<Vec<Campaign>> {
        let query = key.map(|key| format!("?key={key}")).unwrap_or_default();
        let page: CampaignPage = self.look(format!("/v1/campaigns{query}")).await?;
        Ok(page.campaigns)
    }
}
