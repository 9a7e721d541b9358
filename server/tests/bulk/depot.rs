//! A game that moves bodies about, and takes and gives what a test says.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tickwire_protocol::bulk::{BulkError, BulkEvent, BulkId};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId};
use tickwire_protocol::{EntityId, PlayerId, RowHead, Schema, Tables};
use tickwire_sim::{Audience, Simulation, StepContext};

const BODY: KindId = KindId(0);
const PLACE: FieldId = FieldId(0);
const SAY: MessageTypeId = MessageTypeId(0);
pub(crate) const SHOUT: MessageTypeId = MessageTypeId(1);

/// What a test and the game say to each other.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// What to offer to every player that is there.
    pub(crate) to_offer: Option<Bytes>,
    pub(crate) offered: Vec<(PlayerId, Result<BulkId, BulkError>)>,
    /// Whether to accept what players offer.
    pub(crate) accepts: bool,
    /// How many bytes to say to all, and at each how-many-eth step.
    pub(crate) to_say: Option<(usize, u32)>,
    /// Bytes of what players have said.
    pub(crate) heard: usize,
    /// What the game was told, but progress.
    pub(crate) told: Vec<(PlayerId, BulkEvent)>,
    /// Of progress, the newest.
    pub(crate) progress: u32,
    /// Who left in the step in which the newest was told.
    pub(crate) left: Vec<PlayerId>,
}

pub(crate) struct Depot {
    bodies: Vec<(EntityId, Option<PlayerId>)>,
    count: usize,
    tick: u32,
    desk: Arc<Mutex<Desk>>,
}

pub(crate) fn schema() -> Arc<Schema> {
    let place = Field::new(PLACE, "place", FieldType::position([-500.0..=500.0, -500.0..=500.0], 0.01));
    let input = Field::new(FieldId(0), "move", FieldType::integer(0..=9));
    let say = MessageType::new(SAY, "say", Direction::ToClient, MessageClass::Reliable, 48 * 1024);
    let shout = MessageType::new(SHOUT, "shout", Direction::ToServer, MessageClass::Reliable, 3 * 1024);
    let kind = Kind::new(BODY, "body", [place]);
    Schema::builder("depot").kind(kind).input([input]).message(say).message(shout).build().unwrap()
}

impl Depot {
    pub(crate) fn new(count: usize, desk: Arc<Mutex<Desk>>) -> Self {
        Self { bodies: Vec::new(), count, tick: 0, desk }
    }
}

impl Simulation for Depot {
    fn schema(&self) -> &Arc<Schema> {
        static SCHEMA: std::sync::LazyLock<Arc<Schema>> = std::sync::LazyLock::new(schema);
        &SCHEMA
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.bodies = (0..self.count).map(|_| (ctx.spawn(BODY), None)).collect();
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.tick = ctx.tick().0;
        self.bodies.retain(|(_, player)| player.is_none_or(|player| !ctx.left().contains(&player)));
        for &player in ctx.joined() {
            self.bodies.push((ctx.spawn(BODY), Some(player)));
        }
        let mut desk = self.desk.lock().unwrap();
        while let Some((_, message)) = ctx.poll_message() {
            desk.heard += message.body.len();
        }
        while let Some((player, event)) = ctx.poll_bulk() {
            match event {
                BulkEvent::Offered { id, .. } if desk.accepts => ctx.accept_bulk(player, id).unwrap(),
                BulkEvent::Offered { id, .. } => ctx.cancel_bulk(player, id).unwrap(),
                BulkEvent::Receiving { bytes, .. } | BulkEvent::Sending { bytes, .. } => {
                    desk.progress = bytes;
                }
                _ => {
                    desk.left = ctx.left().to_vec();
                    desk.told.push((player, event));
                }
            }
        }
        if let Some((bytes, _)) = desk.to_say.filter(|(_, every)| self.tick.is_multiple_of(*every)) {
            // Who is full is told so: what the link does not take is not said.
            let _ = ctx.send(Audience::Room, SAY, 0, super::cores::content(bytes));
        }
        let players: Vec<_> = ctx.players().map(|(player, _)| player).collect();
        if !players.is_empty()
            && let Some(content) = desk.to_offer.take()
        {
            for player in players {
                let offered = ctx.offer_bulk(player, 3, &b"a map"[..], content.clone());
                desk.offered.push((player, offered));
            }
        }
    }

    fn save(&self, out: &mut Tables) {
        for &(id, owner) in &self.bodies {
            let mut row = out.insert(BODY, RowHead { owner, ..RowHead::new(id) });
            let angle = (self.tick * (2 + u32::from(id.slot) % 5)) as f32 / 200.0 + f32::from(id.slot);
            let radius = 100.0 + f32::from(id.slot);
            row.set_vec2(PLACE, glam::Vec2::from_angle(angle) * radius);
        }
    }

    fn load(&mut self, _: &Tables) {}
}
