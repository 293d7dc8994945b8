use rusqlite::{Connection, params};

use super::*;

fn database() -> Connection {
    let database = Connection::open_in_memory().unwrap();
    database
        .execute_batch(&format!(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, ssn ANY, ssn_version {})",
            generated_column("ssn")
        ))
        .unwrap();
    database
}

/// The generated column as `FORMAT.md` gives it, of this column instead of `envelope`.
fn generated_column(of: &str) -> String {
    let format = include_str!("../../FORMAT.md");
    let column = format.split_once("    key_version BLOB GENERATED").unwrap().1;
    let column = column.split_once("STORED").unwrap().0;
    format!("BLOB GENERATED{} STORED", column.replace("envelope", of))
}

fn insert(database: &Connection, row: i64, sealed: Option<&SealedColumn>) {
    database.execute("INSERT INTO users (id, ssn) VALUES (?1, ?2)", params![row, sealed]).unwrap();
}

fn stored(database: &Connection, row: i64) -> rusqlite::Result<SealedColumn> {
    database.query_row("SELECT ssn FROM users WHERE id = ?1", [row], |row| row.get(0))
}

fn version(database: &Connection, row: i64) -> Option<Vec<u8>> {
    let query = "SELECT ssn_version FROM users WHERE id = ?1";
    database.query_row(query, [row], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_value_comes_back_from_sqlite_and_opens_in_its_row_only() {
    let (database, envelopes) = (database(), Envelopes::new(service()));
    for row in [1, 2] {
        insert(&database, row, Some(&seal(&envelopes, row, "000-00-0001").await));
    }
    let value = stored(&database, 1).unwrap();
    assert_eq!(plain(envelopes.open_column(&ssn(1), &value).await), "000-00-0001");

    // Whoever writes to the table exchanges two rows' values.
    let two = stored(&database, 2).unwrap();
    for (row, value) in [(1, &two), (2, &value)] {
        database.execute("UPDATE users SET ssn = ?2 WHERE id = ?1", params![row, value]).unwrap();
        let moved = stored(&database, row).unwrap();
        assert!(is_rejected(&envelopes.open_column(&ssn(row), &moved).await));
        assert!(is_rejected(&envelopes.rewrap_column(&ssn(row), &moved).await));
    }
}

#[tokio::test]
async fn garbage_in_sqlite_is_refused_when_it_is_read_and_is_not_quoted() {
    let (database, envelopes) = (database(), Envelopes::new(service()));
    let sealed = seal(&envelopes, 1, "x").await.into_bytes();
    let cut = &sealed[..sealed.len() - 170];
    for garbage in [UNSEALED.as_bytes(), b"", cut] {
        database.execute("DELETE FROM users", []).unwrap();
        database.execute("INSERT INTO users (id, ssn) VALUES (1, ?1)", [garbage]).unwrap();
        let error = stored(&database, 1).unwrap_err();
        let words = format!("{error} {error:?}");
        assert!(words.contains("not a Claviger envelope"), "{words}");
        assert!(!words.contains("12-3456") && !words.contains("48, 48, 48"), "{words}");
    }
    // Text and numbers are not even bytes.
    for value in ["'000-12-3456'", "17"] {
        database.execute(&format!("UPDATE users SET ssn = {value}"), []).unwrap();
        let words = stored(&database, 1).unwrap_err().to_string();
        assert!(!words.contains("12-3456"), "{words}");
    }
}

#[test]
fn null_in_sqlite_is_no_value_and_no_error() {
    let database = database();
    insert(&database, 1, None);
    let query = "SELECT ssn FROM users";
    let value: Option<SealedColumn> = database.query_row(query, [], |row| row.get(0)).unwrap();
    assert!(value.is_none());
    assert!(stored(&database, 1).is_err());
}

#[tokio::test]
async fn the_version_column_of_sqlite_follows_a_rewrap_and_is_null_for_garbage() {
    let service = service();
    let (database, envelopes) = (database(), Envelopes::new(service.clone()));
    let old = seal(&envelopes, 1, "x").await;
    insert(&database, 1, Some(&old));
    assert_eq!(version(&database, 1), Some(vec![0, 0, 0, 1]));

    rotate(service.as_ref()).await;
    let new = envelopes.rewrap_column(&ssn(1), &old).await.unwrap();
    let update = "UPDATE users SET ssn = ?1 WHERE id = 1 AND ssn = ?2";
    assert_eq!(database.execute(update, [&new, &old]).unwrap(), 1);
    assert_eq!(version(&database, 1), Some(vec![0, 0, 0, 2]));
    // The old bytes stand no more.
    assert_eq!(database.execute(update, [&new, &old]).unwrap(), 0);

    for at in [0, 4, 5, 23, 26, 27] {
        let mut other = new.as_bytes().to_vec();
        other[at] = 9;
        database.execute("UPDATE users SET ssn = ?1", [&other]).unwrap();
        assert_eq!(version(&database, 1), None, "byte {at}");
    }
    database.execute("UPDATE users SET ssn = ?1", [&new.as_bytes()[..47]]).unwrap();
    assert_eq!(version(&database, 1), None);
}
