//! When a lost connection is tried anew.
//!
//! Full jitter: each wait is drawn between nothing and a bound that doubles, so that the clients of a server that went away do not
//! all come back at once (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).

use std::sync::Arc;

use tickwire_protocol::Micros;
use tickwire_sim::Random;

/// How a client comes back after its connection was lost. What the server [wants](crate::DisconnectReason::retry_after) is waited for
/// first, then what is said here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reconnect {
    /// How long it waits before each attempt.
    pub backoff: Backoff,
    /// So many attempts in a row may fail.
    pub attempts: u32,
}

/// The waits before attempts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Backoff {
    /// Exponential with full jitter: each wait is drawn from nothing to a bound.
    Jittered {
        /// The first attempt comes at once, or at most so much later.
        first_within: Micros,
        /// Before the second attempt it waits at most this long, and twice as long before each other.
        base: Micros,
        /// But never longer than this.
        cap: Micros,
    },
    /// These, to the microsecond; the last before all further attempts, none if there are none. Many clients of one server that do the
    /// same come back in one wave: give each another list.
    Listed(Arc<[Micros]>),
}

/// What the system says of the machine's network; see [`Client::set_network`](crate::Client::set_network).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Network {
    /// There is none: attempts wait until there is.
    Down,
    /// There is one again.
    Up,
    /// There is another one than before, as when a phone leaves its Wi-Fi: connections over the old one are probably dead.
    Changed,
}

impl Default for Reconnect {
    /// Within 50 ms, then within 1, 2, 4... up to 30 seconds, ten times.
    fn default() -> Self {
        let (first_within, base, cap) =
            (Micros::from_millis(50), Micros::from_secs(1), Micros::from_secs(30));
        Self { backoff: Backoff::Jittered { first_within, base, cap }, attempts: 10 }
    }
}

impl Backoff {
    /// The wait before an attempt, from 1.
    fn wait(&self, attempt: u32, random: &mut Random) -> Micros {
        let longest = match self {
            Self::Jittered { first_within, .. } if attempt == 1 => *first_within,
            Self::Jittered { base, cap, .. } => {
                let doublings = attempt.saturating_sub(2).min(32);
                Micros(base.0.saturating_mul(1 << doublings)).min(*cap)
            }
            Self::Listed(waits) => {
                let wait = waits.get(attempt as usize - 1).or(waits.last());
                return wait.copied().unwrap_or(Micros::ZERO);
            }
        };
        // The high bits of a product are as good as a division, and quicker.
        Micros(((u128::from(random.next_u64()) * (u128::from(longest.0) + 1)) >> 64) as u64)
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
        let policy = self.policy.as_ref().filter(|policy| self.made < policy.attempts)?;
        self.made += 1;
        let wait = policy.backoff.wait(self.made, &mut self.random);
        Some(Attempt { number: self.made, of: policy.attempts, wait })
    }

    /// The connection is back.
    pub(crate) fn reset(&mut self) {
        self.made = 0;
    }

    /// The game tries by hand: the first attempt of as many as there may be.
    pub(crate) fn begin_by_hand(&mut self) {
        self.made = 1;
    }

    /// The number of the attempt that is made or waited for, and of how many.
    pub(crate) fn count(&self) -> (u32, u32) {
        (self.made, self.policy.as_ref().map_or(self.made, |policy| policy.attempts))
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
    fn listed_waits_come_one_after_another_and_the_last_goes_on() {
        let waits = [0, 2, 10].map(Micros::from_secs);
        let policy = Reconnect { backoff: Backoff::Listed(waits.into()), attempts: 5 };
        let mut attempts = Attempts::new(Some(policy), 3);
        let made = core::iter::from_fn(|| attempts.next()).map(|attempt| attempt.wait.0 / 1_000_000);
        assert_eq!(made.collect::<Vec<_>>(), [0, 2, 10, 10, 10]);
        let policy = Reconnect { backoff: Backoff::Listed(Arc::new([])), attempts: 1 };
        assert_eq!(Attempts::new(Some(policy), 3).next().unwrap().wait, Micros::ZERO);
    }

    #[test]
    fn who_does_not_want_to_come_back_does_not() {
        assert_eq!(Attempts::new(None, 1).next(), None);
    }
}
