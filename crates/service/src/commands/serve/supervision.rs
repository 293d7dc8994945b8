//! What a supervisor that speaks systemd's protocol (`sd_notify`) is told: ready, reloading, stopping, and that
//! the service is alive. Without `NOTIFY_SOCKET` nobody is told anything.
//!
//! The watchdog is about this process: it is alive while its runtime runs tasks, the store's thread answers, and
//! the audit log's thread and disk answer, an error being an answer too. It is not about the token: while that
//! is away, keys in memory go on serving, and a restart would lose them. Nor is a full disk a reason: a restart
//! does not empty it, and what stops a key still gets through. A thread or a disk that hangs is one: nothing can
//! be recorded, so nothing is served. What is not ready stands in the status line.

use std::{env, sync::Arc, time::Duration};

use claviger_operations::{Operations, Part};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The doors are open.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it, whatever it came to.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the clock cannot be read"),
    }
}

/// The doors are closing.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("letting requests finish")]);
}

/// Pings the watchdog twice in its time, as long as every part answers. Never returns.
pub(crate) async fn keep_alive(operations: Arc<Operations>) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return std::future::pending().await;
    };
    let mut every = interval(limit / 2);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match timeout(limit / 4, operations.until_parts_answer()).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(_) => tracing::error!(
                "the store or the audit log does not answer; the watchdog is not told that all is well"
            ),
        }
    }
}

/// Keeps the status line: the readiness, which asks the token too. Never returns.
pub(crate) async fn keep_status(operations: Arc<Operations>) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let mut every = interval(BETWEEN_STATUSES);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let readiness = operations.readiness().await;
        let parts = [
            ("token", &readiness.token),
            ("store", &readiness.store),
            ("audit log", &readiness.audit),
        ];
        let not: Vec<_> =
            parts.iter().filter(|(_, part)| **part != Part::Ready).map(|(name, _)| *name).collect();
        let status = match not.as_slice() {
            [] => "ready".to_owned(),
            not => format!("not ready: {}; the log says why", not.join(", ")),
        };
        tell(&[NotifyState::Status(&status)]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the supervisor could not be told");
    }
}

const BETWEEN_STATUSES: Duration = Duration::from_secs(5);
