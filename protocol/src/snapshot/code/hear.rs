//! A row's values from symbols, or from bits. Faults are kept until the row is done.

use super::super::dense::{self, Place};
use super::super::fast::{self, Codes};
use super::super::lanes::Ints;
use super::super::links::Columns;
use super::super::prior::{Learned, odds_step};
use super::super::range::RangeDecoder;
use super::super::row::{FieldCoder, Guess, RowCoder, RowContext, walk_dense, walk_fast};
use crate::bits::BitReader;
use crate::fault::DecodeError;
use crate::schema::Column;

/// Takes a row's values; what was wrong with them.
pub(super) fn hear_dense(
    r: &mut RangeDecoder<'_>,
    row: &RowContext<'_>,
    learned: &Learned,
    values: &mut [i32],
) -> Option<DecodeError> {
    let (first_tables, kind) = (&row.plan.first_tables, row.kind.index());
    let mut hearer = DenseHearer { r, learned, first_tables, kind, fault: None };
    walk_dense(row, values, &mut hearer);
    hearer.fault
}

/// The same in the `fast` coder, of a row that is usual or not.
#[inline]
pub(super) fn hear_fast(
    r: &mut BitReader<'_>,
    row: &RowContext<'_>,
    codes: &Codes,
    is_usual: bool,
    values: &mut [i32],
) -> Option<DecodeError> {
    let mut hearer = FastHearer { codes, r, kind: row.kind.index(), is_usual, fault: None };
    walk_fast(row, values, &mut hearer);
    let FastHearer { fault, r, .. } = hearer;
    fault.or(fast::check(r).err())
}

struct DenseHearer<'a, 'b> {
    r: &'a mut RangeDecoder<'b>,
    learned: &'a Learned,
    first_tables: &'a [usize],
    kind: u8,
    fault: Option<DecodeError>,
}

impl RowCoder for DenseHearer<'_, '_> {
    #[inline(never)]
    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let (shapes, known) = (&shapes[guess.first..], &mut known[guess.first..]);
        match guess.axes {
            1 => self.axes::<1>(shapes, guess, known),
            2 => self.axes::<2>(shapes, guess, known),
            _ => self.axes::<3>(shapes, guess, known),
        }
    }

    fn is(&mut self, _: usize, _: i32, odds: f32) -> bool {
        dense::hear_flag(self.r, self.learned.odds[odds_step(odds)])
    }

    fn are(&mut self, _: &[usize], _: &[i32], odds: f32) -> bool {
        dense::hear_flag(self.r, self.learned.odds[odds_step(odds)])
    }
}

impl DenseHearer<'_, '_> {
    /// So many columns, as they were told.
    #[inline]
    fn axes<const AXES: usize>(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let mut residuals = [0; 4];
        let tables = &self.learned.tables[self.first_tables[guess.first]..];
        let (shapes, known) = (&shapes[..AXES], &mut known[..AXES]);
        for axis in 0..AXES {
            let place = Place::new(guess.thirds[axis] as usize, guess.twelfths[axis]);
            let residual = dense::hear(self.r, &tables[place.table], place);
            let shape = &shapes[axis];
            known[axis] = from_residual(shape, guess.points[axis], residual)
                .unwrap_or_else(|| out_of_bounds(&mut self.fault, self.kind, guess.first + axis, shape));
            residuals[axis] = residual;
        }
        residuals
    }
}

struct FastHearer<'a, 'b> {
    codes: &'a Codes,
    r: &'a mut BitReader<'b>,
    kind: u8,
    is_usual: bool,
    fault: Option<DecodeError>,
}

impl FastHearer<'_, '_> {
    #[inline]
    fn flag(&mut self) -> bool {
        self.is_usual
            || self.r.flag("row").unwrap_or_else(|fault| {
                self.fault.get_or_insert(fault);
                true
            })
    }
}

impl RowCoder for FastHearer<'_, '_> {
    #[inline(never)]
    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let mut residuals = [0; 4];
        for (axis, told) in residuals.iter_mut().enumerate().take(guess.axes) {
            let column = guess.first + axis;
            let (shape, point) = (&shapes[column], guess.points[axis]);
            let (place, whole) = (fast::place(guess.thirds[axis]), (shape.min, shape.bits));
            let residual = fast::hear(self.r, self.codes, place, whole, point);
            known[column] = from_residual(shape, point, residual)
                .unwrap_or_else(|| out_of_bounds(&mut self.fault, self.kind, column, shape));
            *told = residual;
        }
        residuals
    }

    #[inline]
    fn is(&mut self, _: usize, _: i32, _: f32) -> bool {
        self.flag()
    }

    #[inline]
    fn are(&mut self, _: &[usize], _: &[i32], _: f32) -> bool {
        self.flag()
    }
}

impl FieldCoder for FastHearer<'_, '_> {
    #[expect(
        clippy::inline_always,
        reason = "three times a row: called, all that is in registers moves out and in"
    )]
    #[inline(always)]
    fn vector(&mut self, columns: &Columns, points: Ints, thirds: Ints, known: &mut [i32]) -> Ints {
        let three = if columns.axes == 3 { fast::hear_three(self.codes, self.r, thirds) } else { None };
        let residuals = three.unwrap_or_else(|| Ints::from_word(self.each(columns, points, thirds)));
        let values = points + residuals;
        if values.are_within(columns.least, columns.most) {
            put(columns, values, known);
            values
        } else {
            Ints::from_word(self.refuse(columns, values, known))
        }
    }
}

impl FastHearer<'_, '_> {
    /// The residuals of a field's axes, one by one; as a [word](Ints::word).
    #[cold]
    #[inline(never)]
    fn each(&mut self, columns: &Columns, points: Ints, thirds: Ints) -> u128 {
        let (points, thirds, mut residuals) = (points.values(), thirds.values(), [0; 4]);
        for (axis, residual) in residuals.iter_mut().enumerate().take(columns.axes) {
            let place = fast::place(thirds[axis]);
            *residual = fast::hear(self.r, self.codes, place, columns.whole(axis), points[axis]);
        }
        Ints::new(residuals).word()
    }

    /// Notes that values were told which their columns cannot have; gives ones that they can, as a [word](Ints::word).
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, columns: &Columns, values: Ints, known: &mut [i32]) -> u128 {
        let (least, most) = (columns.least.values(), columns.most.values());
        let is_out = |axis: &usize| !(least[*axis]..=most[*axis]).contains(&values.values()[*axis]);
        let column = columns.first + (0..columns.axes).find(is_out).unwrap_or(0);
        self.fault.get_or_insert(DecodeError::OutOfBounds { kind: self.kind, column: column as u8 });
        put(columns, columns.least, known);
        columns.least.word()
    }
}

/// Puts the values of a field into its columns of a row.
#[inline]
fn put(columns: &Columns, values: Ints, row: &mut [i32]) {
    // Places are small: nothing overflows, and one look at the length is enough.
    let first = columns.first as u16 as usize;
    let [x, y, z, _] = values.values();
    match row.get_mut(first..first + 3) {
        Some(three) if columns.axes == 3 => three.copy_from_slice(&[x, y, z]),
        _ => columns.put(values, row),
    }
}

/// Notes that a value was told which a column cannot have; gives one that it can.
#[cold]
fn out_of_bounds(fault: &mut Option<DecodeError>, kind: u8, column: usize, shape: &Column) -> i32 {
    fault.get_or_insert(DecodeError::OutOfBounds { kind, column: column as u8 });
    shape.min
}

/// The value that lies `residual` from the guess, if it is within the column's bounds.
#[inline]
fn from_residual(shape: &Column, point: i32, residual: i32) -> Option<i32> {
    let value = point.wrapping_add(residual);
    let value = if shape.wraps { value & shape.max } else { value };
    (shape.min..=shape.max).contains(&value).then_some(value)
}
