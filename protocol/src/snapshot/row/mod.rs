//! The way through a row: which field is coded when, against which guess, at which scale.
//!
//! Encoder, decoder and trainer walk the same way, and see the values of the row only as they are coded: an encoder cannot
//! use what a decoder does not know yet.

mod body;
mod columns;
mod straight;

use super::context::Wildness;
use super::dense::first_tables;
use super::lanes::{CORE, Fan, Features, Ints, Lanes, Sum, weigh};
use super::links::{Columns, Links, State, Turn};
use super::models::{FanWeights, Flag, Resolved, Site};
use super::pace::Pace;
use super::prior::Learned;
use crate::schema::{Column, Kind, Sight};

/// How rows of one kind are coded for one sight.
#[derive(Clone, Debug)]
pub(super) struct RowPlan {
    pub(super) links: Links,
    pub(super) models: Resolved,
    /// Where the tables of each column begin.
    pub(super) first_tables: Vec<usize>,
}

impl RowPlan {
    /// By what was learned, for one of the coders.
    pub(super) fn new(learned: &Learned, is_dense: bool, kind: &Kind, sight: Sight) -> Self {
        let links = Links::of(kind, kind.visible(sight));
        let models = Resolved::new(learned, is_dense, kind, &links);
        Self { links, models, first_tables: first_tables(kind) }
    }
}

/// One row to be coded.
#[derive(Clone, Copy)]
pub(super) struct RowContext<'a> {
    pub(super) kind: &'a Kind,
    pub(super) plan: &'a RowPlan,
    /// The published states that the row names, newest first; at least one.
    pub(super) states: &'a [State<'a>],
    /// The times between them.
    pub(super) pace: &'a Pace,
}

impl RowContext<'_> {
    /// Whether these values are as those of the newest state where they stay or change.
    #[inline]
    pub(super) fn keeps_states(&self, values: &[i32]) -> bool {
        let newest = self.states[0].values;
        self.plan.links.states.iter().all(|&column| values[column] == newest[column])
    }
}

/// What the columns of a field are coded against, axis by axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    /// The first column, and how many there are, up to three.
    pub(super) first: usize,
    pub(super) axes: usize,
    /// The lattice point nearest to the guess; may be out of the column's bounds.
    pub(super) points: [i32; 4],
    /// How far the guess lies above it, in twelfths of a step towards zero: -6 to 6, or a little more where
    /// floats are coarse.
    pub(super) twelfths: [i32; 4],
    /// The residual's likely size: its binary logarithm above [`SCALE_MIN`] in thirds, up to [`THIRDS_MAX`].
    pub(super) thirds: [i32; 4],
}

impl Guess {
    /// That of one of the columns.
    pub(super) fn axis(&self, axis: usize) -> Self {
        let one = |all: [i32; 4]| [all[axis], 0, 0, 0];
        let (points, twelfths, thirds) = (one(self.points), one(self.twelfths), one(self.thirds));
        Self { first: self.first + axis, axes: 1, points, twelfths, thirds }
    }
}

/// The least scale, as a binary logarithm.
pub(super) const SCALE_MIN: f32 = -4.0;
/// The largest, in thirds above it: residuals of 2^28.
pub(super) const THIRDS_MAX: usize = 96;

/// How the likely size of an error follows from features.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spread {
    /// Its binary logarithm is their weighted sum.
    Octaves,
    /// It is their weighted sum: they are sizes themselves, and no weight is negative.
    Steps,
}

/// What a trainer is shown beside the values.
pub(super) enum Lesson<'a> {
    /// A number was coded `error` steps from its guess: `mean` made the guess that it changes by `change`, `scale` that the error is
    /// of `size`, as `spread` has it.
    Number {
        site: usize,
        class: u8,
        mean: &'a Features,
        change: f32,
        scale: &'a Features,
        size: f32,
        error: f32,
        spread: Spread,
    },
    /// A rotation is about to be coded: what the turn is guessed from.
    Turn { site: usize, class: u8, axis: usize, mean: &'a Features, from: Lanes, turn: &'a Turn },
    /// A flag was coded.
    Flag { site: usize, class: u8, odds: &'a [f32; CORE], is: bool },
}

/// Writes, reads or learns the values of a row. None of it can fail: who reads remembers a fault, and gives values that the
/// walk can go on with.
pub(super) trait RowCoder {
    /// Whether lessons are wanted: they cost time.
    const LEARNS: bool = false;

    /// Codes the columns of a field: puts their values, which are within bounds, into `known`, and gives how far they are from
    /// the guess's points. `shapes` and `known` are of the row.
    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4];

    /// Codes whether a column has this value.
    fn is(&mut self, column: usize, value: i32, odds: f32) -> bool;

    /// Codes whether all of these columns are as in `values`.
    fn are(&mut self, columns: &[usize], values: &[i32], odds: f32) -> bool;

    /// What a trainer learns from; for it alone.
    fn learn(&mut self, _: Lesson<'_>) {}

    /// Where a trainer has the features of a field noted.
    #[inline]
    fn notes(&mut self) -> Option<&mut Notes> {
        None
    }
}

/// A coder that codes a field at once.
pub(super) trait FieldCoder: RowCoder {
    /// Codes the columns of a field against these points: puts their values, which are within bounds, into `known`, and gives
    /// them.
    fn vector(&mut self, columns: &Columns, points: Ints, thirds: Ints, known: &mut [i32]) -> Ints;
}

/// The features that a field was guessed from, and its scale.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    pub(super) mean: Fan,
    pub(super) scale: Fan,
}

/// Codes the values of a row that names states, as the `dense` coder guesses them. `known` takes the values as they come to be
/// known, but of columns that stay as they were, and of hidden ones: a reader begins with those of the newest state.
pub(super) fn walk_dense<C: RowCoder>(row: &RowContext<'_>, known: &mut [i32], coder: &mut C) {
    let mut walker = Walker::<C, true>::new(row, known, coder);
    for (index, body) in row.plan.links.bodies.iter().enumerate() {
        walker.body(index, body);
    }
    walker.columns();
}

/// The same as the `fast` coder guesses them.
#[expect(clippy::inline_always, reason = "once a row: called, the coder is moved out and in")]
#[inline(always)]
pub(super) fn walk_fast<C: FieldCoder>(row: &RowContext<'_>, known: &mut [i32], coder: &mut C) {
    let mut walker = Walker::<C, false>::new(row, known, coder);
    for (index, body) in row.plan.links.bodies.iter().enumerate() {
        walker.straight_body(index, body);
    }
    walker.columns();
}

struct Walker<'a, 'r, C, const DENSE: bool> {
    row: &'a RowContext<'r>,
    known: &'a mut [i32],
    coder: &'a mut C,
    /// Of the body that is coded, or was coded last.
    class: u8,
    wild: Wildness,
}

impl<'a, 'r, C: RowCoder, const DENSE: bool> Walker<'a, 'r, C, DENSE> {
    fn new(row: &'a RowContext<'r>, known: &'a mut [i32], coder: &'a mut C) -> Self {
        // A body of the `dense` coder says which class it is of.
        let has_class = DENSE && !row.plan.links.bodies.is_empty();
        let class = if has_class { 0 } else { row.pace.class };
        Self { row, known, coder, class, wild: Wildness::default() }
    }

    fn baseline(&self) -> &'r [i32] {
        self.row.states[0].values
    }

    fn site(&self, site: Site) -> usize {
        site.number(self.row.kind.column_count())
    }

    /// The weighted sums of a field's features, for its guess and for its scale.
    #[inline]
    fn sums(
        &mut self,
        weights: &FanWeights,
        features: impl FnOnce(&mut Sum<'_>, &mut Sum<'_>),
    ) -> (Lanes, Lanes) {
        let (of_mean, of_scale) = match self.coder.notes() {
            Some(notes) => {
                *notes = Notes::default();
                (Some(&mut notes.mean), Some(&mut notes.scale))
            }
            None => (None, None),
        };
        let (mut mean, mut scale) = (Sum::new(&weights.mean, of_mean), Sum::new(&weights.scale, of_scale));
        features(&mut mean, &mut scale);
        (mean.total(), scale.total())
    }

    /// Codes a column of its own; gives its residual.
    #[inline]
    fn number(&mut self, guess: &Guess) -> i32 {
        let [residual, ..] = self.coder.numbers(self.row.kind.columns(), guess, self.known);
        residual
    }

    /// Shows a trainer what an axis was coded with; `more` adds features that came up meanwhile.
    fn lesson(
        &mut self,
        column: usize,
        axis: usize,
        change: f32,
        size: f32,
        error: f32,
        more: impl FnOnce(&mut Features, &mut Features),
    ) {
        let Some(notes) = self.coder.notes() else { return };
        let (mut mean, mut scale) = (notes.mean.axis(axis), notes.scale.axis(axis));
        more(&mut mean, &mut scale);
        let (site, class) = (self.site(Site::Column(column)), self.class);
        let (mean, scale) = (&mean, &scale);
        let spread = if DENSE { Spread::Octaves } else { Spread::Steps };
        self.coder.learn(Lesson::Number { site, class, mean, change, scale, size, error, spread });
    }

    /// Codes whether a column has a value.
    #[inline]
    fn flag(&mut self, site: Site, column: usize, value: i32, odds: &[f32; CORE]) -> bool {
        if !DENSE {
            return self.coder.is(column, value, 0.0);
        }
        let site = self.site(site);
        let sum = weigh(*odds, &self.row.plan.models.get(self.class, site).scale);
        let is = self.coder.is(column, value, sum);
        self.coder.learn(Lesson::Flag { site, class: self.class, odds, is });
        is
    }

    #[cold]
    fn less_likely(&mut self, turn: &Turn, first: usize, mut rest: [f32; 4]) -> usize {
        let always = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let [mut second, mut third] = [0; 2];
        for place in [&mut second, &mut third] {
            rest[first] = -1.0;
            *place = largest_of(rest);
            rest[*place] = -1.0;
        }
        if self.flag(Site::Flag(Flag::Second), turn.first, second as i32, &always) {
            second
        } else if self.flag(Site::Flag(Flag::Third), turn.first, third as i32, &always) {
            third
        } else {
            6 - first - second - third
        }
    }
}

/// No guess is further than so many steps from its base.
const FAR: f32 = 1e9;

/// Scales as they are told.
#[inline]
fn thirds(sizes: Lanes) -> Ints {
    (sizes * 3.0 - Lanes::splat(SCALE_MIN * 3.0)).within(0.0, THIRDS_MAX as f32).truncated()
}

/// Scales of errors that are likely to be so large, as they are told.
///
/// The bits of a float as an integer are a fixed-point logarithm: see [`Lanes::log2`]. Those of a number below 0 are below that of
/// any other.
#[inline]
fn thirds_of(spread: Lanes) -> Ints {
    let octaves = spread.bits().lanes();
    (octaves * (3.0 / 8_388_608.0) - Lanes::splat((127.0 + SCALE_MIN) * 3.0))
        .clamped(0.0, THIRDS_MAX as f32)
        .truncated()
}

/// The guess of one column, which changes from `base`; and how far it lies above its point.
#[inline]
fn guess_of(column: usize, base: i32, change: f32, size: f32) -> (Guess, f32) {
    let change = if change.is_finite() { change.clamp(-FAR, FAR) } else { 0.0 };
    let steps = (change + 0.5_f32.copysign(change)) as i32;
    let fraction = change - steps as f32;
    let thirds = size * 3.0 - SCALE_MIN * 3.0;
    let thirds = if thirds.is_finite() { thirds.clamp(0.0, THIRDS_MAX as f32) as i32 } else { 0 };
    let points = [base.wrapping_add(steps), 0, 0, 0];
    let twelfths = [(fraction * 12.0) as i32, 0, 0, 0];
    let thirds = [thirds, 0, 0, 0];
    (Guess { first: column, axes: 1, points, twelfths, thirds }, fraction)
}

/// The three components beside the largest, in order.
#[inline]
pub(super) fn without(rotation: Lanes, largest: usize) -> Lanes {
    let [x, y, z, w] = rotation.lanes();
    Lanes::new(match largest {
        0 => [y, z, w, 0.0],
        1 => [x, z, w, 0.0],
        2 => [x, y, w, 0.0],
        _ => [x, y, z, 0.0],
    })
}

/// Which of four is the largest; of equals the first.
#[inline]
pub(super) fn largest_of([x, y, z, w]: [f32; 4]) -> usize {
    let (left, right) = (usize::from(y > x), 2 + usize::from(w > z));
    if z.max(w) > x.max(y) { right } else { left }
}

#[cfg(test)]
mod tests {
    use super::super::code::tell_dense;
    use super::super::lanes::FEATURES;
    use super::super::prior::{Learned, Model, Prior, Weights};
    use super::super::{Codec, Coder};
    use crate::schema::{Field, FieldId, FieldType, Kind, KindId, Schema, Sight};
    use crate::snapshot::links::State;
    use crate::snapshot::pace::Pace;
    use crate::time::TickRate;

    /// A prior comes from a peer: sums of its weights may be no numbers.
    #[test]
    fn weights_may_be_anything() {
        let bounds = || core::array::from_fn::<_, 3, _>(|_| -1000.0..=1000.0);
        let place = Field::new(FieldId(0), "place", FieldType::position(bounds(), 0.01));
        let kind =
            Kind::new(KindId(0), "crate", [place, Field::new(FieldId(1), "turn", FieldType::rotation(11))]);
        let schema = Schema::builder("crates").kind(kind).build().unwrap();
        for weight in [1e6, -1e6, 1.0] {
            let weights = Weights { mean: [weight; FEATURES], scale: [weight; FEATURES] };
            let model = |key| Model { key, class: 0, weights };
            let models = [(0..40).map(model).collect(), (0..40).map(model).collect()];
            let prior = Prior::from_learned(Learned { models, ..Learned::nothing() });
            let codec = Codec::with(schema.clone(), TickRate::new(60).unwrap(), Coder::Dense, prior);
            let values = [[90_000, -90_000, 5, 3, 1, 2, 3], [-90_000, 9, 90_000, 1, 2000, 0, 2000], [0; 7]];
            let states = [120, 121, 127].into_iter().zip(&values);
            let states: Vec<_> = states.map(|(distance, values)| State { distance, values }).collect();
            for named in 1..=3 {
                let (kind, states) = (&schema.kinds()[0], &states[..named]);
                let pace = Pace::of_states(states, codec.dt);
                let row = codec.row_context(kind, Sight::Public, states, &pace);
                let mut symbols = Vec::new();
                tell_dense(&row, codec.prior().learned(), &[1, 2, 3, 2, 7, 8, 9], &mut [0; 7], &mut symbols);
                assert!(symbols.len() >= 7, "{weight}, {named} states");
            }
        }
    }
}
