//! How the `dense` coder goes through a body.

use super::super::context::{self, FIELD, FIELD_ABOVE, Wildness, surprise};
use super::super::lanes::{FEATURES, Ints, Lanes, Sum, log2};
use super::super::links::{Body, Line, Turn};
use super::super::models::{FanWeights, Place, Site};
use super::super::motion::{Motion, difference, vector};
use super::super::predict::{self, Coded, FOLLOWS, follows};
use super::{FAR, Guess, Lesson, RowCoder, Walker, guess_of, largest_of, thirds, without};

impl<C: RowCoder> Walker<'_, '_, C, true> {
    // Apart, so that what is needed in its middle is not kept at hand all the time.
    #[inline(never)]
    pub(super) fn body(&mut self, index: usize, body: &Body) {
        let mut m = Motion::default();
        m.look(body, self.row.states, self.row.pace.dt);
        self.class = context::class(body, &m);
        self.wild = Wildness::of(&m, body);
        let mut coded = Coded { v0: m.v1, w0: m.w1, d0: m.new.u * m.t };
        if let Some(line) = &body.velocity {
            let wild = self.wild;
            self.wild.velocity = self.line(
                line,
                (index, Place::Velocity),
                None,
                |sum| predict::velocity(&m, line, sum),
                |sum| context::velocity(&m, &wild, line, sum),
            );
            coded.v0 = vector(Some(line), self.known);
        }
        let wild = self.wild;
        if let Some(line) = &body.spin {
            let veers = predict::veers(&m, coded.v0);
            self.line(
                line,
                (index, Place::Spin),
                None,
                |sum| predict::spin(&m, &coded, veers, line, sum),
                |sum| context::spin(&m, &coded, veers.0 - veers.1, &wild, body, line, sum),
            );
            coded.w0 = vector(Some(line), self.known);
        }
        if let Some(line) = &body.position {
            self.wild.position = if body.velocity.is_some() {
                self.line(
                    line,
                    (index, Place::Position),
                    None,
                    |sum| predict::driven(&m, &coded, line, sum),
                    |sum| context::driven(&m, &coded, &wild, line, sum),
                )
            } else {
                let turning = m.w1.cross(m.v1);
                let along = [m.v1, m.w1, turning].map(Lanes::unit);
                self.line(
                    line,
                    (index, Place::Position),
                    Some(&along),
                    |sum| predict::free(&m, turning, line, sum),
                    |sum| context::free(&m, turning, &wild, line, &along, sum),
                )
            };
            coded.d0 = difference(line, self.known, self.baseline());
        }
        if let Some(turn) = &body.rotation {
            self.rotation(&m, &coded, (index, body), turn);
        }
    }

    /// Codes the axes of a field: each is guessed to change by a weighted sum, at a scale that is another. `along` are
    /// directions along which its error may lie: what an axis was off then tells of the next. Gives how much it surprised.
    #[inline]
    fn line(
        &mut self,
        line: &Line,
        (index, place): (usize, Place),
        along: Option<&[Lanes; 3]>,
        mean: impl FnOnce(&mut Sum<'_>),
        scale: impl FnOnce(&mut Sum<'_>),
    ) -> f32 {
        let weights = self.row.plan.models.body(self.class, index).of(place);
        let (changes, sizes) = self.sums(weights, |of_mean, of_scale| {
            mean(of_mean);
            scale(of_scale);
        });
        let guesses = Guesses { first: line.first, axes: line.axes, from: Lanes::ZERO, changes, sizes };
        let base = &self.baseline()[line.first..];
        match along {
            Some(along) => self.one_by_one(guesses, base, along, weights),
            None => self.at_once(guesses, Ints::of(self.baseline(), line.first)),
        }
    }

    /// Codes axes that tell nothing of each other.
    #[inline]
    fn at_once(&mut self, guesses: Guesses, base: Ints) -> f32 {
        let guessed = (guesses.from + guesses.changes).within(-FAR, FAR);
        let steps = guessed.rounded();
        let fractions = guessed - steps.lanes();
        let guess = Guess {
            first: guesses.first,
            axes: guesses.axes,
            points: (base + steps).values(),
            twelfths: (fractions * 12.0).truncated().values(),
            thirds: thirds(guesses.sizes).values(),
        };
        let residuals = self.coder.numbers(self.row.kind.columns(), &guess, self.known);
        let errors = Ints::new(residuals).lanes() - fractions;
        if C::LEARNS {
            for axis in 0..guesses.axes.min(3) {
                let [change, size, error] =
                    [guesses.changes, guesses.sizes, errors].map(|lanes| lanes.lanes()[axis]);
                self.lesson(guesses.first + axis, axis, change, size, error, |_, _| ());
            }
        }
        surprise(errors, guesses.sizes, guesses.axes)
    }

    /// Codes axes of which each tells of those that follow.
    fn one_by_one(
        &mut self,
        guesses: Guesses,
        base: &[i32],
        along: &[Lanes; 3],
        weights: &FanWeights,
    ) -> f32 {
        let (from, changes, sizes) = (guesses.from.lanes(), guesses.changes.lanes(), guesses.sizes.lanes());
        let [field_weights, above_weights] = [FIELD, FIELD_ABOVE].map(|place| weights.scale.0[place].lanes());
        let mut residuals = [0.0; 3];
        let mut octaves = 0.0;
        for axis in 0..guesses.axes.min(3) {
            let column = guesses.first + axis;
            let mut from_before = [0.0; FEATURES - FOLLOWS];
            let mut change = changes[axis];
            if axis > 0 {
                for (pair, direction) in from_before.chunks_exact_mut(2).zip(along) {
                    pair.copy_from_slice(&follows(*direction, residuals, axis));
                }
                for (feature, weight) in from_before.iter().zip(&weights.mean.0[FOLLOWS..]) {
                    change += feature * weight.lanes()[axis];
                }
            }
            let field = octaves * [1.0, 1.0, 0.5][axis];
            let size = sizes[axis] + field * field_weights[axis] + field.max(0.0) * above_weights[axis];
            let (guess, fraction) = guess_of(column, base[axis], from[axis] + change, size);
            let error = self.number(&guess) as f32 - fraction;
            if C::LEARNS {
                self.lesson(column, axis, change, size, error, |mean, scale| {
                    mean[FOLLOWS..].copy_from_slice(&from_before);
                    (scale[FIELD], scale[FIELD_ABOVE]) = (field, field.max(0.0));
                });
            }
            residuals[axis] = error;
            octaves += (log2(error.abs() + 0.5) - size).clamp(-4.0, 8.0);
        }
        octaves / guesses.axes as f32
    }

    fn rotation(&mut self, m: &Motion, coded: &Coded, (index, body): (usize, &Body), turn: &Turn) {
        let models = &self.row.plan.models;
        let turning = models.body(self.class, index).of(Place::Turn);
        let (steps, _) = self.sums(turning, |mean, _| predict::turn(m, coded, body, turn, mean));
        if let Some(notes) = self.coder.notes().copied() {
            for axis in 0..3 {
                let site = self.site(Site::Turn(turn.first + 1 + axis));
                let mean = notes.mean.axis(axis);
                self.coder.learn(Lesson::Turn {
                    site,
                    class: self.class,
                    axis,
                    mean: &mean,
                    from: m.q1,
                    turn,
                });
            }
        }
        let rotation = predict::turned(m, turn, steps);
        let (largest, rotation) = self.largest(m, (body, turn), rotation);
        self.known[turn.first] = largest as i32;
        let components = without(rotation, largest);
        let weights = models.body(self.class, index).of(Place::Components);
        let wild = self.wild;
        let (changes, sizes) = self.sums(weights, |_, scale| {
            context::components(m, coded, &wild, body, turn.per_unit, components, scale);
        });
        let from = components * turn.per_unit + Lanes::splat(turn.zero);
        let guesses = Guesses { first: turn.first + 1, axes: 3, from, changes, sizes };
        // Where nothing else tells how a body turned, it mostly turned on further about one of these.
        let along = body.velocity.is_none().then(|| {
            [m.w1, coded.d0.cross(Lanes::new([0.0, 0.0, 1.0, 0.0])), coded.d0]
                .map(|axis| without(predict::tangent(rotation, axis.unit()), largest))
        });
        match &along {
            Some(along) => self.one_by_one(guesses, &[0; 3], along, weights),
            None => self.at_once(guesses, Ints::splat(0)),
        };
    }

    /// Codes which component of a rotation is the largest: most likely the one that is guessed to be. Gives the guess in
    /// which it is positive, too.
    #[inline]
    fn largest(&mut self, m: &Motion, (body, turn): (&Body, &Turn), rotation: Lanes) -> (usize, Lanes) {
        // Weights may be anything: what is no number is no largest component.
        let sizes = rotation.abs().within(0.0, f32::MAX).lanes();
        let first = largest_of(sizes);
        let mut rest = sizes;
        rest[first] = 0.0;
        let margin = (sizes[first] - rest.into_iter().fold(0.0, f32::max)) * turn.per_unit;
        let is_as_before = self.baseline()[turn.first] == first as i32;
        let odds = context::largest(m, body, turn.per_unit, margin, is_as_before, &self.wild);
        let largest = if self.flag(Site::Column(turn.first), turn.first, first as i32, &odds) {
            first
        } else {
            self.less_likely(turn, first, rest)
        };
        (largest, if rotation.lanes()[largest] < 0.0 { -rotation } else { rotation })
    }
}

/// How the axes of a field are guessed to change, and how far off that may be.
#[derive(Clone, Copy)]
struct Guesses {
    first: usize,
    axes: usize,
    /// Where they are, in steps above a base.
    from: Lanes,
    changes: Lanes,
    sizes: Lanes,
}
