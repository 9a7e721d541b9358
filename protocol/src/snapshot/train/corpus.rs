//! The rows that a trainer was shown.

use std::sync::Arc;

use super::super::frequencies::DIAL;
use super::super::links::State;
use super::super::pace::Pace;
use super::super::prior::Learned;
use super::super::row::{Notes, RowContext, RowPlan, walk_dense, walk_fast};
use super::super::section::RowSource;
use super::super::shared::{Past, Shown};
use super::super::{Codec, PlannedRow};
use super::lessons::Lessons;
use super::pupil::Pupil;
use crate::limits::{COLUMNS_PER_KIND_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::{KindId, Schema, Sight};
use crate::time::TickRate;

/// One of so many rows that stay at rest is kept: they are many and all alike.
const RESTING_KEPT: u32 = 16;

/// Rows of one schema at one tick rate.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) schema: Arc<Schema>,
    pub(super) rate: TickRate,
    /// To look rows up with.
    pub(super) codec: Arc<Codec>,
    pub(super) examples: Vec<Example>,
    /// Per example: the values, then those of the named states.
    pub(super) values: Vec<i32>,
    pub(super) passed: u32,
    /// How much an example counts, so that a long recording does not drown a short one.
    pub(super) weight: f64,
    /// How often so many ticks were missing to the most that can be named.
    pub(super) missing: [f64; DIAL],
    /// Steps between named ticks.
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) is_first: bool,
    pub(super) number: u32,
    pub(super) ticks: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Example {
    pub(super) kind: KindId,
    pub(super) sight: Sight,
    pub(super) distances: [u8; REFERENCES_PER_ROW_MAX],
    pub(super) states: u8,
    pub(super) was_at_rest: bool,
    pub(super) fate: Fate,
    pub(super) weight: f32,
    pub(super) start: u32,
}

/// What became of a held row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Sent,
    Rests,
    Stays,
}

impl Corpus {
    pub(super) fn keep(&mut self, source: RowSource<'_>, row: &PlannedRow, is_news: bool) {
        if row.references.is_empty() {
            return;
        }
        let schema = self.schema.clone();
        let kind = schema.kind(row.kind);
        let mut shown = Shown::default();
        let past = Past::of(&source, kind, row);
        let mut named = past.named(row);
        past.hide(&mut named, &mut shown);
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

    pub(super) fn plans(&self, learned: &Learned, is_dense: bool) -> Vec<[RowPlan; Sight::ALL.len()]> {
        let of_kind = |kind| Sight::ALL.map(|sight| RowPlan::new(learned, is_dense, kind, sight));
        self.schema.kinds().iter().map(of_kind).collect()
    }

    pub(super) fn teach(
        &self,
        example: &Example,
        plans: &[[RowPlan; Sight::ALL.len()]],
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
        let pace = Pace::of_states(states, self.rate.dt());
        let row = RowContext { kind, plan, states, pace: &pace };
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
