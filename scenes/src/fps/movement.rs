//! Running, jumping and falling as in the shooters that started it.

use glam::{Vec3, Vec3Swizzles};

use super::level::{HULL_BELOW, Level};

const SPEED_MAX: f32 = 320.0;
const STOP_SPEED: f32 = 100.0;
const FRICTION: f32 = 6.0;
const ACCELERATION: f32 = 10.0;
/// In the air there is no more than this to be gained along the wish, units/s.
const AIR_SPEED: f32 = 30.0;
const GRAVITY: f32 = 800.0;
const JUMP_SPEED: f32 = 270.0;
/// Jumps in a row gain speed, but no more than this, units/s.
const HOP_SPEED_MAX: f32 = 520.0;
/// What a player walks up without a jump, units.
const STEP: f32 = 18.0;
/// Planes that a player may be pressed against in one tick.
const BUMPS: usize = 4;

/// A player's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    /// A little below the middle, units.
    pub(super) origin: Vec3,
    /// Units a second.
    pub(super) velocity: Vec3,
    pub(super) is_grounded: bool,
}

impl Body {
    pub(super) fn at(origin: Vec3) -> Self {
        Self { origin, velocity: Vec3::ZERO, is_grounded: false }
    }

    /// Where the eyes are.
    pub(super) fn eyes(&self) -> Vec3 {
        self.origin + Vec3::Z * (HULL_BELOW - 2.0)
    }

    /// One tick; `wish` is along the floor, one or nothing long.
    pub(super) fn advance(&mut self, level: &Level, wish: Vec3, jumps: bool, dt: f32) {
        self.find_ground(level);
        if self.is_grounded && jumps {
            self.velocity.z = JUMP_SPEED;
            self.is_grounded = false;
        }
        if self.is_grounded {
            self.velocity.z = 0.0;
            self.rub(dt);
            self.accelerate(wish, SPEED_MAX, ACCELERATION * SPEED_MAX * dt);
            self.walk(level, dt);
        } else {
            self.accelerate(wish, AIR_SPEED, ACCELERATION * SPEED_MAX * dt);
            let along_floor = self.velocity.xy().clamp_length_max(HOP_SPEED_MAX);
            // Half of gravity before the move and half after: jumps are as high at any rate of ticks.
            self.velocity = along_floor.extend(self.velocity.z - 0.5 * GRAVITY * dt);
            self.slide(level, dt);
            self.velocity.z -= 0.5 * GRAVITY * dt;
        }
        self.find_ground(level);
    }

    fn find_ground(&mut self, level: &Level) {
        let below = level.trace(self.origin, self.origin - Vec3::Z * 0.25);
        self.is_grounded = self.velocity.z < 180.0 && below.normal.is_some_and(|normal| normal.z > 0.7);
        if self.is_grounded {
            self.origin = below.end;
        }
    }

    fn rub(&mut self, dt: f32) {
        let speed = self.velocity.length();
        let left = speed - speed.max(STOP_SPEED) * FRICTION * dt;
        self.velocity = if speed < 1.0 || left <= 0.0 { Vec3::ZERO } else { self.velocity * (left / speed) };
    }

    fn accelerate(&mut self, wish: Vec3, speed_max: f32, most: f32) {
        let missing = speed_max - self.velocity.dot(wish);
        if missing > 0.0 {
            self.velocity += wish * missing.min(most);
        }
    }

    /// Slides along the ground; where that is stopped, tries it from a step higher.
    fn walk(&mut self, level: &Level, dt: f32) {
        let start = *self;
        self.slide(level, dt);
        let mut stepped = start;
        stepped.origin = level.trace(start.origin, start.origin + Vec3::Z * STEP).end;
        stepped.slide(level, dt);
        let down = level.trace(stepped.origin, stepped.origin - Vec3::Z * STEP);
        stepped.origin = down.end;
        let way = |body: &Self| (body.origin - start.origin).xy().length_squared();
        // A hair's gain is rounding, and would shake those who run on even ground.
        if down.normal.is_some_and(|normal| normal.z > 0.7) && way(&stepped) > way(self) + 0.01 {
            *self = stepped;
        }
    }

    /// Moves along whatever is in the way.
    fn slide(&mut self, level: &Level, dt: f32) {
        let mut left = dt;
        let mut planes: Vec<Vec3> = Vec::new();
        for _ in 0..BUMPS {
            let trace = level.trace(self.origin, self.origin + self.velocity * left);
            self.origin = trace.end;
            let Some(normal) = trace.normal else { return };
            left *= 1.0 - trace.fraction;
            planes.push(normal);
            self.velocity -= normal * self.velocity.dot(normal);
            // All solids stand along the axes: what is taken away for one plane does not come back for another.
            if planes.iter().any(|plane| self.velocity.dot(*plane) < -1e-3) {
                self.velocity = Vec3::ZERO;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DT: f32 = 1.0 / 77.0;

    #[test]
    fn who_runs_at_stairs_climbs_them() {
        let level = Level::new();
        let mut body = Body::at(Vec3::new(300.0, 780.0, 25.0));
        let mut highest_step = 0.0_f32;
        for _ in 0..154 {
            let before = body.origin.z;
            body.advance(&level, Vec3::X, false, DT);
            highest_step = highest_step.max(body.origin.z - before);
        }
        assert!(body.is_grounded && (body.origin.z - 152.0).abs() < 0.1, "{body:?}");
        assert!((15.9..16.1).contains(&highest_step), "{highest_step}");
    }

    #[test]
    fn a_jump_is_as_high_as_the_speed_gives_and_running_has_its_speed() {
        let level = Level::new();
        let mut body = Body::at(Vec3::new(600.0, -500.0, 25.0));
        for _ in 0..77 {
            body.advance(&level, Vec3::Y, false, DT);
        }
        assert!((body.velocity.length() - SPEED_MAX).abs() < 8.0, "{body:?}");
        let (ground, mut top) = (body.origin.z, 0.0_f32);
        for tick in 0..77 {
            body.advance(&level, Vec3::Y, tick == 0, DT);
            top = top.max(body.origin.z - ground);
        }
        // v^2 / 2g
        assert!((top - 45.6).abs() < 1.0, "{top}");
        assert!(body.is_grounded);
    }
}
