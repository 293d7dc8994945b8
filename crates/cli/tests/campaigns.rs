//! `claviger campaign` over a whole service and a real table: killed, stopped, cancelled, refused.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use claviger_envelope::{ColumnContext, Envelopes, key_version};
use claviger_kms::{
    CampaignRegister as _, CreateKey, CreateVersion, KeyManagementService as _, KmsError,
};
use claviger_rewrap::{CampaignFile, Outcome, Runner, sources};
use claviger_testkit::{MemoryRegister, Service};
use rusqlite::{Connection, params};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

struct Bench {
    service: Service,
    folder: tempfile::TempDir,
    table: Connection,
}

impl Bench {
    /// A table of so many cards under version 1 of a key that has version 2.
    async fn new(rows: i64, rate: u32) -> Self {
        Self::with_policy(&Service::permissive_policy(), rows, rate).await
    }

    async fn with_policy(policy: &str, rows: i64, rate: u32) -> Self {
        let service = Service::start_with(policy, Default::default()).await;
        let client = service.client();
        for key in ["eu", "eu/pay"] {
            client.create_key(CreateKey::at(key.parse().unwrap())).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let table = Connection::open(folder.path().join("cards.sqlite")).unwrap();
        table
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE cards (id INTEGER PRIMARY KEY, number BLOB)")
            .unwrap();
        let envelopes = Envelopes::new(std::sync::Arc::new(client.clone()));
        let key = "eu/pay".parse().unwrap();
        for id in 0..rows {
            let place = ColumnContext::new("cards", "number", id).unwrap();
            let sealed = envelopes.seal_column(&key, &place, b"4111").await.unwrap();
            table
                .execute("INSERT INTO cards VALUES (?, ?)", params![id, sealed.as_bytes()])
                .unwrap();
        }
        let rotate = CreateVersion { key: key.clone(), idempotency_key: None };
        client.rotate(rotate).await.unwrap();
        fs::write(
            folder.path().join("cards.toml"),
            format!(
                "name = \"cards\"\nkey = \"eu/pay\"\nmode = \"rewrap\"\nbatch = 10\nrate = {rate}\n\
                 [[source]]\nname = \"cards\"\nkind = \"sqlite\"\npath = \"cards.sqlite\"\n\
                 table = \"cards\"\nkey-columns = [\"id\"]\nenvelope-column = \"number\"\n\
                 context = {{ table = \"cards\", column = \"number\", row = \"{{id}}\" }}\n"
            ),
        )
        .unwrap();
        Self { service, folder, table }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command
            .args(words)
            .env("CLAVIGER_SOCKET", self.service.data_socket())
            .env("CLAVIGER_ADMIN_SOCKET", self.service.admin_socket())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir(self.folder.path());
        command
    }

    /// Exit code, the JSON it printed, what it said.
    async fn run(&self, words: &[&str]) -> (i32, Value, String) {
        let mut command = self.command(&[words, &["-o", "json"]].concat());
        ended(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    }

    fn begin(&self, words: &[&str]) -> Child {
        self.command(&[words, &["-o", "json"]].concat()).spawn().unwrap()
    }

    fn moved(&self) -> usize {
        let mut rows = self.table.prepare("SELECT number FROM cards").unwrap();
        let rows = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        rows.filter(|row| key_version(row.as_ref().unwrap()).unwrap().1.number() == 2).count()
    }

    async fn until_moved(&self, count: usize) {
        let begun = Instant::now();
        while self.moved() < count {
            assert!(begun.elapsed() < Duration::from_secs(30), "only {} were moved", self.moved());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn ended(output: Output) -> (i32, Value, String) {
    let facts = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap_or(-1), facts, String::from_utf8(output.stderr).unwrap())
}

async fn wait(child: Child) -> (i32, Value, String) {
    ended(tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap())
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_killed_midway_is_run_again_and_completes() {
    let bench = Bench::new(150, 60).await;
    let (exit, plan, told) = bench.run(&["campaign", "plan", "cards.toml"]).await;
    assert_eq!((exit, &plan["to_move"]), (0, &150.into()), "{told}");
    for round in 1..=2 {
        let child = bench.begin(&["campaign", "run", "cards.toml"]);
        bench.until_moved(20 * round).await;
        signal(&child, "-KILL");
        wait(child).await;
    }
    let moved = bench.moved();
    assert!((20..150).contains(&moved), "{moved}");
    let (exit, report, told) = bench.run(&["campaign", "run", "cards.toml"]).await;
    assert_eq!((exit, report["outcome"].as_str()), (0, Some("complete")), "{told}{report}");
    assert_eq!(bench.moved(), 150);
    // All three were runs of one campaign.
    let campaigns = bench.service.client().list_campaigns(None).await.unwrap();
    assert_eq!(campaigns.len(), 1);
    assert_eq!(report["campaign"], campaigns[0].id.to_string());
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_stops_after_the_batches_under_way_and_the_next_run_goes_on() {
    let bench = Bench::new(120, 60).await;
    let child = bench.begin(&["campaign", "run", "cards.toml"]);
    bench.until_moved(20).await;
    signal(&child, "-TERM");
    let (exit, report, told) = wait(child).await;
    assert_eq!((exit, report["outcome"].as_str()), (143, Some("stopped")), "{told}{report}");
    assert_eq!(report["total"]["moved"], bench.moved());
    let (exit, status, _) = bench.run(&["campaign", "status", "cards"]).await;
    assert_eq!((exit, status[0]["state"].as_str()), (0, Some("open")));
    let (exit, report, told) = bench.run(&["campaign", "run", "cards.toml"]).await;
    assert_eq!((exit, bench.moved()), (0, 120), "{told}{report}");
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_cancelled_ends_its_runner_with_a_conflict() {
    let bench = Bench::new(150, 30).await;
    let child = bench.begin(&["campaign", "run", "cards.toml"]);
    bench.until_moved(10).await;
    let (_, status, _) = bench.run(&["campaign", "status"]).await;
    let id = status[0]["id"].as_str().unwrap();
    let (exit, cancelled, told) = bench.run(&["campaign", "cancel", id]).await;
    assert_eq!((exit, cancelled["state"].as_str()), (0, Some("cancelled")), "{told}");
    let (exit, report, told) = wait(child).await;
    assert_eq!((exit, report["outcome"].as_str()), (7, Some("cancelled")), "{told}{report}");
    assert!(bench.moved() < 150);
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_ends_with_13_and_a_typo_with_its_line() {
    let bench = Bench::new(10, 1000).await;
    bench.table.execute("INSERT INTO cards VALUES (99, x'00112233')", []).unwrap();
    let (exit, report, told) = bench.run(&["campaign", "run", "cards.toml"]).await;
    assert_eq!((exit, report["outcome"].as_str()), (13, Some("partial")), "{told}{report}");
    let place = &report["sources"]["cards"]["findings"]["malformed"][0]["locator"];
    assert_eq!(place, "cards id=99");
    let typo = fs::read_to_string(bench.folder.path().join("cards.toml")).unwrap();
    fs::write(bench.folder.path().join("typo.toml"), typo.replace("batch =", "bach =")).unwrap();
    let (exit, _, told) = bench.run(&["campaign", "run", "typo.toml"]).await;
    assert_eq!(exit, 4, "{told}");
    assert!(told.contains("typo.toml:4:") && told.contains("bach"), "{told}");
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_moves_what_is_old_and_ends_with_a_signal() {
    let bench = Bench::new(20, 1000).await;
    let child = bench.begin(&["campaign", "watch", "--every", "1", "cards.toml"]);
    bench.until_moved(20).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    signal(&child, "-TERM");
    let output =
        tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(143));
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["begins", "ended"], "{text}");
    assert_eq!(events[1]["report"]["outcome"], "complete");
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_to_rewrap_a_run_stops_at_once() {
    let policy = format!(
        "{}[[rule]]\nname = \"no\"\neffect = \"deny\"\nprincipals = [\"{}\"]\n\
         actions = [\"rewrap\"]\nkeys = [\"**\"]\n",
        Service::permissive_policy(),
        Service::own_principal()
    );
    let bench = Bench::with_policy(&policy, 30, 1000).await;
    let (exit, _, told) = bench.run(&["campaign", "run", "cards.toml"]).await;
    assert_eq!((exit, bench.moved()), (3, 0), "{told}");
    // The service refuses to open the campaign. With a register that does not, the first batch is refused.
    let service = std::sync::Arc::new(bench.service.client());
    let register = MemoryRegister::new(service.clone(), Service::own_principal());
    let file = CampaignFile::read(&bench.folder.path().join("cards.toml")).unwrap();
    let sources = sources::open(&file).await.unwrap();
    let runner = Runner::new(service, std::sync::Arc::new(register));
    let report = runner.run(&file, &sources, &CancellationToken::new(), &|_| {}).await.unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "{report}");
    assert_eq!((report.error, report.total.scanned), (Some(KmsError::Denied), 0));
    assert_eq!(bench.moved(), 0);
    bench.service.stop().await;
}
