//! Writes sections.

use bytes::Bytes;

use super::super::code::Writer;
use super::super::frequencies::Dial;
use super::super::prior::DIALS;
use super::super::shared::{Found, Named, Past, RowCache};
use super::super::{Codec, PlannedRow, References, SectionPlan};
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
    pub(super) source: Option<&'a RowSource<'a>>,
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
        let (mut found, mut past) = (core::mem::take(&mut self.rows.found), None);
        let all_fit = source.codec.schema.kinds().iter().all(|kind| {
            let (held, rows) = (take_kind(&mut all_held, kind), take_kind(&mut all_rows, kind));
            told += self.find_all(source, kind, (held, rows), (&mut past, &mut found));
            self.write_found(source, kind, held, &found)
        });
        self.rows.found = found;
        if !all_fit {
            return false;
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
        self.write_by_slot(&plan.rows, References::NONE, &is_newcomer) == plan.rows.len()
    }

    /// Notes where held rows are found, and which of them are among the rows to be told; how many are.
    fn find_all(
        &mut self,
        source: &RowSource<'a>,
        kind: &'a Kind,
        (held, mut rows): (&[PlannedRow], &[PlannedRow]),
        (past, found): (&mut Option<Past<'a>>, &mut Vec<Found>),
    ) -> usize {
        found.clear();
        let (is_fast, mut told) = (self.w.is_fast(), 0);
        for row in held {
            while let Some((_, rest)) = rows.split_first().filter(|(news, _)| news.row < row.row) {
                rows = rest;
            }
            let is_news = rows.first() == Some(row);
            told += usize::from(is_news);
            found.push(if is_news || !is_fast {
                let index = self.rows.find(source, kind, row, past);
                Found {
                    index: index as u32,
                    is_news,
                    was_at_rest: self.rows.entry(index).is_baseline_at_rest,
                }
            } else {
                // How likely it was that this is not told, the `fast` coder need not know.
                let was_at_rest = Past::turn(past, source, kind, row).was_at_rest(row);
                Found { index: 0, is_news, was_at_rest }
            });
        }
        told
    }

    /// Tells the held rows of a kind; whether they fit.
    fn write_found(
        &mut self,
        source: &RowSource<'_>,
        kind: &Kind,
        held: &[PlannedRow],
        found: &[Found],
    ) -> bool {
        if self.w.is_fast() {
            self.write_woken(found);
        }
        for (held, found) in held.chunks(ROWS_UNCHECKED).zip(found.chunks(ROWS_UNCHECKED)) {
            for (row, found) in held.iter().zip(found) {
                self.write_held(source, kind, row, *found);
            }
            if found.len() == ROWS_UNCHECKED && !(self.fits)(self.w) {
                return false;
            }
        }
        (self.fits)(self.w)
    }

    /// The `fast` coder's flags of rows that were at rest: how many stay so before each that does not.
    fn write_woken(&mut self, found: &[Found]) {
        let mut run = 0;
        for found in found {
            if !found.was_at_rest {
                continue;
            }
            if found.is_news {
                self.w.flag(true);
                self.w.gamma(run);
                run = 0;
            } else {
                run += 1;
            }
        }
        self.w.flag(false);
    }

    /// Tells one entity that the receiver holds: sent, at rest now, or as it was.
    #[inline]
    fn write_held(&mut self, source: &RowSource<'_>, kind: &Kind, row: &PlannedRow, found: Found) {
        let Found { index, is_news, was_at_rest } = found;
        let index = index as usize;
        let (comes_to_rest, is_plain) = if is_news {
            let entry = self.rows.entry(index);
            (entry.comes_to_rest, entry.is_plain)
        } else {
            (false, false)
        };
        let is_sent = is_news && !comes_to_rest;
        match self.w {
            Writer::Dense(..) | Writer::Cost(..) => self.w.chance(is_sent, self.rows.chances(index).sent),
            // Those that have woken were told of before.
            Writer::Fast(_) if was_at_rest => {}
            Writer::Fast(_) => {
                if is_sent && is_plain {
                    let values = self.rows.values(index, source, kind, row);
                    if values.is_usual() {
                        return self.w.row(values);
                    }
                }
                self.w.flag(false);
                self.w.flag(is_sent);
            }
        }
        if is_sent {
            self.write_news(source, kind, row, index, true);
        } else if !was_at_rest {
            let rests = source.codec.rests(kind, row.sight, &self.rows.chances(index));
            self.w.chance(comes_to_rest, rests);
        }
    }

    /// Tells rows by their slots while they fit, and their end; how many of all did. Rows that are not `wanted` are told
    /// elsewhere and count. The first one names `references`, or says which others.
    pub(super) fn write_by_slot(
        &mut self,
        rows: &[PlannedRow],
        references: References,
        wanted: &dyn Fn(&PlannedRow) -> bool,
    ) -> usize {
        let Some(source) = self.source.filter(|_| !rows.is_empty()) else {
            self.w.seldom(false);
            return 0;
        };
        self.w.seldom(true);
        let mut before = RowBefore { slot: None, references };
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
        source: &RowSource<'_>,
        kind: &Kind,
        row: &PlannedRow,
        index: usize,
        is_against: bool,
    ) {
        if row.sight.is_own() {
            self.w.flag(row.sight == Sight::Beside);
        }
        if row.sight == Sight::Beside {
            // What became of it everyone's row says.
            return self.w.row(self.rows.values(index, source, kind, row));
        }
        let track = source.history.track(row.kind, row.row as usize);
        let now = source.newest.tick();
        let w = &mut *self.w;
        let Some(baseline) = row.references.newest() else { return };
        let entry = self.rows.entry(index);
        if !entry.is_baseline_at_rest {
            let sent = is_against.then(|| self.rows.chances(index).sent);
            w.chance(!entry.is_plain, news_chance(sent));
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
        let values = self.rows.values(index, source, kind, row);
        self.w.row(values);
    }
}

/// After so many rows told against ticks it is seen whether they still fit: what is written beyond is taken back, and not long.
const ROWS_UNCHECKED: usize = 16;

/// Takes the rows of a kind from the front: plans are in order of kind.
fn take_kind<'a>(rows: &mut &'a [PlannedRow], kind: &Kind) -> &'a [PlannedRow] {
    let (of_kind, rest) = match rows.last() {
        Some(last) if last.kind.0 > kind.index() => {
            rows.split_at(rows.partition_point(|row| row.kind.0 <= kind.index()))
        }
        _ => (*rows, &[][..]),
    };
    *rows = rest;
    of_kind
}
