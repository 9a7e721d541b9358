//! Teams: whoever likes is in one, and what it says to its team nobody else hears.
//!
//! | message | to the server | to clients |
//! |---|---|---|
//! | [`JOIN_TEAM`], request | a team: 32 bits, 1 to [`TEAMS`]; 0 to be in none | answer: a [`TeamChange`] |
//! | [`TEAM_CHAT`], reliable | a line: UTF-8, 1 to [`LINE_BYTES_MAX`] bytes | a [`TeamLine`] |
//!
//! Numbers are little-endian. Each team numbers its lines from 1 for as long as the room is there, so a member knows that it has
//! heard all of them since it came and until it left.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId, Refusal};
use tickwire_protocol::{GroupId, PlayerId};

use super::talk::LINE_BYTES_MAX;
use crate::context::StepContext;
use crate::mail::Audience;

/// Wishes to be in a team, and in no other.
pub const JOIN_TEAM: MessageTypeId = MessageTypeId(5);
/// A line for the speaker's team.
pub const TEAM_CHAT: MessageTypeId = MessageTypeId(6);

/// Teams of a room. The group of team 1 is group 1, and so on.
pub const TEAMS: u32 = 8;

/// Bytes of the longest answer to [`JOIN_TEAM`]: why not.
const REFUSAL_BYTES_MAX: usize = 80;

const NUMBER_BYTES: usize = size_of::<u32>();
/// Speaker, team and number of a line.
const LINE_HEADER_BYTES: usize = 3 * NUMBER_BYTES;

/// The answer to [`JOIN_TEAM`]: two times 32 bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TeamChange {
    /// The number of the last line of the team that the player was in; 0 if it was in none.
    pub left_at: u32,
    /// The number of the last line of the team that it is in now; 0 if it is in none.
    pub joined_at: u32,
}

/// [`TEAM_CHAT`] as clients hear it: speaker, team and number, each 32 bits, and then the line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TeamLine {
    /// Who says it.
    pub speaker: PlayerId,
    /// To whom.
    pub team: u32,
    /// Which of the team's lines it is, from 1.
    pub number: u32,
    /// What.
    pub line: String,
}

impl TeamChange {
    fn encode(self) -> Bytes {
        [self.left_at.to_le_bytes(), self.joined_at.to_le_bytes()].concat().into()
    }

    /// Reads an answer; nothing if it is none.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let ([left_at, joined_at], []) = body.as_chunks() else { return None };
        Some(Self { left_at: u32::from_le_bytes(*left_at), joined_at: u32::from_le_bytes(*joined_at) })
    }
}

impl TeamLine {
    /// Reads what the server has passed on; nothing if it is no such line.
    pub fn decode(mut body: &[u8]) -> Option<Self> {
        let speaker = PlayerId(body.try_get_u32_le().ok()?);
        let (team, number) = (body.try_get_u32_le().ok()?, body.try_get_u32_le().ok()?);
        Some(Self { speaker, team, number, line: core::str::from_utf8(body).ok()?.to_owned() })
    }
}

/// What the schema says of them.
pub(super) fn message_types() -> [MessageType; 2] {
    let (join, chat) = (NUMBER_BYTES as u32, (LINE_HEADER_BYTES + LINE_BYTES_MAX) as u32);
    [
        MessageType::new(JOIN_TEAM, "join_team", Direction::ToServer, MessageClass::Request, join)
            .answered_within(REFUSAL_BYTES_MAX as u32),
        MessageType::new(TEAM_CHAT, "team_chat", Direction::BothWays, MessageClass::Reliable, chat),
    ]
}

/// How many lines each team has heard. Who is in it the room knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Teams {
    lines: [u32; TEAMS as usize],
}

impl Teams {
    /// Puts a player into the team that it wishes for.
    pub(super) fn join(
        &self,
        ctx: &mut StepContext<'_>,
        player: PlayerId,
        wish: &[u8],
    ) -> Result<Bytes, Refusal> {
        let refused = |why: String| Refusal::Game(why.into());
        let wished = <[u8; NUMBER_BYTES]>::try_from(wish).map(u32::from_le_bytes);
        let Ok(team @ 0..=TEAMS) = wished else {
            return Err(refused(format!("teams are 1 to {TEAMS}, or 0 for none: 32 bits")));
        };
        let Some(groups) = ctx.groups() else { return Err(Refusal::UnknownMethod) };
        let before = groups.of(player).next().filter(|group| group.0 != team);
        if team > 0 {
            groups.join(GroupId(team), player).map_err(|error| refused(error.to_string()))?;
        }
        if let Some(before) = before {
            groups.leave(before, player);
        }
        let lines = |team: u32| team.checked_sub(1).map_or(0, |place| self.lines[place as usize]);
        Ok(TeamChange { left_at: before.map_or(0, |group| lines(group.0)), joined_at: lines(team) }.encode())
    }

    /// Passes a line on to its speaker's team, the speaker among them.
    pub(super) fn pass_on(&mut self, ctx: &mut StepContext<'_>, speaker: PlayerId, line: &[u8]) {
        let Some(group) = ctx.groups().and_then(|groups| groups.of(speaker).next()) else { return };
        let number = &mut self.lines[group.0 as usize - 1];
        *number += 1;
        let mut body = BytesMut::with_capacity(LINE_HEADER_BYTES + line.len());
        for number in [speaker.0, group.0, *number] {
            body.put_u32_le(number);
        }
        body.put_slice(line);
        // Who does not take what is said to it does not keep the others from hearing it.
        let _ = ctx.send(Audience::Group(group), TEAM_CHAT, 0, body.freeze());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_read_what_the_arena_answers_and_passes_on() {
        let change = TeamChange { left_at: 7, joined_at: 300 };
        assert_eq!(TeamChange::decode(&change.encode()), Some(change));
        assert_eq!(TeamChange::decode(&[0; 7]), None);
        let line = TeamLine { speaker: PlayerId(3), team: 2, number: 9, line: "to me".into() };
        assert_eq!(TeamLine::decode(b"\x03\0\0\0\x02\0\0\0\x09\0\0\0to me"), Some(line));
        assert_eq!(TeamLine::decode(b"\x03\0\0\0\x02\0\0\0\x09\0\0"), None);
        assert_eq!(TeamLine::decode(b"\x03\0\0\0\x02\0\0\0\x09\0\0\0\xff"), None);
    }
}
