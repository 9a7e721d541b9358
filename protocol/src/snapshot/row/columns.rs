//! Columns that are no part of a body: those that move by themselves, and those that stay or change.

use super::super::context;
use super::super::lanes::{CORE, FEATURES, Features, weigh};
use super::super::links::Lone;
use super::super::models::{Flag, Site};
use super::{Lesson, RowCoder, Spread, Walker, guess_of};

impl<C: RowCoder, const DENSE: bool> Walker<'_, '_, C, DENSE> {
    #[expect(clippy::inline_always, reason = "once a row, and mostly a comparison")]
    #[inline(always)]
    pub(super) fn columns(&mut self) {
        for lone in &self.row.plan.links.lone {
            self.lone(lone);
        }
        self.states();
    }

    #[inline(never)]
    fn lone(&mut self, lone: &Lone) {
        let motion = lone.motion(self.row.states, self.row.pace.dt, self.known);
        let (mean, scale) = (motion.features(), context::lone(&motion, &self.wild));
        let site = self.site(Site::Column(lone.column));
        let weights = self.row.plan.models.get(self.class, site);
        let sum = |features: &Features, weights: &Features| {
            features.iter().zip(weights).fold(0.0, |sum, (feature, weight)| sum + feature * weight)
        };
        let (change, size) = (sum(&mean, &weights.mean), sum(&scale, &weights.scale));
        let (guess, fraction) = guess_of(lone.column, self.baseline()[lone.column], change, size);
        let error = self.number(&guess) as f32 - fraction;
        let (class, spread, mean, scale) = (self.class, Spread::Octaves, &mean, &scale);
        self.coder.learn(Lesson::Number { site, class, mean, change, scale, size, error, spread });
    }

    /// Codes the columns that stay or change. Mostly none does: one flag says so.
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
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
        if !are {
            self.changed(columns);
        }
    }

    #[inline(never)]
    fn changed(&mut self, columns: &[usize]) {
        for &column in columns {
            self.state(column);
        }
    }

    fn state(&mut self, column: usize) {
        let old = self.baseline()[column];
        let stays = if DENSE {
            let odds = self.state_odds(column);
            self.flag(Site::Column(column), column, old, &odds)
        } else {
            self.coder.is(column, old, 0.0)
        };
        if stays {
            return;
        }
        let odds = self.state_odds(column);
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
                spread: Spread::Octaves,
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
