//! Writing: every change is one transaction that compares before it swaps.
//!
//! A transaction that finds a conflict is dropped, and with it whatever it wrote before.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{Commit, PutDocument, PutRecord, StoredHead, sqlite::failure::Failure};

/// Changes records, documents and head, or nothing.
pub(super) fn commit(connection: &mut Connection, commit: &Commit) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    put_head(&transaction, commit.expected_generation, &commit.head)?;
    for put in &commit.records {
        put_record(&transaction, put)?;
    }
    for put in &commit.documents {
        put_document(&transaction, put)?;
    }
    Ok(transaction.commit()?)
}

/// Changes documents, or nothing.
pub(super) fn put_documents(
    connection: &mut Connection,
    puts: &[PutDocument],
) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for put in puts {
        put_document(&transaction, put)?;
    }
    Ok(transaction.commit()?)
}

/// Removes one document.
pub(super) fn remove_document(
    connection: &mut Connection,
    name: &str,
    expected: u64,
) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    expect_document(&transaction, name, Some(expected))?;
    transaction.prepare_cached("DELETE FROM document WHERE name = ?1")?.execute([name])?;
    Ok(transaction.commit()?)
}

fn put_head(
    connection: &Connection,
    expected: Option<u64>,
    head: &StoredHead,
) -> Result<(), Failure> {
    let found = connection
        .prepare_cached("SELECT generation FROM head")?
        .query_row([], |row| row.get(0))
        .optional()?;
    expect("the head", "generation", expected, found)?;
    connection
        .prepare_cached(
            "INSERT INTO head (only_row, generation, buckets, mac, mac_key)
             VALUES (1, ?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET generation = excluded.generation,
                 buckets = excluded.buckets, mac = excluded.mac, mac_key = excluded.mac_key",
        )?
        .execute(params![head.generation, head.buckets.as_flattened(), head.mac, head.mac_key])?;
    Ok(())
}

fn put_record(connection: &Connection, put: &PutRecord) -> Result<(), Failure> {
    let record = &put.record;
    let found = connection
        .prepare_cached("SELECT epoch FROM record WHERE id = ?1")?
        .query_row([record.id.as_bytes()], |row| row.get(0))
        .optional()?;
    expect(&format!("record {}", record.id), "epoch", put.expected_epoch, found)?;
    connection
        .prepare_cached(
            "INSERT INTO record (id, epoch, body, mac, mac_key) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET epoch = excluded.epoch, body = excluded.body,
                 mac = excluded.mac, mac_key = excluded.mac_key",
        )?
        .execute(params![
            record.id.as_bytes(),
            record.epoch,
            record.body,
            record.mac,
            record.mac_key
        ])?;
    Ok(())
}

fn put_document(connection: &Connection, put: &PutDocument) -> Result<(), Failure> {
    expect_document(connection, &put.name, put.expected_revision)?;
    let revision = put.expected_revision.unwrap_or(0) + 1;
    connection
        .prepare_cached(
            "INSERT INTO document (name, revision, bytes) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET revision = excluded.revision, bytes = excluded.bytes",
        )?
        .execute(params![put.name, revision, put.bytes])?;
    Ok(())
}

fn expect_document(
    connection: &Connection,
    name: &str,
    expected: Option<u64>,
) -> Result<(), Failure> {
    let found = connection
        .prepare_cached("SELECT revision FROM document WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    expect(&format!("document {name:?}"), "revision", expected, found)
}

fn expect(
    what: &str,
    number: &str,
    expected: Option<u64>,
    found: Option<u64>,
) -> Result<(), Failure> {
    if expected == found {
        return Ok(());
    }
    let found = found.map_or("does not exist".to_owned(), |n| format!("is at {number} {n}"));
    let expected = expected.map_or("none was expected".to_owned(), |n| format!("not {n}"));
    Err(Failure::conflict(format!("{what} {found}, {expected}")))
}
