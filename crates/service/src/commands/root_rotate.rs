//! `clavigerd root rotate` and `root prune`: a new root key, and the end of the old one.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use claviger_audit::{AuditLog, AuditResult, Digest, Entry, ServiceEvent, StateChange};
use claviger_hierarchy::{
    Change, Hierarchy, RootSummary, add_root_version, prune_root, verify_root,
};
use claviger_keystore::KeyStore;
use claviger_root_key::Token;
use claviger_service::{config::Config, parts};

use super::root::{Output, intent, outcome, print_json, print_summary};
use crate::logging::answer;

/// What is being destroyed.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// You know that no backup made before the last root rotation can then be restored.
    #[arg(long)]
    no_backup_needs_it: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn rotate(config: &Config, output: &Output) -> Result<()> {
    let store = parts::open_store(config)?;
    let (audit, recovered) = parts::open_audit(config).await?;
    let token = parts::open_token(config).await?;
    let seen = recovered.highest_generation;
    let before = verify_root(token.as_ref(), store.as_ref()).await?;
    let tree = open(config, &token, &store, seen).await?;
    let resumes = tree.regions_behind().is_some();
    check_pin(config, &before, resumes)?;
    let intent = intent(&audit, ServiceEvent::RootRotated).await?;
    let rotated = if resumes {
        move_regions(&audit, &intent, &tree).await
    } else {
        drop(tree);
        let made = add_root_version(token.as_ref(), store.as_ref()).await;
        match made.context("root rotate") {
            Ok(_) => {
                let tree = open(config, &token, &store, seen).await?;
                move_regions(&audit, &intent, &tree).await
            }
            Err(error) => Err(error),
        }
    };
    let summary = match rotated {
        Ok(()) => verify_root(token.as_ref(), store.as_ref()).await.context("root rotate"),
        Err(error) => Err(error),
    };
    outcome(&audit, &intent, summary.as_ref().ok()).await?;
    let summary = summary?;
    if output.json {
        return print_json(&summary);
    }
    if resumes {
        answer("The root rotation that was interrupted is complete.\n");
    } else {
        answer("A new root key was made in the token, and all regions are wrapped by it.\n");
    }
    print_summary(&summary);
    if config.root.fingerprint.as_ref().is_some_and(|pinned| *pinned != summary.fingerprint) {
        answer("\nBefore the next start, put the new fingerprint into [root] fingerprint.");
    }
    answer(
        "\nThe former root key is still in the token: backups made until now need it. When none of \
         them\nis to be restored any more, `clavigerd root prune` destroys it. Back up the token and \
         the key\nstore anew.",
    );
    Ok(())
}

pub(super) async fn prune(config: &Config, prune: &Prune) -> Result<()> {
    let store = parts::open_store(config)?;
    let (audit, recovered) = parts::open_audit(config).await?;
    let token = parts::open_token(config).await?;
    let tree = open(config, &token, &store, recovered.highest_generation).await?;
    let before = verify_root(token.as_ref(), store.as_ref()).await?;
    check_pin(config, &before, false)?;
    if !prune.no_backup_needs_it && !before.former.is_empty() {
        let objects: Vec<_> = before.former.iter().map(|root| root.object.to_string()).collect();
        bail!(
            "this destroys {} in the token, and no backup of the key store made before the last root \
             rotation can then be restored. If that is meant, repeat with --no-backup-needs-it",
            objects.join(", ")
        );
    }
    let intent = intent(&audit, ServiceEvent::RootPruned).await?;
    let pruned = prune_root(token.as_ref(), store.as_ref(), &tree).await.context("root prune");
    let after = match &pruned {
        Ok(_) => Some(verify_root(token.as_ref(), store.as_ref()).await?),
        Err(_) => None,
    };
    outcome(&audit, &intent, after.as_ref()).await?;
    let destroyed = pruned?;
    if prune.output.json {
        return print_json(&destroyed);
    }
    for object in &destroyed {
        answer(format_args!("destroyed {object}"));
    }
    if destroyed.is_empty() {
        answer("Nothing was destroyed: every root key in the token is needed.");
    }
    Ok(())
}

/// The tree, whatever fingerprint is pinned: that is checked apart.
async fn open(
    config: &Config,
    token: &Arc<dyn Token>,
    store: &Arc<dyn KeyStore>,
    seen: u64,
) -> Result<Hierarchy> {
    let mut hierarchy = config.hierarchy(seen);
    hierarchy.root_fingerprint = None;
    let opened = Hierarchy::open(Arc::clone(token), Arc::clone(store), hierarchy).await;
    opened.with_context(|| format!("the key store {}", config.store.path.display()))
}

/// The root must be the pinned one; amid a rotation, the pinned one may be the former.
fn check_pin(config: &Config, root: &RootSummary, resumes: bool) -> Result<()> {
    let Some(pinned) = &config.root.fingerprint else { return Ok(()) };
    let former = root.former.iter().any(|former| former.fingerprint == *pinned);
    if *pinned == root.fingerprint || (resumes && former) {
        return Ok(());
    }
    let rotated = if former {
        ", that of a former root version: if the rotation was yours, put the new one there"
    } else {
        ""
    };
    bail!(
        "the root's fingerprint is {}, the configuration demands {pinned}{rotated}",
        root.fingerprint
    )
}

/// Moves the regions batch by batch, each recorded before the next is begun.
async fn move_regions(audit: &AuditLog, intent: &Entry, tree: &Hierarchy) -> Result<()> {
    while let Some(behind) = tree.regions_behind() {
        let moved = tree.move_children(&behind).await.context("the regions")?;
        if moved.changes.is_empty() {
            bail!("some regions could not be moved; the former root key still opens them");
        }
        let entries = moved.changes.iter().map(|change| of_change(intent, change));
        audit.append_all(entries.collect()).await.context("the audit log")?;
    }
    Ok(())
}

fn of_change(intent: &Entry, change: &Change) -> Entry {
    let mut entry = intent.outcome(AuditResult::Done);
    entry.key = Some(change.key.clone());
    entry.key_id = Some(change.key_id);
    entry.change = Some(StateChange {
        key_id: change.key_id,
        epoch: change.epoch,
        record_hash: Digest::from_bytes(change.record_hash),
        generation: change.generation,
    });
    entry
}
