use std::collections::BTreeMap;

use claviger_audit::{AuditResult, Phase, ServiceEvent};
use claviger_kms::{
    Campaign, CampaignId, CampaignMode, CampaignRegister as _, CampaignState, Cursor, ErrorCode,
    KmsError, OpenCampaign, ReportCampaign, Result, SourceProgress,
};
use claviger_operations::LocalKms;
use claviger_testkit::campaign_register_conformance;

use crate::{Bench, data_key, decrypt, kms, path, rewrap, rotate};

async fn open(kms: &LocalKms, key: &str, name: &str) -> Result<Campaign> {
    let name = name.parse().unwrap();
    kms.open_campaign(OpenCampaign { key: path(key), name, mode: CampaignMode::Rewrap }).await
}

async fn report(kms: &LocalKms, on: &Campaign, state: CampaignState) -> Result<Campaign> {
    kms.report_campaign(report_of(on, state)).await
}

fn report_of(on: &Campaign, state: CampaignState) -> ReportCampaign {
    let sources = BTreeMap::from([("users".to_owned(), SourceProgress::default())]);
    ReportCampaign { id: on.id, expected_revision: on.revision, state, sources }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code()
}

#[tokio::test]
async fn the_register_of_a_service_conforms() {
    let (_bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    campaign_register_conformance::run(&admin, &admin, "campaigns").await;
    operations.stop().await;
}

/// What a quarantine has stopped moves only for a campaign that is open on the very key.
#[tokio::test]
async fn a_quarantined_version_is_moved_only_for_an_open_campaign_on_its_key() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let wrapped = data_key(&admin, "eu").await.unwrap();
    operations.stop().await;
    drop((admin, operations));
    bench.quarantine("eu", false).await;

    let operations = bench.start().await;
    let admin = kms(&operations, "admin");
    assert_eq!(code(decrypt(&admin, &wrapped).await), ErrorCode::KeyUnusable);
    assert_eq!(code(rewrap(&admin, &wrapped, None).await), ErrorCode::KeyUnusable);

    let unknown = CampaignId::make_random().unwrap();
    let other = open(&admin, "us", "one").await.unwrap();
    for id in [unknown, other.id] {
        let refused = rewrap(&admin, &wrapped, Some(id)).await.unwrap_err();
        // Somebody who may not see the other key does not learn that it has this campaign.
        assert_eq!(refused, KmsError::conflict(format!("the key eu has no campaign {id}")));
    }
    let campaign = open(&admin, "eu", "one").await.unwrap();
    let moved = rewrap(&admin, &wrapped, Some(campaign.id)).await.unwrap();
    assert_eq!((moved.from.number(), moved.to.number()), (1, 2));
    decrypt(&admin, &moved.ciphertext).await.unwrap();
    assert_eq!(code(decrypt(&admin, &wrapped).await), ErrorCode::KeyUnusable, "still stopped");

    report(&admin, &campaign, CampaignState::Cancelled).await.unwrap();
    let refused = rewrap(&admin, &wrapped, Some(campaign.id)).await.unwrap_err();
    assert!(refused.to_string().contains("is cancelled"), "{refused}");
    assert_eq!(refused.code(), ErrorCode::Conflict);
    // Also one that moves nothing any more.
    assert_eq!(code(rewrap(&admin, &moved.ciphertext, Some(unknown)).await), ErrorCode::Conflict);
    operations.stop().await;
    drop((admin, operations));

    let again = bench.start().await;
    let admin = kms(&again, "admin");
    assert_eq!(code(rewrap(&admin, &wrapped, Some(campaign.id)).await), ErrorCode::Conflict);
    let named = |id| {
        let records = bench.records();
        let of_rewrap = records.iter().filter(|record| record.entry.event.as_str() == "rewrap");
        of_rewrap
            .filter(|record| record.entry.campaign == Some(id))
            .map(|record| record.entry.result)
            .collect::<Vec<_>>()
    };
    let conflict = AuditResult::Failed(ErrorCode::Conflict);
    assert_eq!(named(campaign.id), [AuditResult::Done, conflict, conflict]);
    assert_eq!(named(unknown), [conflict, conflict]);
    again.stop().await;
}

#[tokio::test]
async fn a_version_that_is_drained_is_moved_without_a_campaign() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let wrapped = data_key(&admin, "eu").await.unwrap();
    operations.stop().await;
    drop((admin, operations));
    bench.quarantine("eu", true).await;
    let operations = bench.start().await;
    let admin = kms(&operations, "admin");
    assert_eq!(rewrap(&admin, &wrapped, None).await.unwrap().to.number(), 2);
    operations.stop().await;
}

/// An open campaign is no right: a disabled version stays shut, and so does the key to a stranger.
#[tokio::test]
async fn a_campaign_opens_no_disabled_version_and_gives_nobody_a_permit() {
    let (_bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let wrapped = data_key(&admin, "eu").await.unwrap();
    let campaign = open(&admin, "eu", "one").await.unwrap();
    for who in ["runner", "stranger"] {
        let refused = rewrap(&kms(&operations, who), &wrapped, Some(campaign.id)).await;
        assert_eq!(refused.unwrap_err(), KmsError::Denied);
    }
    rotate(&admin, "eu").await;
    let first = claviger_kms::VersionRequest { key: path("eu"), version: "1".parse().unwrap() };
    claviger_kms::KeyManagementService::disable_version(&admin, first).await.unwrap();
    assert_eq!(code(rewrap(&admin, &wrapped, Some(campaign.id)).await), ErrorCode::KeyUnusable);
    operations.stop().await;
}

#[tokio::test]
async fn who_may_not_cannot_tell_a_campaign_that_exists_from_one_that_does_not() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let campaign = open(&admin, "eu", "one").await.unwrap();
    let unknown = Campaign { id: CampaignId::make_random().unwrap(), ..campaign.clone() };
    for who in ["stranger", "runner"] {
        let who = kms(&operations, who);
        for campaign in [&campaign, &unknown] {
            let described = who.describe_campaign(campaign.id).await;
            assert_eq!(described.unwrap_err(), KmsError::Denied);
            for state in [CampaignState::Open, CampaignState::Cancelled] {
                let reported = report(&who, campaign, state).await;
                assert_eq!(reported.unwrap_err(), KmsError::Denied);
            }
        }
        for key in ["eu", "nowhere"] {
            assert_eq!(open(&who, key, "two").await.unwrap_err(), KmsError::Denied);
            assert_eq!(who.list_campaigns(Some(&path(key))).await.unwrap(), []);
        }
        assert_eq!(who.list_campaigns(None).await.unwrap(), []);
    }
    assert_eq!(admin.describe_campaign(campaign.id).await.unwrap(), campaign);
    // Who may rewrap under one key opens and reports there, and reads nothing.
    admin_makes_a_key(&admin, "us/data").await;
    let runner = kms(&operations, "runner");
    let his = open(&runner, "us/data", "one").await.unwrap();
    assert_eq!(his.opened_by, "local:runner".parse().unwrap());
    assert_eq!(runner.describe_campaign(his.id).await.unwrap_err(), KmsError::Denied);
    report(&runner, &his, CampaignState::Complete).await.unwrap();

    let denied = AuditResult::Failed(ErrorCode::Denied);
    let records = bench.records();
    let count = records.iter().filter(|record| record.entry.result == denied).count();
    // Each caller: 2 described, 4 reported, 2 opened; a list shows nothing and is no failure. One more.
    assert_eq!(count, 2 * 8 + 1);
    operations.stop().await;
}

async fn admin_makes_a_key(admin: &LocalKms, key: &str) {
    let request = claviger_kms::CreateKey::at(path(key));
    claviger_kms::KeyManagementService::create_key(admin, request).await.unwrap();
}

#[tokio::test]
async fn an_opening_and_an_end_leave_two_records_and_progress_none() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let before = bench.records().len();
    let opened = open(&admin, "eu", "one").await.unwrap();
    let progress = report(&admin, &opened, CampaignState::Open).await.unwrap();
    let other =
        ReportCampaign { sources: BTreeMap::new(), ..report_of(&opened, CampaignState::Open) };
    assert_eq!(code(admin.report_campaign(other).await), ErrorCode::Conflict);
    report(&admin, &progress, CampaignState::Partial).await.unwrap();
    let records = bench.records().split_off(before);
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            assert_eq!(record.entry.campaign, Some(opened.id));
            assert_eq!(record.entry.key, Some(path("eu")));
            assert_eq!(record.entry.key_id, Some(opened.key_id));
            (record.entry.event.as_str(), record.entry.phase, record.entry.result)
        })
        .collect();
    let (opens, ends) =
        (ServiceEvent::CampaignOpened.as_str(), ServiceEvent::CampaignEnded.as_str());
    let refused = AuditResult::Failed(ErrorCode::Conflict);
    assert_eq!(
        seen,
        [
            (opens, Phase::Intent, AuditResult::Pending),
            (opens, Phase::Outcome, AuditResult::Done),
            ("rewrap", Phase::Only, refused),
            (ends, Phase::Intent, AuditResult::Pending),
            (ends, Phase::Outcome, AuditResult::Done),
        ]
    );
    operations.stop().await;
}

#[tokio::test]
async fn too_many_open_campaigns_and_too_large_records_are_refused_with_the_limit() {
    let (_bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let first = open(&admin, "eu", "c0").await.unwrap();
    for number in 1..16 {
        open(&admin, "eu", &format!("c{number}")).await.unwrap();
    }
    let refused = open(&admin, "eu", "c16").await.unwrap_err();
    assert!(
        matches!(&refused, KmsError::Conflict { reason } if reason.contains("16")),
        "{refused}"
    );
    open(&admin, "us", "c16").await.unwrap();
    let first = report(&admin, &first, CampaignState::Cancelled).await.unwrap();
    let opened = open(&admin, "eu", "c16").await.unwrap();
    assert_eq!(admin.list_campaigns(Some(&path("eu"))).await.unwrap().last(), Some(&first));

    let cursor = Cursor::try_from("x".repeat(1024)).unwrap();
    let large = SourceProgress { cursor: Some(cursor), ..SourceProgress::default() };
    let sources = (0..64).map(|n| (format!("s{n}"), large.clone())).collect();
    let report = ReportCampaign { sources, ..report_of(&opened, CampaignState::Open) };
    let refused = admin.report_campaign(report).await.unwrap_err();
    assert!(
        matches!(&refused, KmsError::Invalid { reason } if reason.contains("65536")),
        "{refused}"
    );
    assert_eq!(admin.describe_campaign(opened.id).await.unwrap(), opened);
    operations.stop().await;
}

/// Whoever can write the store's file cannot make a campaign, nor give one another key's or its own text.
#[tokio::test]
async fn a_record_that_was_altered_lets_nothing_in_and_harms_no_other() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    let wrapped = data_key(&admin, "eu").await.unwrap();
    let ended = open(&admin, "eu", "ended").await.unwrap();
    let ended = report(&admin, &ended, CampaignState::Cancelled).await.unwrap();
    let open_one = open(&admin, "eu", "open").await.unwrap();
    let altered = open(&admin, "eu", "altered").await.unwrap();
    operations.stop().await;
    drop((admin, operations));

    let store = bench.store();
    let name = |campaign: &Campaign| format!("campaign/{}", campaign.id);
    let put = async |over: &Campaign, bytes: Vec<u8>| {
        let found = store.document(&name(over)).await.unwrap().unwrap();
        let expected_revision = Some(found.revision);
        let put = claviger_keystore::PutDocument { name: name(over), expected_revision, bytes };
        store.put_document(put).await.unwrap();
    };
    // An open campaign's genuine record in the place of the ended one, and a flipped word.
    let genuine = store.document(&name(&open_one)).await.unwrap().unwrap().bytes;
    put(&ended, genuine).await;
    let text =
        String::from_utf8(store.document(&name(&altered)).await.unwrap().unwrap().bytes).unwrap();
    assert!(text.contains("local:admin"));
    put(&altered, text.replace("local:admin", "local:other").into_bytes()).await;
    drop(store);

    let operations = bench.start().await;
    let admin = kms(&operations, "admin");
    for id in [ended.id, altered.id] {
        assert_eq!(code(rewrap(&admin, &wrapped, Some(id)).await), ErrorCode::Conflict);
        assert_eq!(code(admin.describe_campaign(id).await), ErrorCode::NotFound);
    }
    rewrap(&admin, &wrapped, Some(open_one.id)).await.unwrap();
    assert_eq!(admin.list_campaigns(None).await.unwrap(), [open_one]);
    operations.stop().await;
}
