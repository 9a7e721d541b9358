//! Which rows of a plan fit into so many bytes, told by their slots.
//!
//! Nothing is written to find out: the way through the rows is that of the writer, with one that only adds up. Rows come in an order
//! of importance and are written in another one, and what stands in front of a row (the gap to the slot before, the states it
//! names if they are others than those of the row before) depends on which others are there. So the first `m` of importance are
//! added up as they would be written, exactly, for one `m` after another, by halving what lies between those that surely fit and
//! those that surely do not.

use bytes::Bytes;

use super::super::body::write_cues;
use super::super::code::Writer;
use super::super::cost::Bits;
use super::super::shared::RowCache;
use super::super::{BodyPlan, Codec, Coder, PlannedRow, References, SectionPlan};
use super::terms::{write_leaves, write_references, write_slot};
use super::write::{RowSource, SectionWriter};
use crate::history::History;
use crate::ids::EntityId;
use crate::limits::ROWS_PER_SNAPSHOT_MAX;
use crate::schema::{Kind, Sight};

/// What is worked out to pack a plan; reused from plan to plan.
#[derive(Clone, Debug, Default)]
pub struct Packing {
    rows: Vec<Weighed>,
}

/// What a row takes.
#[derive(Clone, Copy, Debug)]
struct Weighed {
    slot: u16,
    /// Its place in the order of importance.
    rank: u32,
    /// Of its own, without slot and names.
    row: Bits,
    /// To name its states.
    names: Bits,
}

impl Weighed {
    /// A row that was not looked at: behind all others.
    fn nothing(slot: u16) -> Self {
        Self { slot, rank: u32::MAX, row: Bits::default(), names: Bits::default() }
    }
}

/// A gap between slots, at most: twice the bits of a slot, and one.
const GAP_BITS_MAX: u32 = 33;

impl Codec {
    /// Takes out of a plan what does not fit into a body of `byte_limit` bytes: cues beyond half of it, then leaves, then the rows that come
    /// latest in `order`, which are the places of all rows of the plan, the most important first. They are to be told by slot, not
    /// against ticks. Whether all fit.
    ///
    /// What is left [`write_body`](Codec::write_body) writes as a whole, and it takes no more than `byte_limit`.
    #[expect(clippy::too_many_arguments, reason = "what a body is made from, and what it has to fit in")]
    pub fn pack(
        &self,
        history: &History,
        plan: &mut BodyPlan,
        order: &[u32],
        payload_of: &dyn Fn(EntityId) -> Option<Bytes>,
        byte_limit: usize,
        rows: &mut RowCache,
        packing: &mut Packing,
    ) -> bool {
        let Some(source) = RowSource::of(self, history, payload_of) else { return true };
        let mut w = Writer::cost(self.coder);
        let told = write_cues(&mut w, &self.schema, source.newest.tick(), &plan.cues, byte_limit / 2);
        let all_cues = told == plan.cues.len();
        plan.cues.truncate(told);
        let before = Some(References::NONE);
        self.pack_after(&mut w, &source, &mut plan.section, before, order, byte_limit, rows, packing)
            && all_cues
    }

    /// The same for a section alone: of a player's own rows. A few bits may be left: what they lean on is not known yet.
    pub fn pack_section(
        &self,
        history: &History,
        plan: &mut SectionPlan,
        order: &[u32],
        byte_limit: usize,
        rows: &mut RowCache,
        packing: &mut Packing,
    ) -> bool {
        let payload_of = |_: EntityId| -> Option<Bytes> { None };
        let Some(source) = RowSource::of(self, history, &payload_of) else { return true };
        let mut w = Writer::cost(self.coder.of(Sight::Own));
        self.pack_after(&mut w, &source, plan, None, order, byte_limit, rows, packing)
    }

    /// How many bytes a section takes at most, told by slot: of a player's own rows.
    pub fn section_bytes(
        &self,
        history: &History,
        plan: &SectionPlan,
        rows: &mut RowCache,
        packing: &mut Packing,
    ) -> usize {
        let payload_of = |_: EntityId| -> Option<Bytes> { None };
        let Some(source) = RowSource::of(self, history, &payload_of).filter(|_| !plan.is_empty()) else {
            return 0;
        };
        let coder = self.coder.of(Sight::Own);
        let mut w = Writer::cost(coder);
        write_leaves(&mut w, &plan.leaves, |_| true);
        self.weigh(&source, plan, 0..plan.rows.len() as u32, (Bits::MAX, coder), rows, packing);
        let all = w.added_up() + self.ends(coder) + packing.first(coder, plan, None, u32::MAX);
        all.byte_len(coder)
    }

    #[expect(clippy::too_many_arguments, reason = "as above")]
    fn pack_after(
        &self,
        w: &mut Writer<'_>,
        source: &RowSource<'_>,
        plan: &mut SectionPlan,
        before: Option<References>,
        order: &[u32],
        byte_limit: usize,
        rows: &mut RowCache,
        packing: &mut Packing,
    ) -> bool {
        debug_assert!(plan.against.is_empty() && order.len() == plan.rows.len());
        let coder = w.coder();
        let limit = Bits::in_bytes(byte_limit, coder);
        let ends = self.ends(coder);
        let told = write_leaves(w, &plan.leaves, |w| w.added_up() + ends <= limit);
        let room = limit - w.added_up() - ends;
        if told < plan.leaves.len() {
            // The others take the next snapshot's room, before any row.
            plan.leaves.truncate(told);
            plan.rows.clear();
            return false;
        }
        let count = self.weigh(source, plan, order.iter().copied(), (room, coder), rows, packing);
        let fit = packing.fitting((coder, plan, before), &order[..count], room);
        let mut weighed = packing.rows.iter();
        plan.rows.retain(|_| weighed.next().is_some_and(|row| row.rank < fit));
        plan.rows.len() == order.len()
    }

    /// What ends a section: two flags that are seldom true, and one for each kind.
    fn ends(&self, coder: Coder) -> Bits {
        let mut w = Writer::cost(coder);
        w.seldom(true);
        w.seldom(true);
        w.bits(0, 1);
        for _ in self.schema.kinds() {
            w.flag(false);
        }
        w.added_up()
    }

    /// What each row of a plan takes, in this order; beyond `room` none is looked at any more, for it does not fit. How many were.
    fn weigh(
        &self,
        source: &RowSource<'_>,
        plan: &SectionPlan,
        order: impl Iterator<Item = u32>,
        (room, coder): (Bits, Coder),
        rows: &mut RowCache,
        packing: &mut Packing,
    ) -> usize {
        rows.start(source);
        packing.rows.clear();
        packing.rows.extend(plan.rows.iter().map(|row| Weighed::nothing(source.id(row).slot)));
        let (mut named, mut past): (Option<(References, Bits)>, _) = (None, None);
        let (mut sum, mut count) = (Bits::default(), 0);
        for place in order {
            let row = &plan.rows[place as usize];
            let kind = self.schema.kind(row.kind);
            let (_, names) = *match &mut named {
                Some(named) if named.0 == row.references => named,
                named => named.insert((row.references, cost_of_names(source, coder, row.references))),
            };
            let cost = if row.references.is_empty() {
                let mut w = Writer::cost(coder);
                source.write_whole(&mut w, kind, row);
                w.added_up()
            } else {
                let index = rows.find(source, kind, row, &mut past);
                rows.cost(index, source, kind, row)
            };
            let weighed = &mut packing.rows[place as usize];
            (weighed.rank, weighed.row, weighed.names) = (count as u32, cost, names);
            sum = sum + cost;
            if sum > room {
                break;
            }
            count += 1;
        }
        count
    }
}

fn cost_of_names(source: &RowSource<'_>, coder: Coder, references: References) -> Bits {
    let mut w = Writer::cost(coder);
    write_references(&mut w, source.dials(), source.newest.tick(), references);
    w.added_up()
}

impl RowCache {
    /// What a row takes behind its slot and names. `index` is where [`find`](Self::find) found it.
    fn cost(&mut self, index: usize, source: &RowSource<'_>, kind: &Kind, row: &PlannedRow) -> Bits {
        if let Some(cost) = self.entry(index).cost {
            return cost;
        }
        let mut w = Writer::cost(source.codec.coder.of(row.sight));
        let fits = |_: &Writer<'_>| true;
        SectionWriter { w: &mut w, rows: self, source: Some(source), fits }
            .write_news(source, kind, row, index, false);
        *self.cost_mut(index).insert(w.added_up())
    }
}

impl Packing {
    /// How many of the first in order fit into `room`: found by halving, between those that fit whatever stands in front of them and
    /// those that do not even without.
    fn fitting(
        &self,
        (coder, plan, before): (Coder, &SectionPlan, Option<References>),
        order: &[u32],
        room: Bits,
    ) -> u32 {
        let most = order.len().min(ROWS_PER_SNAPSHOT_MAX) as u32;
        let sum = |front: &dyn Fn(&Weighed) -> Bits| {
            let mut sum = Bits::default();
            let fits = order.iter().take_while(|place| {
                let row = &self.rows[**place as usize];
                sum = sum + row.row + front(row);
                sum <= room
            });
            (fits.count() as u32).min(most)
        };
        let front_max = |row: &Weighed| {
            let mut w = Writer::cost(coder);
            w.bits(0, GAP_BITS_MAX - 32);
            w.bits(0, 32);
            w.flag(true);
            w.seldom(true);
            w.added_up() + row.names
        };
        let (mut fit, mut beyond) = (sum(&front_max), sum(&|_| Bits::default()) + 1);
        while fit + 1 < beyond {
            let middle = u32::midpoint(fit, beyond);
            if self.first(coder, plan, before, middle) <= room { fit = middle } else { beyond = middle }
        }
        fit
    }

    /// What the first `count` in order take, in the order of the wire, without what ends them. What need not be named
    /// `before` them; nothing if that is not known.
    fn first(&self, coder: Coder, plan: &SectionPlan, mut before: Option<References>, count: u32) -> Bits {
        let mut w = Writer::cost(coder);
        let (mut slot_before, mut kind) = (None, None);
        let mut rest = Bits::default();
        for (weighed, row) in self.rows.iter().zip(&plan.rows).filter(|(weighed, _)| weighed.rank < count) {
            if kind.replace(row.kind) != Some(row.kind) {
                slot_before = None;
            }
            w.flag(true);
            write_slot(&mut w, &mut slot_before, weighed.slot);
            let is_new = before.replace(row.references) != Some(row.references);
            w.seldom(is_new);
            if is_new {
                rest = rest + weighed.names;
            }
            rest = rest + weighed.row;
        }
        w.added_up() + rest
    }
}
