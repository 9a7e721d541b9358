//! What symbols and bits take, without writing them.
//!
//! A symbol of a range coder takes `-log2` of its share of the interval: here in 256ths of a bit, rounded up, so that what is added
//! up is never less than what is written, and for a row of thirty symbols less than a bit more.

use super::Coder;
use super::code::RowBits;
use super::range::Symbol;

/// Parts of a bit.
const PARTS: u32 = 256;

/// `256 log2(1 + n / 256)`, rounded down.
const LOG2: [u8; PARTS as usize] = log2_table();

/// A number of bits, in 256ths.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Bits(u32);

impl Bits {
    /// More than anything takes.
    pub(super) const MAX: Self = Self(u32::MAX);

    /// As many as this many bytes hold in this coder: the range coder may need one more to end.
    pub(super) fn in_bytes(bytes: usize, coder: Coder) -> Self {
        let spare = usize::from(coder == Coder::Dense);
        let bytes = u32::try_from(bytes.saturating_sub(spare)).unwrap_or(u32::MAX);
        Self(bytes.saturating_mul(8 * PARTS))
    }

    /// Bytes that hold them.
    pub(super) fn byte_len(self, coder: Coder) -> usize {
        self.0.div_ceil(8 * PARTS) as usize + usize::from(coder == Coder::Dense)
    }

    pub(super) fn add_whole(&mut self, bits: u32) {
        self.0 += bits * PARTS;
    }

    /// A number as `gamma` writes it.
    pub(super) fn add_gamma(&mut self, value: u32) {
        self.add_whole(2 * (value + 1).ilog2() + 1);
    }

    pub(super) fn add(&mut self, symbol: Symbol) {
        let size = u32::from(symbol.size) + 1;
        let whole = size.ilog2();
        let rest = (size << 16 >> whole) as u16 >> 8;
        self.0 += u32::from(symbol.bits) * PARTS - whole * PARTS - u32::from(LOG2[usize::from(rest)]);
    }

    pub(super) fn add_row(&mut self, values: RowBits<'_>) {
        match values {
            RowBits::Dense(symbols) => symbols.iter().for_each(|symbol| self.add(*symbol)),
            RowBits::Fast { bits, .. } => self.add_whole(bits),
        }
    }
}

impl core::ops::Add for Bits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl core::ops::Sub for Bits {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Binary digits of a logarithm by squaring: a square of two or more has a one there.
const fn log2_table() -> [u8; PARTS as usize] {
    let mut table = [0; PARTS as usize];
    let mut n = 0;
    while n < PARTS {
        // 1 to 2, with 30 bits behind the point.
        let mut value = ((PARTS + n) as u64) << 22;
        let (mut log, mut digit) = (0, PARTS / 2);
        while digit > 0 {
            value = (value * value) >> 30;
            if value >= 1 << 31 {
                value >>= 1;
                log += digit;
            }
            digit /= 2;
        }
        table[n as usize] = log as u8;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_takes_its_logarithm_and_never_less() {
        for bits in [1, 8, 15, 16] {
            for size in (1..=1_u32 << bits).step_by(1 + (1 << bits) / 3_000) {
                let mut cost = Bits::default();
                cost.add(Symbol { start: 0, size: (size - 1) as u16, bits });
                let exact = f64::from(bits) - f64::from(size).log2();
                let told = f64::from(cost.0) / f64::from(PARTS);
                assert!((exact - 1e-9..exact + 0.01).contains(&told), "{size} of 2^{bits}: {told}, {exact}");
            }
        }
    }

    #[test]
    fn whole_bits_and_numbers() {
        let mut cost = Bits::default();
        cost.add_whole(3);
        (0..4).for_each(|number| cost.add_gamma(number));
        assert_eq!(cost.0, (3 + 1 + 3 + 3 + 5) * PARTS);
        assert_eq!([Coder::Fast, Coder::Dense].map(|coder| cost.byte_len(coder)), [2, 3]);
        assert!(Bits::in_bytes(2, Coder::Fast) > cost && Bits::in_bytes(2, Coder::Dense) < cost);
        assert_eq!(
            Bits::in_bytes(usize::MAX, Coder::Fast).byte_len(Coder::Fast),
            (u32::MAX / 2048) as usize + 1
        );
    }
}
