//! What the `fast` coder guesses, and how far off that may be: fields go on as they went, at a few operations each.
//!
//! Features are differences of columns between the named states, scaled to the time to guess over, in steps; those of scales are
//! logarithms of the same. A rotation goes on along its great circle (K. Shoemake's slerp, 1985, for small steps).

use super::context::class_of;
use core::ops::{Mul, Sub};

use super::lanes::{Ints, Lanes, Sum, log2_1p, quaternion_product};
use super::links::{Line, State, Turn};
use super::row::largest_of;

/// How a body went through the named states.
pub(super) struct Way {
    /// States named: 1 to 3.
    states: usize,
    /// Seconds to guess over.
    t: f32,
    /// That time in units of the time between the two newest states, and between those before; 0 where there are none.
    near: f32,
    far: f32,
}

/// How a field went, scaled to the time to guess over, in steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Course {
    /// Its value, and that in the state before.
    pub(super) value: Lanes,
    pub(super) last: Lanes,
    /// What it changed by, last and before.
    now: Lanes,
    before: Lanes,
}

impl Way {
    #[inline]
    pub(super) fn of(states: &[State<'_>], dt: f32) -> Self {
        let distance = |place: usize| states.get(place).map_or(0, |state| state.distance);
        let newest = distance(0);
        let share =
            |newer: u32, older: u32| if older > newer { newest as f32 / (older - newer) as f32 } else { 0.0 };
        let (near, far) = (share(newest, distance(1)), share(distance(1), distance(2)));
        Self { states: states.len(), t: newest as f32 * dt, near, far }
    }

    /// How a field went.
    #[inline]
    pub(super) fn course(&self, line: &Line, states: &[State<'_>]) -> Course {
        let at = |place: usize| Ints::of(states[place].values, line.first);
        let value = at(0).lanes().times(line.there);
        if self.states < 2 {
            return Course { value, last: value, now: Lanes::ZERO, before: Lanes::ZERO };
        }
        let last = at(1).lanes().times(line.there);
        let now = (at(0) - at(1)).lanes().times(line.there * self.near);
        let before = if self.states < 3 { now } else { (at(1) - at(2)).lanes().times(line.there * self.far) };
        Course { value, last, now, before }
    }

    /// The class of a body's weights: how steadily the field that leads it goes.
    #[inline]
    pub(super) fn class(&self, course: &Course) -> u8 {
        let squares = [course.value, course.now, course.now - course.before].map(Lanes::length_squared);
        let [value, now, bend] = squares;
        // A square of a ratio of four is one of two octaves.
        let level = match self.states {
            _ if value == 0.0 && now == 0.0 => 0,
            3 if bend < now * 0.03 => 1,
            3 if bend < now * 0.25 => 2,
            3 if bend < now => 3,
            3 if bend < now * 2.6 => 4,
            _ => 5,
        };
        class_of(self.states, self.t, level)
    }

    /// A velocity or an angular velocity; `surprise` is that of the fields before.
    #[inline]
    pub(super) fn rate(
        &self,
        course: &Course,
        off: Lanes,
        surprise: f32,
        mean: &mut Sum<'_>,
        scale: &mut Sum<'_>,
    ) {
        mean.add(0, course.now);
        mean.add(1, course.before);
        mean.add(2, course.value * self.t);
        mean.add_one(3, self.t);
        let sizes = [course.now, course.now - course.before, off, course.value * self.t];
        scale.add_one(0, 1.0);
        scale.add_four(1, sizes_of(sizes));
        scale.add(5, course.now.log2_1p());
        scale.add_one(6, surprise);
    }

    /// By how much the way of a position was not what its velocity said, in steps of the velocity.
    #[inline]
    pub(super) fn off(&self, velocity: (&Line, &Course), position: (&Line, &Course)) -> Lanes {
        let ((line, course), (place, went)) = (velocity, position);
        let steps = line.per_unit / (self.t * place.per_unit);
        went.now * steps - (course.value + course.last) * 0.5
    }

    /// How fast the way of a velocity turns, and turned, for the angular velocity of `line`.
    #[inline]
    pub(super) fn veers(&self, push: &Push, line: &Line, mean: &mut Sum<'_>) {
        let steps = line.per_unit / (self.t * (push.old.length_squared() + 1e-6));
        mean.add(4, push.old.cross(push.new) * steps);
        mean.add(5, push.older.cross(push.old) * (steps * self.near));
    }

    /// A position with a velocity.
    #[inline]
    pub(super) fn driven(
        &self,
        course: &Course,
        push: Push,
        surprise: f32,
        mean: &mut Sum<'_>,
        scale: &mut Sum<'_>,
    ) {
        let Push { new, old, older } = push;
        mean.add(0, new);
        mean.add(1, old);
        mean.add(2, older);
        mean.add(3, course.now);
        mean.add_one(4, self.t * self.t);
        let change = new - old;
        scale.add_one(0, 1.0);
        scale.add_four(1, sizes_of([change, course.now - (old + older) * 0.5, old, old - older]));
        scale.add(5, change.log2_1p());
        scale.add_one(6, surprise);
    }

    /// A position without one.
    #[inline]
    pub(super) fn free(&self, course: &Course, mean: &mut Sum<'_>, scale: &mut Sum<'_>) {
        let bend = course.now - course.before;
        mean.add(0, course.now);
        mean.add(1, bend);
        mean.add_one(2, self.t * self.t);
        scale.add_one(0, 1.0);
        scale.add_one(1, log2_1p(bend.length()));
        scale.add_one(2, log2_1p(course.now.length()));
        scale.add(3, bend.log2_1p());
        scale.add(4, course.now.log2_1p());
    }

    /// Half of the turns that an angular velocity would make: as it is known now, and as it was.
    #[inline]
    pub(super) fn half_turns(&self, line: &Line, known: &[i32], baseline: &[i32]) -> [Lanes; 2] {
        [known, baseline].map(|values| value(line, values) * (self.t * 0.5 / line.per_unit))
    }

    /// How a rotation went.
    #[inline]
    pub(super) fn arc(&self, turn: &Turn, states: &[State<'_>]) -> Arc {
        let frame = (states[0].values[turn.first] & 3) as usize;
        let from = Part::of(turn, states[0].values, frame);
        if self.states < 2 {
            return Arc { frame, from, ..Arc::default() };
        }
        let second = Part::of(turn, states[1].values, frame).towards(from);
        let step = from - second;
        let now = step * self.near;
        let before = if self.states < 3 {
            now
        } else {
            (second - Part::of(turn, states[2].values, frame).towards(second)) * self.far
        };
        // A great circle bends back towards its middle.
        let bend = from * (-0.5 * step.dot(step) * self.near * (1.0 + self.near));
        Arc { frame, from, now, before, bend }
    }
}

/// A velocity: coded now, in the newest state, and in the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Push {
    pub(super) new: Lanes,
    pub(super) old: Lanes,
    pub(super) older: Lanes,
}

impl Push {
    /// In steps of a position, over the time to guess over.
    #[inline]
    pub(super) fn over(&self, way: &Way, velocity: &Line, position: &Line) -> Self {
        let steps = way.t * position.per_unit / velocity.per_unit;
        Self { new: self.new * steps, old: self.old * steps, older: self.older * steps }
    }
}

/// A quaternion, taken apart: the component that is the largest of the newest state's, and the three others in order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    largest: f32,
    others: Lanes,
}

impl Part {
    #[inline]
    fn of(turn: &Turn, values: &[i32], frame: usize) -> Self {
        let columns = Ints::of(values, turn.first);
        let [_, a, b, c] = ((columns.lanes() - Lanes::splat(turn.zero)) * turn.step).lanes();
        let others = Lanes::new([a, b, c, 0.0]);
        let largest = (1.0 - others.length_squared()).max(0.0).sqrt();
        let own = (columns.first() & 3) as usize;
        if own == frame { Self { largest, others } } else { Self { largest, others }.seen_from(own, frame) }
    }

    /// The same with another component for the largest.
    #[cold]
    fn seen_from(self, own: usize, frame: usize) -> Self {
        let mut four = self.others.lanes();
        four[own..].rotate_right(1);
        four[own] = self.largest;
        let largest = four[frame];
        four[frame..].rotate_left(1);
        four[3] = 0.0;
        Self { largest, others: Lanes::new(four) }
    }

    #[inline]
    fn dot(self, other: Self) -> f32 {
        self.largest * other.largest + self.others.dot(other.others)
    }

    /// The same rotation, by the nearer of its two quaternions.
    #[inline]
    fn towards(self, other: Self) -> Self {
        if self.dot(other) < 0.0 { self * -1.0 } else { self }
    }
}

impl Sub for Part {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self { largest: self.largest - other.largest, others: self.others - other.others }
    }
}

impl Mul<f32> for Part {
    type Output = Self;
    #[inline]
    fn mul(self, factor: f32) -> Self {
        Self { largest: self.largest * factor, others: self.others * factor }
    }
}

/// How a rotation went, as a course on the sphere of quaternions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arc {
    /// Which component was the largest.
    frame: usize,
    from: Part,
    now: Part,
    before: Part,
    bend: Part,
}

impl Arc {
    /// Which component is the largest where it goes on to.
    #[inline]
    pub(super) fn largest(&self) -> usize {
        let largest = self.from.largest + self.now.largest + self.bend.largest;
        let [x, y, z, _] = (self.from.others + self.now.others + self.bend.others).abs().lanes();
        if largest >= x.max(y).max(z) { self.frame } else { largest_of(self.sizes()) }
    }

    /// How large the components are there.
    #[cold]
    pub(super) fn sizes(&self) -> [f32; 4] {
        let largest = self.from.largest + self.now.largest + self.bend.largest;
        let mut sizes = (self.from.others + self.now.others + self.bend.others).three().abs().lanes();
        sizes[self.frame..].rotate_right(1);
        sizes[self.frame] = largest;
        sizes
    }

    /// The same with another component for the largest, which is positive then.
    #[inline]
    pub(super) fn seen_from(self, frame: usize) -> Self {
        if frame == self.frame { self } else { self.turned_over(frame) }
    }

    #[cold]
    fn turned_over(self, frame: usize) -> Self {
        let sign = if self.from.seen_from(self.frame, frame).largest < 0.0 { -1.0 } else { 1.0 };
        let part = |part: Part| part.seen_from(self.frame, frame) * sign;
        let Self { from, now, before, bend, .. } = self;
        Self { frame, from: part(from), now: part(now), before: part(before), bend: part(bend) }
    }

    /// The three smaller components in the newest state.
    pub(super) fn from(&self) -> Lanes {
        self.from.others
    }

    /// What these change by, in `steps` a unit. `turns` are halves of the turns that the angular velocity would make.
    #[inline]
    pub(super) fn components(
        &self,
        turns: Option<[Lanes; 2]>,
        surprises: [f32; 2],
        steps: f32,
        mean: &mut Sum<'_>,
        scale: &mut Sum<'_>,
    ) {
        let change = self.now - self.before;
        mean.add(0, self.now.others * steps);
        mean.add(1, change.others * steps);
        mean.add(2, self.bend.others * steps);
        let mut push = Lanes::ZERO;
        if let Some([new, old]) = turns {
            push = new - old;
            mean.add(3, self.turned_by(new) * steps);
            mean.add(4, self.turned_by(old) * steps);
        }
        let squares = [change.dot(change), self.now.dot(self.now), push.length_squared(), 0.0];
        scale.add_one(0, 1.0);
        scale.add_four(1, (Lanes::new(squares).sqrt() * steps).log2_1p());
        scale.add(5, (self.from.others * 16.0).log2_1p());
        scale.add_one(6, surprises[0]);
        scale.add_one(7, surprises[1]);
    }

    /// How the components change by half of a small rotation vector.
    fn turned_by(&self, half: Lanes) -> Lanes {
        let whole = self.from.seen_from(self.frame, 3);
        let [x, y, z, _] = whole.others.lanes();
        let turned = quaternion_product(half, Lanes::new([x, y, z, whole.largest]));
        Part { largest: turned.lanes()[3], others: turned.three() }.seen_from(3, self.frame).others
    }
}

/// The logarithms of the lengths of four vectors.
#[inline]
fn sizes_of(vectors: [Lanes; 4]) -> Lanes {
    Lanes::new(vectors.map(Lanes::length_squared)).sqrt().log2_1p()
}

/// A field's value, in steps.
#[inline]
pub(super) fn value(line: &Line, values: &[i32]) -> Lanes {
    Ints::of(values, line.first).lanes().times(line.there)
}
