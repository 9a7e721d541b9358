//! The five frames of a transfer.
//!
//! ```text
//!  BULK_OFFER    id: u32 | bytes: u32 | kind: u16 | metadata, to the end      offering side
//!  BULK_CHUNK    id: u32 | offset: u32 | content, to the end                  offering side
//!  BULK_CREDIT   id: u32 | received: u32 | limit: u32                         receiving side
//!  BULK_END      id: u32 | end: u8                                            receiving side
//!  BULK_STOP     id: u32 | stop: u8 | checksum: u32, of a complete one        offering side
//! ```
//!
//! All numbers are little-endian.

use bytes::{Buf, Bytes};

use super::{BulkId, BulkOffer};
use crate::fault::DecodeError;
use crate::frame::{FrameType, HEADER_BYTES_MAX, write_frame_with};
use crate::limits::{BULK_BYTES_MAX, BULK_CHUNK_BYTES_MAX, BULK_METADATA_BYTES_MAX};

/// Most bytes of a chunk's frame beside its content.
pub(super) const CHUNK_OVERHEAD_BYTES: usize = HEADER_BYTES_MAX + 8;

/// Most bytes of any frame but offers and chunks.
pub(super) const CONTROL_FRAME_BYTES_MAX: usize = HEADER_BYTES_MAX + 12;

/// How a transfer ends at its receiving side.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum BulkEnd {
    /// The game has all of it, with the right checksum.
    Received,
    /// The game does not want it, and has not begun to.
    Refused,
    /// The game wants no more of it.
    Cancelled,
    /// The game did not answer the offer in time, or the other side waited no longer.
    Expired,
    /// All has come, and its checksum is another.
    Damaged,
}

/// Why nothing more comes from the offering side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BulkStop {
    /// All was sent.
    Complete {
        /// CRC-32 (ISO-HDLC) of the content.
        checksum: u32,
    },
    /// The game has taken it back.
    Cancelled,
    /// The offer was not answered in time.
    Expired,
    /// The receiving side's end was heard: both forget the transfer.
    Released,
}

/// One frame of a transfer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BulkFrame {
    /// Something that the other side may have.
    Offer {
        /// Which transfer: above all before of its side.
        id: BulkId,
        /// What.
        offer: BulkOffer,
    },
    /// A piece.
    Chunk {
        /// Of which transfer.
        id: BulkId,
        /// Where in the content: exactly behind the piece before.
        offset: u32,
        /// 1 to [`BULK_CHUNK_BYTES_MAX`] bytes.
        content: Bytes,
    },
    /// What the receiving side has, and how far it may be sent.
    Credit {
        /// Of which transfer.
        id: BulkId,
        /// Bytes that have come.
        received: u32,
        /// Where the sender must stop until the next credit.
        limit: u32,
    },
    /// It is over at the receiving side.
    End {
        /// Which transfer.
        id: BulkId,
        /// How.
        end: BulkEnd,
    },
    /// Nothing more comes.
    Stop {
        /// Of which transfer.
        id: BulkId,
        /// Why.
        stop: BulkStop,
    },
}

impl BulkFrame {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_le_bytes());
        write_frame_with(out, self.ty(), |out| match self {
            Self::Offer { id, offer } => {
                number(out, id.0);
                number(out, offer.bytes);
                out.extend_from_slice(&offer.kind.to_le_bytes());
                out.extend_from_slice(&offer.metadata);
            }
            Self::Chunk { id, offset, content } => {
                number(out, id.0);
                number(out, *offset);
                out.extend_from_slice(content);
            }
            Self::Credit { id, received, limit } => {
                number(out, id.0);
                number(out, *received);
                number(out, *limit);
            }
            Self::End { id, end } => {
                number(out, id.0);
                out.push(*end as u8);
            }
            Self::Stop { id, stop } => {
                number(out, id.0);
                out.push(stop.code());
                if let BulkStop::Complete { checksum } = stop {
                    number(out, *checksum);
                }
            }
        });
    }

    /// Reads the payload of a frame of one of the five types.
    pub fn decode(ty: FrameType, mut payload: Bytes) -> Result<Self, DecodeError> {
        let id = BulkId(number(&mut payload)?);
        let frame = match ty {
            FrameType::BulkOffer => return decode_offer(id, payload),
            FrameType::BulkChunk => return decode_chunk(id, payload),
            FrameType::BulkCredit => {
                Self::Credit { id, received: number(&mut payload)?, limit: number(&mut payload)? }
            }
            FrameType::BulkEnd => Self::End { id, end: decode_end(byte(&mut payload)?)? },
            FrameType::BulkStop => Self::Stop { id, stop: decode_stop(&mut payload)? },
            other => return Err(DecodeError::UnknownFrame(other as u8)),
        };
        if payload.is_empty() { Ok(frame) } else { Err(DecodeError::Trailing("bulk frame")) }
    }

    fn ty(&self) -> FrameType {
        match self {
            Self::Offer { .. } => FrameType::BulkOffer,
            Self::Chunk { .. } => FrameType::BulkChunk,
            Self::Credit { .. } => FrameType::BulkCredit,
            Self::End { .. } => FrameType::BulkEnd,
            Self::Stop { .. } => FrameType::BulkStop,
        }
    }
}

impl BulkStop {
    const fn code(self) -> u8 {
        match self {
            Self::Complete { .. } => 0,
            Self::Cancelled => 1,
            Self::Expired => 2,
            Self::Released => 3,
        }
    }
}

fn decode_offer(id: BulkId, mut payload: Bytes) -> Result<BulkFrame, DecodeError> {
    let bytes = number(&mut payload)?;
    within("bulk content", bytes as usize, BULK_BYTES_MAX)?;
    if payload.len() < 2 {
        return Err(DecodeError::Truncated("bulk frame"));
    }
    let kind = payload.get_u16_le();
    within("bulk metadata", payload.len(), BULK_METADATA_BYTES_MAX)?;
    // What is kept for long keeps no transport message alive.
    let metadata = Bytes::copy_from_slice(&payload);
    Ok(BulkFrame::Offer { id, offer: BulkOffer { kind, bytes, metadata } })
}

fn decode_chunk(id: BulkId, mut payload: Bytes) -> Result<BulkFrame, DecodeError> {
    let offset = number(&mut payload)?;
    if payload.is_empty() {
        return Err(DecodeError::Truncated("bulk chunk"));
    }
    within("bulk chunk", payload.len(), BULK_CHUNK_BYTES_MAX)?;
    Ok(BulkFrame::Chunk { id, offset, content: payload })
}

fn decode_end(code: u8) -> Result<BulkEnd, DecodeError> {
    use BulkEnd::{Cancelled, Damaged, Expired, Received, Refused};
    let all = [Received, Refused, Cancelled, Expired, Damaged];
    let end = all.get(usize::from(code)).copied();
    end.ok_or(DecodeError::Invalid { what: "end of a bulk transfer", value: code.into() })
}

fn decode_stop(payload: &mut Bytes) -> Result<BulkStop, DecodeError> {
    match byte(payload)? {
        0 => Ok(BulkStop::Complete { checksum: number(payload)? }),
        1 => Ok(BulkStop::Cancelled),
        2 => Ok(BulkStop::Expired),
        3 => Ok(BulkStop::Released),
        code => Err(DecodeError::Invalid { what: "stop of a bulk transfer", value: code.into() }),
    }
}

fn number(payload: &mut Bytes) -> Result<u32, DecodeError> {
    if payload.len() < 4 {
        return Err(DecodeError::Truncated("bulk frame"));
    }
    Ok(payload.get_u32_le())
}

fn byte(payload: &mut Bytes) -> Result<u8, DecodeError> {
    if payload.is_empty() {
        return Err(DecodeError::Truncated("bulk frame"));
    }
    Ok(payload.get_u8())
}

fn within(what: &'static str, value: usize, limit: usize) -> Result<(), DecodeError> {
    if value > limit {
        return Err(DecodeError::TooLarge { what, value: value as u64, limit: limit as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::frames;
    use proptest::prelude::*;

    const TYPES: [FrameType; 5] = [
        FrameType::BulkOffer,
        FrameType::BulkChunk,
        FrameType::BulkCredit,
        FrameType::BulkEnd,
        FrameType::BulkStop,
    ];

    fn payload(frame: &BulkFrame) -> Bytes {
        let mut out = Vec::new();
        frame.encode(&mut out);
        frames(out.into()).next().unwrap().unwrap().payload
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(
            ty in prop::sample::select(&TYPES[..]), mut bytes in prop::collection::vec(any::<u8>(), 0..40), small in any::<bool>()
        ) {
            // Lengths and codes that may be right, half of the time.
            if small {
                bytes.iter_mut().skip(4).for_each(|byte| *byte &= 3);
            }
            if let Ok(frame) = BulkFrame::decode(ty, bytes.clone().into()) {
                prop_assert_eq!(&payload(&frame)[..], &bytes);
            }
        }
    }

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let id = BulkId(7);
        let offer = BulkOffer { kind: 9, bytes: 1 << 24, metadata: Bytes::from_static(b"map.bin") };
        for (ty, frame) in TYPES.into_iter().zip([
            BulkFrame::Offer { id, offer },
            BulkFrame::Chunk { id, offset: 70_000, content: Bytes::from(vec![5; BULK_CHUNK_BYTES_MAX]) },
            BulkFrame::Credit { id, received: 3, limit: u32::MAX },
            BulkFrame::End { id, end: BulkEnd::Damaged },
            BulkFrame::Stop { id, stop: BulkStop::Complete { checksum: 0x1234_5678 } },
        ]) {
            assert_eq!(BulkFrame::decode(ty, payload(&frame)), Ok(frame));
        }
        for stop in [BulkStop::Cancelled, BulkStop::Expired, BulkStop::Released] {
            let frame = BulkFrame::Stop { id, stop };
            assert_eq!(BulkFrame::decode(FrameType::BulkStop, payload(&frame)), Ok(frame));
        }
    }

    #[test]
    fn what_breaks_a_limit_is_refused_by_name() {
        let fault =
            |ty, bytes: &[u8]| BulkFrame::decode(ty, Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
        let offer = [&[0, 0, 0, 0, 1, 0, 0, 1, 0, 0][..]].concat();
        assert_eq!(
            fault(FrameType::BulkOffer, &offer),
            "bulk content: 16777217 is above the limit of 16777216"
        );
        let wordy = [&[0; 10][..], &[7; 257]].concat();
        assert_eq!(fault(FrameType::BulkOffer, &wordy), "bulk metadata: 257 is above the limit of 256");
        assert_eq!(fault(FrameType::BulkChunk, &[0; 8]), "truncated in bulk chunk");
        assert_eq!(
            fault(FrameType::BulkChunk, &vec![0; 8 + BULK_CHUNK_BYTES_MAX + 1]),
            "bulk chunk: 16385 is above the limit of 16384"
        );
        assert_eq!(fault(FrameType::BulkEnd, &[0, 0, 0, 0, 5]), "end of a bulk transfer: 5 has no meaning");
        assert_eq!(fault(FrameType::BulkStop, &[0, 0, 0, 0, 4]), "stop of a bulk transfer: 4 has no meaning");
        assert_eq!(fault(FrameType::BulkStop, &[0, 0, 0, 0, 1, 0]), "trailing bytes after bulk frame");
    }
}
