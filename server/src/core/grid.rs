//! Who is near, without looking at all.

use glam::Vec3;

/// Something at a place of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// The number of its row.
    pub(crate) row: u32,
    pub(crate) position: Vec3,
    cell: [i32; 2],
}

/// Points by square cell of two of their axes; the third counts in distances, not in cells.
///
/// It is filled anew for each tick. Sorting all points by cell takes two passes over them, whoever moved, and leaves a
/// cell's points side by side; following each one over the borders of cells takes as long and does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    axes: [usize; 2],
    cell_side: f32,
    /// Where each bucket begins in `points`, and where the last ends. A bucket holds the cells of one hash.
    starts: Vec<u32>,
    points: Vec<Point>,
    /// As they came.
    unsorted: Vec<Point>,
}

impl Grid {
    /// Empty, with cells of `cell_side` metres along these axes.
    pub(crate) fn clear(&mut self, axes: [usize; 2], cell_side: f32) {
        (self.axes, self.cell_side) = (axes, cell_side);
        self.unsorted.clear();
        self.points.clear();
    }

    /// Adds a point. It is found once [`Grid::finish`] was called.
    pub(crate) fn push(&mut self, row: u32, position: Vec3) {
        self.unsorted.push(Point { row, position, cell: [0; 2] });
    }

    /// Makes the cells so small that a few dozen of them hold the nearest `count` where points are about as dense as everywhere: each peer
    /// looks at little more than these. They stay larger than a 32nd of what they were, so that empty ones are not many, and get no
    /// larger.
    pub(crate) fn fit_cells(&mut self, count: usize) {
        let points = &self.unsorted;
        let width = |axis: usize| {
            // Four times the mean distance from the middle: the width of an even spread, and hardly changed by a few far away.
            let sum =
                |of: &dyn Fn(f32) -> f32| points.iter().map(|point| of(point.position[axis])).sum::<f32>();
            let middle = sum(&|at| at) / points.len() as f32;
            4.0 * sum(&|at| (at - middle).abs()) / points.len() as f32
        };
        let [x, z] = self.axes.map(width);
        let each = x * z / points.len() as f32;
        let side = (each * count as f32 / CELLS_OF_NEAREST).sqrt();
        // None of no points is a number.
        self.cell_side = side.max(self.cell_side / 32.0).min(self.cell_side);
    }

    /// Puts the points in their cells.
    pub(crate) fn finish(&mut self) {
        for index in 0..self.unsorted.len() {
            self.unsorted[index].cell = self.cell_of(self.unsorted[index].position);
        }
        let buckets = self.unsorted.len().next_power_of_two();
        self.starts.clear();
        self.starts.resize(buckets + 1, 0);
        for point in &self.unsorted {
            self.starts[bucket_of(point.cell, buckets)] += 1;
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.points.clone_from(&self.unsorted);
        // From the last to the first, so that each bucket's end moves down to its beginning.
        for point in self.unsorted.iter().rev() {
            let place = &mut self.starts[bucket_of(point.cell, buckets)];
            *place -= 1;
            self.points[*place as usize] = *point;
        }
    }

    /// The side of a cell, metres.
    pub(crate) fn cell_side(&self) -> f32 {
        self.cell_side
    }

    /// Visits the points in the cells that are `ring` cells away from that of `center`. Whatever is nearer than
    /// `ring` cells is in this ring or in those before it.
    pub(crate) fn visit_ring(&self, center: Vec3, ring: i32, mut visit: impl FnMut(&Point)) {
        if self.points.is_empty() {
            return;
        }
        let [x, z] = self.cell_of(center);
        for dx in -ring..=ring {
            let is_edge = dx.abs() == ring;
            let step = if is_edge { 1 } else { (2 * ring).max(1) };
            let mut dz = -ring;
            while dz <= ring {
                self.visit_cell([x.saturating_add(dx), z.saturating_add(dz)], &mut visit);
                dz += step;
            }
        }
    }

    fn visit_cell(&self, cell: [i32; 2], visit: &mut impl FnMut(&Point)) {
        let bucket = bucket_of(cell, self.starts.len() - 1);
        let range = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        // Other cells may have the same hash.
        self.points[range].iter().filter(|point| point.cell == cell).for_each(visit);
    }

    fn cell_of(&self, position: Vec3) -> [i32; 2] {
        self.axes.map(|axis| (position[axis] / self.cell_side).floor() as i32)
    }
}

/// How many cells the nearest fill that are shown.
const CELLS_OF_NEAREST: f32 = 32.0;

/// The bucket of a cell; `buckets` is a power of two.
fn bucket_of([x, z]: [i32; 2], buckets: usize) -> usize {
    let hash = (x as u32).wrapping_mul(0x9e37_79b1) ^ (z as u32).wrapping_mul(0x85eb_ca77);
    (hash ^ (hash >> 15)) as usize & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(points: &[Vec3], cell_side: f32) -> Grid {
        let mut grid = Grid::default();
        grid.clear([0, 2], cell_side);
        for (row, &position) in points.iter().enumerate() {
            grid.push(row as u32, position);
        }
        grid.finish();
        grid
    }

    #[test]
    fn rings_find_each_point_once_and_the_near_ones_first() {
        let points: Vec<_> = (0..500_i32)
            .map(|n| Vec3::new((n * 37 % 101 - 50) as f32 * 0.7, n as f32, (n * 53 % 97 - 48) as f32 * 0.9))
            .collect();
        let grid = grid(&points, 5.0);
        let center = Vec3::new(3.3, 0.0, -7.1);
        let mut found = Vec::new();
        for ring in 0..30 {
            grid.visit_ring(center, ring, |point| found.push(point.row as usize));
            let reach = ring as f32 * 5.0;
            for (row, position) in points.iter().enumerate() {
                let away = (*position - center) * Vec3::new(1.0, 0.0, 1.0);
                assert!(away.length() >= reach || found.contains(&row), "{position} is within {reach} m");
            }
        }
        found.sort_unstable();
        assert_eq!(found, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn the_ends_of_the_world_and_nothing_at_all_are_no_trouble() {
        let far = [Vec3::splat(f32::MAX), Vec3::splat(f32::MIN), Vec3::ZERO];
        let grid_of_three = grid(&far, 0.001);
        for center in far {
            let mut found = 0;
            (0..3).for_each(|ring| grid_of_three.visit_ring(center, ring, |_| found += 1));
            assert!(found >= 1, "{center}");
        }
        grid(&[], 1.0).visit_ring(Vec3::ZERO, 0, |_| unreachable!());
        Grid::default().visit_ring(Vec3::ZERO, 1, |_| unreachable!());
    }
}
