//! Work on rows that is done once for all receivers: what a row's values become, per named states and sight.

use super::code::{RowBits, tell_dense, tell_fast};
use super::cost::Bits;
use super::links::State;
use super::range::Symbol;
use super::row::RowContext;
use super::section::{Chances, RowSource};
use super::{Coder, PlannedRow, References};
use crate::limits::{COLUMNS_PER_KIND_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::{Kind, Sight};
use crate::table::Table;
use crate::time::Tick;

const NONE: u32 = u32::MAX;

/// What the rows of one tick become. Keeps the memory of its largest tick: of each row as many entries as peers named
/// different states of it, each with its values.
#[derive(Clone, Debug, Default)]
pub struct RowCache {
    tick: Option<Tick>,
    /// Per kind and row: the first of its entries.
    first: Vec<Vec<u32>>,
    entries: Vec<Entry>,
    values: ValueBits,
    shown: Shown,
    /// Where the held rows of a section were found; while it is written.
    pub(super) found: Vec<u32>,
}

/// What values became, side by side.
#[derive(Clone, Debug, Default)]
struct ValueBits {
    symbols: Vec<Symbol>,
    words: Vec<u64>,
}

/// What is known of a row that names certain states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    row: PlannedRow,
    next: u32,
    pub(super) is_baseline_at_rest: bool,
    /// It has come to rest where it was, and has not jumped: a flag says that.
    pub(super) comes_to_rest: bool,
    /// It has nothing to tell of its past.
    pub(super) is_plain: bool,
    pub(super) chances: Chances,
    /// What the row takes, told by its slot, behind slot and names; if anybody had to know.
    pub(super) cost: Option<Bits>,
    values: Option<Values>,
}

/// Where the values of a row are.
#[derive(Clone, Copy, Debug)]
struct Values {
    /// The first symbol or word, and how many symbols or bits they are.
    start: u32,
    len: u32,
    /// Whether they are of the `fast` coder, and all their flags are true.
    is_usual: bool,
}

impl RowCache {
    /// What a row's values become. `index` is where [`find`](Self::find) found it.
    #[inline]
    pub(super) fn values(&mut self, index: usize, source: RowSource<'_>, kind: &Kind) -> RowBits<'_> {
        let values = self.entries[index].values.unwrap_or_else(|| self.tell(index, source, kind));
        let Values { start, len, is_usual } = values;
        let start = start as usize;
        match source.codec.coder {
            Coder::Dense => RowBits::Dense(&self.values.symbols[start..][..len as usize]),
            Coder::Fast => {
                let words = &self.values.words[start..][..len.div_ceil(u64::BITS) as usize];
                RowBits::Fast { words, bits: len, is_usual }
            }
        }
    }

    #[cold]
    fn tell(&mut self, index: usize, source: RowSource<'_>, kind: &Kind) -> Values {
        let row = self.entries[index].row;
        let past = Past::of(source, kind, &row);
        let mut named = past.named(&row);
        past.hide(&mut named, &mut self.shown);
        let context = source.codec.row_context(kind, row.sight, named.states());
        let values = self.values.tell(source, &context, named.current);
        *self.entries[index].values.insert(values)
    }

    #[inline]
    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    pub(super) fn cost_mut(&mut self, index: usize) -> &mut Option<Bits> {
        &mut self.entries[index].cost
    }

    /// Where a row is found; worked out if it is not yet. `past` is that of the row before, if there was one.
    pub(super) fn find<'a>(
        &mut self,
        source: RowSource<'a>,
        kind: &'a Kind,
        row: &PlannedRow,
        past: &mut Option<Past<'a>>,
    ) -> usize {
        let first = &mut self.first[usize::from(row.kind.0)][row.row as usize];
        let mut index = *first;
        while index != NONE {
            let entry = &self.entries[index as usize];
            if entry.row == *row {
                return index as usize;
            }
            index = entry.next;
        }
        let next = core::mem::replace(first, self.entries.len() as u32);
        let past = match past {
            Some(past) if past.is_of(row) => past,
            past => past.insert(Past::of(source, kind, row)),
        };
        self.look(source, past, row, next);
        self.entries.len() - 1
    }

    fn look(&mut self, source: RowSource<'_>, past: &Past<'_>, row: &PlannedRow, next: u32) {
        let mut named = past.named(row);
        past.hide(&mut named, &mut self.shown);
        let context = source.codec.row_context(past.kind, row.sight, named.states());
        let track = source.history.track(row.kind, row.row as usize);
        let baseline = row.references.newest();
        let is_after = |tick: Tick| baseline.is_some_and(|baseline| tick.is_newer_than(baseline));
        let jumped = track.teleported.is_some_and(is_after);
        let comes_to_rest = track.is_at_rest && source.comes_to_rest(row, &named);
        // What has changed will be told, mostly: the states are at hand now.
        let is_told = !comes_to_rest && is_after(track.changed(row.sight));
        self.entries.push(Entry {
            row: *row,
            next,
            is_baseline_at_rest: named.was_at_rest,
            comes_to_rest,
            is_plain: !named.was_at_rest && !track.is_at_rest && !jumped,
            chances: source.codec.chances(&context, named.was_at_rest),
            cost: None,
            values: is_told.then(|| self.values.tell(source, &context, named.current)),
        });
    }

    /// Forgets what was of another tick.
    pub(super) fn start(&mut self, source: RowSource<'_>) {
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
    /// Works out what a row's values become.
    fn tell(&mut self, source: RowSource<'_>, row: &RowContext<'_>, current: &[i32]) -> Values {
        let learned = source.codec.prior.learned();
        match source.codec.coder {
            Coder::Dense => {
                let start = self.symbols.len();
                tell_dense(row, learned, current, &mut self.symbols);
                Values { start: start as u32, len: (self.symbols.len() - start) as u32, is_usual: false }
            }
            Coder::Fast => {
                let start = self.words.len() as u32;
                let (len, is_usual) = tell_fast(row, learned, current, &mut self.words);
                Values { start, len, is_usual }
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

/// The published tables that rows of a kind find their named states in.
#[derive(Clone, Copy)]
pub(super) struct Past<'a> {
    kind: &'a Kind,
    sight: Sight,
    references: References,
    current: &'a Table,
    /// Newest first.
    tables: [&'a Table; REFERENCES_PER_ROW_MAX],
    distances: [u32; REFERENCES_PER_ROW_MAX],
    /// Whether each row of the newest of these was at rest.
    rest: &'a [bool],
}

impl<'a> Past<'a> {
    /// That of a row, which is of this kind.
    pub(super) fn of(source: RowSource<'a>, kind: &'a Kind, row: &PlannedRow) -> Self {
        let current = source.newest.tables(row.sight).table(row.kind);
        let mut past = Self {
            kind,
            sight: row.sight,
            references: row.references,
            current,
            tables: [current; REFERENCES_PER_ROW_MAX],
            distances: [0; REFERENCES_PER_ROW_MAX],
            rest: &[],
        };
        for (place, tick) in row.references.ticks().enumerate() {
            past.distances[place] = source.newest.tick().since(tick) as u32;
            let published = source.history.at(tick);
            debug_assert!(published.is_some(), "a plan names only states that are in the ring");
            let Some(published) = published else { continue };
            past.tables[place] = published.tables(row.sight).table(row.kind);
            if place == 0 {
                past.rest = published.rest(row.kind);
            }
        }
        past
    }

    /// Whether it is that of this row.
    fn is_of(&self, row: &PlannedRow) -> bool {
        self.kind.index() == row.kind.0 && self.sight == row.sight && self.references == row.references
    }

    /// A row and the states that it names. What of these its receiver does not see is yet to [`hide`](Self::hide).
    #[expect(clippy::inline_always, reason = "once a row: called, what it found is copied once more")]
    #[inline(always)]
    pub(super) fn named(&self, row: &PlannedRow) -> Named<'a> {
        let place = row.row as usize;
        let id = self.current.heads()[place].id;
        let mut named = Named {
            current: self.current.values(place),
            states: [State { distance: 0, values: self.kind.blank() }; REFERENCES_PER_ROW_MAX],
            count: self.references.len(),
            was_at_rest: false,
        };
        for (index, state) in named.states.iter_mut().enumerate().take(self.references.len()) {
            let found = self.tables[index].find_near(id, place);
            debug_assert!(found.is_some(), "a plan names only states that there are");
            let Some(found) = found else { continue };
            *state = State { distance: self.distances[index], values: self.tables[index].values(found) };
            if index == 0 {
                named.was_at_rest = self.rest.get(found).copied().unwrap_or(false);
            }
        }
        named
    }

    /// What the receiver does not see must not tell.
    #[inline]
    pub(super) fn hide<'b>(&self, named: &mut Named<'b>, shown: &'b mut Shown)
    where
        'a: 'b,
    {
        if self.sight != Sight::Own && self.kind.hides_columns() {
            named.hide(self.kind, self.sight, shown);
        }
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

    #[cold]
    fn hide(&mut self, kind: &Kind, sight: Sight, Shown(shown): &'a mut Shown) {
        let hidden = kind.hidden(sight);
        for (state, copy) in self.states.iter_mut().zip(shown) {
            let copy = &mut copy[..kind.column_count()];
            copy.copy_from_slice(state.values);
            hidden.iter().for_each(|column| copy[column] = kind.blank()[column]);
            state.values = copy;
        }
    }
}
