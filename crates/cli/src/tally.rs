//! Many files, one after the other or a few at a time: what became of each, and how the run ends.
//!
//! Invariants: an error of one file does not stop the others, except when the service is out of reach; every
//! file is counted once; the run succeeds only when nothing failed.

use std::{collections::BTreeMap, future::Future, path::PathBuf, sync::Arc};

use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    error::{CliError, Result},
    problem::Problem,
    progress::Progress,
    reply::{Lines, Reply},
    session::Session,
};

/// Counts by what was done, and the failures.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<String, u64>,
    failed: u64,
    listed: Vec<serde_json::Value>,
    first: Option<CliError>,
    alike: bool,
}

impl Tally {
    /// Counts what was not worked on.
    pub(crate) fn count(&mut self, what: &str, number: u64) {
        if number > 0 {
            *self.counts.entry(what.to_owned()).or_default() += number;
        }
    }

    /// Counts a failure, and tells it.
    pub(crate) fn fail(&mut self, progress: &Progress, file: &str, error: CliError) {
        progress.tell(&format!("{file}: {error}"));
        let problem = error.problem();
        if self.listed.len() < MOST_LISTED {
            let failure =
                json!({"file": file, "code": problem.code(), "message": error.to_string()});
            self.listed.push(failure);
        }
        self.alike =
            self.first.as_ref().is_none_or(|first| self.alike && first.problem() == problem);
        self.failed += 1;
        self.first.get_or_insert(error);
    }

    /// Works on every file, at most `jobs` at a time; `work` gives what was done, in a word or two.
    pub(crate) async fn run<W>(
        &mut self,
        session: &Session,
        progress: &Arc<Progress>,
        jobs: u8,
        files: Vec<PathBuf>,
        work: impl Fn(PathBuf) -> W,
    ) -> Result<()>
    where
        W: Future<Output = Result<String>> + Send + 'static,
    {
        let mut files = files.into_iter();
        let mut running = JoinSet::new();
        let mut unavailable = false;
        loop {
            while !unavailable
                && !session.stop.is_requested()
                && running.len() < usize::from(jobs)
                && let Some(file) = files.next()
            {
                let name = file.display().to_string();
                let work = work(file);
                running.spawn(async move { (name, work.await) });
            }
            let Some(ended) = running.join_next().await else { break };
            match ended.map_err(anyhow::Error::from)? {
                (_, Ok(what)) => self.count(&what, 1),
                (name, Err(error)) => {
                    unavailable |= error.problem() == Problem::Unavailable;
                    self.fail(progress, &name, error);
                }
            }
        }
        self.count("not tried", files.count() as u64);
        Ok(())
    }

    /// The summary; written here when something failed, for then the run ends with an error: the one that
    /// all failures have in common if nothing was done, else [`CliError::Partial`].
    pub(crate) fn finish(self, session: &Session, work: &[&str]) -> Result<Option<Reply>> {
        let mut lines = Lines::default();
        for (what, number) in &self.counts {
            lines = lines.with(what, number);
        }
        if self.failed > 0 {
            lines = lines.with("failed", self.failed);
        }
        let counts: BTreeMap<_, _> =
            self.counts.iter().map(|(what, number)| (what.replace(' ', "_"), number)).collect();
        let facts = json!({"counts": counts, "failed": self.failed, "failures": self.listed});
        let reply = Reply::new(&facts, lines.finish())?;
        let Some(first) = self.first else { return Ok(Some(reply)) };
        reply.write(session.json, &session.streams.output)?;
        let nothing =
            !self.counts.keys().any(|what| work.iter().any(|work| what.starts_with(work)));
        if nothing && self.alike {
            Err(first)
        } else {
            Err(CliError::Partial { failed: self.failed })
        }
    }
}

/// Most failures in the JSON summary; all are told on the standard error.
const MOST_LISTED: usize = 1000;
