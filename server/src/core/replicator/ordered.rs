//! Snapshots on a stream that keeps order and loses nothing: whatever is written is known when the next frame is decoded.

use tickwire_protocol::frame::{FrameType, HEADER_BYTES_MAX, write_frame_with};
use tickwire_protocol::history::Published;
use tickwire_protocol::limits::{BODY_BYTES_MAX, OWN_BYTES_MAX};
use tickwire_protocol::snapshot::{
    Feedback, PlannedRow, References, SectionPlan, SnapshotHeader, TickWidth, Written,
};

use super::beside::lean_on_view;
use super::{Replicator, Source, Told};
use crate::core::packer::{Eyes, Space};
use crate::core::shared::{Plans, Shared, whole_rows};
use crate::core::view::know;
use crate::core::viewer::Viewer;

impl Replicator {
    /// Appends the newest tick to `out` as one SNAPSHOT frame.
    pub(crate) fn write_ordered(
        &mut self,
        source: &Source<'_>,
        shared: &mut Shared,
        space: &Space,
        feedback: Option<Feedback>,
        with_digest: bool,
        out: &mut Vec<u8>,
    ) -> Told {
        let Some(newest) = source.history.newest() else { return Told::default() };
        let viewer = self.look(source, newest, &mut shared.plans);
        let mut told = Told { owns: self.owns(&shared.plans), ..Told::default() };
        let mut header = self.header(newest.tick(), feedback, true);
        let room = space.bytes.saturating_sub(front_bytes(&header, with_digest));
        let most = own_bytes_at_most(source, &shared.plans.own);
        let (mut step, mut left, mut own_is_over) = (None, room, false);
        if most <= room.min(OWN_BYTES_MAX) {
            step = self.take_step(source, newest, viewer, shared, room - most);
        }
        if step.is_none() {
            // It is tight: then what the own rows take is to be known exactly.
            let own = self.fit_own(source, newest, shared, room, &mut header);
            (left, own_is_over) = (room.saturating_sub(own), own > room);
            step = self.take_step(source, newest, viewer, shared, left);
        }
        if step.is_none() {
            told.whole = self.go_alone(source, newest, viewer, shared, (space, left));
            told.whole_left =
                told.whole - whole_rows(&shared.plans.view.section.rows[..shared.body.written.rows]);
        }
        let Shared { cohorts, rows, plans, body, .. } = shared;
        self.lean(source, newest, &header, plans);
        let Plans { own: own_plan, followed, .. } = plans;
        let step = step.map(|place| cohorts.at(place));
        let body = step.map_or(&*body, |step| &step.body);
        told.whole = step.map_or(told.whole, |step| step.whole);
        self.sent += 1;
        let start = out.len();
        write_frame_with(out, FrameType::Snapshot, |out| {
            let Self { view, own, .. } = self;
            let mut know_own = |written: Written| {
                know(own, source.history, own_plan, written);
                if (written.leaves, written.rows) == (own_plan.leaves.len(), own_plan.rows.len()) {
                    own.hold(source.history, newest, followed);
                }
                own.digest()
            };
            let mut digest = |own_written| view.known.digest().wrapping_add(know_own(own_written));
            let asked: Option<&mut dyn FnMut(Written) -> u64> =
                if with_digest { Some(&mut digest) } else { None };
            let written = source.codec.write_snapshot(
                &header,
                source.history,
                own_plan,
                OWN_BYTES_MAX,
                asked,
                body,
                rows,
                out,
            );
            if !with_digest {
                know_own(written);
            }
        });
        (told.bytes, told.is_cut) = (out.len() - start, self.is_tight);
        let may_be_over = self.is_tight || own_is_over || space.is_full;
        debug_assert!(told.bytes <= space.bytes || may_be_over, "{told:?} of {space:?}");
        self.flight.handle_sent(space.now, newest.tick(), told.bytes);
        told
    }

    /// Has own rows lean on everyone's, of which the view holds what goes into this frame. What is left out goes without saying only if the
    /// header says that all own rows are told.
    fn lean(&self, source: &Source<'_>, newest: &Published, header: &SnapshotHeader, plans: &mut Plans) {
        plans.followed.clear();
        if header.own_is_whole {
            let owned = source.scene.owned_by(self.viewer.player);
            lean_on_view(source, newest, (&self.view.known, &self.own), owned, plans);
        }
    }

    /// All that is news, together with those in step, if it fits into `room`: where that step is. Whoever could not be told all the
    /// last time is not likely to be now.
    fn take_step(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        viewer: Viewer,
        Shared { cohorts, rows, plans, .. }: &mut Shared,
        room: usize,
    ) -> Option<usize> {
        if self.is_tight {
            return None;
        }
        let place = cohorts.step(source, newest, (&self.view, viewer), plans, rows);
        let step = cohorts.at(place);
        if !step.is_all || step.body.byte_len() > room {
            return None;
        }
        self.view = step.to.clone();
        Some(place)
    }

    /// Writes what comes first of what is news into the peer's own body, as much as fits into `room`. Told by slot, as against ticks
    /// all is told or nothing. How many rows that name no state were news.
    fn go_alone(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        viewer: Viewer,
        Shared { cohorts, rows, plans, packer, body, .. }: &mut Shared,
        (space, room): (&Space, usize),
    ) -> usize {
        let view = cohorts.part(&mut self.view);
        view.plan(source, viewer, References::NONE, plans);
        let whole = whole_rows(&plans.view.section.rows);
        let (looker, known, patience) = (&plans.looker, &mut view.known, &mut self.view_patience);
        let mut eyes = Eyes { source, newest, looker, known, patience };
        self.is_tight = !packer.pack_view(&mut eyes, &mut plans.view, rows, space, room);
        if self.is_tight && space.is_of_link {
            self.flight.handle_limited();
        }
        source.codec.write_body(source.history, &plans.view, source.payload_of, BODY_BYTES_MAX, rows, body);
        view.tell(source.history, newest, plans, body, !self.is_tight);
        whole
    }
}

/// Bytes of a row, at most, beside its columns: slot, names, generation, what became of it, and the coder's end.
const ROW_BYTES_AT_MOST: usize = 48;
/// Bytes of a column, at most: 32 bits as they are, and the dearest symbol before them.
const COLUMN_BYTES_AT_MOST: usize = 8;
/// Bytes of a leave, at most.
const LEAVE_BYTES_AT_MOST: usize = 8;

/// What a plan of own rows cannot take more than, bytes: a few times what it does. To weigh it costs as much as to write it, and mostly there
/// is room for all.
fn own_bytes_at_most(source: &Source<'_>, plan: &SectionPlan) -> usize {
    let schema = source.history.schema();
    let row =
        |row: &PlannedRow| ROW_BYTES_AT_MOST + schema.kind(row.kind).column_count() * COLUMN_BYTES_AT_MOST;
    plan.leaves.len() * LEAVE_BYTES_AT_MOST + plan.rows.iter().map(row).sum::<usize>()
}

/// What stands before own rows and body in an ordered stream's frame, bytes: its own header and the snapshot's.
fn front_bytes(header: &SnapshotHeader, with_digest: bool) -> usize {
    let tick = if header.tick_width == TickWidth::Full { 4 } else { 1 };
    let feedback = header.feedback.map_or(0, |feedback| if feedback.substituted == 0 { 2 } else { 6 });
    let own_length = 2;
    HEADER_BYTES_MAX + 1 + tick + feedback + own_length + if with_digest { 8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::history::History;
    use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
    use tickwire_protocol::snapshot::Codec;
    use tickwire_protocol::{EntityId, Micros, PlayerId, RowHead, Tables, Tick, TickRate};

    use tickwire_protocol::handshake::StreamKind;

    use crate::core::cue_log::CueLog;
    use crate::core::interest::Interest;
    use crate::core::priority::Priority;
    use crate::core::scene::Scene;

    const K: KindId = KindId(0);

    /// A player's entity of which everybody sees one field, which rests, and its owner many more, which change.
    fn publish(history: &mut History, tick: u32) {
        let mut tables = Tables::new(history.schema().clone());
        let mut head = RowHead::new(EntityId { slot: 0, generation: 1 });
        head.owner = Some(PlayerId(1));
        let mut columns: Vec<_> =
            (1..=63).map(|field| (tick * tick * field * 7_919 % 60_000) as i32).collect();
        columns.insert(0, 7);
        tables.insert(K, head).copy_from(&columns);
        tables.finish();
        history.publish(Tick(tick), &tables);
    }

    #[test]
    fn an_own_row_that_never_finds_room_goes_all_the_same() {
        let number =
            |field: u8| Field::new(FieldId(field), &format!("f{field}"), FieldType::integer(0..=60_000));
        let fields = (1..=63).map(|field| number(field).owner_only());
        let kind = Kind::new(K, "kind", core::iter::once(number(0)).chain(fields));
        let schema = Schema::builder("own").kind(kind).build().unwrap();
        let rate = TickRate::new(60).unwrap();
        let (codec, cues) = (Codec::new(schema.clone(), rate), CueLog::new(rate));
        let (mut history, mut scene) = (History::new(schema, rate), Scene::default());
        let (interest, priority) = (Interest::everything(), Priority::default());
        let viewer = Viewer { player: Some(PlayerId(1)), delta: true, ..Viewer::default() };
        let mut peer = Replicator::new(StreamKind::Ordered, viewer, 0);
        let mut shared = Shared::default();
        let mut sizes = Vec::new();
        for tick in 1..=40 {
            publish(&mut history, tick);
            scene.refresh(&history, &interest);
            let (history, scene) = (&history, &scene);
            let (codec, cues, interest, priority) = (&codec, &cues, &interest, &priority);
            let source = Source { codec, history, cues, scene, interest, priority, payload_of: &|_| None };
            // At first there is room until all has come to rest but what the owner sees; then the link has room for nothing large.
            let bytes = if tick <= 20 { 4_000 } else { 64 };
            let (now, is_full) = (Micros(u64::from(tick) * 50_000), false);
            let space = Space { now, bytes, is_of_link: true, is_full, is_joining: false };
            sizes.push(peer.write_ordered(&source, &mut shared, &space, None, false, &mut Vec::new()).bytes);
        }
        let over = sizes[20..].iter().filter(|bytes| **bytes > 64).count();
        assert_eq!(over, 2, "{sizes:?}: once in so many snapshots as may pass it over");
    }
}
