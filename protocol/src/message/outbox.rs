//! The sender's side: what was given to be sent, until its fate is known.
//!
//! A message waits in the **queue** until it is written; it then has a number and is **in flight** until it is acked.
//! Numbers are given when a message is written first, so what expires before leaves no gap.

use core::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::frame::{MessageAck, MessageFrame, OVERHEAD_BYTES_MAX, Received, expand};
use super::types::{Direction, MessageClass, MessageType, MessageTypeId};
use crate::fault::DecodeError;
use crate::limits::{
    LATEST_KEYS_MAX, LATEST_UNACKED_MAX, MESSAGE_BYTES_IN_FLIGHT_MAX, MESSAGE_BYTES_QUEUED_MAX,
    MESSAGES_IN_FLIGHT_MAX, MESSAGES_PER_TRANSMIT_MAX, MESSAGES_QUEUED_MAX, UNRELIABLE_MESSAGES_WAITING_MAX,
};
use crate::schema::Schema;
use crate::time::Micros;

/// Names a message that was given to be sent, for as long as the session lasts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(pub u64);

/// What became of a message. Not told of unreliable ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The game on the other side has polled it.
    Delivered,
    /// It waited too long to be written, and never was.
    Expired,
    /// A newer one of its key took its place. It may have arrived.
    Replaced,
    /// The session that it was written in has ended. It may have arrived.
    Lost,
}

/// Why a message is not taken. Nothing of it will arrive.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SendError {
    /// The schema has no such type.
    #[error("the schema has no message type {0}")]
    UnknownType(MessageTypeId),
    /// The schema lets only the other side send it.
    #[error("message `{name}` does not go this way: declare it BothWays, or send it from the other side")]
    WrongWay {
        /// The type's name.
        name: String,
    },
    /// It is larger than its type allows.
    #[error("message `{name}` has {bytes} bytes, its type allows {max}")]
    TooLarge {
        /// The type's name.
        name: String,
        /// Bytes of the body.
        bytes: usize,
        /// The most that its type allows.
        max: u32,
    },
    /// The connection keeps no order, so nothing can be promised of what it carries.
    #[error("this connection carries datagrams: messages need a stream that keeps order")]
    NotOrdered,
    /// There is no session, nor will there be one.
    #[error("the session is over")]
    Closed,
    /// Too much waits already: the other side does not take it, or is away.
    #[error("{messages} messages with {bytes} bytes wait to be taken: try again when some are delivered")]
    Full {
        /// Messages that are queued or in flight.
        messages: usize,
        /// Bytes of their bodies.
        bytes: usize,
    },
}

#[derive(Debug)]
struct Waiting {
    id: MessageId,
    ty: MessageTypeId,
    /// Of a latest message: which of its type.
    key: u32,
    body: Bytes,
    /// When it is given up if it was not written yet.
    deadline: Option<Micros>,
}

/// What one side says to the other.
#[derive(Debug)]
pub struct Outbox {
    schema: Arc<Schema>,
    way: Direction,
    next_id: u64,
    /// Reliable messages in the order of sending: those in flight, then those that never were written.
    reliable: VecDeque<Waiting>,
    /// How many of them have a number.
    numbered: usize,
    /// How many of these need not be written on this connection (again).
    written: usize,
    /// The number of the first of them.
    first: u64,
    /// Bytes of those that have a number.
    flight_bytes: usize,
    /// The newest of each key, oldest first: those that were written, with ascending numbers, then the others.
    latest: VecDeque<(Option<u64>, Waiting)>,
    latest_written: usize,
    next_latest: u64,
    acked_latest: u64,
    unreliable: VecDeque<Waiting>,
    /// Bytes of all bodies.
    bytes: usize,
    /// No message in the queue is given up before.
    earliest_deadline: Option<Micros>,
    outcomes: VecDeque<(MessageId, Outcome)>,
    /// Whether anybody asks for outcomes.
    tells_outcomes: bool,
    dropped: u64,
}

impl Outbox {
    /// Nothing said yet. `way` is `ToServer` on a client and `ToClient` on a server.
    pub fn new(schema: Arc<Schema>, way: Direction) -> Self {
        Self {
            schema,
            way,
            next_id: 0,
            reliable: VecDeque::new(),
            numbered: 0,
            written: 0,
            first: 0,
            flight_bytes: 0,
            latest: VecDeque::new(),
            latest_written: 0,
            next_latest: 0,
            acked_latest: 0,
            unreliable: VecDeque::new(),
            bytes: 0,
            earliest_deadline: None,
            outcomes: VecDeque::new(),
            tells_outcomes: true,
            dropped: 0,
        }
    }

    /// For who never asks [`Outbox::poll_outcome`]: outcomes would pile up.
    #[must_use]
    pub fn without_outcomes(self) -> Self {
        Self { tells_outcomes: false, ..self }
    }

    /// Takes a message. `key` tells latest messages of one type apart, such as by the player that they are about; other classes
    /// pass it over.
    ///
    /// What is taken is written as soon as there is a connection and room on it, and its [`Outcome`] will be told.
    pub fn send(
        &mut self,
        now: Micros,
        ty: MessageTypeId,
        key: u32,
        body: Bytes,
    ) -> Result<MessageId, SendError> {
        self.expire(now);
        let schema = self.schema.clone();
        let ty = schema.message(ty).ok_or(SendError::UnknownType(ty))?;
        self.check(ty, key, body.len())?;
        let id = MessageId(self.next_id);
        self.next_id += 1;
        let lifetime = u64::from(ty.expires_after_millis());
        let deadline = (lifetime > 0).then(|| now + Micros::from_millis(lifetime));
        if ty.class() != MessageClass::Unreliable {
            self.bytes += body.len();
        }
        self.earliest_deadline = [self.earliest_deadline, deadline].into_iter().flatten().min();
        let waiting = Waiting { id, ty: ty.id(), key, body, deadline };
        match ty.class() {
            MessageClass::Reliable => self.reliable.push_back(waiting),
            MessageClass::Latest => self.replace(waiting),
            MessageClass::Unreliable => self.push_unreliable(waiting),
        }
        Ok(id)
    }

    fn check(&self, ty: &MessageType, key: u32, bytes: usize) -> Result<(), SendError> {
        let name = || ty.name().to_owned();
        if !ty.goes(self.way) {
            return Err(SendError::WrongWay { name: name() });
        }
        if bytes > ty.bytes_max() as usize {
            return Err(SendError::TooLarge { name: name(), bytes, max: ty.bytes_max() });
        }
        // What takes the place of another asks for no more than the difference.
        let (replaced, is_full) = match ty.class() {
            MessageClass::Unreliable => return Ok(()),
            MessageClass::Reliable => (0, self.messages() >= MESSAGES_QUEUED_MAX),
            MessageClass::Latest => match self.latest_of(ty.id(), key) {
                Some(place) => (self.latest[place].1.body.len(), false),
                None => (0, self.latest.len() >= LATEST_KEYS_MAX || self.messages() >= MESSAGES_QUEUED_MAX),
            },
        };
        if is_full || self.bytes - replaced + bytes > MESSAGE_BYTES_QUEUED_MAX {
            return Err(SendError::Full { messages: self.messages(), bytes: self.bytes });
        }
        Ok(())
    }

    /// Where the newest message of a key is.
    fn latest_of(&self, ty: MessageTypeId, key: u32) -> Option<usize> {
        self.latest.iter().position(|(_, waiting)| (waiting.ty, waiting.key) == (ty, key))
    }

    /// What is not written soon is not worth to be written: of more than a few the oldest go.
    fn push_unreliable(&mut self, waiting: Waiting) {
        self.unreliable.push_back(waiting);
        let bytes =
            |waiting: &VecDeque<Waiting>| waiting.iter().map(|waiting| waiting.body.len()).sum::<usize>();
        while self.unreliable.len() > UNRELIABLE_MESSAGES_WAITING_MAX
            || bytes(&self.unreliable) > MESSAGE_BYTES_IN_FLIGHT_MAX
        {
            self.unreliable.pop_front();
            self.dropped += 1;
        }
    }

    fn tell(&mut self, id: MessageId, outcome: Outcome) {
        if self.tells_outcomes {
            self.outcomes.push_back((id, outcome));
        }
    }

    /// The newest of a key takes the place of the one before.
    fn replace(&mut self, waiting: Waiting) {
        if let Some(place) = self.latest_of(waiting.ty, waiting.key)
            && let Some((_, old)) = self.latest.remove(place)
        {
            self.latest_written -= usize::from(place < self.latest_written);
            self.bytes -= old.body.len();
            self.tell(old.id, Outcome::Replaced);
        }
        self.latest.push_back((None, waiting));
    }

    /// Messages whose fate is not known yet, unreliable ones not counted.
    pub fn messages(&self) -> usize {
        self.reliable.len() + self.latest.len()
    }

    /// Bytes of their bodies.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Unreliable messages for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next message whose fate is known. Ask until there is none.
    pub fn poll_outcome(&mut self, now: Micros) -> Option<(MessageId, Outcome)> {
        self.expire(now);
        self.outcomes.pop_front()
    }

    /// Whether [`Outbox::poll_transmit`] has something to write.
    pub fn has_transmit(&self) -> bool {
        self.next_reliable().is_some() || self.next_latest().is_some() || !self.unreliable.is_empty()
    }

    /// Appends at most [`MESSAGES_PER_TRANSMIT_MAX`] MESSAGE frames with at most `bytes_max` bytes in all, on a connection that
    /// lasts. Unreliable messages that find no room are dropped.
    pub fn poll_transmit(&mut self, now: Micros, bytes_max: usize, out: &mut Vec<u8>) {
        self.expire(now);
        let end = out.len() + bytes_max;
        let frames = Cell::new(0);
        let fits = |out: &Vec<u8>, body: &Bytes| {
            let has_room = out.len() + OVERHEAD_BYTES_MAX + body.len() <= end;
            let fits = has_room && frames.get() < MESSAGES_PER_TRANSMIT_MAX;
            frames.set(frames.get() + usize::from(fits));
            fits
        };
        while let Some(waiting) = self.next_reliable().filter(|waiting| fits(out, &waiting.body)) {
            let number = self.first + self.written as u64;
            waiting.encode(MessageClass::Reliable, number, out);
            if self.written == self.numbered {
                self.flight_bytes += waiting.body.len();
                self.numbered += 1;
            }
            self.written += 1;
        }
        while let Some((number, waiting)) = self.next_latest().filter(|(_, waiting)| fits(out, &waiting.body))
        {
            waiting.encode(MessageClass::Latest, number, out);
            self.latest[self.latest_written].0 = Some(number);
            self.latest_written += 1;
            self.next_latest = self.next_latest.max(number + 1);
        }
        for waiting in self.unreliable.drain(..) {
            if fits(out, &waiting.body) {
                waiting.encode(MessageClass::Unreliable, 0, out);
            } else {
                self.dropped += 1;
            }
        }
    }

    /// The next reliable message to be written, if the receiver has room for it.
    fn next_reliable(&self) -> Option<&Waiting> {
        let waiting = self.reliable.get(self.written)?;
        let is_new = self.written == self.numbered;
        let has_room = self.numbered < MESSAGES_IN_FLIGHT_MAX
            && (self.numbered == 0 || self.flight_bytes + waiting.body.len() <= MESSAGE_BYTES_IN_FLIGHT_MAX);
        (!is_new || has_room).then_some(waiting)
    }

    /// The next of those whose newest counts, and its number, if the receiver's acks are not too far behind.
    fn next_latest(&self) -> Option<(u64, &Waiting)> {
        let (number, waiting) = self.latest.get(self.latest_written)?;
        let number = number.unwrap_or(self.next_latest);
        (number < self.acked_latest + LATEST_UNACKED_MAX).then_some((number, waiting))
    }

    /// Gives up what has waited too long and was never written.
    fn expire(&mut self, now: Micros) {
        if self.earliest_deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let mut earliest = None;
        let Self { reliable, numbered, latest, bytes, outcomes, tells_outcomes, .. } = self;
        let mut stays = |waiting: &Waiting| {
            let Some(deadline) = waiting.deadline else { return true };
            if now < deadline {
                earliest = Some(earliest.map_or(deadline, |earliest: Micros| earliest.min(deadline)));
                return true;
            }
            *bytes -= waiting.body.len();
            if *tells_outcomes {
                outcomes.push_back((waiting.id, Outcome::Expired));
            }
            false
        };
        let mut in_flight = *numbered;
        reliable.retain(|waiting| {
            let is_written = in_flight > 0;
            in_flight -= usize::from(is_written);
            is_written || stays(waiting)
        });
        latest.retain(|(number, waiting)| number.is_some() || stays(waiting));
        self.earliest_deadline = earliest;
    }

    /// The other side's game has polled all before these numbers.
    pub fn handle_ack(&mut self, ack: MessageAck) -> Result<(), DecodeError> {
        let reliable = expand(ack.reliable, self.first);
        let reliable = reliable.filter(|told| *told <= self.first + self.written as u64);
        let latest = expand(ack.latest, self.acked_latest).filter(|told| *told <= self.next_latest);
        let reliable = reliable.ok_or_else(|| never_sent(u64::from(ack.reliable)))?;
        let latest = latest.ok_or_else(|| never_sent(u64::from(ack.latest)))?;
        self.take_delivered(reliable, latest);
        Ok(())
    }

    fn take_delivered(&mut self, reliable: u64, latest: u64) {
        let count = reliable.saturating_sub(self.first) as usize;
        for _ in 0..count {
            let Some(waiting) = self.reliable.pop_front() else { break };
            self.flight_bytes -= waiting.body.len();
            self.give_up(&waiting, Outcome::Delivered);
        }
        self.first += count as u64;
        self.numbered -= count;
        self.written -= count;
        self.acked_latest = self.acked_latest.max(latest);
        // Numbers ascend; those that were not written yet have none.
        let is_polled = |(number, _): &(Option<u64>, Waiting)| number.is_some_and(|number| number < latest);
        while let Some((_, waiting)) = pop_front_if(&mut self.latest, is_polled) {
            self.latest_written = self.latest_written.saturating_sub(1);
            self.give_up(&waiting, Outcome::Delivered);
        }
    }

    /// What becomes of a message is known: it is kept no longer.
    fn give_up(&mut self, waiting: &Waiting, outcome: Outcome) {
        self.bytes -= waiting.body.len();
        self.tell(waiting.id, outcome);
    }

    /// The session goes on over another connection, on whose other side so much has been received. Everything else that was
    /// written before is written again.
    ///
    /// Returns how many reliable messages the other side has forgotten that it had: they were delivered, and are not here any
    /// more. An error means that it claims to have what was never written; nothing has changed then.
    pub fn handle_resumed(&mut self, received: Received) -> Result<u64, DecodeError> {
        let numbered = self.first + self.numbered as u64;
        if received.reliable > numbered {
            return Err(never_sent(received.reliable));
        }
        if received.latest > self.next_latest {
            return Err(never_sent(received.latest));
        }
        // What was said for the moment is not worth to be heard now.
        self.unreliable.clear();
        self.written = received.reliable.saturating_sub(self.first) as usize;
        let is_received =
            |(number, _): &(Option<u64>, Waiting)| number.is_some_and(|it| it < received.latest);
        self.latest_written = self.latest.iter().take_while(|waiting| is_received(waiting)).count();
        Ok(self.first.saturating_sub(received.reliable))
    }

    /// Another session begins, of which the other side knows nothing: what was written before is lost, what was not is
    /// written in the new one.
    pub fn handle_fresh(&mut self) {
        for _ in 0..self.numbered {
            let Some(waiting) = self.reliable.pop_front() else { break };
            self.give_up(&waiting, Outcome::Lost);
        }
        while let Some((_, waiting)) = pop_front_if(&mut self.latest, |(number, _)| number.is_some()) {
            self.give_up(&waiting, Outcome::Lost);
        }
        self.unreliable.clear();
        (self.numbered, self.written, self.first, self.flight_bytes) = (0, 0, 0, 0);
        (self.latest_written, self.next_latest, self.acked_latest) = (0, 0, 0);
    }

    /// There will be no other session: all that is not delivered is lost.
    pub fn handle_end(&mut self) {
        self.handle_fresh();
        while let Some(waiting) = self.reliable.pop_front() {
            self.give_up(&waiting, Outcome::Lost);
        }
        while let Some((_, waiting)) = self.latest.pop_front() {
            self.give_up(&waiting, Outcome::Lost);
        }
    }
}

fn pop_front_if<T>(queue: &mut VecDeque<T>, is_it: impl Fn(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(is_it) { queue.pop_front() } else { None }
}

fn never_sent(value: u64) -> DecodeError {
    DecodeError::Invalid { what: "ack of messages that were not sent, or were acked before", value }
}

impl Waiting {
    fn encode(&self, class: MessageClass, number: u64, out: &mut Vec<u8>) {
        let Self { ty, key, ref body, .. } = *self;
        MessageFrame { ty, number: number as u16, key, body: body.clone() }.encode(class, out);
    }
}
