//! A section: the leaves and rows of one snapshot, for everyone's view of a room or for a player's own rows.
//!
//! Rows are told in one of two ways. **By slot**: each says which entity it is, as the gap to the one before, and which states
//! it names. Or **against** up to three ticks that the section names: then every entity that the receiver held at the newest
//! of them is told of, most by a flag alone, which says that it is as it was. Newcomers follow by slot.

use core::cmp::Ordering;
use core::ops::Range;

use bytes::Bytes;

use super::code::{Reader, RowBits, Writer};
use super::context;
use super::dense::{DIAL, Dial};
use super::predict::{Body, Features, State};
use super::prior::{DIALS, Flag, Site, odds_step};
use super::row::{RowContext, RowPlan};
use super::shared::RowCache;
use super::{
    Codec, Coder, DecodedRow, DecodedSection, HeldState, Leave, PlannedRow, References, SectionPlan,
    StateLookup,
};
use crate::fault::DecodeError;
use crate::history::{History, Published};
use crate::ids::EntityId;
use crate::limits::{
    COLUMNS_PER_KIND_MAX, HISTORY_TICKS, REFERENCES_PER_ROW_MAX, ROWS_PER_SNAPSHOT_MAX,
    SPAWN_PAYLOAD_BYTES_MAX,
};
use crate::schema::{Kind, KindId, Sight};
use crate::time::Tick;

const DISTANCE_BITS: u32 = HISTORY_TICKS.ilog2();

/// How much of a plan was written: what follows can go into another frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// Leaves written, from the first one on.
    pub leaves: usize,
    /// Rows written, from the first one on.
    pub rows: usize,
}

/// What rows are written from.
#[derive(Clone, Copy)]
pub(super) struct RowSource<'a> {
    pub(super) codec: &'a Codec,
    pub(super) history: &'a History,
    /// The tick told.
    pub(super) newest: &'a Published,
    pub(super) payload_of: &'a dyn Fn(EntityId) -> Option<Bytes>,
}

impl Codec {
    /// Writes leaves and then rows of a plan, until done or until another would make `w` longer than `byte_limit`.
    pub(super) fn write_section(
        &self,
        w: &mut Writer<'_>,
        source: Option<RowSource<'_>>,
        rows: &mut RowCache,
        plan: &SectionPlan,
        byte_limit: usize,
    ) -> Written {
        // What ends the section: a bit for the leaves, one for each kind.
        let end_bytes = (3 + self.schema.kinds().len()).div_ceil(8);
        let fits = |w: &Writer<'_>| w.byte_len() + end_bytes <= byte_limit;
        let mut written = Written { leaves: write_leaves(w, &plan.leaves, fits), rows: 0 };
        let source = source.filter(|_| written.leaves == plan.leaves.len());
        let mut writer = SectionWriter { w, rows, source, fits };
        if !plan.against.is_empty() {
            let mark = writer.w.mark();
            if plan.rows.len() <= ROWS_PER_SNAPSHOT_MAX && writer.write_against(plan) {
                written.rows = plan.rows.len();
                return written;
            }
            // What these rows name the receiver may hold only as it was before: by slot they would need other names.
            writer.w.rewind(mark);
            writer.w.seldom(true);
            writer.w.seldom(false);
            return written;
        }
        writer.w.seldom(true);
        written.rows = writer.write_by_slot(&plan.rows, &|_| true);
        written
    }

    /// Reads a section into `out`. `states` are the receiver's; nothing of it is changed.
    pub(super) fn read_section(
        &self,
        r: &mut Reader<'_>,
        tick: Tick,
        is_own: bool,
        states: &dyn StateLookup,
        out: &mut DecodedSection,
    ) -> Result<(), DecodeError> {
        out.clear();
        read_leaves(r, &mut out.leaves)?;
        let mut reader = SectionReader { codec: self, tick, is_own, states, out };
        if !r.seldom("section")? {
            let against = read_references(r, &self.prior.learned().dials, tick)?;
            if is_own || against.is_empty() {
                return Err(DecodeError::Invalid { what: "ticks of a section", value: against.len() as u64 });
            }
            for kind in self.schema.kinds() {
                reader.read_held(r, kind, against)?;
            }
        }
        reader.read_by_slot(r)?;
        // Receivers take rows in ascending order; held ones came first.
        if !out.rows.is_sorted_by_key(|row| (row.kind, row.id.slot)) {
            out.rows.sort_unstable_by_key(|row| (row.kind, row.id.slot));
        }
        Ok(())
    }

    pub(super) fn row_plan(&self, kind: &Kind, sight: Sight) -> &RowPlan {
        &self.plans[usize::from(kind.index())][sight as usize]
    }

    /// What is coded when a row names states.
    pub(super) fn row_context<'a>(
        &'a self,
        kind: &'a Kind,
        sight: Sight,
        states: &'a [State<'a>],
    ) -> RowContext<'a> {
        RowContext { kind, plan: self.row_plan(kind, sight), states, dt: self.dt }
    }

    /// What the odds of a row's flags follow from, and the class of their weights.
    pub(super) fn flags(row: &RowContext<'_>, is_at_rest: bool) -> (Features, u8) {
        let nobody = Body::default();
        let body = row.plan.links.bodies.first().unwrap_or(&nobody);
        let held = [0, 1].map(|newer| is_at_rest || stood(row.states, newer));
        let first = row.plan.links.states.first();
        let zero = first.is_some_and(|&column| row.states[0].values[column] == 0);
        let features = context::row(body, row.states, held, is_at_rest, zero);
        (features, context::flag_class(row.states, row.dt))
    }

    /// The chances, out of 65,536, that a held row is sent, that it rests if it is not, and that a sent one has nothing to
    /// tell of its past.
    pub(super) fn chances(&self, row: &RowContext<'_>, is_at_rest: bool) -> Chances {
        if self.coder == Coder::Fast {
            return Chances::default();
        }
        let (features, class) = Self::flags(row, is_at_rest);
        let chance = |flag: Flag| {
            let site = Site::Flag(flag).number(row.kind.column_count());
            let odds = features.dot::<false>(&row.plan.models.get(class, site).scale);
            self.prior.learned().odds[odds_step(odds)]
        };
        Chances { sent: chance(Flag::Sent), rests: chance(Flag::Rests), plain: chance(Flag::Plain) }
    }
}

/// Chances of a row's flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chances {
    pub(super) sent: u16,
    pub(super) rests: u16,
    pub(super) plain: u16,
}

impl Default for Chances {
    fn default() -> Self {
        let even = 1 << 15;
        Self { sent: even, rests: even, plain: even }
    }
}

struct SectionWriter<'a, 'w, F> {
    w: &'a mut Writer<'w>,
    rows: &'a mut RowCache,
    source: Option<RowSource<'a>>,
    fits: F,
}

impl<F: Fn(&Writer<'_>) -> bool> SectionWriter<'_, '_, F> {
    /// Tells the rows of a plan against its ticks; whether all fit.
    fn write_against(&mut self, plan: &SectionPlan) -> bool {
        let Some(source) = self.source else { return false };
        self.w.seldom(false);
        write_references(self.w, source.dials(), source.newest.tick(), plan.against);
        let mut told = 0;
        for kind in source.codec.schema.kinds() {
            let (held, rows) = (of_kind(&plan.held, kind), of_kind(&plan.rows, kind));
            if matches!(self.w, Writer::Fast(_)) {
                self.write_woken(source, kind, held, rows);
            }
            for (row, is_news) in with_news(held, rows) {
                told += usize::from(is_news);
                self.write_held(source, kind, row, is_news);
                if !(self.fits)(self.w) {
                    return false;
                }
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

    /// The `fast` coder's flags of rows that were at rest: how many stay so before each that does not.
    fn write_woken(&mut self, source: RowSource<'_>, kind: &Kind, held: &[PlannedRow], rows: &[PlannedRow]) {
        let mut run = 0;
        for (row, is_news) in with_news(held, rows) {
            if !self.rows.entry(source, kind, row).is_baseline_at_rest {
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
        self.w.flag(false);
    }

    /// Tells one entity that the receiver holds: sent, at rest now, or as it was.
    fn write_held(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow, is_news: bool) {
        let entry = self.rows.entry(source, kind, row);
        let (chances, was_at_rest) = (entry.chances, entry.is_baseline_at_rest);
        let comes_to_rest = is_news && entry.comes_to_rest;
        let is_sent = is_news && !comes_to_rest;
        if matches!(self.w, Writer::Fast(_)) {
            if was_at_rest {
                // Those that have woken were told of before.
            } else {
                let is_usual = is_sent && self.is_usual(source, kind, row);
                self.w.flag(is_usual);
                if is_usual {
                    let values = self.rows.values(source, kind, row);
                    return self.w.row(values);
                }
                self.w.flag(is_sent);
            }
        } else {
            self.w.chance(is_sent, chances.sent);
        }
        if is_sent {
            self.write_news(source, kind, row, true);
        } else if !was_at_rest {
            self.w.chance(comes_to_rest, chances.rests);
        }
    }

    /// Whether a row has nothing to tell but its values, and their flags are all true.
    fn is_usual(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow) -> bool {
        let is_plain = self.rows.entry(source, kind, row).is_plain;
        is_plain && matches!(self.rows.values(source, kind, row), RowBits::Fast { is_usual: true, .. })
    }

    /// Tells rows by their slots while they fit, and their end; how many of all did. Rows that are not `wanted` are told
    /// elsewhere and count.
    fn write_by_slot(&mut self, rows: &[PlannedRow], wanted: &dyn Fn(&PlannedRow) -> bool) -> usize {
        let Some(source) = self.source.filter(|_| !rows.is_empty()) else {
            self.w.seldom(false);
            return 0;
        };
        self.w.seldom(true);
        let mut before = RowBefore::default();
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
                self.write_news(source, kind, row, false);
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
    fn write_news(&mut self, source: RowSource<'_>, kind: &Kind, row: &PlannedRow, is_against: bool) {
        let track = source.history.track(row.kind, row.row as usize);
        let now = source.newest.tick();
        let w = &mut *self.w;
        let Some(baseline) = row.references.newest() else {
            return source.write_whole(w, kind, row);
        };
        let entry = self.rows.entry(source, kind, row);
        w.chance(entry.is_plain, entry.chances.plain);
        if !entry.is_plain {
            w.chance(track.is_at_rest, rests_chance(entry.is_baseline_at_rest));
            if entry.is_baseline_at_rest && !is_against {
                // A rest that ended before the baseline is another one: that of the baseline goes on.
                let end = track.held_until.filter(|end| !baseline.is_newer_than(*end)).unwrap_or(now);
                w.bits(now.since(end) as u32, bits_for(now.since(baseline) as u32));
            }
            write_ago_if_some(w, now, track.teleported.filter(|jump| jump.is_newer_than(baseline)));
        }
        let values = self.rows.values(source, kind, row);
        if let RowBits::Fast { is_usual, .. } = values {
            self.w.flag(is_usual);
        }
        self.w.row(values);
    }
}

impl<'a> RowSource<'a> {
    /// Nothing before the first tick is published.
    pub(super) fn of(
        codec: &'a Codec,
        history: &'a History,
        payload_of: &'a dyn Fn(EntityId) -> Option<Bytes>,
    ) -> Option<Self> {
        Some(Self { codec, history, newest: history.newest()?, payload_of })
    }

    fn dials(&self) -> &[Dial; DIALS] {
        &self.codec.prior.learned().dials
    }

    pub(super) fn id(&self, row: &PlannedRow) -> EntityId {
        self.newest.tables(row.sight).table(row.kind).heads()[row.row as usize].id
    }

    /// Whether a row is at rest now where it was at the baseline, and was not then, and has not jumped: a flag says that.
    pub(super) fn comes_to_rest(
        &self,
        kind: &Kind,
        row: &PlannedRow,
        baseline: &State<'_>,
        was_at_rest: bool,
    ) -> bool {
        let track = self.history.track(row.kind, row.row as usize);
        let Some(tick) = row.references.newest() else { return false };
        if was_at_rest || !track.is_at_rest || track.teleported.is_some_and(|jump| jump.is_newer_than(tick)) {
            return false;
        }
        let current = self.newest.tables(row.sight).table(row.kind).row(kind, row.row as usize);
        let visible = kind.visible(row.sight);
        let is_as_it_was =
            |column| !visible.contains(column) || current.column(column) == baseline.values[column];
        (0..kind.column_count()).all(is_as_it_was)
    }

    /// A row that names no state may follow one that the receiver holds and the ring has lost: it tells all that is not
    /// too long ago.
    fn write_whole(&self, w: &mut Writer<'_>, kind: &Kind, row: &PlannedRow) {
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
        let mut values = [0; COLUMNS_PER_KIND_MAX];
        self.newest.tables(row.sight).table(row.kind).row(kind, row.row as usize).copy_to(&mut values);
        let visible = kind.visible(row.sight);
        for field in kind.coding_order().filter(|field| visible.contains(field.columns().start)) {
            w.whole(&kind.columns()[field.columns()], &values[field.columns()]);
        }
    }
}

/// The rows of a kind: plans are in order of kind.
fn of_kind<'a>(rows: &'a [PlannedRow], kind: &Kind) -> &'a [PlannedRow] {
    let start = rows.partition_point(|row| row.kind.0 < kind.index());
    let end = rows.partition_point(|row| row.kind.0 <= kind.index());
    &rows[start..end]
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

struct SectionReader<'a> {
    codec: &'a Codec,
    tick: Tick,
    is_own: bool,
    states: &'a dyn StateLookup,
    out: &'a mut DecodedSection,
}

impl SectionReader<'_> {
    /// Reads what is told of all entities of a kind that were held at the newest tick of `against`.
    fn read_held(&mut self, r: &mut Reader<'_>, kind: &Kind, against: References) -> Result<(), DecodeError> {
        let mut slots = core::mem::take(&mut self.out.held);
        slots.clear();
        let newest = against.newest().unwrap_or(self.tick);
        self.states.held_at(KindId(kind.index()), newest, &mut slots);
        slots.retain(|slot| self.out.leaves.binary_search_by_key(slot, |leave| leave.slot).is_err());
        let told = self.read_slots(r, kind, against, &slots);
        self.out.held = slots;
        told
    }

    fn read_slots(
        &mut self,
        r: &mut Reader<'_>,
        kind: &Kind,
        against: References,
        slots: &[u16],
    ) -> Result<(), DecodeError> {
        let mut woken = core::mem::take(&mut self.out.woken);
        woken.clear();
        if matches!(r, Reader::Fast(_)) {
            while r.flag("row")? {
                if woken.len() >= slots.len() {
                    return Err(DecodeError::Invalid {
                        what: "rows that were at rest",
                        value: woken.len() as u64,
                    });
                }
                woken.push(r.gamma("row")?);
            }
        }
        let mut runs = woken.iter().copied();
        let mut run = runs.next();
        for &slot in slots {
            let mut named = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
            let found = Self::held_states(self.states, self.tick, slot, against, &mut named);
            let Some((held, count)) = found else { continue };
            let context = self.codec.row_context(kind, held.sight, &named[..count]);
            let chances = self.codec.chances(&context, held.is_at_rest);
            let is_sent = match (&r, held.is_at_rest) {
                (Reader::Fast(_), true) => {
                    let is_next = run == Some(0);
                    run = if is_next { runs.next() } else { run.map(|run| run - 1) };
                    is_next
                }
                (Reader::Fast(_), false) => {
                    if r.flag("row")? {
                        self.read_values(r, &context, DecodedRow::as_held(&held), true)?;
                        continue;
                    }
                    r.flag("row")?
                }
                _ => r.chance(chances.sent, "row")?,
            };
            if is_sent {
                self.read_news(r, &context, held, chances.plain, true)?;
            } else if !held.is_at_rest && r.chance(chances.rests, "row")? {
                let row = DecodedRow { is_at_rest: true, ..DecodedRow::as_held(&held) };
                let values = self.push(kind, row)?;
                self.out.values[values].copy_from_slice(held.values);
            }
        }
        self.out.woken = woken;
        Ok(())
    }

    fn read_by_slot(&mut self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        if !r.seldom("section")? {
            return Ok(());
        }
        let mut before = RowBefore::default();
        for kind in self.codec.schema.kinds() {
            before.slot = None;
            while r.flag("row")? {
                let slot = read_slot(r, &mut before.slot)?;
                if r.seldom("references")? {
                    before.references = read_references(r, &self.codec.prior.learned().dials, self.tick)?;
                }
                self.read_row(r, kind, slot, before.references)?;
            }
        }
        Ok(())
    }

    fn read_row(
        &mut self,
        r: &mut Reader<'_>,
        kind: &Kind,
        slot: u16,
        references: References,
    ) -> Result<(), DecodeError> {
        if references.is_empty() {
            return self.read_whole(r, kind, slot);
        }
        let mut named = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        let mut baseline = None;
        for (state, at) in named.iter_mut().zip(references.ticks()) {
            let distance = self.tick.since(at) as u32;
            let held = self
                .states
                .state(self.is_own, slot, at)
                .filter(|held| held.kind.0 == kind.index())
                .ok_or(DecodeError::UnknownState { slot, distance: distance as u8 })?;
            *state = State { distance, values: held.values };
            baseline.get_or_insert(held);
        }
        let Some(held) = baseline else { return Ok(()) };
        let context = self.codec.row_context(kind, held.sight, &named[..references.len()]);
        let chances = self.codec.chances(&context, held.is_at_rest);
        self.read_news(r, &context, held, chances.plain, false)
    }

    /// What a row tells once it is known whose it is and what it names.
    fn read_news(
        &mut self,
        r: &mut Reader<'_>,
        context: &RowContext<'_>,
        held: HeldState<'_>,
        plain: u16,
        is_against: bool,
    ) -> Result<(), DecodeError> {
        let tick = self.tick;
        let baseline_distance = context.states[0].distance;
        let (mut is_at_rest, mut held_until, mut teleported) = (false, None, None);
        if !r.chance(plain, "row")? {
            is_at_rest = r.chance(rests_chance(held.is_at_rest), "row")?;
            if held.is_at_rest {
                let ago =
                    if is_against { baseline_distance } else { r.bits(bits_for(baseline_distance), "row")? };
                held_until = Some(tick - ago);
            }
            teleported = read_ago_if_flagged(r, tick)?;
        }
        let row = DecodedRow { is_at_rest, held_until, teleported, ..DecodedRow::as_held(&held) };
        let is_usual = matches!(r, Reader::Fast(_)) && r.flag("row")?;
        self.read_values(r, context, row, is_usual)
    }

    fn read_values(
        &mut self,
        r: &mut Reader<'_>,
        context: &RowContext<'_>,
        row: DecodedRow,
        is_usual: bool,
    ) -> Result<(), DecodeError> {
        let values = self.push(context.kind, row)?;
        r.row(context, self.codec.prior.learned(), is_usual, &mut self.out.values[values])
    }

    fn read_whole(&mut self, r: &mut Reader<'_>, kind: &Kind, slot: u16) -> Result<(), DecodeError> {
        let id = read_generation(r, slot)?;
        let payload = read_payload(r)?;
        let is_at_rest = r.flag("row")?;
        let held_until = read_ago_if_flagged(r, self.tick)?;
        let teleported = read_ago_if_flagged(r, self.tick)?;
        let sight = if self.is_own {
            Sight::Own
        } else if kind.has_team_fields() && r.flag("row")? {
            Sight::Team
        } else {
            Sight::Public
        };
        let kind_id = KindId(kind.index());
        let row = DecodedRow {
            id,
            kind: kind_id,
            sight,
            is_whole: true,
            is_at_rest,
            held_until,
            teleported,
            payload,
            values: 0..0,
        };
        let values = self.push(kind, row)?;
        let values = &mut self.out.values[values];
        let visible = kind.visible(sight);
        for field in kind.coding_order().filter(|field| visible.contains(field.columns().start)) {
            let columns = field.columns();
            r.whole(kind.index(), &kind.columns()[columns.clone()], columns.start, &mut values[columns])?;
        }
        Ok(())
    }

    /// Room for one more row; where its columns are.
    fn push(&mut self, kind: &Kind, row: DecodedRow) -> Result<Range<usize>, DecodeError> {
        if self.out.rows.len() >= ROWS_PER_SNAPSHOT_MAX {
            let limit = ROWS_PER_SNAPSHOT_MAX as u64;
            return Err(DecodeError::TooLarge { what: "rows", value: limit + 1, limit });
        }
        let values = self.out.push_values(kind);
        self.out.rows.push(DecodedRow { values: values.clone(), ..row });
        Ok(values)
    }

    /// The states of a slot at the ticks that the section names, as far back as it was held.
    fn held_states<'s>(
        states: &'s dyn StateLookup,
        tick: Tick,
        slot: u16,
        against: References,
        named: &mut [State<'s>; REFERENCES_PER_ROW_MAX],
    ) -> Option<(HeldState<'s>, usize)> {
        let mut baseline: Option<HeldState<'_>> = None;
        let mut count = 0;
        for (state, at) in named.iter_mut().zip(against.ticks()) {
            let Some(held) = states.state_by(slot, at) else { break };
            if baseline.is_some_and(|newest| newest.id != held.id) {
                break;
            }
            *state = State { distance: tick.since(at) as u32, values: held.values };
            baseline.get_or_insert(held);
            count += 1;
        }
        baseline.map(|held| (held, count))
    }
}

/// Whether the named states are of a row that stood still.
pub(super) fn stood(states: &[State<'_>], newer: usize) -> bool {
    states.get(newer + 1).is_some_and(|older| older.values == states[newer].values)
}

/// The chance, out of 65,536, that a row which has something to tell of its past is at rest: one that was, has woken; another
/// has mostly just come to rest.
const fn rests_chance(was_at_rest: bool) -> u16 {
    if was_at_rest { 1 << 13 } else { 62 << 10 }
}

/// What a row's header is told against: the row before it.
#[derive(Clone, Copy, Default)]
struct RowBefore {
    /// Its slot, if it is of the same kind.
    slot: Option<u16>,
    references: References,
}

/// Bits that hold any number up to `most`.
fn bits_for(most: u32) -> u32 {
    u32::BITS - most.leading_zeros()
}

/// Writes leaves while they fit, and their end; how many did.
fn write_leaves(w: &mut Writer<'_>, leaves: &[Leave], fits: impl Fn(&Writer<'_>) -> bool) -> usize {
    w.seldom(!leaves.is_empty());
    if leaves.is_empty() {
        return 0;
    }
    let mut written = 0;
    let mut last_slot = None;
    for leave in leaves {
        let mark = w.mark();
        w.flag(true);
        write_slot(w, &mut last_slot, leave.slot);
        w.flag(leave.despawned);
        if !fits(w) {
            w.rewind(mark);
            break;
        }
        written += 1;
    }
    w.flag(false);
    written
}

fn read_leaves(r: &mut Reader<'_>, out: &mut Vec<Leave>) -> Result<(), DecodeError> {
    if !r.seldom("leave")? {
        return Ok(());
    }
    let mut last_slot = None;
    while r.flag("leave")? {
        let slot = read_slot(r, &mut last_slot)?;
        out.push(Leave { slot, despawned: r.flag("leave")? });
    }
    Ok(())
}

fn write_ago_if_some(w: &mut Writer<'_>, now: Tick, then: Option<Tick>) {
    w.seldom(then.is_some());
    if let Some(then) = then {
        w.bits(now.since(then).clamp(0, HISTORY_TICKS as i32 - 1) as u32, DISTANCE_BITS);
    }
}

fn read_ago_if_flagged(r: &mut Reader<'_>, now: Tick) -> Result<Option<Tick>, DecodeError> {
    if r.seldom("row")? { Ok(Some(now - r.bits(DISTANCE_BITS, "row")?)) } else { Ok(None) }
}

fn write_slot(w: &mut Writer<'_>, last: &mut Option<u16>, slot: u16) {
    w.gamma(match *last {
        Some(last) => u32::from(slot - last - 1),
        None => u32::from(slot),
    });
    *last = Some(slot);
}

fn read_slot(r: &mut Reader<'_>, last: &mut Option<u16>) -> Result<u16, DecodeError> {
    let gap = r.gamma("slot")?;
    let slot = u64::from(gap) + last.map_or(0, |last| u64::from(last) + 1);
    let slot = u16::try_from(slot).map_err(|_| DecodeError::Invalid { what: "slot", value: slot })?;
    *last = Some(slot);
    Ok(slot)
}

/// How many ticks are named; how far back the newest is; then by how much each step further back differs from the one
/// before, mostly by nothing or one.
fn write_references(w: &mut Writer<'_>, dials: &[Dial; DIALS], tick: Tick, references: References) {
    let numbers = dial_numbers(tick, references);
    // Most often all three are named.
    w.dial(&dials[0], 0, REFERENCES_PER_ROW_MAX as u32 - references.len() as u32);
    let mut before = None;
    for (number, step) in numbers.into_iter().take(references.len()) {
        w.dial(&dials[which_dial(dials, before)], u32::from(before.is_none()), number);
        if before.is_some() && number == FAR {
            w.bits(step, DISTANCE_BITS);
        }
        before = Some(step);
    }
}

/// A step that differs too much from the one before for a dial: it follows itself.
const FAR: u32 = DIAL as u32 - 1;

/// The dial of a step back that follows one of `before` ticks.
pub(super) fn which_dial(dials: &[Dial; DIALS], before: Option<u32>) -> usize {
    match before.map(|before| before.cmp(&dials[1].usual)) {
        None => 1,
        Some(Ordering::Less) => 2,
        Some(Ordering::Equal) => 3,
        Some(Ordering::Greater) => 4,
    }
}

/// What the dials tell of the ticks that are named, and the steps between these.
pub(super) fn dial_numbers(tick: Tick, references: References) -> [(u32, u32); REFERENCES_PER_ROW_MAX] {
    let mut numbers = [(0, 0); REFERENCES_PER_ROW_MAX];
    let mut last = (tick, None);
    for (number, named) in numbers.iter_mut().zip(references.ticks()) {
        let step = last.0.since(named) as u32;
        let told = match last.1 {
            None => step,
            Some(before) => fold(i64::from(step) - i64::from(before)).min(FAR),
        };
        *number = (told, step);
        last = (named, Some(step));
    }
    numbers
}

fn read_references(r: &mut Reader<'_>, dials: &[Dial; DIALS], tick: Tick) -> Result<References, DecodeError> {
    let mut references = References::NONE;
    let mut distance = 0;
    let mut before: Option<u32> = None;
    let missing = r.dial(&dials[0], 0, "references")?;
    let Some(count) = REFERENCES_PER_ROW_MAX.checked_sub(missing as usize) else {
        return Err(DecodeError::Invalid { what: "number of named states", value: u64::from(missing) });
    };
    for _ in 0..count {
        let number = r.dial(&dials[which_dial(dials, before)], u32::from(before.is_none()), "references")?;
        let step = match before {
            None => i64::from(number),
            Some(_) if number == FAR => i64::from(r.bits(DISTANCE_BITS, "references")?),
            Some(before) => i64::from(before) + unfold(number),
        };
        distance += step;
        if step <= 0 || distance >= i64::from(HISTORY_TICKS) {
            return Err(DecodeError::Invalid { what: "distance of a named state", value: distance as u64 });
        }
        references.push(tick - distance as u32);
        before = Some(step as u32);
    }
    Ok(references)
}

/// Small numbers of either sign as small numbers.
fn fold(number: i64) -> u32 {
    (number << 1 ^ number >> 63) as u32
}

fn unfold(folded: u32) -> i64 {
    i64::from(folded >> 1) ^ -i64::from(folded & 1)
}

fn read_generation(r: &mut Reader<'_>, slot: u16) -> Result<EntityId, DecodeError> {
    let generation = r.bits(16, "generation")?;
    let invalid = DecodeError::Invalid { what: "generation", value: u64::from(generation) };
    EntityId::from_wire(slot, generation as u16).ok_or(invalid)
}

fn write_payload(w: &mut Writer<'_>, payload: Option<Bytes>) {
    let payload = payload.unwrap_or_default();
    w.flag(!payload.is_empty());
    if !payload.is_empty() {
        debug_assert!(payload.len() <= SPAWN_PAYLOAD_BYTES_MAX);
        w.bits(payload.len() as u32 - 1, 8);
        w.bytes(&payload);
    }
}

fn read_payload(r: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
    if !r.flag("spawn payload")? {
        return Ok(None);
    }
    let len = r.bits(8, "spawn payload")? + 1;
    let mut payload = Vec::with_capacity(len as usize);
    for _ in 0..len {
        payload.push(r.bits(8, "spawn payload")? as u8);
    }
    Ok(Some(payload.into()))
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;

    #[test]
    fn numbers_are_folded_as_the_page_says() {
        for (left, right) in page::rows("coder fold") {
            let number = left.parse().unwrap();
            assert_eq!(fold(number).to_string(), right, "{left}");
            assert_eq!(unfold(fold(number)), number);
        }
    }
}
