//! The seam between what a snapshot says and how it becomes bits: two coders, `dense` and `fast`.
//!
//! A row's values are worked out once for all receivers: as symbols (`dense`) or as a finished string of bits (`fast`). Per
//! receiver they are only put in.

use super::cost::Bits;
use super::dense::{self, Place};
use super::fast::{self, Codes, Stretch};
use super::frequencies::Dial;
use super::lanes::Ints;
use super::links::Columns;
use super::prior::{Learned, odds_step};
use super::range::{RangeDecoder, RangeEncoder, RangeMark, Symbol};
use super::row::{FieldCoder, Guess, RowCoder, RowContext, walk_dense, walk_fast};
use crate::bits::{BitReader, BitWriter, Mark};
use crate::fault::DecodeError;
use crate::limits::COLUMNS_PER_KIND_MAX;
use crate::schema::Column;

/// The chance, out of 65,536, of what seldom happens.
const SELDOM: u16 = 1024;

/// Writes a section in a room's coder, or only adds up what it would take.
#[derive(Debug)]
pub(super) enum Writer<'a> {
    Fast(BitWriter<'a>),
    Dense(RangeEncoder<'a>, usize),
    /// What would be written in this coder.
    Cost(super::Coder, Bits),
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) enum WriterMark {
    Fast(Mark),
    Dense(RangeMark),
    Cost(Bits),
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, coder: super::Coder) -> Self {
        match coder {
            super::Coder::Fast => Self::Fast(BitWriter::new(out)),
            super::Coder::Dense => {
                let start = out.len();
                Self::Dense(RangeEncoder::new(out), start)
            }
        }
    }

    /// Writes nothing, and adds up what it would take.
    pub(super) fn cost(coder: super::Coder) -> Self {
        Self::Cost(coder, Bits::default())
    }

    /// What was added up so far, by one that writes nothing.
    pub(super) fn added_up(&self) -> Bits {
        if let Self::Cost(_, bits) = self { *bits } else { Bits::default() }
    }

    /// The low `count` bits of `value`, at most 32.
    pub(super) fn bits(&mut self, value: u32, count: u32) {
        match self {
            Self::Fast(w) => w.bits(value, count),
            Self::Dense(w, _) => dense::tell_raw(u64::from(value), count, |symbol| w.encode(symbol)),
            Self::Cost(_, bits) => bits.add_whole(count),
        }
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.bits(u32::from(flag), 1);
    }

    /// A flag that is seldom true.
    pub(super) fn seldom(&mut self, flag: bool) {
        self.chance(flag, SELDOM);
    }

    /// A flag that is true `chance` times out of 65,536.
    pub(super) fn chance(&mut self, flag: bool, chance: u16) {
        match self {
            Self::Dense(w, _) => w.encode(dense::flag_symbol(chance, flag)),
            Self::Fast(w) => w.flag(flag),
            Self::Cost(super::Coder::Fast, bits) => bits.add_whole(1),
            Self::Cost(super::Coder::Dense, bits) => bits.add(dense::flag_symbol(chance, flag)),
        }
    }

    /// A number from `least` below 128, by its chances; small ones are short without.
    pub(super) fn dial(&mut self, dial: &Dial, least: u32, number: u32) {
        match self {
            Self::Fast(w) => w.gamma(number - least),
            Self::Dense(w, _) => w.encode(dial.symbol(number as usize)),
            Self::Cost(super::Coder::Fast, bits) => bits.add_gamma(number - least),
            Self::Cost(super::Coder::Dense, bits) => bits.add(dial.symbol(number as usize)),
        }
    }

    pub(super) fn gamma(&mut self, value: u32) {
        match self {
            Self::Fast(w) => w.gamma(value),
            Self::Cost(_, bits) => bits.add_gamma(value),
            Self::Dense(..) => {
                let number = value + 1;
                let extra = number.ilog2();
                for _ in 0..extra {
                    self.flag(false);
                }
                self.flag(true);
                self.bits(number & !(1 << extra), extra);
            }
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bits(u32::from(byte), 8);
        }
    }

    /// Columns as they are.
    pub(super) fn whole(&mut self, shapes: &[Column], values: &[i32]) {
        for (shape, value) in shapes.iter().zip(values) {
            self.bits(value.wrapping_sub(shape.min) as u32, shape.bits);
        }
    }

    /// The values of a row, worked out before.
    pub(super) fn row(&mut self, values: RowBits<'_>) {
        match (self, values) {
            (Self::Dense(w, _), RowBits::Dense(symbols)) => {
                w.encode_all(symbols);
            }
            (Self::Fast(w), RowBits::Fast { words, bits, .. }) => {
                let mut left = bits;
                for word in words {
                    w.long(*word, left.min(64));
                    left = left.saturating_sub(64);
                }
            }
            (Self::Cost(_, cost), values) => cost.add_row(values),
            _ => unreachable!("rows are worked out by the room's coder"),
        }
    }

    pub(super) fn mark(&self) -> WriterMark {
        match self {
            Self::Fast(w) => WriterMark::Fast(w.mark()),
            Self::Dense(w, _) => WriterMark::Dense(w.mark()),
            Self::Cost(_, bits) => WriterMark::Cost(*bits),
        }
    }

    pub(super) fn rewind(&mut self, mark: WriterMark) {
        match (self, mark) {
            (Self::Fast(w), WriterMark::Fast(mark)) => w.rewind(mark),
            (Self::Dense(w, _), WriterMark::Dense(mark)) => w.rewind(mark),
            (Self::Cost(_, bits), WriterMark::Cost(mark)) => *bits = mark,
            _ => unreachable!("a mark is gone back to by the writer that gave it"),
        }
    }

    /// Bytes that the buffer holds at most if it is finished now.
    pub(super) fn byte_len(&self) -> usize {
        match self {
            Self::Fast(w) => w.byte_len(),
            Self::Dense(w, _) => w.byte_len(),
            Self::Cost(coder, bits) => bits.byte_len(*coder),
        }
    }

    pub(super) fn finish(self) {
        match self {
            Self::Fast(w) => w.finish(),
            Self::Dense(w, start) => w.finish(start),
            Self::Cost(..) => {}
        }
    }
}

/// The values of one row, ready to be put in.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowBits<'a> {
    Dense(&'a [Symbol]),
    Fast {
        words: &'a [u64],
        /// How many of the words' bits.
        bits: u32,
        /// Whether all its flags are true, and not there.
        is_usual: bool,
    },
}

impl RowBits<'_> {
    /// Whether it is of the `fast` coder, and all its flags are true.
    pub(super) fn is_usual(&self) -> bool {
        matches!(self, Self::Fast { is_usual: true, .. })
    }
}

/// Works out the symbols of a row's values.
pub(super) fn tell_dense(row: &RowContext<'_>, learned: &Learned, values: &[i32], out: &mut Vec<Symbol>) {
    let mut known = [0; COLUMNS_PER_KIND_MAX];
    let mut teller = DenseTeller { learned, first_tables: &row.plan.first_tables, values, out };
    walk_dense(row, &mut known, &mut teller);
}

/// Works out the bits of a row's values: how many, and whether the row is usual, so that all its flags are true and none is
/// written.
pub(super) fn tell_fast(
    row: &RowContext<'_>,
    learned: &Learned,
    values: &[i32],
    out: &mut Vec<u64>,
) -> (u32, bool) {
    let start = out.len();
    for with_flags in [false, true] {
        let mut known = [0; COLUMNS_PER_KIND_MAX];
        let mut teller = FastTeller {
            codes: &learned.codes,
            values,
            out: &mut *out,
            word: 0,
            used: 0,
            with_flags,
            is_usual: true,
        };
        walk_fast(row, &mut known, &mut teller);
        let FastTeller { word, used, is_usual, .. } = teller;
        if is_usual || with_flags {
            let bits = (out.len() - start) as u32 * u64::BITS + used;
            out.push(word);
            return (bits, is_usual);
        }
        out.truncate(start);
    }
    (0, false)
}

pub(super) struct DenseTeller<'a> {
    pub(super) learned: &'a Learned,
    pub(super) first_tables: &'a [usize],
    pub(super) values: &'a [i32],
    pub(super) out: &'a mut Vec<Symbol>,
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

    fn is(&mut self, column: usize, value: i32, _: f32) -> bool {
        self.flag(self.values[column] == value)
    }

    fn are(&mut self, columns: &[usize], values: &[i32], _: f32) -> bool {
        self.flag(columns.iter().all(|&column| self.values[column] == values[column]))
    }
}

impl FieldCoder for FastTeller<'_> {
    #[inline]
    fn vector(&mut self, columns: &Columns, points: Ints, thirds: Ints, known: &mut [i32]) -> Ints {
        let values = Ints::of(self.values, columns.first);
        let residuals = (values - points).and(columns.there);
        columns.put(values, known);
        if columns.axes == 3
            && let Some(told) = fast::tell_three(self.codes, thirds, residuals)
        {
            self.put(told);
            return residuals;
        }
        for (axis, (residual, thirds)) in
            residuals.values().into_iter().zip(thirds.values()).enumerate().take(columns.axes)
        {
            let place = fast::place(thirds);
            let told = fast::tell_near(self.codes, place, residual)
                .unwrap_or_else(|| fast::tell_far(self.codes, place, residual, columns, axis, values));
            self.put(told);
        }
        residuals
    }
}

/// Reads a section in a room's coder.
#[derive(Debug)]
pub(super) enum Reader<'a> {
    Fast(BitReader<'a>),
    Dense(RangeDecoder<'a>),
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], coder: super::Coder) -> Self {
        match coder {
            super::Coder::Fast => Self::Fast(BitReader::new(bytes)),
            super::Coder::Dense => Self::Dense(RangeDecoder::new(bytes)),
        }
    }

    pub(super) fn bits(&mut self, count: u32, what: &'static str) -> Result<u32, DecodeError> {
        match self {
            Self::Fast(r) => r.bits(count, what),
            Self::Dense(r) => Ok(dense::hear_raw(r, count) as u32),
        }
    }

    pub(super) fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.bits(1, what)? != 0)
    }

    pub(super) fn seldom(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        self.chance(SELDOM, what)
    }

    pub(super) fn chance(&mut self, chance: u16, what: &'static str) -> Result<bool, DecodeError> {
        match self {
            Self::Fast(r) => r.flag(what),
            Self::Dense(r) => Ok(dense::hear_flag(r, chance)),
        }
    }

    pub(super) fn dial(&mut self, dial: &Dial, least: u32, what: &'static str) -> Result<u32, DecodeError> {
        match self {
            Self::Fast(r) => Ok(r.gamma(what)?.saturating_add(least)),
            Self::Dense(r) => Ok(dial.hear(r) as u32),
        }
    }

    pub(super) fn gamma(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        if let Self::Fast(r) = self {
            return r.gamma(what);
        }
        let mut extra = 0;
        while !self.flag(what)? {
            extra += 1;
            if extra > 31 {
                return Err(DecodeError::Invalid { what, value: extra });
            }
        }
        Ok((1 << extra | self.bits(extra as u32, what)?) - 1)
    }

    /// What [`Writer::whole`] wrote, checked against the bounds.
    pub(super) fn whole(
        &mut self,
        kind: u8,
        shapes: &[Column],
        first: usize,
        values: &mut [i32],
    ) -> Result<(), DecodeError> {
        for (place, (shape, value)) in shapes.iter().zip(values).enumerate() {
            let offset = self.bits(shape.bits, "row")?;
            *value = from_offset(shape, offset)
                .ok_or(DecodeError::OutOfBounds { kind, column: (first + place) as u8 })?;
        }
        Ok(())
    }

    /// The values of a row; those that are hidden from the receiver are left as they are. The `fast` coder must know
    /// whether the row is usual.
    pub(super) fn row(
        &mut self,
        row: &RowContext<'_>,
        learned: &Learned,
        is_usual: bool,
        values: &mut [i32],
    ) -> Result<(), DecodeError> {
        let kind = row.kind.index();
        let fault = match self {
            Self::Fast(r) => {
                let codes = &learned.codes;
                let mut hearer = FastHearer { codes, r, kind, is_usual, fault: None };
                walk_fast(row, values, &mut hearer);
                let FastHearer { fault, r, .. } = hearer;
                fault.or(fast::check(r).err())
            }
            Self::Dense(r) => {
                let mut hearer =
                    DenseHearer { r, learned, first_tables: &row.plan.first_tables, kind, fault: None };
                walk_dense(row, values, &mut hearer);
                hearer.fault
            }
        };
        fault.map_or(Ok(()), Err)
    }

    pub(super) fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        match self {
            Self::Fast(r) => r.finish(what),
            Self::Dense(r) => r.finish(what),
        }
    }
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
    /// So many columns, as [`DenseTeller::axes`] told them.
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
        let mut stretch = Stretch::of(self.r);
        let mut residuals = [0; 4];
        for (axis, told) in residuals.iter_mut().enumerate().take(guess.axes) {
            let column = guess.first + axis;
            let (shape, point) = (&shapes[column], guess.points[axis]);
            let (place, whole) = (fast::place(guess.thirds[axis]), (shape.min, shape.bits));
            let residual = stretch.hear(self.r, self.codes, place, || (whole, point));
            known[column] = from_residual(shape, point, residual)
                .unwrap_or_else(|| out_of_bounds(&mut self.fault, self.kind, column, shape));
            *told = residual;
        }
        stretch.end(self.r);
        residuals
    }

    fn is(&mut self, _: usize, _: i32, _: f32) -> bool {
        self.flag()
    }

    fn are(&mut self, _: &[usize], _: &[i32], _: f32) -> bool {
        self.flag()
    }
}

impl FieldCoder for FastHearer<'_, '_> {
    #[inline]
    fn vector(&mut self, columns: &Columns, points: Ints, thirds: Ints, known: &mut [i32]) -> Ints {
        let mut stretch = Stretch::of(self.r);
        let (all_points, thirds, mut residuals) = (points.values(), thirds.values(), [0; 4]);
        for (axis, residual) in residuals.iter_mut().enumerate().take(columns.axes) {
            let place = fast::place(thirds[axis]);
            *residual = stretch.hear(self.r, self.codes, place, || (columns.whole(axis), all_points[axis]));
        }
        stretch.end(self.r);
        let residuals = Ints::new(residuals);
        let values = points + residuals;
        if values.are_within(columns.least, columns.most) {
            columns.put(values, known);
        } else {
            self.refuse(columns, values, known);
        }
        residuals
    }
}

impl FastHearer<'_, '_> {
    /// Notes that values were told which their columns cannot have; gives ones that they can.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, columns: &Columns, values: Ints, known: &mut [i32]) {
        let (least, most) = (columns.least.values(), columns.most.values());
        let is_out = |axis: &usize| !(least[*axis]..=most[*axis]).contains(&values.values()[*axis]);
        let column = columns.first + (0..columns.axes).find(is_out).unwrap_or(0);
        self.fault.get_or_insert(DecodeError::OutOfBounds { kind: self.kind, column: column as u8 });
        columns.put(columns.least, known);
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

fn from_offset(shape: &Column, offset: u32) -> Option<i32> {
    (offset <= shape.max.wrapping_sub(shape.min) as u32).then(|| shape.min.wrapping_add(offset as i32))
}
