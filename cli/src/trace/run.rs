//! A recording through the codec and back: every frame that a server would send, each decoded twice.
//!
//! ```text
//!  Recording ──History──> plan ──Codec──> SNAPSHOT frames ──link──> in order:  a receiver that holds all that arrived
//!                                                        └────────> shuffled:  a fresh codec, made from bytes, with the
//!                                                                              states that the frame names and no others
//! ```
//!
//! All calls of the codec are in this file. The clock runs only around them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tickwire_protocol::frame::{FrameType, frames, write_frame_with};
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::history::History;
use tickwire_protocol::limits::{BODY_BYTES_MAX, HISTORY_TICKS};
use tickwire_protocol::schema::{KindId, Schema, Sight};
use tickwire_protocol::snapshot::train::Trainer;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, DecodedSnapshot, EncodedBody, Leave, PlannedRow, Prior, References, RowCache,
    SectionPlan, SnapshotHeader, TickWidth, Told,
};
use tickwire_protocol::{EntityId, Table, Tables, Tick};
use tickwire_sim::Random;

use super::baseline::{Baseline, Lossy};
use super::by_field::{Part, Share, Tally};
use super::held::{Held, States};
use super::recording::Recording;

/// Passes of which the quickest counts: others were disturbed.
const PASSES: usize = 3;

/// Seed of the order in which frames are decoded alone. Any order does.
const SHUFFLE_SEED: u64 = 0x7469_636b_7769_7265;

/// How a recording is sent.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) baseline: Baseline,
    pub(crate) coder: Coder,
    pub(crate) prior: Arc<Prior>,
    pub(crate) lossy: Option<Lossy>,
    pub(crate) by_field: bool,
}

/// What a run found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Frames sent.
    pub(crate) frames: usize,
    /// Of these, how many arrived.
    pub(crate) arrived: usize,
    /// Of these, how many decoded to what was recorded.
    pub(crate) decoded: usize,
    /// Objects that the source told of in the frames sent.
    pub(crate) updates: u64,
    /// Rows sent.
    pub(crate) rows: u64,
    /// Rows sent whose columns are those of the newest state that they name: told for rest, or for a way there and back.
    pub(crate) unchanged_rows: u64,
    /// Whole frames, with length and type.
    pub(crate) frame_bytes: u64,
    pub(crate) encode: Duration,
    pub(crate) decode: Duration,
    /// The first frame that was not as recorded, if there is one.
    pub(crate) failure: Option<String>,
    pub(crate) tally: Option<Tally>,
}

/// Sends and receives a recording.
pub(crate) fn run(recording: &Recording, options: &Options) -> anyhow::Result<Outcome> {
    let run = Run::new(recording, options)?;
    let mut sent = run.send()?;
    let mut failure = None;
    for _ in 1..PASSES {
        let again = run.send()?;
        if again.frames.iter().zip(&sent.frames).any(|(again, first)| again.bytes != first.bytes) {
            failure = Some("the same tables were written as other bytes".to_owned());
        }
        sent.encode = sent.encode.min(again.encode);
    }
    let mut received = run.receive(&sent);
    for _ in 1..PASSES {
        received.decode = received.decode.min(run.receive(&sent).decode);
    }
    let shuffled = run.receive_shuffled(&sent, &received)?;
    Ok(Outcome {
        frames: sent.frames.len(),
        arrived: sent.frames.iter().filter(|frame| run.arrived[frame.index]).count(),
        decoded: received.decoded,
        updates: sent.updates,
        rows: sent.rows,
        unchanged_rows: sent.unchanged_rows,
        frame_bytes: sent.frames.iter().map(|frame| frame.bytes.len() as u64).sum(),
        encode: sent.encode,
        decode: received.decode,
        failure: failure.or(received.failure).or(shuffled),
        tally: sent.tally,
    })
}

/// A recording on its way.
struct Run<'a> {
    recording: &'a Recording,
    options: &'a Options,
    codec: Codec,
    /// Per recorded frame.
    arrived: Vec<bool>,
    /// The first frame that is sent; what is before is known to both ends.
    start: usize,
}

/// All frames of a run.
#[derive(Default)]
struct Sent {
    frames: Vec<SentFrame>,
    /// The states before the first frame.
    known: Vec<Rc<Held>>,
    updates: u64,
    rows: u64,
    unchanged_rows: u64,
    encode: Duration,
    tally: Option<Tally>,
}

struct SentFrame {
    /// Of which recorded frame it tells.
    index: usize,
    bytes: Bytes,
    /// The recorded frames that its rows may name, newest first; none that is too old to be named.
    named: Vec<usize>,
    /// The newest frame that the receiver was known to hold, however old.
    newest_held: Option<usize>,
}

/// What came of receiving all frames in order.
#[derive(Default)]
struct Received {
    decoded: usize,
    decode: Duration,
    failure: Option<String>,
    /// Per recorded frame: the state that the receiver has of it.
    held: Vec<Option<Rc<Held>>>,
}

impl<'a> Run<'a> {
    fn new(recording: &'a Recording, options: &'a Options) -> anyhow::Result<Self> {
        let start = match options.baseline {
            Baseline::Ack(delay) if recording.start_is_known => delay,
            _ => 0,
        };
        let count = recording.frames.len();
        ensure!(
            start < count,
            "of {count} frames none is {start} frames after the first: take a smaller ack:N"
        );
        let mut arrived = options.lossy.map_or_else(|| vec![true; count], |lossy| lossy.arrivals(count));
        arrived[..start].fill(true);
        let schema = recording.schema().clone();
        let codec = Codec::with(schema, recording.rate, options.coder, options.prior.clone());
        Ok(Self { recording, options, codec, arrived, start })
    }

    fn tick(&self, frame: usize) -> Tick {
        self.recording.frames[frame].tick
    }

    /// Writes all frames.
    fn send(&self) -> anyhow::Result<Sent> {
        let mut sent = Sent { tally: self.options.by_field.then(Tally::default), ..Sent::default() };
        let mut sender = Sender::new(self);
        for (index, frame) in self.recording.frames.iter().enumerate() {
            sender.history.publish(frame.tick, &frame.tables);
            sender.note_presences(index);
            if index >= self.start {
                sender.send(index, &mut sent).with_context(|| format!("frame {index}"))?;
            } else if let Some(published) = sender.history.newest() {
                sent.known.push(Rc::new(Held::given(published)));
            }
        }
        Ok(sent)
    }

    /// Decodes what arrived, in order, with all that arrived before.
    fn receive(&self, sent: &Sent) -> Received {
        let known = sent.known.iter().cloned();
        let mut states = States::new(known.clone().enumerate().map(|(frame, held)| (self.tick(frame), held)));
        let mut received = Received { held: known.map(Some).collect(), ..Received::default() };
        let mut decoded = DecodedSnapshot::default();
        for frame in &sent.frames {
            let mut held = None;
            if self.arrived[frame.index] {
                let (result, time) = self.decode(&self.codec, frame, &states, &mut decoded);
                received.decode += time;
                match result {
                    Ok(state) => {
                        let state = Rc::new(state);
                        states.insert(self.tick(frame.index), state.clone());
                        held = Some(state);
                        received.decoded += 1;
                    }
                    Err(error) => received.failure = received.failure.or(Some(error)),
                }
            }
            received.held.push(held);
        }
        received
    }

    /// Decodes what arrived once more, each frame alone and in any order, by a codec that has seen nothing. The first
    /// that is not as recorded.
    fn receive_shuffled(&self, sent: &Sent, received: &Received) -> anyhow::Result<Option<String>> {
        let schema = Schema::decode(self.recording.schema().encoded())?;
        let prior = Prior::decode(self.options.prior.encoded())?;
        let codec = Codec::with(schema, self.recording.rate, self.options.coder, prior);
        let mut order: Vec<_> = sent.frames.iter().filter(|frame| self.arrived[frame.index]).collect();
        let mut random = Random::from_seed(SHUFFLE_SEED);
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u32 + 1) as usize);
        }
        let mut decoded = DecodedSnapshot::default();
        for frame in order {
            let named = frame.named.iter().filter_map(|&named| Some((named, received.held[named].clone()?)));
            let states = States::new(named.map(|(named, held)| (self.tick(named), held)));
            if let (Err(error), _) = self.decode(&codec, frame, &states, &mut decoded) {
                return Ok(Some(format!("alone, {error}")));
            }
        }
        Ok(None)
    }

    /// Decodes a frame and compares it with what was recorded; how long the codec took.
    fn decode(
        &self,
        codec: &Codec,
        frame: &SentFrame,
        states: &States,
        decoded: &mut DecodedSnapshot,
    ) -> (Result<Held, String>, Duration) {
        let recorded = &self.recording.frames[frame.index];
        let fail = |what: String| Err(format!("frame {}: {what}", frame.index));
        let Some(Ok(payload)) = frames(frame.bytes.clone()).next().map(|frame| frame.map(|it| it.payload))
        else {
            return (fail("is no frame".to_owned()), Duration::ZERO);
        };
        // A tick is told short to a receiver that was known to hold one near it.
        let near = states.newest().or(frame.newest_held.map(|held| self.tick(held))).unwrap_or_default();
        let clock = Instant::now();
        let result = codec.read_snapshot(&payload, near, states, decoded);
        let time = clock.elapsed();
        let header = match result {
            Ok(header) => header,
            Err(error) => return (fail(format!("does not decode: {error}")), time),
        };
        let baseline = frame.named.first().and_then(|&named| states.at(self.tick(named)));
        let held = Held::following(baseline, &decoded.view);
        let result = match held.differs_from(&recorded.tables) {
            _ if header.tick != recorded.tick => fail(format!("tells of tick {}", header.tick)),
            Some(difference) => fail(format!("is decoded to something else: {difference}")),
            None => Ok(held),
        };
        (result, time)
    }
}

/// Shows a recording to a trainer, as it would be sent against these baselines.
pub(crate) fn show(
    recording: &Recording,
    baselines: &[Baseline],
    prior: &Arc<Prior>,
    trainer: &mut Trainer,
) -> anyhow::Result<()> {
    for &baseline in baselines {
        let options =
            Options { baseline, coder: Coder::Fast, prior: prior.clone(), lossy: None, by_field: false };
        let run = Run::new(recording, &options)?;
        trainer.begin(recording.schema().clone(), recording.rate, 1.0);
        let mut sender = Sender::new(&run);
        for (index, frame) in recording.frames.iter().enumerate() {
            sender.history.publish(frame.tick, &frame.tables);
            sender.note_presences(index);
            if index >= run.start {
                let named = sender.named(index);
                trainer.show(&sender.history, &sender.plan(index, &named.0, named.1));
            }
        }
    }
    Ok(())
}

/// What writes frames: a server with one spectator.
struct Sender<'a> {
    run: &'a Run<'a>,
    history: History,
    /// By slot.
    presences: Vec<Option<Presence>>,
    body: EncodedBody,
    cache: RowCache,
}

/// When an entity was there.
#[derive(Clone, Copy)]
struct Presence {
    id: EntityId,
    /// From this frame on without a gap.
    since: usize,
    last: usize,
    /// When the slot's former tenant was last there.
    former: Option<usize>,
}

impl<'a> Sender<'a> {
    fn new(run: &'a Run<'a>) -> Self {
        Self {
            run,
            history: History::new(run.recording.schema().clone(), run.recording.rate),
            presences: Vec::new(),
            body: EncodedBody::default(),
            cache: RowCache::default(),
        }
    }

    /// The frames that may be named, newest first, none too old; and the newest of all, however old.
    fn named(&self, index: usize) -> (Vec<usize>, Option<usize>) {
        let tick = self.run.tick(index);
        let mut named = self.run.options.baseline.named(index, &self.run.arrived);
        let newest_held = named.first().copied();
        named.retain(|&frame| tick.since(self.run.tick(frame)) < HISTORY_TICKS as i32);
        (named, newest_held)
    }

    fn note_presences(&mut self, index: usize) {
        for (_, table) in self.run.recording.frames[index].tables.iter() {
            for head in table.heads() {
                let slot = usize::from(head.id.slot);
                if self.presences.len() <= slot {
                    self.presences.resize(slot + 1, None);
                }
                match &mut self.presences[slot] {
                    Some(presence) if presence.id == head.id && presence.last + 1 == index => {
                        presence.last = index;
                    }
                    place => {
                        let former = place.map(|presence| presence.last);
                        *place = Some(Presence { id: head.id, since: index, last: index, former });
                    }
                }
            }
        }
    }

    /// Writes the frame of the newest tick.
    fn send(&mut self, index: usize, sent: &mut Sent) -> anyhow::Result<()> {
        let tick = self.run.tick(index);
        let (named, newest_held) = self.named(index);
        let plan = BodyPlan { cues: Vec::new(), section: self.plan(index, &named, newest_held) };
        let gap = newest_held.map(|held| tick.since(self.run.tick(held)));
        let tick_width = TickWidth::of(gap, StreamKind::Ordered);
        let header = SnapshotHeader { tick, tick_width, sequence: None, feedback: None, own_is_whole: false };
        let mut bytes = Vec::new();
        let codec = &self.run.codec;
        let (history, own) = (&self.history, SectionPlan::default());
        let (body, cache) = (&mut self.body, &mut self.cache);
        let clock = Instant::now();
        codec.write_body(history, &plan, &|_| None, BODY_BYTES_MAX, cache, body);
        write_frame_with(&mut bytes, FrameType::Snapshot, |out| {
            codec.write_snapshot(&header, history, &own, 0, None, body, cache, out);
        });
        sent.encode += clock.elapsed();
        let is_whole =
            body.written.rows == plan.section.rows.len() && body.written.leaves == plan.section.leaves.len();
        ensure!(is_whole, "does not fit into one snapshot of {BODY_BYTES_MAX} bytes");
        if let Some(tally) = &mut sent.tally {
            let schema = self.run.recording.schema();
            codec.explain(history, &plan.section, &mut |told: Told| {
                let fields = schema.kind(told.kind).fields();
                let field = fields.iter().find(|field| field.columns().contains(&told.column));
                let part = field.map_or(Part::Header, |field| Part::Field(field.id));
                let bits = f64::from(told.bits) - f64::from(told.parts).log2();
                tally.tell(Share { kind: told.kind, slot: told.slot, part, bits });
            });
            tally.end_frame(bytes.len());
        }
        self.count(index, &plan.section, sent);
        sent.frames.push(SentFrame { index, bytes: bytes.into(), named, newest_held });
        Ok(())
    }

    /// What is news to a receiver that holds the named frames.
    fn plan(&self, index: usize, named: &[usize], newest_held: Option<usize>) -> SectionPlan {
        let mut plan = SectionPlan::default();
        // A receiver cannot tell that the tenant of a slot is about to change: rows are told by slot then.
        let is_replaced =
            |presence: &Presence| presence.former.is_some_and(|last| named.first() <= Some(&last));
        if !self.presences.iter().flatten().any(is_replaced) {
            for &frame in named {
                plan.against.push(self.run.tick(frame));
            }
        }
        // It may also hold any frame after the one it is known to hold: who was in one of these is said to be gone.
        let may_be_held = |presence: &&Presence| newest_held.is_none_or(|held| presence.last >= held);
        let gone = |presence: &&Presence| presence.last < index;
        let presences = self.presences.iter().flatten();
        for presence in presences.filter(gone).filter(may_be_held) {
            plan.leaves.push(Leave { slot: presence.id.slot, despawned: true });
        }
        for (kind, table) in self.run.recording.frames[index].tables.iter() {
            let kind_id = KindId(kind.index());
            for (row, head) in table.heads().iter().enumerate() {
                let references = self.references(head.id, named);
                let changed = self.history.track(kind_id, row).changed(Sight::Public);
                let planned = PlannedRow { kind: kind_id, row: row as u32, sight: Sight::Public, references };
                let is_news = references.newest().is_none_or(|newest| {
                    changed.is_newer_than(newest) && !self.is_as_it_was(&planned, newest)
                });
                if is_news {
                    plan.rows.push(planned);
                }
                if !references.is_empty() && !plan.against.is_empty() {
                    plan.held.push(planned);
                }
            }
        }
        plan
    }

    /// Whether a row went and came back: it is as it was at a tick, and so said if nothing is said of it.
    fn is_as_it_was(&self, row: &PlannedRow, tick: Tick) -> bool {
        let (Some(newest), Some(old)) = (self.history.newest(), self.history.at(tick)) else { return false };
        let track = self.history.track(row.kind, row.row as usize);
        let (tables, old_tables): (&Tables, &Tables) = (newest.tables(row.sight), old.tables(row.sight));
        let id = tables.table(row.kind).heads()[row.row as usize].id;
        let was_at_rest = old_tables.table(row.kind).find(id).map(|place| old.is_at_rest(row.kind, place));
        was_at_rest == Some(track.is_at_rest) && is_same(tables, old_tables, row)
    }

    /// The named frames in which an entity was, as far as it was there ever since. One that was not yet in the newest
    /// is new.
    fn references(&self, id: EntityId, named: &[usize]) -> References {
        let presence = self.presences[usize::from(id.slot)].filter(|presence| presence.id == id);
        let since = presence.map_or(usize::MAX, |presence| presence.since);
        let mut references = References::NONE;
        let nameable = named.iter().filter(|&&frame| frame >= since);
        nameable.for_each(|&frame| references.push(self.run.tick(frame)));
        references
    }

    /// Counts rows, and the updates of a source that does not: rows that are not as in the newest named state.
    fn count(&self, index: usize, plan: &SectionPlan, sent: &mut Sent) {
        let frame = &self.run.recording.frames[index];
        let is_unchanged = |row: &&PlannedRow| {
            let old = row.references.newest().and_then(|tick| self.history.at(tick));
            old.is_some_and(|old| {
                let tables: &Tables = old.tables(Sight::Public);
                is_same(&frame.tables, tables, row)
            })
        };
        let unchanged = plan.rows.iter().filter(is_unchanged).count() as u64;
        let rows = plan.rows.len() as u64;
        sent.rows += rows;
        sent.unchanged_rows += unchanged;
        sent.updates += frame.updates.unwrap_or(rows - unchanged);
    }
}

/// Whether a planned row has the same columns in both.
fn is_same(tables: &Tables, old: &Tables, row: &PlannedRow) -> bool {
    let (table, old): (&Table, &Table) = (tables.table(row.kind), old.table(row.kind));
    let index = row.row as usize;
    let Some(old_index) = old.find(table.heads()[index].id) else { return false };
    table.values(index) == old.values(old_index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::lattice::{Lattice, Layout, SourceField, SourceKind, Value};
    use crate::trace::recording::Builder;
    use tickwire_protocol::TickRate;
    use tickwire_protocol::schema::FieldType;

    fn options() -> Options {
        let prior = Prior::default_prior();
        Options { baseline: Baseline::Previous, coder: Coder::Dense, prior, lossy: None, by_field: false }
    }

    fn recording() -> Recording {
        let fields = vec![SourceField::new("n", FieldType::integer(0..=1000))];
        let layout = Layout::new("r", &[SourceKind { name: "k", fields }], &Lattice::Exact).unwrap();
        let mut builder = Builder::new(layout, TickRate::new(60).unwrap());
        for frame in 0..20 {
            for instance in 0..3 {
                builder.object(0, instance, &[Value::Integer(frame * i32::from(instance))]).unwrap();
            }
            builder.frame(Tick(frame as u32), None);
        }
        builder.finish("test", false).unwrap()
    }

    #[test]
    fn rows_that_end_a_motion_are_counted_apart() {
        let outcome = run(&recording(), &options()).unwrap();
        assert_eq!(outcome.failure, None);
        assert_eq!((outcome.frames, outcome.decoded), (20, 20));
        // Three are new, two change in each of the 19 frames after; the third comes to rest, which is told once.
        assert_eq!((outcome.rows, outcome.unchanged_rows, outcome.updates), (3 + 38 + 1, 1, 3 + 38));
    }

    #[test]
    fn a_frame_that_was_changed_on_its_way_is_found() {
        let recording = recording();
        let options = options();
        let run = Run::new(&recording, &options).unwrap();
        let mut sent = run.send().unwrap();
        let whole = run.receive(&sent);
        assert_eq!(whole.failure, None);
        assert_eq!(run.receive_shuffled(&sent, &whole).unwrap(), None);
        let bytes = sent.frames[9].bytes.clone();
        let mut found = 0;
        for place in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[place] ^= 0x10;
            sent.frames[9].bytes = changed.into();
            let received = run.receive(&sent);
            // Towards the end the range coder leaves bits that say nothing.
            let Some(failure) = received.failure else { continue };
            assert!(failure.starts_with("frame 9: ") && received.decoded < 20, "{failure}");
            let alone = run.receive_shuffled(&sent, &whole).unwrap().unwrap();
            assert!(alone.starts_with("alone, frame 9: "), "{alone}");
            found += 1;
        }
        assert!(found + 2 >= bytes.len(), "found {found} of {} changes", bytes.len());
    }

    #[test]
    fn a_frame_cannot_be_decoded_without_the_states_that_it_names() {
        let recording = recording();
        let options = options();
        let run = Run::new(&recording, &options).unwrap();
        let sent = run.send().unwrap();
        let states = States::new([]);
        let (result, _) = run.decode(&run.codec, &sent.frames[5], &states, &mut DecodedSnapshot::default());
        assert!(result.unwrap_err().starts_with("frame 5: "));
    }

    #[test]
    fn states_that_differ_are_told_apart() {
        let recording = recording();
        let mut history = History::new(recording.schema().clone(), recording.rate);
        history.publish(Tick(1), &recording.frames[1].tables);
        let held = Held::given(history.newest().unwrap());
        assert_eq!(held.differs_from(&recording.frames[1].tables), None);
        assert_eq!(held.differs_from(&recording.frames[2].tables).unwrap(), "column 0 of 1v1 is 1");
        let mut tables = Tables::new(recording.schema().clone());
        assert_eq!(held.differs_from(&tables).unwrap(), "0v1 is too much");
        for slot in [0, 2] {
            let id = EntityId { slot, generation: 1 };
            tables.insert(KindId(0), tickwire_protocol::RowHead::new(id)).copy_from(&[2 * i32::from(slot)]);
        }
        assert_eq!(held.differs_from(&tables).unwrap(), "1v1 stands where 2v1 must be");
    }
}
