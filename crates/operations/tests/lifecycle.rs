//! Quarantine, the second person and destruction, over a real token, store and audit log.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use claviger_audit::{Phase, Record, read_segment, segments};
use claviger_hierarchy::Pace;
use claviger_kms::{
    Action, ApprovalId, Approve, Binding, Campaign, CampaignMode, CampaignRegister as _,
    CampaignState, CreateKey, CreateVersion, DataKey, Decrypt, GenerateDataKey, KeyLifecycle as _,
    KeyManagementService as _, KeyMetadata, KeyPath, KeyRequest, KeyVersion, KmsError,
    OpenCampaign, Principal, QuarantineKey, QuarantineReason, ReportCampaign, Rewrap,
    ScheduleDestroy, VersionRequest, VersionState,
};
use claviger_operations::{Caller, LocalKms};
use claviger_testkit::Service;

const TWO: &str = r#"
[[rule]]
name = "all"
principals = ["local:admin", "local:second"]
actions = ["*"]
keys = ["**"]
"#;

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

fn kms(service: &Service, who: &str) -> LocalKms {
    let principal: Principal = who.parse().unwrap();
    service.operations().local_kms(Caller::in_process(principal).unwrap())
}

async fn at_pace(scale: u32) -> (Service, LocalKms) {
    let service = Service::start_at_pace(TWO, Default::default(), Pace::faster(scale)).await;
    let admin = kms(&service, "local:admin");
    for key in ["eu", "eu/pay", "eu/pay/cards"] {
        admin.create_key(CreateKey::at(path(key))).await.unwrap();
    }
    (service, admin)
}

fn records(service: &Service) -> Vec<Record> {
    let files = segments(service.folder().join("audit")).unwrap();
    files.iter().flat_map(|file| read_segment(file).unwrap().map(Result::unwrap)).collect()
}

fn quarantine(key: &str, reason: QuarantineReason) -> QuarantineKey {
    QuarantineKey {
        key: path(key),
        version: None,
        reason,
        drain: false,
        recursive: false,
        dry_run: false,
        idempotency_key: None,
    }
}

async fn data_key(kms: &LocalKms, key: &str) -> DataKey {
    let request = GenerateDataKey { key: path(key), binding: Binding::default() };
    kms.generate_data_key(request).await.unwrap()
}

async fn opens(kms: &LocalKms, made: &DataKey) -> Result<(), KmsError> {
    let ciphertext = made.wrapped.ciphertext.clone();
    kms.decrypt(Decrypt { ciphertext, binding: Binding::default() }).await.map(drop)
}

fn states(key: &KeyMetadata) -> Vec<VersionState> {
    key.versions.iter().map(|version| version.state).collect()
}

#[tokio::test]
async fn a_quarantine_stops_replaces_and_is_recorded() {
    let (service, admin) = at_pace(1).await;
    let (of_pay, of_cards) =
        (data_key(&admin, "eu/pay").await, data_key(&admin, "eu/pay/cards").await);
    let mut request = quarantine("eu/pay", QuarantineReason::MisuseSuspected);
    request.idempotency_key = Some("incident-7".parse().unwrap());
    let report = admin.quarantine(request.clone()).await.unwrap();
    assert_eq!(report.keys.len(), 1);
    assert_eq!(report.keys[0].stopped, [version(1)]);
    assert_eq!(report.keys[0].primary, Some(version(2)));
    assert!(matches!(opens(&admin, &of_pay).await, Err(KmsError::KeyUnusable { .. })));
    opens(&admin, &of_cards).await.unwrap();
    opens(&admin, &data_key(&admin, "eu/pay").await).await.unwrap();
    let below = admin.describe_key(&path("eu/pay/cards")).await.unwrap();
    assert_eq!(below.versions[0].parent_version, version(2));

    // A lost reply and a second try stop nothing that was made since.
    let again = admin.quarantine(request).await.unwrap();
    assert_eq!((again.keys[0].stopped.len(), again.keys[0].primary), (0, Some(version(2))));

    let records = records(&service);
    let of = |action: Action, phase: Phase| {
        records.iter().filter(|r| r.entry.event == action.into() && r.entry.phase == phase).count()
    };
    assert_eq!(of(Action::Quarantine, Phase::Intent), of(Action::Quarantine, Phase::Outcome));
    let change = records
        .iter()
        .find(|r| r.entry.event == Action::Quarantine.into() && r.entry.phase == Phase::Outcome);
    assert!(change.unwrap().entry.change.is_some(), "the record does not name what was written");
    service.stop().await;
}

#[tokio::test]
async fn a_quarantine_opens_the_campaigns_that_the_key_has_had() {
    let (service, admin) = at_pace(1).await;
    let open = OpenCampaign {
        key: path("eu/pay"),
        name: "cards".parse().unwrap(),
        mode: CampaignMode::Rewrap,
    };
    let first = admin.open_campaign(open).await.unwrap();
    end(&admin, &first).await;
    let misuse = quarantine("eu/pay", QuarantineReason::MisuseSuspected);
    let report = admin.quarantine(misuse.clone()).await.unwrap();
    assert_eq!(report.keys[0].campaigns, std::slice::from_ref(&first.name));
    let again = newest(&admin).await;
    assert_eq!((again.state, again.mode), (CampaignState::Open, CampaignMode::Rewrap));
    assert_ne!(again.id, first.id);
    // One that is open stays the one to run.
    admin.quarantine(misuse).await.unwrap();
    assert_eq!(newest(&admin).await.id, again.id);

    // A rewrap that is open does not cure a leak, and is told.
    let leak = quarantine("eu/pay", QuarantineReason::MaterialLeaked);
    let report = admin.quarantine(leak.clone()).await.unwrap();
    let told = report.keys[0].notice.clone().unwrap();
    assert!(report.keys[0].campaigns.is_empty() && told.contains("end the campaign"), "{told}");
    end(&admin, &again).await;
    let report = admin.quarantine(leak).await.unwrap();
    assert_eq!(report.keys[0].campaigns, [first.name]);
    assert_eq!(newest(&admin).await.mode, CampaignMode::Reencrypt);
    service.stop().await;
}

async fn newest(admin: &LocalKms) -> Campaign {
    admin.list_campaigns(Some(&path("eu/pay"))).await.unwrap().remove(0)
}

async fn end(admin: &LocalKms, campaign: &Campaign) {
    let report = ReportCampaign {
        id: campaign.id,
        expected_revision: campaign.revision,
        state: CampaignState::Cancelled,
        sources: campaign.sources.clone(),
    };
    admin.report_campaign(report).await.unwrap();
}

#[tokio::test]
async fn leaked_material_renews_every_key_below_and_demands_reencryption() {
    let (service, admin) = at_pace(1).await;
    let report =
        admin.quarantine(quarantine("eu", QuarantineReason::MaterialLeaked)).await.unwrap();
    let told: Vec<_> = report.keys.iter().map(|key| (key.key.as_str(), key.primary)).collect();
    let second = Some(version(2));
    assert_eq!(told, [("eu", second), ("eu/pay", second), ("eu/pay/cards", second)]);
    assert!(report.notices.iter().any(|notice| notice.contains("reencrypt")));
    let below = admin.describe_key(&path("eu/pay")).await.unwrap();
    assert_eq!(states(&below), [VersionState::Enabled, VersionState::Primary]);
    service.stop().await;
}

#[tokio::test]
async fn a_recursive_quarantine_stops_all_below_and_a_dry_run_nothing() {
    let (service, admin) = at_pace(1).await;
    let cards = data_key(&admin, "eu/pay/cards").await;
    let mut request = quarantine("eu", QuarantineReason::MisuseSuspected);
    request.recursive = true;
    request.dry_run = true;
    let report = admin.quarantine(request.clone()).await.unwrap();
    assert!(report.dry_run && report.keys.len() == 3);
    assert!(report.keys.iter().all(|key| key.stopped == [version(1)]));
    opens(&admin, &cards).await.unwrap();

    request.dry_run = false;
    let report = admin.quarantine(request).await.unwrap();
    assert!(report.keys.iter().all(|key| key.primary == Some(version(2))), "{report:?}");
    assert!(opens(&admin, &cards).await.is_err());
    service.stop().await;
}

#[tokio::test]
async fn who_may_not_quarantine_cannot_tell_a_key_from_none() {
    let (service, admin) = at_pace(1).await;
    let stranger = kms(&service, "local:stranger");
    for key in ["eu", "nowhere"] {
        let refused = stranger.quarantine(quarantine(key, QuarantineReason::MisuseSuspected)).await;
        assert_eq!(refused.unwrap_err(), KmsError::Denied);
        let request = KeyRequest { key: path(key) };
        assert_eq!(stranger.disable_key(request).await.unwrap_err(), KmsError::Denied);
    }
    let missing = admin.quarantine(quarantine("nowhere", QuarantineReason::MisuseSuspected)).await;
    assert!(matches!(missing, Err(KmsError::NotFound { .. })));
    let unknown = ApprovalId::make_random().unwrap();
    assert_eq!(stranger.approve(Approve { id: unknown }).await.unwrap_err(), KmsError::Denied);
    assert!(matches!(admin.approve(Approve { id: unknown }).await, Err(KmsError::NotFound { .. })));
    service.stop().await;
}

/// The id of the approval that a refusal asks for.
fn asked_for(error: &KmsError) -> ApprovalId {
    let text = error.to_string();
    let id = text.split("claviger approve ").nth(1).and_then(|rest| rest.get(..36));
    id.unwrap_or_else(|| panic!("no approval is asked for: {text}")).parse().unwrap()
}

fn shred(days: u32) -> ScheduleDestroy {
    ScheduleDestroy { key: path("eu/pay/cards"), version: version(1), days, shred: true }
}

async fn with_disabled_version(scale: u32) -> (Service, LocalKms) {
    let (service, admin) = at_pace(scale).await;
    let key = path("eu/pay/cards");
    let rotate = CreateVersion { key: key.clone(), idempotency_key: None };
    admin.rotate(rotate).await.unwrap();
    admin.disable_version(VersionRequest { key, version: version(1) }).await.unwrap();
    (service, admin)
}

#[tokio::test]
async fn shredding_takes_two_persons_and_exactly_what_was_approved() {
    let (service, admin) = with_disabled_version(1).await;
    let second = kms(&service, "local:second");
    let refused = admin.schedule_destroy(shred(7)).await.unwrap_err();
    let id = asked_for(&refused);
    assert_eq!(asked_for(&admin.schedule_destroy(shred(7)).await.unwrap_err()), id);
    assert!(
        matches!(admin.approve(Approve { id }).await, Err(KmsError::Invalid { .. })),
        "his own request"
    );
    let approval = second.approve(Approve { id }).await.unwrap();
    assert!(approval.request.contains("7 days") && approval.asked_by.as_str() == "local:admin");
    // Another delay, another person: other requests.
    assert_ne!(asked_for(&admin.schedule_destroy(shred(8)).await.unwrap_err()), id);
    assert_ne!(asked_for(&second.schedule_destroy(shred(7)).await.unwrap_err()), id);
    let key = admin.schedule_destroy(shred(7)).await.unwrap();
    assert_eq!(states(&key), [VersionState::DestroyScheduled, VersionState::Primary]);
    assert!(key.notices.iter().any(|notice| notice.contains("copies")), "{:?}", key.notices);

    // Used once: after a cancellation it takes another.
    let of = VersionRequest { key: path("eu/pay/cards"), version: version(1) };
    admin.cancel_destroy(of).await.unwrap();
    assert_eq!(asked_for(&admin.schedule_destroy(shred(7)).await.unwrap_err()), id);
    service.stop().await;
}

/// A second person was asked, agreed, and then the request was refused: the version was the primary one.
#[tokio::test]
async fn nobody_is_asked_for_what_would_be_refused() {
    let (service, admin) = with_disabled_version(1).await;
    for number in [2, 3] {
        let request = ScheduleDestroy { version: version(number), ..shred(7) };
        let refused = admin.schedule_destroy(request).await.unwrap_err().to_string();
        assert!(!refused.contains("claviger approve"), "{refused}");
    }
    service.stop().await;
}

/// After a leak a campaign of mode rewrap under another name said "complete", and hid every leaked data key from the
/// one of mode reencrypt.
#[tokio::test]
async fn after_a_leak_no_rewrap_hides_what_must_be_reencrypted() {
    let (service, admin) = at_pace(1).await;
    let made = data_key(&admin, "eu/pay").await;
    let open =
        |name: &str, mode| OpenCampaign { key: path("eu/pay"), name: name.parse().unwrap(), mode };
    let before = admin.open_campaign(open("before", CampaignMode::Rewrap)).await.unwrap();
    admin.quarantine(quarantine("eu", QuarantineReason::MaterialLeaked)).await.unwrap();
    let refused = admin.open_campaign(open("cards", CampaignMode::Rewrap)).await.unwrap_err();
    assert!(refused.to_string().contains("reencrypt"), "{refused}");
    let rewrap = |campaign| Rewrap {
        ciphertext: made.wrapped.ciphertext.clone(),
        binding: Binding::default(),
        campaign,
    };
    // Neither without a campaign nor in one that was open already.
    for campaign in [None, Some(before.id)] {
        let refused = admin.rewrap(rewrap(campaign)).await;
        assert!(matches!(refused, Err(KmsError::KeyUnusable { .. })), "{refused:?}");
    }
    let anew = admin.open_campaign(open("cards", CampaignMode::Reencrypt)).await.unwrap();
    admin.rewrap(rewrap(Some(anew.id))).await.unwrap();
    // What was made since is safe, and moves as ever.
    let old = VersionRequest { key: path("eu/pay"), version: version(1) };
    admin.disable_version(old).await.unwrap();
    admin.open_campaign(open("others", CampaignMode::Rewrap)).await.unwrap();
    service.stop().await;
}

/// Stopping one old version moved the key, and all below it, to a new one.
#[tokio::test]
async fn stopping_one_old_version_leaves_the_primary_one() {
    let (service, admin) = at_pace(1).await;
    let key = path("eu/pay");
    admin.rotate(CreateVersion { key, idempotency_key: None }).await.unwrap();
    let one = QuarantineKey {
        version: Some(version(1)),
        ..quarantine("eu/pay", QuarantineReason::MisuseSuspected)
    };
    let report = admin.quarantine(one).await.unwrap();
    assert_eq!(
        (report.keys[0].stopped.as_slice(), report.keys[0].primary),
        (&[version(1)][..], Some(version(2)))
    );
    let now = admin.describe_key(&path("eu/pay")).await.unwrap();
    assert_eq!(states(&now), [VersionState::Quarantined, VersionState::Primary]);
    service.stop().await;
}

#[tokio::test]
async fn a_version_that_was_quarantined_is_enabled_by_two_persons() {
    let (service, admin) = at_pace(1).await;
    let made = data_key(&admin, "eu/pay").await;
    admin.quarantine(quarantine("eu/pay", QuarantineReason::MisuseSuspected)).await.unwrap();
    let of = || VersionRequest { key: path("eu/pay"), version: version(1) };
    let id = asked_for(&admin.enable_version(of()).await.unwrap_err());
    kms(&service, "local:second").approve(Approve { id }).await.unwrap();
    admin.enable_version(of()).await.unwrap();
    opens(&admin, &made).await.unwrap();
    service.stop().await;
}

/// A day takes a millisecond.
#[tokio::test]
async fn what_is_due_is_destroyed_by_the_service_and_recorded() {
    let (service, admin) = with_disabled_version(86_400_000).await;
    let id = asked_for(&admin.schedule_destroy(shred(7)).await.unwrap_err());
    kms(&service, "local:second").approve(Approve { id }).await.unwrap();
    admin.schedule_destroy(shred(7)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    service.operations().keep_up().await.unwrap();
    let key = admin.describe_key(&path("eu/pay/cards")).await.unwrap();
    assert_eq!(states(&key), [VersionState::Destroyed, VersionState::Primary]);
    let records = records(&service);
    let done = records.iter().find(|r| {
        r.entry.event == Action::Destroy.into()
            && r.entry.principal.as_ref().is_some_and(|p| p.as_str() == "local:schedule")
            && r.entry.change.is_some()
    });
    assert_eq!(done.unwrap().entry.key_version, Some(version(1)));
    service.stop().await;
}

/// A key that was quarantined for misuse, below one whose material had leaked, while the token was away, had its
/// campaign opened in mode rewrap, in which every rewrap then was refused.
#[tokio::test]
async fn campaigns_opened_after_an_outage_cure_the_leak_above_and_not_the_misuse_alone() {
    let (service, admin) = at_pace(1).await;
    let open = OpenCampaign {
        key: path("eu/pay"),
        name: "cards".parse().unwrap(),
        mode: CampaignMode::Rewrap,
    };
    let campaign = admin.open_campaign(open).await.unwrap();
    end(&admin, &campaign).await;
    service.token().take_away();
    for (key, reason) in
        [("eu", QuarantineReason::MaterialLeaked), ("eu/pay", QuarantineReason::MisuseSuspected)]
    {
        let report = admin.quarantine(quarantine(key, reason)).await.unwrap();
        assert_eq!(report.keys[0].primary, None, "{report:?}");
    }
    service.token().bring_back();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while newest(&admin).await.state != CampaignState::Open {
        assert!(std::time::Instant::now() < deadline, "no campaign after the token is back");
        tokio::time::sleep(Duration::from_millis(200)).await;
        service.operations().keep_up().await.unwrap();
    }
    assert_eq!(newest(&admin).await.mode, CampaignMode::Reencrypt);
    service.stop().await;
}

#[tokio::test]
async fn with_the_token_away_a_quarantine_stops_now_and_replaces_later() {
    let (service, admin) = at_pace(1).await;
    let made = data_key(&admin, "eu").await;
    service.token().take_away();
    let report =
        admin.quarantine(quarantine("eu", QuarantineReason::MisuseSuspected)).await.unwrap();
    assert_eq!(report.keys[0].primary, None);
    assert!(report.keys[0].notice.is_some());
    assert!(matches!(opens(&admin, &made).await, Err(KmsError::KeyUnusable { .. })));
    service.token().bring_back();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while admin.describe_key(&path("eu")).await.unwrap().primary.is_none() {
        assert!(
            std::time::Instant::now() < deadline,
            "no new primary version after the token is back"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        service.operations().keep_up().await.unwrap();
    }
    data_key(&admin, "eu").await;
    service.stop().await;
}
