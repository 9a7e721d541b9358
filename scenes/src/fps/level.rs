//! A walled floor with platforms, stairs, pillars and crates, and the way of a box through it.

use glam::{Vec2, Vec3, Vec3Swizzles};
use tickwire_sim::Random;

/// Half the width of a player, and how far it reaches below and above its origin, units.
const HULL_SIDE: f32 = 16.0;
pub(super) const HULL_BELOW: f32 = 24.0;
const HULL_ABOVE: f32 = 32.0;
/// How far from what it hits a box stops, units.
const GAP: f32 = 1.0 / 32.0;

/// Half the side of the floor, units.
const SIDE: f32 = 1024.0;
const STEP_HEIGHT: f32 = 16.0;
const STEPS: usize = 8;

/// An upright box, along the axes.
#[derive(Clone, Copy, Debug)]
struct Solid {
    min: Vec3,
    max: Vec3,
}

/// Who comes near a teleporter comes out elsewhere.
struct Teleporter {
    from: Vec3,
    to: Vec3,
    yaw: f32,
}

pub(super) struct Level {
    solids: Vec<Solid>,
    teleporters: Vec<Teleporter>,
}

/// How far a box came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    pub(super) end: Vec3,
    /// Of the way, 0 to 1.
    pub(super) fraction: f32,
    /// Of what stopped it, if anything did.
    pub(super) normal: Option<Vec3>,
}

impl Level {
    pub(super) fn new() -> Self {
        let mut level = Self { solids: Vec::new(), teleporters: Vec::new() };
        level.build_walls();
        for (x, y) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
            level.build_corner(Vec2::new(x, y));
        }
        // A tower in the middle, reached by teleporters and from crates beside it.
        level.add(Vec3::new(-160.0, -160.0, 0.0), Vec3::new(160.0, 160.0, 96.0));
        level.add(Vec3::new(-32.0, -32.0, 96.0), Vec3::new(32.0, 32.0, 224.0));
        level.add(Vec3::new(160.0, -48.0, 0.0), Vec3::new(224.0, 48.0, 48.0));
        level.add(Vec3::new(-224.0, -48.0, 0.0), Vec3::new(-160.0, 48.0, 48.0));
        for (x, y) in [(0.0, 950.0), (0.0, -950.0)] {
            let yaw = libm::atan2f(y, 0.0);
            let (from, to) = (Vec3::new(x, y, HULL_BELOW), Vec3::new(90.0, -90.0, 96.0 + HULL_BELOW + GAP));
            level.teleporters.push(Teleporter { from, to, yaw });
        }
        let to = Vec3::new(-800.0, 800.0, 128.0 + HULL_BELOW + GAP);
        level.teleporters.push(Teleporter {
            from: Vec3::new(-100.0, 100.0, 96.0 + HULL_BELOW),
            to,
            yaw: -0.8,
        });
        level
    }

    fn build_walls(&mut self) {
        let (out, high) = (SIDE + 64.0, 900.0);
        self.add(Vec3::new(-out, -out, -64.0), Vec3::new(out, out, 0.0));
        self.add(Vec3::new(-out, -out, 0.0), Vec3::new(-SIDE, out, high));
        self.add(Vec3::new(SIDE, -out, 0.0), Vec3::new(out, out, high));
        self.add(Vec3::new(-out, -out, 0.0), Vec3::new(out, -SIDE, high));
        self.add(Vec3::new(-out, SIDE, 0.0), Vec3::new(out, out, high));
    }

    /// A platform with stairs, a pillar and crates, in the corner that way.
    fn build_corner(&mut self, way: Vec2) {
        let mut add = |a: Vec2, b: Vec2, height: f32| {
            let (a, b) = (a * way, b * way);
            self.add(a.min(b).extend(0.0), a.max(b).extend(height));
        };
        let top = STEP_HEIGHT * STEPS as f32;
        add(Vec2::new(640.0, 640.0), Vec2::splat(SIDE), top);
        for step in 1..STEPS {
            let from = 640.0 - 32.0 * (STEPS - step) as f32;
            add(Vec2::new(from, 700.0), Vec2::new(from + 32.0, 860.0), STEP_HEIGHT * step as f32);
        }
        add(Vec2::new(420.0, 300.0), Vec2::new(500.0, 380.0), 300.0);
        add(Vec2::new(700.0, 180.0), Vec2::new(780.0, 260.0), 40.0);
        add(Vec2::new(700.0, 260.0), Vec2::new(780.0, 340.0), 80.0);
    }

    fn add(&mut self, min: Vec3, max: Vec3) {
        self.solids.push(Solid { min, max });
    }

    /// The way of a player from `from` towards `to`.
    pub(super) fn trace(&self, from: Vec3, to: Vec3) -> Trace {
        let way = to - from;
        let hit = |solid: &Solid| solid.grown().enter(from, way);
        let first = self.solids.iter().filter_map(hit).min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((fraction, normal)) = first else {
            return Trace { end: to, fraction: 1.0, normal: None };
        };
        let back = GAP / (-way.dot(normal)).max(GAP);
        let fraction = (fraction - back).max(0.0);
        Trace { end: from + way * fraction, fraction, normal: Some(normal) }
    }

    /// Whether nothing stands between two points.
    pub(super) fn sees(&self, from: Vec3, to: Vec3) -> bool {
        self.solids.iter().all(|solid| solid.enter(from, to - from).is_none())
    }

    /// Where a player comes out, and looking where, if it is in a teleporter.
    pub(super) fn teleport(&self, origin: Vec3) -> Option<(Vec3, f32)> {
        let inside = |it: &&Teleporter| it.from.distance_squared(origin) < 40.0 * 40.0;
        self.teleporters.iter().find(inside).map(|it| (it.to, it.yaw))
    }

    /// A place for a player to stand, on the floor or on something.
    pub(super) fn random_place(&self, random: &mut Random) -> Vec3 {
        let most = SIDE - 2.0 * HULL_SIDE;
        let above = Vec3::new(random.range_f32(-most..most), random.range_f32(-most..most), 400.0);
        self.trace(above, above.xy().extend(0.0)).end
    }
}

impl Solid {
    /// Larger by a player, so that the player is a point.
    fn grown(&self) -> Self {
        let side = Vec3::new(HULL_SIDE, HULL_SIDE, 0.0);
        Self { min: self.min - side - Vec3::Z * HULL_ABOVE, max: self.max + side + Vec3::Z * HULL_BELOW }
    }

    /// Where on its way a point enters, and the normal there. From inside there is no entering.
    fn enter(&self, from: Vec3, way: Vec3) -> Option<(f32, Vec3)> {
        let (mut enter, mut leave, mut normal) = (-1.0_f32, 1.0_f32, Vec3::ZERO);
        for (axis, unit) in Vec3::AXES.into_iter().enumerate() {
            let (from, way, min, max) = (from[axis], way[axis], self.min[axis], self.max[axis]);
            if way == 0.0 {
                if from <= min || from >= max {
                    return None;
                }
                continue;
            }
            let (near, far) = if way > 0.0 { (min, max) } else { (max, min) };
            let at = (near - from) / way;
            if at > enter {
                (enter, normal) = (at, -unit * way.signum());
            }
            leave = leave.min((far - from) / way);
        }
        (enter >= 0.0 && enter < leave).then_some((enter, normal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_stops_short_of_what_is_in_its_way() {
        let level = Level::new();
        let trace = level.trace(Vec3::new(500.0, 0.0, 60.0), Vec3::new(500.0, 0.0, 0.0));
        assert_eq!(trace.normal, Some(Vec3::Z));
        assert!((trace.end.z - (HULL_BELOW + GAP)).abs() < 1e-3, "{trace:?}");
        let trace = level.trace(Vec3::new(500.0, 100.0, 60.0), Vec3::new(0.0, 100.0, 60.0));
        assert_eq!(trace.normal, Some(Vec3::X));
        assert!((trace.end.x - (160.0 + HULL_SIDE + GAP)).abs() < 1e-3, "{trace:?}");
        let trace = level.trace(Vec3::new(500.0, 0.0, 60.0), Vec3::new(500.0, 100.0, 60.0));
        assert_eq!((trace.fraction, trace.normal), (1.0, None));
    }
}
