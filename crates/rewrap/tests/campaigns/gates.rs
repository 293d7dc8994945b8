//! Write gates of PostgreSQL, and scans behind them.

use claviger_envelope::{Header, Provider, Wrap};
use claviger_kms::{Binding, EncryptionContext, GenerateDataKey, KeyManagementService as _};
use claviger_rewrap::{
    CampaignFile, Closes, Gate, GateState, SourceError, census, gather, sources,
};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    bench::{Bench, campaign, key},
    postgres::{Table, connect},
};

pub(crate) async fn first_version(bench: &Bench) -> Closes {
    let id = bench.service.describe_key(&key()).await.expect("the key").id;
    Closes { key: id, version: claviger_kms::KeyVersion::FIRST }
}

pub(crate) fn gate(file: &CampaignFile, closes: Closes) -> Gate {
    Gate::of(file.sources.first().expect("a source"), closes).expect("a gate")
}

/// The same envelope with another service's wrap before its own.
pub(crate) fn with_a_foreign_wrap_first(envelope: &[u8]) -> Vec<u8> {
    let (header, payload) = Header::parse(envelope).expect("an envelope");
    let mut wraps = vec![Wrap::new(Provider::AWS_KMS, vec![7; 184]).expect("a wrap")];
    wraps.extend_from_slice(header.wraps());
    let header = Header::new(header.kind(), header.envelope_id(), wraps).expect("a header");
    [header.to_bytes().as_slice(), payload].concat()
}

/// A wrapped key as a blind index has it, without an envelope.
pub(crate) async fn bare_key(bench: &Bench) -> Vec<u8> {
    let binding = Binding { context: EncryptionContext::new(), envelope_id: None };
    let made = bench.service.generate_wrapped_data_key(GenerateDataKey { key: key(), binding });
    made.await.expect("a key").ciphertext
}

async fn write(client: &Client, sql: &str, envelope: Option<&[u8]>) -> Result<u64, String> {
    let done = match envelope {
        Some(envelope) => client.execute(sql, &[&envelope]).await,
        None => client.execute(sql, &[]).await,
    };
    done.map_err(|error| {
        error.as_db_error().map_or(error.to_string(), |told| told.message().to_owned())
    })
}

#[track_caller]
fn is_refused(done: Result<u64, String>) {
    let refusal = done.expect_err("it was written");
    assert!(refusal.contains("closed for writing"), "{refusal}");
}

fn token() -> CancellationToken {
    CancellationToken::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_refuses_the_closed_version_in_every_wrap_and_nothing_else() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..3).await;
    let (old, old_key) = (bench.seal(9, b"old").await, bare_key(&bench).await);
    let closes = first_version(&bench).await;
    bench.rotate().await;
    let (new, new_key) = (bench.seal(9, b"new").await, bare_key(&bench).await);
    let file = table.campaign("");
    let gate = gate(&file, closes);
    assert_eq!(gate.state().await.expect("a state"), GateState::Open);
    assert!(matches!(gate.close().await.expect("closes"), GateState::Closed { .. }));
    // Once more changes nothing.
    assert!(matches!(gate.close().await.expect("closes"), GateState::Closed { .. }));

    let insert = "INSERT INTO \"Cards\" VALUES (9, $1)";
    let upsert = "INSERT INTO \"Cards\" VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET \"Number\" = excluded.\"Number\"";
    let client = &table.client;
    for old in [old.clone(), with_a_foreign_wrap_first(&old), old_key] {
        is_refused(write(client, insert, Some(&old)).await);
        is_refused(write(client, upsert, Some(&old)).await);
        is_refused(
            write(client, "UPDATE \"Cards\" SET \"Number\" = $1 WHERE id = 0", Some(&old)).await,
        );
    }
    for good in
        [new.clone(), with_a_foreign_wrap_first(&new), new_key, b"garbage".to_vec(), Vec::new()]
    {
        assert_eq!(write(client, insert, Some(&good)).await, Ok(1));
        assert_eq!(write(client, "DELETE FROM \"Cards\" WHERE id = 9", None).await, Ok(1));
    }
    assert_eq!(write(client, "INSERT INTO \"Cards\" VALUES (9, NULL)", None).await, Ok(1));
    // Other columns of a row with an old envelope, and the old envelope as it stands.
    assert_eq!(write(client, "UPDATE \"Cards\" SET note = 'seen' WHERE id = 0", None).await, Ok(1));
    assert_eq!(write(client, "UPDATE \"Cards\" SET \"Number\" = \"Number\"", None).await, Ok(4));
    // A row does not slip past a scan under another key.
    is_refused(write(client, "UPDATE \"Cards\" SET id = -1 WHERE id = 0", None).await);
    assert_eq!(write(client, upsert, Some(&new)).await, Ok(1));
    // Where triggers are usually off, as for a replica.
    write(client, "SET session_replication_role = replica", None).await.expect("set");
    is_refused(
        write(client, "UPDATE \"Cards\" SET \"Number\" = $1 WHERE id = 0", Some(&old)).await,
    );
    write(client, "RESET session_replication_role", None).await.expect("reset");
    // The campaign itself goes through.
    let report = bench.run(&file).await;
    assert_eq!(report.total.moved, 2, "{report}");
    assert_eq!(gate.open().await.expect("opens"), GateState::Open);
    assert_eq!(
        write(client, "UPDATE \"Cards\" SET \"Number\" = $1 WHERE id = 0", Some(&old)).await,
        Ok(1)
    );
}

/// An application begins a transaction, the gate is closed, and hours later the application stores what it
/// sealed before the rotation.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_older_than_the_gate_meets_it_and_is_waited_for() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    let old = bench.seal(1, b"old").await;
    let closes = first_version(&bench).await;
    table.client.batch_execute("CREATE TABLE others (id int)").await.expect("a table");
    let application = connect(table.server.connection_string()).await;
    let begun = "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO others VALUES (1); SELECT * FROM \"Cards\"";
    // Neither its reading of the table nor its writing elsewhere keeps the gate from being closed.
    application.batch_execute(begun).await.expect("begun");
    bench.rotate().await;
    let file = table.campaign("give-up-seconds = 1");
    let gate = gate(&file, closes);
    assert!(matches!(gate.close().await.expect("closes"), GateState::Closed { .. }));
    assert_eq!(gate.settled().await.expect("looks"), None);
    let opened = sources::open(&file).await.expect("opens");
    let wanted = (closes.key, closes.version);
    let waited =
        gather(&file, &opened, wanted, &token()).await.expect_err("it runs still").to_string();
    assert!(waited.contains("older than the gate"), "{waited}");

    is_refused(write(&application, "INSERT INTO \"Cards\" VALUES (1, $1)", Some(&old)).await);
    application.batch_execute("ROLLBACK").await.expect("ended");
    let facts = gate.settled().await.expect("looks").expect("settled");
    assert!(facts.closed_at < facts.settled_at);
    let gathered = gather(&file, &opened, wanted, &token()).await.expect("gathered");
    let facts = &gathered.sources["cards"];
    let gate = facts.gate.as_ref().expect("a gate");
    assert_eq!((facts.scans.len(), gathered.found), (2, 0));
    assert!(facts.scans[0].begun_at >= gate.settled_at);
    assert!(facts.scans[1].begun_at >= facts.scans[0].ended_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_written_an_old_envelope_keeps_the_gate_from_closing_and_is_then_seen()
 {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    let old = bench.seal(1, b"old").await;
    let closes = first_version(&bench).await;
    let application = connect(table.server.connection_string()).await;
    application.batch_execute("BEGIN").await.expect("begun");
    write(&application, "INSERT INTO \"Cards\" VALUES (1, $1)", Some(&old)).await.expect("written");
    bench.rotate().await;
    let file = table.campaign("");
    let gate = gate(&file, closes);
    let refused = gate.close().await;
    assert!(matches!(refused, Err(SourceError::Unreachable { .. })), "{refused:?}");
    assert_eq!(gate.state().await.expect("a state"), GateState::Open);
    application.batch_execute("COMMIT").await.expect("committed");
    gate.close().await.expect("closes");
    let opened = sources::open(&file).await.expect("opens");
    let gathered =
        gather(&file, &opened, (closes.key, closes.version), &token()).await.expect("gathered");
    assert_eq!(gathered.found, 1);
    assert!(gathered.sources["cards"].scans.iter().all(|scan| scan.holding == 1));
    assert_eq!(gathered.findings["cards"].of("holding")[0].locator, "Cards id=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_was_disabled_altered_or_overruled_does_not_count() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    let closes = first_version(&bench).await;
    bench.rotate().await;
    let file = table.campaign("");
    let gate = gate(&file, closes);
    let name: String = {
        gate.close().await.expect("closes");
        let query = "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal";
        table.client.query_one(query, &[]).await.expect("a trigger").get(0)
    };
    for (damage, word) in [
        (format!("ALTER TABLE \"Cards\" DISABLE TRIGGER {name}"), "disabled"),
        (format!("ALTER TABLE \"Cards\" ENABLE TRIGGER {name}"), "disabled"),
        (
            format!(
                "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql \
                 SET search_path = pg_catalog AS $$ BEGIN RETURN NEW; END $$"
            ),
            "function was altered",
        ),
        (
            format!(
                "DROP TRIGGER {name} ON \"Cards\"; CREATE TRIGGER {name} BEFORE INSERT ON \"Cards\" \
                 FOR EACH ROW EXECUTE FUNCTION {name}(); \
                 ALTER TABLE \"Cards\" ENABLE ALWAYS TRIGGER {name}"
            ),
            "not the one",
        ),
        (format!("COMMENT ON TRIGGER {name} ON \"Cards\" IS 'since ever'"), "comment"),
        (
            "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
             CREATE TRIGGER zzzz BEFORE UPDATE ON \"Cards\" FOR EACH ROW EXECUTE FUNCTION late()"
                .to_owned(),
            "another trigger",
        ),
    ] {
        table.client.batch_execute(&damage).await.expect("damaged");
        match gate.state().await.expect("a state") {
            GateState::Altered { reason } => assert!(reason.contains(word), "{damage}: {reason}"),
            other => panic!("{damage}: {other:?}"),
        }
        assert_eq!(gate.settled().await.expect("looks"), None);
        let refused = gate.close().await.expect_err("it is not mended").to_string();
        assert!(refused.contains("--remove"), "{refused}");
        let opened = sources::open(&file).await.expect("opens");
        assert!(gather(&file, &opened, (closes.key, closes.version), &token()).await.is_err());
        gate.open().await.expect("removed");
        table.client.batch_execute("DROP FUNCTION IF EXISTS late CASCADE").await.expect("dropped");
        assert!(matches!(gate.close().await.expect("closes"), GateState::Closed { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_closes_the_gate_too_and_gates_of_two_versions_stand_side_by_side() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    let first = first_version(&bench).await;
    let second = Closes { version: bench.rotate().await, ..first };
    bench.rotate().await;
    let file = table.campaign("");
    for closes in [first, second] {
        let gate = gate(&file, closes);
        table.client.batch_execute(&gate.sql().expect("SQL")).await.expect("it is whole");
        assert!(matches!(gate.state().await.expect("a state"), GateState::Closed { .. }));
    }
    let state = gate(&file, first).state().await.expect("a state");
    assert!(matches!(state, GateState::Closed { .. }), "{state:?}");
    // The two are not each other.
    gate(&file, second).open().await.expect("removed");
    assert!(matches!(gate(&file, first).state().await.expect("a state"), GateState::Closed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_has_no_gate_and_says_so() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    let closes = first_version(&bench).await;
    let partitioned = "DROP TABLE \"Cards\"; \
        CREATE TABLE \"Cards\" (id bigint PRIMARY KEY, \"Number\" bytea) PARTITION BY RANGE (id)";
    table.client.batch_execute(partitioned).await.expect("a table");
    let refused = gate(&table.campaign(""), closes).close().await.expect_err("no gate");
    assert!(refused.to_string().contains("max-hold-seconds"), "{refused}");
}

/// A census by a role from which a policy hides rows counted only those it saw, and called itself whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_from_which_rows_are_hidden_cannot_take_a_census() {
    let Some(table) = Table::new().await else { return };
    let bench = Bench::new();
    table.insert(&bench, 0..3).await;
    let hide = "ALTER TABLE \"Cards\" ENABLE ROW LEVEL SECURITY; CREATE ROLE runner LOGIN; \
        GRANT SELECT, UPDATE ON \"Cards\" TO runner; \
        CREATE POLICY late_rows ON \"Cards\" TO runner USING (id > 1)";
    table.client.batch_execute(hide).await.expect("hidden");
    let connection = table.server.connection_string().replace("user=claviger", "user=runner");
    assert!(connection.contains("user=runner"), "the role was not replaced");
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), connection).expect("written");
    let source = format!(
        "kind = \"postgres\"\nconnection-file = {:?}\ntable = \"Cards\"\nkey-columns = [\"id\"]\n\
         envelope-column = \"Number\"\ncontext = {{ table = \"cards\", row = \"{{id}}\" }}",
        secret.path()
    );
    let file = campaign("give-up-seconds = 1", &source);
    let opened = sources::open(&file).await.expect("opens");
    let found = census(&file, &opened, &token()).await;
    let cards = &found.sources["cards"];
    assert!(!found.complete && cards.scanned == 0, "{found}");
    assert!(cards.reason.as_ref().expect("a reason").contains("row-level security"), "{found}");
    // Whoever sees all rows takes a whole one.
    let file = table.campaign("");
    let opened = sources::open(&file).await.expect("opens");
    assert_eq!(census(&file, &opened, &token()).await.sources["cards"].scanned, 3);
}
