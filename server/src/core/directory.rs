//! Which rooms there are, and which one a connection goes to.

use std::collections::BTreeMap;

use tickwire_protocol::RoomId;
use tickwire_protocol::handshake::{RejectReason, Role, RoomWish};

/// The bounds of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryConfig {
    /// Players in all rooms together.
    pub players_max: u32,
    /// Players in one room.
    pub room_players_max: u32,
    /// Spectators in one room.
    pub room_spectators_max: u32,
    /// Rooms at once: whoever names one opens it, and each holds a world.
    pub rooms_max: u32,
}

/// Where a connection goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placement {
    /// The room.
    pub room: RoomId,
    /// The name of a room that is to be opened for it; none if the room is there.
    pub open: Option<String>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Whether a client asked for it by name; others do not stray into it.
    is_named: bool,
    players: u32,
    spectators: u32,
}

/// All rooms of a server, with the places that are taken in them.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    rooms: BTreeMap<RoomId, Entry>,
    players: u32,
    next_id: u32,
}

impl Directory {
    /// No room yet.
    pub fn new(config: DirectoryConfig) -> Self {
        Self { config, rooms: BTreeMap::new(), players: 0, next_id: 1 }
    }

    /// Players in all rooms.
    pub fn players(&self) -> u32 {
        self.players
    }

    /// How many rooms there are.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Finds a place and takes it; [`Directory::leave`] gives it back. A room of that name is opened if there is
    /// none; whoever does not care goes to the fullest open room that has a place.
    pub fn place(&mut self, wish: &RoomWish, role: Role) -> Result<Placement, RejectReason> {
        let max = self.config.players_max;
        if role == Role::Player && self.players >= max {
            return Err(RejectReason::ServerFull { players: self.players, max });
        }
        let found = match wish {
            RoomWish::Named(wanted) => {
                self.rooms.iter().find(|(_, room)| room.is_named && room.name == *wanted).map(|(id, _)| *id)
            }
            RoomWish::Any => self.fullest_with_place(role),
        };
        if let Some(room) = found {
            self.take_place(room, role)?;
            return Ok(Placement { room, open: None });
        }
        let rooms_max = self.config.rooms_max;
        if self.rooms.len() >= rooms_max as usize {
            return Err(RejectReason::TooManyRooms { max: rooms_max });
        }
        let room = RoomId(self.next_id);
        self.next_id += 1;
        let (name, is_named) = match wish {
            RoomWish::Named(name) => (name.clone(), true),
            RoomWish::Any => (format!("room-{room}"), false),
        };
        self.rooms.insert(room, Entry { name: name.clone(), is_named, players: 0, spectators: 0 });
        self.take_place(room, role)?;
        Ok(Placement { room, open: Some(name) })
    }

    /// [`Directory::place`] for somebody who leaves these places for it: they count as free, and are still taken.
    pub fn place_instead(
        &mut self,
        leaving: &[(RoomId, Role)],
        wish: &RoomWish,
        role: Role,
    ) -> Result<Placement, RejectReason> {
        for &(room, role) in leaving {
            self.leave(room, role);
        }
        let placed = self.place(wish, role);
        for &(room, role) in leaving {
            self.return_to(room, role);
        }
        placed
    }

    /// Takes a place in a room for somebody who comes back to it, however full it is; whether there is such a room.
    pub fn return_to(&mut self, room: RoomId, role: Role) -> bool {
        let Some(entry) = self.rooms.get_mut(&room) else { return false };
        match role {
            Role::Player => {
                entry.players += 1;
                self.players += 1;
            }
            Role::Spectator => entry.spectators += 1,
        }
        true
    }

    /// Gives back a place.
    pub fn leave(&mut self, room: RoomId, role: Role) {
        let Some(entry) = self.rooms.get_mut(&room) else { return };
        match role {
            Role::Player => {
                entry.players = entry.players.saturating_sub(1);
                self.players = self.players.saturating_sub(1);
            }
            Role::Spectator => entry.spectators = entry.spectators.saturating_sub(1),
        }
    }

    /// Takes a room off the list if nobody has or awaits a place in it; whether it did.
    pub fn close_if_empty(&mut self, room: RoomId) -> bool {
        let is_empty = self.rooms.get(&room).is_none_or(|entry| entry.players == 0 && entry.spectators == 0);
        if is_empty {
            self.rooms.remove(&room);
        }
        is_empty
    }

    /// Takes a room off the list that has failed, with all places in it.
    pub fn remove(&mut self, room: RoomId) {
        if let Some(entry) = self.rooms.remove(&room) {
            self.players = self.players.saturating_sub(entry.players);
        }
    }

    fn fullest_with_place(&self, role: Role) -> Option<RoomId> {
        let has_place = |room: &Entry| match role {
            Role::Player => room.players < self.config.room_players_max,
            Role::Spectator => room.spectators < self.config.room_spectators_max,
        };
        let open = self.rooms.iter().filter(|(_, room)| !room.is_named && has_place(room));
        open.max_by_key(|(id, room)| (room.players, core::cmp::Reverse(**id))).map(|(id, _)| *id)
    }

    fn take_place(&mut self, room: RoomId, role: Role) -> Result<(), RejectReason> {
        let Some(entry) = self.rooms.get_mut(&room) else { return Err(RejectReason::NoSuchRoom) };
        let (taken, max) = match role {
            Role::Player => (&mut entry.players, self.config.room_players_max),
            Role::Spectator => (&mut entry.spectators, self.config.room_spectators_max),
        };
        if *taken >= max {
            return Err(RejectReason::RoomFull { players: *taken, max });
        }
        *taken += 1;
        if role == Role::Player {
            self.players += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        Directory::new(DirectoryConfig {
            players_max: 5,
            room_players_max: 2,
            room_spectators_max: 1,
            rooms_max: 3,
        })
    }

    fn any(directory: &mut Directory) -> Result<u32, RejectReason> {
        directory.place(&RoomWish::Any, Role::Player).map(|placement| placement.room.0)
    }

    #[test]
    fn rooms_fill_up_before_new_ones_open() {
        let mut directory = directory();
        let places: Vec<_> = (0..5).map(|_| any(&mut directory).unwrap()).collect();
        assert_eq!(places, [1, 1, 2, 2, 3]);
        assert_eq!(any(&mut directory), Err(RejectReason::ServerFull { players: 5, max: 5 }));
        directory.leave(RoomId(2), Role::Player);
        assert_eq!(any(&mut directory), Ok(2));
    }

    #[test]
    fn a_named_room_is_shared_by_those_who_name_it_and_by_nobody_else() {
        let mut directory = directory();
        let wish = RoomWish::Named("duel".to_owned());
        let first = directory.place(&wish, Role::Player).unwrap();
        assert_eq!(first, Placement { room: RoomId(1), open: Some("duel".to_owned()) });
        assert_eq!(any(&mut directory), Ok(2));
        assert_eq!(directory.place(&wish, Role::Player).unwrap(), Placement { room: RoomId(1), open: None });
        let full = RejectReason::RoomFull { players: 2, max: 2 };
        assert_eq!(directory.place(&wish, Role::Player), Err(full));
        assert_eq!(directory.players(), 3, "a refused one takes no place");
    }

    #[test]
    fn naming_rooms_opens_only_so_many() {
        let mut directory = directory();
        let watch = |directory: &mut Directory, name: &str| {
            directory
                .place(&RoomWish::Named(name.to_owned()), Role::Spectator)
                .map(|placement| placement.room.0)
        };
        assert_eq!(["a", "b", "c"].map(|name| watch(&mut directory, name)), [Ok(1), Ok(2), Ok(3)]);
        assert_eq!(watch(&mut directory, "d"), Err(RejectReason::TooManyRooms { max: 3 }));
        assert_eq!(
            any(&mut directory),
            Err(RejectReason::TooManyRooms { max: 3 }),
            "named rooms are not for anyone"
        );
        directory.leave(RoomId(2), Role::Spectator);
        assert!(directory.close_if_empty(RoomId(2)));
        assert_eq!(any(&mut directory), Ok(4));
    }

    #[test]
    fn only_an_empty_room_closes() {
        let mut directory = directory();
        any(&mut directory).unwrap();
        assert!(!directory.close_if_empty(RoomId(1)));
        directory.leave(RoomId(1), Role::Player);
        assert!(directory.close_if_empty(RoomId(1)));
        assert_eq!((directory.rooms(), directory.players()), (0, 0));
        assert_eq!(any(&mut directory), Ok(2), "numbers are not given twice");
    }

    #[test]
    fn a_failed_room_gives_its_places_back() {
        let mut directory = directory();
        (0..4).for_each(|_| drop(any(&mut directory)));
        directory.remove(RoomId(1));
        assert_eq!(directory.players(), 2);
        assert_eq!(any(&mut directory), Ok(3));
    }

    #[test]
    fn who_leaves_a_place_for_another_finds_it_free() {
        let mut directory = directory();
        (0..5).for_each(|_| drop(any(&mut directory)));
        let (full, leaving) = (RejectReason::ServerFull { players: 5, max: 5 }, [(RoomId(1), Role::Player)]);
        assert_eq!(any(&mut directory), Err(full));
        let placed = directory.place_instead(&leaving, &RoomWish::Any, Role::Player).unwrap();
        assert_eq!((placed.room, directory.players()), (RoomId(1), 6));
        directory.leave(RoomId(1), Role::Player);
        assert_eq!(directory.players(), 5);
    }
}
