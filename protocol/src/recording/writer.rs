//! From ticks and events to the bytes of a recording.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::events::{self, Event, Events, LastInputs};
use super::record::{END, EVENTS, INDEX, KEYFRAME, SNAPSHOT, SYNC, write_record};
use super::{IndexEntry, RecordingHeader};
use crate::ids::{EntityId, PlayerId};
use crate::limits::{
    PRIOR_BYTES_MAX, RECORDING_EVENTS_PER_RECORD_MAX, RECORDING_INDEX_ENTRIES_MAX, RECORDING_RECORD_BYTES_MAX,
};
use crate::schema::Schema;
use crate::time::Tick;

/// Writes a recording. What is written goes to `w` record by record, none of it later than the next recorded tick.
///
/// Ticks ascend: those of events from one recorded tick up to the next, that one included.
#[derive(Debug)]
pub struct RecordingWriter<W> {
    w: W,
    schema: Arc<Schema>,
    /// Bytes written so far.
    offset: u64,
    index: Vec<IndexEntry>,
    /// Every how manieth keyframe is in the index.
    index_stride: u64,
    keyframes: u64,
    /// Where the SYNC stands of the keyframe that is being written.
    sync_at: Option<u64>,
    last: Option<Tick>,
    /// Events that are not written yet.
    events: Events,
    inputs: LastInputs,
    record: Vec<u8>,
}

impl<W: Write> RecordingWriter<W> {
    /// Begins a recording.
    pub fn new(w: W, header: &RecordingHeader) -> io::Result<Self> {
        if header.prior.as_ref().is_some_and(|prior| prior.len() > PRIOR_BYTES_MAX) {
            return Err(refused("the prior is too large for a recording"));
        }
        let mut writer = Self {
            w,
            schema: header.schema.clone(),
            offset: 0,
            index: Vec::new(),
            index_stride: 1,
            keyframes: 0,
            sync_at: None,
            last: None,
            events: Events::default(),
            inputs: LastInputs::default(),
            record: Vec::new(),
        };
        header.encode(&mut writer.record);
        writer.write_out()?;
        Ok(writer)
    }

    /// A player is present from this tick on.
    pub fn joined(&mut self, tick: Tick, player: PlayerId) -> io::Result<()> {
        self.event(Event::Joined { tick, player })
    }

    /// A player is no longer present from this tick on.
    pub fn left(&mut self, tick: Tick, player: PlayerId) -> io::Result<()> {
        self.event(Event::Left { tick, player })
    }

    /// What a player wanted in this tick: a row of the schema's input. Players ascend within a tick.
    pub fn input(&mut self, tick: Tick, player: PlayerId, row: &[i32]) -> io::Result<()> {
        self.events.push_input(tick, player, self.schema.input(), row);
        self.flush_if_many()
    }

    /// What the rows of an entity do not tell of it.
    pub fn entity(
        &mut self,
        tick: Tick,
        entity: EntityId,
        owner: Option<PlayerId>,
        teams: u32,
        payload: Bytes,
    ) -> io::Result<()> {
        self.event(Event::Entity { tick, entity, owner, teams, payload })
    }

    /// Behind this, nothing refers to what was written before: entities are told anew, and then a keyframe.
    pub fn begin_keyframe(&mut self) -> io::Result<()> {
        self.flush_events()?;
        self.sync_at = Some(self.offset);
        self.inputs.sync();
        write_record(&mut self.record, SYNC, |_| ());
        self.write_out()
    }

    /// A recorded tick: SNAPSHOT frames, framed as on a byte stream, that together tell all that is to be told. Those of
    /// a keyframe name no states, and `digest` sums the hashes of all their rows.
    pub fn snapshot(&mut self, tick: Tick, keyframe: Option<u64>, frames: &[u8]) -> io::Result<()> {
        if frames.len() + 64 > RECORDING_RECORD_BYTES_MAX {
            return Err(refused("a recorded tick is too large"));
        }
        if self.last.is_some_and(|last| !tick.is_newer_than(last)) {
            return Err(refused("a recorded tick is not newer than the one before"));
        }
        if self.last.is_none() && keyframe.is_none() {
            return Err(refused("a recording begins with a keyframe"));
        }
        if keyframe.is_some() && self.sync_at.is_none() {
            self.begin_keyframe()?;
        }
        self.flush_events()?;
        if let Some(offset) = self.sync_at.take().filter(|_| keyframe.is_some()) {
            self.note_keyframe(IndexEntry { tick, offset });
        }
        self.last = Some(tick);
        write_record(&mut self.record, SNAPSHOT, |out| {
            out.extend_from_slice(&tick.0.to_le_bytes());
            out.push(if keyframe.is_some() { KEYFRAME } else { 0 });
            if let Some(digest) = keyframe {
                out.extend_from_slice(&digest.to_le_bytes());
            }
            out.extend_from_slice(frames);
        });
        self.write_out()
    }

    /// Ends the recording with an index; gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_end()?;
        Ok(self.w)
    }

    /// As [`RecordingWriter::finish`], where the writer cannot be given away. Nothing is to be written behind it.
    pub fn write_end(&mut self) -> io::Result<()> {
        self.flush_events()?;
        let index_at = self.offset;
        let index = core::mem::take(&mut self.index);
        write_record(&mut self.record, INDEX, |out| {
            for entry in &index {
                out.extend_from_slice(&entry.tick.0.to_le_bytes());
                out.extend_from_slice(&entry.offset.to_le_bytes());
            }
        });
        write_record(&mut self.record, END, |out| out.extend_from_slice(&index_at.to_le_bytes()));
        self.write_out()?;
        self.w.flush()
    }

    /// What is written to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.w
    }

    /// Bytes written so far.
    pub fn bytes_written(&self) -> u64 {
        self.offset
    }

    fn event(&mut self, event: Event) -> io::Result<()> {
        self.events.push(event);
        self.flush_if_many()
    }

    fn flush_if_many(&mut self) -> io::Result<()> {
        if self.events.len() < RECORDING_EVENTS_PER_RECORD_MAX { Ok(()) } else { self.flush_events() }
    }

    fn flush_events(&mut self) -> io::Result<()> {
        if self.events.is_empty() {
            return Ok(());
        }
        let Self { events, inputs, schema, record, .. } = self;
        write_record(record, EVENTS, |out| events::write(events, inputs, schema.input(), out));
        events.clear();
        self.write_out()
    }

    /// Where there are too many for one record, every other one is left out: seeking then reads a little more.
    fn note_keyframe(&mut self, entry: IndexEntry) {
        if self.index.len() >= RECORDING_INDEX_ENTRIES_MAX {
            let mut place = 0;
            self.index.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.index_stride *= 2;
        }
        if self.keyframes.is_multiple_of(self.index_stride) {
            self.index.push(entry);
        }
        self.keyframes += 1;
    }

    fn write_out(&mut self) -> io::Result<()> {
        let result = self.w.write_all(&self.record);
        self.offset += self.record.len() as u64;
        self.record.clear();
        result
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
