//! The `fast` coder: residuals as Golomb-Rice codes whose parameter follows from the scale.
//!
//! Source: R. F. Rice, "Some practical universal noiseless coding techniques" (1979).

use crate::bits::BitReader;
use crate::fault::DecodeError;
use crate::schema::Column;

/// Ones that say that the value follows whole.
const ESCAPE_ONES: u32 = 11;

/// How many low bits go raw for a residual of this scale.
#[inline]
pub(super) fn parameter(scale: f32) -> u32 {
    (scale + 0.9).clamp(0.0, 28.0) as u32
}

/// The residual's code, or the escape and the value, through `put(bits, count)`; at most 32 bits at a time.
#[inline]
pub(super) fn tell(shape: &Column, parameter: u32, residual: i64, value: i32, mut put: impl FnMut(u32, u32)) {
    let folded = zigzag(residual);
    let ones = folded >> parameter;
    if ones < u64::from(ESCAPE_ONES) {
        let ones = ones as u32;
        // The ones, a zero, and the low bits.
        put((1 << ones) - 1, ones + 1);
        put((folded & ((1 << parameter) - 1)) as u32, parameter);
    } else {
        put((1 << ESCAPE_ONES) - 1, ESCAPE_ONES);
        put(value.wrapping_sub(shape.min) as u32, shape.bits);
    }
}

/// What was told: a residual, or a value.
pub(super) enum Told {
    Residual(i64),
    /// Steps above the column's least value.
    Offset(u32),
}

/// What [`tell`] told.
#[inline]
pub(super) fn hear(r: &mut BitReader<'_>, shape: &Column, parameter: u32) -> Result<Told, DecodeError> {
    let ones = r.ones(ESCAPE_ONES, "row")?;
    if ones == ESCAPE_ONES {
        return Ok(Told::Offset(r.bits(shape.bits, "row")?));
    }
    let low = r.bits(parameter, "row")?;
    Ok(Told::Residual(unzigzag(u64::from(ones) << parameter | u64::from(low))))
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;
    use crate::bits::BitWriter;
    use proptest::prelude::*;

    fn column(min: i32, max: i32) -> Column {
        let bits = u32::BITS - (max.wrapping_sub(min) as u32).leading_zeros();
        Column { min, max, bits, wraps: false, threshold: 0, rate_hz: None }
    }

    #[test]
    fn numbers_are_told_as_the_page_says() {
        for (left, right) in page::rows("coder rice") {
            let parts: Vec<_> = left.split(", ").collect();
            let wraps = parts[0].ends_with(" wraps");
            let numbers = |text: &str| -> Vec<i32> {
                text.trim_end_matches(" wraps").split(' ').map(|word| word.parse().unwrap()).collect()
            };
            let (bounds, values) = (numbers(parts[0]), numbers(parts[2]));
            let shape = Column { wraps, ..column(bounds[0], bounds[1]) };
            let residual = super::super::dense::residual(&shape, values[1], i64::from(values[0]));
            let mut told = String::new();
            tell(&shape, parts[1].parse().unwrap(), residual, values[1], |bits, count| {
                told.extend((0..count).map(|bit| if bits >> bit & 1 == 1 { '1' } else { '0' }));
            });
            assert_eq!(told, right, "{left}");
        }
    }

    proptest! {
        #[test]
        fn any_residual_is_told_at_any_scale(a: i32, b: i32, value: i32, guess: i32, near in 0..=31_u32, scale in -9.0_f32..40.0) {
            let shape = column(a.min(b), a.max(b));
            let value = value.clamp(shape.min, shape.max);
            let guess = if guess < 0 { value.wrapping_add(guess >> near) } else { guess };
            let residual = i64::from(value) - i64::from(guess);
            let mut bytes = Vec::new();
            let mut w = BitWriter::new(&mut bytes);
            tell(&shape, parameter(scale), residual, value, |bits, count| w.bits(bits, count));
            w.finish();
            match hear(&mut BitReader::new(&bytes), &shape, parameter(scale)).unwrap() {
                Told::Residual(told) => prop_assert_eq!(told, residual),
                Told::Offset(offset) => prop_assert_eq!(shape.min.wrapping_add(offset as i32), value),
            }
        }

        #[test]
        fn zigzag_keeps_small_magnitudes_small(value in -(1_i64 << 33)..1 << 33) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
            prop_assert!(zigzag(value) <= 2 * value.unsigned_abs());
        }
    }
}
