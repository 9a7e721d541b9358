//! What a message says: as it is, or as an LZ4 block where that is smaller.

use core::ops::Deref;

use bytes::Bytes;

use super::frame::{VARINT_BYTES_MAX, read_varint, write_varint};
use crate::fault::DecodeError;
use crate::lz4;

/// A body. It is compressed when it is made, if it is [large](crate::limits::LZ4_BYTES_MIN) and that makes it smaller; clones share both, so that
/// what all in a room hear is compressed once. Every limit counts it as it is, and what is on its way as it travels.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MessageBody {
    plain: Bytes,
    block: Option<Bytes>,
}

impl MessageBody {
    /// Bytes that it takes in a MESSAGE frame, at the most.
    pub fn wire_bytes(&self) -> usize {
        self.block.as_ref().map_or(self.plain.len(), |block| VARINT_BYTES_MAX + block.len())
    }

    /// As it is.
    pub fn into_bytes(self) -> Bytes {
        self.plain
    }

    pub(super) fn is_block(&self) -> bool {
        self.block.is_some()
    }

    /// Appends it, to the end of its frame.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Some(block) = &self.block else { return out.extend_from_slice(&self.plain) };
        write_varint(out, self.plain.len() as u32);
        out.extend_from_slice(block);
    }

    /// Reads what is left of a frame: at most `limit` bytes, which is checked before any is allocated.
    pub(super) fn read(mut rest: Bytes, is_block: bool, limit: u32) -> Result<Self, DecodeError> {
        const WHAT: &str = "message body";
        if is_block {
            let plain_bytes = read_varint(&mut rest)?;
            let plain = lz4::decompress(&rest, plain_bytes, limit as usize, WHAT)?.into();
            return Ok(Self { plain, block: Some(rest) });
        }
        let (value, limit) = (rest.len() as u64, u64::from(limit));
        if value > limit {
            return Err(DecodeError::TooLarge { what: WHAT, value, limit });
        }
        Ok(Self { plain: rest, block: None })
    }
}

impl From<Bytes> for MessageBody {
    fn from(plain: Bytes) -> Self {
        let block = lz4::compress_if_smaller(&plain, VARINT_BYTES_MAX).map(Bytes::from);
        Self { plain, block }
    }
}

impl From<Vec<u8>> for MessageBody {
    fn from(plain: Vec<u8>) -> Self {
        Bytes::from(plain).into()
    }
}

impl Deref for MessageBody {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.plain
    }
}
