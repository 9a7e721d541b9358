//! How many bytes of snapshots a peer may be sent: a token bucket, in integers.
//!
//! | what | whose | unit |
//! |---|---|---|
//! | `rate` | the room's budget, or less if the client asks for less | bytes a second |
//! | `burst` | two snapshots' share of the rate, at least [`BURST_MIN`] | bytes |
//! | `level` | what may be sent now; refilled at `rate`, never above `burst` | bytes x microseconds |
//!
//! A snapshot is sent if the level is at least [`SNAPSHOT_BYTES_MIN`], is packed to fit the level, and is taken off it with what the
//! transport puts around it. So over any second, wherever it begins,
//!
//! ```text
//!  bytes of snapshots  <=  level at its beginning + rate x 1 s  <=  burst + rate x 1 s
//! ```
//!
//! and no snapshot is larger than the burst: the bound is the rate and one largest snapshot. A quiet peer saves up no more than that.
//! There is one way past it: a row that alone does not fit into a full bucket (a spawn with hundreds of bytes of payload) would never be sent; it
//! goes when the bucket is full, and the level is negative until it is paid for. The bound is then that snapshot instead of the burst.
//!
//! A peer that **joins** has a bucket of its own, at the room's join rate, until it was told of all that it saw at first: a large world comes in
//! pieces, one a snapshot, while the link and the server's tick go on. The first snapshot after that finds a full bucket of its own.
//!
//! The token bucket is that of RFC 2697, section 3, with one rate and one size.

use tickwire_protocol::Micros;
use tickwire_protocol::limits::{BUDGET_BYTES_PER_SECOND_MIN, FRAME_BYTES_MAX};

/// No snapshot is written for less, bytes: header, own row, and a few others.
pub(crate) const SNAPSHOT_BYTES_MIN: usize = 128;

/// What a peer may be sent at once at the least, bytes: room for a row with a payload in it.
pub(crate) const BURST_MIN: u32 = 640;

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Bytes a second; none: there is no limit.
    rate: Option<u32>,
    /// Bytes.
    burst: u32,
    /// Bytes x microseconds.
    level: i64,
    filled: Micros,
}

impl Bucket {
    /// A full one, for so many snapshots a second.
    pub(crate) fn new(rate: Option<u32>, snapshot_hz: u32, now: Micros) -> Self {
        let rate = rate.map(|rate| rate.max(BUDGET_BYTES_PER_SECOND_MIN));
        let burst = rate.map_or(0, |rate| burst(rate, snapshot_hz));
        Self { rate, burst, level: micros(burst), filled: now }
    }

    /// Bytes a second.
    pub(crate) fn rate(&self) -> Option<u32> {
        self.rate
    }

    /// From now on it fills at another rate. What was saved up stays, as far as there is room.
    pub(crate) fn set_rate(&mut self, rate: Option<u32>, snapshot_hz: u32, now: Micros) {
        self.fill(now);
        // What was asked may have arrived before what was sent last: no time is paid twice.
        let other = Self::new(rate, snapshot_hz, self.filled.max(now));
        let level = if self.rate.is_none() { other.level } else { self.level.min(other.level) };
        *self = Self { level, ..other };
    }

    /// Bytes that may be sent at `now`.
    pub(crate) fn available(&self, now: Micros) -> usize {
        match self.rate {
            None => FRAME_BYTES_MAX,
            Some(rate) => (self.level_at(rate, now).max(0) / MICROS_PER_SECOND) as usize,
        }
    }

    /// Whether it holds all that it can: waiting longer brings no more.
    pub(crate) fn is_full(&self, now: Micros) -> bool {
        self.rate.is_none_or(|rate| self.level_at(rate, now) >= micros(self.burst))
    }

    /// So many bytes are sent at `now`. Ask [`Self::available`] first.
    pub(crate) fn take(&mut self, now: Micros, bytes: usize) {
        self.fill(now);
        if self.rate.is_some() {
            self.level -= micros(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    fn fill(&mut self, now: Micros) {
        let Some(rate) = self.rate else { return };
        self.level = self.level_at(rate, now);
        self.filled = self.filled.max(now);
    }

    fn level_at(&self, rate: u32, now: Micros) -> i64 {
        // However long it was: what is more than fills it is not multiplied out.
        let elapsed = now.saturating_since(self.filled).0.min(FULL_AFTER);
        (self.level + i64::from(rate) * elapsed as i64).min(micros(self.burst))
    }
}

const MICROS_PER_SECOND: i64 = 1_000_000;

/// How long no bucket takes to fill, microseconds, whatever debt of one snapshot it has: a minute.
const FULL_AFTER: u64 = 60 * MICROS_PER_SECOND as u64;

const fn micros(bytes: u32) -> i64 {
    bytes as i64 * MICROS_PER_SECOND
}

/// What may be sent at once at a rate, bytes: what two snapshots share.
pub(crate) fn burst(rate: u32, snapshot_hz: u32) -> u32 {
    (2 * (rate / snapshot_hz.max(1))).max(BURST_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_sim::Random;

    /// Whatever is asked for, and whenever: no second carries more than the rate and one burst.
    #[test]
    fn no_second_carries_more_than_the_rate_and_one_burst() {
        for seed in 0..40 {
            let mut random = Random::from_seed(seed);
            let rate = 1_000 + random.below(30_000);
            let mut bucket = Bucket::new(Some(rate), 20, Micros::ZERO);
            let (mut now, mut sent) = (Micros::ZERO, Vec::new());
            for _ in 0..3_000 {
                // Mostly on a tick, at times long after.
                now = now
                    + Micros(if random.chance(0.01) { 3_000_000 } else { u64::from(random.below(60_000)) });
                let available = bucket.available(now);
                if available < SNAPSHOT_BYTES_MIN {
                    continue;
                }
                let bytes =
                    if random.chance(0.5) { available } else { random.below(available as u32) as usize };
                bucket.take(now, bytes);
                sent.push((now.0, bytes as u64));
            }
            let bound = u64::from(rate) + u64::from(burst(rate, 20));
            let mut most = 0;
            for (index, (from, _)) in sent.iter().enumerate() {
                let window = sent[index..].iter().take_while(|(at, _)| *at < from + 1_000_000);
                most = most.max(window.map(|(_, bytes)| bytes).sum::<u64>());
            }
            assert!(most <= bound, "{most} of {bound}");
            assert!(most * 10 > u64::from(rate) * 9, "{most}: the rate is made use of");
        }
    }

    #[test]
    fn a_client_that_asks_for_less_keeps_no_more_than_that_burst() {
        let mut bucket = Bucket::new(Some(64_000), 20, Micros::ZERO);
        assert_eq!((bucket.available(Micros::ZERO), bucket.is_full(Micros::ZERO)), (6_400, true));
        bucket.set_rate(Some(8_000), 20, Micros::ZERO);
        assert_eq!(bucket.available(Micros::ZERO), 800);
        bucket.take(Micros::ZERO, 800);
        bucket.set_rate(Some(0), 20, Micros(1_000));
        assert_eq!(bucket.rate(), Some(BUDGET_BYTES_PER_SECOND_MIN));
        assert_eq!(bucket.available(Micros(1_000)), 8);
        bucket.set_rate(None, 20, Micros(1_000));
        assert_eq!(bucket.available(Micros(1_000)), FRAME_BYTES_MAX);
    }

    #[test]
    fn a_wish_that_arrived_before_the_last_snapshot_went_pays_no_time_twice() {
        let mut bucket = Bucket::new(Some(8_000), 20, Micros::ZERO);
        bucket.take(Micros(50_000), 800);
        bucket.set_rate(Some(8_000), 20, Micros(40_000));
        assert_eq!(bucket.available(Micros(50_000)), 0);
    }

    #[test]
    fn what_does_not_fit_a_full_bucket_is_paid_for_afterwards() {
        let mut bucket = Bucket::new(Some(8_000), 20, Micros::ZERO);
        bucket.take(Micros::ZERO, 1_600);
        assert_eq!([100_000, 116_000].map(|now| bucket.available(Micros(now))), [0, 128]);
        assert_eq!([199_999, 200_000].map(|now| bucket.is_full(Micros(now))), [false, true]);
    }
}
