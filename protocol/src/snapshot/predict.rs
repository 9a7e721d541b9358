//! What a field will be, as the `dense` coder guesses it.
//!
//! Each field gets features: what it would move by if this or that went on. Their weighted sum is the guess; the weights are
//! learned (`prior`). A guess never needs to be right: the coder sends the difference. It may use the columns of this row that are
//! coded before (velocities before positions) and the states that the row names, and nothing else (law 6).

use super::lanes::{FEATURES, Lanes, Sum, log2_1p, quaternion_product};
use super::links::{Body, Line, Turn};
use super::motion::{Motion, carried, turn_by};

/// What is known of a row's body once some of its fields are coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coded {
    pub(super) v0: Lanes,
    pub(super) w0: Lanes,
    /// The way from the newest state.
    pub(super) d0: Lanes,
}

/// By what a velocity is guessed to change.
#[inline]
pub(super) fn velocity(m: &Motion, line: &Line, sum: &mut Sum<'_>) {
    let k = line.per_unit;
    let tk = m.t * k;
    sum.add_one(0, tk);
    sum.add(1, m.v1 * tk);
    sum.add(2, m.new.a * tk);
    sum.add(3, m.old.a * tk);
    sum.add(4, m.new.e * k);
    sum.add(5, m.w1.cross(m.v1) * tk);
    sum.add(6, m.forward * tk);
    sum.add(7, m.up * tk);
}

/// By what an angular velocity is guessed to change. `veers` is how fast the way of the velocity turns, now and before.
#[inline]
pub(super) fn spin(
    m: &Motion,
    coded: &Coded,
    (veer, veer_before): (Lanes, Lanes),
    line: &Line,
    sum: &mut Sum<'_>,
) {
    let k = line.per_unit;
    let tk = m.t * k;
    sum.add(0, m.w1 * tk);
    sum.add(1, m.new.b * tk);
    sum.add(2, m.old.b * tk);
    sum.add(3, m.new.spin_e * k);
    sum.add(4, veer * k);
    sum.add(5, veer_before * k);
    sum.add_one(6, tk);
    let push = coded.v0 - m.v1;
    sum.add(7, m.w1.cross(m.new.b) * (m.t12 * tk));
    sum.add(8, m.forward * tk);
    sum.add(9, m.up * tk);
    sum.add(10, m.old.spin_e * k);
    sum.add(11, m.w1 * (m.v1.dot(push) / (m.v1.length_squared() + 1.0) * k));
    sum.add_axes(12, push * k);
}

/// How fast the way of the velocity turns: from the newest state to the row, and before it. Radians a second.
#[inline]
pub(super) fn veers(m: &Motion, v0: Lanes) -> (Lanes, Lanes) {
    let per_square = 1.0 / (m.v1.length_squared() + 1e-6);
    (m.v1.cross(v0) * (per_square / m.t), m.v2.cross(m.v1) * (per_square / m.t12))
}

/// The way that a position with a velocity is guessed to make.
#[inline]
pub(super) fn driven(m: &Motion, coded: &Coded, line: &Line, sum: &mut Sum<'_>) {
    let tk = m.t * line.per_unit;
    let ttk = m.t * tk;
    let push = coded.v0 - m.v1;
    sum.add(0, coded.v0 * tk);
    sum.add(1, m.v1 * tk);
    sum.add(2, m.new.e * tk);
    sum.add(3, m.new.u * tk);
    sum.add(4, push * (m.dt * line.per_unit));
    sum.add(5, m.new.a * ttk);
    sum.add_one(6, ttk);
}

/// The way that a position without one is guessed to make.
#[inline]
pub(super) fn free(m: &Motion, turning: Lanes, line: &Line, sum: &mut Sum<'_>) {
    let tk = m.t * line.per_unit;
    let ttk = m.t * tk;
    let [x, y, z, _] = (m.new.u * tk).lanes();
    sum.add(0, m.new.u * tk);
    sum.add(1, (m.new.u - m.old.u) * tk);
    sum.add_one(2, ttk);
    sum.add(3, turning * ttk);
    let [spin_x, spin_y, spin_z, _] = (m.new.r * tk).lanes();
    let height = log2_1p(m.height);
    sum.add(4, Lanes::new([y, z, x, 0.0]));
    sum.add(5, Lanes::new([z, x, y, 0.0]));
    sum.add_one(6, spin_x);
    sum.add_one(7, spin_y);
    sum.add_one(8, spin_z);
    sum.add(9, carried(m.new.u, m.w1 * (0.5 * (m.t + m.t12))) * tk);
    sum.add(10, m.w1.cross(turning) * (m.t * ttk));
    sum.add(11, m.new.u * (m.new.u.length() * ttk));
    sum.add(12, m.new.u * (height * tk));
    sum.add(13, m.new.u * (m.new.r.length() * ttk));
    sum.add(14, m.w1 * (m.w1.lanes()[2] * ttk));
    sum.add_one(15, m.w1.length_squared() * ttk);
    sum.add_one(16, height * ttk);
}

/// The first of the features of a free position that tell of the residuals of axes before.
pub(super) const FOLLOWS: usize = FEATURES - 6;

/// What the residuals of earlier axes say of this one, if the error lies along a direction: taken at its word, and
/// with doubt.
#[inline]
pub(super) fn follows(direction: Lanes, residuals: [f32; 3], axis: usize) -> [f32; 2] {
    let direction = direction.lanes();
    let mut along = 0.0;
    let mut square = 0.0;
    for (direction, residual) in direction.iter().zip(residuals).take(axis) {
        along += direction * residual;
        square += direction * direction;
    }
    let share = direction[axis] * along;
    [share / (square + 0.02), share / (square + 0.3)]
}

/// The turn that a rotation is guessed to make about each axis, in steps of its components.
#[expect(clippy::inline_always, reason = "called once a row: inlined, what a trainer notes is not asked for")]
#[inline(always)]
pub(super) fn turn(m: &Motion, coded: &Coded, body: &Body, turn: &Turn, sum: &mut Sum<'_>) {
    // Half a turn's angle is what a quaternion's components change by.
    let k = turn.per_unit * 0.5;
    let tk = m.t * k;
    if body.spin.is_some() {
        sum.add(0, coded.w0 * tk);
        sum.add(1, m.w1 * tk);
        sum.add(2, m.new.spin_e * tk);
        sum.add(3, m.old.spin_e * tk);
        sum.add(4, m.new.b * (m.t * tk));
        sum.add(5, (coded.w0 - m.w1) * (m.dt * k));
        sum.add(6, m.new.r * tk);
        sum.add(7, coded.w0.cross(m.w1) * (m.t * tk));
        let (veer, veer_before) = veers(m, coded.v0);
        sum.add(8, m.w1.cross(m.new.b) * (m.t * tk));
        sum.add(9, (veer - veer_before) * tk);
        return;
    }
    sum.add(0, m.new.r * tk);
    sum.add(1, (m.new.r - m.old.r) * tk);
    let v0 = if body.velocity.is_some() { coded.v0 } else { coded.d0 * (1.0 / m.t) };
    let (veer, veer_before) = veers(m, v0);
    sum.add(2, veer * tk);
    if body.velocity.is_some() {
        return;
    }
    sum.add(3, veer_before * tk);
    let span = m.new.u.length() * m.t;
    let ratio = if span > 0.0 { (coded.d0.length() / span).min(4.0) } else { 1.0 };
    sum.add(4, m.new.r * (ratio * tk));
    let way = m.new.u.unit();
    sum.add(5, m.w1.cross(m.new.b) * (m.t * tk));
    sum.add(6, way * (way.dot(m.new.r) * tk));
    sum.add(7, m.new.r * (m.new.r.length() * m.t * tk));
    sum.add(8, m.new.r * (log2_1p(m.height) * tk));
    sum.add(9, m.new.r * (ratio * ratio * tk));
    let steps = body.position.as_ref().map_or(1.0, |line| line.per_unit);
    sum.add_axes(10, coded.d0 * steps);
    sum.add_axes(13, (coded.d0 - m.new.u * m.t) * steps);
}

/// A rotation after turning by `steps` about each axis.
#[inline]
pub(super) fn turned(m: &Motion, turn: &Turn, steps: Lanes) -> Lanes {
    quaternion_product(turn_by(steps * (turn.step * 2.0)), m.q1)
}

/// How a rotation's components change if it is turned further about a direction.
#[inline]
pub(super) fn tangent(rotation: Lanes, direction: Lanes) -> Lanes {
    quaternion_product(direction, rotation)
}
