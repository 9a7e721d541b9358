//! Who and what: identifiers that cannot be mixed up.

use core::fmt;

use serde::{Deserialize, Serialize};

/// One entity of a room's world: a slot, and which of the slot's successive tenants.
///
/// A slot has one generation at any tick, so (slot, tick) names a state without doubt. Generation 0 is never
/// given out: the packed value 0 means "no entity". Nor is generation 65,535 by a server: a client that predicts gives
/// it to what it spawns ahead of the server, so that the two cannot be taken for one another, and what arrives with it
/// is refused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EntityId {
    /// Index into the room's entities, 0 to 65,535.
    pub slot: u16,
    /// 1 to 65,534, counting up with each new tenant of the slot and then from 1 again; 65,535 is provisional.
    pub generation: u16,
}

/// Of entities that only a predicting client knows.
const PROVISIONAL_GENERATION: u16 = u16::MAX;

impl EntityId {
    /// Both halves in one word; never 0.
    pub const fn pack(self) -> u32 {
        (self.generation as u32) << 16 | self.slot as u32
    }

    /// The entity that [`EntityId::pack`] made this word from, or nothing if it names none.
    pub const fn unpack(word: u32) -> Option<Self> {
        let generation = (word >> 16) as u16;
        if generation == 0 { None } else { Some(Self { slot: word as u16, generation }) }
    }

    /// The entity of which a server may tell: neither none nor a provisional one.
    pub(crate) fn from_wire(slot: u16, generation: u16) -> Option<Self> {
        (1..PROVISIONAL_GENERATION).contains(&generation).then_some(Self { slot, generation })
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.slot, self.generation)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($word:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        pub struct $name(pub $word);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A person in a room. Chosen by the server; stays with the person across connections.
    PlayerId(u32)
);
id!(
    /// A session: what outlives a connection.
    SessionId(u64)
);
id!(
    /// One connection to a room. It may have no player (a spectator, a recorder).
    PeerId(u32)
);
id!(
    /// A room: one match, one world.
    RoomId(u32)
);
id!(
    /// Some players of a room that belong together. Chosen by its game.
    GroupId(u32)
);

impl SessionId {
    /// A session of a room, by a number that is its own there.
    pub const fn new(room: RoomId, number: u32) -> Self {
        Self((room.0 as u64) << 32 | number as u64)
    }

    /// The room that it began in: so it is found without asking every room.
    pub const fn room(self) -> RoomId {
        RoomId((self.0 >> 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_ids_pack_and_unpack() {
        for id in [EntityId { slot: 0, generation: 1 }, EntityId { slot: u16::MAX, generation: u16::MAX }] {
            assert_eq!(EntityId::unpack(id.pack()), Some(id));
        }
        assert_eq!(EntityId::unpack(7), None, "generation 0 names nothing");
    }

    #[test]
    fn a_server_tells_of_no_provisional_entity() {
        for (generation, is_allowed) in [(0, false), (1, true), (65_534, true), (65_535, false)] {
            assert_eq!(EntityId::from_wire(7, generation).is_some(), is_allowed, "{generation}");
        }
    }
}
