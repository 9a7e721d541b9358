//! How the `fast` coder goes through a body.

use super::super::lanes::{CORE, Ints, Lanes, Sum};
use super::super::links::{Body, Columns, Line, Turn};
use super::super::models::{FanWeights, Place, Site};
use super::super::straight::{Push, Way, value};
use super::{FAR, FieldCoder, Notes, Walker, thirds};

impl<C: FieldCoder> Walker<'_, '_, C, false> {
    /// Codes a body.
    #[inline(never)]
    pub(super) fn straight_body(&mut self, index: usize, body: &Body) {
        let way = Way::of(self.row.states, self.row.dt);
        let (rate, place) = (way.course(body.velocity.as_ref()), way.course(body.position.as_ref()));
        let lead = match (&body.velocity, &body.position) {
            (Some(line), Some(at)) => Way::squares(&rate, way.off((line, &rate), (at, &place))),
            (Some(_), None) => Way::squares(&rate, Lanes::ZERO),
            (None, _) => Way::squares(&place, place.before),
        };
        self.class = way.class(lead);
        let models = &self.row.plan.models;
        let mut push = Push::default();
        // By how much the velocity and the position were off.
        let mut misses = [Lanes::ZERO; 2];
        if let Some(line) = &body.velocity {
            let weights = models.fan(self.class, index, Place::Velocity);
            let changes = self.changes(weights, |sum| way.rate(&rate, sum));
            misses[0] = self.line(line, weights, changes, lead, rate.now);
            push = Push { old: rate.value, older: rate.last, new: value(line, self.known) };
        }
        let mut hint = misses[0];
        if let Some(line) = &body.spin {
            let weights = models.fan(self.class, index, Place::Spin);
            let course = way.course(Some(line));
            let changes = self.changes(weights, |sum| {
                way.rate(&course, sum);
                way.veers(&push, line, sum);
            });
            self.line(line, weights, changes, Way::squares(&course, misses[0]), course.now);
            let [new, old] = [self.known, self.row.states[0].values].map(|values| value(line, values));
            hint = new - old;
        }
        if let Some(line) = &body.position {
            let weights = models.fan(self.class, index, Place::Position);
            misses[1] = if let Some(velocity) = &body.velocity {
                let push = push.over(&way, velocity, line);
                let changes = self.changes(weights, |sum| way.driven(&place, &push, sum));
                let squares = Way::driven_squares(&place, &push, misses[0]);
                self.line(line, weights, changes, squares, push.new - push.old)
            } else {
                let changes = self.changes(weights, |sum| way.free(&place, sum));
                self.line(line, weights, changes, lead, place.now - place.before)
            };
        }
        if let Some(turn) = &body.rotation {
            let weights = models.fan(self.class, index, Place::Components);
            self.arc(&way, weights, body, turn, [hint, misses[1]]);
        }
    }

    /// Codes the axes of a line; gives by how much they were off. Its error grows with what has these squares, and on each
    /// axis with this `change`.
    #[inline]
    fn line(
        &mut self,
        line: &Line,
        weights: &FanWeights,
        changes: Lanes,
        squares: Lanes,
        change: Lanes,
    ) -> Lanes {
        let base = Ints::of(self.row.states[0].values, line.first);
        self.axes(&line.columns, weights, (base, Lanes::ZERO, changes), squares, change)
    }

    #[inline]
    fn arc(&mut self, way: &Way<'_>, weights: &FanWeights, body: &Body, turn: &Turn, hints: [Lanes; 2]) {
        let mut arc = way.arc(turn);
        let first = arc.largest(turn);
        let largest = if self.flag(Site::Column(turn.first), turn.first, first as i32, &[0.0; CORE]) {
            first
        } else {
            self.less_likely(turn, first, arc.sizes(turn))
        };
        self.known[turn.first] = largest as i32;
        if largest != arc.frame {
            arc = way.arc_in(turn, largest);
        }
        let turned = body.spin.as_ref().map(|line| {
            let halves = way.half_turns(line, self.known);
            way.turned(turn, largest, halves)
        });
        let changes = self.changes(weights, |sum| arc.components(turned, sum));
        let from = arc.from + Lanes::splat(turn.zero);
        let size = arc.from * (turn.step * 16.0);
        self.axes(&turn.columns, weights, (Ints::splat(0), from, changes), arc.squares(hints), size);
    }

    /// The weighted sum of a field's features.
    #[inline]
    fn changes(&mut self, weights: &FanWeights, features: impl FnOnce(&mut Sum<'_>)) -> Lanes {
        let notes = self.coder.notes().map(|notes| {
            *notes = Notes::default();
            &mut notes.mean
        });
        let mut sum = Sum::new(&weights.mean, notes);
        features(&mut sum);
        sum.total()
    }

    /// Codes the axes of a field, which change from the sum of `base` and `from`; gives by how much they were off.
    #[expect(
        clippy::inline_always,
        reason = "three times a row: called, all that is in registers moves out and in"
    )]
    #[inline(always)]
    fn axes(
        &mut self,
        columns: &Columns,
        weights: &FanWeights,
        (base, from, changes): (Ints, Lanes, Lanes),
        squares: Lanes,
        change: Lanes,
    ) -> Lanes {
        let mut sum = Sum::new(&weights.scale, self.coder.notes().map(|notes| &mut notes.scale));
        sum.add_one(0, 1.0);
        sum.add_four(1, squares.sqrt().log2_1p());
        sum.add(5, change.log2_1p());
        let sizes = sum.total();
        let guessed = (from + changes).within(-FAR, FAR);
        let steps = guessed.rounded();
        let residuals = self.coder.vector(columns, base + steps, thirds(sizes), self.known);
        if C::LEARNS {
            let errors = residuals.lanes() - (guessed - steps.lanes());
            for axis in 0..columns.axes {
                let [change, size, error] = [changes, sizes, errors].map(|lanes| lanes.lanes()[axis]);
                self.lesson(columns.first + axis, axis, change, size, error, |_, _| ());
            }
        }
        residuals.lanes()
    }
}
