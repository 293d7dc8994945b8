//! After a quarantine: the campaigns that a key has had are opened anew, so that whoever runs them finds them open.
//!
//! An open campaign moves nothing by itself: every rewrap needs the policy's permit too.

use claviger_audit::{AuditDecision, ServiceEvent};
use claviger_kms::{
    Action, CampaignId, CampaignMode, KeyId, KeyVersion, OpenCampaign, QuarantinedKey, Result,
};

use crate::{LocalKms, attempt::Attempt, campaigns::new_record};

impl LocalKms {
    /// Opens every campaign by the names the key has had, in the mode each had last, or in mode `reencrypt`
    /// where material of it, or of a key above, leaked. What cannot be opened is told; the quarantine itself is done.
    pub(crate) async fn open_campaigns_again(&self, told: &mut QuarantinedKey) {
        let Some(target) = told.primary else { return };
        let Some(key_id) = self.operations().hierarchy.id_of(&told.key) else { return };
        let names = self.operations().campaigns.names_of(&told.key);
        if names.is_empty() {
            told.say(
                "no campaign of this key is known: write a campaign file for every place with its envelopes",
            );
        }
        let leaked = self.operations().hierarchy.needs_reencryption(&told.key);
        for (name, last) in names {
            let mode = if leaked { CampaignMode::Reencrypt } else { last };
            let request = OpenCampaign { key: told.key.clone(), name: name.clone(), mode };
            match self.open_again(request, key_id, target).await {
                Ok(()) => told.campaigns.push(name),
                Err(error) => told.say(&format!("the campaign {name} was not opened: {error}")),
            }
        }
    }

    async fn open_again(
        &self,
        request: OpenCampaign,
        key_id: KeyId,
        target: KeyVersion,
    ) -> Result<()> {
        let campaigns = &self.operations().campaigns;
        let _opening = campaigns.opening.lock().await;
        if campaigns.to_resume(&request.key, &request.name, request.mode)?.is_some() {
            return Ok(());
        }
        let (id, by) = (CampaignId::make_random()?, self.caller().principal.clone());
        let campaign = new_record(id, request, key_id, target, by);
        let mut attempt = Attempt::begin(self, Action::Rewrap);
        attempt.entry.event = ServiceEvent::CampaignOpened.into();
        attempt.entry.decision = AuditDecision::Internal;
        attempt.entry.key = Some(campaign.key.clone());
        attempt.entry.key_id = Some(key_id);
        attempt.entry.campaign = Some(id);
        self.in_two_records(attempt, async || {
            campaigns.write(&self.operations().hierarchy, &campaign).await
        })
        .await
    }
}
