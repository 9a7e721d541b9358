//! How frames lie in a transport message: `length: varint | type: u8 | payload`.
//!
//! ```text
//!  message (WebSocket message, datagram):  [len|ty|payload][len|ty|payload]...   one frame or more
//!  byte stream (TCP):                      the same, without an end
//! ```
//!
//! The length counts the payload; it is a LEB128 varint in its shortest form, at most 3 bytes. Types from 128 on
//! that the receiver does not know are skipped (extensions), unknown ones below are a fault. Payloads are slices of
//! the received buffer: nothing is copied.
//!
//! Types from 64 to 127 are short snapshots: the type is the first byte of the snapshot as well, and tells its tick. The
//! payload that is handed out begins with it.
//!
//! Invariants: no frame is handed out whose length or type is not allowed; behind the first fault nothing is.
//! What a payload means, and who may send which frame when, is decided elsewhere.

use core::fmt;
use core::iter::FusedIterator;

use bytes::{Buf, Bytes, BytesMut};

use crate::fault::DecodeError;
use crate::limits::{FRAME_BYTES_MAX, FRAMES_PER_MESSAGE_MAX};

/// What a frame is. Types from 128 on are extensions and have no name here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum FrameType {
    /// Client: the first frame of a connection; see [`Hello`](crate::handshake::Hello).
    Hello = 1,
    /// Server: the hello is accepted; see [`Welcome`](crate::handshake::Welcome).
    Welcome = 2,
    /// Server: the hello is refused; see [`RejectReason`](crate::handshake::RejectReason).
    Reject = 3,
    /// Client: asks for the time; see [`Ping`](crate::ping::Ping).
    Ping = 4,
    /// Server: tells the time; see [`Pong`](crate::ping::Pong).
    Pong = 5,
    /// Client: inputs of consecutive ticks; see [`InputFrame`](crate::input::InputFrame).
    Input = 6,
    /// Client: which snapshots were applied; see [`Ack`](crate::ack::Ack).
    Ack = 7,
    /// Server: state.
    Snapshot = 8,
    /// Client: asks to be sent less; see [`Budget`](crate::budget::Budget).
    Budget = 9,
    /// Either: what a game says; see [`MessageFrame`](crate::message::MessageFrame).
    Message = 10,
    /// Either: which messages were polled; see [`MessageAck`](crate::message::MessageAck).
    MessageAck = 11,
    /// Client: a newer token. Server: what it is worth; see [`Auth`](crate::handshake::Auth).
    Auth = 12,
    /// Server: which groups the player is in, by change; see [`GroupsFrame`](crate::room::GroupsFrame).
    Groups = 13,
    /// Server: who is in the room, by change; see [`MembersFrame`](crate::room::MembersFrame).
    Members = 18,
    /// Server: how the match stands, by change; see [`MatchFrame`](crate::room::MatchFrame).
    Match = 19,
    /// Client: what it says of itself from now on; see [`Profile`](crate::room::Profile).
    Profile = 20,
    /// Client: which rooms are there? Before its hello; see [`ListRooms`](crate::room::ListRooms).
    List = 21,
    /// Server: these are; see [`RoomList`](crate::room::RoomList).
    Rooms = 22,
    /// Client: it is paused, or no longer; see [`Pause`](crate::pause::Pause).
    Pause = 23,
    /// Either: something large that the other side may have; see [`BulkFrame`](crate::bulk::BulkFrame) for this and the next four.
    BulkOffer = 25,
    /// The offering side: a piece of what was accepted.
    BulkChunk = 26,
    /// The receiving side: what it has, and how much more may come; the first one accepts.
    BulkCredit = 27,
    /// The receiving side: it has all, or wants no more.
    BulkEnd = 28,
    /// The offering side: nothing more comes.
    BulkStop = 29,
}

impl FrameType {
    /// Every type that this version knows.
    pub const ALL: [Self; 24] = [
        Self::Hello,
        Self::Welcome,
        Self::Reject,
        Self::Ping,
        Self::Pong,
        Self::Input,
        Self::Ack,
        Self::Snapshot,
        Self::Budget,
        Self::Message,
        Self::MessageAck,
        Self::Auth,
        Self::Groups,
        Self::Members,
        Self::Match,
        Self::Profile,
        Self::List,
        Self::Rooms,
        Self::Pause,
        Self::BulkOffer,
        Self::BulkChunk,
        Self::BulkCredit,
        Self::BulkEnd,
        Self::BulkStop,
    ];

    /// Whether it is one of a bulk transfer.
    pub const fn is_bulk(self) -> bool {
        matches!(self, Self::BulkOffer | Self::BulkChunk | Self::BulkCredit | Self::BulkEnd | Self::BulkStop)
    }

    /// Its name in documents and tools.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Welcome => "WELCOME",
            Self::Reject => "REJECT",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Input => "INPUT",
            Self::Ack => "ACK",
            Self::Snapshot => "SNAPSHOT",
            Self::Budget => "BUDGET",
            Self::Message => "MESSAGE",
            Self::MessageAck => "MESSAGE_ACK",
            Self::Auth => "AUTH",
            Self::Groups => "GROUPS",
            Self::Members => "MEMBERS",
            Self::Match => "MATCH",
            Self::Profile => "PROFILE",
            Self::List => "LIST",
            Self::Rooms => "ROOMS",
            Self::Pause => "PAUSE",
            Self::BulkOffer => "BULK_OFFER",
            Self::BulkChunk => "BULK_CHUNK",
            Self::BulkCredit => "BULK_CREDIT",
            Self::BulkEnd => "BULK_END",
            Self::BulkStop => "BULK_STOP",
        }
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<u8> for FrameType {
    type Error = DecodeError;

    fn try_from(number: u8) -> Result<Self, DecodeError> {
        Self::ALL.into_iter().find(|&ty| ty as u8 == number).ok_or(DecodeError::UnknownFrame(number))
    }
}

/// One frame: what it is, and its payload as a slice of the buffer in which it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it is.
    pub ty: FrameType,
    /// Its content, at most [`FRAME_BYTES_MAX`] bytes; that of a short snapshot with the type in front, a byte more.
    pub payload: Bytes,
}

/// The frames of one transport message, in order. A message without any frame is a fault.
pub fn frames(message: Bytes) -> Frames {
    Frames { rest: message, taken: 0 }
}

/// Takes the frames of one message apart; ends behind the first fault. Made by [`frames`].
#[derive(Clone, Debug)]
pub struct Frames {
    rest: Bytes,
    /// Frames taken so far, skipped ones included.
    taken: usize,
}

impl Frames {
    fn take_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        while self.taken == 0 || !self.rest.is_empty() {
            if self.taken == FRAMES_PER_MESSAGE_MAX {
                let (value, limit) = (self.taken as u64 + 1, FRAMES_PER_MESSAGE_MAX as u64);
                return Err(DecodeError::TooLarge { what: "frames in a message", value, limit });
            }
            let header = Header::read(&self.rest)?.ok_or(DecodeError::Truncated("frame header"))?;
            if self.rest.len() < header.frame_bytes() {
                return Err(DecodeError::Truncated("frame payload"));
            }
            self.taken += 1;
            let bytes = self.rest.split_to(header.frame_bytes());
            if let Some(frame) = header.frame(bytes)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.take_frame();
        if item.is_err() {
            self.rest.clear();
            self.taken = self.taken.max(1);
        }
        item.transpose()
    }
}

impl FusedIterator for Frames {}

/// Takes the first whole frame from the front of a byte stream's buffer; nothing while it is not all there.
///
/// A buffer of [`FRAME_BYTES_MAX`] + [`HEADER_BYTES_MAX`] bytes holds any frame: who reads the stream need never let it
/// grow beyond. A length or a type that is not allowed is refused as soon as its byte is there. After a fault the
/// next frame cannot be found: the stream must be closed.
pub fn split_frame(buffer: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
    while let Some(header) = Header::read(buffer)? {
        if buffer.len() < header.frame_bytes() {
            break;
        }
        let bytes = buffer.split_to(header.frame_bytes()).freeze();
        if let Some(frame) = header.frame(bytes)? {
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

/// Most bytes that stand before a payload: a varint of 3 and the type.
pub const HEADER_BYTES_MAX: usize = 4;

/// Bytes of a frame with `payload_bytes` of payload, header included; a short snapshot has one less.
pub const fn frame_len(payload_bytes: usize) -> usize {
    length_bytes(payload_bytes) + 1 + payload_bytes
}

/// Appends a frame.
///
/// # Panics
/// If the payload is above [`FRAME_BYTES_MAX`]: frames are kept below it where they are made.
pub fn write_frame(out: &mut Vec<u8>, ty: FrameType, payload: &[u8]) {
    write_frame_with(out, ty, |out| out.extend_from_slice(payload));
}

/// Appends a frame whose payload `write` appends: nothing is copied, and its length need not be known before.
///
/// # Panics
/// As [`write_frame`].
pub fn write_frame_with(out: &mut Vec<u8>, ty: FrameType, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, ty as u8]);
    write(out);
    let is_short = ty == FrameType::Snapshot && out.get(start + 2).is_some_and(|&first| is_short(first));
    if is_short {
        out.remove(start + 1);
    }
    let length = Length::of(out.len() - start - 2);
    let length = length.as_slice();
    // One byte of length was set aside, enough for what is sent most; longer payloads move by one byte or two.
    if let Some(more) = length.get(1..).filter(|more| !more.is_empty()) {
        let end = out.len();
        out.extend_from_slice(more);
        out.copy_within(start + 1..end, start + length.len());
    }
    out[start..start + length.len()].copy_from_slice(length);
}

/// Whether a type is that of a short snapshot.
const fn is_short(ty: u8) -> bool {
    ty & 0xc0 == SHORT_SNAPSHOT
}

/// The first type of a short snapshot.
pub(crate) const SHORT_SNAPSHOT: u8 = 64;

/// What stands before a payload.
struct Header {
    /// Nothing if it is an extension to be skipped.
    ty: Option<FrameType>,
    is_short: bool,
    /// Its own bytes.
    bytes: usize,
    payload_bytes: usize,
}

impl Header {
    /// The header at the start of `bytes`, or nothing if it goes on behind their end.
    fn read(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut payload_bytes = 0;
        for (place, &byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
            payload_bytes |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 != 0 {
                continue;
            }
            let value = payload_bytes as u64;
            if byte == 0 && place > 0 {
                return Err(DecodeError::Invalid { what: "frame length in a longer form", value });
            }
            if payload_bytes > FRAME_BYTES_MAX {
                return Err(too_long(value));
            }
            let Some(&number) = bytes.get(place + 1) else { return Ok(None) };
            let is_short = is_short(number);
            let ty = match number {
                FIRST_EXTENSION.. => None,
                _ if is_short => Some(FrameType::Snapshot),
                _ => Some(FrameType::try_from(number)?),
            };
            return Ok(Some(Self { ty, is_short, bytes: place + 2, payload_bytes }));
        }
        if bytes.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(too_long(payload_bytes as u64)) }
    }

    fn frame_bytes(&self) -> usize {
        self.bytes + self.payload_bytes
    }

    /// The frame whose bytes these are; nothing if it is to be skipped.
    fn frame(&self, mut bytes: Bytes) -> Result<Option<Frame>, DecodeError> {
        let Some(ty) = self.ty else { return Ok(None) };
        bytes.advance(self.bytes - usize::from(self.is_short));
        match bytes.first() {
            Some(&first) if ty == FrameType::Snapshot && is_short(first) && !self.is_short => {
                Err(DecodeError::Invalid { what: "short snapshot in a longer form", value: u64::from(first) })
            }
            _ => Ok(Some(Frame { ty, payload: bytes })),
        }
    }
}

#[cold]
fn too_long(value: u64) -> DecodeError {
    DecodeError::TooLarge { what: "frame length", value, limit: FRAME_BYTES_MAX as u64 }
}

/// A length as varint.
struct Length {
    bytes: [u8; LENGTH_BYTES_MAX],
    count: usize,
}

impl Length {
    fn of(payload_bytes: usize) -> Self {
        assert!(payload_bytes <= FRAME_BYTES_MAX, "a frame of {payload_bytes} bytes was made");
        let mut bytes = core::array::from_fn(|place| (payload_bytes >> (7 * place)) as u8 | 0x80);
        let count = length_bytes(payload_bytes);
        bytes[count - 1] &= 0x7f;
        Self { bytes, count }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

const fn length_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => LENGTH_BYTES_MAX,
    }
}

/// Bytes of the longest length.
const LENGTH_BYTES_MAX: usize = HEADER_BYTES_MAX - 1;

/// The first type that is skipped where it is not known.
const FIRST_EXTENSION: u8 = 128;

const _: () = assert!(FRAME_BYTES_MAX < 1 << (7 * LENGTH_BYTES_MAX));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(message: &[u8]) -> Result<Vec<Frame>, DecodeError> {
        frames(Bytes::copy_from_slice(message)).collect()
    }

    fn frame(ty: FrameType, payload: &[u8]) -> Frame {
        Frame { ty, payload: Bytes::copy_from_slice(payload) }
    }

    /// An extension frame of 3 bytes.
    const EXTENSION: [u8; 3] = [1, 200, 7];

    #[test]
    fn lengths_take_the_bytes_that_they_need() {
        for (payload_bytes, header) in
            [(0, 2), (1, 2), (127, 2), (128, 3), (16_383, 3), (16_384, 4), (FRAME_BYTES_MAX, 4)]
        {
            let mut plain = Vec::new();
            write_frame(&mut plain, FrameType::Snapshot, &vec![9; payload_bytes]);
            assert_eq!(plain.len(), payload_bytes + header);
            assert_eq!(frame_len(payload_bytes), plain.len());
            let mut late = Vec::new();
            write_frame_with(&mut late, FrameType::Snapshot, |out| out.resize(out.len() + payload_bytes, 9));
            assert!(late == plain, "{payload_bytes}");
            let read = all(&plain).unwrap();
            assert_eq!((read.len(), read[0].payload.len()), (1, payload_bytes));
        }
    }

    #[test]
    fn extensions_are_skipped_and_count() {
        let message = [&EXTENSION[..], &[0, 7], &EXTENSION[..], &[1, 4, 5], &EXTENSION[..]].concat();
        assert_eq!(all(&message), Ok(vec![frame(FrameType::Ack, &[]), frame(FrameType::Ping, &[5])]));
        assert_eq!(all(&EXTENSION), Ok(Vec::new()));
        assert_eq!(all(&EXTENSION.repeat(FRAMES_PER_MESSAGE_MAX)), Ok(Vec::new()));
        assert!(matches!(
            all(&EXTENSION.repeat(FRAMES_PER_MESSAGE_MAX + 1)),
            Err(DecodeError::TooLarge { value: 65, .. })
        ));
    }

    #[test]
    fn what_is_not_allowed_is_refused_by_name() {
        let long = |value| DecodeError::TooLarge { what: "frame length", value, limit: 131_072 };
        for (bytes, fault) in [
            (&[][..], DecodeError::Truncated("frame header")),
            (&[0], DecodeError::Truncated("frame header")),
            (&[0x80, 0x80], DecodeError::Truncated("frame header")),
            (&[2, 4, 0], DecodeError::Truncated("frame payload")),
            (&[0, 0], DecodeError::UnknownFrame(0)),
            (&[0, 62], DecodeError::UnknownFrame(62)),
            (&[0, 63], DecodeError::UnknownFrame(63)),
            (&[1, 8, 64], DecodeError::Invalid { what: "short snapshot in a longer form", value: 64 }),
            (&[0x80, 0, 4], DecodeError::Invalid { what: "frame length in a longer form", value: 0 }),
            (&[0x84, 0x80, 0, 4], DecodeError::Invalid { what: "frame length in a longer form", value: 4 }),
            (&[0x81, 0x80, 8, 4], long(131_073)),
            (&[0x80, 0x80, 0x80, 0], long(0)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff], long(0x1f_ffff)),
        ] {
            assert_eq!(all(bytes), Err(fault), "{bytes:x?}");
        }
    }

    #[test]
    fn the_type_of_a_short_snapshot_is_its_first_byte() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, FrameType::Snapshot, &[100, 1, 2]);
        write_frame(&mut bytes, FrameType::Snapshot, &[127]);
        write_frame(&mut bytes, FrameType::Snapshot, &[63, 1]);
        assert_eq!(bytes, [2, 100, 1, 2, 0, 127, 2, 8, 63, 1]);
        let snapshot = |payload| frame(FrameType::Snapshot, payload);
        assert_eq!(all(&bytes), Ok(vec![snapshot(&[100, 1, 2]), snapshot(&[127]), snapshot(&[63, 1])]));
    }

    #[test]
    fn nothing_comes_behind_a_fault() {
        let mut parser = frames(Bytes::from_static(&[0, 7, 0, 62, 0, 7]));
        assert_eq!(parser.next(), Some(Ok(frame(FrameType::Ack, &[]))));
        assert_eq!(parser.next(), Some(Err(DecodeError::UnknownFrame(62))));
        assert_eq!(parser.next(), None);
        let mut parser = frames(Bytes::new());
        assert!(parser.next().is_some_and(|item| item.is_err()));
        assert_eq!(parser.next(), None);
    }

    #[test]
    fn payloads_are_slices_of_the_message() {
        let message = Bytes::from(vec![0, 7, 2, 4, 1, 2]);
        let payload = frames(message.clone()).nth(1).unwrap().unwrap().payload;
        assert_eq!(payload.as_ptr(), message[4..].as_ptr());
    }

    #[test]
    fn a_stream_is_refused_as_early_as_can_be() {
        for bytes in [&[0xff, 0xff, 0xff][..], &[5, 50], &[0x80, 0]] {
            assert!(split_frame(&mut BytesMut::from(bytes)).is_err(), "{bytes:x?}");
        }
    }

    fn any_frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
        let ty = prop_oneof![4 => 1..=8_u8, 1 => 64..128_u8, 1 => 128..=255_u8];
        let payload = prop_oneof![prop::collection::vec(any::<u8>(), 0..40), Just(vec![3; 300])];
        (ty, payload).prop_map(|(ty, mut payload): (u8, Vec<u8>)| {
            // A snapshot of the usual type does not begin like a short one.
            if let Some(first) = payload.first_mut().filter(|_| ty == FrameType::Snapshot as u8) {
                *first %= SHORT_SNAPSHOT;
            }
            (ty, payload)
        })
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_whole_or_in_pieces(
            sent in prop::collection::vec(any_frame(), 1..20), piece in 1..50_usize
        ) {
            let mut bytes = Vec::new();
            for (ty, payload) in &sent {
                bytes.extend_from_slice(Length::of(payload.len()).as_slice());
                bytes.push(*ty);
                bytes.extend_from_slice(payload);
            }
            let known: Vec<_> = sent.iter()
                .filter_map(|(ty, payload)| match ty {
                    64..128 => Some(frame(FrameType::Snapshot, &[&[*ty], &payload[..]].concat())),
                    _ => Some(frame(FrameType::try_from(*ty).ok()?, payload)),
                })
                .collect();
            prop_assert_eq!(&all(&bytes).unwrap(), &known);

            let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
            for part in bytes.chunks(piece) {
                buffer.extend_from_slice(part);
                while let Some(frame) = split_frame(&mut buffer).unwrap() {
                    got.push(frame);
                }
            }
            prop_assert_eq!(&got, &known);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(read) = all(&bytes) && bytes.iter().all(|&byte| byte < 128) {
                let mut again = Vec::new();
                for frame in &read {
                    write_frame(&mut again, frame.ty, &frame.payload);
                }
                prop_assert_eq!(&again, &bytes);
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = split_frame(&mut buffer) {}
        }
    }
}
