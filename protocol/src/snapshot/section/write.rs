//! Writes sections.

use bytes::Bytes;

use super::super::code::{RowBits, Writer};
use super::super::frequencies::Dial;
use super::super::prior::DIALS;
use super::super::shared::{Entry, Named, RowCache};
use super::super::{Codec, PlannedRow, SectionPlan};
use super::chances::{news_chance, rests_chance};
use super::terms::{RowBefore, bits_for, write_ago_if_some, write_payload, write_references, write_slot};
use crate::history::{History, Published};
use crate::ids::EntityId;
use crate::limits::{HISTORY_TICKS, ROWS_PER_SNAPSHOT_MAX};
use crate::schema::{Kind, Sight};

/// What rows are written from.
#[derive(Clone, Copy)]
pub(in crate::snapshot) struct RowSource<'a> {
    pub(in crate::snapshot) codec: &'a Codec,
    pub(in crate::snapshot) history: &'a History,
    /// The tick told.
    pub(in crate::snapshot) newest: &'a Published,
    pub(in crate::snapshot) payload_of: &'a dyn Fn(EntityId) -> Option<Bytes>,
}

impl<'a> RowSource<'a> {
    /// Nothing before the first tick is published.
    pub(in crate::snapshot) fn of(
        codec: &'a Codec,
        history: &'a History,
        payload_of: &'a dyn Fn(EntityId) -> Option<Bytes>,
    ) -> Option<Self> {
        Some(Self { codec, history, newest: history.newest()?, payload_of })
    }

    pub(super) fn dials(&self) -> &[Dial; DIALS] {
        &self.codec.prior.learned().dials
    }

    pub(in crate::snapshot) fn id(&self, row: &PlannedRow) -> EntityId {
        self.newest.tables(row.sight).table(row.kind).heads()[row.row as usize].id
    }

    /// Whether a row is at rest now where it was at the baseline, and was not then, and has not jumped: a flag says that.
    pub(in crate::snapshot) fn comes_to_rest(&self, row: &PlannedRow, named: &Named<'_>) -> bool {
        let track = self.history.track(row.kind, row.row as usize);
        let Some(tick) = row.references.newest() else { return false };
        if named.was_at_rest
            || !track.is_at_rest
            || track.teleported.is_some_and(|jump| jump.is_newer_than(tick))
        {
            return false;
        }
        let visible = self.codec.schema.kind(row.kind).visible(row.sight);
        let [baseline, ..] = named.states() else { return false };
        let mut columns = named.current.iter().zip(baseline.values).enumerate();
        columns.all(|(column, (current, baseline))| !visible.contains(column) || current == baseline)
    }

    /// A row that names no state may follow one that the receiver holds and the ring has lost: it tells all that is not
    /// too long ago.
    pub(super) fn write_whole(&self, w: &mut Writer<'_>, kind: &Kind, row: &PlannedRow) {
        let id = self.id(row);
        let now = self.newest.tick();
        let track = self.history.track(row.kind, row.row as usize);
        w.bits(u32::from(id.generation), 16);
        write_payload(w, (self.payload_of)(id));
        w.flag(track.is_at_rest);
        write_ago_if_some(w, now, track.held_until);
        let recently = now - HISTORY_TICKS;
        write_ago_if_some(w, now, track.teleported.filter(|jump| jump.is_newer_than(recently)));
        if kind.has_team_fields() && row.sight != Sight::Own {
            w.flag(row.sight == Sight::Team);
        }
        let values = self.newest.tables(row.sight).table(row.kind).values(row.row as usize);
        let visible = kind.visible(row.sight);
        for field in kind.coding_order().filter(|field| visible.contains(field.columns().start)) {
            w.whole(&kind.columns()[field.columns()], &values[field.columns()]);
        }
    }
}

pub(super) struct SectionWriter<'a, 'w, F> {
    pub(super) w: &'a mut Writer<'w>,
    pub(super) rows: &'a mut RowCache,
    pub(super) source: Option<RowSource<'a>>,
    /// Whether what is written so far fits.
    pub(super) fits: F,
}

impl<'a, F: Fn(&Writer<'_>) -> bool> SectionWriter<'a, '_, F> {
    /// Tells the rows of a plan against its ticks; whether all fit.
    pub(super) fn write_against(&mut self, plan: &SectionPlan) -> bool {
        let Some(source) = self.source else { return false };
        self.w.seldom(false);
        write_references(self.w, source.dials(), source.newest.tick(), plan.against);
        let (mut told, mut all_held, mut all_rows) = (0, &plan.held[..], &plan.rows[..]);
        for kind in source.codec.schema.kinds() {
            let (held, rows) = (take_kind(&mut all_held, kind), take_kind(&mut all_rows, kind));
            let any_at_rest = self.find_all(source, kind, held);
            if matches!(self.w, Writer::Fast(_)) {
                if any_at_rest {
                    self.write_woken(held, rows);
                }
                self.w.flag(false);
            }
            for (place, (row, is_news)) in with_news(held, rows).enumerate() {
                told += usize::from(is_news);
                let index = self.rows.found[place] as usize;
                self.write_held(source, kind, (row, index), is_news);
                if place % ROWS_UNCHECKED == ROWS_UNCHECKED - 1 && !(self.fits)(self.w) {
                    return false;
                }
            }
            if !(self.fits)(self.w) {
                return false;
            }
        }
        let place = |row: &PlannedRow| (row.kind, row.row);
        let is_newcomer = |row: &PlannedRow| {
            let held = plan.held.binary_search_by_key(&place(row), place);
            !held.is_ok_and(|index| plan.held[index] == *row)
        };
        if told == plan.rows.len() {
            self.w.seldom(false);
            return true;
        }
        self.write_by_slot(&plan.rows, &is_newcomer) == plan.rows.len()
    }

    /// Notes where held rows are found; whether the baseline of any was at rest.
    fn find_all(&mut self, source: RowSource<'a>, kind: &'a Kind, held: &[PlannedRow]) -> bool {
        self.rows.found.clear();
        let (mut past, mut any_at_rest) = (None, false);
        for row in held {
            let index = self.rows.find(source, kind, row, &mut past);
            any_at_rest |= self.rows.entry(index).is_baseline_at_rest;
            self.rows.found.push(index as u32);
        }
        any_at_rest
    }

    /// The `fast` coder's flags of rows that were at rest: how many stay so before each that does not.
    fn write_woken(&mut self, held: &[PlannedRow], rows: &[PlannedRow]) {
        let mut run = 0;
        for (place, (_, is_news)) in with_news(held, rows).enumerate() {
            let index = self.rows.found[place] as usize;
            if !self.rows.entry(index).is_baseline_at_rest {
                continue;
            }
            if is_news {
                self.w.flag(true);
                self.w.gamma(run);
                run = 0;
            } else {
                run += 1;
            }
        }
    }

    /// Tells one entity that the receiver holds: sent, at rest now, or as it was.
    fn write_held(
        &mut self,
        source: RowSource<'_>,
        kind: &Kind,
        (row, index): (&PlannedRow, usize),
        is_news: bool,
    ) {
        let &Entry { ref chances, is_baseline_at_rest: was_at_rest, is_plain, comes_to_rest, .. } =
            self.rows.entry(index);
        let comes_to_rest = is_news && comes_to_rest;
        let is_sent = is_news && !comes_to_rest;
        match self.w {
            Writer::Dense(..) | Writer::Cost(..) => self.w.chance(is_sent, chances.sent),
            // Those that have woken were told of before.
            Writer::Fast(_) if was_at_rest => {}
            Writer::Fast(_) => {
                let values = (is_sent && is_plain).then(|| self.rows.values(index, source, kind));
                let usual = values.filter(RowBits::is_usual);
                self.w.flag(usual.is_some());
                if let Some(values) = usual {
                    return self.w.row(values);
                }
                self.w.flag(is_sent);
            }
        }
        if is_sent {
            self.write_news(source, kind, row, index, true);
        } else if !was_at_rest {
            let rests = source.codec.rests(kind, row.sight, &self.rows.entry(index).chances);
            self.w.chance(comes_to_rest, rests);
        }
    }

    /// Tells rows by their slots while they fit, and their end; how many of all did. Rows that are not `wanted` are told
    /// elsewhere and count.
    pub(super) fn write_by_slot(
        &mut self,
        rows: &[PlannedRow],
        wanted: &dyn Fn(&PlannedRow) -> bool,
    ) -> usize {
        let Some(source) = self.source.filter(|_| !rows.is_empty()) else {
            self.w.seldom(false);
            return 0;
        };
        self.w.seldom(true);
        let mut before = RowBefore::default();
        let mut past = None;
        let mut written = 0;
        let mut is_full = false;
        for kind in source.codec.schema.kinds() {
            before.slot = None;
            let next = |written| rows.get(written).filter(|row: &&PlannedRow| row.kind.0 == kind.index());
            while let Some(row) = next(written).filter(|_| !is_full) {
                if !wanted(row) {
                    written += 1;
                    continue;
                }
                let mark = self.w.mark();
                self.w.flag(true);
                let id = source.id(row);
                write_slot(self.w, &mut before.slot, id.slot);
                self.w.seldom(row.references != before.references);
                if row.references != before.references {
                    write_references(self.w, source.dials(), source.newest.tick(), row.references);
                    before.references = row.references;
                }
                if row.references.is_empty() {
                    source.write_whole(self.w, kind, row);
                } else {
                    let index = self.rows.find(source, kind, row, &mut past);
                    self.write_news(source, kind, row, index, false);
                }
                if (self.fits)(self.w) {
                    written += 1;
                    is_full = written == ROWS_PER_SNAPSHOT_MAX;
                } else {
                    self.w.rewind(mark);
                    is_full = true;
                }
            }
            self.w.flag(false);
        }
        written
    }

    /// What a row tells once it is known whose it is and what it names. Told against ticks of the section, it was at rest up
    /// to the newest of these, if it was: that is not long ago, and need not be said exactly.
    pub(super) fn write_news(
        &mut self,
        source: RowSource<'_>,
        kind: &Kind,
        row: &PlannedRow,
        index: usize,
        is_against: bool,
    ) {
        let track = source.history.track(row.kind, row.row as usize);
        let now = source.newest.tick();
        let w = &mut *self.w;
        let Some(baseline) = row.references.newest() else { return };
        let entry = self.rows.entry(index);
        if !entry.is_baseline_at_rest {
            w.chance(!entry.is_plain, news_chance(is_against.then_some(entry.chances.sent)));
        }
        if !entry.is_plain {
            w.chance(track.is_at_rest, rests_chance(entry.is_baseline_at_rest));
            if entry.is_baseline_at_rest && !is_against {
                // A rest that ended before the baseline is another one: that of the baseline goes on.
                let end = track.held_until.filter(|end| !baseline.is_newer_than(*end)).unwrap_or(now);
                w.bits(now.since(end) as u32, bits_for(now.since(baseline) as u32));
            }
            write_ago_if_some(w, now, track.teleported.filter(|jump| jump.is_newer_than(baseline)));
        }
        let values = self.rows.values(index, source, kind);
        if let RowBits::Fast { is_usual, .. } = values {
            self.w.flag(is_usual);
        }
        self.w.row(values);
    }
}

/// After so many rows told against ticks it is seen whether they still fit: what is written beyond is taken back, and not long.
const ROWS_UNCHECKED: usize = 16;

/// Takes the rows of a kind from the front: plans are in order of kind.
fn take_kind<'a>(rows: &mut &'a [PlannedRow], kind: &Kind) -> &'a [PlannedRow] {
    let end = rows.iter().position(|row| row.kind.0 != kind.index()).unwrap_or(rows.len());
    let (of_kind, rest) = rows.split_at(end);
    *rows = rest;
    of_kind
}

/// The held rows of a kind, and whether each is among the rows to be told.
fn with_news<'a>(
    held: &'a [PlannedRow],
    rows: &'a [PlannedRow],
) -> impl Iterator<Item = (&'a PlannedRow, bool)> {
    let mut rows = rows.iter().peekable();
    held.iter().map(move |row| {
        while rows.next_if(|news| news.row < row.row).is_some() {}
        (row, rows.next_if(|news| *news == row).is_some())
    })
}
