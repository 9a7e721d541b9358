//! Inputs, and how far ahead of the server's time they are given.

use tickwire_protocol::{Micros, RowMut, Tick, TickTime};

use super::Session;
use crate::core::inputs::SET_BACK_TICKS;
use crate::core::stats::ClientStats;

/// How much earlier than needed inputs are meant to arrive, ticks: one for the frame in which the game samples them,
/// one for the server's own unevenness. What the link adds is measured.
const MARGIN_TICKS: u32 = 2;

/// No more is allowed for an uneven way before the server has said how early inputs come: one bad round trip may be this
/// machine's.
const FIRST_UNEVEN_MAX: Micros = Micros::from_millis(100);

impl Session {
    /// The lead until the server has said how early inputs come: half a round trip, a margin, and the wait for the frame to
    /// fill.
    pub(super) fn first_lead(&self) -> i64 {
        let rate = self.welcome.timing.tick_rate;
        let margin = rate.due(u64::from(MARGIN_TICKS + self.inputs.interval() - 1));
        let uneven = Micros(self.time.clock.jitter().0.saturating_mul(2)).min(FIRST_UNEVEN_MAX);
        let way = Micros(self.time.clock.rtt_min().0 / 2) + uneven + margin;
        way.0.min(1 << 50) as i64
    }

    /// How far ahead of the server's time inputs are given at `now`, microseconds.
    pub(super) fn lead(&self, now: Micros) -> i64 {
        self.lead.at(now, self.first_lead())
    }

    /// The tick that inputs are given for at `now`, and how far time has gone towards the next.
    pub(super) fn input_time(&self, now: Micros) -> TickTime {
        self.time.clock.position(self.time.clock.at(now) + self.lead(now))
    }

    /// No input may be later than this: the server takes one too far ahead of it for an attack. The room is at least at the
    /// newest tick that was heard of when an input arrives a round trip later, and a quarter of the limit is left for its
    /// stalls.
    pub(super) fn latest_input(&self) -> Tick {
        let rate = self.welcome.timing.tick_rate;
        let ahead = self.welcome.limits.input_ahead_ticks_max * 3 / 4;
        self.room_tick + ahead + rate.steps_in(self.time.clock.rtt_min()).min(u64::from(ahead)) as u32
    }

    /// Nor may it at `now` be later than this. Round trips that were measured while this machine was too busy are no licence to
    /// run ahead: the room has come as far as it was told to be, and goes on no faster than this clock.
    pub(super) fn latest_input_at(&self, now: Micros) -> Tick {
        let passed = self.welcome.timing.tick_rate.steps_in(now.saturating_since(self.room_told));
        self.room_tick + self.ahead_max() + passed.min(u64::from(u32::MAX / 4)) as u32
    }

    /// When [`Session::latest_input_at`] comes to `tick`.
    pub(super) fn earliest(&self, tick: Tick) -> Micros {
        let beyond = tick.since(self.room_tick + self.ahead_max()).max(0) as u64;
        // A due time is rounded down: a microsecond later it is surely there.
        self.room_told + self.welcome.timing.tick_rate.due(beyond) + Micros(u64::from(beyond > 0))
    }

    pub(super) fn ahead_max(&self) -> u32 {
        self.welcome.limits.input_ahead_ticks_max / 8 * 7
    }

    /// The tick for which the game is to give an input now.
    pub(crate) fn due_input_tick(&self, now: Micros) -> Option<Tick> {
        self.welcome.player?;
        let (latest, allowed) = (self.latest_input(), self.latest_input_at(now));
        let latest = if latest.is_newer_than(allowed) { allowed } else { latest };
        let reached = self.input_time(now).tick;
        let target = if reached.is_newer_than(latest) { latest } else { reached };
        let Some(newest) = self.inputs.newest() else { return Some(target) };
        let behind = target.since(newest);
        let catch_up = self.inputs.catch_up();
        if behind <= -SET_BACK_TICKS {
            Some(target)
        } else if behind <= 0 {
            None
        } else {
            Some(target - (behind as u32 - 1).min(catch_up - 1))
        }
    }

    /// When the last input of the next frame becomes due; nothing if that depends on what the server says next.
    pub(crate) fn input_timeout(&self) -> Option<Micros> {
        self.welcome.player?;
        let Some(tick) = self.inputs.next_frame() else { return Some(Micros::ZERO) };
        if tick.is_newer_than(self.latest_input()) {
            return None;
        }
        let due = self.time.clock.when(self.time.clock.due(tick), |now| self.lead(now));
        Some(due.max(self.earliest(tick)))
    }

    pub(crate) fn push_input(
        &mut self,
        now: Micros,
        tick: Tick,
        fill: impl FnOnce(&mut RowMut<'_>),
        stats: &mut ClientStats,
    ) {
        if self.welcome.player.is_none() {
            return;
        }
        let shown = self.told_view(now);
        let Some(values) = self.inputs.push(self.schema.input(), tick, shown, fill) else { return };
        stats.inputs += 1;
        if let Some(prediction) = &mut self.prediction {
            prediction.handle_input(tick, values);
        }
    }

    /// The moment that the player is shown: not later than what is known.
    pub(super) fn told_view(&self, now: Micros) -> TickTime {
        match self.replica.newest_tick() {
            Some(newest) if self.starving_for(now) > 0 => TickTime { tick: newest, fraction: 0.0 },
            Some(_) => self.view_time(now),
            None => TickTime { tick: self.welcome.tick, fraction: 0.0 },
        }
    }
}
