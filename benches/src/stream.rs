//! From a scene to snapshot frames and back: the sender, the receiver, and what lies between them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::{FrameType, frame_len, frames, write_frame_with};
use tickwire_protocol::history::{History, REST_TICKS};
use tickwire_protocol::limits::BODY_BYTES_MAX;
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, DecodedSnapshot, EncodedBody, Feedback, PlannedRow, References, Replica, SectionPlan,
    SnapshotHeader,
};
use tickwire_protocol::{EntityId, Schema, Tables, Tick, TickRate};

use crate::scene::{BODY, Load, Scene, schema};
use crate::{SNAPSHOT_TICKS, TICK_RATE};

/// Ticks that a [`Moment`] holds: what stands must be known to rest when the named state was published.
const MOMENT_TICKS: usize = (REST_TICKS as u32 + SNAPSHOT_TICKS + 2) as usize;

/// Ticks before the first moment: all that moves is then under way, some of it in the air.
const WARM_TICKS: usize = 2 * TICK_RATE.hz() as usize;

/// Ticks that a receiver on an ordered stream keeps states for: the server names none that is older than its last
/// snapshot.
const KEEP_TICKS: u32 = 16;

/// Deltas after which a receiver holds as many states of every entity as it ever will.
pub const WARM_FRAMES: usize = KEEP_TICKS.div_ceil(SNAPSHOT_TICKS) as usize + 1;

/// A room's history when a snapshot is due, with no more in it than that snapshot needs.
#[derive(Clone, Debug)]
pub struct Moment {
    history: History,
}

/// The moments of a scene, a snapshot after the other, without end.
pub fn moments(entities: u16, load: Load) -> impl Iterator<Item = Moment> {
    let mut scene = Scene::new(entities, load);
    let mut latest: VecDeque<(Tick, Tables)> = VecDeque::new();
    core::iter::repeat_with(move || {
        let steps = if latest.is_empty() { WARM_TICKS } else { SNAPSHOT_TICKS as usize };
        for _ in 0..steps {
            scene.step();
            latest.push_back((scene.tick(), scene.tables().clone()));
        }
        latest.drain(..latest.len() - MOMENT_TICKS);
        let mut history = History::new(schema().clone(), TICK_RATE);
        for (tick, tables) in &latest {
            history.publish(*tick, tables);
        }
        Moment { history }
    })
}

/// Encodes the moments of a scene for one peer on an ordered stream.
#[derive(Debug)]
pub struct Sender {
    codec: Codec,
    plan: BodyPlan,
    own: SectionPlan,
    body: EncodedBody,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            codec: Codec::new(schema().clone(), TICK_RATE),
            plan: BodyPlan::default(),
            own: SectionPlan::default(),
            body: EncodedBody::default(),
        }
    }
}

impl Sender {
    /// Appends the snapshot of a moment to `out`, as a whole frame: finds out what is news, then writes body, peer
    /// part and frame header. Returns how many rows it carries.
    ///
    /// The receiver knows the state of the snapshot before; of a keyframe's, nothing.
    pub fn send(&mut self, moment: &Moment, load: Load, out: &mut Vec<u8>) -> usize {
        let Some(newest) = moment.history.newest() else { return 0 };
        let known = newest.tick() - SNAPSHOT_TICKS;
        let mut references = References::NONE;
        if load != Load::Keyframe {
            references.push(known);
        }
        self.plan.section.clear();
        for row in 0..newest.tables(Sight::Public).table(BODY).len() {
            let changed = moment.history.track(BODY, row).changed(Sight::Public);
            if references.is_empty() || changed.is_newer_than(known) {
                let row = PlannedRow { kind: BODY, row: row as u32, sight: Sight::Public, references };
                self.plan.section.rows.push(row);
            }
        }
        let payload_of = |_: EntityId| -> Option<Bytes> { None };
        self.codec.write_body(&moment.history, &self.plan, &payload_of, BODY_BYTES_MAX, &mut self.body);
        let header = SnapshotHeader {
            tick: newest.tick(),
            has_full_tick: load == Load::Keyframe,
            sequence: None,
            feedback: Some(Feedback { newest_input: newest.tick() + 2, margin_ticks: 2 }),
        };
        write_frame_with(out, FrameType::Snapshot, |out| {
            self.codec.write_snapshot(&header, &moment.history, &self.own, 0, None, &self.body, out);
        });
        self.body.written.rows
    }
}

/// Decodes the snapshots of an ordered stream and holds what they told.
#[derive(Clone, Debug)]
pub struct Receiver {
    codec: Codec,
    replica: Replica,
    decoded: DecodedSnapshot,
}

impl Receiver {
    /// Nothing received yet.
    pub fn new(schema: &Arc<Schema>, rate: TickRate) -> Self {
        Self {
            codec: Codec::new(schema.clone(), rate),
            replica: Replica::new(schema.clone(), KEEP_TICKS),
            decoded: DecodedSnapshot::default(),
        }
    }

    /// One for the frames of scenes.
    pub fn of_scene() -> Self {
        Self::new(schema(), TICK_RATE)
    }

    /// Decodes the payload of a SNAPSHOT frame and takes it in. Returns how many rows of everyone's view it carried.
    ///
    /// # Panics
    /// If it cannot be decoded, or its digest is not that of what is now held.
    pub fn receive(&mut self, payload: &[u8]) -> usize {
        let near = self.replica.newest_tick().unwrap_or_default();
        match self.codec.read_snapshot(payload, near, &self.replica, &mut self.decoded) {
            Ok(_) => self.replica.apply(&self.decoded),
            Err(error) => panic!("a snapshot after tick {near} cannot be read: {error}"),
        }
        if let Some(digest) = self.decoded.digest {
            assert_eq!(self.replica.digest().0, digest, "the digest after tick {near} differs");
        }
        self.decoded.view.rows.len()
    }

    /// What was read last.
    pub fn decoded(&self) -> &DecodedSnapshot {
        &self.decoded
    }

    /// Checks that exactly the rows of the newest published tick are held, with every value as published.
    ///
    /// # Panics
    /// If not.
    pub fn assert_holds(&self, history: &History) {
        let Some(newest) = history.newest() else { return };
        for (kind, table) in newest.tables(Sight::Public).iter() {
            for (index, head) in table.heads().iter().enumerate() {
                let held = self.replica.find(head.id).and_then(|track| {
                    let place = track.samples().len().checked_sub(1)?;
                    Some(track.row(kind, place))
                });
                let Some(held) = held else { panic!("{} is not held", head.id) };
                let published = table.row(kind, index);
                let visible = kind.visible(Sight::Public);
                for column in (0..kind.column_count()).filter(|&column| visible.contains(column)) {
                    assert_eq!(held.column(column), published.column(column), "{} {column}", head.id);
                }
            }
        }
        assert_eq!(self.replica.view().count(), newest.tables(Sight::Public).row_count());
    }
}

/// Snapshots of a scene as they arrive: one that tells everything, then one for every 3 ticks.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The payload of the first frame, in which every row is whole.
    pub keyframe: Bytes,
    /// The payloads of the frames after it.
    pub deltas: Vec<Bytes>,
}

impl Stream {
    /// Encodes the first `deltas` + 1 snapshots of a scene, and checks each: it carries the rows that its load names,
    /// and decodes to what was published.
    ///
    /// # Panics
    /// If one does not.
    pub fn of_scene(entities: u16, load: Load, deltas: usize) -> Self {
        let (mut sender, mut receiver) = (Sender::default(), Receiver::of_scene());
        let mut payloads = moments(entities, load).take(deltas + 1).enumerate().map(|(index, moment)| {
            let load = if index == 0 { Load::Keyframe } else { load };
            let mut frame = Vec::new();
            let rows = sender.send(&moment, load, &mut frame);
            assert_eq!(rows, load.rows(usize::from(entities)), "rows written at snapshot {index}");
            let payload = only_payload(frame.into());
            assert_eq!(receiver.receive(&payload), rows, "rows read at snapshot {index}");
            receiver.assert_holds(&moment.history);
            payload
        });
        let keyframe = payloads.next().unwrap_or_default();
        Self { keyframe, deltas: payloads.collect() }
    }

    /// Bytes of a frame of this load, header included, on average.
    pub fn frame_bytes(&self, load: Load) -> usize {
        if load == Load::Keyframe || self.deltas.is_empty() {
            return frame_len(self.keyframe.len());
        }
        self.deltas.iter().map(|payload| frame_len(payload.len())).sum::<usize>() / self.deltas.len()
    }
}

/// The payload of a message of one frame.
fn only_payload(message: Bytes) -> Bytes {
    let mut parsed = frames(message);
    match (parsed.next(), parsed.next()) {
        (Some(Ok(frame)), None) => frame.payload,
        other => panic!("one frame was written, not {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_sends_what_it_names_and_arrives_as_published() {
        for load in Load::ALL {
            for entities in [1, 16, 100] {
                let stream = Stream::of_scene(entities, load, 30);
                assert_eq!(stream.deltas.len(), 30);
                assert!(stream.frame_bytes(load) > 0);
            }
        }
    }

    #[test]
    fn who_sends_less_needs_less() {
        let bytes = Load::ALL.map(|load| Stream::of_scene(100, load, 10).frame_bytes(load));
        assert!(bytes.is_sorted() && bytes[0] < 20, "{bytes:?}");
    }
}
