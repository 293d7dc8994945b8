//! The file as TOML has it, and what each kind of source needs.
//!
//! All keys of all kinds stand in one table here, so that a typo is told with its own line; which keys belong
//! to which kind is checked afterwards.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use claviger_kms::{CampaignMode, CampaignName, KeyPath};
use serde::Deserialize;
use toml::Spanned;

use super::{
    Bucket, Connection, Credentials, PostgresTls, SourceKind, SourceSettings, Table,
    target::RawTarget,
};
use crate::Template;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFile {
    pub(super) name: CampaignName,
    pub(super) key: KeyPath,
    pub(super) mode: CampaignMode,
    #[serde(default = "batch")]
    pub(super) batch: usize,
    #[serde(default = "concurrency")]
    pub(super) concurrency: usize,
    pub(super) rate: Option<u32>,
    #[serde(default = "passes")]
    pub(super) passes: u32,
    #[serde(default = "give_up_seconds")]
    pub(super) give_up_seconds: u64,
    #[serde(default = "backoff_milliseconds")]
    pub(super) backoff_milliseconds: u64,
    pub(super) target: Option<Spanned<RawTarget>>,
    pub(super) source: Vec<Spanned<RawSource>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSource {
    name: CampaignName,
    kind: RawKind,
    context: BTreeMap<String, String>,
    connection_env: Option<String>,
    connection_file: Option<PathBuf>,
    tls: Option<RawTls>,
    path: Option<PathBuf>,
    table: Option<String>,
    key_columns: Option<Vec<String>>,
    envelope_column: Option<String>,
    root: Option<PathBuf>,
    include: Option<Vec<String>>,
    endpoint: Option<String>,
    bucket: Option<String>,
    prefix: Option<String>,
    region: Option<String>,
    credentials_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    allow_http: Option<bool>,
    max_object_bytes: Option<u64>,
    max_hold_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    Postgres,
    Sqlite,
    Files,
    Objects,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawTls {
    Required,
    Off,
}

impl RawSource {
    /// The source, if it has what its kind needs and nothing of another kind.
    pub(super) fn check(self, base: &Path) -> Result<SourceSettings, String> {
        let name = self.name.clone();
        let told = |reason: String| format!("source {name}: {reason}");
        self.refuse_others().map_err(told)?;
        let context = Template::parse(&self.context).map_err(told)?;
        let max_hold = self.max_hold().map_err(told)?;
        let kind = self.into_kind(base).map_err(told)?;
        Ok(SourceSettings { name, context, max_hold, kind })
    }

    fn max_hold(&self) -> Result<Option<Duration>, String> {
        match self.max_hold_seconds {
            Some(seconds) if !(1..=31_536_000).contains(&seconds) => {
                Err(format!("max-hold-seconds is {seconds}; 1 to 31536000 are allowed"))
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    fn into_kind(self, base: &Path) -> Result<SourceKind, String> {
        Ok(match self.kind {
            RawKind::Postgres => {
                let connection = match (&self.connection_env, &self.connection_file) {
                    (Some(name), None) => Connection::Variable(name.clone()),
                    (None, Some(path)) => Connection::File(base.join(path)),
                    _ => {
                        return Err(
                            "it needs connection-env or connection-file, one of them".into()
                        );
                    }
                };
                let tls = PostgresTls {
                    required: self.tls.map(|tls| tls == RawTls::Required),
                    ca_file: self.ca_file.as_ref().map(|path| base.join(path)),
                };
                SourceKind::Postgres { connection, tls, table: self.table()? }
            }
            RawKind::Sqlite => {
                let path = base.join(needed("path", self.path.as_ref())?);
                SourceKind::Sqlite { path, table: self.table()? }
            }
            RawKind::Files => {
                let root = base.join(needed("root", self.root.as_ref())?);
                SourceKind::Files { root, include: self.include()? }
            }
            RawKind::Objects => SourceKind::Objects(self.objects(base)?),
        })
    }

    /// Patterns below the root or prefix: one that leads elsewhere would match nothing, and the census say that all
    /// was looked at.
    fn include(&self) -> Result<Vec<String>, String> {
        let include = self.include.clone().unwrap_or_else(|| vec!["**/*.claviger".to_owned()]);
        let leads_out = |pattern: &String| {
            pattern.is_empty()
                || pattern.starts_with('/')
                || pattern.split('/').any(|part| part == "..")
        };
        if include.is_empty() || include.iter().any(leads_out) {
            return Err(
                "include names at least one pattern, each relative and without `..`".to_owned()
            );
        }
        Ok(include)
    }

    fn objects(self, base: &Path) -> Result<Bucket, String> {
        let within = |path: PathBuf| base.join(path);
        let include = self.include()?;
        Bucket {
            name: needed("bucket", self.bucket.as_ref())?.clone(),
            endpoint: self.endpoint,
            prefix: self.prefix.unwrap_or_default(),
            include,
            region: self.region.unwrap_or_else(|| "us-east-1".to_owned()),
            credentials: self
                .credentials_file
                .map_or(Credentials::Environment, |path| Credentials::File(within(path))),
            ca_file: self.ca_file.map(within),
            allow_http: self.allow_http.unwrap_or(false),
            max_object_bytes: self.max_object_bytes.unwrap_or(64 * 1024 * 1024),
        }
        .checked()
    }

    fn table(&self) -> Result<Table, String> {
        let key_columns = needed("key-columns", self.key_columns.as_ref())?.clone();
        if key_columns.is_empty() || key_columns.len() > 16 {
            return Err("key-columns names 1 to 16 columns, those of the primary key".to_owned());
        }
        Ok(Table {
            name: needed("table", self.table.as_ref())?.clone(),
            key_columns,
            envelope_column: needed("envelope-column", self.envelope_column.as_ref())?.clone(),
        })
    }

    fn refuse_others(&self) -> Result<(), String> {
        let (kind, allowed): (_, &[&str]) = match self.kind {
            RawKind::Postgres => (
                "postgres",
                &[
                    "connection-env",
                    "connection-file",
                    "tls",
                    "ca-file",
                    "table",
                    "key-columns",
                    "envelope-column",
                ],
            ),
            RawKind::Sqlite => ("sqlite", &["path", "table", "key-columns", "envelope-column"]),
            RawKind::Files => ("files", &["root", "include"]),
            RawKind::Objects => (
                "objects",
                &[
                    "include",
                    "endpoint",
                    "bucket",
                    "prefix",
                    "region",
                    "credentials-file",
                    "ca-file",
                    "allow-http",
                    "max-object-bytes",
                ],
            ),
        };
        let given = [
            ("connection-env", self.connection_env.is_some()),
            ("connection-file", self.connection_file.is_some()),
            ("tls", self.tls.is_some()),
            ("path", self.path.is_some()),
            ("table", self.table.is_some()),
            ("key-columns", self.key_columns.is_some()),
            ("envelope-column", self.envelope_column.is_some()),
            ("root", self.root.is_some()),
            ("include", self.include.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("bucket", self.bucket.is_some()),
            ("prefix", self.prefix.is_some()),
            ("region", self.region.is_some()),
            ("credentials-file", self.credentials_file.is_some()),
            ("ca-file", self.ca_file.is_some()),
            ("allow-http", self.allow_http.is_some()),
            ("max-object-bytes", self.max_object_bytes.is_some()),
        ];
        match given.into_iter().find(|(key, given)| *given && !allowed.contains(key)) {
            Some((key, _)) => Err(format!("the key {key} is not of kind {kind}")),
            None => Ok(()),
        }
    }
}

fn needed<'v, T>(key: &str, value: Option<&'v T>) -> Result<&'v T, String> {
    value.ok_or_else(|| format!("the key {key} is missing"))
}

/// What is wrong, without the value that is: serde quotes it, and it might be a password.
pub(super) fn reason(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let quotes = message.starts_with("invalid type") || message.starts_with("invalid value");
    let Some((_, expected)) = message.rsplit_once("expected ").filter(|_| quotes) else {
        return message.to_owned();
    };
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    match before.rsplit('\n').next().and_then(|line| line.split_once('=')) {
        Some((key, _)) => format!("{}: the value is not {expected}", key.trim()),
        None => format!("the value is not {expected}"),
    }
}

fn batch() -> usize {
    claviger_kms::MAX_BATCH
}

fn concurrency() -> usize {
    4
}

fn passes() -> u32 {
    5
}

fn give_up_seconds() -> u64 {
    60
}

fn backoff_milliseconds() -> u64 {
    200
}
