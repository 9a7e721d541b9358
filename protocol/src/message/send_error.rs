//! Why a message is not taken.

use thiserror::Error;

use super::rate::Denial;
use super::types::MessageTypeId;
use super::waiting::MessageId;

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
    /// Types of its class are sent by another call.
    #[error("message `{name}` is sent by `{call}`")]
    OtherCall {
        /// The type's name.
        name: String,
        /// The call that takes it.
        call: &'static str,
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
    /// Messages are said by players.
    #[error("a spectator says nothing to the game")]
    OnlyWatches,
    /// The game does not ask what became of its messages.
    #[error("{outcomes} outcomes of messages wait to be polled")]
    NotPolled {
        /// So many.
        outcomes: usize,
    },
    /// Some of an audience do not get it; the others do.
    #[error("{missed} of the audience do not get it: {error}")]
    NotAll {
        /// Names it for those who do: what becomes of it there is told by this.
        id: MessageId,
        /// How many do not.
        missed: usize,
        /// Why the first of them does not.
        error: Box<SendError>,
    },
    /// It would not be let through.
    #[error("message `{name}`: {denial}")]
    Denied {
        /// The type's name.
        name: String,
        /// Why, and when to try again.
        denial: Denial,
    },
    /// Nobody waits for this answer: the request was taken back, or answered before.
    #[error("nobody waits for this answer")]
    NotAsked,
    /// There is no session, nor will there be one.
    #[error("the session is over")]
    Closed,
    /// Too much of its kind waits already: the other side does not take it, or is away.
    #[error("{messages} messages with {bytes} bytes wait to be taken: try again when some are delivered")]
    Full {
        /// Messages of its lane that are queued or in flight.
        messages: usize,
        /// Bytes of their bodies.
        bytes: usize,
    },
}
