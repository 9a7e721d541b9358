//! What a peer was told of everyone's view, and how it goes on from snapshot to snapshot.
//!
//! Peers in step share one: see [`cohort`](super::cohort).

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::snapshot::{BodyPlan, EncodedBody, References, SectionPlan, Written};
use tickwire_protocol::{EntityId, Tick};

use super::interest::Selection;
use super::knowledge::Knowledge;
use super::replicator::Source;
use super::scene::Place;
use super::shared::Plans;
use super::viewer::Viewer;

/// How far everyone's view was told to a peer.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) known: Knowledge,
    /// Index in the room's log of the first cue that the peer may not have.
    pub(crate) next_cue: u64,
    /// On an ordered stream: ticks of the last snapshots, as far back as each told all that was news; newest first.
    whole: References,
}

impl View {
    /// Nothing, and of cues nothing before this one.
    pub(crate) fn new(next_cue: u64) -> Self {
        Self { known: Knowledge::of_view(), next_cue, whole: References::NONE }
    }

    /// Whether nothing was told yet.
    pub(crate) fn is_new(&self) -> bool {
        self.known.is_new()
    }

    /// Whether a peer with this view can go on with another, both of which were just told all that is news at `now`: it will be told the
    /// same.
    pub(crate) fn may_become(&self, other: &Self, now: Tick) -> bool {
        self.next_cue == other.next_cue
            && self.whole == other.whole
            && self.known.may_become(&other.known, now, self.whole.oldest())
    }

    /// The ticks that a section may be told against.
    pub(crate) fn nameable(&self, now: Tick, viewer: Viewer) -> References {
        let mut against = References::NONE;
        let in_ring = |tick: &Tick| viewer.delta && now.since(*tick) < HISTORY_TICKS as i32;
        self.whole.ticks().take_while(in_ring).for_each(|tick| against.push(tick));
        against
    }

    /// Writes down what is news at the newest tick: cues, and rows of what is selected.
    pub(crate) fn plan(
        &mut self,
        source: &Source<'_>,
        viewer: Viewer,
        against: References,
        Plans { selection, view: plan, .. }: &mut Plans,
    ) {
        self.plan_cues(source, selection, plan);
        let shown = shown(source, selection);
        self.known.plan(source.history, viewer, shown, against, &mut plan.section);
    }

    /// The cues that the peer may not have, of those whose source it is shown, or was shown until it ended. It comes before the
    /// plan, which forgets who was shown last.
    fn plan_cues(&self, source: &Source<'_>, selection: &mut Selection, plan: &mut BodyPlan) {
        let rows = &selection.rows;
        let everything = source.interest.is_everything();
        let is_shown = |id: EntityId| match source.scene.find(id) {
            Some(row) => rows.contains(row),
            None => self.known.was_shown(id),
        };
        plan.cues.clear();
        selection.cue_numbers.clear();
        for (number, cue) in source.cues.since(self.next_cue) {
            if everything || cue.source.is_none_or(is_shown) {
                plan.cues.push(*cue);
                selection.cue_numbers.push(number);
            }
        }
        selection.cues_end = source.cues.next_index();
    }

    /// On an ordered stream: this body was sent, so what is in it is known. `is_all` says that it has all that is news.
    pub(crate) fn tell(
        &mut self,
        history: &History,
        newest: &Published,
        Plans { selection, view: plan, .. }: &Plans,
        body: &EncodedBody,
        is_all: bool,
    ) {
        self.next_cue = selection.cue_after(body.cues);
        know(&mut self.known, history, &plan.section, body.written);
        let before = core::mem::replace(&mut self.whole, References::NONE);
        let is_broken = self.known.take_broken();
        if is_all {
            self.whole.push(newest.tick());
        }
        if is_all && !is_broken {
            before.ticks().for_each(|tick| self.whole.push(tick));
        }
    }
}

impl Clone for View {
    fn clone(&self) -> Self {
        Self { known: self.known.clone(), next_cue: self.next_cue, whole: self.whole }
    }

    /// In the memory that there is.
    fn clone_from(&mut self, other: &Self) {
        self.known.clone_from(&other.known);
        (self.next_cue, self.whole) = (other.next_cue, other.whole);
    }
}

/// On an ordered stream: what is written is known.
pub(crate) fn know(knowledge: &mut Knowledge, history: &History, plan: &SectionPlan, written: Written) {
    let Some(newest) = history.newest() else { return };
    knowledge.leaves_acked(newest.tick(), &plan.leaves[..written.leaves]);
    knowledge.hold(history, newest, &plan.rows[..written.rows]);
}

/// The rows that a peer is shown.
fn shown<'a>(source: &Source<'a>, selection: &'a Selection) -> impl Iterator<Item = Place> {
    let places = if source.interest.is_everything() { source.scene.all() } else { &selection.places };
    places.iter().copied()
}
