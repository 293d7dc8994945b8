//! The tables, and the steps that lead to them from every earlier release.
//!
//! `application_id` says that a file is a Claviger store, `user_version` how many steps it has taken.
//! A released step is never changed; a new release adds steps at the end.

use rusqlite::{Connection, TransactionBehavior};

use crate::sqlite::failure::Failure;

/// `Clav` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x436c_6176;

/// The version this release writes.
pub(super) const VERSION: usize = STEPS.len();

/// Takes the steps that are missing, each in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    take(connection, STEPS)
}

fn take(connection: &mut Connection, steps: &[&str]) -> Result<(), Failure> {
    let taken: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, step) in (1_i32..).zip(steps).skip(taken) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

const STEPS: &[&str] = &["
    CREATE TABLE head (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        generation INTEGER NOT NULL CHECK (generation > 0),
        buckets BLOB NOT NULL CHECK (length(buckets) = 8192),
        mac BLOB NOT NULL CHECK (length(mac) = 32),
        mac_key INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE record (
        id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
        epoch INTEGER NOT NULL CHECK (epoch > 0),
        body BLOB NOT NULL,
        mac BLOB NOT NULL CHECK (length(mac) = 32),
        mac_key INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE document (
        name TEXT PRIMARY KEY NOT NULL,
        revision INTEGER NOT NULL CHECK (revision > 0),
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE TABLE lease (
        name TEXT PRIMARY KEY NOT NULL,
        holder TEXT NOT NULL,
        expires_at_ms INTEGER NOT NULL
    ) STRICT;
"];

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> usize {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn only_the_missing_steps_are_taken() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "DROP TABLE a"];
        take(&mut connection, &steps[..2]).unwrap();
        assert_eq!(version(&connection), 2);
        take(&mut connection, &steps).unwrap();
        take(&mut connection, &steps).unwrap();
        assert_eq!(version(&connection), 3);
        assert!(connection.table_exists(None, "b").unwrap());
        assert!(!connection.table_exists(None, "a").unwrap());
    }

    #[test]
    fn a_step_that_fails_half_way_leaves_the_step_before() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        take(&mut connection, &steps).unwrap_err();
        assert_eq!(version(&connection), 1);
        assert!(!connection.table_exists(None, "b").unwrap());
    }
}
