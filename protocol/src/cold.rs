//! Serialization of cold frames: bincode with a size limit, named in this one place (docs/decisions/0003).
//!
//! Little-endian, integers as bincode varints, sequences and strings preceded by their length.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::DecodeError;
use crate::limits::FRAME_BYTES_MAX;

/// The bytes of a value. Cold types hold nothing that bincode cannot write.
pub(crate) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).unwrap_or_default()
}

/// The value that fills `bytes` exactly. Allocates at most in proportion to the frame limit.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, DecodeError> {
    let config = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok(_) => Err(DecodeError::Trailing(what)),
        Err(_) => Err(DecodeError::Damaged(what)),
    }
}
