//! Reads sections.

use core::ops::Range;

use super::super::code::Reader;
use super::super::links::State;
use super::super::pace::Pace;
use super::super::row::RowContext;
use super::super::{Codec, DecodedRow, DecodedSection, HeldState, HeldStates, References, StateLookup};
use super::chances::{Chances, news_chance, rests_chance};
use super::terms::{
    RowBefore, bits_for, read_ago_if_flagged, read_generation, read_payload, read_references, read_slot,
};
use crate::fault::DecodeError;
use crate::limits::{REFERENCES_PER_ROW_MAX, ROWS_PER_SNAPSHOT_MAX};
use crate::schema::{Kind, KindId, Sight};
use crate::time::Tick;

/// Ticks that a section names.
pub(super) struct Against {
    ticks: References,
    /// How long before the section's tick they are.
    distances: [u32; REFERENCES_PER_ROW_MAX],
    pace: Pace,
}

impl Against {
    pub(super) fn new(ticks: References, now: Tick, dt: f32) -> Self {
        let mut distances = [0; REFERENCES_PER_ROW_MAX];
        for (distance, tick) in distances.iter_mut().zip(ticks.ticks()) {
            *distance = now.since(tick) as u32;
        }
        Self { ticks, distances, pace: Pace::of(&distances[..ticks.len()], dt) }
    }
}

pub(super) struct SectionReader<'a> {
    pub(super) codec: &'a Codec,
    pub(super) tick: Tick,
    /// Everyone's rows in the same snapshot, if this section is of the receiver's own.
    pub(super) view: Option<&'a DecodedSection>,
    pub(super) states: &'a dyn StateLookup,
    pub(super) out: &'a mut DecodedSection,
}

impl SectionReader<'_> {
    /// Reads what is told of all entities of a kind that were held at the newest tick of `against`.
    pub(super) fn read_held(
        &mut self,
        r: &mut Reader<'_>,
        kind: &Kind,
        against: &Against,
    ) -> Result<(), DecodeError> {
        let mut woken = core::mem::take(&mut self.out.woken);
        woken.clear();
        if matches!(r, Reader::Fast(_)) {
            while r.flag("row")? {
                if woken.len() >= ROWS_PER_SNAPSHOT_MAX {
                    let limit = ROWS_PER_SNAPSHOT_MAX as u64;
                    return Err(DecodeError::TooLarge { what: "rows", value: limit + 1, limit });
                }
                woken.push(r.gamma("row")?);
            }
        }
        let mut runs = woken.iter().copied();
        let mut run = runs.next();
        let states = self.states;
        states.held_at(KindId(kind.index()), against.ticks, &mut |held| {
            let HeldStates { newest, values, count } = held;
            if self.leaves(newest.id.slot) {
                return Ok(());
            }
            let mut is_woken = || {
                let is_next = run == Some(0);
                run = if is_next { runs.next() } else { run.map(|run| run - 1) };
                is_next
            };
            let named =
                [0, 1, 2].map(|place| State { distance: against.distances[place], values: values[place] });
            let shorter;
            let pace = if *count == against.ticks.len() {
                &against.pace
            } else {
                shorter = Pace::of(&against.distances[..*count], self.codec.dt);
                &shorter
            };
            let context = self.codec.row_context(kind, newest.sight, &named[..*count], pace);
            self.read_one(r, &context, newest, &mut is_woken)
        })?;
        self.out.woken = woken;
        if run.is_some() {
            return Err(DecodeError::Invalid {
                what: "rows that were at rest",
                value: self.out.rows.len() as u64,
            });
        }
        Ok(())
    }

    /// Whether the entity in a slot was said to have left.
    #[inline]
    fn leaves(&self, slot: u16) -> bool {
        let leaves = &self.out.leaves;
        !leaves.is_empty() && leaves.binary_search_by_key(&slot, |leave| leave.slot).is_ok()
    }

    /// Reads what is told of one entity that was held: sent, at rest now, or as it was. `is_woken` says of one that was at rest
    /// whether it is sent, where that was told before.
    #[inline]
    fn read_one(
        &mut self,
        r: &mut Reader<'_>,
        context: &RowContext<'_>,
        held: &HeldState<'_>,
        is_woken: &mut dyn FnMut() -> bool,
    ) -> Result<(), DecodeError> {
        let mut chances = Chances::EVEN;
        let is_sent = match r {
            Reader::Fast(_) if held.is_at_rest => is_woken(),
            Reader::Fast(bits) => {
                if bits.flag("row")? {
                    return self.read_values(r, context, DecodedRow::as_held(held), true);
                }
                bits.flag("row")?
            }
            Reader::Dense(_) => {
                chances = self.codec.chances(context, held.is_at_rest);
                r.chance(chances.sent, "row")?
            }
        };
        if is_sent {
            return self.read_news(r, context, held, Some(chances.sent));
        }
        if !held.is_at_rest && r.chance(self.codec.rests(context.kind, held.sight, &chances), "row")? {
            self.push(held.values, DecodedRow { is_at_rest: true, ..DecodedRow::as_held(held) })?;
        }
        Ok(())
    }

    /// Reads rows of which the first one names `references` if it says nothing else.
    pub(super) fn read_by_slot(
        &mut self,
        r: &mut Reader<'_>,
        references: References,
    ) -> Result<(), DecodeError> {
        if !r.seldom("section")? {
            return Ok(());
        }
        let mut before = RowBefore { slot: None, references };
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
                .state(self.view.is_some(), slot, at)
                .filter(|held| held.kind.0 == kind.index())
                .ok_or(DecodeError::UnknownState { slot, distance: distance as u8 })?;
            *state = State { distance, values: held.values };
            baseline.get_or_insert(held);
        }
        let Some(held) = baseline else { return Ok(()) };
        let named = &named[..references.len()];
        let pace = Pace::of_states(named, self.codec.dt);
        if let Some(view) = self.view
            && r.flag("row")?
        {
            let context = self.codec.row_context(kind, Sight::Beside, named, &pace);
            return self.read_beside(r, &context, &held, view);
        }
        let context = self.codec.row_context(kind, held.sight, named, &pace);
        self.read_news(r, &context, &held, None)
    }

    /// What the owner is told beside everyone's row of its entity: that says the rest, and what became of it.
    fn read_beside(
        &mut self,
        r: &mut Reader<'_>,
        context: &RowContext<'_>,
        held: &HeldState<'_>,
        view: &DecodedSection,
    ) -> Result<(), DecodeError> {
        let kind = context.kind;
        let unknown =
            DecodeError::Invalid { what: "row beside one that is not told", value: held.id.pack().into() };
        let told = view.find(held.kind, held.id).filter(|told| told.tells_all_but(kind)).ok_or(unknown)?;
        let DecodedRow { is_at_rest, held_until, teleported, .. } = *told;
        let row = DecodedRow { is_at_rest, held_until, teleported, ..DecodedRow::as_held(held) };
        let is_usual = matches!(r, Reader::Fast(_)) && r.flag("row")?;
        let values = self.push(context.states[0].values, row)?;
        let values = &mut self.out.values[values];
        kind.shared().iter().for_each(|column| values[column] = view.values_of(told)[column]);
        r.row(context, self.codec.prior.learned(), is_usual, values)
    }

    /// What a row tells once it is known whose it is and what it names.
    fn read_news(
        &mut self,
        r: &mut Reader<'_>,
        context: &RowContext<'_>,
        held: &HeldState<'_>,
        sent: Option<u16>,
    ) -> Result<(), DecodeError> {
        let tick = self.tick;
        let baseline_distance = context.states[0].distance;
        let (mut is_at_rest, mut held_until, mut teleported) = (false, None, None);
        if held.is_at_rest || r.chance(news_chance(sent), "row")? {
            is_at_rest = r.chance(rests_chance(held.is_at_rest), "row")?;
            if held.is_at_rest {
                let ago = if sent.is_some() {
                    baseline_distance
                } else {
                    r.bits(bits_for(baseline_distance), "row")?
                };
                held_until = Some(tick - ago);
            }
            teleported = read_ago_if_flagged(r, tick)?;
        }
        let row = DecodedRow { is_at_rest, held_until, teleported, ..DecodedRow::as_held(held) };
        let is_usual = matches!(r, Reader::Fast(_)) && r.flag("row")?;
        self.read_values(r, context, row, is_usual)
    }

    #[inline]
    fn read_values(
        &mut self,
        r: &mut Reader<'_>,
        context: &RowContext<'_>,
        row: DecodedRow,
        is_usual: bool,
    ) -> Result<(), DecodeError> {
        let values = self.push(context.states[0].values, row)?;
        r.row(context, self.codec.prior.learned(), is_usual, &mut self.out.values[values])
    }

    fn read_whole(&mut self, r: &mut Reader<'_>, kind: &Kind, slot: u16) -> Result<(), DecodeError> {
        let id = read_generation(r, slot)?;
        let payload = read_payload(r)?;
        let is_at_rest = r.flag("row")?;
        let held_until = read_ago_if_flagged(r, self.tick)?;
        let teleported = read_ago_if_flagged(r, self.tick)?;
        let sight = if self.view.is_some() {
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
        let values = self.push(kind.blank(), row)?;
        let values = &mut self.out.values[values];
        let visible = kind.visible(sight);
        for field in kind.coding_order().filter(|field| visible.contains(field.columns().start)) {
            let columns = field.columns();
            r.whole(kind.index(), &kind.columns()[columns.clone()], columns.start, &mut values[columns])?;
        }
        Ok(())
    }

    /// Adds a row with these values; where they are.
    #[expect(clippy::inline_always, reason = "once a row: called, the row is copied twice")]
    #[inline(always)]
    fn push(&mut self, values: &[i32], mut row: DecodedRow) -> Result<Range<usize>, DecodeError> {
        if self.out.rows.len() >= ROWS_PER_SNAPSHOT_MAX {
            let limit = ROWS_PER_SNAPSHOT_MAX as u64;
            return Err(DecodeError::TooLarge { what: "rows", value: limit + 1, limit });
        }
        let values = self.out.push_values(values);
        row.values = values.clone();
        self.out.rows.push(row);
        Ok(values)
    }
}
