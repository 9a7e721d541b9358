//! From a declaration to columns: every rule that a schema must keep is checked here.

use super::{Audience, AudienceMasks, Column, Declaration, Field, FieldType, Kind, SchemaError};
use crate::limits::{
    CLIENT_MESSAGE_BODY_BYTES_MAX, COLUMNS_PER_CUE_MAX, COLUMNS_PER_KIND_MAX, FIELDS_PER_KIND_MAX, KINDS_MAX,
    MESSAGE_BODY_BYTES_MAX, MESSAGE_TYPES_MAX, NAME_BYTES_MAX,
};
use crate::message::{Direction, MessageClass, Rate};

/// Above this many steps from zero an `f32` no longer tells neighbouring values apart with margin.
const STEPS_MAX: f64 = (1 << 22) as f64;

/// Checks the declaration and lays out the columns of every kind.
pub(super) fn compile(declaration: &mut Declaration) -> Result<(), SchemaError> {
    check_name(&declaration.name)?;
    for (what, kinds) in [("kinds", &mut declaration.kinds), ("cues", &mut declaration.cues)] {
        check_count(what, &declaration.name, kinds.len(), KINDS_MAX)?;
        for (place, kind) in kinds.iter_mut().enumerate() {
            check_place(&kind.name, u16::from(kind.index), place)?;
            compile_kind(kind)?;
            if what == "cues" {
                check_count("columns", &kind.name, kind.columns.len(), COLUMNS_PER_CUE_MAX)?;
            }
        }
    }
    compile_kind(&mut declaration.input)?;
    check_messages(declaration)
}

fn check_messages(declaration: &Declaration) -> Result<(), SchemaError> {
    check_count("message types", &declaration.name, declaration.messages.len(), MESSAGE_TYPES_MAX)?;
    for (place, ty) in declaration.messages.iter().enumerate() {
        check_name(&ty.name)?;
        check_place(&ty.name, ty.id, place)?;
        let goes_up = ty.terms().goes(Direction::ToServer);
        let limit = if goes_up { CLIENT_MESSAGE_BODY_BYTES_MAX } else { MESSAGE_BODY_BYTES_MAX };
        let bytes = ty.terms().bytes_max;
        if bytes as usize > limit {
            return Err(SchemaError::MessageTooLarge { name: ty.name.clone(), bytes, limit });
        }
        let goes_down = ty.terms().goes(Direction::ToClient);
        let limit = if goes_down { CLIENT_MESSAGE_BODY_BYTES_MAX } else { MESSAGE_BODY_BYTES_MAX };
        if ty.class() == MessageClass::Request && ty.response_bytes_max() as usize > limit {
            let (name, bytes) = (ty.name.clone(), ty.response_bytes_max());
            return Err(SchemaError::MessageTooLarge { name, bytes, limit });
        }
        if !ty.rate().is_none_or(Rate::is_sound) {
            return Err(SchemaError::NoRate { name: ty.name.clone() });
        }
        if let Some(action) = ty.permission()
            && (action.is_empty() || action.len() > NAME_BYTES_MAX || action.contains('@'))
        {
            return Err(SchemaError::Permission { name: ty.name.clone(), action: action.to_owned() });
        }
        if ty.class() == MessageClass::Event && goes_up {
            return Err(SchemaError::EventToServer { name: ty.name.clone() });
        }
    }
    Ok(())
}

fn compile_kind(kind: &mut Kind) -> Result<(), SchemaError> {
    check_name(&kind.name)?;
    check_count("fields", &kind.name, kind.fields.len(), FIELDS_PER_KIND_MAX)?;
    let axes = kind.fields.iter().map(axis_count).collect::<Vec<_>>();
    kind.columns.clear();
    kind.masks = AudienceMasks::default();
    for (place, field) in kind.fields.iter_mut().enumerate() {
        check_name(&field.name)?;
        check_place(&field.name, u16::from(field.id.0), place)?;
        let first = kind.columns.len();
        push_columns(field, &axes, &mut kind.columns)?;
        field.columns = first..kind.columns.len();
        check_count("columns", &kind.name, kind.columns.len(), COLUMNS_PER_KIND_MAX)?;
        let mask = field.columns().fold(0, |mask, column| mask | 1 << column);
        match field.audience {
            Audience::All => kind.masks.all |= mask,
            Audience::Team => kind.masks.team |= mask,
            Audience::Owner => kind.masks.owner |= mask,
        }
    }
    let driver_of = |field: &Field| {
        let drives = |other: &&Field| matches!(other.ty, FieldType::Velocity { of, .. } if of == field.id);
        kind.fields.iter().find(drives).map(|driver| driver.id)
    };
    let drivers: Vec<_> = kind.fields.iter().map(driver_of).collect();
    kind.fields.iter_mut().zip(drivers).for_each(|(field, driver)| field.driver = driver);
    let is_beside = |field: &&Field| field.audience == Audience::Owner || field.is_lazy();
    // What drives a field is told beside with it: without, its guess would be another, and a row beside could take more than by itself.
    let columns = |field: &Field| field.columns().fold(0, |mask, column| mask | 1 << column);
    let driver =
        |field: &Field| field.driver.map_or(0, |driver| columns(&kind.fields[usize::from(driver.0)]));
    kind.masks.beside =
        kind.fields.iter().filter(is_beside).fold(0, |mask, field| mask | columns(field) | driver(field));
    let is_velocity = |field: &&Field| matches!(field.ty, FieldType::Velocity { .. });
    let (velocities, others): (Vec<_>, Vec<_>) = kind.fields.iter().partition(is_velocity);
    kind.coding_order = velocities.iter().chain(&others).map(|field| field.id).collect();
    kind.blank = kind.columns.iter().map(|column| 0.clamp(column.min, column.max)).collect();
    kind.is_lazy = kind.fields.iter().any(Field::is_lazy);
    Ok(())
}

/// How many columns the velocity of this field has; 0 where it can have none.
fn axis_count(field: &Field) -> usize {
    match &field.ty {
        FieldType::Position { axes, .. } => axes.len(),
        FieldType::Rotation { .. } => 3,
        FieldType::Angle { .. } => 1,
        _ => 0,
    }
}

fn push_columns(field: &Field, axes: &[usize], columns: &mut Vec<Column>) -> Result<(), SchemaError> {
    let fail = |reason| Err(SchemaError::Field { field: field.name.clone(), reason });
    match &field.ty {
        FieldType::Position { axes, step } => {
            if axes.is_empty() || axes.len() > 3 {
                return fail("a position has 1 to 3 axes");
            }
            for &(min, max) in axes {
                columns.push(lattice(field, min, max, *step)?);
            }
        }
        FieldType::Velocity { of, max, step } => {
            let count = axes.get(usize::from(of.0)).copied().unwrap_or(0);
            if count == 0 {
                return fail("a velocity must be of a position, rotation or angle field of the same kind");
            }
            let column = lattice(field, -max, *max, *step)?;
            columns.extend(core::iter::repeat_n(column, count));
        }
        FieldType::Rotation { bits, lattice } => {
            if !(9..=18).contains(bits) {
                return fail("a rotation takes 9 to 18 bits a component");
            }
            let (min, max) = lattice.bounds(*bits);
            let threshold = threshold_steps(field, 2.0 / f64::from(max - min));
            columns.push(column(field, 0, 3, 0));
            columns.extend([column(field, min, max, threshold); 3]);
        }
        FieldType::Angle { bits } => {
            if !(1..=20).contains(bits) {
                return fail("an angle takes 1 to 20 bits");
            }
            let threshold = threshold_steps(field, core::f64::consts::TAU / f64::from(1 << bits));
            columns.push(Column { wraps: true, ..column(field, 0, (1 << bits) - 1, threshold) });
        }
        FieldType::Scalar { min, max, step } => columns.push(lattice(field, *min, *max, *step)?),
        FieldType::Integer { min, max } => {
            if min > max {
                return fail("the least value is above the greatest");
            }
            columns.push(column(field, *min, *max, threshold_steps(field, 1.0)));
        }
        FieldType::Entity => columns.push(column(field, i32::MIN, i32::MAX, 0)),
    }
    if !(0.0..f64::from(u32::MAX)).contains(&field.threshold) {
        return fail("the threshold must be a number from 0");
    }
    if field.rate_hz == Some(0) {
        return fail("a rate of 0 Hz would never be sent: leave the field out");
    }
    Ok(())
}

/// The column of real values from `min` to `max`, multiples of `step`.
fn lattice(field: &Field, min: f64, max: f64, step: f64) -> Result<Column, SchemaError> {
    let fail = |reason| Err(SchemaError::Field { field: field.name.clone(), reason });
    if !(min.is_finite() && max.is_finite() && step.is_finite() && step > 0.0 && min <= max) {
        return fail("bounds must be finite and in order, the step above 0");
    }
    if !((step as f32).is_normal() && ((1.0 / step) as f32).is_normal()) {
        return fail("the step, and one divided by it, must be numbers that an f32 has: take another unit");
    }
    let (least, greatest) = ((min / step).ceil(), (max / step).floor());
    if least.abs().max(greatest.abs()) > STEPS_MAX {
        return fail(
            "more than 2^22 steps from zero do not fit an f32: take a larger step or smaller bounds",
        );
    }
    if least > greatest {
        return fail("no multiple of the step lies within the bounds");
    }
    Ok(column(field, least as i32, greatest as i32, threshold_steps(field, step)))
}

fn column(field: &Field, min: i32, max: i32, threshold: u32) -> Column {
    let range = max.wrapping_sub(min) as u32;
    let bits = u32::BITS - range.leading_zeros();
    Column { min, max, bits, wraps: false, threshold, rate_hz: field.rate_hz }
}

/// A threshold in the field's unit as whole steps, rounded up.
fn threshold_steps(field: &Field, step: f64) -> u32 {
    (field.threshold / step).ceil() as u32
}

/// Names are printed, and a client has them from a stranger.
fn check_name(name: &str) -> Result<(), SchemaError> {
    let is_fit = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    if is_fit { Ok(()) } else { Err(SchemaError::Name(name.to_owned())) }
}

fn check_place(name: &str, id: u16, place: usize) -> Result<(), SchemaError> {
    if usize::from(id) == place {
        Ok(())
    } else {
        Err(SchemaError::Misplaced { name: name.to_owned(), id, place })
    }
}

fn check_count(what: &'static str, of: &str, count: usize, limit: usize) -> Result<(), SchemaError> {
    if count > limit { Err(SchemaError::TooMany { what, of: of.to_owned(), count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::{CueId, FieldId, KindId, Schema};
    use super::*;

    const P: FieldId = FieldId(0);
    const V: FieldId = FieldId(1);

    fn build(fields: impl IntoIterator<Item = Field>) -> Result<std::sync::Arc<Schema>, SchemaError> {
        Schema::builder("s").kind(Kind::new(KindId(0), "k", fields)).build()
    }

    #[test]
    fn columns_follow_from_fields() {
        let schema = build([
            Field::new(P, "p", FieldType::position([-1.0..=1.0, 0.0..=2.0], 0.25)),
            Field::new(V, "v", FieldType::velocity(P, 1.0, 0.5)).owner_only(),
            Field::new(FieldId(2), "r", FieldType::rotation(9)),
            Field::new(FieldId(3), "a", FieldType::angle(8)),
            Field::new(FieldId(4), "e", FieldType::entity()).team_only(),
        ])
        .unwrap();
        let kind = schema.kind(KindId(0));
        let bounds: Vec<_> = kind.columns().iter().map(|c| (c.min, c.max, c.bits)).collect();
        assert_eq!(bounds[..4], [(-4, 4, 4), (0, 8, 4), (-2, 2, 3), (-2, 2, 3)]);
        assert_eq!(
            bounds[4..],
            [
                (0, 3, 2),
                (-255, 255, 9),
                (-255, 255, 9),
                (-255, 255, 9),
                (0, 255, 8),
                (i32::MIN, i32::MAX, 32)
            ]
        );
        assert_eq!(kind.coding_order().next().unwrap().name, "v", "velocities are coded first");
        assert_eq!(kind.visible(super::super::Sight::Public).0, 0b01_1111_0011);
        assert_eq!(kind.visible(super::super::Sight::Own).0, 0b11_1111_1111);
        assert!(kind.has_team_fields());
    }

    #[test]
    fn a_schema_survives_its_encoding() {
        let schema = Schema::builder("s")
            .kind(Kind::new(
                KindId(0),
                "k",
                [Field::new(P, "p", FieldType::position([0.0..=5.0], 0.1)).rate_hz(10)],
            ))
            .cue(Kind::cue(CueId(0), "c", [Field::new(P, "n", FieldType::integer(-3..=4))]))
            .input([Field::new(P, "jump", FieldType::boolean())])
            .build()
            .unwrap();
        let copy = Schema::decode(schema.encoded()).unwrap();
        assert_eq!(copy.hash(), schema.hash());
        assert_eq!(copy.declaration, schema.declaration);
        for cut in 0..schema.encoded().len() {
            assert!(Schema::decode(&schema.encoded()[..cut]).is_err());
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (build([Field::new(V, "p", FieldType::boolean())]), "stands at place 0"),
            (build([Field::new(P, "", FieldType::boolean())]), "1 to 64 bytes"),
            (build([Field::new(P, "\x1b[2J", FieldType::boolean())]), "\\u{1b}[2J"),
            (build([Field::new(P, "\u{9b}2J", FieldType::boolean())]), "control characters"),
            (build([Field::new(P, "p", FieldType::velocity(V, 1.0, 0.1))]), "must be of a position"),
            (build([Field::new(P, "p", FieldType::rotation(8))]), "9 to 18"),
            (build([Field::new(P, "p", FieldType::scalar(0.0..=1.0, 0.0))]), "step above 0"),
            (build([Field::new(P, "p", FieldType::scalar(0.0..=1e9, 0.001))]), "larger step"),
            (build([Field::new(P, "p", FieldType::scalar(0.1..=0.2, 1.0))]), "no multiple"),
            (build([Field::new(P, "p", FieldType::Integer { min: 1, max: 0 })]), "least value"),
            (build([Field::new(P, "p", FieldType::boolean()).rate_hz(0)]), "never be sent"),
            (build((0..65).map(|id| Field::new(FieldId(id), "p", FieldType::boolean()))), "at most 64"),
        ];
        for (result, part) in cases {
            let text = result.unwrap_err().to_string();
            assert!(text.contains(part), "{text:?} should say {part:?}");
        }
    }
}
