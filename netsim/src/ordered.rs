//! A link that carries an ordered stream as TCP does: nothing is lost, and everything waits for what is.
//!
//! Messages are cut into segments of [`SEGMENT_BYTES`]; each message begins a new one, as with `TCP_NODELAY`.
//! A segment is *sent* when its last bit leaves the bottleneck. One round trip is twice the base delay at
//! that instant, wander included, jitter and queue not.
//!
//! - A lost segment arrives 1.25 round trips + 10 ms after its first sending if another segment is sent for
//!   the first time within one round trip after it, otherwise after max(200 ms, 2 round trips).
//! - A resend leaves one base delay before it arrives, and is lost if that slot is. Each lost resend adds
//!   200, 400, 800 ms... An episode holds it like everything else. It meets no jitter and takes nothing of
//!   the rate.
//! - All that follows in the stream waits and is delivered at the same instant. Reordering is a wait too;
//!   duplicates are discarded unseen.
//! - A segment leaves the send buffer when it is acknowledged: one base delay after its delivery in order.
//!   Acknowledgements are never lost or held.
//!
//! There is **no congestion window**: what the send buffer takes is offered to the bottleneck at once. So the
//! rate is limited by the profile and by 64 KiB a round trip (on `satellite` 0.9 Mbit/s), and loss costs
//! delay, not rate. A segment dropped at a full queue counts as lost, sent at that instant; no named profile
//! has a queue as small as the send buffer.

use std::collections::VecDeque;

use crate::bottleneck::Bottleneck;
use crate::profile::{Direction, Profile};
use crate::weather::Weather;

/// One direction of an ordered stream of whole messages. Instants given to [`try_send`](Self::try_send) must
/// not decrease.
///
/// How a lost segment is recovered depends on whether anything follows it. Only the newest segment can still
/// be open, and the next one settles it: until then it is told as if nothing followed, and that is always
/// later than the last instant at which something could.
#[derive(Clone, Debug)]
pub struct OrderedLink<T> {
    weather: Weather,
    bottleneck: Bottleneck,
    /// Sent and not received, oldest first.
    messages: VecDeque<Message<T>>,
    /// Segments in the send buffer, oldest first, their instants in order.
    unacked: VecDeque<Segment>,
    buffered_bytes: u64,
    /// When all that was sent is delivered, and so the newest message.
    delivered_micros: u64,
    open_loss: Option<OpenLoss>,
    counters: OrderedCounters,
}

/// What became of the messages of one direction, and of their segments.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OrderedCounters {
    /// Messages taken into the send buffer.
    pub sent: u64,
    /// Messages received.
    pub delivered: u64,
    /// Messages refused because the send buffer had no room.
    pub refused: u64,
    /// Segments sent, resends not counted.
    pub segments: u64,
    /// Segments whose first sending was lost, those dropped at a full queue included.
    pub segments_lost: u64,
}

#[derive(Clone, Debug)]
struct Message<T> {
    delivered_micros: u64,
    /// Number of its last segment.
    last_segment: u64,
    payload: T,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    acked_micros: u64,
    bytes: u64,
}

/// The newest segment, if it was lost and nothing has followed it.
#[derive(Clone, Copy, Debug)]
struct OpenLoss {
    /// Its number: segments count from 1.
    segment: u64,
    sent_micros: u64,
    /// When all before it is delivered.
    ahead_delivered_micros: u64,
}

impl<T> OrderedLink<T> {
    /// The `direction` of link number `link`.
    ///
    /// Panics with [`Profile::fault`]'s text if a parameter is out of range.
    pub fn new(profile: &Profile, seed: u64, link: u64, direction: Direction) -> Self {
        Self {
            weather: Weather::new(profile, seed, link, direction),
            bottleneck: Bottleneck::new(profile.bits_per_second(direction), profile.queue_micros),
            messages: VecDeque::new(),
            unacked: VecDeque::new(),
            buffered_bytes: 0,
            delivered_micros: 0,
            open_loss: None,
            counters: OrderedCounters::default(),
        }
    }

    /// Room in the send buffer, 0 to [`SEND_BUFFER_BYTES`].
    pub fn writable_bytes(&self, now_micros: u64) -> u64 {
        let acked = self.unacked.iter().take_while(|segment| segment.acked_micros <= now_micros);
        SEND_BUFFER_BYTES - self.buffered_bytes + acked.map(|segment| segment.bytes).sum::<u64>()
    }

    /// The first instant from `now_micros` on at which a message of `size_bytes` finds room, if nothing is
    /// sent until then; `None` if it is larger than [`SEND_BUFFER_BYTES`] and never does.
    pub fn writable_at(&self, now_micros: u64, size_bytes: u64) -> Option<u64> {
        let mut free_bytes = SEND_BUFFER_BYTES - self.buffered_bytes;
        if size_bytes <= free_bytes {
            return Some(now_micros);
        }
        let makes_room = self.unacked.iter().find(|segment| {
            free_bytes += segment.bytes;
            size_bytes <= free_bytes
        });
        makes_room.map(|segment| segment.acked_micros.max(now_micros))
    }

    /// Takes a message of `size_bytes`, or gives it back if the send buffer has no room for the whole of it.
    pub fn try_send(&mut self, now_micros: u64, size_bytes: u64, payload: T) -> Result<(), T> {
        self.release_acked(now_micros);
        if size_bytes > SEND_BUFFER_BYTES - self.buffered_bytes {
            self.counters.refused += 1;
            return Err(payload);
        }
        self.counters.sent += 1;
        let mut unsent_bytes = size_bytes;
        // A message without bytes still takes a segment: it has to arrive.
        loop {
            let segment_bytes = unsent_bytes.min(SEGMENT_BYTES);
            self.send_segment(now_micros, segment_bytes);
            unsent_bytes -= segment_bytes;
            if unsent_bytes == 0 {
                break;
            }
        }
        let last_segment = self.counters.segments;
        self.messages.push_back(Message { delivered_micros: self.delivered_micros, last_segment, payload });
        Ok(())
    }

    /// When the next message is delivered if nothing more is sent, microseconds. Ask again after each
    /// [`try_send`](Self::try_send): it may move the instant, but never to before itself. It may be in the
    /// past, if nobody received the message.
    pub fn next_arrival(&self) -> Option<u64> {
        self.messages.front().map(|message| message.delivered_micros)
    }

    /// The next message delivered by `now_micros`, with the instant of its delivery.
    pub fn receive(&mut self, now_micros: u64) -> Option<(u64, T)> {
        if self.messages.front()?.delivered_micros > now_micros {
            return None;
        }
        let message = self.messages.pop_front()?;
        self.counters.delivered += 1;
        Some((message.delivered_micros, message.payload))
    }

    /// What became of the messages and segments so far.
    pub fn counters(&self) -> OrderedCounters {
        self.counters
    }

    fn send_segment(&mut self, now_micros: u64, bytes: u64) {
        let departure_micros = self.bottleneck.admit(now_micros, bytes);
        let sent_micros = departure_micros.unwrap_or(now_micros);
        self.settle(sent_micros);
        self.counters.segments += 1;
        let conditions = self.weather.at(sent_micros);
        let arrival_micros = if departure_micros.is_none() || conditions.is_lost {
            self.counters.segments_lost += 1;
            let ahead_delivered_micros = self.delivered_micros;
            let segment = self.counters.segments;
            self.open_loss = Some(OpenLoss { segment, sent_micros, ahead_delivered_micros });
            self.recovery_micros(sent_micros, Recovery::Timeout)
        } else {
            conditions.arrival_micros(sent_micros) + conditions.reorder_micros.unwrap_or(0)
        };
        self.delivered_micros = self.delivered_micros.max(arrival_micros);
        self.buffered_bytes += bytes;
        self.push_unacked(bytes);
    }

    /// Decides how the newest segment is recovered, now that one follows it.
    fn settle(&mut self, follower_sent_micros: u64) {
        let Some(open) = self.open_loss.take() else {
            return;
        };
        let round_trip_micros = 2 * self.weather.base_micros(open.sent_micros);
        if follower_sent_micros > open.sent_micros + round_trip_micros {
            return;
        }
        let arrival_micros = self.recovery_micros(open.sent_micros, Recovery::Follower);
        self.delivered_micros = open.ahead_delivered_micros.max(arrival_micros);
        if let Some(newest) = self.messages.back_mut()
            && newest.last_segment == open.segment
        {
            newest.delivered_micros = self.delivered_micros;
        }
        if let Some(segment) = self.unacked.pop_back() {
            self.push_unacked(segment.bytes);
        }
    }

    /// When a segment arrives whose first sending, at `sent_micros`, was lost.
    fn recovery_micros(&mut self, sent_micros: u64, recovery: Recovery) -> u64 {
        let base_micros = self.weather.base_micros(sent_micros);
        let round_trip_micros = 2 * base_micros;
        let mut arrival_micros = sent_micros
            + match recovery {
                Recovery::Follower => round_trip_micros * 5 / 4 + 10_000,
                Recovery::Timeout => (2 * round_trip_micros).max(RESEND_TIMEOUT_MICROS),
            };
        for doublings in 0..RESENDS_MAX {
            let resent_micros = arrival_micros - base_micros;
            let conditions = self.weather.at(resent_micros);
            if !conditions.is_lost {
                return conditions.released_micros(resent_micros) + base_micros;
            }
            arrival_micros += RESEND_TIMEOUT_MICROS << doublings;
        }
        arrival_micros
    }

    /// Notes the newest segment as acknowledged one base delay after all that was sent is delivered.
    fn push_unacked(&mut self, bytes: u64) {
        let acked_micros = self.delivered_micros + self.weather.base_micros(self.delivered_micros);
        // A base delay that falls must not let a later acknowledgement overtake: they count for all before
        // them.
        let ahead_micros = self.unacked.back().map_or(0, |segment| segment.acked_micros);
        self.unacked.push_back(Segment { acked_micros: acked_micros.max(ahead_micros), bytes });
    }

    fn release_acked(&mut self, now_micros: u64) {
        while let Some(segment) = self.unacked.front()
            && segment.acked_micros <= now_micros
        {
            self.buffered_bytes -= segment.bytes;
            self.unacked.pop_front();
        }
    }
}

/// What makes the sender resend.
#[derive(Clone, Copy)]
enum Recovery {
    /// A segment sent within one round trip after it: its acknowledgement tells of the gap.
    Follower,
    /// Nothing but time.
    Timeout,
}

/// Payload of a segment, bytes.
pub const SEGMENT_BYTES: u64 = 1_200;

/// What the send buffer holds, bytes: not delivered or not yet acknowledged. Larger messages are always
/// refused.
pub const SEND_BUFFER_BYTES: u64 = 64 * 1_024;

/// The least wait for a resend without a follower, and what the first lost resend adds.
const RESEND_TIMEOUT_MICROS: u64 = 200_000;

/// Lost resends after which the next is taken as arrived: 109 minutes of bad weather, beyond any run.
const RESENDS_MAX: u32 = 15;
