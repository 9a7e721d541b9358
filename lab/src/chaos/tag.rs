//! By what the lab knows again what was said.

use bytes::Buf;
use tickwire_protocol::PlayerId;
use tickwire_sim::Random;

/// A player or a group of a start of the server, as each start counts anew; or a seat, whoever it is there.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Person(u32);

impl Person {
    /// Starts count from one.
    pub(super) fn new(start: u32, player: PlayerId) -> Self {
        Self(start << 20 | player.0)
    }

    pub(super) fn of_seat(number: u32) -> Self {
        Self(number)
    }
}

/// Whom something is from, or for, and its number there: what every body begins with.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Tag {
    pub(super) who: Person,
    pub(super) number: u32,
}

impl Tag {
    pub(super) const BYTES: u32 = 8;

    pub(super) fn new(who: Person, number: u32) -> Self {
        Self { who, number }
    }

    pub(super) fn body(self) -> Vec<u8> {
        [self.who.0.to_le_bytes(), self.number.to_le_bytes()].concat()
    }

    pub(super) fn read(mut body: &[u8]) -> Self {
        Self { who: Person(body.get_u32_le()), number: body.get_u32_le() }
    }

    /// Chance that both ends have in common.
    pub(super) fn random(self) -> Random {
        Random::from_seed(u64::from(self.who.0) << 32 | u64::from(self.number))
    }
}
