//! A connection after the welcome: snapshots in, inputs, pings and acks out.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::budget::Budget;
use tickwire_protocol::frame::{Frame, FrameType};
use tickwire_protocol::handshake::{StreamKind, Welcome};
use tickwire_protocol::limits::{DATAGRAM_BYTES_MAX, HISTORY_TICKS};
use tickwire_protocol::ping::Pong;
use tickwire_protocol::snapshot::{Codec, Coder, DecodedSnapshot, Prior, Replica, SnapshotHeader};
use tickwire_protocol::{Cue, DecodeError, EntityId, KindId, Micros, RowMut, RowRef, Schema, Tick, TickTime};

use tickwire_sim::Simulation;

use super::agenda::{Agenda, Item};
use super::clock::Clock;
use super::config::ClientConfig;
use super::event::{ClientFault, Event};
use super::inputs::{Inputs, SET_BACK_TICKS};
use super::lead::{Lead, LinkState};
use super::playout::Playout;
use super::prediction::{Prediction, Told, Whose};
use super::receipts::Receipts;
use super::stage::{Horizon, Stage};
use super::stats::ClientStats;
use super::timekeeper::Timekeeper;
use super::view::{Moment, Shared};

/// How much earlier than needed inputs are meant to arrive, ticks: one for the frame in which the game samples them,
/// one for the server's own unevenness. What the link adds is measured.
const MARGIN_TICKS: u32 = 2;

/// States are kept for a view that is this far behind at least, microseconds: a delay may grow.
const KEPT_MIN: i64 = 300_000;

/// No more is allowed for an uneven way before the server has said how early inputs come: one bad round trip may be this
/// machine's.
const FIRST_UNEVEN_MAX: Micros = Micros::from_millis(100);

/// Everything that a welcome begins.
#[derive(Debug)]
pub(crate) struct Session {
    welcome: Welcome,
    schema: Arc<Schema>,
    stream: StreamKind,
    playout: Playout,
    lead: Lead,
    codec: Codec,
    replica: Replica,
    decoded: DecodedSnapshot,
    stage: Stage,
    agenda: Agenda,
    /// The entities of this client's player.
    own: Vec<EntityId>,
    /// The player ahead of the server, if the game wants that.
    prediction: Option<Prediction>,
    time: Timekeeper,
    inputs: Inputs,
    receipts: Receipts,
    /// The newest tick that a snapshot or a pong told of: the room is there, or further.
    room_tick: Tick,
    /// When that was told.
    room_told: Micros,
    last_heard: Micros,
    /// What was asked for, and is to be told: of snapshots, bytes a second.
    budget: Budget,
    is_budget_told: bool,
    /// Since when starvation has not been added up; nothing before the first snapshot.
    watched_until: Option<Micros>,
}

/// An entity of the client's own player.
#[derive(Clone, Copy, Debug)]
pub struct OwnEntity<'a> {
    /// Which.
    pub id: EntityId,
    /// Of which kind.
    pub kind: KindId,
    /// The tick at which it was so. It still is, at the newest tick: what does not change is not sent.
    pub tick: Tick,
    /// All its fields, exactly as simulated.
    pub row: RowRef<'a>,
}

/// The room's prior: the one that came with the welcome, or one that the client has.
fn prior_of(config: &ClientConfig, welcome: &Welcome) -> Result<Arc<Prior>, ClientFault> {
    let named = welcome.prior_hash;
    let Some(bytes) = &welcome.prior else {
        return config.prior(named).ok_or(ClientFault::UnknownPrior(named));
    };
    let prior = Prior::decode(bytes)?;
    match prior.hash() {
        hash if hash == named => Ok(prior),
        sent => Err(ClientFault::OtherPrior { named, sent }),
    }
}

/// Whose the source of a cue is, as far as is known. Who is in view is somebody else only if all own ones were told of as well.
fn whose(cue: &Cue, own: &[EntityId], own_is_whole: bool, replica: &Replica) -> Whose {
    match cue.source {
        Some(source) if own.contains(&source) => Whose::Own,
        Some(source) if !own_is_whole || replica.find(source).is_none() => Whose::Unknown,
        _ => Whose::Others,
    }
}

impl Session {
    /// Begins where `welcome` says. The hello went out at `asked`.
    pub(crate) fn new(
        config: &ClientConfig,
        schema: &Arc<Schema>,
        welcome: Welcome,
        asked: Micros,
        now: Micros,
    ) -> Result<Self, ClientFault> {
        let coder = Coder::from_wire(welcome.coder).ok_or(ClientFault::UnknownCoder(welcome.coder))?;
        let prior = prior_of(config, &welcome)?;
        let timing = welcome.timing;
        let hz = timing.tick_rate.hz();
        let is_datagram = config.stream == StreamKind::Datagram;
        // States are kept for as long as they may be named; a view cannot be older.
        let longest_delay = timing.tick_rate.due(u64::from(HISTORY_TICKS - 2));
        let message_bytes = welcome.limits.message_bytes_max as usize;
        let inputs = Inputs::new(
            schema.input(),
            config.stream,
            hz / config.input_hz.unwrap_or(hz).clamp(1, hz),
            welcome.limits.inputs_per_frame_max as usize,
            if is_datagram { message_bytes.min(DATAGRAM_BYTES_MAX) } else { message_bytes },
        );
        Ok(Self {
            schema: schema.clone(),
            stream: config.stream,
            playout: Playout::new(
                timing.interpolation_delay,
                config.interpolation_delay,
                longest_delay,
                timing.snapshot_hz,
            ),
            lead: Lead::new(timing.tick_rate),
            codec: Codec::with(schema.clone(), timing.tick_rate, coder, prior),
            replica: Replica::new(schema.clone(), if is_datagram { HISTORY_TICKS } else { 0 }),
            decoded: DecodedSnapshot::default(),
            stage: Stage::new(schema, hz.div_ceil(timing.snapshot_hz), timing.tick_rate),
            agenda: Agenda::default(),
            own: Vec::new(),
            prediction: None,
            time: Timekeeper::new(&welcome, asked, now),
            inputs,
            receipts: Receipts::new(config.stream, welcome.player.is_some()),
            room_tick: welcome.tick,
            room_told: now,
            last_heard: now,
            budget: Budget { bytes_per_second: None },
            is_budget_told: true,
            watched_until: None,
            welcome,
        })
    }

    pub(crate) fn prior(&self) -> &Arc<Prior> {
        self.codec.prior()
    }

    pub(crate) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.time.clock()
    }

    pub(crate) fn loss(&self) -> f32 {
        self.receipts.loss()
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// From now on the player's own entities are predicted.
    pub(crate) fn predict(&mut self, simulation: Box<dyn Simulation>) {
        self.prediction = Prediction::new(simulation, &self.welcome);
        for (tick, values) in self.inputs.recent() {
            if let Some(prediction) = &mut self.prediction {
                prediction.handle_input(tick, values);
            }
        }
    }

    /// The game that it predicts with, if it does.
    pub(crate) fn into_simulation(self) -> Option<Box<dyn Simulation>> {
        self.prediction.map(Prediction::into_simulation)
    }

    /// Asks the server to send no more than this of snapshots, bytes a second.
    pub(crate) fn set_budget(&mut self, bytes_per_second: Option<u32>) {
        let budget = Budget { bytes_per_second };
        self.is_budget_told &= budget == self.budget;
        self.budget = budget;
    }

    pub(crate) fn prediction(&self) -> Option<&Prediction> {
        self.prediction.as_ref()
    }

    pub(crate) fn predict_others(&mut self, ids: impl IntoIterator<Item = EntityId>) {
        if let Some(prediction) = &mut self.prediction {
            prediction.set_others(ids);
        }
    }

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

    /// When the server counts as gone if nothing is heard of it.
    pub(crate) fn silence_deadline(&self) -> Micros {
        self.last_heard + self.welcome.timing.silence_timeout
    }

    pub(crate) fn next_ping(&self) -> Micros {
        self.time.poll_timeout()
    }

    /// The server's time alone; all else is given up.
    pub(crate) fn into_timekeeper(self) -> Timekeeper {
        self.time
    }

    // ---- in ----------------------------------------------------------------------------------------------------

    /// The server has said something, whatever it is.
    pub(crate) fn handle_life(&mut self, now: Micros) {
        self.last_heard = now;
    }

    pub(crate) fn handle_frame(
        &mut self,
        now: Micros,
        frame: &Frame,
        stats: &mut ClientStats,
    ) -> Result<(), ClientFault> {
        match frame.ty {
            FrameType::Pong => self.handle_pong(now, &Pong::decode(&frame.payload)?, stats),
            FrameType::Snapshot => self.handle_snapshot(now, &frame.payload, stats)?,
            // Messages and members outlast the connection: the client has them.
            FrameType::Members
            | FrameType::Profile
            | FrameType::Message
            | FrameType::MessageAck
            | FrameType::Hello
            | FrameType::Welcome
            | FrameType::Reject
            | FrameType::Ping
            | FrameType::Input
            | FrameType::Ack
            | FrameType::Budget => return Err(ClientFault::Unexpected(frame.ty)),
        }
        Ok(())
    }

    fn handle_pong(&mut self, now: Micros, pong: &Pong, stats: &mut ClientStats) {
        let Some(has_jumped) = self.time.handle_pong(now, pong) else { return };
        if has_jumped {
            self.handle_clock_jump();
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

    fn handle_snapshot(
        &mut self,
        now: Micros,
        payload: &Bytes,
        stats: &mut ClientStats,
    ) -> Result<(), ClientFault> {
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
    fn handle_clock_jump(&mut self) {
        self.playout.handle_clock_jump();
        self.lead.handle_clock_jump();
    }

    /// A state newer than all before has arrived.
    fn handle_newest(&mut self, now: Micros, tick: Tick) {
        if self.time.handle_tick(now, tick) {
            self.handle_clock_jump();
        }
        let (server_now, due) = (self.time.clock.at(now), self.time.clock.due(tick));
        self.playout.handle_state(server_now, now, due, self.time.clock.slew(now));
    }

    fn handle_feedback(&mut self, now: Micros, tick: Tick, newest_input: Tick) {
        let link = LinkState {
            first: self.first_lead(),
            way: (self.time.clock.rtt().0 / 2).min(1 << 40) as i64,
            deviation: self.playout.deviation(),
        };
        self.lead.handle_feedback(now, tick, newest_input, link);
    }

    fn apply(&mut self, now: Micros, header: SnapshotHeader, stats: &mut ClientStats) {
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
        let horizon = Horizon { view: self.view_time(now), oldest };
        self.stage.apply(header.tick, &self.decoded.view, &self.replica, horizon, &mut self.agenda);
        if !self.decoded.own.rows.is_empty() || !self.decoded.own.leaves.is_empty() {
            self.own.clear();
            self.own.extend(self.replica.own().map(tickwire_protocol::snapshot::replica::Track::id));
        }
        self.take_cues(newest, header.own_is_whole, stats);
        self.correct(now, header, stats);
        if let Some(feedback) = header.feedback {
            self.inputs.handle_received(feedback.newest_input);
            if before != Some(newest) {
                self.handle_feedback(now, newest, feedback.newest_input);
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
    fn take_cues(&mut self, newest: Tick, own_is_whole: bool, stats: &mut ClientStats) {
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
    fn correct(&mut self, now: Micros, header: SnapshotHeader, stats: &mut ClientStats) {
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
    fn oldest_wanted(&self, now: Micros, newest: Tick) -> Tick {
        let delay = Micros(self.delay(now).max(KEPT_MIN) as u64);
        let delay_ticks = self.welcome.timing.tick_rate.steps_in(delay) as i32 + 1;
        let behind = newest.since(self.view_time(now).tick);
        newest - behind.max(delay_ticks).min(HISTORY_TICKS as i32) as u32
    }

    /// The newest tick that was heard of.
    fn newest_tick(&self) -> Tick {
        self.replica.newest_tick().unwrap_or(self.welcome.tick)
    }

    // ---- the view ----------------------------------------------------------------------------------------------

    /// How far behind the server's time the view at `now` is, microseconds.
    fn delay(&self, now: Micros) -> i64 {
        self.playout.delay(self.time.clock.at(now))
    }

    fn view_time(&self, now: Micros) -> TickTime {
        self.time.clock.position(self.time.clock.at(now) - self.delay(now))
    }

    /// What the view at `now` is of.
    pub(crate) fn moment(&self, now: Micros) -> Moment {
        let server_time = Micros((self.time.clock.at(now) - self.delay(now)).max(0) as u64);
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
    fn starving_for(&self, now: Micros) -> i64 {
        let shown = self.time.clock.at(now) - self.delay(now);
        self.replica.newest_tick().map_or(-1, |newest| shown - self.time.clock.due(newest))
    }

    /// Settles how long the view was later than the newest state, before that changes.
    fn watch(&mut self, now: Micros, stats: &mut ClientStats) {
        self.add_watched(now, stats);
        self.watched_until = self.watched_until.max(Some(now));
    }

    /// Adds what has passed since that was last settled.
    pub(crate) fn add_watched(&self, now: Micros, stats: &mut ClientStats) {
        let watched = now.saturating_since(self.watched_until.unwrap_or(now));
        stats.watched = stats.watched + watched;
        stats.starved = stats.starved + Micros(self.starving_for(now).max(0) as u64).min(watched);
    }

    /// The next event that the view at `now` brings.
    pub(crate) fn poll_event(&mut self, now: Micros) -> Option<Event> {
        if let Some(event) = self.prediction.as_mut().and_then(Prediction::poll_event) {
            return Some(event);
        }
        let view = self.view_time(now);
        while let Some(item) = self.agenda.pop_due(view.tick) {
            let event = match item {
                Item::Cue(cue) => Some(Event::Cue(cue)),
                Item::Enter(kind, id) | Item::Leave(kind, id) => self.stage.announce(kind, id, view),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    // ---- out ---------------------------------------------------------------------------------------------------

    /// The lead until the server has said how early inputs come: half a round trip, a margin, and the wait for the frame to
    /// fill.
    fn first_lead(&self) -> i64 {
        let rate = self.welcome.timing.tick_rate;
        let margin = rate.due(u64::from(MARGIN_TICKS + self.inputs.interval() - 1));
        let uneven = Micros(self.time.clock.jitter().0.saturating_mul(2)).min(FIRST_UNEVEN_MAX);
        let way = Micros(self.time.clock.rtt_min().0 / 2) + uneven + margin;
        way.0.min(1 << 50) as i64
    }

    /// How far ahead of the server's time inputs are given at `now`, microseconds.
    fn lead(&self, now: Micros) -> i64 {
        self.lead.at(now, self.first_lead())
    }

    /// The tick that inputs are given for at `now`, and how far time has gone towards the next.
    fn input_time(&self, now: Micros) -> TickTime {
        self.time.clock.position(self.time.clock.at(now) + self.lead(now))
    }

    /// No input may be later than this: the server takes one too far ahead of it for an attack. The room is at least at the
    /// newest tick that was heard of when an input arrives a round trip later, and a quarter of the limit is left for its
    /// stalls.
    fn latest_input(&self) -> Tick {
        let rate = self.welcome.timing.tick_rate;
        let ahead = self.welcome.limits.input_ahead_ticks_max * 3 / 4;
        self.room_tick + ahead + rate.steps_in(self.time.clock.rtt_min()).min(u64::from(ahead)) as u32
    }

    /// Nor may it at `now` be later than this. Round trips that were measured while this machine was too busy are no licence to
    /// run ahead: the room has come as far as it was told to be, and goes on no faster than this clock.
    fn latest_input_at(&self, now: Micros) -> Tick {
        let passed = self.welcome.timing.tick_rate.steps_in(now.saturating_since(self.room_told));
        self.room_tick + self.ahead_max() + passed.min(u64::from(u32::MAX / 4)) as u32
    }

    /// When [`Session::latest_input_at`] comes to `tick`.
    fn earliest(&self, tick: Tick) -> Micros {
        let beyond = tick.since(self.room_tick + self.ahead_max()).max(0) as u64;
        // A due time is rounded down: a microsecond later it is surely there.
        self.room_told + self.welcome.timing.tick_rate.due(beyond) + Micros(u64::from(beyond > 0))
    }

    fn ahead_max(&self) -> u32 {
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

    /// Appends the frames that are ready.
    pub(crate) fn poll_transmit(&mut self, now: Micros, out: &mut Vec<u8>, stats: &mut ClientStats) {
        let is_asked = self.time.poll_transmit(now, out);
        stats.pings += u64::from(is_asked);
        // A datagram may be lost.
        self.is_budget_told &=
            !is_asked || self.stream == StreamKind::Ordered || self.budget.bytes_per_second.is_none();
        if !core::mem::replace(&mut self.is_budget_told, true) {
            self.budget.encode(out);
        }
        let lead = self.lead(now);
        if let Some(frame) = self.inputs.take_frame(self.schema.input()) {
            frame.ack = self.receipts.take_ack();
            frame.encode(self.schema.input(), out);
            stats.input_frames += 1;
            if let Some(newest) = frame.newest() {
                self.lead.handle_sent(newest, lead);
            }
        }
        if let Some(ack) = self.receipts.take_overdue_ack() {
            ack.encode(out);
        }
    }

    /// The moment that the player is shown: not later than what is known.
    fn told_view(&self, now: Micros) -> TickTime {
        match self.replica.newest_tick() {
            Some(newest) if self.starving_for(now) > 0 => TickTime { tick: newest, fraction: 0.0 },
            Some(_) => self.view_time(now),
            None => TickTime { tick: self.welcome.tick, fraction: 0.0 },
        }
    }
}
