//! How late things are: a level that moves, and how far above it they may be.
//!
//! The level follows slow changes of the way (a phone that moves, a clock that drifts) within seconds. What is above it is
//! counted by classes of a millisecond, and old counts fade: so a quantile can be told that happens once in many seconds,
//! without one event of long ago keeping it up for ever.

use tickwire_protocol::Micros;

/// Width of a class, microseconds.
const CLASS: i64 = 1_000;
/// Classes, of which the first is for all that is further below the level than [`BELOW`].
const CLASSES: usize = 1_024;
/// How far below the level is still told apart, microseconds.
const BELOW: i64 = 100_000;

/// In which part of its half-life the counts fade by a step; small enough to look even.
const STEPS_PER_HALF_LIFE: u64 = 16;
/// By how much: the 16th root of a half.
const STEP_FACTOR: f32 = 0.957_603_3;

/// Which part of a difference the level follows at each sample: at 20 samples a second it takes 2 s.
const LEVEL_PART: i64 = 40;
/// Once it knows where it is, a sample moves it as if it were no further away than this, microseconds: an outlier hardly
/// counts.
const LEVEL_STEP_MAX: i64 = 10_000;

/// Samples are clamped to this, microseconds either way: sums do not overflow.
const SAMPLE_MAX: i64 = 1 << 40;

/// A level and the weights of what is above it.
#[derive(Clone, Debug)]
pub(crate) struct Lateness {
    level: Option<i64>,
    /// Samples that the level follows from, up to [`LEVEL_PART`].
    samples: i64,
    weights: Vec<f32>,
    total: f32,
    half_life: Micros,
    /// Up to when the weights have faded.
    faded: Option<Micros>,
}

impl Lateness {
    /// Nothing known but a guess, which counts as `guess_weight` samples of `guess` microseconds above the level.
    pub(crate) fn new(half_life: Micros, guess: i64, guess_weight: f32) -> Self {
        let mut lateness =
            Self { level: None, samples: 0, weights: vec![0.0; CLASSES], total: 0.0, half_life, faded: None };
        lateness.count(guess, guess_weight);
        lateness
    }

    /// Adds a sample, microseconds. `now` may be on any clock that does not go back.
    pub(crate) fn add(&mut self, now: Micros, sample: i64) {
        let sample = sample.clamp(-SAMPLE_MAX, SAMPLE_MAX);
        self.fade(now);
        let level = *self.level.get_or_insert(sample);
        let above = sample - level;
        self.count(above, 1.0);
        if self.samples < LEVEL_PART {
            self.samples += 1;
            self.level = Some(level + above / self.samples);
        } else {
            self.level = Some(level + above.clamp(-LEVEL_STEP_MAX, LEVEL_STEP_MAX) / LEVEL_PART);
        }
    }

    /// Begins anew at the next sample, with what is known of how far above the level samples are.
    pub(crate) fn reset_level(&mut self) {
        self.level = None;
        self.samples = 0;
    }

    /// What this share of samples, 0 to 1, is above, microseconds; nothing before the first sample.
    pub(crate) fn above(&self, share: f32) -> Option<i64> {
        let allowed = share * self.total;
        let mut above = 0.0;
        let class = self.weights.iter().rposition(|weight| {
            above += weight;
            above > allowed
        });
        let upper = class.map_or(0, |class| (class as i64 + 1) * CLASS - BELOW);
        Some(self.level? + upper)
    }

    fn count(&mut self, above: i64, weight: f32) {
        let class = ((above + BELOW) / CLASS).clamp(0, CLASSES as i64 - 1);
        self.weights[class as usize] += weight;
        self.total += weight;
    }

    fn fade(&mut self, now: Micros) {
        let step = Micros(self.half_life.0 / STEPS_PER_HALF_LIFE);
        let faded = *self.faded.get_or_insert(now);
        let steps = now.saturating_since(faded).0 / step.0.max(1);
        if steps == 0 {
            return;
        }
        self.faded = Some(faded + Micros(steps * step.0));
        // After that many nothing is left in any case.
        let factor = (0..steps.min(400)).fold(1.0, |factor, _| factor * STEP_FACTOR);
        self.weights.iter_mut().for_each(|weight| *weight *= factor);
        self.total = self.weights.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_LIFE: Micros = Micros(20_000_000);

    fn fill(lateness: &mut Lateness, seconds: core::ops::Range<u64>, sample: impl Fn(u64) -> i64) {
        for number in seconds.start * 20..seconds.end * 20 {
            lateness.add(Micros(number * 50_000), sample(number));
        }
    }

    #[test]
    fn quantiles_are_above_the_level_and_follow_it() {
        let mut lateness = Lateness::new(HALF_LIFE, 0, 0.0);
        assert_eq!(lateness.above(0.5), None);
        // One in a hundred is 60 ms late.
        let sample = |base: i64| move |number| base + if number % 100 == 7 { 60_000 } else { 0 };
        fill(&mut lateness, 0..60, sample(30_000));
        let [usual, rare] = [0.02, 0.005].map(|share| lateness.above(share).unwrap());
        assert!((30_000..33_000).contains(&usual), "{usual}");
        assert!((89_000..94_000).contains(&rare), "{rare}");
        fill(&mut lateness, 60..80, sample(50_000));
        let rare = lateness.above(0.005).unwrap();
        assert!((108_000..116_000).contains(&rare), "{rare}: 20 ms more, and within seconds");
    }

    #[test]
    fn an_event_is_known_at_once_and_forgotten_in_time() {
        let mut lateness = Lateness::new(HALF_LIFE, 0, 0.0);
        fill(&mut lateness, 0..30, |_| 0);
        lateness.add(Micros(30_000_000), 200_000);
        assert!(lateness.above(0.001).unwrap() > 190_000);
        fill(&mut lateness, 30..60, |_| 0);
        assert!(lateness.above(0.001).unwrap() < 5_000);
    }

    #[test]
    fn a_guess_holds_until_there_is_more() {
        let mut lateness = Lateness::new(HALF_LIFE, 75_000, 1.5);
        lateness.add(Micros(0), 10_000);
        assert_eq!(lateness.above(0.01), Some(86_000));
        fill(&mut lateness, 0..60, |_| 10_000);
        assert_eq!(lateness.above(0.01), Some(11_000));
    }

    #[test]
    fn hostile_samples_do_no_harm() {
        let mut lateness = Lateness::new(HALF_LIFE, 0, 1.0);
        for (now, sample) in [(0, i64::MIN), (u64::MAX, i64::MAX), (0, 0), (u64::MAX, i64::MIN)] {
            lateness.add(Micros(now), sample);
            assert!(lateness.above(0.01).unwrap().abs() <= SAMPLE_MAX + (1 << 20));
        }
    }
}
