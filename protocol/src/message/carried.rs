//! How much went one way, by lane.

use super::lane::Lane;

/// Messages, and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Volume {
    /// How many; one that is carried again after a lost connection counts again.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// What was carried one way since a session's end was made, by lane: all connections, and sessions that followed on it, together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Carried([Volume; Lane::COUNT + 1]);

impl Carried {
    /// Of one lane; what is unreliable has none.
    pub fn of(&self, lane: Option<Lane>) -> Volume {
        self.0[place(lane)]
    }

    /// Of all lanes.
    pub fn total(&self) -> Volume {
        self.0.iter().fold(Volume::default(), |total, volume| Volume {
            messages: total.messages + volume.messages,
            bytes: total.bytes + volume.bytes,
        })
    }

    pub(super) fn note(&mut self, lane: Option<Lane>, bytes: usize) {
        let volume = &mut self.0[place(lane)];
        volume.messages += 1;
        volume.bytes += bytes as u64;
    }
}

fn place(lane: Option<Lane>) -> usize {
    lane.map_or(Lane::COUNT, |lane| lane as usize)
}
