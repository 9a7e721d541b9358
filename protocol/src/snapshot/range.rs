//! A range coder with 56 bits of low end, one byte at a time.
//!
//! Symbols are parts of a power of two. What follows the last byte reads as zeros, so an encoder ends with as few bytes as
//! tell its interval apart, and drops zeros at the end. Nothing is changed once it is written, so that a row that does
//! not fit can be taken back.
//!
//! Source: G. N. N. Martin, "Range encoding" (1979); the carry is held back as in Igor Pavlov's LZMA.

use crate::fault::DecodeError;

/// The interval is kept wider than this.
const RANGE_MIN: u64 = 1 << 48;
const LOW_BITS: u32 = 56;

/// A part of `1 << bits`, at most 16 bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Symbol {
    pub(super) start: u16,
    /// Less one, so that a part may be everything.
    pub(super) size: u16,
    pub(super) bits: u8,
}

/// Writes symbols to the end of a byte vector.
#[derive(Debug)]
pub(super) struct RangeEncoder<'a> {
    out: &'a mut Vec<u8>,
    state: EncoderState,
}

/// Where an encoder stands; to go back to.
#[derive(Clone, Copy, Debug)]
struct EncoderState {
    len: usize,
    low: u64,
    range: u64,
    /// A byte that a carry may still change, and how many bytes of 255 follow it.
    held: Option<u8>,
    full_bytes: u32,
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeMark(EncoderState);

impl<'a> RangeEncoder<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let state = EncoderState { len: out.len(), low: 0, range: 1 << LOW_BITS, held: None, full_bytes: 0 };
        Self { out, state }
    }

    #[inline]
    pub(super) fn encode(&mut self, symbol: Symbol) {
        let part = self.state.range >> symbol.bits;
        self.state.low += part * u64::from(symbol.start);
        self.state.range = part * (u64::from(symbol.size) + 1);
        while self.state.range <= RANGE_MIN {
            self.shift();
            self.state.range <<= 8;
        }
    }

    /// Symbols one after the other: in between, the interval stays in registers.
    #[inline]
    pub(super) fn encode_all(&mut self, symbols: &[Symbol]) {
        let EncoderState { mut low, mut range, .. } = self.state;
        for symbol in symbols {
            let part = range >> symbol.bits;
            low += part * u64::from(symbol.start);
            range = part * (u64::from(symbol.size) + 1);
            while range <= RANGE_MIN {
                self.state.low = low;
                self.shift();
                low = self.state.low;
                range <<= 8;
            }
        }
        (self.state.low, self.state.range) = (low, range);
    }

    /// Moves the highest byte of the low end out.
    #[inline(never)]
    fn shift(&mut self) {
        let state = &mut self.state;
        let byte = (state.low >> (LOW_BITS - 8)) as u8;
        let carry = (state.low >> LOW_BITS) as u8;
        if byte == 0xff && carry == 0 {
            state.full_bytes += 1;
        } else {
            if let Some(held) = state.held {
                self.out.push(held.wrapping_add(carry));
            }
            for _ in 0..state.full_bytes {
                self.out.push(0xff_u8.wrapping_add(carry));
            }
            state.held = Some(byte);
            state.full_bytes = 0;
        }
        state.low = (state.low & ((1 << (LOW_BITS - 8)) - 1)) << 8;
    }

    pub(super) fn mark(&self) -> RangeMark {
        RangeMark(EncoderState { len: self.out.len(), ..self.state })
    }

    pub(super) fn rewind(&mut self, mark: RangeMark) {
        self.out.truncate(mark.0.len);
        self.state = mark.0;
    }

    /// How long the output is at most if it ends here.
    pub(super) fn byte_len(&self) -> usize {
        self.out.len() + usize::from(self.state.held.is_some()) + self.state.full_bytes as usize + 2
    }

    /// Writes as little as tells the interval apart. `start` is where the output began.
    pub(super) fn finish(mut self, start: usize) {
        for bytes in 0..=LOW_BITS / 8 {
            let mask = (1_u64 << (LOW_BITS - 8 * bytes)) - 1;
            let value = (self.state.low + mask) & !mask;
            if value - self.state.low < self.state.range {
                self.state.low = value;
                // The last one pushes the held byte out.
                for _ in 0..=bytes {
                    self.shift();
                }
                break;
            }
        }
        while self.out.len() > start && self.out.last() == Some(&0) {
            self.out.pop();
        }
    }
}

/// Reads symbols from bytes and, behind their end, zeros.
#[derive(Debug)]
pub(super) struct RangeDecoder<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How far the value is above the low end.
    above: u64,
    range: u64,
}

impl<'a> RangeDecoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, at: 0, above: 0, range: 1 << LOW_BITS };
        for _ in 0..LOW_BITS / 8 {
            decoder.above = decoder.above << 8 | decoder.next_byte();
        }
        decoder
    }

    fn next_byte(&mut self) -> u64 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        u64::from(byte)
    }

    /// Which of `1 << bits` parts comes next; [`take`](Self::take) its symbol then.
    #[inline]
    pub(super) fn peek(&self, bits: u8) -> u16 {
        let part = self.range >> bits;
        (self.above / part).min((1 << bits) - 1) as u16
    }

    #[inline]
    pub(super) fn take(&mut self, symbol: Symbol) {
        let part = self.range >> symbol.bits;
        self.above = self.above.wrapping_sub(part * u64::from(symbol.start));
        self.range = part * (u64::from(symbol.size) + 1);
        while self.range <= RANGE_MIN {
            self.above = self.above << 8 | self.next_byte();
            self.range <<= 8;
        }
    }

    /// Checks that all bytes were read. How far behind their end was read cannot be told: zeros there are left out.
    pub(super) fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        if self.at < self.bytes.len() {
            return Err(DecodeError::Trailing(what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;
    use proptest::prelude::*;

    fn symbols() -> impl Strategy<Value = Vec<Symbol>> {
        let one = (1_u8..=16).prop_flat_map(|bits| {
            let all = (1_u32 << bits) - 1;
            (0..=all)
                .prop_flat_map(move |start| (Just(start), 0..=all - start))
                .prop_map(move |(start, size)| Symbol { start: start as u16, size: size as u16, bits })
        });
        prop::collection::vec(one, 0..200)
    }

    fn decode(bytes: &[u8], symbols: &[Symbol]) {
        let mut decoder = RangeDecoder::new(bytes);
        for symbol in symbols {
            let part = decoder.peek(symbol.bits);
            let range = symbol.start..=symbol.start + symbol.size;
            assert!(range.contains(&part), "{part} in {range:?} of {} bits", symbol.bits);
            decoder.take(*symbol);
        }
        decoder.finish("test").unwrap();
    }

    proptest! {
        #[test]
        fn symbols_come_back(symbols in symbols(), before in prop::collection::vec(any::<u8>(), 0..3)) {
            let mut bytes = before.clone();
            let mut encoder = RangeEncoder::new(&mut bytes);
            let mut information = 0.0;
            for symbol in &symbols {
                encoder.encode(*symbol);
                information += f64::from(symbol.bits) - (f64::from(symbol.size) + 1.0).log2();
            }
            let bound = encoder.byte_len();
            encoder.finish(before.len());
            prop_assert!(bytes.len() <= bound);
            prop_assert_eq!(&bytes[..before.len()], &before[..]);
            let spent = (bytes.len() - before.len()) as f64;
            prop_assert!(spent <= information / 8.0 * 1.0001 + 1.01, "{} for {}", spent, information / 8.0);
            decode(&bytes[before.len()..], &symbols);
        }

        #[test]
        fn what_is_taken_back_leaves_no_trace(kept in symbols(), dropped in symbols(), more in symbols()) {
            let mut plain = Vec::new();
            let mut encoder = RangeEncoder::new(&mut plain);
            for symbol in kept.iter().chain(&more) {
                encoder.encode(*symbol);
            }
            encoder.finish(0);
            let mut bytes = Vec::new();
            let mut encoder = RangeEncoder::new(&mut bytes);
            for symbol in &kept {
                encoder.encode(*symbol);
            }
            let mark = encoder.mark();
            for symbol in &dropped {
                encoder.encode(*symbol);
            }
            encoder.rewind(mark);
            for symbol in &more {
                encoder.encode(*symbol);
            }
            encoder.finish(0);
            prop_assert_eq!(bytes, plain);
        }
    }

    #[test]
    fn symbols_are_told_as_the_page_says() {
        for (left, right) in page::rows("coder range") {
            let symbol = |text: &str| {
                let (part, bits) = text.split_once('/').unwrap();
                let (start, size) = part.split_once('+').unwrap();
                let size = (size.parse::<u32>().unwrap() - 1) as u16;
                Symbol { start: start.parse().unwrap(), size, bits: bits.parse().unwrap() }
            };
            let symbols: Vec<_> = left.split(' ').map(symbol).collect();
            let mut bytes = Vec::new();
            let mut encoder = RangeEncoder::new(&mut bytes);
            for symbol in &symbols {
                encoder.encode(*symbol);
            }
            encoder.finish(0);
            let told: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(told.join(" "), right, "{left}");
            decode(&bytes, &symbols);
        }
    }

    #[test]
    fn a_carry_runs_through_many_full_bytes() {
        // Close to one, again and again, then over the edge.
        let edge = Symbol { start: 0xfffe, size: 1, bits: 16 };
        let mut symbols = vec![edge; 300];
        symbols.push(Symbol { start: 1, size: 0, bits: 1 });
        let mut bytes = Vec::new();
        let mut encoder = RangeEncoder::new(&mut bytes);
        for symbol in &symbols {
            encoder.encode(*symbol);
        }
        encoder.finish(0);
        decode(&bytes, &symbols);
    }

    #[test]
    fn more_bytes_than_symbols_are_a_fault() {
        let decoder = RangeDecoder::new(&[0; 9]);
        assert_eq!(decoder.finish("test"), Err(DecodeError::Trailing("test")));
    }
}
