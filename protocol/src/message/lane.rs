//! Lanes: the numbered streams of a session, one for each class, so that none waits for a worse one.
//!
//! A message that waits, or that fills its window, holds up those behind it in its lane and no others. Where not all fits, better
//! lanes go first: a request overtakes a thousand lines of chat.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::frame::OVERHEAD_BYTES_MAX;
use super::waiting::{Fates, MessageId, Outcome, Standing, Waiting};
use crate::limits::{
    LATEST_KEYS_MAX, MESSAGE_BYTES_IN_FLIGHT_MAX, MESSAGE_BYTES_QUEUED_MAX, MESSAGES_IN_FLIGHT_MAX,
    MESSAGES_QUEUED_MAX, SHORT_LANE_BYTES_QUEUED_MAX, SHORT_LANE_IN_FLIGHT_MAX, SHORT_LANE_QUEUED_MAX,
};
use crate::time::Micros;

/// A numbered stream of a session. Its number is that of its bit in MESSAGE_ACK.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Lane {
    /// What the engine says of the session itself, such as that something was refused.
    Control = 0,
    /// Game events.
    Events = 1,
    /// Requests, and answers to those of the other side.
    Requests = 2,
    /// Reliable messages.
    Messages = 3,
    /// Messages of which the newest of each key counts.
    Latest = 4,
}

/// What may wait in each lane of one sender, where that is to be less than what the format allows: where memory is short, or to see what a game
/// makes of refusals. What the engine says of the session itself is not held to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueLimits {
    /// Messages whose fate is not known.
    pub messages: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// Messages that were written and not polled, at least 1.
    pub in_flight: usize,
}

impl Default for QueueLimits {
    /// All that the format allows: 1,000 messages and 256 KiB, 256 of them in flight; less in the lanes of events and requests.
    fn default() -> Self {
        Self {
            messages: MESSAGES_QUEUED_MAX,
            bytes: MESSAGE_BYTES_QUEUED_MAX,
            in_flight: MESSAGES_IN_FLIGHT_MAX,
        }
    }
}

/// What may wait in a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneLimits {
    /// Messages at the sender whose fate is not known.
    pub(super) queued: usize,
    /// Bytes of their bodies.
    pub(super) bytes_queued: usize,
    /// Messages that were written and not polled.
    pub(super) in_flight: usize,
    /// Bytes of their bodies; a single one may be larger.
    pub(super) bytes_in_flight: usize,
}

impl Lane {
    /// How many there are.
    pub const COUNT: usize = 5;

    /// Those whose messages come in order and without a gap; each at its own number.
    pub const ORDERED: [Self; 4] = [Self::Control, Self::Events, Self::Requests, Self::Messages];

    /// In the order in which they are sent. The newest of a key is small and replaces what is older, as state does: it goes before
    /// messages, of which any number may wait.
    pub const SENDING_ORDER: [Self; Self::COUNT] =
        [Self::Control, Self::Events, Self::Requests, Self::Latest, Self::Messages];

    pub(super) const fn limits(self) -> LaneLimits {
        let (queued, bytes_queued, in_flight) = match self {
            Self::Control | Self::Events | Self::Requests => {
                (SHORT_LANE_QUEUED_MAX, SHORT_LANE_BYTES_QUEUED_MAX, SHORT_LANE_IN_FLIGHT_MAX)
            }
            Self::Messages => (MESSAGES_QUEUED_MAX, MESSAGE_BYTES_QUEUED_MAX, MESSAGES_IN_FLIGHT_MAX),
            Self::Latest => (LATEST_KEYS_MAX, MESSAGE_BYTES_QUEUED_MAX, LATEST_KEYS_MAX),
        };
        LaneLimits { queued, bytes_queued, in_flight, bytes_in_flight: MESSAGE_BYTES_IN_FLIGHT_MAX }
    }

    /// What a sender with limits of its own keeps.
    pub(super) fn limits_within(self, own: QueueLimits) -> LaneLimits {
        let LaneLimits { queued, bytes_queued, in_flight, bytes_in_flight } = self.limits();
        if self == Self::Control {
            return self.limits();
        }
        LaneLimits {
            queued: queued.min(own.messages),
            bytes_queued: bytes_queued.min(own.bytes),
            in_flight: in_flight.min(own.in_flight.max(1)),
            bytes_in_flight,
        }
    }
}

/// One past the newest number of each lane: how much of a session's messages one side has received, and the other need not write
/// again.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Received([u64; Lane::COUNT]);

impl Received {
    /// One past the newest number of a lane.
    pub fn of(&self, lane: Lane) -> u64 {
        self.0[lane as usize]
    }

    /// The same with another number for a lane.
    #[must_use]
    pub fn with(mut self, lane: Lane, next: u64) -> Self {
        self.0[lane as usize] = next;
        self
    }
}

/// Messages of each ordered lane that a receiver never gets, because it has forgotten that it had them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Missed([u64; Lane::ORDERED.len()]);

impl Missed {
    /// The same with another count of a lane.
    #[must_use]
    pub fn with(mut self, lane: Lane, count: u64) -> Self {
        if let Some(of) = self.0.get_mut(lane as usize) {
            *of = count;
        }
        self
    }

    /// Of one lane; none of the newest of keys, which are written again.
    pub fn of(&self, lane: Lane) -> u64 {
        self.0.get(lane as usize).copied().unwrap_or_default()
    }

    /// Of all lanes.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, count| total.saturating_add(*count))
    }
}

/// The sender's end of an ordered lane: messages in flight, then those that never were written.
#[derive(Debug, Default)]
pub(super) struct SendLane {
    waiting: VecDeque<Waiting>,
    /// How many of them have a number.
    numbered: usize,
    /// How many of these need not be written on this connection (again).
    written: usize,
    /// How many another program may have written since it saved them here.
    saved: usize,
    /// The number of the first of them.
    first: u64,
    /// Numbers below this are of another program. How much of that waits at the other side is not known here, so nothing new is written before
    /// all of it was polled.
    foreign_end: u64,
    /// Bytes of those that have a number.
    flight_bytes: usize,
    bytes: usize,
}

impl SendLane {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.body.len();
        self.waiting.push_back(waiting);
    }

    /// As it was saved: all that has a number is to be written again.
    pub(super) fn restored(
        (first, foreign_end): (u64, u64),
        (numbered, saved): (usize, usize),
        waiting: VecDeque<Waiting>,
    ) -> Self {
        let bytes = |waiting: &Waiting| waiting.body.len();
        let flight_bytes = waiting.iter().take(numbered).map(bytes).sum();
        let bytes = waiting.iter().map(bytes).sum();
        Self { numbered, written: 0, saved, first, foreign_end, flight_bytes, bytes, waiting }
    }

    /// Those that were written after this was saved have their numbers all the same: they got them in this order. What was sent since then by
    /// this program has none.
    pub(super) fn catch_up(&mut self, received: u64) {
        while self.numbered_end() < received && self.numbered < self.saved {
            let waiting = &mut self.waiting[self.numbered];
            waiting.doubt();
            self.flight_bytes += waiting.body.len();
            self.numbered += 1;
        }
        if received > self.numbered_end() {
            self.first += received - self.numbered_end();
            self.foreign_end = received;
        }
    }

    /// All that may have been written since it was saved was.
    pub(super) fn take_for_written(&mut self) {
        self.catch_up(self.first + self.saved as u64);
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// How many may have been written once another program goes on with what is saved now. One that was restored itself, and has not heard
    /// since, writes nothing.
    pub(super) fn written_since(&self, is_restored: bool) -> usize {
        if is_restored { self.saved } else { self.waiting.len() }
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn holds(&self, id: MessageId) -> bool {
        self.waiting.iter().any(|waiting| waiting.id == id)
    }

    /// Where a message is whose fate is to be told, as far as its receiver is concerned, and how many bytes of its lane are to be written before
    /// it. Ids ascend.
    pub(super) fn standing(&self, id: MessageId, limits: LaneLimits) -> Option<(Standing, usize)> {
        let place = self.waiting.binary_search_by_key(&id, Waiting::id).ok()?;
        let waiting = Some(&self.waiting[place]).filter(|waiting| waiting.has_fate_to_tell())?;
        if place < self.numbered {
            return Some((Standing::InFlight, 0));
        }
        let from_here: usize = self.waiting.iter().skip(place).map(|waiting| waiting.body.len()).sum();
        let before = self.bytes - from_here;
        let has_bytes = place == 0 || before + waiting.body.len() <= limits.bytes_in_flight;
        let has_room = self.foreign_end == 0 && place < limits.in_flight && has_bytes;
        let ahead = before - self.flight_bytes + (place - self.numbered) * OVERHEAD_BYTES_MAX;
        Some((if has_room { Standing::Sent } else { Standing::Queued }, ahead))
    }

    /// Bytes of those that were never written, at the most.
    pub(super) fn unwritten_bytes(&self) -> usize {
        self.bytes - self.flight_bytes + (self.waiting.len() - self.numbered) * OVERHEAD_BYTES_MAX
    }

    /// The one in flight with this number.
    pub(super) fn numbered(&mut self, low: u16) -> Option<&mut Waiting> {
        let place = usize::from(low.wrapping_sub(self.first as u16));
        self.waiting.get_mut(place).filter(|_| place < self.numbered)
    }

    /// Whether there is one to be written, room for it or not.
    pub(super) fn has_unwritten(&self) -> bool {
        self.written < self.waiting.len()
    }

    /// The next to be written and its number, if the receiver has room for it.
    pub(super) fn next(&self, limits: LaneLimits) -> Option<(u64, &Waiting)> {
        let waiting = self.waiting.get(self.written)?;
        let is_new = self.written == self.numbered;
        let has_room = self.foreign_end == 0
            && self.numbered < limits.in_flight
            && (self.numbered == 0 || self.flight_bytes + waiting.body.len() <= limits.bytes_in_flight);
        (!is_new || has_room).then_some((self.end(), waiting))
    }

    /// That one was written.
    pub(super) fn handle_written(&mut self) {
        if self.written == self.numbered {
            self.flight_bytes += self.waiting.get(self.written).map_or(0, |waiting| waiting.body.len());
            self.numbered += 1;
        }
        self.written += 1;
    }

    /// One past the newest number that was written on this connection.
    pub(super) fn end(&self) -> u64 {
        self.first + self.written as u64
    }

    /// One past the newest number that was ever written.
    pub(super) fn numbered_end(&self) -> u64 {
        self.first + self.numbered as u64
    }

    /// The number of the oldest that is not acked.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// One past the newest number of another program that may not have been polled; 0 if there is none.
    pub(super) fn foreign_end(&self) -> u64 {
        self.foreign_end
    }

    /// Gives up what has waited too long and was never written. When the next one is to be given up. Of what was saved the number is given
    /// all the same, in its turn: who goes on with that does not know when it expired, and whose number it would have been.
    pub(super) fn expire(&mut self, now: Micros, lane: Lane, fates: &mut Fates) -> Option<Micros> {
        let (mut in_flight, mut earliest) = (self.numbered, None);
        let bytes = &mut self.bytes;
        self.waiting.retain_mut(|waiting| {
            if in_flight > 0 {
                in_flight -= 1;
                return true;
            }
            if waiting.stays(now, &mut earliest) {
                return true;
            }
            *bytes -= waiting.body.len();
            fates.tell(waiting, Outcome::Expired);
            if waiting.is_saved() {
                waiting.give_way(lane);
                *bytes += waiting.body.len();
            }
            waiting.is_saved()
        });
        earliest
    }

    /// Whether another program may go on with what waits here.
    pub(super) fn set_saved(&mut self, is_saved: bool) {
        self.waiting.iter_mut().for_each(|waiting| waiting.set_saved(is_saved));
    }

    /// Those before this number were polled.
    pub(super) fn take_delivered(&mut self, end: u64, fates: &mut Fates) {
        if end >= self.foreign_end {
            self.foreign_end = 0;
        }
        while self.first < end && self.give_up_first(fates, Waiting::delivery) {
            self.first += 1;
            self.written = self.written.saturating_sub(1);
        }
    }

    /// Those from this number on are to be written again. How many before it are here no more.
    pub(super) fn handle_resumed(&mut self, received: u64) -> u64 {
        self.written = received.saturating_sub(self.first) as usize;
        self.first.saturating_sub(received)
    }

    /// Numbers begin anew: what had one is lost, and what the engine said of the session before is over.
    pub(super) fn handle_fresh(&mut self, fates: &mut Fates) {
        while self.numbered > 0 && self.give_up_first(fates, |_| Outcome::Lost) {}
        (self.first, self.written, self.foreign_end) = (0, 0, 0);
        self.waiting.retain(|waiting| !waiting.ty.is_engine());
        self.bytes = self.waiting.iter().map(|waiting| waiting.body.len()).sum();
    }

    /// All is lost.
    pub(super) fn handle_end(&mut self, fates: &mut Fates) {
        while self.give_up_first(fates, |_| Outcome::Lost) {}
        (self.first, self.written, self.foreign_end) = (0, 0, 0);
    }

    fn give_up_first(&mut self, fates: &mut Fates, outcome: impl Fn(&Waiting) -> Outcome) -> bool {
        let Some(waiting) = self.waiting.pop_front() else { return false };
        self.bytes -= waiting.body.len();
        if self.numbered > 0 {
            self.numbered -= 1;
            self.flight_bytes -= waiting.body.len();
        }
        fates.tell(&waiting, outcome(&waiting));
        true
    }
}
