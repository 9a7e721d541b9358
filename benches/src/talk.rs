//! Two ends of a session that talk: what a message costs from `send` to its ack.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::limits::{MESSAGE_BYTES_PER_TRANSMIT_MAX, MESSAGES_PER_TRANSMIT_MAX};
use tickwire_protocol::message::{
    Direction, Inbox, MessageAck, MessageClass, MessageType, MessageTypeId, Outbox, Outcome,
};
use tickwire_protocol::{Micros, Schema};

/// What is sent.
const CHAT: MessageTypeId = MessageTypeId(0);
/// Bytes of each message.
pub const BODY_BYTES: usize = 16;
/// Messages of a turn: what one message of the transport carries.
pub const MESSAGES: usize = MESSAGES_PER_TRANSMIT_MAX;

/// A sender, a receiver, and what goes between them.
#[derive(Debug)]
pub struct Talk {
    outbox: Outbox,
    inbox: Inbox,
    body: Bytes,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Talk {
    /// Nothing said yet.
    pub fn new() -> Self {
        let chat = MessageType::new(CHAT, "chat", Direction::BothWays, MessageClass::Reliable, 64);
        let schema: Arc<Schema> =
            Schema::builder("talk").message(chat).build().unwrap_or_else(|error| panic!("{error}"));
        Self {
            outbox: Outbox::new(schema.clone(), Direction::ToServer),
            inbox: Inbox::new(schema, Direction::ToServer),
            body: Bytes::from_static(&[7; BODY_BYTES]),
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    /// Sends [`MESSAGES`] messages, carries them over `times` times, has them polled, acks them and tells the sender; how many were
    /// polled. What comes again is what a connection had brought before it was lost: it is passed over.
    ///
    /// # Panics
    /// If one is lost, doubled or not acked.
    pub fn turn(&mut self, times: usize) -> usize {
        let now = Micros::ZERO;
        for _ in 0..MESSAGES {
            let sent = self.outbox.send(now, CHAT, 0, self.body.clone().into());
            assert!(sent.is_ok(), "{sent:?}");
        }
        self.up.clear();
        self.outbox.poll_transmit(now, MESSAGE_BYTES_PER_TRANSMIT_MAX, &mut self.up);
        let message = Bytes::copy_from_slice(&self.up);
        for _ in 0..times {
            for frame in frames(message.clone()) {
                let taken = frame.map(|frame| self.inbox.handle_message(frame.payload));
                assert_eq!(taken, Ok(Ok(())));
            }
        }
        let mut polled = 0;
        while let Some(message) = self.inbox.poll() {
            polled += usize::from(message.body.len() == BODY_BYTES);
        }
        self.down.clear();
        self.inbox.poll_ack(&mut self.down);
        let ack = frames(Bytes::copy_from_slice(&self.down)).next().and_then(Result::ok);
        let ack = ack.filter(|frame| frame.ty == FrameType::MessageAck);
        let taken =
            ack.map(|frame| MessageAck::decode(&frame.payload).map(|ack| self.outbox.handle_ack(ack)));
        assert_eq!(taken, Some(Ok(Ok(()))));
        let mut delivered = 0;
        while let Some((_, outcome)) = self.outbox.poll_outcome(now) {
            delivered += usize::from(outcome == Outcome::Delivered);
        }
        assert_eq!((polled, delivered), (MESSAGES, MESSAGES));
        polled
    }
}

impl Default for Talk {
    fn default() -> Self {
        Self::new()
    }
}
