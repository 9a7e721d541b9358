//! A mouse in a hand: still, in pursuit, or flicked.

use core::f32::consts::{FRAC_PI_2, PI, TAU};

use tickwire_sim::Random;

/// How far one count of a mouse turns, radians, where the player has set it low.
const COUNT: f32 = 0.022 / 180.0 * PI;
/// What a flick is needed for, radians.
const FLICK_MIN: f32 = 0.22;
/// A hand rests where it is as long as the aim is only this wrong, radians.
const GOOD_ENOUGH: f32 = 0.02;
/// How far up and down there is to look, radians.
const PITCH_MAX: f32 = 1.5;

/// Where a player looks, and how its hand is moving.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    /// Yaw (to the left) and pitch (upwards), radians.
    angles: [f32; 2],
    /// Radians for a count.
    count: f32,
    /// How well it follows, 1/s.
    gain: f32,
    flick: Option<Flick>,
    /// Seconds for which the hand rests.
    rests_for: f32,
}

#[derive(Clone, Copy, Debug)]
struct Flick {
    from: [f32; 2],
    way: [f32; 2],
    seconds: f32,
    done: f32,
}

impl Aim {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            angles: [random.range_f32(-PI..PI), 0.0],
            count: COUNT * random.range_f32(0.8..4.0),
            gain: random.range_f32(5.0..11.0),
            flick: None,
            rests_for: 0.0,
        }
    }

    /// In whole counts of the mouse: what the game is told.
    pub(super) fn angles(&self) -> [f32; 2] {
        self.angles.map(|angle| (angle / self.count).round() * self.count)
    }

    /// Looks that way, without a movement of the hand.
    pub(super) fn face(&mut self, yaw: f32) {
        (self.angles, self.flick) = ([yaw, 0.0], None);
    }

    /// The hand stays where it is.
    pub(super) fn rest(&mut self, seconds: f32) {
        (self.rests_for, self.flick) = (seconds, None);
    }

    /// One tick towards the wished angles.
    pub(super) fn follow(&mut self, wish: [f32; 2], dt: f32, random: &mut Random) {
        self.rests_for -= dt;
        if self.rests_for > 0.0 {
            return;
        }
        let wrong = [half_turn(wish[0] - self.angles[0]), wish[1] - self.angles[1]];
        let size = (wrong[0] * wrong[0] + wrong[1] * wrong[1]).sqrt();
        if self.flick.is_none() && size > FLICK_MIN {
            let miss = random.range_f32(0.8..1.12);
            let seconds = 0.07 + 0.07 * size + random.range_f32(0.0..0.12);
            let way = wrong.map(|angle| angle * miss);
            self.flick = Some(Flick { from: self.angles, way, seconds, done: 0.0 });
        }
        if self.flick.is_some() {
            self.swing(dt, random);
        } else if size > GOOD_ENOUGH {
            // Hands tremble when they move, and not when they rest.
            let mut pull = |angle: f32| angle * (self.gain * dt) * random.range_f32(0.5..1.5);
            let way = wrong.map(&mut pull);
            self.turn([self.angles[0] + way[0], self.angles[1] + way[1]]);
        }
    }

    /// Along the way of least jerk: how arms move.
    fn swing(&mut self, dt: f32, random: &mut Random) {
        let Some(flick) = &mut self.flick else { return };
        flick.done = (flick.done + dt / flick.seconds).min(1.0);
        let t = flick.done;
        let share = t * t * t * (10.0 - 15.0 * t + 6.0 * t * t);
        let [yaw, pitch] = [0, 1].map(|axis| flick.from[axis] + flick.way[axis] * share);
        let is_done = t >= 1.0;
        self.turn([yaw, pitch]);
        if is_done {
            self.flick = None;
            self.rests_for = random.range_f32(0.0..0.25);
        }
    }

    fn turn(&mut self, [yaw, pitch]: [f32; 2]) {
        // Yaw may go round and round; it is kept small, so that it stays exact.
        let turns = if yaw.abs() > 4.0 * TAU { (yaw / TAU).round() * TAU } else { 0.0 };
        if let Some(flick) = &mut self.flick {
            flick.from[0] -= turns;
        }
        self.angles = [yaw - turns, pitch.clamp(-PITCH_MAX, PITCH_MAX)];
    }
}

/// The same direction, from -π to π.
fn half_turn(radians: f32) -> f32 {
    (radians + PI).rem_euclid(TAU) - PI
}

const _: () = assert!(PITCH_MAX < FRAC_PI_2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_flicks_then_follows_then_rests() {
        let mut random = Random::from_seed(3);
        let mut aim = Aim::new(&mut random);
        aim.face(3.0);
        let dt = 1.0 / 77.0;
        let mut speeds = Vec::new();
        for _ in 0..231 {
            let before = aim.angles()[0];
            aim.follow([-1.5, 0.3], dt, &mut random);
            speeds.push((aim.angles()[0] - before).abs() / dt);
        }
        let [yaw, pitch] = aim.angles();
        assert!(half_turn(yaw + 1.5).abs() < 0.03 && (pitch - 0.3).abs() < 0.03, "{yaw} {pitch}");
        assert!(yaw > 3.0, "the short way round: {yaw}");
        assert!(speeds.iter().fold(0.0_f32, |most, &speed| most.max(speed)) > 5.0);
        assert!(speeds[200..].iter().all(|&speed| speed == 0.0), "it rests in the end");
    }
}
