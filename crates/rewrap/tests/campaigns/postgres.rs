//! A table of PostgreSQL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claviger_envelope::key_version;
use claviger_kms::{CreateVersion, KeyManagementService as _};
use claviger_rewrap::{CampaignFile, Outcome, Source, sources};
use claviger_testkit::Postgres;
use tokio_postgres::{Client, NoTls};

use crate::bench::{Bench, Command, Meddled, campaign, context, version_of};

pub(crate) struct Table {
    pub(crate) server: Postgres,
    pub(crate) client: Client,
    secret: tempfile::NamedTempFile,
}

impl Table {
    /// An empty table `cards`; `None` where there is no PostgreSQL.
    pub(crate) async fn new() -> Option<Self> {
        let server = Postgres::start()?;
        let client = connect(server.connection_string()).await;
        client
            .batch_execute(
                "CREATE TABLE \"Cards\" (id bigint PRIMARY KEY, \"Number\" bytea, note text)",
            )
            .await
            .expect("a table");
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), server.connection_string()).expect("written");
        Some(Self { server, client, secret })
    }

    pub(crate) fn campaign(&self, head: &str) -> CampaignFile {
        campaign(
            head,
            &format!(
                "kind = \"postgres\"\nconnection-file = {:?}\ntable = \"Cards\"\nkey-columns = [\"id\"]\n\
                 envelope-column = \"Number\"\ncontext = {{ table = \"cards\", row = \"{{id}}\" }}",
                self.secret.path()
            ),
        )
    }

    pub(crate) async fn source(&self) -> Arc<dyn Source> {
        sources::open(&self.campaign("")).await.expect("opens").remove(0)
    }

    pub(crate) async fn insert(&self, bench: &Bench, rows: std::ops::Range<i64>) {
        for id in rows {
            let envelope = bench.seal(id, format!("value {id}").as_bytes()).await;
            self.put(id, Some(&envelope)).await;
        }
    }

    pub(crate) async fn put(&self, id: i64, envelope: Option<&[u8]>) {
        put(&self.client, id, envelope).await;
    }

    pub(crate) async fn envelope(&self, id: i64) -> Option<Vec<u8>> {
        let query = "SELECT \"Number\" FROM \"Cards\" WHERE id = $1";
        self.client.query_one(query, &[&id]).await.expect("a row").get(0)
    }

    pub(crate) async fn all(&self) -> Vec<(i64, Vec<u8>)> {
        let query = "SELECT id, \"Number\" FROM \"Cards\" ORDER BY id";
        let rows = self.client.query(query, &[]).await.expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

pub(crate) async fn connect(connection: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(connection, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

async fn put(client: &Client, id: i64, envelope: Option<&[u8]>) {
    let upsert = "INSERT INTO \"Cards\" (id, \"Number\") VALUES ($1, $2) \
                  ON CONFLICT (id) DO UPDATE SET \"Number\" = excluded.\"Number\"";
    client.execute(upsert, &[&id, &envelope]).await.expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_of_a_live_writer_is_lost_and_all_end_at_the_primary() {
    let Some(table) = Table::new().await else { return };
    let bench = Arc::new(Bench::new());
    table.insert(&bench, 0..2000).await;
    bench.rotate().await;
    let (done, writer) = (Arc::new(AtomicBool::new(false)), bench.clone());
    let (ended, client) = (done.clone(), connect(table.server.connection_string()).await);
    let writing = tokio::spawn(async move {
        let mut last = std::collections::BTreeMap::new();
        let mut round = 0_i64;
        while !ended.load(Ordering::SeqCst) || round < 300 {
            let id = (round * 7919) % 2100;
            if round % 10 == 3 {
                client
                    .execute("DELETE FROM \"Cards\" WHERE id = $1", &[&id])
                    .await
                    .expect("deleted");
                last.insert(id, None);
            } else {
                let value = format!("written in round {round}").into_bytes();
                let envelope = writer.seal(id, &value).await;
                put(&client, id, Some(&envelope)).await;
                last.insert(id, Some(value));
            }
            round += 1;
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        last
    });
    let report = bench.run(&table.campaign("passes = 100\nbatch = 50\nrate = 4000")).await;
    done.store(true, Ordering::SeqCst);
    let last = writing.await.expect("the writer ends");
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert!(report.total.adds_up() && report.total.moved > 1500, "{report}");
    let rows = table.all().await;
    for (id, envelope) in &rows {
        let value = bench.opens(id, envelope).await;
        let expected = match last.get(id) {
            Some(written) => written.clone().expect("a deleted row is gone"),
            None => format!("value {id}").into_bytes(),
        };
        assert_eq!(value, expected, "row {id}");
        assert_eq!(version_of(envelope), 2, "row {id}");
    }
    let deleted = last.iter().filter(|(_, value)| value.is_none()).count();
    let made = last.iter().filter(|(id, value)| **id >= 2000 && value.is_some()).count();
    let old = (0..2000).filter(|id| !matches!(last.get(id), Some(None))).count();
    assert_eq!(rows.len(), old + made, "{deleted} deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_is_skipped_and_done_in_a_later_pass() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..10).await;
    bench.rotate().await;
    let mut holder = connect(table.server.connection_string()).await;
    let (locked, lock) = tokio::sync::oneshot::channel();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let holding = tokio::spawn(async move {
        let transaction = holder.transaction().await.expect("begins");
        let query = "SELECT 1 FROM \"Cards\" WHERE id = 4 FOR UPDATE";
        transaction.query(query, &[]).await.expect("locked");
        locked.send(()).expect("told");
        let _ = released.await;
        transaction.rollback().await.expect("ends");
    });
    lock.await.expect("locked");
    let (mut release, mut calls) = (Some(release), 0);
    let source = Meddled::over(&table.source().await, move |_| {
        calls += 1;
        if calls == 2 {
            release.take().map(|release| release.send(()));
            return vec![Command::Before(Box::pin(tokio::time::sleep(Duration::from_millis(200))))];
        }
        Vec::new()
    });
    let started = std::time::Instant::now();
    let report = bench.run_over(&table.campaign(""), &source).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert_eq!((report.total.conflicts, report.total.moved), (1, 10), "{report}");
    assert!(started.elapsed() < Duration::from_secs(5), "it waited for the lock");
    holding.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_changed_or_deleted_between_reading_and_writing_are_left_alone() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..5).await;
    let theirs = bench.seal(2, b"the application's").await;
    bench.rotate().await;
    let client = connect(table.server.connection_string()).await;
    let written = theirs.clone();
    let source = Meddled::once(&table.source().await, async move {
        client.execute("DELETE FROM \"Cards\" WHERE id = 1", &[]).await.expect("deleted");
        put(&client, 2, Some(&written)).await;
    });
    let report = bench.run_over(&table.campaign(""), &source).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert_eq!((report.total.gone, report.total.conflicts, report.total.moved), (1, 1, 4));
    let now = table.envelope(2).await.expect("an envelope");
    assert_eq!(bench.opens(2, &now).await, b"the application's");
    assert_eq!(version_of(&now), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_envelope_of_this_key_keeps_every_byte() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..3).await;
    let other = "eu/other".parse().expect("a path");
    let foreign = bench.envelopes.seal(&other, &context(3), b"x").await.expect("seals");
    let good = bench.seal(4, b"x").await;
    let mut newer = good.clone();
    newer[4] = 9;
    let mut future = good.clone();
    future[44..48].copy_from_slice(&99_u32.to_be_bytes());
    let moved_from_another_row = bench.seal(77, b"x").await;
    let rows: [(i64, Option<&[u8]>); 8] = [
        (10, Some(&foreign)),
        (11, None),
        (12, Some(b"")),
        (13, Some(b"4111 1111 1111 1111")),
        (14, Some(&newer)),
        (15, Some(&good[..good.len() - 1 - 80])),
        (16, Some(&future)),
        (17, Some(&moved_from_another_row)),
    ];
    for (id, bytes) in rows {
        table.put(id, bytes).await;
    }
    bench.rotate().await;
    let report = bench.run(&table.campaign("")).await;
    assert_eq!(report.outcome, Outcome::Partial, "{report}");
    let last = report.sources["cards"].last_pass;
    assert_eq!((last.foreign, last.empty, last.malformed, last.refused), (1, 2, 3, 2), "{report}");
    assert_eq!((last.current, last.scanned), (3, 11));
    for (id, bytes) in rows {
        assert_eq!(table.envelope(id).await.as_deref(), bytes, "row {id}");
    }
    let findings = &report.sources["cards"].findings;
    assert_eq!(findings.of("foreign")[0].locator, "Cards id=10");
    let json = serde_json::to_string(&report).expect("JSON");
    assert!(!json.contains("4111") && json.contains("Cards id=13"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns_and_types_find_their_rows_again() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table
        .client
        .batch_execute(
            "CREATE SCHEMA \"My Shop\";
             CREATE TABLE \"My Shop\".\"or\"\"der\" (
                 region char(8), at timestamptz, \"Id\" uuid DEFAULT gen_random_uuid(), place text,
                 envelope bytea, PRIMARY KEY (region, at, \"Id\"));
             INSERT INTO \"My Shop\".\"or\"\"der\" (region, at, place)
                 SELECT 'eu' || n % 3, '2026-01-01'::timestamptz + n * interval '1.000001 hours',
                        'p' || n
                 FROM generate_series(1, 60) AS n",
        )
        .await
        .expect("a table");
    let rows = "SELECT place, envelope FROM \"My Shop\".\"or\"\"der\"";
    for row in table.client.query(rows, &[]).await.expect("rows") {
        let place: String = row.get(0);
        let envelope = bench.seal(&place, b"content").await;
        let update = "UPDATE \"My Shop\".\"or\"\"der\" SET envelope = $1 WHERE place = $2";
        table.client.execute(update, &[&envelope, &place]).await.expect("written");
    }
    bench.rotate().await;
    let file = campaign(
        "batch = 7",
        &format!(
            "kind = \"postgres\"\nconnection-file = {:?}\ntable = 'My Shop.or\"der'\n\
             key-columns = [\"region\", \"at\", \"Id\"]\nenvelope-column = \"envelope\"\n\
             context = {{ table = \"cards\", row = \"{{place}}\" }}",
            table.secret.path()
        ),
    );
    let report = bench.run(&file).await;
    assert_eq!((report.outcome, report.total.moved), (Outcome::Complete, 60), "{report}");
    for row in table.client.query(rows, &[]).await.expect("rows") {
        let (place, envelope): (String, Vec<u8>) = (row.get(0), row.get(1));
        assert_eq!(bench.opens(place, &envelope).await, b"content");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_on_one_table_move_every_row_once() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..400).await;
    bench.rotate().await;
    let mut other = table.campaign("batch = 20");
    other.name = "other".parse().expect("a name");
    let file = table.campaign("batch = 20");
    let (one, two) = tokio::join!(bench.run(&file), bench.run(&other));
    for report in [&one, &two] {
        assert_eq!(report.outcome, Outcome::Complete, "{report}");
    }
    assert_eq!(one.total.moved + two.total.moved, 400, "{one}{two}");
    assert!(table.all().await.iter().all(|(_, envelope)| version_of(envelope) == 2));
}

/// The pages were ordered by the keys' text: `ORDER BY id` meant the output column `id::text`, so that after row 9
/// came row 90, and the rows between were never seen.
#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_the_keys_own_order_and_leave_no_row_out() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..120).await;
    bench.rotate().await;
    let report = bench.run(&table.campaign("batch = 7")).await;
    assert_eq!((report.total.moved, report.total.scanned), (120, 240), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_lost_after_the_commit_is_no_conflict() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..20).await;
    bench.rotate().await;
    let mut calls = 0;
    let source = Meddled::over(&table.source().await, move |_| {
        calls += 1;
        if calls == 1 { vec![Command::LoseReply] } else { Vec::new() }
    });
    let report = bench.run_over(&table.campaign(""), &source).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert_eq!((report.total.moved, report.total.conflicts), (20, 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_midway_is_found_again() {
    let Some(table) = Table::new().await else { return };
    let bench = Arc::new(Bench::new());
    table.insert(&bench, 0..600).await;
    bench.rotate().await;
    let (file, running) = (table.campaign("batch = 20\nrate = 200"), bench.clone());
    let run = tokio::spawn(async move { running.run(&file).await });
    tokio::time::sleep(Duration::from_millis(800)).await;
    let server = table.server;
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let server = server.await.expect("restarts");
    let report = run.await.expect("runs");
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    let client = connect(server.connection_string()).await;
    let rows = client.query("SELECT \"Number\" FROM \"Cards\"", &[]).await.expect("rows");
    assert!(rows.iter().all(|row| version_of(row.get(0)) == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_unique_or_a_column_that_is_missing_is_refused() {
    let Some(table) = Table::new().await else { return };
    let file = table.campaign("");
    for (statement, told) in [
        ("ALTER TABLE \"Cards\" DROP CONSTRAINT \"Cards_pkey\"", "unique"),
        ("ALTER TABLE \"Cards\" ALTER id DROP NOT NULL", "NULL"),
        ("ALTER TABLE \"Cards\" RENAME \"Number\" TO number", "Number"),
        ("ALTER TABLE \"Cards\" RENAME TO cards", "Cards"),
    ] {
        table.client.batch_execute(statement).await.expect("altered");
        let Err(refused) = sources::open(&file).await else { panic!("{statement}: it was opened") };
        assert!(refused.to_string().contains(told), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reencrypt_gives_every_row_a_new_envelope_id_and_keeps_its_content() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..30).await;
    let before = table.all().await;
    let request = CreateVersion { key: crate::bench::key(), idempotency_key: None };
    bench.service.rotate(request).await.expect("rotates");
    let report = bench.run(&table.campaign("mode = \"reencrypt\"")).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    for ((id, old), (_, new)) in before.iter().zip(table.all().await) {
        assert_ne!(old[6..22], new[6..22], "row {id} has the same envelope id");
        assert_eq!(key_version(&new).expect("an envelope").1.number(), 2);
        assert_eq!(bench.opens(id, &new).await, format!("value {id}").into_bytes());
    }
}
