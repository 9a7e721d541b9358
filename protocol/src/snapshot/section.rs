//! A section: the leaves and rows of one snapshot, for everyone's view of a room or for a player's own rows.
//!
//! What a row costs beside its values is in its header: its slot as the gap to the one before, the ticks that it
//! names (one bit where they are those of the row before), whether it rests, jumped or was held.

use bytes::Bytes;

use super::fast::{self, RowContext};
use super::predict::State;
use super::{Codec, DecodedRow, DecodedSection, Leave, PlannedRow, References, SectionPlan, StateLookup};
use crate::bits::{BitReader, BitWriter};
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

impl Codec {
    /// Writes leaves and then rows of a plan, until done or until another would make `w` longer than `byte_limit`.
    pub(super) fn write_section(
        &self,
        w: &mut BitWriter<'_>,
        history: &History,
        plan: &SectionPlan,
        payload_of: &dyn Fn(EntityId) -> Option<Bytes>,
        byte_limit: usize,
    ) -> Written {
        let mut written = Written::default();
        // What ends the section: a bit for the leaves, one for each kind.
        let end_bits = 1 + self.schema.kinds().len();
        let fits = |w: &BitWriter<'_>| w.byte_len() + end_bits.div_ceil(8) <= byte_limit;
        let mut last_slot = None;
        for leave in &plan.leaves {
            let mark = w.mark();
            w.flag(true);
            write_slot(w, &mut last_slot, leave.slot);
            w.flag(leave.despawned);
            if !fits(w) {
                w.rewind(mark);
                break;
            }
            written.leaves += 1;
        }
        w.flag(false);
        let Some(newest) = history.newest() else { return written };
        let mut references = References::NONE;
        let mut is_full = written.leaves < plan.leaves.len();
        for kind in self.schema.kinds() {
            let mut last_slot = None;
            while let Some(row) =
                plan.rows.get(written.rows).filter(|row| row.kind.0 == kind.index() && !is_full)
            {
                let mark = w.mark();
                w.flag(true);
                self.write_row(w, history, newest, row, &mut last_slot, references, payload_of);
                is_full = !fits(w);
                if is_full {
                    w.rewind(mark);
                } else {
                    references = row.references;
                    written.rows += 1;
                }
            }
            w.flag(false);
        }
        written
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one walk over a section")]
    fn write_row(
        &self,
        w: &mut BitWriter<'_>,
        history: &History,
        newest: &Published,
        row: &PlannedRow,
        last_slot: &mut Option<u16>,
        last_references: References,
        payload_of: &dyn Fn(EntityId) -> Option<Bytes>,
    ) {
        let kind = self.schema.kind(row.kind);
        let table = newest.tables(row.sight).table(row.kind);
        let index = row.row as usize;
        let id = table.heads()[index].id;
        let track = history.track(row.kind, index);
        write_slot(w, last_slot, id.slot);
        write_references(w, newest.tick(), row.references, last_references);
        if row.references == References::NONE {
            w.bits(u32::from(id.generation), 16);
            write_payload(w, payload_of(id));
        }
        w.flag(track.is_at_rest);
        let mut values = [[0; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX + 1];
        let [current, old @ ..] = &mut values;
        table.row(kind, index).copy_to(current);
        let mut was_at_rest = false;
        for (place, tick) in row.references.ticks().enumerate() {
            let (state, at_rest) = state_at(history, kind, row.sight, id, tick, &mut old[place]);
            debug_assert!(state, "a plan names only states that are in the ring");
            was_at_rest |= at_rest && place == 0;
        }
        if was_at_rest {
            w.bits(ticks_ago(newest.tick(), track.held_until), DISTANCE_BITS);
        }
        let baseline = row.references.newest().unwrap_or(newest.tick() - HISTORY_TICKS);
        let teleported = track.teleported.filter(|tick| tick.is_newer_than(baseline));
        w.flag(teleported.is_some());
        if teleported.is_some() {
            w.bits(ticks_ago(newest.tick(), teleported), DISTANCE_BITS);
        }
        if kind.has_team_fields() && row.sight != Sight::Own {
            w.flag(row.sight == Sight::Team);
        }
        let mut states = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        for ((state, values), tick) in states.iter_mut().zip(old.iter()).zip(row.references.ticks()) {
            *state = State { distance: newest.tick().since(tick) as u32, values };
        }
        let context = RowContext {
            kind,
            motions: &self.motions[usize::from(kind.index())],
            visible: kind.visible(row.sight),
            states: &states[..row.references.len()],
        };
        fast::write_row(w, context, current);
    }

    /// Reads a section into `out`. `states` are the receiver's; nothing of it is changed.
    pub(super) fn read_section(
        &self,
        r: &mut BitReader<'_>,
        tick: Tick,
        is_own: bool,
        states: &dyn StateLookup,
        out: &mut DecodedSection,
    ) -> Result<(), DecodeError> {
        out.clear();
        let mut last_slot = None;
        while r.flag("leave")? {
            let slot = read_slot(r, &mut last_slot)?;
            out.leaves.push(Leave { slot, despawned: r.flag("leave")? });
        }
        let mut references = References::NONE;
        for kind in self.schema.kinds() {
            let mut last_slot = None;
            while r.flag("row")? {
                if out.rows.len() >= ROWS_PER_SNAPSHOT_MAX {
                    let limit = ROWS_PER_SNAPSHOT_MAX as u64;
                    return Err(DecodeError::TooLarge { what: "rows", value: limit + 1, limit });
                }
                let slot = read_slot(r, &mut last_slot)?;
                references = read_references(r, tick, references)?;
                self.read_row(r, RowPlace { tick, kind, slot, references, is_own }, states, out)?;
            }
        }
        Ok(())
    }

    fn read_row(
        &self,
        r: &mut BitReader<'_>,
        place: RowPlace<'_>,
        states: &dyn StateLookup,
        out: &mut DecodedSection,
    ) -> Result<(), DecodeError> {
        let RowPlace { tick, kind, slot, references, is_own } = place;
        let mut named = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        let mut baseline = None;
        for (state, at) in named.iter_mut().zip(references.ticks()) {
            let distance = tick.since(at) as u32;
            let held = states
                .state(is_own, slot, at)
                .filter(|held| held.kind.0 == kind.index())
                .ok_or(DecodeError::UnknownState { slot, distance: distance as u8 })?;
            *state = State { distance, values: held.values };
            baseline.get_or_insert(held);
        }
        let (id, payload) = match baseline {
            Some(held) => (held.id, None),
            None => (read_generation(r, slot)?, read_payload(r)?),
        };
        let is_at_rest = r.flag("row")?;
        let held_until = match baseline {
            Some(held) if held.is_at_rest => Some(tick - r.bits(DISTANCE_BITS, "row")?),
            _ => None,
        };
        let teleported = if r.flag("row")? { Some(tick - r.bits(DISTANCE_BITS, "row")?) } else { None };
        let sight = if is_own {
            Sight::Own
        } else if kind.has_team_fields() && r.flag("row")? {
            Sight::Team
        } else {
            Sight::Public
        };
        if baseline.is_some_and(|held| held.sight != sight) {
            return Err(DecodeError::Invalid { what: "sight of a named state", value: sight as u64 });
        }
        let values = out.push_values(kind);
        let context = RowContext {
            kind,
            motions: &self.motions[usize::from(kind.index())],
            visible: kind.visible(sight),
            states: &named[..references.len()],
        };
        fast::read_row(r, context, &mut out.values[values.clone()])?;
        let kind = KindId(kind.index());
        let is_whole = baseline.is_none();
        out.rows.push(DecodedRow {
            id,
            kind,
            sight,
            is_whole,
            is_at_rest,
            held_until,
            teleported,
            payload,
            values,
        });
        Ok(())
    }
}

/// Where a row stands and what it names.
#[derive(Clone, Copy)]
struct RowPlace<'a> {
    tick: Tick,
    kind: &'a Kind,
    slot: u16,
    references: References,
    is_own: bool,
}

/// Copies the state of an entity at a published tick to `out`; whether there is one, and whether it was at rest.
fn state_at(
    history: &History,
    kind: &Kind,
    sight: Sight,
    id: EntityId,
    tick: Tick,
    out: &mut [i32],
) -> (bool, bool) {
    let kind_id = KindId(kind.index());
    let Some(published) = history.at(tick) else { return (false, false) };
    let table = published.tables(sight).table(kind_id);
    let Some(row) = table.find(id) else { return (false, false) };
    table.row(kind, row).copy_to(out);
    (true, published.is_at_rest(kind_id, row))
}

fn ticks_ago(now: Tick, then: Option<Tick>) -> u32 {
    then.map_or(0, |then| now.since(then).clamp(0, HISTORY_TICKS as i32 - 1) as u32)
}

fn write_slot(w: &mut BitWriter<'_>, last: &mut Option<u16>, slot: u16) {
    w.gamma(match *last {
        Some(last) => u32::from(slot - last - 1),
        None => u32::from(slot),
    });
    *last = Some(slot);
}

fn read_slot(r: &mut BitReader<'_>, last: &mut Option<u16>) -> Result<u16, DecodeError> {
    let gap = r.gamma("slot")?;
    let slot = u64::from(gap) + last.map_or(0, |last| u64::from(last) + 1);
    let slot = u16::try_from(slot).map_err(|_| DecodeError::Invalid { what: "slot", value: slot })?;
    *last = Some(slot);
    Ok(slot)
}

/// One bit if the row names the same ticks as the one before, else their number and distances.
fn write_references(w: &mut BitWriter<'_>, tick: Tick, references: References, last: References) {
    w.flag(references != last);
    if references == last {
        return;
    }
    w.bits(references.len() as u32, 2);
    for named in references.ticks() {
        w.bits(tick.since(named) as u32, DISTANCE_BITS);
    }
}

fn read_references(r: &mut BitReader<'_>, tick: Tick, last: References) -> Result<References, DecodeError> {
    if !r.flag("references")? {
        return Ok(last);
    }
    let mut references = References::NONE;
    let mut last_distance = 0;
    for _ in 0..r.bits(2, "references")? {
        let distance = r.bits(DISTANCE_BITS, "references")?;
        if distance <= last_distance {
            return Err(DecodeError::Invalid {
                what: "distance of a named state",
                value: u64::from(distance),
            });
        }
        references.push(tick - distance);
        last_distance = distance;
    }
    Ok(references)
}

fn read_generation(r: &mut BitReader<'_>, slot: u16) -> Result<EntityId, DecodeError> {
    let generation = r.bits(16, "generation")? as u16;
    if generation == 0 {
        return Err(DecodeError::Invalid { what: "generation", value: 0 });
    }
    Ok(EntityId { slot, generation })
}

fn write_payload(w: &mut BitWriter<'_>, payload: Option<Bytes>) {
    let payload = payload.unwrap_or_default();
    w.flag(!payload.is_empty());
    if !payload.is_empty() {
        debug_assert!(payload.len() <= SPAWN_PAYLOAD_BYTES_MAX);
        w.bits(payload.len() as u32 - 1, 8);
        w.bytes(&payload);
    }
}

fn read_payload(r: &mut BitReader<'_>) -> Result<Option<Bytes>, DecodeError> {
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
