//! A recording: a schema, a tick rate, and the tables of every recorded tick.
//!
//! ```text
//!  file ──zstd, if it is compressed──> bytes ──by content──> nctrace | cubes ──Lattice──> Recording
//! ```
//!
//! What comes after knows nothing of files: another source is another way to make a [`Recording`].

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use ruzstd::decoding::StreamingDecoder;
use tickwire_protocol::recording::{MAGIC, Recording as RoomRecording, RecordingPlayer};
use tickwire_protocol::schema::{KindId, Schema, Sight};
use tickwire_protocol::{EntityId, RowHead, Tables, Tick, TickRate};

use super::lattice::{Lattice, Layout, Value};
use super::{cubes, nctrace};

/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Largest recording taken, bytes decompressed: ten times the largest that there is. More is a mistake or a trap.
const RECORDING_BYTES_MAX: u64 = 1 << 30;

/// What a damaged file's error ends with.
const GET_IT_AGAIN: &str = "the file is damaged: copy or record it again";

/// A recorded match on one lattice.
#[derive(Debug)]
pub(crate) struct Recording {
    /// What it is, for people.
    pub(crate) source: &'static str,
    pub(crate) rate: TickRate,
    /// At least one.
    pub(crate) frames: Vec<RecordedFrame>,
    /// By field: how far the lattice is from the recorded floats at worst. Rotations in degrees, the others in their units.
    pub(crate) max_error: BTreeMap<&'static str, f64>,
    /// Whether both ends know the first frames of a baseline that is N frames old, so that these are not sent: the
    /// rules of the delta compression challenge.
    pub(crate) start_is_known: bool,
    schema: Arc<Schema>,
}

/// The state of one tick.
#[derive(Debug)]
pub(crate) struct RecordedFrame {
    pub(crate) tick: Tick,
    pub(crate) tables: Tables,
    /// Objects that the source told of in this frame. Where it does not say, those count that differ from the baseline.
    pub(crate) updates: Option<u64>,
}

impl Recording {
    /// What the rows are made of.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Reads a file of any known format. Errors name it, say what is wrong and what to do.
    pub(crate) fn read(path: &Path, lattice: &Lattice) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read {}: give the path of a recording", path.display()))?;
        Self::parse(bytes, lattice).with_context(|| path.display().to_string())
    }

    fn parse(bytes: Vec<u8>, lattice: &Lattice) -> anyhow::Result<Self> {
        ensure!(!bytes.is_empty(), "the file is empty: give a recording");
        let bytes = if bytes.starts_with(&ZSTD_MAGIC) { decompress(&bytes)? } else { bytes };
        if nctrace::is_one(&bytes) {
            nctrace::read(&bytes, lattice)
        } else if cubes::is_one(&bytes) {
            cubes::read(&bytes, lattice)
        } else if bytes.starts_with(&MAGIC) {
            ensure!(
                matches!(lattice, Lattice::Exact),
                "what `serve --record` wrote is on its lattice already: take `exact`"
            );
            Self::of_room(bytes)
        } else {
            bail!(
                "this is no recording that is known here: give one of `serve --record`, one that starts with NCTRACE2, or \
                 cubes in frames of {} bytes; any may be compressed with zstd",
                cubes::FRAME_BYTES
            )
        }
    }
}

impl Recording {
    /// What everyone was told in a room of the engine's own.
    fn of_room(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let mut player = RecordingPlayer::new(RoomRecording::open(Cursor::new(bytes))?)?;
        let (schema, rate) = (player.header().schema.clone(), player.header().tick_rate);
        let mut frames: Vec<RecordedFrame> = Vec::new();
        while let Some(tick) = player.advance()? {
            // A replay that was recorded may start over; what goes back in time cannot be told against.
            if frames.last().is_some_and(|last| !tick.is_newer_than(last.tick)) {
                break;
            }
            let mut tables = player.tables(Sight::Public).clone();
            hide(&schema, &mut tables);
            frames.push(RecordedFrame { tick, tables, updates: None });
        }
        ensure!(player.damage_count() == 0, "it is damaged: `tickwire inspect` says where");
        ensure!(!frames.is_empty(), "it holds no tick: record for longer");
        let max_error = BTreeMap::new();
        Ok(Self { source: "a room", rate, frames, max_error, start_is_known: false, schema })
    }
}

/// Leaves what everyone is told; the rest is as a spectator has it.
fn hide(schema: &Schema, tables: &mut Tables) {
    for kind in schema.kinds() {
        let visible = kind.visible(Sight::Public);
        for (column, shape) in
            kind.columns().iter().enumerate().filter(|(column, _)| !visible.contains(*column))
        {
            let table = tables.table_mut(KindId(kind.index()));
            for row in 0..table.len() {
                table.values_mut(row)[column] = 0.clamp(shape.min, shape.max);
            }
        }
    }
}

/// All frames of a zstd file.
fn decompress(mut compressed: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !compressed.is_empty() {
        let mut decoder = StreamingDecoder::new(&mut compressed).with_context(|| damaged("zstd"))?;
        let room = RECORDING_BYTES_MAX - bytes.len() as u64;
        (&mut decoder).take(room + 1).read_to_end(&mut bytes).with_context(|| damaged("zstd"))?;
        ensure!(
            bytes.len() as u64 <= RECORDING_BYTES_MAX,
            "decompressed it has more than {RECORDING_BYTES_MAX} bytes: cut the recording into shorter ones"
        );
        let (told, is) =
            (decoder.decoder.get_checksum_from_data(), decoder.decoder.get_calculated_checksum());
        ensure!(told.is_none() || told == is, damaged("its zstd checksum is not that of its content"));
    }
    Ok(bytes)
}

/// The words for a file of which a part is not as it must be.
pub(super) fn damaged(what: impl std::fmt::Display) -> String {
    format!("{what}: {GET_IT_AGAIN}")
}

/// Collects the frames of a recording.
#[derive(Debug)]
pub(super) struct Builder {
    layout: Layout,
    rate: TickRate,
    frames: Vec<RecordedFrame>,
    max_error: BTreeMap<&'static str, f64>,
    /// The rows of the frame that is being filled.
    tables: Tables,
    columns: Vec<i32>,
    tenants: Tenants,
}

impl Builder {
    pub(super) fn new(layout: Layout, rate: TickRate) -> Self {
        let tables = Tables::new(layout.schema().clone());
        Self {
            layout,
            rate,
            frames: Vec::new(),
            max_error: BTreeMap::new(),
            tables,
            columns: Vec::new(),
            tenants: Tenants::default(),
        }
    }

    /// Adds an object to the frame that is being filled.
    pub(super) fn object(&mut self, kind: usize, instance: u16, values: &[Value]) -> anyhow::Result<()> {
        self.layout.row(kind, values, &mut self.columns, &mut self.max_error)?;
        let id = self.tenants.id(instance, kind, self.frames.len())?;
        self.tables.insert(KindId(kind as u8), RowHead::new(id)).copy_from(&self.columns);
        Ok(())
    }

    /// Ends the frame. Its tick is the recorded one, or the next that is free: a tick is published once.
    pub(super) fn frame(&mut self, recorded: Tick, updates: Option<u64>) {
        let next_free = self.frames.last().map_or(recorded, |last| last.tick + 1);
        let tick = if next_free.is_newer_than(recorded) { next_free } else { recorded };
        let mut tables = Tables::new(self.layout.schema().clone());
        std::mem::swap(&mut tables, &mut self.tables);
        tables.finish();
        self.frames.push(RecordedFrame { tick, tables, updates });
    }

    pub(super) fn finish(self, source: &'static str, start_is_known: bool) -> anyhow::Result<Recording> {
        ensure!(!self.frames.is_empty(), "the recording has no frames: there is nothing to measure");
        let schema = self.layout.schema().clone();
        let Self { rate, frames, max_error, .. } = self;
        Ok(Recording { source, rate, frames, max_error, start_is_known, schema })
    }
}

/// Gives objects their ids: the instance as the slot, in generation 1. One that was away is another tenant.
#[derive(Debug, Default)]
struct Tenants {
    /// By instance: its kind, its generation, and the frame in which it was last.
    seen: BTreeMap<u16, (usize, u16, usize)>,
}

impl Tenants {
    fn id(&mut self, instance: u16, kind: usize, frame: usize) -> anyhow::Result<EntityId> {
        let (first_kind, generation, last) = self.seen.entry(instance).or_insert((kind, 1, frame));
        ensure!(*first_kind == kind, damaged(format_args!("object {instance} changes its kind")));
        if *last + 1 < frame {
            ensure!(*generation < u16::MAX - 1, "object {instance} comes and goes too often");
            *generation += 1;
        }
        *last = frame;
        Ok(EntityId { slot: instance, generation: *generation })
    }
}
