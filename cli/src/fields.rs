//! Rows in words: their fields by name, in the game's own terms.

use serde_json::{Value, json};
use tickwire_protocol::RowRef;
use tickwire_protocol::schema::{Field, FieldType, Kind, Sight};

/// The fields that are told, in the game's own terms.
pub(crate) fn fields_value(kind: &Kind, sight: Sight, values: &[i32]) -> Value {
    let visible = kind.visible(sight);
    let told = kind.fields().iter().filter(|field| field.columns().all(|column| visible.contains(column)));
    named_values(RowRef::new(kind, values), told)
}

/// These fields of a row, each with its name. A list keeps the schema's order.
pub(crate) fn named_values<'a>(row: RowRef<'_>, fields: impl Iterator<Item = &'a Field>) -> Value {
    fields.map(|field| json!([field.name, field_value(row, field)])).collect()
}

fn field_value(row: RowRef<'_>, field: &Field) -> Value {
    // Steps of a lattice have no more digits than this; what is behind them is noise of `f32`.
    let rounded = |value: f32| json!((f64::from(value) * 1e5).round() / 1e5);
    match field.ty {
        FieldType::Position { .. } | FieldType::Velocity { .. } => {
            let axes = row.vec3(field.id).to_array();
            axes.into_iter().take(field.columns().len()).map(rounded).collect()
        }
        FieldType::Rotation { .. } => row.rotation(field.id).to_array().into_iter().map(rounded).collect(),
        FieldType::Angle { .. } => rounded(row.angle(field.id)),
        FieldType::Scalar { .. } => rounded(row.scalar(field.id)),
        FieldType::Integer { .. } => json!(row.integer(field.id)),
        FieldType::Entity => json!(row.entity(field.id).map(|entity| entity.to_string())),
    }
}
