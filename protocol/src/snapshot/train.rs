//! Makes a prior from recorded states.
//!
//! A trainer is shown the plans that an encoder would write. It walks their rows like the encoder, and fits the weights of
//! every site (or role) and class: of guesses by least squares that doubt outliers, of scales and odds by Newton's steps
//! towards the fewest bits. The tables are then counted. Nothing is random: the same plans give the same prior, bit for bit,
//! on one target.

#![expect(clippy::needless_range_loop, reason = "rows and columns of a matrix are numbers")]

use std::sync::Arc;

use super::context::CLASSES;
use super::dense::{DIAL, Dial, Place, SETS, TABLES, TOKENS, Table, residual, sets_of};
use super::lanes::{CORE, FINE};
use super::predict::{Features, Links, State, turn_between};
use super::prior::{
    DIALS, Flag, Learned, Model, ODDS, Prior, Resolved, Site, odds_step, roles, site_key, sites,
};
use super::row::{Guess, Lesson, RowCoder, RowContext, RowPlan, walk};
use super::section::{RowSource, dial_numbers, which_dial};
use super::shared::copy_states;
use super::{Codec, Coder, PlannedRow, SectionPlan};
use crate::history::History;
use crate::limits::{COLUMNS_PER_KIND_MAX, PRIOR_BYTES_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::{Column, Kind, KindId, Schema, Sight};
use crate::time::TickRate;

const LANES: usize = CORE + FINE;
/// Times that all rows are walked for each coder.
const PASSES: u32 = 18;
/// Passes in which scales follow the mean logarithm of errors, which is a rough start but finds its way.
const ROUGH_PASSES: u32 = 3;
/// Freedom of the distribution that errors are taken to have: between a bell and something with very long tails.
const FREEDOM: f64 = 3.0;
/// A class is learned apart if it was seen so often.
const SEEN_MIN: f64 = 100.0;
/// One of so many rows that stay at rest is kept: they are many and all alike.
const RESTING_KEPT: u32 = 16;

/// Collects rows, then learns.
#[derive(Debug, Default)]
pub struct Trainer {
    corpora: Vec<Corpus>,
}

/// Rows of one schema at one tick rate.
#[derive(Debug)]
struct Corpus {
    schema: Arc<Schema>,
    rate: TickRate,
    /// To look rows up with.
    codec: Arc<Codec>,
    examples: Vec<Example>,
    /// Per example: the values, then those of the named states.
    values: Vec<i32>,
    passed: u32,
    /// How much an example counts, so that a long recording does not drown a short one.
    weight: f64,
    /// How often so many ticks were missing to the most that can be named.
    missing: [f64; DIAL],
    /// Steps between named ticks.
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    is_first: bool,
    number: u32,
    ticks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Example {
    kind: KindId,
    sight: Sight,
    distances: [u8; REFERENCES_PER_ROW_MAX],
    states: u8,
    was_at_rest: bool,
    fate: Fate,
    is_plain: bool,
    weight: f32,
    start: u32,
}

/// What became of a held row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Sent,
    Rests,
    Stays,
}

/// What a prior is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Any schema: what is learned belongs to roles.
    Any,
    /// The one schema that all plans shown were of.
    Schema,
}

impl Trainer {
    /// One that was shown nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a recording: what is shown from now on is of this schema. `weight` is how much each of its rows counts.
    pub fn begin(&mut self, schema: Arc<Schema>, rate: TickRate, weight: f64) {
        let codec = Arc::new(Codec::with(schema.clone(), rate, Coder::Fast, Prior::untrained()));
        self.corpora.push(Corpus {
            schema,
            rate,
            codec,
            examples: Vec::new(),
            values: Vec::new(),
            passed: 0,
            weight,
            missing: [0.0; DIAL],
            steps: Vec::new(),
        });
    }

    /// Shows the rows of a plan for the newest tick of `history`.
    ///
    /// # Panics
    /// If nothing was begun: a mistake of the caller.
    pub fn show(&mut self, history: &History, plan: &SectionPlan) {
        let corpus = self.corpora.last_mut().expect("`begin` comes first");
        let codec = corpus.codec.clone();
        let Some(source) = RowSource::of(&codec, history, &|_| None) else { return };
        if !plan.against.is_empty() {
            corpus.missing[REFERENCES_PER_ROW_MAX - plan.against.len()] += 1.0;

            let numbers = dial_numbers(source.newest.tick(), plan.against);
            corpus.steps.extend(
                numbers
                    .into_iter()
                    .take(plan.against.len())
                    .enumerate()
                    .map(|(place, (number, step))| Step { is_first: place == 0, number, ticks: step }),
            );
        }
        let place = |row: &PlannedRow| (row.kind, row.row);
        for row in &plan.held {
            let is_news = plan.rows.binary_search_by_key(&place(row), place).is_ok();
            corpus.keep(source, row, is_news);
        }
        if plan.against.is_empty() {
            plan.rows.iter().for_each(|row| corpus.keep(source, row, true));
        }
    }

    /// How many rows were kept.
    pub fn examples(&self) -> usize {
        self.corpora.iter().map(|corpus| corpus.examples.len()).sum()
    }

    /// Learns from all that was shown.
    pub fn learn(&self, target: Target) -> Arc<Prior> {
        let mut learned = Learned::nothing();
        let schema = match (target, self.corpora.first()) {
            (Target::Schema, Some(corpus)) => Some(corpus.schema.hash()),
            _ => None,
        };
        let keys = Keys::of(&self.corpora, schema);
        for is_dense in [false, true] {
            for pass in 0..PASSES {
                let lessons = self.walk(&learned, &keys, is_dense, pass);
                learned.models[usize::from(is_dense)] = lessons.models(&keys, &learned, is_dense, pass);
                learned.schema = schema.unwrap_or(0);
            }
        }
        self.fit(learned, &keys)
    }

    /// Leaves out what was seen least until the prior is small enough, then counts the tables.
    fn fit(&self, mut learned: Learned, keys: &Keys) -> Arc<Prior> {
        let counts = self.walk(&learned, keys, true, PASSES);
        let rare = self.walk(&learned, keys, false, PASSES);
        let mut seen_min = SEEN_MIN;
        learned.dials = self.dials(&learned.dials);
        loop {
            for (is_dense, counts) in [(false, &rare), (true, &counts)] {
                learned.models[usize::from(is_dense)]
                    .retain(|model| counts.seen(keys, model.key, model.class) >= seen_min);
            }
            let last = self.walk(&learned, keys, true, PASSES);
            learned.tables = last.tokens.iter().map(Table::counted).collect();
            learned.odds = core::array::from_fn(|step| {
                let [no, yes] = last.odds[step];
                ((yes + 0.4) / (yes + no + 0.8) * 65_536.0).clamp(16.0, 65_520.0) as u16
            });
            let prior = Prior::from_learned(learned.clone());
            if prior.encoded().len() <= PRIOR_BYTES_MAX {
                return prior;
            }
            seen_min *= 1.5;
        }
    }

    /// Chances of the ticks that are named.
    fn dials(&self, untrained: &[Dial; DIALS]) -> [Dial; DIALS] {
        let mut counts = [[0.0; DIAL]; DIALS];
        for corpus in &self.corpora {
            for (count, missing) in counts[0].iter_mut().zip(corpus.missing) {
                *count += missing * corpus.weight;
            }
            for step in corpus.steps.iter().filter(|step| step.is_first) {
                counts[1][step.number as usize] += corpus.weight;
            }
        }
        let mut dials = untrained.clone();
        dials[0] = Dial::counted(&counts[0]);
        dials[1] = Dial::counted(&counts[1]);
        for corpus in &self.corpora {
            let mut before = None;
            for step in &corpus.steps {
                before = before.filter(|_| !step.is_first);
                if before.is_some() {
                    counts[which_dial(&dials, before)][step.number as usize] += corpus.weight;
                }
                before = Some(step.ticks);
            }
        }
        counts.map(|counts| Dial::counted(&counts))
    }

    fn walk(&self, learned: &Learned, keys: &Keys, is_dense: bool, pass: u32) -> Lessons {
        let mut lessons = Lessons::new(keys.all.len(), pass);
        for (number, corpus) in self.corpora.iter().enumerate() {
            let plans = corpus.plans(learned, is_dense);
            for example in &corpus.examples {
                corpus.teach(example, &plans, &keys.sites[number], is_dense, &mut lessons);
            }
        }
        lessons
    }
}

impl Corpus {
    fn keep(&mut self, source: RowSource<'_>, row: &PlannedRow, is_news: bool) {
        if row.references.is_empty() {
            return;
        }
        let schema = self.schema.clone();
        let kind = schema.kind(row.kind);
        let mut columns = [[0; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX];
        let mut states = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        let was_at_rest = copy_states(source, kind, row, &mut columns, &mut states);
        let states = &states[..row.references.len()];
        let mut current = [0; COLUMNS_PER_KIND_MAX];
        source.newest.tables(row.sight).table(row.kind).row(kind, row.row as usize).copy_to(&mut current);
        let current = &current[..kind.column_count()];
        let track = source.history.track(row.kind, row.row as usize);
        let fate = match (is_news, track.is_at_rest && !was_at_rest && states[0].values == current) {
            (false, _) => Fate::Stays,
            (true, true) => Fate::Rests,
            (true, false) => Fate::Sent,
        };
        let mut weight = self.weight;
        if was_at_rest && fate == Fate::Stays {
            self.passed += 1;
            if !self.passed.is_multiple_of(RESTING_KEPT) {
                return;
            }
            weight *= f64::from(RESTING_KEPT);
        }
        let mut distances = [0; REFERENCES_PER_ROW_MAX];
        for (distance, state) in distances.iter_mut().zip(states) {
            *distance = state.distance as u8;
        }
        let baseline = row.references.newest();
        let jumped =
            track.teleported.is_some_and(|jump| baseline.is_some_and(|tick| jump.is_newer_than(tick)));
        self.examples.push(Example {
            kind: row.kind,
            sight: row.sight,
            distances,
            states: states.len() as u8,
            was_at_rest,
            fate,
            is_plain: !was_at_rest && !track.is_at_rest && !jumped,
            weight: weight as f32,
            start: self.values.len() as u32,
        });
        self.values.extend_from_slice(current);
        for state in states {
            self.values.extend_from_slice(state.values);
        }
    }

    fn plans(&self, learned: &Learned, is_dense: bool) -> Vec<[RowPlan; 3]> {
        let of_sight = |kind: &Kind, sight: Sight| {
            let links = Links::of(kind, kind.visible(sight));
            let models = Resolved::new(learned, is_dense, &self.schema, kind, &links);
            RowPlan { links, models, sets: sets_of(kind) }
        };
        let sights = [Sight::Public, Sight::Team, Sight::Own];
        self.schema.kinds().iter().map(|kind| sights.map(|sight| of_sight(kind, sight))).collect()
    }

    fn teach(
        &self,
        example: &Example,
        plans: &[[RowPlan; 3]],
        sites: &[Vec<Option<u16>>],
        is_dense: bool,
        lessons: &mut Lessons,
    ) {
        let kind = self.schema.kind(example.kind);
        let columns = kind.column_count();
        let values = &self.values[example.start as usize..][..columns * (1 + usize::from(example.states))];
        let (current, past) = values.split_at(columns);
        let mut states = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        for ((state, values), distance) in states.iter_mut().zip(past.chunks(columns)).zip(example.distances)
        {
            *state = State { distance: u32::from(distance), values };
        }
        let plan = &plans[usize::from(example.kind.0)][example.sight as usize];
        let states = &states[..usize::from(example.states)];
        let row = RowContext { kind, plan, states, dt: self.rate.dt() };
        let mut pupil = Pupil {
            lessons,
            sites: &sites[usize::from(example.kind.0)],
            plan,
            values: current,
            weight: f64::from(example.weight),
            is_dense,
        };
        if is_dense {
            pupil.flags(&row, example);
        }
        if example.fate == Fate::Sent {
            let mut known = [0; COLUMNS_PER_KIND_MAX];
            if is_dense {
                walk::<_, true>(&row, &mut known, &mut pupil);
            } else {
                walk::<_, false>(&row, &mut known, &mut pupil);
            }
        }
    }
}

/// All keys that can be learned, and which one each site has.
struct Keys {
    all: Vec<u16>,
    /// Per corpus, kind and site: the place in `all`.
    sites: Vec<Vec<Vec<Option<u16>>>>,
}

impl Keys {
    fn of(corpora: &[Corpus], schema: Option<u64>) -> Self {
        let key_of = |kind: &Kind| -> Vec<Option<u16>> {
            match schema {
                Some(_) => (0..sites(kind.column_count())).map(|site| Some(site_key(kind, site))).collect(),
                None => roles(kind, &Links::of(kind, kind.visible(Sight::Own))),
            }
        };
        let keys: Vec<Vec<_>> =
            corpora.iter().map(|corpus| corpus.schema.kinds().iter().map(key_of).collect()).collect();
        let mut all: Vec<u16> = keys.iter().flatten().flatten().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        let place = |key: Option<u16>| key.and_then(|key| all.binary_search(&key).ok()).map(|at| at as u16);
        let sites = keys
            .into_iter()
            .map(|kinds| kinds.into_iter().map(|keys| keys.into_iter().map(place).collect()).collect())
            .collect();
        Self { all, sites }
    }
}

/// What one pass adds up.
struct Lessons {
    pass: u32,
    /// Per key and class.
    means: Vec<Option<Box<Equations>>>,
    scales: Vec<Option<Box<Equations>>>,
    /// Per table.
    tokens: Vec<[f64; TOKENS]>,
    /// Per step of the odds: how often no and yes came.
    odds: [[f64; 2]; ODDS],
}

impl Lessons {
    fn new(keys: usize, pass: u32) -> Self {
        let none = || (0..keys * CLASSES).map(|_| None).collect();
        Self {
            pass,
            means: none(),
            scales: none(),
            tokens: vec![[0.0; TOKENS]; TABLES * SETS],
            odds: [[0.0; 2]; ODDS],
        }
    }

    fn seen(&self, keys: &Keys, key: u16, class: u8) -> f64 {
        let place = keys.all.binary_search(&key).unwrap_or(0) * CLASSES + usize::from(class);
        let seen = |equations: &Option<Box<Equations>>| equations.as_ref().map_or(0.0, |e| e.seen);
        seen(&self.scales[place]).max(seen(&self.means[place]))
    }

    /// The weights that solve what was added up; those of before where too little was.
    fn models(&self, keys: &Keys, before: &Learned, is_dense: bool, pass: u32) -> Vec<Model> {
        let mut models = Vec::new();
        let old = &before.models[usize::from(is_dense)];
        for (place, (means, scales)) in self.means.iter().zip(&self.scales).enumerate() {
            let (key, class) = (keys.all[place / CLASSES], (place % CLASSES) as u8);
            let seen = |equations: &Option<Box<Equations>>| equations.as_ref().map_or(0.0, |e| e.seen);
            if seen(means).max(seen(scales)) < SEEN_MIN {
                continue;
            }
            let mut weights = old
                .iter()
                .find(|model| (model.key, model.class) == (key, class))
                .map_or_else(|| super::prior::untrained(Some(key)), |model| model.weights);
            if let Some(means) = means.as_ref().filter(|means| means.seen >= SEEN_MIN) {
                weights.mean = Learned::rounded(&means.solve(1e-9), 3);
            }
            if let Some(scales) = scales.as_ref().filter(|scales| scales.seen >= SEEN_MIN) {
                // A first guess of what the scale is worth needs means first.
                if pass > 0 || scales.is_flag {
                    weights.scale =
                        Learned::rounded(&scales.solve(if scales.is_flag { 3.0 } else { 1e-3 }), 2);
                }
            }
            models.push(Model { key, class, weights });
        }
        models
    }
}

/// Learns from one row.
struct Pupil<'a> {
    lessons: &'a mut Lessons,
    sites: &'a [Option<u16>],
    plan: &'a RowPlan,
    values: &'a [i32],
    weight: f64,
    is_dense: bool,
}

impl Pupil<'_> {
    fn place(&self, site: usize, class: u8) -> Option<usize> {
        self.sites[site].map(|key| usize::from(key) * CLASSES + usize::from(class))
    }

    fn flags(&mut self, row: &RowContext<'_>, example: &Example) {
        let (features, class) = Codec::flags(row, example.was_at_rest);
        let columns = row.kind.column_count();
        let site = |flag: Flag| Site::Flag(flag).number(columns);
        let is_sent = example.fate == Fate::Sent;
        self.flag(site(Flag::Sent), class, &features, is_sent);
        if is_sent {
            self.flag(site(Flag::Plain), class, &features, example.is_plain);
        } else if !example.was_at_rest {
            self.flag(site(Flag::Rests), class, &features, example.fate == Fate::Rests);
        }
    }

    /// One of Newton's steps towards the weights that make what happened most likely.
    fn flag(&mut self, site: usize, class: u8, odds: &Features, is: bool) {
        let weights = &self.plan.models.get(class, site).scale;
        let sum = if self.is_dense { odds.dot::<true>(weights) } else { odds.dot::<false>(weights) };
        self.lessons.odds[odds_step(sum)][usize::from(is)] += self.weight;
        let Some(place) = self.place(site, class) else { return };
        let x = f64::from(sum).clamp(-7.0, 7.0);
        let chance = 1.0 / (1.0 + exp(-x));
        let steepness = (chance * (1.0 - chance)).max(1e-3);
        let miss = (f64::from(u8::from(is)) - chance) / steepness;
        let equations = self.lessons.scales[place].get_or_insert_default();
        equations.is_flag = true;
        equations.add(odds, self.is_dense, x + miss.clamp(-3.0, 3.0), steepness * self.weight, self.weight);
    }

    fn number(&mut self, place: usize, lesson: &NumberLesson<'_>) {
        let error = f64::from(lesson.error);
        let square = error * error;
        let width = exp2(f64::from(lesson.size).clamp(-8.0, 30.0));
        let trusted = width.max(0.5);
        let weight = self.weight / ((FREEDOM - 1.0) * trusted * trusted + square);
        let means = self.lessons.means[place].get_or_insert_default();
        means.add(lesson.mean, self.is_dense, f64::from(lesson.change) + error, weight, self.weight);
        let target = if self.lessons.pass < ROUGH_PASSES {
            f64::from(super::lanes::log2(lesson.error.abs() + 0.3))
        } else {
            let square = square + 0.1;
            let excess = (FREEDOM + 1.0) * square / (FREEDOM * width * width + square) - 1.0;
            f64::from(lesson.size) + 0.8 * excess
        };
        let scales = self.lessons.scales[place].get_or_insert_default();
        scales.add(lesson.scale, self.is_dense, target, self.weight, self.weight);
    }
}

struct NumberLesson<'a> {
    mean: &'a Features,
    change: f32,
    scale: &'a Features,
    size: f32,
    error: f32,
}

impl RowCoder for Pupil<'_> {
    const LEARNS: bool = true;

    fn number(&mut self, shape: &Column, guess: Guess) -> i32 {
        let value = self.values[guess.column];
        let place = Place::new(guess.scale, guess.fraction);
        let (token, ..) = place.token(residual(shape, value, guess.point));
        let set = usize::from(self.plan.sets[guess.column]);
        self.lessons.tokens[set * TABLES + place.table][token] += self.weight;
        value
    }

    fn is(&mut self, column: usize, value: i32, _: f32) -> bool {
        self.values[column] == value
    }

    fn are(&mut self, columns: &[usize], values: &[i32], _: f32) -> bool {
        columns.iter().all(|&column| self.values[column] == values[column])
    }

    fn learn(&mut self, lesson: Lesson<'_>) {
        match lesson {
            Lesson::Number { site, class, mean, change, scale, size, error } => {
                if let Some(place) = self.place(site, class) {
                    self.number(place, &NumberLesson { mean, change, scale, size, error });
                }
            }
            Lesson::Turn { site, class, axis, mean, from, turn } => {
                let Some(place) = self.place(site, class) else { return };
                let to = super::predict::quaternion(Some(turn), self.values);
                let steps = turn_between(to, from) * (turn.per_unit * 0.5);
                let weights = &self.plan.models.get(class, site).mean;
                let guess =
                    if self.is_dense { mean.dot::<true>(weights) } else { mean.dot::<false>(weights) };
                let steps = steps.0;
                let error = f64::from(steps[axis] - guess);
                let weight = self.weight / (2.0 + error * error);
                let means = self.lessons.means[place].get_or_insert_default();
                means.add(mean, self.is_dense, f64::from(steps[axis]), weight, self.weight);
            }
            Lesson::Flag { site, class, odds, is } => self.flag(site, class, odds, is),
        }
    }
}

/// Least squares: the sums of products that the best weights follow from.
#[derive(Debug)]
struct Equations {
    products: [[f64; LANES]; LANES],
    targets: [f64; LANES],
    seen: f64,
    is_flag: bool,
}

impl Default for Equations {
    fn default() -> Self {
        Self { products: [[0.0; LANES]; LANES], targets: [0.0; LANES], seen: 0.0, is_flag: false }
    }
}

impl Equations {
    fn add(&mut self, features: &Features, is_dense: bool, target: f64, weight: f64, seen: f64) {
        self.seen += seen;
        let lanes = if is_dense { LANES } else { CORE };
        let value = |lane: usize| {
            f64::from(*features.fine.get(lane.wrapping_sub(CORE)).unwrap_or_else(|| &features.core[lane]))
        };
        let mut values = [0.0; LANES];
        for (lane, slot) in values.iter_mut().enumerate().take(lanes) {
            *slot = value(lane);
        }
        for row in 0..lanes {
            let weighted = weight * values[row];
            if weighted == 0.0 {
                continue;
            }
            for column in 0..=row {
                self.products[row][column] += weighted * values[column];
            }
            self.targets[row] += weighted * target;
        }
    }

    /// The weights with the least squares, drawn a little towards zero.
    fn solve(&self, ridge: f64) -> Features {
        let mut matrix = self.products;
        let mut right = self.targets;
        for row in 0..LANES {
            for column in row + 1..LANES {
                matrix[row][column] = matrix[column][row];
            }
            matrix[row][row] += matrix[row][row] * 1e-5 + ridge;
        }
        eliminate(&mut matrix, &mut right);
        let mut features = Features::default();
        for (lane, weight) in right.into_iter().enumerate() {
            match features.fine.get_mut(lane.wrapping_sub(CORE)) {
                Some(fine) => *fine = weight as f32,
                None => features.core[lane] = weight as f32,
            }
        }
        features
    }
}

/// Solves a system by elimination with pivots; leaves the solution in `right`.
fn eliminate(matrix: &mut [[f64; LANES]; LANES], right: &mut [f64; LANES]) {
    for step in 0..LANES {
        let pivot = (step..LANES)
            .max_by(|&a, &b| matrix[a][step].abs().total_cmp(&matrix[b][step].abs()))
            .unwrap_or(step);
        matrix.swap(step, pivot);
        right.swap(step, pivot);
        if matrix[step][step].abs() < 1e-30 {
            continue;
        }
        for row in step + 1..LANES {
            let factor = matrix[row][step] / matrix[step][step];
            if factor != 0.0 {
                for column in step..LANES {
                    matrix[row][column] -= factor * matrix[step][column];
                }
                right[row] -= factor * right[step];
            }
        }
    }
    for row in (0..LANES).rev() {
        let known: f64 = (row + 1..LANES).map(|column| matrix[row][column] * right[column]).sum();
        let pivot = matrix[row][row];
        right[row] = if pivot.abs() < 1e-30 { 0.0 } else { (right[row] - known) / pivot };
    }
}

fn exp(x: f64) -> f64 {
    exp2(x * core::f64::consts::LOG2_E)
}

/// Two to the power of `x`, by its series: the same bits on every target.
fn exp2(x: f64) -> f64 {
    let whole = x.floor();
    let rest = (x - whole) * core::f64::consts::LN_2;
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..14 {
        term *= rest / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EntityId;
    use crate::limits::BODY_BYTES_MAX;
    use crate::schema::{Field, FieldId, FieldType};
    use crate::snapshot::{BodyPlan, EncodedBody, RowCache};
    use crate::table::{RowHead, Tables};
    use crate::time::Tick;

    const THING: KindId = KindId(0);

    /// Things on circles, each as fast as its number says.
    fn schema() -> Arc<Schema> {
        let place = Field::new(FieldId(0), "place", FieldType::position([-50.0..=50.0, -50.0..=50.0], 0.01));
        let kind = Kind::new(THING, "thing", [place, Field::new(FieldId(1), "on", FieldType::boolean())]);
        Schema::builder("circles").kind(kind).build().unwrap()
    }

    fn circles(from: u32, ticks: u32, mut visit: impl FnMut(&History, &SectionPlan)) {
        let rate = TickRate::new(60).unwrap();
        let mut history = History::new(schema(), rate);
        for tick in from..from + ticks {
            let mut tables = Tables::new(schema());
            for slot in 0..20_u16 {
                let angle = tick as f32 * 0.004 * f32::from(slot + 1);
                let [x, y] = glam::Vec2::from_angle(angle).to_array().map(|part| (part * 3000.0) as i32);
                let row = [x, y, i32::from(tick / 50 % 2 == 0)];
                tables.insert(THING, RowHead::new(EntityId { slot, generation: 1 })).copy_from(&row);
            }
            tables.finish();
            history.publish(Tick(tick), &tables);
            if tick >= from + 9 {
                let mut plan = SectionPlan::default();
                for back in [3, 6, 9] {
                    plan.against.push(Tick(tick - back));
                }
                plan.rows = (0..20)
                    .map(|row| PlannedRow {
                        kind: THING,
                        row,
                        sight: Sight::Public,
                        references: plan.against,
                    })
                    .collect();
                plan.held.clone_from(&plan.rows);
                visit(&history, &plan);
            }
        }
    }

    fn bytes(coder: Coder, prior: &Arc<Prior>) -> usize {
        let codec = Codec::with(schema(), TickRate::new(60).unwrap(), coder, prior.clone());
        let (mut rows, mut body, mut bytes) = (RowCache::default(), EncodedBody::default(), 0);
        circles(5000, 60, |history, plan| {
            let plan = BodyPlan { cues: Vec::new(), section: plan.clone() };
            codec.write_body(history, &plan, &|_| None, BODY_BYTES_MAX, &mut rows, &mut body);
            bytes += body.byte_len();
        });
        bytes
    }

    #[test]
    fn what_was_learned_saves_bytes() {
        let mut trainer = Trainer::new();
        trainer.begin(schema(), TickRate::new(60).unwrap(), 1.0);
        circles(0, 400, |history, plan| trainer.show(history, plan));
        assert!(trainer.examples() > 7000);
        for target in [Target::Any, Target::Schema] {
            let prior = trainer.learn(target);
            assert_eq!(prior.is_for(&schema()), target == Target::Schema);
            for coder in [Coder::Dense, Coder::Fast] {
                let (before, after) = (bytes(coder, &Prior::untrained()), bytes(coder, &prior));
                assert!(after * 3 < before * 2, "{coder:?}: {before} bytes, then {after}");
            }
        }
    }

    #[test]
    fn the_same_rows_teach_the_same() {
        let learn = || {
            let mut trainer = Trainer::new();
            trainer.begin(schema(), TickRate::new(60).unwrap(), 1.0);
            circles(0, 60, |history, plan| trainer.show(history, plan));
            trainer.learn(Target::Any).hash()
        };
        assert_eq!(learn(), learn());
    }
}
