//! Snapshots and pongs that come in.

use bytes::Bytes;
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::ping::Pong;
use tickwire_protocol::snapshot::{Replica, SnapshotHeader};
use tickwire_protocol::{Cue, DecodeError, EntityId, Micros, Tick};

use super::Session;
use crate::core::agenda::Item;
use crate::core::event::ClientFault;
use crate::core::lead::LinkState;
use crate::core::pose::Horizon;
use crate::core::prediction::{Told, Whose};
use crate::core::stats::ClientStats;

/// States are kept for a view that is this far behind at least, microseconds: a delay may grow.
const KEPT_MIN: i64 = 300_000;

/// Whose the source of a cue is, as far as is known. Who is in view is somebody else only if all own ones were told of as well.
fn whose(cue: &Cue, own: &[EntityId], own_is_whole: bool, replica: &Replica) -> Whose {
    match cue.source {
        Some(source) if own.contains(&source) => Whose::Own,
        Some(source) if !own_is_whole || replica.find(source).is_none() => Whose::Unknown,
        _ => Whose::Others,
    }
}

impl Session {
    pub(super) fn handle_pong(&mut self, now: Micros, pong: &Pong, stats: &mut ClientStats) {
        let Some(has_jumped) = self.time.handle_pong(now, pong) else { return };
        if has_jumped {
            self.handle_clock_jump(now);
        } else {
            self.playout.handle_clock_confirmed();
            self.lead.handle_clock_confirmed();
        }
        if pong.tick.is_newer_than(self.room_tick) {
            (self.room_tick, self.room_told) = (pong.tick, now);
        }
        stats.pongs += 1;
        stats.clock_jumps = self.time.clock.jumps();
    }

    pub(super) fn handle_snapshot(
        &mut self,
        now: Micros,
        payload: &Bytes,
        stats: &mut ClientStats,
    ) -> Result<(), ClientFault> {
        stats.received.play_bytes += payload.len() as u64;
        let near = self.newest_tick();
        let header = match self.codec.read_snapshot(payload, near, &self.replica, &mut self.decoded) {
            Ok(header) => header,
            Err(DecodeError::UnknownState { .. }) if self.stream == StreamKind::Datagram => {
                stats.unknown_states += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let is_newer = self.replica.newest_tick().is_none_or(|newest| header.tick.is_newer_than(newest));
        if self.stream == StreamKind::Ordered && !is_newer {
            let value = u64::from(header.tick.0);
            return Err(DecodeError::Invalid { what: "snapshot tick, not above the last", value }.into());
        }
        if !self.receipts.enter(header.sequence)? {
            stats.stale_snapshots += 1;
            return Ok(());
        }
        self.watch(now, stats);
        self.apply(now, header, stats);
        if let Some(told) = self.decoded.digest {
            let (held, rows) = self.replica.digest();
            stats.digests_checked += 1;
            stats.digest_rows += rows as u64;
            stats.digest_mismatches += u64::from(held != told);
        }
        Ok(())
    }

    /// Server time was set anew: what was measured with the old one says nothing.
    pub(super) fn handle_clock_jump(&mut self, now: Micros) {
        self.playout.handle_clock_jump();
        self.lead.handle_clock_jump();
        self.uplink.handle_clock_jump(now);
    }

    /// A state newer than all before has arrived.
    pub(super) fn handle_newest(&mut self, now: Micros, tick: Tick) {
        if self.time.handle_tick(now, tick) {
            self.handle_clock_jump(now);
        }
        let (server_now, due) = (self.time.clock.at(now), self.time.clock.due(tick));
        self.playout.handle_state(server_now, now, due, self.time.clock.slew(now));
    }

    pub(super) fn handle_feedback(&mut self, now: Micros, tick: Tick, newest_input: Tick) {
        let link = LinkState {
            first: self.first_lead(),
            way: (self.time.clock.rtt().0 / 2).min(1 << 40) as i64,
            deviation: self.playout.deviation(),
        };
        self.lead.handle_feedback(now, tick, newest_input, link);
        self.uplink.handle_feedback(now, self.time.clock.due(tick), newest_input);
    }

    pub(super) fn apply(&mut self, now: Micros, header: SnapshotHeader, stats: &mut ClientStats) {
        let before = self.replica.newest_tick();
        self.replica.apply(&self.decoded);
        // Who comes and goes is told when the view gets there, not now.
        self.replica.drain_changes().for_each(drop);
        let newest = self.newest_tick();
        if newest.is_newer_than(self.room_tick) {
            (self.room_tick, self.room_told) = (newest, now);
        }
        if before != Some(newest) {
            self.handle_newest(now, newest);
        }
        let oldest = self.oldest_wanted(now, newest);
        let horizon = Horizon { now, view: self.view_time(now), rate: self.view_rate(now), oldest };
        self.stage.apply(header.tick, &self.decoded.view, &self.replica, horizon, &mut self.agenda);
        if !self.decoded.own.rows.is_empty() || !self.decoded.own.leaves.is_empty() {
            self.own.clear();
            self.own.extend(self.replica.own().map(tickwire_protocol::snapshot::replica::Track::id));
        }
        self.take_cues(newest, header.own_is_whole, stats);
        self.correct(now, header, stats);
        if let Some(feedback) = header.feedback {
            if let Some(newest_input) = feedback.newest_input {
                self.inputs.handle_received(newest_input);
                if before != Some(newest) {
                    self.handle_feedback(now, newest, newest_input);
                }
            }
            stats.input_margin_ticks = Some(feedback.margin_ticks);
        }
        stats.snapshots += 1;
        stats.events_dropped = self.agenda.dropped();
        if stats.newest_tick != Some(newest) {
            stats.newest_tick = Some(newest);
            stats.newest_arrival = Some(now);
        }
    }

    /// Cues of the player's own that were predicted were told then; those of others are told when the view gets there.
    pub(super) fn take_cues(&mut self, newest: Tick, own_is_whole: bool, stats: &mut ClientStats) {
        for cue in &self.decoded.cues {
            if !self.agenda.is_news(cue, newest) {
                continue;
            }
            stats.cues += 1;
            let whose = whose(cue, &self.own, own_is_whole, &self.replica);
            let cue = match &mut self.prediction {
                Some(prediction) => prediction.sort_cue(*cue, whose),
                None => Some(*cue),
            };
            if let Some(cue) = cue {
                self.agenda.push(cue.tick, Item::Cue(cue));
            }
        }
    }

    /// Makes good what was predicted otherwise than it is.
    pub(super) fn correct(&mut self, now: Micros, header: SnapshotHeader, stats: &mut ClientStats) {
        let input_time = self.input_time(now);
        let is_newest = self.replica.newest_tick() == Some(header.tick);
        let Some(prediction) = &mut self.prediction else { return };
        // Without feedback no input has arrived yet.
        let substituted = header.feedback.map_or(u32::MAX, |feedback| feedback.substituted);
        prediction.handle_substituted(header.tick, substituted);
        // Of an older tick newer states are held already, and its own would have to be looked for among them.
        if header.own_is_whole && is_newest {
            let told = Told { tick: header.tick, replica: &self.replica, now, input_time };
            prediction.handle_told(told, stats);
        }
    }

    /// The oldest tick of which a view may still be drawn: the view's own, or the one that it would be at if the clock
    /// turned out to be wrong; never so old that states pile up.
    pub(super) fn oldest_wanted(&self, now: Micros, newest: Tick) -> Tick {
        let delay = Micros(self.delay(now).max(KEPT_MIN) as u64);
        let delay_ticks = self.welcome.timing.tick_rate.steps_in(delay) as i32 + 1;
        let behind = newest.since(self.view_time(now).tick);
        newest - behind.max(delay_ticks).min(HISTORY_TICKS as i32) as u32
    }

    /// The newest tick that was heard of.
    pub(super) fn newest_tick(&self) -> Tick {
        self.replica.newest_tick().unwrap_or(self.welcome.tick)
    }
}
