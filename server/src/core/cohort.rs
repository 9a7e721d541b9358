//! Peers in step: who was told the same so far is told the same now, and that is worked out once.
//!
//! ```text
//!  peer 1 ─┐                        step: from ──plan, encode──> to, body
//!  peer 2 ─┼──> View (told so far) ───────────────────────────────> View (told now) <──┬─ peer 1
//!  peer 3 ─┘         ^                                                                 └─ peer 2
//!                    └── peer 3, whose turn it was not, or for whom the body is too long
//! ```
//!
//! A view never changes while somebody else has it: a step makes another of it. Whoever takes part in a step has its view from then
//! on; who does not (a full link, a spent budget, a join) keeps the old one, and goes ahead alone. Who has caught up, which takes
//! three snapshots that tell all, is found to have the same view as others and shares theirs again.
//!
//! Peers of whom each sees something else have a view each, and gain nothing here but that there is one way to do it.

use std::sync::Arc;

use tickwire_protocol::Tick;
use tickwire_protocol::history::Published;
use tickwire_protocol::limits::BODY_BYTES_MAX;
use tickwire_protocol::snapshot::{EncodedBody, RowCache, Written};

use super::replicator::Source;
use super::scene::Place;
use super::shared::{Plans, whole_rows};
use super::spares::Spares;
use super::view::View;
use super::viewer::Viewer;

/// Steps of a tick that others may take part in. A room with more views has little to share.
const STEPS_MAX: usize = 32;

/// What becomes of a view with the newest tick, and what its peers are sent for that.
#[derive(Debug)]
pub(crate) struct Step {
    from: Arc<View>,
    viewer: Viewer,
    /// What is selected, where not everything is.
    places: Vec<Place>,
    pub(crate) to: Arc<View>,
    /// The digest of that.
    digest: u64,
    pub(crate) body: EncodedBody,
    /// The body tells all that is news; if not, nobody can take part.
    pub(crate) is_all: bool,
    /// Rows in it that name no state.
    pub(crate) whole: usize,
}

/// The steps of one tick, and the memory of those before.
#[derive(Debug, Default)]
pub(crate) struct Cohorts {
    tick: Option<Tick>,
    steps: Vec<Step>,
    spares: Spares,
}

impl Cohorts {
    /// Where the step is of a peer whose view this is, who looks with these eyes and is shown what is selected: that of those in step
    /// with it, or one that is worked out now.
    pub(crate) fn step(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        (from, viewer): (&Arc<View>, Viewer),
        plans: &mut Plans,
        rows: &mut RowCache,
    ) -> usize {
        self.begin(newest.tick());
        let places = &plans.selection.places;
        let found = self.steps.iter().position(|step| step.is_of(from, viewer, places));
        found.unwrap_or_else(|| {
            if self.steps.len() == STEPS_MAX {
                self.evict();
            }
            let step = self.make(source, newest, (from, viewer), plans, rows);
            self.steps.push(step);
            self.steps.len() - 1
        })
    }

    /// A step of this tick.
    pub(crate) fn at(&self, place: usize) -> &Step {
        &self.steps[place]
    }

    /// The view of a peer that goes its own way from here on.
    pub(crate) fn part<'a>(&mut self, view: &'a mut Arc<View>) -> &'a mut View {
        if Arc::get_mut(view).is_none() {
            let copy = self.spares.copy(view);
            self.spares.give_back(core::mem::replace(view, copy));
        }
        // Nobody else has it: nothing is cloned.
        Arc::make_mut(view)
    }

    /// Forgets what was of another tick.
    fn begin(&mut self, tick: Tick) {
        if self.tick.replace(tick) != Some(tick) {
            while let Some(step) = self.steps.pop() {
                self.recycle(step);
            }
            self.spares.handle_tick(tick);
        }
    }

    /// Makes room for another step in place of one that nobody else is likely to take part in: who was there before it has left, and one
    /// peer at the most has gone on with it.
    fn evict(&mut self) {
        let is_shared = |step: &Step| Arc::strong_count(&step.from) > 1 || Arc::strong_count(&step.to) > 2;
        let place = self.steps.iter().rposition(|step| !is_shared(step));
        let last = self.steps.len() - 1;
        let step = self.steps.swap_remove(place.unwrap_or(last));
        self.recycle(step);
    }

    fn recycle(&mut self, Step { from, to, body, places, .. }: Step) {
        self.spares.give_back_body(body, places);
        self.spares.give_back(from);
        self.spares.give_back(to);
    }

    fn make(
        &mut self,
        source: &Source<'_>,
        newest: &Published,
        (from, viewer): (&Arc<View>, Viewer),
        plans: &mut Plans,
        rows: &mut RowCache,
    ) -> Step {
        let mut to = self.spares.copy(from);
        let view = Arc::make_mut(&mut to);
        view.plan(source, viewer, from.nameable(newest.tick(), viewer), plans);
        let (mut body, places) = self.spares.body(&plans.selection.places);
        source.codec.write_body(
            source.history,
            &plans.view,
            source.payload_of,
            BODY_BYTES_MAX,
            rows,
            &mut body,
        );
        let section = &plans.view.section;
        let is_all = body.written == Written { leaves: section.leaves.len(), rows: section.rows.len() };
        view.tell(source.history, newest, plans, &body, is_all);
        let digest = view.known.digest();
        let is_same = |step: &&Step| {
            is_all && step.is_all && step.digest == digest && view.may_become(&step.to, newest.tick())
        };
        if let Some(same) = self.steps.iter().find(is_same).map(|step| step.to.clone()) {
            self.spares.give_back(core::mem::replace(&mut to, same));
        }
        Step {
            from: from.clone(),
            viewer,
            places,
            to,
            digest,
            body,
            is_all,
            whole: whole_rows(&section.rows),
        }
    }
}

impl Step {
    fn is_of(&self, from: &Arc<View>, viewer: Viewer, places: &[Place]) -> bool {
        let is_same = Arc::ptr_eq(&self.from, from)
            || (from.is_new() && self.from.is_new() && from.next_cue == self.from.next_cue);
        is_same && self.viewer == viewer && self.places == places
    }
}

#[cfg(test)]
mod tests {
    use core::ops::Range;

    use super::*;
    use tickwire_protocol::history::History;
    use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
    use tickwire_protocol::snapshot::{Codec, Leave};
    use tickwire_protocol::{EntityId, RowHead, Tables, TickRate};

    use crate::core::cue_log::CueLog;
    use crate::core::interest::Interest;
    use crate::core::priority::Priority;
    use crate::core::scene::Scene;

    const K: KindId = KindId(0);

    /// A world of which the first entity moves and the others rest, and peers who are told all of it, or nothing.
    struct Play {
        history: History,
        codec: Codec,
        cues: CueLog,
        scene: Scene,
        cohorts: Cohorts,
        rows: RowCache,
        plans: Plans,
    }

    impl Play {
        fn new() -> Self {
            let number = Field::new(FieldId(0), "number", FieldType::integer(0..=9_999));
            let schema = Schema::builder("cohort").kind(Kind::new(K, "kind", [number])).build().unwrap();
            let rate = TickRate::new(60).unwrap();
            Self {
                codec: Codec::new(schema.clone(), rate),
                history: History::new(schema, rate),
                cues: CueLog::new(rate),
                scene: Scene::default(),
                cohorts: Cohorts::default(),
                rows: RowCache::default(),
                plans: Plans::default(),
            }
        }

        fn publish(&mut self, tick: u32) {
            self.publish_slots(tick, 0..4);
        }

        fn publish_slots(&mut self, tick: u32, slots: Range<u16>) {
            let mut tables = Tables::new(self.history.schema().clone());
            for slot in slots {
                let mut row = tables.insert(K, RowHead::new(EntityId { slot, generation: 1 }));
                row.copy_from(&[if slot == 0 { tick as i32 } else { 7 }]);
            }
            tables.finish();
            self.history.publish(Tick(tick), &tables);
            self.scene.refresh(&self.history, &Interest::everything());
        }

        /// Tells these views all that is news; how many bodies that took.
        fn tell(&mut self, views: &mut [&mut Arc<View>]) -> usize {
            let Self { history, codec, cues, scene, cohorts, rows, plans } = self;
            let (interest, priority) = (&Interest::everything(), &Priority::default());
            let source = Source { codec, history, cues, scene, interest, priority, payload_of: &|_| None };
            let viewer = Viewer { delta: true, ..Viewer::default() };
            for view in views {
                let newest = history.newest().unwrap();
                let place = cohorts.step(&source, newest, (view, viewer), plans, rows);
                assert!(cohorts.at(place).is_all);
                **view = cohorts.at(place).to.clone();
            }
            cohorts.steps.len()
        }
    }

    fn views<const N: usize>() -> [Arc<View>; N] {
        [(); N].map(|()| Arc::new(View::new(0)))
    }

    #[test]
    fn who_falls_behind_goes_alone_until_it_has_caught_up() {
        let (mut play, [mut a, mut b, mut c]) = (Play::new(), views());
        // Until all but one are at rest.
        for tick in 1..20 {
            play.publish(tick);
            assert_eq!(play.tell(&mut [&mut a, &mut b, &mut c]), 1, "they came together");
        }
        play.publish(20);
        assert_eq!(play.tell(&mut [&mut a, &mut b]), 1);
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        // It names other states than the others until it holds the three newest of them.
        for tick in [21, 22] {
            play.publish(tick);
            assert_eq!(play.tell(&mut [&mut a, &mut b, &mut c]), 2);
            assert!(!Arc::ptr_eq(&a, &c), "tick {tick}");
        }
        play.publish(23);
        assert_eq!(play.tell(&mut [&mut c, &mut a, &mut b]), 2);
        assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&a, &c));
        play.publish(24);
        assert_eq!(play.tell(&mut [&mut a, &mut b, &mut c]), 1);
    }

    #[test]
    fn what_rests_keeps_a_latecomer_apart_until_the_ring_has_lost_it() {
        let (mut play, [mut a, mut late]) = (Play::new(), views());
        for tick in 1..20 {
            play.publish(tick);
            play.tell(&mut [&mut a]);
        }
        for tick in 20..160 {
            play.publish(tick);
            play.tell(&mut [&mut a, &mut late]);
            // The oldest of the ring is 127 ticks old.
            assert_eq!(Arc::ptr_eq(&a, &late), tick >= 20 + 128, "tick {tick}");
        }
    }

    #[test]
    fn who_goes_its_own_way_changes_nothing_for_the_others() {
        let (mut play, [mut a, mut b]) = (Play::new(), views());
        play.publish(1);
        play.tell(&mut [&mut a, &mut b]);
        let digest = a.known.digest();
        play.cohorts.part(&mut b).known.leave_sent(Tick(1), Leave { slot: 0, despawned: true });
        assert_eq!(a.known.digest(), digest);
        assert_ne!(b.known.digest(), digest);
    }

    #[test]
    fn who_comes_first_and_has_seen_less_comes_together_with_the_others() {
        let (mut play, [mut a, mut b, mut c]) = (Play::new(), views());
        for tick in 1..20 {
            play.publish(tick);
            play.tell(&mut [&mut a, &mut b, &mut c]);
        }
        // While nothing reaches the first, something comes and goes again: the others may keep its states.
        for (tick, slots) in [(20, 0..5), (21, 0..5), (22, 0..4)] {
            play.publish_slots(tick, slots);
            assert_eq!(play.tell(&mut [&mut b, &mut c]), 1);
        }
        for tick in 23..27 {
            play.publish(tick);
            play.tell(&mut [&mut a, &mut b, &mut c]);
        }
        assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&b, &c));
        play.publish(27);
        assert_eq!(play.tell(&mut [&mut a, &mut b, &mut c]), 1);
    }

    #[test]
    fn of_too_many_steps_one_that_is_shared_is_kept() {
        let (mut play, [mut a, mut b]) = (Play::new(), views());
        let mut alone: [_; STEPS_MAX + 8] = views();
        // Each is told at two ticks of ten: no two at the same.
        let told = (1..=10).flat_map(|first| (1..first).map(move |second| [second, first]));
        let told: Vec<_> = told.take(alone.len()).collect();
        for tick in 1..=10 {
            play.publish(tick);
            play.tell(&mut [&mut a, &mut b]);
            for (view, _) in alone.iter_mut().zip(&told).filter(|(_, told)| told.contains(&tick)) {
                play.tell(&mut [view]);
            }
        }
        play.publish(11);
        let (before, after) = alone.split_at_mut(STEPS_MAX - 1);
        play.tell(&mut before.iter_mut().collect::<Vec<_>>());
        play.tell(&mut [&mut a]);
        assert_eq!(play.tell(&mut after.iter_mut().collect::<Vec<_>>()), STEPS_MAX);
        play.tell(&mut [&mut b]);
        assert!(Arc::ptr_eq(&a, &b));
    }
}
