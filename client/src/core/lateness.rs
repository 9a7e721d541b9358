//! How late things are: a level that moves, and how far above it they may be.
//!
//! The level follows slow changes of the way (a phone that moves, a clock that drifts) within seconds. What is above it is
//! counted by classes of a millisecond, and old counts fade: so a quantile can be told that happens once in many seconds,
//! without one event of long ago keeping it up for ever. Until enough is counted a guess stands in, which knows that a way that
//! varies much from one time to the next is also one that is held up now and then.

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

/// Over how many samples the usual deviation is averaged, and how far away a sample counts in it at most, microseconds: it is to
/// tell of every day, not of outliers.
const DEVIATION_SAMPLES: i64 = 256;
const DEVIATION_MAX: i64 = 20_000;
/// No guess is further above the level than this, microseconds.
const GUESS_MAX: i64 = 130_000;

/// Samples that may be taken back: two seconds at 60 Hz, in which there is an answer to a ping.
const UNCONFIRMED_MAX: usize = 120;

/// Samples are clamped to this, microseconds either way: sums do not overflow.
const SAMPLE_MAX: i64 = 1 << 40;

/// What is thought to be above the level before there are samples enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess {
    /// At least so far, microseconds.
    pub(crate) above: i64,
    /// And so many usual deviations.
    pub(crate) deviations: i64,
    /// For how many samples it counts.
    pub(crate) weight: f32,
}

/// A level and the weights of what is above it.
#[derive(Clone, Debug)]
pub(crate) struct Lateness {
    level: Option<i64>,
    /// Samples that the level follows from, up to [`LEVEL_PART`].
    samples: i64,
    /// How far from the level samples usually are, microseconds.
    deviation: i64,
    /// Samples that it is averaged over, up to [`DEVIATION_SAMPLES`].
    deviation_samples: i64,
    guess: Guess,
    weights: Vec<f32>,
    /// Of the samples and the guess.
    total: f32,
    half_life: Micros,
    /// Up to when the weights have faded.
    faded: Option<Micros>,
    /// The classes of samples that may turn out to be mismeasured, and the deviation before them.
    unconfirmed: Vec<u16>,
    deviation_before: i64,
}

impl Lateness {
    /// Nothing known but a guess.
    pub(crate) fn new(half_life: Micros, guess: Guess) -> Self {
        Self {
            level: None,
            samples: 0,
            deviation: 0,
            deviation_samples: 0,
            guess,
            weights: vec![0.0; CLASSES],
            total: guess.weight,
            half_life,
            faded: None,
            unconfirmed: Vec::with_capacity(UNCONFIRMED_MAX),
            deviation_before: 0,
        }
    }

    /// Adds a sample, microseconds. `now` may be on any clock that does not go back.
    pub(crate) fn add(&mut self, now: Micros, sample: i64) {
        let sample = sample.clamp(-SAMPLE_MAX, SAMPLE_MAX);
        self.fade(now);
        let level = *self.level.get_or_insert(sample);
        let above = sample - level;
        let class = class_of(above);
        self.weights[class] += 1.0;
        self.total += 1.0;
        if self.unconfirmed.len() < UNCONFIRMED_MAX {
            self.unconfirmed.push(class as u16);
        }
        self.deviation_samples = (self.deviation_samples + 1).min(DEVIATION_SAMPLES);
        self.deviation += (above.abs().min(DEVIATION_MAX) - self.deviation) / self.deviation_samples;
        if self.samples < LEVEL_PART {
            self.samples += 1;
            self.level = Some(level + above / self.samples);
        } else {
            self.level = Some(level + above.clamp(-LEVEL_STEP_MAX, LEVEL_STEP_MAX) / LEVEL_PART);
        }
    }

    /// The clock that samples are measured with is right: so are all samples so far.
    pub(crate) fn confirm(&mut self) {
        self.unconfirmed.clear();
        self.deviation_before = self.deviation;
    }

    /// That clock was wrong. Begins anew at the next sample, with what is known of how far above the level samples are; those that
    /// were not confirmed are taken back.
    pub(crate) fn reset_level(&mut self) {
        for class in self.unconfirmed.drain(..) {
            let weight = &mut self.weights[usize::from(class)];
            let counted = weight.min(1.0);
            *weight -= counted;
            self.total -= counted;
        }
        self.deviation = self.deviation_before;
        self.level = None;
        self.samples = 0;
    }

    /// How far from the level samples usually are, microseconds.
    pub(crate) fn deviation(&self) -> i64 {
        self.deviation
    }

    /// Guesses anew, microseconds above the level, with the weight that is left of the first guess.
    pub(crate) fn guess(&mut self, above: i64) {
        self.guess.above = above.clamp(0, GUESS_MAX);
    }

    /// What this share of samples, 0 to 1, is above, microseconds; nothing before the first sample.
    pub(crate) fn above(&self, share: f32) -> Option<i64> {
        let allowed = share * self.total;
        let guess = self.guess.above + self.guess.deviations * self.deviation;
        let guessed = class_of(guess.min(GUESS_MAX.max(self.guess.above)));
        let mut above = 0.0;
        let class = (0..CLASSES).rev().find(|&class| {
            above += self.weights[class] + if class == guessed { self.guess.weight } else { 0.0 };
            above > allowed
        });
        let upper = class.map_or(0, |class| (class as i64 + 1) * CLASS - BELOW);
        Some(self.level? + upper)
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
        self.guess.weight *= factor;
        self.weights.iter_mut().for_each(|weight| *weight *= factor);
        self.total = self.weights.iter().sum::<f32>() + self.guess.weight;
    }
}

fn class_of(above: i64) -> usize {
    ((above + BELOW) / CLASS).clamp(0, CLASSES as i64 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_LIFE: Micros = Micros(20_000_000);

    const NO_GUESS: Guess = Guess { above: 0, deviations: 0, weight: 0.0 };

    #[test]
    fn who_varies_more_is_thought_to_be_held_up_more() {
        let guess = |wobble: i64| {
            let mut lateness = Lateness::new(HALF_LIFE, Guess { deviations: 20, weight: 5.0, ..NO_GUESS });
            fill(&mut lateness, 0..10, |number| if number % 2 == 0 { wobble } else { -wobble });
            lateness.above(0.01).unwrap()
        };
        assert!((19_000..25_000).contains(&guess(1_000)), "{}", guess(1_000));
        assert!((75_000..90_000).contains(&guess(4_000)), "{}", guess(4_000));
        assert!(guess(19_000) < 140_000, "{}", guess(19_000));
    }

    fn fill(lateness: &mut Lateness, seconds: core::ops::Range<u64>, sample: impl Fn(u64) -> i64) {
        for number in seconds.start * 20..seconds.end * 20 {
            lateness.add(Micros(number * 50_000), sample(number));
        }
    }

    #[test]
    fn quantiles_are_above_the_level_and_follow_it() {
        let mut lateness = Lateness::new(HALF_LIFE, NO_GUESS);
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
        let mut lateness = Lateness::new(HALF_LIFE, NO_GUESS);
        fill(&mut lateness, 0..30, |_| 0);
        lateness.add(Micros(30_000_000), 200_000);
        assert!(lateness.above(0.001).unwrap() > 190_000);
        fill(&mut lateness, 30..60, |_| 0);
        assert!(lateness.above(0.001).unwrap() < 5_000);
    }

    #[test]
    fn what_a_wrong_clock_measured_is_taken_back() {
        let mut lateness = Lateness::new(HALF_LIFE, NO_GUESS);
        fill(&mut lateness, 0..10, |number| number as i64 % 2 * 2_000);
        lateness.confirm();
        let known = (lateness.above(0.01), lateness.deviation());
        fill(&mut lateness, 10..11, |_| 700_000);
        assert!(lateness.above(0.01).unwrap() > 600_000 && lateness.deviation() > known.1);
        lateness.reset_level();
        lateness.add(Micros(11_000_000), 1_000);
        assert_eq!(lateness.above(0.01).map(|above| above / 2_000), known.0.map(|above| above / 2_000));
        assert!((lateness.deviation() - known.1).abs() < 50, "{} {}", lateness.deviation(), known.1);
    }

    #[test]
    fn a_guess_holds_until_there_is_more() {
        let mut lateness = Lateness::new(HALF_LIFE, Guess { above: 75_000, deviations: 0, weight: 1.5 });
        lateness.add(Micros(0), 10_000);
        assert_eq!(lateness.above(0.01), Some(86_000));
        fill(&mut lateness, 0..60, |_| 10_000);
        assert_eq!(lateness.above(0.01), Some(11_000));
    }

    #[test]
    fn hostile_samples_do_no_harm() {
        let mut lateness = Lateness::new(HALF_LIFE, Guess { weight: 1.0, ..NO_GUESS });
        for (now, sample) in [(0, i64::MIN), (u64::MAX, i64::MAX), (0, 0), (u64::MAX, i64::MIN)] {
            lateness.add(Micros(now), sample);
            assert!(lateness.above(0.01).unwrap().abs() <= SAMPLE_MAX + (1 << 20));
        }
    }
}
