//! From published ticks to a recording.

use std::io::{self, Write};

use bytes::Bytes;

use super::planner::Planner;
use super::{RecordingHeader, RecordingWriter};
use crate::cue::Cue;
use crate::frame::{FrameType, write_frame_with};
use crate::history::{History, Published};
use crate::ids::{EntityId, PlayerId};
use crate::limits::{BODY_BYTES_MAX, HISTORY_TICKS, OWN_BYTES_MAX, RECORDING_CUES_WAITING_MAX};
use crate::schema::Sight;
use crate::snapshot::{
    BodyPlan, Codec, EncodedBody, RowCache, SectionPlan, SnapshotHeader, TickWidth, Written,
};
use crate::time::Tick;

/// How a [`Recorder`] records.
#[derive(Clone, Copy, Debug)]
pub struct RecorderOptions {
    /// Steps from one keyframe to the next, at least. Shorter: more bytes, less lost to damage, faster seeking.
    pub keyframe_ticks: u32,
}

impl RecorderOptions {
    /// A keyframe every four seconds.
    pub fn new(header: &RecordingHeader) -> Self {
        Self { keyframe_ticks: header.tick_rate.hz() * 4 }
    }
}

/// Records published ticks: whoever has a [`History`] can use it, with a room around it or without.
///
/// Told are all fields of all rows. Ticks between two recorded ones are left out, their cues are not.
#[derive(Debug)]
pub struct Recorder<W> {
    writer: RecordingWriter<W>,
    codec: Codec,
    options: RecorderOptions,
    last_keyframe: Option<Tick>,
    last: Option<Tick>,
    view: Planner,
    own: Planner,
    /// Per slot: what was last told of the tenant beside its rows.
    entities: Vec<Option<Told>>,
    plan: BodyPlan,
    own_plan: SectionPlan,
    cues: Vec<Cue>,
    body: EncodedBody,
    rows: RowCache,
    frames: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Told {
    id: EntityId,
    owner: Option<PlayerId>,
    teams: u32,
}

impl<W: Write> Recorder<W> {
    /// Begins a recording. `codec` is the one that `header` names.
    pub fn new(w: W, header: &RecordingHeader, codec: Codec, options: RecorderOptions) -> io::Result<Self> {
        Ok(Self {
            writer: RecordingWriter::new(w, header)?,
            codec,
            options,
            last_keyframe: None,
            last: None,
            view: Planner::new(false),
            own: Planner::new(true),
            entities: Vec::new(),
            plan: BodyPlan::default(),
            own_plan: SectionPlan::default(),
            cues: Vec::new(),
            body: EncodedBody::default(),
            rows: RowCache::default(),
            frames: Vec::new(),
        })
    }

    /// Cues of a step, to be told with the next recorded tick.
    pub fn cues(&mut self, cues: &[Cue]) {
        let room = RECORDING_CUES_WAITING_MAX.saturating_sub(self.cues.len());
        self.cues.extend(cues.iter().take(room));
    }

    /// Where joins, leaves and inputs are told, in the order of their ticks.
    pub fn events(&mut self) -> &mut RecordingWriter<W> {
        &mut self.writer
    }

    /// Records the newest published tick, unless it was recorded already. `payload_of` gives what an entity was spawned with.
    pub fn record(
        &mut self,
        history: &History,
        payload_of: &dyn Fn(EntityId) -> Option<Bytes>,
    ) -> io::Result<()> {
        let Some(newest) = history.newest() else { return Ok(()) };
        let tick = newest.tick();
        if self.last.replace(tick) == Some(tick) {
            return Ok(());
        }
        let is_keyframe = self
            .last_keyframe
            .is_none_or(|last| tick.since(last).unsigned_abs() >= self.options.keyframe_ticks.max(1));
        if is_keyframe {
            self.last_keyframe = Some(tick);
            self.writer.begin_keyframe()?;
            self.view.forget();
            self.own.forget();
            self.entities.fill(None);
        }
        self.tell_entities(newest, payload_of)?;
        let digest = self.view.plan(history, newest, &mut self.plan.section);
        let digest = digest.wrapping_add(self.own.plan(history, newest, &mut self.own_plan));
        self.plan.cues.clear();
        let nameable = |cue: &&Cue| (0..HISTORY_TICKS as i32).contains(&tick.since(cue.tick));
        self.plan.cues.extend(self.cues.iter().filter(nameable));
        self.cues.clear();
        self.write_frames(history, tick);
        self.writer.snapshot(tick, is_keyframe.then_some(digest), &self.frames)
    }

    /// Ends the recording; gives back what was written to.
    pub fn finish(self) -> io::Result<W> {
        self.writer.finish()
    }

    fn tell_entities(
        &mut self,
        newest: &Published,
        payload_of: &dyn Fn(EntityId) -> Option<Bytes>,
    ) -> io::Result<()> {
        for (_, table) in newest.tables(Sight::Public).iter() {
            for head in table.heads() {
                let slot = usize::from(head.id.slot);
                if self.entities.len() <= slot {
                    self.entities.resize(slot + 1, None);
                }
                let told = Told { id: head.id, owner: head.owner, teams: head.teams };
                let before = self.entities[slot].replace(told);
                if before == Some(told) {
                    continue;
                }
                let payload = payload_of(head.id).unwrap_or_default();
                // Who belongs to nobody and came with nothing is known by its row alone.
                let is_plain = told.owner.is_none() && told.teams == 0 && payload.is_empty();
                if !is_plain || before.is_some_and(|before| before.id == told.id) {
                    self.writer.entity(newest.tick(), told.id, told.owner, told.teams, payload)?;
                }
            }
        }
        Ok(())
    }

    /// As many frames as the plans need.
    fn write_frames(&mut self, history: &History, tick: Tick) {
        let Self { codec, plan, own_plan, body, rows, frames, .. } = self;
        let header = SnapshotHeader {
            tick,
            tick_width: TickWidth::Usual,
            sequence: None,
            feedback: None,
            own_is_whole: false,
        };
        frames.clear();
        loop {
            codec.write_body(history, plan, &|_| None, BODY_BYTES_MAX, rows, body);
            let mut own_written = Written::default();
            write_frame_with(frames, FrameType::Snapshot, |out| {
                own_written =
                    codec.write_snapshot(&header, history, own_plan, OWN_BYTES_MAX, None, body, rows, out);
            });
            let is_progress =
                body.cues > 0 || body.written != Written::default() || own_written != Written::default();
            plan.cues.drain(..body.cues);
            plan.section.drain(body.written);
            own_plan.drain(own_written);
            let is_done = plan.cues.is_empty() && plan.section.is_empty() && own_plan.is_empty();
            debug_assert!(is_done || is_progress, "one row or cue fits into a frame");
            if is_done || !is_progress {
                break;
            }
        }
    }
}
