//! Write gates: after a rotation, no envelope under a closed version is stored any more.
//!
//! A table's gate is a trigger that acts only when the envelope, or the key its row stands under, changed, and
//! refuses what names the closed version. It looks for the bytes that a wrapped key of that version begins with, so
//! that every wrap of an envelope counts, and a wrapped key that stands for itself. Files and objects have none:
//! for those the campaign file declares how long a writer holds an envelope (`max-hold-seconds`).
//!
//! Invariant: a gate counts as closed only if it stands as this release makes it, byte for byte, and in force.

use claviger_kms::{GateFacts, KeyId, KeyVersion, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    SourceError, SourceKind, SourceSettings,
    campaign_file::Table,
    sources::{PostgresGate, SqliteGate},
};

/// What a gate closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closes {
    /// The key.
    pub key: KeyId,
    /// The version.
    pub version: KeyVersion,
}

/// How a gate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "gate")]
#[non_exhaustive]
pub enum GateState {
    /// There is none.
    Open,
    /// In place and in force.
    Closed {
        /// When it was closed.
        closed_at: Timestamp,
        /// SHA-256 of its definition, in hexadecimal.
        definition: String,
    },
    /// There is one, and it cannot be relied on.
    Altered {
        /// Why.
        reason: String,
    },
    /// A source of this kind has no gate.
    Unsupported,
}

/// The gate of one source, which need not be there yet.
#[derive(Debug)]
pub struct Gate(Kind);

#[derive(Debug)]
enum Kind {
    Postgres(Box<PostgresGate>),
    Sqlite(SqliteGate),
    None,
}

impl Gate {
    /// The gate of a source. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`SourceError::Unusable`] when the connection string is missing or the table cannot have a gate.
    pub fn of(settings: &SourceSettings, closes: Closes) -> Result<Self, SourceError> {
        Ok(Self(match &settings.kind {
            SourceKind::Postgres { connection, tls, table } => {
                Kind::Postgres(Box::new(PostgresGate::of(connection, tls, table, closes)?))
            }
            SourceKind::Sqlite { path, table } => Kind::Sqlite(SqliteGate::of(path, table, closes)),
            _ => Kind::None,
        }))
    }

    /// The SQL that closes it; none where a source has no gate.
    #[must_use]
    pub fn sql(&self) -> Option<String> {
        match &self.0 {
            Kind::Postgres(gate) => Some(gate.install()),
            Kind::Sqlite(gate) => Some(gate.install(Timestamp::now())),
            Kind::None => None,
        }
    }

    /// How it stands.
    ///
    /// # Errors
    /// When the database is out of reach or refuses.
    pub async fn state(&self) -> Result<GateState, SourceError> {
        match &self.0 {
            Kind::Postgres(gate) => gate.state().await,
            Kind::Sqlite(gate) => gate.state().await,
            Kind::None => Ok(GateState::Unsupported),
        }
    }

    /// Closes it, unless it is closed; how it stands then.
    ///
    /// # Errors
    /// As [`state`](Self::state); [`SourceError::Unusable`] for one that was altered.
    pub async fn close(&self) -> Result<GateState, SourceError> {
        match self.state().await? {
            GateState::Open => {}
            GateState::Altered { reason } => {
                return Err(SourceError::unusable(format!(
                    "{reason}; remove the gate first (--remove), then close it"
                )));
            }
            closed => return Ok(closed),
        }
        match &self.0 {
            Kind::Postgres(gate) => gate.close().await?,
            Kind::Sqlite(gate) => gate.close().await?,
            Kind::None => {}
        }
        self.state().await
    }

    /// Removes it, if it is there.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn open(&self) -> Result<GateState, SourceError> {
        match &self.0 {
            Kind::Postgres(gate) => gate.open().await?,
            Kind::Sqlite(gate) => gate.open().await?,
            Kind::None => {}
        }
        self.state().await
    }

    /// The facts of a closed gate once every transaction older than it has ended; none while one is running, or
    /// while it is not closed.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn settled(&self) -> Result<Option<GateFacts>, SourceError> {
        let GateState::Closed { closed_at, definition } = self.state().await? else {
            return Ok(None);
        };
        let settled = match &self.0 {
            Kind::Postgres(gate) => gate.is_settled().await?,
            Kind::Sqlite(gate) => gate.is_settled().await?,
            Kind::None => false,
        };
        let settled_at = Timestamp::now();
        Ok(settled.then_some(GateFacts { closed_at, settled_at, definition }))
    }
}

impl Closes {
    /// What a wrapped key of this version begins with, in hexadecimal: a data key, and a value.
    pub(crate) fn patterns(&self) -> [String; 2] {
        [1, 2].map(|kind| {
            format!("01{kind:02x}{}{:08x}", hex::encode(self.key.as_bytes()), self.version.number())
        })
    }

    /// The gate's name on this table: 45 characters at most. It sorts last, so that no other trigger of the table
    /// changes the row after it.
    pub(crate) fn name(&self, table: &Table) -> String {
        let id = hex::encode(self.key.as_bytes());
        let place = sha256(&format!("{}\0{}", table.name, table.envelope_column));
        let (id, place) = (id.get(..8).unwrap_or_default(), place.get(..8).unwrap_or_default());
        format!("zz_claviger_gate_{id}_{}_{place}", self.version)
    }

    /// What a writer is told.
    pub(crate) fn refusal(&self) -> String {
        format!(
            "Claviger: version {} of the key {} is closed for writing; seal or rewrap under the primary version",
            self.version, self.key
        )
    }
}

pub(crate) fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
