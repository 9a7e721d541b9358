//! The receiver's side: what has come and waits for the game.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::carried::Carried;
use super::engine::EXPIRED;
use super::event::GameEvent;
use super::frame::{MessageAck, MessageFrame, expand};
use super::lane::{Lane, Missed, Received};
use super::types::{Direction, MessageClass, MessageTypeId};
use crate::fault::DecodeError;
use crate::limits::{
    LATEST_KEYS_MAX, MESSAGES_IN_FLIGHT_MAX, SHORT_LANE_IN_FLIGHT_MAX, UNRELIABLE_MESSAGES_WAITING_MAX,
};
use crate::schema::Schema;

/// A message that has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// What it is.
    pub ty: MessageTypeId,
    /// Which of its type, if only the newest of each counts; otherwise 0.
    pub key: u32,
    /// What the other side's game says.
    pub body: Bytes,
}

/// What one side hears from the other.
#[derive(Debug)]
pub struct Inbox {
    schema: Arc<Schema>,
    way: Direction,
    /// What a session before this one has brought.
    former: VecDeque<Message>,
    lanes: [ReceiveLane; Lane::ORDERED.len()],
    /// The newest of each key that was not polled, with ascending numbers.
    latest: VecDeque<(u64, Message)>,
    latest_next: u64,
    latest_polled: u64,
    unreliable: VecDeque<Message>,
    /// What the sender was told of last.
    acked: Received,
    read: Carried,
    dropped: u64,
}

/// The receiver's end of an ordered lane.
#[derive(Debug, Default)]
struct ReceiveLane {
    waiting: VecDeque<Slot>,
    /// Of the bodies, taken ones among them: their sender counts them until they are acked.
    bytes: usize,
    /// The number that comes next.
    next: u64,
    /// Bit `n`: what comes `n` places from now was taken before this was saved.
    taken: u128,
}

/// A message, or the gap that one left which was taken ahead of those before it. The first is no gap.
#[derive(Debug)]
struct Slot {
    message: Option<Message>,
    bytes: usize,
}

impl ReceiveLane {
    /// Whether a message is news; an error if it breaks the protocol.
    fn check(&self, lane: Lane, low: u16, own: usize) -> Result<bool, DecodeError> {
        match expand(low, self.next) {
            Some(number) if number == self.next => {}
            Some(number) if number > self.next => {
                return Err(DecodeError::Invalid { what: "message number, after a gap", value: number });
            }
            // It came over the connection before.
            _ => return Ok(false),
        }
        let limits = lane.limits();
        let bytes = self.bytes + own;
        if self.waiting.len() >= limits.in_flight
            || (bytes > limits.bytes_in_flight && !self.waiting.is_empty())
        {
            return Err(overrun(self.waiting.len() + 1, limits.in_flight));
        }
        Ok(true)
    }

    /// Takes it in; of one that was refused or has expired the number alone.
    fn push(&mut self, message: Option<Message>, own: usize) {
        self.bytes += own;
        let was_taken = self.go_on(1) == 1;
        self.waiting.push_back(Slot { message: message.filter(|_| !was_taken), bytes: own });
        self.drop_gaps();
    }

    /// So many are here, or will not come. How many of them were taken before this was saved.
    fn go_on(&mut self, count: u64) -> u64 {
        let before = self.taken.count_ones();
        self.next += count;
        self.taken = u32::try_from(count).ok().and_then(|count| self.taken.checked_shr(count)).unwrap_or(0);
        u64::from(before - self.taken.count_ones())
    }

    fn take(&mut self, place: usize) -> Option<Message> {
        let message = self.waiting.get_mut(place)?.message.take();
        self.drop_gaps();
        message
    }

    fn drop_gaps(&mut self) {
        while self.waiting.front().is_some_and(|first| first.message.is_none()) {
            self.bytes -= self.waiting.pop_front().map_or(0, |first| first.bytes);
        }
    }

    /// Of what was not polled to its end, what was taken ahead of it: bit `n` of the `n`th. What waits beyond the 128th is in no lane in which
    /// anything is taken ahead.
    fn taken_ahead(&self) -> u128 {
        let places = self.waiting.iter().take(128).enumerate();
        let bits = places.filter(|(_, slot)| slot.message.is_none()).map(|(place, _)| 1 << place);
        bits.fold(self.taken.checked_shl(self.waiting.len() as u32).unwrap_or(0), |all, bit: u128| all | bit)
    }

    /// One past the newest number that was polled.
    fn polled(&self) -> u64 {
        self.next - self.waiting.len() as u64
    }
}

impl Inbox {
    /// Nothing heard yet. `way` is that of what comes: `ToServer` on a server and `ToClient` on a client.
    pub fn new(schema: Arc<Schema>, way: Direction) -> Self {
        Self {
            schema,
            way,
            former: VecDeque::new(),
            lanes: Default::default(),
            latest: VecDeque::new(),
            latest_next: 0,
            latest_polled: 0,
            unreliable: VecDeque::new(),
            acked: Received::default(),
            read: Carried::default(),
            dropped: 0,
        }
    }

    /// One of which so much was polled when it was saved, and of the events behind it those of which there is a bit.
    pub(super) fn restored(schema: Arc<Schema>, way: Direction, polled: Received, events: u128) -> Self {
        let mut inbox = Self::new(schema, way);
        inbox.lanes[Lane::Events as usize].taken = events;
        for lane in Lane::ORDERED {
            inbox.lanes[lane as usize].next = polled.of(lane);
        }
        (inbox.latest_next, inbox.latest_polled) = (polled.of(Lane::Latest), polled.of(Lane::Latest));
        inbox
    }

    /// Takes in the payload of a MESSAGE frame. What was received before is passed over. A fault means that the sender does not keep
    /// to the protocol; then nothing has changed.
    pub fn handle_message(&mut self, payload: Bytes) -> Result<(), DecodeError> {
        self.handle_message_unless(payload, |_, _| false).map(drop)
    }

    /// As [`Inbox::handle_message`], but for messages of the game's that `refuses` says no to, by type and bytes: those count as polled. The
    /// type and the number of one that was refused. Events and requests are not asked about.
    pub fn handle_message_unless(
        &mut self,
        payload: Bytes,
        refuses: impl FnOnce(MessageTypeId, usize) -> bool,
    ) -> Result<Option<(MessageTypeId, u16)>, DecodeError> {
        let (ty, frame) = MessageFrame::decode(payload, &self.schema)?;
        if !ty.goes(self.way) {
            let value = u64::from(ty.id.0);
            return Err(DecodeError::Invalid { what: "message type, this way", value });
        }
        let MessageFrame { ty: id, number, key, body } = frame;
        let body = body.into_bytes();
        if ty.class == MessageClass::Event {
            GameEvent::decode(body.clone())?;
        }
        let own = body.len();
        let message = Message { ty: id, key, body };
        let is_refused = match ty.lane {
            None => {
                let is_refused = refuses(id, own);
                if !is_refused {
                    self.handle_unreliable(message);
                }
                is_refused
            }
            Some(Lane::Latest) => self.handle_latest(number, message, refuses),
            Some(lane) => {
                if !self.lanes[lane as usize].check(lane, number, own)? {
                    self.read.note(ty.lane, own);
                    return Ok(None);
                }
                let is_refused = lane == Lane::Messages && refuses(id, own);
                let has_message = !is_refused && id != EXPIRED;
                self.lanes[lane as usize].push(has_message.then_some(message), own);
                is_refused
            }
        };
        self.read.note(ty.lane, own);
        Ok(is_refused.then_some((id, number)))
    }

    /// Whether it was refused.
    fn handle_latest(
        &mut self,
        low: u16,
        message: Message,
        refuses: impl FnOnce(MessageTypeId, usize) -> bool,
    ) -> bool {
        let next = self.latest_next;
        let Some(number) = expand(low, next).filter(|number| *number >= next) else { return false };
        if refuses(message.ty, message.body.len()) {
            self.latest_next = number + 1;
            return true;
        }
        let is_older = |(_, old): &(_, Message)| (old.ty, old.key) == (message.ty, message.key);
        match self.latest.iter().position(is_older) {
            Some(place) => drop(self.latest.remove(place)),
            // Its sender has so many keys at most, but forgets those of which a newer one expired before it was written.
            None if self.latest.len() >= LATEST_KEYS_MAX => {
                self.latest.pop_front();
                self.dropped += 1;
            }
            None => {}
        }
        self.latest_next = number + 1;
        self.latest.push_back((number, message));
        false
    }

    fn handle_unreliable(&mut self, message: Message) {
        if self.unreliable.len() >= UNRELIABLE_MESSAGES_WAITING_MAX {
            self.unreliable.pop_front();
            self.dropped += 1;
        }
        self.unreliable.push_back(message);
    }

    /// The next message: reliable ones first, in order, then the newest of keys; the sender hears that it was polled. Ask until there
    /// is none. Other lanes are asked by [name](Inbox::poll_lane).
    pub fn poll(&mut self) -> Option<Message> {
        self.poll_former()
            .or_else(|| self.poll_lane(Lane::Messages))
            .or_else(|| self.poll_lane(Lane::Latest))
            .or_else(|| self.unreliable.pop_front())
    }

    /// The next message of one lane; the sender hears that it was polled.
    pub fn poll_lane(&mut self, lane: Lane) -> Option<Message> {
        if lane != Lane::Latest {
            return self.lanes[lane as usize].take(0);
        }
        let (number, message) = self.latest.pop_front()?;
        self.latest_polled = number + 1;
        Some(message)
    }

    /// Game events that wait to be told, in order, each with its place for [`Inbox::take_event`].
    pub fn events(&self) -> impl Iterator<Item = (usize, &Message)> {
        let waiting = self.lanes[Lane::Events as usize].waiting.iter().enumerate();
        waiting.filter_map(|(place, slot)| Some((place, slot.message.as_ref()?)))
    }

    /// Takes the event at this place. Its sender hears of it when all before it are taken as well.
    pub fn take_event(&mut self, place: usize) -> Option<Message> {
        self.lanes[Lane::Events as usize].take(place)
    }

    /// As [`Inbox::poll`], of sessions before this one alone.
    pub fn poll_former(&mut self) -> Option<Message> {
        self.former.pop_front()
    }

    /// What has come.
    pub fn read(&self) -> Carried {
        self.read
    }

    /// Messages that waited too long to be polled: unreliable ones, those of sessions before, and the oldest of more keys than there may be.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the sender is to be told what was polled.
    pub fn has_ack(&self) -> bool {
        self.acked != self.polled()
    }

    /// Appends a MESSAGE_ACK frame if something was polled since the last.
    pub fn poll_ack(&mut self, out: &mut Vec<u8>) {
        if !self.has_ack() {
            return;
        }
        let polled = self.polled();
        let is_news = |lane: &Lane| polled.of(*lane) != self.acked.of(*lane);
        let lanes = Lane::SENDING_ORDER.into_iter().filter(is_news);
        lanes.fold(MessageAck::default(), |ack, lane| ack.with(lane, polled.of(lane))).encode(out);
        self.acked = polled;
    }

    /// Events that were taken ahead of others that still wait: bit `n` of the one `n` behind the last before which all were.
    pub(super) fn events_taken(&self) -> u128 {
        self.lanes[Lane::Events as usize].taken_ahead()
    }

    pub(super) fn polled(&self) -> Received {
        // Where none waits, those behind the last one were refused.
        let latest = if self.latest.is_empty() { self.latest_next } else { self.latest_polled };
        let latest = Received::default().with(Lane::Latest, latest);
        let ordered = Lane::ORDERED.into_iter();
        ordered.fold(latest, |polled, lane| polled.with(lane, self.lanes[lane as usize].polled()))
    }

    /// What the sender need not write again when the session goes on over another connection.
    pub fn received(&self) -> Received {
        let latest = Received::default().with(Lane::Latest, self.latest_next);
        let ordered = Lane::ORDERED.into_iter();
        ordered.fold(latest, |received, lane| received.with(lane, self.lanes[lane as usize].next))
    }

    /// The session goes on over another connection. What was `missed` will not come again: the sender has been told that it was
    /// here, and has forgotten it. Of that some may have been taken ahead of others; what is missing of the rest.
    pub fn handle_resumed(&mut self, missed: Missed) -> Result<Missed, DecodeError> {
        let goes_on = |lane: Lane| self.lanes[lane as usize].next.checked_add(missed.of(lane));
        if let Some(lane) = Lane::ORDERED.into_iter().find(|&lane| goes_on(lane).is_none()) {
            return Err(DecodeError::Invalid { what: "messages missed", value: missed.of(lane) });
        }
        let mut missing = missed;
        for lane in Lane::ORDERED {
            let taken = self.lanes[lane as usize].go_on(missed.of(lane));
            missing = missing.with(lane, missed.of(lane) - taken);
        }
        // The sender may not have heard the last ack.
        let never = |acked: Received, lane| acked.with(lane, u64::MAX);
        self.acked = Lane::SENDING_ORDER.into_iter().fold(self.acked, never);
        Ok(missing)
    }

    /// Gives back the memory that was needed at some time and is not now.
    pub fn shrink_to_fit(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.waiting.shrink_to_fit());
        self.former.shrink_to_fit();
        self.latest.shrink_to_fit();
        self.unreliable.shrink_to_fit();
    }

    /// Another session begins, with numbers of its own. What the game was sent in the one before and has not polled is still there, up to
    /// a window's worth; what the engine said of that session is over.
    pub fn handle_fresh(&mut self) {
        for lane in [Lane::Events, Lane::Messages] {
            let waiting = self.lanes[lane as usize].waiting.drain(..);
            self.former.extend(waiting.filter_map(|slot| slot.message));
        }
        self.former.extend(self.latest.drain(..).map(|(_, message)| message));
        self.former.append(&mut self.unreliable);
        self.former.retain(|message| !message.ty.is_engine());
        let excess = self.former.len().saturating_sub(FORMER_MESSAGES_MAX);
        self.former.drain(..excess);
        self.dropped += excess as u64;
        self.lanes = Default::default();
        (self.latest_next, self.latest_polled) = (0, 0);
        self.acked = Received::default();
    }
}

/// As many as one session can leave unpolled.
const FORMER_MESSAGES_MAX: usize =
    SHORT_LANE_IN_FLIGHT_MAX + MESSAGES_IN_FLIGHT_MAX + LATEST_KEYS_MAX + UNRELIABLE_MESSAGES_WAITING_MAX;

fn overrun(waiting: usize, limit: usize) -> DecodeError {
    DecodeError::TooLarge {
        what: "messages that wait to be polled",
        value: waiting as u64,
        limit: limit as u64,
    }
}
