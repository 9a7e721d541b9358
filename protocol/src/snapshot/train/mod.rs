//! Makes a prior from recorded states.
//!
//! A trainer is shown the plans that an encoder would write. It walks their rows like the encoder, and fits the weights of
//! every site (or role) and class: of guesses by least squares that doubt outliers, of scales and odds by Newton's steps
//! towards the fewest bits. The tables are then counted. Nothing is random: the same plans give the same prior, bit for bit,
//! on one target.

mod equations;

use std::sync::Arc;

use super::context::CLASSES;
use super::dense::{self, Place, SETS, TABLES, TOKENS, Table, first_tables};
use super::fast::{self, CODES, Codes, FAST_TOKENS};
use super::frequencies::{DIAL, Dial};
use super::lanes::{CORE, FEATURES, Features, Ints, log2, weigh};
use super::links::{Columns, Links, State};
use super::models::{Flag, Resolved, Site, roles, site_key};
use super::motion::turn_between;
use super::prior::{DIALS, Learned, Model, ODDS, Prior, odds_step};
use super::row::{FieldCoder, Guess, Lesson, Notes, RowCoder, RowContext, RowPlan, walk_dense, walk_fast};
use super::section::{RowSource, dial_numbers, which_dial};
use super::shared::{Past, Shown};
use super::{Codec, Coder, PlannedRow, SectionPlan};
use crate::history::History;
use crate::limits::{COLUMNS_PER_KIND_MAX, PRIOR_BYTES_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::{Column, Kind, KindId, Schema, Sight};
use crate::time::TickRate;

use equations::Equations;

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
    /// The schemas that the plans shown were of: what is learned belongs to names of kinds and fields.
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
        let keys = Keys::of(&self.corpora, target);
        for is_dense in [false, true] {
            for pass in 0..PASSES {
                let lessons = self.walk(&learned, &keys, is_dense, pass);
                learned.models[usize::from(is_dense)] = lessons.models(&keys, &learned, is_dense, pass);
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
            learned.tables = last.tokens.iter().map(|counts| Table::counted(counts)).collect();
            let last_fast = self.walk(&learned, keys, false, PASSES);
            learned.codes = Codes::counted(&last_fast.fast_tokens);
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
        dials[0] = Dial::seen(&counts[0]);
        dials[1] = Dial::seen(&counts[1]);
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
        counts.map(|counts| Dial::seen(&counts))
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
        let mut shown = Shown::default();
        let named = Past::of(source, kind, row).named(row, &mut shown);
        let (states, current, was_at_rest) = (named.states(), named.current, named.was_at_rest);
        let fate = match (is_news, source.comes_to_rest(row, &named)) {
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
        self.examples.push(Example {
            kind: row.kind,
            sight: row.sight,
            distances,
            states: states.len() as u8,
            was_at_rest,
            fate,
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
            let models = Resolved::new(learned, is_dense, kind, &links);
            RowPlan { links, models, first_tables: first_tables(kind) }
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
            notes: Notes::default(),
        };
        if is_dense {
            pupil.flags(&row, example);
        }
        if example.fate == Fate::Sent {
            let mut known = [0; COLUMNS_PER_KIND_MAX];
            if is_dense {
                walk_dense(&row, &mut known, &mut pupil);
            } else {
                walk_fast(&row, &mut known, &mut pupil);
            }
        }
    }
}

/// All keys that can be learned, and which one each site has.
struct Keys {
    /// In ascending order, each with the role that it begins as.
    all: Vec<(u32, Option<u32>)>,
    /// Per corpus, kind and site: the place in `all`.
    sites: Vec<Vec<Vec<Option<u16>>>>,
}

impl Keys {
    fn of(corpora: &[Corpus], target: Target) -> Self {
        let key_of = |kind: &Kind| -> Vec<Option<(u32, Option<u32>)>> {
            let roles = roles(kind, &Links::of(kind, kind.visible(Sight::Own)));
            let key = |(site, role): (usize, Option<u32>)| match target {
                Target::Schema => Some((site_key(kind, site), role)),
                Target::Any => role.map(|key| (key, role)),
            };
            roles.into_iter().enumerate().map(key).collect()
        };
        let keys: Vec<Vec<_>> =
            corpora.iter().map(|corpus| corpus.schema.kinds().iter().map(key_of).collect()).collect();
        let mut all: Vec<_> = keys.iter().flatten().flatten().flatten().copied().collect();
        all.sort_unstable();
        all.dedup_by_key(|(key, _)| *key);
        let place = |key: Option<(u32, _)>| {
            key.and_then(|(key, _)| all.binary_search_by_key(&key, |(key, _)| *key).ok()).map(|at| at as u16)
        };
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
    /// Per code of the `fast` coder.
    fast_tokens: [[f64; FAST_TOKENS]; CODES],
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
            fast_tokens: [[0.0; FAST_TOKENS]; CODES],
            odds: [[0.0; 2]; ODDS],
        }
    }

    fn seen(&self, keys: &Keys, key: u32, class: u8) -> f64 {
        let place =
            keys.all.binary_search_by_key(&key, |(key, _)| *key).unwrap_or(0) * CLASSES + usize::from(class);
        let seen = |equations: &Option<Box<Equations>>| equations.as_ref().map_or(0.0, |e| e.seen);
        seen(&self.scales[place]).max(seen(&self.means[place]))
    }

    /// The weights that solve what was added up; those of before where too little was.
    fn models(&self, keys: &Keys, before: &Learned, is_dense: bool, pass: u32) -> Vec<Model> {
        let mut models = Vec::new();
        let old = &before.models[usize::from(is_dense)];
        for (place, (means, scales)) in self.means.iter().zip(&self.scales).enumerate() {
            let ((key, role), class) = (keys.all[place / CLASSES], (place % CLASSES) as u8);
            let seen = |equations: &Option<Box<Equations>>| equations.as_ref().map_or(0.0, |e| e.seen);
            if seen(means).max(seen(scales)) < SEEN_MIN {
                continue;
            }
            let mut weights = old
                .iter()
                .find(|model| (model.key, model.class) == (key, class))
                .map_or_else(|| super::models::untrained(role), |model| model.weights);
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
    notes: Notes,
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
        if !is_sent && !example.was_at_rest {
            self.flag(site(Flag::Rests), class, &features, example.fate == Fate::Rests);
        }
    }

    /// One of Newton's steps towards the weights that make what happened most likely.
    fn flag(&mut self, site: usize, class: u8, odds: &[f32; CORE], is: bool) {
        let weights = &self.plan.models.get(class, site).scale;
        let sum = weigh(*odds, weights);
        self.lessons.odds[odds_step(sum)][usize::from(is)] += self.weight;
        let Some(place) = self.place(site, class) else { return };
        let x = f64::from(sum).clamp(-7.0, 7.0);
        let chance = 1.0 / (1.0 + exp(-x));
        let steepness = (chance * (1.0 - chance)).max(1e-3);
        let miss = (f64::from(u8::from(is)) - chance) / steepness;
        let equations = self.lessons.scales[place].get_or_insert_default();
        equations.is_flag = true;
        equations.add(odds, x + miss.clamp(-3.0, 3.0), steepness * self.weight, self.weight);
    }

    fn number(&mut self, place: usize, lesson: &NumberLesson<'_>) {
        let features = if self.is_dense { FEATURES } else { CORE };
        let error = f64::from(lesson.error);
        let square = error * error;
        let width = exp2(f64::from(lesson.size).clamp(-8.0, 30.0));
        let trusted = width.max(0.5);
        let weight = self.weight / ((FREEDOM - 1.0) * trusted * trusted + square);
        let means = self.lessons.means[place].get_or_insert_default();
        means.add(&lesson.mean[..features], f64::from(lesson.change) + error, weight, self.weight);
        let target = if self.lessons.pass < ROUGH_PASSES {
            f64::from(log2(lesson.error.abs() + 0.3))
        } else {
            let square = square + 0.1;
            let excess = (FREEDOM + 1.0) * square / (FREEDOM * width * width + square) - 1.0;
            f64::from(lesson.size) + 0.8 * excess
        };
        let scales = self.lessons.scales[place].get_or_insert_default();
        scales.add(&lesson.scale[..features], target, self.weight, self.weight);
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

    fn notes(&mut self) -> Option<&mut Notes> {
        Some(&mut self.notes)
    }

    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let mut residuals = [0; 4];
        for (axis, residual) in residuals.iter_mut().enumerate().take(guess.axes) {
            let column = guess.first + axis;
            known[column] = self.values[column];
            *residual = dense::residual(&shapes[column], known[column], guess.points[axis]);
            if self.is_dense {
                let place = Place::new(guess.thirds[axis] as usize, guess.twelfths[axis]);
                let (token, ..) = place.token(i64::from(*residual));
                let first = self.plan.first_tables[column];
                self.lessons.tokens[first + place.table][token] += self.weight;
            } else {
                let (code, raw) = fast::place(guess.thirds[axis]);
                let (token, ..) = fast::token(*residual, raw);
                self.lessons.fast_tokens[code][token] += self.weight;
            }
        }
        residuals
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
                let to = super::motion::quaternion(Some(turn), self.values);
                let steps = (turn_between(to, from) * (turn.per_unit * 0.5)).lanes();
                let weights = &self.plan.models.get(class, site).mean;
                let guess: f32 = mean.iter().zip(weights).map(|(feature, weight)| feature * weight).sum();
                let error = f64::from(steps[axis] - guess);
                let weight = self.weight / (2.0 + error * error);
                let means = self.lessons.means[place].get_or_insert_default();
                means.add(mean, f64::from(steps[axis]), weight, self.weight);
            }
            Lesson::Flag { site, class, odds, is } => self.flag(site, class, odds, is),
        }
    }
}

impl FieldCoder for Pupil<'_> {
    fn vector(&mut self, columns: &Columns, points: Ints, thirds: Ints, known: &mut [i32]) -> Ints {
        let values = Ints::of(self.values, columns.first);
        let residuals = (values - points).and(columns.there);
        for (residual, thirds) in residuals.values().into_iter().zip(thirds.values()).take(columns.axes) {
            let (code, raw) = fast::place(thirds);
            let (token, ..) = fast::token(residual, raw);
            self.lessons.fast_tokens[code][token] += self.weight;
        }
        columns.put(values, known);
        residuals
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

    #[test]
    fn what_only_the_owner_is_told_keeps_nobody_from_resting() {
        let place = Field::new(FieldId(0), "place", FieldType::integer(0..=99));
        let fuel = Field::new(FieldId(1), "fuel", FieldType::integer(0..=99)).owner_only();
        let kind = Kind::new(THING, "thing", [place, fuel]);
        let schema = Schema::builder("parked").kind(kind).build().unwrap();
        let rate = TickRate::new(60).unwrap();
        let mut history = History::new(schema.clone(), rate);
        let mut trainer = Trainer::new();
        trainer.begin(schema.clone(), rate, 1.0);
        for tick in 0..20_u32 {
            let mut tables = Tables::new(schema.clone());
            // The fuel is used up while the thing stands, but for a rest.
            let row = [5, 10_u32.saturating_sub(tick).max(3) as i32];
            tables.insert(THING, RowHead::new(EntityId { slot: 0, generation: 1 })).copy_from(&row);
            tables.finish();
            history.publish(Tick(tick), &tables);
            if tick >= 6 {
                let mut plan = SectionPlan::default();
                plan.against.push(Tick(tick - 6));
                let references = plan.against;
                plan.rows.push(PlannedRow { kind: THING, row: 0, sight: Sight::Public, references });
                plan.held.clone_from(&plan.rows);
                trainer.show(&history, &plan);
                if history.track(THING, 0).is_at_rest {
                    break;
                }
            }
        }
        let fates: Vec<_> = trainer.corpora[0].examples.iter().map(|example| example.fate).collect();
        assert_eq!(fates.last(), Some(&Fate::Rests), "{fates:?}");
    }
}
