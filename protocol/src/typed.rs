//! A game's own types as bytes: bodies of messages, requests and events, profiles, scores and settings.
//!
//! Bytes are bincode's (its standard configuration: little-endian, integers as varints), so types of both sides have to be the same: a field that
//! is added is another type. Whoever would rather write bytes by hand, or with another library, does: nothing else in the engine looks into them.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tickwire_protocol::typed;
//!
//! #[derive(Debug, Deserialize, PartialEq, Serialize)]
//! enum Chat {
//!     Says(String),
//!     Points { at: [f32; 3] },
//! }
//!
//! let body = typed::write(&Chat::Says("over here".to_owned()))?;
//! assert_eq!(body.len(), 11);
//! assert_eq!(typed::read::<Chat>(&body)?, Chat::Says("over here".to_owned()));
//!
//! // What a peer sends may be anything.
//! assert!(typed::read::<Chat>(&[2]).is_err());
//! # Ok::<(), tickwire_protocol::typed::TypedError>(())
//! ```

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::limits::MESSAGE_BODY_BYTES_MAX;

/// Why a value is not written or not read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TypedError {
    /// Its type holds what bincode cannot write, such as a list whose length is not known before.
    #[error("a value that cannot be written: {0}")]
    Unwritable(String),
    /// The bytes are no value of this type.
    #[error("these bytes are no value of the type: {0}: do both sides have the same type?")]
    Unreadable(String),
    /// There is more behind the value.
    #[error("{0} bytes are left behind a value: do both sides have the same type?")]
    Trailing(usize),
}

/// The bytes of a value.
///
/// # Errors
/// [`TypedError::Unwritable`]. How large it may be is for whoever takes it to say.
pub fn write<T: Serialize>(value: &T) -> Result<Bytes, TypedError> {
    let written = bincode::serde::encode_to_vec(value, bincode::config::standard());
    written.map(Bytes::from).map_err(|error| TypedError::Unwritable(error.to_string()))
}

/// The value that fills these bytes. A text or list that claims to be longer than the [largest body](MESSAGE_BODY_BYTES_MAX) is refused before memory is
/// taken for it.
///
/// # Errors
/// That they are no such value: [`TypedError::Unreadable`], [`TypedError::Trailing`].
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TypedError> {
    let config = bincode::config::standard().with_limit::<MESSAGE_BODY_BYTES_MAX>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| TypedError::Unreadable(error.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(TypedError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let value = (7_u32, "text".to_owned(), vec![1.5_f32, 2.5]);
        let bytes = write(&value).unwrap();
        assert_eq!(read(&bytes), Ok(value));
        for end in 0..bytes.len() {
            let cut = read::<(u32, String, Vec<f32>)>(&bytes[..end]);
            assert!(matches!(cut, Err(TypedError::Unreadable(_))), "{end}: {cut:?}");
        }
        let more = [&bytes[..], &[0, 0]].concat();
        assert_eq!(read::<(u32, String, Vec<f32>)>(&more), Err(TypedError::Trailing(2)));
    }

    #[test]
    fn lengths_that_are_claimed_are_not_believed() {
        // Four billion of them, says the length, and then nothing.
        let claim = [252, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(read::<String>(&claim), Err(TypedError::Unreadable(_))));
        assert!(matches!(read::<Vec<u64>>(&claim), Err(TypedError::Unreadable(_))));
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        struct Endless;
        impl Serialize for Endless {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::ser::SerializeSeq::end(serializer.serialize_seq(None)?)
            }
        }
        assert!(matches!(write(&Endless), Err(TypedError::Unwritable(_))));
    }
}
