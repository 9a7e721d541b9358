//! What the level hides.

use glam::{Vec3, Vec3Swizzles};

use super::level::{Block, CELL, Level};
use super::ray::Ray;

/// Where everything ends upwards, metres: the highest place that the schema can say.
pub(super) const CEILING: f32 = 20.47;

impl Block {
    /// How far along a ray it is stopped here, metres, if it is.
    fn stops(&self, ray: &Ray) -> Option<f32> {
        let min = Vec3::new(self.min.x, 0.0, self.min.y);
        let max = Vec3::new(self.max.x, self.height, self.max.y);
        let (enter, leave) = ray.through(min, max)?;
        // What only brushes a face goes on.
        (leave > 0.0 && leave > enter).then_some(enter.max(0.0))
    }
}

impl Level {
    /// How far a ray that begins within the walls gets until floor, wall, ceiling or a block ends it, metres. From outside of them it gets
    /// nowhere.
    ///
    /// Looks into the cells along its way, one after another: Amanatides and Woo, "A Fast Voxel Traversal Algorithm" (1987). Where rounding
    /// takes it past the corner of one, the blocks there are those of its neighbours as well: they count for a player's width around.
    pub fn reach(&self, ray: &Ray) -> f32 {
        let half = self.half_side();
        let (min, max) = (Vec3::new(-half, 0.0, -half), Vec3::new(half, CEILING, half));
        let Some((.., leave)) = ray.through(min, max).filter(|(enter, _)| *enter <= 0.0) else { return 0.0 };
        let (last, mut nearest) = (self.cells_per_side() as i32 - 1, leave.max(0.0));
        let (start, way) = (self.in_cells(ray.origin.xz()), ray.direction.xz() / CELL);
        let mut cell = start.to_array().map(|at| (at as i32).clamp(0, last));
        let step = way.to_array().map(|way| if way < 0.0 { -1 } else { 1 });
        // How far along the ray the next cell begins, by axis; and from one to the next.
        let mut next = [0, 1].map(|axis| {
            let border = (cell[axis] + (step[axis] + 1) / 2) as f32;
            if way[axis] == 0.0 { f32::INFINITY } else { (border - start[axis]) / way[axis] }
        });
        let each = way.to_array().map(|way| 1.0 / way.abs());
        loop {
            let blocks = self.blocks_of(cell.map(|at| at as usize));
            nearest = blocks.filter_map(|block| block.stops(ray)).fold(nearest, f32::min);
            let axis = usize::from(next[1] < next[0]);
            cell[axis] += step[axis];
            if next[axis] > nearest || !(0..=last).contains(&cell[axis]) {
                return nearest;
            }
            next[axis] += each[axis];
        }
    }

    /// Whether nothing is between two places.
    pub fn is_in_sight(&self, from: Vec3, to: Vec3) -> bool {
        let distance = from.distance(to);
        distance == 0.0 || self.reach(&Ray { origin: from, direction: (to - from) / distance }) >= distance
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact values are expected")]
mod tests {
    use glam::Vec2;

    use super::*;
    use crate::random::Random;

    fn level() -> Level {
        let block = Block { min: Vec2::new(-1.0, -1.0), max: Vec2::new(1.0, 1.0), height: 2.0 };
        Level::new(20, vec![block])
    }

    fn reach(origin: [f32; 3], direction: [f32; 3]) -> f32 {
        level().reach(&Ray { origin: origin.into(), direction: Vec3::from(direction).normalize_or_zero() })
    }

    #[test]
    fn floor_walls_ceiling_and_blocks_end_a_ray() {
        assert_eq!(reach([5.0, 1.0, 5.0], [1.0, 0.0, 0.0]), 5.0);
        assert_eq!(reach([5.0, 1.0, 5.0], [0.0, -1.0, 0.0]), 1.0);
        assert_eq!(reach([5.0, 1.0, 5.0], [0.0, 1.0, 0.0]), CEILING - 1.0);
        assert_eq!(reach([5.0, 1.0, 0.0], [-1.0, 0.0, 0.0]), 4.0, "the block");
        assert_eq!(reach([5.0, 2.5, 0.0], [-1.0, 0.0, 0.0]), 15.0, "over it");
        assert_eq!(reach([5.0, 1.0, 0.0], [1.0, 0.0, 0.0]), 5.0, "away from it");
    }

    #[test]
    fn what_goes_along_a_face_is_stopped_and_what_goes_past_it_is_not() {
        assert_eq!(reach([0.0, 2.001, 0.0], [1.0, 0.0, 0.0]), 10.0, "over the top");
        assert_eq!(reach([-5.0, 2.0, 0.0], [1.0, 0.0, 0.0]), 4.0, "in the top");
        assert_eq!(reach([-5.0, 1.0, 1.0], [1.0, 0.0, 0.0]), 4.0, "in the side");
        assert_eq!(reach([-5.0, 1.0, 1.001], [1.0, 0.0, 0.0]), 15.0);
        let corner = reach([-3.0, 1.0, 1.0], [1.0, 0.0, 1.0]);
        assert!((corner - 9.0 * core::f32::consts::SQRT_2).abs() < 1e-4, "past the corner: {corner}");
    }

    #[test]
    fn what_begins_where_nobody_is_gets_nowhere() {
        assert_eq!(reach([0.0, 1.0, 0.0], [1.0, 0.0, 0.0]), 0.0, "in a block");
        assert_eq!(reach([50.0, 1.0, 0.0], [1.0, 0.0, 0.0]), 0.0, "outside, away");
        assert!(reach([f32::NAN; 3], [1.0, 0.0, 0.0]) >= 0.0, "no number");
    }

    #[test]
    fn a_ray_ends_where_a_search_through_all_blocks_ends_it() {
        let mut random = Random::from_seed(4);
        for level in [Level::square(60), Level::square(320), Level::cells(50), level()] {
            for turn in 0..3_000 {
                let origin = level.random_place(&mut random) + Vec3::Y * random.range_f32(0.0..3.0);
                let mut axis = || random.range_f32(-1.0..1.0);
                // Some along an axis, and some through the corners of cells.
                let direction = match turn % 4 {
                    0 => Vec3::new(axis(), 0.0, 0.0),
                    1 => Vec3::new(0.0, axis() * 0.1, axis()),
                    2 => Vec3::new(10.0, 0.0, 10.0) - origin.with_y(0.0),
                    _ => Vec3::new(axis(), axis() * 0.2, axis()),
                };
                let ray = Ray { origin, direction: direction.normalize_or_zero() };
                let half = level.half_side();
                let (min, max) = (Vec3::new(-half, 0.0, -half), Vec3::new(half, CEILING, half));
                let wall = ray.through(min, max).map_or(0.0, |(_, leave)| leave.max(0.0));
                let all = level.blocks().iter().filter_map(|block| block.stops(&ray)).fold(wall, f32::min);
                assert_eq!(level.reach(&ray).to_bits(), all.to_bits(), "{ray:?}");
            }
        }
    }

    #[test]
    fn sight_is_the_same_both_ways_and_what_a_search_finds() {
        let level = Level::square(60);
        let mut random = Random::from_seed(9);
        let (mut seen, mut hidden) = (0, 0);
        for _ in 0..2_000 {
            let mut place = || level.random_place(&mut random) + Vec3::Y * 1.6;
            let (from, to) = (place(), place());
            let solid = |step: u16| {
                let place = from.lerp(to, f32::from(step) / 4_000.0);
                let is_in = |block: &&Block| {
                    let at = Vec2::new(place.x, place.z);
                    (at.clamp(block.min, block.max) == at) && place.y < block.height
                };
                level.blocks().iter().any(|block| is_in(&block))
            };
            let is_hidden = (0..4_000).any(solid);
            assert_eq!(level.is_in_sight(from, to), level.is_in_sight(to, from));
            if is_hidden {
                assert!(!level.is_in_sight(from, to), "{from} {to}");
            }
            seen += u32::from(level.is_in_sight(from, to));
            hidden += u32::from(is_hidden);
        }
        assert!(seen + hidden > 1_990 && seen > 500 && hidden > 500, "{seen} {hidden}");
    }
}
