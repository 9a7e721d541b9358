//! When a lost connection is tried anew.
//!
//! Full jitter: each wait is drawn between nothing and a bound that doubles, so that the clients of a server that went away do not
//! all come back at once (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).

use tickwire_protocol::Micros;
use tickwire_sim::Random;

/// How a client comes back after its connection was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reconnect {
    /// The first attempt comes at once, or at most so much later.
    pub first_within: Micros,
    /// Before the second attempt it waits at most this long, and twice as long before each other.
    pub base: Micros,
    /// But never longer than this.
    pub cap: Micros,
    /// So many attempts in a row may fail.
    pub attempts: u32,
}

impl Default for Reconnect {
    /// Within 50 ms, then within 1, 2, 4... up to 30 seconds, ten times.
    fn default() -> Self {
        Self {
            first_within: Micros::from_millis(50),
            base: Micros::from_secs(1),
            cap: Micros::from_secs(30),
            attempts: 10,
        }
    }
}

/// The attempts since the last welcome.
#[derive(Debug)]
pub(crate) struct Attempts {
    policy: Option<Reconnect>,
    made: u32,
    random: Random,
}

/// An attempt that is to be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Attempt {
    /// Its number, from 1.
    pub(crate) number: u32,
    /// Of how many.
    pub(crate) of: u32,
    pub(crate) wait: Micros,
}

impl Attempts {
    pub(crate) fn new(policy: Option<Reconnect>, seed: u64) -> Self {
        Self { policy, made: 0, random: Random::from_seed(seed) }
    }

    /// The next one; nothing if there were enough.
    pub(crate) fn next(&mut self) -> Option<Attempt> {
        let policy = self.policy.filter(|policy| self.made < policy.attempts)?;
        self.made += 1;
        let doublings = self.made.saturating_sub(2).min(32);
        let longest = match self.made {
            1 => policy.first_within,
            _ => Micros(policy.base.0.saturating_mul(1 << doublings)).min(policy.cap),
        };
        // The high bits of a product are as good as a division, and quicker.
        let drawn = (u128::from(self.random.next_u64()) * (u128::from(longest.0) + 1)) >> 64;
        Some(Attempt { number: self.made, of: policy.attempts, wait: Micros(drawn as u64) })
    }

    /// The connection is back, or the game wants to begin anew.
    pub(crate) fn reset(&mut self) {
        self.made = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_end() {
        let bounds = [50, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000];
        let mut largest = [Micros::ZERO; 10];
        for seed in 0..500 {
            let mut attempts = Attempts::new(Some(Reconnect::default()), seed);
            for (place, largest) in largest.iter_mut().enumerate() {
                let attempt = attempts.next().unwrap();
                assert_eq!((attempt.number, attempt.of), (place as u32 + 1, 10));
                *largest = attempt.wait.max(*largest);
            }
            assert_eq!(attempts.next(), None);
            attempts.reset();
            assert_eq!(attempts.next().unwrap().number, 1);
        }
        for (largest, bound) in largest.into_iter().zip(bounds) {
            let bound = Micros::from_millis(bound);
            assert!(largest <= bound && largest.0 > bound.0 / 10 * 9, "{largest:?} of {bound:?}");
        }
    }

    #[test]
    fn who_does_not_want_to_come_back_does_not() {
        assert_eq!(Attempts::new(None, 1).next(), None);
    }
}
