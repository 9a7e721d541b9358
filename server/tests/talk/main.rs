//! What a game and its clients say to each other beside state: rooms and clients in virtual time, over connections that a test cuts.

mod audience;
mod broadcast;
mod events;
mod outcomes;
mod permissions;
mod pressure;
mod rates;
mod requests;

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{FreshReason, Hello, Resume, ResumeToken, Role, StreamKind};
use tickwire_protocol::message::{MessageFrame, MessageLimits, MessageType};
use tickwire_protocol::schema::SchemaBuilder;
use tickwire_protocol::{Micros, PeerFault, PeerId, RoomId};
use tickwire_server::core::{Identity, Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::prelude::*;

pub(crate) const ACTOR: KindId = KindId(0);
const PLACE: FieldId = FieldId(0);
pub(crate) const HZ: u32 = 60;
const TICK: u64 = 1_000_000 / HZ as u64;
const WAY: u64 = 30_000;

/// What the game does in a step: the actors on its stage are its to spawn and to end.
pub(crate) type Script = fn(&mut Play, &mut StepContext<'_>);

/// A game that does what a test says.
pub(crate) struct Play {
    schema: Arc<Schema>,
    script: Script,
    pub(crate) actors: Vec<EntityId>,
    /// Those that are players' own: each stands one metre to the right of the one before.
    pub(crate) owned: Vec<(EntityId, PlayerId)>,
    /// What it keeps of each player.
    pub(crate) told: [u32; 2],
    notes: mpsc::Sender<String>,
}

impl Play {
    pub(crate) fn note(&self, note: impl Into<String>) {
        self.notes.send(note.into()).unwrap();
    }
}

impl Simulation for Play {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        (self.script)(self, ctx);
    }

    fn save(&self, out: &mut Tables) {
        for &id in &self.actors {
            out.insert(ACTOR, RowHead::new(id)).set_vec3(PLACE, Vec3::X);
        }
        for (at, &(id, player)) in self.owned.iter().enumerate() {
            let head = RowHead { owner: Some(player), ..RowHead::new(id) };
            out.insert(ACTOR, head).set_vec3(PLACE, Vec3::X * at as f32);
        }
    }

    fn load(&mut self, tables: &Tables) {
        let rows = || tables.rows(ACTOR).map(|(head, _)| (head.id, head.owner));
        self.actors = rows().filter(|(_, owner)| owner.is_none()).map(|(id, _)| id).collect();
        self.owned = rows().filter_map(|(id, owner)| Some((id, owner?))).collect();
    }
}

/// A schema with one kind, and these messages.
pub(crate) fn schema(messages: impl IntoIterator<Item = MessageType>) -> Arc<Schema> {
    let place = FieldType::position([0.0..=63.0, 0.0..=0.0, 0.0..=0.0], 1.0);
    let kind = Kind::new(ACTOR, "actor", [Field::new(PLACE, "place", place)]);
    messages.into_iter().fold(Schema::builder("play").kind(kind), SchemaBuilder::message).build().unwrap()
}

/// One client, and what is on its way.
pub(crate) struct Seat {
    pub(crate) client: Client,
    pub(crate) peer: Option<PeerId>,
    up: VecDeque<(u64, Bytes)>,
    down: VecDeque<(u64, Bytes)>,
    pub(crate) events: Vec<Event>,
    pub(crate) fault: Option<PeerFault>,
    /// It asks for no events.
    pub(crate) is_asleep: bool,
    /// What comes for it is left on its way: others speak in its name.
    pub(crate) is_modified: bool,
}

/// A room and its clients.
pub(crate) struct House {
    pub(crate) room: Room,
    pub(crate) seats: Vec<Seat>,
    /// Who connects.
    pub(crate) identity: Identity,
    notes: mpsc::Receiver<String>,
    schema: Arc<Schema>,
    now: u64,
    tokens: u8,
}

impl House {
    pub(crate) fn new(schema: Arc<Schema>, script: Script, seats: usize) -> Self {
        Self::with_limits(schema, script, seats, MessageLimits::default())
    }

    pub(crate) fn with_limits(
        schema: Arc<Schema>,
        script: Script,
        seats: usize,
        message_limits: MessageLimits,
    ) -> Self {
        let (noted, notes) = mpsc::channel();
        let play = Play {
            schema: schema.clone(),
            script,
            actors: Vec::new(),
            owned: Vec::new(),
            told: [0; 2],
            notes: noted,
        };
        let identity = RoomIdentity { id: RoomId(1), name: "house".into(), seed: 1 };
        let config = RoomConfig { message_limits, ..RoomConfig::new(TickRate::new(HZ).unwrap(), 20) };
        let now = 1_000_000;
        let room = Room::new(identity, config, Box::new(play), Micros(now));
        let mut house =
            Self { room, seats: Vec::new(), identity: Identity::default(), notes, schema, now, tokens: 0 };
        for _ in 0..seats {
            house.enter();
        }
        house
    }

    /// Another client.
    pub(crate) fn enter(&mut self) {
        let config = ClientConfig { reconnect: Some(Reconnect::default()), ..ClientConfig::new("test") };
        self.seats.push(Seat {
            client: Client::new(config, self.schema.clone(), Micros(self.now)),
            peer: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            events: Vec::new(),
            fault: None,
            is_asleep: false,
            is_modified: false,
        });
    }

    /// The connection of a client is lost, with all that is on it.
    pub(crate) fn cut(&mut self, seat: usize) {
        let now = Micros(self.now);
        let seat = &mut self.seats[seat];
        (seat.up, seat.down) = Default::default();
        if let Some(peer) = seat.peer.take() {
            self.room.disconnect(now, peer);
        }
        seat.client.handle_disconnect(now, DisconnectReason::Lost);
    }

    pub(crate) fn now(&self) -> Micros {
        Micros(self.now)
    }

    /// The server forgets who is away.
    pub(crate) fn end_sessions(&mut self) {
        self.now += 200_000_000;
        self.room.resume(Micros(self.now));
        self.room.advance(Micros(self.now));
        assert_eq!(self.room.session_count(), 0);
    }

    /// Something that this client never would say arrives in its name.
    pub(crate) fn smuggle(&mut self, seat: usize, message: Bytes) {
        self.seats[seat].up.push_front((self.now, message));
    }

    /// The messages that are on their way to a modified client.
    pub(crate) fn said_to(&mut self, seat: usize) -> Vec<MessageFrame> {
        let down = self.seats[seat].down.drain(..);
        let frames = down.flat_map(|(_, message)| frames(message)).map(Result::unwrap);
        let messages = frames.filter(|frame| frame.ty == FrameType::Message);
        messages.map(|frame| MessageFrame::decode(frame.payload, &self.schema).unwrap().1).collect()
    }

    /// What the script has noted since the last call.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.try_iter().collect()
    }

    pub(crate) fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += TICK;
        let now = self.now;
        for index in 0..self.seats.len() {
            while let Some(message) = arrived(&mut self.seats[index].up, now) {
                self.take_up(index, message);
            }
        }
        self.room.advance(Micros(now));
        for seat in &mut self.seats {
            if let Some(peer) = seat.peer {
                self.room.poll_transmit(Micros(now), peer, |message| {
                    seat.down.push_back((now + WAY, Bytes::copy_from_slice(message)));
                });
            }
            seat.step(now);
        }
    }

    /// A hello joins, all else goes to the room.
    fn take_up(&mut self, index: usize, message: Bytes) {
        let now = Micros(self.now);
        let seat = &mut self.seats[index];
        if let Some(peer) = seat.peer {
            if let Err(fault) = self.room.handle_message(now, peer, message) {
                seat.fault = Some(fault);
                seat.peer = None;
                let reason = DisconnectReason::Closed { code: fault.into(), reason: fault.to_string() };
                seat.client.handle_disconnect(now, reason);
            }
            return;
        }
        let Some(Ok(hello)) = frames(message).next() else { return };
        if hello.ty != FrameType::Hello {
            return;
        }
        let hello = Hello::decode(&hello.payload).unwrap();
        let resume = Resume::find(&hello.extensions).unwrap();
        self.tokens += 1;
        let join = Join {
            token: ResumeToken([self.tokens; 16]),
            resume,
            fresh: FreshReason::First,
            identity: self.identity.clone(),
            ..Join::new(Role::Player, StreamKind::Ordered)
        };
        seat.peer = Some(self.room.join(now, join).unwrap());
    }
}

fn arrived(link: &mut VecDeque<(u64, Bytes)>, now: u64) -> Option<Bytes> {
    let is_there = link.front().is_some_and(|(at, _)| *at <= now);
    if is_there { link.pop_front().map(|(_, message)| message) } else { None }
}

impl Seat {
    fn step(&mut self, now: u64) {
        let local = Micros(now);
        while !self.is_modified
            && let Some(message) = arrived(&mut self.down, now)
        {
            self.client.handle_message(local, message).unwrap();
        }
        self.client.poll_connect(local);
        while let Some(tick) = self.client.due_input_tick(local) {
            self.client.push_input(local, tick, |_| {});
        }
        let mut message = Vec::new();
        while self.client.poll_transmit(local, &mut message) {
            self.up.push_back((now + WAY, Bytes::from(core::mem::take(&mut message))));
        }
        if !self.is_asleep {
            self.events.extend(std::iter::from_fn(|| self.client.poll_event(local)));
        }
    }
}
