//! The one weapon: a ray from the eye that hits at once, and is judged by what the shooter was shown.

use glam::Vec3;
use tickwire_protocol::EntityId;

use super::capsule::meet_capsule;
use super::level::Level;
use super::ray::Ray;

/// How high the eye is above the feet, metres.
pub const EYE_HEIGHT: f32 = 1.6;
/// From one shot to the next, seconds.
pub const RELOAD_SECONDS: f32 = 0.4;
/// Health that a hit takes.
pub const SHOT_DAMAGE: i32 = 20;
/// For how long one who came back cannot be hurt by shots, seconds: longer than anything is rewound, so that who aimed at
/// the former body, in the past, does not hit the new one, far away.
pub const SHIELD_SECONDS: f32 = 0.5;

/// What became of a shot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trace {
    /// Who was hit.
    pub target: Option<EntityId>,
    /// Where it ended, metres.
    pub end: Vec3,
}

/// Follows a shot until a player or the level stops it. Of players who are equally near it is the first.
pub fn trace_shot(level: &Level, ray: &Ray, bodies: impl Iterator<Item = (EntityId, Vec3)>) -> Trace {
    let mut nearest = (level.reach(ray), None);
    for (id, feet) in bodies {
        if let Some(distance) = meet_capsule(ray, feet).filter(|&distance| distance < nearest.0) {
            nearest = (distance, Some(id));
        }
    }
    Trace { target: nearest.1, end: ray.at(nearest.0) }
}

/// A hit of this tick, as places in the list of players.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) shooter: usize,
    pub(super) target: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(slot: u16) -> EntityId {
        EntityId { slot, generation: 1 }
    }

    #[test]
    fn the_nearest_is_hit_and_walls_stop_shots() {
        let level = Level::new(20, Vec::new());
        let ray = Ray { origin: Vec3::Y * EYE_HEIGHT, direction: Vec3::X };
        let body = |slot, x| (id(slot), Vec3::X * x);
        let trace = trace_shot(&level, &ray, [body(1, 8.0), body(2, 5.0), body(3, -2.0)].into_iter());
        assert_eq!(trace.target, Some(id(2)));
        assert!((trace.end.x - 4.654).abs() < 1e-3, "{}", trace.end);
        let miss = trace_shot(&level, &ray, [body(3, -2.0), body(4, 10.5)].into_iter());
        assert_eq!(miss, Trace { target: None, end: Vec3::new(10.0, EYE_HEIGHT, 0.0) });
    }
}
