//! How likely it is that a held row is sent, rests, or has news.

use super::super::context;
use super::super::lanes::{CORE, weigh};
use super::super::links::{Body, State};
use super::super::models::{Flag, Site};
use super::super::pace::Pace;
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
        pace: &'a Pace,
    ) -> RowContext<'a> {
        RowContext { kind, plan: self.row_plan(kind, sight), states, pace }
    }

    /// What the odds of a row's flags follow from, and the class of their weights.
    pub(in crate::snapshot) fn flags(row: &RowContext<'_>, is_at_rest: bool) -> ([f32; CORE], u8) {
        let nobody = Body::default();
        let body = row.plan.links.bodies.first().unwrap_or(&nobody);
        let held = [is_at_rest || stood(row.states, 0), is_at_rest || stood(row.states, 1)];
        let first = row.plan.links.states.first();
        let zero = first.is_some_and(|&column| row.states[0].values[column] == 0);
        let features = context::row(body, row.states, held, is_at_rest, zero);
        (features, row.pace.class)
    }

    /// The chance, out of 65,536, that a held row is sent; and what that it rests if it is not follows from.
    #[inline]
    pub(in crate::snapshot) fn chances(&self, row: &RowContext<'_>, is_at_rest: bool) -> Chances {
        if self.coder == Coder::Fast {
            return Chances::EVEN;
        }
        let (features, class) = Self::flags(row, is_at_rest);
        Chances { sent: self.chance(row.kind, row.plan, Flag::Sent, (features, class)), class, features }
    }

    /// The chance, out of 65,536, that a held row that is not sent is at rest now.
    pub(in crate::snapshot) fn rests(&self, kind: &Kind, sight: Sight, chances: &Chances) -> u16 {
        if self.coder == Coder::Fast {
            return 1 << 15;
        }
        self.chance(kind, self.row_plan(kind, sight), Flag::Rests, (chances.features, chances.class))
    }

    #[inline]
    fn chance(&self, kind: &Kind, plan: &RowPlan, flag: Flag, (features, class): ([f32; CORE], u8)) -> u16 {
        let site = Site::Flag(flag).number(kind.column_count());
        self.prior.learned().odds[odds_step(weigh(features, &plan.models.get(class, site).scale))]
    }
}

/// Chances of a row's flags.
#[derive(Clone, Copy, Debug)]
pub(in crate::snapshot) struct Chances {
    pub(in crate::snapshot) sent: u16,
    class: u8,
    features: [f32; CORE],
}

impl Chances {
    /// Where flags are bits.
    pub(in crate::snapshot) const EVEN: Self = Self { sent: 1 << 15, class: 0, features: [0.0; CORE] };
}

/// Whether the named states are of a row that stood still.
#[inline]
fn stood(states: &[State<'_>], newer: usize) -> bool {
    let Some(older) = states.get(newer + 1) else { return false };
    let newer = states[newer].values;
    // What moves mostly differs in its first column.
    newer.first() == older.values.first() && newer == older.values
}

/// The chance, out of 65,536, that a row which was not at rest and is sent has something to tell of its past: mostly that it has
/// come to rest, as slow ones do, which are not so sure to be sent: that chance is known of held ones.
pub(super) fn news_chance(sent: Option<u16>) -> u16 {
    if sent.is_some_and(|sent| sent < 60_000) { 1 << 13 } else { 1 << 9 }
}

/// The chance, out of 65,536, that a row which has something to tell of its past is at rest: one that was, has woken; another
/// has mostly just come to rest.
pub(super) const fn rests_chance(was_at_rest: bool) -> u16 {
    if was_at_rest { 1 << 13 } else { 62 << 10 }
}
