//! What players, cues and inputs of the arena are made of.

use std::sync::{Arc, LazyLock};

use tickwire_protocol::limits::TICK_HZ_MAX;
use tickwire_protocol::schema::{CueId, Field, FieldId, FieldType, Kind, KindId, Schema, SchemaBuilder};

use super::level::HALF_SIDE_MAX;
use super::movement::{JUMP_SPEED, STAMINA_MAX};
use super::sight::CEILING;
use super::{courier, talk, teams};

/// The one kind of entity: a player.
pub const PLAYER: KindId = KindId(0);

/// The source left the ground by its own will.
pub const JUMPED: CueId = CueId(0);
/// The source came down, at [`cue::SPEED`].
pub const LANDED: CueId = CueId(1);
/// The source ran into [`cue::OTHER`], at [`cue::SPEED`].
pub const BUMPED: CueId = CueId(2);
/// The source shot. It hit [`cue::OTHER`], or nobody; the shot ended at [`cue::END`].
pub const SHOT: CueId = CueId(3);

/// The fields of a [`PLAYER`].
pub mod player {
    use super::FieldId;

    /// The middle of the feet, metres; y is up, the floor is at 0.
    pub const POSITION: FieldId = FieldId(0);
    /// Metres a second.
    pub const VELOCITY: FieldId = FieldId(1);
    /// Where it looks: 0 along -z, growing to the left (the rotation about +y), radians.
    pub const YAW: FieldId = FieldId(2);
    /// How far up it looks, radians.
    pub const PITCH: FieldId = FieldId(3);
    /// An [`Action`](super::super::Action).
    pub const ACTION: FieldId = FieldId(4);
    /// 1 to 100.
    pub const HEALTH: FieldId = FieldId(5);
    /// Others knocked out.
    pub const SCORE: FieldId = FieldId(6);
    /// What sprints and jumps take from, 0 to 100. Told to the owner alone.
    pub const STAMINA: FieldId = FieldId(7);
    /// Ticks until it can move by its own will again. Told to the owner alone.
    pub const STUNNED_TICKS: FieldId = FieldId(8);
    /// Ticks until it can shoot again. Told to the owner alone.
    pub const RELOAD_TICKS: FieldId = FieldId(9);
    /// Ticks until shots hurt it again, after it was knocked out and came back. Told to the owner alone.
    pub const SHIELD_TICKS: FieldId = FieldId(10);
    /// Falls by one a tick from [`disturbed_ticks`](super::super::disturbed_ticks), which it is set to in every tick in which
    /// others changed anything of this row: by contact, a hit, a point, a knock-out. So the last such tick is named for a
    /// second: `disturbed_ticks(rate) - value` ticks before that of the row; 0 means longer ago, or never. Told to the owner
    /// alone: what a client could not foresee.
    pub const DISTURBED_TICKS: FieldId = FieldId(11);
}

/// The fields of the cues.
pub mod cue {
    use super::FieldId;

    /// Of [`LANDED`](super::LANDED) and [`BUMPED`](super::BUMPED): how fast the two came together, m/s.
    pub const SPEED: FieldId = FieldId(0);
    /// Of [`BUMPED`](super::BUMPED): into whom. Of [`SHOT`](super::SHOT): whom it hit, or nobody.
    pub const OTHER: FieldId = FieldId(1);
    /// Of [`SHOT`](super::SHOT): where it ended, metres.
    pub const END: FieldId = FieldId(0);
}

/// The fields of a player's input.
pub mod input {
    use super::FieldId;

    /// Where to go: to the right and ahead, as seen by the player, each -1 to 1. Longer than 1 counts as 1.
    pub const MOVE: FieldId = FieldId(0);
    /// Where to look, as [`player::YAW`](super::player::YAW).
    pub const YAW: FieldId = FieldId(1);
    /// How far up to look, as [`player::PITCH`](super::player::PITCH).
    pub const PITCH: FieldId = FieldId(2);
    /// Jump as soon as there is ground to jump from.
    pub const JUMP: FieldId = FieldId(3);
    /// Run as fast as possible.
    pub const SPRINT: FieldId = FieldId(4);
    /// Shoot as soon as the weapon is loaded.
    pub const FIRE: FieldId = FieldId(5);
}

/// Greatest speed along an axis that the schema can say, m/s: 11 bits, a little above what the arena allows.
pub(super) const AXIS_SPEED_MAX: f32 = 10.23;
/// How far a player can look up or down, radians; a little short of upright.
pub const PITCH_MAX: f32 = 1.53;
/// The highest place that the schema can say, metres.
const HEIGHT_MAX: f64 = 20.47;
const _: () = assert!(CEILING <= HEIGHT_MAX as f32);
const YAW_BITS: u8 = 12;

/// The arena's schema; one for all arenas of all sizes.
pub fn schema() -> &'static Arc<Schema> {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| match declare() {
        Ok(schema) => schema,
        Err(error) => unreachable!("the arena's schema is sound: {error}"),
    });
    &SCHEMA
}

fn declare() -> Result<Arc<Schema>, tickwire_protocol::schema::SchemaError> {
    let side = -f64::from(HALF_SIDE_MAX)..=f64::from(HALF_SIDE_MAX);
    let position = FieldType::position([side.clone(), 0.0..=HEIGHT_MAX, side], 0.01);
    let velocity = FieldType::velocity(player::POSITION, f64::from(AXIS_SPEED_MAX), 0.01);
    let pitch = FieldType::scalar(-f64::from(PITCH_MAX)..=f64::from(PITCH_MAX), 0.003);
    let stamina = FieldType::scalar(0.0..=f64::from(STAMINA_MAX), 0.01);
    let speed = FieldType::scalar(0.0..=25.5, 0.1);
    let timer = |id, name| Field::new(id, name, FieldType::integer(0..=TICK_HZ_MAX as i32)).owner_only();
    let messages = talk::message_types().into_iter().chain(teams::message_types());
    let builder = Schema::builder("arena")
        .kind(Kind::new(
            PLAYER,
            "player",
            [
                Field::new(player::POSITION, "position", position.clone()),
                Field::new(player::VELOCITY, "velocity", velocity),
                Field::new(player::YAW, "yaw", FieldType::angle(YAW_BITS)),
                Field::new(player::PITCH, "pitch", pitch.clone()),
                Field::new(player::ACTION, "action", FieldType::integer(0..=4)),
                Field::new(player::HEALTH, "health", FieldType::integer(0..=100)),
                Field::new(player::SCORE, "score", FieldType::integer(0..=9_999)),
                Field::new(player::STAMINA, "stamina", stamina).owner_only(),
                timer(player::STUNNED_TICKS, "stunned_ticks"),
                timer(player::RELOAD_TICKS, "reload_ticks"),
                timer(player::SHIELD_TICKS, "shield_ticks"),
                timer(player::DISTURBED_TICKS, "disturbed_ticks"),
            ],
        ))
        .cue(Kind::cue(JUMPED, "jumped", []))
        .cue(Kind::cue(LANDED, "landed", [Field::new(cue::SPEED, "speed", speed.clone())]))
        .cue(Kind::cue(
            BUMPED,
            "bumped",
            [Field::new(cue::SPEED, "speed", speed), Field::new(cue::OTHER, "other", FieldType::entity())],
        ))
        .cue(Kind::cue(
            SHOT,
            "shot",
            [Field::new(cue::END, "end", position), Field::new(cue::OTHER, "other", FieldType::entity())],
        ))
        .input([
            Field::new(input::MOVE, "move", FieldType::position([-1.0..=1.0, -1.0..=1.0], 1.0 / 127.0)),
            Field::new(input::YAW, "yaw", FieldType::angle(YAW_BITS)),
            Field::new(input::PITCH, "pitch", pitch),
            Field::new(input::JUMP, "jump", FieldType::boolean()).momentary(),
            Field::new(input::SPRINT, "sprint", FieldType::boolean()),
            Field::new(input::FIRE, "fire", FieldType::boolean()),
        ]);
    messages.chain([courier::message_type()]).fold(builder, SchemaBuilder::message).build()
}

const _: () = assert!(JUMP_SPEED < AXIS_SPEED_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_small_as_intended() {
        let bits = |kind: &Kind| kind.columns().iter().map(|column| column.bits).collect::<Vec<_>>();
        let player = bits(schema().kind(PLAYER));
        assert_eq!(player, [16, 11, 16, 11, 11, 11, 12, 10, 3, 7, 14, 14, 8, 8, 8, 8]);
        assert_eq!(bits(schema().input()), [8, 8, 12, 10, 1, 1, 1]);
        let along = schema().input().columns()[0];
        assert_eq!((along.min, along.max), (-127, 127));
    }
}
