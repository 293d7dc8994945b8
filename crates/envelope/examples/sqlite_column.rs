//! A sealed column in an SQLite database.
//!
//!     sqlite_column SOCKET DATABASE KEY
//!
//! SOCKET is the data socket of a running `clavigerd`, KEY the path of a key such as `eu-west-1/users`. Each run
//! adds one user, whose `ssn` is sealed before it is stored, then opens the column of every user. The table is made
//! if it is missing.
//!
//! The encryption context names table, column and row, so that a value moved to another row does not open there;
//! the last line shows it. The numbers are of no person: none begins with 000.

#![expect(
    clippy::disallowed_methods,
    reason = "shows the opened value: it is what the example is for"
)]

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use claviger_client::{Client, ClientConfig};
use claviger_envelope::{ColumnContext, EnvelopeError, Envelopes, SealedColumn};
use claviger_kms::KeyPath;
use rusqlite::Connection;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [socket, database, key] = arguments.as_slice() else {
        return complain("usage: sqlite_column SOCKET DATABASE KEY");
    };
    match run(socket, database, key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(socket: &str, database: &str, key: &str) -> Outcome<()> {
    let key: KeyPath = key.parse()?;
    let envelopes = Envelopes::new(Arc::new(Client::new(ClientConfig::new(socket))));
    let database = Connection::open(database)?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, ssn BLOB NOT NULL) STRICT",
    )?;

    add_user(&database, &envelopes, &key).await?;
    let rows = read_rows(&database)?;
    let mut output = io::stdout().lock();
    for (id, stored) in &rows {
        let opened = envelopes.open_column(&place(*id)?, stored).await?;
        let opened = opened.with_bytes(|bytes| String::from_utf8(bytes.to_vec()))?;
        let version = stored.key_version().map_or(0, |(_, version)| version.number());
        let start: String =
            stored.as_bytes().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let length = stored.as_bytes().len();
        writeln!(
            output,
            "row {id} stored: x'{start}...' ({length} bytes, key version {version})  opened: {opened}"
        )?;
    }
    if let Some((id, stored)) = rows.first() {
        let elsewhere = place(id + 1)?;
        match envelopes.open_column(&elsewhere, stored).await {
            Err(EnvelopeError::Rejected) => {
                writeln!(output, "row {id}'s value put into row {}: refused", id + 1)?;
            }
            Err(error) => return Err(error.into()),
            Ok(_) => return Err("a value opened in a row that is not its own".into()),
        }
    }
    Ok(())
}

/// Seals the value for the row it goes into, then stores it.
async fn add_user(database: &Connection, envelopes: &Envelopes, key: &KeyPath) -> Outcome<()> {
    let id: i64 =
        database.query_row("SELECT coalesce(max(id), 0) + 1 FROM users", [], |row| row.get(0))?;
    let ssn = format!("000-00-{id:04}");
    let sealed = envelopes.seal_column(key, &place(id)?, ssn.as_bytes()).await?;
    database.execute("INSERT INTO users (id, ssn) VALUES (?1, ?2)", (id, sealed))?;
    Ok(())
}

fn read_rows(database: &Connection) -> rusqlite::Result<Vec<(i64, SealedColumn)>> {
    let mut statement = database.prepare("SELECT id, ssn FROM users ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// What the value is: not secret, and needed again to open it.
fn place(row: i64) -> Result<ColumnContext, EnvelopeError> {
    ColumnContext::new("users", "ssn", row)
}

fn complain(words: &str) -> ExitCode {
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "sqlite_column: {words}");
    ExitCode::FAILURE
}
