//! The `dense` coder: residuals as tokens of static tables, by a range coder.
//!
//! The scale of a residual picks the table: three an octave, and for small scales three more by how the guess lies between
//! two lattice points. Bits far below the scale go raw. Large residuals are an octave and raw bits.

use super::range::{RangeDecoder, Symbol};
use crate::schema::{Column, FieldType, Kind};

/// Residuals up to this many units of the scale have tokens of their own.
pub(super) const DIRECT: usize = 23;
const DIRECT_MAX: i64 = (DIRECT as i64 - 1) / 2;
/// Tokens of larger ones: two an octave at first, then one.
pub(super) const OCTAVES: usize = 2 * HALVED + 28;
const HALVED: usize = 4;
/// All tokens of a table.
pub(super) const TOKENS: usize = DIRECT + OCTAVES + 2;
/// The least scale, as a logarithm, and where bits begin to go raw.
const SCALE_MIN: f32 = -4.0;
const RAW_FROM: f32 = 3.0;
const STEPS: usize = 21;
/// Steps of the scale in which it matters where the guess lies between two lattice points.
const FRACTION_STEPS: usize = 15;
/// Tables of a set.
pub(super) const TABLES: usize = FRACTION_STEPS * 3 + (STEPS - FRACTION_STEPS) + 3;
/// Sets of tables: see [`sets_of`].
pub(super) const SETS: usize = 4;
/// Chances are parts of this many bits.
const TABLE_BITS: u8 = 15;

/// Chances of tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// Sums of the frequencies before each token, and all of them.
    sums: [u16; TOKENS + 1],
}

impl Table {
    /// Frequencies must be above zero and add up to 2^15.
    pub(super) fn new(frequencies: &[u16; TOKENS]) -> Option<Self> {
        let mut sums = [0_u16; TOKENS + 1];
        for (token, &frequency) in frequencies.iter().enumerate() {
            let sum =
                sums[token].checked_add(frequency).filter(|&sum| frequency > 0 && sum <= 1 << TABLE_BITS)?;
            sums[token + 1] = sum;
        }
        (sums[TOKENS] == 1 << TABLE_BITS).then_some(Self { sums })
    }

    /// From how often each token was seen.
    pub(super) fn counted(counts: &[f64; TOKENS]) -> Self {
        let total = f64::from(1_u16 << TABLE_BITS) - TOKENS as f64;
        let all: f64 = counts.iter().sum::<f64>().max(1e-9);
        let mut frequencies: [u16; TOKENS] =
            core::array::from_fn(|token| 1 + (counts[token] / all * total) as u16);
        let missing = (1_u16 << TABLE_BITS) - frequencies.iter().sum::<u16>();
        let most = (0..TOKENS).max_by_key(|&token| frequencies[token]).unwrap_or(0);
        frequencies[most] += missing;
        Self::new(&frequencies).expect("at least 1 each, adding up to all")
    }

    /// A bell of the width that a table's place stands for.
    pub(super) fn untrained(place: usize) -> Self {
        let step = if place < FRACTION_STEPS * 3 { place / 3 } else { place - FRACTION_STEPS * 2 };
        let octaves = if step < STEPS { step as f64 / 3.0 + f64::from(SCALE_MIN) } else { 2.5 };
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

    pub(super) fn frequency(&self, token: usize) -> u16 {
        self.sums[token + 1] - self.sums[token]
    }

    fn symbol(&self, token: usize) -> Symbol {
        Symbol { start: self.sums[token], size: self.frequency(token) - 1, bits: TABLE_BITS }
    }

    /// The token that this part belongs to.
    fn token(&self, part: u16) -> usize {
        self.sums.partition_point(|&sum| sum <= part) - 1
    }
}

/// Numbers that a dial tells.
pub(super) const DIAL: usize = 128;

/// Chances of small numbers: how many ticks are named, how far back they are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dial {
    sums: [u16; DIAL + 1],
    /// The likeliest number.
    pub(super) usual: u32,
}

impl Dial {
    /// Frequencies must be above zero and add up to 2^15.
    pub(super) fn new(frequencies: &[u16; DIAL]) -> Option<Self> {
        let mut sums = [0_u16; DIAL + 1];
        for (number, &frequency) in frequencies.iter().enumerate() {
            let sum =
                sums[number].checked_add(frequency).filter(|&sum| frequency > 0 && sum <= 1 << TABLE_BITS)?;
            sums[number + 1] = sum;
        }
        let usual = (0..DIAL).rev().max_by_key(|&number| frequencies[number]).unwrap_or(0) as u32;
        (sums[DIAL] == 1 << TABLE_BITS).then_some(Self { sums, usual })
    }

    /// From how often each number was seen. What was never seen stays possible, the smaller the likelier.
    pub(super) fn counted(counts: &[f64; DIAL]) -> Self {
        let all: f64 = counts.iter().sum();
        let unseen = |number: usize| (all + 1.0) / 40.0 / (number + 1) as f64;
        let share = |number: usize| counts[number] + unseen(number);
        let total: f64 = (0..DIAL).map(share).sum();
        let room = f64::from(1_u16 << TABLE_BITS) - DIAL as f64;
        let mut frequencies: [u16; DIAL] =
            core::array::from_fn(|number| 1 + (share(number) / total * room) as u16);
        let missing = (1_u16 << TABLE_BITS) - frequencies.iter().sum::<u16>();
        let most = (0..DIAL).max_by_key(|&number| frequencies[number]).unwrap_or(0);
        frequencies[most] += missing;
        Self::new(&frequencies).expect("at least 1 each, adding up to all")
    }

    pub(super) fn frequency(&self, number: usize) -> u16 {
        self.sums[number + 1] - self.sums[number]
    }

    pub(super) fn symbol(&self, number: usize) -> Symbol {
        Symbol { start: self.sums[number], size: self.frequency(number) - 1, bits: TABLE_BITS }
    }

    pub(super) fn hear(&self, r: &mut RangeDecoder<'_>) -> u32 {
        let part = r.peek(TABLE_BITS);
        let number = self.sums.partition_point(|&sum| sum <= part) - 1;
        r.take(self.symbol(number));
        number as u32
    }
}

/// Which set of tables a column is coded with: rotations, positions, velocities, all others.
pub(super) fn sets_of(kind: &Kind) -> Vec<u8> {
    let of_field = |ty: &FieldType| match ty {
        FieldType::Position { .. } => 0,
        FieldType::Rotation { .. } => 1,
        FieldType::Velocity { .. } => 2,
        _ => 3,
    };
    kind.fields().iter().flat_map(|field| field.columns().map(move |_| of_field(&field.ty))).collect()
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
    /// For a guess that lies `fraction` above its lattice point, -0.5 to 0.5.
    #[inline]
    pub(super) fn new(scale: f32, fraction: f32) -> Self {
        let scale = scale.clamp(SCALE_MIN, 28.0);
        let is_turned = fraction < 0.0;
        if scale < RAW_FROM {
            let step = ((scale - SCALE_MIN) * 3.0) as usize;
            let table = if step < FRACTION_STEPS {
                step * 3 + ((fraction.abs() * 6.0) as usize).min(2)
            } else {
                FRACTION_STEPS * 2 + step
            };
            Self { table, raw: 0, is_turned }
        } else {
            let octave = (scale - RAW_FROM) as u32;
            let third = ((scale - RAW_FROM - octave as f32) * 3.0) as usize;
            Self { table: FRACTION_STEPS * 2 + STEPS + third.min(2), raw: octave + 1, is_turned }
        }
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
    #[inline]
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
pub(super) fn tell(tables: &[Table], place: Place, residual: i64, mut put: impl FnMut(Symbol)) {
    let (token, raw, bits) = place.token(residual);
    put(tables[place.table].symbol(token));
    tell_raw(raw, bits, put);
}

/// Raw bits as symbols, the highest 16 first.
#[inline]
pub(super) fn tell_raw(value: u64, bits: u32, mut put: impl FnMut(Symbol)) {
    let mut left = bits;
    while left > 0 {
        let count = left.min(16);
        left -= count;
        put(Symbol { start: (value >> left & ((1 << count) - 1)) as u16, size: 0, bits: count as u8 });
    }
}

/// What [`tell`] told.
#[inline]
pub(super) fn hear(r: &mut RangeDecoder<'_>, tables: &[Table], place: Place) -> i64 {
    let table = &tables[place.table];
    let token = table.token(r.peek(TABLE_BITS));
    r.take(table.symbol(token));
    place.residual(token, |bits| hear_raw(r, bits))
}

#[inline]
pub(super) fn hear_raw(r: &mut RangeDecoder<'_>, bits: u32) -> u64 {
    let mut value = 0;
    let mut left = bits;
    while left > 0 {
        let count = left.min(16);
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
pub(super) fn residual(shape: &Column, value: i32, guess: i64) -> i64 {
    let direct = i64::from(value) - guess;
    if !shape.wraps {
        return direct;
    }
    // Sign-extends the low bits: the circle has 2^bits steps.
    let unused = 64 - shape.bits;
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
            value: i32, far: i64, near in 0..=62_u32, scale in -9.0_f32..40.0, fraction in -0.5_f32..=0.5
        ) {
            let residual = (far >> near).clamp(-(1 << 33), 1 << 33);
            let tables: Vec<_> = (0..TABLES).map(Table::untrained).collect();
            let place = Place::new(scale, fraction);
            let mut bytes = Vec::new();
            let mut w = RangeEncoder::new(&mut bytes);
            tell(&tables, place, residual, |symbol| w.encode(symbol));
            tell_raw(u64::from(value as u32), 32, |symbol| w.encode(symbol));
            w.finish(0);
            let mut r = RangeDecoder::new(&bytes);
            prop_assert_eq!(hear(&mut r, &tables, place), residual);
            prop_assert_eq!(hear_raw(&mut r, 32), u64::from(value as u32));
            r.finish("test").unwrap();
        }

        #[test]
        fn flags_and_dials_are_told(flags in prop::collection::vec((any::<bool>(), 1_u16..), 1..50), number in 0..DIAL) {
            let dial = Dial::counted(&[0.0; DIAL]);
            let mut bytes = Vec::new();
            let mut w = RangeEncoder::new(&mut bytes);
            for (flag, chance) in &flags {
                w.encode(flag_symbol(*chance, *flag));
            }
            w.encode(dial.symbol(number));
            w.finish(0);
            let mut r = RangeDecoder::new(&bytes);
            for (flag, chance) in &flags {
                prop_assert_eq!(hear_flag(&mut r, *chance), *flag);
            }
            prop_assert_eq!(dial.hear(&mut r), number as u32);
        }

        #[test]
        fn the_shorter_way_around_a_circle_is_told(value in 0..256_i32, guess in -1000..1000_i64) {
            let circle = Column { wraps: true, ..column(0, 255) };
            let way = residual(&circle, value, guess);
            prop_assert!((-128..128).contains(&way));
            prop_assert_eq!((guess + way).rem_euclid(256), i64::from(value));
        }
    }

    #[test]
    fn tokens_are_as_the_page_says() {
        for (left, right) in page::rows("coder token") {
            let (guess, residual) = left.split_once(", ").unwrap();
            let (scale, fraction) = guess.split_once(' ').unwrap();
            let place = Place::new(scale.parse().unwrap(), fraction.parse().unwrap());
            let (token, raw, bits) = place.token(residual.parse().unwrap());
            assert_eq!(format!("{} {token} {raw} {bits}", place.table), right, "{left}");
        }
    }

    #[test]
    fn what_was_seen_often_is_told_shortly() {
        let mut counts = [0.0; TOKENS];
        counts[7] = 1000.0;
        let table = Table::counted(&counts);
        assert!(table.frequency(7) > 32_000);
        assert!((0..TOKENS).all(|token| table.frequency(token) > 0));
        let mut frequencies = [0; TOKENS];
        assert!(Table::new(&frequencies).is_none(), "nothing may be impossible");
        frequencies.fill(1);
        assert!(Table::new(&frequencies).is_none(), "all chances add up to one");
    }
}
