//! `claviger key quarantine`, `retire`, `destroy`, `cancel-destroy` and `states`, and `claviger approve`:
//! the later life of keys.

use clap::{Args, ValueEnum};
use claviger_client::Client;
use claviger_kms::{
    Approval, ApprovalId, Approve, CampaignName, KeyLifecycle as _, KeyPath, KeyRequest,
    KeyVersion, QuarantineKey, QuarantineReason, QuarantineReport, Requirement, ScheduleDestroy,
    TRANSITIONS, VersionRequest,
};

use super::{
    key::reply_of,
    key_change::VersionArguments,
    key_create::{RequestName, with_name},
};
use crate::{
    error::Result,
    reply::{Lines, Reply, table},
};

/// Stop a key now: nothing is wrapped or opened under its versions, only moved by campaigns
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claviger key quarantine us-east-1/payments --reason misuse-suspected --dry-run
  claviger key quarantine us-east-1/payments --reason misuse-suspected
  claviger key quarantine us-east-1 --reason material-leaked --recursive

Works while the token is away and while the audit log's disk is full. Then a new primary version is made.
Data keys that were handed out before cannot be called back.")]
pub(crate) struct QuarantineArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
    /// What is feared
    #[arg(long, value_enum)]
    reason: Reason,
    /// Let callers still open what the stopped versions wrapped
    #[arg(long)]
    drain: bool,
    /// Stop every key below too
    #[arg(long)]
    recursive: bool,
    /// Stop only this version, also a disabled one whose data must still be moved
    #[arg(long, value_name = "VERSION", conflicts_with = "recursive")]
    only: Option<KeyVersion>,
    /// Only say what would be stopped
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    name: RequestName,
}

/// Why a key is quarantined.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    /// Somebody may have used it who should not: a rewrap cures it
    MisuseSuspected,
    /// Key material got out: keys below are renewed too, data must be reencrypted
    MaterialLeaked,
}

/// Let a key make nothing new; its versions can then be disabled and destroyed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger key retire us-east-1/payments")]
pub(crate) struct RetireArguments {
    /// The key
    #[arg(value_name = "PATH")]
    key: KeyPath,
}

/// Schedule the destruction of a disabled version; until its time it can be cancelled
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claviger key destroy us-east-1/payments 1 --days 14
  claviger key destroy us-east-1/payments 1 --shred

Without --shred there must be evidence that nothing needs the version; with it, a second person must approve.")]
pub(crate) struct DestroyArguments {
    #[command(flatten)]
    of: VersionArguments,
    /// Days until it is destroyed
    #[arg(long, default_value_t = ScheduleDestroy::MAX_DAYS, value_parser = clap::value_parser!(u32).range(7..=30))]
    days: u32,
    /// Destroy it without evidence: what still needs it is lost for ever
    #[arg(long)]
    shred: bool,
}

/// Cancel a scheduled destruction; the version is disabled again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger key cancel-destroy us-east-1/payments 1")]
pub(crate) struct CancelDestroyArguments {
    #[command(flatten)]
    of: VersionArguments,
}

/// Approve another person's request, as the refusal he got names it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  claviger approve 6f2c0a1e-5d3b-4c8f-9a7e-1b2c3d4e5f60")]
pub(crate) struct ApproveArguments {
    /// The approval
    #[arg(value_name = "ID")]
    id: ApprovalId,
}

pub(crate) async fn quarantine(client: &Client, arguments: QuarantineArguments) -> Result<Reply> {
    let name = arguments.name.or_random()?;
    let request = QuarantineKey {
        key: arguments.key,
        version: arguments.only,
        reason: match arguments.reason {
            Reason::MisuseSuspected => QuarantineReason::MisuseSuspected,
            Reason::MaterialLeaked => QuarantineReason::MaterialLeaked,
        },
        drain: arguments.drain,
        recursive: arguments.recursive,
        dry_run: arguments.dry_run,
        idempotency_key: Some(name.clone()),
    };
    let done = client.quarantine(request).await;
    told(&done.map_err(|error| with_name(error, &name))?)
}

pub(crate) async fn retire(client: &Client, arguments: RetireArguments) -> Result<Reply> {
    reply_of(&client.retire_key(KeyRequest { key: arguments.key }).await?)
}

pub(crate) async fn destroy(client: &Client, arguments: DestroyArguments) -> Result<Reply> {
    let DestroyArguments { of, days, shred } = arguments;
    let VersionRequest { key, version } = of.into();
    reply_of(&client.schedule_destroy(ScheduleDestroy { key, version, days, shred }).await?)
}

pub(crate) async fn cancel_destroy(
    client: &Client,
    arguments: CancelDestroyArguments,
) -> Result<Reply> {
    reply_of(&client.cancel_destroy(arguments.of.into()).await?)
}

pub(crate) async fn approve(client: &Client, arguments: ApproveArguments) -> Result<Reply> {
    let Approval { request, asked_by, until, .. } =
        &client.approve(Approve { id: arguments.id }).await?;
    let lines = Lines::default()
        .with("approved", request)
        .with("asked by", asked_by.as_str())
        .with("to be repeated by him until", until);
    Reply::new(&arguments.id, lines.finish())
}

/// The transition table, as the service goes by it.
pub(crate) fn states() -> Result<Reply> {
    let head = ["from", "to", "by", "needs"].map(str::to_owned);
    let rows: Vec<_> = TRANSITIONS
        .iter()
        .map(|row| {
            [
                row.from.to_string(),
                row.to.to_string(),
                row.by.to_owned(),
                needs(row.needs).to_owned(),
            ]
        })
        .collect();
    let json: Vec<_> = rows.clone();
    Reply::new(&json, table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
}

fn needs(requirement: Requirement) -> &'static str {
    match requirement {
        Requirement::Nothing => "",
        Requirement::TwoPersons => "two persons",
        Requirement::TwoPersonsIfEverQuarantined => "two persons if it was ever quarantined",
        Requirement::EvidenceOrTwoPersons => "evidence, or two persons",
        Requirement::KeyRetired => "a retired key",
        _ => "what this release does not know",
    }
}

fn told(report: &QuarantineReport) -> Result<Reply> {
    let head = ["key", "stopped", "given up", "primary now", "left to do"].map(str::to_owned);
    let numbers = |versions: &[KeyVersion]| {
        let all: Vec<String> = versions.iter().map(ToString::to_string).collect();
        if all.is_empty() { "-".to_owned() } else { all.join(" ") }
    };
    let rows = report.keys.iter().map(|key| {
        [
            key.key.to_string(),
            numbers(&key.stopped),
            numbers(&key.abandoned),
            match key.primary {
                Some(version) => version.to_string(),
                None if report.dry_run => "a new one".to_owned(),
                None => "none yet".to_owned(),
            },
            key.notice.clone().unwrap_or_default(),
        ]
    });
    let mut lines = Lines::default();
    if report.dry_run {
        lines = lines.with("notice", "nothing was changed: this is a dry run");
    }
    for notice in &report.notices {
        lines = lines.with("notice", notice);
    }
    for key in &report.keys {
        if !key.campaigns.is_empty() {
            let names: Vec<&str> = key.campaigns.iter().map(CampaignName::as_str).collect();
            lines = lines.with("to run", format!("campaign {} of {}", names.join(", "), key.key));
        }
        for cut_off in &key.cut_off {
            let who = cut_off.principal.as_ref().map_or("others".to_owned(), ToString::to_string);
            let last = cut_off.last_used.map_or("-".to_owned(), |last| last.to_string());
            let told =
                format!("{who} from version {} of {}, last used {last}", cut_off.version, key.key);
            lines = lines.with("cut off", told);
        }
    }
    let keys = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    Reply::new(report, format!("{keys}\n{}", lines.finish()))
}
