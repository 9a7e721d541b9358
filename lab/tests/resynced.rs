//! A program goes on with an export that is older than what the one before has polled: its game is told exactly what it misses.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig, Event, SavedSession};
use tickwire_protocol::frame::frames;
use tickwire_protocol::handshake::{Resume, ResumeToken, Role, SessionOutcome, StreamKind};
use tickwire_protocol::message::{
    Direction, GameEvent, Lane, MessageClass, MessageType, MessageTypeId, Missed,
};
use tickwire_protocol::{Micros, PeerId, RoomId, TickRate};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity, admit};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

const COUNT: MessageTypeId = MessageTypeId(0);
const GOAL: MessageTypeId = MessageTypeId(1);

/// Counts aloud: a message with each tick, an event with every other.
struct Counter(Arc<Schema>);

fn schema() -> Arc<Schema> {
    let message = |id, name, class| MessageType::new(id, name, Direction::ToClient, class, 8);
    Schema::builder("counter")
        .message(message(COUNT, "count", MessageClass::Reliable))
        .message(message(GOAL, "goal", MessageClass::Event))
        .build()
        .unwrap()
}

impl Simulation for Counter {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let number = Bytes::copy_from_slice(&ctx.tick().0.to_le_bytes());
        ctx.send(Audience::Room, COUNT, 0, number.clone()).unwrap();
        if ctx.tick().0.is_multiple_of(2) {
            ctx.emit_event(Audience::Room, GOAL, &GameEvent::new(number)).unwrap();
        }
    }

    fn save(&self, _out: &mut Tables) {}

    fn load(&mut self, _tables: &Tables) {}
}

/// A room, and a client at the other end of a wire that takes no time.
struct Pair {
    schema: Arc<Schema>,
    room: Room,
    client: Client,
    peer: Option<PeerId>,
    now: Micros,
}

/// What a client was told: outcomes of welcomes, counts, and the numbers of events.
#[derive(Debug, Default, Eq, PartialEq)]
struct Told {
    outcomes: Vec<SessionOutcome>,
    counts: Vec<u32>,
    goals: Vec<u32>,
}

fn number(body: &[u8]) -> u32 {
    u32::from_le_bytes(body.try_into().unwrap())
}

impl Pair {
    fn new() -> Self {
        let (schema, now) = (schema(), Micros::ZERO);
        let identity = RoomIdentity { id: RoomId(1), name: "counter".to_owned(), seed: 1 };
        let config = RoomConfig::new(TickRate::new(20).unwrap(), 20);
        Self {
            room: Room::new(identity, config, Box::new(Counter(schema.clone())), now),
            client: Client::new(ClientConfig::new("test"), schema.clone(), now),
            schema,
            peer: None,
            now,
        }
    }

    /// One tick: both ends say what they have to say.
    fn step(&mut self) {
        self.now = self.room.poll_timeout();
        self.room.advance(self.now);
        for _ in 0..4 {
            self.client_writes();
            self.room_writes();
        }
    }

    fn client_writes(&mut self) {
        let mut out = Vec::new();
        while self.client.poll_transmit(self.now, &mut out) {
            let message = Bytes::from(core::mem::take(&mut out));
            match self.peer {
                Some(peer) => self.room.handle_message(self.now, peer, message).unwrap(),
                None => self.peer = Some(self.join(message)),
            }
        }
    }

    fn join(&mut self, message: Bytes) -> PeerId {
        let hello = frames(message).next().unwrap().unwrap();
        let hello = admit(&hello.payload, &self.schema, StreamKind::Ordered).unwrap().unwrap();
        let resume = Resume::find(&hello.extensions).unwrap();
        let token = ResumeToken([1 + u8::from(resume.is_some()); 16]);
        let join = Join { token, resume, ..Join::new(Role::Player, StreamKind::Ordered) };
        self.room.join(self.now, join).unwrap()
    }

    fn room_writes(&mut self) {
        let Some(peer) = self.peer else { return };
        let mut messages = Vec::new();
        self.room.poll_transmit(self.now, peer, |message| messages.push(Bytes::copy_from_slice(message)));
        for message in messages {
            self.client.handle_message(self.now, message).unwrap();
        }
    }

    fn poll(&mut self) -> Told {
        let mut told = Told::default();
        while let Some(event) = self.client.poll_event(self.now) {
            match event {
                Event::Connected { outcome, .. } => told.outcomes.push(outcome),
                Event::Message(message) => told.counts.push(number(&message.body)),
                Event::Game(goal) => told.goals.push(number(&goal.event.body)),
                _ => {}
            }
        }
        told
    }

    /// The program ends, and another goes on with an export.
    fn begin_anew(&mut self, saved: &[u8]) {
        let session = Some(SavedSession::decode(saved, &self.schema).unwrap());
        let config = ClientConfig { session, ..ClientConfig::new("test") };
        self.client = Client::new(config, self.schema.clone(), self.now);
        self.room.disconnect(self.now, self.peer.take().unwrap());
    }
}

#[test]
fn who_goes_on_with_an_older_export_is_told_exactly_what_is_missing() {
    let mut pair = Pair::new();
    (0..10).for_each(|_| pair.step());
    let known = pair.poll();
    let saved = pair.client.export_session(pair.now).unwrap();
    (0..7).for_each(|_| pair.step());
    let polled = pair.poll();
    pair.step();
    // This has come and was not polled: it comes again.
    pair.begin_anew(&saved);
    (0..3).for_each(|_| pair.step());
    let told = pair.poll();
    let missed = Missed::default()
        .with(Lane::Messages, polled.counts.len() as u64)
        .with(Lane::Events, polled.goals.len() as u64);
    assert_eq!(told.outcomes, [SessionOutcome::Resynced { missed }]);
    assert!(polled.counts.len() == 7 && polled.goals.len() >= 3, "{polled:?}");
    let all = [known.counts, polled.counts, told.counts].concat();
    assert!(all.is_sorted_by(|before, next| before + 1 == *next), "{all:?}");
    let all = [known.goals, polled.goals, told.goals].concat();
    assert!(all.is_sorted_by(|before, next| before + 2 == *next), "{all:?}");
    assert_eq!(all.last(), Some(&(pair.room.tick().0 & !1)));
}

#[test]
fn who_goes_on_with_the_last_export_misses_nothing() {
    let mut pair = Pair::new();
    (0..10).for_each(|_| pair.step());
    let known = pair.poll();
    let saved = pair.client.export_session(pair.now).unwrap();
    (0..7).for_each(|_| pair.step());
    pair.begin_anew(&saved);
    pair.step();
    let told = pair.poll();
    assert_eq!(told.outcomes, [SessionOutcome::Resumed]);
    let all = [known.counts, told.counts].concat();
    assert!(all.is_sorted_by(|before, next| before + 1 == *next), "{all:?}");
}
