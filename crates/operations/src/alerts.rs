//! Alerts: what a person must hear of now. Raised before the emergency is acted on, never waited for.
//!
//! Invariant: raising one never blocks and never fails the operation; when too many wait, the newest is
//! dropped and counted in the log. Delivery is one line of the log at level error, target `claviger::alert`.

use claviger_kms::{KeyPath, Principal, RequestId};
use tokio::sync::mpsc;

/// Something a person must hear of now.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    pub(crate) what: &'static str,
    /// None for what concerns all keys.
    pub(crate) key: Option<KeyPath>,
    pub(crate) by: Principal,
    pub(crate) request: RequestId,
}

/// Where alerts are put.
#[derive(Debug)]
pub(crate) struct Alerts {
    queue: mpsc::Sender<Alert>,
}

impl Alerts {
    /// Starts delivery, on a task of its own that ends when this is dropped.
    pub(crate) fn start() -> Self {
        let (queue, mut waiting) = mpsc::channel::<Alert>(MOST_WAITING);
        tokio::spawn(async move {
            while let Some(Alert { what, key, by, request }) = waiting.recv().await {
                let key = key.as_ref().map(tracing::field::display);
                tracing::error!(target: "claviger::alert", key, by = by.as_str(), %request, what);
            }
        });
        Self { queue }
    }

    pub(crate) fn raise(&self, alert: Alert) {
        if let Err(full) = self.queue.try_send(alert) {
            tracing::error!(%full, "an alert was dropped: too many wait");
        }
    }
}

const MOST_WAITING: usize = 1024;
