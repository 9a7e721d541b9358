//! What really happened: where everyone was at every tick, as the room simulated it.

use glam::{Vec3, Vec3Swizzles};
use tickwire_protocol::{EntityId, Tables, Tick, TickRate};
use tickwire_sim::arena::{HEIGHT, PLAYER, RADIUS, SPEED_MAX, player};

use crate::config::TICK_HZ;

/// The whole run, tick by tick.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    rate: TickRate,
    /// When the first recorded tick was due, microseconds.
    begin: u64,
    first: Tick,
    ticks: Vec<Vec<Place>>,
}

/// Where an entity was at a tick.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: EntityId,
    position: Vec3,
    /// Ticks since it last came to a place not on its own way: it was moved, or came into being.
    ticks_on_way: u32,
    health: i32,
    score: i32,
    /// Whether it met somebody in the tick.
    is_touched: bool,
}

/// Two players closer than this along the floor have met in the tick, metres: their bodies were pushed apart to twice the radius, and
/// rounding adds a little.
const TOUCH: f32 = 2.0 * RADIUS + 0.03;
/// Who was knocked out in a tick is elsewhere at its end. It was run into from no further than two can move towards each other in
/// a tick, metres.
const TOUCH_BEFORE: f32 = TOUCH + 2.0 * SPEED_MAX / TICK_HZ as f32;

impl Truth {
    pub(crate) fn new(rate: TickRate, first: Tick, begin: u64) -> Self {
        Self { rate, begin, first, ticks: Vec::new() }
    }

    /// Records the next tick.
    pub(crate) fn push(&mut self, tables: &Tables) {
        let before = self.ticks.last();
        let was = |id| Some(place_of(before?, id)?.position);
        // Where each met others, and from how far.
        let bodies = || {
            tables.rows(PLAYER).map(|(head, row)| match was(head.id).filter(|_| head.teleported) {
                Some(was) => (head.id, was, TOUCH_BEFORE),
                None => (head.id, row.vec3(player::POSITION), TOUCH),
            })
        };
        let places = tables.rows(PLAYER).map(|(head, row)| {
            let position = row.vec3(player::POSITION);
            let touches = |(id, other, reach): (EntityId, Vec3, f32)| {
                let is_level = (other.y - position.y).abs() < HEIGHT;
                id != head.id && is_level && other.xz().distance(position.xz()) < reach
            };
            let before = before.and_then(|before| place_of(before, head.id)).filter(|_| !head.teleported);
            let ticks_on_way = before.map_or(0, |before| before.ticks_on_way + 1);
            Place {
                id: head.id,
                position,
                ticks_on_way,
                health: row.integer(player::HEALTH),
                score: row.integer(player::SCORE),
                is_touched: bodies().any(touches),
            }
        });
        let places = places.collect();
        self.ticks.push(places);
    }

    /// When a tick is due, microseconds of true time; it may be one that is yet to come.
    pub(crate) fn time_of(&self, tick: Tick) -> u64 {
        let steps = tick.since(self.first).max(0);
        self.begin + self.rate.due(steps as u64).0
    }

    /// Where an entity was: on the line between the two ticks around `time`. Nothing if it was not there at both.
    pub(crate) fn position(&self, id: EntityId, time: f64) -> Option<Vec3> {
        let (index, fraction) = self.index(time)?;
        let from = place_of(self.ticks.get(index)?, id)?.position;
        if fraction == 0.0 {
            return Some(from);
        }
        Some(from.lerp(place_of(self.ticks.get(index + 1)?, id)?.position, fraction as f32))
    }

    /// Whether an entity was moved, or came into being, from `interval` ticks before `time` to the tick after it.
    pub(crate) fn is_new_way(&self, id: EntityId, time: f64, interval: u32) -> bool {
        let Some((index, fraction)) = self.index(time) else { return true };
        let place = self.ticks.get(index + usize::from(fraction > 0.0)).and_then(|tick| place_of(tick, id));
        place.is_none_or(|place| place.ticks_on_way <= interval)
    }

    /// Where an entity was at a tick, if that is known yet.
    pub(crate) fn at(&self, tick: Tick, id: EntityId) -> Option<Vec3> {
        Some(place_of(self.ticks.get(usize::try_from(tick.since(self.first)).ok()?)?, id)?.position)
    }

    /// Whether something befell an entity in a tick that its player could not foresee: somebody ran into it or was run into,
    /// it was hit or hit somebody, it was moved or came into being.
    pub(crate) fn was_disturbed(&self, tick: Tick, id: EntityId) -> bool {
        let Ok(index) = usize::try_from(tick.since(self.first)) else { return true };
        let place = |index: usize| place_of(self.ticks.get(index)?, id);
        let (Some(now), Some(before)) = (place(index), index.checked_sub(1).and_then(place)) else {
            return true;
        };
        let was_hit = now.health != before.health || now.score != before.score;
        now.is_touched || was_hit || now.ticks_on_way == 0
    }

    /// The tick at or before a time, and how far it has gone to the next.
    fn index(&self, time: f64) -> Option<(usize, f64)> {
        let steps = (time - self.begin as f64) * f64::from(self.rate.hz()) / 1e6;
        (steps >= 0.0).then(|| (steps as usize, steps.fract()))
    }
}

fn place_of(places: &[Place], id: EntityId) -> Option<&Place> {
    places.binary_search_by_key(&id, |place| place.id).ok().map(|index| &places[index])
}
