//! Serialization of cold frames: bincode with a size limit, named in this one place (docs/decisions/0003).
//!
//! Little-endian, integers as bincode varints, lists and texts preceded by their length. A value has one encoding,
//! any other is refused. A length that is merely claimed reserves nothing, as long as cold types read their lists
//! with [`list`] and their texts with [`text`]: bincode itself believes a text's length up to the size limit, and
//! serde reserves up to 1 MiB for a list.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::fault::DecodeError;
use crate::limits::FRAME_BYTES_MAX;

/// The bytes of a value. Cold types hold nothing that bincode cannot write.
pub(crate) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).unwrap_or_default()
}

/// The value whose one encoding fills `bytes` exactly. Allocates in proportion to `bytes`, at most.
pub(crate) fn read<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    what: &'static str,
) -> Result<T, DecodeError> {
    let config = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((_, used)) if used < bytes.len() => Err(DecodeError::Trailing(what)),
        Ok((value, _)) if write(&value) == bytes => Ok(value),
        _ => Err(DecodeError::Damaged(what)),
    }
}

/// Takes a value in its one encoding from the beginning of `bytes`; for values that stand one behind another.
pub(crate) fn take<T: DeserializeOwned + Serialize>(
    bytes: &mut &[u8],
    what: &'static str,
) -> Result<T, DecodeError> {
    let config = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, config).map_err(|_| DecodeError::Damaged(what))?;
    let (taken, rest) = bytes.split_at(used);
    if write(&value) != taken {
        return Err(DecodeError::Damaged(what));
    }
    *bytes = rest;
    Ok(value)
}

/// Reads a list without believing its length: memory grows with the elements that are there.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Elements<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = access.next_element()? {
                elements.push(element);
            }
            Ok(elements)
        }
    }

    deserializer.deserialize_seq(Elements(PhantomData))
}

/// Reads a text without believing its length: it is copied once it is seen to be there.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_str(Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Cold {
        number: u32,
        #[serde(deserialize_with = "text")]
        name: String,
        #[serde(deserialize_with = "list")]
        parts: Vec<u16>,
    }

    #[test]
    fn a_value_has_one_encoding() {
        let value = Cold { number: 5, name: "ab".to_owned(), parts: vec![300, 7] };
        let bytes = write(&value);
        assert_eq!(bytes, [5, 2, b'a', b'b', 2, 251, 44, 1, 7]);
        assert_eq!(read(&bytes, "t"), Ok(value));
        for cut in 0..bytes.len() {
            assert_eq!(read::<Cold>(&bytes[..cut], "t"), Err(DecodeError::Damaged("t")));
        }
        assert_eq!(read::<Cold>(&[&bytes[..], &[0]].concat(), "t"), Err(DecodeError::Trailing("t")));
        let longer_form = [&[251, 5, 0], &bytes[1..]].concat();
        assert_eq!(read::<Cold>(&longer_form, "t"), Err(DecodeError::Damaged("t")));
    }

    #[test]
    fn claimed_lengths_are_refused_wherever_they_stand() {
        let huge = [253, 0, 0, 0, 0, 0, 0, 0, 128];
        for claim in [&[252, 255, 255, 0, 0][..], &huge] {
            for before in [&[5][..], &[5, 2, b'a', b'b']] {
                let bomb = [before, claim].concat();
                assert_eq!(read::<Cold>(&bomb, "t"), Err(DecodeError::Damaged("t")));
            }
        }
    }
}
