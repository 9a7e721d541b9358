//! The playout policy that Mirror publishes, to be measured beside ours.
//!
//! Its buffer is two intervals and the deviation of the delivery time; a drift of more than an interval from that is
//! caught up with at +2 % or waited for at -4 %; a timeline further away than the buffer is long is set at once.
//!
//! Modelled on `SnapshotInterpolation.cs` of Mirror (MIT), with its defaults: averages over one second of drift and two of
//! delivery times.

use tickwire_protocol::Micros;

const CATCH_UP: f64 = 0.02;
const SLOW_DOWN: f64 = 0.04;
/// The interval, and one more: its dynamic adjustment tolerance.
const INTERVALS: f64 = 2.0;

/// An exponential moving average over about `samples`, with its variance.
#[derive(Clone, Copy, Debug)]
struct Average {
    alpha: f64,
    value: Option<f64>,
    variance: f64,
}

impl Average {
    fn over(samples: f64) -> Self {
        Self { alpha: 2.0 / (samples + 1.0), value: None, variance: 0.0 }
    }

    fn add(&mut self, sample: f64) {
        let Some(value) = self.value else {
            self.value = Some(sample);
            return;
        };
        let delta = sample - value;
        self.value = Some(value + self.alpha * delta);
        self.variance = (1.0 - self.alpha) * (self.variance + self.alpha * delta * delta);
    }
}

/// Where a Mirror client would be in the server's time. Seconds within.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    interval: f64,
    drift: Average,
    delivery: Average,
    timeline: Option<f64>,
    timescale: f64,
    last_frame: Micros,
    last_arrival: Option<Micros>,
}

impl Mirror {
    /// For snapshots at this rate.
    pub(crate) fn new(snapshot_hz: u32) -> Self {
        let hz = f64::from(snapshot_hz);
        Self {
            interval: 1.0 / hz,
            drift: Average::over(hz),
            delivery: Average::over(2.0 * hz),
            timeline: None,
            timescale: 1.0,
            last_frame: Micros::ZERO,
            last_arrival: None,
        }
    }

    /// A snapshot of this server time, the newest so far, has arrived.
    pub(crate) fn handle_snapshot(&mut self, now: Micros, time: Micros) {
        let newest = time.as_secs_f64();
        if let Some(last) = self.last_arrival.replace(now) {
            self.delivery.add(now.saturating_since(last).as_secs_f64());
        }
        let buffer = INTERVALS * self.interval + self.delivery.variance.sqrt();
        let timeline = match self.timeline {
            Some(timeline) => timeline.clamp(newest - 2.0 * buffer, newest),
            None => newest - buffer,
        };
        self.timeline = Some(timeline);
        self.drift.add(newest - timeline);
        let drift = self.drift.value.unwrap_or(buffer) - buffer;
        self.timescale = if drift > self.interval {
            1.0 + CATCH_UP
        } else if drift < -self.interval {
            1.0 - SLOW_DOWN
        } else {
            1.0
        };
    }

    /// The server time to show in the picture that is drawn now.
    pub(crate) fn advance(&mut self, now: Micros) -> Option<Micros> {
        let passed = now.saturating_since(self.last_frame).as_secs_f64();
        self.last_frame = now;
        let timeline = self.timeline.as_mut()?;
        *timeline += passed * self.timescale;
        Some(Micros((timeline.max(0.0) * 1e6) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_an_even_link_it_shows_two_intervals_behind_the_newest() {
        let mut mirror = Mirror::new(20);
        for frame in 0..1_200_u64 {
            let now = Micros(frame * 8_333);
            if frame % 6 == 0 {
                mirror.handle_snapshot(now, now);
            }
            let shown = mirror.advance(now);
            if frame > 600 {
                let behind = now.saturating_since(shown.unwrap()).0;
                assert!((99_000..160_000).contains(&behind), "{behind}");
            }
        }
    }

    #[test]
    fn it_is_never_further_ahead_than_the_newest_when_that_comes() {
        let mut mirror = Mirror::new(20);
        mirror.handle_snapshot(Micros(0), Micros(1_000_000));
        mirror.advance(Micros(2_000_000));
        mirror.handle_snapshot(Micros(2_000_000), Micros(1_050_000));
        assert_eq!(mirror.advance(Micros(2_000_000)), Some(Micros(1_050_000)));
    }
}
