//! What a field will be, guessed from published states that both ends hold.
//!
//! Integers only, so both ends guess alike on every target. A guess never needs to be right: the coder sends the
//! difference. It may use the columns of this row that are coded before (velocities) and the states that the row
//! names, and nothing else (law 6).

use crate::schema::{Column, ColumnMask, Field, FieldId, FieldType, Kind};
use crate::time::TickRate;

/// Bits of fraction in a [`Motion`] factor.
const FRACTION_BITS: u32 = 32;

/// How a field follows from others, worked out once per schema and tick rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Motion {
    /// It stays as it was.
    Still,
    /// It moves with a velocity field: steps of this field, per step of that and tick, halved; fixed point.
    Driven { velocity: FieldId, factor: i64 },
    /// It goes on as it went between the two newest named states.
    Continued,
}

/// One published state that a row names.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    /// Ticks from the state to the row, 1 to 127.
    pub(super) distance: u32,
    /// Its columns, side by side.
    pub(super) values: &'a [i32],
}

impl Motion {
    /// How `field` of `kind` moves at this tick rate.
    pub(super) fn of(kind: &Kind, field: &Field, rate: TickRate) -> Self {
        let velocity = kind.velocity_of(field.id);
        let field_step = match field.ty {
            FieldType::Position { step, .. } => step,
            FieldType::Angle { bits } => core::f64::consts::TAU / f64::from(1_u32 << bits),
            _ => return Self::Still,
        };
        match velocity.map(|velocity| (velocity.id, &velocity.ty)) {
            Some((velocity, FieldType::Velocity { step, .. })) => {
                let per_tick = step / field_step / f64::from(rate.hz()) / 2.0;
                let factor = (per_tick * (1_u64 << FRACTION_BITS) as f64).round();
                Self::Driven { velocity, factor: factor as i64 }
            }
            _ if matches!(field.ty, FieldType::Position { .. }) => Self::Continued,
            _ => Self::Still,
        }
    }

    /// The guess for the `axis`-th column of `field`. `coded` holds this row's columns as far as they are known.
    pub(super) fn guess(
        self,
        kind: &Kind,
        field: &Field,
        axis: usize,
        visible: ColumnMask,
        states: &[State<'_>],
        coded: &[i32],
    ) -> i32 {
        let column = field.columns().start + axis;
        let Some(baseline) = states.first() else { return 0 };
        let start = baseline.values[column];
        let moved = match self {
            Self::Still => 0,
            Self::Driven { velocity, factor } => {
                let driver = kind.field(velocity).columns().start + axis;
                if !visible.contains(driver) {
                    return start;
                }
                // The mean of the old and the new velocity over the exact time between.
                let velocities = i64::from(baseline.values[driver]) + i64::from(coded[driver]);
                let steps = i128::from(velocities) * i128::from(factor) * i128::from(baseline.distance);
                let rounded = (steps + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
                rounded.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i64
            }
            Self::Continued => match states.get(1) {
                Some(older) if older.distance > baseline.distance => {
                    let way = i64::from(start) - i64::from(older.values[column]);
                    way * i64::from(baseline.distance) / i64::from(older.distance - baseline.distance)
                }
                _ => 0,
            },
        };
        within(&kind.columns()[column], i64::from(start) + moved)
    }
}

/// A guess brought into the column's bounds, around the circle if it is one.
fn within(column: &Column, guess: i64) -> i32 {
    if column.wraps {
        (guess & i64::from(column.max)) as i32
    } else {
        guess.clamp(i64::from(column.min), i64::from(column.max)) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{KindId, Schema, Sight};

    const P: FieldId = FieldId(0);

    fn guess(fields: Vec<Field>, states: &[(u32, &[i32])], coded: &[i32]) -> i32 {
        let schema = Schema::builder("p").kind(Kind::new(KindId(0), "k", fields)).build().unwrap();
        let kind = schema.kind(KindId(0));
        let states: Vec<_> = states.iter().map(|&(distance, values)| State { distance, values }).collect();
        let motion = Motion::of(kind, kind.field(P), TickRate::new(60).unwrap());
        motion.guess(kind, kind.field(P), 0, kind.visible(Sight::Public), &states, coded)
    }

    fn driven() -> Vec<Field> {
        vec![
            Field::new(P, "p", FieldType::position([-50.0..=50.0], 0.01)),
            Field::new(FieldId(1), "v", FieldType::velocity(P, 20.0, 0.1)),
        ]
    }

    #[test]
    fn velocity_moves_a_position() {
        // 6 m/s before and now, three ticks: 0.3 m = 30 steps.
        assert_eq!(guess(driven(), &[(3, &[1000, 60])], &[0, 60]), 1030);
        assert_eq!(guess(driven(), &[(3, &[1000, -60])], &[0, -60]), 970);
        assert_eq!(guess(driven(), &[(3, &[1000, 60])], &[0, 0]), 1015, "the mean of both ends");
        assert_eq!(guess(driven(), &[(127, &[4990, 200])], &[0, 200]), 5000, "never out of bounds");
    }

    #[test]
    fn two_states_show_motion_without_a_velocity() {
        let fields = || vec![Field::new(P, "p", FieldType::position([-50.0..=50.0], 0.01))];
        assert_eq!(guess(fields(), &[(3, &[100]), (6, &[70])], &[0]), 130);
        assert_eq!(guess(fields(), &[(3, &[100])], &[0]), 100);
        assert_eq!(guess(fields(), &[], &[0]), 0);
    }

    #[test]
    fn angles_turn_around_the_circle() {
        let fields = vec![
            Field::new(P, "a", FieldType::angle(8)),
            Field::new(FieldId(1), "w", FieldType::velocity(P, 100.0, 0.1)),
        ];
        // 30 radians a second for six ticks is 3 radians, 122 of 256 steps.
        assert_eq!(guess(fields, &[(6, &[200, 300])], &[0, 300]), (200 + 122) % 256);
    }
}
