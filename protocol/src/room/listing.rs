//! LIST and ROOMS: which rooms there are, asked before a hello.

use serde::{Deserialize, Serialize};

use super::MatchStatus;
use crate::cold;
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame_with};
use crate::handshake::check_text;
use crate::ids::RoomId;
use crate::limits::{HELLO_TEXT_BYTES_MAX, MATCH_MODE_BYTES_MAX, ROOMS_PER_PAGE_MAX};

/// Which public rooms somebody is interested in: each part is to hold. The default lets all through.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RoomFilter {
    /// Their names begin so; at most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub name_prefix: String,
    /// This is played there, as the [match](super::MatchInfo::mode) says; empty for anything. At most 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub mode: String,
    /// Their match is there in its life.
    pub status: Option<MatchStatus>,
    /// They have so many free places for players, at least; 1 for those that are not full.
    pub free_places: u32,
}

impl RoomFilter {
    /// What breaks a bound.
    pub fn check(&self) -> Result<(), DecodeError> {
        check_text("room name", &self.name_prefix, HELLO_TEXT_BYTES_MAX)?;
        check_text("match mode", &self.mode, MATCH_MODE_BYTES_MAX)
    }

    /// Whether it lets a room through.
    pub fn matches(&self, room: &RoomSummary) -> bool {
        room.name.starts_with(&self.name_prefix)
            && (self.mode.is_empty() || room.mode == self.mode)
            && self.status.is_none_or(|status| room.status == status)
            && room.players_max.saturating_sub(room.players) >= self.free_places
    }
}

/// A question: which rooms there are.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ListRooms {
    /// Of which kind.
    pub filter: RoomFilter,
    /// Only those behind this one; 0 for the first page, then the last room of the page before.
    pub after: RoomId,
    /// At most so many; a page has at most 50 in any case.
    pub rooms_max: u16,
}

impl Default for ListRooms {
    /// The first page of all.
    fn default() -> Self {
        Self { filter: RoomFilter::default(), after: RoomId(0), rooms_max: ROOMS_PER_PAGE_MAX as u16 }
    }
}

impl ListRooms {
    /// Appends a LIST frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame_with(out, FrameType::List, |out| out.extend_from_slice(&cold::write(self)));
    }

    /// Reads the payload of a LIST frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let list: Self = cold::read(payload, "list")?;
        list.filter.check()?;
        Ok(list)
    }
}

/// What is told of a room to those who are not in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RoomSummary {
    /// Which.
    pub room: RoomId,
    /// What it is called.
    #[serde(deserialize_with = "cold::text")]
    pub name: String,
    /// Players in it, or on their way.
    pub players: u32,
    /// Players that it takes.
    pub players_max: u32,
    /// Spectators in it.
    pub spectators: u32,
    /// What is played there.
    #[serde(deserialize_with = "cold::text")]
    pub mode: String,
    /// Where its match is in its life.
    pub status: MatchStatus,
}

/// The answer: a page of rooms.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RoomList {
    /// In ascending id.
    #[serde(deserialize_with = "cold::list")]
    pub rooms: Vec<RoomSummary>,
    /// There are more of them behind these.
    pub has_more: bool,
}

impl RoomList {
    /// Appends a ROOMS frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame_with(out, FrameType::Rooms, |out| out.extend_from_slice(&cold::write(self)));
    }

    /// Reads the payload of a ROOMS frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let list: Self = cold::read(payload, "rooms")?;
        let (value, limit) = (list.rooms.len() as u64, ROOMS_PER_PAGE_MAX as u64);
        if value > limit {
            return Err(DecodeError::TooLarge { what: "rooms", value, limit });
        }
        for room in &list.rooms {
            check_text("room name", &room.name, HELLO_TEXT_BYTES_MAX)?;
            check_text("match mode", &room.mode, MATCH_MODE_BYTES_MAX)?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::frames;

    fn payload(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out);
        frames(out.into()).next().unwrap().unwrap().payload.to_vec()
    }

    fn room(id: u32) -> RoomSummary {
        RoomSummary {
            room: RoomId(id),
            name: "duel-1".to_owned(),
            players: 3,
            players_max: 4,
            spectators: 0,
            mode: "duel".to_owned(),
            status: MatchStatus::Running,
        }
    }

    #[test]
    fn a_filter_lets_through_what_it_says() {
        let filter = RoomFilter::default;
        for (filter, matches) in [
            (filter(), true),
            (RoomFilter { name_prefix: "duel-".to_owned(), ..filter() }, true),
            (RoomFilter { name_prefix: "duel-2".to_owned(), ..filter() }, false),
            (RoomFilter { mode: "duel".to_owned(), free_places: 1, ..filter() }, true),
            (RoomFilter { mode: "due".to_owned(), ..filter() }, false),
            (RoomFilter { status: Some(MatchStatus::Waiting), ..filter() }, false),
            (RoomFilter { free_places: 2, ..filter() }, false),
        ] {
            assert_eq!(filter.matches(&room(1)), matches, "{filter:?}");
        }
    }

    #[test]
    fn questions_and_answers_keep_to_their_bounds() {
        let question = ListRooms { after: RoomId(7), ..ListRooms::default() };
        assert_eq!(ListRooms::decode(&payload(|out| question.encode(out))), Ok(question.clone()));
        let mut bad = question;
        bad.filter.name_prefix = "a\u{1b}".to_owned();
        let fault = ListRooms::decode(&payload(|out| bad.encode(out))).unwrap_err();
        assert_eq!(fault.to_string(), "room name: 27 has no meaning");

        let mut page = RoomList { rooms: (0..50).map(room).collect(), has_more: true };
        assert_eq!(RoomList::decode(&payload(|out| page.encode(out))), Ok(page.clone()));
        page.rooms.push(room(51));
        let fault = RoomList::decode(&payload(|out| page.encode(out))).unwrap_err();
        assert_eq!(fault.to_string(), "rooms: 51 is above the limit of 50");
    }
}
