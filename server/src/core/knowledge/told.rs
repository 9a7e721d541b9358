//! What a peer was told, and what it has acked.

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::replica::table_row_hash;
use tickwire_protocol::snapshot::{Leave, PlannedRow, References};
use tickwire_protocol::{EntityId, Tick};

use super::{Knowledge, Known};
use crate::core::scene::{Place, row_at};

/// Room for so many entities is made with the first: what a player sees of a small world, or of a large one; and what it owns.
const KNOWN_AT_FIRST: usize = 32;
const OWNED_AT_FIRST: usize = 2;

/// A row that was sent: to be known when it is acked, or at once on an ordered stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRow {
    pub(crate) id: EntityId,
    pub(crate) sight: Sight,
    hash: u64,
}

impl Knowledge {
    /// Notes that these rows are sent, and hands on what each becomes: to be remembered until it is acked.
    pub(crate) fn send(
        &mut self,
        history: &History,
        newest: &Published,
        rows: &[PlannedRow],
        mut note: impl FnMut(SentRow),
    ) {
        if self.has_newcomers {
            self.make_room(newest, rows);
        }
        for row in rows {
            let sent = self.sent_row(history, newest, row);
            self.enter(newest.tick(), &sent);
            note(sent);
        }
    }

    /// Enters all who are not known yet at once: one by one, a view that changes as a whole would cost the square of its size.
    fn make_room(&mut self, newest: &Published, rows: &[PlannedRow]) {
        let (sorted, mut next) = (self.known.len(), 0);
        for row in rows {
            let (head, _) = row_at(newest, Place { kind: row.kind, row: row.row });
            let known = &self.known[..sorted];
            if known.get(next).is_some_and(|known| known.id.slot == head.id.slot) {
                next += 1;
                continue;
            }
            let found = known.binary_search_by_key(&head.id.slot, |known| known.id.slot);
            next = found.map_or_else(|place| place, |place| place + 1);
            if found.is_err() {
                if self.known.is_empty() {
                    self.known.reserve(if self.is_own { OWNED_AT_FIRST } else { KNOWN_AT_FIRST });
                }
                self.known.push(Known::nothing(head.id, row.sight, newest.tick()));
            }
        }
        if self.known.len() > sorted {
            self.known.sort_unstable_by_key(|known| known.id.slot);
        }
    }

    /// What a row is that is sent.
    fn sent_row(&self, history: &History, newest: &Published, row: &PlannedRow) -> SentRow {
        // However an own row was told, the peer knows all of it then.
        let sight = if self.is_own { Sight::Own } else { row.sight };
        let tables = newest.tables(sight);
        let table = tables.table(row.kind);
        let index = row.row as usize;
        let hash = match sight {
            Sight::Public => history.track(row.kind, index).public_hash,
            sight => table_row_hash(tables.schema().kind(row.kind), table, index, sight, self.is_own),
        };
        SentRow { id: table.heads()[index].id, sight, hash }
    }

    /// Where a row that is sent now is noted.
    fn enter(&mut self, tick: Tick, &SentRow { id, sight, .. }: &SentRow) -> Option<usize> {
        let place = self.next_place(id.slot);
        if let Some(place) = place {
            let known = &mut self.known[place];
            if (known.id, known.sight) != (id, sight) {
                self.digest = self.digest.wrapping_sub(known.hash);
                self.is_broken = true;
                *known = Known::nothing(id, sight, tick);
            }
            (known.seen, known.sent) = (tick, tick);
        }
        place
    }

    /// These rows are sent on a stream that loses nothing: the peer holds them from now on.
    pub(crate) fn hold(&mut self, history: &History, newest: &Published, rows: &[PlannedRow]) {
        if self.has_newcomers {
            self.make_room(newest, rows);
        }
        let tick = newest.tick();
        for row in rows {
            let sent = self.sent_row(history, newest, row);
            let Some(place) = self.enter(tick, &sent) else { continue };
            let known = &mut self.known[place];
            self.digest = self.digest.wrapping_sub(known.hash).wrapping_add(sent.hash);
            known.hash = sent.hash;
            known.states.push_newest(tick);
        }
    }

    /// The peer holds this state from now on.
    pub(crate) fn acked(&mut self, tick: Tick, row: SentRow) {
        let Some(place) = self.next_place(row.id.slot) else { return };
        let known = &mut self.known[place];
        let is_foreign = known.id != row.id || known.sight != row.sight;
        if is_foreign || known.since.is_newer_than(tick) {
            return;
        }
        if known.states.newest().is_none_or(|newest| tick.is_newer_than(newest)) {
            self.digest = self.digest.wrapping_sub(known.hash).wrapping_add(row.hash);
            known.hash = row.hash;
            known.states.push_newest(tick);
            return;
        }
        if known.states.ticks().any(|state| state == tick) {
            return;
        }
        let mut states = References::NONE;
        let mut added = Some(tick);
        for state in known.states.ticks() {
            if let Some(tick) = added.take_if(|tick| tick.is_newer_than(state)) {
                states.push(tick);
            }
            states.push(state);
        }
        if let Some(tick) = added {
            states.push(tick);
        }
        known.states = states;
    }

    /// The peer is told that the tenant of this slot left at `tick`. Whether it hears that or not, nothing that it
    /// held before counts on: should the tenant come back, it is sent whole.
    pub(crate) fn leave_sent(&mut self, tick: Tick, leave: Leave) {
        if let Ok(place) = self.place_of(leave.slot) {
            let known = &mut self.known[place];
            self.digest = self.digest.wrapping_sub(known.hash);
            (known.states, known.hash, known.since) = (References::NONE, 0, tick + 1);
        }
    }

    /// The peer knows that the tenants of these slots left at `tick`. They come in ascending order.
    pub(crate) fn leaves_acked(&mut self, tick: Tick, leaves: &[Leave]) {
        if leaves.is_empty() {
            return;
        }
        let Self { known, digest, .. } = self;
        let mut leaves = leaves.iter().peekable();
        known.retain(|known| {
            while leaves.next_if(|leave| leave.slot < known.id.slot).is_some() {}
            let is_told = leaves.peek().is_some_and(|leave| leave.slot == known.id.slot);
            // Not if it has come back since: `seen` is then newer.
            if !is_told || known.seen.is_newer_than(tick) {
                return true;
            }
            *digest = digest.wrapping_sub(known.hash);
            false
        });
    }
}
