//! How likely it is that a held row is sent, rests, or has news.

use super::super::context;
use super::super::lanes::{CORE, weigh};
use super::super::links::{Body, State};
use super::super::models::{Flag, Site};
use super::super::prior::odds_step;
use super::super::row::{RowContext, RowPlan};
use super::super::{Codec, Coder};
use crate::schema::{Kind, Sight};

impl Codec {
    pub(in crate::snapshot) fn row_plan(&self, kind: &Kind, sight: Sight) -> &RowPlan {
        &self.plans[usize::from(kind.index())][sight as usize]
    }

    /// What is coded when a row names states.
    pub(in crate::snapshot) fn row_context<'a>(
        &'a self,
        kind: &'a Kind,
        sight: Sight,
        states: &'a [State<'a>],
    ) -> RowContext<'a> {
        RowContext { kind, plan: self.row_plan(kind, sight), states, dt: self.dt }
    }

    /// What the odds of a row's flags follow from, and the class of their weights.
    pub(in crate::snapshot) fn flags(row: &RowContext<'_>, is_at_rest: bool) -> ([f32; CORE], u8) {
        let nobody = Body::default();
        let body = row.plan.links.bodies.first().unwrap_or(&nobody);
        let held = [0, 1].map(|newer| is_at_rest || stood(row.states, newer));
        let first = row.plan.links.states.first();
        let zero = first.is_some_and(|&column| row.states[0].values[column] == 0);
        let features = context::row(body, row.states, held, is_at_rest, zero);
        (features, context::flag_class(row.states, row.dt))
    }

    /// The chances, out of 65,536, that a held row is sent, and that it rests if it is not.
    pub(in crate::snapshot) fn chances(&self, row: &RowContext<'_>, is_at_rest: bool) -> Chances {
        if self.coder == Coder::Fast {
            return Chances::default();
        }
        let (features, class) = Self::flags(row, is_at_rest);
        let chance = |flag: Flag| {
            let site = Site::Flag(flag).number(row.kind.column_count());
            let odds = weigh(features, &row.plan.models.get(class, site).scale);
            self.prior.learned().odds[odds_step(odds)]
        };
        Chances { sent: chance(Flag::Sent), rests: if is_at_rest { 1 << 15 } else { chance(Flag::Rests) } }
    }
}

/// Chances of a row's flags.
#[derive(Clone, Copy, Debug)]
pub(in crate::snapshot) struct Chances {
    pub(in crate::snapshot) sent: u16,
    pub(in crate::snapshot) rests: u16,
}

impl Default for Chances {
    fn default() -> Self {
        Self { sent: 1 << 15, rests: 1 << 15 }
    }
}

/// Whether the named states are of a row that stood still.
fn stood(states: &[State<'_>], newer: usize) -> bool {
    states.get(newer + 1).is_some_and(|older| older.values == states[newer].values)
}

/// The chance, out of 65,536, that a row which was not at rest and is sent has something to tell of its past: mostly that it has
/// come to rest, as slow ones do, which are not so sure to be sent.
pub(super) fn news_chance(chances: Option<Chances>) -> u16 {
    if chances.is_some_and(|chances| chances.sent < 60_000) { 1 << 13 } else { 1 << 9 }
}

/// The chance, out of 65,536, that a row which has something to tell of its past is at rest: one that was, has woken; another
/// has mostly just come to rest.
pub(super) const fn rests_chance(was_at_rest: bool) -> u16 {
    if was_at_rest { 1 << 13 } else { 62 << 10 }
}
