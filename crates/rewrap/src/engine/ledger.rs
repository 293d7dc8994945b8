//! The run as the register sees it: written every second, and at the end.
//!
//! Invariant: a record is written only at the revision this run saw last. A conflict means that another runner
//! took over or somebody cancelled: then the run halts. A register out of reach does not stop the run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use claviger_kms::{
    Campaign, CampaignRegister, CampaignState, KmsError, ReportCampaign, SourceProgress,
};
use tokio::{sync::Mutex as AsyncMutex, time};
use tokio_util::sync::CancellationToken;

use crate::Outcome;

pub(super) struct Ledger {
    register: Arc<dyn CampaignRegister>,
    written: AsyncMutex<Campaign>,
    now: Mutex<BTreeMap<String, SourceProgress>>,
    lost: Mutex<Option<(Outcome, String)>>,
    halt: CancellationToken,
    finished: CancellationToken,
}

impl Ledger {
    pub(super) fn new(
        register: Arc<dyn CampaignRegister>,
        record: Campaign,
        halt: CancellationToken,
    ) -> Self {
        let now = Mutex::new(record.sources.clone());
        Self {
            register,
            written: AsyncMutex::new(record),
            now,
            lost: Mutex::default(),
            halt,
            finished: CancellationToken::new(),
        }
    }

    /// How far a source is, as this run or an earlier one left it.
    pub(super) fn progress(&self, source: &str) -> SourceProgress {
        lock(&self.now).get(source).cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, source: &str, progress: SourceProgress) {
        lock(&self.now).insert(source.to_owned(), progress);
    }

    /// Why this run may not go on, if another or a person took the campaign from it.
    pub(super) fn lost(&self) -> Option<(Outcome, String)> {
        lock(&self.lost).clone()
    }

    /// Ends [`report_every_second`](Self::report_every_second).
    pub(super) fn finish(&self) {
        self.finished.cancel();
    }

    pub(super) async fn report_every_second(&self) {
        let mut ticks = time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.finished.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.report(CampaignState::Open).await {
                tracing::warn!(%error, "progress was not reported");
                if self.lost().is_some() {
                    return;
                }
            }
        }
    }

    /// Writes how far the run is.
    pub(super) async fn report(&self, state: CampaignState) -> Result<(), KmsError> {
        let mut written = self.written.lock().await;
        let sources = lock(&self.now).clone();
        if written.state == state && written.sources == sources {
            // Somebody may have cancelled it all the same.
            let record = self.register.describe_campaign(written.id).await?;
            return self.compare(&record, &written);
        }
        let report = ReportCampaign {
            id: written.id,
            expected_revision: written.revision,
            state,
            sources: sources.clone(),
        };
        match self.register.report_campaign(report).await {
            Ok(record) => *written = record,
            Err(KmsError::Conflict { .. }) => {
                let record = self.register.describe_campaign(written.id).await?;
                return self.compare(&record, &written);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Halts unless the record is the one this run has written.
    fn compare(&self, record: &Campaign, written: &Campaign) -> Result<(), KmsError> {
        if record.revision == written.revision {
            return Ok(());
        }
        let (outcome, reason) = match record.state {
            CampaignState::Cancelled => (Outcome::Cancelled, "the campaign was cancelled"),
            _ => (Outcome::Superseded, "another runner works on this campaign; this one stopped"),
        };
        *lock(&self.lost) = Some((outcome, reason.to_owned()));
        self.halt.cancel();
        Err(KmsError::conflict(reason))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
