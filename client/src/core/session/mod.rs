//! A connection after the welcome: snapshots in, inputs, pings and acks out.

mod leading;
mod showing;
mod snapshots;

use std::sync::Arc;

use tickwire_protocol::budget::Budget;
use tickwire_protocol::frame::{Frame, FrameType};
use tickwire_protocol::handshake::{StreamKind, Welcome};
use tickwire_protocol::limits::{
    DATAGRAM_BYTES_MAX, HISTORY_TICKS, PAUSED_PING_INTERVAL_MICROS, PAUSED_SILENCE_TIMEOUT_MICROS,
};
use tickwire_protocol::ping::Pong;
use tickwire_protocol::snapshot::{Codec, Coder, DecodedSnapshot, Prior, Replica};
use tickwire_protocol::{EntityId, KindId, Micros, RowRef, Schema, Tick};

use tickwire_sim::Simulation;

use crate::core::agenda::Agenda;
use crate::core::clock::Clock;
use crate::core::config::ClientConfig;
use crate::core::event::ClientFault;
use crate::core::health::Condition;
use crate::core::inputs::Inputs;
use crate::core::lead::Lead;
use crate::core::playout::Playout;
use crate::core::prediction::Prediction;
use crate::core::receipts::Receipts;
use crate::core::stage::Stage;
use crate::core::stats::ClientStats;
use crate::core::timekeeper::Timekeeper;
use crate::core::uplink::Uplink;

/// How long a server may take to say a word whose way is in doubt.
const DOUBT: Micros = Micros::from_secs(2);

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
    /// What messages may put on the way before inputs wait behind them.
    uplink: Uplink,
    /// The newest tick that a snapshot or a pong told of: the room is there, or further.
    room_tick: Tick,
    /// When that was told.
    room_told: Micros,
    last_heard: Micros,
    /// For how long nothing may be heard of the server.
    silence_timeout: Micros,
    /// Whether the game has paused: that no state comes is no want.
    is_paused: bool,
    /// Whether the server still hears us is in doubt since then.
    doubted: Option<Micros>,
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
            lead: Lead::new(timing.tick_rate, config.stream),
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
            uplink: Uplink::new(now),
            room_tick: welcome.tick,
            room_told: now,
            last_heard: now,
            silence_timeout: timing.silence_timeout,
            is_paused: false,
            doubted: None,
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

    /// How good the connection is at `now`.
    pub(crate) fn condition(&self, now: Micros) -> Condition {
        let clock = self.clock();
        Condition {
            rtt: clock.rtt(),
            jitter: clock.jitter(),
            loss: self.loss(),
            silent_for: now.saturating_since(self.last_heard),
            silence_timeout: self.silence_timeout,
        }
    }

    pub(crate) fn loss(&self) -> f32 {
        self.receipts.loss()
    }

    pub(crate) fn uplink(&self) -> &Uplink {
        &self.uplink
    }

    pub(crate) fn uplink_mut(&mut self) -> &mut Uplink {
        &mut self.uplink
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

    /// When the server counts as gone if nothing is heard of it.
    pub(crate) fn silence_deadline(&self) -> Micros {
        let deadline = self.last_heard + self.silence_timeout;
        self.doubted.map_or(deadline, |since| deadline.min(since + DOUBT))
    }

    /// This machine was asleep, and nothing was heard of what was said meanwhile.
    pub(crate) fn handle_sleep(&mut self, now: Micros) {
        if self.doubted.is_none() {
            self.last_heard = now;
            self.doubt(now);
        }
    }

    /// No state comes while the game is paused, and that nothing comes is no fault.
    pub(crate) fn set_paused(&mut self, now: Micros, is_paused: bool, stats: &mut ClientStats) {
        let timing = self.welcome.timing;
        let (silence, interval) = if is_paused {
            (Micros(PAUSED_SILENCE_TIMEOUT_MICROS), Micros(PAUSED_PING_INTERVAL_MICROS))
        } else {
            (Micros::ZERO, Micros::ZERO)
        };
        self.silence_timeout = timing.silence_timeout.max(silence);
        self.time.set_interval(now, timing.ping_interval.max(interval));
        if is_paused {
            self.settle_watched(now, stats);
        }
        self.is_paused = is_paused;
        // Who was patient for a minute is not impatient at once.
        self.last_heard = self.last_heard.max(now);
    }

    /// The way to the server may be another, or this machine was asleep: asks at once, and does not wait for long.
    pub(crate) fn doubt(&mut self, now: Micros) {
        self.doubted = Some(self.doubted.unwrap_or(now));
        self.time.ask_at(now);
    }

    pub(crate) fn next_ping(&self) -> Micros {
        self.time.poll_timeout()
    }

    /// The server's time alone; all else is given up.
    pub(crate) fn into_timekeeper(self) -> Timekeeper {
        self.time
    }

    /// The server has said something, whatever it is.
    pub(crate) fn handle_life(&mut self, now: Micros) {
        self.last_heard = now;
        self.doubted = None;
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
            | FrameType::Match
            | FrameType::Groups
            | FrameType::Profile
            | FrameType::List
            | FrameType::Rooms
            | FrameType::Message
            | FrameType::MessageAck
            | FrameType::BulkOffer
            | FrameType::BulkChunk
            | FrameType::BulkCredit
            | FrameType::BulkEnd
            | FrameType::BulkStop
            | FrameType::Hello
            | FrameType::Welcome
            | FrameType::Reject
            | FrameType::Ping
            | FrameType::Input
            | FrameType::Ack
            | FrameType::Auth
            | FrameType::Budget
            | FrameType::Pause => return Err(ClientFault::Unexpected(frame.ty)),
        }
        Ok(())
    }

    /// Appends the frames that are ready; whether a ping is among them.
    pub(crate) fn poll_transmit(&mut self, now: Micros, out: &mut Vec<u8>, stats: &mut ClientStats) -> bool {
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
                self.uplink.handle_input(now, self.time.clock().at(now), newest);
            }
        }
        if let Some(ack) = self.receipts.take_overdue_ack() {
            ack.encode(out);
        }
        is_asked
    }
}
