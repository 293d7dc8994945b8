//! A watcher: sees that a key was rotated, and runs the campaigns of its sources.

use std::{path::PathBuf, sync::Arc, time::Duration};

use claviger_kms::{KeyManagementService, KeyPath};
use tokio_util::sync::CancellationToken;

use crate::{
    CampaignFile, Outcome, Report, Runner,
    decide::{self, LastRun},
    sources,
};

/// A campaign file that is watched, and what its last run came to.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    last: Option<LastRun>,
    /// What was wrong the last time, so that it is told once.
    wrong: Option<String>,
}

/// What a watcher tells, one after the other.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Older versions of the key may be in use: a run begins.
    Begins {
        /// The file.
        path: &'a PathBuf,
        /// The key.
        key: &'a KeyPath,
    },
    /// It ended.
    Ended {
        /// The file.
        path: &'a PathBuf,
        /// How.
        report: &'a Report,
    },
    /// It could not begin, or the key cannot be seen: it is tried again.
    Failed {
        /// The file.
        path: &'a PathBuf,
        /// Why.
        reason: &'a str,
    },
}

impl Watched {
    /// Watches the key of this file; it is read anew for every run.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, last: None, wrong: None }
    }
}

/// Looks at the keys now and `every` so often, and runs what is to be run, until `stop` is asked for.
pub async fn watch(
    service: &Arc<dyn KeyManagementService>,
    runner: &Runner,
    files: &mut [Watched],
    every: Duration,
    stop: &CancellationToken,
    tell: &(dyn Fn(Event<'_>) + Sync),
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for watched in files.iter_mut() {
            if stop.is_cancelled() {
                return;
            }
            let looked = look(service, runner, watched, stop, tell).await;
            let reason = looked.err();
            if let Some(reason) = reason.as_deref().filter(|_| reason != watched.wrong) {
                tell(Event::Failed { path: &watched.path, reason });
            }
            watched.wrong = reason;
        }
    }
}

/// Runs one file's campaign if its key asks for it.
async fn look(
    service: &Arc<dyn KeyManagementService>,
    runner: &Runner,
    watched: &mut Watched,
    stop: &CancellationToken,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(), String> {
    let path = watched.path.clone();
    let file = tokio::task::spawn_blocking(move || CampaignFile::read(&path)).await;
    let file = file.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let key = service.describe_key(&file.key).await.map_err(|error| error.to_string())?;
    if !decide::should_run(key.versions.len(), key.primary, watched.last) {
        return Ok(());
    }
    tell(Event::Begins { path: &watched.path, key: &file.key });
    let opened = sources::open(&file).await.map_err(|error| error.to_string())?;
    let report = runner.run(&file, &opened, stop, &|_| {}).await;
    let report = report.map_err(|error| error.to_string())?;
    let unfinished = report.sources.values().any(|source| source.reason.is_some());
    let conflicts = report.sources.values().any(|source| source.last_pass.conflicts > 0);
    let again = unfinished
        || conflicts
        || matches!(report.outcome, Outcome::Failed | Outcome::Stopped | Outcome::Superseded);
    watched.last = key.primary.map(|primary| LastRun { primary, again });
    tell(Event::Ended { path: &watched.path, report: &report });
    Ok(())
}
