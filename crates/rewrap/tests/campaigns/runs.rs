//! How a run goes and ends: its pace, its register, its refusals.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use claviger_kms::{
    Campaign, CampaignCounts, CampaignId, CampaignRegister, CampaignState,
    KeyManagementService as _, KeyPath, KmsError, OpenCampaign, ReportCampaign, SourceProgress,
    VersionRequest,
};
use claviger_rewrap::{Outcome, Runner, Snapshot, plan, sources};
use claviger_testkit::MemoryRegister;

use crate::{
    bench::{Bench, Command, Meddled, key, version_of},
    postgres::Table,
};

async fn table(bench: &Bench, rows: i64) -> Option<Table> {
    let table = Table::new().await?;
    table.insert(bench, 0..rows).await;
    Some(table)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_kept() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 500).await else { return };
    bench.rotate().await;
    let started = Instant::now();
    let report = bench.run(&table.campaign("rate = 250\nbatch = 25\nconcurrency = 8")).await;
    let took = started.elapsed().as_secs_f64();
    assert_eq!(report.total.moved, 500, "{report}");
    // The first turn is free; the upper bound allows for a busy machine.
    assert!((1.8..8.0).contains(&took), "{took} seconds for 500 envelopes at 250 a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_stays_away_ends_partial_with_its_reason_and_cursor() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 100).await else { return };
    bench.rotate().await;
    let mut calls = 0;
    let source = Meddled::over(&table.source().await, move |_| {
        calls += 1;
        if calls > 3 { vec![Command::Unreachable] } else { Vec::new() }
    });
    let file = table.campaign("batch = 10\nconcurrency = 1\ngive-up-seconds = 1");
    let report = bench.run_over(&file, &source).await;
    assert_eq!(report.outcome, Outcome::Partial, "{report}");
    let told = &report.sources["cards"];
    assert!(told.reason.as_deref().is_some_and(|reason| reason.contains("the line was cut")));
    assert_eq!((told.total.moved, told.total.scanned), (30, 30));
    let record = bench.register.describe_campaign(report.campaign).await.expect("a record");
    assert_eq!(record.state, CampaignState::Partial);
    assert_eq!(record.sources["cards"].cursor.as_ref().map(|at| at.as_str()), Some("[\"29\"]"));
    // The next run does the rest.
    assert_eq!(bench.run(&table.campaign("")).await.total.moved, 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_goes_on_from_its_cursor() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 200).await else { return };
    bench.rotate().await;
    let file = table.campaign("batch = 10\nconcurrency = 1");
    let stop = bench.stop.clone();
    let opened = sources::open(&file).await.expect("opens");
    let watch = move |now: &Snapshot| {
        if now.counts.moved >= 50 {
            stop.cancel();
        }
    };
    let first = bench.runner.run(&file, &opened, &bench.stop, &watch).await.expect("runs");
    assert_eq!(first.outcome, Outcome::Stopped, "{first}");
    let moved = first.total.moved;
    assert!((50..200).contains(&moved), "{first}");
    let record = bench.register.describe_campaign(first.campaign).await.expect("a record");
    assert_eq!(record.state, CampaignState::Open);
    let again = Bench { stop: Default::default(), ..bench };
    let second = again.run(&file).await;
    assert_eq!((second.outcome, second.campaign), (Outcome::Complete, first.campaign), "{second}");
    assert_eq!(second.total.moved, 200 - moved);
    // The rest of one pass, and a whole one that finds nothing.
    assert_eq!(second.total.scanned, 400 - moved, "{second}");
}

/// A run was killed at the end of its last pass, which had found nothing to move. Then the key was rotated. The next
/// run went on from the cursor, found nothing behind it, and called the campaign complete: all rows were under the
/// old version.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_after_a_rotation_moves_what_lies_before_its_cursor() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 40).await else { return };
    let file = table.campaign("batch = 10");
    let open = OpenCampaign { key: key(), name: file.name.clone(), mode: file.mode };
    let open = bench.register.open_campaign(open).await.expect("opened");
    let counts = CampaignCounts { scanned: 40, current: 40, ..CampaignCounts::default() };
    let cursor = Some("[\"39\"]".to_owned().try_into().expect("a cursor"));
    let killed = ReportCampaign {
        id: open.id,
        expected_revision: open.revision,
        state: CampaignState::Open,
        sources: [("cards".to_owned(), SourceProgress { passes: 1, cursor, counts })].into(),
    };
    bench.register.report_campaign(killed).await.expect("reported");
    bench.rotate().await;
    let report = bench.run(&file).await;
    assert_eq!((report.outcome, report.campaign), (Outcome::Complete, open.id), "{report}");
    assert_eq!(report.total.moved, 40, "{report}");
    assert!(table.all().await.iter().all(|(_, envelope)| version_of(envelope) == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_cancelled_stops_and_says_so() {
    let bench = Arc::new(Bench::new());
    let Some(table) = table(&bench, 400).await else { return };
    bench.rotate().await;
    let (file, running) = (table.campaign("batch = 10\nrate = 50"), bench.clone());
    let run = tokio::spawn(async move { running.run(&file).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let open = bench.register.list_campaigns(None).await.expect("a list").remove(0);
    cancel(&bench, open).await;
    let report = run.await.expect("runs");
    assert_eq!(report.outcome, Outcome::Cancelled, "{report}");
    assert!(report.total.moved < 400 && report.total.adds_up());
}

/// As a person does it; the runner may write between reading and writing.
async fn cancel(bench: &Bench, mut open: Campaign) {
    loop {
        let report = ReportCampaign {
            id: open.id,
            expected_revision: open.revision,
            state: CampaignState::Cancelled,
            sources: open.sources,
        };
        if bench.register.report_campaign(report).await.is_ok() {
            return;
        }
        open = bench.register.describe_campaign(open.id).await.expect("a record");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runners_of_one_campaign_one_stops_and_nothing_is_lost() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 300).await else { return };
    bench.rotate().await;
    let file = table.campaign("batch = 10\nrate = 150");
    let (one, two) = tokio::join!(bench.run(&file), bench.run(&file));
    let outcomes = [one.outcome, two.outcome];
    assert!(outcomes.contains(&Outcome::Superseded), "{one}{two}");
    let last = bench.run(&table.campaign("")).await;
    assert_eq!(last.outcome, Outcome::Complete, "{last}");
    assert!(table.all().await.iter().all(|(_, envelope)| version_of(envelope) == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_version_is_refused_row_by_row_and_nothing_is_written() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 30).await else { return };
    let before = table.all().await;
    bench.rotate().await;
    let first = claviger_kms::KeyVersion::FIRST;
    let request = VersionRequest { key: key(), version: first };
    bench.service.disable_version(request).await.expect("disabled");
    let report = bench.run(&table.campaign("")).await;
    assert_eq!(report.outcome, Outcome::Partial, "{report}");
    assert_eq!((report.total.refused, report.total.scanned), (30, 30));
    assert_eq!(report.sources["cards"].findings.of("refused").len(), 20);
    assert_eq!(table.all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_service_that_goes_away_for_a_while_is_waited_for() {
    let bench = Arc::new(Bench::new());
    let Some(table) = table(&bench, 200).await else { return };
    bench.rotate().await;
    let (file, running) = (table.campaign("batch = 10\nrate = 200"), bench.clone());
    let run = tokio::spawn(async move { running.run(&file).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    bench.service.set_reachable(false);
    tokio::time::sleep(Duration::from_millis(700)).await;
    bench.service.set_reachable(true);
    let report = run.await.expect("runs");
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 200), "{report}");
}

/// Between a quarantine and the new primary version, which comes after seconds when the service was killed in
/// between, a campaign could not be begun: "the key has no primary version now", though a run under way waited.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_begun_before_a_stopped_key_has_a_new_primary_version_waits_for_it() {
    let bench = Arc::new(Bench::new());
    let Some(table) = table(&bench, 20).await else { return };
    bench.service.stop(&key(), claviger_kms::KeyVersion::FIRST).expect("stopped");
    let (file, running) = (table.campaign(""), bench.clone());
    let run = tokio::spawn(async move { running.run(&file).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!run.is_finished(), "it did not wait");
    bench.rotate().await;
    let report = run.await.expect("runs");
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 20), "{report}");
}

/// The same, where the new primary version is made between the refusal and the runner's look at the key: it saw
/// a key in order, and gave up.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_refused_a_moment_before_the_new_primary_version_was_made_begins() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 5).await else { return };
    bench.rotate().await;
    let register = RefusesOnce { inner: bench.register.clone(), refused: AtomicBool::default() };
    let runner = Runner::new(bench.service.clone(), Arc::new(register));
    let file = table.campaign("");
    let opened = sources::open(&file).await.expect("opens");
    let report = runner.run(&file, &opened, &bench.stop, &|_: &Snapshot| {}).await.expect("begins");
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 5), "{report}");
}

/// A quarantine stopped the key in the midst of a pass: what was asked for before the new primary version was made
/// was refused, and the run ended with rows left, though a moment later they could be moved.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_quarantine_amid_a_pass_refused_is_moved_by_the_same_run() {
    let bench = Bench::new();
    // The second half is under version 1; the first, which is looked at before it, under version 2.
    let Some(table) = table(&bench, 20).await else { return };
    let second = bench.rotate().await;
    table.insert(&bench, 0..10).await;
    let file = table.campaign("batch = 10\nconcurrency = 1");
    let opened = sources::open(&file).await.expect("opens");
    let stopped = AtomicBool::default();
    let watch = |_: &Snapshot| {
        if !stopped.swap(true, Ordering::SeqCst) {
            bench.service.stop(&key(), second).expect("stopped");
        }
    };
    let run = bench.runner.run(&file, &opened, &bench.stop, &watch);
    let rotate = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.rotate().await
    };
    let (report, third) = tokio::join!(run, rotate);
    let report = report.expect("begins");
    assert_eq!((report.outcome, third.number()), (Outcome::Complete, 3), "{report}");
    assert_eq!((report.total.refused, report.total.moved), (10, 20), "{report}");
    assert!(table.all().await.iter().all(|(_, envelope)| version_of(envelope) == 3));
}

/// As a service whose key had no primary version when it was first asked.
struct RefusesOnce {
    inner: Arc<MemoryRegister>,
    refused: AtomicBool,
}

#[async_trait]
impl CampaignRegister for RefusesOnce {
    async fn open_campaign(&self, request: OpenCampaign) -> Result<Campaign, KmsError> {
        if !self.refused.swap(true, Ordering::SeqCst) {
            return Err(KmsError::key_unusable("the key has no primary version now"));
        }
        self.inner.open_campaign(request).await
    }

    async fn report_campaign(&self, report: ReportCampaign) -> Result<Campaign, KmsError> {
        self.inner.report_campaign(report).await
    }

    async fn describe_campaign(&self, id: CampaignId) -> Result<Campaign, KmsError> {
        self.inner.describe_campaign(id).await
    }

    async fn list_campaigns(&self, key: Option<&KeyPath>) -> Result<Vec<Campaign>, KmsError> {
        self.inner.list_campaigns(key).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_primary_version_is_not_waited_for_for_ever() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 1).await else { return };
    bench.service.stop(&key(), claviger_kms::KeyVersion::FIRST).expect("stopped");
    let file = table.campaign("give-up-seconds = 1");
    let opened = sources::open(&file).await.expect("opens");
    let refused = bench.runner.run(&file, &opened, &bench.stop, &|_: &Snapshot| {}).await;
    let refused = refused.expect_err("it began without a primary version");
    assert!(refused.to_string().contains("no primary version now"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_versions_and_changes_nothing() {
    let bench = Bench::new();
    let Some(table) = table(&bench, 40).await else { return };
    bench.rotate().await;
    table.insert(&bench, 40..50).await;
    table.put(60, None).await;
    let before = table.envelope(0).await;
    let file = table.campaign("batch = 7\nrate = 10");
    let opened = sources::open(&file).await.expect("opens");
    let plan = plan(&*bench.service, None, &file, &opened, &bench.stop).await.expect("a plan");
    assert_eq!((plan.to_move, plan.seconds_at_rate, plan.whole), (40, Some(4), true));
    let source = &plan.sources["cards"];
    assert_eq!((source.scanned, source.current, source.empty), (51, 10, 1));
    assert_eq!(source.versions.values().copied().collect::<Vec<_>>(), [40, 10]);
    assert_eq!(table.envelope(0).await, before);
}
