//! What one peer is known to hold of one domain (everyone's view, or its own rows), and what it must be sent.
//!
//! No copy of the world: per entity slot the ticks of at most three states that the peer holds. From these and the
//! shared history follow which rows are news to it, and which states a row may name.

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::schema::{Kind, KindId, Sight};
use tickwire_protocol::snapshot::replica::table_row_hash;
use tickwire_protocol::snapshot::{Leave, PlannedRow, References, SectionPlan};
use tickwire_protocol::{EntityId, RowHead, Tick};

/// What a peer knows of the tenant of one slot.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: EntityId,
    sight: Sight,
    /// States that it holds, newest first. None yet while nothing that was sent has been acked.
    states: References,
    /// The hash of the newest of them; what the digest sums.
    hash: u64,
    /// The newest plan that found the entity in view.
    seen: Tick,
    /// Acks of states from before are of no use: the peer has been told to forget them, or may have been.
    since: Tick,
}

/// A row that was sent: to be known when it is acked, or at once on an ordered stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRow {
    pub(crate) id: EntityId,
    pub(crate) sight: Sight,
    hash: u64,
}

/// Who the peer is, as far as it decides what it sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    pub(crate) player: Option<tickwire_protocol::PlayerId>,
    /// Whether rows may name states at all.
    pub(crate) delta: bool,
}

impl Viewer {
    fn owns(self, head: &RowHead) -> bool {
        self.player.is_some() && head.owner == self.player
    }

    /// What the peer sees of a row in everyone's view. A viewer without an entity has no team; the owner counts as
    /// of its entity's team.
    fn sight(self, kind: &Kind, head: &RowHead, own_teams: u32) -> Sight {
        if kind.has_team_fields() && (self.owns(head) || head.teams & own_teams != 0) {
            Sight::Team
        } else {
            Sight::Public
        }
    }
}

/// What one peer holds of one domain.
#[derive(Clone, Debug)]
pub(crate) struct Knowledge {
    is_own: bool,
    slots: Vec<Option<Known>>,
    digest: u64,
}

impl Knowledge {
    /// Nothing of everyone's view.
    pub(crate) fn of_view() -> Self {
        Self { is_own: false, slots: Vec::new(), digest: 0 }
    }

    /// Nothing of the peer's own rows.
    pub(crate) fn of_own_rows() -> Self {
        Self { is_own: true, ..Self::of_view() }
    }

    /// The sum of the hashes of what the peer holds.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Writes down what is news to the peer at the newest tick.
    pub(crate) fn plan(&mut self, history: &History, viewer: Viewer, plan: &mut SectionPlan) {
        plan.clear();
        let Some(newest) = history.newest() else { return };
        let own_teams = own_teams(history, newest, viewer);
        for (kind, table) in newest.tables(Sight::Public).iter() {
            let kind_id = KindId(kind.index());
            for (row, head) in table.heads().iter().enumerate() {
                if self.is_own && !viewer.owns(head) {
                    continue;
                }
                let sight = if self.is_own { Sight::Own } else { viewer.sight(kind, head, own_teams) };
                let changed = history.track(kind_id, row).changed(sight);
                if let Some(references) =
                    self.news(kind, newest.tick(), head.id, sight, changed, viewer.delta)
                {
                    plan.rows.push(PlannedRow { kind: kind_id, row: row as u32, sight, references });
                }
            }
        }
        self.plan_leaves(newest, plan);
    }

    /// What a row may name if it is to be sent; nothing if the peer holds its current state.
    fn news(
        &mut self,
        kind: &Kind,
        tick: Tick,
        id: EntityId,
        sight: Sight,
        changed: Tick,
        delta: bool,
    ) -> Option<References> {
        let slot = usize::from(id.slot);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        // A replaced tenant is replaced on the other side by the whole row of the new one. A state told to other
        // eyes names columns that the peer does not have, or must forget: the row is sent whole as well.
        let Some(known) = self.slots[slot].as_mut() else { return Some(References::NONE) };
        known.seen = tick;
        if known.id != id || known.sight != sight {
            return Some(References::NONE);
        }
        let is_current = known.states.newest().is_some_and(|state| !changed.is_newer_than(state));
        if is_current && delta {
            return None;
        }
        let mut references = References::NONE;
        if delta {
            let in_ring = |state: &Tick| (1..HISTORY_TICKS as i32).contains(&tick.since(*state));
            let nameable = known.states.ticks().filter(in_ring).take(kind.references_wanted());
            nameable.for_each(|state| references.push(state));
        }
        Some(references)
    }

    /// Says which entities are gone that the peer may hold a state of.
    fn plan_leaves(&self, newest: &Published, plan: &mut SectionPlan) {
        let tables = newest.tables(Sight::Public);
        for known in self.slots.iter().flatten().filter(|known| known.seen != newest.tick()) {
            let is_present = tables.iter().any(|(_, table)| table.find(known.id).is_some());
            plan.leaves.push(Leave { slot: known.id.slot, despawned: !is_present });
        }
    }

    /// Oldest knowledge first: the order in which rows are to go when not all fit.
    pub(crate) fn sort_by_age(&self, newest: &Published, rows: &mut [PlannedRow]) {
        rows.sort_unstable_by_key(|row| {
            let id = newest.tables(Sight::Public).table(row.kind).heads()[row.row as usize].id;
            let known = self.slots.get(usize::from(id.slot)).copied().flatten();
            let newest_state = known.filter(|known| known.id == id).and_then(|known| known.states.newest());
            let age = newest_state.map_or(u32::MAX, |state| newest.tick().since(state).unsigned_abs());
            (core::cmp::Reverse(age), row.kind, row.row)
        });
    }

    /// What a planned row becomes once it is sent: remembered until it is acked.
    pub(crate) fn sent(&mut self, history: &History, newest: &Published, row: &PlannedRow) -> SentRow {
        let tables = newest.tables(row.sight);
        let table = tables.table(row.kind);
        let index = row.row as usize;
        let id = table.heads()[index].id;
        let hash = match row.sight {
            Sight::Public => history.track(row.kind, index).public_hash,
            sight => table_row_hash(tables.schema().kind(row.kind), table, index, sight, self.is_own),
        };
        let place = &mut self.slots[usize::from(id.slot)];
        if let Some(replaced) = place.take_if(|known| known.id != id || known.sight != row.sight) {
            self.digest = self.digest.wrapping_sub(replaced.hash);
        }
        let tick = newest.tick();
        let nothing =
            Known { id, sight: row.sight, states: References::NONE, hash: 0, seen: tick, since: tick };
        place.get_or_insert(nothing).seen = tick;
        SentRow { id, sight: row.sight, hash }
    }

    /// The peer holds this state from now on.
    pub(crate) fn acked(&mut self, tick: Tick, row: SentRow) {
        let Some(Some(known)) = self.slots.get_mut(usize::from(row.id.slot)) else { return };
        let is_foreign = known.id != row.id || known.sight != row.sight;
        if is_foreign || known.since.is_newer_than(tick) || known.states.ticks().any(|state| state == tick) {
            return;
        }
        if known.states.newest().is_none_or(|newest| tick.is_newer_than(newest)) {
            self.digest = self.digest.wrapping_sub(known.hash).wrapping_add(row.hash);
            known.hash = row.hash;
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
        if let Some(Some(known)) = self.slots.get_mut(usize::from(leave.slot)) {
            self.digest = self.digest.wrapping_sub(known.hash);
            (known.states, known.hash, known.since) = (References::NONE, 0, tick + 1);
        }
    }

    /// The peer knows that the tenant of this slot left at `tick`.
    pub(crate) fn leave_acked(&mut self, tick: Tick, leave: Leave) {
        let Some(place) = self.slots.get_mut(usize::from(leave.slot)) else { return };
        // Not if it has come back since: `seen` is then newer.
        if let Some(gone) = place.take_if(|known| !known.seen.is_newer_than(tick)) {
            self.digest = self.digest.wrapping_sub(gone.hash);
        }
    }
}

/// The teams of the viewer's own entities.
fn own_teams(history: &History, newest: &Published, viewer: Viewer) -> u32 {
    if !history.schema().kinds().iter().any(Kind::has_team_fields) {
        return 0;
    }
    let heads = newest.tables(Sight::Public).iter().flat_map(|(_, table)| table.heads());
    heads.filter(|head| viewer.owns(head)).fold(0, |teams, head| teams | head.teams)
}
