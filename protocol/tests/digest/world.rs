//! Bodies that fly, turn, bounce, rest, jump, come and go. All chance comes from one seed.

use std::sync::Arc;

use glam::{Quat, Vec3};
use tickwire_protocol::history::History;
use tickwire_protocol::limits::SLOT_REST_TICKS;
use tickwire_protocol::schema::{Field, FieldType, Kind, RotationLattice, Schema};
use tickwire_protocol::{
    CueId, EntityId, FieldId, KindId, PlayerId, RowHead, RowMut, Tables, Tick, TickRate,
};

const RATE: TickRate = match TickRate::new(60) {
    Some(rate) => rate,
    None => unreachable!(),
};
const BODIES: u16 = 72;
/// Ticks wrap on the way.
const FIRST_TICK: Tick = Tick(u32::MAX - 100);
const HALF_SIDE: f32 = 60.0;
const GRAVITY: f32 = 9.81;

const DRONE: KindId = KindId(0);
const WALKER: KindId = KindId(1);
const CRATE: KindId = KindId(2);
/// Of all kinds.
const POSITION: FieldId = FieldId(0);
/// Of drones and walkers.
const VELOCITY: FieldId = FieldId(1);
/// Of drones; of crates it is field 1.
const ROTATION: FieldId = FieldId(2);
const SPIN: FieldId = FieldId(3);
/// Of walkers.
const YAW: FieldId = FieldId(2);
const TURN: FieldId = FieldId(3);
/// Of drones and walkers.
const HEALTH: FieldId = FieldId(4);
const TARGET: FieldId = FieldId(5);
const CHARGE: FieldId = FieldId(6);
const PLAN: FieldId = FieldId(7);
const SECRET: FieldId = FieldId(8);
const IS_READY: FieldId = FieldId(9);

/// Who owns every eighth body.
const PLAYER: PlayerId = PlayerId(3);

/// A game with every type of field, every audience, send rates and thresholds.
fn schema() -> Arc<Schema> {
    let side = -100.0..=100.0;
    let all_axes = || FieldType::position([side.clone(), -1.0..=50.0, side.clone()], 0.01);
    let field = Field::new;
    let of_both = |steps: u8| {
        [
            field(HEALTH, "health", FieldType::integer(0..=100)),
            field(TARGET, "target", FieldType::entity()),
            field(CHARGE, "charge", FieldType::scalar(0.0..=1.0, 1.0 / f64::from(steps))).threshold(0.04),
            field(PLAN, "plan", FieldType::integer(-9..=9)).team_only(),
            field(SECRET, "secret", FieldType::integer(i32::MIN..=i32::MAX)).owner_only(),
            field(IS_READY, "is_ready", FieldType::boolean()).rate_hz(10),
        ]
    };
    let drone = [
        field(POSITION, "position", all_axes()),
        field(VELOCITY, "velocity", FieldType::velocity(POSITION, 40.0, 0.01)),
        field(ROTATION, "rotation", FieldType::rotation(11)),
        field(SPIN, "spin", FieldType::velocity(ROTATION, 12.0, 0.02)),
    ];
    let walker = [
        field(POSITION, "position", FieldType::position([side.clone(), side.clone()], 0.03)),
        field(VELOCITY, "velocity", FieldType::velocity(POSITION, 20.0, 0.1)),
        field(YAW, "yaw", FieldType::angle(12)),
        field(TURN, "turn", FieldType::velocity(YAW, 10.0, 0.05)),
    ];
    let lattice = RotationLattice::Full;
    let a_crate = [
        field(POSITION, "position", all_axes()),
        field(FieldId(1), "rotation", FieldType::Rotation { bits: 9, lattice }),
    ];
    Schema::builder("digest")
        .kind(Kind::new(DRONE, "drone", drone.into_iter().chain(of_both(100))))
        .kind(Kind::new(WALKER, "walker", walker.into_iter().chain(of_both(7))))
        .kind(Kind::new(CRATE, "crate", a_crate))
        .cue(Kind::cue(CueId(0), "bang", [field(FieldId(0), "where", all_axes())]))
        .build()
        .expect("the schema keeps every rule")
}

/// Numbers that look random (SplitMix64, Steele et al. 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as u32
    }

    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.next() % bound
    }

    /// From -`reach` to `reach`.
    fn within(&mut self, reach: f32) -> f32 {
        ((self.next() >> 8) as f32 / 8_388_608.0 - 1.0) * reach
    }

    fn vector(&mut self, reach: f32) -> Vec3 {
        Vec3::new(self.within(reach), self.within(reach), self.within(reach))
    }
}

pub(super) struct World {
    random: Random,
    bodies: Vec<Body>,
    tick: Tick,
    pub(super) history: History,
}

struct Body {
    id: EntityId,
    position: Vec3,
    velocity: Vec3,
    rotation: Quat,
    /// Radians a second.
    spin: Vec3,
    yaw: f32,
    health: i32,
    charge: f32,
    /// Ticks for which it stands still.
    rests: u32,
    /// Ticks until its slot has a new tenant.
    absent: u32,
    teleported: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let mut random = Random(7);
        let bodies = (0..BODIES).map(|index| Body::new(index * 3, &mut random)).collect();
        Self { bodies, random, tick: FIRST_TICK, history: History::new(schema(), RATE) }
    }

    /// Moves everything and publishes it.
    pub(super) fn step(&mut self) {
        let mut tables = Tables::new(self.history.schema().clone());
        for body in &mut self.bodies {
            body.step(&mut self.random);
            if body.absent == 0 {
                let kind = kind_of(body.id);
                let owner = Some(PLAYER).filter(|_| is_own(body.id));
                let head = RowHead { owner, ..RowHead::new(body.id).teams(1).teleported(body.teleported) };
                body.save(kind, &mut tables.insert(kind, head), self.tick);
            }
        }
        tables.finish();
        self.history.publish(self.tick, &tables);
        self.tick = self.tick + 1;
    }
}

pub(super) fn is_own(id: EntityId) -> bool {
    id.slot.is_multiple_of(8)
}

fn kind_of(id: EntityId) -> KindId {
    match id.slot % 4 {
        0 | 1 => DRONE,
        2 => WALKER,
        _ => CRATE,
    }
}

impl Body {
    fn new(slot: u16, random: &mut Random) -> Self {
        Self {
            id: EntityId { slot, generation: 1 },
            position: random.vector(HALF_SIDE).abs(),
            velocity: random.vector(10.0),
            rotation: Quat::from_scaled_axis(random.vector(2.0)),
            spin: random.vector(4.0),
            yaw: random.within(3.0),
            health: 100,
            charge: 0.0,
            rests: random.below(40),
            absent: 0,
            teleported: false,
        }
    }

    fn step(&mut self, random: &mut Random) {
        self.teleported = false;
        if self.absent > 0 {
            self.absent -= 1;
            return;
        }
        match random.below(2_000) {
            0 => {
                self.absent = SLOT_REST_TICKS;
                self.id.generation += 1;
            }
            1..=3 => {
                self.position = random.vector(HALF_SIDE).abs();
                self.teleported = true;
            }
            4..=20 => self.rests = 4 + random.below(200),
            21..=40 => self.health = (self.health - 7).rem_euclid(101),
            _ => {}
        }
        if self.rests > 0 {
            self.rests -= 1;
            if self.rests == 0 {
                (self.velocity, self.spin) = (random.vector(12.0), random.vector(6.0));
            }
            return;
        }
        self.fly(RATE.dt());
        self.charge = (self.charge + 0.003) % 1.0;
    }

    fn fly(&mut self, dt: f32) {
        self.velocity.y -= GRAVITY * dt;
        self.position += self.velocity * dt;
        if self.position.y < 0.0 {
            self.position.y = 0.0;
            self.velocity.y *= -0.6;
            self.velocity *= 0.98;
        }
        for axis in [0, 2] {
            if self.position[axis].abs() > HALF_SIDE {
                self.position[axis] = HALF_SIDE.copysign(self.position[axis]);
                self.velocity[axis] = -self.velocity[axis];
            }
        }
        self.rotation = (Quat::from_scaled_axis(self.spin * dt) * self.rotation).normalize();
        self.yaw += self.spin.y * dt;
    }

    fn save(&self, kind: KindId, row: &mut RowMut<'_>, tick: Tick) {
        let (velocity, spin) =
            if self.rests > 0 { (Vec3::ZERO, Vec3::ZERO) } else { (self.velocity, self.spin) };
        match kind {
            DRONE => {
                row.set_vec3(POSITION, self.position).set_vec3(VELOCITY, velocity);
                row.set_rotation(ROTATION, self.rotation).set_vec3(SPIN, spin);
            }
            WALKER => {
                let flat = |v: Vec3| Vec3::new(v.x, v.z, 0.0);
                row.set_vec3(POSITION, flat(self.position)).set_vec3(VELOCITY, flat(velocity));
                row.set_angle(YAW, self.yaw).set_scalar(TURN, spin.y);
            }
            _ => {
                row.set_vec3(POSITION, self.position).set_rotation(FieldId(1), self.rotation);
                return;
            }
        }
        let prey = EntityId { slot: self.id.slot / 2, generation: 1 };
        let awake = if self.rests > 0 { 0 } else { tick.0 };
        row.set_integer(HEALTH, self.health)
            .set_entity(TARGET, Some(prey).filter(|_| self.health < 60))
            .set_scalar(CHARGE, self.charge)
            .set_integer(PLAN, (awake / 50 % 19) as i32 - 9)
            .set_integer(SECRET, awake.wrapping_mul(0x9e37_79b9) as i32)
            .set_boolean(IS_READY, awake & 16 != 0);
    }
}
