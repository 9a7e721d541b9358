//! What is said beyond a room: encoded once, kept until it is passed on, and given to those in other rooms whom it is for.

use core::fmt;
use core::ops::AddAssign;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::Schema;
use tickwire_protocol::message::{Direction, MessageBody, MessageTypeId, Outbox, SendError};
use tickwire_sim::Audience;

use super::identity::Identity;

/// Messages of a room that wait to be passed on: a step says more than one or two of these only by mistake, and each is written to everybody.
pub(crate) const BROADCASTS_WAITING_MAX: usize = 64;

/// Bytes of their bodies: as many as may wait for one client.
const BROADCAST_BYTES_WAITING_MAX: usize = 256 * 1024;

/// A message for clients in whichever rooms. Clones share its body, as do the outboxes of all who get it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broadcast {
    to: Hearers,
    pub(crate) ty: MessageTypeId,
    pub(crate) key: u32,
    pub(crate) body: MessageBody,
}

/// For whom it is.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Hearers {
    All,
    Account(Arc<str>),
}

/// Why a message is for nobody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BroadcastError {
    /// The schema does not let it be sent so: its type, its class, its direction or its size.
    Message(SendError),
    /// Such an audience is in one room, and only that room's game can speak to it.
    OneRoom,
}

impl fmt::Display for BroadcastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(error) => error.fmt(f),
            Self::OneRoom => f.write_str("this audience is in one room: speak to all, or to an account"),
        }
    }
}

impl core::error::Error for BroadcastError {}

/// How many a message has come to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// Sessions that have taken it, also those whose connection is lost for the moment.
    pub sessions: usize,
    /// Sessions that it was for and that do not get it: too much waits for them already, or they keep no order.
    pub missed: usize,
}

impl Reach {
    pub(crate) fn note(&mut self, is_taken: bool) {
        *(if is_taken { &mut self.sessions } else { &mut self.missed }) += 1;
    }
}

impl AddAssign for Reach {
    fn add_assign(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.missed += other.missed;
    }
}

impl Broadcast {
    /// A message of a schema, to [`Audience::All`] or an [`Audience::Account`]. `key` tells latest messages of one type apart.
    ///
    /// # Errors
    /// The schema does not let it be sent, or the audience is in one room.
    pub fn new(
        schema: &Schema,
        to: Audience<'_>,
        ty: MessageTypeId,
        key: u32,
        body: Bytes,
    ) -> Result<Self, BroadcastError> {
        let to = Hearers::of(to).ok_or(BroadcastError::OneRoom)?;
        Outbox::check_message(schema, Direction::ToClient, ty, body.len())
            .map_err(BroadcastError::Message)?;
        Ok(Self { to, ty, key, body: body.into() })
    }

    /// Whether it is for a session of this identity.
    pub(crate) fn is_for(&self, identity: Option<&Identity>) -> bool {
        match &self.to {
            Hearers::All => true,
            Hearers::Account(name) => identity.and_then(Identity::name) == Some(name),
        }
    }
}

impl Hearers {
    /// None if nobody of it is in another room than the one in which it is said.
    fn of(to: Audience<'_>) -> Option<Self> {
        match to {
            Audience::All => Some(Self::All),
            Audience::Account(name) => Some(Self::Account(name.into())),
            Audience::Room
            | Audience::Except(_)
            | Audience::Player(_)
            | Audience::Group(_)
            | Audience::Near { .. } => None,
        }
    }
}

/// What a room has said that is for others as well, until it is passed on.
#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    waiting: VecDeque<Broadcast>,
    bytes: usize,
}

impl Broadcasts {
    /// Takes one, or says how much waits.
    pub(crate) fn push(&mut self, broadcast: Broadcast) -> Result<(), SendError> {
        let (messages, bytes) = (self.waiting.len(), self.bytes);
        if messages >= BROADCASTS_WAITING_MAX || bytes + broadcast.body.len() > BROADCAST_BYTES_WAITING_MAX {
            return Err(SendError::Full { messages, bytes });
        }
        self.bytes += broadcast.body.len();
        self.waiting.push_back(broadcast);
        Ok(())
    }

    pub(crate) fn poll(&mut self) -> Option<Broadcast> {
        let broadcast = self.waiting.pop_front()?;
        self.bytes -= broadcast.body.len();
        Some(broadcast)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
