//! A bit stream, least significant bit first: writing cannot fail, reading trusts nothing.

use crate::fault::DecodeError;

/// Appends bits to a byte buffer, least significant bit of each byte first.
///
/// The unfinished tail is kept in a word; [`BitWriter::finish`] pads the last byte with zeros.
#[derive(Debug)]
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    scratch: u64,
    scratch_bits: u32,
}

/// A place in a [`BitWriter`] to which it can be taken back.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    scratch: u64,
    scratch_bits: u32,
}

impl<'a> BitWriter<'a> {
    /// Writes behind what `out` already holds.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, scratch: 0, scratch_bits: 0 }
    }

    /// The low `count` bits of `value`, at most 32.
    #[inline]
    pub fn bits(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32 && u64::from(value) < 1_u64 << count, "{value} does not fit {count} bits");
        self.long(u64::from(value), count);
    }

    /// The low `count` bits of `value`, at most 64.
    #[inline]
    pub fn long(&mut self, value: u64, count: u32) {
        let used = self.scratch_bits;
        self.scratch |= value << used;
        self.scratch_bits += count;
        if self.scratch_bits >= 64 {
            self.out.extend_from_slice(&self.scratch.to_le_bytes());
            self.scratch = value.checked_shr(64 - used).unwrap_or(0);
            self.scratch_bits -= 64;
        }
    }

    /// One bit.
    #[inline]
    pub fn flag(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    /// 64 bits.
    pub fn word(&mut self, value: u64) {
        self.long(value, 64);
    }

    /// Whole bytes, at any bit position.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bits(u32::from(byte), 8);
        }
    }

    /// An Elias gamma code of `value + 1`: short for small values, at most 63 bits. `value` below `u32::MAX`.
    #[inline]
    pub fn gamma(&mut self, value: u32) {
        let number = value + 1;
        let extra = number.ilog2();
        // `extra` zeros, a one, then the low `extra` bits: the length is known before the bits are needed.
        let low = u64::from(number & !(1 << extra));
        self.long((low << 1 | 1) << extra, 2 * extra + 1);
    }

    /// Where we are, to come back to with [`BitWriter::rewind`].
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.out.len(), scratch: self.scratch, scratch_bits: self.scratch_bits }
    }

    /// Takes back everything written since `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.bytes);
        self.scratch = mark.scratch;
        self.scratch_bits = mark.scratch_bits;
    }

    /// Bytes that the buffer would hold if it were finished now, with what it held before.
    pub fn byte_len(&self) -> usize {
        self.out.len() + self.scratch_bits.div_ceil(8) as usize
    }

    /// Bits written since the buffer was `start` bytes long.
    pub fn bit_len(&self, start: usize) -> usize {
        (self.out.len() - start) * 8 + self.scratch_bits as usize
    }

    /// Pads the last byte with zeros and writes it.
    pub fn finish(self) {
        let bytes = self.scratch_bits.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.scratch.to_le_bytes()[..bytes]);
    }
}

/// Reads what a [`BitWriter`] wrote, and refuses to read past the end.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    bit: usize,
}

impl<'a> BitReader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, bit: 0 }
    }

    /// `count` bits, at most 32.
    #[inline]
    pub fn bits(&mut self, count: u32, what: &'static str) -> Result<u32, DecodeError> {
        debug_assert!(count <= 32);
        let end = self.bit + count as usize;
        if end > self.bytes.len() * 8 {
            return Err(DecodeError::Truncated(what));
        }
        let word = self.peek();
        self.bit = end;
        Ok((word & ((1 << count) - 1)) as u32)
    }

    /// The last bytes of the buffer as a word, zeros behind them.
    #[inline]
    fn tail_word(&self, first: usize) -> u64 {
        match self.bytes.last_chunk() {
            // Taken from the last eight, without what lies before.
            Some(last) => {
                let past = (first + 8 - self.bytes.len()).min(8) as u32;
                u64::from_le_bytes(*last).checked_shr(8 * past).unwrap_or(0)
            }
            None => self.short_word(first),
        }
    }

    #[cold]
    fn short_word(&self, first: usize) -> u64 {
        let bytes = self.bytes.iter().skip(first);
        bytes.zip(0..).fold(0, |word, (byte, place)| word | u64::from(*byte) << (8 * place))
    }

    /// The next 57 bits or more, the first one lowest, and zeros behind the end.
    #[inline]
    pub fn peek(&self) -> u64 {
        let (first, shift) = (self.bit / 8, self.bit % 8);
        // In one look at the length: nothing here overflows.
        let word = match self.bytes.get(first..first + 8).and_then(|bytes| bytes.first_chunk()) {
            Some(window) => u64::from_le_bytes(*window),
            None => self.tail_word(first),
        };
        word >> shift
    }

    /// Goes on behind `count` bits that were peeked at, perhaps behind the end: ask [`BitReader::is_overrun`] when done.
    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.bit += count as usize;
    }

    /// Whether more was skipped than there is.
    pub fn is_overrun(&self) -> bool {
        self.bit > self.bytes.len() * 8
    }

    /// One bit.
    #[inline]
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        let byte = self.bytes.get(self.bit / 8).ok_or(DecodeError::Truncated(what))?;
        let flag = byte >> (self.bit % 8) & 1 != 0;
        self.bit += 1;
        Ok(flag)
    }

    /// 64 bits.
    pub fn word(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let low = self.bits(32, what)?;
        let high = self.bits(32, what)?;
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    /// What [`BitWriter::gamma`] wrote.
    #[inline]
    pub fn gamma(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let word = self.peek();
        let extra = word.trailing_zeros();
        let end = self.bit + (2 * extra + 1) as usize;
        if 2 * extra < PEEKED_BITS && end <= self.bytes.len() * 8 {
            self.bit = end;
            return Ok((1 << extra | (word >> (extra + 1)) as u32 & ((1 << extra) - 1)) - 1);
        }
        if extra > 31 {
            return Err(self.no_gamma(extra, what));
        }
        self.bits(extra + 1, what)?;
        Ok((1 << extra | self.bits(extra, what)?) - 1)
    }

    #[cold]
    fn no_gamma(&self, extra: u32, what: &'static str) -> DecodeError {
        let left = (self.bytes.len() * 8).saturating_sub(self.bit);
        if left < 32 {
            DecodeError::Truncated(what)
        } else {
            DecodeError::Invalid { what, value: u64::from(extra) }
        }
    }

    /// The bytes from the next whole byte on. The bits skipped on the way must be zero.
    pub fn rest(mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let padding = self.bit.next_multiple_of(8) - self.bit;
        if self.bits(padding as u32, what)? != 0 {
            return Err(DecodeError::Trailing(what));
        }
        Ok(self.bytes.get(self.bit / 8..).unwrap_or_default())
    }

    /// Checks that nothing but zero padding up to the next byte is left.
    pub fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        if self.rest(what)?.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(what)) }
    }
}

/// Takes the next bits of a reader, several times from one look at its bytes. Behind the end there are zeros: ask
/// [`BitReader::is_overrun`] when done.
#[derive(Debug)]
pub(crate) struct Stretch<'r, 'a> {
    reader: &'r mut BitReader<'a>,
    /// The next `left` bits, the first one lowest.
    word: u64,
    left: u32,
}

/// How many bits [`BitReader::peek`] sees at least.
const PEEKED_BITS: u32 = 57;

impl<'r, 'a> Stretch<'r, 'a> {
    pub(crate) fn new(reader: &'r mut BitReader<'a>) -> Self {
        Self { reader, word: 0, left: 0 }
    }

    /// `count` bits, at most 32.
    #[inline]
    pub(crate) fn bits(&mut self, count: u32) -> u32 {
        if self.left < count {
            (self.word, self.left) = (self.reader.peek(), PEEKED_BITS);
        }
        let bits = self.word & ((1 << count) - 1);
        self.word >>= count;
        self.left -= count;
        self.reader.skip(count);
        bits as u32
    }

    /// One bit.
    #[inline]
    pub(crate) fn flag(&mut self) -> bool {
        self.bits(1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Item {
        Bits(u32, u32),
        Gamma(u32),
        Word(u64),
    }

    fn item() -> impl Strategy<Value = Item> {
        prop_oneof![
            (any::<u32>(), 0..=32_u32)
                .prop_map(|(v, n)| Item::Bits((u64::from(v) & ((1 << n) - 1)) as u32, n)),
            (0..32_u32, any::<u32>()).prop_map(|(n, v)| Item::Gamma((v >> n).min(u32::MAX - 1))),
            any::<u64>().prop_map(Item::Word),
        ]
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(items in prop::collection::vec(item(), 0..50)) {
            let mut bytes = vec![0xaa];
            let mut w = BitWriter::new(&mut bytes);
            for item in &items {
                match *item {
                    Item::Bits(v, n) => w.bits(v, n),
                    Item::Gamma(v) => w.gamma(v),
                    Item::Word(v) => w.word(v),
                }
            }
            let promised = w.byte_len();
            w.finish();
            prop_assert_eq!(bytes.len(), promised);
            let mut r = BitReader::new(&bytes[1..]);
            for item in &items {
                match *item {
                    Item::Bits(v, n) => prop_assert_eq!(r.bits(n, "t"), Ok(v)),
                    Item::Gamma(v) => prop_assert_eq!(r.gamma("t"), Ok(v)),
                    Item::Word(v) => prop_assert_eq!(r.word("t"), Ok(v)),
                }
            }
            prop_assert_eq!(r.finish("t"), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn a_stretch_reads_as_its_reader(
            bytes in prop::collection::vec(any::<u8>(), 0..40), counts in prop::collection::vec(0..=32_u32, 0..30)
        ) {
            let (mut r, mut other) = (BitReader::new(&bytes), BitReader::new(&bytes));
            let mut stretch = Stretch::new(&mut other);
            let mut all_there = true;
            for count in counts {
                let bits = stretch.bits(count);
                match r.bits(count, "t") {
                    Ok(expected) if all_there => prop_assert_eq!(bits, expected),
                    _ => all_there = false,
                }
            }
            prop_assert_eq!(other.is_overrun(), !all_there);
        }
    }

    #[test]
    fn rewinding_leaves_no_trace() {
        let (mut plain, mut rewound) = (Vec::new(), Vec::new());
        let mut w = BitWriter::new(&mut plain);
        w.bits(5, 3);
        w.bits(77, 32);
        w.finish();
        let mut w = BitWriter::new(&mut rewound);
        w.bits(5, 3);
        let mark = w.mark();
        w.word(u64::MAX);
        w.gamma(1000);
        w.rewind(mark);
        w.bits(77, 32);
        w.finish();
        assert_eq!(plain, rewound);
    }

    #[test]
    fn a_reader_refuses_what_is_not_there() {
        let mut r = BitReader::new(&[0xff]);
        assert_eq!(r.bits(9, "t"), Err(DecodeError::Truncated("t")));
        assert_eq!(r.bits(8, "t"), Ok(0xff));
        assert_eq!(r.flag("t"), Err(DecodeError::Truncated("t")));
        assert!(BitReader::new(&[0; 9]).gamma("t").is_err(), "a code of zeros never ends");
        let mut r = BitReader::new(&[0b101]);
        r.flag("t").unwrap();
        assert_eq!(r.finish("t"), Err(DecodeError::Trailing("t")), "padding must be zero");
    }
}
