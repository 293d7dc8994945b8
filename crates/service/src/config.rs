//! The configuration file. Every key is commented in `config/clavigerd.toml`, which a test parses.
//!
//! Invariants: an unknown key is refused with its line; an error never quotes the file's text, which might
//! be a PIN put in the wrong place; a configuration holds paths to secrets, never secrets.

mod changes;
mod tls;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use claviger_audit::AuditConfig;
use claviger_hierarchy::{HierarchyConfig, Pace};
use claviger_root_key::TokenConfig;
use serde::{Deserialize, Serialize};

pub use tls::TlsConfig;

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Config {
    /// The PKCS#11 token.
    pub token: TokenConfig,
    /// The root key.
    #[serde(default)]
    pub root: RootConfig,
    /// The key store.
    pub store: StoreConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// The policy.
    pub policy: PolicyConfig,
    /// Where the service listens.
    pub listen: ListenConfig,
    /// The cache of unwrapped KEKs.
    #[serde(default)]
    pub cache: CacheConfig,
    /// Limits of the listeners.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The log of the program (not the audit log).
    #[serde(default)]
    pub log: LogConfig,
    /// How long a day is; not in the file.
    #[serde(skip)]
    pub pace: Pace,
}

/// `[root]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct RootConfig {
    /// The fingerprint that `root init` printed; another root is refused.
    pub fingerprint: Option<String>,
}

/// `[store]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct StoreConfig {
    /// The SQLite file.
    pub path: PathBuf,
}

/// `[policy]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PolicyConfig {
    /// The policy's TOML file.
    pub file: PathBuf,
}

/// `[listen]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ListenConfig {
    /// Unix socket for data operations.
    pub data: PathBuf,
    /// Its mode, in octal; default `0660`. The policy decides what a caller may; this decides who can
    /// connect at all.
    #[serde(default = "data_mode")]
    pub data_mode: SocketMode,
    /// Unix socket for management.
    pub admin: PathBuf,
    /// Its mode, in octal; default `0600`.
    #[serde(default = "admin_mode")]
    pub admin_mode: SocketMode,
    /// TLS for data operations, beside the socket.
    pub tls: Option<TlsConfig>,
    /// TLS for management, beside the socket and at an address of its own.
    pub admin_tls: Option<TlsConfig>,
}

/// Permission bits of a socket, written in octal as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SocketMode(u32);

/// `[cache]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Most unwrapped KEKs held at once; 1 to 1,048,576, default 4,096 (128 KiB of locked memory).
    pub capacity: usize,
    /// Seconds an unwrapped KEK is held; 1 to 86,400, default 3,600.
    pub seconds: u64,
    /// Whether the service refuses to start if memory cannot be locked; default true.
    pub require_locked: bool,
}

/// `[limits]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Most connections at once on each socket and address; default 1,024.
    pub connections: usize,
    /// Most TLS handshakes at once on each address; default 256.
    pub handshakes: usize,
    /// Seconds a TLS handshake may take; default 5.
    pub handshake_seconds: u64,
    /// Seconds a TLS connection lives at most, and so an old certificate counts; default 3,600.
    pub connection_seconds: u64,
    /// Seconds a request may take; default 30.
    pub request_seconds: u64,
    /// Seconds that requests under way get to finish at shutdown; default 20.
    pub drain_seconds: u64,
}

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `claviger_api=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; name the configuration with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not what it must be.
    #[error("{}{place}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// `:line:column`, where known.
        place: String,
        /// The key and what is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Reads and checks a file. Relative paths in it are meant from the file's directory.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, line and key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base).map_err(|(place, reason)| ConfigError::Refused {
            path: path.to_owned(),
            place,
            reason,
        })
    }

    /// As [`read`](Self::read), from text; the error is a place and a reason.
    ///
    /// # Errors
    /// `(":line:column", reason)`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, (String, String)> {
        let mut config: Self = toml::from_str(text)
            .map_err(|error| (place(text, error.span()), reason(text, &error)))?;
        for path in [
            &mut config.store.path,
            &mut config.audit.directory,
            &mut config.policy.file,
            &mut config.listen.data,
            &mut config.listen.admin,
        ] {
            *path = base.join(&path);
        }
        for tls in [&mut config.listen.tls, &mut config.listen.admin_tls].into_iter().flatten() {
            tls.resolve(base);
        }
        if let Some(pin_file) = &mut config.token.pin_file {
            *pin_file = base.join(&pin_file);
        }
        config.check().map_err(|reason| (String::new(), reason))?;
        Ok(config)
    }

    /// How the tree is opened; the audit log says how old the store may be.
    #[must_use]
    pub fn hierarchy(&self, lowest_generation: u64) -> HierarchyConfig {
        let mut hierarchy = HierarchyConfig::default();
        hierarchy.cache_capacity = self.cache.capacity;
        hierarchy.cache_time_to_live = Duration::from_secs(self.cache.seconds);
        hierarchy.require_locked = self.cache.require_locked;
        hierarchy.lowest_generation = lowest_generation;
        hierarchy.pace = self.pace;
        hierarchy.root_fingerprint.clone_from(&self.root.fingerprint);
        hierarchy
    }

    fn check(&self) -> Result<(), String> {
        self.token.check().map_err(|error| error.to_string())?;
        self.audit.check().map_err(|error| error.to_string())?;
        within("cache.capacity", self.cache.capacity, 1, 1 << 20)?;
        within("cache.seconds", self.cache.seconds, 1, 86_400)?;
        within("limits.connections", self.limits.connections, 1, 100_000)?;
        within("limits.handshakes", self.limits.handshakes, 1, 100_000)?;
        within("limits.handshake-seconds", self.limits.handshake_seconds, 1, 60)?;
        within("limits.connection-seconds", self.limits.connection_seconds, 60, 86_400)?;
        within("limits.request-seconds", self.limits.request_seconds, 1, 600)?;
        within("limits.drain-seconds", self.limits.drain_seconds, 0, 600)?;
        if self.listen.data == self.listen.admin {
            return Err(
                "listen.data and listen.admin are the same socket; give each its own".into()
            );
        }
        for (name, path) in [("data", &self.listen.data), ("admin", &self.listen.admin)] {
            let length = path.as_os_str().len();
            if length > MAX_SOCKET_PATH {
                return Err(format!(
                    "listen.{name} has {length} characters; a Unix socket's path has at most \
                     {MAX_SOCKET_PATH}"
                ));
            }
        }
        for (name, tls) in self.listen.tls_listeners() {
            tls.check().map_err(|reason| format!("listen.{name}.{reason}"))?;
        }
        if let (Some(data), Some(admin)) = (&self.listen.tls, &self.listen.admin_tls)
            && data.address == admin.address
        {
            return Err(
                "listen.tls and listen.admin-tls have the same address; give each its own".into()
            );
        }
        if let Some(fingerprint) = &self.root.fingerprint {
            let plain = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            if fingerprint.len() != 32 || !fingerprint.chars().all(plain) {
                return Err("root.fingerprint has 32 lower-case hexadecimal digits".into());
            }
        }
        Ok(())
    }
}

impl ListenConfig {
    /// The listeners with TLS, by the names of their tables.
    pub fn tls_listeners(&self) -> impl Iterator<Item = (&'static str, &TlsConfig)> {
        let data = self.tls.iter().map(|tls| ("tls", tls));
        data.chain(self.admin_tls.iter().map(|tls| ("admin-tls", tls)))
    }
}

impl SocketMode {
    /// The permission bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for SocketMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o777 && text.len() <= 4 => Ok(Self(mode)),
            _ => Err("a mode is written as octal text such as \"0660\"".to_owned()),
        }
    }
}

impl From<SocketMode> for String {
    fn from(mode: SocketMode) -> Self {
        format!("{:04o}", mode.bits())
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { capacity: 4096, seconds: 3600, require_locked: true }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshakes: 256,
            handshake_seconds: 5,
            connection_seconds: 3600,
            request_seconds: 30,
            drain_seconds: 20,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

fn data_mode() -> SocketMode {
    SocketMode(0o660)
}

fn admin_mode() -> SocketMode {
    SocketMode(0o600)
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

/// What is wrong, without the value that is: serde quotes it, and it might be a PIN.
fn reason(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let quotes = message.starts_with("invalid type") || message.starts_with("invalid value");
    let Some((_, expected)) = message.rsplit_once("expected ").filter(|_| quotes) else {
        return message.to_owned();
    };
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let key = before.rsplit('\n').next().and_then(|line| line.split_once('='));
    match key {
        Some((key, _)) => format!("{}: the value is not {expected}", key.trim()),
        None => format!("the value is not {expected}"),
    }
}

/// Line and column of a span; the text itself is not quoted.
fn place(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else { return String::new() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(1, |last| last.chars().count() + 1);
    format!(":{line}:{column}")
}

/// `sun_path` has 108 bytes with its terminating zero.
const MAX_SOCKET_PATH: usize = 107;

#[cfg(test)]
mod tests;
