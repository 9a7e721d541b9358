//! Snapshots in datagrams: each stands alone, and what it carried is known when its ack comes.

use std::collections::VecDeque;
use std::sync::Arc;

use tickwire_protocol::Tick;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, write_frame_with};
use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::{ACK_WORDS_MAX, DATAGRAM_BYTES_MAX, DATAGRAMS_IN_FLIGHT_MAX};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::{Feedback, Leave, References, SectionPlan, SnapshotHeader, Written};

use super::beside::lean_on_rows;
use super::{Replicator, Source, Told};
use crate::core::budget::SNAPSHOT_BYTES_MIN;
use crate::core::knowledge::{Knowledge, SentRow};
use crate::core::packer::{Eyes, Space};
use crate::core::shared::{Plans, Shared, whole_rows};

/// How far behind the newest acked datagram an ack can still tell of one.
const ACK_REACH_FRAMES: i32 = (ACK_WORDS_MAX * u32::BITS as usize) as i32;

/// Datagrams of one snapshot. A world that needs more comes over several snapshots.
const DATAGRAMS_PER_SNAPSHOT_MAX: usize = 32;

/// Bytes of own rows in a datagram: half, so that others come through as well.
const OWN_DATAGRAM_BYTES_MAX: usize = DATAGRAM_BYTES_MAX / 2;

/// Bytes around a datagram's body that are not own rows: frame header, tick, sequence, feedback, length of own rows.
const DATAGRAM_HEADER_BYTES_MAX: usize = 20;

/// How far before its limit a writer stops at the most, bytes.
const WRITER_AHEAD_BYTES: usize = 16;

/// What the cut between two datagrams costs: the front of the next, and room that the next row did not fit into.
const DATAGRAM_CUT_BYTES: usize = DATAGRAM_HEADER_BYTES_MAX + 40;

/// Sent datagrams of which nothing is known yet.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// Those that may still be acked, oldest first.
    in_flight: VecDeque<InFlight>,
    /// Records of acked ones, for their memory.
    spare: Vec<InFlight>,
    /// Rows that name no state and were taken out of the plan of the last ones.
    whole_cut: usize,
}

/// What a datagram carried.
#[derive(Debug, Default)]
struct InFlight {
    sequence: Sequence,
    tick: Tick,
    view: Vec<SentRow>,
    own: Vec<SentRow>,
    view_leaves: Vec<Leave>,
    own_leaves: Vec<Leave>,
    /// First and one past the last cue.
    cues: (u64, u64),
}

impl Datagrams {
    /// The record of a datagram that is acked.
    fn take(&mut self, sequence: Sequence) -> Option<InFlight> {
        let place = self.in_flight.binary_search_by_key(&0, |sent| sent.sequence.since(sequence)).ok()?;
        self.in_flight.remove(place)
    }

    fn give_up_oldest(&mut self) {
        self.in_flight.pop_front().into_iter().for_each(|lost| self.recycle(lost));
    }

    fn recycle(&mut self, mut record: InFlight) {
        record.view.clear();
        record.own.clear();
        record.view_leaves.clear();
        record.own_leaves.clear();
        self.spare.push(record);
    }

    /// Gives up what no ack can tell of any more: it is too far behind the newest that was acked.
    fn forget_lost(&mut self, newest: Sequence) {
        while self.in_flight.front().is_some_and(|sent| newest.since(sent.sequence) > ACK_REACH_FRAMES) {
            self.give_up_oldest();
        }
    }
}

impl Replicator {
    /// Hands the newest tick to `send` as independent SNAPSHOT frames, each fit for a datagram. What they carry is
    /// known when their acks come.
    pub(crate) fn write_datagrams(
        &mut self,
        source: &Source<'_>,
        shared: &mut Shared,
        space: &Space,
        feedback: Option<Feedback>,
        mut send: impl FnMut(&[u8]),
    ) -> Told {
        let Some(newest) = source.history.newest() else { return Told::default() };
        let viewer = self.look(source, newest, &mut shared.plans);
        Arc::make_mut(&mut self.view).plan(source, viewer, References::NONE, &mut shared.plans);
        let whole = whole_rows(&shared.plans.view.section.rows);
        let mut told = Told { whole, owns: self.owns(&shared.plans), ..Told::default() };
        let mut left = space.bytes;
        let mut header = self.header(newest.tick(), feedback, true);
        let own_bytes =
            self.fit_own(source, newest, shared, left.saturating_sub(DATAGRAM_HEADER_BYTES_MAX), &mut header);
        self.fit_datagrams(source, newest, shared, space, own_bytes);
        if shared.plans.view.section.rows.len() == 1 {
            // Alone it may take more than there is.
            left = left.max(DATAGRAM_BYTES_MAX);
        }
        for part in 0..DATAGRAMS_PER_SNAPSHOT_MAX {
            let is_over = shared.plans.own.is_empty() && shared.plans.view.section.is_empty();
            if part > 0 && (is_over || left < SNAPSHOT_BYTES_MIN) {
                break;
            }
            if part > 0 {
                header = self.header(newest.tick(), feedback, false);
            }
            let is_progress = self.write_datagram(source, newest, shared, &header, left);
            let bytes = shared.frame.len();
            self.flight.handle_sent(space.now, newest.tick(), bytes);
            send(&shared.frame);
            told.bytes += bytes;
            left = left.saturating_sub(bytes);
            if !is_progress {
                break;
            }
        }
        told.whole_left = whole_rows(&shared.plans.view.section.rows) + self.datagrams.whole_cut;
        told.is_cut = self.is_tight;
        told
    }

    /// Leaves in the plan of everyone's view what fits into datagrams of `space` together.
    fn fit_datagrams(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        Shared { rows, plans, packer, body, .. }: &mut Shared,
        space: &Space,
        own_bytes: usize,
    ) {
        let Plans { looker, view: plan, .. } = plans;
        let one = space.bytes.min(DATAGRAM_BYTES_MAX).saturating_sub(DATAGRAM_HEADER_BYTES_MAX + own_bytes);
        self.datagrams.whole_cut = 0;
        if !self.is_tight {
            source.codec.write_body(source.history, plan, source.payload_of, one, rows, body);
            if body.written.rows == plan.section.rows.len()
                && body.written.leaves == plan.section.leaves.len()
            {
                return;
            }
        }
        let datagrams = space.bytes.div_ceil(DATAGRAM_BYTES_MAX).min(DATAGRAMS_PER_SNAPSHOT_MAX);
        let bytes = space.bytes.min(datagrams * DATAGRAM_BYTES_MAX);
        let room = bytes.saturating_sub(own_bytes + datagrams * DATAGRAM_CUT_BYTES);
        let before = whole_rows(&plan.section.rows);
        let (known, patience) = (&mut Arc::make_mut(&mut self.view).known, &mut self.view_patience);
        let mut eyes = Eyes { source, newest, looker, known, patience };
        self.is_tight = !packer.pack_view(&mut eyes, plan, rows, space, room);
        if self.is_tight && space.is_of_link {
            self.flight.handle_limited();
        }
        self.datagrams.whole_cut = before - whole_rows(&plan.section.rows);
    }

    /// Writes one datagram of at most `bytes` of what is left of the plans into `frame`; whether it carries any of it.
    fn write_datagram(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        Shared { rows, plans, body, frame, packer, .. }: &mut Shared,
        header: &SnapshotHeader,
        bytes: usize,
    ) -> bool {
        let mut sent = self.start_flight(newest.tick(), source.cues.first_index());
        // By themselves: beside which of everyone's is known once these are written, and takes less.
        plans.own.rows.iter_mut().for_each(|row| row.sight = Sight::Own);
        let own_bytes = packer.own_bytes(source, &plans.own, rows).min(OWN_DATAGRAM_BYTES_MAX);
        let bytes = bytes.min(DATAGRAM_BYTES_MAX) - DATAGRAM_HEADER_BYTES_MAX;
        let body_bytes = bytes.saturating_sub(own_bytes);
        // A writer stops a little before its limit, so that it can end.
        let own_limit = (own_bytes + WRITER_AHEAD_BYTES).min(OWN_DATAGRAM_BYTES_MAX);
        let Plans { selection, view: view_plan, own: own_plan, .. } = plans;
        source.codec.write_body(source.history, view_plan, source.payload_of, body_bytes, rows, body);
        lean_on_rows(source.history, &view_plan.section.rows[..body.written.rows], own_plan);
        frame.clear();
        let mut own_written = Written::default();
        write_frame_with(frame, FrameType::Snapshot, |out| {
            own_written = source.codec.write_snapshot(
                header,
                source.history,
                own_plan,
                own_limit,
                None,
                body,
                rows,
                out,
            );
        });
        let (written, cues) = (body.written, body.cues);
        view_plan.cues.clear();
        note(
            &mut Arc::make_mut(&mut self.view).known,
            source.history,
            &mut view_plan.section,
            written,
            &mut sent.view,
            &mut sent.view_leaves,
        );
        note(&mut self.own, source.history, own_plan, own_written, &mut sent.own, &mut sent.own_leaves);
        sent.cues.1 = selection.cue_after(cues);
        // They go with the first datagram, or not at all.
        selection.take_cues_from(sent.cues.0);
        self.datagrams.in_flight.push_back(sent);
        self.sent += 1;
        written != Written::default() || own_written != Written::default()
    }

    /// A record of the next datagram; the oldest is given up for lost when there are too many.
    fn start_flight(&mut self, tick: Tick, first_cue: u64) -> InFlight {
        if self.datagrams.in_flight.len() >= DATAGRAMS_IN_FLIGHT_MAX {
            self.datagrams.give_up_oldest();
        }
        let record = self.datagrams.spare.pop().unwrap_or_default();
        // What the log has lost is no longer waited for.
        let view = Arc::make_mut(&mut self.view);
        view.next_cue = view.next_cue.max(first_cue);
        let cues = (view.next_cue, view.next_cue);
        InFlight { sequence: self.sequence(), tick, cues, ..record }
    }

    /// What these datagrams carried is known.
    pub(super) fn handle_datagram_acks(&mut self, ack: &Ack) {
        let Self { datagrams, held, own, .. } = self;
        let view = Arc::make_mut(&mut self.view);
        for sequence in ack.acked() {
            let Some(sent) = datagrams.take(sequence) else { continue };
            held.insert(sent.tick);
            sent.view.iter().for_each(|row| view.known.acked(sent.tick, *row));
            sent.own.iter().for_each(|row| own.acked(sent.tick, *row));
            view.known.leaves_acked(sent.tick, &sent.view_leaves);
            own.leaves_acked(sent.tick, &sent.own_leaves);
            if sent.cues.0 <= view.next_cue {
                view.next_cue = view.next_cue.max(sent.cues.1);
            }
            datagrams.recycle(sent);
        }
        datagrams.forget_lost(Sequence(self.acked.wrapping_sub(1) as u16));
    }
}

/// On datagrams: what is written is noted, to be known when its ack comes, and taken off the plan.
fn note(
    knowledge: &mut Knowledge,
    history: &History,
    plan: &mut SectionPlan,
    written: Written,
    rows: &mut Vec<SentRow>,
    leaves: &mut Vec<Leave>,
) {
    let Some(newest) = history.newest() else { return };
    for leave in &plan.leaves[..written.leaves] {
        knowledge.leave_sent(newest.tick(), *leave);
        leaves.push(*leave);
    }
    knowledge.send(history, newest, &plan.rows[..written.rows], |sent| rows.push(sent));
    plan.drain(written);
}
