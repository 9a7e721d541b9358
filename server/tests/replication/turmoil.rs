//! A game in which everything changes at random.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::schema::{Field, FieldType, Kind};
use tickwire_protocol::{CueId, EntityId, FieldId, KindId, PlayerId, RowHead, Schema, Tables, Tick};
use tickwire_sim::{Simulation, StepContext};

pub(crate) const BODY: KindId = KindId(0);
pub(crate) const MARK: KindId = KindId(1);
pub(crate) const PLACE: FieldId = FieldId(0);
pub(crate) const SPEED: FieldId = FieldId(1);
pub(crate) const SLOW: FieldId = FieldId(2);
pub(crate) const ROUGH: FieldId = FieldId(3);
const INTENT: FieldId = FieldId(4);
const SECRET: FieldId = FieldId(5);
pub(crate) const BANG: CueId = CueId(0);

/// A game in which everything changes at random: who lives, who owns what, teams, motion, rest and jumps.
pub(crate) struct Turmoil {
    schema: Arc<Schema>,
    rows: Vec<Body>,
    /// From this tick on nothing changes any more.
    calm_from: Tick,
    is_calm: bool,
}

#[derive(Clone, Copy)]
struct Body {
    kind: KindId,
    id: EntityId,
    owner: Option<PlayerId>,
    teams: u32,
    teleported: bool,
    place: f32,
    speed: f32,
    counter: i32,
}

pub(crate) fn schema() -> Arc<Schema> {
    let f = |id, name: &str, ty| Field::new(id, name, ty);
    let place = || f(PLACE, "place", FieldType::position([-500.0..=500.0], 0.01));
    let body = [
        place(),
        f(SPEED, "speed", FieldType::velocity(PLACE, 30.0, 0.01)),
        f(SLOW, "slow", FieldType::integer(0..=1_000_000)).rate_hz(10),
        f(ROUGH, "rough", FieldType::integer(0..=1_000_000)).threshold(20.0),
        f(INTENT, "intent", FieldType::integer(0..=1_000_000)).team_only(),
        f(SECRET, "secret", FieldType::integer(0..=1_000_000)).owner_only(),
    ];
    Schema::builder("turmoil")
        .kind(Kind::new(BODY, "body", body))
        .kind(Kind::new(MARK, "mark", [place()]))
        .cue(Kind::cue(BANG, "bang", [f(PLACE, "number", FieldType::integer(0..=1_000_000))]))
        .input([f(PLACE, "press", FieldType::boolean())])
        .build()
        .unwrap()
}

impl Turmoil {
    pub(crate) fn boxed(calm_from: Tick) -> Box<dyn Simulation> {
        Box::new(Self { schema: schema(), rows: Vec::new(), calm_from, is_calm: false })
    }

    fn spawn(&mut self, ctx: &mut StepContext<'_>, owner: Option<PlayerId>) {
        let kind = if ctx.random_for_room().chance(0.3) { MARK } else { BODY };
        let id = ctx.spawn_with(kind, Bytes::from(format!("tick {}", ctx.tick())));
        let (teams, place) = (u32::from(id.slot) % 4, f32::from(id.slot));
        self.rows.push(Body { kind, id, owner, teams, teleported: false, place, speed: 1.0, counter: 0 });
    }
}

impl Simulation for Turmoil {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.is_calm |= ctx.tick() == self.calm_from;
        for &player in ctx.joined() {
            self.spawn(ctx, Some(player));
        }
        for body in &mut self.rows {
            body.teleported = false;
        }
        if self.is_calm {
            return;
        }
        let dt = ctx.dt();
        for body in &mut self.rows {
            let mut random = ctx.random(body.id);
            // Some stand for a second, then go on: rest and waking.
            let stands = (ctx.tick().0 / 60 + u32::from(body.id.slot)).is_multiple_of(3);
            if !stands {
                body.speed += random.range_f32(-1.0..1.0);
                body.place += body.speed * dt;
                body.counter += random.below(9) as i32;
            }
            body.teleported = random.chance(0.01);
            if body.teleported {
                body.place = random.range_f32(-400.0..400.0);
            }
            if random.chance(0.01) {
                body.teams = random.below(4);
            }
            if random.chance(0.05) {
                let counter = body.counter;
                ctx.cue(BANG, Some(body.id)).set_integer(PLACE, counter);
            }
        }
        let mut random = ctx.random_for_room();
        self.rows.retain(|body| body.owner.is_some() || !random.chance(0.004));
        if random.chance(0.3) && self.rows.len() < 40 {
            let player = ctx.players().next().map(|(player, _)| player);
            self.spawn(ctx, player.filter(|_| random.chance(0.2)));
        }
        if random.chance(0.05) {
            let players: Vec<_> = ctx.players().map(|(player, _)| player).collect();
            let index = random.below(self.rows.len().max(1) as u32) as usize;
            let owner = players.get(random.below(players.len() as u32 + 1) as usize).copied();
            if let Some(body) = self.rows.get_mut(index) {
                body.owner = owner;
            }
        }
    }

    fn save(&self, out: &mut Tables) {
        for body in &self.rows {
            let mut head = RowHead::new(body.id).teams(body.teams).teleported(body.teleported);
            head.owner = body.owner;
            let mut row = out.insert(body.kind, head);
            row.set_scalar(PLACE, body.place);
            if body.kind == BODY {
                row.set_scalar(SPEED, body.speed);
                for field in [SLOW, ROUGH, INTENT, SECRET] {
                    row.set_integer(field, body.counter);
                }
            }
        }
    }

    fn load(&mut self, tables: &Tables) {
        for body in &mut self.rows {
            let table = tables.table(body.kind);
            let row = table.row(self.schema.kind(body.kind), table.find(body.id).unwrap());
            body.place = row.scalar(PLACE);
            if body.kind == BODY {
                body.speed = row.scalar(SPEED);
            }
        }
    }
}
