//! Which rooms there are, which one a connection goes to, and what those are told who look for one.

mod wish;

#[cfg(test)]
mod tests;

use core::cmp::Reverse;
use core::ops::Bound;
use std::collections::BTreeMap;

use tickwire_protocol::RoomId;
use tickwire_protocol::handshake::{NewRoom, RejectReason, Role, RoomSecret, RoomWish};
use tickwire_protocol::limits::ROOMS_PER_PAGE_MAX;
use tickwire_protocol::room::{ListRooms, MatchInfo, MatchStatus, RoomList, RoomSummary};

/// The bounds of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryConfig {
    /// Players in all rooms together.
    pub players_max: u32,
    /// Players in one room.
    pub room_players_max: u32,
    /// Spectators in one room.
    pub room_spectators_max: u32,
    /// Rooms at once: each holds a world.
    pub rooms_max: u32,
    /// Which of them clients may open.
    pub opening: RoomOpening,
}

/// Which rooms clients may open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RoomOpening {
    /// None: there are those that the server's owner opens.
    Never,
    /// Those for anybody, when all others are full.
    ForAnybody,
    /// Also those that they want for themselves: by name, with a secret, of a mode. Of accounts, those that may `open`.
    #[default]
    Wished,
}

/// Where a connection goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placement {
    /// The room.
    pub room: RoomId,
    /// The room is to be opened, as this says: its name and its number of places are never left open. Nothing if it is there.
    pub open: Option<NewRoom>,
}

/// Whom a room was opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Opened {
    /// For who does not care, by a client or the owner.
    ForAnybody,
    /// For those who want this one: nobody else strays into it.
    ByWish,
    /// By the owner, to stay.
    ForGood,
}

#[derive(Debug)]
struct Entry {
    opened: Opened,
    secret: Option<RoomSecret>,
    /// As those are told who are not in it.
    summary: RoomSummary,
}

impl Entry {
    fn is_for_anybody(&self) -> bool {
        self.opened != Opened::ByWish && self.secret.is_none()
    }

    fn taken(&mut self, role: Role) -> &mut u32 {
        match role {
            Role::Player => &mut self.summary.players,
            Role::Spectator => &mut self.summary.spectators,
        }
    }
}

/// All rooms of a server, with the places that are taken in them.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    rooms: BTreeMap<RoomId, Entry>,
    names: BTreeMap<String, RoomId>,
    players: u32,
    next_id: u32,
}

impl Directory {
    /// No room yet.
    pub fn new(config: DirectoryConfig) -> Self {
        Self { config, rooms: BTreeMap::new(), names: BTreeMap::new(), players: 0, next_id: 1 }
    }

    /// Players in all rooms.
    pub fn players(&self) -> u32 {
        self.players
    }

    /// How many rooms there are.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// A page of the public rooms that a filter lets through.
    pub fn list(&self, question: &ListRooms) -> RoomList {
        let page = ROOMS_PER_PAGE_MAX.min(question.rooms_max.into());
        let behind = self.rooms.range((Bound::Excluded(question.after), Bound::Unbounded));
        let is_asked_for = |room: &Entry| room.secret.is_none() && question.filter.matches(&room.summary);
        let mut found = behind.filter(|(_, room)| is_asked_for(room)).map(|(_, room)| &room.summary);
        let rooms = found.by_ref().take(page).cloned().collect();
        RoomList { rooms, has_more: found.next().is_some() }
    }

    /// Notes how the match of a room stands, for those who look for one.
    pub fn note_match(&mut self, room: RoomId, info: &MatchInfo) {
        if let Some(entry) = self.rooms.get_mut(&room) {
            entry.summary.mode.clone_from(&info.mode);
            entry.summary.status = info.status;
        }
    }

    /// Opens a room that the server's owner wants. A public one is for anybody; one that is `for_good` stays when nobody is in it.
    ///
    /// # Errors
    /// [`BadRoomName`](RejectReason::BadRoomName), [`RoomExists`](RejectReason::RoomExists) or [`TooManyRooms`](RejectReason::TooManyRooms).
    pub fn open(&mut self, room: &NewRoom, for_good: bool) -> Result<Placement, RejectReason> {
        room.check().map_err(|_| RejectReason::BadRoomName)?;
        if self.names.contains_key(&room.name) {
            return Err(RejectReason::RoomExists);
        }
        self.insert(room.clone(), if for_good { Opened::ForGood } else { Opened::ForAnybody })
    }

    /// Finds a place and takes it; [`Directory::leave`] gives it back. What is wished for is opened if it is not there and this client may
    /// open it: `may_open` says so of a name.
    ///
    /// # Errors
    /// Why there is no place, as docs/WIRE.md says under "Rooms wanted".
    pub fn place(
        &mut self,
        wish: &RoomWish,
        role: Role,
        may_open: impl Fn(&str) -> bool,
    ) -> Result<Placement, RejectReason> {
        let DirectoryConfig { players_max: max, room_spectators_max, .. } = self.config;
        if role == Role::Player && self.players >= max {
            return Err(RejectReason::ServerFull { players: self.players, max });
        }
        // Before a room is opened in which nobody can watch either.
        if role == Role::Spectator && room_spectators_max == 0 {
            return Err(RejectReason::NoSpectators);
        }
        let placement = if let Some(room) = self.find(wish, role)? {
            Placement { room, open: None }
        } else {
            let (room, opened) = self.to_open(wish, role, may_open)?;
            self.insert(room, opened)?
        };
        self.take_place(placement.room, role)?;
        Ok(placement)
    }

    /// [`Directory::place`] for somebody who leaves these places for it: they count as free, and are still taken.
    pub fn place_instead(
        &mut self,
        leaving: &[(RoomId, Role)],
        wish: &RoomWish,
        role: Role,
        may_open: impl Fn(&str) -> bool,
    ) -> Result<Placement, RejectReason> {
        for &(room, role) in leaving {
            self.leave(room, role);
        }
        let placed = self.place(wish, role, may_open);
        for &(room, role) in leaving {
            self.return_to(room, role);
        }
        placed
    }

    /// Takes a place in a room for somebody who comes back to it, however full it is; whether there is such a room.
    pub fn return_to(&mut self, room: RoomId, role: Role) -> bool {
        let Some(entry) = self.rooms.get_mut(&room) else { return false };
        *entry.taken(role) += 1;
        self.players += u32::from(role == Role::Player);
        true
    }

    /// Whether somebody may find no place in this role because of who keeps one in this room: it is full, or the server is.
    pub fn is_crowded(&self, room: RoomId, role: Role) -> bool {
        let is_full = self.rooms.get(&room).is_some_and(|entry| {
            let (taken, max) = self.places(entry, role);
            taken >= max
        });
        let is_server_full = role == Role::Player && self.players >= self.config.players_max;
        is_full || is_server_full
    }

    /// Whether a room that nobody is connected to stands in the way of another: there are as many as there may be, and it is not to stay.
    pub fn is_in_the_way(&self, room: RoomId) -> bool {
        let stays = self.rooms.get(&room).is_none_or(|entry| entry.opened == Opened::ForGood);
        !stays && self.rooms.len() >= self.config.rooms_max as usize
    }

    /// Gives back a place.
    pub fn leave(&mut self, room: RoomId, role: Role) {
        let Some(entry) = self.rooms.get_mut(&room) else { return };
        let taken = entry.taken(role);
        *taken = taken.saturating_sub(1);
        self.players = self.players.saturating_sub(u32::from(role == Role::Player));
    }

    /// Takes a room off the list if nobody has or awaits a place in it, and it is not there for good; whether it did.
    pub fn close_if_empty(&mut self, room: RoomId) -> bool {
        let closes = self.rooms.get(&room).is_none_or(|entry| {
            entry.opened != Opened::ForGood && entry.summary.players == 0 && entry.summary.spectators == 0
        });
        if closes {
            self.remove(room);
        }
        closes
    }

    /// Takes a room off the list that has ended, with all places in it.
    pub fn remove(&mut self, room: RoomId) {
        if let Some(Entry { summary, .. }) = self.rooms.remove(&room) {
            self.names.remove(&summary.name);
            self.players = self.players.saturating_sub(summary.players);
        }
    }

    fn insert(&mut self, mut room: NewRoom, opened: Opened) -> Result<Placement, RejectReason> {
        let DirectoryConfig { rooms_max, room_players_max, .. } = self.config;
        if self.rooms.len() >= rooms_max as usize {
            return Err(RejectReason::TooManyRooms { max: rooms_max });
        }
        let id = RoomId(self.next_id);
        self.next_id += 1;
        if room.name.is_empty() {
            room.name = self.free_name(id);
        }
        if room.players_max == 0 || room.players_max > room_players_max {
            room.players_max = room_players_max;
        }
        let summary = RoomSummary {
            room: id,
            name: room.name.clone(),
            players: 0,
            players_max: room.players_max,
            spectators: 0,
            mode: room.mode.clone(),
            status: MatchStatus::default(),
        };
        self.names.insert(room.name.clone(), id);
        self.rooms.insert(id, Entry { opened, secret: room.secret.clone(), summary });
        Ok(Placement { room: id, open: Some(room) })
    }

    /// A name that no room has. A client may have thought of the first ones.
    fn free_name(&self, id: RoomId) -> String {
        let mut names = (id.0..).map(|number| format!("room-{number}"));
        names.find(|name| !self.names.contains_key(name)).unwrap_or_default()
    }

    /// The fullest room that is wanted and has a place; of several the one that was there first.
    fn fullest(&self, role: Role, is_wanted: impl Fn(&Entry) -> bool) -> Option<RoomId> {
        let open = self.rooms.iter().filter(|(_, room)| is_wanted(room) && self.has_place(room, role));
        open.max_by_key(|(id, room)| (room.summary.players, Reverse(**id))).map(|(id, _)| *id)
    }

    fn has_place(&self, room: &Entry, role: Role) -> bool {
        let (taken, max) = self.places(room, role);
        taken < max
    }

    /// Places that are taken, and that there are.
    fn places(&self, room: &Entry, role: Role) -> (u32, u32) {
        match role {
            Role::Player => (room.summary.players, room.summary.players_max),
            Role::Spectator => (room.summary.spectators, self.config.room_spectators_max),
        }
    }

    fn take_place(&mut self, room: RoomId, role: Role) -> Result<(), RejectReason> {
        let Some(entry) = self.rooms.get(&room) else { return Err(RejectReason::NoSuchRoom) };
        let (players, max) = self.places(entry, role);
        if players >= max {
            return Err(RejectReason::RoomFull { players, max });
        }
        self.rooms.entry(room).and_modify(|entry| *entry.taken(role) += 1);
        self.players += u32::from(role == Role::Player);
        Ok(())
    }
}
