//! What the schema says of messages.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::engine;
use super::event::EVENT_HEADER_BYTES_MAX;
use super::lane::Lane;
use super::rate::{REQUEST_RATE, Rate};
use super::request::REQUEST_HEADER_BYTES_MAX;
use crate::cold;
use crate::handshake::Permission;
use crate::schema::Schema;

/// Which message type of a schema: its place in the declaration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct MessageTypeId(pub u16);

impl fmt::Display for MessageTypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may send a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Direction {
    /// Clients to the server.
    ToServer,
    /// The server to clients.
    ToClient,
    /// Both.
    BothWays,
}

/// What is promised of a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum MessageClass {
    /// Exactly once, in the order of sending, as long as the session lasts.
    Reliable,
    /// The newest of each key, at least; older ones may be passed over.
    Latest,
    /// Once or not at all: dropped where there is no room for it now.
    Unreliable,
    /// As reliable, ahead of messages and in an order of its own: a [`GameEvent`](super::GameEvent), which the server's game
    /// [emits](super::Outbox::send_event) to clients.
    Event,
    /// A [request](super::Requests), to be answered once by the other side's game: the type is the method.
    Request,
}

/// A type of message.
///
/// ```
/// use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId};
/// use tickwire_protocol::schema::Schema;
///
/// const CHAT: MessageTypeId = MessageTypeId(0);
/// let schema = Schema::builder("pong")
///     .message(MessageType::new(CHAT, "chat", Direction::BothWays, MessageClass::Reliable, 256).expires_after(10_000))
///     .build()?;
/// assert_eq!(schema.message(CHAT).map(MessageType::name), Some("chat"));
/// # Ok::<(), tickwire_protocol::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MessageType {
    pub(crate) id: u16,
    #[serde(deserialize_with = "cold::text")]
    pub(crate) name: String,
    direction: Direction,
    class: MessageClass,
    pub(crate) bytes_max: u32,
    expires_after_millis: u32,
    is_in_view_time: bool,
    response_bytes_max: u32,
    rate: Option<Rate>,
    pub(crate) permission: Option<Permission>,
}

impl MessageType {
    /// A type whose bodies have at most `bytes_max` bytes. `id` must be its place among the schema's message types.
    pub fn new(
        id: MessageTypeId,
        name: &str,
        direction: Direction,
        class: MessageClass,
        bytes_max: u32,
    ) -> Self {
        Self {
            id: id.0,
            name: name.to_owned(),
            direction,
            class,
            bytes_max,
            expires_after_millis: 0,
            is_in_view_time: false,
            response_bytes_max: bytes_max,
            rate: None,
            permission: None,
        }
    }

    /// A message that was not written within so many milliseconds is given up, and its sender told. What was written once is
    /// not taken back. 0 is never.
    #[must_use]
    pub fn expires_after(self, millis: u32) -> Self {
        Self { expires_after_millis: millis, ..self }
    }

    /// Of an event: it is told when the view shows the tick at which it happened, instead of at once.
    #[must_use]
    pub fn in_view_time(self) -> Self {
        Self { is_in_view_time: true, ..self }
    }

    /// How often one client may send it: so many a minute on average, and so many at once, each at least 1. Its own client refuses what is
    /// more, and the server if that does not. What the server's game sends has no rate.
    #[must_use]
    pub fn rate_per_minute(self, per_minute: u32, burst: u32) -> Self {
        Self { rate: Some(Rate { per_minute, burst }), ..self }
    }

    /// Only clients whose account [may](crate::handshake::AuthTerms::may) do this in their room may send it: `action`, 1 to 64 bytes without
    /// `@`. Without this everybody may who plays.
    #[must_use]
    pub fn permitted_by(self, action: &str) -> Self {
        Self { permission: Some(Permission(action.to_owned())), ..self }
    }

    /// Of a request: the largest answer, bytes; without this, as large as the request.
    #[must_use]
    pub fn answered_within(self, response_bytes_max: u32) -> Self {
        Self { response_bytes_max, ..self }
    }

    /// Its place in the schema.
    pub fn id(&self) -> MessageTypeId {
        MessageTypeId(self.id)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who may send it.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// What is promised of it.
    pub fn class(&self) -> MessageClass {
        self.class
    }

    /// The largest body, bytes.
    pub fn bytes_max(&self) -> u32 {
        self.bytes_max
    }

    /// How often one client may send it; nothing if as often as the server lets it send anything. A request that declares nothing has
    /// [`REQUEST_RATE`].
    pub fn rate(&self) -> Option<Rate> {
        self.rate.or((self.class == MessageClass::Request).then_some(REQUEST_RATE))
    }

    /// What a client must be allowed to do, to send it.
    pub fn permission(&self) -> Option<&str> {
        self.permission.as_ref().map(|Permission(action)| action.as_str())
    }

    /// Of a request: the largest answer, bytes.
    pub fn response_bytes_max(&self) -> u32 {
        self.response_bytes_max
    }

    /// Of an event: whether it is told when the view shows its tick.
    pub fn is_in_view_time(&self) -> bool {
        self.is_in_view_time
    }

    /// How long it waits to be written, milliseconds; 0 is for ever.
    pub fn expires_after_millis(&self) -> u32 {
        self.expires_after_millis
    }

    /// What the wire has to know of it.
    pub fn terms(&self) -> MessageTerms {
        let Self { id, direction, class, bytes_max, expires_after_millis, .. } = *self;
        let (id, lane) = (MessageTypeId(id), class.lane());
        let header = match class {
            MessageClass::Event => EVENT_HEADER_BYTES_MAX,
            MessageClass::Request => REQUEST_HEADER_BYTES_MAX,
            MessageClass::Reliable | MessageClass::Latest | MessageClass::Unreliable => 0,
        };
        let bytes_max = bytes_max.saturating_add(header as u32);
        MessageTerms { id, class, lane, direction, bytes_max, expires_after_millis }
    }
}

impl MessageClass {
    /// The numbered stream in which messages of a game travel; none if nothing is promised of them.
    pub fn lane(self) -> Option<Lane> {
        match self {
            Self::Reliable => Some(Lane::Messages),
            Self::Latest => Some(Lane::Latest),
            Self::Unreliable => None,
            Self::Event => Some(Lane::Events),
            Self::Request => Some(Lane::Requests),
        }
    }
}

/// What the wire has to know of a type, whether a game's or the engine's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageTerms {
    /// Which.
    pub id: MessageTypeId,
    /// What is promised of it.
    pub class: MessageClass,
    /// The numbered stream in which it travels; none if it is unreliable.
    pub lane: Option<Lane>,
    /// Who may send it.
    pub direction: Direction,
    /// The largest body on the wire, bytes.
    pub bytes_max: u32,
    /// How long it waits to be written, milliseconds; 0 is for ever.
    pub expires_after_millis: u32,
}

impl MessageTerms {
    /// Those of a type of the schema or of the engine.
    pub fn find(schema: &Schema, id: MessageTypeId) -> Option<Self> {
        if id.is_engine() { engine::terms(id) } else { schema.message(id).map(MessageType::terms) }
    }

    pub(crate) fn goes(&self, way: Direction) -> bool {
        self.direction == Direction::BothWays || self.direction == way
    }
}
