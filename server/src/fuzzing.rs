//! The body of the fuzz target `server`: a hostile client's frames, as a script, against a room in which an honest
//! one plays on.

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, frames, write_frame};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::limits::CLIENT_MESSAGE_BYTES_MAX;
use tickwire_protocol::snapshot::{Codec, DecodedSnapshot, Replica};
use tickwire_protocol::{Micros, PeerId, RoomId, Tick, TickRate};
use tickwire_sim::arena::{Arena, Level};

use crate::core::{Join, Room, RoomConfig, RoomIdentity};

/// Hostile peers at once.
const PEERS_MAX: usize = 4;

/// Virtual time that a script may take.
const SECONDS_MAX: u64 = 20;

/// A peer that only receives, and checks all that it gets.
struct Witness {
    peer: PeerId,
    codec: Codec,
    replica: Replica,
    decoded: DecodedSnapshot,
    applied: u16,
}

/// A room under attack.
struct Scene {
    room: Room,
    now: Micros,
    witness: Witness,
    peers: Vec<PeerId>,
}

/// Runs a script: each step is one byte of what, then what it needs.
pub fn server(mut script: &[u8]) {
    let Some(rate) = TickRate::new(60) else { return };
    let mut config = RoomConfig::new(rate, 20);
    config.players_max = PEERS_MAX as u32 + 1;
    config.first_tick = Tick(u32::MAX - 30);
    config.silence_timeout = Micros::from_secs(2 * SECONDS_MAX);
    let identity = RoomIdentity { id: RoomId(1), name: "fuzz".to_owned(), seed: 1 };
    let mut room = Room::new(identity, config, Box::new(Arena::new(Level::for_players(4))), Micros::ZERO);
    let schema = room.history().schema().clone();
    let Ok(peer) = room.join(Micros::ZERO, join(Role::Player, StreamKind::Ordered)) else { return };
    let codec = Codec::new(schema.clone(), rate);
    let witness = Witness {
        peer,
        codec,
        replica: Replica::new(schema, 16),
        decoded: DecodedSnapshot::default(),
        applied: 0,
    };
    let mut scene = Scene { room, now: Micros::ZERO, witness, peers: Vec::new() };
    while let Some((&op, rest)) = script.split_first() {
        script = scene.run(op, rest);
        if scene.now > Micros::from_secs(SECONDS_MAX) {
            break;
        }
    }
    scene.advance(200);
    let newest = scene.witness.replica.newest_tick();
    let age = newest.map(|newest| scene.room.tick().since(newest));
    assert!(age.is_some_and(|age| age <= 3), "the honest peer is {age:?} ticks behind");
}

fn join(role: Role, stream: StreamKind) -> Join {
    Join::new(role, stream)
}

impl Scene {
    /// One step of the script; what is left of it.
    fn run<'a>(&mut self, op: u8, rest: &'a [u8]) -> &'a [u8] {
        match op % 8 {
            0 => {
                let role = if op & 8 == 0 { Role::Player } else { Role::Spectator };
                let stream = if op & 16 == 0 { StreamKind::Ordered } else { StreamKind::Datagram };
                if self.peers.len() < PEERS_MAX
                    && let Ok(peer) = self.room.join(self.now, join(role, stream))
                {
                    self.peers.push(peer);
                }
                rest
            }
            1 => {
                if let Some(peer) = self.peers.pop() {
                    self.room.leave(peer);
                }
                rest
            }
            2 => {
                self.advance(u64::from(op >> 3) * 5);
                rest
            }
            // A whole message of arbitrary bytes.
            3 => self.send(op, rest, None),
            // Frames that are well formed on the outside.
            4 => self.send(op, rest, Some(FrameType::Input)),
            5 => self.send(op, rest, Some(FrameType::Ack)),
            6 => self.send(op, rest, Some(FrameType::Ping)),
            _ => {
                for &peer in &self.peers {
                    self.room.poll_transmit(self.now, peer, |message| assert!(!message.is_empty()));
                }
                rest
            }
        }
    }

    fn send<'a>(&mut self, op: u8, rest: &'a [u8], ty: Option<FrameType>) -> &'a [u8] {
        let Some((&len, rest)) = rest.split_first() else { return rest };
        let (body, rest) = rest.split_at(usize::from(len % 80).min(rest.len()));
        let Some(&peer) = self.peers.get(usize::from(op >> 3) % PEERS_MAX) else { return rest };
        let message = match ty {
            Some(ty) => {
                let mut message = Vec::new();
                write_frame(&mut message, ty, body);
                message
            }
            None => body.to_vec(),
        };
        assert!(message.len() <= CLIENT_MESSAGE_BYTES_MAX);
        if self.room.handle_message(self.now, peer, Bytes::from(message)).is_err() {
            self.peers.retain(|other| *other != peer);
        }
        rest
    }

    fn advance(&mut self, millis: u64) {
        let end = self.now + Micros::from_millis(millis);
        while self.room.poll_timeout() <= end {
            self.now = self.room.poll_timeout();
            self.room.advance(self.now);
            self.witness.watch(&mut self.room, self.now);
        }
        self.now = end;
    }
}

impl Witness {
    fn watch(&mut self, room: &mut Room, now: Micros) {
        let mut messages = Vec::new();
        room.poll_transmit(now, self.peer, |message| messages.push(Bytes::copy_from_slice(message)));
        for frame in messages.into_iter().flat_map(frames) {
            let frame = frame.unwrap_or_else(|error| panic!("the room wrote what nobody can read: {error}"));
            if frame.ty != FrameType::Snapshot {
                continue;
            }
            let near = self.replica.newest_tick().unwrap_or(Tick(0));
            let read = self.codec.read_snapshot(&frame.payload, near, &self.replica, &mut self.decoded);
            assert!(read.is_ok(), "the room wrote a snapshot that nobody can read: {read:?}");
            self.replica.apply(&self.decoded);
            self.applied += 1;
            if let Some(digest) = self.decoded.digest {
                assert_eq!(self.replica.digest().0, digest, "the honest peer's state is wrong");
            }
        }
        if self.applied > 0 {
            let mut ack = Vec::new();
            Ack::new(Sequence(self.applied - 1)).encode(&mut ack);
            let heard = room.handle_message(now, self.peer, Bytes::from(ack));
            assert_eq!(heard, Ok(()), "the honest peer was let go");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_script_disturbs_the_honest_peer(script in prop::collection::vec(any::<u8>(), 0..600)) {
            server(&script);
        }
    }
}
