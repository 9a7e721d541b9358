//! What a recorded tick has to tell: the rows that changed since the ticks before, and the states that they may name.

use crate::history::{History, Published};
use crate::ids::EntityId;
use crate::limits::HISTORY_TICKS;
use crate::schema::{KindId, Sight};
use crate::snapshot::replica::table_row_hash;
use crate::snapshot::{Leave, PlannedRow, References, SectionPlan};
use crate::time::Tick;

use super::Sections;

/// What a reader holds of the tenant of a slot.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: EntityId,
    /// Ticks of the newest states, newest first.
    states: References,
    /// The newest tick in which the entity was there.
    seen: Tick,
}

/// What a reader holds of one section. Everything that is planned is written, so everything planned is held.
#[derive(Clone, Debug)]
pub(super) struct Planner {
    is_own: bool,
    slots: Vec<Option<Held>>,
}

impl Planner {
    pub(super) fn new(is_own: bool) -> Self {
        Self { is_own, slots: Vec::new() }
    }

    /// A keyframe: the reader holds nothing.
    pub(super) fn forget(&mut self) {
        self.slots.fill(None);
    }

    /// Writes down what is news at the newest tick; the sum of the hashes of its rows.
    pub(super) fn plan(&mut self, history: &History, newest: &Published, plan: &mut SectionPlan) -> u64 {
        plan.clear();
        let tick = newest.tick();
        let mut digest: u64 = 0;
        for kind in history.schema().kinds() {
            let sections = Sections::of(kind);
            if !(if self.is_own { sections.own } else { sections.view }) {
                continue;
            }
            let sight = if self.is_own { Sight::Own } else { Sections::sight(kind) };
            let kind_id = KindId(kind.index());
            let table = newest.tables(sight).table(kind_id);
            for (row, head) in table.heads().iter().enumerate() {
                let changed = history.track(kind_id, row).changed(sight);
                let Some(references) = self.news(tick, head.id, changed) else {
                    continue;
                };
                plan.rows.push(PlannedRow { kind: kind_id, row: row as u32, sight, references });
                if references.is_empty() {
                    digest = digest.wrapping_add(table_row_hash(kind, table, row, sight, self.is_own));
                }
            }
        }
        for (slot, place) in self.slots.iter_mut().enumerate() {
            if place.take_if(|held| held.seen != tick).is_some() {
                plan.leaves.push(Leave { slot: slot as u16, despawned: true });
            }
        }
        digest
    }

    /// The states that a row may name if it is to be told; nothing if the reader holds the current one.
    fn news(&mut self, tick: Tick, id: EntityId, changed: Tick) -> Option<References> {
        let slot = usize::from(id.slot);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        let held = self.slots[slot].get_or_insert(Held { id, states: References::NONE, seen: tick });
        held.seen = tick;
        if held.id != id {
            (held.id, held.states) = (id, References::NONE);
        }
        if held.states.newest().is_some_and(|state| !changed.is_newer_than(state)) {
            return None;
        }
        let (mut named, mut states) = (References::NONE, References::NONE);
        states.push(tick);
        for state in held.states.ticks() {
            states.push(state);
            if tick.since(state) < HISTORY_TICKS as i32 {
                named.push(state);
            }
        }
        held.states = states;
        Some(named)
    }
}
