//! `clavigerd root …`: the ceremony and what belongs to it. A person runs these, with the service stopped.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use claviger_audit::{AuditDecision, AuditLog, AuditResult, Entry, Proof, ServiceEvent};
use claviger_hierarchy::{RootSummary, accept_restore, init_root, verify_root};
use claviger_kms::{ErrorCode, Principal, RequestId};
use claviger_service::{config::Config, parts};

use crate::{
    commands::root_rotate,
    logging::{self, answer},
};

/// The root key in the token.
#[derive(Debug, Subcommand)]
pub(crate) enum Root {
    /// Make the root key, the audit signing key and the record-MAC key: once, on an empty store.
    Init(Output),
    /// Check the root against the token: attributes, known answer, fingerprint.
    Verify(Output),
    /// Try what the token can do, with throw-away objects, and say what came of it.
    Report(Output),
    /// Make a further root key and move the regions under it; with the service stopped. Repeated after an
    /// interruption it goes on where it was.
    Rotate(Output),
    /// Destroy the former root keys that no region is wrapped by any more; with the service stopped.
    Prune(root_rotate::Prune),
    /// After the key store was restored from a backup: take it as the newest state.
    AcceptRestore(AcceptRestore),
}

/// How to answer.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What is being accepted.
#[derive(Debug, Args)]
pub(crate) struct AcceptRestore {
    /// You know that every key and version made after the backup is lost, and with it what they sealed.
    #[arg(long)]
    i_know_what_is_lost: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(root: &Root, config: &Path) -> Result<()> {
    let config = Config::read(config)?;
    logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match root {
            Root::Init(output) => init(&config, output).await,
            Root::Verify(output) => verify(&config, output).await,
            Root::Report(output) => report(&config, output).await,
            Root::Rotate(output) => root_rotate::rotate(&config, output).await,
            Root::Prune(prune) => root_rotate::prune(&config, prune).await,
            Root::AcceptRestore(accept) => accept_restored(&config, accept).await,
        }
    })
}

async fn init(config: &Config, output: &Output) -> Result<()> {
    let store = parts::open_store(config)?;
    let (audit, recovered) = parts::open_audit(config).await?;
    if store.head().await?.is_none() && recovered.highest_generation > 0 {
        bail!(
            "the key store {} is empty, and the audit log {} has seen one of generation {}: restore \
             that store, or, to begin anew, move the audit log aside",
            config.store.path.display(),
            config.audit.directory.display(),
            recovered.highest_generation
        );
    }
    let token = parts::open_token(config).await?;
    let intent = intent(&audit, ServiceEvent::RootInitialised).await?;
    let made = init_root(token.as_ref(), store.as_ref()).await.context("root init");
    outcome(&audit, &intent, made.as_ref().ok()).await?;
    let summary = made?;
    if output.json {
        return print_json(&summary);
    }
    answer("The root key was made in the token. It cannot leave it.\n");
    print_summary(&summary);
    answer(
        "\nKeep the fingerprint outside this machine, and put it into [root] fingerprint: then no \
         other\nroot is ever taken for this one.\n\n\
         A restore needs three things: this token or a clone of it made by the vendor's tool, the \
         token's\nPIN, and a copy of the key store. Without the token, everything sealed under it \
         is lost.",
    );
    Ok(())
}

async fn verify(config: &Config, output: &Output) -> Result<()> {
    let store = parts::open_store(config)?;
    let token = parts::open_token(config).await?;
    let summary = verify_root(token.as_ref(), store.as_ref()).await?;
    if let Some(pinned) = &config.root.fingerprint
        && *pinned != summary.fingerprint
    {
        bail!(
            "the root's fingerprint is {}, the configuration demands {pinned}",
            summary.fingerprint
        );
    }
    if output.json {
        return print_json(&summary);
    }
    answer("The root key is the one of the ceremony: attributes and known answer hold.\n");
    print_summary(&summary);
    Ok(())
}

async fn report(config: &Config, output: &Output) -> Result<()> {
    let token = parts::open_token(config).await?;
    let report = token.report().await?;
    if output.json {
        return print_json(&report);
    }
    answer(format_args!("module  {}", report.module));
    answer(format_args!("library {}", report.library));
    answer(format_args!("token   {}", report.token.as_deref().unwrap_or("cannot be read")));
    for trial in &report.trials {
        let mark = if trial.ok { "ok  " } else { "NOT " };
        answer(format_args!("{mark} {:<44} {}", trial.what, trial.outcome));
    }
    Ok(())
}

async fn accept_restored(config: &Config, accept: &AcceptRestore) -> Result<()> {
    if !accept.i_know_what_is_lost {
        bail!(
            "a restored store lacks every key and version made after the backup, and what they \
             sealed stays closed. If that is meant, repeat with --i-know-what-is-lost"
        );
    }
    let store = parts::open_store(config)?;
    let (audit, recovered) = parts::open_audit(config).await?;
    let token = parts::open_token(config).await?;
    let intent = intent(&audit, ServiceEvent::RestoreAccepted).await?;
    let accepted =
        accept_restore(token.as_ref(), store.as_ref(), recovered.highest_generation).await;
    outcome(&audit, &intent, accepted.as_ref().ok()).await?;
    let summary = accepted?;
    if accept.output.json {
        return print_json(&summary);
    }
    answer("The store as it is now is the newest state. What was made after its backup is lost.\n");
    print_summary(&summary);
    Ok(())
}

/// Records what the person at the keyboard, as the kernel knows him, is about to do.
pub(super) async fn intent(audit: &AuditLog, event: ServiceEvent) -> Result<Entry> {
    let request = RequestId::make_random()?;
    let mut entry = Entry::intent(request, event, AuditDecision::Internal);
    entry.principal = Some(Principal::of_uid(rustix::process::getuid().as_raw()));
    entry.proof = Proof::InProcess;
    audit.append(entry.clone()).await.context("the audit log")?;
    Ok(entry)
}

/// Records what came of it, with the generation that the store has from now on, and closes the log.
pub(super) async fn outcome(
    audit: &AuditLog,
    intent: &Entry,
    made: Option<&RootSummary>,
) -> Result<()> {
    let result = match made {
        Some(_) => AuditResult::Done,
        None => AuditResult::Failed(ErrorCode::Unavailable),
    };
    let mut outcome = intent.outcome(result);
    outcome.store_generation = made.map(|summary| summary.generation);
    audit.append(outcome).await.context("the audit log")?;
    audit.close().await;
    Ok(())
}

pub(super) fn print_summary(summary: &RootSummary) {
    answer(format_args!("fingerprint     {}", summary.fingerprint));
    answer(format_args!("root version    {}", summary.root_version));
    answer(format_args!("token object    {}", summary.root_object));
    answer(format_args!("key store       {}", summary.store_id));
    answer(format_args!("generation      {}", summary.generation));
    for former in &summary.former {
        answer(format_args!("former root     {}, object {}", former.version, former.object));
    }
    match &summary.checkpoint_public_key {
        Some(key) => answer(format_args!("audit signature {key}")),
        None => answer("audit signature none: the token makes no ECDSA P-256 keys"),
    }
    for warning in &summary.warnings {
        answer(format_args!("warning         {warning}"));
    }
}

pub(super) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    answer(serde_json::to_string_pretty(value)?);
    Ok(())
}
