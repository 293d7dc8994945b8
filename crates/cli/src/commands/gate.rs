//! `claviger gate`: the triggers that keep envelopes under an old version from being written.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Subcommand};
use claviger_kms::{KeyVersion, KmsError};
use claviger_rewrap::{CampaignFile, Closes, Gate, GateState, sources};
use serde_json::json;

use super::campaign::{read, told};
use crate::{
    error::{CliError, Result},
    reply::{Lines, Reply},
    session::Session,
};

/// Commands on write gates.
#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    Sql(SqlArguments),
    Status(OfVersion),
}

/// Print the triggers that close a version in every table of a campaign file, or install or remove them
///
/// A trigger acts only when an envelope, or the key of its row, changes, and then refuses what names the version.
/// Installing waits up to two seconds for whoever is writing to the table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claviger gate sql cards.toml --version 1
  claviger gate sql cards.toml --version 1 --apply
  claviger gate sql cards.toml --version 1 --remove")]
pub(crate) struct SqlArguments {
    #[command(flatten)]
    of: OfVersion,
    /// Install them instead of printing them
    #[arg(long, conflicts_with = "remove")]
    apply: bool,
    /// Remove them
    #[arg(long)]
    remove: bool,
}

/// Say of every source whether its gate stands, unaltered and in force
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger gate status cards.toml --version 1")]
pub(crate) struct OfVersion {
    /// The campaign file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The version
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: KeyVersion,
}

pub(crate) async fn run(session: &Session, command: GateCommand) -> Result<Reply> {
    match command {
        GateCommand::Sql(arguments) => sql(session, arguments).await,
        GateCommand::Status(of) => {
            let file = read(of.file).await?;
            let gates = gates(session, &file, of.version).await?;
            let mut states = BTreeMap::new();
            for (name, gate) in &gates {
                states
                    .insert(name.clone(), gate.state().await.map_err(|error| named(name, &error))?);
            }
            reply(&states)
        }
    }
}

async fn sql(session: &Session, arguments: SqlArguments) -> Result<Reply> {
    let file = read(arguments.of.file).await?;
    if !arguments.remove {
        // A gate on a column that is not there would refuse every write.
        drop(sources::open(&file).await.map_err(told)?);
    }
    let gates = gates(session, &file, arguments.of.version).await?;
    if !arguments.apply && !arguments.remove {
        let texts: BTreeMap<_, _> = gates.iter().map(|(name, gate)| (name, gate.sql())).collect();
        let text = texts.iter().map(|(name, text)| match text {
            Some(text) => format!("-- source {name}\n{text}"),
            None => format!("-- source {name} has no gate: declare max-hold-seconds\n"),
        });
        return Reply::new(&texts, text.collect::<Vec<_>>().join("\n"));
    }
    let mut states = BTreeMap::new();
    for (name, gate) in &gates {
        let state = if arguments.apply { gate.close().await } else { gate.open().await };
        states.insert(name.clone(), state.map_err(|error| named(name, &error))?);
    }
    reply(&states)
}

async fn gates(
    session: &Session,
    file: &CampaignFile,
    version: KeyVersion,
) -> Result<Vec<(String, Gate)>> {
    let closes = closes(session, file, version).await?;
    let gate = |settings| Gate::of(settings, closes);
    let mut gates = Vec::new();
    for settings in &file.sources {
        let name = settings.name.to_string();
        let gate = gate(settings).map_err(|error| named(&name, &error))?;
        gates.push((name, gate));
    }
    Ok(gates)
}

/// The version by its key's id, which the service knows.
pub(super) async fn closes(
    session: &Session,
    file: &CampaignFile,
    version: KeyVersion,
) -> Result<Closes> {
    let key = session.service.describe_key(&file.key).await?;
    if key.primary == Some(version) {
        return Err(KmsError::key_unusable(format!(
            "version {version} is the primary one of {}, and nothing could be written any more; rotate the key first",
            file.key
        ))
        .into());
    }
    if !key.versions.iter().any(|found| found.version == version) {
        return Err(
            KmsError::not_found(format!("version {version} of the key {}", file.key)).into()
        );
    }
    Ok(Closes { key: key.id, version })
}

fn named(source: &str, error: &claviger_rewrap::SourceError) -> CliError {
    let text = format!("source {source}: {error}");
    match error {
        claviger_rewrap::SourceError::Unreachable { .. } => CliError::Source { reason: text },
        _ => KmsError::invalid(text).into(),
    }
}

fn reply(states: &BTreeMap<String, GateState>) -> Result<Reply> {
    let lines = states.iter().fold(Lines::default(), |lines, (name, state)| {
        let told = match state {
            GateState::Open => "open".to_owned(),
            GateState::Closed { closed_at, .. } => format!("closed since {closed_at}"),
            GateState::Altered { reason } => format!("not to be relied on: {reason}"),
            _ => "has no gate; max-hold-seconds counts".to_owned(),
        };
        lines.with(name, told)
    });
    Reply::new(&json!(states), lines.finish())
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  claviger gate sql cards.toml --version 1
  claviger gate status cards.toml --version 1";
