//! Time as data: microseconds handed in by the caller, and wrapping simulation ticks.

use core::fmt;
use core::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A moment, or a span, in microseconds on a clock that the caller owns.
///
/// Pure code never reads a clock: it is told what time it is. 64 bits last 584,000 years.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Micros(pub u64);

impl Micros {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000)
    }

    /// In milliseconds, with the fraction.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// In seconds, with the fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The span from `earlier` to `self`, zero where `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Micros {
    type Output = Self;
    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// The number of a simulation step. It wraps, so it has no `Ord`: wrapping order is not transitive.
///
/// Compare with [`Tick::is_newer_than`] and [`Tick::since`]; both are right while the two ticks are less than
/// 2^31 steps apart (over a year at 60 Hz).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Tick(pub u32);

impl Tick {
    /// Steps from `earlier` to `self`; negative if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// Whether `self` comes after `other`.
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.since(other) > 0
    }

    /// The tick nearest to `self` whose low `bits` (1 to 32) are `low`: how a short tick on the wire becomes whole.
    ///
    /// Right while the two are less than `2^(bits - 1)` steps apart: with 16 bits, nine minutes at 60 Hz.
    pub const fn nearest_with_low_bits(self, low: u32, bits: u32) -> Self {
        let unused = u32::BITS - bits;
        let ahead = (low.wrapping_sub(self.0) << unused) as i32 >> unused;
        Self(self.0.wrapping_add(ahead as u32))
    }
}

impl Add<u32> for Tick {
    type Output = Self;
    fn add(self, steps: u32) -> Self {
        Self(self.0.wrapping_add(steps))
    }
}

impl Sub<u32> for Tick {
    type Output = Self;
    fn sub(self, steps: u32) -> Self {
        Self(self.0.wrapping_sub(steps))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment of simulated time: a tick and how far it has gone towards the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TickTime {
    /// The newest tick at or before the moment.
    pub tick: Tick,
    /// From 0 up to, not including, 1.
    pub fraction: f32,
}

/// How often the simulation steps, in hertz: 1 to [`TICK_HZ_MAX`](crate::limits::TICK_HZ_MAX).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TickRate {
    hz: u32,
}

impl TickRate {
    /// A rate, or nothing if it is zero or above the limit.
    pub const fn new(hz: u32) -> Option<Self> {
        if hz == 0 || hz > crate::limits::TICK_HZ_MAX { None } else { Some(Self { hz }) }
    }

    /// Steps a second.
    pub const fn hz(self) -> u32 {
        self.hz
    }

    /// Seconds a step.
    pub fn dt(self) -> f32 {
        1.0 / self.hz as f32
    }

    /// When step number `count` is due, counted from zero. Exact to the microsecond for any count: no drift.
    pub const fn due(self, count: u64) -> Micros {
        Micros((count as u128 * 1_000_000 / self.hz as u128) as u64)
    }

    /// How many whole steps fit into `span`.
    pub const fn steps_in(self, span: Micros) -> u64 {
        (span.0 as u128 * self.hz as u128 / 1_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_compare_across_the_wrap() {
        let late = Tick(u32::MAX);
        assert!((late + 1).is_newer_than(late));
        assert!(!late.is_newer_than(late + 1));
        assert_eq!((late + 3).since(late), 3);
        assert_eq!(late.since(late + 3), -3);
        assert!(!late.is_newer_than(late));
    }

    #[test]
    fn short_ticks_resolve_to_the_nearest_whole_one() {
        for near in [Tick(0), Tick(5), Tick(0xffff), Tick(0x1_0000), Tick(u32::MAX), Tick(0x1234_8000)] {
            for step in [-32_767_i32, -300, -1, 0, 1, 300, 32_767] {
                let whole = Tick(near.0.wrapping_add(step as u32));
                assert_eq!(near.nearest_with_low_bits(whole.0 & 0xffff, 16), whole, "{near} {step}");
            }
        }
    }

    #[test]
    fn due_times_do_not_drift() {
        let rate = TickRate::new(60).unwrap();
        assert_eq!(rate.due(60 * 3600 * 24), Micros::from_secs(3600 * 24));
        for count in 0..10_000 {
            assert_eq!(rate.steps_in(rate.due(count) + Micros(1)), count);
        }
    }
}
