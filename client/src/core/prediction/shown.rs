//! The own entities as they are drawn: between the last two predicted ticks, while corrections fade.

use tickwire_protocol::schema::{Kind, KindId, Sight};
use tickwire_protocol::snapshot::DecodedRow;
use tickwire_protocol::{EntityId, Micros, PlayerId, RowHead, RowRef, Schema, Tick, TickTime};
use tickwire_sim::World;

use super::log::Log;
use super::smoothing::{Offsets, Picture};
use crate::core::timeline::Timeline;
use crate::core::view::{EntityView, Shared};

/// One own entity.
#[derive(Clone, Debug)]
struct Own {
    kind: KindId,
    timeline: Timeline,
    offsets: Offsets,
    /// What was shown of it before the correction that is being made.
    before: Picture,
    is_there: bool,
}

/// The own entities, in ascending kind and id.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    own: Vec<Own>,
    values: Vec<i32>,
}

/// What the predicted entities are shown by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) schema: &'a Schema,
    /// Seconds a tick.
    pub(super) dt: f32,
}

impl Shown {
    pub(super) fn clear(&mut self) {
        self.own.clear();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Takes over what the log has of `newest` and of the tick before.
    pub(super) fn update(&mut self, log: &Log, world: &World, player: PlayerId, newest: Tick) {
        self.own.iter_mut().for_each(|own| own.is_there = false);
        let Some(rows) = log.rows(newest) else { return self.own.clear() };
        let before = log.rows(newest - 1);
        for kind in rows.schema().kinds() {
            let id = KindId(kind.index());
            for (head, row) in rows.rows(id).filter(|(head, _)| head.owner == Some(player)) {
                let place = self.place(id, head.id, kind);
                let timeline = &mut self.own[place].timeline;
                timeline.keep_newest(0);
                let table = before.map(|before| before.table(id));
                if let Some((table, index)) = table.and_then(|table| Some((table, table.find(head.id)?))) {
                    let was = table.heads()[index];
                    insert(timeline, &mut self.values, newest - 1, id, was, table.row(kind, index), None);
                }
                let payload = world.payload(head.id).cloned();
                insert(timeline, &mut self.values, newest, id, head, row, payload);
            }
        }
        self.own.retain(|own| own.is_there);
    }

    /// Where an entity is, put in if it was not.
    fn place(&mut self, kind: KindId, id: EntityId, shape: &Kind) -> usize {
        let found = self.own.binary_search_by_key(&(kind, id), |own| (own.kind, own.timeline.id()));
        let place = found.unwrap_or_else(|place| {
            self.own.insert(place, Own::new(kind, id, shape));
            place
        });
        self.own[place].is_there = true;
        place
    }

    /// A correction is about to be made: takes down what is shown.
    pub(super) fn hold(&mut self, scene: Scene<'_>, time: TickTime, now: Micros) {
        for own in &mut self.own {
            let mut before = core::mem::take(&mut own.before);
            match own.view(scene, time, Some(now)) {
                Some(view) => before.take(scene.schema.kind(own.kind), &view),
                None => before.forget(),
            }
            own.before = before;
        }
    }

    /// An entity has jumped: it is not to be seen on a way to its new place.
    pub(super) fn snap(&mut self, id: EntityId) {
        self.own.iter_mut().filter(|own| own.timeline.id() == id).for_each(|own| own.before.forget());
    }

    /// An entity that was spawned ahead of the server is known by its real id from now on.
    pub(super) fn rename(&mut self, scene: Scene<'_>, guess: EntityId, id: EntityId) {
        let Some(own) = self.own.iter_mut().find(|own| own.timeline.id() == guess) else { return };
        own.timeline = Timeline::new(id, scene.schema.kind(own.kind).column_count());
        self.own.sort_unstable_by_key(|own| (own.kind, own.timeline.id()));
    }

    /// The correction is made: what is shown goes over from what was shown.
    pub(super) fn release(&mut self, scene: Scene<'_>, time: TickTime, now: Micros) {
        for own in &mut self.own {
            let mut offsets = core::mem::take(&mut own.offsets);
            match own.view(scene, time, None) {
                Some(view) => offsets.begin(now, scene.schema.kind(own.kind), &own.before, &view),
                None => offsets.clear(),
            }
            own.before.forget();
            own.offsets = offsets;
        }
    }

    /// The entities of a kind, in ascending id.
    pub(super) fn views<'a>(
        &'a self,
        scene: Scene<'a>,
        kind: KindId,
        time: TickTime,
        now: Micros,
    ) -> impl Iterator<Item = EntityView<'a>> {
        let of_kind = self.own.iter().filter(move |own| own.kind == kind);
        of_kind.filter_map(move |own| own.view(scene, time, Some(now)))
    }

    /// The entity with this id.
    pub(super) fn find<'a>(
        &'a self,
        scene: Scene<'a>,
        id: EntityId,
        time: TickTime,
        now: Micros,
    ) -> Option<EntityView<'a>> {
        self.own.iter().find(|own| own.timeline.id() == id)?.view(scene, time, Some(now))
    }
}

impl Own {
    fn new(kind: KindId, id: EntityId, shape: &Kind) -> Self {
        let timeline = Timeline::new(id, shape.column_count());
        Self { kind, timeline, offsets: Offsets::default(), before: Picture::default(), is_there: true }
    }

    /// How it is shown; without `now`, as it is known.
    fn view<'a>(&'a self, scene: Scene<'a>, time: TickTime, now: Option<Micros>) -> Option<EntityView<'a>> {
        let kind = scene.schema.kind(self.kind);
        let shared = Shared { time, dt: scene.dt, interval: 1, own: None };
        let view = EntityView::new(kind, self.kind, &self.timeline, shared)?;
        Some(match now {
            Some(now) => view.with_offsets(&self.offsets, now),
            None => view,
        })
    }
}

fn insert(
    timeline: &mut Timeline,
    values: &mut Vec<i32>,
    tick: Tick,
    kind: KindId,
    head: RowHead,
    row: RowRef<'_>,
    payload: Option<bytes::Bytes>,
) {
    let columns = row.kind().column_count();
    values.resize(columns, 0);
    row.copy_to(values);
    let told = DecodedRow {
        id: head.id,
        kind,
        sight: Sight::Own,
        is_whole: payload.is_some(),
        is_at_rest: false,
        held_until: None,
        teleported: head.teleported.then_some(tick),
        payload,
        values: 0..columns,
    };
    timeline.insert_state(tick, &told, values, tick - 1);
}
