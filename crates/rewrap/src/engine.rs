//! One run of a campaign: every source, pass after pass, until nothing is left to move.
//!
//! Invariants: what was moved is known from the envelopes alone, so a run may be killed at any moment and
//! begun again; the register only makes it visible, resumable and cancellable. A source that is out of reach does
//! not keep the others waiting; a refusal of the key service stops the run at once.

mod ledger;
mod look;
mod mover;
mod pass;

use std::{collections::BTreeMap, fmt, sync::Arc};

use claviger_envelope::{Envelopes, Provider};
use claviger_kms::{
    Campaign, CampaignCounts, CampaignMode, CampaignRegister, CampaignState, KeyManagementService,
    KeyMetadata, KeyPath, KeyState, KmsError, OpenCampaign,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    CampaignFile, Outcome, Report, Result, Source, SourceReport,
    decide::{self, Goal, Next},
    pace::Pace,
};
use ledger::Ledger;
use mover::Mover;
use pass::{PassEnd, Passes};

pub(crate) use look::look;

/// Runs campaigns with one key service and its register.
pub struct Runner {
    service: Arc<dyn KeyManagementService>,
    register: Arc<dyn CampaignRegister>,
    destination: Option<Destination>,
}

/// Another key service to move envelopes to: the data key is unwrapped by the one and wrapped by the other, the
/// payload stays. It passes through the runner, which needs `decrypt` there and `encrypt` and `decrypt` here.
#[derive(Clone)]
pub struct Destination {
    /// Whose service it is.
    pub provider: Provider,
    /// The service.
    pub service: Arc<dyn KeyManagementService>,
    /// The key there.
    pub key: KeyPath,
}

/// How far a run is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The source under way.
    pub source: String,
    /// Its pass, from 1.
    pub pass: u32,
    /// What this pass has found so far.
    pub counts: CampaignCounts,
    /// How many places the source has, roughly.
    pub estimate: Option<u64>,
}

impl Runner {
    /// A runner for keys of this service.
    #[must_use]
    pub fn new(
        service: Arc<dyn KeyManagementService>,
        register: Arc<dyn CampaignRegister>,
    ) -> Self {
        Self { service, register, destination: None }
    }

    /// Moves envelopes to this service instead of to a newer version. The campaign's mode is `rewrap`.
    #[must_use]
    pub fn to(mut self, destination: Destination) -> Self {
        self.destination = Some(destination);
        self
    }

    /// Runs the campaign until it is done, fails, or `stop` is asked for: then the batches under way are
    /// finished and the cursor is kept. `watch` hears of progress after every batch.
    ///
    /// # Errors
    /// When it could not begin: the key or the register is out of reach, or refuses.
    pub async fn run(
        &self,
        file: &CampaignFile,
        sources: &[Arc<dyn Source>],
        stop: &CancellationToken,
        watch: &(dyn Fn(&Snapshot) + Sync),
    ) -> Result<Report> {
        let started = Instant::now();
        if file.target.is_some() && self.destination.is_none() {
            return Err(KmsError::invalid(format!(
                "campaign {} moves envelopes to another key service: it is run, not watched",
                file.name
            ))
            .into());
        }
        let open = OpenCampaign { key: file.key.clone(), name: file.name.clone(), mode: file.mode };
        let record = file.patience.try_until(stop, || self.open(&open)).await?;
        let halt = stop.child_token();
        let ledger = Ledger::new(self.register.clone(), record.clone(), halt.clone());
        let work = async {
            let ended = self.work(file, &record, sources, &ledger, &halt, watch).await;
            ledger.finish();
            ended
        };
        let (ended, ()) = tokio::join!(work, ledger.report_every_second());
        let mut report = conclude(&record, ended, &ledger, started);
        report.moved_to = self.destination.as_ref().map(|destination| destination.key.clone());
        self.close(file, report, &ledger).await
    }

    /// The record of a new campaign or of the one to go on with. A key that a quarantine has just stopped has no
    /// primary version to move to; that passes.
    async fn open(&self, request: &OpenCampaign) -> Result<Campaign, KmsError> {
        let opened = self.register.open_campaign(request.clone()).await;
        let Err(KmsError::KeyUnusable { .. }) = opened else { return opened };
        // It may have one by now.
        let key = self.service.describe_key(&request.key).await?;
        if key.state == KeyState::Active { without_primary(&key.key) } else { opened }
    }

    /// Every source; what became of each, and the error that stopped the run.
    async fn work(
        &self,
        file: &CampaignFile,
        record: &Campaign,
        sources: &[Arc<dyn Source>],
        ledger: &Ledger,
        halt: &CancellationToken,
        watch: &(dyn Fn(&Snapshot) + Sync),
    ) -> Ended {
        let mut ended = Ended::default();
        let mover = Mover {
            envelopes: Envelopes::new(self.service.clone()).for_campaign(record.id),
            key: file.key.clone(),
            mode: file.mode,
            destination: self.destination.clone(),
            patience: file.patience,
            pace: Pace::new(file.rate),
            halt: halt.clone(),
        };
        for source in sources {
            if halt.is_cancelled() {
                ended.halted = true;
                break;
            }
            let mover = &mover;
            let source: &dyn Source = source.as_ref();
            let passes = Passes { file, mover, source, ledger, halt, watch };
            let goal = || self.goal(file, record, halt);
            let (report, end) = passes.run(goal).await;
            ended.sources.insert(source.name().to_owned(), report);
            match end {
                PassEnd::Done(next) => ended.next.push(next),
                PassEnd::Halted => {
                    ended.halted = true;
                    break;
                }
                PassEnd::Abort(error) => {
                    ended.error = Some(error);
                    break;
                }
            }
        }
        ended
    }

    /// Where envelopes go to, read anew for every pass: a rotation meanwhile moves the goal forward.
    async fn goal(
        &self,
        file: &CampaignFile,
        record: &Campaign,
        halt: &CancellationToken,
    ) -> Result<Goal, KmsError> {
        let key = describe(&*self.service, &file.key, file, halt).await?;
        let Some(destination) = &self.destination else {
            let primary = key.primary.unwrap_or(record.target).max(record.target);
            let newest = key.versions.iter().map(|version| version.version).max();
            return Ok(Goal::Version { key: key.id, primary, newest: newest.unwrap_or(primary) });
        };
        destination.goal(&key, file, halt).await
    }

    /// Writes the end into the register.
    async fn close(
        &self,
        file: &CampaignFile,
        mut report: Report,
        ledger: &Ledger,
    ) -> Result<Report> {
        let state = match report.outcome {
            Outcome::Complete => CampaignState::Complete,
            Outcome::Partial => CampaignState::Partial,
            Outcome::Stopped | Outcome::Failed => CampaignState::Open,
            Outcome::Cancelled | Outcome::Superseded => return Ok(report),
        };
        let never = CancellationToken::new();
        match file.patience.try_until(&never, || ledger.report(state)).await {
            Ok(()) => {}
            Err(error) if matches!(error, KmsError::Conflict { .. }) => {
                report.reason = Some(error.to_string());
                report.outcome = ledger.lost().map_or(Outcome::Superseded, |(outcome, _)| outcome);
            }
            Err(error) => {
                let reason = format!("the register was not told of the end: {error}");
                report.reason = Some(match report.reason.take() {
                    Some(earlier) => format!("{earlier}; {reason}"),
                    None => reason,
                });
            }
        }
        Ok(report)
    }
}

impl Destination {
    /// From this key to the one there.
    pub(crate) async fn goal(
        &self,
        from: &KeyMetadata,
        file: &CampaignFile,
        halt: &CancellationToken,
    ) -> Result<Goal, KmsError> {
        let there = describe(&*self.service, &self.key, file, halt).await?;
        if there.id == from.id {
            return Err(KmsError::invalid(format!(
                "{} of the target is the very key {} whose envelopes are to move",
                self.key, file.key
            )));
        }
        let readable = self.provider == Provider::CLAVIGER;
        Ok(Goal::Key { from: from.id, to: readable.then_some(there.id) })
    }
}

/// What the work left behind.
#[derive(Default)]
struct Ended {
    sources: BTreeMap<String, SourceReport>,
    next: Vec<Next>,
    error: Option<KmsError>,
    halted: bool,
}

fn conclude(record: &Campaign, ended: Ended, ledger: &Ledger, started: Instant) -> Report {
    let total = ended
        .sources
        .values()
        .fold(CampaignCounts::default(), |sum, source| sum.plus(&source.total));
    let (outcome, reason) = match (ledger.lost(), &ended.error) {
        (Some((outcome, reason)), _) => (outcome, Some(reason)),
        (None, Some(error)) => (Outcome::Failed, Some(error.to_string())),
        (None, None) if ended.halted => (Outcome::Stopped, None),
        (None, None) => match decide::campaign_state(&ended.next) {
            Some(CampaignState::Complete) => (Outcome::Complete, None),
            _ => (Outcome::Partial, None),
        },
    };
    Report {
        campaign: record.id,
        name: record.name.clone(),
        key: record.key.clone(),
        mode: record.mode,
        target: record.target,
        moved_to: None,
        outcome,
        reason,
        seconds: started.elapsed().as_secs_f64(),
        error: ended.error,
        total,
        sources: ended.sources,
    }
}

/// The key, once it has a primary version: after a quarantine that takes a moment.
async fn describe(
    service: &dyn KeyManagementService,
    path: &KeyPath,
    file: &CampaignFile,
    halt: &CancellationToken,
) -> Result<KeyMetadata, KmsError> {
    file.patience
        .try_until(halt, || async {
            let key = service.describe_key(path).await?;
            match key.primary {
                Some(_) => Ok(key),
                None => without_primary(path),
            }
        })
        .await
}

/// Retryable: the service makes a new primary version by itself.
fn without_primary<T>(path: &KeyPath) -> Result<T, KmsError> {
    Err(KmsError::unavailable(format!("{path} has no primary version now")))
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("provider", &self.provider)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Whether a mode needs the content in this process.
fn opens_content(mode: CampaignMode) -> bool {
    mode != CampaignMode::Rewrap
}
