//! The way through a row: which field is coded when, against which guess, at which scale.
//!
//! Encoder, decoder and trainer walk the same way, and see the values of the row only as they are coded: an encoder cannot
//! use what a decoder does not know yet.

use super::context::{self, FIELD, FIELD_ABOVE, Wildness, surprise};
use super::lanes::{CORE, FEATURES, Fan, Features, Ints, Lanes, Sum, log2, weigh};
use super::links::{Body, Line, Links, Lone, State, Turn};
use super::models::{FanWeights, Flag, Place, Resolved, Site};
use super::motion::{Motion, difference, vector};
use super::predict::{self, Coded, FOLLOWS, follows};
use super::straight::{self, Course, Push, Way};
use crate::schema::{Column, Kind};

/// How rows of one kind are coded for one sight.
#[derive(Clone, Debug)]
pub(super) struct RowPlan {
    pub(super) links: Links,
    pub(super) models: Resolved,
    /// Where the tables of each column begin.
    pub(super) first_tables: Vec<usize>,
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

/// What a trainer is shown beside the values.
pub(super) enum Lesson<'a> {
    /// A number was coded at `scale`, `error` steps from its guess: `mean` made the guess that it changes by `change`.
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

/// The features that a field was guessed from, and its scale.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    pub(super) mean: Fan,
    pub(super) scale: Fan,
}

/// Codes the values of a row that names states, with the features of the `dense` or of the `fast` coder. `known` holds
/// the values as far as they are known; hidden columns stay as they are.
pub(super) fn walk<C: RowCoder, const DENSE: bool>(row: &RowContext<'_>, known: &mut [i32], coder: &mut C) {
    let links = &row.plan.links;
    let class = context::flag_class(row.states, row.dt);
    let mut walker = Walker::<C, DENSE> { row, known, coder, class, wild: Wildness::default() };
    for (index, body) in links.bodies.iter().enumerate() {
        if DENSE {
            walker.body(index, body);
        } else {
            walker.straight_body(index, body);
        }
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
    /// Of the body that is coded, or was coded last.
    class: u8,
    wild: Wildness,
}

impl<'r, C: RowCoder, const DENSE: bool> Walker<'_, 'r, C, DENSE> {
    fn baseline(&self) -> &'r [i32] {
        self.row.states[0].values
    }

    fn site(&self, site: Site) -> usize {
        site.number(self.row.kind.column_count())
    }

    // Apart, so that what is needed in its middle is not kept at hand all the time.
    #[inline(never)]
    fn body(&mut self, index: usize, body: &Body) {
        let m = Motion::of(body, self.row.states, self.row.dt);
        self.class = context::class(body, &m);
        self.wild = Wildness::of(&m, body);
        let mut coded = Coded { v0: m.v1, w0: m.w1, d0: m.new.u * m.t };
        if let Some(line) = &body.velocity {
            let wild = self.wild;
            self.wild.velocity = self.line(
                line,
                (index, Place::Velocity),
                None,
                |sum| predict::velocity(&m, line, sum),
                |sum| context::velocity(&m, &wild, line, sum),
            );
            coded.v0 = vector(Some(line), self.known);
        }
        let wild = self.wild;
        if let Some(line) = &body.spin {
            let veers = predict::veers(&m, coded.v0);
            self.line(
                line,
                (index, Place::Spin),
                None,
                |sum| predict::spin(&m, &coded, veers, line, sum),
                |sum| context::spin(&m, &coded, veers.0 - veers.1, &wild, body, line, sum),
            );
            coded.w0 = vector(Some(line), self.known);
        }
        if let Some(line) = &body.position {
            self.wild.position = if body.velocity.is_some() {
                self.line(
                    line,
                    (index, Place::Position),
                    None,
                    |sum| predict::driven(&m, &coded, line, sum),
                    |sum| context::driven(&m, &coded, &wild, line, sum),
                )
            } else {
                let turning = m.w1.cross(m.v1);
                let along = [m.v1, m.w1, turning].map(Lanes::unit);
                self.line(
                    line,
                    (index, Place::Position),
                    Some(&along),
                    |sum| predict::free(&m, turning, line, sum),
                    |sum| context::free(&m, turning, &wild, line, &along, sum),
                )
            };
            coded.d0 = difference(line, self.known, self.baseline());
        }
        if let Some(turn) = &body.rotation {
            self.rotation(&m, &coded, (index, body), turn);
        }
    }

    /// Codes the axes of a field: each is guessed to change by a weighted sum, at a scale that is another. `along` are
    /// directions along which its error may lie: what an axis was off then tells of the next. Gives how much it surprised.
    #[inline]
    fn line(
        &mut self,
        line: &Line,
        (index, place): (usize, Place),
        along: Option<&[Lanes; 3]>,
        mean: impl FnOnce(&mut Sum<'_>),
        scale: impl FnOnce(&mut Sum<'_>),
    ) -> f32 {
        let weights = self.row.plan.models.fan(self.class, index, place);
        let (changes, sizes) = self.sums(weights, |of_mean, of_scale| {
            mean(of_mean);
            scale(of_scale);
        });
        let guesses = Guesses { first: line.first, axes: line.axes, from: Lanes::ZERO, changes, sizes };
        let base = &self.baseline()[line.first..];
        match along {
            Some(along) => self.one_by_one(guesses, base, Some(along), weights),
            None => self.at_once(guesses, Ints::of(self.baseline(), line.first)),
        }
    }

    /// Codes a body as the `fast` coder guesses it.
    #[inline(never)]
    fn straight_body(&mut self, index: usize, body: &Body) {
        let (states, way) = (self.row.states, Way::of(self.row.states, self.row.dt));
        let course = |line: Option<&Line>| line.map_or(Course::default(), |line| way.course(line, states));
        let (rate, place) = (course(body.velocity.as_ref()), course(body.position.as_ref()));
        self.class = way.class(if body.velocity.is_some() { &rate } else { &place });
        self.wild = Wildness::default();
        let mut push = Push::default();
        if let Some(line) = &body.velocity {
            let off = body.position.as_ref().map_or(Lanes::ZERO, |at| way.off((line, &rate), (at, &place)));
            self.wild.velocity = self.straight_line(line, (index, Place::Velocity), |mean, scale| {
                way.rate(&rate, off, 0.0, mean, scale);
            });
            push = Push { old: rate.value, older: rate.last, new: straight::value(line, self.known) };
        }
        let surprise = self.wild.velocity;
        if let Some(line) = &body.spin {
            let course = way.course(line, states);
            self.straight_line(line, (index, Place::Spin), |mean, scale| {
                way.rate(&course, Lanes::ZERO, surprise, mean, scale);
                way.veers(&push, line, mean);
            });
        }
        if let Some(line) = &body.position {
            self.wild.position =
                self.straight_line(line, (index, Place::Position), |mean, scale| match &body.velocity {
                    Some(velocity) => {
                        way.driven(&place, push.over(&way, velocity, line), surprise, mean, scale);
                    }
                    None => way.free(&place, mean, scale),
                });
        }
        if let Some(turn) = &body.rotation {
            self.arc(&way, (index, body), turn);
        }
    }

    /// Codes the axes of a field; gives how much it surprised.
    #[inline]
    fn straight_line(
        &mut self,
        line: &Line,
        (index, place): (usize, Place),
        features: impl FnOnce(&mut Sum<'_>, &mut Sum<'_>),
    ) -> f32 {
        let weights = self.row.plan.models.fan(self.class, index, place);
        let (changes, sizes) = self.sums(weights, features);
        let guesses = Guesses { first: line.first, axes: line.axes, from: Lanes::ZERO, changes, sizes };
        self.at_once(guesses, Ints::of(self.baseline(), line.first))
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

    /// Codes a rotation as it goes on along its great circle.
    #[inline]
    fn arc(&mut self, way: &Way, (index, body): (usize, &Body), turn: &Turn) {
        let arc = way.arc(turn, self.row.states);
        let first = arc.largest();
        let largest = if self.flag(Site::Column(turn.first), turn.first, first as i32, &[0.0; CORE]) {
            first
        } else {
            self.less_likely(turn, first, arc.sizes())
        };
        self.known[turn.first] = largest as i32;
        let arc = arc.seen_from(largest);
        let turns = body.spin.as_ref().map(|line| way.half_turns(line, self.known, self.baseline()));
        let weights = self.row.plan.models.fan(self.class, index, Place::Components);
        let surprises = [self.wild.position, self.wild.velocity];
        let (changes, sizes) = self.sums(weights, |mean, scale| {
            arc.components(turns, surprises, turn.per_unit, mean, scale);
        });
        let from = arc.from() * turn.per_unit + Lanes::splat(turn.zero);
        self.at_once(Guesses { first: turn.first + 1, axes: 3, from, changes, sizes }, Ints::new([0; 4]));
    }

    /// Codes axes that tell nothing of each other.
    #[inline]
    fn at_once(&mut self, guesses: Guesses, base: Ints) -> f32 {
        let guessed = (guesses.from + guesses.changes).within(-FAR, FAR);
        let steps = guessed.rounded();
        let fractions = guessed - steps.lanes();
        let guess = Guess {
            first: guesses.first,
            axes: guesses.axes,
            points: (base + steps).values(),
            twelfths: (fractions * 12.0).truncated().values(),
            thirds: thirds(guesses.sizes).values(),
        };
        let residuals = self.coder.numbers(self.row.kind.columns(), &guess, self.known);
        let errors = Ints::new(residuals).lanes() - fractions;
        if C::LEARNS {
            for axis in 0..guesses.axes.min(3) {
                let [change, size, error] =
                    [guesses.changes, guesses.sizes, errors].map(|lanes| lanes.lanes()[axis]);
                self.lesson(guesses.first + axis, axis, change, size, error, |_, _| ());
            }
        }
        surprise(errors, guesses.sizes, guesses.axes)
    }

    /// Codes axes of which each tells of those that follow.
    fn one_by_one(
        &mut self,
        guesses: Guesses,
        base: &[i32],
        along: Option<&[Lanes; 3]>,
        weights: &FanWeights,
    ) -> f32 {
        let (from, changes, sizes) = (guesses.from.lanes(), guesses.changes.lanes(), guesses.sizes.lanes());
        let [field_weights, above_weights] = [FIELD, FIELD_ABOVE].map(|place| weights.scale.0[place].lanes());
        let mut residuals = [0.0; 3];
        let mut octaves = 0.0;
        for axis in 0..guesses.axes.min(3) {
            let column = guesses.first + axis;
            let mut from_before = [0.0; FEATURES - FOLLOWS];
            let mut change = changes[axis];
            if let Some(along) = along.filter(|_| axis > 0) {
                for (pair, direction) in from_before.chunks_exact_mut(2).zip(along) {
                    pair.copy_from_slice(&follows(*direction, residuals, axis));
                }
                for (feature, weight) in from_before.iter().zip(&weights.mean.0[FOLLOWS..]) {
                    change += feature * weight.lanes()[axis];
                }
            }
            let field = octaves * [1.0, 1.0, 0.5][axis];
            let size = sizes[axis] + field * field_weights[axis] + field.max(0.0) * above_weights[axis];
            let (guess, fraction) = guess_of(column, base[axis], from[axis] + change, size);
            let error = self.number(&guess) as f32 - fraction;
            if C::LEARNS {
                self.lesson(column, axis, change, size, error, |mean, scale| {
                    mean[FOLLOWS..].copy_from_slice(&from_before);
                    (scale[FIELD], scale[FIELD_ABOVE]) = (field, field.max(0.0));
                });
            }
            residuals[axis] = error;
            octaves += (log2(error.abs() + 0.5) - size).clamp(-4.0, 8.0);
        }
        octaves / guesses.axes as f32
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
        self.coder.learn(Lesson::Number { site, class, mean: &mean, change, scale: &scale, size, error });
    }

    fn rotation(&mut self, m: &Motion, coded: &Coded, (index, body): (usize, &Body), turn: &Turn) {
        let models = &self.row.plan.models;
        let turning = models.fan(self.class, index, Place::Turn);
        let (steps, _) = self.sums(turning, |mean, _| predict::turn(m, coded, body, turn, mean));
        if let Some(notes) = self.coder.notes().copied() {
            for axis in 0..3 {
                let site = self.site(Site::Turn(turn.first + 1 + axis));
                let mean = notes.mean.axis(axis);
                self.coder.learn(Lesson::Turn {
                    site,
                    class: self.class,
                    axis,
                    mean: &mean,
                    from: m.q1,
                    turn,
                });
            }
        }
        let rotation = predict::turned(m, turn, steps);
        let (largest, rotation) = self.largest(m, turn, rotation);
        self.known[turn.first] = largest as i32;
        let components = without(rotation, largest);
        let weights = models.fan(self.class, index, Place::Components);
        let wild = self.wild;
        let (changes, sizes) = self.sums(weights, |_, scale| {
            context::components(m, coded, &wild, body, turn.per_unit, components, scale);
        });
        let from = components * turn.per_unit + Lanes::splat(turn.zero);
        let guesses = Guesses { first: turn.first + 1, axes: 3, from, changes, sizes };
        // Where nothing else tells how a body turned, it mostly turned on further about one of these.
        let along = body.velocity.is_none().then(|| {
            [m.w1, coded.d0.cross(Lanes::new([0.0, 0.0, 1.0, 0.0])), coded.d0]
                .map(|axis| without(predict::tangent(rotation, axis.unit()), largest))
        });
        self.one_by_one(guesses, &[0; 3], along.as_ref(), weights);
    }

    /// Codes which component of a rotation is the largest: most likely the one that is guessed to be. Gives the guess in
    /// which it is positive, too.
    #[inline]
    fn largest(&mut self, m: &Motion, turn: &Turn, rotation: Lanes) -> (usize, Lanes) {
        // Weights may be anything: what is no number is no largest component.
        let sizes = rotation.abs().within(0.0, f32::MAX).lanes();
        let first = largest_of(sizes);
        let mut rest = sizes;
        rest[first] = 0.0;
        let margin = (sizes[first] - rest.into_iter().fold(0.0, f32::max)) * turn.per_unit;
        let is_as_before = self.baseline()[turn.first] == first as i32;
        let odds = context::largest(m, turn.per_unit, margin, is_as_before, &self.wild);
        let largest = if self.flag(Site::Column(turn.first), turn.first, first as i32, &odds) {
            first
        } else {
            self.less_likely(turn, first, rest)
        };
        (largest, if rotation.lanes()[largest] < 0.0 { -rotation } else { rotation })
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

    fn lone(&mut self, lone: &Lone) {
        let motion = lone.motion(self.row.states, self.row.dt, self.known);
        let (mean, scale) = (motion.features(), context::lone(&motion, &self.wild));
        let site = self.site(Site::Column(lone.column));
        let weights = self.row.plan.models.get(self.class, site);
        let sum = |features: &Features, weights: &Features| {
            features.iter().zip(weights).fold(0.0, |sum, (feature, weight)| sum + feature * weight)
        };
        let (change, size) = (sum(&mean, &weights.mean), sum(&scale, &weights.scale));
        let (guess, fraction) = guess_of(lone.column, self.baseline()[lone.column], change, size);
        let error = self.number(&guess) as f32 - fraction;
        let class = self.class;
        self.coder.learn(Lesson::Number { site, class, mean: &mean, change, scale: &scale, size, error });
    }

    /// Codes the columns that stay or change. Mostly none does: one flag says so.
    fn states(&mut self) {
        let columns = &self.row.plan.links.states;
        let Some(&first) = columns.first() else { return };
        let baseline = self.baseline();
        let are = if DENSE {
            let odds = self.state_odds(first);
            let site = self.site(Site::Flag(Flag::Same));
            let sum = weigh(odds, &self.row.plan.models.get(self.class, site).scale);
            let are = self.coder.are(columns, baseline, sum);
            self.coder.learn(Lesson::Flag { site, class: self.class, odds: &odds, is: are });
            are
        } else {
            self.coder.are(columns, baseline, 0.0)
        };
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
        let size = weigh(odds, &self.row.plan.models.get(self.class, site).scale);
        let (guess, _) = guess_of(column, old, 0.0, size);
        let error = self.number(&guess) as f32;
        if C::LEARNS {
            let (mean, mut scale) = ([0.0; FEATURES], [0.0; FEATURES]);
            scale[..CORE].copy_from_slice(&odds);
            let class = self.class;
            self.coder.learn(Lesson::Number {
                site,
                class,
                mean: &mean,
                change: 0.0,
                scale: &scale,
                size,
                error,
            });
        }
    }

    #[inline]
    fn state_odds(&self, column: usize) -> [f32; CORE] {
        let states = self.row.states;
        let differs = states.get(1).is_some_and(|older| older.values[column] != states[0].values[column]);
        context::state(states[0].values[column], differs, &self.wild)
    }
}

/// How the axes of a field are guessed to change, and how far off that may be.
#[derive(Clone, Copy)]
struct Guesses {
    first: usize,
    axes: usize,
    /// Where they are, in steps above a base.
    from: Lanes,
    changes: Lanes,
    sizes: Lanes,
}

/// No guess is further than so many steps from its base.
const FAR: f32 = 1e9;

/// Scales as they are told.
#[inline]
fn thirds(sizes: Lanes) -> Ints {
    (sizes * 3.0 - Lanes::splat(SCALE_MIN * 3.0)).within(0.0, THIRDS_MAX as f32).truncated()
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
fn without(rotation: Lanes, largest: usize) -> Lanes {
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
                let row = codec.row_context(&schema.kinds()[0], Sight::Public, &states[..named]);
                let mut symbols = Vec::new();
                tell_dense(&row, codec.prior().learned(), &[1, 2, 3, 2, 7, 8, 9], &mut symbols);
                assert!(symbols.len() >= 7, "{weight}, {named} states");
            }
        }
    }
}
