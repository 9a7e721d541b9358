//! Between the game's floats and the schema's integers.
//!
//! Everything here is IEEE `+ - * / sqrt` and rounding in a fixed order: the same bits on every target. Quantizing
//! what was dequantized gives the same integers again, so a simulation that continues from wire values is stable.

use core::f64::consts::TAU;

use glam::Quat;

use crate::schema::{Column, RotationLattice};

/// The lattice point nearest to `value`, within the column's bounds. NaN counts as 0.
#[inline]
pub fn lattice(value: f32, step: f64, column: &Column) -> i32 {
    nearest(f64::from(value) / step).clamp(column.min, column.max)
}

/// The integer nearest to `value`, of two as near the one further from 0. What is beyond an `i32` counts as its bound, NaN as 0.
///
/// As `round`, without its call: where the instruction set has no such rounding that takes ten times as long.
#[inline]
fn nearest(value: f64) -> i32 {
    (value + JUST_BELOW_HALF.copysign(value)) as i32
}

/// The greatest number below 1/2: with 1/2 itself the sum would be rounded up for that number.
const JUST_BELOW_HALF: f64 = 0.5 - f64::EPSILON / 4.0;

/// The value of a lattice point.
#[inline]
pub fn lattice_value(point: i32, step: f64) -> f32 {
    (f64::from(point) * step) as f32
}

/// An angle in radians as a part of the circle in `0..2^bits`. NaN and infinities count as 0.
pub fn angle(radians: f32, bits: u8) -> i32 {
    let steps = f64::from(1_u32 << bits);
    let point = f64::from(radians) / TAU * steps;
    if point.abs() < f64::from(i32::MAX) {
        nearest(point) & ((1 << bits) - 1)
    } else {
        many_turns(point, bits)
    }
}

/// So many turns that they are not counted in an `i32`.
#[cold]
fn many_turns(point: f64, bits: u8) -> i32 {
    let point = point.round() % f64::from(1_u32 << bits);
    if point.is_nan() { 0 } else { point as i32 & ((1 << bits) - 1) }
}

/// The angle of a part of the circle, in radians from -π (included) to π.
#[inline]
pub fn angle_value(point: i32, bits: u8) -> f32 {
    let half = 1 << (bits - 1);
    let centered = ((point + half) & ((1 << bits) - 1)) - half;
    (f64::from(centered) / f64::from(1_u32 << bits) * TAU) as f32
}

/// A rotation as (index of the largest component, the other three in xyzw order); "smallest three".
///
/// The largest component is made positive and left out. A quaternion that is not finite or has no length counts as the
/// identity.
///
/// Source: Glenn Fiedler, "Snapshot Compression" (2015).
pub fn rotation(rotation: Quat, bits: u8, lattice: RotationLattice) -> [i32; 4] {
    // Where two components are nearly equal, rounding can make the other one the larger, and back. Follow to where
    // it holds still, or take the least of the few it wanders between, so that a rotation at rest stays at rest.
    let next = |packed| smallest_three(rotation_value(packed, bits, lattice), bits, lattice);
    let mut packed = smallest_three(rotation, bits, lattice);
    let mut least = packed;
    for step in 0..8 {
        let following = next(packed);
        if following == packed {
            return packed;
        }
        packed = following;
        least = if step < 4 { packed } else { least.min(packed) };
    }
    least
}

fn smallest_three(rotation: Quat, bits: u8, lattice: RotationLattice) -> [i32; 4] {
    let length_squared = rotation.length_squared();
    let components = if length_squared.is_finite() && length_squared > 1e-12 {
        (rotation * (1.0 / length_squared.sqrt())).to_array()
    } else {
        Quat::IDENTITY.to_array()
    };
    let mut largest = 3;
    for index in (0..3).rev() {
        if components[index].abs() > components[largest].abs() {
            largest = index;
        }
    }
    let (min, max) = lattice.bounds(bits);
    let scale = f64::from(components[largest].signum()) / lattice.step(bits);
    let zero = lattice.zero(bits);
    let point = |index: usize| nearest(f64::from(components[index]) * scale + zero).clamp(min, max);
    let [a, b, c] = others(largest);
    [largest as i32, point(a), point(b), point(c)]
}

/// The rotation of four columns that are within their bounds; always of unit length.
#[inline]
pub fn rotation_value(packed: [i32; 4], bits: u8, lattice: RotationLattice) -> Quat {
    let (zero, step) = (lattice.zero(bits), lattice.step(bits));
    let [largest, points @ ..] = packed;
    let [a, b, c] = points.map(|point| (f64::from(point) - zero) * step);
    let squares = a * a + b * b + c * c;
    if squares > 1.0 {
        return beyond_unit(largest, [a, b, c], squares);
    }
    with_largest(largest, [a, b, c], (1.0 - squares).sqrt())
}

/// Three components near their bound can exceed unit length (hostile bytes, or rounding at a tie).
#[cold]
fn beyond_unit(largest: i32, components: [f64; 3], squares: f64) -> Quat {
    with_largest(largest, components.map(|component| component / squares.sqrt()), 0.0)
}

#[inline]
fn with_largest(largest: i32, components: [f64; 3], rest: f64) -> Quat {
    let [a, b, c] = components.map(|component| component as f32);
    let rest = rest as f32;
    match largest {
        ..=0 => Quat::from_xyzw(rest, a, b, c),
        1 => Quat::from_xyzw(a, rest, b, c),
        2 => Quat::from_xyzw(a, b, rest, c),
        3.. => Quat::from_xyzw(a, b, c, rest),
    }
}

/// The indices that are left without `largest`, in order.
fn others(largest: usize) -> [usize; 3] {
    match largest {
        0 => [1, 2, 3],
        1 => [0, 2, 3],
        2 => [0, 1, 3],
        _ => [0, 1, 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::RotationLattice::{Full, WithZero};
    use proptest::prelude::*;

    fn column(min: i32, max: i32) -> Column {
        Column { min, max, bits: 32, wraps: false, threshold: 0, rate_hz: None }
    }

    #[test]
    fn the_unreal_is_clamped() {
        let bounds = column(-5, 7);
        assert_eq!(lattice(f32::NAN, 0.1, &bounds), 0);
        assert_eq!(lattice(f32::INFINITY, 0.1, &bounds), 7);
        assert_eq!(lattice(f32::NEG_INFINITY, 0.1, &bounds), -5);
        assert_eq!(lattice(f32::NAN, 0.1, &column(3, 7)), 3);
        assert_eq!(angle(f32::NAN, 8), 0);
        assert_eq!(angle(f32::INFINITY, 8), 0);
        assert_eq!(rotation(Quat::from_xyzw(f32::NAN, 0.0, 0.0, 1.0), 9, WithZero), [3, 0, 0, 0]);
        assert_eq!(rotation(Quat::from_xyzw(0.0, 0.0, 0.0, 0.0), 9, WithZero), [3, 0, 0, 0]);
    }

    #[test]
    fn opposite_quaternions_are_one_rotation() {
        let q = Quat::from_xyzw(0.1, -0.7, 0.3, 0.4).normalize();
        assert_eq!(rotation(q, 12, WithZero), rotation(-q, 12, WithZero));
        assert_eq!(rotation_value(rotation(Quat::IDENTITY, 9, WithZero), 9, WithZero), Quat::IDENTITY);
    }

    #[test]
    fn ties_and_their_neighbours_are_rounded_as_by_round() {
        let ties = (0..200).map(|n| f64::from(n) / 2.0).chain([2_147_483_646.5, 2_147_483_647.5, 1e300]);
        for tie in ties {
            for value in [tie.next_down(), tie, tie.next_up()] {
                assert_eq!(
                    [nearest(value), nearest(-value)],
                    [value.round() as i32, -value.round() as i32],
                    "{value:e}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn nearest_is_round(value in -3e9_f64..3e9, small in -10.0_f64..10.0) {
            prop_assert_eq!(nearest(value), value.round() as i32);
            prop_assert_eq!(nearest(small), small.round() as i32);
        }

        #[test]
        fn any_number_of_turns_is_taken_modulo(turns in -1e12_f32..1e12, bits in 1_u8..=20) {
            let steps = f64::from(1_u32 << bits);
            let expected = (f64::from(turns) / TAU * steps).round().rem_euclid(steps) as i32;
            prop_assert_eq!(angle(turns, bits), expected);
        }

        #[test]
        fn lattice_errs_by_half_a_step_and_is_stable(value in -1000.0_f32..1000.0, step in 0.001..1.0_f64) {
            let bounds = column(-(1 << 22), 1 << 22);
            let point = lattice(value, step, &bounds);
            let back = lattice_value(point, step);
            prop_assert!((f64::from(back) - f64::from(value)).abs() <= step / 2.0 + 1e-4);
            prop_assert_eq!(lattice(back, step, &bounds), point);
        }

        #[test]
        fn angles_err_by_half_a_step_and_are_stable(radians in -100.0_f32..100.0, bits in 1_u8..=20) {
            let point = angle(radians, bits);
            let back = angle_value(point, bits);
            let turns = f64::from(back - radians) / TAU;
            let error = (turns - turns.round()).abs() * TAU;
            prop_assert!(error <= TAU / f64::from(2_u32 << bits) + 2e-5, "{error}");
            prop_assert_eq!(angle(back, bits), point);
        }

        #[test]
        fn rotations_err_little_and_are_stable(
            x in -1.0_f32..1.0, y in -1.0_f32..1.0, z in -1.0_f32..1.0, w in -1.0_f32..1.0, bits in 9_u8..=18
        ) {
            let q = Quat::from_xyzw(x, y, z, w);
            prop_assume!(q.length() > 0.01);
            check_rotation(q.normalize(), bits)?;
        }

        #[test]
        fn rotations_at_ties_are_stable(
            signs in prop::array::uniform4(-1_i8..=1), jitter in prop::array::uniform4(-1e-4_f32..1e-4), bits in 9_u8..=18
        ) {
            let tie = |index: usize| f32::from(signs[index]) + jitter[index];
            let q = Quat::from_xyzw(tie(0), tie(1), tie(2), tie(3));
            prop_assume!(q.length() > 0.5);
            check_rotation(q.normalize(), bits)?;
        }
    }

    fn check_rotation(q: Quat, bits: u8) -> Result<(), TestCaseError> {
        for lattice in [WithZero, Full] {
            check_rotation_on(q, bits, lattice)?;
        }
        Ok(())
    }

    fn check_rotation_on(q: Quat, bits: u8, lattice: RotationLattice) -> Result<(), TestCaseError> {
        let packed = rotation(q, bits, lattice);
        let back = rotation_value(packed, bits, lattice);
        let same_side = if q.dot(back) < 0.0 { -back } else { back };
        // The chord between unit quaternions is half the angle between the rotations, for small angles.
        let radians = 2.0 * f64::from((q - same_side).length());
        prop_assert!(radians <= 7.0 / f64::from(1_u32 << bits) + 1e-6, "{radians} at {bits} bits");
        prop_assert_eq!(rotation(back, bits, lattice), packed);
        Ok(())
    }
}
