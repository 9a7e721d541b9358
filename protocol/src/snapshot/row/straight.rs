//! How the `fast` coder goes through a body.

use super::super::lanes::{CORE, FEATURES, Ints, Lanes, Sum, dot_four};
use super::super::links::{Body, Columns, Line, Turn};
use super::super::models::{FanWeights, Place, Site};
use super::super::straight::{Course, Push, Way, value};
use super::{FAR, FieldCoder, Lesson, Notes, Walker, thirds};

impl<C: FieldCoder> Walker<'_, '_, C, false> {
    /// Codes a body.
    #[inline(never)]
    pub(super) fn straight_body(&mut self, index: usize, body: &Body) {
        let way = Way::of(self.row.states, self.row.dt);
        let course = |line: Option<&Line>| line.map_or(Course::default(), |line| way.course(line));
        let (rate, place) = (course(body.velocity.as_ref()), course(body.position.as_ref()));
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
            misses[0] = self.line(line, weights, changes, lead);
            push = Push { old: rate.value, older: rate.last, new: value(line, self.known) };
        }
        let mut hint = misses[0];
        if let Some(line) = &body.spin {
            let weights = models.fan(self.class, index, Place::Spin);
            let course = way.course(line);
            let changes = self.changes(weights, |sum| {
                way.rate(&course, sum);
                way.veers(&push, line, sum);
            });
            self.line(line, weights, changes, Way::squares(&course, misses[0]));
            let [new, old] = [self.known, self.row.states[0].values].map(|values| value(line, values));
            hint = new - old;
        }
        if let Some(line) = &body.position {
            let weights = models.fan(self.class, index, Place::Position);
            misses[1] = match &body.velocity {
                Some(velocity) => {
                    let push = push.over(&way, velocity, line);
                    let changes = self.changes(weights, |sum| way.driven(&place, &push, sum));
                    self.line(line, weights, changes, Way::driven_squares(&place, &push, misses[0]))
                }
                None => {
                    let changes = self.changes(weights, |sum| way.free(&place, sum));
                    self.line(line, weights, changes, lead)
                }
            };
        }
        if let Some(turn) = &body.rotation {
            let weights = models.fan(self.class, index, Place::Components);
            self.arc(&way, weights, body, turn, [hint, misses[1]]);
        }
    }

    /// Codes the axes of a line; gives by how much they were off.
    #[inline]
    fn line(&mut self, line: &Line, weights: &FanWeights, changes: Lanes, squares: Lanes) -> Lanes {
        let base = Ints::of(self.row.states[0].values, line.first);
        self.axes(&line.columns, weights, (base, Lanes::ZERO, changes), squares)
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
        self.axes(&turn.columns, weights, (Ints::splat(0), from, changes), arc.squares(hints));
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

    /// Codes the axes of a field, which change from the sum of `base` and `from`, at a scale that follows from `squares`; gives by how much
    /// they were off.
    #[inline(never)]
    fn axes(
        &mut self,
        columns: &Columns,
        weights: &FanWeights,
        (base, from, changes): (Ints, Lanes, Lanes),
        squares: Lanes,
    ) -> Lanes {
        let sizes = squares.sqrt().log2_1p();
        let (constant, scales) = weights.size;
        let size = dot_four(sizes, scales) + constant;
        let guessed = (from + changes).within(-FAR, FAR);
        let steps = guessed.rounded();
        let thirds = thirds(Lanes::splat(size)).first();
        let residuals = self.coder.vector(columns, base + steps, thirds, self.known);
        if C::LEARNS {
            self.lessons(columns, (changes, guessed - steps.lanes()), (sizes, size), residuals);
        }
        residuals.lanes()
    }

    fn lessons(
        &mut self,
        columns: &Columns,
        (changes, fractions): (Lanes, Lanes),
        (sizes, size): (Lanes, f32),
        residuals: Ints,
    ) {
        let errors = residuals.lanes() - fractions;
        let mut scale = [0.0; FEATURES];
        scale[0] = 1.0;
        scale[4..8].copy_from_slice(&sizes.lanes());
        let scale_site = self.site(Site::Column(columns.first));
        for axis in 0..columns.axes {
            let Some(notes) = self.coder.notes() else { return };
            let mean = notes.mean.axis(axis);
            let [change, error] = [changes, errors].map(|lanes| lanes.lanes()[axis]);
            let (site, class) = (self.site(Site::Column(columns.first + axis)), self.class);
            self.coder.learn(Lesson::Number {
                site,
                scale_site,
                class,
                mean: &mean,
                change,
                scale: &scale,
                size,
                error,
            });
        }
    }
}
