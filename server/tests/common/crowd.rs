//! A game that says so much that no narrow socket takes it, and that panics when it is told to.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId};
use tickwire_protocol::schema::{Field, FieldType, Kind};
use tickwire_protocol::{EntityId, FieldId, KindId, RowHead, Schema, Tables};
use tickwire_server::net::Game;
use tickwire_sim::{Audience, Random, Simulation, StepContext};

/// A thousand rows that all move: 30 KB a snapshot, if they were all sent whole.
struct Crowd {
    schema: Arc<Schema>,
    bodies: Vec<EntityId>,
    tick: i32,
    /// Shouts 30 KB at each step: state keeps to what a link takes, what a game says for the moment does not.
    shouts: bool,
}

const K: KindId = KindId(0);
const BOOM: FieldId = FieldId(1);
const SHOUT: MessageTypeId = MessageTypeId(0);
const SHOUT_BYTES: u32 = 30_000;

pub fn crowd() -> Game {
    game(false)
}

pub fn shouting_crowd() -> Game {
    game(true)
}

fn game(shouts: bool) -> Game {
    let fields = (0..8).map(|id| Field::new(FieldId(id), "n", FieldType::integer(0..=0xff_ffff)));
    // Who plays turns; who means harm says the other.
    let inputs =
        [(FieldId(0), "turn"), (BOOM, "boom")].map(|(id, name)| Field::new(id, name, FieldType::boolean()));
    let shout = MessageType::new(SHOUT, "shout", Direction::ToClient, MessageClass::Unreliable, SHOUT_BYTES);
    let schema = Schema::builder("crowd").kind(Kind::new(K, "k", fields)).input(inputs).message(shout);
    let schema = schema.build().unwrap();
    Game::new(schema.clone(), move |_| {
        Box::new(Crowd { schema: schema.clone(), bodies: Vec::new(), tick: 0, shouts })
    })
}

impl Simulation for Crowd {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.bodies = (0..1000).map(|_| ctx.spawn(K)).collect();
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        assert!(!ctx.players().any(|(_, input)| input.boolean(BOOM)), "boom");
        self.tick += 1;
        if self.shouts {
            // Nothing in it repeats: it is to be as large on its way.
            let noise = (0..SHOUT_BYTES)
                .map(|place| (place.wrapping_mul(place).wrapping_mul(2_654_435_761) >> 13) as u8);
            let shout = noise.collect::<Bytes>();
            ctx.send(Audience::Room, SHOUT, 0, shout).unwrap();
        }
    }

    fn save(&self, out: &mut Tables) {
        for id in &self.bodies {
            let mut row = out.insert(K, RowHead::new(*id));
            for field in 0..8 {
                // Noise, so that LZ4 finds nothing in it.
                let noise = Random::from_seed(u64::from(id.pack()) << 32 | self.tick as u64).below(0xff_ffff);
                row.set_integer(FieldId(field), (noise >> field) as i32);
            }
        }
    }

    fn load(&mut self, _tables: &Tables) {}
}
