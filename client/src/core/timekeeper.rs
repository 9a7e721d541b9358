//! Pings, and the server's time that their answers tell: all that it takes to know a server's clock.

use std::collections::VecDeque;

use tickwire_protocol::handshake::Welcome;
use tickwire_protocol::ping::{Ping, Pong};
use tickwire_protocol::{Micros, Tick};

use super::clock::Clock;

/// Pings that may wait for an answer; older ones are given up. Six seconds of the most frequent ones that a welcome
/// may ask for: longer than any round trip that can be played with.
const PINGS_MAX: usize = 128;

/// Pings that follow each other quickly at the beginning and after a jump of a clock: the best of a few is good enough to
/// start with.
const URGENT_PINGS: u32 = 5;
/// How quickly.
const URGENT_INTERVAL: Micros = Micros::from_millis(100);

/// Keeps the server's time. A [`Client`](crate::Client) has one; alone it serves who is connected and reads no state: a load
/// generator, a monitor. See [`Client::into_timekeeper`](crate::Client::into_timekeeper).
#[derive(Clone, Debug)]
pub struct Timekeeper {
    pub(super) clock: Clock,
    interval: Micros,
    next: Micros,
    last: Option<Micros>,
    /// Pings that are to follow each other quickly: server time is not known well yet.
    urgent: u32,
    /// Pings that wait for their answer.
    waiting: VecDeque<Micros>,
}

impl Timekeeper {
    /// Begins with what the welcome tells. The hello went out at `asked`.
    pub(crate) fn new(welcome: &Welcome, asked: Micros, now: Micros) -> Self {
        let timing = welcome.timing;
        Self {
            clock: Clock::new(timing.tick_rate, welcome.tick, welcome.tick_time, asked, now),
            interval: timing.ping_interval,
            next: now,
            last: None,
            urgent: URGENT_PINGS,
            waiting: VecDeque::new(),
        }
    }

    /// The server's time, and how far it is away.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// When to call [`Timekeeper::poll_transmit`].
    pub fn poll_timeout(&self) -> Micros {
        self.next
    }

    /// Appends a PING frame if one is due; whether one was.
    pub fn poll_transmit(&mut self, now: Micros, out: &mut Vec<u8>) -> bool {
        if now < self.next {
            return false;
        }
        Ping { client_time: now }.encode(out);
        self.last = Some(now);
        if self.waiting.len() == PINGS_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(now);
        let is_urgent = self.urgent > 0;
        self.next = now + if is_urgent { self.interval.min(URGENT_INTERVAL) } else { self.interval };
        self.urgent = self.urgent.saturating_sub(1);
        true
    }

    /// How often it asks from now on.
    pub(crate) fn set_interval(&mut self, now: Micros, interval: Micros) {
        self.interval = interval;
        self.next = self.next.min(now + interval);
    }

    /// Asks at the next opportunity.
    pub(crate) fn ask_at(&mut self, now: Micros) {
        self.next = self.next.min(now);
    }

    /// Takes in an answer; whether it shows that a clock has jumped. Nothing if it was never asked for, or came twice: then it says
    /// nothing.
    pub fn handle_pong(&mut self, now: Micros, pong: &Pong) -> Option<bool> {
        let place = self.waiting.iter().position(|&ping| ping == pong.client_time)?;
        self.waiting.remove(place);
        let has_jumped = self.clock.handle_pong(now, pong);
        if has_jumped {
            self.handle_jump(now);
        }
        Some(has_jumped)
    }

    /// Takes in that the state of `tick` has arrived; whether that shows that a clock has jumped.
    pub(crate) fn handle_tick(&mut self, now: Micros, tick: Tick) -> bool {
        let has_jumped = self.clock.handle_tick(now, tick);
        if has_jumped {
            self.handle_jump(now);
        }
        has_jumped
    }

    /// Server time was set anew: it is soon to be known exactly.
    fn handle_jump(&mut self, now: Micros) {
        // What was asked before the jump and is answered after it took another time than it seems.
        self.waiting.clear();
        self.urgent = URGENT_PINGS;
        // Not at once after the last one: a server whose time jumps for ever must not make us ping for ever.
        let soon = self.last.map_or(now, |last| now.max(last + URGENT_INTERVAL));
        self.next = self.next.min(soon);
    }
}
