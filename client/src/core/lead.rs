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

use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::{Micros, Tick, TickRate};

use super::lateness::{Guess, Lateness};

/// Share of steps that may do without their own input; in the first minute, while it is learned, it is twice as many.
const LATE_SHARE: f32 = 0.000_9;
/// The same on an ordered stream, where what is lost holds up all inputs behind it for 200 ms and more: a lead that covers what is as rare
/// as there would have every input wait for so long. The lab, wifi: the median wait is 0.8 of that with [`LATE_SHARE`], for a
/// tenth more late inputs.
const LATE_SHARE_ORDERED: f32 = 0.001_5;
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
    /// Share of steps that may do without their own input.
    late_share: f32,
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
    pub(crate) fn new(rate: TickRate, stream: StreamKind) -> Self {
        Self {
            rate,
            late_share: match stream {
                StreamKind::Ordered => LATE_SHARE_ORDERED,
                StreamKind::Datagram => LATE_SHARE,
            },
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
        let Some(needed) = self.needed.above(self.late_share) else { return };
        let to = needed.clamp(0, link.way + MARGIN_MAX);
        let from = self.at(now, link.first);
        let from = if from.abs_diff(to) > STEP_MIN { to } else { from };
        self.ramp = Some(Ramp { since: now, from, to });
    }

    /// The estimate of the server's time was found to be right.
    pub(crate) fn handle_clock_confirmed(&mut self) {
        self.needed.confirm();
    }

    /// A clock has jumped: what was sent before says nothing any more, and what was needed meanwhile was that of a wrong clock.
    pub(crate) fn handle_clock_jump(&mut self) {
        self.sent.clear();
        self.needed.reset_level();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkState = LinkState { first: 50_000, way: 20_000, deviation: 0 };
    const TICK: i64 = 16_667;

    /// Steps of a room at 60 Hz with feedback at every third, to a client whose inputs take `way` microseconds; how many were
    /// late in the last half.
    fn play(lead: &mut Lead, seconds: u32, way: impl Fn(u32) -> i64) -> (u32, i64) {
        let mut arrived = 0;
        let (mut sent, mut late): (Vec<(u32, i64)>, u32) = (Vec::new(), 0);
        for step in 1..seconds * 60 {
            let now = i64::from(step) * TICK;
            // Whose time has come is given: exactly when it is due.
            let value = lead.at(Micros(now as u64), LINK.first);
            let due = ((now + value) / TICK) as u32;
            let newest = sent.last().map_or(due - 1, |&(tick, _)| tick);
            for tick in newest + 1..=due {
                lead.handle_sent(Tick(tick), value);
                sent.push((tick, now + way(step)));
            }
            let there = sent.iter().filter(|&&(_, arrival)| arrival <= now);
            arrived = there.map(|&(tick, _)| tick).max().unwrap_or(arrived).max(arrived);
            sent.retain(|&(tick, arrival)| arrival > now || tick + 200 > step);
            late += u32::from(arrived < step && step > seconds * 30);
            if step % 3 == 0 && arrived > 0 {
                lead.handle_feedback(Micros(now as u64), Tick(step), Tick(arrived), LINK);
            }
        }
        (late, lead.at(Micros((i64::from(seconds) * 60 * TICK) as u64), LINK.first))
    }

    #[test]
    fn inputs_come_just_in_time() {
        for way in [0, 5_000, 30_000, 150_000] {
            let mut lead = Lead::new(TickRate::new(60).unwrap(), StreamKind::Datagram);
            let (late, value) = play(&mut lead, 40, |_| way);
            assert!(late <= 5, "{late} late with {way}");
            assert!((way..way + 2 * TICK + 10_000).contains(&value), "{value} for a way of {way}");
        }
    }

    #[test]
    fn what_is_late_now_and_then_is_allowed_for() {
        let mut lead = Lead::new(TickRate::new(60).unwrap(), StreamKind::Datagram);
        let (late, value) = play(&mut lead, 120, |step| if step % 240 < 6 { 90_000 } else { 10_000 });
        assert!(late < 20, "{late}");
        assert!((75_000..140_000).contains(&value), "{value}");
    }

    #[test]
    fn the_lead_changes_gently_and_has_a_bound() {
        let mut lead = Lead::new(TickRate::new(60).unwrap(), StreamKind::Datagram);
        lead.handle_sent(Tick(100), 50_000);
        // An input of long ago is the newest: nothing has come for seconds.
        lead.handle_feedback(Micros(1_000_000), Tick(400), Tick(100), LINK);
        assert_eq!(lead.at(Micros(1_000_000), 50_000), 50_000);
        assert_eq!(lead.at(Micros(1_100_000), 50_000), 75_000);
        assert_eq!(lead.at(Micros(9_000_000), 50_000), LINK.way + MARGIN_MAX);
        // What was never sent cannot be there.
        lead.handle_feedback(Micros(9_000_000), Tick(400), Tick(900), LINK);
        assert_eq!(lead.at(Micros(9_000_000), 50_000), LINK.way + MARGIN_MAX);
    }
}
