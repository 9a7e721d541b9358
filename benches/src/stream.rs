//! From a scene to snapshot frames and back: the sender, the receiver, and what lies between them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::{FrameType, frame_len, frames, write_frame_with};
use tickwire_protocol::history::{History, REST_TICKS};
use tickwire_protocol::limits::{BODY_BYTES_MAX, REFERENCES_PER_ROW_MAX};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, DecodedSnapshot, EncodedBody, Feedback, PlannedRow, Prior, References, Replica,
    RowCache, SectionPlan, SnapshotHeader, TickWidth,
};
use tickwire_protocol::{EntityId, Schema, Tables, Tick, TickRate};

use crate::scene::{BODY, Load, Scene, schema};
use crate::{SNAPSHOT_TICKS, TICK_RATE};

/// How far back the oldest named state is, ticks.
const NAMED_TICKS: u32 = REFERENCES_PER_ROW_MAX as u32 * SNAPSHOT_TICKS;

/// Ticks that a [`Moment`] holds: what stands must be known to rest when the named states were published.
const MOMENT_TICKS: usize = (REST_TICKS as u32 + NAMED_TICKS + 2) as usize;

/// Ticks before the first moment: all that moves is then under way, some of it in the air.
const WARM_TICKS: usize = 2 * TICK_RATE.hz() as usize;

/// Deltas after which a receiver holds as many states of every entity as it ever will: on an ordered stream no others are
/// named.
pub const WARM_FRAMES: usize = REFERENCES_PER_ROW_MAX;

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
    rows: RowCache,
    /// Snapshots whose states the receiver holds.
    known: usize,
}

fn codec(schema: &Arc<Schema>, rate: TickRate, coder: Coder) -> Codec {
    Codec::with(schema.clone(), rate, coder, Prior::default_prior())
}

impl Sender {
    /// To a receiver that holds all that it ever will of the moments before.
    pub fn new(coder: Coder) -> Self {
        Self {
            codec: codec(schema(), TICK_RATE, coder),
            plan: BodyPlan::default(),
            own: SectionPlan::default(),
            body: EncodedBody::default(),
            rows: RowCache::default(),
            known: REFERENCES_PER_ROW_MAX,
        }
    }

    /// Appends the snapshot of a moment to `out`, as a whole frame: finds out what is news, then writes body, peer
    /// part and frame header. Returns how many rows it carries.
    ///
    /// The receiver holds the states of up to three snapshots before; of a keyframe's, nothing.
    pub fn send(&mut self, moment: &Moment, load: Load, out: &mut Vec<u8>) -> usize {
        let Some(newest) = moment.history.newest() else { return 0 };
        if load == Load::Keyframe {
            self.known = 0;
        }
        let mut references = References::NONE;
        for back in 1..=self.known as u32 {
            references.push(newest.tick() - back * SNAPSHOT_TICKS);
        }
        self.known = (self.known + 1).min(REFERENCES_PER_ROW_MAX);
        let section = &mut self.plan.section;
        section.clear();
        section.against = references;
        for row in 0..newest.tables(Sight::Public).table(BODY).len() {
            let changed = moment.history.track(BODY, row).changed(Sight::Public);
            let row = PlannedRow { kind: BODY, row: row as u32, sight: Sight::Public, references };
            if !references.is_empty() {
                section.held.push(row);
            }
            if references.newest().is_none_or(|known| changed.is_newer_than(known)) {
                section.rows.push(row);
            }
        }
        let payload_of = |_: EntityId| -> Option<Bytes> { None };
        let Self { codec, plan, own, body, rows, .. } = self;
        codec.write_body(&moment.history, plan, &payload_of, BODY_BYTES_MAX, rows, body);
        let header = SnapshotHeader {
            tick: newest.tick(),
            tick_width: if load == Load::Keyframe { TickWidth::Full } else { TickWidth::Near },
            sequence: None,
            feedback: Some(Feedback {
                newest_input: Some(newest.tick() + 2),
                margin_ticks: 2,
                substituted: 0,
            }),
            own_is_whole: true,
        };
        write_frame_with(out, FrameType::Snapshot, |out| {
            codec.write_snapshot(&header, &moment.history, own, 0, None, body, rows, out);
        });
        body.written.rows
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
    pub fn new(schema: &Arc<Schema>, rate: TickRate, coder: Coder) -> Self {
        Self {
            codec: codec(schema, rate, coder),
            replica: Replica::new(schema.clone(), 0),
            decoded: DecodedSnapshot::default(),
        }
    }

    /// One for the frames of scenes.
    pub fn of_scene(coder: Coder) -> Self {
        Self::new(schema(), TICK_RATE, coder)
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

    /// How many rows are held.
    pub fn held(&self) -> usize {
        self.replica.view().count()
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
    pub fn of_scene(entities: u16, load: Load, deltas: usize, coder: Coder) -> Self {
        let (mut sender, mut receiver) = (Sender::new(coder), Receiver::of_scene(coder));
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

    const CODERS: [Coder; 2] = [Coder::Dense, Coder::Fast];

    #[test]
    fn every_load_sends_what_it_names_and_arrives_as_published() {
        for (load, coder) in Load::ALL.into_iter().flat_map(|load| CODERS.map(|coder| (load, coder))) {
            for entities in [1, 16, 100] {
                let stream = Stream::of_scene(entities, load, 30, coder);
                assert_eq!(stream.deltas.len(), 30);
                assert!(stream.frame_bytes(load) > 0);
            }
        }
    }

    #[test]
    fn who_sends_less_needs_less() {
        for coder in CODERS {
            let bytes = Load::ALL.map(|load| Stream::of_scene(100, load, 10, coder).frame_bytes(load));
            assert!(bytes.is_sorted() && bytes[0] < 20, "{bytes:?}");
        }
    }
}
