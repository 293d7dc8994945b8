//! Repeating what may pass: exponential backoff with jitter, and a time after which to give up.

use std::{future::Future, time::Duration};

use claviger_kms::{KmsError, fill_random};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::SourceError;

/// How long and how often to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    first: Duration,
    give_up: Duration,
}

/// Whether repeating may help.
pub(crate) trait MayPass {
    fn may_pass(&self) -> bool;
}

impl MayPass for KmsError {
    fn may_pass(&self) -> bool {
        self.is_retryable()
    }
}

impl MayPass for SourceError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl Patience {
    /// First pause in milliseconds, and the time to give up after in seconds.
    #[must_use]
    pub fn new(first_milliseconds: u64, give_up_seconds: u64) -> Self {
        Self {
            first: Duration::from_millis(first_milliseconds),
            give_up: Duration::from_secs(give_up_seconds),
        }
    }

    /// How long to go on before giving up.
    pub(crate) fn longest(&self) -> Duration {
        self.give_up
    }

    /// Tries until it works, fails for good, time is up or `stop` is asked for; then the last error.
    pub(crate) async fn try_until<T, E: MayPass, F: Future<Output = Result<T, E>>>(
        &self,
        stop: &CancellationToken,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, E> {
        let started = Instant::now();
        let mut pause = self.first;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if !error.may_pass() || started.elapsed() + pause > self.give_up {
                return Err(error);
            }
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                () = stop.cancelled() => return Err(error),
            }
            pause = (pause * 2).min(LONGEST);
        }
    }
}

/// Between half of it and all of it, so that many runners do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the pause is only less well spread.
    let _ = fill_random(&mut byte);
    pause.mul_f64(0.5 + f64::from(byte[0]) / 510.0)
}

const LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn tries(patience: Patience, error: KmsError) -> (u32, Duration) {
        let (count, started) = (Cell::new(0), Instant::now());
        let stop = CancellationToken::new();
        let ended: Result<(), _> = patience
            .try_until(&stop, || {
                count.set(count.get() + 1);
                let error = error.clone();
                async move { Err(error) }
            })
            .await;
        assert_eq!(ended, Err(error.clone()));
        (count.get(), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_repeated_until_time_is_up() {
        let (count, took) = tries(Patience::new(200, 60), KmsError::unavailable("away")).await;
        assert!(count > 8, "{count}");
        assert!(took <= Duration::from_secs(60), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_pass_is_tried_once() {
        assert_eq!(tries(Patience::new(200, 60), KmsError::Denied).await.0, 1);
    }
}
