//! From a rotation to a destruction over a whole service and a real table: census, gate, evidence, two persons.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{fs, process::Command, time::Duration};

use claviger_envelope::{ColumnContext, Envelopes};
use claviger_hierarchy::Pace;
use claviger_kms::{
    CreateKey, CreateVersion, KeyLifecycle as _, KeyManagementService as _, KeyVersion,
    ScheduleDestroy, VersionRequest, VersionState,
};
use claviger_operations::Caller;
use claviger_testkit::Service;
use rusqlite::{Connection, params};
use serde_json::Value;

/// A day, and with it the soak.
const DAY: Duration = Duration::from_secs(1);

struct Bench {
    service: Service,
    folder: tempfile::TempDir,
    table: Connection,
}

impl Bench {
    /// Three cards under version 1 of a key that has version 2.
    async fn new() -> Self {
        let (policy, pace) = (Service::permissive_policy(), Pace::faster(86_400));
        let service = Service::start_at_pace(&policy, Default::default(), pace).await;
        let client = service.client();
        client.create_key(CreateKey::at("eu".parse().unwrap())).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let table = Connection::open(folder.path().join("cards.sqlite")).unwrap();
        let create =
            "PRAGMA journal_mode = WAL; CREATE TABLE cards (id INTEGER PRIMARY KEY, number BLOB)";
        table.execute_batch(create).unwrap();
        let envelopes = Envelopes::new(std::sync::Arc::new(client.clone()));
        let key = "eu".parse().unwrap();
        for id in 0..3 {
            let place = ColumnContext::new("cards", "number", id).unwrap();
            let sealed = envelopes.seal_column(&key, &place, b"4111").await.unwrap();
            table
                .execute("INSERT INTO cards VALUES (?, ?)", params![id, sealed.as_bytes()])
                .unwrap();
        }
        client.rotate(CreateVersion { key, idempotency_key: None }).await.unwrap();
        let source = "name = \"cards\"\nkey = \"eu\"\nmode = \"rewrap\"\n[[source]]\nname = \"cards\"\n\
            kind = \"sqlite\"\npath = \"cards.sqlite\"\ntable = \"cards\"\nkey-columns = [\"id\"]\n\
            envelope-column = \"number\"\ncontext = { table = \"cards\", column = \"number\", row = \"{id}\" }\n";
        fs::write(folder.path().join("cards.toml"), source).unwrap();
        Self { service, folder, table }
    }

    /// Exit code, the JSON it printed, what it said.
    async fn run(&self, words: &[&str]) -> (i32, Value, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command
            .args(words)
            .args(["-o", "json"])
            .env("CLAVIGER_SOCKET", self.service.data_socket())
            .env("CLAVIGER_ADMIN_SOCKET", self.service.admin_socket())
            .current_dir(self.folder.path());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let facts = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), facts, String::from_utf8(output.stderr).unwrap())
    }

    async fn done(&self, words: &[&str]) -> Value {
        let (exit, facts, told) = self.run(words).await;
        assert_eq!(exit, 0, "{words:?}: {told}{facts}");
        facts
    }

    async fn refused(&self, words: &[&str], word: &str) {
        let (exit, facts, told) = self.run(words).await;
        assert!(exit != 0 && told.contains(word), "{words:?}: {exit} {told}{facts}");
    }
}

const SUBMIT: [&str; 9] = [
    "evidence",
    "submit",
    "cards.toml",
    "--version",
    "1",
    "--attest",
    "cards is the only table",
    "--backups-until",
    "2001-01-01",
];

#[tokio::test(flavor = "multi_thread")]
async fn from_a_rotation_to_a_destruction_with_every_step_in_between() {
    let bench = Bench::new().await;
    let old: Vec<u8> = bench
        .table
        .query_row("SELECT number FROM cards WHERE id = 0", [], |row| row.get(0))
        .unwrap();
    let census = bench.done(&["census", "cards.toml"]).await;
    let (named, versions) = (&census["sources"]["cards"]["versions"], &census["versions"]);
    let (name, found) = versions.as_object().unwrap().iter().next().unwrap();
    assert!(name.ends_with("/1") && found["places"] == 3 && named == versions, "{census}");
    assert!(census["not_seen"].as_array().unwrap().len() > 2);

    bench.refused(&SUBMIT, "write gate is open").await;
    bench.refused(&["gate", "sql", "cards.toml", "--version", "2"], "primary").await;
    bench.refused(&["gate", "sql", "cards.toml", "--version", "3"], "does not exist").await;
    let printed = bench.done(&["gate", "sql", "cards.toml", "--version", "1"]).await;
    assert!(printed["cards"].as_str().unwrap().contains("CREATE TRIGGER"), "{printed}");
    let status = ["gate", "status", "cards.toml", "--version", "1"];
    assert_eq!(bench.done(&status).await["cards"]["gate"], "open");
    bench.done(&["gate", "sql", "cards.toml", "--version", "1", "--apply"]).await;
    assert_eq!(bench.done(&status).await["cards"]["gate"], "closed");
    let late = bench.table.execute("INSERT INTO cards VALUES (9, ?)", params![old]);
    assert!(late.unwrap_err().to_string().contains("closed for writing"));

    bench.done(&["key", "disable", "eu", "1"]).await;
    tokio::time::sleep(DAY + Duration::from_millis(100)).await;
    let submit = |missing: &'static str| [&SUBMIT[..], &["--missing", missing]].concat();
    bench.refused(&submit("0"), "3 places still name the version").await;
    bench.done(&["key", "enable", "eu", "1"]).await;
    bench.done(&["campaign", "run", "cards.toml"]).await;
    bench.done(&["key", "disable", "eu", "1"]).await;
    bench.refused(&submit("3"), "it was disabled at").await;
    tokio::time::sleep(DAY + Duration::from_millis(100)).await;
    let shown = bench.done(&SUBMIT).await;
    assert_eq!((&shown["submitted"], &shown["missing"]), (&Value::from(false), &Value::from(3)));
    bench.refused(&submit("0"), "3 are missing").await;
    let evidence = bench.done(&submit("3")).await;
    assert_eq!((&evidence["issued"], &evidence["rewrapped"]), (&3.into(), &3.into()));
    let scans = evidence["sources"]["cards"]["scans"].as_array().unwrap();
    assert!(scans.len() == 2 && scans.iter().all(|scan| scan["others"] == 3), "{evidence}");

    bench
        .refused(&["key", "destroy", "eu", "1", "--days", "7"], "somebody else must destroy")
        .await;
    let other = Caller::in_process(Service::TLS_CALLER.parse().unwrap()).unwrap();
    let other = bench.service.operations().local_kms(other);
    let of = VersionRequest { key: "eu".parse().unwrap(), version: KeyVersion::FIRST };
    let request = ScheduleDestroy { key: of.key, version: of.version, days: 7, shred: false };
    other.schedule_destroy(request).await.unwrap();
    tokio::time::sleep(DAY * 7 + Duration::from_millis(100)).await;
    bench.service.operations().keep_up().await.unwrap();
    let key = other.describe_key(&"eu".parse().unwrap()).await.unwrap();
    assert_eq!(key.versions[0].state, VersionState::Destroyed);
    bench.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_census_needs_no_service_and_one_that_is_not_whole_fails() {
    let bench = Bench::new().await;
    bench.service.begin_shutdown();
    bench.done(&["census", "cards.toml"]).await;
    bench.refused(&["gate", "sql", "cards.toml", "--version", "1"], "").await;
    bench.table.execute_batch("DROP TABLE cards").unwrap();
    bench.refused(&["census", "cards.toml"], "no table cards").await;
    bench.service.stop().await;
}
