//! A use that was counted, until it is durable.

use std::{sync::Arc, time::Duration};

use claviger_kms::{Principal, Timestamp};
use tokio::{sync::mpsc, time::Instant};

use super::{
    UseKind,
    counters::{Caller, Reserve, VersionCounters},
    writer::Outage,
};

/// A counted use.
#[derive(Debug)]
#[must_use = "a use is answered when it is durable, or when the store is known to be out of reach"]
pub(crate) struct Pending(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    counters: Arc<VersionCounters>,
    caller: Arc<Caller>,
    kind: UseKind,
    number: u64,
    at: i64,
    asked: mpsc::UnboundedSender<Arc<VersionCounters>>,
    outage: Arc<Outage>,
}

impl Pending {
    pub(super) fn count(
        counters: Arc<VersionCounters>,
        principal: &Principal,
        kind: UseKind,
        asked: &mpsc::UnboundedSender<Arc<VersionCounters>>,
        outage: &Arc<Outage>,
    ) -> Self {
        let at = Timestamp::now().as_millisecond();
        let caller = counters.caller(principal);
        let (number, reserve) = caller.count(kind, at);
        if reserve != Reserve::Ample {
            ask(&counters, asked);
        }
        Self((reserve == Reserve::Spent).then(|| {
            let (asked, outage) = (asked.clone(), Arc::clone(outage));
            Waiting { counters, caller, kind, number, at, asked, outage }
        }))
    }

    /// Waits until the use is durable. While the store cannot be written nobody waits: the use is in the audit
    /// log, and its count is written when the store is back.
    pub(crate) async fn durable(self) {
        let Some(waiting) = self.0 else { return };
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut saved = std::pin::pin!(waiting.counters.saved.notified());
            saved.as_mut().enable();
            if waiting.caller.counter(waiting.kind).covers(waiting.number, waiting.at) {
                return;
            }
            ask(&waiting.counters, &waiting.asked);
            let ended = tokio::select! {
                ended = tokio::time::timeout_at(deadline, saved) => ended.is_err(),
                () = waiting.outage.begun() => true,
            };
            // Not after a write at the last moment: no other might come to end the outage.
            if ended && !waiting.caller.counter(waiting.kind).covers(waiting.number, waiting.at) {
                waiting.outage.begin(&"the deadline passed");
            }
            if ended {
                return;
            }
        }
    }
}

fn ask(counters: &Arc<VersionCounters>, asked: &mpsc::UnboundedSender<Arc<VersionCounters>>) {
    if counters.ask() {
        // Nobody listens any more: the service stops, and writes exact numbers.
        let _ = asked.send(Arc::clone(counters));
    }
}

/// Longest wait for a use to become durable; a store that is slower counts as out of reach.
const DEADLINE: Duration = Duration::from_millis(500);
