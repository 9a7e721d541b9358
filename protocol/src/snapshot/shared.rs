//! Work on rows that is done once for all receivers: what a row's values become, per named states and sight.

use super::code::{RowBits, tell_dense, tell_fast};
use super::cost::Bits;
use super::links::State;
use super::pace::Pace;
use super::range::Symbol;
use super::row::{RowContext, RowPlan};
use super::section::{Chances, RowSource};
use super::{Coder, PlannedRow, References};
use crate::history::{Published, RowTrack};
use crate::limits::{COLUMNS_PER_KIND_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::{Kind, KindId, Sight};
use crate::table::{Table, Tables};
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
    /// Of each entry, in the `dense` coder.
    chances: Vec<Chances>,
    values: ValueBits,
    shown: Shown,
    /// The held rows of a section; while it is written.
    pub(super) found: Vec<Found>,
}

/// A held row of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Where it was found, if it is told or its coder wants to know how likely that is.
    pub(super) index: u32,
    /// Whether it is among the rows to be told.
    pub(super) is_news: bool,
    /// Whether the newest state that it names was at rest.
    pub(super) was_at_rest: bool,
}

/// What values became, side by side.
#[derive(Clone, Debug, Default)]
struct ValueBits {
    symbols: Vec<Symbol>,
    words: Vec<u64>,
    known: Known,
}

/// The values of a row as far as a receiver would know them. What is left of another row is not looked at.
#[derive(Clone, Debug)]
struct Known([i32; COLUMNS_PER_KIND_MAX]);

impl Default for Known {
    fn default() -> Self {
        Self([0; COLUMNS_PER_KIND_MAX])
    }
}

/// What is known of a row that names certain states.
#[expect(clippy::struct_excessive_bools, reason = "each is asked by itself")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    sight: Sight,
    references: References,
    next: u32,
    pub(super) is_baseline_at_rest: bool,
    /// It has come to rest where it was, and has not jumped: a flag says that.
    pub(super) comes_to_rest: bool,
    /// It has nothing to tell of its past.
    pub(super) is_plain: bool,
    /// What the row takes, told by its slot, behind slot and names; if anybody had to know.
    pub(super) cost: Option<Bits>,
    /// Whether there are values, and all their flags are true, in the `fast` coder.
    is_told: bool,
    is_usual: bool,
    values: Values,
}

/// Where the values of a row are: the first symbol or word, and how many symbols or bits they are.
#[derive(Clone, Copy, Debug, Default)]
struct Values {
    start: u32,
    len: u32,
}

impl RowCache {
    /// What a row's values become. `index` is where [`find`](Self::find) found it.
    #[inline]
    pub(super) fn values(
        &mut self,
        index: usize,
        source: &RowSource<'_>,
        kind: &Kind,
        row: &PlannedRow,
    ) -> RowBits<'_> {
        if !self.entries[index].is_told {
            self.tell(index, source, kind, row);
        }
        let Entry { values: Values { start, len }, is_usual, .. } = self.entries[index];
        let start = start as usize;
        match source.codec.coder.of(row.sight) {
            Coder::Dense => RowBits::Dense(&self.values.symbols[start..][..len as usize]),
            Coder::Fast => {
                let words = &self.values.words[start..start + len.div_ceil(u64::BITS) as usize];
                RowBits::Fast { words, bits: len, is_usual }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn tell(&mut self, index: usize, source: &RowSource<'_>, kind: &Kind, row: &PlannedRow) {
        let past = Past::of(source, kind, row);
        let mut named = past.named(row);
        past.hide(&mut named, &mut self.shown);
        let coder = source.codec.coder.of(row.sight);
        let told = self.values.tell(source, coder, &past.context(&named), named.current);
        let entry = &mut self.entries[index];
        (entry.is_told, entry.values, entry.is_usual) = (true, told.0, told.1);
    }

    #[inline]
    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// The chances of the flags of a row that was found there.
    #[inline]
    pub(super) fn chances(&self, index: usize) -> Chances {
        self.chances.get(index).copied().unwrap_or(Chances::EVEN)
    }

    pub(super) fn cost_mut(&mut self, index: usize) -> &mut Option<Bits> {
        &mut self.entries[index].cost
    }

    /// Where a row is found; worked out if it is not yet. `past` is that of the row before, if there was one.
    #[expect(clippy::inline_always, reason = "once a row: called, all that is at hand is moved out and in")]
    #[inline(always)]
    pub(super) fn find<'a>(
        &mut self,
        source: &RowSource<'a>,
        kind: &'a Kind,
        row: &PlannedRow,
        past: &mut Option<Past<'a>>,
    ) -> usize {
        let first = &mut self.first[usize::from(row.kind.0)][row.row as usize];
        let mut index = *first;
        while index != NONE {
            let entry = &self.entries[index as usize];
            if entry.sight == row.sight && entry.references == row.references {
                return index as usize;
            }
            index = entry.next;
        }
        let next = core::mem::replace(first, self.entries.len() as u32);
        self.look(source, Past::turn(past, source, kind, row), row, next);
        self.entries.len() - 1
    }

    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn look(&mut self, source: &RowSource<'_>, past: &Past<'_>, row: &PlannedRow, next: u32) {
        let mut named = past.named(row);
        past.hide(&mut named, &mut self.shown);
        let context = past.context(&named);
        let track = &past.shelf.tracks[row.row as usize];
        let baseline = row.references.newest();
        let is_after = |tick: Tick| baseline.is_some_and(|baseline| tick.is_newer_than(baseline));
        let jumped = track.teleported.is_some_and(is_after);
        let comes_to_rest = track.is_at_rest && source.comes_to_rest(row, &named);
        // What has changed will be told, mostly: the states are at hand now.
        let is_told = !comes_to_rest && is_after(track.changed(row.sight));
        let coder = source.codec.coder.of(row.sight);
        if source.codec.coder == Coder::Dense {
            let chances = || source.codec.chances(&context, named.was_at_rest);
            self.chances.push(if coder == Coder::Dense { chances() } else { Chances::EVEN });
        }
        let (values, is_usual) = if is_told {
            self.values.tell(source, coder, &context, named.current)
        } else {
            Default::default()
        };
        self.entries.push(Entry {
            sight: row.sight,
            references: row.references,
            next,
            is_baseline_at_rest: named.was_at_rest,
            comes_to_rest,
            is_plain: !named.was_at_rest && !track.is_at_rest && !jumped,
            cost: None,
            is_told,
            is_usual,
            values,
        });
    }

    /// Forgets what was of another tick.
    pub(super) fn start(&mut self, source: &RowSource<'_>) {
        let tick = source.newest.tick();
        if self.tick == Some(tick) {
            return;
        }
        self.tick = Some(tick);
        self.entries.clear();
        self.chances.clear();
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
    /// Works out what a row's values become; and in the `fast` coder whether all their flags are true.
    #[expect(clippy::inline_always, reason = "once a row")]
    #[inline(always)]
    fn tell(
        &mut self,
        source: &RowSource<'_>,
        coder: Coder,
        row: &RowContext<'_>,
        current: &[i32],
    ) -> (Values, bool) {
        let learned = source.codec.prior.learned();
        match coder {
            Coder::Dense => {
                let start = self.symbols.len();
                tell_dense(row, learned, current, &mut self.known.0, &mut self.symbols);
                (Values { start: start as u32, len: (self.symbols.len() - start) as u32 }, false)
            }
            Coder::Fast => {
                let start = self.words.len() as u32;
                let (len, is_usual) = tell_fast(row, learned, current, &mut self.known.0, &mut self.words);
                (Values { start, len }, is_usual)
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

/// Published ticks that rows name, as they are seen by some.
#[derive(Clone, Copy)]
struct Names<'a> {
    references: References,
    sight: Sight,
    current: &'a Tables,
    /// Newest first.
    tables: [&'a Tables; REFERENCES_PER_ROW_MAX],
    newest: Option<&'a Published>,
    distances: [u32; REFERENCES_PER_ROW_MAX],
    pace: Pace,
}

impl<'a> Names<'a> {
    #[inline]
    fn of(source: &RowSource<'a>, row: &PlannedRow) -> Self {
        let (references, sight, current) = (row.references, row.sight, source.newest.tables(row.sight));
        let mut tables = [current; REFERENCES_PER_ROW_MAX];
        let (mut distances, mut newest) = ([0; REFERENCES_PER_ROW_MAX], None);
        for ((tick, tables), distance) in references.ticks().zip(&mut tables).zip(&mut distances) {
            let published = source.history.at(tick);
            debug_assert!(published.is_some(), "a plan names only states that are in the ring");
            newest = newest.or(published);
            *tables = published.map_or(current, |published| published.tables(sight));
            *distance = source.newest.tick().since(tick) as u32;
        }
        let pace = Pace::of(&distances[..references.len()], source.codec.dt);
        Self { references, sight, current, tables, newest, distances, pace }
    }

    #[inline]
    fn are_of(&self, row: &PlannedRow) -> bool {
        self.sight == row.sight && self.references == row.references
    }
}

/// The published tables that rows of a kind find their named states in.
#[derive(Clone, Copy)]
pub(super) struct Past<'a> {
    names: Names<'a>,
    shelf: Shelf<'a>,
}

/// Those of a kind.
#[derive(Clone, Copy)]
struct Shelf<'a> {
    kind: &'a Kind,
    plan: &'a RowPlan,
    /// Whether there is what receivers with this sight do not see.
    hides: bool,
    /// Whether rows stand in all tables where they stand in the current one.
    is_settled: bool,
    tracks: &'a [RowTrack],
    current: &'a Table,
    /// Newest first.
    tables: [&'a Table; REFERENCES_PER_ROW_MAX],
    /// Whether each row of the newest of these was at rest.
    rest: &'a [bool],
}

impl<'a> Shelf<'a> {
    #[inline]
    fn of(source: &RowSource<'a>, names: &Names<'a>, kind: &'a Kind) -> Self {
        let (id, sight) = (KindId(kind.index()), names.sight);
        let [first, second, third] = names.tables;
        let oldest = names.references.oldest();
        Self {
            kind,
            plan: source.codec.row_plan(kind, sight),
            hides: !sight.is_own() && kind.hides_columns(),
            is_settled: oldest.is_some_and(|tick| source.history.is_settled_since(id, tick)),
            tracks: source.history.tracks(id),
            current: names.current.table(id),
            tables: [first.table(id), second.table(id), third.table(id)],
            rest: names.newest.map_or(&[], |newest| newest.rest(id)),
        }
    }
}

impl<'a> Past<'a> {
    /// That of a row, which is of this kind.
    #[inline]
    pub(super) fn of(source: &RowSource<'a>, kind: &'a Kind, row: &PlannedRow) -> Self {
        let names = Names::of(source, row);
        Self { shelf: Shelf::of(source, &names, kind), names }
    }

    /// That of a row, which may be of another kind and name other ticks than the row before.
    #[expect(clippy::inline_always, reason = "mostly nothing is to be done")]
    #[inline(always)]
    pub(super) fn turn<'p>(
        past: &'p mut Option<Self>,
        source: &RowSource<'a>,
        kind: &'a Kind,
        row: &PlannedRow,
    ) -> &'p Self {
        let is_near = |past: &Self| past.shelf.kind.index() == row.kind.0 && past.names.are_of(row);
        if !past.as_ref().is_some_and(is_near) {
            Self::turn_far(past, source, kind, row);
        }
        past.as_ref().expect("it was made just now, if there was none")
    }

    #[inline(never)]
    fn turn_far(past: &mut Option<Self>, source: &RowSource<'a>, kind: &'a Kind, row: &PlannedRow) {
        match past {
            Some(past) if past.names.are_of(row) => past.shelf = Shelf::of(source, &past.names, kind),
            past => *past = Some(Self::of(source, kind, row)),
        }
    }

    /// What is coded of a row.
    #[inline]
    pub(super) fn context<'b>(&'b self, named: &'b Named<'_>) -> RowContext<'b> {
        let Shelf { kind, plan, .. } = self.shelf;
        RowContext { kind, plan, states: named.states(), pace: &self.names.pace }
    }

    /// A row and the states that it names. What of these its receiver does not see is yet to [`hide`](Self::hide).
    #[expect(clippy::inline_always, reason = "once a row: called, what it found is copied once more")]
    #[inline(always)]
    pub(super) fn named(&self, row: &PlannedRow) -> Named<'a> {
        let place = row.row as usize;
        let Shelf { current, tables: [first, second, third], is_settled, .. } = &self.shelf;
        let [d1, d2, d3] = self.names.distances;
        let span = current.span(place);
        let state = |distance, values| State { distance, values };
        let states = if *is_settled {
            let at = |table: &'a Table| table.in_span(&span);
            [state(d1, at(first)), state(d2, at(second)), state(d3, at(third))]
        } else {
            let places = self.places(place);
            let at = |index: usize| self.shelf.tables[index].values(places[index]);
            [state(d1, at(0)), state(d2, at(1)), state(d3, at(2))]
        };
        let was_at_rest = self.was_at_rest(row);
        Named { current: current.in_span(&span), states, count: self.names.references.len(), was_at_rest }
    }

    /// Whether the newest state that a row names was at rest.
    #[inline]
    pub(super) fn was_at_rest(&self, row: &PlannedRow) -> bool {
        let place = row.row as usize;
        let place = if self.shelf.is_settled { place } else { self.places(place)[0] };
        self.shelf.rest.get(place).copied().unwrap_or(false)
    }

    /// Where a row stands in each of the tables.
    #[cold]
    #[inline(never)]
    fn places(&self, place: usize) -> [usize; REFERENCES_PER_ROW_MAX] {
        let id = self.shelf.current.heads()[place].id;
        let count = self.names.references.len();
        let mut places = [place; REFERENCES_PER_ROW_MAX];
        for (place_in, table) in places.iter_mut().zip(self.shelf.tables).take(count) {
            let found = table.find_near(id, place);
            debug_assert!(found.is_some(), "a plan names only states that there are");
            *place_in = found.unwrap_or(0);
        }
        places
    }

    /// What the receiver does not see must not tell.
    #[inline]
    pub(super) fn hide<'b>(&self, named: &mut Named<'b>, shown: &'b mut Shown)
    where
        'a: 'b,
    {
        if self.shelf.hides {
            named.hide(self.shelf.kind, self.names.sight, shown);
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
