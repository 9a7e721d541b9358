//! The `fast` coder: residuals by prefix codes that look-ups write and read; one for each small scale, one for each third of an
//! octave of large ones.
//!
//! Source: D. A. Huffman, "A method for the construction of minimum-redundancy codes" (1952); the codes are canonical, with their
//! bits turned around, so that the next bits of a stream are an index.

use super::dense::Table;
use super::lanes::Ints;
use super::row::THIRDS_MAX;
use crate::bits::BitReader;
use crate::fault::DecodeError;

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

/// Words for tokens, in each of the codes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Codes {
    lengths: [Lengths; CODES],
    /// By code and token: the word, and above its bits its length.
    words: Box<[u32; CODES_ROOM * TOKENS_ROOM]>,
    /// By code and the next bits: the token less [`DIRECT_MAX`], above the length of its word.
    tokens: Box<[i16; CODES_ROOM << WORD_BITS]>,
    /// What near residuals are told by at small scales, worked out: by scale and residual, above how many bits it has.
    near: Box<[u32; NEAR_SCALES * NEAR_RESIDUALS]>,
    /// What words and raw bits of at most [`WORD_BITS`] tell at small scales: by scale and the next bits, the residual above how
    /// many bits told it; [`NOT_HEARD`] if it were more, or the token is of residuals far off.
    heard: Box<[i16; NEAR_SCALES << WORD_BITS]>,
}

/// Scales, in thirds, and residuals for which everything is worked out. Three of these take less than 64 bits.
const NEAR_SCALES: usize = 32;
const NEAR_MAX: i32 = 256;
const NEAR_RESIDUALS: usize = 2 * NEAR_MAX as usize;
const NEAR_BITS: u32 = 6;
/// More bits than three that are heard.
const NOT_HEARD: i16 = 3 * WORD_BITS as i16 + 1;

/// Room for codes and tokens: powers of two, so that places need no check.
const CODES_ROOM: usize = CODES.next_power_of_two();
const TOKENS_ROOM: usize = FAST_TOKENS.next_power_of_two();
const TOKEN_SHIFT: u32 = 8;
const LENGTH_SHIFT: u32 = 16;

impl Codes {
    /// Every token must have a word of 1 to [`WORD_BITS`] bits, and no bits may be left over.
    pub(super) fn new(lengths: &[Lengths; CODES]) -> Option<Self> {
        let mut codes = Self {
            lengths: *lengths,
            words: Box::new([0; CODES_ROOM * TOKENS_ROOM]),
            tokens: vec![0; CODES_ROOM << WORD_BITS].try_into().ok()?,
            near: vec![0; NEAR_SCALES * NEAR_RESIDUALS].try_into().ok()?,
            heard: vec![NOT_HEARD; NEAR_SCALES << WORD_BITS].try_into().ok()?,
        };
        let rows = codes.words.chunks_mut(TOKENS_ROOM).zip(codes.tokens.chunks_mut(1 << WORD_BITS));
        for (lengths, (words, tokens)) in lengths.iter().zip(rows) {
            if !is_whole(lengths) {
                return None;
            }
            let mut next = 0_u16;
            for length in 1..=WORD_BITS {
                for token in (0..FAST_TOKENS).filter(|&token| u32::from(lengths[token]) == length) {
                    let word = next.reverse_bits() >> (16 - WORD_BITS);
                    words[token] = u32::from(word) | length << LENGTH_SHIFT;
                    for entry in tokens.iter_mut().skip(usize::from(word)).step_by(1 << length) {
                        *entry = (token as i16 - DIRECT_MAX as i16) << TOKEN_SHIFT | length as i16;
                    }
                    next += 1 << (WORD_BITS - length);
                }
            }
        }
        codes.work_out();
        Some(codes)
    }

    /// Fills in what near residuals are told by.
    fn work_out(&mut self) {
        for scale in 0..NEAR_SCALES {
            let (code, raw) = place(scale as i32);
            for (place, residual) in (scale * NEAR_RESIDUALS..).zip(-NEAR_MAX..NEAR_MAX) {
                let (token, tail, bits) = token(residual, raw);
                let (word, length) = self.word(code, token);
                self.near[place] = ((word | tail << length) as u32) << NEAR_BITS | (length + bits);
            }
            for (next, entry) in self.heard[scale << WORD_BITS..][..1 << WORD_BITS].iter_mut().enumerate() {
                let (units, length) = token_of(self.tokens[code << WORD_BITS | next]);
                let residual = residual_of(units, (next >> length & ((1 << raw) - 1)) as i32, raw);
                let is_near = units <= DIRECT_MAX && length + raw <= WORD_BITS;
                let told = i16::try_from(residual << NEAR_BITS | (length + raw) as i32);
                if let Some(told) = told.ok().filter(|_| is_near) {
                    *entry = told;
                }
            }
        }
    }

    /// The shortest words for tokens that were seen so often.
    pub(super) fn counted(counts: &[[f64; FAST_TOKENS]; CODES]) -> Self {
        Self::new(&counts.each_ref().map(counted)).expect("counted lengths are whole")
    }

    /// Before anything is learned: as [`Table::untrained`] has it.
    pub(super) fn untrained() -> Self {
        Self::new(&core::array::from_fn(|place| {
            let table = Table::untrained_at(place);
            let frequency = |token| if token < ESCAPE { f64::from(table.frequency(token)) } else { 1.0 };
            counted(&core::array::from_fn(frequency))
        }))
        .expect("counted lengths are whole")
    }

    /// Of each code.
    pub(super) fn lengths(&self) -> &[Lengths; CODES] {
        &self.lengths
    }

    /// A word, and how many bits it has.
    #[inline]
    fn word(&self, code: usize, token: usize) -> (u64, u32) {
        let entry = self.words[(code * TOKENS_ROOM + token) % (CODES_ROOM * TOKENS_ROOM)];
        (u64::from(entry as u16), entry >> LENGTH_SHIFT)
    }
}

fn is_whole(lengths: &Lengths) -> bool {
    let is_length = |length: &u8| (1..=WORD_BITS).contains(&u32::from(*length));
    let parts = |length: &u8| 1_u32 << (WORD_BITS - u32::from(*length));
    lengths.iter().all(is_length) && lengths.iter().map(parts).sum::<u32>() == 1 << WORD_BITS
}

/// Lengths of the shortest words for tokens that were seen so often.
fn counted(counts: &[f64; FAST_TOKENS]) -> Lengths {
    let all: f64 = counts.iter().sum::<f64>().max(1.0);
    // What is rare is taken to be less so until its word is short enough.
    let mut least = all / f64::from(1 << 16);
    loop {
        let lengths = huffman(&counts.map(|count| count.max(least)));
        if is_whole(&lengths) {
            return lengths;
        }
        least *= 1.5;
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

/// By scale: the code, and above its bits how many low bits go raw.
const PLACES: [u16; (THIRDS_MAX + 1).next_power_of_two()] = {
    let mut places = [0; (THIRDS_MAX + 1).next_power_of_two()];
    let mut thirds = 0;
    while thirds <= THIRDS_MAX {
        places[thirds] = if thirds < RAW_FROM {
            thirds as u16
        } else {
            let above = thirds - RAW_FROM;
            (RAW_FROM + above % 3) as u16 | (above as u16 / 3 + 1) << 8
        };
        thirds += 1;
    }
    places
};

/// The code of a scale, and how many low bits go raw.
#[inline]
pub(super) fn place(thirds: i32) -> (usize, u32) {
    let place = PLACES[thirds as usize % PLACES.len()];
    (usize::from(place & 0xff), u32::from(place >> 8))
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

/// A residual's word and raw bits, or the escape and the value; with how many bits they are, up to 48. Of the column
/// the least value is told, and its bits.
#[inline]
pub(super) fn tell(
    codes: &Codes,
    (code, raw): (usize, u32),
    residual: i32,
    (least, whole_bits): (i32, u32),
    value: i32,
) -> (u64, u32) {
    let (token, tail, bits) = token(residual, raw);
    let (word, length) = codes.word(code, token);
    if token == ESCAPE {
        return (word | u64::from(value.wrapping_sub(least) as u32) << length, length + whole_bits);
    }
    (word | tail << length, length + bits)
}

/// The same, of the three axes of a field, one behind the other; nothing if one is not near, or its scale not small.
#[inline]
pub(super) fn tell_three(codes: &Codes, thirds: Ints, residuals: Ints) -> Option<(u64, u32)> {
    let places = residuals + Ints::splat(NEAR_MAX);
    if !(places.and(Ints::splat(-(NEAR_RESIDUALS as i32))).or(thirds.and(Ints::splat(-(NEAR_SCALES as i32)))))
        .is_zero()
    {
        return None;
    }
    let entries = thirds.shifted::<{ NEAR_RESIDUALS.ilog2() }>() + places;
    let entries = entries.and(Ints::splat((NEAR_SCALES * NEAR_RESIDUALS - 1) as i32));
    let [x, y, z, _] = entries.values().map(|at| codes.near[at as usize % (NEAR_SCALES * NEAR_RESIDUALS)]);
    let length = |entry: u32| entry % (1 << NEAR_BITS);
    let word = |entry: u32| u64::from(entry >> NEAR_BITS);
    let two = length(x) + length(y);
    Some((word(x) | word(y) << length(x) | word(z) << two, two + length(z)))
}

/// The residual that [`tell`] told; of the column the least value and its bits are given, and the guess's point.
///
/// That the stream ends too early is seen later: see [`check`]. One look shows all of it, which is 48 bits at most.
#[inline]
pub(super) fn hear(
    r: &mut BitReader<'_>,
    codes: &Codes,
    (code, raw): (usize, u32),
    (least, whole_bits): (i32, u32),
    point: i32,
) -> i32 {
    let word = r.peek();
    let next = (word & ((1 << WORD_BITS) - 1)) as usize;
    let (units, length) = token_of(codes.tokens[(code << WORD_BITS | next) % (CODES_ROOM << WORD_BITS)]);
    let word = word >> length;
    let tail = |bits: u32| word & ((1 << bits) - 1);
    let low = tail(raw) as i32;
    if units <= DIRECT_MAX {
        r.skip(length + raw);
        return residual_of(units, low, raw);
    }
    let token = (units + DIRECT_MAX) as usize;
    if token == ESCAPE {
        r.skip(length + whole_bits);
        return least.wrapping_add(tail(whole_bits) as i32).wrapping_sub(point);
    }
    let bits = OCTAVE_BITS + (token - DIRECT) as u32;
    r.skip(length + raw + 1 + bits);
    let place = tail(raw + 1 + bits) >> raw;
    let size = (place >> 1) as i32 + (1 << bits) - (1 << OCTAVE_BITS) + DIRECT_MAX + 1;
    residual_of(if place & 1 == 0 { size } else { -size }, low, raw)
}

/// The residuals of the three axes of a field; nothing, and nothing is read, if one is not heard at its scale.
#[inline]
pub(super) fn hear_three(codes: &Codes, r: &mut BitReader<'_>, thirds: Ints) -> Option<Ints> {
    if !thirds.and(Ints::splat(-(NEAR_SCALES as i32))).is_zero() {
        return None;
    }
    let (word, mut used) = (r.peek(), 0);
    let mut residuals = [0; 4];
    for (residual, scale) in residuals.iter_mut().zip(thirds.shifted::<WORD_BITS>().values()).take(3) {
        // Behind one that is not heard it does not matter what is.
        let next = word.wrapping_shr(used) as usize % (1 << WORD_BITS);
        let entry = codes.heard[(scale as usize | next) % (NEAR_SCALES << WORD_BITS)];
        *residual = i32::from(entry >> NEAR_BITS);
        used += u32::from(entry as u16) % (1 << NEAR_BITS);
    }
    if used > 3 * WORD_BITS {
        return None;
    }
    r.skip(used);
    Some(Ints::new(residuals))
}

/// A token less [`DIRECT_MAX`], and how long its word is.
#[inline]
fn token_of(entry: i16) -> (i32, u32) {
    (i32::from(entry >> TOKEN_SHIFT), u32::from(entry as u8))
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
    use crate::schema::Column;
    use proptest::prelude::*;

    fn column(min: i32, max: i32) -> Column {
        let bits = u32::BITS - (max.wrapping_sub(min) as u32).leading_zeros();
        Column { min, max, bits, wraps: false, threshold: 0, rate_hz: None }
    }

    /// As many codes as there are, all of these lengths.
    fn all_of(lengths: Lengths) -> Option<Codes> {
        Codes::new(&[lengths; CODES])
    }

    #[test]
    fn words_are_as_the_page_says() {
        for (left, right) in page::rows("coder words") {
            let lengths: Vec<u8> = left.split(' ').map(|length| length.parse().unwrap()).collect();
            let codes = all_of(lengths.try_into().unwrap()).unwrap();
            let word = |token: usize| -> String {
                let (word, length) = codes.word(CODES - 1, token);
                (0..length).map(|bit| if word >> bit & 1 == 1 { '1' } else { '0' }).collect()
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
        assert_eq!(all_of(lengths), None, "bits are left over");
        lengths[..3].fill(4);
        assert!(all_of(lengths).is_some());
        lengths[0] = 3;
        assert_eq!(all_of(lengths), None, "more words than there are bits");
        lengths[0] = 0;
        assert_eq!(all_of(lengths), None, "a word of no bits");
    }

    #[test]
    fn what_is_seen_often_has_a_short_word() {
        let mut counts = [1.0; FAST_TOKENS];
        (counts[7], counts[8]) = (1e6, 1e5);
        let lengths = counted(&counts);
        assert_eq!((lengths[7], lengths[8]), (1, 2));
        assert!(is_whole(&lengths));
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
            let (codes, place, whole) = (Codes::untrained(), place(thirds), (shape.min, shape.bits));
            let mut bytes = Vec::new();
            let mut w = BitWriter::new(&mut bytes);
            let (bits, count) = tell(&codes, place, residual, whole, value);
            w.long(bits, count);
            w.bits(5, 3);
            w.finish();
            let mut r = BitReader::new(&bytes);
            prop_assert_eq!(hear(&mut r, &codes, place, whole, point), residual);
            prop_assert_eq!(r.bits(3, "test"), Ok(5));
        }

        /// What is worked out for the axes of a field is what each of them takes alone.
        #[test]
        fn three_are_told_and_heard_as_one_by_one(
            thirds: [u8; 3], residuals: [i8; 3], shifts in [0..6_u32, 0..6, 0..6]
        ) {
            let codes = Codes::untrained();
            let thirds = thirds.map(|thirds| i32::from(thirds % 40));
            let residuals: [i32; 3] = core::array::from_fn(|axis| i32::from(residuals[axis]) >> shifts[axis]);
            let lanes = |[x, y, z]: [i32; 3]| Ints::new([x, y, z, 0]);
            let mut bytes = Vec::new();
            let mut w = BitWriter::new(&mut bytes);
            let (mut word, mut all) = (0, 0);
            for (thirds, residual) in thirds.into_iter().zip(residuals) {
                let (bits, count) = tell(&codes, place(thirds), residual, (-128, 8), residual);
                w.long(bits, count);
                word |= u128::from(bits) << all;
                all += count;
            }
            w.bits(5, 3);
            w.finish();
            let is_near = thirds.iter().all(|&thirds| thirds < NEAR_SCALES as i32)
                && residuals.iter().all(|residual| (-NEAR_MAX..NEAR_MAX).contains(residual));
            let told = tell_three(&codes, lanes(thirds), lanes(residuals));
            prop_assert_eq!(told, is_near.then_some((word as u64, all)));
            let mut r = BitReader::new(&bytes);
            if let Some(heard) = hear_three(&codes, &mut r, lanes(thirds)) {
                prop_assert_eq!(heard, lanes(residuals));
                prop_assert_eq!(r.bits(3, "test"), Ok(5));
            } else {
                prop_assert_eq!(r.bits(1, "test"), Ok(word as u32 & 1), "nothing was read");
            }
        }
    }
}
