//! Cubes on a floor, and a large one that rolls through them, gathers them and blasts them apart.
//!
//! Most of them lie still most of the time: what the scene teaches is rest, the start of motion and tumbling, without a
//! velocity to tell of it.

use rapier3d::prelude::{
    ColliderBuilder, PhysicsWorld, RigidBody, RigidBodyBuilder, RigidBodyHandle, Rotation, SharedShape,
    Vector,
};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
use tickwire_protocol::{Tables, TickRate};
use tickwire_sim::Random;
use tickwire_sim::prelude::{Quat, Vec3};

use crate::scene::{Scene, Stage, built, head, hz};

const CUBE: KindId = KindId(0);
const POSITION: FieldId = FieldId(0);
const ROTATION: FieldId = FieldId(1);
/// Whether the player has set it in motion, itself or through others, since it last lay still.
const INTERACTING: FieldId = FieldId(2);

const RATE: TickRate = hz(60);
const CUBES: usize = 900;
/// Half the side of a cube, metres.
const HALF: f32 = 0.2;
/// Half the side of the player's cube, metres.
const PLAYER_HALF: f32 = 0.6;
/// Cubes are laid out in as many cells to a side.
const CELLS: u32 = 30;
/// From cell to cell, metres.
const CELL: f32 = 1.7;
/// Walls stand at plus and minus this, metres.
const WALL: f32 = 31.0;

const PLAYER_ACCELERATION: f32 = 22.0;
const PLAYER_SPEED_MAX: f32 = 6.0;
/// How far the player's pull reaches, metres.
const PULL_REACH: f32 = 4.2;
const PULL_ACCELERATION: f32 = 30.0;
const BLAST_REACH: f32 = 2.8;
/// From one toss to the next, on average, seconds.
const TOSS_INTERVAL_SECONDS: f32 = 0.5;
/// What is as near as this to a tossed cube is tossed as well, metres.
const TOSS_REACH: f32 = 1.5;

/// Few and coarse columns: the position to 2 mm, the rotation to half a degree, and one bit.
pub(crate) fn scene() -> Scene {
    let side = -32.0..=32.0;
    let fields = [
        Field::new(POSITION, "position", FieldType::position([side.clone(), side, 0.0..=16.0], 1.0 / 512.0)),
        Field::new(ROTATION, "rotation", FieldType::rotation(9)),
        Field::new(INTERACTING, "interacting", FieldType::boolean()),
    ];
    Scene {
        name: "cubes",
        schema: built(Schema::builder("cubes").kind(Kind::new(CUBE, "cube", fields))),
        rate: RATE,
        frames_every: 6,
        frames_jitter: 0,
        start: |seed| Box::new(Cubes::new(seed)),
    }
}

struct Cubes {
    world: PhysicsWorld,
    /// The first is the player's.
    bodies: Vec<RigidBodyHandle>,
    is_interacting: Vec<bool>,
    random: Random,
    mood: Mood,
    /// Along the floor, one or nothing long.
    wish: Vector,
    /// Seconds until the player decides anew.
    decides_in: f32,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Mood {
    Rest,
    Roll,
    Gather,
}

impl Cubes {
    fn new(seed: u64) -> Self {
        let mut scene = Self {
            world: PhysicsWorld { gravity: Vector::Z * -9.81, ..PhysicsWorld::default() },
            bodies: Vec::new(),
            is_interacting: vec![false; CUBES + 1],
            random: Random::from_seed(seed),
            mood: Mood::Rest,
            wish: Vector::ZERO,
            decides_in: 0.5,
        };
        scene.build_room();
        scene.add_cube(PLAYER_HALF, Vector::new(0.0, 0.0, PLAYER_HALF + 1.0), 0.0);
        scene.lay_out();
        scene
    }

    fn build_room(&mut self) {
        for normal in [Vector::Z, Vector::X, -Vector::X, Vector::Y, -Vector::Y] {
            let place = if normal == Vector::Z { Vector::ZERO } else { normal * -WALL };
            let plane = ColliderBuilder::new(SharedShape::halfspace(normal)).friction(0.6).translation(place);
            self.world.insert_collider(plane, None);
        }
    }

    /// A cube in most cells, small towers in some.
    fn lay_out(&mut self) {
        let middle = (CELLS - 1) as f32 / 2.0;
        let (mut foot, mut height) = (Vector::ZERO, 0);
        for index in 0..CUBES as u32 {
            let mut draw = |most: f32| self.random.range_f32(-most..most);
            if index > 0 && height < 4 && draw(1.0) > 0.6 {
                height += 1;
            } else {
                let [x, y] = [index % CELLS, index / CELLS].map(|cell| (cell as f32 - middle) * CELL);
                (foot, height) = (Vector::new(x + draw(0.4), y + draw(0.4), HALF + 0.005), 0);
            }
            // Towers are crooked, but stand.
            let place = foot + Vector::new(draw(0.05), draw(0.05), height as f32 * 2.02 * HALF);
            let turn = draw(1.5);
            self.add_cube(HALF, place, if turn > 0.0 { turn } else { 0.0 });
        }
    }

    fn add_cube(&mut self, half: f32, place: Vector, turn: f32) {
        let body = RigidBodyBuilder::dynamic().translation(place).rotation(Vector::Z * turn);
        let shape = ColliderBuilder::cuboid(half, half, half).density(1.0).friction(0.6).restitution(0.1);
        let (body, _) = self.world.insert(body, shape.user_data(self.bodies.len() as u128 + 1));
        self.bodies.push(body);
    }

    fn player(&mut self) -> &mut RigidBody {
        &mut self.world.bodies[self.bodies[0]]
    }

    fn decide(&mut self) {
        self.decides_in += self.random.range_f32(0.4..2.0);
        let last = self.mood;
        self.mood = match self.random.below(20) {
            0 => Mood::Rest,
            1..=2 => Mood::Roll,
            3..=11 => Mood::Gather,
            _ => last,
        };
        if last == Mood::Gather && self.mood != Mood::Gather && self.random.chance(0.5) {
            self.blast();
        }
        // Towards some cube: that is where there is something to roll over.
        let cube = self.bodies[1 + self.random.below(CUBES as u32) as usize];
        let way = self.world.bodies[cube].translation() - self.player().translation();
        self.wish = match self.mood {
            Mood::Rest => Vector::ZERO,
            Mood::Roll | Mood::Gather => Vector::new(way.x, way.y, 0.0).normalize_or_zero(),
        };
    }

    fn drive_player(&mut self, dt: f32) {
        let wish = self.wish;
        if wish == Vector::ZERO {
            return;
        }
        let player = self.player();
        let pushed = player.linvel() + wish * (PLAYER_ACCELERATION * dt);
        let along_floor = Vector::new(pushed.x, pushed.y, 0.0).clamp_length_max(PLAYER_SPEED_MAX);
        // It rolls the way it is pushed: about the axis to its left.
        let spin = player.angvel() + Vector::Z.cross(wish) * (10.0 * dt);
        player.set_linvel(Vector::new(along_floor.x, along_floor.y, pushed.z), true);
        player.set_angvel(spin, true);
    }

    /// Changes the velocity of the cubes that are near the player, and the player's the other way: a heap that is
    /// held together must not fly off by itself.
    fn move_near(&mut self, reach: f32, mut change: impl FnMut(&mut Random, Vector) -> Vector) {
        let center = self.player().translation();
        let mut sum = Vector::ZERO;
        for &cube in &self.bodies[1..] {
            let body = &mut self.world.bodies[cube];
            let way = center - body.translation();
            if way.length_squared() < reach * reach {
                let change = change(&mut self.random, way.normalize_or_zero());
                body.set_linvel(body.linvel() + change, true);
                sum += change * body.mass();
            }
        }
        let player = self.player();
        player.apply_impulse(-sum, true);
    }

    fn blast(&mut self) {
        self.move_near(BLAST_REACH, |random, way| {
            way * -random.range_f32(1.0..5.0) + Vector::Z * random.range_f32(1.0..6.0)
        });
    }

    /// Throws a cube into the air, and its neighbours with it.
    fn toss(&mut self) {
        let first = self.bodies[1 + self.random.below(CUBES as u32) as usize];
        let center = self.world.bodies[first].translation();
        for &cube in &self.bodies[1..] {
            let body = &mut self.world.bodies[cube];
            if body.translation().distance_squared(center) < TOSS_REACH * TOSS_REACH {
                let mut draw = |most: f32| self.random.range_f32(-most..most);
                let push = Vector::new(draw(2.0), draw(2.0), 5.0 + draw(4.0));
                body.set_linvel(push, true);
                body.set_angvel(Vector::new(draw(9.0), draw(9.0), draw(9.0)), true);
            }
        }
    }

    /// Whoever touches one that interacts does so as well, until it lies still.
    fn spread_interaction(&mut self) {
        for (is_interacting, &body) in self.is_interacting.iter_mut().zip(&self.bodies) {
            *is_interacting &= !self.world.bodies[body].is_sleeping();
        }
        self.is_interacting[0] = true;
        for pair in self.world.narrow_phase.contact_pairs().filter(|pair| pair.has_any_active_contact()) {
            let [a, b] =
                [pair.collider1, pair.collider2].map(|it| self.world.colliders[it].user_data as usize);
            // Floor and walls have no number.
            if a > 0 && b > 0 && self.is_interacting[a - 1] != self.is_interacting[b - 1] {
                self.is_interacting[a - 1] = true;
                self.is_interacting[b - 1] = true;
            }
        }
    }
}

impl Stage for Cubes {
    fn step(&mut self) {
        let dt = RATE.dt();
        self.decides_in -= dt;
        if self.decides_in <= 0.0 {
            self.decide();
        }
        self.drive_player(dt);
        if self.mood == Mood::Gather {
            self.move_near(PULL_REACH, |_, way| way * (PULL_ACCELERATION * dt));
        }
        if self.random.chance(dt / TOSS_INTERVAL_SECONDS) {
            self.toss();
        }
        self.world.step();
        self.spread_interaction();
    }

    fn save(&self, out: &mut Tables) {
        for (index, &body) in self.bodies.iter().enumerate() {
            let body = &self.world.bodies[body];
            out.insert(CUBE, head(index))
                .set_vec3(POSITION, vec3(body.translation()))
                .set_rotation(ROTATION, quat(*body.rotation()))
                .set_boolean(INTERACTING, self.is_interacting[index]);
        }
    }
}

/// The physics engine's vector as the protocol's.
pub(crate) fn vec3(vector: Vector) -> Vec3 {
    Vec3::from_array(vector.to_array())
}

/// The physics engine's rotation as the protocol's.
pub(crate) fn quat(rotation: Rotation) -> Quat {
    Quat::from_array(rotation.to_array())
}
