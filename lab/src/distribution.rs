//! Samples in their thousands of millions, and what is told of them.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Parts of a unit that are told apart: a micrometre of a centimetre, a microsecond of a millisecond.
const PARTS: f64 = 1_000.0;

/// Three digits of every quantile are right; mean, root mean square and greatest are exact.
const DIGITS: u8 = 3;

/// Greatest sample whose quantiles can be told, in parts: 18 hours in milliseconds.
const PARTS_MAX: u64 = 1 << 36;

/// Samples that are not below 0.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: Histogram<u64>,
    sum: f64,
    sum_of_squares: f64,
    max: f64,
}

/// A distribution in a report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Of all samples.
    pub mean: f64,
    /// Nearest rank.
    pub p50: f64,
    /// Nearest rank.
    pub p99: f64,
    /// The greatest sample.
    pub max: f64,
    /// Root of the mean square.
    pub rms: f64,
}

impl Default for Distribution {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, PARTS_MAX, DIGITS);
        let histogram = histogram.unwrap_or_else(|_| unreachable!("bounds and digits are sound"));
        Self { histogram, sum: 0.0, sum_of_squares: 0.0, max: 0.0 }
    }
}

impl Distribution {
    /// Adds a sample; below 0 it counts as 0.
    pub fn add(&mut self, sample: f64) {
        let sample = sample.max(0.0);
        self.histogram.saturating_record((sample * PARTS).round() as u64);
        self.sum += sample;
        self.sum_of_squares += sample * sample;
        self.max = self.max.max(sample);
    }

    /// Adds all samples of another.
    pub fn merge(&mut self, other: &Self) {
        // It fits: both have the same bounds.
        let _ = self.histogram.add(&other.histogram);
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
        self.max = self.max.max(other.max);
    }

    /// How many samples there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The mean; 0 of none.
    pub fn mean(&self) -> f64 {
        self.sum / self.count().max(1) as f64
    }

    /// The sample that this share of all, 0 to 1, do not exceed, by nearest rank.
    pub fn quantile(&self, share: f64) -> f64 {
        let value = self.histogram.value_at_quantile(share) as f64 / PARTS;
        value.min(self.max)
    }

    /// What a report tells.
    pub fn summary(&self) -> Summary {
        let count = self.count().max(1) as f64;
        Summary {
            mean: self.mean(),
            p50: self.quantile(0.5),
            p99: self.quantile(0.99),
            max: self.max,
            rms: (self.sum_of_squares / count).sqrt(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact values are expected")]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_of_all_samples() {
        let (mut low, mut high) = (Distribution::default(), Distribution::default());
        (1..=50).for_each(|n| low.add(f64::from(n)));
        (51..=100).for_each(|n| high.add(f64::from(n)));
        low.merge(&high);
        let summary = low.summary();
        assert_eq!((low.count(), summary.mean, summary.max), (100, 50.5, 100.0));
        assert!((summary.p50 - 50.0).abs() < 0.1 && (summary.p99 - 99.0).abs() < 0.1, "{summary:?}");
        assert!((summary.rms - 58.168).abs() < 0.001);
        assert!((low.quantile(0.001) - 1.0).abs() < 0.01);
        assert_eq!(Distribution::default().summary().p99, 0.0);
    }
}
