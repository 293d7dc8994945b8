//! The register of campaigns in this process, over the keys of any key service. Nothing is stored, and
//! nothing is refused to anybody.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use claviger_kms::{
    Campaign, CampaignId, CampaignRegister, CampaignState, KeyManagementService, KeyPath, KmsError,
    OpenCampaign, Principal, ReportCampaign, Result, Timestamp,
};

/// Campaigns in memory, oldest first.
pub struct MemoryRegister {
    keys: Arc<dyn KeyManagementService>,
    opened_by: Principal,
    campaigns: Mutex<Vec<Campaign>>,
}

impl MemoryRegister {
    /// A register without campaigns; `opened_by` opens them all.
    #[must_use]
    pub fn new(keys: Arc<dyn KeyManagementService>, opened_by: Principal) -> Self {
        Self { keys, opened_by, campaigns: Mutex::default() }
    }

    fn campaigns(&self) -> MutexGuard<'_, Vec<Campaign>> {
        self.campaigns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CampaignRegister for MemoryRegister {
    async fn open_campaign(&self, request: OpenCampaign) -> Result<Campaign> {
        let OpenCampaign { key, name, mode } = request;
        let metadata = self.keys.describe_key(&key).await?;
        let target = metadata.primary.ok_or_else(|| {
            KmsError::key_unusable(format!("the key {key} has no primary version now"))
        })?;
        let mut campaigns = self.campaigns();
        let same = |campaign: &&Campaign| {
            (&campaign.key, &campaign.name, campaign.state) == (&key, &name, CampaignState::Open)
        };
        if let Some(open) = campaigns.iter().find(same) {
            let other = || KmsError::conflict(format!("{name} is open in mode {}", open.mode));
            return if open.mode == mode { Ok(open.clone()) } else { Err(other()) };
        }
        let now = Timestamp::now();
        let campaign = Campaign {
            id: CampaignId::make_random()?,
            name,
            key,
            key_id: metadata.id,
            mode,
            state: CampaignState::Open,
            target,
            opened_by: self.opened_by.clone(),
            opened_at: now,
            changed_at: now,
            revision: 1,
            sources: BTreeMap::new(),
        };
        campaigns.push(campaign.clone());
        Ok(campaign)
    }

    async fn report_campaign(&self, report: ReportCampaign) -> Result<Campaign> {
        report.check()?;
        let ReportCampaign { id, expected_revision, state, sources } = report;
        let mut campaigns = self.campaigns();
        let campaign = campaigns.iter_mut().find(|campaign| campaign.id == id);
        let campaign = campaign.ok_or_else(|| KmsError::not_found(format!("the campaign {id}")))?;
        let repeated = expected_revision.checked_add(1) == Some(campaign.revision)
            && campaign.state == state
            && campaign.sources == sources;
        if repeated {
            return Ok(campaign.clone());
        }
        if campaign.state != CampaignState::Open || campaign.revision != expected_revision {
            return Err(KmsError::conflict(format!(
                "the campaign {id} is {} at revision {}",
                campaign.state, campaign.revision
            )));
        }
        campaign.state = state;
        campaign.sources = sources;
        campaign.revision += 1;
        campaign.changed_at = Timestamp::now();
        Ok(campaign.clone())
    }

    async fn describe_campaign(&self, id: CampaignId) -> Result<Campaign> {
        let campaigns = self.campaigns();
        let found = campaigns.iter().find(|campaign| campaign.id == id);
        found.cloned().ok_or_else(|| KmsError::not_found(format!("the campaign {id}")))
    }

    async fn list_campaigns(&self, key: Option<&KeyPath>) -> Result<Vec<Campaign>> {
        let campaigns = self.campaigns();
        let wanted =
            campaigns.iter().rev().filter(|campaign| key.is_none_or(|key| campaign.key == *key));
        Ok(wanted.take(100).cloned().collect())
    }
}

impl fmt::Debug for MemoryRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRegister").field("campaigns", &self.campaigns).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryKms, campaign_register_conformance};

    #[tokio::test]
    async fn a_register_in_memory_conforms() {
        let keys: Arc<dyn KeyManagementService> = Arc::new(MemoryKms::new());
        let register = MemoryRegister::new(Arc::clone(&keys), "local:test".parse().unwrap());
        campaign_register_conformance::run(&register, &*keys, "campaigns").await;
    }
}
