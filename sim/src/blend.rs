//! From one value to another, and a little beyond: how clients show, and how a room rewinds.
//!
//! A position whose velocity is told goes along the cubic through both positions with both velocities (Hermite): exact for an even
//! acceleration. Where the velocity is thrown over (a jump, a landing, a blow) it goes straight and bends at one point. Beyond the
//! newest state it goes on with the last velocity, ever slower, and stops after [`GUESS_SECONDS`]: players change their mind about
//! once a second, and what goes on for ever would run through walls.

use core::f32::consts::{PI, TAU};

use glam::{Quat, Vec3};

/// How long a position goes on beyond the newest state, seconds. The lab, 4g ordered: with 0.5 s the error is 6 % more, with 1.5 s 4 %.
pub const GUESS_SECONDS: f32 = 1.0;

/// States that are further apart than this are joined by a straight line, seconds: a cubic over so long a time swings out.
pub const CUBIC_SECONDS_MAX: f32 = 0.35;

/// A velocity that changes by more than this share of the greatest one from one state to the next is thrown over, not sped up evenly.
const BEND_SHARE: f32 = 0.5;

/// In a longer time than this that much is ordinary, seconds.
const BEND_SECONDS_MAX: f32 = 0.12;

/// How far [`rotation`] may be from where an even turn would be, radians: between two that are half a turn apart 0.8e-3, up to a third
/// of a turn apart 0.04e-3.
pub const ROTATION_ERROR: f32 = 1e-3;

/// A position and its change a second.
#[derive(Clone, Copy, Debug)]
pub struct Moving {
    /// Units.
    pub position: Vec3,
    /// Units a second.
    pub velocity: Vec3,
}

impl Moving {
    /// Where it is `seconds` later, or earlier if below 0, if nothing else is known. Nobody is slowed down by what is not known yet:
    /// backwards it comes straight.
    pub fn guess(&self, seconds: f32) -> Vec3 {
        if seconds < 0.0 {
            return self.position + self.velocity * seconds.max(-GUESS_SECONDS);
        }
        let seconds = seconds.min(GUESS_SECONDS);
        self.position + self.velocity * (seconds - seconds * seconds / (2.0 * GUESS_SECONDS))
    }
}

/// From one to the other, which takes `seconds`, if nothing of the kind is faster than `fastest` along an axis.
#[inline]
pub fn way(from: Moving, to: Moving, seconds: f32, fraction: f32, fastest: f32) -> Vec3 {
    let smooth = hermite(from, to, seconds, fraction);
    let (thrown, most) = (to.velocity - from.velocity, BEND_SHARE * fastest);
    if thrown.length_squared() <= most * most || seconds > BEND_SECONDS_MAX {
        return smooth;
    }
    let along = thrown.normalize_or_zero();
    let shown = (smooth - from.position).dot(along);
    smooth + along * (bent(from, to, along, seconds, fraction) - shown)
}

/// How far along a direction, in which all its velocity changes at once: it goes on as it came, and from one point on as it will
/// leave. Where that point is follows from how far it came. If it should be before the way, or behind it, it is at that end, and
/// the velocity of the other end is come to, or left, evenly.
#[cold]
fn bent(from: Moving, to: Moving, along: Vec3, seconds: f32, fraction: f32) -> f32 {
    let [whole, leaving, arriving] =
        [to.position - from.position, from.velocity, to.velocity].map(|vector| vector.dot(along));
    let (passed, rest) = (fraction * seconds, (1.0 - fraction) * seconds);
    let bend = (arriving * seconds - whole) / (arriving - leaving);
    if bend <= 0.0 {
        whole - arriving * rest + (arriving * seconds - whole) * (1.0 - fraction) * (1.0 - fraction)
    } else if bend >= seconds {
        leaving * passed + (whole - leaving * seconds) * fraction * fraction
    } else if passed < bend {
        leaving * passed
    } else {
        whole - arriving * rest
    }
}

/// Along the cubic from one to the other, which takes `seconds`.
fn hermite(from: Moving, to: Moving, seconds: f32, fraction: f32) -> Vec3 {
    let (t, rest) = (fraction, 1.0 - fraction);
    let (start, end) = (rest * rest * (1.0 + 2.0 * t), t * t * (3.0 - 2.0 * t));
    let (leaving, arriving) = (t * rest * rest * seconds, -t * t * rest * seconds);
    from.position * start + to.position * end + from.velocity * leaving + to.velocity * arriving
}

/// What is left of a difference that fades evenly, after this share of its time: from 1 to 0.
pub fn faded(share: f32) -> f32 {
    1.0 - share.clamp(0.0, 1.0)
}

/// Evenly from `from` to `to`.
pub fn scalar(from: f32, to: f32, fraction: f32) -> f32 {
    from + (to - from) * fraction
}

/// The shorter way around the circle, radians; the result is from -π to π.
pub fn angle(from: f32, to: f32, fraction: f32) -> f32 {
    wrap(from + wrap(to - from) * fraction)
}

/// The shorter way along the great circle, nearly as evenly as it goes: at most [`ROTATION_ERROR`] from where it should be. Both must
/// be of unit length.
///
/// A straight line between the quaternions, brought back to the circle, is fast in its middle. A cubic in the fraction, whose weight
/// depends on how far it is, takes that back without sines: exact at both ends and in the middle. Source: A. Kapoulkine,
/// "Approximating slerp" (2015), `onlerp`.
pub fn rotation(from: Quat, to: Quat, fraction: f32) -> Quat {
    let cosine = from.dot(to);
    let distance = cosine.abs();
    let (far, near) = (
        1.0904 + distance * (-3.2452 + distance * (3.55645 - distance * 1.43519)),
        0.848_013 + distance * (-1.06021 + distance * 0.215_638),
    );
    let middle = fraction - 0.5;
    let weight = far * middle * middle + near;
    let fraction = fraction + fraction * middle * (fraction - 1.0) * weight;
    let between = from * (1.0 - fraction) + to * fraction.copysign(cosine);
    between * (1.0 / between.length_squared().sqrt())
}

/// The same angle from -π to π.
pub fn wrap(radians: f32) -> f32 {
    let turned = radians - (radians / TAU).round() * TAU;
    turned.clamp(-PI, PI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Vec3;

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn an_even_acceleration_is_followed_exactly() {
        let (acceleration, begin) = (Vec3::new(0.0, -20.0, 3.0), Vec3::new(4.0, 7.0, 0.0));
        let at = |t: f32| Moving {
            position: begin * t + acceleration * (t * t / 2.0),
            velocity: begin + acceleration * t,
        };
        for step in 0..=10_u8 {
            let t = f32::from(step) / 10.0;
            let shown = hermite(at(0.0), at(0.2), 0.2, t);
            assert!(shown.distance(at(0.2 * t).position) < 1e-5, "{shown} at {t}");
        }
    }

    #[test]
    fn who_jumps_or_lands_bends_where_that_was() {
        let (seconds, fastest) = (0.05, 10.0);
        let run = Vec3::X * 6.0;
        for (leaving, arriving) in [(0.0, 7.0), (-6.5, 0.0), (5.0, -5.0)] {
            let (leaving, arriving) = (run + Vec3::Y * leaving, run + Vec3::Y * arriving);
            for bend in [0.0, 0.2, 0.5, 0.9, 1.0] {
                let at =
                    |t: f32| Vec3::ONE + (leaving * t.min(bend) + arriving * (t - bend).max(0.0)) * seconds;
                let [from, to] = [(0.0, leaving), (1.0, arriving)]
                    .map(|(t, velocity)| Moving { position: at(t), velocity });
                for t in [0.0, 0.1, 0.3, 0.6, 0.95, 1.0] {
                    let shown = way(from, to, seconds, t, fastest);
                    assert!(shown.distance(at(t)) < 1e-5, "{shown} at {t}, bent at {bend}");
                }
            }
        }
    }

    #[test]
    fn a_way_that_bends_before_it_or_behind_it_has_both_its_ends() {
        let (seconds, fastest) = (0.05, 10.0);
        for whole in [-0.4, -0.01, 0.36, 0.9] {
            let from = Moving { position: Vec3::ZERO, velocity: Vec3::ZERO };
            let to = Moving { position: Vec3::Y * whole, velocity: Vec3::Y * 7.0 };
            let at = |t: f32| way(from, to, seconds, t, fastest).y;
            assert!(at(0.0).abs() < 1e-6 && (at(1.0) - whole).abs() < 1e-6, "of {whole} m");
            // A jump under gravity arrives with the velocity that it has come down to.
            let last = (at(1.0) - at(0.99)) / (0.01 * seconds);
            assert!(whole < 0.35 || (last - 7.0).abs() < 0.3, "{last} m/s at the end of {whole} m");
        }
    }

    #[test]
    fn an_even_change_and_one_in_a_longer_time_are_followed_along_the_cubic() {
        let moving = |position: f32, velocity: f32| Moving {
            position: Vec3::X * position,
            velocity: Vec3::X * velocity,
        };
        for (to, seconds) in [(moving(0.1, 4.9), 0.05), (moving(0.5, 9.0), 0.2)] {
            for t in [0.1, 0.5, 0.8] {
                let from = moving(0.0, 0.0);
                assert_eq!(way(from, to, seconds, t, 10.0), hermite(from, to, seconds, t));
            }
        }
    }

    #[test]
    fn a_guess_begins_with_the_velocity_and_comes_to_a_stop() {
        let moving = Moving { position: Vec3::X, velocity: Vec3::Z * 8.0 };
        assert_eq!(moving.guess(0.0), Vec3::X);
        assert!((moving.guess(0.01) - Vec3::X).distance(Vec3::Z * 0.08) < 0.002);
        let last = moving.guess(GUESS_SECONDS);
        let way = Vec3::Z * (4.0 * GUESS_SECONDS);
        assert!(moving.guess(-0.1).distance(Vec3::X - Vec3::Z * 0.8) < 1e-5);
        assert!(last.distance(Vec3::X + way) < 1e-5 && moving.guess(9.0) == last);
        let steps: Vec<_> = (0..60_u8).map(|step| moving.guess(f32::from(step) / 100.0).z).collect();
        assert!(steps.is_sorted());
    }

    #[test]
    fn angles_take_the_shorter_way() {
        assert!(near(angle(0.0, 1.0, 0.25), 0.25));
        assert!(near(angle(3.0, -3.0, 0.5).abs(), PI));
        assert!(near(angle(3.0, -3.0, 0.25), 3.0 + (TAU - 6.0) / 4.0));
        assert!(near(angle(-3.0, 3.0, 0.75), 3.0 + (TAU - 6.0) / 4.0));
        assert!(near(angle(1.0, 1.0, 0.3), 1.0));
    }

    #[test]
    fn rotations_turn_nearly_evenly() {
        let axis = Vec3::new(1.0, -2.0, 3.0).normalize();
        for (degrees, error) in
            [(1.0, 2e-6), (30.0, 5e-5), (120.0, 5e-5), (150.0, 4e-4), (179.9, ROTATION_ERROR)]
        {
            let turned = |part: f32| Quat::from_axis_angle(axis, f32::to_radians(degrees) * part);
            for step in 0..=100_u8 {
                let part = f32::from(step) / 100.0;
                let (shown, even) = (rotation(turned(0.0), turned(1.0), part), turned(part));
                // By the sine of half the angle between them: its cosine would not tell small ones apart.
                let between = 2.0 * (shown * even.inverse()).xyz().length();
                assert!(between < error + 2e-6, "{between} at {part} of {degrees} degrees");
                assert!((shown.length() - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn rotations_take_the_shorter_way_and_keep_their_length() {
        let (from, to) = (Quat::from_rotation_y(0.2), -Quat::from_rotation_y(1.2));
        let between = rotation(from, to, 0.5);
        assert!(near(between.length(), 1.0));
        assert!((between * Vec3::X).distance(Quat::from_rotation_y(0.7) * Vec3::X) < 1e-5);
    }
}
