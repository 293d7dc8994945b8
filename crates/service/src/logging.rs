//! Log lines on standard error, and the last words of a command.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use claviger_service::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging as configured.
pub(crate) fn start(config: &LogConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&config.level)
        .with_context(|| format!("log.level = {:?}", config.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        _ => builder.try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))
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
