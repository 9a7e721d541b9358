//! What a row teaches.

use super::super::Codec;
use super::super::context::CLASSES;
use super::super::dense::{self, Place};
use super::super::fast;
use super::super::lanes::{CORE, FEATURES, Features, Ints, log2, weigh};
use super::super::links::Columns;
use super::super::models::{Flag, Site};
use super::super::motion::{quaternion, turn_between};
use super::super::prior::odds_step;
use super::super::row::{FieldCoder, Guess, Lesson, Notes, RowCoder, RowContext, RowPlan, Spread};
use super::corpus::{Example, Fate};
use super::equations::Of;
use super::lessons::Lessons;
use crate::schema::Column;

/// Passes in which scales follow the mean logarithm of errors, which is a rough start but finds its way.
const ROUGH_PASSES: u32 = 3;
/// Freedom of the distribution that errors are taken to have: between a bell and something with very long tails.
const FREEDOM: f64 = 3.0;

/// Learns from one row.
pub(super) struct Pupil<'a> {
    pub(super) lessons: &'a mut Lessons,
    pub(super) sites: &'a [Option<u16>],
    pub(super) plan: &'a RowPlan,
    pub(super) values: &'a [i32],
    pub(super) weight: f64,
    pub(super) is_dense: bool,
    pub(super) notes: Notes,
}

impl Pupil<'_> {
    fn place(&self, site: usize, class: u8) -> Option<usize> {
        self.sites[site].map(|key| usize::from(key) * CLASSES + usize::from(class))
    }

    pub(super) fn flags(&mut self, row: &RowContext<'_>, example: &Example) {
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
        equations.of = Of::Flag;
        equations.add(odds, x + miss.clamp(-3.0, 3.0), steepness * self.weight, self.weight);
    }

    fn number(&mut self, place: usize, lesson: &NumberLesson<'_>) {
        let features = if self.is_dense { FEATURES } else { CORE };
        let (size, error) = (f64::from(lesson.size), f64::from(lesson.error));
        let square = error * error;
        let width = match lesson.spread {
            Spread::Octaves => exp2(size.clamp(-8.0, 30.0)),
            Spread::Steps => size.clamp(1.0 / 16.0, 1e9),
        };
        let trusted = width.max(0.5);
        let weight = self.weight / ((FREEDOM - 1.0) * trusted * trusted + square);
        let means = self.lessons.means[place].get_or_insert_default();
        means.add(&lesson.mean[..features], f64::from(lesson.change) + error, weight, self.weight);
        let is_rough = self.lessons.pass < ROUGH_PASSES;
        let square = square + 0.1;
        let excess = (FREEDOM + 1.0) * square / (FREEDOM * width * width + square) - 1.0;
        let (of, target, weight) = match lesson.spread {
            Spread::Octaves if is_rough => {
                (Of::Octaves, f64::from(log2(lesson.error.abs() + 0.3)), self.weight)
            }
            Spread::Octaves => (Of::Octaves, size + 0.8 * excess, self.weight),
            // The same steps: an error of a size is worth what it is of that size.
            Spread::Steps if is_rough => (Of::Steps, error.abs() + 0.3, self.weight / (width * width)),
            Spread::Steps => (Of::Steps, width * (1.0 + 0.55 * excess), self.weight / (width * width)),
        };
        let scales = self.lessons.scales[place].get_or_insert_default();
        scales.of = of;
        scales.add(&lesson.scale[..features], target, weight, self.weight);
    }
}

struct NumberLesson<'a> {
    mean: &'a Features,
    change: f32,
    scale: &'a Features,
    size: f32,
    error: f32,
    spread: Spread,
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
            Lesson::Number { site, class, mean, change, scale, size, error, spread } => {
                if let Some(place) = self.place(site, class) {
                    self.number(place, &NumberLesson { mean, change, scale, size, error, spread });
                }
            }
            Lesson::Turn { site, class, axis, mean, from, turn } => {
                let Some(place) = self.place(site, class) else { return };
                let to = quaternion(Some(turn), self.values);
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
        values
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
