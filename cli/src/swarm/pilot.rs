//! What bots do with their hands where they see nothing: light bots decode no rows.
//!
//! A brawl is played from a script: the inputs of a match of brains that did see each other. A crowd is walked by dead reckoning
//! from where the first snapshot put the player.

use std::sync::Arc;

use glam::{Vec2, Vec3, Vec3Swizzles};
use tickwire_protocol::schema::Kind;
use tickwire_protocol::{PlayerId, RowMut, Tick, TickRate};
use tickwire_sim::arena::{self, Arena, Level, PLAYER, directions, input};
use tickwire_sim::bots::{BotBody, BotView, Brain};
use tickwire_sim::{PlayerInputs, World, WorldConfig};

/// Players of the match that scripts are taken from, and for how long it goes, seconds.
const SCRIPT_PLAYERS: u32 = 32;
const SCRIPT_SECONDS: u32 = 20;
/// Bots that play the same part of a script are this many ticks apart: a prime, so that they stay apart.
const SCRIPT_SHIFT_TICKS: usize = 97;

/// How fast a player runs, m/s.
const RUN_SPEED: f32 = arena::GROUND_ACCELERATION / arena::FRICTION;
/// How far from its place a bot of a crowd starts to walk in circles, and from how far it comes back, metres.
const NEAR: f32 = 2.0;
const FAR: f32 = 6.0;
/// From within this distance of its place it walks, metres: who runs into others hurts them.
const SLOW_WITHIN: f32 = 25.0;
/// Share of full speed at a walk: two who meet stay below the speed that hurts.
const WALK: f32 = 0.3;
/// How fast who is in place turns, radians a second: a circle of 1.5 m.
const TURN_SPEED: f32 = 1.5;
/// Floor for each bot of a crowd, m^2.
const FLOOR_PER_BOT: f32 = 1.25;
/// No crowd stands closer than within this radius, metres.
const CROWD_RADIUS_MIN: f32 = 4.0;

/// The inputs of a match, tick by tick.
#[derive(Debug)]
pub(super) struct Script {
    columns: usize,
    ticks: usize,
    /// Per tick, per player.
    values: Vec<i32>,
}

impl Script {
    /// Plays a match of brains.
    pub(super) fn record(seed: u64, tick_rate: TickRate) -> Self {
        let config = WorldConfig { seed, tick_rate, first_tick: Tick(0) };
        let mut world = World::new(Box::new(Arena::new(Level::for_players(SCRIPT_PLAYERS as usize))), config);
        let mut brains: Vec<_> =
            (0..SCRIPT_PLAYERS).map(|player| Brain::new(seed << 16 | u64::from(player))).collect();
        let mut inputs = PlayerInputs::new(arena::schema().clone());
        let ticks = (SCRIPT_SECONDS * tick_rate.hz()) as usize;
        let columns = arena::schema().input().column_count();
        let mut values = Vec::with_capacity(ticks * columns * brains.len());
        for _ in 0..ticks {
            think(&world, &mut brains, &mut inputs);
            for (_, row) in inputs.iter() {
                values.extend((0..columns).map(|column| row.column(column)));
            }
            world.step(&inputs);
        }
        Self { columns, ticks, values }
    }

    /// What bot number `bot` wants at `tick`.
    fn row(&self, bot: usize, tick: Tick) -> &[i32] {
        let players = SCRIPT_PLAYERS as usize;
        let at = (tick.0 as usize).wrapping_add(bot / players * SCRIPT_SHIFT_TICKS) % self.ticks;
        &self.values[(at * players + bot % players) * self.columns..][..self.columns]
    }
}

/// What each brain wants next.
fn think(world: &World, brains: &mut [Brain], inputs: &mut PlayerInputs) {
    let rows = world.tables().rows(PLAYER);
    let bodies: Vec<_> = rows.map(|(head, row)| (head.owner, BotBody::read(row))).collect();
    inputs.clear();
    let dt = world.config().tick_rate.dt();
    for (player, brain) in (1..).map(PlayerId).zip(brains) {
        let is_own = |owner: Option<PlayerId>| owner == Some(player);
        let own = bodies.iter().find(|(owner, _)| is_own(*owner)).map(|(_, body)| *body);
        let others: Vec<_> =
            bodies.iter().filter(|(owner, _)| !is_own(*owner)).map(|(_, body)| *body).collect();
        let mut row = if own.is_some() { inputs.insert(player) } else { inputs.join(player) };
        brain.think(dt, &BotView { own, others: &others, targets: &others, level: None }, &mut row);
    }
}

/// The way of a bot to its place in a crowd in the middle of the arena, and its walk there.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    place: Vec2,
    yaw: f32,
    is_there: bool,
}

impl Gather {
    /// The place of bot number `index` of `count`: the seeds of a sunflower, so that all have the same floor.
    pub(super) fn new(index: usize, count: usize) -> Self {
        let radius = (FLOOR_PER_BOT * count as f32 / core::f32::consts::PI).sqrt().max(CROWD_RADIUS_MIN);
        let golden = core::f32::consts::PI * (3.0 - 5_f32.sqrt());
        let share = (index as f32 + 0.5) / count.max(1) as f32;
        let place = Vec2::from_angle(index as f32 * golden % core::f32::consts::TAU) * radius * share.sqrt();
        Self { place, yaw: 0.0, is_there: false }
    }

    /// Writes the input of one who stands at `position`, for `dt` seconds; its velocity along the floor, m/s, if nobody is in its way.
    pub(super) fn steer(&mut self, position: Vec2, dt: f32, row: &mut RowMut<'_>) -> Vec2 {
        let way = self.place - position;
        let distance = way.length();
        self.is_there = distance < if self.is_there { FAR } else { NEAR };
        self.yaw =
            if self.is_there { self.yaw + TURN_SPEED * dt } else { Vec2::new(-way.y, -way.x).to_angle() };
        let share = if distance > SLOW_WITHIN { 1.0 } else { WALK };
        row.set_vec2(input::MOVE, Vec2::new(0.0, share)).set_angle(input::YAW, self.yaw);
        let [_, ahead] = directions(self.yaw);
        ahead * share * RUN_SPEED
    }
}

/// What a light bot does.
#[derive(Clone, Debug)]
pub(super) enum Pilot {
    /// Nothing.
    Still,
    /// What somebody did in a match.
    Scripted { script: Arc<Script>, bot: usize },
    /// Goes to its place, from where it is thought to be.
    Gathers { gather: Gather, position: Option<Vec2> },
}

impl Pilot {
    /// The state says where the player is.
    pub(super) fn note_position(&mut self, at: Vec3) {
        if let Self::Gathers { position, .. } = self {
            *position = Some(at.xz());
        }
    }

    /// Writes the input for `tick`, of the arena's `kind`, into `values`.
    pub(super) fn fill(&mut self, kind: &Kind, tick: Tick, dt: f32, values: &mut Vec<i32>) {
        values.clear();
        if let Self::Scripted { script, bot } = self {
            values.extend_from_slice(script.row(*bot, tick));
            return;
        }
        values.resize(kind.column_count(), 0);
        let mut row = RowMut::new(kind, values);
        row.reset();
        if let Self::Gathers { gather, position: Some(position) } = self {
            *position += gather.steer(*position, dt, &mut row) * dt;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::RowRef;

    const RATE: u32 = 60;

    fn rate() -> TickRate {
        TickRate::new(RATE).unwrap()
    }

    #[test]
    fn a_script_is_a_brawl() {
        let script = Script::record(1, rate());
        let kind = arena::schema().input();
        let (mut moves, mut shots, mut jumps) = (0, 0, 0);
        for tick in 0..SCRIPT_SECONDS * RATE {
            for bot in 0..SCRIPT_PLAYERS as usize {
                let row = RowRef::new(kind, script.row(bot, Tick(tick)));
                moves += u32::from(row.vec2(input::MOVE).length() > 0.5);
                shots += u32::from(row.boolean(input::FIRE));
                jumps += u32::from(row.boolean(input::JUMP));
            }
        }
        let player_seconds = SCRIPT_PLAYERS * SCRIPT_SECONDS;
        assert!(moves > player_seconds * RATE / 2, "{moves}");
        assert!((player_seconds / 2..player_seconds * 2).contains(&shots), "{shots}");
        assert!((player_seconds / 8..player_seconds).contains(&jumps), "{jumps}");
        // Bots beyond the script's players do the same at other times.
        let other = SCRIPT_PLAYERS as usize;
        assert_ne!(script.row(0, Tick(9)), script.row(1, Tick(9)));
        assert_eq!(script.row(0, Tick(9 + SCRIPT_SHIFT_TICKS as u32)), script.row(other, Tick(9)));
        assert_eq!(script.row(25_000, Tick(u32::MAX)).len(), kind.column_count());
    }

    #[test]
    fn a_crowd_gathers_in_time_and_stays() {
        // In the arena itself, with its blocks and with the others in the way.
        let bots = 40;
        let config = WorldConfig { seed: 1, tick_rate: rate(), first_tick: Tick(0) };
        let mut world = World::new(Box::new(Arena::new(Level::for_players(400))), config);
        let kind = arena::schema().input();
        let mut inputs = PlayerInputs::new(arena::schema().clone());
        let mut pilots: Vec<_> =
            (0..bots).map(|bot| Pilot::Gathers { gather: Gather::new(bot, bots), position: None }).collect();
        let mut values = Vec::new();
        let mut distances = Vec::new();
        for tick in 0..60 * RATE {
            inputs.clear();
            for (player, pilot) in (1..).map(PlayerId).zip(&mut pilots) {
                let own = world.tables().rows(PLAYER).find(|(head, _)| head.owner == Some(player));
                if let (1, Some((_, row))) = (tick, own) {
                    pilot.note_position(row.vec3(arena::player::POSITION));
                }
                pilot.fill(kind, Tick(tick), rate().dt(), &mut values);
                let mut row = if own.is_some() { inputs.insert(player) } else { inputs.join(player) };
                row.copy_from(&values);
            }
            world.step(&inputs);
            if tick == 30 * RATE || tick == 60 * RATE - 1 {
                let rows = world.tables().rows(PLAYER);
                let from_middle =
                    |row: tickwire_protocol::RowRef<'_>| row.vec3(arena::player::POSITION).xz().length();
                distances.push(rows.filter(|(_, row)| from_middle(*row) < 20.0).count());
            }
        }
        // Dead reckoning knows of no block on the way.
        assert!(distances.iter().all(|&near| near >= bots * 8 / 10), "{distances:?} of {bots}");
    }
}
