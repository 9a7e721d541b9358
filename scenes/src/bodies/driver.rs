//! Bots that drive: some with keys, some with a stick.

use rapier3d::prelude::{RigidBody, Vector};
use tickwire_sim::Random;

use super::car::{self, Controls};
use super::pitch;

/// What a driver sees.
pub(super) struct View<'a> {
    pub(super) body: &'a RigidBody,
    pub(super) is_grounded: bool,
    pub(super) ball: Vector,
    pub(super) ball_velocity: Vector,
}

/// A driver's mind.
pub(super) struct Driver {
    random: Random,
    /// 1 or -1: the end of the pitch that it defends.
    home: f32,
    /// Knows only -1, 0 and 1.
    has_keys: bool,
    aim: Aim,
    /// Seconds until it decides anew.
    decides_in: f32,
    /// Seconds for which the jump button stays down, and then for which it stays up before the second jump.
    jump: [f32; 2],
    dodge: Vector,
}

#[derive(Clone, Copy)]
enum Aim {
    Ball,
    Home,
    Place(Vector),
    Stand,
}

/// The end of the pitch that a team defends: 1 or -1.
pub(super) fn home_side(team: usize) -> f32 {
    if team == 0 { -1.0 } else { 1.0 }
}

impl Driver {
    pub(super) fn new(seed: u64, team: usize) -> Self {
        let mut random = Random::from_seed(seed);
        Self {
            home: home_side(team),
            has_keys: random.chance(0.4),
            random,
            aim: Aim::Ball,
            decides_in: 2.5,
            jump: [0.0; 2],
            dodge: Vector::ZERO,
        }
    }

    /// What it does, `dt` seconds after the last time.
    pub(super) fn think(&mut self, dt: f32, view: &View<'_>) -> Controls {
        self.decides_in -= dt;
        if self.decides_in <= 0.0 {
            self.decide(view);
        }
        let target = self.target(view);
        let controls =
            if view.is_grounded { self.on_ground(view, target) } else { self.in_air(view, target) };
        let up = *view.body.rotation() * Vector::Z;
        if !view.is_grounded && car::is_stranded(up, view.body.linvel()) && self.random.chance(2.0 * dt) {
            self.jump = [0.05, 0.0];
        }
        let controls = self.press_jump(controls, dt);
        if self.has_keys { with_keys(controls) } else { controls }
    }

    fn decide(&mut self, view: &View<'_>) {
        self.decides_in = self.random.range_f32(0.4..2.5);
        self.aim = match self.random.below(12) {
            0..=6 => Aim::Ball,
            7 => Aim::Home,
            8..=10 => {
                let [x, y] = [34.0, 44.0].map(|most| self.random.range_f32(-most..most));
                Aim::Place(Vector::new(x, y, 0.3))
            }
            _ => Aim::Stand,
        };
        let distance = (view.ball - view.body.translation()).length();
        if self.random.chance(if distance < 7.0 { 0.6 } else { 0.2 }) {
            let turns = [0.0, 0.0, 1.0, 1.0, -1.0].map(|turn| turn * self.random.range_f32(0.5..1.0));
            let mut turn = || turns[self.random.below(5) as usize];
            self.dodge = Vector::new(turn(), turn(), 0.0);
            self.jump = [self.random.range_f32(0.02..0.25), self.random.range_f32(0.05..1.5)];
        }
    }

    fn target(&self, view: &View<'_>) -> Vector {
        let place = view.body.translation();
        match self.aim {
            Aim::Ball => {
                // Where the ball will be; or, from the wrong side, where it can be pushed to the other goal from.
                let ahead = ((view.ball - place).length() / 20.0).min(1.0);
                let ball = view.ball + view.ball_velocity * ahead;
                let shot = (pitch::goal(-self.home) - ball).normalize_or_zero();
                let is_behind = (ball - place).normalize_or_zero().dot(shot) > 0.3;
                ball - shot * if is_behind { 0.6 } else { 7.0 }
            }
            Aim::Home => pitch::goal(self.home) * 0.9,
            Aim::Place(target) => target,
            Aim::Stand => place,
        }
    }

    fn on_ground(&self, view: &View<'_>, target: Vector) -> Controls {
        if matches!(self.aim, Aim::Stand) {
            return Controls::default();
        }
        let to = local(view.body, target - view.body.translation());
        let distance = to.length().max(0.1);
        let sine = to.y / distance;
        let is_behind = to.x < 0.0;
        let speed = view.body.linvel().length();
        Controls {
            throttle: if is_behind && distance < 6.0 { -1.0 } else { (distance / 4.0).min(1.0) },
            steer: if is_behind { sine.signum() } else { (2.5 * sine).clamp(-1.0, 1.0) },
            boosts: to.x > 0.9 * distance && distance > 8.0 && speed < 22.5,
            drifts: is_behind && speed > 8.0,
            ..Controls::default()
        }
    }

    /// Turns the nose to the target, or the wheels down where there is nothing to fly to.
    fn in_air(&self, view: &View<'_>, target: Vector) -> Controls {
        let body = view.body;
        let flies = matches!(self.aim, Aim::Ball) && view.ball.z > 3.0;
        let way =
            if flies { target - body.translation() } else { body.linvel() * Vector::new(1.0, 1.0, 0.0) };
        let [way, up] = [way.normalize_or_zero(), Vector::Z].map(|axis| local(body, axis));
        let spin = local(body, body.angvel());
        // Cross products of what is and what should be: the axes to turn about.
        let turn =
            Vector::X.cross(way) + Vector::Z.cross(up) * Vector::new(1.0, if flies { 0.0 } else { 0.5 }, 0.0);
        let turn = (turn * 4.0 - spin * Vector::new(0.3, 0.8, 1.0)).clamp(Vector::splat(-1.0), Vector::ONE);
        Controls { turn, boosts: flies && way.x > 0.8, throttle: 1.0, ..Controls::default() }
    }

    fn press_jump(&mut self, controls: Controls, dt: f32) -> Controls {
        let [held, pause] = &mut self.jump;
        if *held > 0.0 {
            *held -= dt;
            return Controls { jumps: true, boosts: false, ..controls };
        }
        if *pause > 0.0 {
            *pause -= dt;
            if *pause <= 0.0 {
                return Controls { jumps: true, turn: self.dodge, ..controls };
            }
        }
        controls
    }
}

/// A vector of the world as the car sees it.
fn local(body: &RigidBody, vector: Vector) -> Vector {
    body.rotation().inverse() * vector
}

fn with_keys(controls: Controls) -> Controls {
    let key = |value: f32| if value.abs() < 0.35 { 0.0 } else { value.signum() };
    let Vector { x, y, z } = controls.turn;
    Controls {
        throttle: key(controls.throttle),
        steer: key(controls.steer),
        turn: Vector::new(key(x), key(y), key(z)),
        ..controls
    }
}
