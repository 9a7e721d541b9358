//! Who is to be seen, and when: the timelines of all entities.
//!
//! The replica holds what the server may name; the stage holds what the eyes need, from the view's moment on. A row
//! enters both. The two forget by different rules, so neither has to care for the other.

use core::slice;

use tickwire_protocol::limits::{ENTITIES_MAX, HISTORY_TICKS, VIEW_ENTITIES_MAX, VIEW_WORDS_MAX};
use tickwire_protocol::snapshot::{DecodedRow, DecodedSection, Leave, Replica};
use tickwire_protocol::{EntityId, KindId, Schema, Tick, TickRate, TickTime};

use super::agenda::{Agenda, Item};
use super::event::Event;
use super::moments::Presence;
use super::pose::{self, Horizon, Places, Pose};
use super::timeline::{ENTRIES_MAX, Edge, Fading, Timeline};

/// Tenants of one slot that are remembered. A slot rests for longer than any view is behind, so two are many.
const TENANTS_MAX: usize = 4;

/// Changes of presence that may wait, before they are gathered anew from what is still kept. A join into the largest
/// room and its end are a quarter.
const EDGES_MIN: usize = 8 * ENTITIES_MAX;

/// An entity that is or was in a slot.
#[derive(Clone, Debug)]
struct Tenant {
    kind: KindId,
    timeline: Timeline,
}

/// The timelines, by slot.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Who is and who was in each slot, in ascending id.
    slots: Vec<Vec<Tenant>>,
    /// How many timelines there are of each kind.
    counts: Vec<usize>,
    /// The sum of what all timelines keep.
    words: usize,
    /// With more changes of presence than this on the agenda, they are gathered anew.
    edges_max: usize,
    /// Ticks between two snapshots.
    interval: u32,
    /// Seconds a tick.
    dt: f32,
}

impl Stage {
    /// An empty stage that gets a snapshot every `interval` ticks.
    pub(crate) fn new(schema: &Schema, interval: u32, rate: TickRate) -> Self {
        let counts = vec![0; schema.kinds().len()];
        Self { slots: Vec::new(), counts, words: 0, edges_max: EDGES_MIN, interval, dt: rate.dt() }
    }

    /// Takes in what was told of everyone's view at `tick`; the replica has it already. What lies before `horizon.oldest` may
    /// be forgotten.
    pub(crate) fn apply(
        &mut self,
        tick: Tick,
        section: &DecodedSection,
        replica: &Replica,
        horizon: Horizon,
        agenda: &mut Agenda,
    ) {
        let (interval, dt) = (self.interval, self.dt);
        for &Leave { slot, despawned } in &section.leaves {
            self.vacate(slot, tick, despawned, agenda);
        }
        for row in &section.rows {
            let Some(place) = self.place(row, tick, replica, agenda) else { continue };
            let timeline = &mut self.slots[usize::from(row.id.slot)][place].timeline;
            let values = section.values.get(row.values.clone()).unwrap_or_default();
            let kind = replica.schema().kind(row.kind);
            let pose_of = |timeline: &Timeline| {
                Pose::at(kind, timeline, horizon.view, interval, dt).map(|pose| pose::places(&pose))
            };
            let before = timeline.words();
            // What fades is settled anew with each state: more is known of the motion that it goes along with.
            let is_touched = timeline.fading.is_some() || timeline.is_seen(tick, horizon.view);
            let is_late = !tick.is_newer_than(horizon.view.tick);
            let shown = (is_touched || is_late)
                .then(|| Shown { places: pose_of(timeline), from: timeline.shown_from(horizon.view.tick) });
            let edges = timeline.insert_state(tick, row, values, horizon.oldest);
            if let Some(shown) = shown.filter(|shown| is_touched || shown.places.is_none()) {
                let pose = Pose::at(kind, timeline, horizon.view, interval, dt);
                timeline.fading = pose.and_then(|pose| set_right(&pose, &shown, row, horizon));
            }
            self.words = self.words + timeline.words() - before;
            note(agenda, row.kind, row.id, edges);
        }
        self.forget_beyond_budget();
        self.gather_edges(agenda);
    }

    /// Where in its slot the row's timeline is, a new one if there was none. Nothing if a late datagram tells of one that
    /// has left or was replaced since: the replica knows; or if there are too many.
    fn place(
        &mut self,
        row: &DecodedRow,
        tick: Tick,
        replica: &Replica,
        agenda: &mut Agenda,
    ) -> Option<usize> {
        let slot = usize::from(row.id.slot);
        if let Some(tenants) = self.slots.get(slot)
            && let Ok(place) = tenants.binary_search_by_key(&row.id, Tenant::id)
        {
            // Of another kind, it is not what it claims to be.
            return (tenants[place].kind == row.kind).then_some(place);
        }
        replica.find(row.id)?;
        self.vacate(row.id.slot, tick, true, agenda);
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Vec::new);
        }
        let tenants = &mut self.slots[slot];
        if tenants.len() >= TENANTS_MAX || self.counts.iter().sum::<usize>() >= VIEW_ENTITIES_MAX {
            return None;
        }
        let place = tenants.partition_point(|tenant| tenant.id() < row.id);
        // Most slots ever have one or two.
        tenants.reserve_exact(1);
        tenants.insert(place, Tenant { kind: row.kind, timeline: Timeline::new(row.id, row.values.len()) });
        self.counts[usize::from(row.kind.0)] += 1;
        Some(place)
    }

    /// Who is in this slot is away from `tick` on. Those who have long been away are forgotten, unless the game is still
    /// to be told that they left.
    fn vacate(&mut self, slot: u16, tick: Tick, despawned: bool, agenda: &mut Agenda) {
        let Some(tenants) = self.slots.get_mut(usize::from(slot)) else { return };
        for Tenant { kind, timeline } in tenants.iter_mut() {
            let before = timeline.words();
            let edges = timeline.insert_absence(tick, despawned);
            self.words = self.words + timeline.words() - before;
            note(agenda, *kind, timeline.id(), edges);
        }
        let limit = if tenants.len() < TENANTS_MAX { tick - 2 * HISTORY_TICKS } else { tick };
        tenants.retain(|Tenant { kind, timeline }| {
            let is_kept = timeline.is_announced || !timeline.is_over(limit);
            if !is_kept {
                self.words -= timeline.words();
                self.counts[usize::from(kind.0)] -= 1;
            }
            is_kept
        });
    }

    /// Forgets the oldest states of those who have most, if more is kept than may be.
    fn forget_beyond_budget(&mut self) {
        if self.words <= VIEW_WORDS_MAX {
            return;
        }
        // Well below, so that it is not soon to be done again.
        let mut entries = ENTRIES_MAX;
        while self.words > VIEW_WORDS_MAX / 4 * 3 && entries > 1 {
            entries /= 2;
            for Tenant { timeline, .. } in self.slots.iter_mut().flatten() {
                let before = timeline.words();
                timeline.keep_newest(entries);
                self.words = self.words + timeline.words() - before;
            }
        }
    }

    /// If nobody polls, changes of presence pile up that nothing is left of. What is left says which are to be told.
    fn gather_edges(&mut self, agenda: &mut Agenda) {
        if agenda.edges() <= self.edges_max {
            return;
        }
        agenda.clear_edges();
        for Tenant { kind, timeline } in self.slots.iter().flatten() {
            for edge in timeline.edges() {
                note(agenda, *kind, timeline.id(), [Some(edge), None]);
            }
        }
        self.edges_max = EDGES_MIN.max(2 * agenda.edges());
    }

    /// What the game is to be told of an entity now that the view shows `view`: nothing if it knows.
    pub(crate) fn announce(&mut self, kind: KindId, id: EntityId, view: TickTime) -> Option<Event> {
        let tenants = self.slots.get_mut(usize::from(id.slot))?;
        let place = tenants.binary_search_by_key(&id, Tenant::id).ok()?;
        let timeline = &mut tenants[place].timeline;
        let is_shown = timeline.blend(view, self.interval).is_some();
        let was_announced = core::mem::replace(&mut timeline.is_announced, is_shown);
        let despawned = timeline.is_despawned(view.tick);
        if !is_shown && timeline.is_over(view.tick) {
            self.words -= timeline.words();
            self.counts[usize::from(tenants[place].kind.0)] -= 1;
            tenants.remove(place);
        }
        match (was_announced, is_shown) {
            (false, true) => Some(Event::Entered { id, kind }),
            (true, false) => Some(Event::Left { id, kind, despawned }),
            _ => None,
        }
    }

    /// Where an entity is, as far as the game was told by the view of `tick`.
    pub(crate) fn presence(&self, id: EntityId, tick: Tick) -> Presence {
        let tenants = self.slots.get(usize::from(id.slot));
        match self.find(id) {
            Some((_, timeline)) if timeline.is_announced => Presence::InView,
            Some((_, timeline)) if timeline.is_over(tick) => Presence::Gone,
            // Somebody else has its slot.
            None if tenants.is_some_and(|tenants| tenants.iter().any(|tenant| tenant.id() > id)) => {
                Presence::Gone
            }
            Some(_) | None => Presence::Unknown,
        }
    }

    /// The entities of a kind, in ascending id, away or not.
    pub(crate) fn timelines(&self, kind: KindId) -> Timelines<'_> {
        let left = self.counts.get(usize::from(kind.0)).copied().unwrap_or_default();
        Timelines { slots: self.slots.iter(), tenants: [].iter(), kind, left }
    }

    /// The entity with this id, and its kind.
    pub(crate) fn find(&self, id: EntityId) -> Option<(KindId, &Timeline)> {
        let tenants = self.slots.get(usize::from(id.slot))?;
        let place = tenants.binary_search_by_key(&id, Tenant::id).ok()?;
        Some((tenants[place].kind, &tenants[place].timeline))
    }

    /// Seconds a tick.
    pub(crate) fn dt(&self) -> f32 {
        self.dt
    }

    /// Ticks between two snapshots.
    pub(crate) fn interval(&self) -> u32 {
        self.interval
    }

    /// Panics if more is kept than may be, or if that is counted wrongly.
    pub(crate) fn check(&self) {
        let all = || self.slots.iter().flatten();
        assert_eq!(self.words, all().map(|tenant| tenant.timeline.words()).sum::<usize>());
        assert_eq!(self.counts.iter().sum::<usize>(), all().count());
        assert!(self.words <= VIEW_WORDS_MAX && all().count() <= VIEW_ENTITIES_MAX);
        assert!(self.slots.iter().all(|tenants| tenants.len() <= TENANTS_MAX));
    }
}

/// The timelines of one kind. By hand, as it is asked for every entity of every picture: a chain of adapters takes three times as long.
#[derive(Clone, Debug)]
pub(crate) struct Timelines<'a> {
    slots: slice::Iter<'a, Vec<Tenant>>,
    /// Of the slot that was looked at last.
    tenants: slice::Iter<'a, Tenant>,
    kind: KindId,
    /// How many are still to come: behind the last one no slot is looked at.
    left: usize,
}

impl<'a> Iterator for Timelines<'a> {
    type Item = &'a Timeline;

    #[inline]
    fn next(&mut self) -> Option<&'a Timeline> {
        self.left = self.left.checked_sub(1)?;
        loop {
            match self.tenants.next() {
                Some(tenant) if tenant.kind == self.kind => return Some(&tenant.timeline),
                Some(_) => {}
                None => self.tenants = self.slots.next()?.iter(),
            }
        }
    }
}

/// How an entity was shown before another state of it came.
struct Shown {
    /// Where; nothing if it was not in view.
    places: Option<Places>,
    /// The tick of the state that this went on from.
    from: Option<Tick>,
}

impl Tenant {
    fn id(&self) -> EntityId {
        self.timeline.id()
    }
}

/// An entity was shown by a guess, or between two states of which a third was late. The difference from what is known now fades, unless
/// this state tells of a jump meanwhile.
fn set_right(pose: &Pose<'_>, shown: &Shown, row: &DecodedRow, horizon: Horizon) -> Option<Fading> {
    // The flag is told for a while: what was shown may have jumped already.
    let is_news = |jump: &Tick| shown.from.is_none_or(|from| jump.is_newer_than(from));
    let jump = row.teleported.filter(|jump| !jump.is_newer_than(horizon.view.tick)).filter(is_news);
    match &shown.places {
        Some(places) if jump.is_none() => pose::differences(places, pose, horizon),
        _ => pose::at_once(pose, horizon.now),
    }
}

fn note(agenda: &mut Agenda, kind: KindId, id: EntityId, edges: [Option<Edge>; 2]) {
    for Edge { tick, enters } in edges.into_iter().flatten() {
        agenda.push(tick, if enters { Item::Enter(kind, id) } else { Item::Leave(kind, id) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use tickwire_protocol::Micros;
    use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, Sight};
    use tickwire_protocol::snapshot::{DecodedSnapshot, SnapshotHeader, TickWidth};

    const K: KindId = KindId(0);

    /// Of entities that all have the same values.
    fn snapshot(tick: Tick, ids: &[EntityId], values: &[i32], teleported: Option<Tick>) -> DecodedSnapshot {
        let header = SnapshotHeader {
            tick,
            tick_width: TickWidth::Full,
            sequence: None,
            feedback: None,
            own_is_whole: false,
        };
        let mut snapshot = DecodedSnapshot { header: Some(header), ..DecodedSnapshot::default() };
        snapshot.view.values = values.to_vec();
        snapshot.view.rows.extend(ids.iter().map(|&id| DecodedRow {
            id,
            kind: K,
            sight: Sight::Public,
            is_whole: true,
            is_at_rest: false,
            held_until: None,
            teleported,
            payload: None,
            values: 0..values.len(),
        }));
        snapshot
    }

    struct Scene {
        stage: Stage,
        replica: Replica,
        agenda: Agenda,
        columns: usize,
    }

    impl Scene {
        fn new() -> Self {
            Self::with_columns(0)
        }

        fn with_columns(columns: usize) -> Self {
            let field = |n: usize| Field::new(FieldId(n as u8), &format!("f{n}"), FieldType::integer(0..=9));
            let kind = Kind::new(K, "k", (0..columns).map(field));
            let schema: Arc<Schema> = Schema::builder("s").kind(kind).build().unwrap();
            let stage = Stage::new(&schema, 2, TickRate::new(50).unwrap());
            Self { stage, replica: Replica::new(schema, 0), agenda: Agenda::default(), columns }
        }

        /// Tells of one entity, or that its slot is empty.
        fn tell(&mut self, tick: u32, id: EntityId, is_there: bool) {
            if is_there { self.tell_all(tick, &[id], &[]) } else { self.tell_all(tick, &[], &[id.slot]) }
        }

        /// Tells of entities and of empty slots.
        fn tell_all(&mut self, tick: u32, ids: &[EntityId], empty: &[u16]) {
            let tick = Tick(tick);
            let mut snapshot = snapshot(tick, ids, &vec![0; self.columns], None);
            snapshot.view.leaves.extend(empty.iter().map(|&slot| Leave { slot, despawned: false }));
            self.replica.apply(&snapshot);
            self.replica.drain_changes().for_each(drop);
            let horizon = Horizon {
                now: Micros::ZERO,
                view: TickTime { tick: tick - 50, fraction: 0.0 },
                rate: 1.0,
                oldest: tick - 100,
            };
            self.stage.apply(tick, &snapshot.view, &self.replica, horizon, &mut self.agenda);
        }

        fn announcements(&mut self, tick: u32) -> Vec<Event> {
            let view = TickTime { tick: Tick(tick), fraction: 0.0 };
            let mut events = Vec::new();
            while let Some(item) = self.agenda.pop_due(view.tick) {
                if let Item::Enter(kind, id) | Item::Leave(kind, id) = item {
                    events.extend(self.stage.announce(kind, id, view));
                }
            }
            events
        }
    }

    fn id(generation: u16) -> EntityId {
        EntityId { slot: 7, generation }
    }

    #[test]
    fn what_came_and_went_between_two_pictures_is_not_told() {
        let mut scene = Scene::new();
        scene.tell(10, id(1), true);
        scene.tell(12, id(1), false);
        assert_eq!(scene.announcements(9), []);
        assert_eq!(scene.announcements(13), []);
        assert!(scene.stage.timelines(K).next().is_none(), "and forgotten");
        scene.tell(14, id(1), true);
        assert_eq!(scene.announcements(14), [Event::Entered { id: id(1), kind: K }]);
        scene.tell(16, id(1), false);
        scene.tell(18, id(1), true);
        assert_eq!(scene.announcements(20), [], "there before, there now");
        scene.tell(22, id(1), false);
        assert_eq!(scene.announcements(22), [Event::Left { id: id(1), kind: K, despawned: false }]);
    }

    /// A body in the plane of one axis: what a client makes of its states, metres and m/s, which come while it shows tick 108.
    struct Body {
        stage: Stage,
        replica: Replica,
        agenda: Agenda,
    }

    const PLACE: FieldId = FieldId(0);

    impl Body {
        fn new() -> Self {
            let fields = [
                Field::new(PLACE, "place", FieldType::position([0.0..=100.0], 0.01)),
                Field::new(FieldId(1), "speed", FieldType::velocity(PLACE, 10.0, 0.01)),
            ];
            let schema: Arc<Schema> = Schema::builder("s").kind(Kind::new(K, "k", fields)).build().unwrap();
            let stage = Stage::new(&schema, 5, TickRate::new(50).unwrap());
            Self { stage, replica: Replica::new(schema, 0), agenda: Agenda::default() }
        }

        /// A state of `tick` comes `millis` after the first.
        fn tell(&mut self, tick: u32, [place, speed]: [f32; 2], jump: Option<u32>, millis: u64) {
            let tick = Tick(tick);
            let values = [place, speed].map(|value| (value * 100.0) as i32);
            let snapshot = snapshot(tick, &[id(1)], &values, jump.map(Tick));
            self.replica.apply(&snapshot);
            let view = TickTime { tick: Tick(108), fraction: 0.0 };
            let horizon = Horizon { now: Micros::from_millis(millis), view, rate: 1.0, oldest: Tick(50) };
            self.stage.apply(tick, &snapshot.view, &self.replica, horizon, &mut self.agenda);
        }

        /// Where it is shown.
        fn shown(&self) -> f32 {
            let (kind, timeline) = self.stage.find(id(1)).unwrap();
            let kind = self.replica.schema().kind(kind);
            let view = TickTime { tick: Tick(108), fraction: 0.0 };
            Pose::at(kind, timeline, view, 5, 0.02).unwrap().vector(kind.field(PLACE)).x
        }
    }

    #[test]
    fn a_newcomer_is_shown_where_the_last_of_states_that_came_together_puts_it() {
        let mut body = Body::new();
        body.tell(100, [20.0, 9.0], None, 0);
        let guessed = body.shown();
        body.tell(110, [20.0, 0.0], None, 1);
        assert!(guessed > 21.0 && body.shown() < 20.5, "{guessed}, {}", body.shown());
        body.tell(109, [22.0, 0.0], None, 50);
        assert!(body.shown() < 20.5, "by now somebody saw it");
    }

    #[test]
    fn a_jump_that_was_shown_is_no_reason_to_jump_again() {
        let mut body = Body::new();
        body.tell(95, [20.0, 0.0], None, 0);
        body.tell(102, [50.0, 9.0], Some(101), 50);
        let guessed = body.shown();
        assert!(guessed > 50.5);
        // The flag is told until the room knows that it was heard.
        body.tell(110, [49.0, 0.0], Some(101), 100);
        assert!((body.shown() - guessed).abs() < 1e-3, "{} of {guessed}", body.shown());
        body.tell(107, [80.0, 0.0], Some(106), 150);
        assert!(body.shown() > 60.0, "another jump is one");
    }

    #[test]
    fn tenants_do_not_pile_up_if_nobody_polls() {
        let mut scene = Scene::new();
        for generation in 1..2_000 {
            scene.tell(10, id(generation), true);
            assert!(scene.stage.timelines(K).count() <= TENANTS_MAX);
        }
        assert_eq!(scene.stage.find(id(1_999)).map(|(kind, _)| kind), Some(K));
    }

    fn all(slots: core::ops::Range<u16>) -> Vec<EntityId> {
        slots.map(|slot| EntityId { slot, generation: 1 }).collect()
    }

    #[test]
    fn everyone_of_a_crowd_is_told_to_come_and_to_go() {
        let mut scene = Scene::new();
        for (tick, slots) in [(10, 0..2_000), (12, 2_000..4_000), (14, 4_000..5_700)] {
            scene.tell_all(tick, &all(slots), &[]);
        }
        let events = scene.announcements(14);
        let entered: Vec<_> = all(0..5_700).into_iter().map(|id| Event::Entered { id, kind: K }).collect();
        assert_eq!(events, entered);
        scene.tell_all(20, &[], &(0..5_700).collect::<Vec<_>>());
        let left = all(0..5_700).into_iter().map(|id| Event::Left { id, kind: K, despawned: false });
        assert_eq!(scene.announcements(20), left.collect::<Vec<_>>());
        assert_eq!((scene.agenda.dropped(), scene.agenda.edges()), (0, 0));
        scene.stage.check();
    }

    #[test]
    fn nobody_is_lost_if_changes_pile_up_while_nobody_polls() {
        let mut scene = Scene::new();
        let slots: Vec<u16> = (0..4_000).collect();
        scene.tell_all(10, &all(0..4_000), &[]);
        assert_eq!(scene.announcements(10).len(), 4_000);
        for tick in (20..420).step_by(4) {
            scene.tell_all(tick, &[], &slots);
            scene.tell_all(tick + 2, &all(4_000..6_000), &[]);
            scene.tell_all(tick + 3, &all(0..4_000), &(4_000..6_000).collect::<Vec<_>>());
            assert!(scene.agenda.edges() <= scene.stage.edges_max);
        }
        scene.tell_all(500, &all(4_000..6_000), &slots);
        let events = scene.announcements(500);
        let entered = events.iter().filter(|event| matches!(event, Event::Entered { .. })).count();
        assert_eq!((entered, events.len() - entered), (2_000, 4_000));
        scene.stage.check();
    }

    #[test]
    fn a_late_row_between_two_leaves_is_no_ghost() {
        let mut scene = Scene::new();
        scene.tell(100, id(1), true);
        assert_eq!(scene.announcements(100).len(), 1);
        scene.tell(103, id(1), false);
        scene.tell(109, id(1), false);
        scene.tell(106, id(1), true);
        assert_eq!(scene.announcements(104), [Event::Left { id: id(1), kind: K, despawned: false }]);
        assert_eq!(scene.announcements(106), [Event::Entered { id: id(1), kind: K }]);
        assert_eq!(scene.announcements(109), [Event::Left { id: id(1), kind: K, despawned: false }]);
        assert!(scene.stage.find(id(1)).is_none());
    }

    #[test]
    fn one_who_was_announced_is_told_to_have_left_however_many_came_after() {
        let mut scene = Scene::new();
        scene.tell(10, id(1), true);
        assert_eq!(scene.announcements(10).len(), 1);
        for generation in 2..20 {
            scene.tell(10 + u32::from(generation) * 300, id(generation), true);
        }
        let left = Event::Left { id: id(1), kind: K, despawned: true };
        assert_eq!(scene.announcements(6_000), [left, Event::Entered { id: id(19), kind: K }]);
        scene.stage.check();
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut scene = Scene::with_columns(60);
        let ids = all(0..16_000);
        for tick in 0..20 {
            scene.tell_all(100 + tick, &ids, &[]);
            scene.stage.check();
        }
        assert!(scene.stage.words > VIEW_WORDS_MAX / 4);
        assert_eq!(scene.announcements(119).len(), 16_000);
    }

    #[test]
    fn hostile_crowds_have_a_bound_too() {
        let mut scene = Scene::with_columns(1);
        for generation in 1..4 {
            for start in (0..u16::MAX - 10_000).step_by(10_000) {
                let ids: Vec<_> = (start..start + 10_000).map(|slot| EntityId { slot, generation }).collect();
                scene.tell_all(100 + u32::from(generation), &ids, &[]);
            }
            scene.stage.check();
        }
    }
}
