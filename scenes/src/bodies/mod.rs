//! Cars that play football in a closed arena: rigid bodies that drive, boost, jump, turn in the air and bounce.
//!
//! The world is the same in every variant; what differs is what is told of it, and how finely.
//!
//! | file | what it decides |
//! |---|---|
//! | `pitch` | floor, walls, ceiling and the slopes between them |
//! | `car` | what a car does with its controls |
//! | `driver` | what a bot does with a car |

mod car;
mod driver;
mod pitch;

use rapier3d::prelude::{
    ColliderBuilder, ColliderHandle, PhysicsWorld, RigidBody, RigidBodyBuilder, RigidBodyHandle, Rotation,
    Vector,
};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
use tickwire_protocol::{Tables, TickRate};
use tickwire_sim::Random;

use self::car::Car;
use self::driver::{Driver, View};
use crate::cubes::{quat, vec3};
use crate::scene::{Scene, Stage, built, head, hz};

const BODY: KindId = KindId(0);
const POSITION: FieldId = FieldId(0);
const VELOCITY: FieldId = FieldId(1);
const ROTATION: FieldId = FieldId(2);
const ANGULAR_VELOCITY: FieldId = FieldId(3);

const RATE: TickRate = hz(120);
const CARS: usize = 8;
const GRAVITY: f32 = 6.5;
const BALL_RADIUS: f32 = 0.93;
const BALL_SPEED_MAX: f32 = 59.0;
const SPIN_MAX: f32 = 5.9;
/// Cars wait for as long at the start of a round, seconds.
const COUNTDOWN_SECONDS: f32 = 2.5;
/// A round without a goal ends after as long, seconds.
const ROUND_SECONDS: f32 = 40.0;
/// Who drives into another faster than this sends it home, m/s.
const WRECK_SPEED_MIN: f32 = 21.0;
/// How much of a hit's speed the ball gets on top of what physics gives it.
const KICK: f32 = 0.35;

/// What is told of a body, and in which steps.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    /// Units of length in a metre.
    units_per_metre: f32,
    /// The step of positions and of velocities.
    step: f64,
    angular_step: f64,
    rotation_bits: u8,
    tells_spin: bool,
    start: fn(seed: u64) -> Box<dyn Stage>,
}

const METRES: Variant = Variant {
    name: "bodies",
    units_per_metre: 1.0,
    step: 0.01,
    angular_step: 0.01,
    rotation_bits: 11,
    tells_spin: true,
    start: |seed| Box::new(Football::new(METRES, seed)),
};

/// In centimetres, and so finely that hardly a column ever stands still.
const FINE: Variant = Variant {
    name: "bodies_fine",
    units_per_metre: 100.0,
    step: 0.01,
    angular_step: 0.0001,
    rotation_bits: 18,
    tells_spin: true,
    start: |seed| Box::new(Football::new(FINE, seed)),
};

const SPINLESS: Variant = Variant {
    name: "bodies_spinless",
    tells_spin: false,
    start: |seed| Box::new(Football::new(SPINLESS, seed)),
    ..METRES
};

pub(crate) fn scenes() -> [Scene; 3] {
    [METRES, FINE, SPINLESS].map(|variant| Scene {
        name: variant.name,
        schema: variant.schema(),
        rate: RATE,
        frames_every: 5,
        frames_jitter: 1,
        start: variant.start,
    })
}

impl Variant {
    fn schema(&self) -> std::sync::Arc<Schema> {
        let most = 60.0 * f64::from(self.units_per_metre);
        let axes = [-most..=most, -most..=most, -most..=most];
        let mut fields = vec![
            Field::new(POSITION, "position", FieldType::position(axes, self.step)),
            Field::new(VELOCITY, "velocity", FieldType::velocity(POSITION, most, self.step)),
            Field::new(ROTATION, "rotation", FieldType::rotation(self.rotation_bits)),
        ];
        if self.tells_spin {
            let spin = FieldType::velocity(ROTATION, 6.0, self.angular_step);
            fields.push(Field::new(ANGULAR_VELOCITY, "angular_velocity", spin));
        }
        built(Schema::builder(self.name).kind(Kind::new(BODY, "body", fields)))
    }
}

struct Football {
    variant: Variant,
    world: PhysicsWorld,
    ball: Thing,
    cars: Vec<Car>,
    drivers: Vec<Driver>,
    random: Random,
    /// Seconds until the cars may move; from then on, how long they have, negative.
    countdown: f32,
}

/// A body with its shape.
#[derive(Clone, Copy)]
struct Thing {
    body: RigidBodyHandle,
    collider: ColliderHandle,
    has_teleported: bool,
}

impl Football {
    fn new(variant: Variant, seed: u64) -> Self {
        let mut world = PhysicsWorld { gravity: Vector::Z * -GRAVITY, ..PhysicsWorld::default() };
        world.integration_parameters.dt = RATE.dt();
        pitch::build(&mut world);
        let body = RigidBodyBuilder::dynamic().linear_damping(0.03).can_sleep(false);
        let shape = ColliderBuilder::ball(BALL_RADIUS).mass(1.0 / 6.0).restitution(0.6).friction(0.35);
        let ball = Thing::insert(&mut world, body, shape);
        let cars =
            (0..CARS).map(|_| Car::new(Thing::insert(&mut world, Car::body(), Car::shape()))).collect();
        let mut random = Random::from_seed(seed);
        let drivers = (0..CARS).map(|index| Driver::new(random.next_u64(), index % 2)).collect();
        let mut football = Self { variant, world, ball, cars, drivers, random, countdown: 0.0 };
        football.kick_off();
        football
    }

    /// Everything to its place; each car on its own half, facing the ball.
    fn kick_off(&mut self) {
        self.countdown = COUNTDOWN_SECONDS;
        self.ball.place(&mut self.world, Vector::Z * BALL_RADIUS, Rotation::IDENTITY);
        for index in 0..CARS {
            let side = driver::home_side(index % 2);
            let x = [-20.0, 20.0, -2.5, 2.5][index / 2];
            let place = Vector::new(x * side, side * if index < 4 { 25.6 } else { 38.4 }, car::REST_HEIGHT);
            self.put_car(index, place);
        }
    }

    fn put_car(&mut self, index: usize, place: Vector) {
        let ahead = Vector::new(-place.x, -place.y, 0.0).normalize_or_zero();
        self.cars[index].thing.place(&mut self.world, place, facing(ahead));
    }

    fn drive(&mut self, dt: f32) {
        let ball = self.body(self.ball);
        let (ball_place, ball_velocity) = (ball.translation(), ball.linvel());
        for (car, driver) in self.cars.iter_mut().zip(&mut self.drivers) {
            let body = &mut self.world.bodies[car.thing.body];
            let is_grounded = car::is_grounded(body);
            let view = View { body, is_grounded, ball: ball_place, ball_velocity };
            let controls = driver.think(dt, &view);
            car.drive(body, if self.countdown > 0.0 { car::Controls::default() } else { controls }, dt);
        }
    }

    /// What a hit does beyond physics: the ball flies on, a slower car is gone.
    fn hit(&mut self, velocities: &[Vector]) {
        for index in 0..CARS {
            let car = self.cars[index].thing;
            let is_touching = self.touch(car, self.ball);
            if is_touching && !self.cars[index].touches_ball {
                let [place, ball_place] = [car, self.ball].map(|thing| self.body(thing).translation());
                let mut way = ball_place - place;
                way.z *= 0.35;
                let speed = (velocities[index] - self.body(self.ball).linvel()).length().min(30.0);
                let ball = &mut self.world.bodies[self.ball.body];
                ball.set_linvel(ball.linvel() + way.normalize_or_zero() * (speed * KICK), true);
            }
            self.cars[index].touches_ball = is_touching;
            for other in 0..CARS {
                let is_faster = velocities[index].length() > velocities[other].length();
                let is_wreck = is_faster && velocities[index].length() > WRECK_SPEED_MIN;
                if is_wreck && self.touch(car, self.cars[other].thing) {
                    let side = driver::home_side(other % 2);
                    let x = self.random.range_f32(-25.0..25.0);
                    self.put_car(other, Vector::new(x, side * 44.0, car::REST_HEIGHT));
                }
            }
        }
    }

    fn touch(&self, a: Thing, b: Thing) -> bool {
        let pair = self.world.narrow_phase.contact_pair(a.collider, b.collider);
        pair.is_some_and(rapier3d::prelude::ContactPair::has_any_active_contact)
    }

    fn body(&self, thing: Thing) -> &RigidBody {
        &self.world.bodies[thing.body]
    }

    fn things(&self) -> impl Iterator<Item = Thing> {
        core::iter::once(self.ball).chain(self.cars.iter().map(|car| car.thing))
    }
}

impl Stage for Football {
    fn step(&mut self) {
        let dt = RATE.dt();
        self.ball.has_teleported = false;
        self.cars.iter_mut().for_each(|car| car.thing.has_teleported = false);
        self.drive(dt);
        let velocities: Vec<Vector> = self.cars.iter().map(|car| self.body(car.thing).linvel()).collect();
        self.world.step();
        self.hit(&velocities);
        for thing in self.things().collect::<Vec<_>>() {
            let most = if thing.body == self.ball.body { BALL_SPEED_MAX } else { car::SPEED_MAX };
            limit(&mut self.world.bodies[thing.body], most);
        }
        self.countdown -= dt;
        let is_goal = pitch::is_goal(self.body(self.ball).translation(), BALL_RADIUS);
        if is_goal || self.countdown < -ROUND_SECONDS {
            self.kick_off();
        }
    }

    fn save(&self, out: &mut Tables) {
        let units = self.variant.units_per_metre;
        for (index, thing) in self.things().enumerate() {
            let body = self.body(thing);
            let mut row = out.insert(BODY, head(index).teleported(thing.has_teleported));
            row.set_vec3(POSITION, vec3(body.translation() * units))
                .set_vec3(VELOCITY, vec3(body.linvel() * units))
                .set_rotation(ROTATION, quat(*body.rotation()));
            if self.variant.tells_spin {
                row.set_vec3(ANGULAR_VELOCITY, vec3(body.angvel()));
            }
        }
    }
}

impl Thing {
    fn insert(world: &mut PhysicsWorld, body: RigidBodyBuilder, shape: ColliderBuilder) -> Self {
        let (body, collider) = world.insert(body, shape);
        Self { body, collider, has_teleported: false }
    }

    /// Puts it there, at rest.
    fn place(&mut self, world: &mut PhysicsWorld, place: Vector, rotation: Rotation) {
        let body = &mut world.bodies[self.body];
        body.set_translation(place, true);
        body.set_rotation(rotation, true);
        body.set_linvel(Vector::ZERO, true);
        body.set_angvel(Vector::ZERO, true);
        self.has_teleported = true;
    }
}

/// Upright, with the nose along `ahead`, which lies in the plane and is one long.
fn facing(ahead: Vector) -> Rotation {
    // Half angles by way of the half-way vector: no trigonometry.
    let halfway = Vector::new(ahead.x + 1.0, ahead.y, 0.0);
    match halfway.try_normalize() {
        Some(half) => Rotation::from_xyzw(0.0, 0.0, half.y, half.x),
        None => Rotation::from_xyzw(0.0, 0.0, 1.0, 0.0),
    }
}

fn limit(body: &mut RigidBody, speed_max: f32) {
    body.set_linvel(body.linvel().clamp_length_max(speed_max), true);
    body.set_angvel(body.angvel().clamp_length_max(SPIN_MAX), true);
}
