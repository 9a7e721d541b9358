//! A game whose snapshots are large, and that panics when it is told to.

use std::sync::Arc;

use tickwire_protocol::schema::{Field, FieldType, Kind};
use tickwire_protocol::{EntityId, FieldId, KindId, RowHead, Schema, Tables};
use tickwire_server::net::Game;
use tickwire_sim::{Random, Simulation, StepContext};

/// A thousand rows that all move: 30 KB a snapshot, when they are all sent whole.
struct Crowd(Arc<Schema>, Vec<EntityId>, i32);

const K: KindId = KindId(0);
const N: FieldId = FieldId(0);

pub fn crowd() -> Game {
    let fields = (0..8).map(|id| Field::new(FieldId(id), "n", FieldType::integer(0..=0xff_ffff)));
    let boom = Field::new(N, "boom", FieldType::boolean());
    let schema = Schema::builder("crowd").kind(Kind::new(K, "k", fields)).input([boom]).build().unwrap();
    Game::new(schema.clone(), move |_| Box::new(Crowd(schema.clone(), Vec::new(), 0)))
}

impl Simulation for Crowd {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.1 = (0..1000).map(|_| ctx.spawn(K)).collect();
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        assert!(!ctx.players().any(|(_, input)| input.boolean(N)), "boom");
        self.2 += 1;
    }

    fn save(&self, out: &mut Tables) {
        for id in &self.1 {
            let mut row = out.insert(K, RowHead::new(*id));
            for field in 0..8 {
                // Noise, so that LZ4 finds nothing in it.
                let noise = Random::from_seed(u64::from(id.pack()) << 32 | self.2 as u64).below(0xff_ffff);
                row.set_integer(FieldId(field), (noise >> field) as i32);
            }
        }
    }

    fn load(&mut self, _tables: &Tables) {}
}
