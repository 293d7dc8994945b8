//! Write a campaign's progress, or its end.
//!
//! An end is recorded as a state change. Progress is no use of a key and is not recorded, so that a runner
//! may report often; a refused report is.

use claviger_audit::ServiceEvent;
use claviger_kms::{
    Action, Campaign, CampaignState, EncryptionContext, KmsError, ReportCampaign, Result, Timestamp,
};
use claviger_policy::{Permit, action};

use crate::{
    LocalKms,
    attempt::{Attempt, Attempted},
    campaigns::not_found,
};

impl LocalKms {
    pub(crate) async fn report_campaign_recorded(
        &self,
        report: ReportCampaign,
    ) -> Result<Campaign> {
        let mut attempt = Attempt::begin(self, Action::Rewrap);
        attempt.entry.campaign = Some(report.id);
        let ends = report.state != CampaignState::Open;
        if ends {
            attempt.entry.event = ServiceEvent::CampaignEnded.into();
        }
        let permit = match self.permit_report(&mut attempt, &report) {
            Ok(permit) => permit,
            Err(refused) => {
                return Attempted { result: Err(refused), attempt }.recorded(self).await;
            }
        };
        let write = async || self.write_report(permit, report).await;
        if ends {
            return self.in_two_records(attempt, write).await;
        }
        match write().await {
            Err(refused) => Attempted { result: Err(refused), attempt }.recorded(self).await,
            written => written,
        }
    }

    fn permit_report(
        &self,
        attempt: &mut Attempt,
        report: &ReportCampaign,
    ) -> Result<Permit<action::Rewrap>> {
        report.check()?;
        let known = self.operations().campaigns.find(report.id);
        let known = known.ok_or_else(|| attempt.refuse_unknown(self, not_found(report.id)))?;
        attempt.permit(self, &known.key, &EncryptionContext::new())
    }

    async fn write_report(
        &self,
        _permitted: Permit<action::Rewrap>,
        report: ReportCampaign,
    ) -> Result<Campaign> {
        let operations = self.operations();
        let ReportCampaign { id, expected_revision, state, sources } = report;
        let now = operations.campaigns.read(&operations.hierarchy, id).await?;
        let repeated = now.revision.checked_sub(1) == Some(expected_revision)
            && now.state == state
            && now.sources == sources;
        if repeated {
            // The reply to the same report was lost.
            return Ok(now);
        }
        if now.state != CampaignState::Open {
            let (name, key) = (&now.name, &now.key);
            return Err(KmsError::conflict(format!(
                "the campaign {name} of the key {key} is {}; open another",
                now.state
            )));
        }
        if now.revision != expected_revision {
            return Err(KmsError::conflict(format!(
                "the campaign {} is at revision {}, not {expected_revision}: another runner works on it",
                now.name, now.revision
            )));
        }
        let changed_at = Timestamp::now();
        let next = Campaign { state, sources, changed_at, revision: now.revision + 1, ..now };
        operations.campaigns.write(&operations.hierarchy, &next).await?;
        Ok(next)
    }
}
