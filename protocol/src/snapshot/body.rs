//! The body of a snapshot: cues and everyone's view. Encoded once for all peers with an equal plan.

use bytes::Bytes;

use super::code::{Reader, Writer};
use super::section::RowSource;
use super::{BodyPlan, Codec, DecodedSection, References, RowCache, StateLookup, Written};
use crate::cue::Cue;
use crate::fault::DecodeError;
use crate::history::{History, Published};
use crate::ids::EntityId;
use crate::limits::{BODY_BYTES_MAX, COLUMNS_PER_CUE_MAX, CUES_PER_SNAPSHOT_MAX, HISTORY_TICKS};
use crate::lz4;
use crate::schema::{CueId, Schema};
use crate::time::Tick;

const AGE_BITS: u32 = HISTORY_TICKS.ilog2();

/// Bytes of the decoded length in front of a compressed body.
pub(super) const DECODED_LEN_BYTES: usize = 3;

const _: () = assert!(BODY_BYTES_MAX < 1 << (8 * DECODED_LEN_BYTES));

/// A finished body, and how much of its plan it holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EncodedBody {
    /// The bits, padded to bytes, perhaps compressed.
    pub(super) bytes: Vec<u8>,
    /// How long `bytes` are decompressed, if they are compressed.
    pub(super) decoded_len: Option<u32>,
    /// The ticks that its section is told against, if it is.
    pub(super) against: References,
    /// How many of the plan's cues are in it, from the first one on.
    pub cues: usize,
    /// How much of the plan's section is in it.
    pub written: Written,
}

impl EncodedBody {
    /// Its size in a frame, bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes.len() + if self.decoded_len.is_some() { DECODED_LEN_BYTES } else { 0 }
    }

    /// Makes room for a body of so many bytes, in place of what is in it.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.clear();
        self.bytes.reserve(bytes);
    }
}

impl Codec {
    /// Writes as much of a plan as `byte_limit` allows into `out`. The newest tick of `history` is the one told.
    ///
    /// `payload_of` gives what an entity was spawned with. A body that sends whole rows is compressed with LZ4 if
    /// that makes it smaller; differences have nothing to repeat. `rows` keeps the work on rows for other bodies of the tick.
    pub fn write_body(
        &self,
        history: &History,
        plan: &BodyPlan,
        payload_of: &dyn Fn(EntityId) -> Option<Bytes>,
        byte_limit: usize,
        rows: &mut RowCache,
        out: &mut EncodedBody,
    ) {
        out.bytes.clear();
        out.decoded_len = None;
        let limit = byte_limit.min(BODY_BYTES_MAX);
        let now = history.newest().map_or(Tick(0), Published::tick);
        let mut w = Writer::new(&mut out.bytes, self.coder);
        out.cues = write_cues(&mut w, &self.schema, now, &plan.cues, limit / 2);
        let source = RowSource::of(self, history, payload_of);
        (out.written, out.against) = self.write_section(&mut w, source, rows, &plan.section, None, limit);
        w.finish();
        let sends_whole_rows = plan.section.rows.iter().any(|row| row.references.is_empty());
        if sends_whole_rows && let Some(block) = lz4::compress_if_smaller(&out.bytes, DECODED_LEN_BYTES) {
            out.decoded_len = Some(out.bytes.len() as u32);
            out.bytes = block;
        }
    }

    pub(super) fn read_body(
        &self,
        bytes: &[u8],
        tick: Tick,
        states: &dyn StateLookup,
        cues: &mut Vec<Cue>,
        section: &mut DecodedSection,
    ) -> Result<(), DecodeError> {
        let mut r = Reader::new(bytes, self.coder);
        read_cues(&mut r, &self.schema, tick, cues)?;
        self.read_section(&mut r, tick, None, states, section)?;
        r.finish("snapshot body")
    }
}

/// Compressed bytes as a body's bits.
pub(super) fn decompress(block: &[u8], decoded_len: u32) -> Result<Vec<u8>, DecodeError> {
    lz4::decompress(block, decoded_len, BODY_BYTES_MAX, "snapshot body")
}

/// Writes cues while they fit; how many did.
pub(super) fn write_cues(
    w: &mut Writer<'_>,
    schema: &Schema,
    now: Tick,
    cues: &[Cue],
    byte_limit: usize,
) -> usize {
    w.seldom(!cues.is_empty());
    if cues.is_empty() {
        return 0;
    }
    let mut written = 0;
    for cue in cues.iter().take(CUES_PER_SNAPSHOT_MAX) {
        let mark = w.mark();
        w.flag(true);
        w.bits(now.since(cue.tick).clamp(0, HISTORY_TICKS as i32 - 1) as u32, AGE_BITS);
        w.bits(u32::from(cue.id.0), id_bits(schema));
        w.flag(cue.source.is_some());
        if let Some(source) = cue.source {
            w.bits(source.pack(), 32);
        }
        w.gamma(u32::from(cue.nth));
        w.whole(schema.cue(cue.id).columns(), &cue.values);
        if w.byte_len() > byte_limit {
            w.rewind(mark);
            break;
        }
        written += 1;
    }
    w.flag(false);
    written
}

fn read_cues(r: &mut Reader<'_>, schema: &Schema, now: Tick, out: &mut Vec<Cue>) -> Result<(), DecodeError> {
    out.clear();
    if !r.seldom("cue")? {
        return Ok(());
    }
    while r.flag("cue")? {
        if out.len() >= CUES_PER_SNAPSHOT_MAX {
            let limit = CUES_PER_SNAPSHOT_MAX as u64;
            return Err(DecodeError::TooLarge { what: "cues", value: limit + 1, limit });
        }
        let tick = now - r.bits(AGE_BITS, "cue")?;
        let number = r.bits(id_bits(schema), "cue")?;
        let kind = schema
            .cues()
            .get(number as usize)
            .ok_or(DecodeError::Invalid { what: "cue", value: u64::from(number) })?;
        let source = if r.flag("cue")? { Some(read_source(r)?) } else { None };
        let nth = r.gamma("cue")?;
        let nth =
            u8::try_from(nth).map_err(|_| DecodeError::Invalid { what: "cue", value: u64::from(nth) })?;
        let mut values = [0; COLUMNS_PER_CUE_MAX];
        r.whole(kind.index(), kind.columns(), 0, &mut values)?;
        out.push(Cue { tick, id: CueId(number as u8), source, nth, values });
    }
    Ok(())
}

fn read_source(r: &mut Reader<'_>) -> Result<EntityId, DecodeError> {
    let word = r.bits(32, "cue")?;
    let invalid = DecodeError::Invalid { what: "source of a cue", value: u64::from(word) };
    EntityId::from_wire(word as u16, (word >> 16) as u16).ok_or(invalid)
}

/// Bits that tell the schema's cues apart.
fn id_bits(schema: &Schema) -> u32 {
    schema.cues().len().next_power_of_two().ilog2()
}
