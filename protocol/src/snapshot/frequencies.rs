//! How often each of a few numbers comes: what the range coder's symbols are made of.

use super::range::{RangeDecoder, Symbol};

/// Frequencies are parts of this many bits.
const BITS: u8 = 15;

/// Frequencies of the numbers below `SUMS - 1`: none is zero, and they add up to 2^15.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frequencies<const SUMS: usize> {
    /// Sums of the frequencies before each number, and all of them.
    sums: [u16; SUMS],
    /// The number at each of so many places along the sums: where to begin to look.
    starts: [u8; STARTS],
    /// The likeliest number; of several the least.
    usual: u8,
}

const STARTS: usize = 256;
const START_SHIFT: u32 = BITS as u32 - STARTS.ilog2();

impl<const SUMS: usize> Frequencies<SUMS> {
    /// How many numbers have a frequency.
    const NUMBERS: usize = SUMS - 1;

    /// There must be as many as there are numbers, each above zero, and they must add up to 2^15.
    pub(super) fn new(frequencies: &[u16]) -> Option<Self> {
        const { assert!(SUMS <= 1 << u8::BITS) };
        let mut sums = [0_u16; SUMS];
        for (number, &frequency) in frequencies.iter().enumerate().take(Self::NUMBERS) {
            let sum = sums[number].checked_add(frequency).filter(|&sum| frequency > 0 && sum <= 1 << BITS)?;
            sums[number + 1] = sum;
        }
        let number_of = |part: u16| sums.partition_point(|&sum| sum <= part) as u8 - 1;
        let usual = (0..Self::NUMBERS).rev().max_by_key(|&number| frequencies.get(number))? as u8;
        (frequencies.len() == Self::NUMBERS && sums[Self::NUMBERS] == 1 << BITS).then(|| {
            let starts = core::array::from_fn(|start| number_of((start << START_SHIFT) as u16));
            Self { sums, starts, usual }
        })
    }

    /// From how often each number was seen; none is impossible.
    pub(super) fn counted(counts: &[f64]) -> Self {
        let room = f64::from(1_u16 << BITS) - Self::NUMBERS as f64;
        let all: f64 = counts.iter().sum::<f64>().max(1e-9);
        let mut frequencies: Vec<u16> = counts.iter().map(|count| 1 + (count / all * room) as u16).collect();
        let missing = (1_u16 << BITS) - frequencies.iter().sum::<u16>();
        let most = (0..Self::NUMBERS).max_by_key(|&number| frequencies[number]).unwrap_or(0);
        frequencies[most] += missing;
        Self::new(&frequencies).expect("at least 1 each, adding up to all")
    }

    /// The likeliest number; of several the least.
    pub(super) fn usual(&self) -> u32 {
        u32::from(self.usual)
    }

    pub(super) fn frequency(&self, number: usize) -> u16 {
        self.sums[number + 1] - self.sums[number]
    }

    /// All, in order.
    pub(super) fn frequencies(&self) -> impl Iterator<Item = u16> {
        (0..Self::NUMBERS).map(|number| self.frequency(number))
    }

    #[inline]
    pub(super) fn symbol(&self, number: usize) -> Symbol {
        Symbol { start: self.sums[number], size: self.frequency(number) - 1, bits: BITS }
    }

    /// Reads a number.
    #[inline]
    pub(super) fn hear(&self, r: &mut RangeDecoder<'_>) -> usize {
        let part = r.peek(BITS);
        let mut number = usize::from(self.starts[usize::from(part >> START_SHIFT) % STARTS]);
        // The last sum is above any part.
        while self.sums.get(number + 1).is_some_and(|sum| *sum <= part) {
            number += 1;
        }
        r.take(self.symbol(number));
        number
    }
}

/// Numbers that a dial tells.
pub(super) const DIAL: usize = 128;

/// Frequencies of how many ticks are named, and of how far back they are.
pub(super) type Dial = Frequencies<{ DIAL + 1 }>;

impl Dial {
    /// From how often each number was seen. What was never seen stays possible, the smaller the likelier.
    pub(super) fn seen(counts: &[f64; DIAL]) -> Self {
        let all: f64 = counts.iter().sum();
        let unseen = |number: usize| (all + 1.0) / 40.0 / (number + 1) as f64;
        Self::counted(&core::array::from_fn::<_, DIAL, _>(|number| counts[number] + unseen(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::range::RangeEncoder;
    use super::*;
    use proptest::prelude::*;

    type Four = Frequencies<5>;

    #[test]
    fn what_was_seen_often_is_told_shortly() {
        let four = Four::counted(&[0.0, 0.0, 1000.0, 0.0]);
        assert!(four.frequency(2) > 32_000);
        assert!(four.frequencies().all(|frequency| frequency > 0));
        assert_eq!(four.usual(), 2);
        assert_eq!(Four::counted(&[0.0, 5.0, 5.0, 0.0]).usual(), 1, "of several the least");
    }

    #[test]
    fn frequencies_are_whole() {
        let all = 1 << 13;
        assert!(Four::new(&[all; 4]).is_some());
        assert!(Four::new(&[2 * all, all, all, 0]).is_none(), "nothing may be impossible");
        assert!(Four::new(&[1; 4]).is_none(), "all chances add up to one");
        assert!(Four::new(&[all; 5]).is_none(), "one for each number");
        assert!(Four::new(&[all, all, 2 * all]).is_none());
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec(0..DIAL, 0..50), likely in 0..DIAL) {
            let mut counts = [0.0; DIAL];
            counts[likely] = 1e4;
            let dial = Dial::seen(&counts);
            let mut bytes = Vec::new();
            let mut w = RangeEncoder::new(&mut bytes);
            for &number in &numbers {
                w.encode(dial.symbol(number));
            }
            w.finish(0);
            let mut r = RangeDecoder::new(&bytes);
            for number in numbers {
                prop_assert_eq!(dial.hear(&mut r), number);
            }
        }
    }
}
