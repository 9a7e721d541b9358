//! What a receiver holds of each tick: its whole state, so that any frame can be decoded from the ticks that it names.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use tickwire_protocol::fault::DecodeError;
use tickwire_protocol::history::Published;
use tickwire_protocol::limits::{HISTORY_TICKS, REFERENCES_PER_ROW_MAX};
use tickwire_protocol::schema::{KindId, Sight};
use tickwire_protocol::snapshot::{DecodedSection, HeldState, HeldStates, References, StateLookup};
use tickwire_protocol::{EntityId, Tables, Tick};

/// No row in this slot.
const NOBODY: u32 = u32::MAX;

/// The state of one tick, row by row.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Ascending by kind and slot.
    rows: Vec<HeldRow>,
    /// The columns of all rows.
    values: Vec<i32>,
    /// By slot: which row is its.
    by_slot: Vec<u32>,
}

#[derive(Clone, Debug)]
struct HeldRow {
    id: EntityId,
    kind: KindId,
    is_at_rest: bool,
    values: Range<usize>,
}

impl Held {
    /// A state that the receiver is given, not sent.
    pub(crate) fn given(published: &Published) -> Self {
        let mut held = Self::default();
        for (kind, table) in published.tables(Sight::Public).iter() {
            let kind_id = KindId(kind.index());
            for (row, head) in table.heads().iter().enumerate() {
                held.push(head.id, kind_id, published.is_at_rest(kind_id, row), table.values(row));
            }
        }
        held.index();
        held
    }

    /// What a frame makes of the newest state that it names: rows that it does not tell are as they were.
    pub(crate) fn following(baseline: Option<&Self>, section: &DecodedSection) -> Self {
        let leaves = section.leaves.iter().map(|leave| leave.slot);
        let told: BTreeSet<u16> = leaves.chain(section.rows.iter().map(|row| row.id.slot)).collect();
        let mut held = Self::default();
        if let Some(old) = baseline {
            for row in old.rows.iter().filter(|row| !told.contains(&row.id.slot)) {
                held.push(row.id, row.kind, row.is_at_rest, &old.values[row.values.clone()]);
            }
        }
        for row in &section.rows {
            let columns = &section.values[row.values.clone()];
            held.push(row.id, row.kind, row.is_at_rest, columns);
        }
        held.index();
        held
    }

    fn push(&mut self, id: EntityId, kind: KindId, is_at_rest: bool, columns: &[i32]) {
        let start = self.values.len();
        self.values.extend_from_slice(columns);
        self.rows.push(HeldRow { id, kind, is_at_rest, values: start..self.values.len() });
    }

    fn index(&mut self) {
        self.rows.sort_by_key(|row| (row.kind, row.id.slot));
        for (index, row) in self.rows.iter().enumerate() {
            let slot = usize::from(row.id.slot);
            if self.by_slot.len() <= slot {
                self.by_slot.resize(slot + 1, NOBODY);
            }
            self.by_slot[slot] = index as u32;
        }
    }

    /// The first thing in which the state is not that of these tables: who is there, of which kind, and every column.
    pub(crate) fn differs_from(&self, tables: &Tables) -> Option<String> {
        let mut rows = self.rows.iter();
        for (kind, table) in tables.iter() {
            for (index, head) in table.heads().iter().enumerate() {
                let Some(row) = rows.next() else { return Some(format!("{} is missing", head.id)) };
                if (row.kind.0, row.id) != (kind.index(), head.id) {
                    return Some(format!("{} stands where {} must be", row.id, head.id));
                }
                let values = &self.values[row.values.clone()];
                if let Some(column) = (0..values.len()).find(|&c| values[c] != table.values(index)[c]) {
                    return Some(format!("column {column} of {} is {}", head.id, values[column]));
                }
            }
        }
        rows.next().map(|row| format!("{} is too much", row.id))
    }

    fn row(&self, slot: u16) -> Option<&HeldRow> {
        self.rows.get(*self.by_slot.get(usize::from(slot))? as usize)
    }

    /// The columns of an entity; looked for first at a place among the rows.
    fn values_of(&self, id: EntityId, place: usize) -> Option<&[i32]> {
        let row = self.rows.get(place).filter(|row| row.id == id);
        let row = row.or_else(|| self.row(id.slot).filter(|row| row.id == id))?;
        Some(&self.values[row.values.clone()])
    }

    fn state_of(&self, row: &HeldRow) -> HeldState<'_> {
        let HeldRow { id, kind, is_at_rest, .. } = *row;
        let values = &self.values[row.values.clone()];
        HeldState { id, kind, sight: Sight::Public, is_at_rest, values }
    }
}

/// The states that a receiver can be asked for.
#[derive(Debug)]
pub(crate) struct States {
    /// By the tick's place in a ring as long as the sender's.
    ring: Vec<Option<(Tick, Rc<Held>)>>,
    newest: Option<Tick>,
}

impl States {
    /// A receiver that holds these.
    pub(crate) fn new(states: impl IntoIterator<Item = (Tick, Rc<Held>)>) -> Self {
        let mut new = Self { ring: vec![None; HISTORY_TICKS as usize], newest: None };
        states.into_iter().for_each(|(tick, held)| new.insert(tick, held));
        new
    }

    pub(crate) fn insert(&mut self, tick: Tick, held: Rc<Held>) {
        if self.newest.is_none_or(|newest| tick.is_newer_than(newest)) {
            self.newest = Some(tick);
        }
        self.ring[(tick.0 % HISTORY_TICKS) as usize] = Some((tick, held));
    }

    /// The newest tick held.
    pub(crate) fn newest(&self) -> Option<Tick> {
        self.newest
    }

    /// The state of a tick.
    pub(crate) fn at(&self, tick: Tick) -> Option<&Held> {
        let (held_tick, held) = self.ring[(tick.0 % HISTORY_TICKS) as usize].as_ref()?;
        (*held_tick == tick).then_some(held)
    }
}

impl StateLookup for States {
    fn state(&self, is_own: bool, slot: u16, tick: Tick) -> Option<HeldState<'_>> {
        if is_own {
            return None;
        }
        let held = self.at(tick)?;
        Some(held.state_of(held.row(slot)?))
    }

    fn held_at(
        &self,
        kind: KindId,
        ticks: References,
        show: &mut dyn FnMut(&HeldStates<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut at = [None; REFERENCES_PER_ROW_MAX];
        for (at, tick) in at.iter_mut().zip(ticks.ticks()) {
            *at = self.at(tick);
        }
        let [Some(newest), older @ ..] = at else { return Ok(()) };
        for (place, row) in newest.rows.iter().enumerate().filter(|(_, row)| row.kind == kind) {
            let state = newest.state_of(row);
            let mut held =
                HeldStates { newest: state, values: [state.values; REFERENCES_PER_ROW_MAX], count: 1 };
            for (older, values) in older.iter().zip(&mut held.values[1..]) {
                let Some(older) = older.and_then(|older| older.values_of(row.id, place)) else { break };
                *values = older;
                held.count += 1;
            }
            show(&held)?;
        }
        Ok(())
    }
}
