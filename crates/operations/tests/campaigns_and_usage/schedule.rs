//! Rotation by schedule: when, how often, in which order, and what it leaves alone.

use claviger_audit::{AuditResult, Phase};
use claviger_kms::{
    Action, Approve, KeyLifecycle as _, KeyMetadata, KeyRequest, KeyRotation, KeyVersion, KmsError,
    ListRotations, RotationPage, ScheduleDestroy, SetRotation, VersionRequest, VersionState,
};
use claviger_operations::Clocks;
use claviger_policy::{Permit, action};

use super::*;

const DAY: u64 = 86_400;

/// Two clocks that a test moves.
struct Time(Clocks);

impl Time {
    fn now() -> Self {
        Self(Clocks::now())
    }

    /// Lets time pass.
    fn pass(&mut self, seconds: u64) {
        self.0.wall += Duration::from_secs(seconds);
        self.0.since_boot += Duration::from_secs(seconds);
    }

    /// Puts the date elsewhere.
    fn jump(&mut self, days: i64) {
        let far = Duration::from_secs(days.unsigned_abs() * DAY);
        self.0.wall = if days < 0 { self.0.wall - far } else { self.0.wall + far };
    }
}

async fn keep_up(operations: &Arc<Operations>, time: &mut Time) {
    time.pass(5);
    operations.keep_up_at(time.0).await.unwrap();
}

async fn create(operations: &Arc<Operations>, key: &str, period: Option<&str>) {
    let mut request = CreateKey::at(path(key));
    request.rotation_period = period.map(|period| period.parse().unwrap());
    kms(operations, "admin").create_key(request).await.unwrap();
}

async fn set(operations: &Arc<Operations>, key: &str, period: Option<&str>) -> Result<KeyMetadata> {
    let period = period.map(|period| period.parse().unwrap());
    kms(operations, "admin").set_rotation(SetRotation { key: path(key), period }).await
}

async fn versions(operations: &Arc<Operations>, key: &str) -> usize {
    kms(operations, "admin").describe_key(&path(key)).await.unwrap().versions.len()
}

async fn status(operations: &Arc<Operations>, within_days: Option<u32>) -> RotationPage {
    let request = ListRotations { within_days, ..ListRotations::default() };
    kms(operations, "admin").list_rotations(request).await.unwrap()
}

fn of<'a>(page: &'a RotationPage, key: &str) -> &'a KeyRotation {
    page.keys.iter().find(|told| told.key.as_str() == key).unwrap()
}

#[tokio::test]
async fn a_key_rotates_at_the_end_of_its_period_and_once_after_any_downtime() {
    let (bench, operations) = Bench::with_keys().await;
    create(&operations, "eu/pay", Some("90d")).await;
    let mut time = Time::now();
    // The spread is at most a day.
    time.pass(89 * DAY - 60);
    keep_up(&operations, &mut time).await;
    assert_eq!(versions(&operations, "eu/pay").await, 1, "before its time");
    time.pass(DAY + 60);
    for _ in 0..3 {
        keep_up(&operations, &mut time).await;
    }
    assert_eq!(versions(&operations, "eu/pay").await, 2, "not once at its time");
    operations.stop().await;
    drop(operations);

    // Away for four periods: one rotation, not four.
    let operations = bench.start().await;
    time.pass(365 * DAY);
    for _ in 0..3 {
        keep_up(&operations, &mut time).await;
    }
    assert_eq!(versions(&operations, "eu/pay").await, 3);
    assert_eq!(versions(&operations, "eu").await, 1, "a key without a period rotated");
    operations.stop().await;
}

#[tokio::test]
async fn a_period_is_that_of_the_nearest_key_above_that_has_one() {
    let (_bench, operations) = Bench::with_keys().await;
    for key in ["eu/pay", "eu/pay/cards", "eu/archive", "eu/archive/old"] {
        create(&operations, key, None).await;
    }
    let none = status(&operations, None).await;
    assert!(none.keys.iter().all(|key| key.period.is_none() && key.next.is_none() && !key.due));
    set(&operations, "eu", Some("90d")).await.unwrap();
    set(&operations, "eu/pay", Some("7d")).await.unwrap();
    set(&operations, "eu/archive", Some("never")).await.unwrap();
    let page = status(&operations, None).await;
    for (key, period, from) in [
        ("eu", Some("90d"), Some("eu")),
        ("eu/pay", Some("7d"), Some("eu/pay")),
        ("eu/pay/cards", Some("7d"), Some("eu/pay")),
        ("eu/archive/old", Some("never"), Some("eu/archive")),
        ("us", None, None),
    ] {
        let told = of(&page, key);
        let found = told.period.map(|period| period.to_string());
        assert_eq!(found.as_deref(), period, "{key}");
        assert_eq!(told.period_of.as_ref().map(KeyPath::as_str), from, "{key}");
        assert_eq!(told.next.is_some(), period.is_some_and(|period| period != "never"), "{key}");
    }
    let soon = status(&operations, Some(8)).await;
    let soon: Vec<_> = soon.keys.iter().map(|key| key.key.as_str()).collect();
    assert_eq!(soon, ["eu/pay", "eu/pay/cards"], "what a dry run says");
    assert!(status(&operations, Some(0)).await.keys.is_empty());

    let inherits = set(&operations, "eu/pay", None).await.unwrap();
    assert_eq!(inherits.rotation_period, None);
    let page = status(&operations, None).await;
    assert_eq!(of(&page, "eu/pay/cards").period.unwrap().to_string(), "90d");
    operations.stop().await;
}

#[tokio::test]
async fn a_period_is_set_by_who_may_rotate_only_and_recorded() {
    let (bench, operations) = Bench::with_keys().await;
    let request = || SetRotation { key: path("us"), period: Some("30d".parse().unwrap()) };
    // Who may only rewrap, and who may do nothing; a key that is there and one that is not.
    for who in ["runner", "stranger"] {
        let refused = kms(&operations, who).set_rotation(request()).await;
        assert_eq!(refused.unwrap_err(), KmsError::Denied);
        let nowhere = SetRotation { key: path("nowhere"), period: None };
        let refused = kms(&operations, who).set_rotation(nowhere).await;
        assert_eq!(refused.unwrap_err(), KmsError::Denied);
        let page = kms(&operations, who).list_rotations(ListRotations::default()).await.unwrap();
        assert!(page.keys.is_empty(), "{who} sees keys");
    }
    let missing = set(&operations, "nowhere", None).await;
    assert!(matches!(missing, Err(KmsError::NotFound { .. })));
    let mut far = ListRotations { within_days: Some(3651), ..ListRotations::default() };
    let refused = kms(&operations, "admin").list_rotations(far.clone()).await;
    assert!(matches!(refused, Err(KmsError::Invalid { .. })), "{refused:?}");
    (far.within_days, far.limit) = (None, Some(1001));
    assert!(kms(&operations, "admin").list_rotations(far).await.is_err());

    let before = kms(&operations, "admin").describe_key(&path("us")).await.unwrap();
    let set = kms(&operations, "admin").set_rotation(request()).await.unwrap();
    assert_eq!((set.epoch, set.versions.len()), (before.epoch + 1, 1), "it only notes the period");
    // Repeated, it writes nothing.
    let again = kms(&operations, "admin").set_rotation(request()).await.unwrap();
    assert_eq!(again.epoch, set.epoch);
    let records = bench.records();
    let outcome = records.iter().find(|record| {
        let entry = &record.entry;
        entry.phase == Phase::Outcome
            && entry.change.as_ref().is_some_and(|c| c.epoch == set.epoch)
            && entry.key == Some(path("us"))
    });
    let entry = &outcome.unwrap().entry;
    assert_eq!(entry.event, Action::Rotate.into());
    assert_eq!(entry.principal.as_ref().unwrap().as_str(), "local:admin");
    operations.stop().await;
}

#[tokio::test]
async fn overdue_keys_rotate_a_few_a_round_and_parents_first() {
    let (bench, operations) = Bench::with_keys().await;
    for number in 0..19 {
        create(&operations, &format!("eu/k{number:02}"), None).await;
    }
    set(&operations, "eu", Some("30d")).await.unwrap();
    let mut time = Time::now();
    time.pass(60 * DAY);
    let mut rounds = Vec::new();
    let mut done = 0;
    while done < 20 {
        keep_up(&operations, &mut time).await;
        let records = bench.records();
        let scheduled: Vec<_> = records
            .iter()
            .filter(|record| record.entry.phase == Phase::Intent)
            .filter(|record| record.entry.event == Action::Rotate.into())
            .filter(|r| r.entry.principal.as_ref().unwrap().as_str() == "local:schedule")
            .map(|record| record.entry.key.clone().unwrap())
            .collect();
        assert_eq!(scheduled[0], path("eu"), "a child rotated before its parent");
        rounds.push(scheduled.len() - done);
        done = scheduled.len();
    }
    assert_eq!(rounds.iter().sum::<usize>(), 20, "a key rotated twice");
    assert!(rounds.iter().all(|keys| (1..=8).contains(keys)), "{rounds:?}");
    for _ in 0..2 {
        keep_up(&operations, &mut time).await;
    }
    for number in 0..19 {
        assert_eq!(versions(&operations, &format!("eu/k{number:02}")).await, 2);
    }
    let page = status(&operations, None).await;
    assert!(page.leader && of(&page, "eu/k00").last.as_ref().unwrap().version.number() == 2);
    operations.stop().await;
}

#[tokio::test]
async fn disabled_retired_and_quarantined_keys_and_those_below_them_are_held() {
    let (bench, operations) = Bench::with_keys().await;
    for key in ["eu/off", "eu/off/below", "eu/old", "eu/never", "eu/on"] {
        create(&operations, key, None).await;
    }
    set(&operations, "eu", Some("30d")).await.unwrap();
    set(&operations, "us", Some("30d")).await.unwrap();
    set(&operations, "eu/never", Some("never")).await.unwrap();
    let admin = kms(&operations, "admin");
    admin.disable_key(KeyRequest { key: path("eu/off") }).await.unwrap();
    admin.retire_key(KeyRequest { key: path("eu/old") }).await.unwrap();
    // Stopped, and without a new primary version while the token is away.
    bench.hsm.take_away();
    let stop = claviger_kms::QuarantineKey {
        key: path("us"),
        version: None,
        reason: QuarantineReason::MisuseSuspected,
        drain: false,
        recursive: false,
        dry_run: false,
        idempotency_key: None,
    };
    assert_eq!(admin.quarantine(stop).await.unwrap().keys[0].primary, None);
    let page = status(&operations, None).await;
    for (key, why) in [
        ("eu/off", "eu/off is disabled"),
        ("eu/off/below", "eu/off is disabled"),
        ("eu/old", "eu/old is retired"),
        ("us", "us has no primary version"),
    ] {
        let held = of(&page, key).held.as_deref().unwrap_or_default();
        assert!(held.contains(why), "{key}: {held}");
    }
    assert!(of(&page, "eu/on").held.is_none() && of(&page, "eu/never").held.is_none());
    let mut time = Time::now();
    time.pass(60 * DAY);
    for _ in 0..3 {
        keep_up(&operations, &mut time).await;
    }
    for key in ["eu/off", "eu/off/below", "eu/old", "eu/never"] {
        assert_eq!(versions(&operations, key).await, 1, "{key} rotated");
    }
    operations.stop().await;
}

#[tokio::test]
async fn a_key_that_fails_waits_longer_each_time_and_holds_up_no_other() {
    let (bench, operations) = Bench::with_keys().await;
    create(&operations, "eu/pay", None).await;
    set(&operations, "eu", Some("30d")).await.unwrap();
    // The region is in memory, so that what is below it needs no token.
    data_key(&kms(&operations, "admin"), "eu/pay").await.unwrap();
    bench.hsm.take_away();
    let mut time = Time::now();
    time.pass(60 * DAY);
    keep_up(&operations, &mut time).await;
    assert_eq!(versions(&operations, "eu").await, 1);
    assert_eq!(versions(&operations, "eu/pay").await, 2, "the failing region held it up");
    let tries = || {
        let records = bench.records();
        let failed = |result: AuditResult| matches!(result, AuditResult::Failed(_));
        records.iter().filter(|record| failed(record.entry.result)).count()
    };
    assert_eq!(tries(), 1);
    for _ in 0..5 {
        keep_up(&operations, &mut time).await;
    }
    assert_eq!(tries(), 1, "it did not wait");
    let page = status(&operations, None).await;
    let failure = of(&page, "eu").failure.clone().unwrap();
    assert_eq!((failure.attempts, failure.reason.is_empty()), (1, false));
    let text = operations.metrics_text();
    assert!(text.contains("claviger_rotations_overdue 1\n"), "{text}");
    assert!(text.contains("claviger_rotations_failing 1\n"), "{text}");
    time.pass(60);
    keep_up(&operations, &mut time).await;
    assert_eq!(tries(), 2);
    // What is known of a failure outlives the service.
    bench.hsm.bring_back();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while operations.readiness().await.token != claviger_operations::Part::Ready {
        assert!(std::time::Instant::now() < deadline, "the token does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    operations.stop().await;
    drop(operations);
    let operations = bench.start().await;
    keep_up(&operations, &mut time).await;
    let page = status(&operations, None).await;
    assert_eq!(of(&page, "eu").failure.as_ref().unwrap().attempts, 2);
    assert_eq!(versions(&operations, "eu").await, 1, "it did not wait");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while versions(&operations, "eu").await == 1 {
        assert!(std::time::Instant::now() < deadline, "not rotated though the token is back");
        time.pass(3600);
        keep_up(&operations, &mut time).await;
    }
    assert_eq!(of(&status(&operations, None).await, "eu").failure, None);
    operations.stop().await;
}

/// An hour is what a person has to put the clock right; after it, the date is believed.
#[tokio::test]
async fn a_clock_that_jumps_a_year_and_back_rotates_each_key_once() {
    let (_bench, operations) = Bench::with_keys().await;
    for key in ["eu", "us"] {
        set(&operations, key, Some("90d")).await.unwrap();
    }
    let of_both = async |operations: &Arc<Operations>| {
        (versions(operations, "eu").await, versions(operations, "us").await)
    };
    let mut time = Time::now();
    keep_up(&operations, &mut time).await;
    time.jump(365);
    keep_up(&operations, &mut time).await;
    assert!(status(&operations, None).await.paused_until.is_some());
    time.pass(3500);
    keep_up(&operations, &mut time).await;
    assert_eq!(of_both(&operations).await, (1, 1), "rotated as soon as the clock jumped");
    // Put right within the hour: nothing has happened, nor does it later.
    time.jump(-365);
    keep_up(&operations, &mut time).await;
    time.pass(7200);
    keep_up(&operations, &mut time).await;
    assert_eq!(of_both(&operations).await, (1, 1));

    time.jump(365);
    for _ in 0..4 {
        keep_up(&operations, &mut time).await;
        time.pass(1900);
    }
    assert_eq!(of_both(&operations).await, (2, 2), "not once after the hour");
    time.jump(-365);
    for _ in 0..4 {
        keep_up(&operations, &mut time).await;
        time.pass(1900);
    }
    assert_eq!(of_both(&operations).await, (2, 2), "rotated because the clock went back");
    // The versions are dated in the future; the period is counted from when that was seen.
    time.pass(80 * DAY);
    keep_up(&operations, &mut time).await;
    assert_eq!(of_both(&operations).await, (2, 2));
    time.pass(10 * DAY);
    for _ in 0..3 {
        keep_up(&operations, &mut time).await;
    }
    assert_eq!(of_both(&operations).await, (3, 3), "a year without rotation");
    operations.stop().await;
}

/// The date was put ahead by a month, and a version that had 30 days was destroyed at once; also across a restart.
#[tokio::test]
async fn a_date_that_jumps_destroys_nothing_and_takes_no_evidence_for_a_day() {
    let (bench, operations) = Bench::with_keys().await;
    let admin = kms(&operations, "admin");
    rotate(&admin, "eu").await;
    let of = || VersionRequest { key: path("eu"), version: KeyVersion::FIRST };
    admin.disable_version(of()).await.unwrap();
    let shred =
        || ScheduleDestroy { key: path("eu"), version: KeyVersion::FIRST, days: 30, shred: true };
    let asked = admin.schedule_destroy(shred()).await.unwrap_err().to_string();
    let id = asked.split("claviger approve ").nth(1).and_then(|rest| rest.get(..36)).unwrap();
    let approve = Approve { id: id.parse().unwrap() };
    kms(&operations, "admin-2").approve(approve).await.unwrap();
    admin.schedule_destroy(shred()).await.unwrap();
    let mut time = Time::now();
    keep_up(&operations, &mut time).await;
    time.jump(31);
    keep_up(&operations, &mut time).await;
    operations.stop().await;
    drop((admin, operations));

    let operations = bench.start().await;
    let admin = kms(&operations, "admin");
    let state = async || admin.describe_key(&path("eu")).await.unwrap().versions[0].state;
    time.pass(23 * 3600);
    keep_up(&operations, &mut time).await;
    assert_eq!(state().await, VersionState::DestroyScheduled);
    time.pass(3600);
    keep_up(&operations, &mut time).await;
    assert_eq!(state().await, VersionState::Destroyed, "a day later the date is believed");
    operations.stop().await;
}

#[tokio::test]
async fn only_who_holds_the_lease_rotates() {
    let (bench, operations) = Bench::with_keys().await;
    set(&operations, "eu", Some("30d")).await.unwrap();
    let mut time = Time::now();
    time.pass(60 * DAY);
    operations.stop().await;
    drop(operations);
    // The store as another service of it sees it.
    let store = bench.store();
    let term = Duration::from_secs(600);
    assert!(store.lease("rotation", "another", term).await.unwrap());
    let operations = bench.start_on(Arc::clone(&store)).await;
    keep_up(&operations, &mut time).await;
    assert_eq!(versions(&operations, "eu").await, 1, "it rotated without the lease");
    assert!(!status(&operations, None).await.leader);
    assert!(operations.metrics_text().contains("claviger_rotation_leader 0\n"));
    assert!(store.lease("rotation", "another", Duration::ZERO).await.unwrap());
    keep_up(&operations, &mut time).await;
    assert_eq!(versions(&operations, "eu").await, 2);
    assert!(!store.lease("rotation", "another", term).await.unwrap(), "two hold the lease");
    operations.stop().await;
    assert!(store.lease("rotation", "another", term).await.unwrap(), "it was not given up");
}

/// A rotation was killed before all children were moved: what was left stayed under the old version until
/// somebody rotated again.
#[tokio::test]
async fn children_that_a_crash_left_behind_are_moved_by_the_next_service() {
    let (bench, operations) = Bench::with_keys().await;
    for number in 0..60 {
        create(&operations, &format!("eu/k{number:02}"), None).await;
    }
    create(&operations, "eu/k00/deep", None).await;
    let deep = data_key(&kms(&operations, "admin"), "eu/k00/deep").await.unwrap();
    bench.crash(operations).await;
    let tree = bench.tree_on(bench.store()).await;
    let rotated =
        tree.rotate(Permit::<action::Rotate>::of_schedule(path("eu")), None).await.unwrap();
    let moved = tree.move_children(rotated.behind.as_ref().unwrap()).await.unwrap();
    assert_eq!(moved.changes.len(), 50);
    drop((rotated, tree));

    let operations = bench.start().await;
    let deep_before = kms(&operations, "admin").describe_key(&path("eu/k00/deep")).await.unwrap();
    let mut time = Time::now();
    for _ in 0..2 {
        keep_up(&operations, &mut time).await;
    }
    for number in 0..60 {
        let key = path(&format!("eu/k{number:02}"));
        let key = kms(&operations, "admin").describe_key(&key).await.unwrap();
        assert_eq!(key.versions[0].parent_version.number(), 2, "{}", key.key);
        assert_eq!(key.versions.len(), 1);
    }
    let deep_after = kms(&operations, "admin").describe_key(&path("eu/k00/deep")).await.unwrap();
    assert_eq!(deep_after, deep_before, "what is below the children was touched");
    decrypt(&kms(&operations, "admin"), &deep).await.unwrap();
    let records = bench.records();
    let moves = records.iter().filter(|record| record.entry.change.is_some()).count();
    assert_eq!(moves, 10, "each move is recorded, and nothing else");
    operations.stop().await;
}
