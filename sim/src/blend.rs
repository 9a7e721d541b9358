//! From one value to another, and a little beyond: how clients show, and how a room rewinds.
//!
//! A position whose velocity is told goes along the cubic through both positions with both velocities (Hermite): exact for an even
//! acceleration. Where the velocity is thrown over (a jump, a landing, a blow) it goes straight and bends at one point. Beyond the newest state it goes on with the last velocity, ever slower, and stops after [`GUESS_SECONDS`]: players
//! change their mind about once a second, and what goes on for ever would run through walls.

use core::f32::consts::{PI, TAU};

use glam::{Quat, Vec3};

/// How long a position goes on beyond the newest state, seconds. The lab, 4g ordered: with 0.5 s the error is 6 % more, with 1.5 s 4 %.
pub const GUESS_SECONDS: f32 = 1.0;
fn gs() -> f32 {
    static V: std::sync::LazyLock<f32> =
        std::sync::LazyLock::new(|| std::env::var("GUESS").map_or(1.0, |v| v.parse().unwrap()));
    *V
}

/// States that are further apart than this are joined by a straight line, seconds: a cubic over so long a time swings out.
pub const CUBIC_SECONDS_MAX: f32 = 0.35;

/// A velocity that changes by more than this share of the greatest one from one state to the next is thrown over, not sped up evenly.
pub const BEND_SHARE: f32 = 0.5;

/// In a longer time than this that much is ordinary, seconds.
pub const BEND_SECONDS_MAX: f32 = 0.12;

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
            return self.position + self.velocity * seconds.max(-gs());
        }
        let seconds = seconds.min(gs());
        self.position + self.velocity * (seconds - seconds * seconds / (2.0 * gs()))
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
