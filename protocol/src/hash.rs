//! The two hashes that both ends must compute alike. Neither is a defence against forgery.

/// FNV-1a over bytes, 64 bits: names a schema or a prior.
pub fn bytes_hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Hashes words one after another: the rows of a digest.
///
/// Each step is a xor, a multiplication by the golden ratio and a shift that brings high bits down, so that equal
/// rows in different order, or values that moved between columns, hash differently.
#[derive(Clone, Copy, Debug)]
pub struct WordHash(u64);

impl WordHash {
    /// A hash of nothing but the two words that name what is hashed.
    pub fn new(first: u32, second: u32) -> Self {
        Self(0x243f_6a88_85a3_08d3).word(first).word(second)
    }

    /// With one more word.
    #[inline]
    pub fn word(self, word: u32) -> Self {
        let mixed = (self.0 ^ u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed ^ mixed >> 32)
    }

    /// The hash of all words so far.
    pub fn finish(self) -> u64 {
        self.0.wrapping_mul(0xff51_afd7_ed55_8ccd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_gives_its_published_values() {
        assert_eq!(bytes_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(bytes_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(bytes_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn words_count_by_value_and_place() {
        let hash =
            |words: &[u32]| words.iter().fold(WordHash::new(1, 2), |hash, &word| hash.word(word)).finish();
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash(&[0]), hash(&[0, 0]));
        assert_ne!(hash(&[]), hash(&[0]));
    }
}
