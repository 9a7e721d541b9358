//! How the `fast` coder goes through a body.

use super::super::lanes::{CORE, Ints, Lanes, Sum};
use super::super::links::{Body, Columns, Line, Turn};
use super::super::models::{FanWeights, Place, Site};
use super::super::straight::{Arc, Push, Way, turned};
use super::{FAR, FieldCoder, Walker, thirds_of};

/// A field that was told: its values in steps, and by how much these were off.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    values: Lanes,
    miss: Lanes,
}

/// What a field changes from: columns, or what is no whole number of steps.
#[derive(Clone, Copy, Debug)]
enum Base {
    Columns(Ints),
    Steps(Lanes),
}

impl<C: FieldCoder> Walker<'_, '_, C, false> {
    /// Codes a body.
    #[inline(never)]
    pub(super) fn straight_body(&mut self, index: usize, body: &Body) {
        let way = Way::of(self.row.states, self.row.pace);
        let weights = self.row.plan.models.body(self.class, index);
        let (mut push, mut miss) = (Push::default(), Lanes::ZERO);
        if let (Some(line), Some(position)) = (&body.velocity, &body.position) {
            let course = way.course(line);
            let over = way.steps(line, position);
            push = Push { old: course.value * over, older: course.last * over, ..push };
            let told = self.axes(
                &line.columns,
                weights.of(Place::Velocity),
                Base::Columns(course.column),
                |change, spread| {
                    way.rate(&course, change);
                    course.spread(spread);
                },
            );
            (push.new, miss) = (told.values * over, told.miss);
        }
        let (mut hint, mut rates) = (None, None);
        if let Some(line) = &body.spin {
            let course = way.course(line);
            let told = self.axes(
                &line.columns,
                weights.of(Place::Spin),
                Base::Columns(course.column),
                |change, spread| {
                    way.rate(&course, change);
                    way.veers(&push, line, change);
                    course.spread(spread);
                    spread.add(3, miss.extent());
                },
            );
            hint = Some(told.miss);
            rates = Some((line, [told.values, course.value]));
        }
        if let Some(line) = &body.position {
            let place = way.course(line);
            let (base, weights) = (Base::Columns(place.column), weights.of(Place::Position));
            let told = if body.velocity.is_some() {
                self.axes(&line.columns, weights, base, |change, spread| {
                    push.driven(&place, change);
                    spread.add(1, miss.abs());
                })
            } else {
                self.axes(&line.columns, weights, base, |change, spread| {
                    way.free(&place, change);
                    place.spread(spread);
                    spread.add(3, place.before.abs());
                })
            };
            hint = hint.or(Some(told.miss));
        }
        if let Some(turn) = &body.rotation {
            self.arc(&way, weights.of(Place::Components), turn, rates, hint.unwrap_or_default());
        }
    }

    /// Codes a rotation, which a spin turns at these rates, now and before.
    #[inline]
    fn arc(
        &mut self,
        way: &Way<'_>,
        weights: &FanWeights,
        turn: &Turn,
        rates: Option<(&Line, [Lanes; 2])>,
        hint: Lanes,
    ) {
        let mut arc = way.arc(turn).unwrap_or_else(|frame| Arc::beside(self.row, turn, frame));
        let first = arc.largest(turn);
        let is_first = self.flag(Site::Column(turn.first), turn.first, first as i32, &[0.0; CORE]);
        let largest = if is_first { first } else { self.less_likely(turn, first, arc.sizes(turn)) };
        self.known[turn.first] = largest as i32;
        if largest != arc.frame {
            arc = Arc::beside(self.row, turn, largest);
        }
        let turned = rates.map(|(spin, rates)| turned(self.row, (turn, largest), spin, rates));
        let base = Base::Steps(arc.from + Lanes::splat(turn.zero));
        self.axes(&turn.columns, weights, base, |change, spread| {
            arc.components(turned, change);
            arc.spread(hint, spread);
        });
    }

    /// Codes the axes of a field. What it changes by, and how far off that may be, are weighted sums of `features`.
    #[expect(
        clippy::inline_always,
        reason = "three times a row: called, all that is in registers moves out and in"
    )]
    #[inline(always)]
    fn axes(
        &mut self,
        columns: &Columns,
        weights: &FanWeights,
        base: Base,
        features: impl FnOnce(&mut Sum<'_>, &mut Sum<'_>),
    ) -> Told {
        let (change, spread) = self.sums(weights, |change, spread| {
            spread.add_one(0, 1.0);
            features(change, spread);
        });
        let (columns_before, from) = match base {
            Base::Columns(before) => (before, change),
            Base::Steps(from) => (Ints::splat(0), from + change),
        };
        let guessed = from.if_below(FAR);
        let steps = guessed.rounded();
        let points = columns_before + steps;
        let values = self.coder.vector(columns, points, thirds_of(spread), self.known);
        let miss = (values - points).and(columns.there).lanes();
        if C::LEARNS {
            let errors = miss - (guessed - steps.lanes());
            for axis in 0..columns.axes {
                let [change, spread, error] = [change, spread, errors].map(|lanes| lanes.lanes()[axis]);
                self.lesson(columns.first + axis, axis, change, spread, error, |_, _| ());
            }
        }
        Told { values: values.and(columns.there).lanes(), miss }
    }
}
