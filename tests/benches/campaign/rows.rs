//! Rows of PostgreSQL: a campaign by the shipped program beside bare batched updates of the same rows.

use std::{fs, sync::Arc, time::Instant};

use claviger_client::{Client, ClientConfig};
use claviger_envelope::Envelopes;
use claviger_kms::{EncryptionContext, KeyPath};
use claviger_testkit::Postgres;
use claviger_tests::{
    Site, cost_of,
    measure::{Figure, Table, Usage, bytes, number, time},
};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::{KEY, say};

/// One row of the table.
#[derive(Default)]
struct Case {
    rows: usize,
    campaign: Figure,
    bare: Figure,
    peak: u64,
    service_peak: u64,
}

pub(crate) async fn measure(site: &Site, service: u32, sizes: [usize; 3]) -> String {
    let database = Postgres::start().expect("PostgreSQL is what this measures beside");
    let connection = database.connection_string();
    let mut cases = Vec::new();
    for rows in sizes {
        let mut case = Case { rows, ..Case::default() };
        fill(site, connection, rows).await;
        // The largest takes minutes, and one round of it tells as much.
        let rounds = if rows < 1_000_000 { 3 } else { 1 };
        for round in 1..=rounds {
            say(&format!("{rows} rows, round {round} of {rounds}"));
            let _ = site.run_claviger(&["key", "rotate", KEY]).succeeded();
            settle(connection).await;
            let cost = cost_of(&mut campaign(site, connection));
            case.campaign.add(cost.seconds);
            case.peak = case.peak.max(cost.peak_bytes);
            case.service_peak = Usage::of(service).peak_bytes;
            settle(connection).await;
            case.bare.add(bare_updates(connection, rows).await);
        }
        cases.push(case);
    }
    let mut table = Table::new(&[
        "rows",
        "campaign",
        "rows a second",
        "bare updates",
        "rows a second",
        "time / bare",
        "runner's most memory",
        "service's",
    ]);
    for case in &cases {
        let seconds = |figure: &Figure| time(figure.median() * 1e9);
        let rate =
            |figure: &Figure| number(figure.map(|seconds| case.rows as f64 / seconds).median());
        table.row(vec![
            number(case.rows as f64),
            seconds(&case.campaign),
            rate(&case.campaign),
            seconds(&case.bare),
            rate(&case.bare),
            case.campaign.over(&case.bare).ratio(),
            bytes(case.peak as f64),
            bytes(case.service_peak as f64),
        ]);
    }
    format!("{TITLE}\n{table}\n")
}

/// The campaign as an operator runs it, with its defaults.
fn campaign(site: &Site, connection: &str) -> std::process::Command {
    let file = site.work().join("campaign.toml");
    let text = format!(
        "name = \"bench\"\nkey = \"{KEY}\"\nmode = \"rewrap\"\n\n[[source]]\nname = \"cards\"\nkind = \"postgres\"\n\
         connection-env = \"BENCH_DATABASE\"\ntable = \"cards\"\nkey-columns = [\"id\"]\n\
         envelope-column = \"number\"\ncontext = {{ row = \"{{id}}\" }}\n"
    );
    fs::write(&file, text).unwrap();
    let mut command = site.claviger();
    command.env("BENCH_DATABASE", connection).args(["--quiet", "campaign", "run"]).arg(file);
    command
}

/// A table of so many rows, each with an envelope of its own.
async fn fill(site: &Site, connection: &str, rows: usize) {
    say(&format!("{rows} rows are sealed"));
    let database = connect(connection).await;
    let make = "DROP TABLE IF EXISTS cards; CREATE TABLE cards (id bigint PRIMARY KEY, number bytea NOT NULL)";
    database.batch_execute(make).await.unwrap();
    let client = Client::new(ClientConfig::new(site.data_socket()));
    let envelopes = Arc::new(Envelopes::new(Arc::new(client)));
    let key: KeyPath = KEY.parse().unwrap();
    let rows = i64::try_from(rows).unwrap();
    let mut id = 0;
    while id < rows {
        let mut sealing = JoinSet::new();
        for row in id..rows.min(id + 512) {
            let (envelopes, key) = (Arc::clone(&envelopes), key.clone());
            sealing.spawn(async move {
                let text = row.to_string();
                let context = EncryptionContext::from_pairs([("row", text.as_str())]).unwrap();
                (row, envelopes.seal(&key, &context, b"4111 1111 1111 1111").await.unwrap())
            });
        }
        id += 512;
        let (ids, sealed): (Vec<_>, Vec<_>) = sealing.join_all().await.into_iter().unzip();
        let put = "INSERT INTO cards SELECT * FROM unnest($1::bigint[], $2::bytea[])";
        database.execute(put, &[&ids, &sealed]).await.unwrap();
    }
}

/// Both begin with a table without dead rows, and no checkpoint of what was before.
async fn settle(connection: &str) {
    let database = connect(connection).await;
    for statement in ["VACUUM (FULL, ANALYZE) cards", "CHECKPOINT"] {
        database.batch_execute(statement).await.unwrap();
    }
}

/// The least that moves every row: read by key in batches, written back where the old bytes stand, with as
/// many batches at once and of the same size as the campaign. The new bytes are the old ones, which PostgreSQL
/// writes like any others.
async fn bare_updates(connection: &str, rows: usize) -> f64 {
    let reader = connect(connection).await;
    let mut writers = Vec::new();
    for _ in 0..CONCURRENCY {
        writers.push(Arc::new(connect(connection).await));
    }
    let begun = Instant::now();
    let (mut after, mut updated) = (-1_i64, 0);
    let mut under_way = JoinSet::new();
    let read = reader
        .prepare("SELECT id, number FROM cards WHERE id > $1 ORDER BY id LIMIT $2")
        .await
        .unwrap();
    loop {
        let found = reader.query(&read, &[&after, &BATCH]).await.unwrap();
        let Some(last) = found.last() else { break };
        after = last.get(0);
        let (ids, bytes): (Vec<i64>, Vec<Vec<u8>>) =
            found.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, Vec<u8>>(1))).unzip();
        let writer = match writers.pop() {
            Some(writer) => writer,
            None => {
                let (writer, written) = under_way.join_next().await.unwrap().unwrap();
                updated += written;
                writer
            }
        };
        under_way.spawn(async move {
            let write = "UPDATE cards SET number = change.new FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) \
                         AS change(id, old, new) WHERE cards.id = change.id AND cards.number = change.old";
            let write = writer.prepare(write).await.unwrap();
            let written = writer.execute(&write, &[&ids, &bytes, &bytes]).await.unwrap();
            (writer, written)
        });
    }
    for (_, written) in under_way.join_all().await {
        updated += written;
    }
    assert_eq!(updated, u64::try_from(rows).unwrap());
    begun.elapsed().as_secs_f64()
}

async fn connect(connection: &str) -> tokio_postgres::Client {
    let (client, line) = tokio_postgres::connect(connection, NoTls).await.unwrap();
    tokio::spawn(line);
    client
}

/// The defaults of a campaign.
const CONCURRENCY: usize = 4;
const BATCH: i64 = 256;

const TITLE: &str = "\
### Rows of PostgreSQL

`claviger campaign run` with its defaults moves every row to a new key version: read, rewrapped by the service, written
where the old bytes stand, and then a second pass that finds nothing left. Beside it, bare updates: the same rows read
and written in the same batches by the same statements, without a key service and without the second pass. Runner,
service, their audit log and PostgreSQL share the two cores and the disk.
";
