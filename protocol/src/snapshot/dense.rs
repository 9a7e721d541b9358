//! The `dense` coder: residuals as tokens of static tables, by a range coder.
//!
//! The scale of a residual picks the table: three an octave, and for small scales three more by how the guess lies between
//! two lattice points. Bits far below the scale go raw. Large residuals are an octave and raw bits.

use super::frequencies::Frequencies;
use super::range::{RangeDecoder, Symbol};
use super::row::{SCALE_MIN, THIRDS_MAX};
use crate::schema::{Column, Field, FieldType, Kind};

/// Residuals up to this many units of the scale have tokens of their own.
pub(super) const DIRECT: usize = 23;
const DIRECT_MAX: i64 = (DIRECT as i64 - 1) / 2;
/// Tokens of larger ones: two an octave at first, then one.
pub(super) const OCTAVES: usize = 2 * HALVED + 28;
const HALVED: usize = 4;
/// All tokens of a table.
pub(super) const TOKENS: usize = DIRECT + OCTAVES + 2;
/// From which scale on bits go raw, as it is told: see [`Guess`](super::row::Guess).
pub(super) const RAW_FROM: usize = 21;
/// Up to which it matters where the guess lies between two lattice points.
const FRACTION_STEPS: usize = 15;
/// Tables of a set.
pub(super) const TABLES: usize = FRACTION_STEPS * 3 + (RAW_FROM - FRACTION_STEPS) + 3;
/// Sets of tables: see [`first_tables`].
pub(super) const SETS: usize = 4;
/// Frequencies of tokens.
pub(super) type Table = Frequencies<{ TOKENS + 1 }>;

impl Table {
    /// A bell of the width that a table's place stands for.
    pub(super) fn untrained(place: usize) -> Self {
        Self::untrained_at(if place < FRACTION_STEPS * 3 { place / 3 } else { place - FRACTION_STEPS * 2 })
    }

    /// A bell of so many thirds of an octave.
    pub(super) fn untrained_at(step: usize) -> Self {
        let octaves = if step < RAW_FROM { step as f64 / 3.0 + f64::from(SCALE_MIN) } else { 2.5 };
        // 2^octaves by repeated squaring of thirds: no platform's `exp2`.
        let width = (0..(octaves.abs() * 3.0) as u32).fold(1.0, |width: f64, _| {
            if octaves < 0.0 { width / 1.259_921_05 } else { width * 1.259_921_05 }
        });
        let mut counts = [0.0; TOKENS];
        for (token, count) in counts.iter_mut().enumerate() {
            let far = if token < DIRECT {
                (token as i64 - DIRECT_MAX).unsigned_abs() as f64
            } else {
                (DIRECT_MAX + 4) as f64 * (token - DIRECT + 1) as f64
            };
            let x = far / width;
            *count = 1.0 / (1.0 + x * x * (1.0 + x * x));
        }
        Self::counted(&counts)
    }
}

/// The first table of the set that each column is coded with: positions, rotations, velocities, all others.
pub(super) fn first_tables(kind: &Kind) -> Vec<usize> {
    let of_field = |ty: &FieldType| match ty {
        FieldType::Position { .. } => 0,
        FieldType::Rotation { .. } => 1,
        FieldType::Velocity { .. } => 2,
        _ => 3,
    };
    let of_columns = |field: &Field| {
        field.columns().map({
            let first = of_field(&field.ty) * TABLES;
            move |_| first
        })
    };
    kind.fields().iter().flat_map(of_columns).collect()
}

/// How a residual is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// In its set.
    pub(super) table: usize,
    /// Bits that go raw.
    raw: u32,
    /// Whether the residual's sign is turned over, so that guesses always lie above their lattice point.
    is_turned: bool,
}

impl Place {
    /// For a guess that lies `twelfths` above its lattice point, -6 to 6, at a scale of so many `thirds`.
    #[inline]
    pub(super) fn new(thirds: usize, twelfths: i32) -> Self {
        let nearness = (twelfths.unsigned_abs() as usize / 2).min(2);
        let (table, raw) = PLACES[thirds % PLACES.len()][nearness];
        Self { table: usize::from(table), raw: u32::from(raw), is_turned: twelfths < 0 }
    }

    /// The token of a residual, its raw bits and how many they are.
    #[inline]
    pub(super) fn token(self, residual: i64) -> (usize, u64, u32) {
        let residual = if self.is_turned { -residual } else { residual };
        let centered = residual + (1 << self.raw >> 1);
        let units = centered >> self.raw;
        let low = (centered & ((1 << self.raw) - 1)) as u64;
        if units.abs() <= DIRECT_MAX {
            return ((units + DIRECT_MAX) as usize, low, self.raw);
        }
        let size = units.unsigned_abs();
        let octave = size.ilog2();
        let (token, bits) = octave_token(octave, size);
        let tail = (size & ((1 << bits) - 1)) << 1 | u64::from(units < 0);
        (token, tail << self.raw | low, bits + 1 + self.raw)
    }

    /// The residual of a token and what `read` gives for that many raw bits.
    fn residual(self, token: usize, read: impl FnOnce(u32) -> u64) -> i64 {
        let (units, low) = if token < DIRECT {
            (token as i64 - DIRECT_MAX, read(self.raw))
        } else {
            let (size, bits) = octave_of(token);
            let raw = read(bits + 1 + self.raw);
            let tail = raw >> self.raw;
            let size = (size | tail >> 1) as i64;
            (if tail & 1 != 0 { -size } else { size }, raw & ((1 << self.raw) - 1))
        };
        let centered = units << self.raw | low as i64;
        let residual = centered - (1 << self.raw >> 1);
        if self.is_turned { -residual } else { residual }
    }
}

/// By scale and nearness to the next lattice point: the table, and how many low bits go raw.
const PLACES: [[(u8, u8); 3]; (THIRDS_MAX + 1).next_power_of_two()] = {
    let mut places = [[(0, 0); 3]; (THIRDS_MAX + 1).next_power_of_two()];
    let mut thirds = 0;
    while thirds <= THIRDS_MAX {
        let above = thirds.saturating_sub(RAW_FROM);
        let mut nearness = 0;
        while nearness < 3 {
            places[thirds][nearness] = if thirds < FRACTION_STEPS {
                ((thirds * 3 + nearness) as u8, 0)
            } else if thirds < RAW_FROM {
                ((FRACTION_STEPS * 2 + thirds) as u8, 0)
            } else {
                ((FRACTION_STEPS * 2 + RAW_FROM + above % 3) as u8, (above / 3 + 1) as u8)
            };
            nearness += 1;
        }
        thirds += 1;
    }
    places
};

/// The token of sizes like this one, and how many of its bits follow raw.
fn octave_token(octave: u32, size: u64) -> (usize, u32) {
    // The first octave with tokens of its own is the one of `DIRECT_MAX + 1`.
    let above = octave as usize - 3;
    if above < HALVED {
        (DIRECT + 2 * above + (size >> (octave - 1) & 1) as usize, octave - 1)
    } else {
        (DIRECT + HALVED + above, octave)
    }
}

/// The least size of a token, and how many bits follow raw.
fn octave_of(token: usize) -> (u64, u32) {
    let place = token - DIRECT;
    if place < 2 * HALVED {
        let octave = 3 + place as u32 / 2;
        (1 << octave | (place as u64 & 1) << (octave - 1), octave - 1)
    } else {
        let octave = 3 + (place - HALVED) as u32;
        (1 << octave, octave)
    }
}

/// The symbols of a residual.
#[inline]
pub(super) fn tell(table: &Table, place: Place, residual: i32, out: &mut Vec<Symbol>) {
    let turned = if place.is_turned { residual.wrapping_neg() } else { residual };
    let token = turned.wrapping_add(DIRECT_MAX as i32) as u32 as usize;
    if place.raw == 0 && token < DIRECT {
        out.push(table.symbol(token));
    } else {
        tell_with_raw(table, place, turned, out);
    }
}

/// The same, of one that has raw bits, mostly few.
#[inline(never)]
fn tell_with_raw(table: &Table, place: Place, turned: i32, out: &mut Vec<Symbol>) {
    let raw = place.raw % u32::BITS;
    let centered = turned.wrapping_add(1 << raw >> 1);
    let token = (centered >> raw).wrapping_add(DIRECT_MAX as i32) as u32 as usize;
    if token < DIRECT && raw <= RAW_BITS && raw > 0 {
        let low = (centered & ((1 << raw) - 1)) as u16;
        out.extend([table.symbol(token), Symbol { start: low, size: 0, bits: raw as u8 }]);
        return;
    }
    let residual = if place.is_turned { turned.wrapping_neg() } else { turned };
    tell_far(table, place, residual, out);
}

/// The same, of any.
#[cold]
fn tell_far(table: &Table, place: Place, residual: i32, out: &mut Vec<Symbol>) {
    let (token, raw, bits) = place.token(i64::from(residual));
    out.push(table.symbol(token));
    tell_raw(raw, bits, |symbol| out.push(symbol));
}

/// Raw bits that one symbol may tell.
const RAW_BITS: u32 = 16;

/// Raw bits as symbols, the highest 16 first.
#[inline]
pub(super) fn tell_raw(value: u64, bits: u32, mut put: impl FnMut(Symbol)) {
    let mut left = bits;
    while left > 0 {
        let count = left.min(RAW_BITS);
        left -= count;
        put(Symbol { start: (value >> left & ((1 << count) - 1)) as u16, size: 0, bits: count as u8 });
    }
}

/// What [`tell`] told.
#[inline]
pub(super) fn hear(r: &mut RangeDecoder<'_>, table: &Table, place: Place) -> i32 {
    let token = table.hear(r);
    if place.raw == 0 && token < DIRECT {
        let residual = token as i32 - DIRECT_MAX as i32;
        return if place.is_turned { -residual } else { residual };
    }
    hear_with_raw(r, place, token)
}

/// The same, of one that has raw bits, mostly few.
#[inline(never)]
fn hear_with_raw(r: &mut RangeDecoder<'_>, place: Place, token: usize) -> i32 {
    let raw = place.raw;
    if token >= DIRECT || raw > RAW_BITS {
        return hear_far(r, place, token);
    }
    let low = r.peek(raw as u8);
    r.take(Symbol { start: low, size: 0, bits: raw as u8 });
    let units = token as i32 - DIRECT_MAX as i32;
    let residual = (units << raw | i32::from(low)) - (1 << raw >> 1);
    if place.is_turned { -residual } else { residual }
}

/// The same, of any.
#[cold]
fn hear_far(r: &mut RangeDecoder<'_>, place: Place, token: usize) -> i32 {
    place.residual(token, |bits| hear_raw(r, bits)) as i32
}

#[inline]
pub(super) fn hear_raw(r: &mut RangeDecoder<'_>, bits: u32) -> u64 {
    let mut value = 0;
    let mut left = bits;
    while left > 0 {
        let count = left.min(RAW_BITS);
        left -= count;
        let part = r.peek(count as u8);
        r.take(Symbol { start: part, size: 0, bits: count as u8 });
        value = value << count | u64::from(part);
    }
    value
}

/// A flag that is true with a chance of `chance` out of 65,536.
#[inline]
pub(super) fn flag_symbol(chance: u16, flag: bool) -> Symbol {
    let falses = (65_536 - u32::from(chance)) as u16;
    if flag {
        Symbol { start: falses, size: chance - 1, bits: 16 }
    } else {
        Symbol { start: 0, size: falses.wrapping_sub(1), bits: 16 }
    }
}

#[inline]
pub(super) fn hear_flag(r: &mut RangeDecoder<'_>, chance: u16) -> bool {
    let flag = u32::from(r.peek(16)) >= 65_536 - u32::from(chance);
    r.take(flag_symbol(chance, flag));
    flag
}

/// The difference of a value and a guess; the shorter way around a circle.
///
/// What is too far for 32 bits wraps, and comes back when it is added again.
#[inline]
pub(super) fn residual(shape: &Column, value: i32, guess: i32) -> i32 {
    let direct = value.wrapping_sub(guess);
    if !shape.wraps {
        return direct;
    }
    // Sign-extends the low bits: the circle has 2^bits steps.
    let unused = 32 - shape.bits;
    direct << unused >> unused
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::super::range::RangeEncoder;
    use super::*;
    use proptest::prelude::*;

    fn column(min: i32, max: i32) -> Column {
        let bits = u32::BITS - (max.wrapping_sub(min) as u32).leading_zeros();
        Column { min, max, bits, wraps: false, threshold: 0, rate_hz: None }
    }

    proptest! {
        #[test]
        fn any_residual_is_told_at_any_scale(
            value: i32, far: i32, near in 0..=31_u32, thirds in 0..=THIRDS_MAX, twelfths in -6..=6
        ) {
            let residual = far >> near;
            let tables: Vec<_> = (0..TABLES).map(Table::untrained).collect();
            let place = Place::new(thirds, twelfths);
            let mut bytes = Vec::new();
            let mut w = RangeEncoder::new(&mut bytes);
            let mut symbols = Vec::new();
            tell(&tables[place.table], place, residual, &mut symbols);
            w.encode_all(&symbols);
            tell_raw(u64::from(value as u32), 32, |symbol| w.encode(symbol));
            w.finish(0);
            let mut r = RangeDecoder::new(&bytes);
            prop_assert_eq!(hear(&mut r, &tables[place.table], place), residual);
            prop_assert_eq!(hear_raw(&mut r, 32), u64::from(value as u32));
            r.finish("test").unwrap();
        }

        #[test]
        fn flags_are_told(flags in prop::collection::vec((any::<bool>(), 1_u16..), 1..50)) {
            let mut bytes = Vec::new();
            let mut w = RangeEncoder::new(&mut bytes);
            for (flag, chance) in &flags {
                w.encode(flag_symbol(*chance, *flag));
            }
            w.finish(0);
            let mut r = RangeDecoder::new(&bytes);
            for (flag, chance) in &flags {
                prop_assert_eq!(hear_flag(&mut r, *chance), *flag);
            }
        }

        #[test]
        fn the_shorter_way_around_a_circle_is_told(value in 0..256_i32, guess in -1000..1000_i32) {
            let circle = Column { wraps: true, ..column(0, 255) };
            let way = residual(&circle, value, guess);
            prop_assert!((-128..128).contains(&way));
            prop_assert_eq!((guess + way).rem_euclid(256), value);
        }
    }

    #[test]
    fn tokens_are_as_the_page_says() {
        for (left, right) in page::rows("coder token") {
            let (guess, residual) = left.split_once(", ").unwrap();
            let (thirds, twelfths) = guess.split_once(' ').unwrap();
            let place = Place::new(thirds.parse().unwrap(), twelfths.parse().unwrap());
            let (token, raw, bits) = place.token(residual.parse().unwrap());
            assert_eq!(format!("{} {token} {raw} {bits}", place.table), right, "{left}");
        }
    }
}
