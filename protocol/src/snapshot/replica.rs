//! What a receiver holds: per slot, the states that rows may name and that a view is drawn from.

use std::sync::Arc;

use bytes::Bytes;

use super::{DecodedRow, DecodedSection, DecodedSnapshot, HeldState, HeldStates, References, StateLookup};
use crate::fault::DecodeError;
use crate::hash::WordHash;
use crate::ids::EntityId;
use crate::limits::{COLUMNS_PER_KIND_MAX, REFERENCES_PER_ROW_MAX};
use crate::row::RowRef;
use crate::schema::{Kind, KindId, Schema, Sight};
use crate::table::Table;
use crate::time::Tick;

/// One received state of an entity.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The tick it tells of.
    pub tick: Tick,
    /// What was told.
    pub sight: Sight,
    /// Whether the entity stood still.
    pub is_at_rest: bool,
    /// Until when the entity was at rest, if it was before this state: a state held of that rest lasted until then.
    pub held_until: Option<Tick>,
    /// When the entity last jumped, if since the state that this one was told against.
    pub teleported: Option<Tick>,
}

/// What is held of one slot.
#[derive(Clone, Debug, Default)]
struct Slot {
    tenant: Option<Track>,
    /// The newest tick at which the slot was said to have nobody in view. Kept even where nothing is held: a datagram
    /// from before, that was overtaken by the one that said so, may still come.
    absent_at: Option<Tick>,
}

/// Everything held of the tenant of one slot.
#[derive(Clone, Debug)]
pub struct Track {
    id: EntityId,
    kind: KindId,
    payload: Option<Bytes>,
    /// Oldest first.
    samples: Vec<Sample>,
    /// The columns of all samples, sample by sample in the same order.
    values: Vec<i32>,
    columns: usize,
}

/// A change of who is in view, for the game to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// An entity came into view.
    Entered {
        /// Which.
        id: EntityId,
        /// Of which kind.
        kind: KindId,
        /// The tick of its first state.
        tick: Tick,
    },
    /// An entity left the view.
    Left {
        /// Which.
        id: EntityId,
        /// Of which kind.
        kind: KindId,
        /// From which tick on it is absent.
        tick: Tick,
        /// Whether it is gone from the world, not just from the view.
        despawned: bool,
    },
}

/// The states that a receiver holds, of everyone's view and of its own rows.
#[derive(Clone, Debug)]
pub struct Replica {
    schema: Arc<Schema>,
    keep_ticks: u32,
    view: Vec<Slot>,
    own: Vec<Slot>,
    /// The slots of those that ever had a tenant, ascending.
    own_slots: Vec<u16>,
    newest: Option<Tick>,
    changes: Vec<Change>,
}

impl Replica {
    /// An empty replica that keeps states for `keep_ticks`, and always the newest three of an entity.
    ///
    /// On an ordered stream the server names no others. On datagrams it may name any that was acked, so keep
    /// [`HISTORY_TICKS`](crate::limits::HISTORY_TICKS).
    pub fn new(schema: Arc<Schema>, keep_ticks: u32) -> Self {
        Self {
            schema,
            keep_ticks,
            view: Vec::new(),
            own: Vec::new(),
            own_slots: Vec::new(),
            newest: None,
            changes: Vec::new(),
        }
    }

    /// What the rows are made of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The newest tick that was applied.
    pub fn newest_tick(&self) -> Option<Tick> {
        self.newest
    }

    /// Takes a decoded snapshot in. States older than ones already held are kept to be named, not shown.
    pub fn apply(&mut self, snapshot: &DecodedSnapshot) {
        let Some(header) = snapshot.header else { return };
        let tick = header.tick;
        if self.newest.is_none_or(|newest| tick.is_newer_than(newest)) {
            self.newest = Some(tick);
        }
        let Self { schema, changes, .. } = self;
        let arrival = Arrival { tick, newest: self.newest.unwrap_or(tick), keep_ticks: self.keep_ticks };
        arrival.apply(&mut self.view, schema, &snapshot.view, |change| changes.push(change));
        arrival.apply(&mut self.own, schema, &snapshot.own, |_| ());
        for row in &snapshot.own.rows {
            if let Err(place) = self.own_slots.binary_search(&row.id.slot) {
                self.own_slots.insert(place, row.id.slot);
            }
        }
        if header.own_is_whole {
            for slot in &self.own_slots {
                arrival.follow(&mut self.own[usize::from(*slot)], schema, &snapshot.view);
            }
        }
    }

    /// Who came and went since the last call.
    pub fn drain_changes(&mut self) -> impl Iterator<Item = Change> {
        self.changes.drain(..)
    }

    /// The entities in view, in ascending slot.
    pub fn view(&self) -> impl Iterator<Item = &Track> {
        self.view.iter().filter_map(Slot::present)
    }

    /// The receiver's own entities with all their fields, exact, in ascending slot.
    pub fn own(&self) -> impl Iterator<Item = &Track> {
        self.own_slots.iter().filter_map(|slot| self.own[usize::from(*slot)].present())
    }

    /// The entity in view with this id.
    pub fn find(&self, id: EntityId) -> Option<&Track> {
        self.view.get(usize::from(id.slot))?.present().filter(|track| track.id == id)
    }

    /// The wrapping sum of the hashes of all rows held, and how many there are.
    pub fn digest(&self) -> (u64, usize) {
        let mut digest: u64 = 0;
        let mut rows = 0;
        for (is_own, track) in
            self.view().map(|track| (false, track)).chain(self.own().map(|track| (true, track)))
        {
            let Some(newest) = track.newest() else { continue };
            let kind = self.schema.kind(track.kind);
            let values = track.values_at(track.samples.len() - 1);
            digest =
                digest.wrapping_add(row_hash(kind, track.id, newest.sight, is_own, |column| values[column]));
            rows += 1;
        }
        (digest, rows)
    }
}

impl Replica {
    /// The newest state in this slot at or before this tick, of everyone's view, since its tenant last came into it.
    pub(crate) fn state_by(&self, slot: u16, tick: Tick) -> Option<HeldState<'_>> {
        let slot = self.view.get(usize::from(slot))?;
        let track = slot.present()?;
        Some(track.held(slot.index_by(track, tick)?))
    }
}

impl StateLookup for Replica {
    fn state(&self, is_own: bool, slot: u16, tick: Tick) -> Option<HeldState<'_>> {
        let slots = if is_own { &self.own } else { &self.view };
        let track = slots.get(usize::from(slot))?.tenant.as_ref()?;
        let index = track.samples.iter().rposition(|sample| sample.tick == tick)?;
        Some(track.held(index))
    }

    fn held_at(
        &self,
        kind: KindId,
        ticks: References,
        show: &mut dyn FnMut(&HeldStates<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        for slot in &self.view {
            let Some(track) = slot.present().filter(|track| track.kind == kind) else { continue };
            let mut indices = ticks.ticks().map_while(|tick| slot.index_by(track, tick));
            let Some(newest) = indices.next() else { continue };
            let newest = track.held(newest);
            let mut held = HeldStates { newest, values: [newest.values; REFERENCES_PER_ROW_MAX], count: 1 };
            for index in indices {
                held.values[held.count] = track.values_at(index);
                held.count += 1;
            }
            show(&held)?;
        }
        Ok(())
    }
}

impl Track {
    fn new(row: &DecodedRow, columns: usize) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            payload: row.payload.clone(),
            samples: Vec::new(),
            values: Vec::new(),
            columns,
        }
    }

    /// Whose states these are.
    pub fn id(&self) -> EntityId {
        self.id
    }

    /// Of which kind.
    pub fn kind(&self) -> KindId {
        self.kind
    }

    /// What it was spawned with.
    pub fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref()
    }

    /// The states held, oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.samples.iter()
    }

    /// The newest state held.
    pub fn newest(&self) -> Option<&Sample> {
        self.samples.last()
    }

    /// The row of the `index`-th state held.
    pub fn row<'a>(&'a self, kind: &'a Kind, index: usize) -> RowRef<'a> {
        RowRef::new(kind, self.values_at(index))
    }

    /// The columns of the `index`-th state held, side by side.
    pub fn values(&self, index: usize) -> &[i32] {
        self.values_at(index)
    }

    fn held(&self, index: usize) -> HeldState<'_> {
        let Sample { sight, is_at_rest, .. } = self.samples[index];
        HeldState { id: self.id, kind: self.kind, sight, is_at_rest, values: self.values_at(index) }
    }

    fn values_at(&self, index: usize) -> &[i32] {
        self.values.get(index * self.columns..(index + 1) * self.columns).unwrap_or_default()
    }

    /// Adds a state in its place by tick; one of the same tick is replaced.
    fn insert(&mut self, sample: Sample, values: &[i32]) {
        let place = self.samples.partition_point(|held| sample.tick.is_newer_than(held.tick));
        let at = place * self.columns;
        if self.samples.get(place).is_some_and(|held| held.tick == sample.tick) {
            self.samples[place] = sample;
            self.values[at..at + self.columns].copy_from_slice(values);
        } else {
            self.samples.insert(place, sample);
            self.values.splice(at..at, values.iter().copied());
        }
    }

    /// Adds a state as it is held, but for what everyone's row says.
    fn follow(&mut self, tick: Tick, held: usize, kind: &Kind, row: &DecodedRow, values: &[i32]) {
        let DecodedRow { is_at_rest, held_until, teleported, .. } = *row;
        let (from, at) = (held * self.columns, (held + 1) * self.columns);
        self.samples.insert(held + 1, Sample { tick, sight: Sight::Own, is_at_rest, held_until, teleported });
        self.values.splice(at..at, [0; COLUMNS_PER_KIND_MAX].into_iter().take(self.columns));
        self.values.copy_within(from..at, at);
        let own = &mut self.values[at..at + self.columns];
        kind.shared().iter().for_each(|column| own[column] = values[column]);
    }

    /// Forgets states from before the newest `keep_ticks`, but never the newest three. Ticks that no server sends can
    /// be in no order by age, so there is a limit by number as well.
    fn prune(&mut self, newest: Tick, keep_ticks: u32) {
        let oldest = newest - keep_ticks;
        let too_old = self.samples.iter().take_while(|held| oldest.is_newer_than(held.tick)).count();
        let spare = self.samples.len().saturating_sub(REFERENCES_PER_ROW_MAX);
        let too_many = spare.saturating_sub(keep_ticks as usize + 1);
        let forgotten = too_old.min(spare).max(too_many);
        self.samples.drain(..forgotten);
        self.values.drain(..forgotten * self.columns);
    }
}

impl Slot {
    /// The tenant, if it is in view: told of since the slot was last said to be empty.
    fn present(&self) -> Option<&Track> {
        self.tenant.as_ref().filter(|tenant| tenant.newest().is_some_and(|newest| self.is_told_since(newest)))
    }

    fn is_told_since(&self, held: &Sample) -> bool {
        self.absent_at.is_none_or(|gone| held.tick.is_newer_than(gone))
    }

    /// The newest state of the tenant at or before this tick, unless it was away since.
    fn index_by(&self, tenant: &Track, tick: Tick) -> Option<usize> {
        let index = tenant.samples.iter().rposition(|held| !held.tick.is_newer_than(tick))?;
        self.is_told_since(&tenant.samples[index]).then_some(index)
    }

    fn who(&self) -> Option<Who> {
        self.present().map(|tenant| Who { id: tenant.id, kind: tenant.kind })
    }
}

/// Who is in view in a slot.
#[derive(Clone, Copy, PartialEq)]
struct Who {
    id: EntityId,
    kind: KindId,
}

fn slot_mut(slots: &mut Vec<Slot>, slot: u16) -> &mut Slot {
    let slot = usize::from(slot);
    if slots.len() <= slot {
        slots.resize_with(slot + 1, Slot::default);
    }
    &mut slots[slot]
}

/// A snapshot that is being applied.
#[derive(Clone, Copy)]
struct Arrival {
    /// The tick that it tells of.
    tick: Tick,
    /// The newest tick that was ever told.
    newest: Tick,
    keep_ticks: u32,
}

impl Arrival {
    /// Leaves first, then rows; `note` is told who came and went.
    fn apply(
        self,
        slots: &mut Vec<Slot>,
        schema: &Schema,
        section: &DecodedSection,
        mut note: impl FnMut(Change),
    ) {
        for leave in &section.leaves {
            let slot = slot_mut(slots, leave.slot);
            let before = slot.who();
            self.leave(slot);
            self.tell(before, slot.who(), leave.despawned, &mut note);
        }
        for row in &section.rows {
            let columns = schema.kind(row.kind).column_count();
            let slot = slot_mut(slots, row.id.slot);
            let before = slot.who();
            self.take_in(slot, row, columns, &section.values[row.values.clone()]);
            self.tell(before, slot.who(), true, &mut note);
        }
    }

    /// What everyone's row says of an own entity that was not told by itself holds for the own row as well. The rest of that is as in
    /// whichever state is held: it has not changed since one that the sender knows of.
    fn follow(self, slot: &mut Slot, schema: &Schema, view: &DecodedSection) {
        let Some(own) = slot.present() else { return };
        let Some(held) = slot.index_by(own, self.tick) else { return };
        let (kind, is_told) = (schema.kind(own.kind), own.samples[held].tick == self.tick);
        let told = view.find(own.kind, own.id).filter(|row| !is_told && row.tells_all_but(kind));
        if let (Some(row), Some(own)) = (told, &mut slot.tenant) {
            own.follow(self.tick, held, kind, row, view.values_of(row));
            own.prune(self.newest, self.keep_ticks);
        }
    }

    fn tell(self, before: Option<Who>, after: Option<Who>, despawned: bool, note: &mut impl FnMut(Change)) {
        if before == after {
            return;
        }
        let tick = self.tick;
        if let Some(Who { id, kind }) = before {
            note(Change::Left { id, kind, tick, despawned });
        }
        if let Some(Who { id, kind }) = after {
            note(Change::Entered { id, kind, tick });
        }
    }

    fn leave(self, slot: &mut Slot) {
        if slot.absent_at.is_none_or(|gone| self.tick.is_newer_than(gone)) {
            slot.absent_at = Some(self.tick);
        }
    }

    fn take_in(self, slot: &mut Slot, row: &DecodedRow, columns: usize, values: &[i32]) {
        let is_of_another = |held: &mut Track| held.id != row.id || held.kind != row.kind;
        if let Some(replaced) = slot.tenant.take_if(is_of_another)
            && replaced.newest().is_some_and(|newest| newest.tick.is_newer_than(self.tick))
        {
            // A late datagram that tells of a tenant that was replaced since.
            slot.tenant = Some(replaced);
            return;
        }
        let tenant = slot.tenant.get_or_insert_with(|| Track::new(row, columns));
        let DecodedRow { sight, is_at_rest, held_until, teleported, .. } = *row;
        tenant.insert(Sample { tick: self.tick, sight, is_at_rest, held_until, teleported }, values);
        tenant.prune(self.newest, self.keep_ticks);
    }
}

/// The hash of one row of a digest: who, what, and every value that is told.
pub fn row_hash(kind: &Kind, id: EntityId, sight: Sight, is_own: bool, value: impl Fn(usize) -> i32) -> u64 {
    let visible = kind.visible(sight);
    let columns = (0..kind.column_count()).filter(|&column| visible.contains(column));
    columns.fold(row_hash_start(kind, id, is_own), |hash, column| hash.word(value(column) as u32)).finish()
}

/// The hash of a row before its first value.
pub(crate) fn row_hash_start(kind: &Kind, id: EntityId, is_own: bool) -> WordHash {
    WordHash::new(id.pack(), u32::from(is_own) << 8 | u32::from(kind.index()))
}

/// The hash of a row of a published table.
pub fn table_row_hash(kind: &Kind, table: &Table, row: usize, sight: Sight, is_own: bool) -> u64 {
    let values = table.row(kind, row);
    row_hash(kind, table.heads()[row].id, sight, is_own, |column| values.column(column))
}
