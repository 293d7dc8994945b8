//! A table of PostgreSQL.
//!
//! Invariants: each scan and each replacement is one short statement, so nothing holds a snapshot or a lock between
//! batches; a row that somebody has locked is skipped, never waited for; a row is written only where the old
//! bytes stand; what leaves this machine does so with TLS, unless the campaign file says otherwise.

mod connections;
mod gate;
mod shape;
mod tls;

use std::error::Error as _;

use async_trait::async_trait;
use claviger_kms::EncryptionContext;
use tokio_postgres::{Row, types::ToSql};

use crate::{
    Batch, Change, Content, Item, New, Place, Replaced, Source, SourceError, Template,
    campaign_file::{PostgresTls, Table},
};
use connections::Connections;
pub(crate) use gate::PostgresGate;
use shape::Shape;

/// The envelopes of one column.
#[derive(Debug)]
pub struct PostgresTable {
    name: String,
    table: String,
    connections: Connections,
    shape: Shape,
    context: Template,
}

impl PostgresTable {
    /// Connects, and looks whether the columns are there and the key is unique and not NULL.
    ///
    /// # Errors
    /// [`SourceError::Unusable`] naming what is missing; [`SourceError::Unreachable`].
    pub async fn open(
        name: &str,
        connection: &str,
        tls: &PostgresTls,
        table: &Table,
        context: Template,
        concurrency: usize,
    ) -> Result<Self, SourceError> {
        let connections = Connections::new(connection, tls, concurrency)?;
        let client = connections.take().await?;
        let shape = Shape::read(&client, table, &context).await?;
        connections.give_back(client);
        Ok(Self { name: name.to_owned(), table: table.name.clone(), connections, shape, context })
    }

    fn item(&self, row: &Row) -> Result<Item, SourceError> {
        let texts = self.shape.texts();
        let mut values = Vec::with_capacity(texts.len());
        for column in 0..texts.len() {
            values.push(row.try_get::<_, Option<String>>(column).map_err(of_database)?);
        }
        let envelope: Option<Vec<u8>> = row.try_get(texts.len()).map_err(of_database)?;
        let value = |name: &str| {
            let at = texts.iter().position(|text| *text == name)?;
            values.get(at)?.as_deref()
        };
        let keys: Vec<&str> =
            self.shape.keys.iter().map(|key| value(&key.name).unwrap_or_default()).collect();
        let told =
            self.shape.keys.iter().zip(&keys).map(|(key, value)| format!(" {}={value}", key.name));
        Ok(Item {
            locator: format!("{}{}", self.table, told.collect::<String>()),
            place: Place(serde_json::json!(keys).to_string()),
            content: envelope.map_or(Content::Empty, Content::Bytes),
            context: self.bound_to(value),
        })
    }

    fn bound_to<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<EncryptionContext, String> {
        self.context.fill(value)
    }

    fn keys_at(&self, place: &Place) -> Result<Vec<String>, SourceError> {
        let keys: Vec<String> = serde_json::from_str(&place.0).unwrap_or_default();
        if keys.len() != self.shape.keys.len() {
            return Err(SourceError::unusable(
                "the cursor is of another key; begin a new campaign",
            ));
        }
        Ok(keys)
    }
}

#[async_trait]
impl Source for PostgresTable {
    fn name(&self) -> &str {
        &self.name
    }

    async fn estimate(&self) -> Result<Option<u64>, SourceError> {
        let client = self.connections.take().await?;
        let row = client.query_one(&self.shape.estimate, &[]).await.map_err(of_database)?;
        let rows: i64 = row.try_get(0).map_err(of_database)?;
        self.connections.give_back(client);
        // -1 where the table was never analysed.
        Ok(u64::try_from(rows).ok())
    }

    async fn scan(&self, after: Option<&Place>, most: usize) -> Result<Batch, SourceError> {
        let client = self.connections.take().await?;
        let keys = after.map(|place| self.keys_at(place)).transpose()?.unwrap_or_default();
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        values.extend(keys.iter().map(|key| key as &(dyn ToSql + Sync)));
        let query = if after.is_some() { &self.shape.scan_after } else { &self.shape.scan_first };
        let statement = client.prepare(query).await.map_err(of_database)?;
        let rows = client.query(&statement, &values).await.map_err(of_database)?;
        self.connections.give_back(client);
        let items = rows.iter().map(|row| self.item(row)).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| items.len() == most).map(|item| item.place.clone());
        Ok(Batch { items, next })
    }

    async fn replace(&self, changes: &[Change]) -> Result<Vec<Replaced>, SourceError> {
        let mut keys = vec![Vec::with_capacity(changes.len()); self.shape.keys.len()];
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for change in changes {
            let (Content::Bytes(before), New::Bytes(after)) = (&change.item.content, &change.new)
            else {
                return Err(SourceError::unusable("a row holds a record's envelope"));
            };
            for (column, key) in keys.iter_mut().zip(self.keys_at(&change.item.place)?) {
                column.push(key);
            }
            old.push(before.as_slice());
            new.push(after.as_slice());
        }
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&old, &new];
        values.extend(keys.iter().map(|column| column as &(dyn ToSql + Sync)));
        let client = self.connections.take().await?;
        let replaced = self.numbers(&client, &self.shape.replace, &values).await?;
        let mut outcomes = vec![Replaced::Gone; changes.len()];
        set(&mut outcomes, &replaced, Replaced::Replaced);
        if replaced.len() < changes.len() {
            let same = self.numbers(&client, &self.shape.same, &values).await?;
            let there = self.numbers(&client, &self.shape.there, &values).await?;
            let left = |numbers: Vec<usize>| -> Vec<usize> {
                numbers.into_iter().filter(|number| !replaced.contains(number)).collect()
            };
            set(&mut outcomes, &left(there), Replaced::Conflict);
            // Written by an earlier try whose answer was lost.
            set(&mut outcomes, &left(same), Replaced::Replaced);
        }
        self.connections.give_back(client);
        Ok(outcomes)
    }
}

impl PostgresTable {
    /// The numbers a statement gives, from 0; none where it ran into a lock.
    async fn numbers(
        &self,
        client: &tokio_postgres::Client,
        statement: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<usize>, SourceError> {
        let prepared = client.prepare(statement).await.map_err(of_database)?;
        let rows = match client.query(&prepared, values).await {
            Ok(rows) => rows,
            Err(error) if is_busy(&error) => return Ok(Vec::new()),
            Err(error) => return Err(of_database(error)),
        };
        let number = |row: &Row| {
            let number: i64 = row.try_get(0).map_err(of_database)?;
            Ok(usize::try_from(number).unwrap_or(1).saturating_sub(1))
        };
        rows.iter().map(number).collect()
    }
}

fn set(outcomes: &mut [Replaced], numbers: &[usize], to: Replaced) {
    for number in numbers {
        if let Some(outcome) = outcomes.get_mut(*number) {
            *outcome = to;
        }
    }
}

/// A lock not available, a deadlock, a serialisation failure, or a statement that waited too long.
fn is_busy(error: &tokio_postgres::Error) -> bool {
    let busy = ["55P03", "40P01", "40001", "57014"];
    error.code().is_some_and(|code| busy.contains(&code.code()))
}

/// Without a code it is the connection's; class 08, 53 and 57 pass too.
fn of_database(error: tokio_postgres::Error) -> SourceError {
    match error.as_db_error() {
        Some(told) => {
            let code = told.code().code();
            let reason = format!("PostgreSQL says: {} ({code})", told.message());
            let passes = ["08", "53", "57"].iter().any(|class| code.starts_with(class));
            if passes || is_busy(&error) {
                SourceError::unreachable(reason)
            } else {
                SourceError::unusable(reason)
            }
        }
        None => match (tls::distrust(&error), error.source()) {
            (Some(reason), _) => SourceError::unusable(format!("PostgreSQL: {reason}")),
            (None, Some(cause)) => {
                SourceError::unreachable(format!("PostgreSQL: {error}: {cause}"))
            }
            (None, None) => SourceError::unreachable(format!("PostgreSQL: {error}")),
        },
    }
}
