//! The static part of an arena: a walled square floor with blocks on it.

use glam::{Vec2, Vec3, Vec3Swizzles};

use crate::random::Random;

use super::RADIUS;

/// Half the side of the largest level, metres: what 16 bits of position can say.
pub const HALF_SIDE_MAX: u16 = 320;

/// The id of the extension of a welcome in which a server says what its level is: for how many players it was made
/// ([`Level::for_players`]), a little-endian `u32`. Who predicts needs it.
pub const LEVEL_EXTENSION: u16 = 0x8000;

/// Floor for each player, m^2: 16 players in 40 x 40 m.
const FLOOR_PER_PLAYER: f32 = 100.0;
/// Side of the cells in which blocks are looked up, metres.
pub(super) const CELL: f32 = 10.0;
/// What counts as touching, metres: far below a step of position, far above the rounding of an `f32`.
const TOUCH: f32 = 0.001;

/// A block that stands on the floor, upright and along the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// The corner of least x and z, metres.
    pub min: Vec2,
    /// The corner of greatest x and z, metres.
    pub max: Vec2,
    /// Where its top is, metres. What is lower than a jump can be stood on.
    pub height: f32,
}

/// A square floor around the origin, walled in, with blocks. Never changes, so server and client each have one.
///
/// To the level a player is an upright cylinder: what stands, stands level.
#[derive(Clone, Debug)]
pub struct Level {
    half_side: f32,
    blocks: Vec<Block>,
    /// Where players come in; anywhere if there are none.
    spawns: Vec<Vec3>,
    is_peaceful: bool,
    cells_per_side: usize,
    /// Per cell, from where on in `cell_blocks` its blocks are; and the end.
    cell_starts: Vec<u32>,
    /// Indices of blocks, cell by cell.
    cell_blocks: Vec<u32>,
}

impl Level {
    /// A floor of `side_m` x `side_m` metres with these blocks.
    ///
    /// Blocks should stand a player's width apart from each other and from the walls: who is wedged in between is
    /// pushed to and fro.
    pub fn new(side_m: u16, blocks: Vec<Block>) -> Self {
        let half_side = f32::from(side_m.clamp(2, 2 * HALF_SIDE_MAX)) / 2.0;
        let cells_per_side = (2.0 * half_side / CELL).ceil() as usize;
        let mut level = Self {
            half_side,
            blocks,
            spawns: Vec::new(),
            is_peaceful: false,
            cells_per_side,
            cell_starts: vec![0],
            cell_blocks: Vec::new(),
        };
        for cell in 0..cells_per_side * cells_per_side {
            let min =
                Vec2::new((cell % cells_per_side) as f32, (cell / cells_per_side) as f32) * CELL - half_side;
            let (min, max) = (min - RADIUS, min + CELL + RADIUS);
            for (index, block) in level.blocks.iter().enumerate() {
                if block.min.cmple(max).all() && block.max.cmpge(min).all() {
                    level.cell_blocks.push(index as u32);
                }
            }
            level.cell_starts.push(level.cell_blocks.len() as u32);
        }
        level
    }

    /// A floor with pillars, low crates and walls, about one for each 10 x 10 m; the same for the same side.
    pub fn square(side_m: u16) -> Self {
        let count = i32::from(side_m / 10);
        let first = -5 * (count - 1);
        let centers =
            (0..count * count).map(|cell| [first + 10 * (cell % count), first + 10 * (cell / count)]);
        Self::new(side_m, centers.filter_map(block_around).collect())
    }

    /// As [`Level::square`], with floor for this many players: 40 x 40 m for 16.
    pub fn for_players(players: usize) -> Self {
        let side = (players as f32 * FLOOR_PER_PLAYER).sqrt() as u16;
        Self::square(side.next_multiple_of(10).clamp(40, 2 * HALF_SIDE_MAX))
    }

    /// The level that the value of [`LEVEL_EXTENSION`] names.
    pub fn told(value: &[u8]) -> Option<Self> {
        let players = u32::from_le_bytes(value.try_into().ok()?);
        Some(Self::for_players(players as usize))
    }

    /// A walled cell of 10 x 10 m for each player, who comes in in its middle, and no weapons: nobody ever does anything to
    /// anybody.
    pub fn cells(players: usize) -> Self {
        let count = (players as f32).sqrt().ceil().clamp(1.0, f32::from(HALF_SIDE_MAX) / 5.0) as i32;
        let side = 10 * count;
        // In decimetres. Higher than anyone jumps, and thicker than anyone moves in a tick.
        let walls = (1..count).flat_map(|line| {
            let at = 100 * line - 50 * count;
            [Block::new([at, 0], [6, 10 * side], 200), Block::new([0, at], [10 * side, 6], 200)]
        });
        let mut level = Self::new(side as u16, walls.collect());
        let middle = |cell: i32| (10 * cell - 5 * count + 5) as f32;
        let cells = (0..count * count).map(|cell| Vec3::new(middle(cell % count), 0.0, middle(cell / count)));
        level.spawns = cells.collect();
        level.is_peaceful = true;
        level
    }

    /// Half the side of the floor, metres: walls stand at plus and minus this.
    pub fn half_side(&self) -> f32 {
        self.half_side
    }

    /// Whether there are no weapons.
    pub fn is_peaceful(&self) -> bool {
        self.is_peaceful
    }

    /// What stands on the floor.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Blocks that a player there may touch.
    fn near(&self, position: Vec2) -> impl Iterator<Item = &Block> {
        let last = self.cells_per_side - 1;
        // Casts round down what is not below 0, and take the rest for 0.
        let cell = self.in_cells(position).to_array().map(|cell| (cell as usize).min(last));
        self.blocks_of(cell)
    }

    /// A place in cells from the corner of least x and z.
    pub(super) fn in_cells(&self, place: Vec2) -> Vec2 {
        (place + self.half_side) / CELL
    }

    pub(super) fn cells_per_side(&self) -> usize {
        self.cells_per_side
    }

    /// Blocks that a player may touch who is in this cell, which there is.
    pub(super) fn blocks_of(&self, [x, z]: [usize; 2]) -> impl Iterator<Item = &Block> {
        let cell = z * self.cells_per_side + x;
        let blocks = self.cell_starts[cell] as usize..self.cell_starts[cell + 1] as usize;
        self.cell_blocks[blocks].iter().map(|&index| &self.blocks[index as usize])
    }

    /// Whether a player with its feet there is within the walls and in no block.
    pub fn is_free(&self, position: Vec3) -> bool {
        let reach = self.half_side - RADIUS;
        position.xz().abs().max_element() <= reach
            && position.y >= 0.0
            && self
                .near(position.xz())
                .all(|block| position.y >= block.height - TOUCH || block.push_out(position.xz()).is_none())
    }

    /// Whether there is something to stand on right under a player's feet.
    pub(super) fn supports(&self, position: Vec3) -> bool {
        position.y <= TOUCH
            || self.near(position.xz()).any(|block| {
                (position.y - block.height).abs() <= TOUCH && block.push_out(position.xz()).is_some()
            })
    }

    /// Takes a player, whose feet were at the height `from`, out of whatever it has moved into, and stops it there.
    pub(super) fn collide(&self, from: f32, position: &mut Vec3, velocity: &mut Vec3) {
        if position.y < 0.0 {
            position.y = 0.0;
            velocity.y = velocity.y.max(0.0);
        }
        for block in self.near(position.xz()) {
            if position.y >= block.height - TOUCH {
                continue;
            }
            let Some(push) = block.push_out(position.xz()) else { continue };
            if from >= block.height - TOUCH {
                position.y = block.height;
                velocity.y = velocity.y.max(0.0);
            } else {
                position.x += push.x;
                position.z += push.y;
                stop_against(push, velocity);
            }
        }
        let reach = self.half_side - RADIUS;
        let inside = position.xz().clamp(Vec2::splat(-reach), Vec2::splat(reach));
        let push = inside - position.xz();
        stop_against(Vec2::new(push.x, 0.0), velocity);
        stop_against(Vec2::new(0.0, push.y), velocity);
        position.x = inside.x;
        position.z = inside.y;
    }

    /// Where players come in; anywhere if there are none.
    pub(super) fn spawns(&self) -> &[Vec3] {
        &self.spawns
    }

    /// A place on the floor, free of blocks.
    pub(super) fn random_place(&self, random: &mut Random) -> Vec3 {
        let reach = self.half_side - RADIUS;
        let mut place = Vec3::ZERO;
        // A level with so much in it that this finds nothing would be no level; its players would be pushed out.
        for _ in 0..64 {
            place = Vec3::new(random.range_f32(-reach..reach), 0.0, random.range_f32(-reach..reach));
            if self.is_free(place) {
                break;
            }
        }
        place
    }
}

/// An arena for 16 players, 40 x 40 m.
impl Default for Level {
    fn default() -> Self {
        Self::square(40)
    }
}

impl Block {
    /// A block of this size, in decimetres.
    fn new(center: [i32; 2], size: [i32; 2], height: i32) -> Self {
        let metres = |decimetres: i32| decimetres as f32 / 10.0;
        let corner = |side: i32| {
            Vec2::new(metres(center[0] + side * size[0] / 2), metres(center[1] + side * size[1] / 2))
        };
        Self { min: corner(-1), max: corner(1), height: metres(height) }
    }

    /// The shortest way out for an upright cylinder with its axis there; nothing if it is not in.
    fn push_out(&self, axis: Vec2) -> Option<Vec2> {
        let away = axis - axis.clamp(self.min, self.max);
        let distance_squared = away.length_squared();
        if distance_squared >= RADIUS * RADIUS {
            return None;
        }
        if distance_squared > 0.0 {
            let distance = distance_squared.sqrt();
            return Some(away * ((RADIUS - distance) / distance));
        }
        let (low, high) = (self.min - RADIUS - axis, self.max + RADIUS - axis);
        let x = if -low.x <= high.x { low.x } else { high.x };
        let z = if -low.y <= high.y { low.y } else { high.y };
        Some(if x.abs() <= z.abs() { Vec2::new(x, 0.0) } else { Vec2::new(0.0, z) })
    }
}

/// What stands in the 10 x 10 m around this point (metres), if anything.
fn block_around(center: [i32; 2]) -> Option<Block> {
    let [x, z] = center;
    let mut random = Random::from_seed(u64::from(x as u32) << 32 | u64::from(z as u32));
    let mut shift = || random.below(41) as i32 - 20;
    let center = [10 * x + shift(), 10 * z + shift()];
    match random.below(8) {
        0..=2 => Some(Block::new(center, [12, 12], 40)),
        3..=5 => Some(Block::new(center, [20, 20], 8)),
        6 => Some(Block::new(center, [40, 6], 25)),
        _ => None,
    }
}

/// Takes out of `velocity` what goes against a push.
fn stop_against(push: Vec2, velocity: &mut Vec3) {
    let length = push.length();
    if length > 0.0 {
        let out = push / length;
        let stopped = out * velocity.xz().dot(out).min(0.0);
        velocity.x -= stopped.x;
        velocity.z -= stopped.y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_fit_their_players_and_let_them_through() {
        let sides =
            [1, 16, 64, 1000, 100_000].map(|players| Level::for_players(players).half_side() as u16 * 2);
        assert_eq!(sides, [40, 40, 80, 320, 640]);
        for side in [40, 80, 315, 640] {
            let level = Level::square(side);
            let blocks = level.blocks();
            assert!(blocks.len() * 150 > usize::from(side / 10).pow(2) * 100, "{} blocks", blocks.len());
            for (index, a) in blocks.iter().enumerate() {
                let to_wall = level.half_side() - a.min.abs().max(a.max.abs()).max_element();
                assert!(to_wall > 2.0 * RADIUS, "{a:?}");
                for b in &blocks[index + 1..] {
                    let gap = (b.min - a.max).max(a.min - b.max).max_element();
                    assert!(gap > 2.0 * RADIUS, "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn cells_find_what_a_search_through_all_blocks_finds() {
        let level = Level::square(100);
        let mut random = Random::from_seed(1);
        let mut place = || Vec2::new(random.range_f32(-50.0..50.0), random.range_f32(-50.0..50.0));
        let mut touched = 0;
        for place in (0..20_000).map(|_| place()) {
            let touching = |block: &&Block| block.push_out(place).is_some();
            let all: Vec<_> = level.blocks().iter().filter(touching).collect();
            assert_eq!(level.near(place).filter(touching).collect::<Vec<_>>(), all);
            touched += all.len();
        }
        assert!(touched > 500, "{touched}");
    }

    #[test]
    fn every_player_has_a_cell_of_its_own() {
        for players in [1, 2, 16, 17] {
            let level = Level::cells(players);
            assert!(level.spawns().len() >= players);
            for (index, &place) in level.spawns().iter().enumerate() {
                assert!(level.is_free(place), "{place}");
                // As far as it can go in every direction: it stays with itself.
                for way in [Vec3::X, Vec3::NEG_X, Vec3::Z, Vec3::NEG_Z, Vec3::new(1.0, 0.0, 1.0)] {
                    let mut position = place;
                    for _ in 0..200 {
                        position += way * 0.2;
                        level.collide(1.0, &mut position, &mut Vec3::ZERO.clone());
                    }
                    let nearest =
                        |a: &&Vec3, b: &&Vec3| a.distance(position).total_cmp(&b.distance(position));
                    let home = level.spawns().iter().min_by(nearest);
                    assert_eq!(home, Some(&level.spawns()[index]), "{position}");
                }
            }
        }
    }

    #[test]
    fn blocks_and_walls_push_out_and_stop() {
        let block = Block { min: Vec2::new(-1.0, -1.0), max: Vec2::new(1.0, 1.0), height: 0.8 };
        let level = Level::new(20, vec![block]);
        let collide = |from: f32, at: [f32; 3], with: [f32; 3]| {
            let (mut position, mut velocity) = (Vec3::from(at), Vec3::from(with));
            level.collide(from, &mut position, &mut velocity);
            (position, velocity)
        };
        let (position, velocity) = collide(0.0, [1.3, 0.0, 0.5], [-5.0, 0.0, 2.0]);
        assert!((position - Vec3::new(1.4, 0.0, 0.5)).length() < 1e-6);
        assert_eq!(velocity, Vec3::new(0.0, 0.0, 2.0));
        let (position, velocity) = collide(1.0, [0.2, 0.7, 0.0], [1.0, -4.0, 0.0]);
        assert_eq!(
            (position, velocity),
            (Vec3::new(0.2, 0.8, 0.0), Vec3::new(1.0, 0.0, 0.0)),
            "lands on top"
        );
        assert!(level.supports(position) && !level.supports(position + Vec3::Y * 0.01));
        let (position, _) = collide(0.0, [-0.9, 0.0, 0.1], [0.0; 3]);
        assert!((position.x + 1.4).abs() < 1e-6, "out by the nearest side: {position}");
        let (position, velocity) = collide(0.0, [-11.0, 0.0, 9.9], [-1.0, 0.0, 3.0]);
        assert_eq!((position, velocity), (Vec3::new(-9.6, 0.0, 9.6), Vec3::ZERO));
        let (position, velocity) = collide(0.5, [5.0, -0.1, 5.0], [1.0, -3.0, 0.0]);
        assert_eq!((position, velocity), (Vec3::new(5.0, 0.0, 5.0), Vec3::X));
    }
}
