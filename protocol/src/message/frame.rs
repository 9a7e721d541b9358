//! The frames that carry messages and tell what has come.
//!
//! ```text
//!  MESSAGE       2 x type + is block: varint | number: 16 (reliable, latest) | key: varint (latest) | decoded bytes: varint (a block) | body or block
//!  MESSAGE_ACK   lanes: 8 | a number of 16 for each     one past the newest number that was polled
//! ```
//!
//! Varints are LEB128 in their shortest form, numbers little-endian. A number is the low half of a count from 0; both sides
//! are never so far apart that it could be another.

use bytes::{Buf, Bytes};

use super::body::MessageBody;
use super::lane::Lane;
use super::types::{MessageClass, MessageTerms, MessageTypeId};
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame_with};
use crate::schema::Schema;

/// What the receiver's game has polled of each lane that is told of: one past the newest number, its low 16 bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MessageAck([Option<u16>; Lane::COUNT]);

impl MessageAck {
    /// Tells of a lane as well.
    #[must_use]
    pub fn with(mut self, lane: Lane, next: u64) -> Self {
        self.0[lane as usize] = Some(next as u16);
        self
    }

    /// What it tells of a lane, if it does.
    pub fn of(&self, lane: Lane) -> Option<u16> {
        self.0[lane as usize]
    }

    /// Appends a MESSAGE_ACK frame: 5 bytes for one lane, and 2 for each other.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame_with(out, FrameType::MessageAck, |out| {
            let lanes = (0..Lane::COUNT).filter(|&lane| self.0[lane].is_some());
            out.push(lanes.fold(0, |bits, lane| bits | 1 << lane));
            self.0.iter().flatten().for_each(|low| out.extend_from_slice(&low.to_le_bytes()));
        });
    }

    /// Reads the payload of a MESSAGE_ACK frame.
    pub fn decode(mut payload: &[u8]) -> Result<Self, DecodeError> {
        let lanes = payload.try_get_u8().map_err(|_| DecodeError::Truncated("message ack"))?;
        if lanes == 0 || lanes >> Lane::COUNT != 0 {
            return Err(DecodeError::Invalid { what: "lanes of a message ack", value: u64::from(lanes) });
        }
        let mut ack = Self::default();
        for (_, told) in ack.0.iter_mut().enumerate().filter(|(lane, _)| lanes >> lane & 1 == 1) {
            *told = Some(payload.try_get_u16_le().map_err(|_| DecodeError::Truncated("message ack"))?);
        }
        if payload.is_empty() { Ok(ack) } else { Err(DecodeError::Trailing("message ack")) }
    }
}

/// One message as it travels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageFrame {
    /// What it is.
    pub ty: MessageTypeId,
    /// The low 16 bits of its number among those of its class; 0 if it is unreliable.
    pub number: u16,
    /// Which of its type, if only the newest of each counts; otherwise 0.
    pub key: u32,
    /// What the game says.
    pub body: MessageBody,
}

impl MessageFrame {
    /// Appends a MESSAGE frame.
    pub fn encode(&self, class: MessageClass, out: &mut Vec<u8>) {
        let Self { ty, number, key, ref body } = *self;
        write_message((ty, class), number, key, body, out);
    }

    /// Reads the payload of a MESSAGE frame, and finds its type.
    pub fn decode(mut payload: Bytes, schema: &Schema) -> Result<(MessageTerms, Self), DecodeError> {
        let head = read_varint(&mut payload)?;
        let (value, is_block) = (head >> 1, head & 1 == 1);
        let ty = u16::try_from(value).ok().and_then(|id| MessageTerms::find(schema, MessageTypeId(id)));
        let ty = ty.ok_or(DecodeError::Invalid { what: "message type", value: u64::from(value) })?;
        let mut frame = Self { ty: ty.id, number: 0, key: 0, body: MessageBody::default() };
        if ty.class != MessageClass::Unreliable {
            if payload.len() < 2 {
                return Err(DecodeError::Truncated("message number"));
            }
            frame.number = payload.get_u16_le();
        }
        if ty.class == MessageClass::Latest {
            frame.key = read_varint(&mut payload)?;
        }
        frame.body = MessageBody::read(payload, is_block, ty.bytes_max)?;
        Ok((ty, frame))
    }
}

/// Appends a MESSAGE frame.
pub(super) fn write_message(
    (ty, class): (MessageTypeId, MessageClass),
    number: u16,
    key: u32,
    body: &MessageBody,
    out: &mut Vec<u8>,
) {
    write_frame_with(out, FrameType::Message, |out| {
        write_varint(out, u32::from(ty.0) << 1 | u32::from(body.is_block()));
        if class != MessageClass::Unreliable {
            out.extend_from_slice(&number.to_le_bytes());
        }
        if class == MessageClass::Latest {
            write_varint(out, key);
        }
        body.write(out);
    });
}

/// Most bytes that a message takes beside its body: the frame's header, type, number and key.
pub(super) const OVERHEAD_BYTES_MAX: usize = crate::frame::HEADER_BYTES_MAX + 3 + 2 + VARINT_BYTES_MAX;

pub(super) const VARINT_BYTES_MAX: usize = 5;

pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn read_varint(bytes: &mut Bytes) -> Result<u32, DecodeError> {
    let mut value = 0_u64;
    for place in 0..VARINT_BYTES_MAX {
        let byte = bytes.first().copied().ok_or(DecodeError::Truncated("message"))?;
        bytes.advance(1);
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let is_shortest = byte != 0 || place == 0;
            let number = u32::try_from(value).ok().filter(|_| is_shortest);
            return number.ok_or(DecodeError::Invalid { what: "number in a message", value });
        }
    }
    Err(DecodeError::Invalid { what: "number in a message", value })
}

/// The number nearest to `near` whose low half this is; nothing if that would be before the first.
pub(super) fn expand(low: u16, near: u64) -> Option<u64> {
    near.checked_add_signed(i64::from(low.wrapping_sub(near as u16) as i16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Direction, MessageType};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn schema() -> Arc<Schema> {
        let ty = |id, name, class| MessageType::new(MessageTypeId(id), name, Direction::BothWays, class, 40);
        Schema::builder("messages")
            .message(ty(0, "reliable", MessageClass::Reliable))
            .message(ty(1, "latest", MessageClass::Latest))
            .message(ty(2, "unreliable", MessageClass::Unreliable))
            .build()
            .unwrap()
    }

    fn encoded(frame: &MessageFrame) -> Bytes {
        let mut out = Vec::new();
        let class = MessageTerms::find(&schema(), frame.ty).unwrap().class;
        frame.encode(class, &mut out);
        Bytes::from(out.split_off(2))
    }

    proptest! {
        #[test]
        fn messages_arrive_as_they_were_sent(
            ty in 0..3_u16, number in any::<u16>(), key in any::<u32>(), body in prop::collection::vec(any::<u8>(), 0..41)
        ) {
            let number = if ty == 2 { 0 } else { number };
            let key = if ty == 1 { key } else { 0 };
            let frame = MessageFrame { ty: MessageTypeId(ty), number, key, body: body.into() };
            let schema = schema();
            let (told, read) = MessageFrame::decode(encoded(&frame), &schema).unwrap();
            prop_assert_eq!((told.id, read), (frame.ty, frame));
        }

        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
            let schema = schema();
            if let Ok((_, frame)) = MessageFrame::decode(bytes.clone().into(), &schema) {
                prop_assert_eq!(&encoded(&frame)[..], &bytes);
            }
            if let Ok(ack) = MessageAck::decode(&bytes) {
                let mut out = Vec::new();
                ack.encode(&mut out);
                prop_assert_eq!(&out[2..], &bytes);
            }
        }

        #[test]
        fn a_number_is_found_from_its_low_half(near in 0..1_u64 << 40, away in -32_768..32_768_i64) {
            let number = near.checked_add_signed(away);
            let low = near.wrapping_add_signed(away) as u16;
            prop_assert_eq!(expand(low, near), number);
        }
    }

    #[test]
    fn what_the_schema_does_not_allow_is_refused_by_name() {
        let schema = schema();
        let fault = |bytes: &[u8]| {
            MessageFrame::decode(Bytes::copy_from_slice(bytes), &schema).unwrap_err().to_string()
        };
        assert_eq!(fault(&[]), "truncated in message");
        assert_eq!(fault(&[6]), "message type: 3 has no meaning");
        assert_eq!(fault(&[0x83, 0]), "number in a message: 3 has no meaning");
        assert_eq!(fault(&[0, 9]), "truncated in message number");
        assert_eq!(fault(&[2, 0, 0]), "truncated in message");
        assert_eq!(
            fault(&[2, 0, 0, 255, 255, 255, 255, 31]),
            "number in a message: 8589934591 has no meaning"
        );
        assert_eq!(fault(&[&[4][..], &[7; 41]].concat()), "message body: 41 is above the limit of 40");
    }
}
