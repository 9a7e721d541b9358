//! What a playing connection holds in its room, and what the room holds for it.

use std::sync::Arc;

use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
use tickwire_protocol::snapshot::Codec;
use tickwire_protocol::{EntityId, Micros, PeerId, RoomId, RowHead, Tables, TickRate};
use tickwire_server::core::{Interest, Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::arena::{self, Arena, Level};
use tickwire_sim::{Simulation, StepContext};

const PLAYERS: u32 = 64;

/// Of a room and all that it holds for its players, a player. The goal for a connection as a whole is 32 KiB of resident memory, of
/// which the connection itself takes 4, and the allocator and the kernel's tables some.
const BYTES_PER_PLAYER_MAX: i64 = 13 * 1024;

fn room(codec: &Codec) -> Room {
    let identity = RoomIdentity { id: RoomId(1), name: "memory".to_owned(), seed: 7 };
    let arena = Arena::new(Level::for_players(PLAYERS as usize));
    Room::with_codec(identity, config(), codec.clone(), Box::new(arena), Micros::ZERO)
}

fn config() -> RoomConfig {
    RoomConfig::new(TickRate::new(60).unwrap(), 20)
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
    // What all rooms share is there from the first on.
    let codec = config().codec(arena::schema().clone());
    drop(room(&codec));
    let mut kept = None;
    let opened = allocation_counter::measure(|| kept = Some(room(&codec)));
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

const STONE: KindId = KindId(0);
const PLACE: FieldId = FieldId(0);
/// How many lie at one place; and how many in a row, a metre from each other.
const HEAP: u16 = 3_000;
const ROW: u16 = 400;
const HEAP_AT: f32 = -500.0;

/// Stones that lie where they lie.
struct Stones {
    schema: Arc<Schema>,
    ids: Vec<EntityId>,
}

impl Stones {
    fn room() -> Room {
        let axes = [(); 3].map(|()| -1_000.0..=1_000.0);
        let place = Field::new(PLACE, "place", FieldType::position(axes, 0.01));
        let schema = Schema::builder("stones").kind(Kind::new(STONE, "stone", [place])).build().unwrap();
        let interest = Interest::within(5.0);
        let config = RoomConfig { interest, budget: None, ..RoomConfig::new(TickRate::new(60).unwrap(), 20) };
        let identity = RoomIdentity { id: RoomId(1), name: "stones".to_owned(), seed: 7 };
        Room::new(identity, config, Box::new(Self { schema, ids: Vec::new() }), Micros::ZERO)
    }
}

impl Simulation for Stones {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.ids = (0..HEAP + ROW).map(|_| ctx.spawn(STONE)).collect();
    }

    fn step(&mut self, _: &mut StepContext<'_>) {}

    fn save(&self, out: &mut Tables) {
        for (number, id) in (0..).zip(&self.ids) {
            let x = if number < HEAP { HEAP_AT } else { f32::from(number - HEAP) };
            out.insert(STONE, RowHead::new(*id)).set_vec3(PLACE, Vec3::new(x, 0.0, 0.0));
        }
    }

    fn load(&mut self, _: &Tables) {}
}

/// One who sees a few hundred times as much as the others costs these nothing, while it looks and afterwards; and a room that all have
/// left keeps nothing of theirs.
#[test]
fn a_view_is_no_larger_for_what_another_peer_sees() {
    // Bytes of what is known of an entity, at the most.
    const KNOWN_BYTES: i64 = 64;
    drop(Stones::room());
    let mut room = Stones::room();
    // The rings fill.
    play(&mut room, &mut [], 300);
    let mut peers = Vec::new();
    let played = allocation_counter::measure(|| {
        for number in 0..PLAYERS {
            let peer =
                room.join(room.poll_timeout(), Join::new(Role::Spectator, StreamKind::Ordered)).unwrap();
            room.set_focus(peer, Some(Vec3::new(6.0 * number as f32, 0.0, 0.0)));
            peers.push((peer, Sequence(0)));
        }
        play(&mut room, &mut peers, 300);
    });
    let (caster, _) = peers[0];
    let looked = allocation_counter::measure(|| {
        room.set_focus(caster, Some(Vec3::new(HEAP_AT, 0.0, 0.0)));
        play(&mut room, &mut peers, 1_200);
    });
    let heap = KNOWN_BYTES * i64::from(HEAP);
    println!("bytes: {} played, {} looked, heap {heap}", played.bytes_current, looked.bytes_current);
    assert!(looked.bytes_current > heap / 2, "the caster sees the heap: {} bytes", looked.bytes_current);
    assert!(looked.bytes_current < 20 * heap, "{} bytes", looked.bytes_current);
    let left = allocation_counter::measure(|| {
        peers.drain(..).for_each(|(peer, _)| room.remove(peer));
        while room.poll_event().is_some() {}
        play(&mut room, &mut [], 10);
    });
    let kept = played.bytes_current + looked.bytes_current + left.bytes_current;
    println!("bytes: {kept} kept");
    assert!(kept < heap, "{kept} bytes are kept of nobody");
}
