//! Who is to be seen, and when: the timelines of all entities.
//!
//! The replica holds what the server may name; the stage holds what the eyes need, from the view's moment on. A row
//! enters both. The two forget by different rules, so neither has to care for the other.

use core::ops::Range;

use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::snapshot::{DecodedRow, DecodedSection, Leave, Replica};
use tickwire_protocol::{EntityId, KindId, Schema, Tick, TickTime};

use super::agenda::{Agenda, Item};
use super::event::Event;
use super::timeline::{Edge, Timeline};

/// Tenants of one slot that are remembered. A slot rests for longer than any view is behind, so two are many.
const TENANTS_MAX: usize = 4;

/// The timelines, per kind in ascending id.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    kinds: Vec<Vec<Timeline>>,
    /// Ticks between two snapshots.
    interval: u32,
}

impl Stage {
    /// An empty stage that gets a snapshot every `interval` ticks.
    pub(crate) fn new(schema: &Schema, interval: u32) -> Self {
        Self { kinds: schema.kinds().iter().map(|_| Vec::new()).collect(), interval }
    }

    /// Takes in what was told of everyone's view at `tick`; the replica has it already. What lies before `oldest` may
    /// be forgotten.
    pub(crate) fn apply(
        &mut self,
        tick: Tick,
        section: &DecodedSection,
        replica: &Replica,
        oldest: Tick,
        agenda: &mut Agenda,
    ) {
        for &Leave { slot, despawned } in &section.leaves {
            self.vacate(slot, tick, despawned, agenda);
        }
        // Rows ascend as timelines do: the next row's is mostly the next.
        let mut next = 0;
        for row in &section.rows {
            let Some(place) = self.place(row, next, tick, replica, agenda) else { continue };
            let timeline = &mut self.kinds[usize::from(row.kind.0)][place];
            let values = section.values.get(row.values.clone()).unwrap_or_default();
            note(agenda, row.kind, row.id, timeline.insert_state(tick, row, values, oldest));
            next = place + 1;
        }
    }

    /// Where the row's timeline is, a new one if there was none; it may well be at `guess`. Nothing if a late datagram
    /// tells of one that has left or was replaced since: the replica knows.
    fn place(
        &mut self,
        row: &DecodedRow,
        guess: usize,
        tick: Tick,
        replica: &Replica,
        agenda: &mut Agenda,
    ) -> Option<usize> {
        let kind = usize::from(row.kind.0);
        let timelines = &self.kinds[kind];
        if timelines.get(guess).is_some_and(|timeline| timeline.id() == row.id) {
            return Some(guess);
        }
        if let Ok(place) = timelines.binary_search_by_key(&row.id, Timeline::id) {
            return Some(place);
        }
        replica.find(row.id)?;
        self.vacate(row.id.slot, tick, true, agenda);
        let timelines = &mut self.kinds[kind];
        let place = timelines.partition_point(|timeline| timeline.id() < row.id);
        timelines.insert(place, Timeline::new(row.id, row.values.len()));
        Some(place)
    }

    /// Who is in this slot is away from `tick` on. Those who have long been away are forgotten.
    fn vacate(&mut self, slot: u16, tick: Tick, despawned: bool, agenda: &mut Agenda) {
        let mut tenants = 0;
        for (kind, timelines) in self.kinds.iter_mut().enumerate() {
            let places = places_of(timelines, slot);
            tenants += places.len();
            for timeline in &mut timelines[places] {
                let edges = timeline.insert_absence(tick, despawned);
                note(agenda, KindId(kind as u8), timeline.id(), edges);
            }
        }
        let limit = if tenants < TENANTS_MAX { tick - 2 * HISTORY_TICKS } else { tick };
        for timelines in &mut self.kinds {
            if timelines[places_of(timelines, slot)].iter().any(|timeline| timeline.is_over(limit)) {
                timelines.retain(|timeline| timeline.id().slot != slot || !timeline.is_over(limit));
            }
        }
    }

    /// What the game is to be told of an entity now that the view shows `view`: nothing if it knows.
    pub(crate) fn announce(&mut self, kind: KindId, id: EntityId, view: TickTime) -> Option<Event> {
        let interval = self.interval;
        let timelines = self.kinds.get_mut(usize::from(kind.0))?;
        let place = timelines.binary_search_by_key(&id, Timeline::id).ok()?;
        let timeline = &mut timelines[place];
        let is_shown = timeline.blend(view, interval).is_some();
        let was_announced = core::mem::replace(&mut timeline.is_announced, is_shown);
        let despawned = timeline.is_despawned(view.tick);
        if timeline.is_over(view.tick) {
            timelines.remove(place);
        }
        match (was_announced, is_shown) {
            (false, true) => Some(Event::Entered { id, kind }),
            (true, false) => Some(Event::Left { id, kind, despawned }),
            _ => None,
        }
    }

    /// The entities of a kind, in ascending id, away or not.
    pub(crate) fn timelines(&self, kind: KindId) -> &[Timeline] {
        self.kinds.get(usize::from(kind.0)).map_or(&[], Vec::as_slice)
    }

    /// The entity with this id, and its kind.
    pub(crate) fn find(&self, id: EntityId) -> Option<(KindId, &Timeline)> {
        self.kinds.iter().enumerate().find_map(|(kind, timelines)| {
            let place = timelines.binary_search_by_key(&id, Timeline::id).ok()?;
            Some((KindId(kind as u8), &timelines[place]))
        })
    }

    /// Ticks between two snapshots.
    pub(crate) fn interval(&self) -> u32 {
        self.interval
    }
}

/// Where the tenants of a slot stand, of all times.
fn places_of(timelines: &[Timeline], slot: u16) -> Range<usize> {
    let start = timelines.partition_point(|timeline| timeline.id().slot < slot);
    let count = timelines[start..].partition_point(|timeline| timeline.id().slot == slot);
    start..start + count
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

    use tickwire_protocol::schema::{Kind, Sight};
    use tickwire_protocol::snapshot::{DecodedSnapshot, SnapshotHeader};

    const K: KindId = KindId(0);

    struct Scene {
        stage: Stage,
        replica: Replica,
        agenda: Agenda,
    }

    impl Scene {
        fn new() -> Self {
            let schema: Arc<Schema> = Schema::builder("s").kind(Kind::new(K, "k", [])).build().unwrap();
            let stage = Stage::new(&schema, 2);
            Self { stage, replica: Replica::new(schema, 0), agenda: Agenda::default() }
        }

        /// Tells of one entity, or that its slot is empty.
        fn tell(&mut self, tick: u32, id: EntityId, is_there: bool) {
            let tick = Tick(tick);
            let mut snapshot = DecodedSnapshot::default();
            let header = SnapshotHeader { tick, has_full_tick: true, sequence: None, feedback: None };
            snapshot.header = Some(header);
            if is_there {
                snapshot.view.rows.push(DecodedRow {
                    id,
                    kind: K,
                    sight: Sight::Public,
                    is_whole: true,
                    is_at_rest: false,
                    held_until: None,
                    teleported: None,
                    payload: None,
                    values: 0..0,
                });
            } else {
                snapshot.view.leaves.push(Leave { slot: id.slot, despawned: false });
            }
            self.replica.apply(&snapshot);
            self.stage.apply(tick, &snapshot.view, &self.replica, tick - 10, &mut self.agenda);
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
        assert!(scene.stage.timelines(K).is_empty(), "and forgotten");
        scene.tell(14, id(1), true);
        assert_eq!(scene.announcements(14), [Event::Entered { id: id(1), kind: K }]);
        scene.tell(16, id(1), false);
        scene.tell(18, id(1), true);
        assert_eq!(scene.announcements(20), [], "there before, there now");
        scene.tell(22, id(1), false);
        assert_eq!(scene.announcements(22), [Event::Left { id: id(1), kind: K, despawned: false }]);
    }

    #[test]
    fn tenants_do_not_pile_up_if_nobody_polls() {
        let mut scene = Scene::new();
        for generation in 1..2_000 {
            scene.tell(10, id(generation), true);
            assert!(scene.stage.timelines(K).len() <= TENANTS_MAX);
        }
        assert_eq!(scene.stage.find(id(1_999)).map(|(kind, _)| kind), Some(K));
    }
}
