//! What players of the arena say to each other: lines of chat, emotes, and marks on the map.
//!
//! The arena passes all of it on to everyone in the room, the speaker among them, so that all read the same.
//!
//! | message | to the server | to clients |
//! |---|---|---|
//! | [`CHAT`], reliable | a line: UTF-8, 1 to [`LINE_BYTES_MAX`] bytes | speaker: 32 bits, then the line |
//! | [`EMOTE`], latest | its name: UTF-8, at most [`EMOTE_BYTES_MAX`] bytes; none ends it | the name; the speaker is the key |
//! | [`MARK`], unreliable | a place: three times 32 bits, centimetres | speaker: 32 bits, then the place |
//!
//! Numbers are little-endian. What is not so is passed over.

use bytes::Bytes;
use tickwire_protocol::PlayerId;
use tickwire_protocol::message::{Direction, Message, MessageClass, MessageType, MessageTypeId};

use crate::context::StepContext;
use crate::mail::Audience;

/// A line of chat.
pub const CHAT: MessageTypeId = MessageTypeId(0);
/// What a player shows the others until it shows something else.
pub const EMOTE: MessageTypeId = MessageTypeId(1);
/// "Look there."
pub const MARK: MessageTypeId = MessageTypeId(2);

/// Bytes of the longest line.
pub const LINE_BYTES_MAX: usize = 200;
/// Bytes of the longest name of an emote.
pub const EMOTE_BYTES_MAX: usize = 24;

const SPEAKER_BYTES: usize = size_of::<u32>();
const PLACE_BYTES: usize = 3 * size_of::<i32>();

/// Something that a player has said, as clients hear it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Utterance {
    /// A line of chat.
    Line(String),
    /// The name of an emote; empty: none any more.
    Emote(String),
    /// A place on the map: x, y and z, centimetres.
    Mark([i32; 3]),
}

impl Utterance {
    /// The message with which a client says it: its type and body.
    pub fn encode(&self) -> (MessageTypeId, Bytes) {
        match self {
            Self::Line(line) => (CHAT, Bytes::copy_from_slice(line.as_bytes())),
            Self::Emote(name) => (EMOTE, Bytes::copy_from_slice(name.as_bytes())),
            Self::Mark(place) => (MARK, place.iter().flat_map(|axis| axis.to_le_bytes()).collect()),
        }
    }

    /// Reads what the server has passed on; nothing if it is none of the arena's messages.
    pub fn decode(message: &Message) -> Option<(PlayerId, Self)> {
        let text = |bytes: &[u8]| core::str::from_utf8(bytes).ok().map(str::to_owned);
        if message.ty == EMOTE {
            return Some((PlayerId(message.key), Self::Emote(text(&message.body)?)));
        }
        let (speaker, said) = message.body.split_first_chunk()?;
        let said = match message.ty {
            CHAT => Self::Line(text(said)?),
            MARK => Self::Mark(place(said)?),
            _ => return None,
        };
        Some((PlayerId(u32::from_le_bytes(*speaker)), said))
    }
}

fn place(bytes: &[u8]) -> Option<[i32; 3]> {
    let (axes, []) = bytes.as_chunks() else { return None };
    let axes: [[u8; 4]; 3] = axes.try_into().ok()?;
    Some(axes.map(i32::from_le_bytes))
}

/// What the schema says of them. The largest bodies are those that go to clients.
pub(super) fn message_types() -> [MessageType; 3] {
    let ty =
        |id, name, class, bytes: usize| MessageType::new(id, name, Direction::BothWays, class, bytes as u32);
    [
        ty(CHAT, "chat", MessageClass::Reliable, SPEAKER_BYTES + LINE_BYTES_MAX),
        ty(EMOTE, "emote", MessageClass::Latest, EMOTE_BYTES_MAX),
        ty(MARK, "mark", MessageClass::Unreliable, SPEAKER_BYTES + PLACE_BYTES),
    ]
}

/// Passes on what players have said since the last step.
pub(super) fn pass_on(ctx: &mut StepContext<'_>) {
    while let Some((speaker, Message { ty, body, .. })) = ctx.poll_message() {
        let is_text = |bytes_max| body.len() <= bytes_max && core::str::from_utf8(&body).is_ok();
        let (is_sound, key) = match ty {
            CHAT => (!body.is_empty() && is_text(LINE_BYTES_MAX), None),
            EMOTE => (is_text(EMOTE_BYTES_MAX), Some(speaker.0)),
            MARK => (body.len() == PLACE_BYTES, None),
            _ => (false, None),
        };
        if !is_sound {
            continue;
        }
        // Who does not take what is said to it does not keep the others from hearing it.
        let _ = match key {
            Some(key) => ctx.send(Audience::Room, ty, key, body),
            None => ctx.send(Audience::Room, ty, 0, [&speaker.0.to_le_bytes()[..], &body].concat().into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_read_what_the_arena_passes_on() {
        let said = [
            Utterance::Line("over here".into()),
            Utterance::Emote("wave".into()),
            Utterance::Mark([-1, 0, 123_456]),
        ];
        for utterance in said {
            let (ty, body) = utterance.encode();
            let speaker = 7_u32;
            let message = if ty == EMOTE {
                Message { ty, key: speaker, body }
            } else {
                Message { ty, key: 0, body: [&speaker.to_le_bytes()[..], &body].concat().into() }
            };
            assert_eq!(Utterance::decode(&message), Some((PlayerId(speaker), utterance)));
        }
    }

    #[test]
    fn what_is_none_of_its_messages_is_not_read() {
        let of = |ty, body: &'static [u8]| {
            Utterance::decode(&Message { ty, key: 0, body: Bytes::from_static(body) })
        };
        assert_eq!(of(CHAT, &[1, 0, 0]), None, "no speaker");
        assert_eq!(of(CHAT, &[1, 0, 0, 0, 0xff]), None, "no text");
        assert_eq!(of(MARK, &[1, 0, 0, 0, 1, 2, 3]), None, "no place");
        assert_eq!(of(MessageTypeId(9), &[1, 0, 0, 0]), None);
    }
}
