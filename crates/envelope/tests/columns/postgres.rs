use std::error::Error as _;

use claviger_envelope::column::POSTGRES_KEY_VERSION;
use claviger_testkit::Postgres;
use tokio_postgres::{Client, NoTls};

use super::*;

/// A server with the table, and a connection; nothing where there is no PostgreSQL.
async fn database() -> Option<(Postgres, Client)> {
    let server = Postgres::start()?;
    let client = connect(&server).await;
    client.batch_execute(POSTGRES_KEY_VERSION).await.unwrap();
    // Twice does no harm.
    client.batch_execute(POSTGRES_KEY_VERSION).await.unwrap();
    client.batch_execute(TABLE).await.unwrap();
    Some((server, client))
}

async fn connect(server: &Postgres) -> Client {
    let (client, connection) =
        tokio_postgres::connect(server.connection_string(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn insert(database: &Client, row: i64, sealed: Option<&SealedColumn>) {
    let insert = "INSERT INTO users (id, ssn) VALUES ($1, $2)";
    database.execute(insert, &[&row, &sealed]).await.unwrap();
}

async fn stored(database: &Client, row: i64) -> Result<SealedColumn, tokio_postgres::Error> {
    let query = "SELECT ssn FROM users WHERE id = $1";
    database.query_one(query, &[&row]).await.unwrap().try_get(0)
}

async fn store_bytes(database: &Client, row: i64, bytes: &[u8]) {
    let update = "UPDATE users SET ssn = $2 WHERE id = $1";
    assert_eq!(database.execute(update, &[&row, &bytes]).await.unwrap(), 1);
}

async fn version(database: &Client, row: i64) -> Option<i64> {
    let query = "SELECT ssn_version FROM users WHERE id = $1";
    database.query_one(query, &[&row]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_value_comes_back_from_postgresql_and_opens_in_its_place_only() {
    let Some((server, database)) = database().await else { return };
    let envelopes = Envelopes::new(service());
    for row in [1, 2] {
        insert(&database, row, Some(&seal(&envelopes, row, "000-00-0001").await)).await;
    }
    // Not only while the server keeps it in memory.
    server.restart();
    let database = connect(&server).await;
    let value = stored(&database, 1).await.unwrap();
    assert_eq!(plain(envelopes.open_column(&ssn(1), &value).await), "000-00-0001");
    for (table, column, row) in
        [("users", "phone", "1"), ("staff", "ssn", "1"), ("users", "ssn", "01")]
    {
        let elsewhere = ColumnContext::new(table, column, row).unwrap();
        assert!(is_rejected(&envelopes.open_column(&elsewhere, &value).await));
    }

    // Whoever writes to the table exchanges two rows' values.
    let exchange = "UPDATE users SET ssn = (SELECT ssn FROM users o WHERE o.id = 3 - users.id)";
    assert_eq!(database.execute(exchange, &[]).await.unwrap(), 2);
    for row in [1, 2] {
        let moved = stored(&database, row).await.unwrap();
        assert!(is_rejected(&envelopes.open_column(&ssn(row), &moved).await));
    }
}

#[tokio::test]
async fn garbage_in_postgresql_is_refused_when_it_is_read_and_null_is_no_value() {
    let Some((_server, database)) = database().await else { return };
    let envelopes = Envelopes::new(service());
    insert(&database, 1, None).await;
    let row = database.query_one("SELECT ssn, ssn_version FROM users", &[]).await.unwrap();
    assert!(row.get::<_, Option<SealedColumn>>(0).is_none());
    assert!(row.try_get::<_, SealedColumn>(0).is_err());
    assert_eq!(row.get::<_, Option<i64>>(1), None);

    let sealed = seal(&envelopes, 1, "x").await.into_bytes();
    let cut = &sealed[..sealed.len() - 170];
    for garbage in [UNSEALED.as_bytes(), b"", cut] {
        store_bytes(&database, 1, garbage).await;
        let error = stored(&database, 1).await.unwrap_err();
        let cause = error.source().unwrap();
        let words = format!("{error} {error:?} {cause} {cause:?}");
        assert!(words.contains("not a Claviger envelope"), "{words}");
        assert!(!words.contains("12-3456") && !words.contains("48, 48, 48"), "{words}");
    }
    // A column of another type takes no envelope and gives none.
    let sealed = SealedColumn::from_bytes(sealed).unwrap();
    assert!(database.query_one("SELECT $1::text", &[&sealed]).await.is_err());
    let text = database.query_one("SELECT '000-12-3456'::text", &[]).await.unwrap();
    let words = text.try_get::<_, SealedColumn>(0).unwrap_err().to_string();
    assert!(!words.contains("12-3456"), "{words}");
    // A domain over bytes is bytes.
    database.batch_execute("CREATE DOMAIN envelope AS bytea").await.unwrap();
    let row = database.query_one("SELECT $1::envelope", &[&sealed]).await.unwrap();
    assert_eq!(row.get::<_, SealedColumn>(0), sealed);
}

#[tokio::test]
async fn the_version_column_follows_a_rewrap_and_counts_in_sql() {
    let Some((_server, database)) = database().await else { return };
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    for row in 1..=3 {
        insert(&database, row, Some(&seal(&envelopes, row, "x").await)).await;
    }
    rotate(service.as_ref()).await;
    let old = stored(&database, 1).await.unwrap();
    let new = envelopes.rewrap_column(&ssn(1), &old).await.unwrap();
    let update = "UPDATE users SET ssn = $1 WHERE id = 1 AND ssn = $2";
    assert_eq!(database.execute(update, &[&new, &old]).await.unwrap(), 1);
    assert_eq!((version(&database, 1).await, version(&database, 2).await), (Some(2), Some(1)));
    let count = "SELECT count(*) FROM users WHERE ssn_version < 2";
    assert_eq!(database.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 2);
    // Nobody can write it.
    let forge = "UPDATE users SET ssn_version = 9";
    assert!(database.execute(forge, &[]).await.is_err());

    // All four bytes count, and every byte that says what they are.
    let mut bytes = new.into_bytes();
    bytes[44..48].copy_from_slice(&[0xF1, 2, 3, 4]);
    store_bytes(&database, 1, &bytes).await;
    assert_eq!(version(&database, 1).await, Some(0xF102_0304));
    for at in [0, 3, 4, 5, 23, 26, 27] {
        let mut other = bytes.clone();
        other[at] = 9;
        store_bytes(&database, 1, &other).await;
        assert_eq!(version(&database, 1).await, None, "byte {at}");
    }
    bytes[44..48].fill(0);
    for garbage in [&bytes[..], &bytes[..47], &bytes[..6], b"", UNSEALED.as_bytes()] {
        store_bytes(&database, 1, garbage).await;
        assert_eq!(version(&database, 1).await, None, "{} bytes", garbage.len());
    }
}

/// A re-wrap reads a row; the application writes it; then the re-wrap wants to store what it has made of the old bytes.
#[tokio::test]
async fn the_applications_own_write_wins_over_a_rewrap() {
    let Some((server, database)) = database().await else { return };
    let service = service();
    let envelopes = Envelopes::new(service.clone());
    insert(&database, 1, Some(&seal(&envelopes, 1, "old number").await)).await;
    rotate(service.as_ref()).await;

    let mut application = connect(&server).await;
    let read = stored(&database, 1).await.unwrap();
    let made = envelopes.rewrap_column(&ssn(1), &read).await.unwrap();
    let writing = application.transaction().await.unwrap();
    let own = seal(&envelopes, 1, "new number").await;
    writing.execute("UPDATE users SET ssn = $1 WHERE id = 1", &[&own]).await.unwrap();
    // The re-wrap waits for the application's transaction, then finds other bytes.
    let rewrap = tokio::spawn(async move {
        let update = "UPDATE users SET ssn = $1 WHERE id = 1 AND ssn = $2";
        (database.execute(update, &[&made, &read]).await.unwrap(), database)
    });
    wait_until_blocked(&server).await;
    writing.commit().await.unwrap();

    let (changed, database) = rewrap.await.unwrap();
    assert_eq!(changed, 0);
    let value = stored(&database, 1).await.unwrap();
    assert_eq!(plain(envelopes.open_column(&ssn(1), &value).await), "new number");
}

/// Waits until a statement waits for another one's lock.
async fn wait_until_blocked(server: &Postgres) {
    let observer = connect(server).await;
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    for _ in 0..500 {
        if observer.query_one(blocked, &[]).await.unwrap().get::<_, i64>(0) == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the re-wrap did not wait for the application");
}

const TABLE: &str = "
    CREATE TABLE users (
        id bigint PRIMARY KEY,
        ssn bytea,
        ssn_version bigint GENERATED ALWAYS AS (claviger_key_version(ssn)) STORED
    );
    CREATE INDEX ON users (ssn_version)";
