//! What a session at rest holds on both ends: its connection is lost, and nothing is queued.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_protocol::handshake::{ResumeToken, Role, StreamKind};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId, Outcome};
use tickwire_protocol::{Micros, PeerId, RoomId, TickRate};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

/// On the server: a full window of sessions that went away must not hurt those who play.
const BYTES_AT_REST_MAX: i64 = 4096;
/// On its client, which goes on drawing what it saw last: that, and the clock, are most of it.
const CLIENT_BYTES_MAX: i64 = 24 * 1024;

const SAY: MessageTypeId = MessageTypeId(0);
const NEWEST: MessageTypeId = MessageTypeId(1);
const MOMENT: MessageTypeId = MessageTypeId(2);
const ASK: MessageTypeId = MessageTypeId(3);
const MOVE: FieldId = FieldId(0);

const LOOK: Micros = Micros::from_millis(10);

fn schema() -> Arc<Schema> {
    let ty = |id, name, class| MessageType::new(id, name, Direction::BothWays, class, 200);
    Schema::builder("rest")
        .message(ty(SAY, "say", MessageClass::Reliable))
        .message(ty(NEWEST, "newest", MessageClass::Latest))
        .message(ty(MOMENT, "moment", MessageClass::Unreliable))
        .message(ty(ASK, "ask", MessageClass::Request))
        .input([Field::new(MOVE, "move", FieldType::integer(0..=9))])
        .build()
        .unwrap()
}

/// Says everything back. There is nothing to see: what a room holds of its world is not what a session holds.
struct Echo(Arc<Schema>);

impl Simulation for Echo {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        while let Some((from, message)) = ctx.poll_message() {
            ctx.send(Audience::Player(from), message.ty, message.key, message.body).unwrap();
        }
        while let Some((from, request)) = ctx.poll_request() {
            ctx.respond(from, request.id, Ok(request.body)).unwrap();
        }
    }

    fn save(&self, _: &mut Tables) {}

    fn load(&mut self, _: &Tables) {}
}

/// A room and its clients, with what each end has allocated and not given back.
struct Hall {
    room: Room,
    seats: Vec<(Client, PeerId)>,
    now: Micros,
    server_bytes: i64,
    client_bytes: i64,
    delivered: u32,
    answered: u32,
}

/// What `work` leaves allocated is added to `bytes`.
fn counted<T>(bytes: &mut i64, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    *bytes += allocation_counter::measure(|| result = Some(work())).bytes_current;
    result.unwrap()
}

impl Hall {
    fn new(sessions: u32) -> Self {
        let schema = schema();
        let config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        let identity = RoomIdentity { id: RoomId(1), name: "rest".to_owned(), seed: 7 };
        let mut hall = Self {
            room: Room::new(identity, config, Box::new(Echo(schema.clone())), Micros::ZERO),
            seats: Vec::with_capacity(sessions as usize),
            now: Micros::ZERO,
            server_bytes: 0,
            client_bytes: 0,
            delivered: 0,
            answered: 0,
        };
        for number in 0..sessions {
            let token = ResumeToken([number as u8; 16]);
            let join = Join { token, ..Join::new(Role::Player, StreamKind::Ordered) };
            let peer = counted(&mut hall.server_bytes, || hall.room.join(Micros::ZERO, join).unwrap());
            let client = counted(&mut hall.client_bytes, || {
                let reconnect = Some(Reconnect::default());
                let config = ClientConfig { reconnect, ..ClientConfig::new("rest") };
                let mut client = Client::new(config, schema.clone(), Micros::ZERO);
                assert!(client.poll_transmit(Micros::ZERO, &mut Vec::with_capacity(1024)), "hello");
                client
            });
            hall.seats.push((client, peer));
        }
        hall
    }

    fn run(&mut self, looks: u32) {
        // What goes from one end to the other is neither's.
        let mut wire = Vec::with_capacity(1 << 20);
        for _ in 0..looks {
            self.now = self.now + LOOK;
            let Self { room, seats, now, server_bytes, client_bytes, delivered, answered } = self;
            counted(server_bytes, || room.advance(*now));
            for (client, peer) in seats {
                wire.clear();
                let mut ends = Vec::with_capacity(64);
                counted(server_bytes, || {
                    room.poll_transmit(*now, *peer, |message| {
                        wire.extend_from_slice(message);
                        ends.push(wire.len());
                    });
                });
                let mut start = 0;
                for end in ends {
                    counted(client_bytes, || {
                        client.handle_message(*now, Bytes::copy_from_slice(&wire[start..end])).unwrap();
                    });
                    start = end;
                }
                counted(client_bytes, || play(client, *now, delivered, answered));
                wire.clear();
                while counted(client_bytes, || client.poll_transmit(*now, &mut wire)) {
                    counted(server_bytes, || {
                        room.handle_message(*now, *peer, Bytes::copy_from_slice(&wire)).unwrap();
                    });
                    wire.clear();
                }
            }
        }
    }

    /// All say as much as there is room for, in every class, and hear it back.
    fn talk(&mut self) {
        let Self { seats, now, client_bytes, .. } = self;
        for (client, _) in seats {
            counted(client_bytes, || {
                for number in 0..200 {
                    client.send(*now, SAY, 0, vec![7; 100]).unwrap();
                    if number < 60 {
                        client.send(*now, NEWEST, number, vec![7; 100]).unwrap();
                        client.send(*now, MOMENT, 0, vec![7; 100]).unwrap();
                        client.request(*now, ASK, &[7; 100], Micros::from_secs(5)).unwrap();
                    }
                }
            });
        }
    }

    fn lose(&mut self) {
        let Self { room, seats, now, server_bytes, client_bytes, .. } = self;
        for (client, peer) in seats {
            counted(server_bytes, || room.disconnect(*now, *peer));
            counted(client_bytes, || {
                client.handle_disconnect(*now, DisconnectReason::Lost);
                while client.poll_event(*now).is_some() {}
            });
        }
    }
}

fn play(client: &mut Client, now: Micros, delivered: &mut u32, answered: &mut u32) {
    while let Some(event) = client.poll_event(now) {
        *delivered += u32::from(matches!(event, Event::Sent(_, Outcome::Delivered)));
        *answered += u32::from(matches!(event, Event::Response(_, Ok(_))));
    }
    while let Some(tick) = client.due_input_tick(now) {
        client.push_input(now, tick, |_| {});
    }
}

/// What is held on either side for so many sessions at rest that have talked.
fn at_rest(sessions: u32) -> [i64; 2] {
    let mut hall = Hall::new(sessions);
    hall.run(100);
    hall.talk();
    hall.run(400);
    assert_eq!(hall.delivered, sessions * (200 + 60), "nothing is queued any more");
    assert_eq!(hall.answered, sessions * 60);
    hall.lose();
    hall.run_alone();
    [hall.server_bytes, hall.client_bytes]
}

impl Hall {
    /// The room goes on without them, well within their window.
    fn run_alone(&mut self) {
        for _ in 0..50 {
            self.now = self.now + LOOK;
            counted(&mut self.server_bytes, || self.room.advance(self.now));
        }
        assert_eq!(self.room.session_count(), self.seats.len());
    }
}

#[test]
fn a_session_at_rest_holds_little() {
    // What all rooms and clients share is there from the first on; what a room has whoever is in it is the same for few and for many.
    at_rest(1);
    let (few, many) = (11, 55);
    let (before, after) = (at_rest(few), at_rest(many));
    let each = [0, 1].map(|side| (after[side] - before[side]) / i64::from(many - few));
    let [server, client] = each;
    println!("bytes a session at rest: {server} on the server, {client} on its client");
    assert!((1_000..=BYTES_AT_REST_MAX).contains(&server), "{server}");
    assert!((1_000..=CLIENT_BYTES_MAX).contains(&client), "{client}");
}
