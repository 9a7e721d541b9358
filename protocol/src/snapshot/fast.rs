//! The `fast` coder: rows as packed bits.
//!
//! A field that is as guessed costs one bit. Otherwise each of its columns says in two bits how wide its difference
//! to the guess is, then the difference, zigzag coded; the widest class carries the value itself. Columns of few
//! values carry the value at once.

use super::predict::{Motion, State};
use crate::bits::{BitReader, BitWriter};
use crate::fault::DecodeError;
use crate::schema::{Column, ColumnMask, Field, FieldType, Kind};

/// Widths of a difference in bits; a column that is no wider than a class carries its value instead.
const DIFFERENCE_BITS: [u32; 3] = [3, 6, 10];

/// Columns up to this many bits are cheaper sent whole than as a class and a difference.
const DIRECT_BITS: u32 = 5;

/// One row as the coder sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowContext<'a> {
    pub(super) kind: &'a Kind,
    /// How each field moves, in the order of ids.
    pub(super) motions: &'a [Motion],
    /// The columns that the receiver gets.
    pub(super) visible: ColumnMask,
    /// The published states that the row names, newest first; none for a whole row.
    pub(super) states: &'a [State<'a>],
}

impl RowContext<'_> {
    /// The fields that travel, in coding order.
    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.kind.coding_order().filter(|field| self.visible.contains(field.columns().start))
    }

    /// The guesses for a field's columns; at most 4.
    fn guesses(&self, field: &Field, coded: &[i32]) -> [i32; 4] {
        let mut guesses = [0; 4];
        let motion = self.motions[usize::from(field.id.0)];
        for (axis, guess) in guesses.iter_mut().enumerate().take(field.columns().len()) {
            *guess = motion.guess(self.kind, field, axis, self.visible, self.states, coded);
        }
        guesses
    }
}

/// Writes the visible columns of a row.
pub(super) fn write_row(w: &mut BitWriter<'_>, row: RowContext<'_>, values: &[i32]) {
    for field in row.fields() {
        let columns = field.columns();
        let shapes = &row.kind.columns()[columns.clone()];
        let values_of_field = &values[columns];
        if row.states.is_empty() {
            write_whole(w, shapes, values_of_field);
            continue;
        }
        let guesses = row.guesses(field, values);
        let as_guessed = values_of_field.iter().zip(&guesses).all(|(value, guess)| value == guess);
        w.flag(!as_guessed);
        if as_guessed {
            continue;
        }
        let comparable = write_largest(w, field, values_of_field, &guesses);
        let skip = usize::from(matches!(field.ty, FieldType::Rotation { .. }));
        if comparable {
            for ((shape, value), guess) in shapes.iter().zip(values_of_field).zip(&guesses).skip(skip) {
                write_column(w, shape, *value, *guess);
            }
        } else {
            write_whole(w, &shapes[skip..], &values_of_field[skip..]);
        }
    }
}

/// Reads the visible columns of a row into `values`; the others are left as they are.
pub(super) fn read_row(
    r: &mut BitReader<'_>,
    row: RowContext<'_>,
    values: &mut [i32],
) -> Result<(), DecodeError> {
    for field in row.fields() {
        let columns = field.columns();
        if row.states.is_empty() {
            read_whole(r, row.kind, columns, values)?;
            continue;
        }
        let guesses = row.guesses(field, values);
        if !r.flag("row")? {
            values[columns.clone()].copy_from_slice(&guesses[..columns.len()]);
            continue;
        }
        let comparable = read_largest(r, field, values, &guesses)?;
        let skip = usize::from(matches!(field.ty, FieldType::Rotation { .. }));
        let columns = columns.start + skip..columns.end;
        if comparable {
            for (column, guess) in columns.zip(guesses.into_iter().skip(skip)) {
                values[column] = read_column(r, row.kind, column, guess)?;
            }
        } else {
            read_whole(r, row.kind, columns, values)?;
        }
    }
    Ok(())
}

/// A rotation says first whether its largest component is still the same; if not, the other three mean something
/// else and no difference helps. Other fields say nothing and are always comparable.
fn write_largest(w: &mut BitWriter<'_>, field: &Field, values: &[i32], guesses: &[i32; 4]) -> bool {
    if !matches!(field.ty, FieldType::Rotation { .. }) {
        return true;
    }
    let same = values[0] == guesses[0];
    w.flag(same);
    if !same {
        w.bits(values[0] as u32, 2);
    }
    same
}

fn read_largest(
    r: &mut BitReader<'_>,
    field: &Field,
    values: &mut [i32],
    guesses: &[i32; 4],
) -> Result<bool, DecodeError> {
    if !matches!(field.ty, FieldType::Rotation { .. }) {
        return Ok(true);
    }
    let same = r.flag("row")?;
    values[field.columns().start] = if same { guesses[0] } else { r.bits(2, "row")? as i32 };
    Ok(same)
}

/// The columns as they are.
pub(super) fn write_whole(w: &mut BitWriter<'_>, shapes: &[Column], values: &[i32]) {
    for (shape, value) in shapes.iter().zip(values) {
        w.bits(value.wrapping_sub(shape.min) as u32, shape.bits);
    }
}

/// What [`write_whole`] wrote, checked against the bounds.
pub(super) fn read_whole(
    r: &mut BitReader<'_>,
    kind: &Kind,
    columns: core::ops::Range<usize>,
    values: &mut [i32],
) -> Result<(), DecodeError> {
    for column in columns {
        let shape = &kind.columns()[column];
        let offset = r.bits(shape.bits, "row")?;
        if offset > shape.max.wrapping_sub(shape.min) as u32 {
            return Err(DecodeError::OutOfBounds { kind: kind.index(), column: column as u8 });
        }
        values[column] = shape.min.wrapping_add(offset as i32);
    }
    Ok(())
}

fn write_column(w: &mut BitWriter<'_>, shape: &Column, value: i32, guess: i32) {
    if shape.bits <= DIRECT_BITS {
        return write_whole(w, core::slice::from_ref(shape), &[value]);
    }
    let coded = zigzag(difference(shape, value, guess));
    let fits = |&bits: &u32| bits < shape.bits && u64::from(coded) < 1 << bits;
    if let Some(class) = DIFFERENCE_BITS.iter().position(fits) {
        w.bits(class as u32, 2);
        w.bits(coded, DIFFERENCE_BITS[class]);
    } else {
        w.bits(3, 2);
        write_whole(w, core::slice::from_ref(shape), &[value]);
    }
}

fn read_column(r: &mut BitReader<'_>, kind: &Kind, column: usize, guess: i32) -> Result<i32, DecodeError> {
    let shape = &kind.columns()[column];
    let class = if shape.bits <= DIRECT_BITS { 3 } else { r.bits(2, "row")? };
    let Some(&bits) = DIFFERENCE_BITS.get(class as usize) else {
        let offset = r.bits(shape.bits, "row")?;
        let value = i64::from(shape.min) + i64::from(offset);
        return bounded(kind, column, value);
    };
    let coded = r.bits(bits, "row")?;
    let value = i64::from(guess) + i64::from(unzigzag(coded));
    bounded(kind, column, if shape.wraps { value & i64::from(shape.max) } else { value })
}

fn bounded(kind: &Kind, column: usize, value: i64) -> Result<i32, DecodeError> {
    let shape = &kind.columns()[column];
    if (i64::from(shape.min)..=i64::from(shape.max)).contains(&value) {
        Ok(value as i32)
    } else {
        Err(DecodeError::OutOfBounds { kind: kind.index(), column: column as u8 })
    }
}

/// The way from guess to value; the shorter one around a circle.
fn difference(shape: &Column, value: i32, guess: i32) -> i32 {
    let direct = value.wrapping_sub(guess);
    if !shape.wraps {
        return direct;
    }
    // Sign-extends the low bits: the circle has 2^bits steps.
    let unused = 32 - shape.bits;
    direct << unused >> unused
}

fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

fn unzigzag(coded: u32) -> i32 {
    (coded >> 1) as i32 ^ -((coded & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zigzag_keeps_small_magnitudes_small(value: i32) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
            prop_assert!(u64::from(zigzag(value)) <= 2 * u64::from(value.unsigned_abs()));
        }
    }
}
