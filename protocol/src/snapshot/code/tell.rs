//! A row's values as symbols, or as a finished string of bits.

use super::super::dense::{self, Place};
use super::super::fast::{self, Codes};
use super::super::lanes::Ints;
use super::super::links::Columns;
use super::super::prior::{Learned, odds_step};
use super::super::range::Symbol;
use super::super::row::{FieldCoder, Guess, RowCoder, RowContext, walk_dense, walk_fast};
use crate::schema::Column;

/// Works out the symbols of a row's values. `known` has room for these.
pub(in crate::snapshot) fn tell_dense(
    row: &RowContext<'_>,
    learned: &Learned,
    values: &[i32],
    known: &mut [i32],
    out: &mut Vec<Symbol>,
) {
    let mut teller = DenseTeller { learned, first_tables: &row.plan.first_tables, values, out };
    walk_dense(row, known, &mut teller);
}

/// Works out the bits of a row's values: how many, and whether the row is usual, so that all its flags are true and none is
/// written. The first bit says that.
#[expect(clippy::inline_always, reason = "once a row: called, all that is at hand is moved out and in")]
#[inline(always)]
pub(in crate::snapshot) fn tell_fast(
    row: &RowContext<'_>,
    learned: &Learned,
    values: &[i32],
    known: &mut [i32],
    out: &mut Vec<u64>,
) -> (u32, bool) {
    // A state that has changed makes a row unusual: to see that, nothing has to be coded.
    if row.keeps_states(values) {
        let start = out.len();
        let (bits, is_usual) = tell_row(row, learned, values, known, out, false);
        if is_usual {
            return (bits, true);
        }
        out.truncate(start);
    }
    tell_unusual(row, learned, values, known, out)
}

#[cold]
#[inline(never)]
fn tell_unusual(
    row: &RowContext<'_>,
    learned: &Learned,
    values: &[i32],
    known: &mut [i32],
    out: &mut Vec<u64>,
) -> (u32, bool) {
    tell_row(row, learned, values, known, out, true)
}

/// The bits of a row's values, with its flags or without, which the first bit says; and whether all are true.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn tell_row(
    row: &RowContext<'_>,
    learned: &Learned,
    values: &[i32],
    known: &mut [i32],
    out: &mut Vec<u64>,
    with_flags: bool,
) -> (u32, bool) {
    let start = out.len();
    let codes = &learned.codes;
    let mut teller =
        FastTeller { codes, values, out, word: u64::from(!with_flags), used: 1, with_flags, is_usual: true };
    walk_fast(row, known, &mut teller);
    let FastTeller { word, used, is_usual, out, .. } = teller;
    let bits = (out.len() - start) as u32 * u64::BITS + used;
    out.push(word);
    (bits, is_usual)
}

pub(in crate::snapshot) struct DenseTeller<'a> {
    pub(in crate::snapshot) learned: &'a Learned,
    pub(in crate::snapshot) first_tables: &'a [usize],
    pub(in crate::snapshot) values: &'a [i32],
    pub(in crate::snapshot) out: &'a mut Vec<Symbol>,
}

impl RowCoder for DenseTeller<'_> {
    #[inline(never)]
    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let (shapes, known) = (&shapes[guess.first..], &mut known[guess.first..]);
        match guess.axes {
            1 => self.axes::<1>(shapes, guess, known),
            2 => self.axes::<2>(shapes, guess, known),
            _ => self.axes::<3>(shapes, guess, known),
        }
    }

    fn is(&mut self, column: usize, value: i32, odds: f32) -> bool {
        let is = self.values[column] == value;
        self.out.push(dense::flag_symbol(self.learned.odds[odds_step(odds)], is));
        is
    }

    fn are(&mut self, columns: &[usize], values: &[i32], odds: f32) -> bool {
        let are = columns.iter().all(|&column| self.values[column] == values[column]);
        self.out.push(dense::flag_symbol(self.learned.odds[odds_step(odds)], are));
        are
    }
}

impl DenseTeller<'_> {
    /// So many columns: how many is known, so that nothing is counted or checked for each of them.
    #[inline]
    fn axes<const AXES: usize>(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let mut residuals = [0; 4];
        let values = &self.values[guess.first..];
        let tables = &self.learned.tables[self.first_tables[guess.first]..];
        let (shapes, values, known) = (&shapes[..AXES], &values[..AXES], &mut known[..AXES]);
        for axis in 0..AXES {
            let place = Place::new(guess.thirds[axis] as usize, guess.twelfths[axis]);
            let residual = dense::residual(&shapes[axis], values[axis], guess.points[axis]);
            dense::tell(&tables[place.table], place, residual, self.out);
            known[axis] = values[axis];
            residuals[axis] = residual;
        }
        residuals
    }
}

struct FastTeller<'a> {
    codes: &'a Codes,
    values: &'a [i32],
    out: &'a mut Vec<u64>,
    /// The last bits, and how many: less than 64.
    word: u64,
    used: u32,
    with_flags: bool,
    is_usual: bool,
}

impl FastTeller<'_> {
    /// The low `count` bits of `bits`, less than 64; the others are zero.
    #[inline]
    fn put(&mut self, (bits, count): (u64, u32)) {
        self.word |= bits << self.used;
        self.used += count;
        if self.used >= u64::BITS {
            self.out.push(self.word);
            self.used -= u64::BITS;
            self.word = bits >> (count - self.used);
        }
    }

    #[inline]
    fn flag(&mut self, flag: bool) -> bool {
        if self.with_flags {
            self.put((u64::from(flag), 1));
        }
        self.is_usual &= flag;
        flag
    }
}

impl RowCoder for FastTeller<'_> {
    #[inline(never)]
    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let mut residuals = [0; 4];
        for (axis, residual) in residuals.iter_mut().enumerate().take(guess.axes) {
            let column = guess.first + axis;
            let (shape, value) = (&shapes[column], self.values[column]);
            *residual = dense::residual(shape, value, guess.points[axis]);
            let place = fast::place(guess.thirds[axis]);
            self.put(fast::tell(self.codes, place, *residual, (shape.min, shape.bits), value));
            known[column] = value;
        }
        residuals
    }

    #[inline]
    fn is(&mut self, column: usize, value: i32, _: f32) -> bool {
        self.flag(self.values[column] == value)
    }

    #[inline]
    fn are(&mut self, columns: &[usize], values: &[i32], _: f32) -> bool {
        let values = &values[..self.values.len()];
        self.flag(columns.iter().all(|&column| self.values[column] == values[column]))
    }
}

impl FieldCoder for FastTeller<'_> {
    #[inline]
    fn vector(&mut self, columns: &Columns, points: Ints, thirds: Ints, _: &mut [i32]) -> Ints {
        let values = Ints::of(self.values, columns.first);
        let residuals = (values - points).and(columns.there);
        match fast::tell_three(self.codes, thirds, residuals) {
            Some(told) if columns.axes == 3 => self.put(told),
            _ => self.each(columns, thirds, residuals, values),
        }
        values
    }
}

impl FastTeller<'_> {
    /// The axes of a field, one by one.
    #[cold]
    #[inline(never)]
    fn each(&mut self, columns: &Columns, thirds: Ints, residuals: Ints, values: Ints) {
        let axes = residuals.values().into_iter().zip(thirds.values()).zip(values.values());
        for (axis, ((residual, thirds), value)) in axes.enumerate().take(columns.axes) {
            self.put(fast::tell(self.codes, fast::place(thirds), residual, columns.whole(axis), value));
        }
    }
}
