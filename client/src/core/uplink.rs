//! How many bytes of messages may be on their way to the server, so that inputs never wait long behind them.
//!
//! What a game says comes in bursts, and a link that is slower than a burst stores it: in the kernel, in a modem. Each input waits behind it.
//! But each snapshot tells the newest input that was there at its step, so what is stored is seen, whatever becomes of the snapshot's own way:
//!
//! ```text
//!  step T at the server       newest input there: N
//!  way   <= time of T - when N was sent                  the least of the last 10 to 20 s is the base: nothing is stored then
//!  way    > time of T - when the input behind N was sent
//! ```
//!
//! | what | how it is known | unit |
//! |---|---|---|
//! | on the way | messages written, and not before an input that was there | bytes |
//! | queueing | the longest that an input which was not there had been under way, less the base, since there were messages on the way | microseconds |
//! | target | [`QUEUE_TARGET`], or half the base if that is more: of a long way less is felt | microseconds |
//! | window | what may be on the way | bytes |
//!
//! With every step at which `acked` bytes were there, much as the server does for state (LEDBAT, RFC 6817, section 2.4.2):
//!
//! ```text
//!  off     = (target - queueing) / target, at least -1
//!  window += gain x off x acked       gain: 4 until a queue forms, then 1; 1/2 where off is negative
//! ```
//!
//! It grows only while messages wait for it. A message that begins within it goes whole, so at the least they go one after another. What comes
//! back is the news that inputs have arrived, not that messages were polled: a game that does not poll holds up its lane and nothing else. Where a
//! window after the first queue has held something back, that may have become part of the base: once in a period it is cut to its least for
//! [`DRAIN`]. Where no inputs are given, there is nothing to keep from waiting, and nothing is held back.

use std::collections::VecDeque;

use tickwire_protocol::limits::FRAME_BYTES_MAX;
use tickwire_protocol::{Micros, Tick};

/// How long what is stored on the way may take at least, microseconds: three inputs at 60 Hz. It is known to two.
const QUEUE_TARGET: i64 = 50_000;

/// Of a link of which nothing is known, bytes: a quarter of a second at 64 kbit/s.
const WINDOW_AT_FIRST: u64 = 2 * 1024;
/// By how much it grows for what has arrived, until it is known when a queue forms.
const STARTING_GAIN: u64 = 4;
/// At the least, bytes.
const WINDOW_MIN: u64 = 512;
/// At most, bytes: what a lane has on its way at most.
const WINDOW_MAX: u64 = FRAME_BYTES_MAX as u64;

/// Who has given no input for so long gives none; and who hears nothing of them for so long says one message more.
const SILENCE: Micros = Micros::from_millis(500);
/// Half of how long a least delay is remembered.
const BASE_PERIOD: Micros = Micros::from_secs(10);
/// For how long the window is at its least, to see the base anew.
const DRAIN: Micros = Micros::from_millis(300);
/// Input frames on their way, at most: four seconds at 60 Hz.
const FRAMES_MAX: usize = 256;

/// What is on its way to the server.
#[derive(Debug)]
pub(crate) struct Uplink {
    /// Inputs that are not known to be there, oldest first.
    frames: VecDeque<Frame>,
    /// Bytes of messages before one of them, and behind the newest.
    riders: u64,
    behind: u64,
    window: u64,
    /// The most that was stored on the way since there were messages on it, microseconds.
    queueing: i64,
    base: Base,
    /// No queue has formed yet.
    is_starting: bool,
    /// Messages wait for the window.
    is_held: bool,
    /// They have, in this base period.
    is_limiting: bool,
    drain_until: Micros,
    /// When the last input was written, and when one was last known to be there or a message was let through without.
    written: Micros,
    progress: Micros,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    newest: Tick,
    /// Server time.
    at: i64,
    /// Bytes of messages between the frame before and this one: they are there when it is.
    riders: u64,
}

/// The least delay of this period, and of the one before, microseconds.
#[derive(Clone, Copy, Debug)]
struct Base {
    least: i64,
    before: i64,
    began: Micros,
}

impl Base {
    const UNKNOWN: Self = Self { least: i64::MAX, before: i64::MAX, began: Micros::ZERO };

    fn least(&self) -> Option<i64> {
        Some(self.least.min(self.before)).filter(|&least| least != i64::MAX)
    }
}

impl Uplink {
    /// Of a connection that begins at `now`.
    pub(crate) fn new(now: Micros) -> Self {
        Self {
            frames: VecDeque::new(),
            riders: 0,
            behind: 0,
            window: WINDOW_AT_FIRST,
            queueing: 0,
            base: Base { began: now, ..Base::UNKNOWN },
            is_starting: true,
            is_held: false,
            is_limiting: false,
            drain_until: Micros::ZERO,
            written: now,
            progress: now,
        }
    }

    /// How many bytes of messages may follow at `now`; the one that begins within it goes whole.
    pub(crate) fn room(&self, now: Micros) -> usize {
        if now >= self.written + SILENCE {
            return usize::MAX;
        }
        let window = if now < self.drain_until { WINDOW_MIN } else { self.window };
        let room = window.saturating_sub(self.riders + self.behind);
        if room == 0 && now >= self.progress + SILENCE { 1 } else { room as usize }
    }

    /// When there is room at the latest.
    pub(crate) fn opens_at(&self) -> Micros {
        self.written.min(self.progress) + SILENCE
    }

    /// Messages are written; some wait if it `is_held`.
    pub(crate) fn handle_messages(&mut self, now: Micros, bytes: usize, is_held: bool) {
        if bytes > 0 && now >= self.progress + SILENCE {
            self.progress = now;
        }
        self.behind = self.behind.saturating_add(bytes as u64);
        self.is_held = is_held;
        self.is_limiting |= is_held && !self.is_starting;
    }

    /// A frame of inputs up to `newest` is written at this server time.
    pub(crate) fn handle_input(&mut self, now: Micros, server_time: i64, newest: Tick) {
        // Nobody knows what became of what was written before a silence, or for ticks that come again.
        let is_anew = self.frames.back().is_some_and(|before| !newest.is_newer_than(before.newest));
        if is_anew || now >= self.written + SILENCE {
            self.forget();
        }
        if self.frames.is_empty() {
            self.progress = self.progress.max(now);
        }
        if self.frames.len() == FRAMES_MAX {
            self.take_oldest();
        }
        let riders = core::mem::take(&mut self.behind);
        self.frames.push_back(Frame { newest, at: server_time, riders });
        self.riders += riders;
        self.written = now;
    }

    fn forget(&mut self) {
        self.frames.clear();
        (self.riders, self.behind) = (0, 0);
    }

    fn take_oldest(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.riders -= frame.riders;
        Some(frame)
    }

    /// At the step of this server time the inputs up to `newest` were there.
    pub(crate) fn handle_feedback(&mut self, now: Micros, step_time: i64, newest: Tick) {
        let before = self.riders;
        let mut arrived = None;
        while self.frames.front().is_some_and(|frame| !frame.newest.is_newer_than(newest)) {
            arrived = self.take_oldest();
        }
        if let Some(frame) = arrived {
            self.progress = now;
            self.take_base(now, step_time - frame.at);
        }
        let Some(base) = self.base.least() else { return };
        let waited = self.frames.front().map_or(0, |oldest| step_time - oldest.at);
        self.queueing = self.queueing.max(waited - base);
        let acked = before - self.riders;
        if acked > 0 {
            self.steer(QUEUE_TARGET.max(base / 2), acked);
        }
        if self.riders == 0 {
            self.queueing = 0;
        }
    }

    fn take_base(&mut self, now: Micros, way: i64) {
        if now >= self.base.began + BASE_PERIOD {
            self.base = Base { least: i64::MAX, before: self.base.least, began: now };
            if core::mem::take(&mut self.is_limiting) {
                self.drain_until = now + DRAIN;
            }
        }
        self.base.least = self.base.least.min(way);
    }

    /// What was written by `acked` bytes is there, and has made this queue.
    fn steer(&mut self, target: i64, acked: u64) {
        let off = (target - self.queueing).max(-target);
        self.is_starting &= off > 0;
        let step = acked * off.unsigned_abs() / target.unsigned_abs();
        if off < 0 {
            self.window = self.window.saturating_sub(step / 2).max(WINDOW_MIN);
        } else if self.is_held {
            let gain = if self.is_starting { STARTING_GAIN } else { 1 };
            self.window = (self.window + gain * step).min(WINDOW_MAX);
        }
    }

    /// Server time was set anew: what was measured with the old one says nothing.
    pub(crate) fn handle_clock_jump(&mut self, now: Micros) {
        self.forget();
        self.base = Base { began: now, ..Base::UNKNOWN };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: u64 = 16_000;
    const STEP: u64 = 50_000;
    const WAY: u64 = 30_000;

    /// A link with a rate, over which messages of a kilobyte wait at all times: what of them arrived in so many seconds, bytes, and the longest
    /// that an input took in the second half, microseconds.
    fn play(uplink: &mut Uplink, bytes_per_second: u64, seconds: u64) -> (u64, u64) {
        const MESSAGE: u64 = 1_000;
        let (mut free_at, mut inputs) = (0_u64, VecDeque::new());
        let (mut carried, mut longest, mut newest) = (0, 0, Tick(0));
        for now in (0..seconds * 1_000_000).step_by(1_000) {
            while uplink.room(Micros(now)) > 0 {
                uplink.handle_messages(Micros(now), MESSAGE as usize, true);
                free_at = free_at.max(now) + MESSAGE * 1_000_000 / bytes_per_second;
                carried += MESSAGE;
            }
            if now % INPUT == 0 {
                let tick = Tick((now / INPUT) as u32);
                uplink.handle_input(Micros(now), now as i64, tick);
                let arrives = free_at.max(now) + WAY;
                inputs.push_back((arrives, tick));
                if now > seconds * 500_000 {
                    longest = longest.max(arrives - now);
                }
            }
            while inputs.front().is_some_and(|&(arrives, _)| arrives <= now) {
                newest = inputs.pop_front().unwrap().1;
            }
            if now % STEP == 0 {
                uplink.handle_feedback(Micros(now), now as i64, newest);
            }
        }
        (carried, longest)
    }

    #[test]
    fn a_slow_link_stores_little_and_is_made_use_of() {
        for rate in [4_000, 8_000, 16_000, 64_000] {
            let (carried, longest) = play(&mut Uplink::new(Micros::ZERO), rate, 60);
            // What there is to be stored, what begins within it, and what it takes to be seen.
            let bound = WAY + 50_000 + 2 * 1_000 * 1_000_000 / rate + 2 * STEP;
            assert!(longest < bound, "{rate}: {longest} of {bound} us");
            assert!(carried > rate * 60 / 3, "{rate}: {carried} bytes");
        }
    }

    #[test]
    fn a_fast_link_has_its_window_within_some_steps() {
        let mut uplink = Uplink::new(Micros::ZERO);
        let (carried, longest) = play(&mut uplink, 10_000_000, 1);
        assert_eq!(uplink.window, WINDOW_MAX);
        assert!(carried > 700_000 && longest < WAY + 2 * INPUT, "{carried} bytes, {longest} us");
    }

    #[test]
    fn where_nobody_gives_inputs_nothing_is_held_back() {
        let mut uplink = Uplink::new(Micros::ZERO);
        uplink.handle_messages(Micros::ZERO, 9_000, true);
        let held = Micros(SILENCE.0 - 1);
        assert_eq!((uplink.room(held), uplink.opens_at()), (0, SILENCE));
        assert_eq!(uplink.room(SILENCE), usize::MAX);
        // The first input finds nothing that would be known of.
        uplink.handle_input(SILENCE, 0, Tick(5));
        assert_eq!(uplink.room(SILENCE), WINDOW_AT_FIRST as usize);
    }

    #[test]
    fn who_hears_nothing_of_its_inputs_says_a_message_now_and_then() {
        let mut uplink = Uplink::new(Micros::ZERO);
        uplink.handle_messages(Micros::ZERO, 9_000, true);
        let mut said = 0;
        for now in (0..4_000_000).step_by(10_000).map(Micros) {
            uplink.handle_input(now, now.0 as i64, Tick((now.0 / 10_000) as u32));
            let room = uplink.room(now);
            assert_eq!(room > 0, now >= uplink.opens_at(), "{now:?}");
            if room > 0 {
                uplink.handle_messages(now, 500, true);
                said += 1;
            }
        }
        // After four seconds what was written first is not waited for any more.
        assert!((7..12).contains(&said), "{said}");
    }

    #[test]
    fn inputs_for_ticks_that_come_again_begin_anew() {
        let mut uplink = Uplink::new(Micros::ZERO);
        uplink.handle_input(Micros(1), 0, Tick(900));
        uplink.handle_messages(Micros(1), 9_000, true);
        uplink.handle_input(Micros(2), 0, Tick(901));
        assert_eq!(uplink.room(Micros(3)), 0);
        uplink.handle_input(Micros(3), 0, Tick(100));
        assert_eq!(uplink.room(Micros(3)), WINDOW_AT_FIRST as usize, "901 may never be heard of");
    }
}
