//! What a player wants: to go somewhere, to fight, to lie in wait, or nothing.

use glam::{Vec2, Vec3, Vec3Swizzles};
use tickwire_sim::Random;

use super::aim::Aim;
use super::level::Level;
use super::movement::Body;

/// What a player sees.
pub(super) struct View<'a> {
    pub(super) own: &'a Body,
    /// Whom it could fight.
    pub(super) enemy: Option<Vec3>,
    pub(super) level: &'a Level,
}

/// What a player does in a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Along the floor, one or nothing long.
    pub(super) way: Vec3,
    pub(super) jumps: bool,
}

/// A player's mind.
pub(super) struct Mind {
    pub(super) aim: Aim,
    random: Random,
    mood: Mood,
    /// Ahead and to the left: -1, 0 or 1, as keys are.
    keys: Vec2,
    place: Vec3,
    hops: bool,
    /// Seconds until it decides anew; until it presses other keys.
    decides_in: f32,
    presses_in: f32,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Mood {
    Travel,
    Fight,
    Watch,
    Away,
}

impl Mind {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        Self {
            aim: Aim::new(&mut random),
            random,
            mood: Mood::Travel,
            keys: Vec2::ZERO,
            place: Vec3::ZERO,
            hops: false,
            decides_in: 0.0,
            presses_in: 0.0,
        }
    }

    pub(super) fn think(&mut self, dt: f32, view: &View<'_>) -> Wish {
        self.decides_in -= dt;
        self.presses_in -= dt;
        let has_arrived = self.mood == Mood::Travel && view.own.origin.xy().distance(self.place.xy()) < 80.0;
        if self.decides_in <= 0.0 || has_arrived {
            self.decide(view);
        }
        if self.presses_in <= 0.0 {
            self.press(view);
        }
        if self.mood != Mood::Away {
            self.look(view, dt);
        }
        let (sine, cosine) = libm::sincosf(self.aim.angles()[0]);
        let [ahead, left] = [Vec3::new(cosine, sine, 0.0), Vec3::new(-sine, cosine, 0.0)];
        let way = (ahead * self.keys.x + left * self.keys.y).normalize_or_zero();
        let jumps = self.keys != Vec2::ZERO && self.random.chance(if self.hops { 0.5 } else { 0.4 * dt });
        Wish { way, jumps }
    }

    fn decide(&mut self, view: &View<'_>) {
        self.decides_in = self.random.range_f32(1.0..5.0);
        self.presses_in = 0.0;
        self.hops = self.random.chance(0.2);
        self.place = view.level.random_place(&mut self.random);
        self.mood = match (self.random.below(20), view.enemy) {
            (0..=1, _) => Mood::Watch,
            (2, _) => Mood::Away,
            (3..=13, Some(_)) => Mood::Fight,
            _ => Mood::Travel,
        };
    }

    fn press(&mut self, view: &View<'_>) {
        self.presses_in = self.random.range_f32(0.15..1.1);
        let mut key = |weights: [u32; 2]| {
            let draw = self.random.below(10);
            if draw < weights[0] {
                -1.0
            } else if draw < weights[0] + weights[1] {
                1.0
            } else {
                0.0
            }
        };
        self.keys = match self.mood {
            // Who is stuck tries another way.
            Mood::Travel if view.own.velocity.xy().length() < 40.0 => Vec2::new(key([3, 7]), key([4, 4])),
            Mood::Travel => Vec2::new(1.0, key([1, 1])),
            Mood::Fight => Vec2::new(key([2, 3]), key([4, 4])),
            Mood::Watch | Mood::Away => Vec2::ZERO,
        };
    }

    fn look(&mut self, view: &View<'_>, dt: f32) {
        let eyes = view.own.eyes();
        let target = match (self.mood, view.enemy) {
            (Mood::Fight | Mood::Watch, Some(enemy)) => enemy + Vec3::Z * 10.0,
            // Who travels looks ahead, not at its feet.
            _ => self.place.xy().extend(eyes.z),
        };
        let way = target - eyes;
        let yaw = libm::atan2f(way.y, way.x);
        let pitch = libm::atan2f(way.z, way.xy().length().max(1.0));
        if self.mood == Mood::Travel && self.random.chance(0.5 * dt) {
            self.aim.rest(self.random.range_f32(0.2..1.0));
        }
        self.aim.follow([yaw, pitch], dt, &mut self.random);
    }
}
