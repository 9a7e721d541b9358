//! Players of a shooter: they run, jump, climb stairs, fall, take teleporters, die and come back, and look around the
//! way people with a mouse do.
//!
//! | file | what it decides |
//! |---|---|
//! | `level` | what there is to run on and to run into |
//! | `movement` | a player's way through it |
//! | `mind` | what a player wants |
//! | `aim` | how a mouse gets there |

mod aim;
mod level;
mod mind;
mod movement;

use std::sync::Arc;

use glam::Vec3;
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
use tickwire_protocol::{Tables, TickRate};
use tickwire_sim::Random;

use self::level::Level;
use self::mind::{Mind, View};
use self::movement::Body;
use crate::scene::{Scene, Stage, built, head, hz};

const PLAYER: KindId = KindId(0);
const POSITION: FieldId = FieldId(0);
const YAW: FieldId = FieldId(1);
const PITCH: FieldId = FieldId(2);
const VELOCITY: FieldId = FieldId(3);

const PLAYERS: usize = 12;
/// Of how many units a metre is, in the variant that tells metres.
const UNITS_PER_METRE: f32 = 39.37;
/// How long a dead player lies, seconds.
const DEAD_SECONDS: f32 = 1.7;
/// How often a player that fights is hit for the last time, 1/s.
const DEATHS: f32 = 0.06;
/// Who is as near as this, and in sight, is an enemy to fight, units.
const FIGHT_REACH: f32 = 900.0;

pub(crate) fn scenes() -> [Scene; 2] {
    let units = FieldType::position([-1100.0..=1100.0, -1100.0..=1100.0, -64.0..=960.0], 1.0 / 8.0);
    let metres = FieldType::position([-30.0..=30.0, -30.0..=30.0, -2.0..=26.0], 0.01);
    let schema = |name, position, bits, velocity: Option<FieldType>| {
        let fields = [
            Field::new(POSITION, "position", position),
            Field::new(YAW, "yaw", FieldType::angle(bits)),
            Field::new(PITCH, "pitch", FieldType::angle(bits)),
        ];
        let velocity = velocity.map(|velocity| Field::new(VELOCITY, "velocity", velocity));
        built(Schema::builder(name).kind(Kind::new(PLAYER, "player", fields.into_iter().chain(velocity))))
    };
    [
        Scene {
            name: "fps",
            schema: schema("fps", units, 16, None),
            rate: hz(77),
            frames_every: 3,
            frames_jitter: 1,
            start: |seed| Box::new(Deathmatch::new(hz(77), Unit::Inch, seed)),
        },
        Scene {
            name: "fps_metres",
            schema: schema("fps_metres", metres, 12, Some(FieldType::velocity(POSITION, 30.0, 0.01))),
            rate: hz(60),
            frames_every: 3,
            frames_jitter: 0,
            start: |seed| Box::new(Deathmatch::new(hz(60), Unit::Metre, seed)),
        },
    ]
}

/// What the tables measure in; the game itself counts in inches.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Unit {
    Inch,
    Metre,
}

struct Deathmatch {
    rate: TickRate,
    unit: Unit,
    level: Arc<Level>,
    players: Vec<Player>,
    random: Random,
}

struct Player {
    body: Body,
    mind: Mind,
    /// Seconds until it is back, if it is dead.
    dead_for: Option<f32>,
    has_teleported: bool,
}

impl Deathmatch {
    fn new(rate: TickRate, unit: Unit, seed: u64) -> Self {
        let (level, mut random) = (Arc::new(Level::new()), Random::from_seed(seed));
        let player = |_| Player {
            body: Body::at(level.random_place(&mut random)),
            mind: Mind::new(random.next_u64()),
            dead_for: None,
            has_teleported: true,
        };
        let players = (0..PLAYERS).map(player).collect();
        Self { rate, unit, level, players, random }
    }

    /// The nearest living player that this one sees.
    fn enemy_of(&self, index: usize) -> Option<Vec3> {
        let own = self.players[index].body.origin;
        let distance = |place: &Vec3| place.distance_squared(own);
        let others = self.players.iter().enumerate().filter(|(other, _)| *other != index);
        let near = others
            .filter(|(_, player)| player.dead_for.is_none())
            .map(|(_, player)| player.body.origin)
            .filter(|place| distance(place) < FIGHT_REACH * FIGHT_REACH);
        let nearest = near.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        self.level.sees(own, nearest).then_some(nearest)
    }

    fn play(&mut self, index: usize, dt: f32) {
        let enemy = self.enemy_of(index);
        let player = &mut self.players[index];
        player.has_teleported = false;
        if let Some(seconds) = &mut player.dead_for {
            *seconds -= dt;
            if *seconds <= 0.0 {
                player.respawn(self.level.random_place(&mut self.random), self.random.range_f32(-3.0..3.0));
            } else {
                player.body.advance(&self.level, Vec3::ZERO, false, dt);
            }
            return;
        }
        let view = View { own: &player.body, enemy, level: &self.level };
        let wish = player.mind.think(dt, &view);
        player.body.advance(&self.level, wish.way, wish.jumps, dt);
        if let Some((place, yaw)) = self.level.teleport(player.body.origin) {
            player.body.origin = place;
            player.body.velocity = Vec3::new(libm::cosf(yaw), libm::sinf(yaw), 0.0) * 300.0;
            player.mind.aim.face(yaw);
            player.has_teleported = true;
        }
        if enemy.is_some() && self.random.chance(DEATHS * dt) {
            player.dead_for = Some(DEAD_SECONDS);
        }
    }
}

impl Player {
    fn respawn(&mut self, place: Vec3, yaw: f32) {
        self.body = Body::at(place);
        self.mind.aim.face(yaw);
        self.dead_for = None;
        self.has_teleported = true;
    }
}

impl Stage for Deathmatch {
    fn step(&mut self) {
        for index in 0..self.players.len() {
            self.play(index, self.rate.dt());
        }
    }

    fn save(&self, out: &mut Tables) {
        for (index, player) in self.players.iter().enumerate() {
            let (origin, velocity) = (player.body.origin, player.body.velocity);
            let [yaw, pitch] = player.mind.aim.angles();
            let mut row = out.insert(PLAYER, head(index).teleported(player.has_teleported));
            row.set_angle(YAW, yaw).set_angle(PITCH, pitch);
            match self.unit {
                Unit::Inch => row.set_vec3(POSITION, origin),
                Unit::Metre => row
                    .set_vec3(POSITION, origin / UNITS_PER_METRE)
                    .set_vec3(VELOCITY, velocity / UNITS_PER_METRE),
            };
        }
    }
}
