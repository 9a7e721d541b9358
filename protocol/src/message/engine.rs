//! Types of the messages that the engine itself sends over a session: numbered behind those of any game, the same in all of them.

use super::body::MessageBody;
use super::lane::Lane;
use super::request::RESPONSE_HEADER_BYTES_MAX;
use super::types::{Direction, MessageClass, MessageTerms, MessageTypeId};
use crate::limits::{MESSAGE_BODY_BYTES_MAX, MESSAGE_TYPES_MAX};

/// The first id that no game has.
pub const FIRST_ENGINE_TYPE: u16 = MESSAGE_TYPES_MAX as u16;

impl MessageTypeId {
    /// Whether it is the engine's: a game never sees it.
    pub const fn is_engine(self) -> bool {
        self.0 >= FIRST_ENGINE_TYPE
    }
}

/// Something that the client sent was refused.
pub const NOTICE: MessageTypeId = MessageTypeId(FIRST_ENGINE_TYPE);

/// The answer to a request; see [`Requests`](super::Requests).
pub const RESPONSE: MessageTypeId = MessageTypeId(FIRST_ENGINE_TYPE + 1);

/// Nobody waits for the answer to a request any more.
pub const CANCEL: MessageTypeId = MessageTypeId(FIRST_ENGINE_TYPE + 2);

/// A message that has expired had this number to come: who goes on with an older export counts it.
pub const EXPIRED: MessageTypeId = MessageTypeId(FIRST_ENGINE_TYPE + 3);

/// Every type of the engine's, with its name on the page of the wire.
pub const ENGINE_TYPES: [(&str, MessageTerms); 4] = [
    ("NOTICE", reliable(NOTICE, Lane::Control, Direction::ToClient, 64)),
    ("RESPONSE", reliable(RESPONSE, Lane::Requests, Direction::BothWays, RESPONSE_BYTES_MAX)),
    ("CANCEL", reliable(CANCEL, Lane::Requests, Direction::BothWays, 8)),
    ("EXPIRED", reliable(EXPIRED, Lane::Messages, Direction::ToServer, 0)),
];

const RESPONSE_BYTES_MAX: u32 = (MESSAGE_BODY_BYTES_MAX + RESPONSE_HEADER_BYTES_MAX) as u32;

/// What takes the place of a client's message that has expired in this lane: a request is taken back.
pub(super) fn stand_in(lane: Lane, expired: &[u8]) -> (MessageTypeId, MessageBody) {
    if lane != Lane::Requests {
        return (EXPIRED, MessageBody::default());
    }
    // Its id comes first, a varint.
    let id_bytes = expired.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
    (CANCEL, expired[..id_bytes].to_vec().into())
}

/// What is promised of one of the engine's types.
pub(super) fn terms(id: MessageTypeId) -> Option<MessageTerms> {
    ENGINE_TYPES.iter().map(|(_, terms)| *terms).find(|terms| terms.id == id)
}

/// A reliable type, in a lane of its own choice.
const fn reliable(id: MessageTypeId, lane: Lane, direction: Direction, bytes_max: u32) -> MessageTerms {
    MessageTerms {
        id,
        class: MessageClass::Reliable,
        lane: Some(lane),
        direction,
        bytes_max,
        expires_after_millis: 0,
    }
}
