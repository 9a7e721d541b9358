//! Bodies in the engine's standard state, that stand, run, jump and tumble.

use std::sync::{Arc, LazyLock};

use glam::{Quat, Vec2, Vec3, Vec3Swizzles};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema, SchemaError};
use tickwire_protocol::{EntityId, RowHead, Tables, Tick};
use tickwire_sim::Random;
use tickwire_sim::arena::{GRAVITY, GROUND_ACCELERATION, HALF_SIDE_MAX, JUMP_SPEED, SPEED_MAX};

use crate::{SEED, TICK_RATE};

/// The one kind of entity.
pub const BODY: KindId = KindId(0);
/// Metres.
pub const POSITION: FieldId = FieldId(0);
/// Metres a second.
pub const VELOCITY: FieldId = FieldId(1);
/// Which way it is turned.
pub const ROTATION: FieldId = FieldId(2);

/// How long a body wants the same, seconds.
const WISH_SECONDS: core::ops::Range<f32> = 0.3..1.5;
/// From jump to jump, on average, seconds.
const JUMP_INTERVAL_SECONDS: f32 = 3.0;
/// How fast bodies want to go, m/s.
const WISH_SPEED: core::ops::Range<f32> = 2.0..SPEED_MAX;
/// How fast bodies turn, radians a second.
const SPIN_SPEED: core::ops::Range<f32> = 0.5..4.0;

/// What the snapshots of a scene are about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Load {
    /// Nothing moves, and the receiver knows it.
    Idle,
    /// Every other body moves, from the first on.
    HalfMoving,
    /// Every body moves.
    AllMoving,
    /// Every body moves, and the receiver knows nothing.
    Keyframe,
}

impl Load {
    /// All of them, the lightest first.
    pub const ALL: [Self; 4] = [Self::Idle, Self::HalfMoving, Self::AllMoving, Self::Keyframe];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::HalfMoving => "half_moving",
            Self::AllMoving => "all_moving",
            Self::Keyframe => "keyframe",
        }
    }

    /// How many rows a snapshot of so many bodies must carry: each that moves, or simply each.
    pub const fn rows(self, entities: usize) -> usize {
        match self {
            Self::Idle => 0,
            Self::HalfMoving => entities.div_ceil(2),
            Self::AllMoving | Self::Keyframe => entities,
        }
    }

    const fn moves(self, index: usize) -> bool {
        match self {
            Self::Idle => false,
            Self::HalfMoving => index.is_multiple_of(2),
            Self::AllMoving | Self::Keyframe => true,
        }
    }
}

/// The schema of the standard state; its bounds are the arena's.
pub fn schema() -> &'static Arc<Schema> {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| match declare() {
        Ok(schema) => schema,
        Err(error) => unreachable!("the scene's schema is sound: {error}"),
    });
    &SCHEMA
}

fn declare() -> Result<Arc<Schema>, SchemaError> {
    let side = -f64::from(HALF_SIDE_MAX)..=f64::from(HALF_SIDE_MAX);
    let position = FieldType::position([side.clone(), 0.0..=20.47, side], 0.01);
    let fields = [
        Field::new(POSITION, "position", position),
        Field::new(VELOCITY, "velocity", FieldType::velocity(POSITION, 10.23, 0.01)),
        Field::new(ROTATION, "rotation", FieldType::rotation(11)),
    ];
    Schema::builder("scene").kind(Kind::new(BODY, "body", fields)).build()
}

/// Bodies, and their tables after the last step.
#[derive(Clone, Debug)]
pub struct Scene {
    bodies: Vec<Body>,
    tables: Tables,
    tick: Tick,
}

#[derive(Clone, Debug)]
struct Body {
    id: EntityId,
    moves: bool,
    random: Random,
    position: Vec3,
    velocity: Vec3,
    rotation: Quat,
    /// Radians a second about each axis.
    spin: Vec3,
    /// The velocity along the floor that it wants.
    wish: Vec2,
    /// Seconds until it wants something else.
    decides_in: f32,
}

impl Scene {
    /// This many bodies, spread over the floor, and nothing stepped yet.
    pub fn new(entities: u16, load: Load) -> Self {
        let bodies = (0..entities).map(|slot| Body::new(slot, load)).collect();
        Self { bodies, tables: Tables::new(schema().clone()), tick: Tick(0) }
    }

    /// Moves everything by one tick.
    pub fn step(&mut self) {
        self.tick = self.tick + 1;
        self.tables.clear();
        for body in &mut self.bodies {
            if body.moves {
                body.advance(TICK_RATE.dt());
            }
            self.tables
                .insert(BODY, RowHead::new(body.id))
                .set_vec3(POSITION, body.position)
                .set_vec3(VELOCITY, body.velocity)
                .set_rotation(ROTATION, body.rotation);
        }
        self.tables.finish();
    }

    /// The name of the body in this slot.
    pub fn id(slot: u16) -> EntityId {
        EntityId { slot, generation: 1 }
    }

    /// The last step that was made.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// All rows after it.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }
}

impl Body {
    fn new(slot: u16, load: Load) -> Self {
        let mut random = Random::from_seed(SEED << 16 | u64::from(slot));
        let half_side = f32::from(HALF_SIDE_MAX);
        let mut place = || random.range_f32(-half_side..half_side);
        let position = Vec3::new(place(), 0.0, place());
        let rotation = Quat::from_scaled_axis(direction(&mut random) * random.range_f32(0.0..3.0));
        Self {
            id: Scene::id(slot),
            moves: load.moves(usize::from(slot)),
            random,
            position,
            velocity: Vec3::ZERO,
            rotation,
            spin: Vec3::ZERO,
            wish: Vec2::ZERO,
            decides_in: 0.0,
        }
    }

    fn advance(&mut self, dt: f32) {
        self.decides_in -= dt;
        if self.decides_in <= 0.0 {
            self.decides_in = self.random.range_f32(WISH_SECONDS);
            let speed = self.random.range_f32(WISH_SPEED);
            self.wish = direction(&mut self.random).xz().normalize_or(Vec2::X) * speed;
            self.spin = direction(&mut self.random) * self.random.range_f32(SPIN_SPEED);
        }
        let change = (self.wish - self.velocity.xz()).clamp_length_max(GROUND_ACCELERATION * dt);
        let is_grounded = self.position.y <= 0.0 && self.velocity.y <= 0.0;
        let jumps = is_grounded && self.random.chance(dt / JUMP_INTERVAL_SECONDS);
        let rise = match (is_grounded, jumps) {
            (_, true) => JUMP_SPEED,
            (true, false) => 0.0,
            (false, false) => self.velocity.y - GRAVITY * dt,
        };
        self.velocity = Vec3::new(self.velocity.x + change.x, rise, self.velocity.z + change.y);
        self.position += self.velocity * dt;
        self.position.y = self.position.y.max(0.0);
        self.stay_inside();
        self.rotation = (Quat::from_scaled_axis(self.spin * dt) * self.rotation).normalize();
    }

    /// Turns back at the walls.
    fn stay_inside(&mut self) {
        let half_side = f32::from(HALF_SIDE_MAX);
        if self.position.x.abs() > half_side {
            self.position.x = self.position.x.clamp(-half_side, half_side);
            self.velocity.x = -self.velocity.x;
            self.wish.x = -self.wish.x;
        }
        if self.position.z.abs() > half_side {
            self.position.z = self.position.z.clamp(-half_side, half_side);
            self.velocity.z = -self.velocity.z;
            self.wish.y = -self.wish.y;
        }
    }
}

/// Somewhere, 1 long.
fn direction(random: &mut Random) -> Vec3 {
    let mut axis = || random.range_f32(-1.0..1.0);
    Vec3::new(axis(), axis(), axis()).normalize_or(Vec3::X)
}

#[cfg(test)]
mod tests {
    use tickwire_sim::world::digest;

    use super::*;

    fn play(load: Load, ticks: u32) -> Scene {
        let mut scene = Scene::new(40, load);
        (0..ticks).for_each(|_| scene.step());
        scene
    }

    #[test]
    fn a_scene_is_the_same_every_time() {
        assert_eq!(digest(play(Load::AllMoving, 300).tables()), digest(play(Load::AllMoving, 300).tables()));
    }

    #[test]
    fn those_that_move_do_so_plausibly_and_the_others_stand() {
        let kind = schema().kind(BODY);
        let (early, late) = (play(Load::HalfMoving, 100), play(Load::HalfMoving, 200));
        let rows = |scene: &Scene| {
            let row = |row| {
                let row = scene.tables().table(BODY).row(kind, row);
                (row.vec3(POSITION), row.vec3(VELOCITY), row.rotation(ROTATION))
            };
            (0..40).map(row).collect::<Vec<_>>()
        };
        let mut heights = Vec::new();
        for (index, (before, after)) in rows(&early).into_iter().zip(rows(&late)).enumerate() {
            assert_eq!(before == after, index % 2 == 1, "body {index}");
            assert!(after.1.xz().length() <= SPEED_MAX + 0.01, "{}", after.1);
            heights.push(after.0.y);
        }
        assert!(heights.iter().any(|&height| height > 0.1) && heights.iter().all(|&height| height < 2.0));
    }
}
