//! Log lines on standard error, their level, which can be changed while the service runs, and the last words of
//! a command.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use claviger_service::config::{LogConfig, LogFormat};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

/// Changes the level of the log.
#[derive(Debug, Clone)]
pub(crate) struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// From now on, what this lets through is logged.
    pub(crate) fn set(&self, filter: EnvFilter) {
        if let Err(error) = self.0.reload(filter) {
            tracing::error!(%error, "the log level could not be changed");
        }
    }
}

/// Starts logging as configured.
pub(crate) fn start(config: &LogConfig) -> Result<Level> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let lines = fmt::layer().with_ansi(false).with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        _ => lines.boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))?;
    Ok(Level(handle))
}

/// What the configured level lets through.
pub(crate) fn filter(config: &LogConfig) -> Result<EnvFilter> {
    EnvFilter::try_new(&config.level).with_context(|| format!("log.level = {:?}", config.level))
}

/// Why the command failed, on standard error, with every cause.
pub(crate) fn complain(error: &anyhow::Error) {
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "clavigerd: {error:#}");
}

/// A line of a command's answer, on standard output.
pub(crate) fn answer(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
