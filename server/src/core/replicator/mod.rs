//! From what a peer knows to the snapshot frames that it is sent, and from its acks back to what it knows.

mod beside;
mod datagrams;
mod ordered;

use std::sync::Arc;

use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::OWN_BYTES_MAX;
use tickwire_protocol::snapshot::{Codec, Feedback, References, SnapshotHeader, TickWidth};
use tickwire_protocol::{EntityId, Micros, Misbehavior, Tick};

use super::cue_log::CueLog;
use super::flight::Flight;
use super::interest::{Interest, Looker};
use super::knowledge::Knowledge;
use super::packer::{Eyes, Patience};
use super::priority::Priority;
use super::scene::{Scene, position_of, row_at};
use super::shared::{Plans, Shared};
use super::sightings::Sightings;
use super::tick_set::TickSet;
use super::view::View;
use super::viewer::Viewer;

use datagrams::Datagrams;

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
    /// On an ordered stream it may be that of others as well.
    view: Arc<View>,
    own: Knowledge,
    /// Frames sent so far; the low 16 bits are the next one's sequence.
    sent: u64,
    /// Frames known to be behind the client: one past the newest that it acked.
    acked: u64,
    /// Ticks of snapshots that the client has applied, by its acks; on datagrams, at least a part of each.
    held: TickSet,
    /// What is on its way.
    flight: Flight,
    /// Sent datagrams of which nothing is known yet.
    datagrams: Datagrams,
    last_sent: Option<Tick>,
    /// Where the peer was last seen to look from, and from where it was told to look.
    focus: Option<Vec3>,
    focus_set: Option<Vec3>,
    /// Where to it was told to look.
    facing: Option<Vec3>,
    /// Whom it was shown lately; nothing if everything is shown.
    sightings: Sightings,
    /// Not all that was news fitted into the last snapshot: it is not tried again to write all.
    is_tight: bool,
    view_patience: Patience,
    own_patience: Patience,
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

impl Replicator {
    pub(crate) fn new(stream: StreamKind, viewer: Viewer, next_cue: u64) -> Self {
        Self {
            stream,
            viewer,
            view: Arc::new(View::new(next_cue)),
            own: Knowledge::of_own_rows(),
            sent: 0,
            acked: 0,
            held: TickSet::default(),
            flight: Flight::default(),
            datagrams: Datagrams::default(),
            last_sent: None,
            focus: None,
            focus_set: None,
            facing: None,
            sightings: Sightings::default(),
            is_tight: false,
            view_patience: Patience::default(),
            own_patience: Patience::default(),
        }
    }

    /// From where the peer looks, whatever its entities are; nothing for where they are.
    pub(crate) fn set_focus(&mut self, focus: Option<Vec3>) {
        self.focus_set = focus;
    }

    /// From where its owner says that it looks.
    pub(crate) fn focus_set(&self) -> Option<Vec3> {
        self.focus_set
    }

    /// Where its entity was last, when its view was told.
    pub(crate) fn focus(&self) -> Option<Vec3> {
        self.focus
    }

    /// Where to the peer looks; nothing if nobody knows.
    pub(crate) fn set_facing(&mut self, facing: Option<Vec3>) {
        self.facing = facing;
    }

    /// What is on its way to the peer.
    pub(crate) fn flight(&self) -> &Flight {
        &self.flight
    }

    pub(crate) fn flight_mut(&mut self) -> &mut Flight {
        &mut self.flight
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
        self.viewer.teams
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
        if !is_ordered {
            self.handle_datagram_acks(ack);
        }
        Ok(())
    }

    fn sequence(&self) -> Sequence {
        Sequence(self.sent as u16)
    }

    /// Selects what the peer is shown at the newest tick, and plans its own rows. How it looks at everyone's view.
    fn look(&mut self, source: &Source<'_>, newest: &Published, plans: &mut Plans) -> Viewer {
        let Source { history, scene, interest, .. } = *source;
        let player = self.viewer.player;
        let owned = scene.owned_by(player);
        self.viewer.teams = owned.clone().fold(0, |teams, place| teams | row_at(newest, place).0.teams);
        self.focus = owned.clone().find_map(|place| position_of(row_at(newest, place).1)).or(self.focus);
        let focus = self.focus_set.or(self.focus);
        plans.looker = Looker { player, teams: self.viewer.teams, focus, facing: self.facing };
        if !interest.is_everything() {
            let Plans { looker, selection, .. } = plans;
            let known = &self.view.known;
            interest.select(scene, newest, looker, known.shown(), selection);
            self.sightings.begin(newest.tick());
            let in_view = selection.places.iter().map(|place| row_at(newest, *place).0.id);
            in_view.for_each(|id| self.sightings.note(id));
        }
        self.own.plan(history, self.viewer, owned.clone(), References::NONE, &mut plans.own);
        self.viewer.of_everyones_view(newest, owned)
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

    /// Whether the peer has rows of its own.
    fn owns(&self, plans: &Plans) -> bool {
        !plans.own.is_empty() || !self.own.is_empty()
    }

    /// `tells_own` says that the plan has all that is news of the peer's own rows: then what is absent is said, too.
    fn header(&mut self, tick: Tick, feedback: Option<Feedback>, tells_own: bool) -> SnapshotHeader {
        let gap = self.last_sent.map(|last| tick.since(last));
        self.last_sent = Some(tick);
        // Until something is acked, every datagram may be the first that arrives.
        let may_be_first = self.stream == StreamKind::Datagram && self.acked == 0;
        SnapshotHeader {
            tick,
            tick_width: TickWidth::of(gap.filter(|_| !may_be_first), self.stream),
            sequence: (self.stream == StreamKind::Datagram).then(|| self.sequence()),
            feedback,
            own_is_whole: tells_own && self.viewer.player.is_some(),
        }
    }
}
