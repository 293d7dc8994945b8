//! A table of SQLite.
//!
//! Invariants: a scan is one short read, a batch of replacements one short write (`BEGIN IMMEDIATE`); a database
//! that somebody else holds for longer than the busy timeout makes the batch a conflict; a row is written
//! only where the old bytes stand.

mod gate;
mod shape;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, Row, TransactionBehavior, params_from_iter,
    types::{Value, ValueRef},
};

use super::blocking;
use crate::{
    Batch, Change, Content, Item, New, Place, Replaced, Source, SourceError, Template,
    campaign_file::Table,
};
pub(crate) use gate::SqliteGate;
use shape::Shape;

/// The envelopes of one column.
#[derive(Debug)]
pub struct SqliteTable {
    name: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Mutex<Connection>,
    table: String,
    shape: Shape,
    context: Template,
}

impl SqliteTable {
    /// Opens the database, which must exist, and looks whether the columns are there and the key is unique and
    /// not NULL.
    ///
    /// # Errors
    /// [`SourceError::Unusable`] naming what is missing; [`SourceError::Unreachable`].
    pub async fn open(
        name: &str,
        path: &Path,
        table: &Table,
        context: Template,
    ) -> Result<Self, SourceError> {
        let (path, table) = (path.to_owned(), table.clone());
        let inner = blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)
                .map_err(|error| SourceError::unusable(format!("{}: {error}", path.display())))?;
            connection.busy_timeout(BUSY).map_err(of_database)?;
            let shape = Shape::read(&connection, &table, &context)?;
            Ok(Inner { connection: Mutex::new(connection), table: table.name, shape, context })
        });
        Ok(Self { name: name.to_owned(), inner: Arc::new(inner.await?) })
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Connection) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = self.inner.clone();
        blocking(move || {
            let mut connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner, &mut connection)
        })
        .await
    }
}

#[async_trait]
impl Source for SqliteTable {
    fn name(&self) -> &str {
        &self.name
    }

    async fn estimate(&self) -> Result<Option<u64>, SourceError> {
        self.with(|inner, connection| {
            let count: i64 = connection
                .query_row(&inner.shape.count, [], |row| row.get(0))
                .map_err(of_database)?;
            Ok(u64::try_from(count).ok())
        })
        .await
    }

    async fn scan(&self, after: Option<&Place>, most: usize) -> Result<Batch, SourceError> {
        let keys = after.map(keys_at).transpose()?;
        self.with(move |inner, connection| {
            let query =
                if keys.is_some() { &inner.shape.scan_after } else { &inner.shape.scan_first };
            let limit = Value::Integer(i64::try_from(most).unwrap_or(i64::MAX));
            let values = keys.into_iter().flatten().chain([limit]);
            let mut statement = connection.prepare_cached(query).map_err(of_database)?;
            let rows = statement
                .query_map(params_from_iter(values), |row| inner.item(row))
                .map_err(of_database)?;
            let items = rows.collect::<Result<Vec<_>, _>>().map_err(of_database)?;
            let next = items.last().filter(|_| items.len() == most).map(|item| item.place.clone());
            Ok(Batch { items, next })
        })
        .await
    }

    async fn replace(&self, changes: &[Change]) -> Result<Vec<Replaced>, SourceError> {
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            let (Content::Bytes(old), New::Bytes(new)) = (&change.item.content, &change.new) else {
                return Err(SourceError::unusable("a row holds a record's envelope"));
            };
            rows.push((keys_at(&change.item.place)?, old.clone(), new.clone()));
        }
        self.with(move |inner, connection| {
            let count = rows.len();
            match inner.replace(connection, rows) {
                Err(error) if is_busy(&error) => Ok(vec![Replaced::Conflict; count]),
                done => done.map_err(of_database),
            }
        })
        .await
    }
}

type Rows = Vec<(Vec<Value>, Vec<u8>, Vec<u8>)>;

impl Inner {
    fn replace(
        &self,
        connection: &mut Connection,
        rows: Rows,
    ) -> Result<Vec<Replaced>, rusqlite::Error> {
        let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut outcomes = Vec::with_capacity(rows.len());
        {
            let mut update = write.prepare_cached(&self.shape.replace)?;
            let mut look = write.prepare_cached(&self.shape.look)?;
            for (keys, old, new) in rows {
                let values = [Value::Blob(new), Value::Blob(old)].into_iter().chain(keys.clone());
                outcomes.push(if update.execute(params_from_iter(values))? > 0 {
                    Replaced::Replaced
                } else if look.exists(params_from_iter(keys))? {
                    Replaced::Conflict
                } else {
                    Replaced::Gone
                });
            }
        }
        write.commit()?;
        Ok(outcomes)
    }

    fn item(&self, row: &Row<'_>) -> Result<Item, rusqlite::Error> {
        let columns = self.shape.columns();
        let (mut keys, mut texts) = (Vec::new(), Vec::new());
        for (at, column) in columns.iter().enumerate() {
            let value: Value = row.get(at)?;
            texts.push((*column, text_of(&value)));
            if at < self.shape.keys.len() {
                keys.push(value);
            }
        }
        let value = |name: &str| {
            texts.iter().find(|(column, _)| *column == name).and_then(|(_, text)| text.as_deref())
        };
        let told = self
            .shape
            .keys
            .iter()
            .map(|key| format!(" {key}={}", value(key).unwrap_or_default()))
            .collect::<String>();
        let content = match row.get_ref(columns.len())? {
            ValueRef::Null => Content::Empty,
            ValueRef::Blob(bytes) => Content::Bytes(bytes.to_vec()),
            _ => Content::Unreadable("it is not a BLOB".to_owned()),
        };
        Ok(Item {
            locator: format!("{}{told}", self.table),
            place: place_of(&keys),
            content,
            context: self.context.fill(value),
        })
    }
}

/// A value as text, as it is bound into a context.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Real(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::Blob(bytes) => Some(hex::encode(bytes)),
    }
}

/// Key values with their types: `[{"i":17},{"t":"a"}]`.
fn place_of(keys: &[Value]) -> Place {
    let part = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => serde_json::json!({ "i": number }),
        Value::Real(number) => serde_json::json!({ "r": number.to_bits() }),
        Value::Text(text) => serde_json::json!({ "t": text }),
        Value::Blob(bytes) => serde_json::json!({ "b": hex::encode(bytes) }),
    };
    Place(serde_json::Value::Array(keys.iter().map(part).collect()).to_string())
}

fn keys_at(place: &Place) -> Result<Vec<Value>, SourceError> {
    let part = |part: &serde_json::Value| -> Option<Value> {
        let (kind, value) = part.as_object()?.iter().next()?;
        Some(match kind.as_str() {
            "i" => Value::Integer(value.as_i64()?),
            "r" => Value::Real(f64::from_bits(value.as_u64()?)),
            "t" => Value::Text(value.as_str()?.to_owned()),
            "b" => Value::Blob(hex::decode(value.as_str()?).ok()?),
            _ => return None,
        })
    };
    let parts: Vec<serde_json::Value> = serde_json::from_str(&place.0).unwrap_or_default();
    let keys: Option<Vec<Value>> = parts.iter().map(part).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        SourceError::unusable("the cursor is of another source; begin a new campaign")
    })
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn of_database(error: rusqlite::Error) -> SourceError {
    let reason = format!("SQLite says: {error}");
    if is_busy(&error) { SourceError::unreachable(reason) } else { SourceError::unusable(reason) }
}

/// How long a batch waits for whoever else writes.
const BUSY: Duration = Duration::from_secs(5);
