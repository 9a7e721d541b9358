//! From bytes to what a client says: pure, handed bytes as they come.

use std::io::Cursor;

use bytes::{Buf as _, Bytes, BytesMut};
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, FRAMES_PER_TICK_MAX};
use tickwire_protocol::{CloseCode, DecodeError, Misbehavior, PeerFault};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{
    CloseCode as WsCloseCode, Control, Data, OpCode,
};

/// The payload of a control frame is at most this long (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// Free space to read into: dozens of inputs. Buffers are per connection, so this is most of what an idle one costs.
const READ_BYTES: usize = 1024;

/// Below this much free space a new buffer is made; a read of less would cut the next input in two.
const READ_BYTES_MIN: usize = 128;

/// Something that a client said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Received {
    /// A binary message, whole.
    Message(Bytes),
    /// Part of something, of which the end has not come.
    Part,
    /// It wants this back in a pong.
    Ping(Bytes),
    /// It closes the connection, and is to be answered with this code.
    Close(CloseCode),
}

/// Takes in a client's bytes in any portions, gives out what it said.
///
/// Holds at most one message of [`CLIENT_MESSAGE_BYTES_MAX`] and what was read behind it.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: BytesMut,
    /// The beginning of a message that comes in fragments.
    fragments: Option<BytesMut>,
    /// Frames since something was said: pongs that nobody asked for, and pieces of a message.
    idle: u32,
}

/// The bytes are no WebSocket.
const fn damaged() -> PeerFault {
    PeerFault::Malformed(DecodeError::Damaged("WebSocket frame"))
}

impl Frames {
    /// Where bytes are to be appended; there is space in it.
    pub(super) fn space(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
            // Takes the old one again if the room is done with all messages in it.
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }

    /// The next thing that was said, if all of it is there. After a fault nothing more can be understood.
    pub(super) fn next(&mut self) -> Result<Option<Received>, PeerFault> {
        loop {
            let Some((opcode, is_final, payload)) = self.next_frame()? else { return Ok(None) };
            // What says nothing reaches nobody who would count it.
            self.idle += 1;
            if self.idle > FRAMES_PER_TICK_MAX {
                return Err(Misbehavior::Flood(FRAMES_PER_TICK_MAX).into());
            }
            match opcode {
                OpCode::Control(Control::Ping) => {
                    return Ok(Some(self.said(Received::Ping(payload.freeze()))));
                }
                OpCode::Control(Control::Close) => return Ok(Some(Received::Close(answer(&payload)?))),
                OpCode::Control(_) => {}
                OpCode::Data(_) => {
                    let whole = match self.fragments.take() {
                        Some(mut start) => {
                            start.extend_from_slice(&payload);
                            start
                        }
                        // A copy, because the buffer goes on behind it.
                        None if !is_final => BytesMut::from(&payload[..]),
                        None => payload,
                    };
                    if is_final {
                        return Ok(Some(self.said(Received::Message(whole.freeze()))));
                    }
                    self.fragments = Some(whole);
                }
            }
        }
    }

    fn said(&mut self, received: Received) -> Received {
        self.idle = 0;
        received
    }

    /// Takes a whole frame out of the buffer, unmasked.
    fn next_frame(&mut self) -> Result<Option<(OpCode, bool, BytesMut)>, PeerFault> {
        let mut cursor = Cursor::new(&self.buffer[..]);
        let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|_| damaged())? else {
            return Ok(None);
        };
        let header_bytes = cursor.position() as usize;
        let mask = self.check(&header, length)?;
        let frame_bytes = header_bytes + length as usize;
        if self.buffer.len() < frame_bytes {
            self.buffer.reserve(frame_bytes - self.buffer.len());
            return Ok(None);
        }
        let mut payload = self.buffer.split_to(frame_bytes);
        payload.advance(header_bytes);
        payload.iter_mut().enumerate().for_each(|(index, byte)| *byte ^= mask[index % 4]);
        Ok(Some((header.opcode, header.is_final, payload)))
    }

    /// Whether a frame may come now, by its header alone, so that nobody is listened to for longer than that; its mask.
    fn check(&self, header: &FrameHeader, length: u64) -> Result<[u8; 4], PeerFault> {
        let is_reserved = header.rsv1 || header.rsv2 || header.rsv3;
        let mask = header.mask.filter(|_| !is_reserved).ok_or(damaged())?;
        let started = self.fragments.as_ref().map(|start| start.len() as u64);
        match header.opcode {
            OpCode::Data(Data::Text) => Err(PeerFault::Text),
            OpCode::Data(Data::Binary) if started.is_some() => Err(damaged()),
            OpCode::Data(Data::Continue) if started.is_none() => Err(damaged()),
            OpCode::Data(_) if length > CLIENT_MESSAGE_BYTES_MAX as u64 - started.unwrap_or(0) => {
                Err(PeerFault::Oversized)
            }
            OpCode::Control(_) if !header.is_final || length > CONTROL_BYTES_MAX => Err(damaged()),
            OpCode::Data(_) | OpCode::Control(_) => Ok(mask),
        }
    }
}

/// With which code a close frame is answered: its own.
fn answer(payload: &[u8]) -> Result<CloseCode, PeerFault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(CloseCode::NORMAL) } else { Err(damaged()) };
    };
    let code = u16::from_be_bytes(*code);
    let is_good = WsCloseCode::from(code).is_allowed() && str::from_utf8(reason).is_ok();
    if is_good { Ok(CloseCode(code)) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASK: [u8; 4] = [1, 2, 3, 250];
    const BINARY: OpCode = OpCode::Data(Data::Binary);
    const CONTINUE: OpCode = OpCode::Data(Data::Continue);

    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { is_final, opcode, mask: Some(MASK), ..FrameHeader::default() };
        let mut out = Vec::new();
        header.format(payload.len() as u64, &mut out).unwrap();
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn control(control: Control, payload: &[u8]) -> Vec<u8> {
        frame(OpCode::Control(control), true, payload)
    }

    /// What is understood of bytes that come in portions of this size, and how it ended.
    fn read(bytes: &[u8], portion: usize) -> (Vec<Received>, Result<(), PeerFault>) {
        let (mut frames, mut received) = (Frames::default(), Vec::new());
        for portion in bytes.chunks(portion) {
            frames.space().extend_from_slice(portion);
            loop {
                match frames.next() {
                    Ok(Some(next)) => received.push(next),
                    Ok(None) => break,
                    Err(fault) => return (received, Err(fault)),
                }
            }
        }
        (received, Ok(()))
    }

    fn message(payload: &[u8]) -> Received {
        Received::Message(Bytes::copy_from_slice(payload))
    }

    #[test]
    fn the_same_is_understood_however_the_bytes_are_cut() {
        let long: Vec<u8> = (0..CLIENT_MESSAGE_BYTES_MAX).map(|index| index as u8).collect();
        let bytes = [
            frame(BINARY, true, b"one"),
            frame(BINARY, false, b"t"),
            control(Control::Ping, b"?"),
            frame(CONTINUE, false, b""),
            control(Control::Pong, b"unasked"),
            frame(CONTINUE, true, b"wo"),
            frame(BINARY, true, &long),
            frame(BINARY, true, b""),
            control(Control::Close, &[3, 233, b'b', b'y', b'e']),
        ]
        .concat();
        let expected = vec![
            message(b"one"),
            Received::Ping(Bytes::from_static(b"?")),
            message(b"two"),
            message(&long),
            message(b""),
            Received::Close(CloseCode::GOING_AWAY),
        ];
        for portion in [1, 2, 3, 7, 64, 1000, bytes.len()] {
            assert_eq!(read(&bytes, portion), (expected.clone(), Ok(())), "{portion} bytes at a time");
        }
    }

    #[test]
    fn what_breaks_the_law_is_known_by_its_header() {
        let reserved = |bit: u8| {
            let mut frame = frame(BINARY, true, b"x");
            frame[0] |= bit;
            frame
        };
        let header_of = |mut frame: Vec<u8>, bytes: usize| {
            frame.truncate(bytes);
            frame
        };
        let unmasked = vec![0x82, 1, 0];
        let big = vec![0; CLIENT_MESSAGE_BYTES_MAX + 1];
        let half = &big[..=big.len() / 2];
        let cases: Vec<(&str, Vec<u8>, PeerFault)> = vec![
            ("text", header_of(frame(OpCode::Data(Data::Text), true, b"hello"), 6), PeerFault::Text),
            ("too long", header_of(frame(BINARY, true, &big), 8), PeerFault::Oversized),
            ("2^63 long", [&[0x82, 0xff, 0x80][..], &[0; 11]].concat(), PeerFault::Oversized),
            (
                "too long in fragments",
                [frame(BINARY, false, half), header_of(frame(CONTINUE, true, half), 8)].concat(),
                PeerFault::Oversized,
            ),
            ("unmasked", unmasked, damaged()),
            ("rsv1", reserved(0x40), damaged()),
            ("rsv2", reserved(0x20), damaged()),
            ("rsv3", reserved(0x10), damaged()),
            ("opcode 3", vec![0x83, 0x80, 0, 0, 0, 0], damaged()),
            ("opcode 11", vec![0x8b, 0x80, 0, 0, 0, 0], damaged()),
            ("a continuation of nothing", frame(CONTINUE, true, b"x"), damaged()),
            (
                "a beginning inside",
                [frame(BINARY, false, b"x"), frame(BINARY, true, b"x")].concat(),
                damaged(),
            ),
            ("a ping in fragments", frame(OpCode::Control(Control::Ping), false, b""), damaged()),
            ("a ping of 126 bytes", header_of(control(Control::Ping, &[0; 126]), 8), damaged()),
            ("half a close code", control(Control::Close, &[3]), damaged()),
            ("a close code that is none", control(Control::Close, &[0, 1]), damaged()),
            ("a close reason that is no text", control(Control::Close, &[3, 232, 0xff]), damaged()),
        ];
        for (name, bytes, fault) in cases {
            for portion in [1, bytes.len()] {
                assert_eq!(read(&bytes, portion).1, Err(fault), "{name}, {portion} bytes at a time");
            }
        }
    }

    proptest! {
        #[test]
        fn of_whatever_bytes_the_same_is_understood_however_they_are_cut(
            kinds in prop::collection::vec((0..16_u8, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            flip in prop::option::of((any::<prop::sample::Index>(), 0..8_u32)),
            portion in 1..30_usize,
        ) {
            let mut bytes: Vec<u8> = kinds
                .iter()
                .flat_map(|(opcode, is_final, payload)| frame(OpCode::from(*opcode), *is_final, payload))
                .collect();
            if let Some((index, bit)) = flip
                && !bytes.is_empty()
            {
                let index = index.index(bytes.len());
                bytes[index] ^= 1 << bit;
            }
            let whole = read(&bytes, bytes.len().max(1));
            prop_assert_eq!(read(&bytes, portion), whole);
        }
    }

    #[test]
    fn a_close_without_a_code_is_answered_with_an_ordinary_one() {
        let (received, ended) = read(&control(Control::Close, &[]), 3);
        assert_eq!((received, ended), (vec![Received::Close(CloseCode::NORMAL)], Ok(())));
    }

    #[test]
    fn one_buffer_serves_as_long_as_nobody_keeps_messages() {
        let mut frames = Frames::default();
        let input = frame(BINARY, true, &[7; 40]);
        for _ in 0..10_000 {
            frames.space().extend_from_slice(&input);
            assert_eq!(frames.next(), Ok(Some(message(&[7; 40]))));
        }
        assert!(frames.space().capacity() <= 2 * READ_BYTES, "{}", frames.space().capacity());
    }
}
