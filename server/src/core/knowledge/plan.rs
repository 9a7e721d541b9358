//! What is news to a peer.

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::{HISTORY_TICKS, ROWS_PER_SNAPSHOT_MAX};
use tickwire_protocol::schema::{Kind, Sight};
use tickwire_protocol::snapshot::{Leave, PlannedRow, References, SectionPlan};
use tickwire_protocol::{EntityId, RowHead, Tick};

use super::{Knowledge, Known};
use crate::core::scene::Place;
use crate::core::viewer::Viewer;

/// A section is told against ticks while it has at least one row of news for so many rows held, beside
/// [`HELD_ROWS_FREE`]. Of 2,000 bodies, one in 16 of which moves, a body so told has a quarter fewer bytes and takes twice
/// the time to encode. With one in 128 it still has a seventh fewer, but takes ten times the time: every row that is held
/// costs some, and there are few bytes to be saved.
const HELD_ROWS_PER_NEWS: usize = 16;

/// So few rows are always told against ticks: their flags are some bytes, and states that rows at rest name are newer.
const HELD_ROWS_FREE: usize = 64;

impl Knowledge {
    /// Writes down what is news to the peer at the newest tick, at which it is shown `shown`, in the order of the wire.
    ///
    /// `against` are ticks, newest first, at which the peer holds just what was published of what it was shown; the
    /// newest one is that of the last snapshot that it was sent. The plan is told against them if that is likely to be
    /// shorter.
    pub(crate) fn plan(
        &mut self,
        history: &History,
        viewer: Viewer,
        shown: impl Iterator<Item = Place>,
        against: References,
        plan: &mut SectionPlan,
    ) {
        plan.clear();
        self.has_newcomers = false;
        let Some(newest) = history.newest() else { return };
        self.planned = Some(newest.tick());
        let (mut is_told_anew, mut has_newcomers) = (false, false);
        let tables = newest.tables(Sight::Public);
        let mut before: Option<(_, &Kind, &[RowHead])> = None;
        for Place { kind, row } in shown {
            let (_, of_kind, heads) = match before {
                Some(same @ (of, ..)) if of == kind => same,
                _ => *before.insert((kind, history.schema().kind(kind), tables.table(kind).heads())),
            };
            let head = &heads[row as usize];
            let sight = if self.is_own { Sight::Own } else { viewer.sight(of_kind, head) };
            let changed = history.track(kind, row as usize).changed(sight);
            let planned = |references| PlannedRow { kind, row, sight, references };
            match self.find(newest.tick(), head.id, sight) {
                Found::Nothing => {
                    has_newcomers = true;
                    plan.rows.push(planned(References::NONE));
                }
                Found::Another => {
                    is_told_anew = true;
                    plan.rows.push(planned(References::NONE));
                }
                Found::Held(known) => {
                    if !against.is_empty() {
                        plan.held.push(planned(known.held_at(against)));
                    }
                    if let Some(references) = news(newest.tick(), known, changed, viewer.delta) {
                        plan.rows.push(planned(references));
                    }
                }
            }
        }
        self.has_newcomers = has_newcomers;
        self.plan_leaves(newest, plan);
        // A receiver cannot tell that the tenant of a slot, or the eyes, are about to change.
        let is_worth_it = plan.held.len() <= HELD_ROWS_FREE + HELD_ROWS_PER_NEWS * plan.rows.len();
        if against.is_empty() || is_told_anew || !is_worth_it || plan.rows.len() > ROWS_PER_SNAPSHOT_MAX {
            plan.held.clear();
        } else {
            plan.against = against;
            if plan.rows.len() == plan.held.len() && !has_newcomers {
                // All that is held is news: then a row stands where it is held.
                plan.rows.clone_from(&plan.held);
            } else {
                name_ticks_of_section(plan);
            }
        }
    }

    /// What the peer knows of the tenant of a slot that is in view.
    fn find(&mut self, tick: Tick, id: EntityId, sight: Sight) -> Found<'_> {
        let Some(place) = self.next_place(id.slot) else { return Found::Nothing };
        let known = &mut self.known[place];
        known.seen = tick;
        // A replaced tenant is replaced on the other side by the whole row of the new one. A state told to other
        // eyes names columns that the peer does not have, or must forget: the row is sent whole as well.
        if known.id == id && known.sight == sight { Found::Held(known) } else { Found::Another }
    }

    /// Says which entities are gone, or out of view, that the peer may hold a state of.
    fn plan_leaves(&self, newest: &Published, plan: &mut SectionPlan) {
        let tables = newest.tables(Sight::Public);
        for known in self.known.iter().filter(|known| known.seen != newest.tick()) {
            let is_present = tables.iter().any(|(_, table)| table.find(known.id).is_some());
            plan.leaves.push(Leave { slot: known.id.slot, despawned: !is_present });
        }
    }
}

/// What is known of an entity that is in view.
enum Found<'a> {
    /// Nothing of its slot.
    Nothing,
    /// Another tenant of its slot, or the same one seen with other eyes.
    Another,
    Held(&'a Known),
}

/// What a row may name if it is to be sent; nothing if the peer holds its current state.
fn news(tick: Tick, known: &Known, changed: Tick, delta: bool) -> Option<References> {
    let is_current = known.states.newest().is_some_and(|state| !changed.is_newer_than(state));
    if is_current && delta {
        return None;
    }
    let mut references = References::NONE;
    if delta {
        let in_ring = |state: &Tick| (1..HISTORY_TICKS as i32).contains(&tick.since(*state));
        if known.states.newest().as_ref().is_some_and(in_ring)
            && known.states.oldest().as_ref().is_some_and(in_ring)
        {
            return Some(known.states);
        }
        known.states.ticks().filter(in_ring).for_each(|state| references.push(state));
    }
    Some(references)
}

/// Rows of entities that are held name the ticks of the section.
fn name_ticks_of_section(plan: &mut SectionPlan) {
    let place = |row: &PlannedRow| (row.kind, row.row);
    let mut held = plan.held.iter().peekable();
    for row in &mut plan.rows {
        while held.next_if(|held| place(held) < place(row)).is_some() {}
        if let Some(held) = held.next_if(|held| place(held) == place(row)) {
            row.references = held.references;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tickwire_protocol::schema::{Field, FieldId, FieldType, KindId, Schema};
    use tickwire_protocol::{RowMut, Tables, TickRate};

    const K: KindId = KindId(0);

    fn schema() -> Arc<Schema> {
        let number = Field::new(FieldId(0), "number", FieldType::integer(0..=9_999));
        Schema::builder("known").kind(Kind::new(K, "kind", [number])).build().unwrap()
    }

    /// Publishes rows by slot, each with a number.
    fn publish(history: &mut History, tick: u32, rows: &[(u16, i32)]) {
        let mut tables = Tables::new(history.schema().clone());
        for &(slot, number) in rows {
            let mut row: RowMut<'_> = tables.insert(K, RowHead::new(EntityId { slot, generation: 1 }));
            row.copy_from(&[number]);
        }
        tables.finish();
        history.publish(Tick(tick), &tables);
    }

    fn ticks(ticks: &[u32]) -> References {
        let mut references = References::NONE;
        for tick in ticks {
            references.push(Tick(*tick));
        }
        references
    }

    /// A plan of everyone's view, which is then all known.
    fn tell(knowledge: &mut Knowledge, history: &History, against: &[u32]) -> SectionPlan {
        let (viewer, mut plan) = (Viewer { delta: true, ..Viewer::default() }, SectionPlan::default());
        let newest = history.newest().unwrap();
        let shown = (0..newest.tables(Sight::Public).table(K).len() as u32).map(|row| Place { kind: K, row });
        knowledge.plan(history, viewer, shown, ticks(against), &mut plan);
        knowledge.leaves_acked(newest.tick(), &plan.leaves);
        knowledge.hold(history, newest, &plan.rows);
        plan
    }

    #[test]
    fn a_section_against_ticks_names_what_was_held_at_each() {
        let mut history = History::new(schema(), TickRate::new(60).unwrap());
        let mut knowledge = Knowledge::of_view();
        publish(&mut history, 3, &[(1, 10), (2, 20)]);
        let first = tell(&mut knowledge, &history, &[]);
        assert!(first.against.is_empty() && first.rows.iter().all(|row| row.references.is_empty()));
        publish(&mut history, 4, &[(1, 11), (2, 20), (5, 50)]);
        tell(&mut knowledge, &history, &[3]);
        publish(&mut history, 5, &[(1, 12), (5, 50), (7, 70)]);
        let plan = tell(&mut knowledge, &history, &[4, 3]);
        assert_eq!(plan.against, ticks(&[4, 3]));
        assert_eq!(plan.leaves.iter().map(|leave| leave.slot).collect::<Vec<_>>(), [2]);
        let named =
            |rows: &[PlannedRow]| rows.iter().map(|row| (row.row, row.references)).collect::<Vec<_>>();
        assert_eq!(named(&plan.held), [(0, ticks(&[4, 3])), (1, ticks(&[4]))], "slot 5 came in tick 4");
        assert_eq!(named(&plan.rows), [(0, ticks(&[4, 3])), (2, References::NONE)], "slot 7 comes now");
        assert!(!knowledge.take_broken());
        // One that was away and is back is held from now on, whatever the peer keeps of it from before.
        publish(&mut history, 6, &[(1, 12), (2, 21), (5, 50), (7, 70)]);
        assert_eq!(named(&tell(&mut knowledge, &history, &[5]).rows), [(1, References::NONE)]);
        publish(&mut history, 7, &[(1, 12), (2, 22), (5, 50), (7, 70)]);
        let plan = tell(&mut knowledge, &history, &[6, 5, 3]);
        assert_eq!(plan.held[1].references, ticks(&[6]), "slot 2 was away at tick 5");
        assert!(!knowledge.take_broken());
    }

    #[test]
    fn few_news_of_many_rows_are_told_by_slot() {
        let mut history = History::new(schema(), TickRate::new(60).unwrap());
        let mut knowledge = Knowledge::of_view();
        let rows = (HELD_ROWS_FREE + 2 * HELD_ROWS_PER_NEWS) as u16;
        let world =
            |moved: u16, number| (0..=rows).map(move |slot| (slot, if slot < moved { number } else { 0 }));
        // Until all are at rest.
        (0..10).for_each(|tick| publish(&mut history, tick, &world(0, 0).collect::<Vec<_>>()));
        for (tick, moved, is_against) in [(10, 0, false), (11, 1, false), (12, 2, false), (13, 3, true)] {
            publish(&mut history, tick, &world(moved, tick as i32).collect::<Vec<_>>());
            let before = [tick - 1];
            let plan = tell(&mut knowledge, &history, if tick == 10 { &[] } else { &before });
            assert_eq!(!plan.against.is_empty(), is_against, "{} news at {tick}", plan.rows.len());
            assert_eq!(plan.held.is_empty(), !is_against);
        }
    }
}
