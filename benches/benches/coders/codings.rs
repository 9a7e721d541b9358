//! Codings of differences: Tickwire's own, and what is usually written by hand.

use tickwire_benches::recorded::Writer;
use tickwire_protocol::DecodeError;
use tickwire_protocol::bits::{BitReader, BitWriter};
use tickwire_protocol::schema::{Column, Kind, Sight};
use tickwire_protocol::snapshot::{Codec, DecodedSnapshot};

use crate::contest::{Case, Coding, KIND, Told};

pub(crate) struct Tickwire {
    name: &'static str,
    writer: Writer,
    decoded: DecodedSnapshot,
}

impl Tickwire {
    pub(crate) fn new(name: &'static str, codec: Codec) -> Self {
        Self { name, writer: Writer::new(codec), decoded: DecodedSnapshot::default() }
    }
}

impl<R> Coding<R> for Tickwire {
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode(&mut self, case: &Case<R>, out: &mut Vec<u8>) {
        self.writer.write(&case.moment, &case.moment.plan, out);
    }

    fn decode(&mut self, case: &Case<R>, payload: &[u8]) {
        case.moment.read(self.writer.codec(), payload, &mut self.decoded);
    }

    fn told(&self) -> Vec<Told> {
        let visible = self.writer.codec().schema().kind(KIND).visible(Sight::Public);
        let rows = self.decoded.view.rows.iter();
        let told = rows.map(|row| {
            let values = self.decoded.view.values[row.values.clone()].iter().enumerate();
            let public = values.filter(|(column, _)| visible.contains(*column)).map(|(_, value)| *value);
            (row.id.slot, public.collect())
        });
        told.collect()
    }
}

/// A delta in bits, as many games have one: per row the gap to the slot before and a mask of the columns that changed;
/// per changed column one of four widths, and the difference to the snapshot before or, in the widest, the value.
pub(crate) struct PlainDelta {
    shapes: Vec<Column>,
    slots: Vec<u16>,
    /// The columns of all rows read last.
    values: Vec<i32>,
}

/// Bits of a difference; the fourth width is that of the column.
const WIDTHS: [u32; 3] = [4, 7, 10];

impl PlainDelta {
    pub(crate) fn new(kind: &Kind) -> Self {
        let visible = kind.visible(Sight::Public);
        let columns = kind.columns().iter().enumerate();
        let shapes = columns.filter(|(column, _)| visible.contains(*column)).map(|(_, shape)| *shape);
        Self { shapes: shapes.collect(), slots: Vec::new(), values: Vec::new() }
    }

    fn write(&self, told: &[Told], held: &[Vec<i32>], w: &mut BitWriter<'_>) {
        w.gamma(told.len() as u32);
        let mut next_slot = 0;
        for (slot, values) in told {
            let old = &held[usize::from(*slot)];
            w.gamma(u32::from(*slot) - next_slot);
            next_slot = u32::from(*slot) + 1;
            let mask =
                old.iter().zip(values).rev().fold(0, |mask, (old, new)| mask << 1 | u32::from(old != new));
            w.bits(mask, values.len() as u32);
            let columns = self.shapes.iter().zip(old.iter().zip(values));
            for (shape, (old, new)) in columns.filter(|(_, (old, new))| old != new) {
                let folded = fold(shape, *new, *old);
                if let Some(class) = WIDTHS.iter().position(|width| folded >> width == 0) {
                    w.bits(class as u32, 2);
                    w.bits(folded, WIDTHS[class]);
                } else {
                    w.bits(WIDTHS.len() as u32, 2);
                    w.bits(new.wrapping_sub(shape.min) as u32, shape.bits);
                }
            }
        }
    }

    fn read(&mut self, held: &[Vec<i32>], payload: &[u8]) -> Result<(), DecodeError> {
        let what = "plain delta";
        let mut r = BitReader::new(payload);
        let mut next_slot = 0;
        self.slots.clear();
        self.values.clear();
        for _ in 0..r.gamma(what)? {
            let slot = next_slot + r.gamma(what)?;
            next_slot = slot + 1;
            let old = held.get(slot as usize).filter(|old| !old.is_empty());
            let old = old.ok_or(DecodeError::Invalid { what, value: u64::from(slot) })?;
            self.slots.push(slot as u16);
            let mask = r.bits(self.shapes.len() as u32, what)?;
            for (column, (shape, old)) in self.shapes.iter().zip(old).enumerate() {
                if mask >> column & 1 == 0 {
                    self.values.push(*old);
                    continue;
                }
                let value = match WIDTHS.get(r.bits(2, what)? as usize) {
                    Some(width) => unfold(shape, r.bits(*width, what)?, *old),
                    None => shape.min.wrapping_add(r.bits(shape.bits, what)? as i32),
                };
                if value < shape.min || value > shape.max {
                    return Err(DecodeError::OutOfBounds { kind: 0, column: column as u8 });
                }
                self.values.push(value);
            }
        }
        r.finish(what)
    }
}

impl<R> Coding<R> for PlainDelta {
    fn name(&self) -> &'static str {
        "delta in bits"
    }

    fn encode(&mut self, case: &Case<R>, out: &mut Vec<u8>) {
        let mut w = BitWriter::new(out);
        self.write(&case.told, &case.held, &mut w);
        w.finish();
    }

    fn decode(&mut self, case: &Case<R>, payload: &[u8]) {
        if let Err(error) = self.read(&case.held, payload) {
            panic!("a plain delta cannot be read: {error}");
        }
    }

    fn told(&self) -> Vec<Told> {
        let rows = self.values.chunks(self.shapes.len()).map(<[i32]>::to_vec);
        self.slots.iter().copied().zip(rows).collect()
    }
}

/// A difference as a small number, whatever its sign; the shorter way around a circle.
fn fold(shape: &Column, new: i32, old: i32) -> u32 {
    let mut way = new.wrapping_sub(old);
    if shape.wraps {
        let unused = u32::BITS - shape.bits;
        way = way << unused >> unused;
    }
    (way << 1 ^ way >> 31) as u32
}

fn unfold(shape: &Column, folded: u32, old: i32) -> i32 {
    let new = old.wrapping_add((folded >> 1) as i32 ^ -((folded & 1) as i32));
    if shape.wraps { new & shape.max } else { new }
}
