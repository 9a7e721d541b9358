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

    /// The guesses for the columns of `field`, of which there are at most 4. `coded` holds this row's columns as far as
    /// they are known.
    pub(super) fn guesses(
        self,
        kind: &Kind,
        field: &Field,
        visible: ColumnMask,
        states: &[State<'_>],
        coded: &[i32],
    ) -> [i32; 4] {
        let mut guesses = [0; 4];
        let Some(baseline) = states.first() else { return guesses };
        let start = &baseline.values[field.columns()];
        guesses[..start.len()].copy_from_slice(start);
        let columns = guesses.iter_mut().zip(&kind.columns()[field.columns()]);
        match self {
            Self::Driven { velocity, factor } => {
                let drivers = kind.field(velocity).columns();
                if visible.contains(drivers.start) {
                    let old_and_new = baseline.values[drivers.clone()].iter().zip(&coded[drivers]);
                    for ((guess, column), (old, new)) in columns.zip(old_and_new) {
                        *guess = within(column, *guess, driven(*old, *new, factor, baseline.distance));
                    }
                }
            }
            Self::Continued => {
                if let Some(older) = states.get(1).filter(|older| older.distance > baseline.distance) {
                    for ((guess, column), old) in columns.zip(&older.values[field.columns()]) {
                        let way = (i64::from(*guess) - i64::from(*old)) * i64::from(baseline.distance);
                        *guess = within(column, *guess, way / i64::from(older.distance - baseline.distance));
                    }
                }
            }
            Self::Still => {}
        }
        guesses
    }
}

/// Steps that the mean of the old and the new velocity makes over the exact time between.
fn driven(old: i32, new: i32, factor: i64, distance: u32) -> i64 {
    let velocities = (i64::from(old) + i64::from(new)) * i64::from(distance);
    let steps = i128::from(velocities) * i128::from(factor);
    let rounded = (steps + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
    rounded.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i64
}

/// Where a move ends, brought into the column's bounds, around the circle if it is one.
fn within(column: &Column, start: i32, moved: i64) -> i32 {
    let guess = i64::from(start) + moved;
    if column.wraps {
        (guess & i64::from(column.max)) as i32
    } else {
        guess.clamp(i64::from(column.min), i64::from(column.max)) as i32
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Debug;
    use core::str::FromStr;

    use super::super::page;
    use super::*;
    use crate::schema::{KindId, Schema, Sight};

    const P: FieldId = FieldId(0);

    /// The guess for the first column of field 0. States as (distance, values), newest first.
    fn guess(hz: u32, fields: Vec<Field>, states: &[(u32, &[i32])], coded: &[i32]) -> i32 {
        let schema = Schema::builder("p").kind(Kind::new(KindId(0), "k", fields)).build().unwrap();
        let kind = schema.kind(KindId(0));
        let states: Vec<_> = states.iter().map(|&(distance, values)| State { distance, values }).collect();
        let motion = Motion::of(kind, kind.field(P), TickRate::new(hz).unwrap());
        motion.guesses(kind, kind.field(P), kind.visible(Sight::Public), &states, coded)[0]
    }

    fn position(bounds: &[i32], step: f64) -> Field {
        let bound = |steps: i32| f64::from(steps) * step;
        Field::new(P, "p", FieldType::position([bound(bounds[0])..=bound(bounds[1])], step))
    }

    fn velocity(step: f64) -> Field {
        Field::new(FieldId(1), "v", FieldType::velocity(P, 1000.0 * step, step))
    }

    fn numbers<T: FromStr<Err: Debug>>(text: &str) -> Vec<T> {
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn velocity_moves_as_the_page_says() {
        for (left, right) in page::rows("guess driven") {
            let [rates, state, bounds] = left.split(", ").collect::<Vec<_>>().try_into().unwrap();
            let moved = match rates.split_once(" bits") {
                Some((rate_and_bits, _)) => Field::new(P, "p", FieldType::angle(numbers(rate_and_bits)[1])),
                None => position(&numbers(bounds), numbers(rates)[1]),
            };
            let velocity = velocity(rates.split(' ').next_back().unwrap().parse().unwrap());
            let hz = rates.split(' ').next().unwrap().parse().unwrap();
            let [b, v0, v1, n] = numbers(state).try_into().unwrap();
            let guess = guess(hz, vec![moved, velocity], &[(n as u32, &[b, v0])], &[0, v1]);
            assert_eq!(guess.to_string(), right, "{left}");
        }
    }

    #[test]
    fn what_has_no_velocity_goes_on_as_the_page_says() {
        for (left, right) in page::rows("guess continued") {
            let [newest, older, bounds] = left.split(", ").collect::<Vec<_>>().try_into().unwrap();
            let [newest, older]: [Vec<i32>; 2] = [newest, older].map(numbers);
            let states = [(newest[1] as u32, &newest[..1]), (older[1] as u32, &older[..1])];
            let guess = guess(60, vec![position(&numbers(bounds), 0.5)], &states, &[0]);
            assert_eq!(guess.to_string(), right, "{left}");
        }
    }

    #[test]
    fn without_a_second_state_or_a_visible_velocity_things_stay() {
        assert_eq!(guess(60, vec![position(&[0, 100], 0.5)], &[(3, &[77])], &[0]), 77);
        let hidden = vec![position(&[0, 100], 0.5), velocity(0.5).owner_only()];
        assert_eq!(guess(60, hidden, &[(3, &[77, 50]), (6, &[70, 50])], &[0, 50]), 77);
    }
}
