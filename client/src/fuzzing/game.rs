//! A game for the fuzzed client to predict with: it takes any row that a schema allows, spawns, ends and emits.

use std::sync::Arc;

use tickwire_protocol::schema::FieldId;
use tickwire_protocol::{CueId, KindId, RowHead, RowMut, Schema, Tables};
use tickwire_sim::{Simulation, StepContext};

/// The one kind that the fuzzed schema has.
const BODY: KindId = KindId(0);
/// Of the input.
const MOVE: FieldId = FieldId(0);
/// Bodies of a player, at most: a game must not spawn without bound.
const BODIES_MAX: usize = 64;

pub(super) struct Game {
    schema: Arc<Schema>,
    bodies: Vec<(RowHead, Vec<i32>)>,
}

impl Game {
    pub(super) fn new(schema: Arc<Schema>) -> Self {
        Self { schema, bodies: Vec::new() }
    }
}

impl Simulation for Game {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn sanitize(&self, input: &mut RowMut<'_>) {
        let wish = input.as_ref().integer(MOVE);
        input.set_integer(MOVE, wish.min(7));
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let mut thrown = Vec::new();
        for (head, values) in &mut self.bodies {
            let Some(input) = head.owner.and_then(|owner| ctx.input(owner)) else { continue };
            let wish = input.integer(MOVE);
            assert!(wish <= 7, "an input that was not sanitized");
            values[0] = values[0].saturating_add(wish * 10);
            head.teleported = wish == 6;
            if wish == 5 {
                ctx.cue(CueId(0), Some(head.id)).set_integer(FieldId(0), 3);
                thrown.push((head.owner, values.clone()));
            }
        }
        if ctx.random_for_room().chance(0.1) {
            self.bodies.pop();
        }
        let room = BODIES_MAX.saturating_sub(self.bodies.len());
        for (owner, values) in thrown.into_iter().take(room) {
            let head = RowHead { owner, ..RowHead::new(ctx.spawn(BODY)) };
            self.bodies.push((head, values));
        }
    }

    fn save(&self, out: &mut Tables) {
        for (head, values) in &self.bodies {
            out.insert(BODY, *head).copy_from(values);
        }
    }

    fn load(&mut self, tables: &Tables) {
        self.bodies.clear();
        for (head, row) in tables.rows(BODY) {
            let mut values = vec![0; row.kind().column_count()];
            row.copy_to(&mut values);
            self.bodies.push((head.teleported(false), values));
        }
    }
}
