//! A row between two of its states, field by field: what a client shows, and what a room rewinds to.

use glam::Vec3;
use tickwire_protocol::schema::{ColumnMask, Field, FieldType, Interpolation};
use tickwire_protocol::{RowMut, RowRef};

use crate::blend::{CUBIC_SECONDS_MAX, Moving, angle, rotation, scalar, way};

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

/// A state of a row, as somebody was told it. In two states of one row it need not be the same fields: whoever comes to a team is
/// told more from then on.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Its values. Those that were not told may be anything.
    pub row: RowRef<'a>,
    /// The columns that were told.
    pub columns: ColumnMask,
}

impl Told<'_> {
    fn tells(&self, field: &Field) -> bool {
        self.columns.contains(field.columns().start)
    }
}

/// Every field of a row between two states, as the schema says: held, or on the way from the older to the newer. A field that only
/// one of them tells is held. Of what is not told nothing is written.
pub fn row(from: &Told<'_>, to: &Told<'_>, between: &Between, out: &mut RowMut<'_>) {
    let fraction = between.fraction;
    let (older, newer) = (from.row, to.row);
    for field in older.kind().fields() {
        let id = field.id;
        let is_on_its_way =
            from.tells(field) && to.tells(field) && field.interpolation != Interpolation::Hold;
        match field.ty {
            FieldType::Position { .. } if is_on_its_way => {
                out.set_vec3(id, position(from, to, between, field));
            }
            FieldType::Velocity { .. } if is_on_its_way => {
                out.set_vec3(id, older.vec3(id).lerp(newer.vec3(id), fraction));
            }
            FieldType::Scalar { .. } if is_on_its_way => {
                out.set_scalar(id, scalar(older.scalar(id), newer.scalar(id), fraction));
            }
            FieldType::Angle { .. } if is_on_its_way => {
                out.set_angle(id, angle(older.angle(id), newer.angle(id), fraction));
            }
            FieldType::Rotation { .. } if is_on_its_way => {
                out.set_rotation(id, rotation(older.rotation(id), newer.rotation(id), fraction));
            }
            _ => hold(from, to, between, field, out),
        }
    }
}

/// The older state's value until the newer one's time has come; nothing if that does not tell it.
fn hold(from: &Told<'_>, to: &Told<'_>, between: &Between, field: &Field, out: &mut RowMut<'_>) {
    let held = held(from, to, between);
    if held.tells(field) {
        for column in field.columns() {
            out.set_column(column, held.row.column(column));
        }
    }
}

/// The state that lasts.
fn held<'a>(from: &Told<'a>, to: &Told<'a>, between: &Between) -> Told<'a> {
    if between.fraction < 1.0 { *from } else { *to }
}

/// A position between two states: along [`way`] if both tell its velocity, otherwise along the line; held if only one of
/// them tells the position itself.
#[inline]
pub fn position(from: &Told<'_>, to: &Told<'_>, between: &Between, field: &Field) -> Vec3 {
    if from.columns != to.columns && from.tells(field) != to.tells(field) {
        return held(from, to, between).row.vec3(field.id);
    }
    let Between { fraction, seconds, is_from_rest } = *between;
    let (begin, end) = (from.row.vec3_of(field), to.row.vec3_of(field));
    let Some(velocity) = velocity(from, to, field).filter(|_| seconds <= CUBIC_SECONDS_MAX) else {
        return begin.lerp(end, fraction);
    };
    let leaving = if is_from_rest { Vec3::ZERO } else { from.row.vec3_of(velocity) };
    let begin = Moving { position: begin, velocity: leaving };
    let end = Moving { position: end, velocity: to.row.vec3_of(velocity) };
    way(begin, end, seconds, fraction, greatest_speed(velocity))
}

/// The velocity field that drives a position, if both states tell it.
#[inline]
pub fn velocity<'a>(from: &Told<'a>, to: &Told<'_>, field: &Field) -> Option<&'a Field> {
    let velocity = from.row.kind().velocity_of(field.id)?;
    (from.tells(velocity) && to.tells(velocity)).then_some(velocity)
}

/// The greatest that a velocity field can say, units a second along one axis; 0 for other fields.
pub fn greatest_speed(velocity: &Field) -> f32 {
    match velocity.ty {
        FieldType::Velocity { max, .. } => max as f32,
        _ => 0.0,
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "values on the lattice are expected")]
mod tests {
    use super::*;
    use tickwire_protocol::schema::{FieldId, Kind, KindId, Schema, Sight};

    const PLACE: FieldId = FieldId(0);
    const SPEED: FieldId = FieldId(1);
    const HEALTH: FieldId = FieldId(2);

    /// From 10 m to 12 m in 0.1 s, from a standing start to 8 m/s, health from 50 to 90; `secret` is told to the team only. What is
    /// written of each.
    fn shown(secret: FieldId, sights: [Sight; 2], fraction: f32) -> (f32, f32, i32) {
        let fields = [
            Field::new(PLACE, "place", FieldType::position([0.0..=100.0], 0.01)),
            Field::new(SPEED, "speed", FieldType::velocity(PLACE, 30.0, 0.01)),
            Field::new(HEALTH, "health", FieldType::integer(1..=100)),
        ];
        let fields = fields.map(|field| if field.id == secret { field.team_only() } else { field });
        let schema = Schema::builder("s").kind(Kind::new(KindId(0), "kind", fields)).build().unwrap();
        let kind = schema.kind(KindId(0));
        let [mut older, mut newer, mut out] = [[0; 3]; 3];
        for (values, place, speed, health) in [(&mut older, 10.0, 0.0, 50), (&mut newer, 12.0, 8.0, 90)] {
            let mut row = RowMut::new(kind, values);
            row.set_scalar(PLACE, place).set_scalar(SPEED, speed).set_integer(HEALTH, health);
        }
        let mut written = RowMut::new(kind, &mut out);
        written.reset();
        let [from, to] = [(&older, sights[0]), (&newer, sights[1])]
            .map(|(values, sight)| Told { row: RowRef::new(kind, values), columns: kind.visible(sight) });
        let between = Between { fraction, seconds: 0.1, is_from_rest: false };
        row(&from, &to, &between, &mut written);
        let row = RowRef::new(kind, &out);
        let place = row.scalar(PLACE);
        if place > 0.0 {
            let position = position(&from, &to, &between, kind.field(PLACE)).x;
            assert!((position - place).abs() < 0.006, "one place, {position} or {place}");
        }
        (place, row.scalar(SPEED), row.integer(HEALTH))
    }

    #[test]
    fn what_both_states_tell_is_on_its_way() {
        assert_eq!(shown(PLACE, [Sight::Team; 2], 0.5), (10.9, 4.0, 50), "along the cubic");
        assert_eq!(shown(PLACE, [Sight::Public; 2], 0.5), (0.0, 4.0, 50), "what is not told is not there");
    }

    #[test]
    fn what_only_one_state_tells_is_held_while_that_lasts() {
        let (comes, goes) = ([Sight::Public, Sight::Team], [Sight::Team, Sight::Public]);
        assert_eq!([0.25, 1.0].map(|fraction| shown(PLACE, comes, fraction).0), [0.0, 12.0]);
        assert_eq!([0.25, 1.0].map(|fraction| shown(PLACE, goes, fraction).0), [10.0, 0.0]);
        assert_eq!([0.25, 1.0].map(|fraction| shown(HEALTH, comes, fraction).2), [1, 90]);
        assert_eq!([0.25, 1.0].map(|fraction| shown(HEALTH, goes, fraction).2), [50, 1]);
    }

    #[test]
    fn without_its_velocity_in_both_states_a_position_goes_straight() {
        for sights in [[Sight::Public, Sight::Team], [Sight::Team, Sight::Public], [Sight::Public; 2]] {
            assert_eq!(shown(SPEED, sights, 0.5), (11.0, 0.0, 50), "{sights:?}");
        }
    }
}
