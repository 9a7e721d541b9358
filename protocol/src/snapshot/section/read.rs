//! Reads sections.

use core::ops::Range;

use super::super::code::Reader;
use super::super::links::State;
use super::super::row::RowContext;
use super::super::{Codec, DecodedRow, DecodedSection, HeldState, References, StateLookup};
use super::chances::{news_chance, rests_chance};
use super::terms::{
    RowBefore, bits_for, read_ago_if_flagged, read_generation, read_payload, read_references, read_slot,
};
use crate::fault::DecodeError;
use crate::limits::{REFERENCES_PER_ROW_MAX, ROWS_PER_SNAPSHOT_MAX};
use crate::schema::{Kind, KindId, Sight};
use crate::time::Tick;

pub(super) struct SectionReader<'a> {
    pub(super) codec: &'a Codec,
    pub(super) tick: Tick,
    pub(super) is_own: bool,
    pub(super) states: &'a dyn StateLookup,
    pub(super) out: &'a mut DecodedSection,
}

impl SectionReader<'_> {
    /// Reads what is told of all entities of a kind that were held at the newest tick of `against`.
    pub(super) fn read_held(
        &mut self,
        r: &mut Reader<'_>,
        kind: &Kind,
        against: References,
    ) -> Result<(), DecodeError> {
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
        let mut distances = [0; REFERENCES_PER_ROW_MAX];
        for (distance, at) in distances.iter_mut().zip(against.ticks()) {
            *distance = self.tick.since(at) as u32;
        }
        let mut values = [&[][..]; REFERENCES_PER_ROW_MAX];
        let mut runs = woken.iter().copied();
        let mut run = runs.next();
        for &slot in slots {
            let Some((held, count)) = self.states.states_by(slot, against, &mut values) else { continue };
            let named = [0, 1, 2].map(|place| State { distance: distances[place], values: values[place] });
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
                self.read_news(r, &context, held, Some(chances.sent))?;
            } else if !held.is_at_rest && r.chance(self.codec.rests(kind, held.sight, &chances), "row")? {
                let row = DecodedRow { is_at_rest: true, ..DecodedRow::as_held(&held) };
                let values = self.push(kind, row)?;
                self.out.values[values].copy_from_slice(held.values);
            }
        }
        self.out.woken = woken;
        if run.is_some() {
            return Err(DecodeError::Invalid { what: "rows that were at rest", value: slots.len() as u64 });
        }
        Ok(())
    }

    pub(super) fn read_by_slot(&mut self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
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
        self.read_news(r, &context, held, None)
    }

    /// What a row tells once it is known whose it is and what it names.
    fn read_news(
        &mut self,
        r: &mut Reader<'_>,
        context: &RowContext<'_>,
        held: HeldState<'_>,
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
}
