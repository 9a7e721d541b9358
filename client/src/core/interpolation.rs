//! From one value to another.

use core::f32::consts::{PI, TAU};

use glam::Quat;

/// Evenly from `from` to `to`.
pub(crate) fn scalar(from: f32, to: f32, fraction: f32) -> f32 {
    from + (to - from) * fraction
}

/// The shorter way around the circle, radians; the result is from -π to π.
pub(crate) fn angle(from: f32, to: f32, fraction: f32) -> f32 {
    wrap(from + wrap(to - from) * fraction)
}

/// The shorter way along the great circle.
pub(crate) fn rotation(from: Quat, to: Quat, fraction: f32) -> Quat {
    from.slerp(to, fraction).normalize()
}

/// The same angle from -π to π.
fn wrap(radians: f32) -> f32 {
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
    fn angles_take_the_shorter_way() {
        assert!(near(angle(0.0, 1.0, 0.25), 0.25));
        assert!(near(angle(3.0, -3.0, 0.5).abs(), PI));
        assert!(near(angle(3.0, -3.0, 0.25), 3.0 + (TAU - 6.0) / 4.0));
        assert!(near(angle(-3.0, 3.0, 0.75), 3.0 + (TAU - 6.0) / 4.0));
        assert!(near(angle(1.0, 1.0, 0.3), 1.0));
    }

    #[test]
    fn rotations_take_the_shorter_way_and_keep_their_length() {
        let (from, to) = (Quat::from_rotation_y(0.2), -Quat::from_rotation_y(1.2));
        let between = rotation(from, to, 0.5);
        assert!(near(between.length(), 1.0));
        assert!((between * Vec3::X).distance(Quat::from_rotation_y(0.7) * Vec3::X) < 1e-5);
    }
}
