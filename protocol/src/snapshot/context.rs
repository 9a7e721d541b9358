//! How far off a guess is likely to be: what a column's table or code length is chosen by.
//!
//! A second weighted sum, over logarithms of a body's motion and of the residuals coded already in this row, gives the
//! binary logarithm of the residual's likely size: its **scale**. Flags have log odds in the same way. The weights of
//! both sums differ by **class**: how many states are named, how old the newest is, how steadily the body moves.
//!
//! Everything is known to both ends before the value is coded.

use super::lanes::{Fan, Lanes, log2, log2_1p};
use super::predict::{Body, Coded, Features, Line, LoneMotion, Motion, State};

/// Sets of weights that a column may have.
pub(super) const CLASSES: usize = 3 * AGES * LEVELS;
const AGES: usize = 4;
const LEVELS: usize = 6;

/// Features of a scale that follow from the residuals coded before: they come axis by axis. In the core: the mean surprise of
/// the field and of the row. Among the fine ones: the same, as far as it is above zero.
pub(super) const FIELD: usize = 6;
pub(super) const ROW: usize = 7;
pub(super) const FIELD_ABOVE: usize = 9;
pub(super) const ROW_ABOVE: usize = 10;

/// The class of a body's weights.
pub(super) fn class(body: &Body, motion: &Motion) -> u8 {
    class_of(motion.states, motion.t, level(body, motion))
}

/// The class of a row's flags.
pub(super) fn flag_class(states: &[State<'_>], dt: f32) -> u8 {
    class_of(states.len(), states.first().map_or(1, |state| state.distance) as f32 * dt, 0)
}

fn class_of(states: usize, seconds: f32, level: usize) -> u8 {
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
fn level(body: &Body, motion: &Motion) -> usize {
    let Some(velocity) = body.velocity else {
        let steps = body.position.map_or(0.0, |line| motion.u12.length() * motion.t * line.per_unit);
        return match log2_1p(steps) {
            s if s < 2.0 => 0,
            s if s < 4.0 => 1,
            s if s < 5.5 => 2,
            s if s < 7.0 => 3,
            s if s < 8.5 => 4,
            _ => 5,
        };
    };
    if motion.v1 == Lanes::ZERO {
        return 0;
    }
    let steps = |vector: Lanes| log2_1p(vector.length() * motion.t * velocity.per_unit);
    let (wavers, pushes) = match motion.states {
        1 => return 5,
        2 => (steps(motion.a12), log2_1p(motion.e12.length() * velocity.per_unit)),
        _ => (steps(motion.a12 - motion.a23), steps(motion.a12)),
    };
    match wavers - pushes {
        w if w < -2.5 => 1,
        w if w < -1.0 => 2,
        w if w < 0.0 => 3,
        w if w < 0.7 => 4,
        _ => 5,
    }
}

/// By how much residuals were larger than their scale said, on average, in octaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surprise {
    sum: f32,
    count: f32,
}

impl Surprise {
    pub(super) fn mean(self) -> f32 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    pub(super) fn add(&mut self, octaves: f32) {
        self.sum += octaves;
        self.count += 1.0;
    }

    /// How much larger a residual is than its scale.
    pub(super) fn of(residual: f32, scale: f32) -> f32 {
        (log2(residual.abs() + 0.5) - scale).clamp(-4.0, 8.0)
    }
}

/// What all fields of a body know of how wild it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wildness {
    /// Logarithm of the time to guess over.
    time: f32,
    /// Logarithm of the turn over that time.
    turn: f32,
    /// How far from level the body stands: 1 upright or upside down, 0 on its side.
    upright: f32,
    height: f32,
    /// Surprises of the whole row so far.
    pub(super) row: Surprise,
    /// Those of the velocity and of the position.
    pub(super) velocity: f32,
    pub(super) position: f32,
}

impl Wildness {
    /// Into the fine features of a scale.
    fn put(&self, fan: &mut Fan) {
        for (feature, value) in fan.fine.iter_mut().zip([self.time, self.turn, self.height, self.upright]) {
            *feature = Lanes::splat(value);
        }
    }

    pub(super) fn of<const DENSE: bool>(motion: &Motion) -> Self {
        Self {
            time: log2(motion.t * 60.0),
            turn: log2_1p(motion.w1.length() * motion.t * 256.0),
            upright: if DENSE { Lanes::Z.turned(motion.q1).0[2].abs() } else { 0.0 },
            height: if DENSE { log2_1p(motion.height) } else { 0.0 },
            row: Surprise::default(),
            velocity: 0.0,
            position: 0.0,
        }
    }
}

/// For the axes of a velocity.
pub(super) fn velocity<const DENSE: bool>(m: &Motion, wild: &Wildness, line: Line) -> Fan {
    let tk = m.t * line.per_unit;
    let mut fan = rate(m.v1, m.a12, m.a23, m.e12.length() * line.per_unit, tk);
    if DENSE {
        wild.put(&mut fan);
        fan.fine[4] = Lanes::splat(log2_1p(m.w1.cross(m.v1).length() * tk));
        fan.fine[5] = Lanes::splat(log2_1p(m.b12.length() * m.t * 256.0));
        fan.fine[6] = (m.v1 * tk).log2_1p();
        fan.fine[7] = Lanes::X.turned(m.q1).abs();
    }
    fan
}

/// For the axes of an angular velocity; `veer` is how much more the way of the velocity turns than it did.
pub(super) fn spin<const DENSE: bool>(
    m: &Motion,
    coded: &Coded,
    veer: Lanes,
    wild: &Wildness,
    body: &Body,
    line: Line,
) -> Fan {
    let tk = m.t * line.per_unit;
    let mut fan = rate(m.w1, m.b12, m.b23, m.spin_e12.length() * line.per_unit, tk);
    if DENSE {
        wild.put(&mut fan);
        fan.fine[4] = Lanes::splat(wild.velocity);
        fan.fine[5] = Lanes::splat(log2_1p(veer.length() * line.per_unit));
        fan.fine[6] = (m.w1 * tk).log2_1p();
        fan.fine[7] = Lanes::splat(jolt(m, coded, body));
    }
    fan
}

fn rate(old: Lanes, a12: Lanes, a23: Lanes, error: f32, tk: f32) -> Fan {
    let mut fan = Fan::default();
    fan.core[..6].copy_from_slice(&[
        Lanes::splat(1.0),
        Lanes::splat(log2_1p(a12.length() * tk)),
        Lanes::splat(log2_1p((a12 - a23).length() * tk)),
        Lanes::splat(log2_1p(old.length() * tk)),
        Lanes::splat(log2_1p(error)),
        (a12 * tk).log2_1p(),
    ]);
    fan
}

/// For the axes of a position.
pub(super) fn position<const DENSE: bool>(
    m: &Motion,
    coded: &Coded,
    wild: &Wildness,
    body: &Body,
    line: Line,
    along: &[Lanes; 3],
) -> Fan {
    let tk = m.t * line.per_unit;
    let ttk = m.t * tk;
    let has_velocity = body.velocity.is_some();
    let change = if has_velocity { coded.v0 - m.v1 } else { m.u12 - m.u23 } * tk;
    let mut fan = Fan::default();
    fan.core[..6].copy_from_slice(&[
        Lanes::splat(1.0),
        Lanes::splat(log2_1p(change.length())),
        Lanes::splat(if has_velocity { log2_1p(m.e12.length() * tk) } else { wild.turn }),
        Lanes::splat(log2_1p(m.v1.length() * tk)),
        change.log2_1p(),
        (m.v1 * tk).log2_1p(),
    ]);
    if DENSE {
        wild.put(&mut fan);
        let turning = m.w1.cross(m.v1) * ttk;
        let [wavers, wild_or_still] = if has_velocity {
            [log2_1p((m.e12 - m.e23).length() * tk), wild.velocity]
        } else {
            [log2_1p(m.v1.0[2].abs() * tk), f32::from(u8::from(m.u12 == Lanes::ZERO))]
        };
        fan.fine[4] = Lanes::splat(log2_1p(m.a12.length() * ttk));
        fan.fine[5] = Lanes::splat(wavers);
        fan.fine[6] = Lanes::splat(wild_or_still);
        fan.fine[7] = Lanes::splat(log2_1p(turning.length()));
        fan.fine[8] = Lanes::splat(log2_1p(m.b12.length() * m.t * 256.0));
        fan.fine[11] = turning.log2_1p();
        fan.fine[12] = (m.a12 * ttk).log2_1p();
        let [first, last] = [along[0], along[2]].map(|way| way.times(way));
        let [x, y, _, _] = first.0;
        fan.fine[13] = (first + Lanes::splat(0.03)).log2();
        // How much of the error falls on an axis, compared with the axes before.
        let before = Lanes([1.0, 1.0 / (x + 0.03), 1.0 / (x + y + 0.03), 1.0]);
        let shares = Lanes([last.0[0], first.0[1], first.0[2], 0.0]).times(before);
        fan.fine[14] = (shares + Lanes::splat(0.03)).log2();
    }
    fan
}

/// For the turn of a rotation: what its components share.
pub(super) fn turn<const DENSE: bool>(
    m: &Motion,
    coded: &Coded,
    wild: &Wildness,
    body: &Body,
    per_unit: f32,
) -> Features {
    let tk = m.t * per_unit * 0.5;
    let steps = body.position.map_or(1.0, |line| line.per_unit);
    let change = if body.spin.is_some() { coded.w0 - m.w1 } else { m.r12 - m.r23 };
    let mut features = Features::default();
    features.core[..5].copy_from_slice(&[
        1.0,
        log2_1p(change.length() * tk),
        log2_1p(m.spin_e12.length() * tk),
        log2_1p(m.r12.length() * tk),
        wild.position,
    ]);
    if DENSE {
        features.fine[..9].copy_from_slice(&[
            wild.time,
            wild.turn,
            wild.height,
            wild.upright,
            log2_1p(m.b12.length() * m.t * tk),
            log2_1p((coded.d0 - m.u12 * m.t).length() * steps),
            log2_1p(m.v1.length() * m.t * steps),
            log2_1p(m.r12.0[2].abs() * m.t * 256.0),
            f32::from(u8::from(m.r12 == Lanes::ZERO)),
        ]);
        features.fine[12..14].copy_from_slice(&[wild.velocity, jolt(m, coded, body)]);
    }
    features
}

/// By how much the velocity changed otherwise than before, as a logarithm: something has struck the body.
fn jolt(m: &Motion, coded: &Coded, body: &Body) -> f32 {
    let steps = body.velocity.map_or(0.0, |line| line.per_unit);
    log2_1p((coded.v0 - m.v1 - m.a12 * m.t).length() * steps)
}

/// For whether the largest component is the guessed one, `margin` steps larger than the next.
pub(super) fn largest(turn: &Features, margin: f32, is_as_before: bool, wild: &Wildness) -> Features {
    let mut features = *turn;
    features.core[5] = log2_1p(margin);
    features.core[6] = f32::from(u8::from(is_as_before));
    features.core[7] = wild.row.mean();
    features
}

/// For the three smaller components, by place, whose values are guessed to be `components`.
pub(super) fn components<const DENSE: bool>(turn: &Features, components: Lanes) -> Fan {
    let mut fan = Fan { core: turn.core.map(Lanes::splat), fine: Default::default() };
    fan.core[5] = (components * 16.0).log2_1p();
    if DENSE {
        fan.fine = turn.fine.map(Lanes::splat);
        fan.fine[11] = components.times(components);
    }
    fan
}

/// For a column that moves by itself.
pub(super) fn lone(motion: &LoneMotion, wild: &Wildness) -> Features {
    let still = |way: f32| f32::from(u8::from(way == 0.0));
    let mut features = Features {
        core: [
            1.0,
            log2_1p(motion.motion.abs()),
            log2_1p((motion.motion - motion.before).abs()),
            log2_1p(motion.push.abs()),
            still(motion.motion),
            still(motion.before),
            wild.position,
            wild.row.mean(),
        ],
        ..Features::default()
    };
    features.fine[0] = wild.time;
    features.fine[1] = log2_1p(motion.before.abs());
    features.fine[2] = log2_1p(motion.velocity.abs());
    features
}

/// For whether a column that stays or changes has changed: `before` is what it did between the named states.
pub(super) fn state(
    value: i32,
    before: [bool; 2],
    wild: &Wildness,
    motion: &Motion,
    body: &Body,
) -> Features {
    let number = |is: bool| f32::from(u8::from(is));
    let zero = number(value == 0);
    let speed = log2_1p(motion.v1.length() * motion.t * body.position.map_or(1.0, |line| line.per_unit));
    let surprise = wild.row.mean();
    let mut features = Features {
        core: [
            1.0,
            number(before[0]),
            number(before[1]),
            zero,
            speed,
            speed * zero,
            wild.turn,
            wild.turn * zero,
        ],
        ..Features::default()
    };
    features.fine[..5].copy_from_slice(&[wild.time, surprise, surprise * zero, wild.height, wild.upright]);
    features
}

/// For what a row that is held does: is it sent, does it rest. `held` is whether it stood between the named states.
pub(super) fn row(
    body: &Body,
    states: &[State<'_>],
    held: [bool; 2],
    is_at_rest: bool,
    zero: bool,
) -> Features {
    let number = |is: bool| f32::from(u8::from(is));
    let mut features = Features::default();
    features.core[..6].copy_from_slice(&[
        1.0,
        number(held[0]),
        number(held[1]),
        number(is_at_rest),
        number(zero),
        number(zero && held[0]),
    ]);
    if let [newest, before, ..] = states
        && !held[0]
    {
        let way = |first: usize, count: usize| {
            let columns = first..first + count;
            let ways = newest.values[columns.clone()].iter().zip(&before.values[columns]);
            ways.fold(0_u32, |way, (newer, older)| way.saturating_add(newer.abs_diff(*older)))
        };
        let span = before.distance.saturating_sub(newest.distance).max(1) as f32;
        let steps = newest.distance as f32 / span;
        let moved = body.position.map_or(0, |line| way(line.first, line.axes));
        let turned = body.rotation.map_or(0, |turn| way(turn.first + 1, 3));
        features.core[6] = log2_1p(moved as f32 * steps);
        features.core[7] = log2_1p(turned as f32 * steps);
    }
    features
}
