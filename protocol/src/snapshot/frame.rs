//! The payload of a SNAPSHOT frame: a few bytes for this peer alone, then the body that many may share.

use bytes::Bytes;

use super::body::{DECODED_LEN_BYTES, EncodedBody, decompress};
use super::{Codec, DecodedSection, Replica, SectionPlan, Written};
use crate::ack::Sequence;
use crate::bits::{BitReader, BitWriter};
use crate::cue::Cue;
use crate::fault::DecodeError;
use crate::history::History;
use crate::ids::EntityId;
use crate::time::Tick;

/// What the server tells a player about its inputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Feedback {
    /// The newest tick for which an input has arrived.
    pub newest_input: Tick,
    /// How many ticks before its step the newest input arrived, -128 to 127; negative: too late.
    pub margin_ticks: i8,
}

/// The part of a snapshot that is for one peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SnapshotHeader {
    /// The tick told.
    pub tick: Tick,
    /// Whether the tick travels with all its bits: in a peer's first snapshot and after long gaps.
    pub has_full_tick: bool,
    /// The frame's number, on datagrams. On an ordered stream frames are counted by both ends instead.
    pub sequence: Option<Sequence>,
    /// About the peer's inputs, if it has a player.
    pub feedback: Option<Feedback>,
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
        out: &mut Vec<u8>,
    ) -> Written {
        let start = out.len();
        let mut w = BitWriter::new(out);
        w.flag(header.has_full_tick);
        w.flag(header.sequence.is_some());
        w.flag(header.feedback.is_some());
        w.flag(digest.is_some());
        w.flag(!own.is_empty());
        w.flag(body.decoded_len.is_some());
        w.bits(if header.has_full_tick { header.tick.0 } else { header.tick.0 & 0xffff }, tick_bits(header));
        if let Some(sequence) = header.sequence {
            w.bits(u32::from(sequence.0), 16);
        }
        if let Some(feedback) = header.feedback {
            w.bits(feedback.newest_input.0 & 0xffff, 16);
            w.bits(u32::from(feedback.margin_ticks as u8), 8);
        }
        let mut written = Written::default();
        if !own.is_empty() {
            let payload_of = |_: EntityId| -> Option<Bytes> { None };
            written = self.write_section(&mut w, history, own, &payload_of, start + own_byte_limit);
        }
        if let Some(digest) = digest {
            w.word(digest(written));
        }
        w.finish();
        if let Some(decoded_len) = body.decoded_len {
            out.extend_from_slice(&decoded_len.to_le_bytes()[..DECODED_LEN_BYTES]);
        }
        out.extend_from_slice(&body.bytes);
        written
    }

    /// Decodes a payload into `out`; the replica is asked for named states and not changed. After an error there is
    /// nothing in `out` that could be applied.
    ///
    /// `near` is a tick that the receiver knows to be near, to complete short ticks.
    pub fn read_snapshot(
        &self,
        payload: &[u8],
        near: Tick,
        replica: &Replica,
        out: &mut DecodedSnapshot,
    ) -> Result<SnapshotHeader, DecodeError> {
        out.clear();
        let mut r = BitReader::new(payload);
        let has_full_tick = r.flag(WHAT)?;
        let has_sequence = r.flag(WHAT)?;
        let has_feedback = r.flag(WHAT)?;
        let has_digest = r.flag(WHAT)?;
        let has_own = r.flag(WHAT)?;
        let is_compressed = r.flag(WHAT)?;
        let tick = if has_full_tick {
            Tick(r.bits(32, WHAT)?)
        } else {
            near.nearest_with_low_bits(r.bits(16, WHAT)? as u16)
        };
        let sequence = if has_sequence { Some(Sequence(r.bits(16, WHAT)? as u16)) } else { None };
        if has_sequence && has_digest {
            return Err(DecodeError::Invalid { what: "digest in a datagram", value: 1 });
        }
        let feedback = if has_feedback { Some(read_feedback(&mut r, tick)?) } else { None };
        if has_own {
            self.read_section(&mut r, tick, true, replica, &mut out.own)?;
        }
        out.digest = if has_digest { Some(r.word(WHAT)?) } else { None };
        let rest = r.rest(WHAT)?;
        let decompressed;
        let body = if is_compressed {
            decompressed = read_compressed(rest)?;
            &decompressed
        } else {
            rest
        };
        self.read_body(body, tick, replica, &mut out.cues, &mut out.view)?;
        let header = SnapshotHeader { tick, has_full_tick, sequence, feedback };
        out.header = Some(header);
        Ok(header)
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

fn tick_bits(header: &SnapshotHeader) -> u32 {
    if header.has_full_tick { 32 } else { 16 }
}

fn read_feedback(r: &mut BitReader<'_>, tick: Tick) -> Result<Feedback, DecodeError> {
    let newest_input = tick.nearest_with_low_bits(r.bits(16, "feedback")? as u16);
    let margin_ticks = r.bits(8, "feedback")? as u8 as i8;
    Ok(Feedback { newest_input, margin_ticks })
}

fn read_compressed(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (decoded_len, block) =
        bytes.split_first_chunk::<DECODED_LEN_BYTES>().ok_or(DecodeError::Truncated(WHAT))?;
    let [low, middle, high] = *decoded_len;
    decompress(block, u32::from_le_bytes([low, middle, high, 0]))
}
