//! How one player moves: a function of its own row, its input, the tick's number and the level.

use glam::{Vec2, Vec3, Vec3Swizzles};
use tickwire_protocol::{RowRef, Tick};

use super::level::Level;
use super::schema::{AXIS_SPEED_MAX, input};
use super::state::Player;

/// How fast a wish on the ground changes the velocity, m/s^2.
pub const GROUND_ACCELERATION: f32 = 60.0;
/// The share of its velocity that a player on the ground loses, 1/s. Against it, running settles at 60 / 8 = 7.5 m/s.
/// A sprint rolls: friction leaves what goes along the wish.
pub const FRICTION: f32 = 8.0;
/// Greatest speed along the floor, m/s.
pub const SPEED_MAX: f32 = 10.0;
/// m/s^2.
pub const GRAVITY: f32 = 20.0;
/// Upwards at the start of a jump, m/s: 1.2 m high, 0.7 s long.
pub const JUMP_SPEED: f32 = 7.0;
/// As [`GROUND_ACCELERATION`], in the air, m/s^2.
pub const AIR_ACCELERATION: f32 = 15.0;
/// Stamina of one who has rested.
pub const STAMINA_MAX: f32 = 100.0;

/// Below this an unwished motion stops, m/s; friction alone would take for ever.
const STOP_SPEED: f32 = 0.1;
const SPRINT_STAMINA_PER_S: f32 = 20.0;
const JUMP_STAMINA: f32 = 10.0;
const REST_STAMINA_PER_S: f32 = 12.5;
/// The steps of position and velocity in the schema, metres and m/s.
const STEP: f32 = 0.01;

/// What becomes of a player's move that others may notice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moved {
    pub(super) has_jumped: bool,
    /// How fast it came down, if it did in this tick, m/s.
    pub(super) landing: Option<f32>,
}

/// What a player wants, in the terms of the world.
#[derive(Clone, Copy, Debug)]
struct Wish {
    /// Along the floor, at most 1 long but for what rounding adds.
    direction: Vec2,
    is_jumping: bool,
    is_sprinting: bool,
}

/// Moves a player by one tick. Without an input (its player is not predicted here) it coasts.
pub(super) fn advance(
    player: &mut Player,
    input: Option<RowRef<'_>>,
    level: &Level,
    tick: Tick,
    dt: f32,
) -> Moved {
    let mut moved = Moved::default();
    let mut before = player.velocity;
    let is_supported = player.velocity.y <= 0.0 && level.supports(player.position);
    if let Some(row) = input {
        player.yaw = row.angle(input::YAW);
        player.pitch = row.scalar(input::PITCH);
        let wish = if player.stunned_ticks == 0 { Wish::read(row) } else { Wish::NONE };
        let is_sprinting = spend_stamina(player, wish, is_supported, dt);
        let velocity = steer(player.velocity.xz(), wish.direction, is_supported, is_sprinting, dt);
        player.velocity = Vec3::new(velocity.x, player.velocity.y, velocity.y);
        if is_supported && wish.is_jumping && player.stamina >= JUMP_STAMINA {
            player.stamina -= JUMP_STAMINA;
            before.y = JUMP_SPEED;
            player.velocity.y = JUMP_SPEED;
            moved.has_jumped = true;
        }
    }
    player.stunned_ticks = player.stunned_ticks.saturating_sub(1);
    let is_airborne = moved.has_jumped || !is_supported;
    if is_airborne {
        player.velocity.y = (player.velocity.y - spread(GRAVITY * dt, tick)).max(-AXIS_SPEED_MAX);
    }
    let from = player.position.y;
    // The mean of both velocities: exact for an even acceleration, and what the wire's predictor assumes.
    let way = (before + player.velocity) * 0.5 * dt;
    player.position += Vec3::new(spread(way.x, tick), spread(way.y, tick), spread(way.z, tick));
    let falling = player.velocity.y;
    level.collide(from, &mut player.position, &mut player.velocity);
    if is_airborne && falling < 0.0 && player.velocity.y >= 0.0 {
        moved.landing = Some(-falling);
    }
    moved
}

impl Wish {
    const NONE: Self = Self { direction: Vec2::ZERO, is_jumping: false, is_sprinting: false };

    fn read(row: RowRef<'_>) -> Self {
        let [right, ahead] = directions(row.angle(input::YAW));
        let wished = row.vec2(input::MOVE);
        Self {
            direction: right * wished.x + ahead * wished.y,
            is_jumping: row.boolean(input::JUMP),
            is_sprinting: row.boolean(input::SPRINT),
        }
    }
}

/// What is to the right and what is ahead of one who looks along this yaw, on the floor (x, z).
pub fn directions(yaw: f32) -> [Vec2; 2] {
    let Vec2 { x: cos, y: sin } = Vec2::from_angle(yaw);
    [Vec2::new(cos, -sin), Vec2::new(-sin, -cos)]
}

/// Whether the player sprints in this tick; takes what that costs. Who holds the sprint does not recover, so that one
/// out of breath runs evenly.
fn spend_stamina(player: &mut Player, wish: Wish, is_supported: bool, dt: f32) -> bool {
    if !wish.is_sprinting {
        player.stamina = (player.stamina + REST_STAMINA_PER_S * dt).min(STAMINA_MAX);
        return false;
    }
    let cost = SPRINT_STAMINA_PER_S * dt;
    let sprints = is_supported && wish.direction != Vec2::ZERO && player.stamina >= cost;
    if sprints {
        player.stamina -= cost;
    }
    sprints
}

/// The velocity along the floor after `dt` of friction and of the wish.
fn steer(velocity: Vec2, wish: Vec2, is_supported: bool, is_sprinting: bool, dt: f32) -> Vec2 {
    let amount = wish.length();
    let direction = if amount > 0.0 { wish / amount } else { Vec2::ZERO };
    let mut velocity = velocity;
    if is_supported {
        let rolls = if is_sprinting { direction * velocity.dot(direction).max(0.0) } else { Vec2::ZERO };
        velocity = rolls + (velocity - rolls) * (1.0 - FRICTION * dt).max(0.0);
        if amount == 0.0 && velocity.length() < STOP_SPEED {
            return Vec2::ZERO;
        }
    }
    let acceleration = if is_supported { GROUND_ACCELERATION } else { AIR_ACCELERATION };
    let lacking = (SPEED_MAX * amount - velocity.dot(direction)).max(0.0);
    let velocity = velocity + direction * (acceleration * amount * dt).min(lacking);
    velocity.clamp_length_max(SPEED_MAX)
}

/// A change that is a whole number of the schema's steps and over many ticks amounts to `change` a tick.
///
/// One tick's way is a few steps: rounding each to the nearest would make a slow player stand still and a fast one
/// faster. Instead the fraction is rounded up in that share of the ticks, evenly strewn (Weyl's sequence of the
/// golden ratio).
fn spread(change: f32, tick: Tick) -> f32 {
    let threshold = (tick.0.wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1 << 24) as f32;
    floor(change / STEP + threshold) * STEP
}

/// Rounded down, of what is within an `i32`: a call that takes ten times as long where there is no instruction for it.
fn floor(value: f32) -> f32 {
    let whole = value as i32 as f32;
    if whole > value { whole - 1.0 } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_changes_add_up() {
        for change in [0.125_f32, -0.125, 0.002, -0.0049, 0.333_333, 0.0] {
            for first in [0, 1_000_000, u32::MAX - 50] {
                let sum = |ticks: u32| (0..ticks).map(|n| spread(change, Tick(first) + n)).sum::<f32>();
                for ticks in [3, 60, 600] {
                    let error = sum(ticks) - change * ticks as f32;
                    assert!(error.abs() < 2.0 * STEP, "{change} over {ticks} from {first}: {error}");
                }
            }
        }
        assert!((0..1000).all(|n| spread(0.0, Tick(n)) == 0.0), "who rests, rests");
    }

    #[test]
    fn running_settles_against_friction_and_a_sprint_at_the_limit() {
        let settle = |is_sprinting, wish: Vec2| {
            (0..120).fold(Vec2::ZERO, |velocity, _| steer(velocity, wish, true, is_sprinting, 1.0 / 60.0))
        };
        assert!((settle(false, Vec2::X).x - GROUND_ACCELERATION / FRICTION).abs() < 0.01);
        assert!((settle(true, Vec2::X).x - SPEED_MAX).abs() < 0.01);
        assert!((settle(false, Vec2::NEG_Y * 0.5).y + 3.75).abs() < 0.01, "half a wish, half the speed");
        assert_eq!(
            (0..60).fold(Vec2::X * 10.0, |v, _| steer(v, Vec2::ZERO, true, false, 1.0 / 60.0)),
            Vec2::ZERO
        );
        let flight = steer(Vec2::X * 9.0, Vec2::ZERO, false, false, 1.0 / 60.0);
        assert_eq!(flight, Vec2::X * 9.0, "no friction in the air");
    }

    #[test]
    fn yaw_turns_as_a_rotation_about_the_vertical() {
        for yaw in [0.0_f32, 0.7, 2.0, -3.0] {
            let turned = |axis: Vec3| (glam::Quat::from_rotation_y(yaw) * axis).xz();
            let [right, ahead] = directions(yaw);
            assert!(
                (right - turned(Vec3::X)).length() < 1e-6 && (ahead - turned(Vec3::NEG_Z)).length() < 1e-6
            );
        }
    }
}
