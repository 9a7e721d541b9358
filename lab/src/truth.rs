//! What really happened: where everyone was at every tick, as the room simulated it.

use glam::Vec3;
use tickwire_protocol::{EntityId, Tables, Tick, TickRate};
use tickwire_sim::arena::{PLAYER, disturbed_ticks, player};

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
    /// Whether somebody else did something to it in this tick: its row names that.
    is_disturbed: bool,
}

impl Truth {
    pub(crate) fn new(rate: TickRate, first: Tick, begin: u64) -> Self {
        Self { rate, begin, first, ticks: Vec::new() }
    }

    /// Records the next tick.
    pub(crate) fn push(&mut self, tables: &Tables) {
        let (before, fresh) = (self.ticks.last(), disturbed_ticks(self.rate) as i32);
        let places = tables.rows(PLAYER).map(|(head, row)| {
            let before = before.and_then(|before| place_of(before, head.id)).filter(|_| !head.teleported);
            let ticks_on_way = before.map_or(0, |before| before.ticks_on_way + 1);
            Place {
                id: head.id,
                position: row.vec3(player::POSITION),
                ticks_on_way,
                is_disturbed: row.integer(player::DISTURBED_TICKS) == fresh,
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

    /// If an entity was moved within the last `ticks` before `time`: where it was just before, and when that was.
    pub(crate) fn before_move(&self, id: EntityId, time: f64, ticks: u32) -> Option<(Vec3, f64)> {
        let (index, _) = self.index(time)?;
        let on_way = place_of(self.ticks.get(index)?, id)?.ticks_on_way as usize;
        let before = index.checked_sub(on_way + 1).filter(|_| on_way < ticks as usize)?;
        let place = place_of(self.ticks.get(before)?, id)?;
        Some((place.position, self.begin as f64 + before as f64 * 1e6 / f64::from(self.rate.hz())))
    }

    /// Where an entity was at a tick, if that is known yet.
    pub(crate) fn at(&self, tick: Tick, id: EntityId) -> Option<Vec3> {
        Some(place_of(self.ticks.get(usize::try_from(tick.since(self.first)).ok()?)?, id)?.position)
    }

    /// Whether the room names something that befell an entity in a tick and that its player could not foresee: contact, a
    /// hit, a point, a knock-out; or it was moved or came into being.
    pub(crate) fn was_disturbed(&self, tick: Tick, id: EntityId) -> bool {
        let index = usize::try_from(tick.since(self.first)).ok();
        let place = index.and_then(|index| place_of(self.ticks.get(index)?, id));
        place.is_none_or(|place| place.is_disturbed || place.ticks_on_way == 0)
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
