//! A number that was measured once a round, and how numbers are written.

/// One value a round.
#[derive(Debug, Clone, Default)]
pub struct Figure(Vec<f64>);

impl Figure {
    /// Adds the value of the next round.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The median over the rounds.
    ///
    /// # Panics
    /// When nothing was measured.
    #[must_use]
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let (below, above) = ((sorted.len() - 1) / 2, sorted.len() / 2);
        f64::midpoint(sorted[below], sorted[above])
    }

    /// This divided by the other, round by round.
    ///
    /// # Panics
    /// When they were not measured in the same rounds.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        assert_eq!(self.0.len(), other.0.len(), "a ratio is of values of the same rounds");
        Self(self.0.iter().zip(&other.0).map(|(this, other)| this / other).collect())
    }

    /// The same with each value changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|value| change(*value)).collect())
    }

    /// Median and, in brackets, the lowest and the highest round.
    ///
    /// # Panics
    /// When nothing was measured.
    #[must_use]
    pub fn spread(&self, write: impl Fn(f64) -> String) -> String {
        let sorted = self.sorted();
        let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
        format!("{} ({} – {})", write(self.median()), write(low), write(high))
    }

    /// As a ratio, with its spread.
    #[must_use]
    pub fn ratio(&self) -> String {
        self.spread(|ratio| format!("{ratio:.2}"))
    }

    fn sorted(&self) -> Vec<f64> {
        assert!(!self.0.is_empty(), "nothing was measured");
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// Three digits, thousands apart: `12,300`, `4.56`.
///
/// # Panics
/// On a value that no measurement gives.
#[must_use]
pub fn number(value: f64) -> String {
    if value < 0.0995 {
        return format!("{value:.4}");
    }
    if value < 999.5 {
        let whole = if value < 1.0 { 1 } else { digits(value) };
        return format!("{value:.*}", 3_usize.saturating_sub(whole));
    }
    let unit = 10_f64.powi(i32::try_from(digits(value)).unwrap() - 3);
    let text = format!("{:.0}", (value / unit).round() * unit);
    let mut grouped = String::new();
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A time, from nanoseconds.
#[must_use]
pub fn time(nanoseconds: f64) -> String {
    in_units(nanoseconds, 1000.0, &["ns", "µs", "ms", "s"])
}

/// A length.
#[must_use]
pub fn bytes(length: f64) -> String {
    in_units(length, 1024.0, &["B", "KiB", "MiB", "GiB"])
}

fn in_units(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut at = 0;
    while value >= step * 0.9995 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let text = number(value);
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {}", units[at])
}

/// Digits before the point of a value of at least 1.
fn digits(value: f64) -> usize {
    format!("{value:.0}").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(values: &[f64]) -> Figure {
        Figure(values.to_vec())
    }

    #[test]
    fn a_median_is_the_middle_or_between_the_two() {
        assert!((figure(&[9.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
        assert!((figure(&[4.0, 1.0, 2.0, 9.0]).median() - 3.0).abs() < 1e-9);
    }

    /// A machine that is half as fast in one round gives the same ratio there.
    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let ratio = figure(&[200.0, 100.0, 210.0]).over(&figure(&[100.0, 50.0, 100.0]));
        assert_eq!(ratio.ratio(), "2.00 (2.00 – 2.10)");
    }

    #[test]
    #[should_panic(expected = "same rounds")]
    fn refuses_a_ratio_of_different_rounds() {
        let _ = figure(&[1.0]).over(&figure(&[1.0, 2.0]));
    }

    #[test]
    #[should_panic(expected = "nothing was measured")]
    fn refuses_a_median_of_nothing() {
        let _ = Figure::default().median();
    }

    #[test]
    fn numbers_have_three_digits_and_their_unit() {
        assert_eq!(number(0.012_34), "0.0123");
        assert_eq!(number(0.1234), "0.12");
        assert_eq!(number(4.5678), "4.57");
        assert_eq!(number(98.76), "98.8");
        assert_eq!(number(999.7), "1,000");
        assert_eq!(number(12_345.6), "12,300");
        assert_eq!(number(1_234_567.0), "1,230,000");
        assert_eq!(time(999.96), "1 µs");
        assert_eq!(time(12_340.0), "12.3 µs");
        assert_eq!(time(2.5e9), "2.5 s");
        assert_eq!(bytes(32.0), "32 B");
        assert_eq!(bytes(65_536.0), "64 KiB");
        assert_eq!(bytes(1_073_741_824.0), "1 GiB");
    }
}
