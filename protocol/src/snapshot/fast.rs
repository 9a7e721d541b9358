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
        let motion = self.motions[usize::from(field.id.0)];
        motion.guesses(self.kind, field, self.visible, self.states, coded)
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
    let fits = |&bits: &u32| bits < shape.bits && coded < 1 << bits;
    if let Some(class) = DIFFERENCE_BITS.iter().position(fits) {
        w.bits(class as u32, 2);
        w.bits(coded as u32, DIFFERENCE_BITS[class]);
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
    let value = i64::from(guess) + unzigzag(coded);
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

/// The way from guess to value; the shorter one around a circle. A column may be as wide as an `i32`, so a way may be
/// wider.
fn difference(shape: &Column, value: i32, guess: i32) -> i64 {
    let direct = i64::from(value) - i64::from(guess);
    if !shape.wraps {
        return direct;
    }
    // Sign-extends the low bits: the circle has 2^bits steps.
    let unused = 64 - shape.bits;
    direct << unused >> unused
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(coded: u32) -> i64 {
    i64::from(coded >> 1) ^ -i64::from(coded & 1)
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;
    use crate::schema::{FieldId, KindId, Schema};
    use proptest::prelude::*;

    fn kind_of(ty: FieldType) -> Kind {
        let fields = [Field::new(FieldId(0), "n", ty)];
        let schema = Schema::builder("f").kind(Kind::new(KindId(0), "k", fields)).build().unwrap();
        schema.kind(KindId(0)).clone()
    }

    fn integers(bounds: core::ops::RangeInclusive<i32>) -> Kind {
        kind_of(FieldType::integer(bounds))
    }

    fn angle(bits: u8) -> Kind {
        kind_of(FieldType::angle(bits))
    }

    /// The bytes of a value and how many bits of them it takes.
    fn encode(kind: &Kind, guess: i32, value: i32) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let mut w = BitWriter::new(&mut bytes);
        write_column(&mut w, &kind.columns()[0], value, guess);
        // A one behind it, whose place tells its length.
        w.bits(1, 1);
        w.finish();
        let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        let len = last * 8 + bytes[last].ilog2() as usize;
        (bytes, len)
    }

    fn coded(kind: &Kind, guess: i32, value: i32) -> Result<i32, DecodeError> {
        read_column(&mut BitReader::new(&encode(kind, guess, value).0), kind, 0, guess)
    }

    #[test]
    fn columns_are_told_as_the_page_says() {
        for (left, right) in page::rows("column fast") {
            let [bounds, values] = left.split(", ").collect::<Vec<_>>().try_into().unwrap();
            let (values, bits) = (numbers(values), right.replace(' ', ""));
            let wraps = bounds.ends_with(" wraps");
            let bounds = numbers(bounds.trim_end_matches(" wraps"));
            let kind =
                if wraps { angle(bounds[1].ilog2() as u8 + 1) } else { integers(bounds[0]..=bounds[1]) };
            assert_eq!([kind.columns()[0].min, kind.columns()[0].max], bounds[..]);
            let (told, len) = encode(&kind, values[0], values[1]);
            let told: String =
                (0..len).map(|bit| if told[bit / 8] >> (bit % 8) & 1 == 1 { '1' } else { '0' }).collect();
            assert_eq!(told, bits, "{left}");
            assert_eq!(coded(&kind, values[0], values[1]), Ok(values[1]));
        }
    }

    fn numbers(text: &str) -> Vec<i32> {
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn values_at_opposite_ends_of_the_widest_column_are_far_apart() {
        let kind = integers(i32::MIN..=i32::MAX);
        for (guess, value) in [(i32::MAX, i32::MIN), (i32::MIN, i32::MAX), (i32::MAX - 2, i32::MIN + 2)] {
            assert_eq!(coded(&kind, guess, value), Ok(value));
        }
    }

    proptest! {
        #[test]
        fn any_value_is_told_against_any_guess(a: i32, b: i32, guess: i32, value: i32, near in 0..=20_u32) {
            let (min, max) = (a.min(b), a.max(b));
            let within = |n: i32| n.clamp(min, max);
            let kind = integers(min..=max);
            let close = within(guess.wrapping_add(value >> near));
            prop_assert_eq!(coded(&kind, within(guess), within(value)), Ok(within(value)));
            prop_assert_eq!(coded(&kind, within(guess), close), Ok(close));
        }

        #[test]
        fn zigzag_keeps_small_magnitudes_small(value in -(1_i64 << 31)..1 << 31) {
            prop_assert_eq!(unzigzag(zigzag(value) as u32), value);
            prop_assert!(zigzag(value) <= 2 * value.unsigned_abs());
        }
    }
}
