//! What a row's fields will be, guessed from the published states that it names.
//!
//! A schema links fields to **bodies**: a position, its velocity, a rotation and its angular velocity. From up to three
//! states a body's [`Motion`] is worked out: velocities, accelerations, turns, and by how much the position was off from
//! what the velocities said. Each column then gets a list of [`Features`]: what it would move by if this or that went
//! on. Their weighted sum is the guess; the weights are learned (`prior`).
//!
//! Arithmetic is IEEE `f32` with `+ - * / sqrt` in a fixed order, so both ends guess alike on every target. A guess never
//! needs to be right: the coder sends the difference. It may use the columns of this row that are coded before
//! (velocities before positions) and the states that the row names, and nothing else (law 6).

#![expect(clippy::many_single_char_names, reason = "axes, times and rates have their names of mathematics")]

use core::ops::Range;

use super::lanes::{CORE, FINE, Fan, Lanes, log2_1p, quaternion_product};
use crate::schema::{ColumnMask, Field, FieldType, Kind};

/// A list of features, or of their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Features {
    pub(super) core: [f32; CORE],
    pub(super) fine: [f32; FINE],
}

impl Features {
    /// A one, to be weighed by what is always so.
    pub(super) fn constant() -> Self {
        let mut features = Self::default();
        features.core[0] = 1.0;
        features
    }

    /// The sum of the products, in the same order everywhere.
    pub(super) fn dot<const DENSE: bool>(&self, weights: &Self) -> f32 {
        let mut lanes = [0.0_f32; 4];
        for (n, lane) in lanes.iter_mut().enumerate() {
            *lane = self.core[n] * weights.core[n] + self.core[n + 4] * weights.core[n + 4];
        }
        if DENSE {
            for four in 0..FINE / 4 {
                for (n, lane) in lanes.iter_mut().enumerate() {
                    *lane += self.fine[four * 4 + n] * weights.fine[four * 4 + n];
                }
            }
        }
        (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
    }
}

/// One published state that a row names.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    /// Ticks from the state to the row, 1 to 127.
    pub(super) distance: u32,
    /// Its columns, side by side.
    pub(super) values: &'a [i32],
}

/// Columns that are multiples of a step: a position, a velocity, an angle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) first: usize,
    pub(super) axes: usize,
    pub(super) step: f32,
    /// Steps a unit.
    pub(super) per_unit: f32,
}

/// The four columns of a rotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Turn {
    pub(super) first: usize,
    pub(super) zero: f32,
    pub(super) step: f32,
    pub(super) per_unit: f32,
    pub(super) bounds: (f32, f32),
}

/// Fields that move together; those that a receiver does not see are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Body {
    pub(super) position: Option<Line>,
    pub(super) velocity: Option<Line>,
    pub(super) rotation: Option<Turn>,
    pub(super) spin: Option<Line>,
}

/// A column that moves by itself: an angle or a scalar, perhaps with its velocity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lone {
    pub(super) column: usize,
    /// Half of the steps of the circle, if it is one.
    pub(super) half_circle: Option<i32>,
    pub(super) velocity: Option<usize>,
    /// Steps of this column per step of the velocity and second.
    pub(super) steps_per_velocity: f32,
}

/// How the fields of a kind, as far as a receiver sees them, are coded.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    pub(super) bodies: Vec<Body>,
    pub(super) lone: Vec<Lone>,
    /// Columns that stay or change: integers and references to entities.
    pub(super) states: Vec<usize>,
}

impl Links {
    /// Links what is visible of a kind.
    pub(super) fn of(kind: &Kind, visible: ColumnMask) -> Self {
        let mut links = Self::default();
        let mut turns = Vec::new();
        let shown = |field: &&Field| visible.contains(field.columns().start);
        for field in kind.fields().iter().filter(shown) {
            let velocity = kind.velocity_of(field.id).filter(shown);
            match field.ty {
                FieldType::Position { step, .. } => links.bodies.push(Body {
                    position: Some(line(&field.columns(), step)),
                    velocity: velocity.map(velocity_line),
                    ..Body::default()
                }),
                FieldType::Rotation { .. } => turns.push((turn_columns(field), velocity.map(velocity_line))),
                FieldType::Angle { .. } | FieldType::Scalar { .. } => {
                    // Its velocity comes first, as a column that moves by itself.
                    links.lone.extend(velocity.into_iter().flat_map(Field::columns).map(Lone::alone));
                    links.lone.push(lone(field, velocity));
                }
                FieldType::Integer { .. } | FieldType::Entity => links.states.extend(field.columns()),
                // Coded with what they drive; alone if that is hidden, or driven by another one.
                FieldType::Velocity { of, .. } => {
                    let drives = kind.velocity_of(of).is_some_and(|driver| driver.id == field.id);
                    if !drives || !shown(&kind.field(of)) {
                        links.lone.extend(field.columns().map(Lone::alone));
                    }
                }
            }
        }
        // A rotation belongs to the first position that has none.
        for (rotation, spin) in turns {
            let turning = Body { rotation: Some(rotation), spin, ..Body::default() };
            match links.bodies.iter_mut().find(|body| body.rotation.is_none()) {
                Some(body) => (body.rotation, body.spin) = (turning.rotation, turning.spin),
                None => links.bodies.push(turning),
            }
        }
        links
    }
}

fn line(columns: &Range<usize>, step: f64) -> Line {
    Line { first: columns.start, axes: columns.len(), step: step as f32, per_unit: (1.0 / step) as f32 }
}

fn velocity_line(field: &Field) -> Line {
    match field.ty {
        FieldType::Velocity { step, .. } => line(&field.columns(), step),
        _ => unreachable!("`velocity_of` gives velocities"),
    }
}

fn turn_columns(field: &Field) -> Turn {
    let FieldType::Rotation { bits, lattice } = field.ty else { unreachable!("called for rotations") };
    let (min, max) = lattice.bounds(bits);
    let step = lattice.step(bits);
    Turn {
        first: field.columns().start,
        zero: lattice.zero(bits) as f32,
        step: step as f32,
        per_unit: (1.0 / step) as f32,
        bounds: (min as f32, max as f32),
    }
}

fn lone(field: &Field, velocity: Option<&Field>) -> Lone {
    let (step, half_circle) = match field.ty {
        FieldType::Angle { bits } => {
            (core::f64::consts::TAU / f64::from(1_u32 << bits), Some(1 << (bits - 1)))
        }
        FieldType::Scalar { step, .. } => (step, None),
        _ => unreachable!("called for angles and scalars"),
    };
    let velocity = velocity.map(velocity_line);
    Lone {
        column: field.columns().start,
        half_circle,
        velocity: velocity.map(|line| line.first),
        steps_per_velocity: velocity.map_or(0.0, |line| (f64::from(line.step) / step) as f32),
    }
}

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
    /// The rotation, xyzw.
    pub(super) q1: Lanes,
    /// Mean velocity between the states, newest pair first.
    pub(super) u12: Lanes,
    pub(super) u23: Lanes,
    /// Mean angular velocity likewise.
    pub(super) r12: Lanes,
    pub(super) r23: Lanes,
    /// Mean acceleration and angular acceleration likewise.
    pub(super) a12: Lanes,
    pub(super) a23: Lanes,
    pub(super) b12: Lanes,
    pub(super) b23: Lanes,
    /// By how much the mean velocity was not what the velocity fields said, units a second.
    pub(super) e12: Lanes,
    pub(super) e23: Lanes,
    pub(super) spin_e12: Lanes,
    pub(super) spin_e23: Lanes,
    /// How far from zero the last axis of the position is, steps.
    pub(super) height: f32,
}

impl Motion {
    pub(super) fn of(body: &Body, states: &[State<'_>], dt: f32) -> Self {
        let newest = states.first().unwrap_or(&State { distance: 1, values: &[] });
        let t = newest.distance as f32 * dt;
        let v1 = vector(body.velocity, newest.values);
        let w1 = vector(body.spin, newest.values);
        let height = body.position.map_or(0, |line| newest.values[line.first + line.axes - 1]).unsigned_abs();
        let mut motion = Self {
            states: states.len().max(1),
            t,
            dt,
            t12: t,
            v1,
            v2: v1,
            w1,
            q1: quaternion(body.rotation, newest.values),
            u12: v1,
            u23: v1,
            r12: w1,
            r23: w1,
            height: height as f32,
            ..Self::default()
        };
        if let Some(before) = states.get(1).filter(|before| before.distance > newest.distance) {
            let last = states.get(2).filter(|last| last.distance > before.distance);
            motion.look_back(body, newest, before, last);
        }
        motion
    }

    fn look_back(&mut self, body: &Body, newest: &State<'_>, before: &State<'_>, last: Option<&State<'_>>) {
        let q2 = quaternion(body.rotation, before.values);
        let between = Between::of(body, newest, before, (self.q1, q2), self.dt);
        (self.t12, self.v2) = (between.seconds, between.v);
        (self.u12, self.r12, self.a12, self.b12) =
            (between.u, between.r, between.acceleration, between.angular_acceleration);
        (self.e12, self.spin_e12) = (between.e, between.spin_e);
        let older = last.map_or(between, |last| {
            let q3 = quaternion(body.rotation, last.values);
            Between::of(body, before, last, (q2, q3), self.dt)
        });
        (self.u23, self.r23, self.a23, self.b23) =
            (older.u, older.r, older.acceleration, older.angular_acceleration);
        (self.e23, self.spin_e23) = (older.e, older.spin_e);
        self.states = 2 + usize::from(last.is_some());
        let per_second = 2.0 / (between.seconds + older.seconds);
        if body.velocity.is_none() {
            (self.v1, self.v2) = (self.u12, self.u23);
            self.a12 = (self.u12 - self.u23) * per_second;
            self.a23 = self.a12;
        }
        if body.spin.is_none() {
            self.w1 = self.r12;
            self.b12 = (self.r12 - self.r23) * per_second;
            self.b23 = self.b12;
        }
    }
}

/// What happened between two states.
#[derive(Clone, Copy)]
struct Between {
    seconds: f32,
    /// Velocity at the older state.
    v: Lanes,
    u: Lanes,
    r: Lanes,
    acceleration: Lanes,
    angular_acceleration: Lanes,
    e: Lanes,
    spin_e: Lanes,
}

impl Between {
    fn of(body: &Body, newer: &State<'_>, older: &State<'_>, turns: (Lanes, Lanes), dt: f32) -> Self {
        let seconds = (older.distance - newer.distance) as f32 * dt;
        let per_second = 1.0 / seconds;
        let u = difference(body.position, newer.values, older.values) * per_second;
        let r = match body.rotation {
            Some(_) if turns.0 != turns.1 => turn_between(turns.0, turns.1) * per_second,
            _ => Lanes::ZERO,
        };
        let (v1, v) = (vector(body.velocity, newer.values), vector(body.velocity, older.values));
        let (w1, w) = (vector(body.spin, newer.values), vector(body.spin, older.values));
        Self {
            seconds,
            v,
            u,
            r,
            acceleration: (v1 - v) * per_second,
            angular_acceleration: (w1 - w) * per_second,
            e: if body.velocity.is_some() { u - (v1 + v) * 0.5 } else { Lanes::ZERO },
            spin_e: if body.spin.is_some() { r - (w1 + w) * 0.5 } else { Lanes::ZERO },
        }
    }
}

/// A line's value in its unit; axes that it does not have are 0.
#[inline]
pub(super) fn vector(line: Option<Line>, values: &[i32]) -> Lanes {
    let Some(line) = line else { return Lanes::ZERO };
    match values[line.first..line.first + line.axes] {
        [x, y, z] => Lanes([x as f32, y as f32, z as f32, 0.0]) * line.step,
        [x, y] => Lanes([x as f32, y as f32, 0.0, 0.0]) * line.step,
        [x] => Lanes([x as f32, 0.0, 0.0, 0.0]) * line.step,
        _ => Lanes::ZERO,
    }
}

/// The difference of two of a line's values, in its unit; subtracted as integers, so nothing is lost far from zero.
#[inline]
pub(super) fn difference(line: Option<Line>, newer: &[i32], older: &[i32]) -> Lanes {
    let Some(line) = line else { return Lanes::ZERO };
    let columns = line.first..line.first + line.axes;
    let way = |a: i32, b: i32| a.wrapping_sub(b) as f32;
    match (&newer[columns.clone()], &older[columns]) {
        (&[x, y, z], &[a, b, c]) => Lanes([way(x, a), way(y, b), way(z, c), 0.0]) * line.step,
        (&[x, y], &[a, b]) => Lanes([way(x, a), way(y, b), 0.0, 0.0]) * line.step,
        (&[x], &[a]) => Lanes([way(x, a), 0.0, 0.0, 0.0]) * line.step,
        _ => Lanes::ZERO,
    }
}

pub(super) fn quaternion(turn: Option<Turn>, values: &[i32]) -> Lanes {
    let Some(turn) = turn else { return Lanes([0.0, 0.0, 0.0, 1.0]) };
    let [largest, a, b, c] = values[turn.first..turn.first + 4] else { return Lanes([0.0, 0.0, 0.0, 1.0]) };
    let three = (Lanes([a as f32, b as f32, c as f32, turn.zero]) - Lanes::splat(turn.zero)) * turn.step;
    let rest = (1.0 - three.length_squared()).max(0.0).sqrt();
    let [a, b, c, _] = three.0;
    Lanes(match largest & 3 {
        0 => [rest, a, b, c],
        1 => [a, rest, b, c],
        2 => [a, b, rest, c],
        _ => [a, b, c, rest],
    })
}

/// The rotation vector, radians, that turns `from` into `to` the short way. Exact to 0.1 % up to two radians.
pub(super) fn turn_between(to: Lanes, from: Lanes) -> Lanes {
    let [x, y, z, w] = from.0;
    let way = quaternion_product(to, Lanes([-x, -y, -z, w]));
    let [x, y, z, w] = if way.0[3] < 0.0 { (-way).0 } else { way.0 };
    // The sine of a quarter of the angle, then the first terms of the arc sine.
    let quarter = Lanes([x, y, z, 0.0]) * (1.0 / (2.0 + 2.0 * w).sqrt());
    let s = quarter.length_squared();
    quarter * (4.0 + s * (2.0 / 3.0 + s * (3.0 / 10.0 + s * (5.0 / 28.0))))
}

/// The quaternion of a rotation vector. Exact to 0.1 % up to two radians.
fn turn_by(by: Lanes) -> Lanes {
    let half = by * 0.5;
    let square = half.length_squared();
    let axis = half * (1.0 - square * (1.0 / 6.0 - square * (1.0 / 120.0)));
    let w = (1.0 - axis.length_squared()).max(0.0).sqrt();
    let [x, y, z, _] = axis.0;
    Lanes([x, y, z, w])
}

/// A vector turned by a rotation vector, as the change.
fn carried(vector: Lanes, by: Lanes) -> Lanes {
    vector.turned(turn_by(by)) - vector
}

/// What is known of a row's body once some of its fields are coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coded {
    pub(super) v0: Lanes,
    pub(super) w0: Lanes,
    /// The way from the newest state.
    pub(super) d0: Lanes,
}

/// The residuals of the axes of one field that are coded already.
pub(super) type Residuals = [f32; 3];

/// By what a velocity is guessed to change.
pub(super) fn velocity<const DENSE: bool>(m: &Motion, line: Line) -> Fan {
    let k = line.per_unit;
    let tk = m.t * k;
    let forward = Lanes::X.turned(m.q1);
    let mut fan = Fan {
        core: [
            Lanes::splat(tk),
            m.v1 * tk,
            m.a12 * tk,
            m.a23 * tk,
            m.e12 * k,
            m.w1.cross(m.v1) * tk,
            m.w1.cross(m.a12) * (m.t12 * tk),
            forward * tk,
        ],
        ..Fan::default()
    };
    if DENSE {
        fan.fine[..7].copy_from_slice(&[
            Lanes::Z.turned(m.q1) * tk,
            m.v1 * (m.v1.length() * tk),
            m.e23 * k,
            forward * (forward.dot(m.v1) * tk),
            forward * (forward.dot(m.a12) * tk),
            m.b12.cross(m.v1) * (m.t * tk),
            carried(m.v1, m.w1 * m.t) * k,
        ]);
    }
    fan
}

/// By what an angular velocity is guessed to change; and how much more the way of the velocity turns than it did.
pub(super) fn spin<const DENSE: bool>(m: &Motion, coded: &Coded, line: Line) -> (Fan, Lanes) {
    let k = line.per_unit;
    let tk = m.t * k;
    let push = coded.v0 - m.v1;
    let (veer, veer_before) = veers(m, coded.v0);
    let mut fan = Fan {
        core: [
            m.w1 * tk,
            m.b12 * tk,
            m.b23 * tk,
            m.spin_e12 * k,
            veer * k,
            veer_before * k,
            m.w1.cross(m.b12) * (m.t12 * tk),
            Lanes::splat(tk),
        ],
        ..Fan::default()
    };
    if DENSE {
        let [x, y, z, _] = (push * k).0;
        fan.fine[..7].copy_from_slice(&[
            Lanes::X.turned(m.q1) * tk,
            Lanes::Z.turned(m.q1) * tk,
            m.spin_e23 * k,
            m.w1 * (m.v1.dot(push) / (m.v1.length_squared() + 1.0) * k),
            Lanes::splat(x),
            Lanes::splat(y),
            Lanes::splat(z),
        ]);
    }
    (fan, veer - veer_before)
}

/// How fast the way of the velocity turns: from the newest state to the row, and before it. Radians a second.
fn veers(m: &Motion, v0: Lanes) -> (Lanes, Lanes) {
    let square = m.v1.length_squared() + 1e-6;
    (m.v1.cross(v0) * (1.0 / (square * m.t)), m.v2.cross(m.v1) * (1.0 / (square * m.t12)))
}

/// The first of the features of a position that tell of the residuals of axes before.
pub(super) const FOLLOWS: usize = 10;

/// The way that a position is guessed to make; and directions along which the error is likely to lie.
pub(super) fn position<const DENSE: bool>(
    m: &Motion,
    coded: &Coded,
    body: &Body,
    line: Line,
) -> (Fan, [Lanes; 3]) {
    let tk = m.t * line.per_unit;
    let ttk = m.t * tk;
    let turning = m.w1.cross(m.v1);
    let mut fan = Fan::default();
    if body.velocity.is_some() {
        let push = coded.v0 - m.v1;
        fan.core = [
            coded.v0 * tk,
            m.v1 * tk,
            m.e12 * tk,
            m.e23 * tk,
            m.a12 * ttk,
            push * (m.dt * line.per_unit),
            m.u12 * tk,
            Lanes::splat(ttk),
        ];
        if DENSE {
            fan.fine[..5].copy_from_slice(&[
                turning * ttk,
                push.abs() * tk,
                m.a23 * ttk,
                (coded.v0 + m.v1) * (m.w1.length_squared() * m.t * ttk),
                m.w1.cross(turning) * (m.t * ttk),
            ]);
        }
    } else {
        let [x, y, z, _] = (m.u12 * tk).0;
        let [spin_x, spin_y, spin_z, _] = (m.r12 * tk).0;
        fan.core = [
            Lanes([x, y, z, 0.0]),
            (m.u12 - m.u23) * tk,
            turning * ttk,
            Lanes([y, z, x, 0.0]),
            Lanes([z, x, y, 0.0]),
            Lanes::splat(spin_x),
            Lanes::splat(spin_y),
            Lanes::splat(ttk),
        ];
        if DENSE {
            let height = log2_1p(m.height);
            fan.fine[..10].copy_from_slice(&[
                carried(m.u12, m.w1 * (0.5 * (m.t + m.t12))) * tk,
                m.w1.cross(turning) * (m.t * ttk),
                m.u12 * (m.u12.length() * ttk),
                m.u12 * (height * tk),
                m.u12 * (m.r12.length() * ttk),
                m.w1 * (m.w1.0[2] * ttk),
                Lanes::splat(m.w1.length_squared() * ttk),
                Lanes::splat(height * ttk),
                Lanes::splat(spin_z),
                Lanes::ZERO,
            ]);
        }
    }
    let along = if DENSE { [m.v1.unit(), m.w1.unit(), turning.unit()] } else { [Lanes::ZERO; 3] };
    (fan, along)
}

/// What the residuals of earlier axes say of this one, if the error lies along a direction: taken at its word, and
/// with doubt.
#[inline]
pub(super) fn follows(direction: Lanes, residuals: &Residuals, axis: usize) -> [f32; 2] {
    let mut along = 0.0;
    let mut square = 0.0;
    for (direction, residual) in direction.0.iter().zip(residuals).take(axis) {
        along += direction * residual;
        square += direction * direction;
    }
    let share = direction.0[axis] * along;
    [share / (square + 0.02), share / (square + 0.3)]
}

/// The turn that a rotation is guessed to make about each axis, in steps of its components.
pub(super) fn turn<const DENSE: bool>(m: &Motion, coded: &Coded, body: &Body, turn: Turn) -> Fan {
    // Half a turn's angle is what a quaternion's components change by.
    let k = turn.per_unit * 0.5;
    let tk = m.t * k;
    let steps = body.position.map_or(1.0, |line| line.per_unit);
    let v0 = if body.velocity.is_some() { coded.v0 } else { coded.d0 * (1.0 / m.t) };
    let (veer, veer_before) = veers(m, v0);
    let [way_x, way_y, way_z, _] = (coded.d0 * steps).0;
    let mut fan = Fan::default();
    if body.spin.is_some() {
        fan.core = [
            coded.w0 * tk,
            m.w1 * tk,
            m.spin_e12 * tk,
            m.spin_e23 * tk,
            m.b12 * (m.t * tk),
            (coded.w0 - m.w1) * (m.dt * k),
            m.r12 * tk,
            coded.w0.cross(m.w1) * (m.t * tk),
        ];
        if DENSE {
            fan.fine[0] = m.w1.cross(m.b12) * (m.t * tk);
            fan.fine[1] = (veer - veer_before) * tk;
        }
    } else {
        let span = m.u12.length() * m.t;
        let ratio = if span > 0.0 { (coded.d0.length() / span).min(4.0) } else { 1.0 };
        fan.core = [
            m.r12 * tk,
            (m.r12 - m.r23) * tk,
            m.r12 * (ratio * tk),
            veer * tk,
            veer_before * tk,
            Lanes::splat(way_x),
            Lanes::splat(way_y),
            Lanes::splat(way_z),
        ];
        if DENSE {
            let way = m.u12.unit();
            fan.fine[..5].copy_from_slice(&[
                m.w1.cross(m.b12) * (m.t * tk),
                way * (way.dot(m.r12) * tk),
                m.r12 * (m.r12.length() * m.t * tk),
                m.r12 * (log2_1p(m.height) * tk),
                m.r12 * (ratio * ratio * tk),
            ]);
        }
    }
    if DENSE {
        let [x, y, z, _] = ((coded.d0 - m.u12 * m.t) * steps).0;
        fan.fine[5..11].copy_from_slice(&[x, y, z, way_x, way_y, way_z].map(Lanes::splat));
    }
    fan
}

/// A rotation after turning by `steps` about each axis.
pub(super) fn turned(m: &Motion, turn: Turn, steps: Lanes) -> Lanes {
    quaternion_product(turn_by(steps * (turn.step * 2.0)), m.q1)
}

/// How a rotation's components change if it is turned further about a direction.
pub(super) fn tangent(components: Lanes, direction: Lanes) -> Lanes {
    let [x, y, z, _] = direction.0;
    quaternion_product(Lanes([x, y, z, 0.0]), components)
}

/// The guessed change of a column that moves by itself.
pub(super) struct LoneMotion {
    pub(super) motion: f32,
    pub(super) before: f32,
    pub(super) velocity: f32,
    pub(super) push: f32,
}

impl Lone {
    fn alone(column: usize) -> Self {
        Self { column, half_circle: None, velocity: None, steps_per_velocity: 0.0 }
    }

    /// The way between two values; the shorter one around a circle.
    pub(super) fn way(&self, newer: i32, older: i32) -> i32 {
        let way = newer.wrapping_sub(older);
        match self.half_circle {
            Some(half) => (way.wrapping_add(half) & (2 * half - 1)) - half,
            None => way,
        }
    }

    /// How it moved through the states; `coded` holds its velocity already.
    pub(super) fn motion(&self, states: &[State<'_>], dt: f32, coded: &[i32]) -> LoneMotion {
        let newest = &states[0];
        let t = newest.distance as f32;
        let between = |newer: &State<'_>, older: &State<'_>| {
            let way = self.way(newer.values[self.column], older.values[self.column]) as f32;
            way * t / older.distance.saturating_sub(newer.distance).max(1) as f32
        };
        let motion = states.get(1).map_or(0.0, |before| between(newest, before));
        let before = states.get(2).map_or(motion, |last| between(&states[1], last));
        let per_step = self.steps_per_velocity * t * dt;
        let old = self.velocity.map_or(0, |column| newest.values[column]);
        let new = self.velocity.map_or(0, |column| coded[column]);
        LoneMotion {
            motion,
            before,
            velocity: old as f32 * per_step,
            push: new.wrapping_sub(old) as f32 * per_step,
        }
    }
}

impl LoneMotion {
    pub(super) fn features(&self) -> Features {
        let mut features = Features::default();
        features.core[..4].copy_from_slice(&[
            self.motion,
            self.motion - self.before,
            self.velocity,
            self.push,
        ]);
        features
    }
}
