//! The `fast` coder: residuals by prefix codes that look-ups write and read; one for each small scale, one for each third of an
//! octave of large ones.
//!
//! Source: D. A. Huffman, "A method for the construction of minimum-redundancy codes" (1952); the codes are canonical, with their
//! bits turned around, so that the next bits of a stream are an index.

use super::dense::Table;
use super::row::THIRDS_MAX;
use crate::bits::BitReader;
use crate::fault::DecodeError;
use crate::schema::Column;

/// Residuals of up to so many units have tokens of their own.
const DIRECT_MAX: i32 = 11;
const DIRECT: usize = 2 * DIRECT_MAX as usize + 1;
/// Further ones have a token for each octave, of which the first has 16 of each sign. The bits of their place follow.
const OCTAVES: usize = 5;
const OCTAVE_BITS: u32 = 4;
/// Says that the value follows whole.
const ESCAPE: usize = DIRECT + OCTAVES;
/// All tokens of a code.
pub(super) const FAST_TOKENS: usize = ESCAPE + 1;
/// From which scale on bits go raw.
const RAW_FROM: usize = 15;
/// Codes: one for each scale up to where bits go raw, then one for each third of an octave.
pub(super) const CODES: usize = RAW_FROM + 3;
/// The longest word.
pub(super) const WORD_BITS: u32 = 11;

/// How many bits the word of each token has.
pub(super) type Lengths = [u8; FAST_TOKENS];

/// Words for tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Code {
    lengths: Lengths,
    words: [u16; FAST_TOKENS],
    /// By the next bits: the token, and above its five bits the length of its word.
    tokens: Box<[u16; 1 << WORD_BITS]>,
}

impl Code {
    /// Every token must have a word of 1 to [`WORD_BITS`] bits, and no bits may be left over.
    pub(super) fn new(lengths: &Lengths) -> Option<Self> {
        let is_length = |length: &u8| (1..=WORD_BITS).contains(&u32::from(*length));
        let parts = |length: &u8| 1_u32 << (WORD_BITS - u32::from(*length));
        if !lengths.iter().all(is_length) || lengths.iter().map(parts).sum::<u32>() != 1 << WORD_BITS {
            return None;
        }
        let mut words = [0; FAST_TOKENS];
        let mut tokens = Box::new([0; 1 << WORD_BITS]);
        let mut next = 0_u16;
        for length in 1..=WORD_BITS {
            for token in (0..FAST_TOKENS).filter(|&token| u32::from(lengths[token]) == length) {
                words[token] = next.reverse_bits() >> (16 - WORD_BITS);
                for entry in tokens.iter_mut().skip(usize::from(words[token])).step_by(1 << length) {
                    *entry = token as u16 | (length as u16) << 5;
                }
                next += 1 << (WORD_BITS - length);
            }
        }
        Some(Self { lengths: *lengths, words, tokens })
    }

    /// The shortest words for tokens that were seen so often.
    pub(super) fn counted(counts: &[f64; FAST_TOKENS]) -> Self {
        let all: f64 = counts.iter().sum::<f64>().max(1.0);
        // What is rare is taken to be less so until its word is short enough.
        let mut least = all / f64::from(1 << 16);
        loop {
            let lengths = huffman(&counts.map(|count| count.max(least)));
            if let Some(code) = Self::new(&lengths) {
                return code;
            }
            least *= 1.5;
        }
    }

    /// Before anything is learned: as [`Table::untrained`] has it.
    pub(super) fn untrained(place: usize) -> Self {
        let table = Table::untrained_at(place);
        let frequency = |token| if token < ESCAPE { f64::from(table.frequency(token)) } else { 1.0 };
        Self::counted(&core::array::from_fn(frequency))
    }

    pub(super) fn lengths(&self) -> &Lengths {
        &self.lengths
    }
}

/// Lengths of the words of the best code without a limit.
fn huffman(counts: &[f64; FAST_TOKENS]) -> Lengths {
    let mut lengths = [0; FAST_TOKENS];
    let mut trees: Vec<(f64, Vec<usize>)> =
        counts.iter().enumerate().map(|(token, count)| (*count, vec![token])).collect();
    while trees.len() > 1 {
        // The two rarest last; of equals those that came first.
        trees.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (last, mut tokens) = trees.pop().unwrap_or_default();
        let (before, more) = trees.pop().unwrap_or_default();
        tokens.extend(more);
        for &token in &tokens {
            lengths[token] += 1;
        }
        trees.push((last + before, tokens));
    }
    lengths
}

/// By scale: the code, and how many low bits go raw.
const PLACES: [(u8, u8); THIRDS_MAX + 1] = {
    let mut places = [(0, 0); THIRDS_MAX + 1];
    let mut thirds = 0;
    while thirds <= THIRDS_MAX {
        places[thirds] = if thirds < RAW_FROM {
            (thirds as u8, 0)
        } else {
            let above = thirds - RAW_FROM;
            ((RAW_FROM + above % 3) as u8, (above / 3 + 1) as u8)
        };
        thirds += 1;
    }
    places
};

/// The code of a scale, and how many low bits go raw.
#[inline]
pub(super) fn place(thirds: i32) -> (usize, u32) {
    let (code, raw) = PLACES[(thirds as usize).min(THIRDS_MAX)];
    (usize::from(code), u32::from(raw))
}

/// What a residual is told by: a token, and raw bits.
#[inline]
pub(super) fn token(residual: i32, raw: u32) -> (usize, u64, u32) {
    let centered = residual.wrapping_add(1 << raw >> 1);
    let (units, low) = (centered >> raw, u64::from(centered as u32 & ((1 << raw) - 1)));
    let token = units.wrapping_add(DIRECT_MAX) as u32 as usize;
    if token < DIRECT { (token, low, raw) } else { far_token(units, low, raw) }
}

#[cold]
fn far_token(units: i32, low: u64, raw: u32) -> (usize, u64, u32) {
    let beyond = units.unsigned_abs() - DIRECT_MAX as u32 - 1 + (1 << OCTAVE_BITS);
    let octave = beyond.ilog2() - OCTAVE_BITS;
    if octave as usize >= OCTAVES {
        return (ESCAPE, 0, 0);
    }
    let bits = OCTAVE_BITS + octave;
    let place = u64::from(beyond - (1 << bits)) << 1 | u64::from(units < 0);
    (DIRECT + octave as usize, place << raw | low, bits + 1 + raw)
}

/// A residual's word and raw bits, or the escape and the value; with how many bits they are, up to 48.
#[inline]
pub(super) fn tell(codes: &[Code], thirds: i32, residual: i32, shape: &Column, value: i32) -> (u64, u32) {
    let (code, raw) = place(thirds);
    let code = &codes[code];
    let (token, tail, bits) = token(residual, raw);
    let (word, length) = (u64::from(code.words[token]), u32::from(code.lengths[token]));
    if token == ESCAPE {
        return (word | u64::from(value.wrapping_sub(shape.min) as u32) << length, length + shape.bits);
    }
    (word | tail << length, length + bits)
}

/// A stretch of the stream, read number by number; it is looked at again only when its bits run short.
pub(super) struct Stretch {
    word: u64,
    used: u32,
}

/// Bits that a stretch has at least, and that most numbers need at most.
const STRETCH_BITS: u32 = 57;
const NUMBER_BITS: u32 = WORD_BITS + 28;

impl Stretch {
    #[inline]
    pub(super) fn of(r: &BitReader<'_>) -> Self {
        Self { word: r.peek(), used: 0 }
    }

    /// The residual that [`tell`] told; or, if the value was told whole, its steps above the least one.
    ///
    /// That the stream ends too early is seen later: see [`check`].
    #[inline]
    pub(super) fn hear(
        &mut self,
        r: &mut BitReader<'_>,
        codes: &[Code],
        thirds: i32,
        shape: &Column,
    ) -> Result<i32, u32> {
        if self.used > STRETCH_BITS - NUMBER_BITS {
            self.go_on(r);
        }
        let (code, raw) = place(thirds);
        let word = self.word >> self.used;
        let entry = u32::from(codes[code].tokens[(word & ((1 << WORD_BITS) - 1)) as usize]);
        let (token, length) = (entry & 31, entry >> 5);
        self.used += length;
        if token as usize >= DIRECT {
            return self.hear_far(r, token as usize, raw, shape);
        }
        let units = token as i32 - DIRECT_MAX;
        if raw == 0 {
            return Ok(units);
        }
        self.used += raw;
        Ok(residual_of(units, (word >> length & ((1 << raw) - 1)) as i32, raw))
    }

    #[cold]
    fn hear_far(
        &mut self,
        r: &mut BitReader<'_>,
        token: usize,
        raw: u32,
        shape: &Column,
    ) -> Result<i32, u32> {
        self.go_on(r);
        let word = self.word;
        let tail = |bits: u32| word & ((1 << bits) - 1);
        if token >= ESCAPE {
            self.used = shape.bits;
            return Err(tail(shape.bits) as u32);
        }
        let bits = OCTAVE_BITS + (token - DIRECT) as u32;
        self.used = bits + 1 + raw;
        let (low, tail) = (tail(raw) as i32, tail(bits + 1 + raw) >> raw);
        let size = (tail >> 1) as i32 + (1 << bits) - (1 << OCTAVE_BITS) + DIRECT_MAX + 1;
        Ok(residual_of(if tail & 1 == 0 { size } else { -size }, low, raw))
    }

    /// Looks at what comes next.
    #[inline]
    fn go_on(&mut self, r: &mut BitReader<'_>) {
        r.skip(self.used);
        *self = Self::of(r);
    }

    #[inline]
    pub(super) fn end(self, r: &mut BitReader<'_>) {
        r.skip(self.used);
    }
}

#[inline]
fn residual_of(units: i32, low: i32, raw: u32) -> i32 {
    (units.wrapping_shl(raw) | low).wrapping_sub(1 << raw >> 1)
}

/// Checks that what was heard was there.
pub(super) fn check(r: &BitReader<'_>) -> Result<(), DecodeError> {
    if r.is_overrun() { Err(DecodeError::Truncated("row")) } else { Ok(()) }
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

    fn codes() -> Vec<Code> {
        (0..CODES).map(Code::untrained).collect()
    }

    #[test]
    fn words_are_as_the_page_says() {
        let mut lengths = [9; FAST_TOKENS];
        lengths[..4].copy_from_slice(&[1, 3, 3, 4]);
        for (left, right) in page::rows("coder words") {
            let lengths: Vec<u8> = left.split(' ').map(|length| length.parse().unwrap()).collect();
            let code = Code::new(&lengths.try_into().unwrap()).unwrap();
            let word = |token: usize| -> String {
                (0..code.lengths[token])
                    .map(|bit| if code.words[token] >> bit & 1 == 1 { '1' } else { '0' })
                    .collect()
            };
            assert_eq!((0..FAST_TOKENS).map(word).collect::<Vec<_>>().join(" "), right);
        }
    }

    #[test]
    fn residuals_are_told_as_the_page_says() {
        for (left, right) in page::rows("coder fast") {
            let (thirds, residual) = left.split_once(", ").unwrap();
            let (code, raw) = place(thirds.parse().unwrap());
            let (token, tail, bits) = token(residual.parse().unwrap(), raw);
            assert_eq!(format!("{code} {token} {tail} {bits}"), right, "{left}");
        }
    }

    #[test]
    fn a_code_is_whole() {
        let mut lengths = [5; FAST_TOKENS];
        assert_eq!(Code::new(&lengths), None, "bits are left over");
        lengths[..3].fill(4);
        assert!(Code::new(&lengths).is_some());
        lengths[0] = 3;
        assert_eq!(Code::new(&lengths), None, "more words than there are bits");
        lengths[0] = 0;
        assert_eq!(Code::new(&lengths), None, "a word of no bits");
    }

    #[test]
    fn what_is_seen_often_has_a_short_word() {
        let mut counts = [1.0; FAST_TOKENS];
        (counts[7], counts[8]) = (1e6, 1e5);
        let code = Code::counted(&counts);
        assert_eq!((code.lengths[7], code.lengths[8]), (1, 2));
        assert!(code.lengths.iter().all(|length| u32::from(*length) <= WORD_BITS));
    }

    proptest! {
        #[test]
        fn any_residual_is_told_at_any_scale(
            a: i32, b: i32, value: i32, point: i32, near in 0..=31_u32, thirds in 0..=THIRDS_MAX as i32
        ) {
            let shape = column(a.min(b), a.max(b));
            let value = value.clamp(shape.min, shape.max);
            let point = if point < 0 { value.wrapping_add(point >> near) } else { point };
            let residual = value.wrapping_sub(point);
            let codes = codes();
            let mut bytes = Vec::new();
            let mut w = BitWriter::new(&mut bytes);
            let (bits, count) = tell(&codes, thirds, residual, &shape, value);
            w.long(bits, count);
            w.bits(5, 3);
            w.finish();
            let mut r = BitReader::new(&bytes);
            let mut stretch = Stretch::of(&r);
            match stretch.hear(&mut r, &codes, thirds, &shape) {
                Ok(told) => prop_assert_eq!(told, residual),
                Err(offset) => prop_assert_eq!(shape.min.wrapping_add(offset as i32), value),
            }
            stretch.end(&mut r);
            prop_assert_eq!(r.bits(3, "test"), Ok(5));
        }
    }
}
