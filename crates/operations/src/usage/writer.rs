//! The task that makes counters durable, many documents at a time.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use claviger_hierarchy::Hierarchy;
use claviger_kms::Result;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::counters::{Ahead, VersionCounters, name_of};

/// The task; it ends by itself when nobody can ask it any more.
#[derive(Debug)]
pub(super) struct Writer {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    pub(super) outage: Arc<Outage>,
}

/// Whether counters can be written.
#[derive(Debug)]
pub(super) struct Outage(watch::Sender<bool>);

impl Outage {
    /// Ends when, or while, they cannot.
    pub(super) async fn begun(&self) {
        // Fails only without a sender, which this is.
        let _ = self.0.subscribe().wait_for(|outage| *outage).await;
    }

    pub(super) fn begin(&self, why: &dyn std::fmt::Display) {
        if !self.0.send_replace(true) {
            tracing::error!(
                %why,
                "usage counters cannot be written; uses go on, and a crash before they are written would leave \
                 counts too low"
            );
        }
    }

    fn end(&self) {
        if self.0.send_replace(false) {
            tracing::info!("usage counters are written again");
        }
    }
}

impl Writer {
    pub(super) fn start(
        asks: mpsc::UnboundedReceiver<Arc<VersionCounters>>,
        hierarchy: &Arc<Hierarchy>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let outage = Arc::new(Outage(watch::Sender::new(false)));
        let task = write(asks, Arc::downgrade(hierarchy), stopped, Arc::clone(&outage));
        Self { task: Mutex::new(Some(tokio::spawn(task))), stop, outage }
    }

    /// Waits for the write under way.
    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return };
        if let Err(error) = task.await {
            tracing::error!(%error, "the task that writes usage counters ended abnormally");
        }
    }
}

async fn write(
    mut asks: mpsc::UnboundedReceiver<Arc<VersionCounters>>,
    hierarchy: Weak<Hierarchy>,
    mut stopped: watch::Receiver<bool>,
    outage: Arc<Outage>,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            received = asks.recv_many(&mut batch, BATCH) => if received == 0 { return },
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let Some(hierarchy) = hierarchy.upgrade() else { return };
        // Who asked again during a failed try is there twice.
        batch.sort_by_key(|counters| (counters.key_id, counters.version));
        batch.dedup_by_key(|counters| (counters.key_id, counters.version));
        while let Err(error) = save(&hierarchy, &batch, Ahead::Block).await {
            outage.begin(&error);
            if tokio::time::timeout(PAUSE, stopped.wait_for(|stopped| *stopped)).await.is_ok() {
                return;
            }
            read_again(&hierarchy, &batch).await;
        }
        outage.end();
        batch.clear();
    }
}

/// Writes exact numbers, where they are not.
pub(super) async fn save_exactly(hierarchy: &Hierarchy, all: &[Arc<VersionCounters>]) {
    let inexact: Vec<_> = all.iter().filter(|counters| counters.is_inexact()).cloned().collect();
    for batch in inexact.chunks(BATCH) {
        if let Err(error) = save(hierarchy, batch, Ahead::Nothing).await {
            tracing::warn!(%error, "usage counters stay up to a block too high");
        }
    }
}

async fn save(hierarchy: &Hierarchy, batch: &[Arc<VersionCounters>], ahead: Ahead) -> Result<()> {
    let documents: Vec<_> = batch.iter().map(|counters| counters.to_write(ahead)).collect();
    hierarchy.put_documents(documents.clone()).await?;
    for (counters, document) in batch.iter().zip(documents) {
        let revision = document.expected_revision.unwrap_or(0).saturating_add(1);
        counters.written(revision, &document.value, ahead);
    }
    Ok(())
}

/// After a failure the write may have been done all the same: then the next follows a later revision.
async fn read_again(hierarchy: &Hierarchy, batch: &[Arc<VersionCounters>]) {
    for counters in batch {
        let name = name_of(counters.key_id, counters.version);
        if let Ok(revision) = hierarchy.document_revision(&name).await {
            counters.set_revision(revision.unwrap_or(0));
        }
    }
}

/// Documents of one step.
const BATCH: usize = 64;

/// Between a failure and the next try.
const PAUSE: Duration = Duration::from_millis(200);
