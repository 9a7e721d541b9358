//! LZ4 blocks: used only where they are smaller, and never longer than they claim.

use crate::fault::DecodeError;
use crate::limits::LZ4_BYTES_MIN;

/// The block of `plain`, if it is smaller together with the `size_bytes` in which the decoded size is told.
pub(crate) fn compress_if_smaller(plain: &[u8], size_bytes: usize) -> Option<Vec<u8>> {
    if plain.len() < LZ4_BYTES_MIN {
        return None;
    }
    let block = lz4_flex::block::compress(plain);
    (block.len() + size_bytes < plain.len()).then_some(block)
}

/// The block of `plain`, whether smaller or not.
pub(crate) fn compress(plain: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress(plain)
}

/// Whether a block may be said to decode to so many bytes: within the limit, and more than it has itself.
pub(crate) fn check_size(
    block: &[u8],
    decoded_bytes: u32,
    limit: usize,
    what: &'static str,
) -> Result<(), DecodeError> {
    let (value, limit) = (u64::from(decoded_bytes), limit as u64);
    if value > limit {
        Err(DecodeError::TooLarge { what, value, limit })
    } else if value <= block.len() as u64 {
        Err(DecodeError::Invalid { what, value })
    } else {
        Ok(())
    }
}

/// What a block decodes to: exactly as many bytes as it claims, which is checked before any is allocated.
pub(crate) fn decompress(
    block: &[u8],
    decoded_bytes: u32,
    limit: usize,
    what: &'static str,
) -> Result<Vec<u8>, DecodeError> {
    check_size(block, decoded_bytes, limit, what)?;
    let mut decoded = vec![0; decoded_bytes as usize];
    match lz4_flex::block::decompress_into(block, &mut decoded) {
        Ok(bytes) if bytes == decoded.len() => Ok(decoded),
        _ => Err(DecodeError::Compression),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::bytes_hash;

    #[test]
    fn blocks_are_smaller_and_as_long_as_they_claim() {
        let plain = [7; 600];
        let block = compress_if_smaller(&plain, 3).unwrap();
        let decompressed = |claimed| decompress(&block, claimed, 600, "t");
        assert_eq!(decompressed(600), Ok(plain.to_vec()));
        assert_eq!(decompressed(599), Err(DecodeError::Compression));
        assert_eq!(decompress(&block, 601, 601, "t"), Err(DecodeError::Compression));
        assert_eq!(decompress(&block[1..], 600, 600, "t"), Err(DecodeError::Compression));
        assert_eq!(decompressed(601), Err(DecodeError::TooLarge { what: "t", value: 601, limit: 600 }));
        let none_saved = block.len() as u32;
        let refused = DecodeError::Invalid { what: "t", value: u64::from(none_saved) };
        assert_eq!(decompressed(none_saved), Err(refused));
        assert_eq!(decompress(&[], 0, 600, "t"), Err(DecodeError::Invalid { what: "t", value: 0 }));
    }

    #[test]
    fn what_does_not_repeat_or_is_small_stays_as_it_is() {
        assert_eq!(compress_if_smaller(&[7; LZ4_BYTES_MIN - 1], 3), None);
        let noise: Vec<_> = (0..LZ4_BYTES_MIN as u32).map(|n| bytes_hash(&n.to_le_bytes()) as u8).collect();
        assert_eq!(compress_if_smaller(&noise, 3), None);
    }
}
