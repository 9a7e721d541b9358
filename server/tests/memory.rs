//! What a playing connection holds in its room, and what the room holds for it.

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::{Micros, PeerId, RoomId, TickRate};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::arena::{Arena, Level};

const PLAYERS: u32 = 64;

/// Of a room and all that it holds for its players, a player. The goal for a connection as a whole is 32 KiB of resident memory, of
/// which the connection itself takes 3, and the allocator and the kernel's tables some.
const BYTES_PER_PLAYER_MAX: i64 = 24 * 1024;

fn room() -> Room {
    let config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let identity = RoomIdentity { id: RoomId(1), name: "memory".to_owned(), seed: 7 };
    Room::new(identity, config, Box::new(Arena::new(Level::for_players(PLAYERS as usize))), Micros::ZERO)
}

/// Steps, and sends everybody what is due, who acks it at once.
fn play(room: &mut Room, peers: &mut [(PeerId, Sequence)], ticks: u32) {
    for _ in 0..ticks {
        let now = room.poll_timeout();
        room.advance(now);
        for (peer, next) in &mut *peers {
            let mut messages = Vec::new();
            room.poll_transmit(now, *peer, |message| messages.push(Bytes::copy_from_slice(message)));
            for frame in messages.into_iter().flat_map(frames) {
                if frame.unwrap().ty == FrameType::Snapshot {
                    let mut ack = Vec::new();
                    Ack::new(*next).encode(&mut ack);
                    *next = next.next();
                    room.handle_message(now, *peer, Bytes::from(ack)).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_player_costs_its_room_little_memory() {
    // What all rooms share, as the default prior, is there from the first on.
    drop(room());
    let mut kept = None;
    let opened = allocation_counter::measure(|| kept = Some(room()));
    let mut room = kept.unwrap();
    let mut peers = Vec::new();
    let joined = allocation_counter::measure(|| {
        let mut join =
            || (room.join(Micros::ZERO, Join::new(Role::Player, StreamKind::Ordered)).unwrap(), Sequence(0));
        peers = (0..PLAYERS).map(|_| join()).collect();
    });
    let played = allocation_counter::measure(|| play(&mut room, &mut peers, 300));
    let bytes = [opened, joined, played].map(|info| info.bytes_current / i64::from(PLAYERS));
    let each: i64 = bytes.iter().sum();
    println!("bytes a player: {bytes:?}, together {each}");
    assert!(each <= BYTES_PER_PLAYER_MAX, "{bytes:?}: {each} bytes a player");
}
