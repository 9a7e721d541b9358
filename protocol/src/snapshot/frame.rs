//! The payload of a SNAPSHOT frame: a few bytes for this peer alone, then the body that many may share.

use core::ops::RangeInclusive;

use bytes::Bytes;

use super::body::{DECODED_LEN_BYTES, EncodedBody, decompress};
use super::code::{Reader, Writer};
use super::section::RowSource;
use super::{Codec, DecodedSection, RowCache, SectionPlan, StateLookup, Written};
use crate::ack::Sequence;
use crate::bits::{BitReader, BitWriter};
use crate::cue::Cue;
use crate::fault::DecodeError;
use crate::frame::SHORT_SNAPSHOT;
use crate::history::History;
use crate::ids::EntityId;
use crate::schema::Sight;
use crate::time::Tick;

/// What the server tells a player about its inputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Feedback {
    /// The newest tick for which an input has arrived.
    pub newest_input: Tick,
    /// How many ticks before its step the input arrived that was closest to it, of those that have come since the last
    /// feedback; of the last one, if none has. [`MARGIN_TICKS`]; negative: too late.
    pub margin_ticks: i8,
    /// Bit `n` is set if `n` ticks before the snapshot's the room had no input of the player's for that step, and put
    /// something in its place. It stays told for 32 ticks: a few lost snapshots hide nothing.
    pub substituted: u32,
}

/// The margins that can be told; others are told as the nearest of these.
pub const MARGIN_TICKS: RangeInclusive<i8> = -64..=63;

/// How many of a tick's bits travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TickWidth {
    /// All: in a peer's first snapshot and after long gaps.
    Full,
    /// 16: the receiver knows a tick less than 2^15 away.
    Usual,
    /// 6, and the frame's type is the whole header, if nothing else is told: the receiver's newest tick is at most
    /// [`NEAR_TICKS_MAX`] away. On ordered streams.
    Near,
}

/// How far a tick may be from the receiver's newest one to be told as [`TickWidth::Near`].
pub const NEAR_TICKS_MAX: i32 = (1 << (NEAR_BITS - 1)) - 1;

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
            self.write_own(history, own, own_byte_limit, rows, out)
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

    /// Appends the length of the own rows' section, and that.
    fn write_own(
        &self,
        history: &History,
        own: &SectionPlan,
        byte_limit: usize,
        rows: &mut RowCache,
        out: &mut Vec<u8>,
    ) -> Written {
        let length_at = out.len();
        out.extend_from_slice(&[0; 2]);
        let start = out.len();
        let payload_of = |_: EntityId| -> Option<Bytes> { None };
        let mut w = Writer::new(out, self.coder.of(Sight::Own));
        let source = RowSource::of(self, history, &payload_of);
        let limit = start + byte_limit.min(usize::from(u16::MAX));
        let written = self.write_section(&mut w, source, rows, own, limit);
        w.finish();
        let length = (out.len() - start) as u16;
        out[length_at..start].copy_from_slice(&length.to_le_bytes());
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
            let (length, behind) = rest.split_first_chunk().ok_or(DecodeError::Truncated(WHAT))?;
            let length = usize::from(u16::from_le_bytes(*length));
            let (bytes, behind) = behind.split_at_checked(length).ok_or(DecodeError::Truncated(WHAT))?;
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
        let tick =
            if is_full { Tick(r.bits(32, WHAT)?) } else { near.nearest_with_low_bits(r.bits(16, WHAT)?, 16) };
        let sequence = if has_sequence { Some(Sequence(r.bits(16, WHAT)? as u16)) } else { None };
        if has_sequence && has_digest {
            return Err(DecodeError::Invalid { what: "digest in a datagram", value: 1 });
        }
        let feedback = if has_feedback { Some(read_feedback(r, tick)?) } else { None };
        let tick_width = if is_full { TickWidth::Full } else { TickWidth::Usual };
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
        w.bits(if is_full { header.tick.0 } else { header.tick.0 & 0xffff }, if is_full { 32 } else { 16 });
        if let Some(sequence) = header.sequence {
            w.bits(u32::from(sequence.0), 16);
        }
        if let Some(feedback) = header.feedback {
            w.bits(feedback.newest_input.0 & 0xffff, 16);
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

const MARGIN_BITS: u32 = 7;
const MARGIN_MASK: u8 = (1 << MARGIN_BITS) - 1;
/// In the first byte. The bit before it is 0, so that no such byte is that of a short snapshot.
const OWN_IS_WHOLE: u8 = 1 << 7;

fn read_feedback(r: &mut BitReader<'_>, tick: Tick) -> Result<Feedback, DecodeError> {
    let newest_input = tick.nearest_with_low_bits(r.bits(16, "feedback")?, 16);
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
