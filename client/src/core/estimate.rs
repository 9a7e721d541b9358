//! How two clocks stand to each other: offset and drift from measurements of which some are bad.
//!
//! A ping's answer measures the offset and is wrong by at most half the round trip, however unevenly that went there and
//! back. Of the shortest round trips little can have been uneven: a measurement counts the less the longer its round trip is
//! compared with the shortest. Through all of them goes a line, by weighted least squares: offset and drift.
//!
//! If a measurement contradicts the best one by more than an uneven way can explain, a clock has jumped (a laptop slept): what was
//! measured before is forgotten.
//!
//! Modelled on NTP's clock filter (RFC 5905, section 10), and for the jumps on Marzullo's intersection.

use std::collections::VecDeque;

use tickwire_protocol::Micros;

/// Measurements that the line goes through: half a minute at a ping a second, in which quartz clocks that are 200 ppm apart
/// drift by 6 ms.
const MEASUREMENTS_MAX: usize = 32;

/// How fast two clocks may drift apart and not be taken for having jumped, parts per million: more than twice what quartz
/// does.
const DRIFT_PPM_MAX: u64 = 500;

/// How far apart clocks are thought to drift before anything is measured, parts per million, one standard deviation.
const DRIFT_PPM_USUAL: f64 = 100.0;

/// By how much two measurements may differ beside, microseconds, and by a sixteenth of the round trip: routes change. A jump that is
/// smaller is followed as drift is.
const SLACK: u64 = 20_000;

/// How wrong the best measurement may be, beside what its round trip allows, microseconds.
const ERROR_MIN: f64 = 500.0;

/// What one exchange tells of the offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    /// Server time minus client time, microseconds.
    pub(super) offset: i64,
    /// Microseconds.
    pub(super) round_trip: u64,
    /// When it was made, on the client's clock.
    pub(super) at: Micros,
}

impl Measurement {
    /// Whether both can be right. Half of a round trip may be all on one way, but what is uneven by much one time and not the
    /// other is longer one time: only the difference of two round trips can set two measurements apart.
    fn agrees_with(&self, older: &Self) -> bool {
        let age = self.at.saturating_since(older.at).0;
        let uneven = self.round_trip.abs_diff(older.round_trip) / 2;
        let slack = SLACK + self.round_trip.min(older.round_trip) / 16 + age / 1_000_000 * DRIFT_PPM_MAX;
        self.offset.abs_diff(older.offset) <= uneven.saturating_add(slack)
    }
}

/// A line through measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    /// Server time minus client time at the newest measurement, microseconds.
    pub(super) offset: i64,
    /// By how much the server's clock gains on the client's, seconds a second.
    pub(super) drift: f64,
}

/// The newest measurements that do not contradict each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimate {
    /// Oldest first.
    measurements: VecDeque<Measurement>,
}

impl Estimate {
    /// Adds a measurement; false if it contradicts those before it, which are forgotten.
    pub(super) fn add(&mut self, new: Measurement) -> bool {
        let agrees = self.best().is_none_or(|best| new.agrees_with(best));
        if !agrees {
            self.measurements.clear();
        }
        if self.measurements.len() == MEASUREMENTS_MAX {
            self.measurements.pop_front();
        }
        self.measurements.push_back(new);
        agrees
    }

    /// The shortest round trip of all; of equals the newest.
    pub(super) fn best(&self) -> Option<&Measurement> {
        self.measurements.iter().rev().min_by_key(|measurement| measurement.round_trip)
    }

    /// The line through all; `jitter` is by how much round trips vary, microseconds.
    pub(super) fn fit(&self, jitter: Micros) -> Option<Fit> {
        let (newest, best) = (self.measurements.back()?, self.best()?);
        let error_min = ERROR_MIN + jitter.0.min(1 << 40) as f64 / 2.0;
        // Seconds before the newest, microseconds from its offset, weight.
        let points = self.measurements.iter().map(|measurement| {
            let excess = (measurement.round_trip - best.round_trip) as f64 / 2.0;
            let error = error_min + excess;
            let before = newest.at.saturating_since(measurement.at).as_secs_f64();
            (-before, (measurement.offset - newest.offset) as f64, 1.0 / (error * error))
        });
        let (mut weight, mut time, mut offset) = (0.0, 0.0, 0.0);
        for (x, y, w) in points.clone() {
            weight += w;
            time += w * x;
            offset += w * y;
        }
        let (time, offset) = (time / weight, offset / weight);
        let (mut square, mut product) = (1.0 / (DRIFT_PPM_USUAL * DRIFT_PPM_USUAL), 0.0);
        for (x, y, w) in points {
            square += w * (x - time) * (x - time);
            product += w * (x - time) * (y - offset);
        }
        let limit = DRIFT_PPM_MAX as f64;
        let drift_ppm = (product / square).clamp(-limit, limit);
        let offset = newest.offset + (offset - time * drift_ppm) as i64;
        Some(Fit { offset, drift: drift_ppm / 1e6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JITTER: Micros = Micros(2_000);

    fn measurement(second: u64, offset: i64, round_trip: u64) -> Measurement {
        Measurement { offset, round_trip, at: Micros::from_secs(second) }
    }

    #[test]
    fn drift_is_found_through_uneven_round_trips() {
        let mut estimate = Estimate::default();
        for second in 0..32 {
            // 150 ppm; every third answer was held for 60 ms on its way back, which looks like 30 ms of offset.
            let held = if second % 3 == 0 { 60_000 } else { 0 };
            let wobble = second as i64 % 5 * 300 - 600;
            let offset = 1_000_000 + 150 * second as i64 - held / 2 + wobble;
            assert!(estimate.add(measurement(second, offset, 40_000 + held as u64)));
        }
        let fit = estimate.fit(JITTER).unwrap();
        assert!((fit.drift * 1e6 - 150.0).abs() < 20.0, "{fit:?}");
        assert!((fit.offset - (1_000_000 + 150 * 31)).abs() < 500, "{fit:?}");
    }

    #[test]
    fn one_measurement_is_believed_and_drift_is_not_guessed_from_two() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.fit(JITTER), None);
        estimate.add(measurement(1, -5_000, 30_000));
        assert_eq!(estimate.fit(JITTER), Some(Fit { offset: -5_000, drift: 0.0 }));
        estimate.add(measurement(2, -4_000, 30_000));
        let fit = estimate.fit(JITTER).unwrap();
        assert!(fit.drift < 20e-6 && (-4_500 - fit.offset).abs() < 20, "{fit:?}");
    }

    #[test]
    fn what_contradicts_is_a_jump_and_what_may_be_uneven_is_none() {
        let mut estimate = Estimate::default();
        assert!(estimate.add(measurement(1, 0, 30_000)));
        assert!(estimate.add(measurement(2, 100_000, 200_000)), "100 ms off, and 85 ms may be uneven");
        assert!(!estimate.add(measurement(3, 100_000, 30_000)));
        let mut estimate = Estimate::default();
        assert!(estimate.add(measurement(1, 0, 600_000)));
        assert!(!estimate.add(measurement(2, 100_000, 610_000)), "a long way is none that changes by itself");
        assert_eq!(estimate.fit(JITTER).unwrap().offset, 100_000);
    }

    #[test]
    fn hostile_measurements_do_no_harm() {
        let mut estimate = Estimate::default();
        for at in [0, 1, u64::MAX] {
            for offset in [-(1 << 60), 0, 1 << 60] {
                for round_trip in [0, u64::MAX] {
                    estimate.add(Measurement { offset, round_trip, at: Micros(at) });
                    let fit = estimate.fit(Micros(u64::MAX)).unwrap();
                    assert!(fit.drift.abs() <= 5e-4 && fit.offset.abs() <= 1 << 61, "{fit:?}");
                }
            }
        }
    }
}
