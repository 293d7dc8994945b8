//! `claviger key`: which command on keys, and how a key is told.

use clap::Subcommand;
use claviger_client::Client;
use claviger_kms::KeyMetadata;

use super::{key_change, key_create, key_lifecycle, key_see, rotation};
use crate::{
    error::Result,
    reply::{Lines, Reply, printable, table},
    session::Session,
};

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    Create(key_create::CreateArguments),
    List(key_see::ListArguments),
    Tree(key_see::TreeArguments),
    Show(key_see::ShowArguments),
    Rotate(key_change::RotateArguments),
    CreateVersion(key_change::CreateVersionArguments),
    SetPrimary(key_change::SetPrimaryArguments),
    SetRotation(rotation::SetRotationArguments),
    Enable(key_change::EnableArguments),
    Disable(key_change::DisableArguments),
    Quarantine(key_lifecycle::QuarantineArguments),
    Retire(key_lifecycle::RetireArguments),
    Destroy(key_lifecycle::DestroyArguments),
    CancelDestroy(key_lifecycle::CancelDestroyArguments),
    /// Show which state a version can go to from which, and what that needs
    States,
}

pub(crate) async fn run(session: &Session, client: &Client, command: KeyCommand) -> Result<Reply> {
    match command {
        KeyCommand::Create(arguments) => key_create::run(session, arguments).await,
        KeyCommand::List(arguments) => key_see::list(session, arguments).await,
        KeyCommand::Tree(arguments) => key_see::tree(session, arguments).await,
        KeyCommand::Show(arguments) => key_see::show(session, arguments).await,
        KeyCommand::Rotate(arguments) => key_change::rotate(session, arguments).await,
        KeyCommand::CreateVersion(arguments) => {
            key_change::create_version(session, arguments).await
        }
        KeyCommand::SetPrimary(arguments) => key_change::set_primary(session, arguments).await,
        KeyCommand::SetRotation(arguments) => rotation::set(client, arguments).await,
        KeyCommand::Enable(arguments) => key_change::enable(session, client, arguments).await,
        KeyCommand::Disable(arguments) => key_change::disable(session, client, arguments).await,
        KeyCommand::Quarantine(arguments) => key_lifecycle::quarantine(client, arguments).await,
        KeyCommand::Retire(arguments) => key_lifecycle::retire(client, arguments).await,
        KeyCommand::Destroy(arguments) => key_lifecycle::destroy(client, arguments).await,
        KeyCommand::CancelDestroy(arguments) => {
            key_lifecycle::cancel_destroy(client, arguments).await
        }
        KeyCommand::States => key_lifecycle::states(),
    }
}

/// A key with its details and versions.
pub(crate) fn reply_of(key: &KeyMetadata) -> Result<Reply> {
    let mut lines = Lines::default()
        .with("key", &key.key)
        .with("id", key.id)
        .with("purpose", key.purpose)
        .with("protection", key.protection)
        .with("state", key.state)
        .with("primary", key.primary.map_or("none".to_owned(), |version| version.to_string()))
        .with("made at", key.made_at)
        .with_text("description", &key.details.description)
        .with_text("owner", &key.details.owner);
    for (name, value) in &key.details.tags {
        lines = lines.with("tag", format!("{name}={value}"));
    }
    if let Some(period) = key.rotation_period {
        lines = lines.with("rotates every", period);
    }
    if let Some(facts) = &key.quarantine {
        let by = facts.by.as_str();
        lines = lines.with("last quarantine", format!("{} by {by}", facts.at));
    }
    for notice in &key.notices {
        lines = lines.with("notice", notice);
    }
    Reply::new(key, format!("{}\n{}", lines.finish(), versions_of(key)))
}

fn versions_of(key: &KeyMetadata) -> String {
    let head = ["version", "state", "since", "parent version", "fingerprint"].map(str::to_owned);
    let rows = key.versions.iter().map(|version| {
        [
            version.version.to_string(),
            version.state.to_string(),
            version.state_changed_at.to_string(),
            version.parent_version.to_string(),
            printable(&version.fingerprint),
        ]
    });
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  claviger key create us-east-1
  claviger key create us-east-1/payments --owner payments-team --tag tier=1
  claviger key tree us-east-1
  claviger key rotate us-east-1/payments
  claviger key set-rotation us-east-1 --every 90d
  claviger key disable us-east-1/payments 1
  claviger key quarantine us-east-1/payments --reason misuse-suspected
  claviger key destroy us-east-1/payments 1 --days 14

Commands that change something use the admin socket.";
