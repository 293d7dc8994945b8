//! A table's columns and the statements over them.
//!
//! Invariant: the key is unique and never NULL, or pages would leave rows out.

use rusqlite::Connection;

use super::of_database;
use crate::{SourceError, Template, campaign_file::Table, sources::quoted};

#[derive(Debug)]
pub(super) struct Shape {
    pub(super) keys: Vec<String>,
    further: Vec<String>,
    pub(super) count: String,
    pub(super) scan_first: String,
    pub(super) scan_after: String,
    pub(super) replace: String,
    pub(super) look: String,
}

impl Shape {
    pub(super) fn read(
        connection: &Connection,
        table: &Table,
        context: &Template,
    ) -> Result<Self, SourceError> {
        let columns = strings(connection, COLUMNS, &table.name)?;
        if columns.is_empty() {
            return Err(SourceError::unusable(format!("there is no table {}", table.name)));
        }
        let needed = table.key_columns.iter().map(String::as_str);
        for name in needed.chain([table.envelope_column.as_str()]).chain(context.names()) {
            if !columns.iter().any(|column| column == name) {
                return Err(SourceError::unusable(format!(
                    "the table {} has no column {name}",
                    table.name
                )));
            }
        }
        let shape = Self::of(table, context);
        if !is_unique(connection, table)? {
            return Err(SourceError::unusable(format!(
                "the key columns of {} have no unique index; name the columns of the primary key",
                table.name
            )));
        }
        let nulls: Vec<String> =
            shape.keys.iter().map(|key| format!("{} IS NULL", quoted(key))).collect();
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM {} WHERE {})",
            quoted(&table.name),
            nulls.join(" OR ")
        );
        if connection.query_row(&query, [], |row| row.get(0)).map_err(of_database)? {
            return Err(SourceError::unusable(
                "a key column holds NULL; such rows cannot be told apart",
            ));
        }
        Ok(shape)
    }

    /// The columns read: the key's, then those of the context.
    pub(super) fn columns(&self) -> Vec<&str> {
        self.keys.iter().chain(&self.further).map(String::as_str).collect()
    }

    fn of(table: &Table, context: &Template) -> Self {
        let keys = table.key_columns.clone();
        let further: Vec<String> = context
            .names()
            .into_iter()
            .filter(|name| !keys.iter().any(|key| key == name))
            .map(str::to_owned)
            .collect();
        let (target, envelope) = (quoted(&table.name), quoted(&table.envelope_column));
        let key = list(keys.iter().map(|key| quoted(key)));
        let all = list(keys.iter().chain(&further).map(|name| quoted(name)));
        let marks = list(keys.iter().map(|_| "?".to_owned()));
        let same: Vec<String> = keys.iter().map(|key| format!("{} = ?", quoted(key))).collect();
        let same = same.join(" AND ");
        let select = format!("SELECT {all}, {envelope} FROM {target}");
        Self {
            count: format!("SELECT count(*) FROM {target}"),
            scan_first: format!("{select} ORDER BY {key} LIMIT ?"),
            scan_after: format!("{select} WHERE ({key}) > ({marks}) ORDER BY {key} LIMIT ?"),
            replace: format!("UPDATE {target} SET {envelope} = ? WHERE {envelope} = ? AND {same}"),
            look: format!("SELECT 1 FROM {target} WHERE {same}"),
            keys,
            further,
        }
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Whether the primary key or a unique index over all rows has no other columns than these.
fn is_unique(connection: &Connection, table: &Table) -> Result<bool, SourceError> {
    let within = |columns: Vec<String>| {
        !columns.is_empty() && columns.iter().all(|column| table.key_columns.contains(column))
    };
    if within(strings(connection, PRIMARY, &table.name)?) {
        return Ok(true);
    }
    for index in strings(connection, INDEXES, &table.name)? {
        if within(strings(connection, INDEXED, &index)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn strings(connection: &Connection, query: &str, value: &str) -> Result<Vec<String>, SourceError> {
    let mut statement = connection.prepare(query).map_err(of_database)?;
    // A column of an index over an expression has no name.
    let rows = statement
        .query_map([value], |row| Ok(row.get::<_, Option<String>>(0)?.unwrap_or_default()))
        .map_err(of_database)?;
    rows.collect::<Result<_, _>>().map_err(of_database)
}

const COLUMNS: &str = "SELECT name FROM pragma_table_xinfo(?)";
const PRIMARY: &str = "SELECT name FROM pragma_table_info(?) WHERE pk > 0";
const INDEXES: &str = r#"SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0"#;
const INDEXED: &str = "SELECT name FROM pragma_index_info(?)";
