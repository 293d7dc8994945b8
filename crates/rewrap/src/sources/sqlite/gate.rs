//! A gate in SQLite: two triggers, for inserts and for updates.
//!
//! SQLite keeps a trigger's text as it was written, so the gate is compared as a whole; the time it was closed
//! stands in it. One writer at a time: whoever may begin to write has seen the end of every older transaction.

use std::path::{Path, PathBuf};

use claviger_kms::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::{super::blocking, BUSY, is_busy, of_database};
use crate::{
    SourceError,
    campaign_file::Table,
    gate::{Closes, GateState, sha256},
    sources::quoted,
};

/// The gate of one table.
#[derive(Debug, Clone)]
pub(crate) struct SqliteGate {
    path: PathBuf,
    table: Table,
    closes: Closes,
}

impl SqliteGate {
    pub(crate) fn of(path: &Path, table: &Table, closes: Closes) -> Self {
        Self { path: path.to_owned(), table: table.clone(), closes }
    }

    /// The statements that close it, in one transaction.
    pub(crate) fn install(&self, closed_at: Timestamp) -> String {
        let [(_, insert), (_, update)] = self.triggers(&closed_at.to_string());
        format!("BEGIN IMMEDIATE;\n{insert};\n{update};\nCOMMIT;\n")
    }

    pub(crate) async fn close(&self) -> Result<(), SourceError> {
        let statements = self.install(Timestamp::now());
        self.with(move |_, connection| connection.execute_batch(&statements)).await
    }

    pub(crate) async fn open(&self) -> Result<(), SourceError> {
        self.with(|gate, connection| {
            let [(insert, _), (update, _)] = gate.triggers("");
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; DROP TRIGGER IF EXISTS {insert}; DROP TRIGGER IF EXISTS {update}; COMMIT;"
            ))
        })
        .await
    }

    pub(crate) async fn state(&self) -> Result<GateState, SourceError> {
        self.with(|gate, connection| {
            let mut found = Vec::new();
            for (name, _) in gate.triggers("") {
                let query = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?";
                let sql = connection.query_row(query, [name], |row| row.get::<_, String>(0));
                found.push(sql.optional()?);
            }
            Ok(gate.judge(&found))
        })
        .await
    }

    /// Whether every transaction that wrote before has ended.
    pub(crate) async fn is_settled(&self) -> Result<bool, SourceError> {
        self.with(|_, connection| {
            match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
                Ok(write) => write.rollback().map(|()| true),
                Err(error) if is_busy(&error) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    fn judge(&self, found: &[Option<String>]) -> GateState {
        let [insert, update] = found else { return GateState::Open };
        let (Some(insert), Some(update)) = (insert, update) else {
            return if insert.is_none() && update.is_none() {
                GateState::Open
            } else {
                GateState::Altered {
                    reason: "one of the gate's two triggers is missing".to_owned(),
                }
            };
        };
        let written = insert.split(CLOSED).nth(1).and_then(|rest| rest.split(' ').next());
        let told = written.and_then(|text| Some((text, text.parse::<Timestamp>().ok()?)));
        let altered = || GateState::Altered {
            reason: "the gate's triggers were altered, or made for other columns".to_owned(),
        };
        let Some((text, closed_at)) = told else { return altered() };
        let [(_, first), (_, second)] = self.triggers(text);
        if (insert, update) != (&first, &second) {
            return altered();
        }
        let [(_, first), (_, second)] = self.triggers("");
        GateState::Closed { closed_at, definition: sha256(&format!("{first}\0{second}")) }
    }

    /// Names and texts, closed at a time.
    fn triggers(&self, closed_at: &str) -> [(String, String); 2] {
        let (name, table) = (self.closes.name(&self.table), quoted(&self.table.name));
        let envelope = quoted(&self.table.envelope_column);
        let names = self.closes.patterns().map(|pattern| {
            format!("instr(substr(CAST(NEW.{envelope} AS BLOB), 1, {HEADER}), x'{pattern}') > 0")
        });
        let names = names.join(" OR ");
        let changed: Vec<String> = std::iter::once(&self.table.envelope_column)
            .chain(&self.table.key_columns)
            .map(|column| quoted(column))
            .map(|column| format!("NEW.{column} IS NOT OLD.{column}"))
            .collect();
        let changed = changed.join(" OR ");
        let act = format!(
            "BEGIN /* {CLOSED}{closed_at} */ SELECT RAISE(ABORT, '{}'); END",
            self.closes.refusal()
        );
        let (insert, update) = (format!("{name}_insert"), format!("{name}_update"));
        let first = format!("CREATE TRIGGER {insert} BEFORE INSERT ON {table} WHEN {names} {act}");
        let second = format!(
            "CREATE TRIGGER {update} BEFORE UPDATE ON {table} WHEN ({changed}) AND ({names}) {act}"
        );
        [(insert, first), (update, second)]
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, SourceError> {
        let gate = self.clone();
        blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection =
                Connection::open_with_flags(&gate.path, flags).map_err(|error| {
                    SourceError::unusable(format!("{}: {error}", gate.path.display()))
                })?;
            connection.busy_timeout(BUSY).map_err(of_database)?;
            work(&gate, &mut connection).map_err(of_database)
        })
        .await
    }
}

/// Most bytes of a header: nothing after them is a wrap.
const HEADER: usize = claviger_envelope::Header::MAX_LENGTH;
const CLOSED: &str = "closed at ";
