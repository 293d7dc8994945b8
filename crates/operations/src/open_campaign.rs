//! Open a campaign, or take up the open one of the same name.

use claviger_audit::ServiceEvent;
use claviger_kms::{
    Action, Campaign, CampaignId, CampaignMode, EncryptionContext, KmsError, OpenCampaign, Result,
};
use claviger_policy::action;

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
    campaigns::new_record,
};

impl LocalKms {
    pub(crate) async fn open_campaign_recorded(&self, request: OpenCampaign) -> Result<Campaign> {
        let mut attempt = Attempt::begin(self, Action::Rewrap);
        attempt.entry.event = ServiceEvent::CampaignOpened.into();
        let campaigns = &self.operations().campaigns;
        let opening = campaigns.opening.lock().await;
        let prepared = self.prepare_campaign(&mut attempt, request).await;
        match prepared {
            Err(refused) => Attempted { result: Err(refused), attempt }.recorded(self).await,
            Ok(Prepared::Open(id)) => {
                let result = campaigns.read(&self.operations().hierarchy, id).await;
                Attempted { result, attempt }.recorded(self).await
            }
            Ok(Prepared::New(campaign)) => {
                let written = self.in_two_records(attempt, async || {
                    campaigns.write(&self.operations().hierarchy, &campaign).await
                });
                written.await?;
                campaigns.prune(&self.operations().hierarchy).await;
                drop(opening);
                Ok(campaign)
            }
        }
    }

    async fn prepare_campaign(
        &self,
        attempt: &mut Attempt,
        request: OpenCampaign,
    ) -> Result<Prepared> {
        let OpenCampaign { key, name, mode } = &request;
        let permit = attempt.permit::<action::Rewrap>(self, key, &EncryptionContext::new())?;
        let (key_id, target) = self.operations().hierarchy.rewrap_target(&permit).await?;
        if *mode == CampaignMode::Rewrap && self.operations().hierarchy.needs_reencryption(key) {
            return Err(KmsError::key_unusable(format!(
                "key material of {key} may have leaked, and a rewrap does not cure that; set mode = \"reencrypt\" in \
                 the campaign file"
            )));
        }
        let resumed = self.operations().campaigns.to_resume(key, name, *mode)?;
        let id = resumed.map_or_else(CampaignId::make_random, Ok)?;
        attempt.entry.campaign = Some(id);
        if resumed.is_some() {
            return Ok(Prepared::Open(id));
        }
        let by = self.caller().principal.clone();
        Ok(Prepared::New(new_record(id, request, key_id, target, by)))
    }
}

enum Prepared {
    Open(CampaignId),
    New(Campaign),
}
