//! A section: the leaves and rows of one snapshot, for everyone's view of a room or for a player's own rows.
//!
//! What a row costs beside its values is in its header: its slot as the gap to the one before, the ticks that it
//! names (one bit where they are those of the row before), whether it rests, jumped or was held.

use bytes::Bytes;

use super::fast::{self, RowContext};
use super::predict::State;
use super::{
    Codec, DecodedRow, DecodedSection, HeldState, Leave, PlannedRow, References, SectionPlan, StateLookup,
};
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
        // What ends the section: a bit for the leaves, one for each kind.
        let end_bits = 1 + self.schema.kinds().len();
        let fits = |w: &BitWriter<'_>| w.byte_len() + end_bits.div_ceil(8) <= byte_limit;
        let mut written = Written { leaves: write_leaves(w, &plan.leaves, fits), rows: 0 };
        let Some(newest) = history.newest() else { return written };
        let source = RowSource { codec: self, history, newest, payload_of };
        let mut before = RowBefore::default();
        let mut is_full = written.leaves < plan.leaves.len();
        for kind in self.schema.kinds() {
            before.slot = None;
            let next = |rows| plan.rows.get(rows).filter(|row: &&PlannedRow| row.kind.0 == kind.index());
            while let Some(row) = next(written.rows).filter(|_| !is_full) {
                let mark = w.mark();
                w.flag(true);
                source.write_row(w, row, &mut before);
                if fits(w) {
                    written.rows += 1;
                    is_full = written.rows == ROWS_PER_SNAPSHOT_MAX;
                } else {
                    w.rewind(mark);
                    is_full = true;
                }
            }
            w.flag(false);
        }
        written
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
        read_leaves(r, &mut out.leaves)?;
        let mut before = RowBefore::default();
        for kind in self.schema.kinds() {
            before.slot = None;
            while r.flag("row")? {
                if out.rows.len() >= ROWS_PER_SNAPSHOT_MAX {
                    let limit = ROWS_PER_SNAPSHOT_MAX as u64;
                    return Err(DecodeError::TooLarge { what: "rows", value: limit + 1, limit });
                }
                let slot = read_slot(r, &mut before.slot)?;
                before.references = read_references(r, tick, before.references)?;
                let place = RowPlace { tick, kind, slot, references: before.references, is_own };
                self.read_row(r, place, states, out)?;
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
        let RowPlace { tick, kind, .. } = place;
        let mut named = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        let baseline = find_named(place, states, &mut named)?;
        let (id, payload) = match baseline {
            Some(held) => (held.id, None),
            None => (read_generation(r, place.slot)?, read_payload(r)?),
        };
        let is_at_rest = r.flag("row")?;
        let held_until = match baseline {
            Some(held) if held.is_at_rest => Some(read_ago(r, tick)?),
            Some(_) => None,
            None => read_ago_if_flagged(r, tick)?,
        };
        let teleported = read_ago_if_flagged(r, tick)?;
        let sight = read_sight(r, place)?;
        if baseline.is_some_and(|held| held.sight != sight) {
            return Err(DecodeError::Invalid { what: "sight of a named state", value: sight as u64 });
        }
        let values = out.push_values(kind);
        let context = self.row_context(kind, sight, &named[..place.references.len()]);
        fast::read_row(r, context, &mut out.values[values.clone()])?;
        out.rows.push(DecodedRow {
            id,
            kind: KindId(kind.index()),
            sight,
            is_whole: baseline.is_none(),
            is_at_rest,
            held_until,
            teleported,
            payload,
            values,
        });
        Ok(())
    }

    fn row_context<'a>(&'a self, kind: &'a Kind, sight: Sight, states: &'a [State<'a>]) -> RowContext<'a> {
        let motions = &self.motions[usize::from(kind.index())];
        RowContext { kind, motions, visible: kind.visible(sight), states }
    }
}

/// What rows are written from.
struct RowSource<'a> {
    codec: &'a Codec,
    history: &'a History,
    /// The tick told.
    newest: &'a Published,
    payload_of: &'a dyn Fn(EntityId) -> Option<Bytes>,
}

/// What a row's header is told against: the row before it.
#[derive(Clone, Copy, Default)]
struct RowBefore {
    /// Its slot, if it is of the same kind.
    slot: Option<u16>,
    references: References,
}

impl RowSource<'_> {
    fn write_row(&self, w: &mut BitWriter<'_>, row: &PlannedRow, before: &mut RowBefore) {
        let now = self.newest.tick();
        let kind = self.codec.schema.kind(row.kind);
        let table = self.newest.tables(row.sight).table(row.kind);
        let index = row.row as usize;
        let id = table.heads()[index].id;
        write_slot(w, &mut before.slot, id.slot);
        write_references(w, now, row.references, before.references);
        before.references = row.references;

        let mut values = [[0; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX + 1];
        let [current, old @ ..] = &mut values;
        table.row(kind, index).copy_to(current);
        let mut states = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
        let mut is_baseline_at_rest = None;
        for ((state, values), tick) in states.iter_mut().zip(old).zip(row.references.ticks()) {
            let is_at_rest = self.copy_state(kind, row.sight, id, tick, values);
            *state = State { distance: now.since(tick) as u32, values };
            is_baseline_at_rest.get_or_insert(is_at_rest);
        }
        if is_baseline_at_rest.is_none() {
            w.bits(u32::from(id.generation), 16);
            write_payload(w, (self.payload_of)(id));
        }
        self.write_past(w, row, is_baseline_at_rest);
        if kind.has_team_fields() && row.sight != Sight::Own {
            w.flag(row.sight == Sight::Team);
        }
        let context = self.codec.row_context(kind, row.sight, &states[..row.references.len()]);
        fast::write_row(w, context, current);
    }

    /// Whether the row rests, until when it did before, and when it jumped. A whole row, which has no baseline, may
    /// follow a state that the receiver holds and the ring has lost: it tells all that is not too long ago.
    fn write_past(&self, w: &mut BitWriter<'_>, row: &PlannedRow, is_baseline_at_rest: Option<bool>) {
        let now = self.newest.tick();
        let track = self.history.track(row.kind, row.row as usize);
        w.flag(track.is_at_rest);
        let baseline = row.references.newest().unwrap_or(now - HISTORY_TICKS);
        match is_baseline_at_rest {
            Some(true) => {
                // A rest that ended before the baseline is another one: that of the baseline goes on.
                let end = track.held_until.filter(|end| !baseline.is_newer_than(*end));
                write_ago(w, now, end.unwrap_or(now));
            }
            Some(false) => {}
            None => write_ago_if_some(w, now, track.held_until),
        }
        write_ago_if_some(w, now, track.teleported.filter(|jump| jump.is_newer_than(baseline)));
    }

    /// Copies the state of an entity at a published tick to `out`; whether it was at rest.
    fn copy_state(&self, kind: &Kind, sight: Sight, id: EntityId, tick: Tick, out: &mut [i32]) -> bool {
        let kind_id = KindId(kind.index());
        let found = self.history.at(tick).and_then(|published| {
            let table = published.tables(sight).table(kind_id);
            let row = table.find(id)?;
            table.row(kind, row).copy_to(out);
            Some(published.is_at_rest(kind_id, row))
        });
        debug_assert!(found.is_some(), "a plan names only states that are in the ring");
        found.unwrap_or(false)
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

/// Finds the states that a row names; the baseline, if it names any.
fn find_named<'a>(
    place: RowPlace<'_>,
    states: &'a dyn StateLookup,
    named: &mut [State<'a>],
) -> Result<Option<HeldState<'a>>, DecodeError> {
    let RowPlace { tick, kind, slot, references, is_own } = place;
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
    Ok(baseline)
}

fn read_sight(r: &mut BitReader<'_>, place: RowPlace<'_>) -> Result<Sight, DecodeError> {
    Ok(if place.is_own {
        Sight::Own
    } else if place.kind.has_team_fields() && r.flag("row")? {
        Sight::Team
    } else {
        Sight::Public
    })
}

/// Writes leaves while they fit, and their end; how many did.
fn write_leaves(w: &mut BitWriter<'_>, leaves: &[Leave], fits: impl Fn(&BitWriter<'_>) -> bool) -> usize {
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

fn read_leaves(r: &mut BitReader<'_>, out: &mut Vec<Leave>) -> Result<(), DecodeError> {
    let mut last_slot = None;
    while r.flag("leave")? {
        let slot = read_slot(r, &mut last_slot)?;
        out.push(Leave { slot, despawned: r.flag("leave")? });
    }
    Ok(())
}

fn write_ago(w: &mut BitWriter<'_>, now: Tick, then: Tick) {
    w.bits(now.since(then).clamp(0, HISTORY_TICKS as i32 - 1) as u32, DISTANCE_BITS);
}

fn read_ago(r: &mut BitReader<'_>, now: Tick) -> Result<Tick, DecodeError> {
    Ok(now - r.bits(DISTANCE_BITS, "row")?)
}

fn write_ago_if_some(w: &mut BitWriter<'_>, now: Tick, then: Option<Tick>) {
    w.flag(then.is_some());
    if let Some(then) = then {
        write_ago(w, now, then);
    }
}

fn read_ago_if_flagged(r: &mut BitReader<'_>, now: Tick) -> Result<Option<Tick>, DecodeError> {
    if r.flag("row")? { read_ago(r, now).map(Some) } else { Ok(None) }
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
    let generation = r.bits(16, "generation")?;
    let invalid = DecodeError::Invalid { what: "generation", value: u64::from(generation) };
    EntityId::from_wire(slot, generation as u16).ok_or(invalid)
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
