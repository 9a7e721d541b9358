//! A light bot: a client that reads how snapshots begin, and nothing else of them.
//!
//! ```text
//!  hello, welcome, first snapshot, first pong   by the client itself, as of any bot
//!  from then on   snapshots are counted (acks on an ordered stream are counts), their headers read
//!                 pings and pongs still go through the client: it knows the server's time
//!                 inputs are made of rows that the pilot has ready
//! ```
//!
//! Like the client it does no I/O and reads no clock: a room in virtual time can test it.

use bytes::Bytes;
use tickwire_client::{Client, ClientFault, DisconnectReason, Event};
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::RejectReason;
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::ping::Pong;
use tickwire_protocol::schema::Kind;
use tickwire_protocol::snapshot::SnapshotHeader;
use tickwire_protocol::{DecodeError, Micros, Tick, TickRate, TickTime};
use tickwire_sim::arena::{self, PLAYER};

use crate::swarm::pilot::Pilot;

/// How much earlier than needed inputs are meant to arrive, ticks: a bot that shows nothing loses nothing by being early.
const MARGIN_TICKS: u32 = 3;
/// The lead grows by so much when the server had to do without an input, at most every so long, microseconds.
const GROWTH_MICROS: u64 = 10_000;
const GROWTH_INTERVAL: Micros = Micros::from_millis(200);
/// And at most to this, microseconds, beside half a round trip.
const MARGIN_MICROS_MAX: u64 = 250_000;
/// A share of the ticks that a server takes ahead of its own, so that one that stalls does not take us for an attacker.
const AHEAD_SHARE: (u32, u32) = (3, 4);

/// What a message told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Heard {
    pub(super) snapshots: u32,
    pub(super) pongs: u32,
    /// Steps that the newest snapshot tells of; those of them made without our input.
    pub(super) steps: u32,
    pub(super) steps_without_input: u32,
}

/// A client that reads no rows.
pub(super) struct LightBot {
    /// Decodes everything until the bot plays; then pings, and keeps the time.
    client: Client,
    pilot: Pilot,
    playing: Option<Playing>,
}

/// What a bot knows that plays.
#[derive(Debug)]
struct Playing {
    /// SNAPSHOT frames since the connection began.
    snapshots: u64,
    /// How many of them are acked.
    acked: u64,
    newest_tick: Tick,
    rate: TickRate,
    has_player: bool,
    ahead_max: u32,
    inputs_max: u32,
    /// The newest tick that was given an input.
    given: Option<Tick>,
    /// Beside half a round trip, microseconds.
    margin: Micros,
    grown_at: Micros,
    next_ping: Micros,
}

/// What is kept from frame to frame for all bots of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    frame: InputFrame,
    row: Vec<i32>,
}

impl LightBot {
    /// About to say hello with this client. Inputs go out every `1 / input_hz` s.
    pub(super) fn new(client: Client, pilot: Pilot) -> Self {
        Self { client, pilot, playing: None }
    }

    /// Whether it has a welcome, a state and the server's time.
    pub(super) fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Takes in a binary message of the server.
    pub(super) fn handle_message(
        &mut self,
        now: Micros,
        message: Bytes,
        input_hz: u32,
    ) -> Result<Heard, ClientFault> {
        let Some(playing) = &mut self.playing else { return self.join(now, message, input_hz) };
        let mut heard = Heard::default();
        for frame in frames(message) {
            let frame = frame?;
            match frame.ty {
                FrameType::Snapshot => playing.handle_snapshot(now, &frame.payload, &mut heard)?,
                FrameType::Pong => {
                    let mut whole = Vec::with_capacity(40);
                    Pong::decode(&frame.payload)?.encode(&mut whole);
                    self.client.handle_message(now, whole.into())?;
                    heard.pongs += 1;
                }
                ty => return Err(ClientFault::Unexpected(ty)),
            }
        }
        Ok(heard)
    }

    /// Lets the client decode everything until there is state, and the server's time is known.
    fn join(&mut self, now: Micros, message: Bytes, input_hz: u32) -> Result<Heard, ClientFault> {
        let before = self.client.stats(now).snapshots;
        self.client.handle_message(now, message)?;
        let stats = self.client.stats(now);
        if let (Some(welcome), Some(newest_tick), 1..) =
            (self.client.welcome(), stats.newest_tick, stats.pongs)
        {
            let rate = welcome.timing.tick_rate;
            let interval_ticks = rate.hz().div_ceil(input_hz);
            let (share, whole) = AHEAD_SHARE;
            self.playing = Some(Playing {
                snapshots: stats.snapshots,
                acked: 0,
                newest_tick,
                rate,
                has_player: welcome.player.is_some(),
                ahead_max: welcome.limits.input_ahead_ticks_max * share / whole,
                inputs_max: welcome.limits.inputs_per_frame_max,
                given: None,
                margin: rate.due(u64::from(interval_ticks + MARGIN_TICKS)),
                grown_at: now,
                next_ping: now,
            });
            if let Some(own) = self.client.own_row(PLAYER) {
                self.pilot.note_position(own.vec3(arena::player::POSITION));
            }
        }
        Ok(Heard { snapshots: (stats.snapshots - before) as u32, ..Heard::default() })
    }

    /// Appends what is to be sent now: hello, ping, and the inputs of all ticks since the last time, with an ack. Whether there
    /// is an input among it.
    pub(super) fn poll_transmit(&mut self, now: Micros, scratch: &mut Scratch, out: &mut Vec<u8>) -> bool {
        let Some(playing) = &mut self.playing else {
            self.client.poll_transmit(now, out);
            return false;
        };
        if now >= playing.next_ping {
            self.client.poll_transmit(now, out);
            playing.next_ping = self.client.poll_timeout().unwrap_or(now);
        }
        let start = out.len();
        let ack = playing.take_ack();
        let kind = arena::schema().input();
        if playing.fill(now, &self.client, &mut self.pilot, kind, scratch) {
            scratch.frame.ack = ack;
            scratch.frame.encode(kind, out);
        } else if let Some(ack) = ack {
            ack.encode(out);
            return false;
        }
        out.len() > start
    }

    /// For a bot that reads nothing any more: it takes the room to be where its clock says, and goes on giving inputs.
    pub(super) fn assume_room_goes_on(&mut self, now: Micros) {
        if let (Some(playing), Some(clock)) = (&mut self.playing, self.client.clock()) {
            playing.newest_tick = clock.tick_time(now).tick;
        }
    }

    /// The connection is over; why is told by the client.
    pub(super) fn handle_disconnect(&mut self, reason: DisconnectReason) {
        self.client.handle_disconnect(reason);
    }

    /// Why the server did not let it in, if so.
    pub(super) fn poll_rejected(&mut self, now: Micros) -> Option<RejectReason> {
        while let Some(event) = self.client.poll_event(now) {
            if let Event::Rejected(reason) = event {
                return Some(reason);
            }
        }
        None
    }
}

impl Playing {
    fn handle_snapshot(
        &mut self,
        now: Micros,
        payload: &[u8],
        heard: &mut Heard,
    ) -> Result<(), ClientFault> {
        let header = SnapshotHeader::peek(payload, self.newest_tick)?;
        if let Some(number) = header.sequence {
            let what = "sequence of a snapshot on this kind of stream";
            return Err(DecodeError::Invalid { what, value: number.0.into() }.into());
        }
        if !header.tick.is_newer_than(self.newest_tick) {
            let value = u64::from(header.tick.0);
            return Err(DecodeError::Invalid { what: "snapshot tick, not above the last", value }.into());
        }
        // As far back as the server tells of.
        let steps = (header.tick.since(self.newest_tick) as u32).min(u32::BITS);
        self.newest_tick = header.tick;
        self.snapshots += 1;
        heard.snapshots += 1;
        // Steps before the first input that has come need none.
        if let Some(feedback) = header.feedback {
            let missing = (feedback.substituted & (u32::MAX >> (u32::BITS - steps))).count_ones();
            heard.steps += steps;
            heard.steps_without_input += missing;
            if (missing > 0 || feedback.margin_ticks < 0) && now >= self.grown_at + GROWTH_INTERVAL {
                self.grown_at = now;
                self.margin = Micros((self.margin.0 + GROWTH_MICROS).min(MARGIN_MICROS_MAX));
            }
        }
        Ok(())
    }

    /// The newest snapshot, if it was not acked yet.
    fn take_ack(&mut self) -> Option<Ack> {
        if self.acked == self.snapshots {
            return None;
        }
        self.acked = self.snapshots;
        // Frames count from 0.
        Some(Ack::new(Sequence((self.snapshots - 1) as u16)))
    }

    /// Fills the frame with the inputs that are due; whether there are any.
    fn fill(&mut self, now: Micros, client: &Client, pilot: &mut Pilot, kind: &Kind, scratch: &mut Scratch) -> bool {
        let (true, Some(clock)) = (self.has_player, client.clock()) else { return false };
        let time = clock.tick_time(now + self.margin + Micros(clock.rtt().0 / 2));
        // A room that stalls is not run away from.
        let latest = self.newest_tick + self.ahead_max;
        let newest = if time.tick.is_newer_than(latest) { latest } else { time.tick };
        // After a pause, or at the beginning, as many as a frame takes at most.
        let missing = self.given.map_or(1, |given| newest.since(given));
        if missing <= 0 {
            return false;
        }
        let rows = (missing as u32).min(self.inputs_max);
        scratch.frame.clear();
        for tick in (0..rows).rev().map(|back| newest - back) {
            pilot.fill(kind, tick, self.rate.dt(), &mut scratch.row);
            scratch.frame.push(kind, tick, &scratch.row);
        }
        let welcome_delay = client.welcome().map_or(Micros::ZERO, |welcome| welcome.timing.interpolation_delay);
        let shown = Micros(clock.server_time(now).0.saturating_sub(welcome_delay.0));
        let shown = clock.tick_at(shown);
        // Nobody is shown what has not come.
        scratch.frame.view = if shown.tick.is_newer_than(self.newest_tick) {
            TickTime { tick: self.newest_tick, fraction: 0.0 }
        } else {
            shown
        };
        self.given = Some(newest);
        true
    }
}
