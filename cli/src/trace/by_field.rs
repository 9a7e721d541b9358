//! Where the bits of a run went: by field, by entity, and what belongs to neither.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tickwire_protocol::schema::{FieldId, KindId, Schema};

/// Entities that are listed for people; the others are summed up.
const ENTITIES_SHOWN: usize = 10;

/// Bits that one thing in a frame took. With entropy coding they are a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) kind: KindId,
    pub(crate) slot: u16,
    pub(crate) part: Part,
    pub(crate) bits: f64,
}

/// What of an entity the bits are for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Part {
    /// Which entity it is, whether it changed, rests or jumped, what it names.
    Header,
    /// A field's value.
    Field(FieldId),
}

/// Sums up shares, frame by frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    fields: BTreeMap<(KindId, Part), f64>,
    entities: BTreeMap<(KindId, u16), f64>,
    /// Bits of the frames that belong to no entity: frame header, tick, and the rounding to whole bytes.
    frames: f64,
    /// Of the frame that is being told of.
    told: f64,
}

/// A tally with names, sorted: what took most comes first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ByField {
    pub(crate) fields: Vec<FieldBits>,
    pub(crate) entities: Vec<EntityBits>,
    /// Frame header, tick, and the rounding to whole bytes.
    pub(crate) frame_header_and_rounding: f64,
    /// The sum of the fields and the frame part; so is that of the entities and the frame part.
    pub(crate) total: f64,
}

/// Bits of a field of a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FieldBits {
    pub(crate) kind: String,
    pub(crate) field: String,
    pub(crate) bits: f64,
    pub(crate) bits_per_update: f64,
}

/// Bits of an entity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct EntityBits {
    pub(crate) kind: String,
    pub(crate) slot: u16,
    pub(crate) bits: f64,
}

impl Tally {
    /// Something in the frame took so many bits.
    pub(crate) fn tell(&mut self, share: Share) {
        let Share { kind, slot, part, bits } = share;
        *self.fields.entry((kind, part)).or_default() += bits;
        *self.entities.entry((kind, slot)).or_default() += bits;
        self.told += bits;
    }

    /// All of the frame was told of: the rest of its bytes belongs to nobody.
    pub(crate) fn end_frame(&mut self, frame_bytes: usize) {
        self.frames += 8.0 * frame_bytes as f64 - std::mem::take(&mut self.told);
    }

    /// The sums with names. `frame_bytes` are those of all frames together: the total, to the last bit.
    pub(crate) fn finish(&self, schema: &Schema, updates: u64, frame_bytes: u64) -> ByField {
        let name = |kind: KindId| schema.kind(kind).name().to_owned();
        let mut fields: Vec<_> = self
            .fields
            .iter()
            .map(|(&(kind, part), &bits)| FieldBits {
                kind: name(kind),
                field: match part {
                    Part::Header => "(header)".to_owned(),
                    Part::Field(id) => schema.kind(kind).field(id).name.clone(),
                },
                bits,
                bits_per_update: bits / updates as f64,
            })
            .collect();
        fields.sort_by(|a, b| b.bits.total_cmp(&a.bits));
        let mut entities: Vec<_> = self
            .entities
            .iter()
            .map(|(&(kind, slot), &bits)| EntityBits { kind: name(kind), slot, bits })
            .collect();
        entities.sort_by(|a, b| b.bits.total_cmp(&a.bits));
        let total = 8.0 * frame_bytes as f64;
        // Summed over millions of shares floats drift by some 1e-9 bits; what is shown adds up to the total.
        let told: f64 = fields.iter().map(|field| field.bits).sum();
        debug_assert!((total - told - self.frames).abs() < 1.0, "every frame was ended");
        ByField { fields, entities, frame_header_and_rounding: total - told, total }
    }
}

impl fmt::Display for ByField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |bits: f64| 100.0 * bits / self.total;
        writeln!(f, "  {:<32} {:>14} {:>12} {:>7}", "field", "bits", "bits/update", "share")?;
        for FieldBits { kind, field, bits, bits_per_update } in &self.fields {
            let name = format!("{kind}.{field}");
            writeln!(f, "  {name:<32} {bits:>14.1} {bits_per_update:>12.3} {:>6.2}%", percent(*bits))?;
        }
        let rest = self.frame_header_and_rounding;
        writeln!(f, "  {:<32} {rest:>14.1} {:>12} {:>6.2}%", "frame header and rounding", "", percent(rest))?;
        writeln!(f, "  {:<32} {:>14.1} {:>12} {:>6.2}%", "total", self.total, "", 100.0)?;
        writeln!(f, "  {:<32} {:>14} {:>12} {:>7}", "entity", "bits", "", "share")?;
        let (shown, others) = self.entities.split_at(ENTITIES_SHOWN.min(self.entities.len()));
        for EntityBits { kind, slot, bits } in shown {
            let name = format!("{kind} {slot}");
            writeln!(f, "  {name:<32} {bits:>14.1} {:>12} {:>6.2}%", "", percent(*bits))?;
        }
        if !others.is_empty() {
            let bits: f64 = others.iter().map(|entity| entity.bits).sum();
            let name = format!("{} others", others.len());
            writeln!(f, "  {name:<32} {bits:>14.1} {:>12} {:>6.2}%", "", percent(bits))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::schema::{Field, FieldType, Kind};

    #[test]
    fn every_bit_is_accounted_for() {
        let fields = [Field::new(FieldId(0), "n", FieldType::boolean())];
        let schema = Schema::builder("s").kind(Kind::new(KindId(0), "k", fields)).build().unwrap();
        let mut tally = Tally::default();
        let share = |slot, part, bits| Share { kind: KindId(0), slot, part, bits };
        for slot in 0..12 {
            tally.tell(share(slot, Part::Header, 1.0));
            tally.tell(share(slot, Part::Field(FieldId(0)), 0.25 * f64::from(slot)));
        }
        tally.end_frame(5);
        tally.tell(share(3, Part::Field(FieldId(0)), 7.0));
        tally.end_frame(2);
        let by_field = tally.finish(&schema, 10, 7);
        // Quarters of bits: floats hold their sums exactly.
        let quarters = |bits: f64| (4.0 * bits) as i64;
        assert_eq!(quarters(by_field.total), 4 * 56);
        assert_eq!(quarters(by_field.frame_header_and_rounding), 4 * (56 - 12 - 7) - 66);
        let fields: f64 = by_field.fields.iter().map(|field| field.bits).sum();
        let entities: f64 = by_field.entities.iter().map(|entity| entity.bits).sum();
        assert_eq!(quarters(fields + by_field.frame_header_and_rounding), quarters(by_field.total));
        assert_eq!(quarters(entities), quarters(fields));
        let (first, entity) = (&by_field.fields[0], &by_field.entities[0]);
        assert_eq!((first.field.as_str(), quarters(10.0 * first.bits_per_update)), ("n", 94));
        assert_eq!((entity.slot, quarters(entity.bits)), (3, 35));
        let text = by_field.to_string();
        for part in ["k.n", "k.(header)", "frame header and rounding", "2 others", "100.00%"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
