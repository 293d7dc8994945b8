//! `claviger campaign watch`.

use std::{fs::File, io::Write as _, path::PathBuf, sync::Arc, time::Duration};

use claviger_client::Client;
use claviger_rewrap::{Event, Runner, Watched, watch};
use serde_json::json;

use super::run::follow;
use crate::{
    error::{CliError, Result},
    reply::printable,
    session::Session,
};

pub(super) async fn run(
    session: &Session,
    client: &Client,
    files: Vec<PathBuf>,
    every: u64,
) -> Result<()> {
    let runner = Runner::new(session.service.clone(), Arc::new(client.clone()));
    let (streams, json, cleanup) = (session.streams.share()?, session.json, session.stop.cleanup());
    let (stop, service) = (follow(&session.stop), session.service.clone());
    let watching = tokio::spawn(async move {
        let _cleanup = cleanup;
        let mut files: Vec<_> = files.into_iter().map(Watched::new).collect();
        let tell = |event: Event<'_>| write(&streams.output, json, &event);
        watch(&service, &runner, &mut files, Duration::from_secs(every), &stop, &tell).await;
    });
    watching.await.map_err(anyhow::Error::from)?;
    Ok::<_, CliError>(())
}

/// One line for one event.
fn write(mut output: &File, json: bool, event: &Event<'_>) {
    let (text, facts) = match event {
        Event::Begins { path, key } => (
            format!("{}: older versions of {key} may be in use: a run begins", path.display()),
            json!({"event": "begins", "file": path, "key": key}),
        ),
        Event::Ended { path, report } => (
            format!(
                "{}: {}: {} moved, {} left{}",
                path.display(),
                report.outcome.as_str(),
                report.total.moved,
                report.sources.values().map(|source| source.last_pass.left()).sum::<u64>(),
                report.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default()
            ),
            json!({"event": "ended", "file": path, "report": report}),
        ),
        Event::Failed { path, reason } => (
            format!("{}: {reason}", path.display()),
            json!({"event": "failed", "file": path, "reason": reason}),
        ),
        _ => return,
    };
    let line = if json { facts.to_string() } else { printable(&text) };
    // Whoever closed the output does not want to be told.
    let _ = output.write_all(format!("{line}\n").as_bytes());
}
