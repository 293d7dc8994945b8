//! Passes over one source: batches in order, several at once, counted where they end.
//!
//! Invariants: the cursor stands after the last batch of which every earlier one is done too, and the counts are of
//! exactly those; at most `concurrency` batches are held at once.

use std::future::Future;

use claviger_kms::{CampaignCounts, Cursor, KmsError, SourceProgress};
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio_util::sync::CancellationToken;

use super::{
    Snapshot,
    ledger::Ledger,
    mover::{Mover, Stuck},
};
use crate::{
    Batch, CampaignFile, Findings, Place, Source, SourceError, SourceReport,
    decide::{self, Goal, Next},
};

pub(super) struct Passes<'a> {
    pub(super) file: &'a CampaignFile,
    pub(super) mover: &'a Mover,
    pub(super) source: &'a dyn Source,
    pub(super) ledger: &'a Ledger,
    pub(super) halt: &'a CancellationToken,
    pub(super) watch: &'a (dyn Fn(&Snapshot) + Sync),
}

/// A batch, or why there is none.
type Scanned = Result<Batch, SourceError>;
/// Where to go on: after a place, or from the beginning; none at the end.
type Resume = Option<Option<Place>>;
/// What a batch came to, and the place after it.
type Worked = Result<((CampaignCounts, Findings), Option<Place>), Stuck>;

/// How the passes over one source ended.
pub(super) enum PassEnd {
    /// With this verdict.
    Done(Next),
    /// The run is to halt; the cursor stands.
    Halted,
    /// The key service refused: nothing further may be tried.
    Abort(KmsError),
}

impl Passes<'_> {
    /// Passes until one finds nothing to do.
    pub(super) async fn run<F: Future<Output = Result<Goal, KmsError>>>(
        &self,
        find_goal: impl Fn() -> F,
    ) -> (SourceReport, PassEnd) {
        let mut report = SourceReport::default();
        let estimate = self.source.estimate().await.ok().flatten();
        let mut now = find_goal().await;
        loop {
            let goal = match now {
                Ok(goal) => goal,
                Err(_) if self.halt.is_cancelled() => return (report, PassEnd::Halted),
                Err(error) => return (report, PassEnd::Abort(error)),
            };
            let resumed = self.ledger.progress(self.source.name()).cursor.is_some();
            let end = self.pass(&goal, estimate, &mut report).await;
            match end {
                Ok(true) => {}
                Ok(false) | Err(Stuck::Halted) => return (report, PassEnd::Halted),
                // Not tried to the end.
                Err(_) if self.halt.is_cancelled() => return (report, PassEnd::Halted),
                Err(Stuck::Service(error)) => return (report, PassEnd::Abort(error)),
                Err(Stuck::Source(error)) => {
                    report.reason = Some(error.to_string());
                    return (report, PassEnd::Done(Next::Partial));
                }
            }
            now = find_goal().await;
            let whole = !resumed && now.as_ref().is_ok_and(|now| *now == goal);
            let (counts, passes) = (&report.last_pass, report.passes);
            match decide::after_pass(counts, whole, passes, self.file.passes) {
                Next::Again => {}
                next => return (report, PassEnd::Done(next)),
            }
        }
    }

    /// What every batch comes to, in order; `concurrency` of them are under way.
    fn batches<'s>(&'s self, goal: &'s Goal, first: Option<Place>) -> BoxStream<'s, Worked> {
        stream::unfold(Some(first), |after| self.scan(after))
            .map(|batch| self.work(goal, batch))
            .buffered(self.file.concurrency)
            .boxed()
    }

    /// The next batch, and where the one after it begins; `None` at the end, and when the run is to halt.
    fn scan(&self, after: Resume) -> BoxFuture<'_, Option<(Scanned, Resume)>> {
        async move {
            let after = after?;
            if self.halt.is_cancelled() {
                return None;
            }
            let scan = || self.source.scan(after.as_ref(), self.file.batch);
            let batch = self.file.patience.try_until(self.halt, scan).await;
            let next = batch.as_ref().ok().and_then(|batch| batch.next.clone()).map(Some);
            Some((batch, next))
        }
        .boxed()
    }

    fn work<'s>(&'s self, goal: &'s Goal, batch: Scanned) -> BoxFuture<'s, Worked> {
        async move {
            let batch = batch?;
            let next = batch.next.clone();
            Ok((self.mover.work(self.source, goal, batch).await?, next))
        }
        .boxed()
    }

    /// One pass; whether it came to its end.
    async fn pass(
        &self,
        goal: &Goal,
        estimate: Option<u64>,
        report: &mut SourceReport,
    ) -> Result<bool, Stuck> {
        let name = self.source.name();
        let mut progress = self.ledger.progress(name);
        if progress.cursor.is_none() {
            progress.counts = CampaignCounts::default();
        }
        let first = progress.cursor.as_ref().map(|cursor| Place(cursor.as_str().to_owned()));
        report.last_pass = progress.counts;
        report.findings = Findings::default();
        let mut worked = self.batches(goal, first);
        let mut ended = false;
        while let Some(done) = worked.next().await {
            let ((counts, findings), next) = done?;
            report.last_pass = report.last_pass.plus(&counts);
            report.total = report.total.plus(&counts);
            report.findings.extend(findings);
            ended = next.is_none();
            progress.cursor = next.and_then(|place| Cursor::try_from(place.0).ok());
            progress.counts = report.last_pass;
            if !ended {
                self.ledger.set(name, progress.clone());
            }
            (self.watch)(&Snapshot {
                source: name.to_owned(),
                pass: report.passes.saturating_add(1),
                counts: report.last_pass,
                estimate,
            });
        }
        if ended {
            report.passes = report.passes.saturating_add(1);
            let passes = progress.passes.saturating_add(1);
            self.ledger
                .set(name, SourceProgress { passes, cursor: None, counts: report.last_pass });
        }
        Ok(ended)
    }
}
