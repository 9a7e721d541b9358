//! What a player wants in one tick, in the game's own terms; and a script that decides it.

use tickwire_client::Client;
use tickwire_sim::prelude::*;

use crate::schema::{DRONE, TANK, drone, input, tank};

/// An input. The schema's bounds hold whatever is written: 7 for a throttle becomes 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) throttle: f32,
    pub(crate) steer: f32,
    pub(crate) aim: f32,
    pub(crate) fire: bool,
}

/// Nearer than this a scripted player does not go, metres.
const STAND_OFF: f32 = 6.0;

impl Orders {
    pub(crate) fn read(row: RowRef<'_>) -> Self {
        Self {
            throttle: row.scalar(input::THROTTLE),
            steer: row.scalar(input::STEER),
            aim: row.angle(input::AIM),
            fire: row.boolean(input::FIRE),
        }
    }

    pub(crate) fn write(self, row: &mut RowMut<'_>) {
        row.set_scalar(input::THROTTLE, self.throttle)
            .set_scalar(input::STEER, self.steer)
            .set_angle(input::AIM, self.aim)
            .set_boolean(input::FIRE, self.fire);
    }

    /// What a scripted player wants who sees what this client shows.
    pub(crate) fn scripted(client: &Client, now: Micros) -> Self {
        // Its own tank comes from `own_row`, not from the view: newer, and with the fields that nobody else is told.
        let Some(own) = client.own_row(TANK) else { return Self::default() };
        let (view, team) = (client.view(now), own.integer(tank::TEAM));
        let enemies = view.entities(TANK).filter(|other| other.integer(tank::TEAM) != team);
        let enemies = enemies.map(|enemy| enemy.vec2(tank::POSITION));
        let drones = view.entities(DRONE).map(|drone| drone.vec2(drone::POSITION));
        Self::hunt(own, enemies.chain(drones))
    }

    /// Go for the nearest foe, aim at it, fire at whatever comes into the sights.
    pub(crate) fn hunt(own: RowRef<'_>, foes: impl Iterator<Item = Vec2>) -> Self {
        let ways = foes.map(|foe| foe - own.vec2(tank::POSITION));
        let Some(way) = ways.min_by(|a, b| a.length_squared().total_cmp(&b.length_squared())) else {
            return Self::default();
        };
        Self {
            throttle: if way.length() > STAND_OFF { 1.0 } else { 0.0 },
            steer: Vec2::from_angle(own.angle(tank::HEADING)).angle_to(way),
            aim: way.to_angle(),
            fire: own.entity(tank::TARGET).is_some(),
        }
    }
}
