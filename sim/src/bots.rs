//! Brains that play the [arena](crate::arena): what they see and the time are handed in, an input comes out.
//!
//! A brain wants one thing for 0.3 to 1.5 s, then another: to wander, to chase or flee from the nearest player, to
//! stand. It turns its head towards where it goes, sprints now and then, and jumps every 3 s on average. Every 0.5 to 1.5 s
//! it shoots at somebody in sight, on the run: at the middle of the body that is shown, off by a normal error.

use core::f32::consts::{PI, TAU};

use glam::{Vec2, Vec3, Vec3Swizzles};
use tickwire_protocol::{RowMut, RowRef};

use crate::arena::{
    EYE_HEIGHT, GRAVITY, HEIGHT, JUMP_SPEED, Level, PITCH_MAX, RADIUS, directions, input, player,
};
use crate::random::Random;

/// What a brain knows of a player.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BotBody {
    /// The middle of its feet, metres.
    pub position: Vec3,
    /// m/s.
    pub velocity: Vec3,
}

/// What a brain knows of the arena.
#[derive(Clone, Copy, Debug)]
pub struct BotView<'a> {
    /// Its own player, once there is one.
    pub own: Option<BotBody>,
    /// The other players, to go to or away from. Looked at only where [`Brain::decides_within`] says so.
    pub others: &'a [BotBody],
    /// The other players as they are shown, to shoot at. Looked at only where [`Brain::aims_within`] says so.
    pub targets: &'a [BotBody],
    /// What hides them; nothing if that is not known.
    pub level: Option<&'a Level>,
}

/// A player's mind.
#[derive(Clone, Debug)]
pub struct Brain {
    random: Random,
    /// How often it wants to wander, chase, flee and idle, relative to each other.
    weights: [f32; 4],
    /// Along the floor, one or nothing long.
    wish: Vec2,
    is_sprinting: bool,
    yaw: f32,
    pitch: f32,
    pitch_wish: f32,
    /// Seconds until it decides anew.
    decides_in: f32,
    /// Seconds until it shoots.
    fires_in: f32,
}

/// How long a wish lasts, seconds.
const WISH_SECONDS: core::ops::Range<f32> = 0.3..1.5;
/// From jump to jump, on average, seconds.
const JUMP_INTERVAL_SECONDS: f32 = 3.0;
/// How fast a head turns, radians a second; for a shot it does so at once.
const TURN_SPEED: f32 = 8.0;
/// From shot to shot, seconds.
const FIRE_SECONDS: core::ops::Range<f32> = 0.5..1.5;
/// How long it waits if nobody is in sight, seconds.
const WAIT_SECONDS: core::ops::Range<f32> = 0.05..0.15;
/// Of how many it looks whether they are in sight, before it waits.
const AIM_TRIES: usize = 4;
/// Standard deviation of the aim along each axis, metres: it hits most of the time.
const AIM_ERROR: f32 = RADIUS / 2.0;

impl BotBody {
    /// The body that a row of [`PLAYER`](crate::arena::PLAYER) tells of.
    pub fn read(row: RowRef<'_>) -> Self {
        Self { position: row.vec3(player::POSITION), velocity: row.vec3(player::VELOCITY) }
    }
}

impl Brain {
    /// A brain whose character and whims follow from the seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let weights = [6.0, 2.0, 1.0, 1.0].map(|weight| weight * random.range_f32(0.5..1.5));
        let yaw = random.range_f32(-PI..PI);
        Self {
            random,
            weights,
            wish: Vec2::ZERO,
            is_sprinting: false,
            yaw,
            pitch: 0.0,
            pitch_wish: 0.0,
            decides_in: 0.0,
            fires_in: FIRE_SECONDS.end,
        }
    }

    /// Whether a [`think`](Brain::think) with this `dt` looks at the others.
    pub fn decides_within(&self, dt: f32) -> bool {
        self.decides_in <= dt
    }

    /// Whether a [`think`](Brain::think) with this `dt` looks for somebody to shoot at.
    pub fn aims_within(&self, dt: f32) -> bool {
        self.fires_in <= dt
    }

    /// Thinks, `dt` seconds after the last time, and writes an input of the arena.
    pub fn think(&mut self, dt: f32, view: &BotView<'_>, out: &mut RowMut<'_>) {
        if self.decides_within(dt) {
            self.decides_in += self.random.range_f32(WISH_SECONDS);
            self.decide(view);
        }
        self.decides_in -= dt;
        self.look(dt);
        let fires = self.aims_within(dt) && self.aim(view);
        self.fires_in -= dt;
        let jumps = self.wants_to_jump(dt, view);
        let [right, ahead] = directions(self.yaw);
        out.set_vec2(input::MOVE, Vec2::new(self.wish.dot(right), self.wish.dot(ahead)))
            .set_angle(input::YAW, self.yaw)
            .set_scalar(input::PITCH, self.pitch)
            .set_boolean(input::JUMP, jumps)
            .set_boolean(input::SPRINT, self.is_sprinting)
            .set_boolean(input::FIRE, fires);
    }

    /// Turns to somebody in sight to shoot; or waits a little.
    fn aim(&mut self, view: &BotView<'_>) -> bool {
        let target = view.own.and_then(|own| self.choose_target(own.position + Vec3::Y * EYE_HEIGHT, view));
        self.fires_in += self.random.range_f32(if target.is_some() { FIRE_SECONDS } else { WAIT_SECONDS });
        let Some(way) = target else { return false };
        self.yaw = yaw_towards(way.xz());
        self.pitch = Vec2::new(way.xz().length(), way.y).to_angle().clamp(-PITCH_MAX, PITCH_MAX);
        true
    }

    /// From the eye to where to shoot.
    fn choose_target(&mut self, eye: Vec3, view: &BotView<'_>) -> Option<Vec3> {
        for _ in 0..AIM_TRIES {
            let target = view.targets.get(self.random.below(view.targets.len() as u32) as usize)?;
            let middle = target.position + Vec3::Y * (HEIGHT / 2.0);
            if view.level.is_none_or(|level| level.is_in_sight(eye, middle)) {
                let mut error = || AIM_ERROR * normal(&mut self.random);
                return Some(middle + Vec3::new(error(), error(), error()) - eye);
            }
        }
        None
    }

    fn decide(&mut self, view: &BotView<'_>) {
        let whim = self.random.range_f32(-PI..PI);
        let anywhere = Vec2::from_angle(whim);
        self.is_sprinting = self.random.chance(0.3);
        self.pitch_wish = self.random.range_f32(-0.4..0.4);
        let nearest = view.own.and_then(|own| to_nearest(own.position, view.others));
        self.wish = match (self.behavior(), nearest) {
            (Behavior::Idle, _) => Vec2::ZERO,
            (Behavior::Chase, Some(towards)) => towards,
            (Behavior::Flee, Some(towards)) => -towards,
            // One way in four leads to the middle, so that not everybody ends up in a corner.
            _ if self.random.chance(0.25) => {
                view.own.and_then(|own| (-own.position.xz()).try_normalize()).unwrap_or(anywhere)
            }
            _ => anywhere,
        };
    }

    fn behavior(&mut self) -> Behavior {
        let mut rest = self.random.unit_f32() * self.weights.iter().sum::<f32>();
        for (behavior, weight) in Behavior::ALL.into_iter().zip(self.weights) {
            if rest < weight {
                return behavior;
            }
            rest -= weight;
        }
        Behavior::Wander
    }

    fn look(&mut self, dt: f32) {
        if self.wish != Vec2::ZERO {
            let wished = yaw_towards(self.wish);
            let turn = within_half_a_turn(wished - self.yaw);
            self.yaw = within_half_a_turn(self.yaw + turn.clamp(-TURN_SPEED * dt, TURN_SPEED * dt));
        }
        let nod = self.pitch_wish - self.pitch;
        self.pitch = (self.pitch + nod.clamp(-dt, dt)).clamp(-PITCH_MAX, PITCH_MAX);
    }

    /// Only from the ground, so the time in the air counts towards the interval.
    fn wants_to_jump(&mut self, dt: f32, view: &BotView<'_>) -> bool {
        let seconds_on_ground = JUMP_INTERVAL_SECONDS - 2.0 * JUMP_SPEED / GRAVITY;
        let is_on_ground = view.own.is_some_and(|own| own.velocity.y == 0.0);
        is_on_ground && self.random.chance(dt / seconds_on_ground)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Behavior {
    Wander,
    Chase,
    Flee,
    Idle,
}

impl Behavior {
    const ALL: [Self; 4] = [Self::Wander, Self::Chase, Self::Flee, Self::Idle];
}

/// The same direction, from -π to π.
fn within_half_a_turn(radians: f32) -> f32 {
    (radians + PI).rem_euclid(TAU) - PI
}

/// The yaw of one who looks this way along the floor.
fn yaw_towards(way: Vec2) -> f32 {
    Vec2::new(-way.y, -way.x).to_angle()
}

/// Normal, with a standard deviation of 1 (as the sum of twelve even ones, so never beyond 6): the same on every target, as
/// logarithms are not.
fn normal(random: &mut Random) -> f32 {
    (0..12).map(|_| random.unit_f32()).sum::<f32>() - 6.0
}

/// The way along the floor to the nearest of the others.
fn to_nearest(position: Vec3, others: &[BotBody]) -> Option<Vec2> {
    let distance_squared = |other: &&BotBody| other.position.distance_squared(position);
    let nearest = others.iter().min_by(|a, b| distance_squared(a).total_cmp(&distance_squared(b)))?;
    (nearest.position - position).xz().try_normalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Block, Ray, schema};

    const DT: f32 = 1.0 / 60.0;
    const OWN: BotBody = BotBody { position: Vec3::ZERO, velocity: Vec3::ZERO };

    fn view(others: &[BotBody]) -> BotView<'_> {
        BotView { own: Some(OWN), others, targets: &[], level: None }
    }

    /// What the brain wants in the world, and whether it jumps.
    fn think(brain: &mut Brain, view: &BotView<'_>) -> (Vec2, bool) {
        let mut values = [0; 7];
        brain.think(DT, view, &mut RowMut::new(schema().input(), &mut values));
        let row = RowRef::new(schema().input(), &values);
        let (wished, [right, ahead]) = (row.vec2(input::MOVE), directions(row.angle(input::YAW)));
        (right * wished.x + ahead * wished.y, row.boolean(input::JUMP))
    }

    #[test]
    fn wishes_last_as_long_as_they_should_and_jumps_come_every_three_seconds() {
        let mut brain = Brain::new(1);
        let mut jumps = 0;
        let (mut last, mut changed_at) = (Vec2::ZERO, 0);
        let mut lengths = Vec::new();
        for tick in 0..36_000 {
            let (wish, is_jumping) = think(&mut brain, &view(&[]));
            jumps += i32::from(is_jumping);
            if wish.distance(last) > 0.05 {
                lengths.push((tick - changed_at) as f32 * DT);
                (last, changed_at) = (wish, tick);
            }
        }
        // It has no body here that would leave the ground: every 2.3 s instead of every 3 s.
        assert!((220..300).contains(&jumps), "{jumps} jumps in 600 s");
        let mean = lengths.iter().sum::<f32>() / lengths.len() as f32;
        assert!((0.85..1.1).contains(&mean), "{mean} s");
        assert!(lengths[1..].iter().all(|&length| length > 0.28));
    }

    #[test]
    fn some_chase_and_some_flee() {
        let other = BotBody { position: Vec3::new(5.0, 0.0, 0.0), velocity: Vec3::ZERO };
        let (mut to, mut from, mut idle) = (0, 0, 0);
        for seed in 0..1000 {
            let (wish, _) = think(&mut Brain::new(seed), &view(&[other]));
            to += i32::from(wish.distance(Vec2::X) < 0.02);
            from += i32::from(wish.distance(Vec2::NEG_X) < 0.02);
            idle += i32::from(wish == Vec2::ZERO);
        }
        assert!(
            (140..260).contains(&to) && (60..140).contains(&from) && (60..140).contains(&idle),
            "{to} {from} {idle}"
        );
    }

    #[test]
    fn shots_are_aimed_at_the_middle_of_somebody_in_sight_with_a_normal_error() {
        let target = BotBody { position: Vec3::new(0.0, 0.0, -10.0), velocity: Vec3::ZERO };
        let hidden = BotBody { position: Vec3::new(10.0, 0.0, 0.0), velocity: Vec3::ZERO };
        let block = Block { min: Vec2::new(4.0, -5.0), max: Vec2::new(5.0, 5.0), height: 4.0 };
        let level = Level::new(40, vec![block]);
        let targets = [target, hidden];
        let view = BotView { targets: &targets, level: Some(&level), ..view(&[]) };
        let mut brain = Brain::new(5);
        let mut misses = Vec::new();
        let mut values = [0; 7];
        for _ in 0..60 * 600 {
            brain.think(DT, &view, &mut RowMut::new(schema().input(), &mut values));
            let row = RowRef::new(schema().input(), &values);
            if row.boolean(input::FIRE) {
                let ray = Ray::of_look(Vec3::Y * EYE_HEIGHT, row.angle(input::YAW), row.scalar(input::PITCH));
                let miss = ray.at(10.0) - (target.position + Vec3::Y * (HEIGHT / 2.0));
                misses.push([miss.x, miss.y]);
            }
        }
        let count = misses.len() as f32;
        assert!((500.0..700.0).contains(&count), "{count} shots in 600 s");
        for axis in 0..2 {
            let mean = misses.iter().map(|miss| miss[axis]).sum::<f32>() / count;
            let deviation = (misses.iter().map(|miss| miss[axis] * miss[axis]).sum::<f32>() / count).sqrt();
            assert!(
                mean.abs() < 0.03 && (0.18..0.22).contains(&deviation),
                "axis {axis}: {mean} {deviation}"
            );
        }
    }
}
