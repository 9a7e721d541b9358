//! Once warm, a room allocates nothing: from the inbox over the step to the bytes for each peer.

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig};
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::{Micros, PeerId, RoomId, TickRate};
use tickwire_server::core::{Interest, Join, Room, RoomConfig, RoomIdentity, admit};
use tickwire_sim::arena::{self, Arena, Level};
use tickwire_sim::bots::{BotBody, BotView, Brain};

/// How long a room is played until it is warm, and then while it is watched.
const WARM: Micros = Micros::from_secs(200);
const WATCHED: Micros = Micros::from_secs(20);

struct Seat {
    peer: PeerId,
    client: Client,
    brain: Brain,
}

/// A full room, and what it allocated once warm.
struct Play {
    room: Room,
    seats: Vec<Seat>,
    now: Micros,
    warm: Micros,
    allocations: u64,
    /// Of these, while snapshots were written.
    while_sending: u64,
    bytes: usize,
}

impl Play {
    fn new(players: u64, warm: Micros, stream: StreamKind, interest: Interest, budget: u32) -> Self {
        let config =
            RoomConfig { interest, budget: Some(budget), ..RoomConfig::new(TickRate::new(60).unwrap(), 20) };
        let identity = RoomIdentity { id: RoomId(1), name: "warm".to_owned(), seed: 7 };
        let arena = Arena::new(Level::for_players(players as usize));
        let mut room = Room::new(identity, config, Box::new(arena), Micros::ZERO);
        let mut seat = |number| {
            let mut config = ClientConfig::new("test");
            config.stream = stream;
            let mut client = Client::new(config, arena::schema().clone(), Micros::ZERO);
            let mut hello = Vec::new();
            assert!(client.poll_transmit(Micros::ZERO, &mut hello));
            let payload =
                tickwire_protocol::frame::frames(Bytes::from(hello)).next().unwrap().unwrap().payload;
            let hello = admit(&payload, arena::schema(), stream).unwrap().unwrap();
            let join = Join::new(hello.role, stream);
            Seat { peer: room.join(Micros::ZERO, join).unwrap(), client, brain: Brain::new(number) }
        };
        let seats = (0..players).map(&mut seat).collect();
        Self { room, seats, now: Micros::ZERO, warm, allocations: 0, while_sending: 0, bytes: 0 }
    }

    /// What the room allocates in `work`, if it counts.
    fn measured<T>(&mut self, work: impl FnOnce(&mut Room) -> T) -> T {
        let mut result = None;
        let counted = allocation_counter::measure(|| result = Some(work(&mut self.room)));
        if self.now >= self.warm {
            self.allocations += counted.count_total;
        }
        result.unwrap()
    }

    fn until(&mut self, end: Micros) {
        while self.now < end {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now = self.room.poll_timeout();
        let now = self.now;
        self.measured(|room| room.advance(now));
        for index in 0..self.seats.len() {
            let peer = self.seats[index].peer;
            let mut sent = [[0; 1536]; 8];
            let mut sizes = [0; 8];
            let (mut count, before) = (0, self.allocations);
            self.measured(|room| {
                room.poll_transmit(now, peer, |message| {
                    sent[count][..message.len()].copy_from_slice(message);
                    sizes[count] = message.len();
                    count += 1;
                });
            });
            self.while_sending += self.allocations - before;
            for (message, size) in sent.iter().zip(sizes).take(count) {
                self.bytes += size;
                self.seats[index]
                    .client
                    .handle_message(now, Bytes::copy_from_slice(&message[..size]))
                    .unwrap();
            }
            let message = self.answer(index);
            if !message.is_empty() {
                let message = Bytes::from(message);
                // The first clone of bytes makes them shared: that is the transport's to do, or not.
                let _shared = message.clone();
                self.measured(|room| room.handle_message(now, peer, message)).unwrap();
            }
        }
    }

    /// What a client does with a tick's time.
    fn answer(&mut self, index: usize) -> Vec<u8> {
        let Seat { client, brain, .. } = &mut self.seats[index];
        let now = self.now;
        while let Some(tick) = client.due_input_tick(now) {
            let own = client.own_row(arena::PLAYER).map(BotBody::read);
            let others: Vec<_> =
                client.view(now).entities(arena::PLAYER).filter(|other| !other.is_own()).collect();
            let others: Vec<_> = others.iter().map(|other| BotBody::read(other.latest())).collect();
            let seen = BotView { own, others: &others, targets: &others, level: None };
            client.push_input(now, tick, |row| brain.think(1.0 / 60.0, &seen, row));
        }
        while client.poll_event(now).is_some() {}
        let mut message = Vec::new();
        while client.poll_transmit(now, &mut message) {}
        message
    }
}

#[test]
fn a_warm_room_allocates_nothing() {
    for stream in [StreamKind::Ordered, StreamKind::Datagram] {
        // All that is news fits; or half of it, and it has to be found out which.
        for (interest, budget) in [
            (Interest::everything(), 8_000),
            (Interest::within(15.0).nearest(6), 8_000),
            (Interest::everything(), 1_200),
        ] {
            let mut play = Play::new(16, WARM, stream, interest.clone(), budget);
            play.until(WARM + WATCHED);
            assert!(play.bytes > 500_000, "{} bytes were sent", play.bytes);
            assert_eq!(play.allocations, 0, "{stream:?}, {interest:?}, {budget} B/s");
        }
    }
}

/// A score that changes may split a node of the match's table: only what snapshots take is counted.
#[test]
fn snapshots_of_more_views_than_steps_are_kept_allocate_nothing() {
    let warm = Micros::from_secs(60);
    let mut play = Play::new(40, warm, StreamKind::Ordered, Interest::within(15.0).nearest(6), 8_000);
    play.until(warm + Micros::from_secs(5));
    assert!(play.bytes > 500_000, "{} bytes were sent", play.bytes);
    assert_eq!(play.while_sending, 0);
}
