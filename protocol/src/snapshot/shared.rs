//! Work on rows that is done once for all receivers: what a row's values become, per named states and sight.

use core::ops::Range;

use super::code::{RowBits, tell_dense, tell_fast};
use super::predict::State;
use super::range::Symbol;
use super::row::RowContext;
use super::section::{Chances, RowSource};
use super::{Coder, PlannedRow};
use crate::bits::BitWriter;
use crate::history::Published;
use crate::limits::{COLUMNS_PER_KIND_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::Kind;
use crate::time::Tick;

const NONE: u32 = u32::MAX;

/// What the rows of one tick become; keeps its memory from tick to tick.
#[derive(Clone, Debug, Default)]
pub struct RowCache {
    tick: Option<Tick>,
    /// Per kind and row: the first of its entries.
    first: Vec<Vec<u32>>,
    entries: Vec<Entry>,
    symbols: Vec<Symbol>,
    bytes: Vec<u8>,
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
    /// What is known of a row; worked out if it is not yet.
    pub(super) fn entry(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow) -> &Entry {
        let index = self.find(source, kind, row);
        &self.entries[index]
    }

    /// What a row's values become.
    pub(super) fn values(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow) -> RowBits<'_> {
        let index = self.find(source, kind, row);
        if self.entries[index].values.is_none() {
            let mut columns = [[0; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX];
            let mut states = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
            copy_states(source, kind, row, &mut columns, &mut states);
            let context = source.codec.row_context(kind, row.sight, &states[..row.references.len()]);
            let values = self.tell(source, kind, row, &context);
            self.entries[index].values = Some(values);
        }
        match &self.entries[index].values {
            Some(Values::Symbols(range)) => RowBits::Dense(&self.symbols[range.clone()]),
            Some(Values::Bits { range, bits, is_usual }) => {
                RowBits::Fast { bytes: &self.bytes[range.clone()], bits: *bits, is_usual: *is_usual }
            }
            None => RowBits::Dense(&[]),
        }
    }

    fn find(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow) -> usize {
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
        let mut columns = [[0; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX];
        let mut states = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        let is_baseline_at_rest = copy_states(source, kind, row, &mut columns, &mut states);
        let context = source.codec.row_context(kind, row.sight, &states[..row.references.len()]);
        let chances = source.codec.chances(&context, is_baseline_at_rest);
        let comes_to_rest = source.comes_to_rest(kind, row, &states[0], is_baseline_at_rest);
        let track = source.history.track(row.kind, row.row as usize);
        let baseline = row.references.newest();
        let is_after = |tick: Tick| baseline.is_some_and(|baseline| tick.is_newer_than(baseline));
        let jumped = track.teleported.is_some_and(is_after);
        // What has changed will be told, mostly: the states are at hand now.
        let is_told = !comes_to_rest && is_after(track.changed(row.sight));
        let values = is_told.then(|| self.tell(source, kind, row, &context));
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
        self.symbols.clear();
        self.bytes.clear();
        self.first.resize_with(source.codec.schema.kinds().len(), Vec::new);
        for ((_, table), first) in
            source.newest.tables(crate::schema::Sight::Public).iter().zip(&mut self.first)
        {
            first.clear();
            first.resize(table.len(), NONE);
        }
    }

    /// What a row's values become.
    fn tell(
        &mut self,
        source: RowSource<'_>,
        kind: &Kind,
        row: &PlannedRow,
        context: &RowContext<'_>,
    ) -> Values {
        let mut current = [0; COLUMNS_PER_KIND_MAX];
        source.newest.tables(row.sight).table(row.kind).row(kind, row.row as usize).copy_to(&mut current);
        match source.codec.coder {
            Coder::Dense => {
                let start = self.symbols.len();
                tell_dense(context, source.codec.prior.learned(), &current, &mut self.symbols);
                Values::Symbols(start..self.symbols.len())
            }
            Coder::Fast => {
                let start = self.bytes.len();
                let mut w = BitWriter::new(&mut self.bytes);
                let is_usual = tell_fast(context, &current, &mut w);
                let bits = w.bit_len(start);
                w.finish();
                Values::Bits { range: start..self.bytes.len(), bits: bits as u32, is_usual }
            }
        }
    }
}

/// Copies the states that a row names; whether the newest of them was at rest.
pub(super) fn copy_states<'a>(
    source: RowSource<'_>,
    kind: &Kind,
    row: &PlannedRow,
    columns: &'a mut [[i32; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX],
    states: &mut [State<'a>; REFERENCES_PER_ROW_MAX],
) -> bool {
    let now = source.newest.tick();
    let id = source.id(row);
    let visible = kind.visible(row.sight);
    let sees_all = visible == kind.visible(crate::schema::Sight::Own);
    let mut is_at_rest = None;
    for ((values, state), tick) in columns.iter_mut().zip(states).zip(row.references.ticks()) {
        let found = source.history.at(tick).and_then(|published: &Published| {
            let table = published.tables(row.sight).table(row.kind);
            let place = table.find_near(id, row.row as usize)?;
            table.row(kind, place).copy_to(values);
            Some(published.is_at_rest(row.kind, place))
        });
        debug_assert!(found.is_some(), "a plan names only states that are in the ring");
        if !sees_all {
            // What the receiver does not see must not tell.
            let columns = kind.columns().iter().zip(values.iter_mut()).enumerate();
            for (_, (shape, value)) in columns.filter(|(column, _)| !visible.contains(*column)) {
                *value = 0.clamp(shape.min, shape.max);
            }
        }
        is_at_rest.get_or_insert(found.unwrap_or(false));
        *state = State { distance: now.since(tick) as u32, values: &values[..kind.column_count()] };
    }
    is_at_rest.unwrap_or(false)
}
