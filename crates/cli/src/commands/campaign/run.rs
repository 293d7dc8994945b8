//! `claviger campaign plan` and `run`.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use claviger_client::Client;
use claviger_kms::KmsError;
use claviger_rewrap::{Outcome, Plan, Report, Runner, Snapshot, plan as look, sources};
use tokio_util::sync::CancellationToken;

use super::{read, target::destination, told};
use crate::{
    error::{CliError, Result},
    progress::Progress,
    reply::{Lines, Reply},
    session::Session,
    stop::Stop,
};

pub(super) async fn plan(session: &Session, path: PathBuf) -> Result<Reply> {
    let file = read(path).await?;
    let to = destination(&file)?;
    let opened = sources::open(&file).await.map_err(told)?;
    let stop = follow(&session.stop);
    let plan = look(&*session.service, to.as_ref(), &file, &opened, &stop).await;
    let plan = plan.map_err(told)?;
    Reply::new(&plan, text_of(&plan))
}

pub(super) async fn run(session: &Session, client: &Client, path: PathBuf) -> Result<()> {
    let file = read(path).await?;
    let mut runner = Runner::new(session.service.clone(), Arc::new(client.clone()));
    if let Some(destination) = destination(&file)? {
        runner = runner.to(destination);
    }
    let opened = sources::open(&file).await.map_err(told)?;
    let (streams, json, cleanup) = (session.streams.share()?, session.json, session.stop.cleanup());
    let stop = follow(&session.stop);
    let told_about = Told::new(file.name.as_str(), session.quiet || json);
    let running = tokio::spawn(async move {
        let _cleanup = cleanup;
        let watch = |now: &Snapshot| told_about.hear(now);
        let report = runner.run(&file, &opened, &stop, &watch).await.map_err(told)?;
        drop(told_about);
        Reply::new(&report, report.to_string())?.write(json, &streams.output)?;
        Ok::<_, CliError>(report)
    });
    let report = running.await.map_err(anyhow::Error::from)??;
    verdict(report)
}

/// How the program ends after this report.
fn verdict(report: Report) -> Result<()> {
    let reason = || report.reason.clone().unwrap_or_else(|| report.outcome.as_str().to_owned());
    match report.outcome {
        Outcome::Complete | Outcome::Stopped => Ok(()),
        Outcome::Partial => Err(CliError::CampaignPartial { name: report.name.to_string() }),
        Outcome::Cancelled | Outcome::Superseded => Err(KmsError::conflict(reason()).into()),
        _ => Err(report.error.unwrap_or_else(|| KmsError::unavailable(reason())).into()),
    }
}

/// A token that is cancelled soon after the program was asked to stop.
pub(in crate::commands) fn follow(stop: &Stop) -> CancellationToken {
    let (token, stop) = (CancellationToken::new(), stop.clone());
    let cancel = token.clone();
    tokio::spawn(async move {
        while !stop.is_requested() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cancel.cancel();
    });
    token
}

/// Progress on a terminal as a bar, else as a line from time to time.
struct Told {
    bar: Progress,
    quiet: bool,
    last: Mutex<(Instant, String, u32)>,
}

impl Told {
    fn new(name: &str, quiet: bool) -> Self {
        let last = Mutex::new((Instant::now(), String::new(), 0));
        Self { bar: Progress::counting(name, quiet), quiet, last }
    }

    fn hear(&self, now: &Snapshot) {
        self.bar.set_length(now.estimate);
        self.bar.set(now.counts.scanned);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let next_pass = (last.1.as_str(), last.2) != (now.source.as_str(), now.pass);
        let due = next_pass || last.0.elapsed() > BETWEEN_LINES;
        if due && !self.quiet && !self.bar.is_shown() {
            *last = (Instant::now(), now.source.clone(), now.pass);
            self.bar.tell(&format!(
                "{}: pass {}: {} scanned, {} moved, {} conflicts",
                now.source, now.pass, now.counts.scanned, now.counts.moved, now.counts.conflicts
            ));
        }
    }
}

fn text_of(plan: &Plan) -> String {
    let mut lines = Lines::default()
        .with("key", &plan.key)
        .with("primary", plan.primary)
        .with("to move", plan.to_move);
    if let Some(key) = &plan.moved_to {
        lines = lines.with("moved to", format!("{key} of the other key service"));
    }
    if let Some(seconds) = plan.seconds_at_rate {
        lines = lines.with("at the rate", format!("at least {seconds} seconds"));
    }
    for (name, source) in &plan.sources {
        let counts = format!(
            "{} scanned = {} to move + {} current + {} empty + {} foreign + {} malformed + {} refused",
            source.scanned,
            source.to_move,
            source.current,
            source.empty,
            source.foreign,
            source.malformed,
            source.refused
        );
        lines = lines.with(name, counts);
        for (version, count) in &source.versions {
            lines = lines.with("", format!("{count} under {version}"));
        }
        for (kind, places) in source.findings.kinds() {
            for place in places {
                lines = lines.with("", format!("{kind}: {} ({})", place.locator, place.reason));
            }
        }
    }
    lines.finish()
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);
