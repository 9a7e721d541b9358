//! One player of the arena, and its row.

use glam::Vec3;
use tickwire_protocol::{EntityId, PlayerId, RowHead, RowRef, Tables};

use super::movement::STAMINA_MAX;
use super::schema::{PLAYER, player};

/// Health of one who is unhurt.
pub const HEALTH_MAX: i32 = 100;

/// What a player is seen to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Action {
    /// Stands.
    #[default]
    Idle,
    /// Moves along the ground.
    Run,
    /// Rises.
    Jump,
    /// Falls.
    Fall,
    /// Was hit hard and cannot help itself.
    Stunned,
}

impl Action {
    const ALL: [Self; 5] = [Self::Idle, Self::Run, Self::Jump, Self::Fall, Self::Stunned];

    /// What the integer of [`player::ACTION`] means; anything unknown is idle.
    pub fn from_integer(integer: i32) -> Self {
        Self::ALL.get(integer as usize).copied().unwrap_or_default()
    }
}

/// The state of a player: what its row says, nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Player {
    pub(super) id: EntityId,
    pub(super) owner: Option<PlayerId>,
    pub(super) position: Vec3,
    pub(super) velocity: Vec3,
    pub(super) yaw: f32,
    pub(super) pitch: f32,
    pub(super) action: Action,
    pub(super) health: i32,
    pub(super) score: i32,
    pub(super) stamina: f32,
    pub(super) stunned_ticks: u32,
    pub(super) reload_ticks: u32,
    pub(super) shield_ticks: u32,
    pub(super) disturbed_ticks: u32,
    /// Whether others have changed anything of this player; a fact of this tick.
    pub(super) is_disturbed: bool,
    /// A fact of this tick.
    pub(super) has_scored: bool,
    /// A fact of this tick.
    pub(super) has_teleported: bool,
}

impl Player {
    pub(super) fn new(id: EntityId, owner: PlayerId, position: Vec3) -> Self {
        Self {
            id,
            owner: Some(owner),
            position,
            velocity: Vec3::ZERO,
            yaw: 0.0,
            pitch: 0.0,
            action: Action::Idle,
            health: HEALTH_MAX,
            score: 0,
            stamina: STAMINA_MAX,
            stunned_ticks: 0,
            reload_ticks: 0,
            shield_ticks: 0,
            disturbed_ticks: 0,
            is_disturbed: false,
            has_scored: false,
            has_teleported: false,
        }
    }

    pub(super) fn read(head: RowHead, row: RowRef<'_>) -> Self {
        Self {
            id: head.id,
            owner: head.owner,
            position: row.vec3(player::POSITION),
            velocity: row.vec3(player::VELOCITY),
            yaw: row.angle(player::YAW),
            pitch: row.scalar(player::PITCH),
            action: Action::from_integer(row.integer(player::ACTION)),
            health: row.integer(player::HEALTH),
            score: row.integer(player::SCORE),
            stamina: row.scalar(player::STAMINA),
            stunned_ticks: row.integer(player::STUNNED_TICKS) as u32,
            reload_ticks: row.integer(player::RELOAD_TICKS) as u32,
            shield_ticks: row.integer(player::SHIELD_TICKS) as u32,
            disturbed_ticks: row.integer(player::DISTURBED_TICKS) as u32,
            is_disturbed: false,
            has_scored: false,
            has_teleported: false,
        }
    }

    /// Somebody else has nothing left, because of this player.
    pub(super) fn win_point(&mut self) {
        self.score += 1;
        self.is_disturbed = true;
        self.has_scored = true;
    }

    pub(super) fn write(&self, out: &mut Tables) {
        let mut head = RowHead::new(self.id).teleported(self.has_teleported);
        head.owner = self.owner;
        out.insert(PLAYER, head)
            .set_vec3(player::POSITION, self.position)
            .set_vec3(player::VELOCITY, self.velocity)
            .set_angle(player::YAW, self.yaw)
            .set_scalar(player::PITCH, self.pitch)
            .set_integer(player::ACTION, self.action as i32)
            .set_integer(player::HEALTH, self.health)
            .set_integer(player::SCORE, self.score)
            .set_scalar(player::STAMINA, self.stamina)
            .set_integer(player::STUNNED_TICKS, self.stunned_ticks as i32)
            .set_integer(player::RELOAD_TICKS, self.reload_ticks as i32)
            .set_integer(player::SHIELD_TICKS, self.shield_ticks as i32)
            .set_integer(player::DISTURBED_TICKS, self.disturbed_ticks as i32);
    }
}
