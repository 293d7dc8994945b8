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
    let taken: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, step) in (1..).zip(STEPS).skip(taken) {
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
