//! How long calls took, and which part of them took no longer than what.

use std::time::Duration;

/// The times of many calls.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds those of a round.
    pub fn add(&mut self, round: impl IntoIterator<Item = Duration>) {
        self.0.extend(round);
    }

    /// The time within which this share of the calls, in thousandths, was answered: the nearest rank, so
    /// always one that was measured. `None` where too few calls were made to tell: the share that is left
    /// out must be ten calls at least.
    ///
    /// # Panics
    /// When the share is not between 1 and 999.
    #[must_use]
    pub fn within(&self, thousandths: usize) -> Option<Duration> {
        assert!((1..1000).contains(&thousandths), "{thousandths} thousandths");
        if self.0.len() * (1000 - thousandths) < 10 * 1000 {
            return None;
        }
        let mut sorted = self.0.clone();
        let rank = (sorted.len() * thousandths).div_ceil(1000);
        Some(*sorted.select_nth_unstable(rank - 1).1)
    }

    /// As it stands in a table.
    #[must_use]
    pub fn text_within(&self, thousandths: usize) -> String {
        let within = self.within(thousandths);
        within.map_or_else(|| "–".to_owned(), |time| super::time(time.as_secs_f64() * 1e9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_to(most: u64) -> Latencies {
        // Backwards: the order in which calls end says nothing.
        Latencies((1..=most).rev().map(Duration::from_micros).collect())
    }

    #[test]
    fn the_share_is_of_the_nearest_rank() {
        let latencies = one_to(10_000);
        assert_eq!(latencies.within(500), Some(Duration::from_micros(5000)));
        assert_eq!(latencies.within(990), Some(Duration::from_micros(9900)));
        assert_eq!(latencies.within(999), Some(Duration::from_micros(9990)));
    }

    #[test]
    fn says_nothing_of_a_tail_it_has_not_seen() {
        assert_eq!(one_to(9_999).within(999), None);
        assert_eq!(one_to(999).within(990), None);
        assert_eq!(one_to(999).text_within(990), "–");
        assert_eq!(one_to(19).within(500), None);
        assert_eq!(one_to(20).within(500), Some(Duration::from_micros(10)));
    }
}
