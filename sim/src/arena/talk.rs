//! What players of the arena say to everyone: lines of chat, emotes, marks on the map, and cheers.
//!
//! The arena passes all of it on to everyone in the room, the speaker among them, so that all read the same.
//!
//! | message | to the server | to clients |
//! |---|---|---|
//! | [`CHAT`], reliable | a line: UTF-8, 1 to [`LINE_BYTES_MAX`] bytes | speaker: 32 bits, then the line |
//! | [`EMOTE`], latest | its name: UTF-8, at most [`EMOTE_BYTES_MAX`] bytes; none ends it | the name; the speaker is the key |
//! | [`MARK`], unreliable | a place: three times 32 bits, centimetres | speaker: 32 bits, then the place |
//! | [`CHEER`], reliable | UTF-8, at most [`EMOTE_BYTES_MAX`] bytes | [`CHEERED`], an event of the speaker's entity where it stands: speaker: 32 bits, then the cheer |
//!
//! Numbers are little-endian. What is not so is passed over. What is said to some and not to others is in `teams` and `courier`.

use bytes::Bytes;
use tickwire_protocol::PlayerId;
use tickwire_protocol::message::{
    Direction, GameEvent, Message, MessageClass, MessageType, MessageTypeId, Refusal,
};

use super::courier::{ASK, Courier};
use super::state::Player;
use super::teams::{JOIN_TEAM, TEAM_CHAT, Teams};
use crate::context::StepContext;
use crate::mail::Audience;

/// A line of chat.
pub const CHAT: MessageTypeId = MessageTypeId(0);
/// What a player shows the others until it shows something else.
pub const EMOTE: MessageTypeId = MessageTypeId(1);
/// "Look there."
pub const MARK: MessageTypeId = MessageTypeId(2);
/// Wishes to be seen cheering.
pub const CHEER: MessageTypeId = MessageTypeId(3);
/// Somebody cheers: shown when the view is at that moment.
pub const CHEERED: MessageTypeId = MessageTypeId(4);

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

    /// Reads what the server has passed on; nothing if it is none of these.
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

/// Who cheers, and how, in an event of the server's; nothing if nobody does.
pub fn read_cheer(ty: MessageTypeId, event: &GameEvent) -> Option<(PlayerId, String)> {
    let (speaker, cheer) = event.body.split_first_chunk().filter(|_| ty == CHEERED)?;
    let cheer = core::str::from_utf8(cheer).ok()?.to_owned();
    Some((PlayerId(u32::from_le_bytes(*speaker)), cheer))
}

fn place(bytes: &[u8]) -> Option<[i32; 3]> {
    let (axes, []) = bytes.as_chunks() else { return None };
    let axes: [[u8; 4]; 3] = axes.try_into().ok()?;
    Some(axes.map(i32::from_le_bytes))
}

/// What the schema says of them. The largest bodies are those that go to clients.
pub(super) fn message_types() -> [MessageType; 5] {
    let ty =
        |id, name, direction, class, bytes: usize| MessageType::new(id, name, direction, class, bytes as u32);
    [
        ty(CHAT, "chat", Direction::BothWays, MessageClass::Reliable, SPEAKER_BYTES + LINE_BYTES_MAX),
        ty(EMOTE, "emote", Direction::BothWays, MessageClass::Latest, EMOTE_BYTES_MAX),
        ty(MARK, "mark", Direction::BothWays, MessageClass::Unreliable, SPEAKER_BYTES + PLACE_BYTES),
        ty(CHEER, "cheer", Direction::ToServer, MessageClass::Reliable, EMOTE_BYTES_MAX),
        ty(CHEERED, "cheered", Direction::ToClient, MessageClass::Event, SPEAKER_BYTES + EMOTE_BYTES_MAX)
            .in_view_time(),
    ]
}

/// All that players say, and what the arena keeps of it from step to step: nothing that its players' motion hangs on.
#[derive(Clone, Debug, Default)]
pub(super) struct Talk {
    teams: Teams,
    courier: Courier,
}

impl Talk {
    /// Passes on what players have said since the last step.
    pub(super) fn step(&mut self, ctx: &mut StepContext<'_>, players: &[Player]) {
        while let Some((speaker, message)) = ctx.poll_message() {
            self.pass_on(ctx, players, speaker, message);
        }
        while let Some((from, request)) = ctx.poll_request() {
            match request.ty {
                JOIN_TEAM => {
                    let joined = self.teams.join(ctx, from, &request.body);
                    // Who has taken it back meanwhile needs no answer.
                    let _ = ctx.respond(from, request.id, joined);
                }
                ASK => self.courier.ask(ctx, from, &request),
                _ => drop(ctx.respond(from, request.id, Err(Refusal::UnknownMethod))),
            }
        }
        self.courier.step(ctx);
    }

    fn pass_on(
        &mut self,
        ctx: &mut StepContext<'_>,
        players: &[Player],
        speaker: PlayerId,
        Message { ty, body, .. }: Message,
    ) {
        let is_text = |bytes_max| body.len() <= bytes_max && core::str::from_utf8(&body).is_ok();
        let is_line = !body.is_empty() && is_text(LINE_BYTES_MAX);
        let signed = || [&speaker.0.to_le_bytes()[..], &body].concat();
        // Who does not take what is said to it does not keep the others from hearing it.
        let _ = match ty {
            CHAT if is_line => ctx.send(Audience::Room, ty, 0, signed().into()),
            EMOTE if is_text(EMOTE_BYTES_MAX) => ctx.send(Audience::Room, ty, speaker.0, body),
            MARK if body.len() == PLACE_BYTES => ctx.send(Audience::Room, ty, 0, signed().into()),
            CHEER if is_text(EMOTE_BYTES_MAX) => {
                let Some(player) = players.iter().find(|player| player.owner == Some(speaker)) else {
                    return;
                };
                let event = GameEvent::new(signed()).by(player.id).at(player.position);
                ctx.emit_event(Audience::Room, CHEERED, &event)
            }
            TEAM_CHAT if is_line => return self.teams.pass_on(ctx, speaker, &body),
            _ => return,
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

    #[test]
    fn a_cheer_is_read_of_its_event_alone() {
        let event = GameEvent::new(&b"\x07\0\0\0hooray"[..]);
        assert_eq!(read_cheer(CHEERED, &event), Some((PlayerId(7), "hooray".into())));
        assert_eq!(read_cheer(CHAT, &event), None);
        assert_eq!(read_cheer(CHEERED, &GameEvent::new(&b"\x07\0"[..])), None);
    }
}
