//! How far off a guess is likely to be: what a column's table or code length is chosen by.
//!
//! A second weighted sum, over logarithms of a body's motion and of the residuals coded already in this row, gives the
//! binary logarithm of the residual's likely size: its **scale**. Flags have log odds in the same way. The weights of
//! both sums differ by **class**: how many states are named, how old the newest is, how steadily the body moves.
//!
//! Everything is known to both ends before the value is coded.

use super::lanes::{CORE, FEATURES, Features, Lanes, Sum, log2_1p};
use super::links::{Body, Line, LoneMotion, State};
use super::motion::{Motion, change, difference};
use super::predict::Coded;

/// Sets of weights that a column may have.
pub(super) const CLASSES: usize = 3 * AGES * LEVELS;
const AGES: usize = 4;
const LEVELS: usize = 6;

/// Features of a scale that follow from the residuals of axes before, where these are coded one by one: by how much they
/// surprised, and the same as far as it is above zero.
pub(super) const FIELD: usize = FEATURES - 2;
pub(super) const FIELD_ABOVE: usize = FEATURES - 1;

/// The class of a body's weights.
pub(super) fn class(body: &Body, motion: &Motion) -> u8 {
    class_of(motion.states, motion.t, level(body, motion))
}

/// The class of what follows so many states, the newest of which is so old.
pub(super) fn class_of(states: usize, seconds: f32, level: usize) -> u8 {
    let age = match seconds {
        t if t < 0.03 => 0,
        t if t < 0.075 => 1,
        t if t < 0.15 => 2,
        _ => 3,
    };
    ((states.max(1) - 1) * AGES * LEVELS + age * LEVELS + level) as u8
}

/// What a class is made of: states, age, level. Neighbours in it are the next best.
pub(super) fn parts(class: u8) -> [u8; 3] {
    let (ages, levels) = (AGES as u8, LEVELS as u8);
    [class / (ages * levels), class / levels % ages, class % levels]
}

/// How steadily a body moves: 0 not at all, up to 5.
fn level(body: &Body, m: &Motion) -> usize {
    let Some(velocity) = &body.velocity else {
        let steps = body.position.as_ref().map_or(0.0, |line| m.new.u.length() * m.t * line.per_unit);
        return match log2_1p(steps) {
            s if s < 2.0 => 0,
            s if s < 4.0 => 1,
            s if s < 5.5 => 2,
            s if s < 7.0 => 3,
            s if s < 8.5 => 4,
            _ => 5,
        };
    };
    if m.v1 == Lanes::ZERO {
        return 0;
    }
    let steps = |vector: Lanes| log2_1p(vector.length() * m.t * velocity.per_unit);
    let (wavers, pushes) = match m.states {
        1 => return 5,
        2 => (steps(m.new.a), log2_1p(m.new.e.length() * velocity.per_unit)),
        _ => (steps(m.new.a - m.old.a), steps(m.new.a)),
    };
    match wavers - pushes {
        w if w < -2.5 => 1,
        w if w < -1.0 => 2,
        w if w < 0.0 => 3,
        w if w < 0.7 => 4,
        _ => 5,
    }
}

/// By how much errors were larger than their scales said, on average, in octaves.
#[inline]
pub(super) fn surprise(errors: Lanes, sizes: Lanes, axes: usize) -> f32 {
    let octaves = (errors.abs() + Lanes::splat(0.5)).log2() - sizes;
    let [x, y, z, _] = octaves.lanes();
    let mean = match axes {
        1 => x,
        2 => (x + y) * 0.5,
        _ => (x + y + z) * (1.0 / 3.0),
    };
    mean.clamp(-4.0, 8.0)
}

/// What all fields of a body know of how wild it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wildness {
    /// Logarithm of the time to guess over.
    time: f32,
    /// Logarithm of the turn over that time.
    turn: f32,
    /// How far from level the body stands: 1 upright or upside down, 0 on its side.
    upright: f32,
    /// Logarithm of the height.
    height: f32,
    /// Logarithm of the way over that time.
    speed: f32,
    /// Surprises of the velocity and of the position, once they are coded.
    pub(super) velocity: f32,
    pub(super) position: f32,
}

impl Wildness {
    #[inline]
    pub(super) fn of(m: &Motion, body: &Body) -> Self {
        let steps = m.t * body.position.as_ref().map_or(1.0, |line| line.per_unit);
        let [turn, way, ..] =
            Lanes::new([m.w1.length_squared(), m.v1.length_squared(), 0.0, 0.0]).sqrt().lanes();
        let logs = Lanes::new([m.t * 60.0, turn * m.t * 256.0, m.height, way * steps]).log2_1p();
        let [time, turn, height, speed] = logs.lanes();
        let upright = m.up.lanes()[2].abs();
        Self { time, turn, upright, height, speed, velocity: 0.0, position: 0.0 }
    }

    #[inline]
    fn add(&self, first: usize, sum: &mut Sum<'_>) {
        for (n, feature) in [self.time, self.turn, self.height, self.upright].into_iter().enumerate() {
            sum.add_one(first + n, feature);
        }
    }
}

/// For the axes of a velocity.
#[inline]
pub(super) fn velocity(m: &Motion, wild: &Wildness, line: &Line, sum: &mut Sum<'_>) {
    let tk = m.t * line.per_unit;
    let squares = [m.new.a, m.new.e, m.new.a - m.old.a, m.new.b].map(Lanes::length_squared);
    let sizes = Lanes::new(squares).sqrt().times(Lanes::new([tk, line.per_unit, tk, m.t * 256.0]));
    sum.add_one(0, 1.0);
    sum.add_four(1, sizes.log2_1p());
    sum.add(5, (m.new.a * tk).log2_1p());
    sum.add(6, (m.v1 * tk).log2_1p());
    wild.add(8, sum);
}

/// For the axes of an angular velocity; `veer` is how much more the way of the velocity turns than it did.
#[inline]
pub(super) fn spin(
    m: &Motion,
    coded: &Coded,
    veer: Lanes,
    wild: &Wildness,
    body: &Body,
    line: &Line,
    sum: &mut Sum<'_>,
) {
    let tk = m.t * line.per_unit;
    let squares = [m.new.b, m.new.spin_e, m.new.b - m.old.b, m.w1].map(Lanes::length_squared);
    let sizes = Lanes::new(squares).sqrt().times(Lanes::new([tk, line.per_unit, tk, tk]));
    sum.add_one(0, 1.0);
    sum.add_four(1, sizes.log2_1p());
    sum.add(5, (m.new.b * tk).log2_1p());
    sum.add_one(6, wild.velocity);
    sum.add(7, (m.w1 * tk).log2_1p());
    wild.add(8, sum);
    sum.add_one(12, wild.velocity.max(0.0));
    sum.add_one(13, log2_1p(veer.length() * line.per_unit));
    sum.add_one(14, jolt(m, coded, body));
}

/// For the axes of a position with a velocity.
#[inline]
pub(super) fn driven(m: &Motion, coded: &Coded, wild: &Wildness, line: &Line, sum: &mut Sum<'_>) {
    let tk = m.t * line.per_unit;
    let change = (coded.v0 - m.v1) * tk;
    let squares = [change, m.new.e, m.new.e - m.old.e, m.v1].map(Lanes::length_squared);
    let sizes = Lanes::new(squares).sqrt().times(Lanes::new([1.0, tk, tk, tk]));
    sum.add_one(0, 1.0);
    sum.add_four(1, sizes.log2_1p());
    sum.add(5, change.log2_1p());
    sum.add_one(6, wild.velocity);
    sum.add_one(7, wild.velocity.max(0.0));
    wild.add(8, sum);
}

/// For the axes of a position without one.
#[inline]
pub(super) fn free(
    m: &Motion,
    turning: Lanes,
    wild: &Wildness,
    line: &Line,
    along: &[Lanes; 3],
    sum: &mut Sum<'_>,
) {
    let tk = m.t * line.per_unit;
    let ttk = m.t * tk;
    let change = (m.new.u - m.old.u) * tk;
    let squares = [change, m.v1, m.new.a, turning].map(Lanes::length_squared);
    let sizes = Lanes::new(squares).sqrt().times(Lanes::new([1.0, tk, ttk, ttk]));
    sum.add_one(0, 1.0);
    sum.add_four(1, sizes.log2_1p());
    sum.add(5, change.log2_1p());
    // How high it will be: what comes down is about to strike.
    sum.add_one(6, log2_1p(m.height + m.v1.lanes()[2] * tk));
    sum.add_one(7, f32::from(u8::from(m.new.u == Lanes::ZERO)));
    wild.add(8, sum);
    sum.add(12, (m.v1 * tk).log2_1p());
    sum.add(13, (turning * ttk).log2_1p());
    sum.add(14, (m.new.a * ttk).log2_1p());
    sum.add_one(15, log2_1p(m.v1.lanes()[2] * tk));
    sum.add_one(16, log2_1p(m.new.b.length() * m.t * 256.0));
    let [first, last] = [along[0], along[2]].map(|way| way.times(way));
    let ([x, y, z, _], [last_x, ..]) = (first.lanes(), last.lanes());
    sum.add(17, (first + Lanes::splat(0.03)).log2());
    // How much of the error falls on an axis, compared with the axes before.
    let shares = Lanes::new([last_x, y / (x + 0.03), z / (x + y + 0.03), 0.0]);
    sum.add(18, (shares + Lanes::splat(0.03)).log2());
}

/// For the three smaller components of a rotation, by place, whose values are guessed to be `components`.
#[expect(clippy::inline_always, reason = "called once a row: inlined, what a trainer notes is not asked for")]
#[inline(always)]
pub(super) fn components(
    m: &Motion,
    coded: &Coded,
    wild: &Wildness,
    body: &Body,
    per_unit: f32,
    components: Lanes,
    sum: &mut Sum<'_>,
) {
    let tk = m.t * per_unit * 0.5;
    let steps = body.position.as_ref().map_or(1.0, |line| line.per_unit);
    let change = if body.spin.is_some() { coded.w0 - m.w1 } else { m.new.r - m.old.r };
    let squares = [change, m.new.r, m.new.spin_e, coded.d0 - m.new.u * m.t].map(Lanes::length_squared);
    let sizes = Lanes::new(squares).sqrt().times(Lanes::new([tk, tk, tk, steps]));
    sum.add_one(0, 1.0);
    sum.add_four(1, sizes.log2_1p());
    sum.add(5, (components * 16.0).log2_1p());
    sum.add_one(6, wild.position);
    sum.add_one(7, wild.velocity);
    if body.velocity.is_some() {
        return;
    }
    wild.add(8, sum);
    sum.add_one(12, wild.position.max(0.0));
    sum.add_one(13, wild.velocity.max(0.0));
    sum.add(14, components.times(components));
    sum.add_one(15, jolt(m, coded, body));
    sum.add_one(16, f32::from(u8::from(m.new.r == Lanes::ZERO)));
    let [_, _, yaw, _] = m.new.r.lanes();
    let more = Lanes::new([m.v1.length() * steps, yaw * 256.0, m.new.b.length() * tk, 0.0]) * m.t;
    let [speed, yaw, change, _] = more.log2_1p().lanes();
    sum.add_one(17, speed);
    sum.add_one(18, yaw);
    sum.add_one(19, change);
}

/// By how much the velocity changed otherwise than before, as a logarithm: something has struck the body.
#[inline]
fn jolt(m: &Motion, coded: &Coded, body: &Body) -> f32 {
    let steps = body.velocity.as_ref().map_or(0.0, |line| line.per_unit);
    log2_1p((coded.v0 - m.v1 - m.new.a * m.t).length() * steps)
}

/// For whether the largest component is the guessed one, `margin` steps larger than the next.
#[inline]
pub(super) fn largest(
    m: &Motion,
    body: &Body,
    per_unit: f32,
    margin: f32,
    is_as_before: bool,
    wild: &Wildness,
) -> [f32; CORE] {
    let as_before = f32::from(u8::from(is_as_before));
    if body.velocity.is_some() {
        return [1.0, log2_1p(margin), as_before, 0.0, 0.0, wild.position, wild.velocity, wild.time];
    }
    let [margin, turn, change, _] = Lanes::new([
        margin,
        m.new.r.length() * (m.t * per_unit),
        (m.new.r - m.old.r).length() * (m.t * per_unit),
        0.0,
    ])
    .log2_1p()
    .lanes();
    [1.0, margin, as_before, turn, change, wild.position, wild.velocity, wild.time]
}

/// For a column that moves by itself.
pub(super) fn lone(motion: &LoneMotion, wild: &Wildness) -> Features {
    let still = |way: f32| f32::from(u8::from(way == 0.0));
    let mut features = [0.0; FEATURES];
    features[..10].copy_from_slice(&[
        1.0,
        log2_1p(motion.motion),
        log2_1p(motion.motion - motion.before),
        log2_1p(motion.push),
        still(motion.motion),
        still(motion.before),
        log2_1p(motion.before),
        log2_1p(motion.velocity),
        wild.time,
        wild.position,
    ]);
    features
}

/// For whether a column that stays or changes has changed: `differs` is whether it did so between the two newest
/// states.
#[inline]
pub(super) fn state(value: i32, differs: bool, wild: &Wildness) -> [f32; CORE] {
    let number = |is: bool| f32::from(u8::from(is));
    let zero = number(value == 0);
    // How fast a fast body is says nothing more.
    let (speed, turn, height) = (wild.speed.min(7.0), wild.turn.min(7.0), wild.height.min(10.0));
    [1.0, number(differs), zero, speed, speed * zero, turn * zero, height, wild.upright]
}

/// For what a row that is held does: is it sent, does it rest. `held` is whether it stood between the named states.
#[inline]
pub(super) fn row(
    body: &Body,
    states: &[State<'_>],
    held: [bool; 2],
    is_at_rest: bool,
    zero: bool,
) -> [f32; CORE] {
    let number = |is: bool| f32::from(u8::from(is));
    let mut features = [
        1.0,
        number(held[0]),
        number(held[1]),
        number(is_at_rest),
        number(zero),
        number(zero && held[0]),
        0.0,
        0.0,
    ];
    if let [newest, before, ..] = states
        && !held[0]
    {
        let span = before.distance.saturating_sub(newest.distance).max(1) as f32;
        let steps = newest.distance as f32 / span;
        let way = |line: &Line| difference(line, newest.values, before.values).length() * line.per_unit;
        let moved = body.position.as_ref().map_or(0.0, way);
        let turned = body.rotation.as_ref().map_or(0.0, |turn| {
            let [largest, a, b, c] = change(turn.first, newest.values, before.values).lanes();
            largest.abs() + a.abs() + b.abs() + c.abs()
        });
        let [moved, turned, ..] = (Lanes::new([moved, turned, 0.0, 0.0]) * steps).log2_1p().lanes();
        (features[6], features[7]) = (moved, turned);
    }
    features
}
