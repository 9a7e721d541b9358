//! The way through a row: which field is coded when, against which guess, at which scale.
//!
//! Encoder, decoder and trainer walk the same way, and see the values of the row only as they are coded: an encoder cannot
//! use what a decoder does not know yet.

#![expect(clippy::many_single_char_names, reason = "axes, times and rates have their names of mathematics")]

use super::context::{self, FIELD, FIELD_ABOVE, ROW, ROW_ABOVE, Surprise, Wildness};
use super::dense::residual;
use super::lanes::{Fan, Lanes};
use super::predict::{
    self, Body, Coded, FOLLOWS, Features, Line, Links, Lone, Motion, Residuals, State, Turn, difference,
    follows, vector,
};
use super::prior::{FanWeights, Flag, Place, Resolved, Site};
use crate::schema::{Column, Kind};

/// How rows of one kind are coded for one sight.
#[derive(Clone, Debug)]
pub(super) struct RowPlan {
    pub(super) links: Links,
    pub(super) models: Resolved,
    /// Which set of tables each column uses.
    pub(super) sets: Vec<u8>,
}

/// One row to be coded.
#[derive(Clone, Copy)]
pub(super) struct RowContext<'a> {
    pub(super) kind: &'a Kind,
    pub(super) plan: &'a RowPlan,
    /// The published states that the row names, newest first; at least one.
    pub(super) states: &'a [State<'a>],
    /// Seconds a tick.
    pub(super) dt: f32,
}

/// What a number is coded against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    pub(super) column: usize,
    /// The lattice point nearest to the guess; may be out of the column's bounds.
    pub(super) point: i64,
    /// How far the guess lies above it.
    pub(super) fraction: f32,
    /// Binary logarithm of the residual's likely size.
    pub(super) scale: f32,
}

/// What a trainer is shown beside the values.
pub(super) enum Lesson<'a> {
    /// A number was coded at `scale`, `error` steps from its guess: `mean` made the guess from `base`.
    Number {
        site: usize,
        class: u8,
        mean: &'a Features,
        change: f32,
        scale: &'a Features,
        size: f32,
        error: f32,
    },
    /// A rotation is about to be coded: what the turn is guessed from.
    Turn { site: usize, class: u8, axis: usize, mean: &'a Features, from: Lanes, turn: Turn },
    /// A flag was coded.
    Flag { site: usize, class: u8, odds: &'a Features, is: bool },
}

/// Writes, reads or learns the values of a row. None of it can fail: who reads remembers a fault, and gives values that the
/// walk can go on with.
pub(super) trait RowCoder {
    /// Whether lessons are wanted: they cost time.
    const LEARNS: bool = false;

    /// Codes a column; gives its value, which is within the column's bounds.
    fn number(&mut self, shape: &Column, guess: Guess) -> i32;

    /// Codes whether a column has this value.
    fn is(&mut self, column: usize, value: i32, odds: f32) -> bool;

    /// Codes whether all of these columns are as in `values`.
    fn are(&mut self, columns: &[usize], values: &[i32], odds: f32) -> bool;

    /// What a trainer learns from; for it alone.
    fn learn(&mut self, _: Lesson<'_>) {}
}

/// Codes the values of a row that names states, with the features of the `dense` or of the `fast` coder. `known` holds
/// the values as far as they are known; hidden columns stay as they are.
pub(super) fn walk<C: RowCoder, const DENSE: bool>(row: &RowContext<'_>, known: &mut [i32], coder: &mut C) {
    let links = &row.plan.links;
    let nobody = Body::default();
    let mut walker = Walker::<C, DENSE>::new(row, links.bodies.first().unwrap_or(&nobody), known, coder);
    for (index, body) in links.bodies.iter().enumerate() {
        if index > 0 {
            walker.turn_to(body);
        }
        walker.body(index);
    }
    for lone in &links.lone {
        walker.lone(lone);
    }
    walker.states();
}

struct Walker<'a, 'r, C, const DENSE: bool> {
    row: &'a RowContext<'r>,
    known: &'a mut [i32],
    coder: &'a mut C,
    body: &'a Body,
    motion: Motion,
    class: u8,
    wild: Wildness,
}

impl<'a, 'r, C: RowCoder, const DENSE: bool> Walker<'a, 'r, C, DENSE> {
    fn new(row: &'a RowContext<'r>, body: &'a Body, known: &'a mut [i32], coder: &'a mut C) -> Self {
        let motion = Motion::of(body, row.states, row.dt);
        let wild = Wildness::of::<DENSE>(&motion);
        Self { row, known, coder, body, motion, class: context::class(body, &motion), wild }
    }

    /// Goes on with another body of the row.
    fn turn_to(&mut self, body: &'a Body) {
        self.body = body;
        self.motion = Motion::of(body, self.row.states, self.row.dt);
        self.class = context::class(body, &self.motion);
        let row = self.wild.row;
        self.wild = Wildness::of::<DENSE>(&self.motion);
        self.wild.row = row;
    }

    fn baseline(&self) -> &'r [i32] {
        self.row.states[0].values
    }

    fn site(&self, site: Site) -> usize {
        site.number(self.row.kind.column_count())
    }

    fn body(&mut self, index: usize) {
        let m = &self.motion;
        let models = &self.row.plan.models;
        let weights = |place: Place| models.fan(self.class, index, place);
        let [velocity, spin, position, turn, components] =
            [Place::Velocity, Place::Spin, Place::Position, Place::Turn, Place::Components].map(weights);
        let mut coded = Coded { v0: m.v1, w0: m.w1, d0: m.u12 * m.t };
        if let Some(line) = self.body.velocity {
            let mean = predict::velocity::<DENSE>(m, line);
            let scale = context::velocity::<DENSE>(m, &self.wild, line);
            self.wild.velocity = self.line(line, &mean, &scale, velocity, None).mean();
            coded.v0 = vector(Some(line), self.known);
        }
        let m = &self.motion;
        if let Some(line) = self.body.spin {
            let (mean, veer) = predict::spin::<DENSE>(m, &coded, line);
            let scale = context::spin::<DENSE>(m, &coded, veer, &self.wild, self.body, line);
            self.line(line, &mean, &scale, spin, None);
            coded.w0 = vector(Some(line), self.known);
        }
        let m = &self.motion;
        if let Some(line) = self.body.position {
            let (mean, along) = predict::position::<DENSE>(m, &coded, self.body, line);
            let scale = context::position::<DENSE>(m, &coded, &self.wild, self.body, line, &along);
            self.wild.position = self.line(line, &mean, &scale, position, Some(&along)).mean();
            coded.d0 = difference(Some(line), self.known, self.baseline());
        }
        if let Some(line) = self.body.rotation {
            self.rotation(line, &coded, turn, components);
        }
    }

    /// Codes the axes of a field: each is guessed to change by a weighted sum. `along` are directions along which its error
    /// may lie.
    fn line(
        &mut self,
        line: Line,
        mean: &Fan,
        scale: &Fan,
        weights: &FanWeights,
        along: Option<&[Lanes; 3]>,
    ) -> Surprise {
        let changes = mean.weigh::<DENSE>(&weights.mean);
        let sizes = scale.weigh::<DENSE>(&weights.scale);
        let mut field = Surprise::default();
        let mut residuals: Residuals = [0.0; 3];
        for axis in 0..line.axes {
            let column = line.first + axis;
            let mut change = changes.0[axis];
            let mut from_before = [0.0; 6];
            if DENSE
                && axis > 0
                && let Some(along) = along
            {
                for (pair, direction) in from_before.chunks_exact_mut(2).zip(along) {
                    pair.copy_from_slice(&follows(*direction, &residuals, axis));
                }
                for (feature, weight) in from_before.iter().zip(&weights.mean.fine[FOLLOWS..]) {
                    change += feature * weight.0[axis];
                }
            }
            let change = change.clamp(-1e9, 1e9);
            let size = self.size(sizes, weights, axis, field);
            let base = self.baseline()[column];
            let steps = rounded(change);
            let guess = Guess {
                column,
                point: i64::from(base) + i64::from(steps),
                fraction: change - steps as f32,
                scale: size,
            };
            let value = self.number(guess);
            let error = residual(&self.row.kind.columns()[column], value, i64::from(base)) as f32 - change;
            if C::LEARNS {
                let mut mean = mean.axis(axis);
                mean.fine[FOLLOWS..].copy_from_slice(&from_before);
                self.lesson(column, &mean, change, &scale.axis(axis), field, size, error);
            }
            residuals[axis.min(2)] = error;
            self.note(&mut field, error, size);
        }
        field
    }

    /// The scale of an axis: what was summed up before, and what the residuals since then add.
    #[inline]
    fn size(&self, sizes: Lanes, weights: &FanWeights, axis: usize, field: Surprise) -> f32 {
        let (field, row) = (field.mean(), self.wild.row.mean());
        let weight = &weights.scale;
        let mut size = sizes.0[axis] + field * weight.core[FIELD].0[axis] + row * weight.core[ROW].0[axis];
        if DENSE {
            size += field.max(0.0) * weight.fine[FIELD_ABOVE].0[axis];
            size += row.max(0.0) * weight.fine[ROW_ABOVE].0[axis];
        }
        size
    }

    #[inline]
    fn number(&mut self, guess: Guess) -> i32 {
        let value = self.coder.number(&self.row.kind.columns()[guess.column], guess);
        self.known[guess.column] = value;
        value
    }

    #[inline]
    fn note(&mut self, field: &mut Surprise, error: f32, size: f32) {
        let octaves = Surprise::of(error, size);
        field.add(octaves);
        self.wild.row.add(octaves);
    }

    /// Shows a trainer what a number was coded with; `field` and the row's surprise are still those of before.
    #[expect(clippy::too_many_arguments, reason = "all that a number is coded with")]
    fn lesson(
        &mut self,
        column: usize,
        mean: &Features,
        change: f32,
        scale: &Features,
        field: Surprise,
        size: f32,
        error: f32,
    ) {
        let (field, row) = (field.mean(), self.wild.row.mean());
        let mut scale = *scale;
        (scale.core[FIELD], scale.core[ROW]) = (field, row);
        (scale.fine[FIELD_ABOVE], scale.fine[ROW_ABOVE]) = (field.max(0.0), row.max(0.0));
        let (site, class) = (self.site(Site::Column(column)), self.class);
        self.coder.learn(Lesson::Number { site, class, mean, change, scale: &scale, size, error });
    }

    fn rotation(&mut self, turn: Turn, coded: &Coded, turning: &FanWeights, weights: &FanWeights) {
        let fan = predict::turn::<DENSE>(&self.motion, coded, self.body, turn);
        if C::LEARNS {
            for axis in 0..3 {
                let site = self.site(Site::Turn(turn.first + 1 + axis));
                let (class, from, mean) = (self.class, self.motion.q1, fan.axis(axis));
                self.coder.learn(Lesson::Turn { site, class, axis, mean: &mean, from, turn });
            }
        }
        let [x, y, z, _] = fan.weigh::<DENSE>(&turning.mean).0.map(|steps| steps.clamp(-1e6, 1e6));
        let mut rotation = predict::turned(&self.motion, turn, Lanes([x, y, z, 0.0]));
        let scale = context::turn::<DENSE>(&self.motion, coded, &self.wild, self.body, turn.per_unit);
        let largest = self.largest(turn, rotation.0, &scale);
        self.known[turn.first] = largest as i32;
        if rotation.0[largest] < 0.0 {
            rotation = -rotation;
        }
        let components = without(rotation, largest);
        let mut along = [Lanes::ZERO; 2];
        if DENSE {
            let directions = [self.motion.w1.unit(), coded.d0.cross(Lanes::Z).unit()];
            along = directions.map(|direction| without(predict::tangent(rotation, direction), largest));
        }
        let scales = context::components::<DENSE>(&scale, components);
        let sizes = scales.weigh::<DENSE>(&weights.scale);
        let mut field = Surprise::default();
        let mut residuals: Residuals = [0.0; 3];
        for place in 0..3 {
            let mut mean = Features::default();
            if DENSE && place > 0 {
                let [a, b] = along.map(|tangent| follows(tangent, &residuals, place));
                mean.core[..4].copy_from_slice(&[a[0], a[1], b[0], b[1]]);
            }
            let change: f32 = (0..4)
                .map(|n| mean.core[n] * weights.mean.core[n].0[place])
                .fold(0.0, |sum, part| sum + part);
            let base = components.0[place] * turn.per_unit + turn.zero;
            let guess = (base + change).clamp(turn.bounds.0, turn.bounds.1);
            let size = self.size(sizes, weights, place, field);
            let column = turn.first + 1 + place;
            let point = rounded(guess);
            let fraction = guess - point as f32;
            let value = self.number(Guess { column, point: i64::from(point), fraction, scale: size });
            let error = value as f32 - guess;
            if C::LEARNS {
                self.lesson(column, &mean, change, &scales.axis(place), field, size, error);
            }
            residuals[place] = error;
            self.note(&mut field, error, size);
        }
    }

    /// Codes which component of a rotation is the largest: most likely the one that is guessed to be.
    fn largest(&mut self, turn: Turn, rotation: [f32; 4], scale: &Features) -> usize {
        let sizes = rotation.map(f32::abs);
        let [first, second, third, last] = by_size(sizes);
        let margin = (sizes[first] - sizes[second]) * turn.per_unit;
        let is_as_before = self.baseline()[turn.first] == first as i32;
        let odds = context::largest(scale, margin, is_as_before, &self.wild);
        if self.flag(Site::Column(turn.first), turn.first, first as i32, &odds) {
            return first;
        }
        let always = Features::constant();
        if self.flag(Site::Flag(Flag::Second), turn.first, second as i32, &always) {
            second
        } else if self.flag(Site::Flag(Flag::Third), turn.first, third as i32, &always) {
            third
        } else {
            last
        }
    }

    /// Codes whether a column has a value.
    fn flag(&mut self, site: Site, column: usize, value: i32, odds: &Features) -> bool {
        let site = self.site(site);
        let sum = odds.dot::<DENSE>(&self.row.plan.models.get(self.class, site).scale);
        let is = self.coder.is(column, value, sum);
        self.coder.learn(Lesson::Flag { site, class: self.class, odds, is });
        is
    }

    fn lone(&mut self, lone: &Lone) {
        let motion = lone.motion(self.row.states, self.row.dt, self.known);
        let (mean, scale) = (motion.features(), context::lone(&motion, &self.wild));
        let site = self.site(Site::Column(lone.column));
        let weights = self.row.plan.models.get(self.class, site);
        let change = mean.dot::<DENSE>(&weights.mean).clamp(-1e9, 1e9);
        let size = scale.dot::<DENSE>(&weights.scale);
        let base = i64::from(self.baseline()[lone.column]);
        let steps = rounded(change);
        let (point, fraction) = (base + i64::from(steps), change - steps as f32);
        let value = self.number(Guess { column: lone.column, point, fraction, scale: size });
        let error = residual(&self.row.kind.columns()[lone.column], value, base) as f32 - change;
        let class = self.class;
        self.coder.learn(Lesson::Number { site, class, mean: &mean, change, scale: &scale, size, error });
        self.wild.row.add(Surprise::of(error, size));
    }

    /// Codes the columns that stay or change. Mostly none does: one flag says so.
    fn states(&mut self) {
        let columns = &self.row.plan.links.states;
        let Some(&first) = columns.first() else { return };
        let baseline = self.baseline();
        let odds = self.state_odds(first);
        let site = self.site(Site::Flag(Flag::Same));
        let sum = odds.dot::<DENSE>(&self.row.plan.models.get(self.class, site).scale);
        let are = self.coder.are(columns, baseline, sum);
        self.coder.learn(Lesson::Flag { site, class: self.class, odds: &odds, is: are });
        for &column in columns {
            self.known[column] = baseline[column];
            if !are {
                self.state(column);
            }
        }
    }

    fn state(&mut self, column: usize) {
        let old = self.baseline()[column];
        let odds = self.state_odds(column);
        if self.flag(Site::Column(column), column, old, &odds) {
            return;
        }
        let shape = &self.row.kind.columns()[column];
        if shape.bits == 1 {
            self.known[column] = if old == shape.min { shape.max } else { shape.min };
            return;
        }
        let site = self.site(Site::Turn(column));
        let mean = Features::default();
        let size = odds.dot::<DENSE>(&self.row.plan.models.get(self.class, site).scale);
        let guess = Guess { column, point: i64::from(old), fraction: 0.0, scale: size };
        let value = self.number(guess);
        let error = (i64::from(value) - i64::from(old)) as f32;
        let lesson =
            Lesson::Number { site, class: self.class, mean: &mean, change: 0.0, scale: &odds, size, error };
        self.coder.learn(lesson);
    }

    fn state_odds(&self, column: usize) -> Features {
        let states = self.row.states;
        let differ = |newer: usize| {
            states.get(newer + 1).is_some_and(|older| older.values[column] != states[newer].values[column])
        };
        let before = [differ(0), differ(1)];
        context::state(states[0].values[column], before, &self.wild, &self.motion, self.body)
    }
}

/// The three components beside the largest, in order.
#[inline]
fn without(rotation: Lanes, largest: usize) -> Lanes {
    let [x, y, z, w] = rotation.0;
    Lanes(match largest {
        0 => [y, z, w, 0.0],
        1 => [x, z, w, 0.0],
        2 => [x, y, w, 0.0],
        _ => [x, y, z, 0.0],
    })
}

/// Indices by size, the largest first; of equals the lower one.
#[inline]
fn by_size(sizes: [f32; 4]) -> [usize; 4] {
    let mut order = [0, 1, 2, 3];
    // Five comparisons sort four.
    for (a, b) in [(0, 1), (2, 3), (0, 2), (1, 3), (1, 2)] {
        let (left, right) = (order[a], order[b]);
        if sizes[right] > sizes[left] || (sizes[right] >= sizes[left] && right < left) {
            order.swap(a, b);
        }
    }
    order
}

/// The nearest integer.
#[inline]
fn rounded(value: f32) -> i32 {
    (value + if value < 0.0 { -0.5 } else { 0.5 }) as i32
}
