//! A table of SQLite, with a key of two columns.

use std::sync::Arc;

use claviger_rewrap::{CampaignFile, Outcome, Snapshot, sources};
use rusqlite::{Connection, params};

use crate::bench::{Bench, Meddled, campaign, version_of};

struct Table {
    folder: tempfile::TempDir,
    connection: Connection,
}

impl Table {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(folder.path().join("cards.sqlite")).expect("opens");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE cards (shop TEXT NOT NULL, id INTEGER NOT NULL, number BLOB,
                                     PRIMARY KEY (shop, id))",
            )
            .expect("a table");
        Self { folder, connection }
    }

    fn file(&self, head: &str) -> CampaignFile {
        campaign(
            head,
            &format!(
                "kind = \"sqlite\"\npath = {:?}\ntable = \"cards\"\nkey-columns = [\"shop\", \"id\"]\n\
                 envelope-column = \"number\"\n\
                 context = {{ table = \"cards\", row = \"{{shop}}-{{id}}\" }}",
                self.folder.path().join("cards.sqlite")
            ),
        )
    }

    async fn insert(&self, bench: &Bench, count: i64) {
        for (shop, id) in ["a", "b'\"", "c"].into_iter().cycle().zip(0..count) {
            let envelope = bench.seal(format!("{shop}-{id}"), b"content").await;
            put(&self.connection, shop, id, &envelope);
        }
    }

    fn versions(&self) -> Vec<u32> {
        let mut rows = self.connection.prepare("SELECT number FROM cards").expect("prepared");
        let versions = rows.query_map([], |row| Ok(version_of(&row.get::<_, Vec<u8>>(0)?)));
        versions.expect("rows").map(|row| row.expect("a row")).collect()
    }
}

fn put(connection: &Connection, shop: &str, id: i64, envelope: &[u8]) {
    let insert = "INSERT OR REPLACE INTO cards VALUES (?, ?, ?)";
    connection.execute(insert, params![shop, id, envelope]).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_every_page_is_moved() {
    let (table, bench) = (Table::new(), Bench::new());
    table.insert(&bench, 250).await;
    bench.rotate().await;
    let report = bench.run(&table.file("batch = 16\nconcurrency = 3")).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert_eq!((report.total.moved, report.total.scanned), (250, 500), "{report}");
    assert_eq!(table.versions(), vec![2; 250]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_written_or_deleted_meanwhile_is_left_to_the_application() {
    let (table, bench) = (Table::new(), Bench::new());
    table.insert(&bench, 9).await;
    let theirs = bench.seal("a-0", b"theirs").await;
    bench.rotate().await;
    let path = table.folder.path().join("cards.sqlite");
    let file = table.file("");
    let inner = sources::open(&file).await.expect("opens").remove(0);
    let source = Meddled::once(&inner, async move {
        let connection = Connection::open(path).expect("opens");
        put(&connection, "a", 0, &theirs);
        connection.execute("DELETE FROM cards WHERE id = 2", []).expect("deleted");
    });
    let report = bench.run_over(&file, &source).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert_eq!((report.total.conflicts, report.total.gone, report.total.moved), (1, 1, 8));
    let now: Vec<u8> = table
        .connection
        .query_row("SELECT number FROM cards WHERE shop = 'a' AND id = 0", [], |row| row.get(0))
        .expect("a row");
    assert_eq!(bench.opens("a-0", &now).await, b"theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_unique_key_or_with_text_for_envelopes_is_told() {
    let (table, bench) = (Table::new(), Arc::new(Bench::new()));
    table.connection.execute_batch("INSERT INTO cards VALUES ('t', 1, 'text')").expect("written");
    let report = bench.run(&table.file("")).await;
    assert_eq!(report.total.malformed, 1, "{report}");
    table.connection.execute_batch("CREATE TABLE plain (shop, id, number)").expect("made");
    table
        .connection
        .execute_batch("DROP TABLE cards; ALTER TABLE plain RENAME TO cards")
        .expect("");
    let Err(refused) = sources::open(&table.file("")).await else { panic!("it was opened") };
    assert!(refused.to_string().contains("unique"), "{refused}");
}

/// A pass that had found its rows current was stopped, the key rotated and the application wrote the other rows
/// anew. The resumed run looked at those only, moved nothing and called the campaign complete, while the
/// rows before the cursor were left under the former version.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_resumed_after_a_rotation_looks_at_every_row_again() {
    let (table, bench) = (Table::new(), Bench::new());
    bench.rotate().await;
    table.insert(&bench, 9).await;
    let file = table.file("batch = 1\nconcurrency = 1");
    let opened = sources::open(&file).await.expect("opens");
    let stop = bench.stop.clone();
    let watch = move |now: &Snapshot| {
        if now.counts.current >= 3 {
            stop.cancel();
        }
    };
    let first = bench.runner.run(&file, &opened, &bench.stop, &watch).await.expect("runs");
    assert_eq!((first.outcome, first.total.moved), (Outcome::Stopped, 0), "{first}");
    bench.rotate().await;
    for (shop, id) in
        [("a", 6), ("b'\"", 1), ("b'\"", 4), ("b'\"", 7), ("c", 2), ("c", 5), ("c", 8)]
    {
        put(&table.connection, shop, id, &bench.seal(format!("{shop}-{id}"), b"theirs").await);
    }
    let again = Bench { stop: Default::default(), ..bench };
    let second = again.run(&file).await;
    assert_eq!((second.outcome, second.campaign), (Outcome::Complete, first.campaign), "{second}");
    assert_eq!(table.versions(), vec![3; 9]);
}
