//! What the `fast` coder guesses, and how far off that may be: fields go on as they went, at a few operations each.
//!
//! Features are differences of columns between the named states, scaled to the time to guess over, in steps. How far off a guess may
//! be, its **spread**, is a sum of the sizes of such differences: what moves unsteadily, and what was off a moment ago. A rotation goes on along its great circle (K. Shoemake's slerp, 1985, for small steps).

use super::lanes::{Ints, Lanes, Sum, quaternion_product};
use super::links::{Line, State, Turn};
use super::motion::quaternion;
use super::pace::Pace;
use super::row::{RowContext, largest_of, without};

/// The way through the named states.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pace: &'a Pace,
    /// The newest state; the one before, or the same if there is none; and the one before that, if there is one.
    newest: &'a [i32],
    older: &'a [i32],
    oldest: Option<&'a [i32]>,
}

/// How a field went, scaled to the time to guess over, in steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// Its columns in the newest state.
    pub(super) column: Ints,
    /// The same, and those in the state before.
    pub(super) value: Lanes,
    pub(super) last: Lanes,
    /// What it changed by, last and before.
    pub(super) now: Lanes,
    pub(super) before: Lanes,
}

impl<'a> Way<'a> {
    #[inline]
    pub(super) fn of(states: &[State<'a>], pace: &'a Pace) -> Self {
        let newest = states[0].values;
        // Of one length, and known to be: places in them are then looked at once for all.
        let values = |state: &State<'a>| state.values.get(..newest.len()).unwrap_or(newest);
        let (older, oldest) = match states {
            [_, second, third, ..] => (values(second), Some(values(third))),
            [_, second] => (values(second), None),
            _ => (newest, None),
        };
        Self { pace, newest, older, oldest }
    }

    /// Seconds to guess over.
    #[inline]
    fn t(&self) -> f32 {
        let [t, ..] = self.pace.t.lanes();
        t
    }

    /// How a field went.
    #[inline]
    pub(super) fn course(&self, line: &Line) -> Course {
        let at = |values: &[i32]| Ints::of(values, line.first).and(line.columns.there);
        let (newest, older) = (at(self.newest), at(self.older));
        let now = (newest - older).lanes().times(self.pace.near);
        let before = self.oldest.map_or(now, |oldest| (older - at(oldest)).lanes().times(self.pace.far));
        Course { column: newest, value: newest.lanes(), last: older.lanes(), now, before }
    }

    /// A velocity or an angular velocity.
    #[inline]
    pub(super) fn rate(&self, course: &Course, sum: &mut Sum<'_>) {
        sum.add(0, course.now);
        sum.add(1, course.before);
        sum.add(2, course.value.times(self.pace.t));
        sum.add(3, self.pace.t);
    }

    /// Steps of a position over the time to guess over, for each step of a velocity.
    #[inline]
    pub(super) fn steps(&self, velocity: &Line, position: &Line) -> f32 {
        self.t() * position.per_unit / velocity.per_unit
    }

    /// How fast the way of a velocity turns, and turned, for the angular velocity of `line`.
    #[inline]
    pub(super) fn veers(&self, push: &Push, line: &Line, sum: &mut Sum<'_>) {
        let steps = line.per_unit / (self.t() * (push.old.length_squared() + 1e-6));
        let [near, ..] = self.pace.near.lanes();
        sum.add(4, push.old.cross(push.new) * steps);
        sum.add(5, push.older.cross(push.old) * (steps * near));
    }

    /// A position without a velocity.
    #[inline]
    pub(super) fn free(&self, course: &Course, sum: &mut Sum<'_>) {
        sum.add(0, course.now);
        sum.add(1, course.now - course.before);
        sum.add(2, self.pace.t_squared);
    }

    /// How a rotation went. If not all states have the same largest component: that of the newest.
    #[expect(clippy::inline_always, reason = "once a row: called, all states are looked at anew")]
    #[inline(always)]
    pub(super) fn arc(&self, turn: &Turn) -> Result<Arc, usize> {
        let largest = |values: &[i32]| values.get(turn.first).copied().unwrap_or(0);
        let (own, older) = (largest(self.newest), largest(self.older));
        let oldest = self.oldest.map_or(own, largest);
        let frame = (own & 3) as usize;
        if ((own ^ older) | (own ^ oldest)) & 3 != 0 {
            return Err(frame);
        }
        Ok(Arc::new(self, turn, frame, |values| steps(turn, values)))
    }
}

impl Course {
    /// What the error of a field may grow with that goes on by itself: how unsteadily it goes, and how fast.
    #[inline]
    pub(super) fn spread(&self, sum: &mut Sum<'_>) {
        sum.add(1, (self.now - self.before).abs());
        sum.add(2, self.now.abs());
    }
}

/// A velocity: told now, in the newest state, and in the one before; in steps of a position over the time to guess over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Push {
    pub(super) new: Lanes,
    pub(super) old: Lanes,
    pub(super) older: Lanes,
}

impl Push {
    /// The position of this velocity.
    #[inline]
    pub(super) fn driven(&self, position: &Course, sum: &mut Sum<'_>) {
        sum.add(0, self.new);
        sum.add(1, self.old);
        sum.add(2, self.older);
        sum.add(3, position.now);
    }
}

/// The three components of a rotation that are told, in steps.
#[inline]
fn steps(turn: &Turn, values: &[i32]) -> Lanes {
    Ints::of(values, turn.columns.first).and(turn.columns.there).lanes() - Lanes::splat(turn.zero)
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

/// A rotation's quaternion, in steps, with this component positive.
fn four(turn: &Turn, values: &[i32], positive: usize) -> Lanes {
    let four = quaternion(Some(turn), values) * turn.per_unit;
    if four.lanes()[positive] < 0.0 { -four } else { four }
}

/// How the three components change by the turns that a spin makes, as it is now, and as it was.
pub(super) fn turned(
    row: &RowContext<'_>,
    (turn, frame): (&Turn, usize),
    spin: &Line,
    rates: [Lanes; 2],
) -> [Lanes; 2] {
    let way = Way::of(row.states, row.pace);
    let (four, half) = (four(turn, way.newest, frame), way.t() * 0.5 / spin.per_unit);
    rates.map(|rate| without(quaternion_product(rate * half, four), frame))
}

impl Arc {
    /// How the rotation of a row went, with any component for the largest.
    // Of the row, not of the way: that would have to be laid out in memory for a call that is seldom made.
    #[cold]
    #[inline(never)]
    pub(super) fn beside(row: &RowContext<'_>, turn: &Turn, frame: usize) -> Self {
        let way = Way::of(row.states, row.pace);
        Self::new(&way, turn, frame, |values| {
            let is_beside = values.get(turn.first).is_some_and(|largest| largest & 3 == frame as i32);
            if is_beside { steps(turn, values) } else { without(four(turn, values, frame), frame) }
        })
    }

    /// `at` gives the components of a state.
    #[inline]
    fn new(way: &Way<'_>, turn: &Turn, frame: usize, at: impl Fn(&[i32]) -> Lanes) -> Self {
        let (from, older) = (at(way.newest), at(way.older));
        let step = from - older;
        let now = step.times(way.pace.near);
        let before = way.oldest.map_or(now, |oldest| (older - at(oldest)).times(way.pace.far));
        let [near, ..] = way.pace.near.lanes();
        let bend = step.length_squared() * (-0.5 * turn.step * turn.step * near * (1.0 + near));
        Self { frame, from, now, before, bend: from * bend }
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
        let largest = (turn.per_unit * turn.per_unit - (x + y + z)).max(0.0);
        match self.frame {
            0 => [largest, x, y, z],
            1 => [x, largest, y, z],
            2 => [x, y, largest, z],
            _ => [x, y, z, largest],
        }
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

    /// What their error may grow with.
    #[inline]
    pub(super) fn spread(&self, hint: Lanes, sum: &mut Sum<'_>) {
        sum.add(1, (self.now - self.before).abs());
        sum.add(2, self.now.abs());
        sum.add(3, hint.extent());
    }
}
