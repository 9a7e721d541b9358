//! A client whose every prediction is wrong: the room hears none of its inputs.

use std::collections::VecDeque;

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig};
use tickwire_protocol::frame::{FrameType, frames, write_frame};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::{Micros, PeerId, RoomId};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::arena::{Arena, Level, input, schema};

use crate::{SEED, SNAPSHOT_HZ, TICK_RATE};

/// Ticks that each snapshot makes the client step again.
pub const REPLAYED_TICKS: u64 = 30;

/// How long messages are on their way to the room and from it, ticks, and a little longer, so that none arrives just at a step.
/// A state is 15 ticks old when it is there, and inputs are given 15 ahead: between are [`REPLAYED_TICKS`].
const WAYS_TICKS: [u64; 2] = [13, 14];
const LONGER: Micros = Micros::from_millis(4);
/// Snapshots until the clock is known and the ring is full.
const WARM_SNAPSHOTS: usize = 100;

/// A room of one player, and its client.
pub struct Mispredicted {
    room: Room,
    peer: PeerId,
    client: Client,
    now: Micros,
    up: VecDeque<(Micros, Bytes)>,
    down: VecDeque<(Micros, Bytes)>,
    message: Vec<u8>,
}

impl Mispredicted {
    /// A match that has been going on for some seconds.
    ///
    /// # Panics
    /// If the room takes no player.
    pub fn new() -> Self {
        let now = Micros::from_secs(1);
        let identity = RoomIdentity { id: RoomId(1), name: "bench".to_owned(), seed: SEED };
        let arena = || Box::new(Arena::new(Level::for_players(1)));
        let mut room = Room::new(identity, RoomConfig::new(TICK_RATE, SNAPSHOT_HZ), arena(), now);
        let stream = StreamKind::Datagram;
        let role = Role::Player;
        let join = Join::new(role, stream);
        let peer = room.join(now, join).unwrap_or_else(|reason| panic!("refused: {reason:?}"));
        let config = ClientConfig { stream, ..ClientConfig::new("bench") };
        let mut client = Client::new(config, schema().clone(), now);
        client.predict(arena());
        // The hello; the join above answers it.
        client.poll_transmit(now, &mut Vec::new());
        let (up, down, message) = (VecDeque::new(), VecDeque::new(), Vec::new());
        let mut game = Self { room, peer, client, now, up, down, message };
        for _ in 0..WARM_SNAPSHOTS {
            let (now, snapshot) = game.next_snapshot();
            game.take(now, snapshot);
        }
        game
    }

    /// Plays on until a snapshot is there, and gives it to be taken in.
    pub fn next_snapshot(&mut self) -> (Micros, Bytes) {
        loop {
            if let Some((_, message)) = arrived(&mut self.down, self.now) {
                let mut parts = frames(message.clone());
                if parts.any(|frame| frame.is_ok_and(|frame| frame.ty == FrameType::Snapshot)) {
                    return (self.now, message);
                }
                self.take(self.now, message);
                continue;
            }
            self.step();
        }
    }

    /// Takes in a message of the server's; how many ticks that made the client step again.
    ///
    /// # Panics
    /// If the client refuses it.
    pub fn take(&mut self, now: Micros, message: Bytes) -> u64 {
        let before = self.client.stats(now).replayed_ticks;
        if let Err(fault) = self.client.handle_message(now, message) {
            panic!("a message was refused: {fault}");
        }
        self.client.stats(now).replayed_ticks - before
    }

    fn step(&mut self) {
        let [up_way, down_way] = WAYS_TICKS.map(|ticks| TICK_RATE.due(ticks) + LONGER);
        self.now = self.room.poll_timeout();
        let Self { room, peer, client, now, up, down, message } = self;
        while let Some((at, heard)) = arrived(up, *now) {
            if let Err(fault) = room.handle_message(at, *peer, heard) {
                panic!("a message was refused: {fault}");
            }
        }
        room.advance(*now);
        room.poll_transmit(*now, *peer, |sent| {
            down.push_back((*now + down_way, Bytes::copy_from_slice(sent)));
        });
        while let Some(tick) = client.due_input_tick(*now) {
            client.push_input(*now, tick, |row| {
                row.set_vec2(input::MOVE, glam::Vec2::Y).set_angle(input::YAW, tick.0 as f32 * 0.05);
            });
        }
        message.clear();
        if client.poll_transmit(*now, message) {
            let heard = without_inputs(message);
            if !heard.is_empty() {
                up.push_back((*now + up_way, heard));
            }
        }
    }
}

impl Default for Mispredicted {
    fn default() -> Self {
        Self::new()
    }
}

/// What the room gets to hear: pings and acks.
fn without_inputs(message: &[u8]) -> Bytes {
    let mut heard = Vec::new();
    for frame in
        frames(Bytes::copy_from_slice(message)).flatten().filter(|frame| frame.ty != FrameType::Input)
    {
        write_frame(&mut heard, frame.ty, &frame.payload);
    }
    heard.into()
}

/// The next message that has arrived, and when it did.
fn arrived(link: &mut VecDeque<(Micros, Bytes)>, now: Micros) -> Option<(Micros, Bytes)> {
    let is_due = link.front().is_some_and(|(at, _)| *at <= now);
    if is_due { link.pop_front() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_snapshot_is_a_correction_of_so_many_ticks() {
        let mut game = Mispredicted::new();
        for _ in 0..20 {
            let before = game.client.stats(game.now).corrections;
            let (now, snapshot) = game.next_snapshot();
            assert_eq!(game.take(now, snapshot), REPLAYED_TICKS);
            assert_eq!(game.client.stats(now).corrections, before + 1);
        }
    }
}
