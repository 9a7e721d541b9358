//! Where a ray meets a player.

use glam::{Vec3, Vec3Swizzles};

use super::ray::Ray;
use super::{HEIGHT, RADIUS};

/// How far along the ray it enters the upright capsule of a player who stands at `feet`, metres; 0 if it begins within. Nothing
/// if it passes by, or if the player is behind.
pub fn meet_capsule(ray: &Ray, feet: Vec3) -> Option<f32> {
    let low = feet + Vec3::Y * RADIUS;
    let high = feet + Vec3::Y * (HEIGHT - RADIUS);
    [meet_side(ray, low, high), meet_ball(ray, low), meet_ball(ray, high)]
        .into_iter()
        .flatten()
        .min_by(f32::total_cmp)
}

/// The upright cylinder between the two centres.
fn meet_side(ray: &Ray, low: Vec3, high: Vec3) -> Option<f32> {
    let (way, to_axis) = (ray.direction.xz(), (low - ray.origin).xz());
    let speed_squared = way.length_squared();
    if speed_squared == 0.0 {
        // Straight up or down: through one of the balls first, or within the cylinder.
        let (y, low, high) = (ray.origin.y, low.y, high.y);
        return (to_axis.length_squared() <= RADIUS * RADIUS && (low..=high).contains(&y)).then_some(0.0);
    }
    let nearest = to_axis.dot(way) / speed_squared;
    let half = half_chord((to_axis - way * nearest).length_squared())? / speed_squared.sqrt();
    let within = |distance: f32| (low.y..=high.y).contains(&ray.at(distance).y);
    first(nearest - half, nearest + half).filter(|&distance| within(distance))
}

fn meet_ball(ray: &Ray, center: Vec3) -> Option<f32> {
    let to_center = center - ray.origin;
    let speed_squared = ray.direction.length_squared();
    if speed_squared == 0.0 {
        return (to_center.length_squared() <= RADIUS * RADIUS).then_some(0.0);
    }
    let nearest = to_center.dot(ray.direction) / speed_squared;
    let half = half_chord((to_center - ray.direction * nearest).length_squared())? / speed_squared.sqrt();
    first(nearest - half, nearest + half)
}

/// Half the way through a circle of the radius, for a line that passes its middle so far away.
///
/// From the nearest point, not from the origin: the difference of two great squares would be wrong by decimetres from far away.
fn half_chord(miss_squared: f32) -> Option<f32> {
    let rest = RADIUS * RADIUS - miss_squared;
    (rest >= 0.0).then(|| rest.sqrt())
}

/// Where a ray that is within from `enter` to `leave` meets it first.
fn first(enter: f32, leave: f32) -> Option<f32> {
    (leave >= 0.0).then_some(enter.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const FEET: Vec3 = Vec3::new(0.0, 0.0, -10.0);

    fn meet(origin: [f32; 3], direction: [f32; 3]) -> Option<f32> {
        meet_capsule(
            &Ray { origin: origin.into(), direction: Vec3::from(direction).normalize_or_zero() },
            FEET,
        )
    }

    fn near(distance: Option<f32>, expected: f32) -> bool {
        distance.is_some_and(|distance| (distance - expected).abs() < 1e-4)
    }

    #[test]
    fn sides_and_ends_are_met() {
        assert!(near(meet([0.0, 0.9, 0.0], [0.0, 0.0, -1.0]), 9.6), "in the middle");
        assert!(near(meet([0.0, 1.6, 0.0], [0.0, 0.0, -1.0]), 10.0 - 0.12_f32.sqrt()), "the head");
        assert!(near(meet([0.0, 0.2, 0.0], [0.0, 0.0, -1.0]), 10.0 - 0.12_f32.sqrt()), "the feet");
        assert!(near(meet([0.0, 5.0, -10.0], [0.0, -1.0, 0.0]), 3.2), "from above");
        assert!(near(meet([0.2, 5.0, -10.0], [0.0, -1.0, 0.0]), 3.6 - 0.12_f32.sqrt()), "beside the axis");
    }

    #[test]
    fn beyond_the_radius_nothing_is_met() {
        assert!(meet([0.399, 0.9, 0.0], [0.0, 0.0, -1.0]).is_some());
        assert!(meet([0.401, 0.9, 0.0], [0.0, 0.0, -1.0]).is_none());
        assert!(meet([0.399, 1.7, 0.0], [0.0, 0.0, -1.0]).is_none(), "round at the top");
        assert!(meet([0.0, 1.81, 0.0], [0.0, 0.0, -1.0]).is_none());
        assert!(meet([0.0, 0.9, 0.0], [0.0, 0.0, 1.0]).is_none(), "it is behind");
        assert!(meet([0.41, 5.0, -10.0], [0.0, -1.0, 0.0]).is_none());
    }

    #[test]
    fn who_is_within_is_met_at_once_wherever_it_looks() {
        for origin in [[0.0, 0.9, -10.0], [0.0, 0.1, -10.0], [0.0, 1.7, -9.9]] {
            for direction in [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.9], [0.0; 3]] {
                assert_eq!(meet(origin, direction), Some(0.0), "{origin:?} {direction:?}");
            }
        }
        assert_eq!(meet([0.5, 0.9, -10.0], [0.0; 3]), None, "no direction, not within");
    }

    #[test]
    fn what_is_no_number_meets_nothing_and_ends() {
        for broken in [f32::NAN, f32::INFINITY] {
            assert!(!meet([broken, 0.9, 0.0], [0.0, 0.0, -1.0]).is_some_and(f32::is_finite));
            let ray = Ray { origin: Vec3::ZERO, direction: Vec3::new(broken, 0.0, 0.0) };
            assert!(!meet_capsule(&ray, FEET).is_some_and(|distance| distance > 0.0));
        }
    }

    /// Against a search along the ray in small steps; from afar, too.
    #[test]
    fn the_distance_is_what_a_search_finds() {
        let mut random = Random::from_seed(3);
        let inside = |place: Vec3| {
            let nearest = FEET + Vec3::Y * (place.y - FEET.y).clamp(RADIUS, HEIGHT - RADIUS);
            RADIUS - place.distance(nearest)
        };
        let mut met = 0;
        for _ in 0..2_000 {
            let mut axis = |reach: f32| random.range_f32(-reach..reach);
            let far = if axis(1.0) > 0.9 { 300.0 } else { 3.0 };
            let origin = FEET + Vec3::new(axis(far), axis(2.0) + 0.9, axis(far));
            let aim = FEET + Vec3::new(axis(0.6), axis(1.2) + 0.9, axis(0.6));
            let direction = (aim - origin).normalize();
            let ray = Ray { origin, direction };
            let distance = origin.distance(FEET);
            let deepest = (0..4_000)
                .map(|step| inside(ray.at((distance - 4.0 + step as f32 * 0.002).max(0.0))))
                .fold(f32::NEG_INFINITY, f32::max);
            match meet_capsule(&ray, FEET) {
                Some(at) => {
                    met += 1;
                    assert!(deepest > -0.005, "{ray:?}: {at}, but {deepest} m off");
                    assert!(
                        at == 0.0 || inside(ray.at(at)).abs() < 0.005,
                        "{ray:?}: not its surface at {at}"
                    );
                }
                None => assert!(deepest < 0.005, "{ray:?}: {deepest} m deep"),
            }
        }
        assert!((400..1_900).contains(&met), "{met}");
    }
}
