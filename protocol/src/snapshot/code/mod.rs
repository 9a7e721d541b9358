//! The seam between what a snapshot says and how it becomes bits: two coders, `dense` and `fast`.
//!
//! A row's values are worked out once for all receivers: as symbols (`dense`) or as a finished string of bits (`fast`). Per
//! receiver they are only put in.

mod hear;
mod tell;

use super::cost::Bits;
use super::dense;
use super::frequencies::{DIAL, Dial};
use super::prior::Learned;
use super::range::{RangeDecoder, RangeEncoder, RangeMark, Symbol};
use super::row::RowContext;
use crate::bits::{BitReader, BitWriter, Mark};
use crate::fault::DecodeError;
use crate::schema::Column;

use hear::{hear_dense, hear_fast};

pub(super) use tell::{DenseTeller, tell_dense, tell_fast};

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

/// Short numbers side by side, to be written at once: no more than 64 bits of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gammas {
    word: u64,
    bits: u32,
}

impl Gammas {
    /// As [`BitWriter::gamma`] has it.
    #[inline]
    pub(super) fn add(&mut self, value: u32) {
        let number = value + 1;
        let extra = number.ilog2();
        self.add_bits(((number & !(1 << extra)) << 1 | 1) << extra, 2 * extra + 1);
    }

    /// The low `count` bits of `value`, of which the others are 0.
    #[inline]
    pub(super) fn add_bits(&mut self, value: u32, count: u32) {
        self.word |= u64::from(value) << self.bits;
        self.bits += count;
    }
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

    /// How it writes.
    pub(super) fn coder(&self) -> super::Coder {
        match self {
            Self::Fast(_) => super::Coder::Fast,
            Self::Dense(..) => super::Coder::Dense,
            Self::Cost(coder, _) => *coder,
        }
    }

    /// What was added up so far, by one that writes nothing.
    pub(super) fn added_up(&self) -> Bits {
        if let Self::Cost(_, bits) = self { *bits } else { Bits::default() }
    }

    /// Whether this is the `fast` coder.
    #[inline]
    pub(super) fn is_fast(&self) -> bool {
        matches!(self, Self::Fast(_) | Self::Cost(super::Coder::Fast, _))
    }

    /// The low `count` bits of `value`, at most 32.
    pub(super) fn bits(&mut self, value: u32, count: u32) {
        match self {
            Self::Fast(w) => w.bits(value, count),
            Self::Dense(w, _) => dense::tell_raw(u64::from(value), count, |symbol| w.encode(symbol)),
            Self::Cost(_, bits) => bits.add_whole(count),
        }
    }

    #[inline]
    pub(super) fn flag(&mut self, flag: bool) {
        if let Self::Fast(w) = self { w.flag(flag) } else { self.bits(u32::from(flag), 1) }
    }

    /// A flag that is seldom true.
    #[inline]
    pub(super) fn seldom(&mut self, flag: bool) {
        self.chance(flag, SELDOM);
    }

    /// A flag that is true `chance` times out of 65,536.
    #[inline]
    pub(super) fn chance(&mut self, flag: bool, chance: u16) {
        if let Self::Fast(w) = self { w.flag(flag) } else { self.chance_by_table(flag, chance) }
    }

    fn chance_by_table(&mut self, flag: bool, chance: u16) {
        match self {
            Self::Dense(w, _) => w.encode(dense::flag_symbol(chance, flag)),
            Self::Fast(w) => w.flag(flag),
            Self::Cost(super::Coder::Fast, bits) => bits.add_whole(1),
            Self::Cost(super::Coder::Dense, bits) => bits.add(dense::flag_symbol(chance, flag)),
        }
    }

    /// A number below 128 by its chances, in the `dense` coder.
    pub(super) fn dial(&mut self, dial: &Dial, number: u32) {
        let symbol = dial.symbol(number as usize);
        match self {
            Self::Dense(w, _) => w.encode(symbol),
            Self::Cost(_, bits) => bits.add(symbol),
            Self::Fast(_) => unreachable!("the `fast` coder has no chances"),
        }
    }

    /// Numbers of which small ones are short, in the `fast` coder.
    #[inline]
    pub(super) fn gammas(&mut self, numbers: Gammas) {
        match self {
            Self::Fast(w) => w.long(numbers.word, numbers.bits),
            Self::Cost(_, bits) => bits.add_whole(numbers.bits),
            Self::Dense(..) => unreachable!("the `dense` coder has chances for them"),
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
    #[expect(clippy::inline_always, reason = "once a row: an instruction or two for each word")]
    #[inline(always)]
    pub(super) fn row(&mut self, values: RowBits<'_>) {
        match (self, values) {
            (Self::Dense(w, _), RowBits::Dense(symbols)) => {
                w.encode_all(symbols);
            }
            (Self::Fast(w), RowBits::Fast { words: [word], bits, .. }) => w.long(*word, bits),
            (Self::Fast(w), RowBits::Fast { words, bits, .. }) => write_long(w, words, bits),
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

/// So many bits of some words, one behind the other.
// Apart, so that what it needs is not kept at hand for a row of one word.
#[inline(never)]
fn write_long(w: &mut BitWriter<'_>, words: &[u64], mut bits: u32) {
    for word in words {
        let count = bits.min(u64::BITS);
        w.long(*word, count);
        bits -= count;
    }
}

/// The values of one row, ready to be put in.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowBits<'a> {
    Dense(&'a [Symbol]),
    Fast {
        /// The first bit says whether the row is usual.
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
        match self {
            Self::Fast(r) => r.flag(what),
            Self::Dense(r) => Ok(dense::hear_raw(r, 1) != 0),
        }
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

    #[inline]
    pub(super) fn dial<'d>(
        &mut self,
        dial: impl FnOnce() -> &'d Dial,
        least: u32,
        what: &'static str,
    ) -> Result<u32, DecodeError> {
        match self {
            Self::Fast(r) => {
                let word = r.peek();
                let extra = word.trailing_zeros();
                if extra > DIAL.ilog2() {
                    return Err(DecodeError::Invalid { what, value: extra.into() });
                }
                // What lies behind the end is zeros, and is seen by what is read next.
                r.skip(2 * extra + 1);
                let low = (word >> (extra + 1)) as u32 & ((1 << extra) - 1);
                Ok((1 << extra | low) - 1 + least)
            }
            Self::Dense(r) => Ok(dial().hear(r) as u32),
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
    #[inline]
    pub(super) fn row(
        &mut self,
        row: &RowContext<'_>,
        learned: &Learned,
        is_usual: bool,
        values: &mut [i32],
    ) -> Result<(), DecodeError> {
        let fault = match self {
            Self::Fast(r) => hear_fast(r, row, &learned.codes, is_usual, values),
            Self::Dense(r) => hear_dense(r, row, learned, values),
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

fn from_offset(shape: &Column, offset: u32) -> Option<i32> {
    (offset <= shape.max.wrapping_sub(shape.min) as u32).then(|| shape.min.wrapping_add(offset as i32))
}
