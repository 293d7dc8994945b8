//! A table's columns and the statements over them.
//!
//! Invariants: names are quoted, types are as the server writes them; the key is unique and never NULL, or pages
//! would leave rows out.

use tokio_postgres::Client;

use super::of_database;
use crate::{SourceError, Template, campaign_file::Table, sources::quoted};

/// A key column and its type.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    kind: String,
}

/// What is asked of the table.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) keys: Vec<Key>,
    further: Vec<String>,
    pub(super) estimate: String,
    pub(super) scan_first: String,
    pub(super) scan_after: String,
    pub(super) replace: String,
    pub(super) same: String,
    pub(super) there: String,
}

impl Shape {
    pub(super) async fn read(
        client: &Client,
        table: &Table,
        context: &Template,
    ) -> Result<Self, SourceError> {
        let named: Vec<String> = table.name.splitn(2, '.').map(quoted).collect();
        let target = named.join(".");
        let known = client.query_one(RELATION, &[&target]).await.map_err(of_database)?;
        let Some(relation) = known.try_get::<_, Option<u32>>(0).map_err(of_database)? else {
            return Err(SourceError::unusable(format!(
                "there is no table {}; names are quoted, so upper and lower case count",
                table.name
            )));
        };
        let rows = client.query(COLUMNS, &[&relation]).await.map_err(of_database)?;
        let mut columns = Vec::with_capacity(rows.len());
        for row in &rows {
            let get = |at| row.try_get::<_, String>(at).map_err(of_database);
            columns.push((get(0)?, get(1)?, row.try_get::<_, bool>(2).map_err(of_database)?));
        }
        let find = |name: &str| {
            columns.iter().find(|(column, ..)| column == name).ok_or_else(|| {
                SourceError::unusable(format!("the table {} has no column {name}", table.name))
            })
        };
        if find(&table.envelope_column)?.1 != "bytea" {
            return Err(SourceError::unusable(format!(
                "the column {} is not of type bytea",
                table.envelope_column
            )));
        }
        let mut keys = Vec::with_capacity(table.key_columns.len());
        for name in &table.key_columns {
            let (_, kind, not_null) = find(name)?;
            if !not_null {
                return Err(SourceError::unusable(format!(
                    "the key column {name} may be NULL; name the columns of the primary key"
                )));
            }
            keys.push(Key { name: name.clone(), kind: kind.clone() });
        }
        let unique = client
            .query_one(UNIQUE, &[&relation, &table.key_columns])
            .await
            .and_then(|row| row.try_get::<_, bool>(0))
            .map_err(of_database)?;
        if !unique {
            return Err(SourceError::unusable(format!(
                "the key columns of {} have no unique index; name the columns of the primary key",
                table.name
            )));
        }
        let mut further = Vec::new();
        for name in context.names() {
            find(name)?;
            if !table.key_columns.iter().any(|key| key == name) {
                further.push(name.to_owned());
            }
        }
        Ok(Self::of(&target, keys, further, &table.envelope_column))
    }

    /// The columns read as text: the key's, then those of the context.
    pub(super) fn texts(&self) -> Vec<&str> {
        let keys = self.keys.iter().map(|key| key.name.as_str());
        keys.chain(self.further.iter().map(String::as_str)).collect()
    }

    fn of(target: &str, keys: Vec<Key>, further: Vec<String>, envelope: &str) -> Self {
        let envelope = quoted(envelope);
        let names: Vec<String> = keys.iter().map(|key| quoted(&key.name)).collect();
        // With the table's name before it: alone it would be the output column, and ordered as text.
        let key = names.iter().map(|name| format!("t.{name}")).collect::<Vec<_>>().join(", ");
        let texts: Vec<String> = names
            .iter()
            .cloned()
            .chain(further.iter().map(|name| quoted(name)))
            .map(|name| format!("t.{name}::text"))
            .collect();
        let values = |first: usize| -> Vec<String> {
            (first..).zip(&keys).map(|(at, key)| format!("${at}::text::{}", key.kind)).collect()
        };
        let select = format!("SELECT {}, t.{envelope} FROM {target} AS t", texts.join(", "));
        let order = format!("ORDER BY {key} LIMIT $1");
        let after = values(2).join(", ");
        // The arrays: old bytes, new bytes, then each key column as text.
        let arrays: Vec<String> =
            (3..).zip(&keys).map(|(at, _)| format!("${at}::text[]")).collect();
        let parts: Vec<String> =
            (1..).zip(&keys).map(|(at, _): (u32, _)| format!("k{at}")).collect();
        let wanted = format!(
            "unnest($1::bytea[], $2::bytea[], {}) WITH ORDINALITY AS w(old, new, {}, n)",
            arrays.join(", "),
            parts.join(", ")
        );
        let matches: Vec<String> = names
            .iter()
            .zip(&parts)
            .zip(&keys)
            .map(|((name, part), key)| format!("t.{name} = w.{part}::{}", key.kind))
            .collect();
        let matches = matches.join(" AND ");
        let replace = format!(
            "WITH wanted AS MATERIALIZED (SELECT * FROM {wanted}), \
             held AS MATERIALIZED ( \
                 SELECT w.n FROM {target} AS t JOIN wanted AS w ON {matches} \
                 WHERE t.{envelope} = w.old FOR UPDATE OF t SKIP LOCKED) \
             UPDATE {target} AS t SET {envelope} = w.new \
             FROM wanted AS w JOIN held AS h ON h.n = w.n \
             WHERE {matches} AND t.{envelope} = w.old RETURNING w.n"
        );
        let looked = |and: &str| {
            format!("SELECT w.n FROM {wanted} JOIN {target} AS t ON {matches} WHERE {and}")
        };
        Self {
            estimate: format!(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = '{}'::regclass",
                target.replace('\'', "''")
            ),
            scan_first: format!("{select} {order}"),
            scan_after: format!("{select} WHERE ({key}) > ({after}) {order}"),
            replace,
            same: looked(&format!("t.{envelope} = w.new AND w.new <> w.old")),
            there: looked("TRUE"),
            keys,
            further,
        }
    }
}

const RELATION: &str = "SELECT to_regclass($1)::oid";

/// With -1, not NULL: `character` alone would mean one character.
const COLUMNS: &str = "
    SELECT attname::text, format_type(atttypid, -1), attnotnull FROM pg_attribute
    WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped";

/// Whether some unique index over all rows has no other columns than these.
const UNIQUE: &str = "
    SELECT EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (
              SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
              JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
              WHERE k.place <= i.indnkeyatts AND a.attname::text <> ALL ($2::text[])))";
