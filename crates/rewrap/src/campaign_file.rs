//! The campaign file. Every key is commented in `config/campaign.toml`, which a test parses.
//!
//! Invariants: an unknown or misplaced key is refused with its name and line; an error never quotes a value of
//! the file, which might be a password in the wrong place; a connection string stands in a variable or a
//! file of its own, named here.

mod bucket;
mod raw;
mod target;

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use claviger_kms::{CampaignMode, CampaignName, KeyPath, MAX_BATCH};

use crate::{CampaignError, Patience, Result, Template};
pub(crate) use bucket::{Bucket, Credentials, is_loopback};
use raw::RawFile;
pub use target::{TargetReach, TargetSettings};

/// What to move, where, and how fast.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CampaignFile {
    /// The campaign's name.
    pub name: CampaignName,
    /// The key whose envelopes move.
    pub key: KeyPath,
    /// What is done with each.
    pub mode: CampaignMode,
    /// Envelopes scanned, moved and written at a time; 1 to 256.
    pub batch: usize,
    /// Batches under way at once; 1 to 64.
    pub concurrency: usize,
    /// Most envelopes moved in a second.
    pub rate: Option<u32>,
    /// Most passes over a source; 1 to 100.
    pub passes: u32,
    /// How what may pass is repeated.
    pub patience: Patience,
    /// Another key service to move to, in place of a newer version.
    pub target: Option<TargetSettings>,
    /// Where the envelopes are.
    pub sources: Vec<SourceSettings>,
}

/// One source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceSettings {
    /// Its name, unique in the file.
    pub name: CampaignName,
    /// What each envelope is bound to.
    pub context: Template,
    /// The longest time a writer holds an envelope before it stands here: what evidence rests on where there is
    /// no write gate.
    pub max_hold: Option<Duration>,
    /// Of which kind it is.
    pub kind: SourceKind,
}

/// A kind of source and what it needs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SourceKind {
    /// A table of PostgreSQL.
    Postgres {
        /// Where the connection string is.
        connection: Connection,
        /// Whether connections use TLS.
        tls: PostgresTls,
        /// The table.
        table: Table,
    },
    /// A table of SQLite.
    Sqlite {
        /// The database.
        path: PathBuf,
        /// The table.
        table: Table,
    },
    /// Sealed files below a directory.
    Files {
        /// The directory.
        root: PathBuf,
        /// Which of its files.
        include: Vec<String>,
    },
    /// Objects in a store that speaks S3.
    Objects(Bucket),
}

/// A table, its unique key and its envelope.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Table {
    /// The table; in PostgreSQL with its schema before a dot where it has one.
    pub name: String,
    /// The columns of its primary key, or of another unique key without NULL.
    pub key_columns: Vec<String>,
    /// The column with the envelopes: `bytea`, or a BLOB.
    pub envelope_column: String,
}

/// Whether connections to PostgreSQL use TLS.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PostgresTls {
    /// As the file says; without a word they do when the server is another machine or the connection string
    /// says `sslmode=require`.
    pub required: Option<bool>,
    /// The CAs to believe about the server, PEM.
    pub ca_file: Option<PathBuf>,
}

/// Where a connection string is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Connection {
    /// In this variable of the environment.
    Variable(String),
    /// In this file.
    File(PathBuf),
}

impl CampaignFile {
    /// Reads a campaign file; paths in it are relative to its folder. Blocking.
    ///
    /// # Errors
    /// [`CampaignError::File`], naming the key and the line.
    pub fn read(path: &Path) -> Result<Self> {
        let error = |place: String, reason: String| CampaignError::File {
            path: path.to_owned(),
            place,
            reason,
        };
        let text = read_text(path).map_err(|reason| error(String::new(), reason))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base).map_err(|(place, reason)| error(place, reason))
    }

    /// The same from text.
    ///
    /// # Errors
    /// `(":line:column", reason)`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, (String, String)> {
        let raw: RawFile = toml::from_str(text)
            .map_err(|error| (place(text, error.span()), raw::reason(text, &error)))?;
        let whole = |reason| (String::new(), reason);
        within("batch", raw.batch, 1, MAX_BATCH).map_err(whole)?;
        within("concurrency", raw.concurrency, 1, 64).map_err(whole)?;
        within("passes", raw.passes, 1, 100).map_err(whole)?;
        within("give-up-seconds", raw.give_up_seconds, 1, 86_400).map_err(whole)?;
        within("backoff-milliseconds", raw.backoff_milliseconds, 1, 60_000).map_err(whole)?;
        if raw.rate == Some(0) {
            return Err(whole("rate is 0; leave it out for no limit".to_owned()));
        }
        let mut sources: Vec<SourceSettings> = Vec::new();
        for source in raw.source {
            let at = place(text, Some(source.span()));
            let source = source.into_inner().check(base).map_err(|reason| (at.clone(), reason))?;
            if sources.iter().any(|other| other.name == source.name) {
                return Err((at, format!("two sources have the name {}", source.name)));
            }
            sources.push(source);
        }
        if sources.is_empty() || sources.len() > claviger_kms::ReportCampaign::MAX_SOURCES {
            return Err(whole(
                "a campaign has 1 to 64 sources, each a table [[source]]".to_owned(),
            ));
        }
        let target = raw.target.map(|target| {
            let at = place(text, Some(target.span()));
            target.into_inner().check(raw.mode, base).map_err(|reason| (at, reason))
        });
        Ok(Self {
            target: target.transpose()?,
            name: raw.name,
            key: raw.key,
            mode: raw.mode,
            batch: raw.batch,
            concurrency: raw.concurrency,
            rate: raw.rate,
            passes: raw.passes,
            patience: Patience::new(raw.backoff_milliseconds, raw.give_up_seconds),
            sources,
        })
    }
}

impl Connection {
    /// The connection string. Blocking.
    ///
    /// # Errors
    /// Which variable or file is missing.
    pub fn read(&self) -> Result<String, String> {
        match self {
            Self::Variable(name) => std::env::var(name).map_err(|_| {
                format!("the variable {name} is not set; it holds the connection string")
            }),
            Self::File(path) => fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .map_err(|error| format!("reading {} failed: {error}", path.display())),
        }
    }
}

/// A regular file of at most [`MAX_TEXT`] bytes: a device or a pipe may never end.
fn read_text(path: &Path) -> Result<String, String> {
    let told = |error: io::Error| error.to_string();
    let found = fs::metadata(path).map_err(told)?;
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if found.len() > MAX_TEXT {
        return Err(format!("has {} bytes; a campaign file has at most {MAX_TEXT}", found.len()));
    }
    fs::read_to_string(path).map_err(told)
}

fn within<N: PartialOrd + std::fmt::Display>(
    name: &str,
    value: N,
    least: N,
    most: N,
) -> Result<(), String> {
    if value < least || value > most {
        return Err(format!("{name} is {value}; {least} to {most} are allowed"));
    }
    Ok(())
}

/// Line and column of a span.
fn place(text: &str, span: Option<Range<usize>>) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else { return String::new() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(1, |last| last.chars().count() + 1);
    format!(":{line}:{column}")
}

/// Most bytes of a campaign file.
const MAX_TEXT: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
