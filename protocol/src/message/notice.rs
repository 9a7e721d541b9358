//! What a receiver says of a message that it did not give to its game.
//!
//! ```text
//!  NOTICE   why: 8 | type: varint | number: 16 | retry after, milliseconds: varint
//! ```

use bytes::{Buf, Bytes};

use super::frame::{read_varint, write_varint};
use super::rate::Denial;
use super::types::MessageTypeId;
use crate::fault::DecodeError;
use crate::time::Micros;

/// A message was not let through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notice {
    /// Of which type.
    pub ty: MessageTypeId,
    /// Its number in its lane, the low 16 bits.
    pub number: u16,
    /// Why; times are whole milliseconds on the wire.
    pub denial: Denial,
}

impl Notice {
    /// As the body of a NOTICE.
    pub fn encode(&self) -> Bytes {
        let why = match self.denial {
            Denial::TooOften { .. } => 0,
            Denial::TooMany { .. } => 1,
            Denial::TooMuch { .. } => 2,
            Denial::Forbidden => 3,
        };
        let mut out = vec![why];
        write_varint(&mut out, u32::from(self.ty.0));
        out.extend_from_slice(&self.number.to_le_bytes());
        let retry_after = self.denial.retry_after().unwrap_or(Micros::ZERO);
        write_varint(&mut out, u32::try_from(retry_after.0.div_ceil(1_000)).unwrap_or(u32::MAX));
        out.into()
    }

    /// Reads the body of a NOTICE.
    pub fn decode(mut body: Bytes) -> Result<Self, DecodeError> {
        let why = body.try_get_u8().map_err(|_| DecodeError::Truncated("notice"))?;
        let value = read_varint(&mut body)?;
        let ty = u16::try_from(value).map(MessageTypeId);
        let ty =
            ty.map_err(|_| DecodeError::Invalid { what: "type of a notice", value: u64::from(value) })?;
        let number = body.try_get_u16_le().map_err(|_| DecodeError::Truncated("notice"))?;
        let retry_after = Micros::from_millis(u64::from(read_varint(&mut body)?));
        let denial = match why {
            0 => Denial::TooOften { retry_after },
            1 => Denial::TooMany { retry_after },
            2 => Denial::TooMuch { retry_after },
            3 if retry_after == Micros::ZERO => Denial::Forbidden,
            _ => return Err(DecodeError::Invalid { what: "reason of a notice", value: u64::from(why) }),
        };
        if body.is_empty() { Ok(Self { ty, number, denial }) } else { Err(DecodeError::Trailing("notice")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..12), why in 0..5_u8) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = why;
            }
            if let Ok(notice) = Notice::decode(bytes.clone().into()) {
                prop_assert_eq!(&notice.encode()[..], &bytes);
            }
        }
    }
}
