//! A fixed set of OS threads, each with a session of its own, and a deadline for every question.
//!
//! Invariants: a call into a module can hang for ever, so it runs on a thread that nobody waits for
//! longer than the deadline. A thread that is longer in one call counts as *hung*; when all are, every
//! question fails at once until one comes back, and [`Pool::hung`] tells the watchdog. A question whose
//! asker has gone is not asked.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{TokenError, link::Link, process::Claim, worker::Worker};

/// The threads, and the queue in front of them.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: mpsc::Sender<Job>,
    clocks: Arc<[Clock]>,
    epoch: Instant,
    deadline: Duration,
}

/// The threads themselves. Dropped after the pool, it waits until they have left the module: a process
/// that exits while a call runs can wait for ever in the module's own exit handlers.
#[derive(Debug)]
pub(crate) struct Threads {
    started: Vec<JoinHandle<()>>,
    patience: Duration,
}

struct Job(Box<dyn FnOnce(&mut Worker) + Send>);

/// When a thread's present call began, in milliseconds after the epoch; 0 while it is idle.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`TokenError::Unreachable`] when the operating system gives no thread.
    pub(crate) fn start(link: &Arc<Link>) -> Result<(Self, Threads), TokenError> {
        let deadline = link.settings().deadline;
        let threads = link.settings().sessions;
        let (queue, jobs) = mpsc::channel(threads * QUEUED_PER_THREAD);
        let jobs = Arc::new(Mutex::new(jobs));
        let clocks: Arc<[Clock]> = (0..threads).map(|_| Clock::default()).collect();
        let epoch = Instant::now();
        let mut started = Vec::with_capacity(threads);
        for number in 0..threads {
            let (link, jobs, clocks) = (Arc::clone(link), Arc::clone(&jobs), Arc::clone(&clocks));
            let work = move || {
                let Some(clock) = clocks.get(number) else { return };
                serve(Worker::new(link), &jobs, clock, epoch);
            };
            let thread = thread::Builder::new().name(format!("token-{number}")).spawn(work);
            started.push(thread.map_err(|source| TokenError::Unreachable {
                function: "a new thread",
                code: source.to_string(),
            })?);
        }
        Ok((Self { queue, clocks, epoch, deadline }, Threads { started, patience: deadline }))
    }

    /// Asks a question and waits for its answer until the deadline.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        function: &'static str,
        question: impl FnOnce(&mut Worker) -> Result<R, TokenError> + Send + 'static,
    ) -> Result<R, TokenError> {
        let late = || TokenError::TimedOut { function, deadline: self.deadline };
        if self.hung() == self.clocks.len() {
            return Err(late());
        }
        let (reply, answer) = oneshot::channel();
        let job = Job(Box::new(move |worker| {
            if reply.is_closed() {
                return;
            }
            if reply.send(question(worker)).is_err() {
                tracing::warn!(function, "the token answered after the deadline");
            }
        }));
        let asked = async {
            let stopped =
                || TokenError::Unreachable { function, code: "its threads have ended".to_owned() };
            self.queue.send(job).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        timeout(self.deadline, asked).await.map_err(|_| late())?
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.clocks.len()
    }

    /// How many threads are in one call for longer than the deadline.
    pub(crate) fn hung(&self) -> usize {
        let now = self.epoch.elapsed();
        self.clocks.iter().filter(|clock| clock.busy_for(now) > self.deadline).count()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if !Claim::wait_until_left(self.patience) {
            tracing::error!(
                "a call into the module still runs; ending this process may take force"
            );
            return;
        }
        // They have nothing left to do, so this does not wait.
        for thread in self.started.drain(..) {
            drop(thread.join());
        }
    }
}

impl Clock {
    fn start(&self, epoch: Instant) {
        let now = u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.store(now.max(1), Ordering::SeqCst);
    }

    fn stop(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    fn busy_for(&self, now: Duration) -> Duration {
        match self.0.load(Ordering::SeqCst) {
            0 => Duration::ZERO,
            since => now.saturating_sub(Duration::from_millis(since)),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

fn serve(mut worker: Worker, jobs: &Mutex<mpsc::Receiver<Job>>, clock: &Clock, epoch: Instant) {
    loop {
        // The lock is held while waiting, not while working: one thread waits, the others queue here.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(Job(work)) = job else { return };
        clock.start(epoch);
        work(&mut worker);
        clock.stop();
    }
}

/// Questions that may wait per thread before askers wait for room.
const QUEUED_PER_THREAD: usize = 16;
