//! A half-line, and where it meets boxes along the axes.

use glam::{Vec2, Vec3};

use super::movement::directions;

/// A half-line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ray {
    /// Where it begins, metres.
    pub origin: Vec3,
    /// Where it goes, of length 1.
    pub direction: Vec3,
}

impl Ray {
    /// From a place in the direction of a look: yaw and pitch as in [`input`](super::input), radians.
    pub fn of_look(origin: Vec3, yaw: f32, pitch: f32) -> Self {
        let [_, ahead] = directions(yaw);
        let Vec2 { x: level, y: up } = Vec2::from_angle(pitch);
        Self { origin, direction: Vec3::new(ahead.x * level, up, ahead.y * level) }
    }

    /// The place this far along, metres.
    pub fn at(&self, distance: f32) -> Vec3 {
        self.origin + self.direction * distance
    }

    /// From where to where it is in a box along the axes, metres along it; below 0 is behind the origin. Nothing if its line
    /// passes the box by.
    ///
    /// Modelled on the slabs of Kay and Kajiya, "Ray Tracing Complex Scenes" (1986).
    pub(super) fn through(&self, min: Vec3, max: Vec3) -> Option<(f32, f32)> {
        let (mut enter, mut leave) = (f32::NEG_INFINITY, f32::INFINITY);
        for axis in 0..3 {
            let (origin, way) = (self.origin[axis], self.direction[axis]);
            if way == 0.0 {
                // Along the slab: in it for ever, or never. A division would say 0 / 0 on its faces.
                if origin < min[axis] || origin > max[axis] {
                    return None;
                }
                continue;
            }
            let (one, other) = ((min[axis] - origin) / way, (max[axis] - origin) / way);
            enter = enter.max(one.min(other));
            leave = leave.min(one.max(other));
        }
        (enter <= leave).then_some((enter, leave))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Vec3 = Vec3::new(-1.0, 0.0, 2.0);
    const MAX: Vec3 = Vec3::new(1.0, 3.0, 4.0);

    fn ray(origin: [f32; 3], direction: [f32; 3]) -> Ray {
        Ray { origin: origin.into(), direction: Vec3::from(direction).normalize() }
    }

    #[test]
    fn looks_point_where_players_look() {
        let near =
            |yaw, pitch, way: Vec3| Ray::of_look(Vec3::ZERO, yaw, pitch).direction.distance(way) < 1e-6;
        let quarter = core::f32::consts::FRAC_PI_2;
        assert!(near(0.0, 0.0, Vec3::NEG_Z) && near(quarter, 0.0, Vec3::NEG_X));
        assert!(near(0.3, quarter, Vec3::Y), "straight up whatever the yaw");
    }

    #[test]
    fn a_box_is_met_at_its_faces() {
        assert_eq!(ray([0.0, 1.0, 0.0], [0.0, 0.0, 1.0]).through(MIN, MAX), Some((2.0, 4.0)));
        assert_eq!(ray([0.0, 1.0, 3.0], [1.0, 0.0, 0.0]).through(MIN, MAX), Some((-1.0, 1.0)), "from within");
        assert_eq!(ray([0.0, 1.0, 9.0], [0.0, 0.0, 1.0]).through(MIN, MAX), Some((-7.0, -5.0)), "behind");
        assert_eq!(ray([0.0, 4.0, 0.0], [0.0, 0.1, 1.0]).through(MIN, MAX), None, "above");
    }

    #[test]
    fn a_ray_in_a_face_touches_and_one_beside_it_does_not() {
        assert_eq!(ray([1.0, 1.0, 0.0], [0.0, 0.0, 1.0]).through(MIN, MAX), Some((2.0, 4.0)));
        assert_eq!(ray([1.001, 1.0, 0.0], [0.0, 0.0, 1.0]).through(MIN, MAX), None);
        let still = Ray { origin: Vec3::new(0.0, 1.0, 3.0), direction: Vec3::ZERO };
        assert_eq!(still.through(MIN, MAX), Some((f32::NEG_INFINITY, f32::INFINITY)), "goes nowhere");
    }
}
