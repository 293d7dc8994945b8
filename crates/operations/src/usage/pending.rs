//! A use that was counted, until it is durable.

use std::{sync::Arc, time::Duration};

use claviger_kms::{KmsError, Principal, Result, Timestamp};
use tokio::{sync::mpsc, time::Instant};

use super::{
    UseKind,
    counters::{Caller, Reserve, VersionCounters},
};

/// A counted use.
#[derive(Debug)]
#[must_use = "a use is answered only when it is durable"]
pub(crate) struct Pending(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    counters: Arc<VersionCounters>,
    caller: Arc<Caller>,
    kind: UseKind,
    number: u64,
    at: i64,
    asked: mpsc::UnboundedSender<Arc<VersionCounters>>,
}

impl Pending {
    pub(super) fn count(
        counters: Arc<VersionCounters>,
        principal: &Principal,
        kind: UseKind,
        asked: &mpsc::UnboundedSender<Arc<VersionCounters>>,
    ) -> Self {
        let at = Timestamp::now().as_millisecond();
        let caller = counters.caller(principal);
        let (number, reserve) = caller.count(kind, at);
        if reserve != Reserve::Ample {
            ask(&counters, asked);
        }
        Self((reserve == Reserve::Spent).then(|| {
            let asked = asked.clone();
            Waiting { counters, caller, kind, number, at, asked }
        }))
    }

    /// Waits until the use is durable.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] after the deadline.
    pub(crate) async fn durable(self) -> Result<()> {
        let Some(waiting) = self.0 else { return Ok(()) };
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut saved = std::pin::pin!(waiting.counters.saved.notified());
            saved.as_mut().enable();
            if waiting.caller.counter(waiting.kind).covers(waiting.number, waiting.at) {
                return Ok(());
            }
            ask(&waiting.counters, &waiting.asked);
            if tokio::time::timeout_at(deadline, saved).await.is_err() {
                tracing::error!("an operation was refused because its use could not be counted");
                return Err(KmsError::unavailable(
                    "the use could not be counted in the key store; the service's log says why",
                ));
            }
        }
    }
}

fn ask(counters: &Arc<VersionCounters>, asked: &mpsc::UnboundedSender<Arc<VersionCounters>>) {
    if counters.ask() {
        // Nobody listens any more: then nothing becomes durable, and whoever waits is refused.
        let _ = asked.send(Arc::clone(counters));
    }
}

/// Longest wait for a use to become durable, as for its audit record.
const DEADLINE: Duration = Duration::from_secs(2);
