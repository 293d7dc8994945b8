//! Write gates of SQLite.

use claviger_kms::KeyManagementService as _;
use claviger_rewrap::{CampaignFile, GateState, gather, sources};
use rusqlite::{Connection, params};
use tokio_util::sync::CancellationToken;

use crate::{
    bench::{Bench, campaign, key},
    gates::{bare_key, first_version, gate, with_a_foreign_wrap_first},
};

struct Table {
    folder: tempfile::TempDir,
    connection: Connection,
}

impl Table {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(folder.path().join("cards.sqlite")).expect("opens");
        let table = "PRAGMA journal_mode = WAL; CREATE TABLE cards (id INTEGER PRIMARY KEY, number BLOB, note TEXT)";
        connection.execute_batch(table).expect("a table");
        Self { folder, connection }
    }

    fn file(&self, head: &str) -> CampaignFile {
        let path = self.folder.path().join("cards.sqlite");
        campaign(
            head,
            &format!(
                "kind = \"sqlite\"\npath = {path:?}\ntable = \"cards\"\nkey-columns = [\"id\"]\n\
                 envelope-column = \"number\"\ncontext = {{ table = \"cards\", row = \"{{id}}\" }}"
            ),
        )
    }

    fn write(&self, sql: &str, envelope: &[u8]) -> Result<usize, String> {
        let mut statement = self.connection.prepare(sql).expect("prepared");
        let values = if statement.parameter_count() == 0 { &[][..] } else { &[&envelope][..] };
        let values: Vec<&dyn rusqlite::ToSql> =
            values.iter().map(|v| v as &dyn rusqlite::ToSql).collect();
        statement.execute(values.as_slice()).map_err(|error| error.to_string())
    }
}

#[track_caller]
fn is_refused(done: Result<usize, String>) {
    let refusal = done.expect_err("it was written");
    assert!(refusal.contains("closed for writing"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_of_sqlite_refuses_the_closed_version_in_every_wrap_and_nothing_else() {
    let (bench, table) = (Bench::new(), Table::new());
    let (old, old_key) = (bench.seal(0, b"old").await, bare_key(&bench).await);
    table.connection.execute("INSERT INTO cards VALUES (0, ?, '')", params![old]).expect("written");
    let closes = first_version(&bench).await;
    bench.rotate().await;
    let (new, new_key) = (bench.seal(9, b"new").await, bare_key(&bench).await);
    let file = table.file("");
    let gate = gate(&file, closes);
    assert_eq!(gate.state().await.expect("a state"), GateState::Open);
    assert!(matches!(gate.close().await.expect("closes"), GateState::Closed { .. }));

    let insert = "INSERT INTO cards VALUES (9, ?, '')";
    for old in [old.clone(), with_a_foreign_wrap_first(&old), old_key] {
        is_refused(table.write(insert, &old));
        is_refused(table.write("INSERT OR REPLACE INTO cards VALUES (9, ?, '')", &old));
        is_refused(table.write("UPDATE cards SET number = x'00' || ? WHERE id = 0", &old));
    }
    for good in
        [new.clone(), with_a_foreign_wrap_first(&new), new_key, b"garbage".to_vec(), Vec::new()]
    {
        assert_eq!(table.write(insert, &good), Ok(1));
        assert_eq!(table.write("DELETE FROM cards WHERE id = 9", &[]), Ok(1));
    }
    assert_eq!(table.write("UPDATE cards SET note = 'seen' WHERE id = 0", &[]), Ok(1));
    assert_eq!(table.write("UPDATE cards SET number = number", &[]), Ok(1));
    is_refused(table.write("UPDATE cards SET id = -1 WHERE id = 0", &[]));
    let report = bench.run(&file).await;
    assert_eq!(report.total.moved, 1, "{report}");
    assert_eq!(gate.open().await.expect("opens"), GateState::Open);
    assert_eq!(table.write(insert, &old), Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_of_sqlite_that_was_altered_or_halved_does_not_count() {
    let (bench, table) = (Bench::new(), Table::new());
    let closes = first_version(&bench).await;
    bench.rotate().await;
    let file = table.file("");
    let gate = gate(&file, closes);
    table.connection.execute_batch(&gate.sql().expect("SQL")).expect("what is printed is whole");
    assert!(matches!(gate.state().await.expect("a state"), GateState::Closed { .. }));
    let query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
    let mut statement = table.connection.prepare(query).expect("prepared");
    let triggers: Vec<(String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("rows");
    let (name, sql) = triggers.last().expect("the trigger of updates").clone();
    let altered = sql.replace("> 0", "> 9");
    for damage in [String::new(), altered, sql.replace("closed at 2", "closed at x")] {
        table
            .connection
            .execute_batch(&format!("DROP TRIGGER IF EXISTS {name}; {damage}"))
            .expect("damaged");
        let state = gate.state().await.expect("a state");
        assert!(matches!(state, GateState::Altered { .. }), "{damage}: {state:?}");
        assert_eq!(gate.settled().await.expect("looks"), None);
    }
    gate.open().await.expect("removed");
    assert!(matches!(gate.close().await.expect("closes"), GateState::Closed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_of_sqlite_settles_when_the_writer_under_way_has_ended() {
    let (bench, table) = (Bench::new(), Table::new());
    let closes = first_version(&bench).await;
    bench.rotate().await;
    let file = table.file("give-up-seconds = 20");
    let gate = gate(&file, closes);
    gate.close().await.expect("closes");
    table.connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
    assert_eq!(gate.settled().await.expect("looks"), None);
    table.connection.execute_batch("COMMIT").expect("ended");
    let opened = sources::open(&file).await.expect("opens");
    let stop = CancellationToken::new();
    let gathered =
        gather(&file, &opened, (closes.key, closes.version), &stop).await.expect("gathered");
    assert_eq!((gathered.sources["cards"].scans.len(), gathered.found), (2, 0));
    // A gate is of one key: another key's first version is not closed.
    let other =
        bench.service.describe_key(&"eu/other".parse().expect("a path")).await.expect("a key");
    assert_ne!(other.id, closes.key);
    let other =
        bench.envelopes.seal(&other.key, &crate::bench::context(1), b"x").await.expect("seals");
    assert_eq!(table.write("INSERT INTO cards VALUES (1, ?, '')", &other), Ok(1));
    assert_ne!(key(), "eu/other".parse().expect("a path"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gate_a_source_needs_the_longest_time_a_writer_holds_an_envelope() {
    let (bench, table) = (Bench::new(), Table::new());
    let closes = first_version(&bench).await;
    bench.rotate().await;
    let wanted = (closes.key, closes.version);
    let stop = CancellationToken::new();
    let file = table.file("");
    let opened = sources::open(&file).await.expect("opens");
    let refused = gather(&file, &opened, wanted, &stop).await.expect_err("no gate").to_string();
    assert!(refused.contains("write gate is open"), "{refused}");

    let files = |more: &str| {
        let root = table.folder.path();
        let source = format!(
            "kind = \"files\"\nroot = {root:?}\n{more}\ncontext = {{ path = \"{{path}}\" }}"
        );
        campaign("", &source)
    };
    let file = files("");
    let opened = sources::open(&file).await.expect("opens");
    let refused = gather(&file, &opened, wanted, &stop).await.expect_err("no gate").to_string();
    assert!(refused.contains("declare max-hold-seconds"), "{refused}");
    let gathered =
        gather(&files("max-hold-seconds = 60"), &opened, wanted, &stop).await.expect("gathered");
    let facts = &gathered.sources["cards"];
    assert_eq!((facts.gate.as_ref(), facts.max_hold_seconds), (None, Some(60)));
}
