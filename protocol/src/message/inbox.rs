//! The receiver's side: what has come and waits for the game.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{MessageAck, MessageFrame, Received, expand};
use super::types::{Direction, MessageClass, MessageTypeId};
use crate::fault::DecodeError;
use crate::limits::{
    LATEST_KEYS_MAX, MESSAGE_BYTES_IN_FLIGHT_MAX, MESSAGES_IN_FLIGHT_MAX, UNRELIABLE_MESSAGES_WAITING_MAX,
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
    reliable: VecDeque<Message>,
    reliable_bytes: usize,
    /// The newest of each key that was not polled, with ascending numbers.
    latest: VecDeque<(u64, Message)>,
    unreliable: VecDeque<Message>,
    received: Received,
    /// What the sender was told of last, and what it is to be told.
    acked: Received,
    polled: Received,
    dropped: u64,
}

impl Inbox {
    /// Nothing heard yet. `way` is that of what comes: `ToServer` on a server and `ToClient` on a client.
    pub fn new(schema: Arc<Schema>, way: Direction) -> Self {
        Self {
            schema,
            way,
            former: VecDeque::new(),
            reliable: VecDeque::new(),
            reliable_bytes: 0,
            latest: VecDeque::new(),
            unreliable: VecDeque::new(),
            received: Received::default(),
            acked: Received::default(),
            polled: Received::default(),
            dropped: 0,
        }
    }

    /// Takes in the payload of a MESSAGE frame. What was received before is passed over. A fault means that the sender does not keep
    /// to the protocol; then nothing has changed.
    pub fn handle_message(&mut self, payload: Bytes) -> Result<(), DecodeError> {
        let schema = self.schema.clone();
        let (ty, frame) = MessageFrame::decode(payload, &schema)?;
        if !ty.goes(self.way) {
            let value = u64::from(ty.id().0);
            return Err(DecodeError::Invalid { what: "message type, this way", value });
        }
        let MessageFrame { ty: id, number, key, body } = frame;
        let message = Message { ty: id, key, body };
        match ty.class() {
            MessageClass::Reliable => self.handle_reliable(number, message),
            MessageClass::Latest => self.handle_latest(number, message),
            MessageClass::Unreliable => {
                self.handle_unreliable(message);
                Ok(())
            }
        }
    }

    fn handle_reliable(&mut self, low: u16, message: Message) -> Result<(), DecodeError> {
        let next = self.received.reliable;
        match expand(low, next) {
            Some(number) if number == next => {}
            Some(number) if number > next => {
                return Err(DecodeError::Invalid { what: "message number, after a gap", value: number });
            }
            // It came over the connection before.
            _ => return Ok(()),
        }
        let bytes = self.reliable_bytes + message.body.len();
        if self.reliable.len() >= MESSAGES_IN_FLIGHT_MAX
            || (bytes > MESSAGE_BYTES_IN_FLIGHT_MAX && !self.reliable.is_empty())
        {
            return Err(overrun(self.reliable.len() + 1, MESSAGES_IN_FLIGHT_MAX));
        }
        self.reliable_bytes = bytes;
        self.received.reliable += 1;
        self.reliable.push_back(message);
        Ok(())
    }

    fn handle_latest(&mut self, low: u16, message: Message) -> Result<(), DecodeError> {
        let next = self.received.latest;
        let Some(number) = expand(low, next).filter(|number| *number >= next) else { return Ok(()) };
        let is_older = |(_, old): &(_, Message)| (old.ty, old.key) == (message.ty, message.key);
        match self.latest.iter().position(is_older) {
            Some(place) => drop(self.latest.remove(place)),
            None if self.latest.len() >= LATEST_KEYS_MAX => {
                return Err(overrun(self.latest.len() + 1, LATEST_KEYS_MAX));
            }
            None => {}
        }
        self.received.latest = number + 1;
        self.latest.push_back((number, message));
        Ok(())
    }

    fn handle_unreliable(&mut self, message: Message) {
        if self.unreliable.len() >= UNRELIABLE_MESSAGES_WAITING_MAX {
            self.unreliable.pop_front();
            self.dropped += 1;
        }
        self.unreliable.push_back(message);
    }

    /// The next message for the game: reliable ones first, in order; the sender hears that it was polled. Ask until there is
    /// none.
    pub fn poll(&mut self) -> Option<Message> {
        if let Some(message) = self.former.pop_front() {
            return Some(message);
        }
        if let Some(message) = self.reliable.pop_front() {
            self.reliable_bytes -= message.body.len();
            self.polled.reliable += 1;
            return Some(message);
        }
        if let Some((number, message)) = self.latest.pop_front() {
            self.polled.latest = number + 1;
            return Some(message);
        }
        self.unreliable.pop_front()
    }

    /// As [`Inbox::poll`], of sessions before this one alone.
    pub fn poll_former(&mut self) -> Option<Message> {
        self.former.pop_front()
    }

    /// Messages that waited too long to be polled: unreliable ones, and those of sessions before.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the sender is to be told what was polled.
    pub fn has_ack(&self) -> bool {
        self.acked != self.polled
    }

    /// Appends a MESSAGE_ACK frame if something was polled since the last.
    pub fn poll_ack(&mut self, out: &mut Vec<u8>) {
        if self.has_ack() {
            self.acked = self.polled;
            let Received { reliable, latest } = self.polled;
            MessageAck { reliable: reliable as u16, latest: latest as u16 }.encode(out);
        }
    }

    /// What the sender need not write again when the session goes on over another connection.
    pub fn received(&self) -> Received {
        self.received
    }

    /// The session goes on over another connection. `missed` reliable messages will not come again: the sender has been told
    /// that they were here, and has forgotten them.
    pub fn handle_resumed(&mut self, missed: u64) -> Result<(), DecodeError> {
        let next = self.received.reliable.checked_add(missed);
        self.received.reliable =
            next.ok_or(DecodeError::Invalid { what: "messages missed", value: missed })?;
        self.polled.reliable += missed;
        // The sender may not have heard the last ack.
        self.acked = Received { reliable: u64::MAX, latest: u64::MAX };
        Ok(())
    }

    /// Another session begins, with numbers of its own. What came in the one before and was not polled is still there for the
    /// game, up to a window's worth.
    pub fn handle_fresh(&mut self) {
        self.former.extend(self.reliable.drain(..));
        self.former.extend(self.latest.drain(..).map(|(_, message)| message));
        self.former.append(&mut self.unreliable);
        let excess = self.former.len().saturating_sub(FORMER_MESSAGES_MAX);
        self.former.drain(..excess);
        self.dropped += excess as u64;
        self.reliable_bytes = 0;
        (self.received, self.acked, self.polled) = Default::default();
    }
}

/// As many as one session can leave unpolled.
const FORMER_MESSAGES_MAX: usize = MESSAGES_IN_FLIGHT_MAX + LATEST_KEYS_MAX + UNRELIABLE_MESSAGES_WAITING_MAX;

fn overrun(waiting: usize, limit: usize) -> DecodeError {
    DecodeError::TooLarge {
        what: "messages that wait to be polled",
        value: waiting as u64,
        limit: limit as u64,
    }
}
