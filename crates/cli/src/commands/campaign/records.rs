//! `claviger campaign status` and `cancel`: the campaigns' records in the service.

use claviger_client::Client;
use claviger_kms::{
    Campaign, CampaignCounts, CampaignId, CampaignRegister as _, CampaignState, KmsError,
    ReportCampaign,
};

use crate::{
    error::Result,
    reply::{Reply, table},
};

pub(super) async fn status(client: &Client, which: Option<&str>) -> Result<Reply> {
    let campaigns = match which.map(|which| (which, which.parse::<CampaignId>())) {
        None => client.list_campaigns(None).await?,
        Some((_, Ok(id))) => vec![client.describe_campaign(id).await?],
        Some((name, Err(_))) => {
            let mut campaigns = client.list_campaigns(None).await?;
            campaigns.retain(|campaign| campaign.name.as_str() == name);
            if campaigns.is_empty() {
                return Err(KmsError::not_found(format!("a campaign {name}")).into());
            }
            campaigns
        }
    };
    let text = if campaigns.is_empty() { "no campaigns".to_owned() } else { text_of(&campaigns) };
    Reply::new(&campaigns, text)
}

pub(super) async fn cancel(client: &Client, id: CampaignId) -> Result<Reply> {
    let mut attempt = 1;
    loop {
        let campaign = client.describe_campaign(id).await?;
        let report = ReportCampaign {
            id,
            expected_revision: campaign.revision,
            state: CampaignState::Cancelled,
            sources: campaign.sources,
        };
        match client.report_campaign(report).await {
            // Its runner has written meanwhile.
            Err(KmsError::Conflict { .. })
                if campaign.state == CampaignState::Open && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            answer => {
                let campaign = answer?;
                return Reply::new(&campaign, text_of(std::slice::from_ref(&campaign)));
            }
        }
    }
}

fn text_of(campaigns: &[Campaign]) -> String {
    let head = ["id", "name", "key", "mode", "state", "target", "changed at", "moved", "left"];
    let rows = campaigns.iter().map(|campaign| {
        let counts = campaign
            .sources
            .values()
            .fold(CampaignCounts::default(), |sum, source| sum.plus(&source.counts));
        [
            campaign.id.to_string(),
            campaign.name.to_string(),
            campaign.key.to_string(),
            campaign.mode.to_string(),
            campaign.state.to_string(),
            campaign.target.to_string(),
            campaign.changed_at.to_string(),
            counts.moved.to_string(),
            counts.left().to_string(),
        ]
    });
    table(&std::iter::once(head.map(str::to_owned)).chain(rows).collect::<Vec<_>>())
}

/// A runner writes once a second.
const ATTEMPTS: u32 = 5;
