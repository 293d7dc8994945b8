//! The log as its callers see it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    AuditConfig, AuditError, AuditHealth, Entry, Recovered, Sequence,
    disk::Disk,
    queue::Queue,
    recovery,
    writer::{Writer, health_of},
};

/// An open audit log. One process has it, any number of tasks append to it.
///
/// When it is dropped without [`close`](Self::close), what waits is still written, in the background.
#[derive(Debug)]
pub struct AuditLog {
    queue: Arc<Queue>,
    finished: watch::Receiver<bool>,
}

impl AuditLog {
    /// Opens the log in the configured directory, or begins one there, and finds its end.
    ///
    /// The directory is made if the one above exists. A tail that a crash left is cut off.
    ///
    /// # Errors
    /// [`AuditError::Configuration`], [`AuditError::InUse`] by another process,
    /// [`AuditError::Unusable`] when a file cannot be read or made, [`AuditError::Damaged`] when the log
    /// is not what was written, [`AuditError::Full`] when there is no room to begin one.
    pub async fn open(config: AuditConfig) -> Result<(Self, Recovered), AuditError> {
        Self::open_on(config, Disk::default()).await
    }

    pub(crate) async fn open_on(
        config: AuditConfig,
        disk: Disk,
    ) -> Result<(Self, Recovered), AuditError> {
        let failing = |error: &dyn std::fmt::Display| AuditError::Failing {
            reason: format!("the log cannot be opened: {error}"),
        };
        let for_store = config.clone();
        let (store, recovered) =
            tokio::task::spawn_blocking(move || recovery::open(for_store, disk))
                .await
                .map_err(|error| failing(&error))??;
        let queue = Arc::new(Queue::new(config.deadline, health_of(&store, None)));
        let (finish, finished) = watch::channel(false);
        let writer = Writer::new(Arc::clone(&queue), store, config);
        std::thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || {
                writer.run();
                let _ = finish.send(true);
            })
            .map_err(|error| failing(&error))?;
        Ok((Self { queue, finished }, recovered))
    }

    /// Records one entry and returns its number when it is durable.
    ///
    /// Dropping the future does not withdraw the entry.
    ///
    /// # Errors
    /// [`AuditError::Full`] at once when there is no room; [`AuditError::Failing`] when the disk
    /// fails, at once while it does not answer; [`AuditError::TimedOut`] after the deadline;
    /// [`AuditError::Closed`]. Except after `Full` and `Closed`, the entry may be found in the log
    /// nevertheless.
    pub async fn append(&self, entry: Entry) -> Result<Sequence, AuditError> {
        let sequences = self.append_all(vec![entry]).await?;
        sequences.first().copied().ok_or(AuditError::Closed)
    }

    /// Records entries under consecutive numbers and returns them when all are durable.
    ///
    /// # Errors
    /// As [`append`](Self::append), for all together.
    pub async fn append_all(&self, entries: Vec<Entry>) -> Result<Vec<Sequence>, AuditError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let reply = self.queue.put(entries)?;
        let deadline = self.queue.deadline();
        match tokio::time::timeout(deadline, reply).await {
            Ok(answer) => answer.unwrap_or(Err(AuditError::Closed)),
            Err(_) => Err(AuditError::TimedOut { deadline }),
        }
    }

    /// Whether the writer, and the disk under it, answer within the deadline. An answer may be an error: a disk
    /// that is full or refuses is not one that hangs. Writes no record.
    pub async fn answers(&self) -> bool {
        let Ok(reply) = self.queue.put(Vec::new()) else { return false };
        let answer = tokio::time::timeout(self.queue.deadline(), reply).await;
        matches!(answer, Ok(Ok(Ok(_))))
    }

    /// How the log is.
    #[must_use]
    pub fn health(&self) -> AuditHealth {
        self.queue.health()
    }

    /// Takes no more entries and returns when all that waited are durable or refused and the
    /// directory is free for another process. Can be called again.
    pub async fn close(&self) {
        self.queue.close();
        // An error means that the writer ended without a word: it is gone all the same.
        let _ = self.finished.clone().wait_for(|finished| *finished).await;
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_shared_between_threads() {
        fn shared<T: Send + Sync + std::fmt::Debug>() {}
        shared::<AuditLog>();
    }
}
