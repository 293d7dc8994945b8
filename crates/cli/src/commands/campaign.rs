//! `claviger campaign`: moves envelopes to the newest key version, where they are kept.
//!
//! A run is a task of its own: a signal asks it to stop, it finishes the batches under way, keeps its cursor
//! and writes its report; only then the program ends.

mod records;
mod run;
mod target;
mod watch;

pub(super) use run::follow;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use claviger_client::Client;
use claviger_kms::{CampaignId, KmsError};
use claviger_rewrap::{CampaignError, CampaignFile, SourceError};

use crate::{
    error::{CliError, Result},
    reply::Reply,
    session::{Session, blocking},
};

/// Commands on campaigns.
#[derive(Debug, Subcommand)]
pub(crate) enum CampaignCommand {
    Plan(FileArguments),
    Run(RunArguments),
    Status(StatusArguments),
    Cancel(CancelArguments),
    Watch(WatchArguments),
}

/// Look at every source and count versions, without changing anything
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger campaign plan cards.toml")]
pub(crate) struct FileArguments {
    /// The campaign file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Move the envelopes of every source; a run that was stopped is resumed
///
/// An application's own write always wins: an envelope is replaced only where the old bytes still stand. Ctrl-C and
/// SIGTERM stop the run after the batches under way. Ends with 0 when nothing is left to move, with 13 when
/// something is left.
///
/// With a [target] in the file the envelopes move to a key of another key service. Their data keys then pass through
/// this program: it needs `decrypt` here, and `encrypt` and `decrypt` there.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  claviger campaign run cards.toml\n  claviger campaign run cards.toml -o json"
)]
pub(crate) struct RunArguments {
    /// The campaign file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Show campaigns: all of them, those of a name, or one by its id
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  claviger campaign status\n  claviger campaign status cards")]
pub(crate) struct StatusArguments {
    /// A campaign's id or name
    #[arg(value_name = "ID|NAME")]
    which: Option<String>,
}

/// Cancel a campaign: its runner stops after the batches under way
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger campaign cancel 6f2c0a1e-5d3b-4c8f-9a7e-1b2c3d4e5f60")]
pub(crate) struct CancelArguments {
    /// Its id
    #[arg(value_name = "ID")]
    id: CampaignId,
}

/// Stay and run campaigns whenever their keys were rotated
///
/// Looks at the keys at its start and again and again; a line for each run. Ends with a signal.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger campaign watch --every 300 cards.toml files.toml")]
pub(crate) struct WatchArguments {
    /// The campaign files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Seconds between two looks at the keys
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    every: u64,
}

pub(crate) async fn run(
    session: &Session,
    client: &Client,
    command: CampaignCommand,
) -> Result<Option<Reply>> {
    match command {
        CampaignCommand::Plan(arguments) => run::plan(session, arguments.file).await.map(Some),
        CampaignCommand::Run(arguments) => {
            run::run(session, client, arguments.file).await.map(|()| None)
        }
        CampaignCommand::Status(arguments) => {
            records::status(client, arguments.which.as_deref()).await.map(Some)
        }
        CampaignCommand::Cancel(arguments) => records::cancel(client, arguments.id).await.map(Some),
        CampaignCommand::Watch(arguments) => {
            watch::run(session, client, arguments.files, arguments.every).await.map(|()| None)
        }
    }
}

pub(super) async fn read(path: PathBuf) -> Result<CampaignFile> {
    blocking(move || CampaignFile::read(&path).map_err(told)).await
}

/// A campaign's error as one of ours.
pub(super) fn told(error: CampaignError) -> CliError {
    let text = error.to_string();
    match error {
        CampaignError::Kms { source } => source.into(),
        CampaignError::Source { source: SourceError::Unreachable { .. }, .. } => {
            CliError::Source { reason: text }
        }
        _ => KmsError::invalid(text).into(),
    }
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  claviger campaign plan cards.toml
  claviger campaign run cards.toml
  claviger campaign watch cards.toml";
