//! Reading the head, records and documents.

use claviger_kms::KeyId;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{Document, NamedDocument, StoredHead, StoredRecord, sqlite::failure::Failure};

pub(super) fn head(connection: &Connection) -> Result<Option<StoredHead>, Failure> {
    let mut query =
        connection.prepare_cached("SELECT generation, buckets, mac, mac_key FROM head")?;
    let head = query.query_row([], |row| {
        // 256 hashes of 32 bytes.
        let buckets: [u8; StoredHead::BUCKETS * 32] = row.get(1)?;
        Ok(StoredHead {
            generation: row.get(0)?,
            buckets: buckets.as_chunks().0.to_vec(),
            mac: row.get(2)?,
            mac_key: row.get(3)?,
        })
    });
    Ok(head.optional()?)
}

pub(super) fn record(connection: &Connection, id: KeyId) -> Result<Option<StoredRecord>, Failure> {
    let mut query = connection
        .prepare_cached("SELECT id, epoch, body, mac, mac_key FROM record WHERE id = ?1")?;
    Ok(query.query_row([id.as_bytes()], stored_record).optional()?)
}

pub(super) fn records(
    connection: &Connection,
    after: Option<KeyId>,
    limit: usize,
) -> Result<Vec<StoredRecord>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT id, epoch, body, mac, mac_key FROM record WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    // Nothing at all sorts before every id.
    let after = after.as_ref().map_or(&[] as &[u8], |id| id.as_bytes());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map((after, limit), stored_record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn document(connection: &Connection, name: &str) -> Result<Option<Document>, Failure> {
    let mut query =
        connection.prepare_cached("SELECT revision, bytes FROM document WHERE name = ?1")?;
    let document =
        query.query_row([name], |row| Ok(Document { revision: row.get(0)?, bytes: row.get(1)? }));
    Ok(document.optional()?)
}

pub(super) fn documents(
    connection: &Connection,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<NamedDocument>, Failure> {
    // Every character of a name sorts before 7F, so these are all names with the prefix.
    let mut query = connection.prepare_cached(
        "SELECT name, revision, bytes FROM document
         WHERE name >= ?1 AND name < ?1 || char(127) AND name > ?2 ORDER BY name LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map((prefix, after.unwrap_or_default(), limit), |row| {
        let document = Document { revision: row.get(1)?, bytes: row.get(2)? };
        Ok(NamedDocument { name: row.get(0)?, document })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn stored_record(row: &Row<'_>) -> rusqlite::Result<StoredRecord> {
    Ok(StoredRecord {
        id: KeyId::from_bytes(row.get(0)?),
        epoch: row.get(1)?,
        body: row.get(2)?,
        mac: row.get(3)?,
        mac_key: row.get(4)?,
    })
}
