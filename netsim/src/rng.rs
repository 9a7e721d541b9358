//! Counter-based randomness: a value belongs to a key and a number, so it can be asked for in any order.
//!
//! Modelled on splitmix64 (Steele, Lea, Flood 2014), whose finalizer passes the usual test batteries on plain
//! counters.

/// The random word number `counter` of the stream `key`. Also derives keys: `hash(hash(seed, link),
/// purpose)`.
pub(crate) const fn hash(key: u64, counter: u64) -> u64 {
    let mut word = key.wrapping_add(GOLDEN_GAMMA.wrapping_mul(counter.wrapping_add(1)));
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// Uniform in (0, 1]: never 0, so that its logarithm is finite.
pub(crate) fn unit(word: u64) -> f64 {
    ((word >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// True with the given probability; exactly never at 0 and always at 1.
pub(crate) fn chance(word: u64, probability: f64) -> bool {
    unit(word) <= probability
}

/// Uniform in `min..=max`.
pub(crate) fn range(word: u64, min: u64, max: u64) -> u64 {
    let count = u128::from(max - min) + 1;
    min + ((u128::from(word) * count) >> 64) as u64
}

/// Exponential with the given mean.
pub(crate) fn exponential(word: u64, mean: f64) -> f64 {
    -libm::log(unit(word)) * mean
}

/// Number of trials up to and including the first success, each with the given probability; `u64::MAX` if it
/// never is.
pub(crate) fn geometric(word: u64, probability: f64) -> u64 {
    if probability >= 1.0 {
        return 1;
    }
    // A float beyond the range saturates in the conversion, which is what "never" asks for.
    let failures = libm::floor(libm::log(unit(word)) / libm::log1p(-probability)) as u64;
    failures.saturating_add(1)
}

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_are_those_of_splitmix64() {
        // The published reference sequence for seed 0.
        assert_eq!(hash(0, 0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(hash(0, 1), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(hash(0, 2), 0x06C4_5D18_8009_454F);
    }

    #[test]
    fn edges_of_every_draw() {
        assert!(unit(0) > 0.0);
        assert!((unit(u64::MAX) - 1.0).abs() < f64::EPSILON);
        assert!(!chance(0, 0.0));
        assert!(chance(u64::MAX, 1.0));
        assert_eq!(range(0, 5, 9), 5);
        assert_eq!(range(u64::MAX, 5, 9), 9);
        assert_eq!(range(u64::MAX, 0, u64::MAX), u64::MAX);
        assert_eq!(geometric(0, 1.0), 1);
        assert_eq!(geometric(u64::MAX, 0.5), 1);
        assert_eq!(geometric(0, 0.0), u64::MAX);
    }

    #[test]
    fn means_are_met() {
        let draws = 200_000;
        let mean =
            |draw: &dyn Fn(u64) -> f64| (0..draws).map(|i| draw(hash(1, i))).sum::<f64>() / draws as f64;
        assert!((mean(&|word| exponential(word, 6.0)) - 6.0).abs() < 0.06);
        assert!((mean(&|word| geometric(word, 0.1) as f64) - 10.0).abs() < 0.1);
        assert!((mean(&|word| range(word, 20, 80) as f64) - 50.0).abs() < 0.2);
        assert!((mean(&|word| f64::from(u8::from(chance(word, 0.02)))) - 0.02).abs() < 0.001);
    }
}
