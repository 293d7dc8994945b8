//! Calls in a closed loop: each connection sends its next call when the last was answered.
//!
//! So a slow service is asked less, and latencies say what a caller sees who waits; they say nothing of
//! callers who arrive whether the service keeps up or not.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Figure, Latencies, Usage};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Rounds; the cases of a table take turns within each.
    pub rounds: usize,
    /// Time of each case in each round. A quarter of it more goes before, to warm up.
    pub time: Duration,
    /// Length of the large file, bytes.
    pub file: u64,
}

/// One call: it ends well or panics.
pub type Calling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is measured, and what came of it.
pub struct Case {
    /// What tells it from the others, as columns.
    pub labels: Vec<String>,
    /// Calls at once.
    pub connections: usize,
    /// Keys, records or whatever a call is for.
    pub each: u32,
    /// The process that serves.
    pub service: u32,
    /// Makes the next call on the connection of this number.
    pub call: Arc<dyn Fn(usize) -> Calling + Send + Sync>,
    /// All calls of all rounds.
    pub latencies: Latencies,
    /// Keys or records a second.
    pub rate: Figure,
    /// Processor time of the service for each, nanoseconds.
    pub service_time: Figure,
    /// Processor time of this process for each, nanoseconds.
    pub client_time: Figure,
}

impl Case {
    /// Nothing measured yet.
    #[must_use]
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        labels: &[&str],
        connections: usize,
        each: u32,
        service: u32,
        call: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Self {
        Self {
            labels: labels.iter().map(ToString::to_string).collect(),
            connections,
            each,
            service,
            call: Arc::new(move |connection| Box::pin(call(connection))),
            latencies: Latencies::default(),
            rate: Figure::default(),
            service_time: Figure::default(),
            client_time: Figure::default(),
        }
    }

    async fn round(&mut self, time: Duration) {
        let _warmed_up = closed_loop(self.connections, time / 4, &self.call).await;
        let (begun, service, client) = (Instant::now(), Usage::of(self.service), Usage::own());
        let latencies = closed_loop(self.connections, time, &self.call).await;
        let done = f64::from(u32::try_from(latencies.len()).unwrap()) * f64::from(self.each);
        self.rate.add(done / begun.elapsed().as_secs_f64());
        self.service_time.add(Usage::of(self.service).since(service) * 1e9 / done);
        self.client_time.add(Usage::own().since(client) * 1e9 / done);
        self.latencies.add(latencies);
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// Measures all cases, in turns.
pub async fn rounds(cases: &mut [Case], pace: Pace) {
    for _ in 0..pace.rounds {
        for case in &mut *cases {
            case.round(pace.time).await;
        }
    }
}

/// Calls for this long on each connection, and says how long each call took.
///
/// # Panics
/// When a call does.
pub async fn closed_loop(
    connections: usize,
    time: Duration,
    call: &Arc<dyn Fn(usize) -> Calling + Send + Sync>,
) -> Vec<Duration> {
    let end = Instant::now() + time;
    let callers: Vec<_> = (0..connections)
        .map(|connection| {
            let call = Arc::clone(call);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let begun = Instant::now();
                    if begun >= end && !latencies.is_empty() {
                        break latencies;
                    }
                    call(connection).await;
                    latencies.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    all
}
