//! The arena: a box of 80 x 100 x 20 m whose edges are sloped, so that cars can drive up the walls.

use core::f32::consts::FRAC_1_SQRT_2;

use rapier3d::prelude::{ColliderBuilder, PhysicsWorld, SharedShape, Vector};

/// Half the width, half the length and the height, metres.
const SIZE: [f32; 3] = [40.0, 50.0, 20.0];
/// How far the slopes reach onto floor, walls and ceiling, metres.
const SLOPE: f32 = 2.5;
/// How far the corners reach along the walls, metres.
const CORNER: f32 = 8.0;
/// Half the width, and the height of a goal, metres.
const GOAL: [f32; 2] = [8.9, 6.4];

/// A plane with the arena on the side of its normal.
#[derive(Clone, Copy, Debug)]
struct Plane {
    point: Vector,
    normal: Vector,
}

const PLANES: [Plane; 18] = planes();

const fn planes() -> [Plane; 18] {
    const NONE: Plane = Plane { point: Vector::ZERO, normal: Vector::ZERO };
    let [x, y, z] = SIZE;
    let mut planes = [NONE; 18];
    planes[0] = Plane { point: Vector::ZERO, normal: Vector::Z };
    planes[1] = Plane { point: Vector::new(0.0, 0.0, z), normal: Vector::NEG_Z };
    let mut index = 0;
    while index < 4 {
        let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
        let [along_x, along_y] = if index < 2 { [sign, 0.0] } else { [0.0, sign] };
        let (reach_x, reach_y) = (along_x * x, along_y * y);
        let wall = Vector::new(-along_x, -along_y, 0.0);
        planes[2 + index] = Plane { point: Vector::new(reach_x, reach_y, 0.0), normal: wall };
        let half = FRAC_1_SQRT_2;
        let up = Vector::new(-along_x * half, -along_y * half, half);
        planes[6 + index] = Plane { point: Vector::new(reach_x, reach_y, SLOPE), normal: up };
        let down = Vector::new(-along_x * half, -along_y * half, -half);
        planes[10 + index] = Plane { point: Vector::new(reach_x, reach_y, z - SLOPE), normal: down };
        let (sign_x, sign_y) = (sign, if index < 2 { 1.0 } else { -1.0 });
        let inwards = Vector::new(-sign_x * half, -sign_y * half, 0.0);
        let corner = Vector::new(sign_x * x, sign_y * (y - CORNER), 0.0);
        planes[14 + index] = Plane { point: corner, normal: inwards };
        index += 1;
    }
    planes
}

/// Puts floor, walls, ceiling and slopes into the world.
pub(super) fn build(world: &mut PhysicsWorld) {
    for plane in PLANES {
        let shape = SharedShape::halfspace(plane.normal);
        let plane = ColliderBuilder::new(shape).translation(plane.point).restitution(0.6).friction(0.5);
        world.insert_collider(plane, None);
    }
}

/// How far it is from a point in the arena to what a ray hits, and the normal of that.
pub(super) fn cast(from: Vector, way: Vector) -> (f32, Vector) {
    let hit = |plane: &Plane| {
        let towards = -plane.normal.dot(way);
        let height = plane.normal.dot(from - plane.point);
        (towards > 1e-6).then(|| (height / towards, plane.normal))
    };
    let nearest = PLANES.iter().filter_map(hit).min_by(|a, b| a.0.total_cmp(&b.0));
    // There is a plane on every side.
    nearest.unwrap_or((f32::INFINITY, Vector::Z))
}

/// Whether a ball there touches the wall within a goal.
pub(super) fn is_goal(ball: Vector, radius: f32) -> bool {
    ball.y.abs() > SIZE[1] - radius - 0.15 && ball.x.abs() < GOAL[0] && ball.z < GOAL[1]
}

/// The middle of the goal at `side` (1 or -1).
pub(super) fn goal(side: f32) -> Vector {
    Vector::new(0.0, side * SIZE[1], 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_end_at_the_nearest_plane() {
        let at = Vector::new(1.0, 2.0, 3.0);
        let cases = [
            (Vector::NEG_Z, 3.0, Vector::Z),
            (Vector::Z, 17.0, Vector::NEG_Z),
            (Vector::X, 39.0, Vector::NEG_X),
            (Vector::NEG_Y, 52.0, Vector::Y),
        ];
        for (way, distance, normal) in cases {
            assert_eq!(cast(at, way), (distance, normal));
        }
        let (distance, normal) = cast(Vector::new(38.5, 0.0, 3.0), Vector::NEG_Z);
        assert!((distance - 2.0).abs() < 1e-4 && normal.x < -0.7, "the slope: {distance} {normal}");
        let (distance, normal) = cast(Vector::new(36.0, 0.0, 9.0), Vector::Y);
        assert!((distance - 46.0).abs() < 1e-4 && normal.y < -0.7, "the corner: {distance} {normal}");
    }
}
