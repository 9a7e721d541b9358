//! What server and clients must agree on: kinds, cues, the input, and how fast time goes.

use std::sync::Arc;

use tickwire_sim::prelude::*;

use crate::game::{DRONE_HULL, FIELD, HEALTH_MAX, MAGAZINE, MAGAZINE_TICKS, ROUTE, SPEED_MAX};

/// Slower than a shooter needs, fast enough for tanks. Half of the steps are sent: see `room` in `main.rs`.
pub(crate) const TICK_RATE: TickRate = TickRate::new(30).unwrap();

/// What a player drives.
pub(crate) const TANK: KindId = KindId(0);
/// Flies its round; nobody plays it.
pub(crate) const DRONE: KindId = KindId(1);

/// The source has fired.
pub(crate) const FIRED: CueId = CueId(0);
/// The source was hit.
pub(crate) const HIT: CueId = CueId(1);

/// The fields of a [`TANK`]. Its spawn payload is its name: what never changes need not be a field.
pub(crate) mod tank {
    use super::FieldId;

    pub(crate) const POSITION: FieldId = FieldId(0);
    pub(crate) const VELOCITY: FieldId = FieldId(1);
    pub(crate) const HEADING: FieldId = FieldId(2);
    /// Where the gun points, on the field (not on the tank).
    pub(crate) const TURRET: FieldId = FieldId(3);
    /// 0 or 1. A field of its own, because clients are not told the team mask of a row's head.
    pub(crate) const TEAM: FieldId = FieldId(4);
    /// What is in the sights.
    pub(crate) const TARGET: FieldId = FieldId(5);
    /// Who hit it last; may have left long ago.
    pub(crate) const HIT_BY: FieldId = FieldId(6);
    pub(crate) const SCORE: FieldId = FieldId(7);
    /// 1 to 100; 0 to those who are not told.
    pub(crate) const HEALTH: FieldId = FieldId(8);
    pub(crate) const AMMO: FieldId = FieldId(9);
    /// Ticks until the next shot. Not seconds: 1/30 s lies on no decimal lattice, and would be rounded every tick.
    pub(crate) const RELOAD_TICKS: FieldId = FieldId(10);
}

/// The fields of a [`DRONE`].
pub(crate) mod drone {
    use super::FieldId;

    pub(crate) const POSITION: FieldId = FieldId(0);
    /// Hits that it still takes.
    pub(crate) const HULL: FieldId = FieldId(1);
    /// Which point of the route it flies to.
    pub(crate) const NEXT: FieldId = FieldId(2);
}

/// The fields of the cues.
pub(crate) mod cue {
    use super::FieldId;

    /// Of `FIRED`: at what, if anything was in the sights.
    pub(crate) const TARGET: FieldId = FieldId(0);
    /// Of `HIT`: where. Who is shot down is gone in that very tick, and no view can say where it was.
    pub(crate) const PLACE: FieldId = FieldId(0);
    /// Of `HIT`: by whom.
    pub(crate) const BY: FieldId = FieldId(1);
}

/// The fields of the input.
pub(crate) mod input {
    use super::FieldId;

    /// -1 full astern, 1 full ahead.
    pub(crate) const THROTTLE: FieldId = FieldId(0);
    /// -1 right, 1 left.
    pub(crate) const STEER: FieldId = FieldId(1);
    /// Where the gun shall point, on the field.
    pub(crate) const AIM: FieldId = FieldId(2);
    pub(crate) const FIRE: FieldId = FieldId(3);
}

/// The schema: built once, shared by the server and all clients of this process.
pub(crate) fn schema() -> Arc<Schema> {
    // The game continues from quantized values, so a step must be well below what anything moves in a tick: at 2 mm
    // a crawl of 0.03 m/s still gets somewhere.
    let side = |half: f32| -f64::from(half)..=f64::from(half);
    let position = FieldType::position([side(FIELD.x), side(FIELD.y)], 0.002);
    let velocity = FieldType::velocity(tank::POSITION, f64::from(SPEED_MAX), 0.01);
    let angle = FieldType::angle(12);
    let tank = [
        Field::new(tank::POSITION, "position", position.clone()),
        Field::new(tank::VELOCITY, "velocity", velocity),
        Field::new(tank::HEADING, "heading", angle.clone()),
        // A turret trembles with its player's hand: less than a degree is not worth its bytes.
        Field::new(tank::TURRET, "turret", angle.clone()).threshold(0.02),
        Field::new(tank::TEAM, "team", FieldType::integer(0..=1)),
        Field::new(tank::TARGET, "target", FieldType::entity()),
        Field::new(tank::HIT_BY, "hit_by", FieldType::entity()),
        // A scoreboard can wait for half a second.
        Field::new(tank::SCORE, "score", FieldType::integer(0..=9_999)).rate_hz(2),
        // How weak a tank is, and whether its gun is empty, is not the enemy's business: it never leaves the server.
        Field::new(tank::HEALTH, "health", FieldType::integer(0..=HEALTH_MAX)).team_only(),
        Field::new(tank::AMMO, "ammo", FieldType::integer(0..=MAGAZINE)).owner_only(),
        Field::new(tank::RELOAD_TICKS, "reload_ticks", FieldType::integer(0..=MAGAZINE_TICKS)).owner_only(),
    ];
    let drone = [
        Field::new(drone::POSITION, "position", position.clone()),
        Field::new(drone::HULL, "hull", FieldType::integer(0..=DRONE_HULL)),
        Field::new(drone::NEXT, "next", FieldType::integer(0..=ROUTE.len() as i32 - 1)),
    ];
    let fired = [Field::new(cue::TARGET, "target", FieldType::entity())];
    let hit = [Field::new(cue::PLACE, "place", position), Field::new(cue::BY, "by", FieldType::entity())];
    let schema = Schema::builder("tanks")
        .kind(Kind::new(TANK, "tank", tank))
        .kind(Kind::new(DRONE, "drone", drone))
        .cue(Kind::cue(FIRED, "fired", fired))
        .cue(Kind::cue(HIT, "hit", hit))
        .input([
            Field::new(input::THROTTLE, "throttle", FieldType::scalar(-1.0..=1.0, 0.01)),
            Field::new(input::STEER, "steer", FieldType::scalar(-1.0..=1.0, 0.01)),
            Field::new(input::AIM, "aim", angle),
            Field::new(input::FIRE, "fire", FieldType::boolean()),
        ])
        .build();
    schema.expect("the declaration above is sound: the tests build it")
}
