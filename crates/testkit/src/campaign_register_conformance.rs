//! What every [`CampaignRegister`] must do, as checks that any register can be given to.
//!
//! Each check works on a key of its own below one region, so a suite can run against a service in use.
//! The caller must be allowed to make keys, rewrap and read metadata everywhere.

#![expect(clippy::unwrap_used, reason = "a check may panic")]

use std::collections::BTreeMap;

use claviger_kms::{
    Campaign, CampaignCounts, CampaignId, CampaignMode, CampaignRegister, CampaignState, CreateKey,
    CreateVersion, ErrorCode, KeyManagementService, KeyPath, OpenCampaign, ReportCampaign, Result,
    SourceProgress,
};

/// Runs every check, below keys in `region`, which must not exist yet.
///
/// # Panics
/// Where the register does otherwise.
pub async fn run(register: &dyn CampaignRegister, keys: &dyn KeyManagementService, region: &str) {
    keys.create_key(CreateKey::at(region.parse().unwrap())).await.unwrap();
    let bench = async |name: &str| {
        let key: KeyPath = format!("{region}/{name}").parse().unwrap();
        keys.create_key(CreateKey::at(key.clone())).await.unwrap();
        Bench { register, keys, key }
    };
    bench("opened").await.a_campaign_is_opened_as_asked_and_read_back().await;
    bench("resumed").await.an_open_campaign_is_resumed_by_name_in_its_mode_only().await;
    bench("key").await.a_campaign_on_no_key_is_not_found().await;
    bench("progress").await.progress_is_read_back_exactly().await;
    bench("stale").await.a_report_on_a_stale_revision_changes_nothing().await;
    bench("repeated").await.a_repeated_report_is_answered_as_before().await;
    bench("ended").await.a_campaign_that_ended_stays_ended().await;
    bench("invalid").await.a_report_that_breaks_a_rule_is_invalid().await;
    bench("unknown").await.an_unknown_campaign_is_not_found().await;
    bench("listed").await.campaigns_are_listed_newest_first_and_by_key().await;
    bench("at-once").await.of_two_runners_one_conflicts().await;
}

struct Bench<'a> {
    register: &'a dyn CampaignRegister,
    keys: &'a dyn KeyManagementService,
    key: KeyPath,
}

impl Bench<'_> {
    async fn a_campaign_is_opened_as_asked_and_read_back(&self) {
        let request = CreateVersion { key: self.key.clone(), idempotency_key: None };
        let metadata = self.keys.rotate(request).await.unwrap();
        let opened = self.open("one", CampaignMode::Reencrypt).await.unwrap();
        assert_eq!((opened.name.as_str(), &opened.key), ("one", &self.key));
        assert_eq!((opened.key_id, Some(opened.target)), (metadata.id, metadata.primary));
        assert_eq!((opened.mode, opened.state), (CampaignMode::Reencrypt, CampaignState::Open));
        assert_eq!((opened.revision, opened.sources.len()), (1, 0));
        assert_eq!(opened.opened_at, opened.changed_at);
        assert_eq!(self.register.describe_campaign(opened.id).await.unwrap(), opened);
    }

    async fn an_open_campaign_is_resumed_by_name_in_its_mode_only(&self) {
        let opened = self.open("one", CampaignMode::Rewrap).await.unwrap();
        let reported = self.report(&opened, CampaignState::Open, 1).await.unwrap();
        assert_eq!(self.open("one", CampaignMode::Rewrap).await.unwrap(), reported);
        refused(self.open("one", CampaignMode::Reencrypt).await, ErrorCode::Conflict);
        let other = self.open("two", CampaignMode::Reencrypt).await.unwrap();
        assert_ne!(other.id, opened.id);
        self.report(&reported, CampaignState::Complete, 1).await.unwrap();
        let anew = self.open("one", CampaignMode::Reencrypt).await.unwrap();
        assert!(anew.id != opened.id && anew.revision == 1, "{anew:?}");
    }

    async fn a_campaign_on_no_key_is_not_found(&self) {
        let key = format!("{}/nothing", self.key).parse().unwrap();
        let nowhere = Bench { key, ..*self };
        refused(nowhere.open("one", CampaignMode::Rewrap).await, ErrorCode::NotFound);
    }

    async fn progress_is_read_back_exactly(&self) {
        let opened = self.open("one", CampaignMode::Rewrap).await.unwrap();
        let sources =
            BTreeMap::from([("users".to_owned(), progress(3)), ("files".to_owned(), progress(5))]);
        let report = ReportCampaign { sources: sources.clone(), ..report_on(&opened, 0) };
        let reported = self.register.report_campaign(report).await.unwrap();
        assert_eq!((reported.revision, &reported.sources), (2, &sources));
        assert!(reported.changed_at >= opened.changed_at);
        let expected = Campaign { revision: 2, sources, changed_at: reported.changed_at, ..opened };
        assert_eq!(reported, expected);
        assert_eq!(self.register.describe_campaign(reported.id).await.unwrap(), expected);
    }

    async fn a_report_on_a_stale_revision_changes_nothing(&self) {
        let opened = self.open("one", CampaignMode::Rewrap).await.unwrap();
        let reported = self.report(&opened, CampaignState::Open, 1).await.unwrap();
        for revision in [0, 1, 3, u64::MAX] {
            let stale = Campaign { revision, ..opened.clone() };
            for state in [CampaignState::Open, CampaignState::Cancelled] {
                refused(self.report(&stale, state, 2).await, ErrorCode::Conflict);
            }
        }
        assert_eq!(self.register.describe_campaign(opened.id).await.unwrap(), reported);
    }

    async fn a_repeated_report_is_answered_as_before(&self) {
        let opened = self.open("one", CampaignMode::Rewrap).await.unwrap();
        let reported = self.report(&opened, CampaignState::Open, 1).await.unwrap();
        assert_eq!(self.report(&opened, CampaignState::Open, 1).await.unwrap(), reported);
        let ended = self.report(&reported, CampaignState::Partial, 1).await.unwrap();
        assert_eq!(self.report(&reported, CampaignState::Partial, 1).await.unwrap(), ended);
        refused(self.report(&opened, CampaignState::Open, 1).await, ErrorCode::Conflict);
    }

    async fn a_campaign_that_ended_stays_ended(&self) {
        for (name, state) in [
            ("complete", CampaignState::Complete),
            ("partial", CampaignState::Partial),
            ("cancelled", CampaignState::Cancelled),
        ] {
            let opened = self.open(name, CampaignMode::Rewrap).await.unwrap();
            let ended = self.report(&opened, state, 1).await.unwrap();
            assert_eq!(ended.state, state);
            for after in [CampaignState::Open, CampaignState::Complete, CampaignState::Cancelled] {
                refused(self.report(&ended, after, 2).await, ErrorCode::Conflict);
            }
            assert_eq!(self.register.describe_campaign(opened.id).await.unwrap(), ended);
        }
    }

    async fn a_report_that_breaks_a_rule_is_invalid(&self) {
        let opened = self.open("one", CampaignMode::Rewrap).await.unwrap();
        let with = |sources| ReportCampaign { sources, ..report_on(&opened, 0) };
        let named = |name: String| (name, progress(1));
        let mut untrue = progress(1);
        untrue.counts.scanned = 2;
        for sources in [
            (0..65).map(|n| named(format!("s{n}"))).collect(),
            BTreeMap::from([named(String::new())]),
            BTreeMap::from([named("a b".to_owned())]),
            BTreeMap::from([("s".to_owned(), untrue)]),
        ] {
            let report = self.register.report_campaign(with(sources)).await;
            refused(report, ErrorCode::InvalidRequest);
        }
        assert_eq!(self.register.describe_campaign(opened.id).await.unwrap(), opened);
    }

    async fn an_unknown_campaign_is_not_found(&self) {
        let opened = self.open("one", CampaignMode::Rewrap).await.unwrap();
        let unknown = Campaign { id: CampaignId::make_random().unwrap(), ..opened };
        refused(self.register.describe_campaign(unknown.id).await, ErrorCode::NotFound);
        refused(self.report(&unknown, CampaignState::Open, 1).await, ErrorCode::NotFound);
    }

    async fn campaigns_are_listed_newest_first_and_by_key(&self) {
        let first = self.open("first", CampaignMode::Rewrap).await.unwrap();
        let first = self.report(&first, CampaignState::Cancelled, 1).await.unwrap();
        let second = self.open("second", CampaignMode::Rewrap).await.unwrap();
        let of_key = self.register.list_campaigns(Some(&self.key)).await.unwrap();
        assert_eq!(of_key, [second.clone(), first]);
        let all = self.register.list_campaigns(None).await.unwrap();
        assert_eq!(all.first(), Some(&second));
        assert!(all.len() > 2, "the campaigns of other keys are not there");
    }

    async fn of_two_runners_one_conflicts(&self) {
        let opened = self.open("one", CampaignMode::Rewrap).await.unwrap();
        let (one, other) = tokio::join!(
            self.report(&opened, CampaignState::Open, 1),
            self.report(&opened, CampaignState::Open, 2)
        );
        let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
        refused(lost, ErrorCode::Conflict);
        assert_eq!(self.register.describe_campaign(opened.id).await.unwrap(), won.unwrap());
    }

    async fn open(&self, name: &str, mode: CampaignMode) -> Result<Campaign> {
        let request = OpenCampaign { key: self.key.clone(), name: name.parse().unwrap(), mode };
        self.register.open_campaign(request).await
    }

    async fn report(&self, on: &Campaign, state: CampaignState, moved: u64) -> Result<Campaign> {
        let report = ReportCampaign { state, ..report_on(on, moved) };
        self.register.report_campaign(report).await
    }
}

fn report_on(campaign: &Campaign, moved: u64) -> ReportCampaign {
    ReportCampaign {
        id: campaign.id,
        expected_revision: campaign.revision,
        state: CampaignState::Open,
        sources: BTreeMap::from([("users".to_owned(), progress(moved))]),
    }
}

fn progress(moved: u64) -> SourceProgress {
    let counts = CampaignCounts { scanned: moved + 2, moved, foreign: 2, ..Default::default() };
    let cursor = format!("id={moved}, name=\"ä\"").try_into().unwrap();
    SourceProgress { passes: 1, cursor: Some(cursor), counts }
}

fn refused<T: std::fmt::Debug>(result: Result<T>, code: ErrorCode) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
}
