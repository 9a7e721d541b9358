//! From what a peer knows to the snapshot frames that it is sent, and from its acks back to what it knows.

use std::collections::VecDeque;

use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, HEADER_BYTES_MAX, write_frame_with};
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::{
    ACK_WORDS_MAX, BODY_BYTES_MAX, DATAGRAM_BYTES_MAX, DATAGRAMS_IN_FLIGHT_MAX, HISTORY_TICKS, OWN_BYTES_MAX,
};
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, EncodedBody, Feedback, Leave, NEAR_TICKS_MAX, PlannedRow, References, RowCache,
    SectionPlan, SnapshotHeader, TickWidth, Written,
};
use tickwire_protocol::{EntityId, Micros, Misbehavior, Tick};

use super::budget::SNAPSHOT_BYTES_MIN;
use super::cue_log::CueLog;
use super::flight::Flight;
use super::interest::{Interest, Looker, Selection};
use super::knowledge::{Knowledge, SentRow, Viewer};
use super::packer::{Eyes, Packer, Patience, Space};
use super::priority::Priority;
use super::scene::{Place, Scene, find, position_of, row_at};
use super::shared::{BodyCache, Plans, Shared};
use super::sightings::Sightings;
use super::tick_set::TickSet;

/// Bytes of own rows in a datagram: half, so that others come through as well.
const OWN_DATAGRAM_BYTES_MAX: usize = DATAGRAM_BYTES_MAX / 2;

/// Bytes around a datagram's body that are not own rows: frame header, tick, sequence, feedback, length of own rows.
const DATAGRAM_HEADER_BYTES_MAX: usize = 20;

/// How far before its limit a writer stops at the most, bytes.
const WRITER_AHEAD_BYTES: usize = 16;

/// What the cut between two datagrams costs: the front of the next, and room that the next row did not fit into.
const DATAGRAM_CUT_BYTES: usize = DATAGRAM_HEADER_BYTES_MAX + 40;

/// Ticks without a snapshot after which a short tick could be taken for another: it is then sent whole.
const FULL_TICK_GAP: i32 = 1 << 14;

/// How far behind the newest acked datagram an ack can still tell of one.
const ACK_REACH_FRAMES: i32 = (ACK_WORDS_MAX * u32::BITS as usize) as i32;

/// Datagrams of one snapshot. A world that needs more comes over several snapshots.
const DATAGRAMS_PER_SNAPSHOT_MAX: usize = 32;

/// What a snapshot is made from: shared by all peers of a room.
pub(crate) struct Source<'a> {
    pub(crate) codec: &'a Codec,
    pub(crate) history: &'a History,
    pub(crate) cues: &'a CueLog,
    pub(crate) scene: &'a Scene,
    pub(crate) interest: &'a Interest,
    pub(crate) priority: &'a Priority,
    pub(crate) payload_of: &'a dyn Fn(EntityId) -> Option<Bytes>,
}

/// What a peer's replica holds, and what is on its way.
#[derive(Debug)]
pub(crate) struct Replicator {
    stream: StreamKind,
    viewer: Viewer,
    view: Knowledge,
    own: Knowledge,
    /// Frames sent so far; the low 16 bits are the next one's sequence.
    sent: u64,
    /// Frames known to be behind the client: one past the newest that it acked.
    acked: u64,
    /// Ticks of snapshots that the client has applied, by its acks; on datagrams, at least a part of each.
    held: TickSet,
    /// What is on its way.
    flight: Flight,
    /// Sent datagrams that may still be acked, oldest first.
    in_flight: VecDeque<InFlight>,
    /// Records of acked ones, for their memory.
    spare: Vec<InFlight>,
    /// Index in the room's log of the first cue that the peer may not have.
    next_cue: u64,
    last_sent: Option<Tick>,
    /// On an ordered stream: ticks of the last snapshots, as far back as each told all that was news; newest first.
    whole: References,
    /// Where the peer was last seen to look from, and from where it was told to look.
    focus: Option<Vec3>,
    focus_set: Option<Vec3>,
    /// Where to it was told to look.
    facing: Option<Vec3>,
    own_teams: u32,
    /// Whom it was shown lately; nothing if everything is shown.
    sightings: Sightings,
    /// Not all that was news fitted into the last snapshot: it is not tried again to write all.
    is_tight: bool,
    view_patience: Patience,
    own_patience: Patience,
    /// Rows that name no state and were taken out of the plan of the last datagrams.
    whole_cut: usize,
}

/// What a snapshot told, as far as it matters who has just come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Rows that named no state, and of them those that did not fit.
    pub(crate) whole: usize,
    pub(crate) whole_left: usize,
    /// Whether the peer has rows of its own.
    pub(crate) owns: bool,
    /// Bytes of frames.
    pub(crate) bytes: usize,
    /// Not all that was news fitted.
    pub(crate) is_cut: bool,
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

impl Replicator {
    pub(crate) fn new(stream: StreamKind, viewer: Viewer, next_cue: u64) -> Self {
        Self {
            stream,
            viewer,
            view: Knowledge::of_view(),
            own: Knowledge::of_own_rows(),
            sent: 0,
            acked: 0,
            held: TickSet::default(),
            flight: Flight::default(),
            in_flight: VecDeque::new(),
            spare: Vec::new(),
            next_cue,
            last_sent: None,
            whole: References::NONE,
            focus: None,
            focus_set: None,
            facing: None,
            own_teams: 0,
            sightings: Sightings::default(),
            is_tight: false,
            view_patience: Patience::default(),
            own_patience: Patience::default(),
            whole_cut: 0,
        }
    }

    /// From where the peer looks, whatever its entities are; nothing for where they are.
    pub(crate) fn set_focus(&mut self, focus: Option<Vec3>) {
        self.focus_set = focus;
    }

    /// Where to the peer looks; nothing if nobody knows.
    pub(crate) fn set_facing(&mut self, facing: Option<Vec3>) {
        self.facing = facing;
    }

    /// What is on its way to the peer.
    pub(crate) fn flight(&self) -> &Flight {
        &self.flight
    }

    /// Something had to wait for what is on its way.
    pub(crate) fn handle_limited(&mut self) {
        self.flight.handle_limited();
    }

    /// Ticks of the snapshots that the client has applied.
    pub(crate) fn held(&self) -> &TickSet {
        &self.held
    }

    /// The teams of the peer's own entities at its newest snapshot.
    pub(crate) fn own_teams(&self) -> u32 {
        self.own_teams
    }

    /// Whom the peer was shown lately, in a room that does not show everything.
    pub(crate) fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// The client has applied these frames.
    pub(crate) fn handle_ack(&mut self, now: Micros, ack: &Ack) -> Result<(), Misbehavior> {
        let behind = u64::from(self.sequence().0.wrapping_sub(ack.newest.0));
        // Zero and half the circle on are the future; so is what is further back than the first frame.
        if behind == 0 || behind > self.sent.min(i16::MAX as u64) {
            return Err(Misbehavior::FutureAck(ack.newest.0));
        }
        self.acked = self.acked.max(self.sent - behind + 1);
        let (is_ordered, held) = (self.stream == StreamKind::Ordered, &mut self.held);
        self.flight.handle_ack(now, (self.sent - self.acked) as usize, |tick| {
            if is_ordered {
                held.insert(tick);
            }
        });
        if is_ordered {
            return Ok(());
        }
        for sequence in ack.acked() {
            let Ok(place) = self.in_flight.binary_search_by_key(&0, |sent| sent.sequence.since(sequence))
            else {
                continue;
            };
            let Some(mut sent) = self.in_flight.remove(place) else { continue };
            self.held.insert(sent.tick);
            sent.view.iter().for_each(|row| self.view.acked(sent.tick, *row));
            sent.own.iter().for_each(|row| self.own.acked(sent.tick, *row));
            self.view.leaves_acked(sent.tick, &sent.view_leaves);
            self.own.leaves_acked(sent.tick, &sent.own_leaves);
            if sent.cues.0 <= self.next_cue {
                self.next_cue = self.next_cue.max(sent.cues.1);
            }
            sent.clear();
            self.spare.push(sent);
        }
        self.forget_lost();
        Ok(())
    }

    /// Gives up what no ack can tell of any more: it is too far behind the newest that was acked.
    fn forget_lost(&mut self) {
        let newest = Sequence(self.acked.wrapping_sub(1) as u16);
        while self.in_flight.front().is_some_and(|sent| newest.since(sent.sequence) > ACK_REACH_FRAMES) {
            if let Some(mut lost) = self.in_flight.pop_front() {
                lost.clear();
                self.spare.push(lost);
            }
        }
    }

    fn sequence(&self) -> Sequence {
        Sequence(self.sent as u16)
    }

    /// Appends the newest tick to `out` as one SNAPSHOT frame, for a stream that keeps order and loses nothing:
    /// whatever is written is known when the next frame is decoded.
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
        let against = self.nameable(newest.tick());
        self.plan(source, newest, against, &mut shared.plans);
        let mut told = self.told(&shared.plans);
        let mut header = self.header(newest.tick(), feedback, true);
        let front = front_bytes(&header, with_digest);
        let room = space.bytes.saturating_sub(front);
        let own_bytes = self.fit_own(source, newest, shared, room, &mut header);
        let Shared { bodies, rows, plans, body, packer, .. } = shared;
        let view_room = room.saturating_sub(own_bytes);
        let body = self.encode_view(source, newest, (bodies, body), rows, plans, packer, space, view_room);
        let written = whole_rows(&plans.view.section.rows[..body.written.rows]);
        told.whole_left = told.whole.saturating_sub(written);
        self.sent += 1;
        self.next_cue = plans.selection.cue_after(body.cues);
        let Plans { view: BodyPlan { section, .. }, own: own_plan, .. } = plans;
        let Self { view, own, .. } = self;
        know(view, source.history, section, body.written);
        note_whole(&mut self.whole, newest.tick(), !self.is_tight, view.take_broken());
        let start = out.len();
        write_frame_with(out, FrameType::Snapshot, |out| {
            let mut digest = |own_written| {
                know(own, source.history, own_plan, own_written);
                view.digest().wrapping_add(own.digest())
            };
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
                know(own, source.history, own_plan, written);
            }
        });
        (told.bytes, told.is_cut) = (out.len() - start, self.is_tight);
        self.flight.handle_sent(space.now, newest.tick(), told.bytes);
        told
    }

    fn told(&self, plans: &Plans) -> Told {
        let whole = whole_rows(&plans.view.section.rows);
        let owns = !plans.own.is_empty() || !self.own.is_empty();
        Told { whole, whole_left: whole, owns, bytes: 0, is_cut: false }
    }

    /// Leaves in the plan of own rows what fits, and says what that takes. They come before all others, but where there are so many
    /// that they need more than three quarters, they leave a quarter to these.
    fn fit_own(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        Shared { rows, plans, packer, .. }: &mut Shared,
        room: usize,
        header: &mut SnapshotHeader,
    ) -> usize {
        if plans.own.is_empty() {
            return 0;
        }
        let bytes = packer.own_bytes(source, &plans.own, rows);
        let most = (room / 4 * 3).min(OWN_BYTES_MAX);
        if bytes <= most {
            return bytes;
        }
        let (known, patience) = (&mut self.own, &mut self.own_patience);
        let mut eyes = Eyes { source, newest, looker: &plans.looker, known, patience };
        header.own_is_whole &= packer.pack_own(&mut eyes, &mut plans.own, rows, most);
        // One that was passed over for too long may take more.
        packer.own_bytes(source, &plans.own, rows).max(most)
    }

    /// The ticks that a section may be told against.
    fn nameable(&self, now: Tick) -> References {
        let mut against = References::NONE;
        let in_ring = |tick: &Tick| self.viewer.delta && now.since(*tick) < HISTORY_TICKS as i32;
        self.whole.ticks().take_while(in_ring).for_each(|tick| against.push(tick));
        against
    }

    /// Encodes the plan of everyone's view: all of it, shared with those who need the same; or if that is more than `room`, what comes
    /// first.
    #[expect(clippy::too_many_arguments, reason = "what is shared, piece by piece, as some is handed out")]
    fn encode_view<'a>(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        (bodies, own_body): (&'a mut BodyCache, &'a mut EncodedBody),
        rows: &mut RowCache,
        plans: &mut Plans,
        packer: &mut Packer,
        space: &Space,
        room: usize,
    ) -> &'a EncodedBody {
        let Plans { looker, selection, view: plan, .. } = plans;
        if !self.is_tight {
            let place = bodies.encode(source, plan, rows);
            let body = bodies.body(place);
            let section = &plan.section;
            let all = Written { leaves: section.leaves.len(), rows: section.rows.len() };
            if body.written == all && body.byte_len() <= room {
                return body;
            }
        }
        if !plan.section.against.is_empty() {
            // Against ticks all is told or nothing. By slot rows name what the peer was sent.
            let shown = shown(source, selection);
            let section = &mut plan.section;
            self.view.plan(source.history, self.viewer, self.own_teams, shown, References::NONE, section);
        }
        let (known, patience) = (&mut self.view, &mut self.view_patience);
        let mut eyes = Eyes { source, newest, looker, known, patience };
        self.is_tight = !packer.pack_view(&mut eyes, plan, rows, space, room);
        if self.is_tight && space.is_of_link {
            self.flight.handle_limited();
        }
        source.codec.write_body(source.history, plan, source.payload_of, BODY_BYTES_MAX, rows, own_body);
        own_body
    }

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
        self.plan(source, newest, References::NONE, &mut shared.plans);
        let mut told = self.told(&shared.plans);
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
        told.whole_left = whole_rows(&shared.plans.view.section.rows) + self.whole_cut;
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
        self.whole_cut = 0;
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
        let (known, patience) = (&mut self.view, &mut self.view_patience);
        let mut eyes = Eyes { source, newest, looker, known, patience };
        self.is_tight = !packer.pack_view(&mut eyes, plan, rows, space, room);
        if self.is_tight && space.is_of_link {
            self.flight.handle_limited();
        }
        self.whole_cut = before - whole_rows(&plan.section.rows);
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
        let own_bytes = packer.own_bytes(source, &plans.own, rows).min(OWN_DATAGRAM_BYTES_MAX);
        let bytes = bytes.min(DATAGRAM_BYTES_MAX) - DATAGRAM_HEADER_BYTES_MAX;
        let body_bytes = bytes.saturating_sub(own_bytes);
        // A writer stops a little before its limit, so that it can end.
        let own_limit = (own_bytes + WRITER_AHEAD_BYTES).min(OWN_DATAGRAM_BYTES_MAX);
        let Plans { selection, view: view_plan, own: own_plan, .. } = plans;
        source.codec.write_body(source.history, view_plan, source.payload_of, body_bytes, rows, body);
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
            &mut self.view,
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
        self.in_flight.push_back(sent);
        self.sent += 1;
        written != Written::default() || own_written != Written::default()
    }

    fn plan(&mut self, source: &Source<'_>, newest: &Published, against: References, plans: &mut Plans) {
        let Source { history, scene, interest, .. } = *source;
        let looker = self.look(scene, newest);
        plans.looker = looker;
        let Self { view, sightings, .. } = self;
        let selection = &mut plans.selection;
        if !interest.is_everything() {
            interest.select(scene, newest, &looker, |id| view.was_shown(id), selection);
            sightings.begin(newest.tick());
            let in_view = selection.places.iter().map(|place| row_at(newest, *place).0.id);
            in_view.for_each(|id| sightings.note(id));
        }
        self.plan_cues(source, newest, plans);
        let Plans { selection, view: view_plan, own: own_plan, .. } = plans;
        let Self { view, own, viewer, .. } = self;
        let shown = shown(source, selection);
        view.plan(history, *viewer, looker.teams, shown, against, &mut view_plan.section);
        let owned = scene.owned_by(viewer.player);
        own.plan(history, *viewer, looker.teams, owned, References::NONE, own_plan);
        self.own_teams = looker.teams;
    }

    /// Whose eyes look, and from where.
    fn look(&mut self, scene: &Scene, newest: &Published) -> Looker {
        let player = self.viewer.player;
        let teams = scene.owned_by(player).fold(0, |teams, place| teams | row_at(newest, place).0.teams);
        let body = scene.owned_by(player).find_map(|place| position_of(row_at(newest, place).1));
        self.focus = body.or(self.focus);
        Looker { player, teams, focus: self.focus_set.or(self.focus), facing: self.facing }
    }

    /// The cues that the peer may not have, of those whose source it is shown, or was shown until it ended. It comes before the
    /// plan, which forgets who was shown last.
    fn plan_cues(&self, source: &Source<'_>, newest: &Published, plans: &mut Plans) {
        let Plans { selection, view: view_plan, .. } = plans;
        let view = &self.view;
        let places = &selection.places;
        let everything = source.interest.is_everything();
        let is_shown = |id: EntityId| match find(newest, id) {
            Some(place) => places.binary_search(&place).is_ok(),
            None => view.was_shown(id),
        };
        view_plan.cues.clear();
        selection.cue_numbers.clear();
        for (number, cue) in source.cues.since(self.next_cue) {
            if everything || cue.source.is_none_or(is_shown) {
                view_plan.cues.push(cue);
                selection.cue_numbers.push(number);
            }
        }
        selection.cues_end = source.cues.next_index();
    }

    /// `tells_own` says that the plan has all that is news of the peer's own rows: then what is absent is said, too.
    fn header(&mut self, tick: Tick, feedback: Option<Feedback>, tells_own: bool) -> SnapshotHeader {
        let gap = self.last_sent.map(|last| tick.since(last));
        self.last_sent = Some(tick);
        // Until something is acked, every datagram may be the first that arrives.
        let may_be_first = self.stream == StreamKind::Datagram && self.acked == 0;
        SnapshotHeader {
            tick,
            tick_width: match gap.filter(|_| !may_be_first) {
                // The newest tick that was applied is the one sent last.
                Some(..=NEAR_TICKS_MAX) if self.stream == StreamKind::Ordered => TickWidth::Near,
                Some(..=FULL_TICK_GAP) => TickWidth::Usual,
                _ => TickWidth::Full,
            },
            sequence: (self.stream == StreamKind::Datagram).then(|| self.sequence()),
            feedback,
            own_is_whole: tells_own && self.viewer.player.is_some(),
        }
    }

    /// A record of the next datagram; the oldest is given up for lost when there are too many.
    fn start_flight(&mut self, tick: Tick, first_cue: u64) -> InFlight {
        if self.in_flight.len() >= DATAGRAMS_IN_FLIGHT_MAX
            && let Some(mut lost) = self.in_flight.pop_front()
        {
            lost.clear();
            self.spare.push(lost);
        }
        let record = self.spare.pop().unwrap_or_default();
        // What the log has lost is no longer waited for.
        self.next_cue = self.next_cue.max(first_cue);
        let first_cue = self.next_cue;
        InFlight { sequence: self.sequence(), tick, cues: (first_cue, first_cue), ..record }
    }
}

impl InFlight {
    fn clear(&mut self) {
        self.view.clear();
        self.own.clear();
        self.view_leaves.clear();
        self.own_leaves.clear();
    }
}

/// The rows that a peer is shown.
fn shown<'a>(source: &Source<'a>, selection: &'a Selection) -> impl Iterator<Item = Place> {
    let places = if source.interest.is_everything() { source.scene.all() } else { &selection.places };
    places.iter().copied()
}

/// How many of these rows name no state.
fn whole_rows(rows: &[PlannedRow]) -> usize {
    rows.iter().filter(|row| row.references.is_empty()).count()
}

/// What stands before own rows and body in an ordered stream's frame, bytes: its own header and the snapshot's.
fn front_bytes(header: &SnapshotHeader, with_digest: bool) -> usize {
    let tick = if header.tick_width == TickWidth::Full { 4 } else { 2 };
    let feedback = header.feedback.map_or(0, |feedback| if feedback.substituted == 0 { 3 } else { 7 });
    let own_length = 2;
    HEADER_BYTES_MAX + 1 + tick + feedback + own_length + if with_digest { 8 } else { 0 }
}

/// A snapshot was sent: the run of those that told all that was news goes on, or starts anew.
fn note_whole(run: &mut References, tick: Tick, is_whole: bool, is_broken: bool) {
    let before = core::mem::replace(run, References::NONE);
    if is_whole {
        run.push(tick);
    }
    if is_whole && !is_broken {
        before.ticks().for_each(|tick| run.push(tick));
    }
}

/// On an ordered stream: what is written is known.
fn know(knowledge: &mut Knowledge, history: &History, plan: &SectionPlan, written: Written) {
    let Some(newest) = history.newest() else { return };
    knowledge.leaves_acked(newest.tick(), &plan.leaves[..written.leaves]);
    knowledge.hold(history, newest, &plan.rows[..written.rows]);
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
