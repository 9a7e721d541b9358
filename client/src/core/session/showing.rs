//! What the view at a moment is of, and what it tells.

use tickwire_protocol::message::Inbox;
use tickwire_protocol::{Micros, TickTime};

use super::{OwnEntity, Session};
use crate::core::agenda::Item;
use crate::core::event::Event;
use crate::core::moments::Waits;
use crate::core::prediction::Prediction;
use crate::core::stats::ClientStats;
use crate::core::view::{Moment, Shared};

impl Session {
    /// What the entities in view of all have in common.
    pub(crate) fn shared(&self, time: TickTime) -> Shared<'_> {
        Shared { time, dt: self.stage.dt(), interval: self.stage.interval(), own: Some(&self.own) }
    }

    pub(crate) fn own(&self) -> impl Iterator<Item = OwnEntity<'_>> {
        self.replica.own().filter_map(|track| {
            let (id, kind, tick) = (track.id(), track.kind(), track.newest()?.tick);
            let row = track.row(self.schema.kind(kind), track.samples().len() - 1);
            Some(OwnEntity { id, kind, tick, row })
        })
    }

    /// How far behind the server's time the view at `now` is, microseconds.
    pub(super) fn delay(&self, now: Micros) -> i64 {
        self.playout.delay(self.time.clock.at(now))
    }

    /// The server's time that the view at `now` is of, microseconds.
    fn shown(&self, now: Micros) -> i64 {
        self.time.clock.at(now) - self.delay(now)
    }

    pub(super) fn view_time(&self, now: Micros) -> TickTime {
        self.time.clock.position(self.shown(now))
    }

    /// How fast the view is to run from `now` until the next state is due, of the client's own time. That it may be slow to gain delay is
    /// counted, that it may be fast to lose some is not.
    pub(super) fn view_rate(&self, now: Micros) -> f32 {
        let interval = self.welcome.timing.tick_rate.due(u64::from(self.stage.interval()));
        let slowed = self.playout.slowed(self.time.clock.at(now), interval.0 as i64);
        (1.0 + self.time.clock.slew(now).max(0.0) - slowed) as f32
    }

    /// What the view at `now` is of.
    pub(crate) fn moment(&self, now: Micros) -> Moment {
        let server_time = Micros(self.shown(now).max(0) as u64);
        Moment { now, server_time, time: self.view_time(now), is_starved: self.starving_for(now) > 0 }
    }

    /// What is shown of the predicted entities at `now`; nothing if there are none.
    pub(crate) fn predicted_moment(&self, now: Micros) -> Option<Moment> {
        let time = self.prediction.as_ref()?.shown_at(self.input_time(now))?;
        let of_tick = f64::from(time.fraction) * 1e6 / f64::from(self.welcome.timing.tick_rate.hz());
        let server_time = Micros((self.time.clock.due(time.tick) + of_tick as i64).max(0) as u64);
        Some(Moment { now, server_time, time, is_starved: false })
    }

    /// What the view of a given server time is of.
    pub(crate) fn moment_at(&self, server_time: Micros) -> Moment {
        let newest = self.replica.newest_tick();
        let is_starved = newest.is_some_and(|newest| server_time > self.time.clock.time_of(newest));
        Moment { now: Micros::ZERO, server_time, time: self.time.clock.tick_at(server_time), is_starved }
    }

    /// For how long the view has been later than all that is known, microseconds; below 0 if it is not.
    pub(super) fn starving_for(&self, now: Micros) -> i64 {
        let shown = self.shown(now);
        self.replica.newest_tick().map_or(-1, |newest| shown - self.time.clock.due(newest))
    }

    /// Settles how long the view was later than the newest state, before that changes.
    pub(super) fn watch(&mut self, now: Micros, stats: &mut ClientStats) {
        if !self.is_paused {
            self.add_watched(now, stats);
            self.watched_until = self.watched_until.max(Some(now));
        }
    }

    /// Settles it, and watches again from the next state on.
    pub(super) fn settle_watched(&mut self, now: Micros, stats: &mut ClientStats) {
        self.add_watched(now, stats);
        self.watched_until = None;
    }

    /// Adds what has passed since that was last settled.
    pub(crate) fn add_watched(&self, now: Micros, stats: &mut ClientStats) {
        let watched = now.saturating_since(self.watched_until.unwrap_or(now));
        stats.watched = stats.watched + watched;
        stats.starved = stats.starved + Micros(self.starving_for(now).max(0) as u64).min(watched);
    }

    /// The next event that the view at `now` brings, game events of the inbox among them.
    pub(crate) fn poll_event(&mut self, now: Micros, inbox: &mut Inbox) -> Option<Event> {
        if let Some(event) = self.prediction.as_mut().and_then(Prediction::poll_event) {
            return Some(event);
        }
        let view = self.view_time(now);
        loop {
            let waits = Waits {
                schema: &self.schema,
                view: view.tick,
                patience: self.welcome.timing.tick_rate.hz(),
                presence: &|id| self.stage.presence(id, view.tick),
                is_turn: &|tick| self.agenda.is_events_turn(tick, view.tick),
            };
            if let Some(told) = waits.take(inbox) {
                return Some(Event::Game(told));
            }
            let event = match self.agenda.pop_due(view.tick)? {
                Item::Cue(cue) => Some(Event::Cue(cue)),
                Item::Enter(kind, id) | Item::Leave(kind, id) => self.stage.announce(kind, id, view),
            };
            if event.is_some() {
                return event;
            }
        }
    }
}
