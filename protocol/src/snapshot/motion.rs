//! How a body moved through the states that a row names: what the `dense` coder guesses from.
//!
//! From up to three states a body's [`Motion`] is worked out: velocities, accelerations, turns, and by how much the position was
//! off from what the velocities said. Arithmetic is IEEE `f32` with `+ - * / sqrt` in a fixed order, so both ends guess
//! alike on every target.

#![expect(clippy::many_single_char_names, reason = "axes, times and rates have their names of mathematics")]

use super::lanes::{Ints, Lanes, quaternion_product};
use super::links::{Body, Line, State, Turn};

/// How a body moved through the named states. Where there are fewer than three, the missing ones are taken to have
/// gone on as the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Motion {
    /// States named: 1 to 3.
    pub(super) states: usize,
    /// Seconds from the newest state to the row.
    pub(super) t: f32,
    /// Seconds a tick.
    pub(super) dt: f32,
    /// Seconds between the two newest states.
    pub(super) t12: f32,
    /// Velocity at the newest state and at the one before; the mean one if the body has no velocity field.
    pub(super) v1: Lanes,
    pub(super) v2: Lanes,
    /// Angular velocity likewise.
    pub(super) w1: Lanes,
    /// The rotation, xyzw; and where it turns the x and the z axis.
    pub(super) q1: Lanes,
    pub(super) forward: Lanes,
    pub(super) up: Lanes,
    /// What happened from the second state to the newest, and before.
    pub(super) new: Between,
    pub(super) old: Between,
    /// How far from zero the last axis of the position is, steps.
    pub(super) height: f32,
}

/// What happened between two states.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Between {
    /// Mean velocity and angular velocity.
    pub(super) u: Lanes,
    pub(super) r: Lanes,
    /// Mean acceleration and angular acceleration.
    pub(super) a: Lanes,
    pub(super) b: Lanes,
    /// By how much the mean velocity was not what the velocity fields said, units a second; likewise of turning.
    pub(super) e: Lanes,
    pub(super) spin_e: Lanes,
}

impl Motion {
    /// Works out the motion of a body. Begins with a default one, and sets it where it stands: to move it would take 60
    /// instructions.
    pub(super) fn look(&mut self, body: &Body, states: &[State<'_>], dt: f32) {
        let newest = &states[0];
        let t = newest.distance as f32 * dt;
        (self.states, self.t, self.dt, self.t12) = (1, t, dt, t);
        self.v1 = vector(body.velocity.as_ref(), newest.values);
        self.v2 = self.v1;
        self.w1 = vector(body.spin.as_ref(), newest.values);
        self.q1 = quaternion(body.rotation.as_ref(), newest.values);
        (self.forward, self.up) = (Lanes::turned_x(self.q1), Lanes::turned_z(self.q1));
        let height =
            body.position.as_ref().map_or(0, |line| newest.values[line.first + line.axes - 1]).unsigned_abs();
        self.height = height as f32;
        if let Some(before) = states.get(1).filter(|before| before.distance > newest.distance) {
            let last = states.get(2).filter(|last| last.distance > before.distance);
            self.look_back(body, newest, before, last);
        } else {
            (self.new.u, self.new.r) = (self.v1, self.w1);
            self.old = self.new;
        }
    }

    #[inline]
    fn look_back(&mut self, body: &Body, newest: &State<'_>, before: &State<'_>, last: Option<&State<'_>>) {
        let newer = Moment { state: *newest, v: self.v1, w: self.w1, q: self.q1 };
        let older = Moment::of(body, before);
        self.t12 = newer.seconds_since(&older, self.dt);
        self.v2 = older.v;
        self.new.fill(body, &newer, &older, self.t12);
        let mut t23 = self.t12;
        if let Some(last) = last {
            let oldest = Moment::of(body, last);
            t23 = older.seconds_since(&oldest, self.dt);
            self.old.fill(body, &older, &oldest, t23);
            self.states = 3;
        } else {
            (self.states, self.old) = (2, self.new);
        }
        if body.velocity.is_some() && body.spin.is_some() {
            return;
        }
        let per_second = 2.0 / (self.t12 + t23);
        if body.velocity.is_none() {
            (self.v1, self.v2) = (self.new.u, self.old.u);
            self.new.a = (self.new.u - self.old.u) * per_second;
            self.old.a = self.new.a;
        }
        if body.spin.is_none() {
            self.w1 = self.new.r;
            self.new.b = (self.new.r - self.old.r) * per_second;
            self.old.b = self.new.b;
        }
    }
}

/// A body in one of the states.
struct Moment<'a> {
    state: State<'a>,
    v: Lanes,
    w: Lanes,
    q: Lanes,
}

impl<'a> Moment<'a> {
    #[inline]
    fn of(body: &Body, state: &State<'a>) -> Self {
        Self {
            state: *state,
            v: vector(body.velocity.as_ref(), state.values),
            w: vector(body.spin.as_ref(), state.values),
            q: quaternion(body.rotation.as_ref(), state.values),
        }
    }

    #[inline]
    fn seconds_since(&self, older: &Self, dt: f32) -> f32 {
        (older.state.distance - self.state.distance) as f32 * dt
    }
}

impl Between {
    /// Works it out in place; what the body does not have stays 0.
    #[inline]
    fn fill(&mut self, body: &Body, newer: &Moment<'_>, older: &Moment<'_>, seconds: f32) {
        let per_second = 1.0 / seconds;
        if let Some(line) = &body.position {
            self.u = difference(line, newer.state.values, older.state.values) * per_second;
        }
        if body.rotation.is_some() {
            self.r = turn_between(newer.q, older.q) * per_second;
        }
        if body.velocity.is_some() {
            self.a = (newer.v - older.v) * per_second;
            self.e = self.u - (newer.v + older.v) * 0.5;
        }
        if body.spin.is_some() {
            self.b = (newer.w - older.w) * per_second;
            self.spin_e = self.r - (newer.w + older.w) * 0.5;
        }
    }
}

/// A line's value in its unit; axes that it does not have are 0.
#[inline]
pub(super) fn vector(line: Option<&Line>, values: &[i32]) -> Lanes {
    line.map_or(Lanes::ZERO, |line| Ints::of(values, line.first).lanes().times(line.step))
}

/// The difference of two of a line's values, in its unit; subtracted as integers, so nothing is lost far from zero.
#[inline]
pub(super) fn difference(line: &Line, newer: &[i32], older: &[i32]) -> Lanes {
    change(line.first, newer, older).times(line.step)
}

/// The differences of four columns, in steps.
#[inline]
pub(super) fn change(first: usize, newer: &[i32], older: &[i32]) -> Lanes {
    (Ints::of(newer, first) - Ints::of(older, first)).lanes()
}

#[inline]
pub(super) fn quaternion(turn: Option<&Turn>, values: &[i32]) -> Lanes {
    let Some(turn) = turn else { return Lanes::new([0.0, 0.0, 0.0, 1.0]) };
    let columns = Ints::of(values, turn.first);
    let three = (columns.lanes() - Lanes::splat(turn.zero)) * turn.step;
    let [_, a, b, c] = three.lanes();
    let rest = (1.0 - (a * a + b * b + c * c)).max(0.0).sqrt();
    Lanes::new(match columns.first() & 3 {
        0 => [rest, a, b, c],
        1 => [a, rest, b, c],
        2 => [a, b, rest, c],
        _ => [a, b, c, rest],
    })
}

/// The rotation vector, radians, that turns `from` into `to` the short way. Exact to 0.1 % up to two radians.
#[inline]
pub(super) fn turn_between(to: Lanes, from: Lanes) -> Lanes {
    let [x, y, z, w] = from.lanes();
    let way = quaternion_product(to, Lanes::new([-x, -y, -z, w]));
    let [x, y, z, w] = way.lanes();
    // The sine of a quarter of the angle, then the first terms of the arc sine.
    let quarter =
        Lanes::new([x, y, z, 0.0]) * ((if w < 0.0 { -1.0 } else { 1.0 }) / (2.0 + 2.0 * w.abs()).sqrt());
    let s = quarter.length_squared();
    quarter * (4.0 + s * (2.0 / 3.0 + s * (3.0 / 10.0 + s * (5.0 / 28.0))))
}

/// The quaternion of a rotation vector. Exact to 0.1 % up to two radians.
#[inline]
pub(super) fn turn_by(by: Lanes) -> Lanes {
    let half = by * 0.5;
    let square = half.length_squared();
    let axis = half * (1.0 - square * (1.0 / 6.0 - square * (1.0 / 120.0)));
    let w = (1.0 - axis.length_squared()).max(0.0).sqrt();
    let [x, y, z, _] = axis.lanes();
    Lanes::new([x, y, z, w])
}

/// A vector turned by a rotation vector, as the change.
#[inline]
pub(super) fn carried(vector: Lanes, by: Lanes) -> Lanes {
    vector.turned(turn_by(by)) - vector
}
