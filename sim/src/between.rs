//! A row between two of its states, field by field: what a client shows, and what a room rewinds to.

use glam::Vec3;
use tickwire_protocol::schema::{ColumnMask, Field, FieldType, Interpolation};
use tickwire_protocol::{RowMut, RowRef};

use crate::blend::{CUBIC_SECONDS_MAX, Moving, angle, hermite, rotation, scalar};

/// A moment between two states of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between {
    /// How far from the older to the newer, 0 to 1.
    pub fraction: f32,
    /// How long the way from one to the other takes, seconds.
    pub seconds: f32,
    /// Whether the older one lasted for a while and then began to move: its velocity is then no part of the way.
    pub is_from_rest: bool,
}

/// Every field of a row between two states, as the schema says: held, or on the way from the older to the newer. Of what is
/// not in `told` nothing is written.
pub fn row(from: RowRef<'_>, to: RowRef<'_>, between: Between, told: ColumnMask, out: &mut RowMut<'_>) {
    let fraction = between.fraction;
    let is_told = |field: &&Field| told.contains(field.columns().start);
    for field in from.kind().fields().iter().filter(is_told) {
        let id = field.id;
        match field.ty {
            _ if field.interpolation == Interpolation::Hold => hold(from, to, between, field, out),
            FieldType::Position { .. } => {
                let velocity = from.kind().velocity_of(id).filter(is_told);
                out.set_vec3(id, position(from, to, between, field, velocity));
            }
            FieldType::Velocity { .. } => {
                out.set_vec3(id, from.vec3(id).lerp(to.vec3(id), fraction));
            }
            FieldType::Scalar { .. } => {
                out.set_scalar(id, scalar(from.scalar(id), to.scalar(id), fraction));
            }
            FieldType::Angle { .. } => {
                out.set_angle(id, angle(from.angle(id), to.angle(id), fraction));
            }
            FieldType::Rotation { .. } => {
                out.set_rotation(id, rotation(from.rotation(id), to.rotation(id), fraction));
            }
            FieldType::Integer { .. } | FieldType::Entity => hold(from, to, between, field, out),
        }
    }
}

/// The older state's value until the newer one's time has come.
fn hold(from: RowRef<'_>, to: RowRef<'_>, between: Between, field: &Field, out: &mut RowMut<'_>) {
    let held = if between.fraction < 1.0 { from } else { to };
    for column in field.columns() {
        out.set_column(column, held.column(column));
    }
}

/// A position between two states: along the cubic if its velocity is told, otherwise along the line.
pub fn position(
    from: RowRef<'_>,
    to: RowRef<'_>,
    between: Between,
    field: &Field,
    velocity: Option<&Field>,
) -> Vec3 {
    let Between { fraction, seconds, is_from_rest } = between;
    let (begin, end) = (from.vec3(field.id), to.vec3(field.id));
    let Some(velocity) = velocity.filter(|_| seconds <= CUBIC_SECONDS_MAX) else {
        return begin.lerp(end, fraction);
    };
    let leaving = if is_from_rest { Vec3::ZERO } else { from.vec3(velocity.id) };
    let begin = Moving { position: begin, velocity: leaving };
    let end = Moving { position: end, velocity: to.vec3(velocity.id) };
    hermite(begin, end, seconds, fraction)
}
