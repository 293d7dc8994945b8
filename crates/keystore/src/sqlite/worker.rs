//! The one thread that runs SQL.
//!
//! Invariants: jobs run one after the other in the order they came; a job that was begun ends, also
//! when its caller has gone away; connection and lock go together, in this order, when the worker does.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{StoreError, sqlite::failure::Failure};

struct Job(Box<dyn FnOnce(&mut Connection) + Send>);

pub(super) struct Worker {
    path: PathBuf,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread, which keeps `lock` until its connection is closed.
    pub(super) fn start(path: PathBuf, connection: Connection, lock: File) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let at = path.clone();
        let thread = thread::Builder::new().name("key-store".to_owned()).spawn(move || {
            work(connection, queue, &at);
            drop(lock);
        })?;
        Ok(Self { path, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs a job and waits for its answer without blocking.
    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Job(Box::new(move |connection| {
            // Nobody may wait any more: the job was done all the same.
            let _ = reply.send(job(connection));
        }));
        let ended = || StoreError::Unavailable {
            reason: format!("{}: its thread has ended; restart the service", self.path.display()),
        };
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).await.map_err(|_| ended())?;
        let done = answer.await.map_err(|_| ended())?;
        done.map_err(|failure| failure.at(&self.path)).inspect_err(|error| match error {
            StoreError::Conflict { .. } => tracing::debug!(%error, "key store"),
            _ => tracing::error!(%error, "key store"),
        })
    }
}

fn work(mut connection: Connection, mut queue: mpsc::Receiver<Job>, path: &Path) {
    while let Some(Job(job)) = queue.blocking_recv() {
        job(&mut connection);
    }
    // Closing the last connection folds the write-ahead log into the file and removes it.
    if let Err((connection, error)) = connection.close() {
        tracing::warn!(path = %path.display(), %error, "key store not closed in order");
        drop(connection);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!(path = %self.path.display(), "the key store's thread panicked");
        }
    }
}

/// Jobs that may wait; further callers wait for room.
const QUEUE: usize = 256;
