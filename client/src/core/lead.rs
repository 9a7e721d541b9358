//! How far ahead of the server's time inputs are given, so that they arrive just before their step.
//!
//! With each snapshot the server says which input was the newest that it had at that step. So the client knows, twenty times
//! a second, how far ahead inputs had to be given for that step to have its own: the lead of the newest input that had
//! arrived, less the ticks by which it was too early. The lead is what nearly all steps would have needed.
//!
//! ```text
//!  step T at the server          newest input there: N, given with the lead L       needed: L - (N - T + 1/2) ticks
//! ```
//!
//! A changed lead is reached by giving inputs a little faster or slower, not by giving several at once.

use std::collections::VecDeque;

use tickwire_protocol::{Micros, Tick, TickRate};

use super::lateness::{Guess, Lateness};

/// Share of steps that may do without their own input.
const LATE_SHARE: f32 = 0.001;
/// In which time what was needed counts half: long, for what may happen to one step in a thousand is seldom seen.
const HALF_LIFE: Micros = Micros(120_000_000);
/// How much later than usual inputs are thought to come before it is known: as many usual deviations of the way down. Of the way up
/// nothing finer than ticks is known.
const GUESS: Guess = Guess { above: 0, deviations: 0, weight: 5.0 };
const GUESS_DEVIATIONS: i64 = 24;

/// How much faster inputs are given while the lead has to grow, and slower while it shrinks, seconds a second. Late inputs hurt at
/// once, early ones hardly.
const GROWTH: f64 = 0.25;
const SHRINKAGE: f64 = 0.02;
/// From further off the lead is set at once, microseconds.
const STEP_MIN: u64 = 500_000;
/// No lead is longer than half a round trip and this, microseconds: a worse link is not helped by inputs that are older than what
/// the player sees.
const MARGIN_MAX: i64 = 300_000;

/// Inputs whose lead is remembered, until the server says that it has them: four seconds at 60 Hz.
const SENT_MAX: usize = 256;

/// The lead, and what it follows from.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    rate: TickRate,
    needed: Lateness,
    /// The leads of the newest input of each frame sent, oldest first.
    sent: VecDeque<(Tick, i64)>,
    ramp: Option<Ramp>,
}

/// What is known of the link beside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkState {
    /// The lead until the server has said anything, microseconds.
    pub(crate) first: i64,
    /// Half a round trip, microseconds.
    pub(crate) way: i64,
    /// By how much arrivals at the client vary usually, microseconds.
    pub(crate) deviation: i64,
}

/// From one lead to another.
#[derive(Clone, Copy, Debug)]
struct Ramp {
    since: Micros,
    from: i64,
    to: i64,
}

impl Ramp {
    fn at(&self, now: Micros) -> i64 {
        let passed = now.saturating_since(self.since).0.min(1 << 40) as f64;
        let way = self.to - self.from;
        let speed = if way > 0 { GROWTH } else { SHRINKAGE };
        self.from + ((passed * speed) as i64).min(way.abs()) * way.signum()
    }
}

impl Lead {
    pub(crate) fn new(rate: TickRate) -> Self {
        Self {
            rate,
            needed: Lateness::new(HALF_LIFE, GUESS),
            sent: VecDeque::with_capacity(SENT_MAX),
            ramp: None,
        }
    }

    /// The lead at `now`, microseconds; `first` until the server has said anything.
    pub(crate) fn at(&self, now: Micros, first: i64) -> i64 {
        self.ramp.map_or(first, |ramp| ramp.at(now))
    }

    /// A frame with the input of `newest` goes out, given with this lead.
    pub(crate) fn handle_sent(&mut self, newest: Tick, lead: i64) {
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((newest, lead));
    }

    /// At the step of `tick` the server had inputs up to `newest`.
    pub(crate) fn handle_feedback(&mut self, now: Micros, tick: Tick, newest: Tick, link: LinkState) {
        while self.sent.front().is_some_and(|&(sent, _)| newest.is_newer_than(sent)) {
            self.sent.pop_front();
        }
        let Some(&(_, lead)) = self.sent.front().filter(|&&(sent, _)| sent == newest) else { return };
        // Between this many ticks too early and one more.
        let half_ticks = 2 * i64::from(newest.since(tick)) + 1;
        self.needed.add(now, lead - half_ticks * 500_000 / i64::from(self.rate.hz()));
        self.needed.guess(GUESS_DEVIATIONS * link.deviation);
        let Some(needed) = self.needed.above(LATE_SHARE) else { return };
        let to = needed.clamp(0, link.way + MARGIN_MAX);
        let from = self.at(now, link.first);
        let from = if from.abs_diff(to) > STEP_MIN { to } else { from };
        self.ramp = Some(Ramp { since: now, from, to });
    }

    /// A clock has jumped: what was sent before says nothing any more.
    pub(crate) fn handle_clock_jump(&mut self) {
        self.sent.clear();
    }
}
