//! What stands in front of rows: leaves, slots, named ticks, moments; each as it is written and as it is read.

use core::cmp::Ordering;

use bytes::Bytes;

use super::super::code::{Gammas, Reader, Writer};
use super::super::frequencies::{DIAL, Dial};
use super::super::prior::DIALS;
use super::super::{Leave, References};
use crate::fault::DecodeError;
use crate::ids::EntityId;
use crate::limits::{HISTORY_TICKS, REFERENCES_PER_ROW_MAX, SPAWN_PAYLOAD_BYTES_MAX};
use crate::time::Tick;

const DISTANCE_BITS: u32 = HISTORY_TICKS.ilog2();

/// What a row's header is told against: the row before it.
#[derive(Clone, Copy)]
pub(super) struct RowBefore {
    /// Its slot, if it is of the same kind.
    pub(super) slot: Option<u16>,
    pub(super) references: References,
}

/// Bits that hold any number up to `most`.
pub(super) fn bits_for(most: u32) -> u32 {
    u32::BITS - most.leading_zeros()
}

/// Writes leaves while they fit, and their end; how many did.
pub(super) fn write_leaves(
    w: &mut Writer<'_>,
    leaves: &[Leave],
    fits: impl Fn(&Writer<'_>) -> bool,
) -> usize {
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

pub(super) fn read_leaves(r: &mut Reader<'_>, out: &mut Vec<Leave>) -> Result<(), DecodeError> {
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

pub(super) fn write_ago_if_some(w: &mut Writer<'_>, now: Tick, then: Option<Tick>) {
    w.seldom(then.is_some());
    if let Some(then) = then {
        w.bits(now.since(then).clamp(0, HISTORY_TICKS as i32 - 1) as u32, DISTANCE_BITS);
    }
}

pub(super) fn read_ago_if_flagged(r: &mut Reader<'_>, now: Tick) -> Result<Option<Tick>, DecodeError> {
    if r.seldom("row")? { Ok(Some(now - r.bits(DISTANCE_BITS, "row")?)) } else { Ok(None) }
}

pub(super) fn write_slot(w: &mut Writer<'_>, last: &mut Option<u16>, slot: u16) {
    w.gamma(match *last {
        Some(last) => u32::from(slot - last - 1),
        None => u32::from(slot),
    });
    *last = Some(slot);
}

pub(super) fn read_slot(r: &mut Reader<'_>, last: &mut Option<u16>) -> Result<u16, DecodeError> {
    let gap = r.gamma("slot")?;
    let slot = u64::from(gap) + last.map_or(0, |last| u64::from(last) + 1);
    let slot = u16::try_from(slot).map_err(|_| DecodeError::Invalid { what: "slot", value: slot })?;
    *last = Some(slot);
    Ok(slot)
}

/// How many ticks are named; how far back the newest is; then by how much each step further back differs from the one
/// before, mostly by nothing or one.
pub(super) fn write_references(
    w: &mut Writer<'_>,
    dials: &[Dial; DIALS],
    tick: Tick,
    references: References,
) {
    // Most often all three are named.
    let missing = REFERENCES_PER_ROW_MAX as u32 - references.len() as u32;
    let mut before = None;
    if w.is_fast() {
        let mut numbers = Gammas::default();
        numbers.add(missing);
        for (number, step) in dial_numbers(tick, &references) {
            numbers.add(number - u32::from(before.is_none()));
            if before.is_some() && number == FAR {
                numbers.add_bits(step, DISTANCE_BITS);
            }
            before = Some(step);
        }
        return w.gammas(numbers);
    }
    w.dial(&dials[0], missing);
    for (number, step) in dial_numbers(tick, &references) {
        w.dial(&dials[which_dial(dials, before)], number);
        if before.is_some() && number == FAR {
            w.bits(step, DISTANCE_BITS);
        }
        before = Some(step);
    }
}

/// A step that differs too much from the one before for a dial: it follows itself.
const FAR: u32 = DIAL as u32 - 1;

/// The dial of a step back that follows one of `before` ticks.
pub(in crate::snapshot) fn which_dial(dials: &[Dial; DIALS], before: Option<u32>) -> usize {
    match before.map(|before| before.cmp(&dials[1].usual())) {
        None => 1,
        Some(Ordering::Less) => 2,
        Some(Ordering::Equal) => 3,
        Some(Ordering::Greater) => 4,
    }
}

/// What the dials tell of the ticks that are named, and the steps between these.
#[inline]
pub(in crate::snapshot) fn dial_numbers(
    tick: Tick,
    references: &References,
) -> impl Iterator<Item = (u32, u32)> + '_ {
    let (mut last, mut before) = (tick, None);
    references.ticks().map(move |named| {
        let step = last.since(named) as u32;
        let number = before.map_or(step, |before| fold(i64::from(step) - i64::from(before)).min(FAR));
        (last, before) = (named, Some(step));
        (number, step)
    })
}

pub(super) fn read_references(
    r: &mut Reader<'_>,
    dials: &[Dial; DIALS],
    tick: Tick,
) -> Result<References, DecodeError> {
    let mut references = References::NONE;
    let mut distance = 0;
    let mut before: Option<u32> = None;
    let missing = r.dial(|| &dials[0], 0, "references")?;
    let Some(count) = REFERENCES_PER_ROW_MAX.checked_sub(missing as usize) else {
        return Err(DecodeError::Invalid { what: "number of named states", value: u64::from(missing) });
    };
    for _ in 0..count {
        let number =
            r.dial(|| &dials[which_dial(dials, before)], u32::from(before.is_none()), "references")?;
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

pub(super) fn read_generation(r: &mut Reader<'_>, slot: u16) -> Result<EntityId, DecodeError> {
    let generation = r.bits(16, "generation")?;
    let invalid = DecodeError::Invalid { what: "generation", value: u64::from(generation) };
    EntityId::from_wire(slot, generation as u16).ok_or(invalid)
}

pub(super) fn write_payload(w: &mut Writer<'_>, payload: Option<Bytes>) {
    let payload = payload.unwrap_or_default();
    w.flag(!payload.is_empty());
    if !payload.is_empty() {
        debug_assert!(payload.len() <= SPAWN_PAYLOAD_BYTES_MAX);
        w.bits(payload.len() as u32 - 1, 8);
        w.bytes(&payload);
    }
}

pub(super) fn read_payload(r: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
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
    use super::super::super::page;
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
