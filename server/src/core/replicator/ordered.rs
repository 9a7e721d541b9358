//! Snapshots on a stream that keeps order and loses nothing: whatever is written is known when the next frame is decoded.

use tickwire_protocol::frame::{FrameType, HEADER_BYTES_MAX, write_frame_with};
use tickwire_protocol::history::Published;
use tickwire_protocol::limits::{BODY_BYTES_MAX, OWN_BYTES_MAX};
use tickwire_protocol::snapshot::{
    EncodedBody, Feedback, References, RowCache, SnapshotHeader, TickWidth, Written,
};

use super::{Replicator, Source, Told};
use crate::core::cohort::{Cohorts, Step};
use crate::core::packer::{Eyes, Packer, Space};
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
        let own_bytes = self.fit_own(source, newest, shared, room, &mut header);
        let room = room.saturating_sub(own_bytes);
        let Shared { cohorts, rows, plans, body, packer, .. } = shared;
        let step = self.take_step(source, newest, viewer, (cohorts, rows, plans), room);
        let body = if let Some(step) = step {
            told.whole = step.whole;
            &step.body
        } else {
            self.go_alone(
                source,
                newest,
                viewer,
                (cohorts, rows, plans, packer),
                (space, room),
                body,
                &mut told,
            );
            body
        };
        self.sent += 1;
        let start = out.len();
        write_frame_with(out, FrameType::Snapshot, |out| {
            let Self { view, own, .. } = self;
            let mut digest = |own_written| {
                know(own, source.history, &plans.own, own_written);
                view.known.digest().wrapping_add(own.digest())
            };
            let asked: Option<&mut dyn FnMut(Written) -> u64> =
                if with_digest { Some(&mut digest) } else { None };
            let written = source.codec.write_snapshot(
                &header,
                source.history,
                &plans.own,
                OWN_BYTES_MAX,
                asked,
                body,
                rows,
                out,
            );
            if !with_digest {
                know(own, source.history, &plans.own, written);
            }
        });
        (told.bytes, told.is_cut) = (out.len() - start, self.is_tight);
        self.flight.handle_sent(space.now, newest.tick(), told.bytes);
        told
    }

    /// All that is news, together with those in step, if it fits into `room`. Whoever could not be told all the last time is not
    /// likely to be now.
    fn take_step<'a>(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        viewer: Viewer,
        (cohorts, rows, plans): (&'a mut Cohorts, &mut RowCache, &mut Plans),
        room: usize,
    ) -> Option<&'a Step> {
        if self.is_tight {
            return None;
        }
        let step = cohorts.step(source, newest, (&self.view, viewer), plans, rows);
        if !step.is_all || step.body.byte_len() > room {
            return None;
        }
        self.view = step.to.clone();
        Some(step)
    }

    /// What comes first of what is news, as much as fits into `room`. Told by slot, as against ticks all is told or nothing.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is shared, piece by piece, as the body is handed out"
    )]
    fn go_alone(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        viewer: Viewer,
        (cohorts, rows, plans, packer): (&mut Cohorts, &mut RowCache, &mut Plans, &mut Packer),
        (space, room): (&Space, usize),
        body: &mut EncodedBody,
        told: &mut Told,
    ) {
        let view = cohorts.part(&mut self.view);
        view.plan(source, newest, viewer, References::NONE, plans);
        told.whole = whole_rows(&plans.view.section.rows);
        let (looker, known, patience) = (&plans.looker, &mut view.known, &mut self.view_patience);
        let mut eyes = Eyes { source, newest, looker, known, patience };
        self.is_tight = !packer.pack_view(&mut eyes, &mut plans.view, rows, space, room);
        if self.is_tight && space.is_of_link {
            self.flight.handle_limited();
        }
        source.codec.write_body(source.history, &plans.view, source.payload_of, BODY_BYTES_MAX, rows, body);
        view.tell(source.history, newest, plans, body, !self.is_tight);
        told.whole_left = told.whole - whole_rows(&plans.view.section.rows[..body.written.rows]);
    }
}

/// What stands before own rows and body in an ordered stream's frame, bytes: its own header and the snapshot's.
fn front_bytes(header: &SnapshotHeader, with_digest: bool) -> usize {
    let tick = if header.tick_width == TickWidth::Full { 4 } else { 2 };
    let feedback = header.feedback.map_or(0, |feedback| if feedback.substituted == 0 { 3 } else { 7 });
    let own_length = 2;
    HEADER_BYTES_MAX + 1 + tick + feedback + own_length + if with_digest { 8 } else { 0 }
}
