//! A car: a box on four springs, with an engine, a rocket, and thrusters to turn it in the air.
//!
//! The numbers are those of a well-known game of its kind, as players have measured them.

use rapier3d::prelude::{ColliderBuilder, RigidBody, RigidBodyBuilder, Vector};

use super::{Thing, pitch};

pub(super) const SPEED_MAX: f32 = 23.0;
/// Where the middle of a car is when it stands, metres.
pub(super) const REST_HEIGHT: f32 = 0.275;

/// Half length, width and height, metres.
const HALF: [f32; 3] = [0.6, 0.42, 0.18];
/// Where springs are, and how far the wheels reach, metres.
const HUB: [f32; 3] = [0.48, 0.36, -0.05];
const REACH: f32 = 0.25;
const SPRING: f32 = 65.0;
const DAMPING: f32 = 4.5;
const GRIP: f32 = 14.0;
const HANDBRAKE_GRIP: f32 = 2.0;
/// How fast a car on its wheels takes the turn that it steers, 1/s.
const STEERING: f32 = 14.0;
const COAST: f32 = 5.25;
const BRAKE: f32 = 35.0;
const BOOST: f32 = 9.9;
const STICK: f32 = 3.25;
const JUMP_SPEED: f32 = 2.92;
const JUMP_HOLD: f32 = 14.6;
const JUMP_HOLD_SECONDS: f32 = 0.2;
/// How long after a jump there can be a second one, seconds.
const DODGE_SECONDS: f32 = 1.25;
const DODGE_SPEED: f32 = 5.0;
const DODGE_SPIN: f32 = 5.5;
/// About nose, left and up, rad/s^2; and the drag on each, 1/s.
const TORQUE: Vector = Vector::new(38.3, 12.5, 9.1);
const DRAG: Vector = Vector::new(4.5, 2.8, 1.9);

/// What a driver does, each from -1 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Controls {
    pub(super) throttle: f32,
    /// To the left.
    pub(super) steer: f32,
    /// About nose, left and up.
    pub(super) turn: Vector,
    pub(super) boosts: bool,
    pub(super) drifts: bool,
    pub(super) jumps: bool,
}

/// A car, and what it remembers of its last jump.
pub(super) struct Car {
    pub(super) thing: Thing,
    pub(super) touches_ball: bool,
    /// Of the boost, 0 to 1.
    fuel: f32,
    seconds_since_jump: f32,
    may_dodge: bool,
    was_jumping: bool,
}

/// The axes of a car.
struct Axes {
    ahead: Vector,
    left: Vector,
    up: Vector,
}

impl Axes {
    fn of(body: &RigidBody) -> Self {
        let [ahead, left, up] = [Vector::X, Vector::Y, Vector::Z].map(|axis| *body.rotation() * axis);
        Self { ahead, left, up }
    }
}

impl Car {
    pub(super) fn new(thing: Thing) -> Self {
        let (fuel, seconds_since_jump) = (0.33, DODGE_SECONDS);
        Self { thing, touches_ball: false, fuel, seconds_since_jump, may_dodge: false, was_jumping: false }
    }

    pub(super) fn body() -> RigidBodyBuilder {
        RigidBodyBuilder::dynamic().can_sleep(false)
    }

    pub(super) fn shape() -> ColliderBuilder {
        ColliderBuilder::cuboid(HALF[0], HALF[1], HALF[2]).mass(1.0).restitution(0.1).friction(0.3)
    }

    /// Acts on the body for one tick.
    pub(super) fn drive(&mut self, body: &mut RigidBody, controls: Controls, dt: f32) {
        self.fuel = (self.fuel + 0.07 * dt).min(1.0);
        self.seconds_since_jump += dt;
        let is_grounded = is_grounded(body);
        suspend(body, dt);
        let axes = Axes::of(body);
        let (mut velocity, mut spin) = (body.linvel(), body.angvel());
        if is_grounded {
            roll(&axes, controls, dt, &mut velocity, &mut spin);
        } else {
            let fly = |axis: Vector, torque: f32, drag: f32, turn: f32| {
                axis * ((torque * turn - drag * (1.0 - turn.abs()) * spin.dot(axis)) * dt)
            };
            let turn = controls.turn;
            spin += fly(axes.ahead, TORQUE.x, DRAG.x, turn.x)
                + fly(axes.left, TORQUE.y, DRAG.y, turn.y)
                + fly(axes.up, TORQUE.z, DRAG.z, turn.z);
        }
        if controls.boosts && self.fuel > 0.0 {
            self.fuel -= 0.33 * dt;
            velocity += axes.ahead * (BOOST * dt);
        }
        self.jump(&axes, controls, is_grounded, dt, &mut velocity, &mut spin);
        body.set_linvel(velocity, true);
        body.set_angvel(spin, true);
    }

    fn jump(
        &mut self,
        axes: &Axes,
        controls: Controls,
        is_grounded: bool,
        dt: f32,
        velocity: &mut Vector,
        spin: &mut Vector,
    ) {
        let is_pressed = controls.jumps && !self.was_jumping;
        self.was_jumping = controls.jumps;
        if is_pressed && is_grounded {
            *velocity += axes.up * JUMP_SPEED;
            (self.seconds_since_jump, self.may_dodge) = (0.0, true);
        } else if is_pressed && self.may_dodge && self.seconds_since_jump < DODGE_SECONDS {
            self.may_dodge = false;
            let [pitch, roll] = [controls.turn.y, controls.turn.x];
            let way = axes.ahead * pitch - axes.left * roll;
            *velocity +=
                if way == Vector::ZERO { axes.up * JUMP_SPEED } else { way.normalize() * DODGE_SPEED };
            *spin += (axes.left * pitch + axes.ahead * roll).normalize_or_zero() * DODGE_SPIN;
        } else if is_pressed && is_stranded(axes.up, *velocity) {
            *velocity += Vector::Z * JUMP_SPEED;
            *spin += axes.ahead * DODGE_SPIN;
        } else if controls.jumps && self.may_dodge && self.seconds_since_jump < JUMP_HOLD_SECONDS {
            *velocity += axes.up * (JUMP_HOLD * dt);
        }
    }
}

/// Whether three wheels at least touch something.
pub(super) fn is_grounded(body: &RigidBody) -> bool {
    let down = -Axes::of(body).up;
    hubs(body).filter(|&hub| pitch::cast(hub, down).0 < REACH + 0.02).count() >= 3
}

fn hubs(body: &RigidBody) -> impl Iterator<Item = Vector> {
    let (rotation, middle) = (*body.rotation(), body.translation());
    let corners = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]];
    corners.into_iter().map(move |[x, y]| middle + rotation * Vector::new(x * HUB[0], y * HUB[1], HUB[2]))
}

/// Each wheel that touches something pushes the car off it.
fn suspend(body: &mut RigidBody, dt: f32) {
    let up = Axes::of(body).up;
    for hub in hubs(body).collect::<Vec<_>>() {
        let (distance, normal) = pitch::cast(hub, -up);
        let compression = REACH - distance;
        if (0.0..=REACH + HALF[2]).contains(&compression) {
            let speed = body.velocity_at_point(hub).dot(normal);
            let push = (SPRING * compression - DAMPING * speed).max(0.0);
            body.apply_impulse_at_point(normal * (push * dt * body.mass()), hub, true);
        }
    }
}

/// What wheels do on the ground: engine, brakes, grip and steering.
fn roll(axes: &Axes, controls: Controls, dt: f32, velocity: &mut Vector, spin: &mut Vector) {
    let ahead = velocity.dot(axes.ahead);
    let throttle = if controls.boosts { 1.0 } else { controls.throttle };
    let push = if throttle == 0.0 {
        -ahead.clamp(-COAST * dt, COAST * dt)
    } else if throttle * ahead < 0.0 {
        throttle.signum() * BRAKE * dt
    } else {
        throttle * engine(ahead.abs()) * dt
    };
    let grip = if controls.drifts { HANDBRAKE_GRIP } else { GRIP };
    let slip = velocity.dot(axes.left) * (grip * dt).min(1.0);
    *velocity += axes.ahead * push - axes.left * slip - axes.up * (STICK * dt);
    let turn = controls.steer * curvature(ahead.abs()) * ahead * if controls.drifts { 1.4 } else { 1.0 };
    *spin += axes.up * ((turn - spin.dot(axes.up)) * (STEERING * dt).min(1.0));
}

/// Whether a car that does not fly lies on its roof or on a side.
pub(super) fn is_stranded(up: Vector, velocity: Vector) -> bool {
    up.z < 0.5 && velocity.length_squared() < 1.0
}

/// What the engine gives at a speed, m/s^2.
fn engine(speed: f32) -> f32 {
    if speed < 14.0 {
        16.0 - 1.03 * speed
    } else if speed < 14.1 {
        1.6
    } else {
        0.0
    }
}

/// How tightly a car turns at a speed, 1/m.
fn curvature(speed: f32) -> f32 {
    let [(mut from, mut last), rest @ ..] =
        [(0.0, 0.69), (5.0, 0.4), (10.0, 0.235), (15.0, 0.138), (23.0, 0.088)];
    for (at, value) in rest {
        if speed < at {
            return last + (value - last) * (speed - from) / (at - from);
        }
        (from, last) = (at, value);
    }
    last
}
