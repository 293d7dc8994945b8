//! The rate limit: so many envelopes a second, over all sources and batches of a run.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Hands out turns; a turn for many envelopes pushes the next one back by as many.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: Option<u32>,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(per_second: Option<u32>) -> Self {
        Self { per_second, next: Mutex::new(None) }
    }

    /// Waits for the turn of this many envelopes; whether it came before `halt` was asked for.
    pub(crate) async fn turn(&self, envelopes: usize, halt: &CancellationToken) -> bool {
        let Some(per_second) = self.per_second.filter(|_| envelopes > 0) else { return true };
        let count = u32::try_from(envelopes).unwrap_or(u32::MAX);
        let length = Duration::from_secs(1) * count / per_second.max(1);
        let turn = {
            let mut next = self.next.lock().await;
            let turn = next.unwrap_or_else(Instant::now).max(Instant::now());
            *next = Some(turn + length);
            turn
        };
        tokio::select! {
            () = sleep_until(turn) => true,
            () = halt.cancelled() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_as_far_apart_as_the_rate_says() {
        let (pace, started) = (Pace::new(Some(100)), Instant::now());
        for _ in 0..6 {
            assert!(pace.turn(50, &CancellationToken::new()).await);
        }
        let took = started.elapsed().as_secs_f64();
        assert!((2.4..2.6).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_halt_ends_the_wait() {
        let (pace, halt) = (Pace::new(Some(1)), CancellationToken::new());
        assert!(pace.turn(1000, &halt).await);
        halt.cancel();
        assert!(!pace.turn(1, &halt).await);
    }
}
