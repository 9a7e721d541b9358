//! Acks: which frames of a stream were applied.
//!
//! A receiver enters each frame that it has **applied** into an [`AckWindow`]; the window becomes an [`Ack`]: the
//! newest sequence and a bitmap of the 256 before it. A frame that arrived and was dropped is never acked, so the
//! sender may take an acked frame for state that the receiver holds.
//!
//! ```text
//!  newest: 16 | words: 4 | word: 32 ...      bit n of word w stands for sequence newest - 1 - (32 w + n)
//! ```
//!
//! Trailing words of zero are not sent, so an ack has one encoding. On an ordered stream nothing can be missing: the
//! ack is the newest sequence with no word at all.
//!
//! Modelled on the ack bits of Glenn Fiedler's "Reliable Ordered Messages" (2016), with a longer window.

use core::fmt;

use crate::bits::{BitReader, BitWriter};
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame_with};
use crate::limits::ACK_WORDS_MAX;

/// Number of a frame on its stream; wraps from 65,535 to 0.
///
/// There is no `Ord`: wrapping order is not transitive. Two sequences compare rightly while they are less than 2^15
/// frames apart (half a minute at 1,000 frames a second).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Sequence(pub u16);

impl Sequence {
    /// The one after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The one `frames` before this one.
    pub const fn back(self, frames: u16) -> Self {
        Self(self.0.wrapping_sub(frames))
    }

    /// Frames from `earlier` to `self`, -32,768 to 32,767; negative if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i16 as i32
    }

    /// Whether `self` comes after `other`.
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.since(other) > 0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a receiver has applied, as told to the sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack {
    /// The newest frame applied.
    pub newest: Sequence,
    older: [u32; ACK_WORDS_MAX],
}

impl Ack {
    /// The newest frame alone: all there is to say on an ordered stream.
    pub const fn new(newest: Sequence) -> Self {
        Self { newest, older: [0; ACK_WORDS_MAX] }
    }

    /// Every frame that it tells of, the newest first: at least 1, at most 257.
    pub fn acked(&self) -> impl Iterator<Item = Sequence> {
        let newest = self.newest;
        let older = self.older.into_iter().enumerate().flat_map(move |(place, word)| {
            let first = place as u16 * u32::BITS as u16 + 1;
            let bits = (0..u32::BITS as u16).filter(move |bit| word >> bit & 1 != 0);
            bits.map(move |bit| newest.back(first + bit))
        });
        core::iter::once(newest).chain(older)
    }

    /// Whether it tells of this frame.
    pub fn contains(&self, sequence: Sequence) -> bool {
        match self.newest.since(sequence) {
            0 => true,
            age => place(age).is_some_and(|(word, bit)| self.older.get(word).is_some_and(|w| w & bit != 0)),
        }
    }

    /// Appends an ACK frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame_with(out, FrameType::Ack, |out| {
            let mut w = BitWriter::new(out);
            self.write(&mut w);
            w.finish();
        });
    }

    /// Reads the payload of an ACK frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut r = BitReader::new(payload);
        let ack = Self::read(&mut r)?;
        r.finish("ack")?;
        Ok(ack)
    }

    /// Writes it into another frame: 20 bits and 32 for each word.
    pub(crate) fn write(&self, w: &mut BitWriter<'_>) {
        let words = ACK_WORDS_MAX - self.older.iter().rev().take_while(|&&word| word == 0).count();
        w.bits(u32::from(self.newest.0), 16);
        w.bits(words as u32, COUNT_BITS);
        for &word in self.older.iter().take(words) {
            w.bits(word, u32::BITS);
        }
    }

    /// Reads what [`Ack::write`] wrote; refuses a last word of zero, which would be a second encoding.
    pub(crate) fn read(r: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let newest = Sequence(r.bits(16, "ack")? as u16);
        let words = r.bits(COUNT_BITS, "ack")? as usize;
        let (value, limit) = (words as u64, ACK_WORDS_MAX as u64);
        if value > limit {
            return Err(DecodeError::TooLarge { what: "ack words", value, limit });
        }
        let mut ack = Self::new(newest);
        let mut last = 1;
        for word in ack.older.iter_mut().take(words) {
            last = r.bits(u32::BITS, "ack")?;
            *word = last;
        }
        if last == 0 {
            return Err(DecodeError::Invalid { what: "ack ending in a word of zero", value });
        }
        Ok(ack)
    }

    /// Makes `newest` older by `frames`, at least 1, and everything else with it.
    fn age(&mut self, frames: usize) {
        let (words, bits) = (frames / u32::BITS as usize, frames as u32 % u32::BITS);
        let former = self.older;
        let word = |index: Option<usize>| u64::from(index.and_then(|i| former.get(i)).copied().unwrap_or(0));
        for (index, to) in self.older.iter_mut().enumerate() {
            let pair = word(index.checked_sub(words)) << 32 | word(index.checked_sub(words + 1));
            *to = (pair << bits >> 32) as u32;
        }
        self.mark(frames as i32);
    }

    /// Enters a frame of this age; false if it was in already, or is too old.
    fn mark(&mut self, age: i32) -> bool {
        let Some((word, bit)) = place(age) else { return false };
        let Some(word) = self.older.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// Where a frame stands that is `age` frames older than the newest: word and bit.
fn place(age: i32) -> Option<(usize, u32)> {
    let index = usize::try_from(age).ok()?.checked_sub(1)?;
    Some((index / u32::BITS as usize, 1 << (index % u32::BITS as usize)))
}

/// The receiver's side: what it has applied of a stream, as far back as 256 frames before the newest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AckWindow(Option<Ack>);

impl AckWindow {
    /// Nothing applied yet.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Whether this frame should not be applied (again): it was applied already, or is so old that nobody knows.
    pub fn is_stale(&self, sequence: Sequence) -> bool {
        self.0.is_some_and(|ack| {
            let age = ack.newest.since(sequence);
            age > WINDOW_FRAMES || ack.contains(sequence)
        })
    }

    /// Enters a frame that has been applied. Returns whether it was [stale](AckWindow::is_stale) before: then nothing changes.
    pub fn insert(&mut self, sequence: Sequence) -> bool {
        let Some(ack) = &mut self.0 else {
            self.0 = Some(Ack::new(sequence));
            return false;
        };
        match sequence.since(ack.newest) {
            0 => true,
            ahead @ 1.. => {
                ack.age(ahead as usize);
                ack.newest = sequence;
                false
            }
            behind => !ack.mark(-behind),
        }
    }

    /// What to tell the sender; nothing before the first frame.
    pub const fn ack(&self) -> Option<Ack> {
        self.0
    }
}

/// How far back the window reaches, frames before the newest.
const WINDOW_FRAMES: i32 = (ACK_WORDS_MAX * u32::BITS as usize) as i32;

/// Bits of the number of words.
const COUNT_BITS: u32 = 4;

const _: () = assert!(ACK_WORDS_MAX < 1 << COUNT_BITS);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(ack: &Ack) -> Vec<u8> {
        let mut out = Vec::new();
        ack.encode(&mut out);
        out.split_off(2)
    }

    fn window(applied: &[u16]) -> AckWindow {
        let mut window = AckWindow::new();
        for &sequence in applied {
            window.insert(Sequence(sequence));
        }
        window
    }

    fn acked(window: &AckWindow) -> Vec<u16> {
        window.ack().unwrap().acked().map(|sequence| sequence.0).collect()
    }

    #[test]
    fn sequences_compare_across_the_wrap() {
        let last = Sequence(u16::MAX);
        assert!(
            last.next().is_newer_than(last) && !last.is_newer_than(last.next()) && !last.is_newer_than(last)
        );
        assert_eq!((last.next().since(last), last.since(last.next()), last.next().back(1)), (1, -1, last));
    }

    #[test]
    fn a_window_tells_what_was_applied() {
        assert_eq!(AckWindow::new().ack(), None);
        assert_eq!(acked(&window(&[5])), [5]);
        assert_eq!(acked(&window(&[5, 7, 6, 3])), [7, 6, 5, 3]);
        assert_eq!(acked(&window(&[65_535, 2])), [2, 65_535], "across the wrap");
        assert_eq!(acked(&window(&[10, 10 + 32, 10 + 33])), [43, 42, 10]);
        assert_eq!(acked(&window(&[10, 266])), [266, 10], "the oldest that fits");
        assert_eq!(acked(&window(&[10, 267])), [267], "one too old");
        assert_eq!(acked(&window(&[10, 30_000])), [30_000]);
    }

    #[test]
    fn nothing_is_applied_twice_and_the_too_old_count_as_applied() {
        let mut window = window(&[300, 290]);
        for (sequence, is_stale) in
            [(300, true), (290, true), (291, false), (44, false), (43, true), (301, false)]
        {
            assert_eq!(window.is_stale(Sequence(sequence)), is_stale, "{sequence}");
            let mut copy = window;
            assert_eq!(copy.insert(Sequence(sequence)), is_stale, "{sequence}");
            assert!(copy.is_stale(Sequence(sequence)));
            assert_eq!(copy == window, is_stale);
        }
        assert!(!window.insert(Sequence(44)));
        assert_eq!(acked(&window), [300, 290, 44]);
    }

    #[test]
    fn an_ordered_ack_is_short() {
        assert_eq!(payload(&Ack::new(Sequence(0x1234))).len(), 3);
        assert_eq!(payload(&window(&[1, 2]).ack().unwrap()).len(), 7);
        assert_eq!(payload(&window(&[1, 257]).ack().unwrap()).len(), 35);
    }

    #[test]
    fn only_the_shortest_encoding_is_taken() {
        assert!(matches!(Ack::decode(&[0, 0, 1, 0, 0, 0, 0]), Err(DecodeError::Invalid { .. })));
        assert!(matches!(Ack::decode(&[0, 0, 9]), Err(DecodeError::TooLarge { value: 9, .. })));
        assert_eq!(Ack::decode(&[0, 0, 0x10]), Err(DecodeError::Trailing("ack")), "padding must be zero");
        assert_eq!(Ack::decode(&[0, 0, 0, 0]), Err(DecodeError::Trailing("ack")));
    }

    proptest! {
        #[test]
        fn a_window_agrees_with_a_plain_list(
            start in any::<u16>(), steps in prop::collection::vec((-300..300_i32, any::<bool>()), 1..200)
        ) {
            let mut window = AckWindow::new();
            let mut applied: Vec<i64> = Vec::new();
            let mut at = 0_i64;
            for (step, is_jump) in steps {
                at += if is_jump { i64::from(step) } else { i64::from(step.signum()) };
                let newest = applied.iter().max().copied();
                let is_stale = newest.is_some_and(|newest| newest - at > 256) || applied.contains(&at);
                let sequence = Sequence(start.wrapping_add(at as u16));
                prop_assert_eq!(window.is_stale(sequence), is_stale);
                prop_assert_eq!(window.insert(sequence), is_stale);
                if !is_stale {
                    applied.push(at);
                }
            }
            let newest = applied.iter().max().copied().unwrap();
            applied.retain(|at| newest - at <= 256);
            applied.sort_unstable_by(|a, b| b.cmp(a));
            let ack = window.ack().unwrap();
            let told: Vec<_> = ack.acked().collect();
            let held: Vec<_> = applied.iter().map(|at| Sequence(start.wrapping_add(*at as u16))).collect();
            prop_assert_eq!(&told, &held);
            prop_assert!(told.iter().all(|&sequence| ack.contains(sequence)));
            prop_assert_eq!(Ack::decode(&payload(&ack)), Ok(ack));
        }

        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(ack) = Ack::decode(&bytes) {
                prop_assert_eq!(payload(&ack), bytes);
            }
        }
    }
}
