//! The application: it inserts, changes and deletes rows all the time, and knows what of that was acknowledged.

#![expect(clippy::disallowed_methods, reason = "compares what was opened with what was sealed")]

use std::{collections::BTreeMap, error::Error as _, io, path::PathBuf, sync::Arc, time::Duration};

use claviger_client::{Client, ClientConfig};
use claviger_envelope::{ColumnContext, EnvelopeError, Envelopes, SealedColumn};
use claviger_kms::KmsError;
use tokio::{sync::Mutex, time::sleep};
use tokio_postgres::NoTls;

use crate::{chance::Chance, stage::KEY};

/// Held by the writer during each write, by whoever compares the table with it meanwhile.
pub(crate) type SharedLedger = Arc<Mutex<Ledger>>;

/// What must stand in the table.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) rows: BTreeMap<i64, Row>,
    next: i64,
    writes: u64,
    pub(crate) written: Written,
}

/// What a row may hold: what was last acknowledged, and whatever was written since by a statement whose answer
/// was lost. `None` is no row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) possible: Vec<Option<String>>,
}

/// What the writer has met.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    /// The answer of the database was lost.
    pub(crate) in_doubt: u64,
    /// The service was away, or had no primary version.
    pub(crate) without_service: u64,
    /// The database was away.
    pub(crate) without_database: u64,
}

#[derive(Debug, Clone, Copy)]
enum Write {
    Insert(i64),
    Update(i64),
    Delete(i64),
}

/// Writes for ever.
pub(crate) async fn write(ledger: SharedLedger, database: String, socket: PathBuf, seed: u64) {
    let (envelopes, mut chance) = (envelopes(socket), Chance::new(seed));
    let mut connection: Option<tokio_postgres::Client> = None;
    loop {
        sleep(Duration::from_millis(3)).await;
        let mut ledger = ledger.lock().await;
        let client = match connection.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => match connect(&database).await {
                Ok(client) => client,
                Err(error) => {
                    assert!(passes(&error), "the writer cannot connect: {error:?}");
                    ledger.written.without_database += 1;
                    continue;
                }
            },
        };
        let write = ledger.choose(&mut chance);
        ledger.write(write, &client, &envelopes).await;
        connection = Some(client);
    }
}

impl Ledger {
    fn choose(&mut self, chance: &mut Chance) -> Write {
        let some = chance.below(self.rows.len().max(1) as u64) as usize;
        let row = self.rows.keys().nth(some).copied();
        match row {
            Some(id) if self.rows.len() > ROWS && chance.one_in(3) => Write::Delete(id),
            Some(id) if self.rows.len() >= ROWS && !chance.one_in(6) => Write::Update(id),
            _ => {
                self.next += 1;
                Write::Insert(self.next)
            }
        }
    }

    /// One statement, which is its own transaction.
    async fn write(
        &mut self,
        write: Write,
        client: &tokio_postgres::Client,
        envelopes: &Envelopes,
    ) {
        let (Write::Insert(id) | Write::Update(id) | Write::Delete(id)) = write;
        self.writes += 1;
        let value = match write {
            Write::Delete(_) => None,
            _ => Some(format!("row {id}, write {}", self.writes)),
        };
        let sealed = match &value {
            None => None,
            Some(value) => {
                match envelopes.seal_column(&key(), &place(id), value.as_bytes()).await {
                    Ok(sealed) => Some(sealed),
                    Err(EnvelopeError::Kms {
                        source: KmsError::Unavailable { .. } | KmsError::KeyUnusable { .. },
                    }) => {
                        self.written.without_service += 1;
                        return;
                    }
                    Err(error) => panic!("the writer cannot seal: {error}"),
                }
            }
        };
        let certain = self.rows.get(&id).is_none_or(|row| row.possible.len() == 1);
        let statement = match write {
            Write::Delete(_) => "DELETE FROM cards WHERE id = $1 AND $2::bytea IS NULL",
            Write::Update(_) if certain => "UPDATE cards SET number = $2 WHERE id = $1",
            _ => {
                "INSERT INTO cards (id, number) VALUES ($1, $2) \
                 ON CONFLICT (id) DO UPDATE SET number = excluded.number"
            }
        };
        match client.execute(statement, &[&id, &sealed]).await {
            Ok(rows) => {
                let there = rows == 1 || !certain;
                assert!(there, "row {id} is gone, and its last write was acknowledged");
                self.acknowledge(write, value);
            }
            Err(error) => {
                assert!(passes(&error), "{write:?}: {error:?}");
                self.written.in_doubt += 1;
                let none = || Row { possible: vec![None] };
                self.rows.entry(id).or_insert_with(none).possible.push(value);
            }
        }
    }

    fn acknowledge(&mut self, write: Write, value: Option<String>) {
        let (id, count) = match write {
            Write::Insert(id) => (id, &mut self.written.inserted),
            Write::Update(id) => (id, &mut self.written.updated),
            Write::Delete(id) => (id, &mut self.written.deleted),
        };
        *count += 1;
        match value {
            Some(_) => drop(self.rows.insert(id, Row { possible: vec![value] })),
            None => drop(self.rows.remove(&id)),
        }
    }
}

impl Written {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

pub(crate) fn envelopes(socket: PathBuf) -> Envelopes {
    let config = ClientConfig::new(socket).with_timeout(Duration::from_secs(5));
    Envelopes::new(Arc::new(Client::new(config)))
}

pub(crate) async fn connect(
    database: &str,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// What the table holds of a row, opened.
pub(crate) async fn opened(
    envelopes: &Envelopes,
    id: i64,
    sealed: &SealedColumn,
) -> Result<String, EnvelopeError> {
    let opened = envelopes.open_column(&place(id), sealed).await?;
    Ok(opened.with_bytes(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// Whether the server was killed or the connection cut: then nobody knows whether a statement was carried out.
pub(crate) fn passes(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => ["08", "57"].iter().any(|class| code.code().starts_with(class)),
        None => {
            let source = error.source();
            error.is_closed() || source.is_some_and(|source| source.is::<io::Error>())
        }
    }
}

fn key() -> claviger_kms::KeyPath {
    KEY.parse().unwrap()
}

fn place(id: i64) -> ColumnContext {
    ColumnContext::new("cards", "number", id).unwrap()
}

/// About how many there are.
const ROWS: usize = 60;
