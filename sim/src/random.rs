//! Chance that every target and every replay agrees on.

use core::ops::Range;

/// A small stream of pseudo-random numbers; not for secrets.
///
/// It is a counter that is hashed, so any stream is found at once from what names it (see
/// [`StepContext::random`](crate::StepContext::random)): nothing is carried from tick to tick.
///
/// Modelled on SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Clone, Debug)]
pub struct Random {
    counter: u64,
}

impl Random {
    /// The stream of a seed. Neighbouring seeds give unrelated streams.
    pub fn from_seed(seed: u64) -> Self {
        Self { counter: mix(seed) }
    }

    /// The stream that belongs to these three.
    pub(crate) fn of(seed: u64, tick: u32, entity: u32) -> Self {
        Self::from_seed(mix(seed) ^ (u64::from(tick) << 32 | u64::from(entity)))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.counter)
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// From 0 up to, not including, 1; in steps of 2^-24.
    pub fn unit_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Evenly from `range`; rounding may give its end.
    pub fn range_f32(&mut self, range: Range<f32>) -> f32 {
        range.start + (range.end - range.start) * self.unit_f32()
    }

    /// From 0 up to, not including, `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit_f32() < probability
    }
}

fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_its_published_values() {
        // The first outputs of SplitMix64 from the state 1234567, as in the reference implementation.
        let mut random = Random { counter: 1_234_567 };
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_differ_by_seed_tick_and_entity() {
        let mut firsts: Vec<_> = (0..4_u32)
            .flat_map(|seed| (0..4).flat_map(move |tick| (0..4).map(move |entity| (seed, tick, entity))))
            .map(|(seed, tick, entity)| Random::of(u64::from(seed), tick, entity).next_u64())
            .collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 64);
    }

    #[test]
    fn draws_are_even_and_within_bounds() {
        let mut random = Random::from_seed(1);
        let mut counts = [0; 10];
        let mut sum = 0.0;
        for _ in 0..10_000 {
            counts[random.below(10) as usize] += 1;
            let unit = random.unit_f32();
            assert!((0.0..1.0).contains(&unit));
            sum += unit;
            assert!((-2.0..=3.0).contains(&random.range_f32(-2.0..3.0)));
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!((4_900.0..5_100.0).contains(&sum), "{sum}");
        assert_eq!(random.below(0), 0);
    }
}
