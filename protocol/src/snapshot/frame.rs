//! The payload of a SNAPSHOT frame: a few bytes for this peer alone, then the body that many may share.

use core::ops::RangeInclusive;

use bytes::Bytes;

use super::body::{DECODED_LEN_BYTES, EncodedBody, decompress};
use super::code::{Reader, Writer};
use super::section::RowSource;
use super::{Codec, DecodedSection, References, RowCache, SectionPlan, StateLookup, Written};
use crate::ack::Sequence;
use crate::bits::{BitReader, BitWriter};
use crate::cue::Cue;
use crate::fault::DecodeError;
use crate::frame::SHORT_SNAPSHOT;
use crate::handshake::StreamKind;
use crate::history::History;
use crate::ids::EntityId;
use crate::limits::OWN_BYTES_MAX;
use crate::schema::Sight;
use crate::time::Tick;

/// What the server tells a player about its inputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Feedback {
    /// The newest tick for which an input has arrived; nothing if that is more than [`INPUT_TICKS_AWAY_MAX`] away from the
    /// snapshot's.
    pub newest_input: Option<Tick>,
    /// How many ticks before its step the input arrived that was closest to it, of those that have come since the last
    /// feedback; of the last one, if none has. [`MARGIN_TICKS`]; negative: too late.
    pub margin_ticks: i8,
    /// Bit `n` is set if `n` ticks before the snapshot's the room had no input of the player's for that step, and put
    /// something in its place. It stays told for 32 ticks: a few lost snapshots hide nothing.
    pub substituted: u32,
}

/// The margins that can be told; others are told as the nearest of these.
pub const MARGIN_TICKS: RangeInclusive<i8> = -64..=63;

/// How far the newest input may be from the snapshot's tick to be told of.
pub const INPUT_TICKS_AWAY_MAX: u32 = 127;

/// How many of a tick's bits travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TickWidth {
    /// All: in a peer's first snapshot and after long gaps.
    Full,
    /// 8 on ordered streams, 16 on datagrams: the receiver's newest tick is less than half of what these can tell away.
    Usual,
    /// 6, and the frame's type is the whole header, if nothing else is told: the receiver's newest tick is at most
    /// [`NEAR_TICKS_MAX`] away. On ordered streams.
    Near,
}

/// How far a tick may be from the receiver's newest one to be told as [`TickWidth::Near`].
pub const NEAR_TICKS_MAX: i32 = (1 << (NEAR_BITS - 1)) - 1;

impl TickWidth {
    /// The least that does to tell the tick `gap` ticks after the last one told; nothing if none was, or none may have arrived.
    pub fn of(gap: Option<i32>, stream: StreamKind) -> Self {
        match (gap, stream) {
            (Some(..=NEAR_TICKS_MAX), StreamKind::Ordered) => Self::Near,
            (Some(..0x80), StreamKind::Ordered) | (Some(..0x4000), StreamKind::Datagram) => Self::Usual,
            _ => Self::Full,
        }
    }

    /// Bits of a tick that is told in this width where it is not the frame's type that tells it.
    const fn bits(self, is_datagram: bool) -> u32 {
        match (self, is_datagram) {
            (Self::Full, _) => 32,
            (Self::Usual | Self::Near, true) => 16,
            (Self::Usual | Self::Near, false) => 8,
        }
    }
}

/// The part of a snapshot that is for one peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SnapshotHeader {
    /// The tick told.
    pub tick: Tick,
    /// How many of the tick's bits travel.
    pub tick_width: TickWidth,
    /// The frame's number, on datagrams. On an ordered stream frames are counted by both ends instead.
    pub sequence: Option<Sequence>,
    /// About the peer's inputs, if it has a player.
    pub feedback: Option<Feedback>,
    /// Whether the frame tells all that is news to the receiver of its own rows at this tick: those that it does not
    /// tell are as the newest state that is held of them, but for what everyone's row of the same entity in this frame says. To be
    /// written only if all of it also fits.
    pub own_is_whole: bool,
}

/// A snapshot that was decoded, not yet applied. Reused from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct DecodedSnapshot {
    /// The part for this peer; nothing until a whole payload was decoded, so that no part of a bad one is applied.
    pub header: Option<SnapshotHeader>,
    /// What the replica must digest to once this is applied; now and then on an ordered stream.
    pub digest: Option<u64>,
    /// The receiver's own rows, exact.
    pub own: DecodedSection,
    /// Everyone's view.
    pub view: DecodedSection,
    /// Facts of the moment.
    pub cues: Vec<Cue>,
}

impl Codec {
    /// Appends a snapshot's payload to `out`: header, own rows as far as `own_byte_limit` allows, and the body.
    ///
    /// A digest tells of the replica after this frame, so it is asked for once it is known how many own rows fit.
    #[expect(clippy::too_many_arguments, reason = "the parts of one frame, in their order")]
    pub fn write_snapshot(
        &self,
        header: &SnapshotHeader,
        history: &History,
        own: &SectionPlan,
        own_byte_limit: usize,
        digest: Option<&mut dyn FnMut(Written) -> u64>,
        body: &EncodedBody,
        rows: &mut RowCache,
        out: &mut Vec<u8>,
    ) -> Written {
        let first = out.len();
        let has_digest = digest.is_some();
        let has_more =
            header.sequence.is_some() || header.feedback.is_some() || header.own_is_whole || has_digest;
        let is_short = header.tick_width == TickWidth::Near && !has_more;
        if is_short && own.is_empty() && body.decoded_len.is_none() {
            out.push(SHORT_SNAPSHOT | (header.tick.0 & NEAR_MASK) as u8);
            out.extend_from_slice(&body.bytes);
            return Written::default();
        }
        let (has_own, is_compressed) = (!own.is_empty(), body.decoded_len.is_some());
        Start { header: *header, has_own, has_digest, is_compressed }.write(out);
        let written = if own.is_empty() {
            Written::default()
        } else {
            self.write_own(history, own, (own_byte_limit, body.against), rows, out)
        };
        let all = Written { leaves: own.leaves.len(), rows: own.rows.len() };
        if header.own_is_whole && written == all {
            out[first] |= OWN_IS_WHOLE;
        }
        if let Some(digest) = digest {
            out.extend_from_slice(&digest(written).to_le_bytes());
        }
        if let Some(decoded_len) = body.decoded_len {
            out.extend_from_slice(&decoded_len.to_le_bytes()[..DECODED_LEN_BYTES]);
        }
        out.extend_from_slice(&body.bytes);
        written
    }

    /// Appends the length of the own rows' section, and that. They follow a view that is told against these ticks.
    fn write_own(
        &self,
        history: &History,
        own: &SectionPlan,
        (byte_limit, after): (usize, References),
        rows: &mut RowCache,
        out: &mut Vec<u8>,
    ) -> Written {
        // Mostly the length takes a byte, and where it takes two what is behind moves.
        out.push(0);
        let start = out.len();
        let payload_of = |_: EntityId| -> Option<Bytes> { None };
        let mut w = Writer::new(out, self.coder.of(Sight::Own));
        let source = RowSource::of(self, history, &payload_of);
        let limit = start + byte_limit.min(OWN_BYTES_MAX);
        let (written, _) = self.write_section(&mut w, source, rows, own, Some(after), limit);
        w.finish();
        let length = out.len() - start;
        if length < LONG_OWN {
            out[start - 1] = length as u8;
        } else {
            out[start - 1] = (LONG_OWN | length >> 8) as u8;
            out.insert(start, length as u8);
        }
        written
    }

    /// Decodes a payload into `out`; `states` are asked for those that are named. After an error there is
    /// nothing in `out` that could be applied.
    ///
    /// `near` is a tick that the receiver knows to be near, to complete short ticks.
    pub fn read_snapshot(
        &self,
        payload: &[u8],
        near: Tick,
        states: &dyn StateLookup,
        out: &mut DecodedSnapshot,
    ) -> Result<SnapshotHeader, DecodeError> {
        out.clear();
        let mut r = BitReader::new(payload);
        let Start { header, has_own, has_digest, is_compressed } = Start::read(&mut r, payload, near)?;
        let tick = header.tick;
        if header.tick_width == TickWidth::Near {
            self.read_body(&payload[1..], tick, states, &mut out.cues, &mut out.view)?;
            out.header = Some(header);
            return Ok(header);
        }
        let mut rest = r.rest(WHAT)?;
        let mut own = None;
        if has_own {
            let (bytes, behind) = split_own(rest)?;
            (own, rest) = (Some(bytes), behind);
        }
        if has_digest {
            let (digest, behind) = rest.split_first_chunk().ok_or(DecodeError::Truncated(WHAT))?;
            out.digest = Some(u64::from_le_bytes(*digest));
            rest = behind;
        }
        let decompressed;
        let body = if is_compressed {
            decompressed = read_compressed(rest)?;
            &decompressed
        } else {
            rest
        };
        self.read_body(body, tick, states, &mut out.cues, &mut out.view)?;
        if let Some(own) = own {
            // Behind everyone's rows, which its own may lean on.
            let mut r = Reader::new(own, self.coder.of(Sight::Own));
            self.read_section(&mut r, tick, Some(&out.view), states, &mut out.own)?;
            r.finish("own rows")?;
        }
        out.header = Some(header);
        Ok(header)
    }
}

impl SnapshotHeader {
    /// The header of a payload, without its rows: for who counts snapshots and reads what is said of its inputs, as load
    /// generators and recorders do. That the header is sound says nothing of what is behind it.
    ///
    /// `near` is a tick that the receiver knows to be near, to complete short ticks.
    pub fn peek(payload: &[u8], near: Tick) -> Result<Self, DecodeError> {
        Start::read(&mut BitReader::new(payload), payload, near).map(|start| start.header)
    }
}

/// What a payload begins with: the header, and what follows it.
struct Start {
    header: SnapshotHeader,
    has_own: bool,
    has_digest: bool,
    is_compressed: bool,
}

impl Start {
    /// Reads it with `r`, which stands at the start of `payload`.
    fn read(r: &mut BitReader<'_>, payload: &[u8], near: Tick) -> Result<Self, DecodeError> {
        if payload.first().is_some_and(|first| first >> NEAR_BITS == SHORT_SNAPSHOT >> NEAR_BITS) {
            let tick = near.nearest_with_low_bits(r.bits(NEAR_BITS, WHAT)?, NEAR_BITS);
            let header = SnapshotHeader {
                tick,
                tick_width: TickWidth::Near,
                sequence: None,
                feedback: None,
                own_is_whole: false,
            };
            return Ok(Self { header, has_own: false, has_digest: false, is_compressed: false });
        }
        let is_full = r.flag(WHAT)?;
        let has_sequence = r.flag(WHAT)?;
        let has_feedback = r.flag(WHAT)?;
        let has_digest = r.flag(WHAT)?;
        let has_own = r.flag(WHAT)?;
        let is_compressed = r.flag(WHAT)?;
        if r.flag(WHAT)? {
            return Err(DecodeError::Invalid { what: WHAT, value: 1 });
        }
        let own_is_whole = r.flag(WHAT)?;
        let tick_width = if is_full { TickWidth::Full } else { TickWidth::Usual };
        let bits = tick_width.bits(has_sequence);
        let low = r.bits(bits, WHAT)?;
        let tick = if is_full { Tick(low) } else { near.nearest_with_low_bits(low, bits) };
        let sequence = if has_sequence { Some(Sequence(r.bits(16, WHAT)? as u16)) } else { None };
        if has_sequence && has_digest {
            return Err(DecodeError::Invalid { what: "digest in a datagram", value: 1 });
        }
        let feedback = if has_feedback { Some(read_feedback(r, tick)?) } else { None };
        let header = SnapshotHeader { tick, tick_width, sequence, feedback, own_is_whole };
        Ok(Self { header, has_own, has_digest, is_compressed })
    }

    /// Appends it, where it is not one byte. That own rows are whole is not said yet: first it must be known whether all of them fit.
    fn write(&self, out: &mut Vec<u8>) {
        let Self { header, has_own, has_digest, is_compressed } = self;
        let is_full = header.tick_width == TickWidth::Full;
        let mut w = BitWriter::new(out);
        w.flag(is_full);
        w.flag(header.sequence.is_some());
        w.flag(header.feedback.is_some());
        w.flag(*has_digest);
        w.flag(*has_own);
        w.flag(*is_compressed);
        // No short snapshot begins so.
        w.flag(false);
        // `OWN_IS_WHOLE`
        w.flag(false);
        let bits = header.tick_width.bits(header.sequence.is_some());
        w.bits(header.tick.0 & u32::MAX >> (32 - bits), bits);
        if let Some(sequence) = header.sequence {
            w.bits(u32::from(sequence.0), 16);
        }
        if let Some(feedback) = header.feedback {
            let away = feedback.newest_input.map_or(i32::MIN, |newest| newest.since(header.tick));
            let away = i8::try_from(away).ok().filter(|&away| away != NO_INPUT).unwrap_or(NO_INPUT);
            w.bits(u32::from(away as u8), 8);
            let margin = feedback.margin_ticks.clamp(*MARGIN_TICKS.start(), *MARGIN_TICKS.end());
            w.bits(u32::from(margin as u8 & MARGIN_MASK), MARGIN_BITS);
            w.flag(feedback.substituted != 0);
            if feedback.substituted != 0 {
                w.bits(feedback.substituted, 32);
            }
        }
        w.finish();
    }
}

impl DecodedSnapshot {
    fn clear(&mut self) {
        self.header = None;
        self.digest = None;
        self.own.clear();
        self.view.clear();
        self.cues.clear();
    }
}

const WHAT: &str = "snapshot";

/// Bits of a near tick: what tells short snapshots from each other.
const NEAR_BITS: u32 = 6;
const NEAR_MASK: u32 = (1 << NEAR_BITS) - 1;

/// Where the newest input is too far away to be told of.
const NO_INPUT: i8 = i8::MIN;
const _: () = assert!(INPUT_TICKS_AWAY_MAX == i8::MAX as u32);

/// From how many bytes on the length of own rows takes two.
const LONG_OWN: usize = 0x80;
const _: () = assert!(OWN_BYTES_MAX < LONG_OWN << 8);

const MARGIN_BITS: u32 = 7;
const MARGIN_MASK: u8 = (1 << MARGIN_BITS) - 1;
/// In the first byte. The bit before it is 0, so that no such byte is that of a short snapshot.
const OWN_IS_WHOLE: u8 = 1 << 7;

/// Own rows, behind their length, and what follows them.
fn split_own(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (&first, mut behind) = bytes.split_first().ok_or(DecodeError::Truncated(WHAT))?;
    let mut length = usize::from(first);
    if length >= LONG_OWN {
        let (&low, rest) = behind.split_first().ok_or(DecodeError::Truncated(WHAT))?;
        (length, behind) = ((length - LONG_OWN) << 8 | usize::from(low), rest);
        if length < LONG_OWN {
            return Err(DecodeError::Invalid { what: "length of own rows", value: length as u64 });
        }
        if length > OWN_BYTES_MAX {
            let limit = OWN_BYTES_MAX as u64;
            return Err(DecodeError::TooLarge { what: "own rows", value: length as u64, limit });
        }
    }
    behind.split_at_checked(length).ok_or(DecodeError::Truncated(WHAT))
}

fn read_feedback(r: &mut BitReader<'_>, tick: Tick) -> Result<Feedback, DecodeError> {
    let away = r.bits(8, "feedback")? as u8 as i8;
    let newest_input = (away != NO_INPUT).then(|| Tick(tick.0.wrapping_add_signed(i32::from(away))));
    // The sign is the highest of its bits.
    let margin_ticks = ((r.bits(MARGIN_BITS, "feedback")? as u8) << 1) as i8 >> 1;
    let substituted = if r.flag("feedback")? { r.bits(32, "feedback")? } else { 0 };
    Ok(Feedback { newest_input, margin_ticks, substituted })
}

fn read_compressed(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (decoded_len, block) =
        bytes.split_first_chunk::<DECODED_LEN_BYTES>().ok_or(DecodeError::Truncated(WHAT))?;
    let [low, middle, high] = *decoded_len;
    decompress(block, u32::from_le_bytes([low, middle, high, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of nothing else, and what is read of it by who knows the tick `gap` ticks before.
    fn read(header: &SnapshotHeader, gap: u32) -> SnapshotHeader {
        let mut bytes = Vec::new();
        let start = Start { header: *header, has_own: false, has_digest: false, is_compressed: false };
        start.write(&mut bytes);
        SnapshotHeader::peek(&bytes, header.tick - gap).unwrap()
    }

    #[test]
    fn a_tick_is_told_in_as_few_bits_as_do() {
        for stream in [StreamKind::Ordered, StreamKind::Datagram] {
            let sequence = (stream == StreamKind::Datagram).then_some(Sequence(7));
            for tick in [Tick(0), Tick(0xffff), Tick(u32::MAX)] {
                for gap in [1, 31, 32, 127, 128, 255, 256, 16_383, 16_384, 65_535, 65_536, 1 << 30] {
                    let tick_width = TickWidth::of(Some(gap), stream);
                    let header =
                        SnapshotHeader { tick, tick_width, sequence, feedback: None, own_is_whole: false };
                    assert_eq!(read(&header, gap as u32).tick, tick, "{gap} behind, {stream:?}");
                }
            }
            assert_eq!(TickWidth::of(None, stream), TickWidth::Full);
        }
        assert_eq!(TickWidth::of(Some(127), StreamKind::Ordered), TickWidth::Usual);
    }

    #[test]
    fn the_newest_input_is_told_unless_it_is_far_away() {
        let tick = Tick(50);
        let told = |newest: Tick| {
            let feedback = Some(Feedback { newest_input: Some(newest), margin_ticks: 0, substituted: 0 });
            let tick_width = TickWidth::Usual;
            let header = SnapshotHeader { tick, tick_width, sequence: None, feedback, own_is_whole: false };
            read(&header, 3).feedback.unwrap().newest_input
        };
        for near in [tick + 127, tick + 1, tick, tick - 1, tick - 127] {
            assert_eq!(told(near), Some(near));
        }
        for far in [tick + 128, tick + 256, tick - 128, tick - 129, tick - 256, tick + (1 << 31)] {
            assert_eq!(told(far), None, "{far}");
        }
    }

    #[test]
    fn a_length_of_own_rows_has_one_form() {
        assert_eq!(split_own(&[2, 1, 2, 3]), Ok((&[1, 2][..], &[3][..])));
        let long = [&[0x81, 0x02][..], &[9; 259]].concat();
        assert_eq!(split_own(&long).map(|(own, rest)| (own.len(), rest.len())), Ok((258, 1)));
        assert_eq!(
            split_own(&[0x80, 0x7f]),
            Err(DecodeError::Invalid { what: "length of own rows", value: 127 })
        );
        let over = DecodeError::TooLarge { what: "own rows", value: 0x4001, limit: 0x4000 };
        assert_eq!(split_own(&[0xc0, 0x01]), Err(over));
        for short in [&[][..], &[1], &[0x80], &[0x80, 0x80, 1]] {
            assert_eq!(split_own(short), Err(DecodeError::Truncated(WHAT)));
        }
    }
}
