//! Work on rows that is done once for all receivers: what a row's values become, per named states and sight.

use core::ops::Range;

use super::code::{RowBits, tell_dense, tell_fast};
use super::links::State;
use super::range::Symbol;
use super::row::RowContext;
use super::section::{Chances, RowSource};
use super::{Coder, PlannedRow};
use crate::limits::{COLUMNS_PER_KIND_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::{Kind, Sight};
use crate::time::Tick;

const NONE: u32 = u32::MAX;

/// What the rows of one tick become; keeps its memory from tick to tick.
#[derive(Clone, Debug, Default)]
pub struct RowCache {
    tick: Option<Tick>,
    /// Per kind and row: the first of its entries.
    first: Vec<Vec<u32>>,
    entries: Vec<Entry>,
    values: ValueBits,
    shown: Shown,
}

/// What values became, side by side.
#[derive(Clone, Debug, Default)]
struct ValueBits {
    symbols: Vec<Symbol>,
    words: Vec<u64>,
}

/// What is known of a row that names certain states.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    row: PlannedRow,
    next: u32,
    pub(super) is_baseline_at_rest: bool,
    /// It has come to rest where it was, and has not jumped: a flag says that.
    pub(super) comes_to_rest: bool,
    /// It has nothing to tell of its past.
    pub(super) is_plain: bool,
    pub(super) chances: Chances,
    values: Option<Values>,
}

#[derive(Clone, Debug)]
enum Values {
    Symbols(Range<usize>),
    Bits { range: Range<usize>, bits: u32, is_usual: bool },
}

impl RowCache {
    /// What a row's values become. `index` is where [`find`](Self::find) found it.
    #[inline]
    pub(super) fn values(&mut self, index: usize, source: RowSource<'_>, kind: &Kind) -> RowBits<'_> {
        if self.entries[index].values.is_none() {
            self.tell(index, source, kind);
        }
        match &self.entries[index].values {
            Some(Values::Symbols(range)) => RowBits::Dense(&self.values.symbols[range.clone()]),
            Some(Values::Bits { range, bits, is_usual }) => {
                RowBits::Fast { words: &self.values.words[range.clone()], bits: *bits, is_usual: *is_usual }
            }
            None => RowBits::Dense(&[]),
        }
    }

    #[cold]
    fn tell(&mut self, index: usize, source: RowSource<'_>, kind: &Kind) {
        let row = self.entries[index].row;
        let named = Named::find(source, kind, &row, &mut self.shown);
        let context = source.codec.row_context(kind, row.sight, named.states());
        self.entries[index].values = Some(self.values.tell(source, &context, named.current));
    }

    #[inline]
    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// Where a row is found; worked out if it is not yet.
    pub(super) fn find(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow) -> usize {
        self.start(source);
        let place = &self.first[usize::from(row.kind.0)][row.row as usize];
        let mut index = *place;
        while index != NONE {
            let entry = &self.entries[index as usize];
            if entry.row == *row {
                return index as usize;
            }
            index = entry.next;
        }
        let next = *place;
        let index = self.entries.len();
        self.first[usize::from(row.kind.0)][row.row as usize] = index as u32;
        let entry = self.look(source, kind, row, next);
        self.entries.push(entry);
        index
    }

    fn look(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow, next: u32) -> Entry {
        let named = Named::find(source, kind, row, &mut self.shown);
        let is_baseline_at_rest = named.was_at_rest;
        let context = source.codec.row_context(kind, row.sight, named.states());
        let chances = source.codec.chances(&context, is_baseline_at_rest);
        let comes_to_rest = source.comes_to_rest(row, &named);
        let track = source.history.track(row.kind, row.row as usize);
        let baseline = row.references.newest();
        let is_after = |tick: Tick| baseline.is_some_and(|baseline| tick.is_newer_than(baseline));
        let jumped = track.teleported.is_some_and(is_after);
        // What has changed will be told, mostly: the states are at hand now.
        let is_told = !comes_to_rest && is_after(track.changed(row.sight));
        let values = is_told.then(|| self.values.tell(source, &context, named.current));
        let is_plain = !is_baseline_at_rest && !track.is_at_rest && !jumped;
        Entry { row: *row, next, is_baseline_at_rest, comes_to_rest, is_plain, chances, values }
    }

    /// Forgets what was of another tick.
    fn start(&mut self, source: RowSource<'_>) {
        let tick = source.newest.tick();
        if self.tick == Some(tick) {
            return;
        }
        self.tick = Some(tick);
        self.entries.clear();
        self.values.symbols.clear();
        self.values.words.clear();
        self.first.resize_with(source.codec.schema.kinds().len(), Vec::new);
        for ((_, table), first) in source.newest.tables(Sight::Public).iter().zip(&mut self.first) {
            first.clear();
            first.resize(table.len(), NONE);
        }
    }
}

impl ValueBits {
    /// What a row's values become.
    fn tell(&mut self, source: RowSource<'_>, row: &RowContext<'_>, current: &[i32]) -> Values {
        match source.codec.coder {
            Coder::Dense => {
                let start = self.symbols.len();
                tell_dense(row, source.codec.prior.learned(), current, &mut self.symbols);
                Values::Symbols(start..self.symbols.len())
            }
            Coder::Fast => {
                let start = self.words.len();
                let (bits, is_usual) = tell_fast(row, source.codec.prior.learned(), current, &mut self.words);
                Values::Bits { range: start..self.words.len(), bits, is_usual }
            }
        }
    }
}

/// Where states are copied to of which a receiver does not see all; reused from row to row.
#[derive(Clone, Debug)]
pub(super) struct Shown([[i32; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX]);

impl Default for Shown {
    fn default() -> Self {
        Self([[0; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX])
    }
}

/// A row and the states that it names.
pub(super) struct Named<'a> {
    pub(super) current: &'a [i32],
    states: [State<'a>; REFERENCES_PER_ROW_MAX],
    count: usize,
    /// Whether the newest of the states was at rest.
    pub(super) was_at_rest: bool,
}

impl<'a> Named<'a> {
    /// Newest first.
    pub(super) fn states(&self) -> &[State<'a>] {
        &self.states[..self.count]
    }

    /// Finds a row and the states that it names, as its receiver sees them.
    pub(super) fn find(
        source: RowSource<'a>,
        kind: &'a Kind,
        row: &PlannedRow,
        shown: &'a mut Shown,
    ) -> Self {
        let now = source.newest.tick();
        let place = row.row as usize;
        let table = source.newest.tables(row.sight).table(row.kind);
        let id = table.heads()[place].id;
        let mut named = Self {
            current: table.values(place),
            states: [State { distance: 0, values: kind.blank() }; REFERENCES_PER_ROW_MAX],
            count: row.references.len(),
            was_at_rest: false,
        };
        for (index, (state, tick)) in named.states.iter_mut().zip(row.references.ticks()).enumerate() {
            state.distance = now.since(tick) as u32;
            let found = source.history.at(tick).and_then(|published| {
                let table = published.tables(row.sight).table(row.kind);
                Some((published, table, table.find_near(id, place)?))
            });
            if let Some((published, table, place)) = found {
                state.values = table.values(place);
                if index == 0 {
                    named.was_at_rest = published.is_at_rest(row.kind, place);
                }
            }
            debug_assert!(found.is_some(), "a plan names only states that are in the ring");
        }
        if row.sight != Sight::Own && kind.hides_columns() {
            named.hide(kind, row.sight, shown);
        }
        named
    }

    /// What the receiver does not see must not tell.
    #[cold]
    fn hide(&mut self, kind: &Kind, sight: Sight, Shown(shown): &'a mut Shown) {
        let visible = kind.visible(sight);
        for (state, copy) in self.states.iter_mut().zip(shown) {
            let columns = state.values.iter().zip(kind.blank()).enumerate();
            for (out, (column, (value, blank))) in copy.iter_mut().zip(columns) {
                *out = if visible.contains(column) { *value } else { *blank };
            }
            state.values = &copy[..kind.column_count()];
        }
    }
}
