//! The example game: players in a walled square who run, sprint, jump, bump into each other and shoot.
//!
//! Its numbers are those under which the engine's figures are measured. Who is run into hard, or shot, loses health; who has
//! none left is back, unhurt, in another place, and the other scores. Shots hit whom the shooter was shown, where it was
//! shown ([`StepContext::seen_by`]); what they do to anybody is decided by the authority.
//!
//! | file | what it decides |
//! |---|---|
//! | `schema` | the columns of players, cues and inputs |
//! | `level` | floor, walls, blocks: static, and what they stop |
//! | `movement` | one player's way through the level |
//! | `contact` | what two players do to each other |
//! | `weapon` | whom a shot hits, and its numbers |
//! | `ray`, `capsule`, `sight` | where a ray meets boxes, players, the level |
//! | `state` | a player, and its row |
//! | `talk`, `teams`, `courier` | what players say: to everyone, to their team, to one of the others |

mod capsule;
mod contact;
mod courier;
mod level;
mod movement;
mod ray;
mod schema;
mod sight;
mod state;
mod talk;
mod teams;
mod weapon;

use std::sync::Arc;

use glam::{Vec3, Vec3Swizzles};
use tickwire_protocol::room::{MatchStatus, Score};
use tickwire_protocol::{EntityId, PlayerId, RowMut, Schema, Tables, TickRate};

use self::contact::{Contacts, Impact};
use self::state::Player;
use self::talk::Talk;
use self::weapon::Hit;
use crate::context::StepContext;
use crate::simulation::Simulation;

pub use capsule::meet_capsule;
pub use courier::{
    ASK, PICTURE, PICTURE_BYTES_MAX, QUESTION_BYTES_MAX, TITLE_BYTES_MAX, addressed, read_addressed,
};
pub use level::{Block, HALF_SIDE_MAX, LEVEL_EXTENSION, Level};
pub use movement::{
    AIR_ACCELERATION, FRICTION, GRAVITY, GROUND_ACCELERATION, JUMP_SPEED, SPEED_MAX, STAMINA_MAX, directions,
};
pub use ray::Ray;
pub use schema::{BUMPED, JUMPED, LANDED, PITCH_MAX, PLAYER, SHOT, cue, input, player, schema};
pub use state::{Action, HEALTH_MAX};
pub use talk::{CHAT, CHEER, CHEERED, EMOTE, EMOTE_BYTES_MAX, LINE_BYTES_MAX, MARK, Utterance, read_cheer};
pub use teams::{JOIN_TEAM, TEAM_CHAT, TEAMS, TeamChange, TeamLine};
pub use weapon::{EYE_HEIGHT, RELOAD_SECONDS, SHIELD_SECONDS, SHOT_DAMAGE, Trace, trace_shot};

/// Radius of a player's capsule, metres.
pub const RADIUS: f32 = 0.4;
/// Height of a player's capsule, metres.
pub const HEIGHT: f32 = 1.8;

/// Softer landings and bumps make no cue, m/s.
const CUE_SPEED_MIN: f32 = 3.0;
/// Softer bumps do not hurt, m/s.
const HURT_SPEED_MIN: f32 = 6.0;
/// Health lost per m/s above that.
const HURT_PER_SPEED: f32 = 8.0;
/// For how long [`player::DISTURBED_TICKS`] names a disturbance, seconds: longer than states are usually apart that a client
/// compares.
const DISTURBED_SECONDS: f32 = 1.0;
/// How long a hard bump stuns, seconds.
const STUN_SECONDS: f32 = 0.5;
/// Slower players are seen to stand, m/s.
const RUN_SPEED_MIN: f32 = 0.5;
/// How far from all others a player should come into the arena, metres.
const SPAWN_DISTANCE: f32 = 3.0;
/// Places to look at for that.
const SPAWN_TRIES: usize = 8;

/// The example game.
#[derive(Clone, Debug)]
pub struct Arena {
    level: Arc<Level>,
    /// In ascending id.
    players: Vec<Player>,
    contacts: Contacts,
    /// Of this tick; kept for its memory.
    hits: Vec<Hit>,
    talk: Talk,
}

/// What [`player::DISTURBED_TICKS`] is set to, ticks.
pub fn disturbed_ticks(rate: TickRate) -> u32 {
    ticks(DISTURBED_SECONDS, rate)
}

/// So many seconds, at most 1, in ticks, rounded up.
fn ticks(seconds: f32, rate: TickRate) -> u32 {
    (seconds * rate.hz() as f32).ceil() as u32
}

impl Arena {
    /// An empty arena on this level.
    pub fn new(level: impl Into<Arc<Level>>) -> Self {
        Self {
            level: level.into(),
            players: Vec::new(),
            contacts: Contacts::default(),
            hits: Vec::new(),
            talk: Talk::default(),
        }
    }

    /// The level.
    pub fn level(&self) -> &Arc<Level> {
        &self.level
    }

    fn join(&mut self, owner: PlayerId, ctx: &mut StepContext<'_>) {
        let id = ctx.spawn(PLAYER);
        let place = self.vacant_place(ctx.random(id));
        let index = self.players.partition_point(|player| player.id < id);
        self.players.insert(index, Player::new(id, owner, place));
    }

    /// Of a few places, the first with nobody near, or the one where the nearest is farthest.
    fn vacant_place(&self, mut random: crate::Random) -> Vec3 {
        let spawns = self.level.spawns();
        let mut best = (f32::NEG_INFINITY, Vec3::ZERO);
        for index in 0..spawns.len().max(SPAWN_TRIES) {
            let place = match spawns.get(index) {
                Some(&spawn) => spawn,
                None if spawns.is_empty() => self.level.random_place(&mut random),
                None => break,
            };
            let distances = self.players.iter().map(|player| player.position.distance_squared(place));
            let nearest = distances.fold(f32::INFINITY, f32::min);
            if nearest > best.0 {
                best = (nearest, place);
            }
            if nearest >= SPAWN_DISTANCE * SPAWN_DISTANCE {
                break;
            }
        }
        best.1
    }

    fn move_players(&mut self, ctx: &mut StepContext<'_>) {
        let (tick, dt) = (ctx.tick(), ctx.dt());
        for player in &mut self.players {
            let input = player.owner.and_then(|owner| ctx.input(owner));
            let moved = movement::advance(player, input, &self.level, tick, dt);
            if moved.has_jumped {
                ctx.cue(JUMPED, Some(player.id));
            }
            if let Some(speed) = moved.landing.filter(|&speed| speed >= CUE_SPEED_MIN) {
                ctx.cue(LANDED, Some(player.id)).set_scalar(cue::SPEED, speed);
            }
        }
    }

    fn bump_players(&mut self, ctx: &mut StepContext<'_>) {
        let stun_ticks = ticks(STUN_SECONDS, ctx.tick_rate());
        let Self { level, players, contacts, .. } = self;
        for &Impact { runner, other, speed } in contacts.resolve(players, level) {
            let [source, target] = [runner, other].map(|place| players[place].id);
            if speed >= CUE_SPEED_MIN {
                ctx.cue(BUMPED, Some(source))
                    .set_scalar(cue::SPEED, speed)
                    .set_entity(cue::OTHER, Some(target));
            }
            if speed >= HURT_SPEED_MIN {
                let victim = &mut players[other];
                let health = victim.health;
                victim.health -= 1 + ((speed - HURT_SPEED_MIN) * HURT_PER_SPEED) as i32;
                victim.stunned_ticks = stun_ticks;
                // Who is pinned in a corner need not have moved.
                victim.is_disturbed = true;
                if health > 0 && victim.health <= 0 {
                    players[runner].win_point();
                }
            }
        }
    }

    /// Lets those shoot who want to and can. All shoot at once: nobody is quicker for having a lower id.
    fn shoot(&mut self, ctx: &mut StepContext<'_>) {
        self.hits.clear();
        let reload_ticks = ticks(RELOAD_SECONDS, ctx.tick_rate());
        for shooter in 0..self.players.len() {
            let player = &mut self.players[shooter];
            player.shield_ticks = player.shield_ticks.saturating_sub(1);
            player.reload_ticks = player.reload_ticks.saturating_sub(1);
            let Some(owner) = player.owner else { continue };
            if player.reload_ticks > 0 || self.level.is_peaceful() {
                continue;
            }
            if !ctx.input(owner).is_some_and(|row| row.boolean(input::FIRE)) {
                continue;
            }
            player.reload_ticks = reload_ticks;
            let (id, eye) = (player.id, player.position + Vec3::Y * EYE_HEIGHT);
            let ray = Ray::of_look(eye, player.yaw, player.pitch);
            let Trace { target, end } = self.trace(ctx, owner, id, &ray);
            ctx.cue(SHOT, Some(id)).set_entity(cue::OTHER, target).set_vec3(cue::END, end);
            let target = target.and_then(|id| self.players.binary_search_by_key(&id, |other| other.id).ok());
            self.hits.extend(target.map(|target| Hit { shooter, target }));
        }
    }

    /// Among the others as the shooter was shown them; as they are, if nobody knows that.
    fn trace(&self, ctx: &mut StepContext<'_>, owner: PlayerId, shooter: EntityId, ray: &Ray) -> Trace {
        if let Some(seen) = ctx.seen_by(owner, PLAYER) {
            let bodies = seen.map(|(head, row)| (head.id, row.vec3(player::POSITION)));
            return trace_shot(&self.level, ray, bodies);
        }
        let others = self.players.iter().filter(|other| other.id != shooter);
        trace_shot(&self.level, ray, others.map(|other| (other.id, other.position)))
    }

    /// Where all health is known, and nowhere else.
    fn hurt_players(&mut self, ctx: &StepContext<'_>) {
        if !ctx.is_authority() {
            return;
        }
        for &Hit { shooter, target } in &self.hits {
            let victim = &mut self.players[target];
            if victim.shield_ticks > 0 {
                continue;
            }
            let was_standing = victim.health > 0;
            victim.health -= SHOT_DAMAGE;
            victim.is_disturbed = true;
            if was_standing && victim.health <= 0 {
                self.players[shooter].win_point();
            }
        }
    }

    fn revive_players(&mut self, ctx: &StepContext<'_>) {
        let shield_ticks = ticks(SHIELD_SECONDS, ctx.tick_rate());
        for index in 0..self.players.len() {
            if self.players[index].health <= 0 {
                let place = self.vacant_place(ctx.random(self.players[index].id));
                let player = &mut self.players[index];
                player.position = place;
                player.velocity = Vec3::ZERO;
                player.health = HEALTH_MAX;
                player.stamina = STAMINA_MAX;
                player.stunned_ticks = 0;
                player.shield_ticks = shield_ticks;
                player.is_disturbed = true;
                player.has_teleported = true;
            }
        }
    }

    /// Tells everybody how the match stands, where somebody listens.
    fn tell_match(&self, ctx: &mut StepContext<'_>) {
        let (left, joined) = (ctx.left(), ctx.joined());
        let Some(board) = ctx.match_state() else { return };
        for &player in left {
            board.remove_score(player);
        }
        board.set_status(MatchStatus::Running, None);
        for player in &self.players {
            let Some(owner) = player.owner.filter(|owner| player.has_scored || joined.contains(owner)) else {
                continue;
            };
            // There are no more players than members.
            let _ = board.set_score(owner, Score { points: player.score, data: Vec::new() });
        }
    }

    fn act(&mut self, ctx: &StepContext<'_>) {
        let disturbed_ticks = disturbed_ticks(ctx.tick_rate());
        for player in &mut self.players {
            player.disturbed_ticks =
                if player.is_disturbed { disturbed_ticks } else { player.disturbed_ticks.saturating_sub(1) };
            player.action = if player.stunned_ticks > 0 {
                Action::Stunned
            } else if player.velocity.y > 0.0 {
                Action::Jump
            } else if !self.level.supports(player.position) {
                Action::Fall
            } else if player.velocity.xz().length() >= RUN_SPEED_MIN {
                Action::Run
            } else {
                Action::Idle
            };
        }
    }
}

/// An arena for 16 players, 40 x 40 m.
impl Default for Arena {
    fn default() -> Self {
        Self::new(Level::default())
    }
}

impl Simulation for Arena {
    fn schema(&self) -> &Arc<Schema> {
        schema()
    }

    /// A wish is at most 1 long.
    fn sanitize(&self, input: &mut RowMut<'_>) {
        let wished = input.as_ref().vec2(input::MOVE);
        if wished.length_squared() > 1.0 {
            input.set_vec2(input::MOVE, wished.clamp_length_max(1.0));
        }
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.players.retain(|player| player.owner.is_none_or(|owner| !ctx.left().contains(&owner)));
        for &player in ctx.joined() {
            self.join(player, ctx);
        }
        self.move_players(ctx);
        self.bump_players(ctx);
        self.shoot(ctx);
        self.hurt_players(ctx);
        self.revive_players(ctx);
        self.act(ctx);
        self.tell_match(ctx);
        self.talk.step(ctx, &self.players);
    }

    fn save(&self, out: &mut Tables) {
        self.players.iter().for_each(|player| player.write(out));
    }

    fn load(&mut self, tables: &Tables) {
        self.players.clear();
        self.players.extend(tables.rows(PLAYER).map(|(head, row)| Player::read(head, row)));
    }
}
