//! Look at campaigns.

use claviger_audit::AuditDecision;
use claviger_kms::{Action, Campaign, CampaignId, EncryptionContext, KeyPath, KmsError, Result};
use claviger_policy::{Permit, action};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
    campaigns::not_found,
};

impl LocalKms {
    pub(crate) async fn try_describe_campaign(&self, id: CampaignId) -> Attempted<Campaign> {
        let mut attempt = Attempt::begin(self, Action::ReadMetadata);
        attempt.entry.campaign = Some(id);
        let result = self.campaign(&mut attempt, id).await;
        Attempted { result, attempt }
    }

    pub(crate) async fn try_list_campaigns(
        &self,
        key: Option<&KeyPath>,
    ) -> Attempted<Vec<Campaign>> {
        let mut attempt = Attempt::begin(self, Action::ReadMetadata);
        attempt.entry.key = key.cloned();
        let result = self.campaigns(&mut attempt, key).await;
        Attempted { result, attempt }
    }

    async fn campaign(&self, attempt: &mut Attempt, id: CampaignId) -> Result<Campaign> {
        let operations = self.operations();
        let known = operations.campaigns.find(id);
        let known = known.ok_or_else(|| attempt.refuse_unknown(self, not_found(id)))?;
        let _permit: Permit<action::ReadMetadata> =
            attempt.permit(self, &known.key, &EncryptionContext::new())?;
        operations.campaigns.read(&operations.hierarchy, id).await
    }

    async fn campaigns(
        &self,
        attempt: &mut Attempt,
        key: Option<&KeyPath>,
    ) -> Result<Vec<Campaign>> {
        let operations = self.operations();
        let mut found = Vec::new();
        let mut hidden = false;
        for known in operations.campaigns.newest_first(key) {
            if found.len() == MOST_LISTED {
                break;
            }
            if self.permit_to_see(&known.key).is_none() {
                hidden = true;
                continue;
            }
            match operations.campaigns.read(&operations.hierarchy, known.id).await {
                // Removed meanwhile, as old ones are.
                Err(KmsError::NotFound { .. }) => {}
                campaign => found.push(campaign?),
            }
        }
        if !found.is_empty() || !hidden {
            attempt.entry.decision = AuditDecision::Allowed;
        }
        Ok(found)
    }
}

/// Campaigns of one list.
const MOST_LISTED: usize = 100;
