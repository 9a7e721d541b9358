//! What the `fast` coder guesses, and how far off that may be: fields go on as they went, at a few operations each.
//!
//! Features are differences of columns between the named states, scaled to the time to guess over, in steps; those of scales are
//! logarithms of the same. A rotation goes on along its great circle (K. Shoemake's slerp, 1985, for small steps).

use super::context::class_of;
use super::lanes::{Ints, Lanes, Sum, quaternion_product};
use super::links::{Line, State, Turn};
use super::motion::quaternion;
use super::row::{largest_of, without};

/// The way through the named states.
pub(super) struct Way<'a> {
    /// States named: 1 to 3.
    states: usize,
    /// Seconds to guess over.
    t: f32,
    /// The newest state; and the one before, or the same if there is none.
    newest: &'a [i32],
    older: &'a [i32],
    /// The two states between which things went before; the two newest if there is no third.
    before: [&'a [i32]; 2],
    /// The time to guess over in units of the time between the two newest states, and between those before; 0 where there are
    /// none.
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
    pub(super) now: Lanes,
    pub(super) before: Lanes,
}

impl<'a> Way<'a> {
    #[inline]
    pub(super) fn of(states: &[State<'a>], dt: f32) -> Self {
        let newest = &states[0];
        let t = newest.distance as f32 * dt;
        let share = |newer: &State<'_>, older: &State<'_>| {
            if older.distance > newer.distance {
                newest.distance as f32 / (older.distance - newer.distance) as f32
            } else {
                0.0
            }
        };
        // Of one length, and known to be: places in them are then looked at once for all.
        let values = |state: &State<'a>| state.values.get(..newest.values.len()).unwrap_or(newest.values);
        let mut way = Self {
            states: states.len(),
            t,
            newest: newest.values,
            older: newest.values,
            before: [newest.values; 2],
            near: 0.0,
            far: 0.0,
        };
        if let Some(second) = states.get(1) {
            way.older = values(second);
            way.near = share(newest, second);
            (way.before, way.far) = ([way.newest, way.older], way.near);
            if let Some(third) = states.get(2) {
                (way.before, way.far) = ([way.older, values(third)], share(second, third));
            }
        }
        way
    }

    /// How a field went; one that there is not stays at zero.
    #[expect(clippy::inline_always, reason = "twice a row: called, it costs twice as much")]
    #[inline(always)]
    pub(super) fn course(&self, line: Option<&Line>) -> Course {
        let Some(line) = line else { return Course::default() };
        let at = |values: &[i32]| Ints::of(values, line.first);
        let (newest, older, [newer, oldest]) = (at(self.newest), at(self.older), self.before.map(at));
        Course {
            value: newest.lanes().times(line.there),
            last: older.lanes().times(line.there),
            now: (newest - older).lanes().times(line.there * self.near),
            before: (newer - oldest).lanes().times(line.there * self.far),
        }
    }

    /// The squares of how a field changed, of by how much that differs from before, of something else that its error may
    /// grow with, and of its value.
    #[inline]
    pub(super) fn squares(course: &Course, hint: Lanes) -> Lanes {
        squares([course.now, course.now - course.before, hint, course.value])
    }

    /// The class of a body's weights: how steadily the field that leads it goes, of which these are the squares.
    #[inline]
    pub(super) fn class(&self, squares: Lanes) -> u8 {
        let [now, bend, _, value] = squares.lanes();
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

    /// A velocity or an angular velocity.
    #[inline]
    pub(super) fn rate(&self, course: &Course, sum: &mut Sum<'_>) {
        sum.add(0, course.now);
        sum.add(1, course.before);
        sum.add(2, course.value * self.t);
        sum.add_one(3, self.t);
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
    pub(super) fn veers(&self, push: &Push, line: &Line, sum: &mut Sum<'_>) {
        let steps = line.per_unit / (self.t * (push.old.length_squared() + 1e-6));
        sum.add(4, push.old.cross(push.new) * steps);
        sum.add(5, push.older.cross(push.old) * (steps * self.near));
    }

    /// A position with a velocity.
    #[inline]
    pub(super) fn driven(&self, course: &Course, push: &Push, sum: &mut Sum<'_>) {
        sum.add(0, push.new);
        sum.add(1, push.old);
        sum.add(2, push.older);
        sum.add(3, course.now);
        sum.add_one(4, self.t * self.t);
    }

    /// The squares of what its error may grow with; `miss` is by how much the velocity was off.
    #[inline]
    pub(super) fn driven_squares(course: &Course, push: &Push, miss: Lanes) -> Lanes {
        let Push { new, old, older } = *push;
        squares([new - old, course.now - (old + older) * 0.5, miss, old - older])
    }

    /// A position without one.
    #[inline]
    pub(super) fn free(&self, course: &Course, sum: &mut Sum<'_>) {
        sum.add(0, course.now);
        sum.add(1, course.now - course.before);
        sum.add_one(2, self.t * self.t);
    }

    /// Half of the turns that an angular velocity would make: as it is known now, and as it was.
    #[inline]
    pub(super) fn half_turns(&self, line: &Line, known: &[i32]) -> [Lanes; 2] {
        [known, self.newest].map(|values| value(line, values) * (self.t * 0.5 / line.per_unit))
    }

    /// How a rotation went.
    #[inline]
    pub(super) fn arc(&self, turn: &Turn) -> Arc {
        let frame = |values: &[i32]| values.get(turn.first).map_or(0, |largest| (largest & 3) as usize);
        let frames = [self.newest, self.older, self.before[0], self.before[1]].map(frame);
        let own = frames[0];
        if frames != [own; 4] {
            return self.arc_in(turn, own);
        }
        let at = |values: &[i32]| Ints::of(values, turn.first).behind_first();
        let (newest, older, [newer, oldest]) = (at(self.newest), at(self.older), self.before.map(at));
        let from = newest.lanes() - Lanes::splat(turn.zero);
        Arc::new(self, turn, (own, from), (newest - older).lanes(), (newer - oldest).lanes())
    }

    /// The same, with any component for the largest.
    #[cold]
    #[inline(never)]
    pub(super) fn arc_in(&self, turn: &Turn, frame: usize) -> Arc {
        let at = |values: &[i32]| {
            let four = quaternion(Some(turn), values) * turn.per_unit;
            without(if four.lanes()[frame] < 0.0 { -four } else { four }, frame)
        };
        let (newest, older, [newer, oldest]) = (at(self.newest), at(self.older), self.before.map(at));
        Arc::new(self, turn, (frame, newest), newest - older, newer - oldest)
    }

    /// How the three components change by half of each turn.
    pub(super) fn turned(&self, turn: &Turn, frame: usize, halves: [Lanes; 2]) -> [Lanes; 2] {
        let four = quaternion(Some(turn), self.newest) * turn.per_unit;
        let four = if four.lanes()[frame] < 0.0 { -four } else { four };
        halves.map(|half| without(quaternion_product(half, four), frame))
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
    pub(super) fn over(&self, way: &Way<'_>, velocity: &Line, position: &Line) -> Self {
        let steps = way.t * position.per_unit / velocity.per_unit;
        Self { new: self.new * steps, old: self.old * steps, older: self.older * steps }
    }
}

/// How a rotation went: by the components of its quaternion but one, the largest, which is positive; in steps, scaled to
/// the time to guess over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    /// Which component is the largest.
    pub(super) frame: usize,
    /// The others in the newest state.
    pub(super) from: Lanes,
    /// What these changed by, last and before.
    now: Lanes,
    before: Lanes,
    /// A great circle bends back towards its middle.
    bend: Lanes,
}

impl Arc {
    #[inline]
    fn new(way: &Way<'_>, turn: &Turn, (frame, from): (usize, Lanes), step: Lanes, before: Lanes) -> Self {
        let bend = step.length_squared() * (-0.5 * turn.step * turn.step * way.near * (1.0 + way.near));
        Self { frame, from, now: step * way.near, before: before * way.far, bend: from * bend }
    }

    /// Which component is the largest where it goes on to.
    #[inline]
    pub(super) fn largest(&self, turn: &Turn) -> usize {
        let squares = self.goes_to().squared();
        let [x, y, z, _] = squares.lanes();
        let rest = turn.per_unit * turn.per_unit - (x + y + z);
        if rest >= x.max(y).max(z) { self.frame } else { largest_of(self.sizes(turn)) }
    }

    fn goes_to(&self) -> Lanes {
        self.from + self.now + self.bend
    }

    /// How large the components are there, squared.
    #[cold]
    pub(super) fn sizes(&self, turn: &Turn) -> [f32; 4] {
        let [x, y, z, _] = self.goes_to().squared().lanes();
        let mut sizes = [x, y, z, 0.0];
        sizes[self.frame..].rotate_right(1);
        sizes[self.frame] = (turn.per_unit * turn.per_unit - (x + y + z)).max(0.0);
        sizes
    }

    /// What the three components change by. `turned` is how they would by the angular velocity, now and before.
    #[inline]
    pub(super) fn components(&self, turned: Option<[Lanes; 2]>, sum: &mut Sum<'_>) {
        sum.add(0, self.now);
        sum.add(1, self.now - self.before);
        sum.add(2, self.bend);
        if let Some([new, old]) = turned {
            sum.add(3, new);
            sum.add(4, old);
        }
    }

    /// The squares of what their error may grow with.
    #[inline]
    pub(super) fn squares(&self, hints: [Lanes; 2]) -> Lanes {
        squares([self.now - self.before, self.now, hints[0], hints[1]])
    }
}

/// The squares of the lengths of four vectors.
#[inline]
fn squares(vectors: [Lanes; 4]) -> Lanes {
    Lanes::lengths_squared(vectors)
}

/// A field's value, in steps.
#[inline]
pub(super) fn value(line: &Line, values: &[i32]) -> Lanes {
    Ints::of(values, line.first).lanes().times(line.there)
}
