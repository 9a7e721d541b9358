//! Whose rows wait for room in a snapshot.

use tickwire_protocol::history::Published;
use tickwire_protocol::snapshot::PlannedRow;
use tickwire_protocol::{EntityId, Tick};

use super::Knowledge;
use crate::core::scene::{Place, row_at};

impl Knowledge {
    /// Not all of these rows may be sent: those of which nothing was sent yet wait from now on, or still.
    pub(crate) fn wait(&mut self, newest: &Published, rows: &[PlannedRow]) {
        core::mem::swap(&mut self.waiting, &mut self.waited);
        self.waiting.clear();
        for row in rows {
            let (head, _) = row_at(newest, Place { kind: row.kind, row: row.row });
            if self.sent_at(head.id).is_none() {
                self.waiting.push((head.id, since(&self.waited, head.id).unwrap_or(newest.tick())));
            }
        }
        self.waiting.sort_unstable_by_key(|(id, _)| id.slot);
    }

    /// All that was news is sent: nobody waits.
    pub(crate) fn wait_no_more(&mut self) {
        self.waiting.clear();
    }

    /// How long ago a row of an entity was last sent, heard of or not; if none was, for how long it has waited. Ticks, at least 1.
    pub(crate) fn waited(&self, now: Tick, id: EntityId) -> u32 {
        let from = self.sent_at(id).or_else(|| since(&self.waiting, id));
        from.map_or(1, |from| now.since(from).max(1).unsigned_abs())
    }

    fn sent_at(&self, id: EntityId) -> Option<Tick> {
        let known = &self.known[self.place_of(id.slot).ok()?];
        (known.id == id).then_some(known.sent)
    }
}

/// Since when an entity waits, of those that do.
fn since(waiting: &[(EntityId, Tick)], id: EntityId) -> Option<Tick> {
    let place = waiting.binary_search_by_key(&id.slot, |(id, _)| id.slot).ok()?;
    (waiting[place].0 == id).then_some(waiting[place].1)
}
