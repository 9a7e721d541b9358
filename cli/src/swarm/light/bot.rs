//! A light bot: a client that reads how snapshots begin, and nothing else of them.
//!
//! ```text
//!  hello, welcome, first snapshot, first pong   by the client itself, as of any bot
//!  from then on   snapshots are counted (acks on an ordered stream are counts), their headers read
//!                 the client's timekeeper sends pings, and knows the server's time; the rest of the client is gone
//!                 inputs are made of rows that the pilot has ready
//! ```
//!
//! Like the client it does no I/O and reads no clock: a room in virtual time can test it.

use bytes::Bytes;
use tickwire_client::{Client, ClientFault, DisconnectReason, Event, Timekeeper};
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{RejectReason, Welcome};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::ping::Pong;
use tickwire_protocol::schema::Kind;
use tickwire_protocol::snapshot::SnapshotHeader;
use tickwire_protocol::{DecodeError, Micros, Tick, TickTime};
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
    state: State,
    pilot: Pilot,
    /// Ticks from one input frame to the next are these many to a second.
    input_hz: u32,
}

enum State {
    /// The client decodes everything.
    Joining(Box<Client>),
    Playing(Box<Playing>),
    /// On the way from one to the other.
    Between,
}

/// What a bot knows that plays.
struct Playing {
    welcome: Welcome,
    time: Timekeeper,
    /// SNAPSHOT frames since the connection began.
    snapshots: u64,
    /// How many of them are acked.
    acked: u64,
    newest_tick: Tick,
    last_heard: Micros,
    /// The newest tick that was given an input.
    given: Option<Tick>,
    /// Beside half a round trip, microseconds.
    margin: Micros,
    grown_at: Micros,
}

/// What is kept from frame to frame for all bots of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    frame: InputFrame,
    row: Vec<i32>,
}

impl LightBot {
    /// About to say hello with this client. Inputs go out every `1 / input_hz` s.
    pub(super) fn new(client: Client, pilot: Pilot, input_hz: u32) -> Self {
        Self { state: State::Joining(Box::new(client)), pilot, input_hz }
    }

    /// What the server said when it let the bot in.
    pub(super) fn welcome(&self) -> Option<&Welcome> {
        match &self.state {
            State::Joining(client) => client.welcome(),
            State::Playing(playing) => Some(&playing.welcome),
            State::Between => None,
        }
    }

    /// Whether it has a welcome, a state and the server's time.
    pub(super) fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing(_))
    }

    /// The newest round trip, once it plays.
    pub(super) fn rtt(&self) -> Option<Micros> {
        self.playing().map(|playing| playing.time.clock().newest_rtt())
    }

    /// How old the newest state is: the server's time minus the time of its tick.
    pub(super) fn snapshot_age(&self, now: Micros) -> Option<Micros> {
        let playing = self.playing()?;
        let clock = playing.time.clock();
        Some(clock.server_time(now).saturating_since(clock.time_of(playing.newest_tick)))
    }

    fn playing(&self) -> Option<&Playing> {
        match &self.state {
            State::Playing(playing) => Some(playing),
            State::Joining(_) | State::Between => None,
        }
    }

    /// Takes in a binary message of the server.
    pub(super) fn handle_message(&mut self, now: Micros, message: Bytes) -> Result<Heard, ClientFault> {
        let playing = match &mut self.state {
            State::Playing(playing) => playing,
            State::Joining(client) => {
                let before = client.stats(now).snapshots;
                client.handle_message(now, message)?;
                let snapshots = (client.stats(now).snapshots - before) as u32;
                self.begin(now);
                return Ok(Heard { snapshots, ..Heard::default() });
            }
            State::Between => return Ok(Heard::default()),
        };
        playing.last_heard = now;
        let mut heard = Heard::default();
        for frame in frames(message) {
            let frame = frame?;
            match frame.ty {
                FrameType::Snapshot => playing.handle_snapshot(now, &frame.payload, &mut heard)?,
                FrameType::Pong => {
                    let answered = playing.time.handle_pong(now, &Pong::decode(&frame.payload)?);
                    heard.pongs += u32::from(answered.is_some());
                }
                // Who the others are, who wins and what they say is for those who listen. A message is never acked, and the server keeps no more of it than fits.
                FrameType::Members
                | FrameType::Match
                | FrameType::Groups
                | FrameType::Message
                | FrameType::MessageAck => {}
                ty => return Err(ClientFault::Unexpected(ty)),
            }
        }
        Ok(heard)
    }

    /// Plays from now on, if there is state, and the server's time is known.
    fn begin(&mut self, now: Micros) {
        let State::Joining(client) = &self.state else { return };
        let stats = client.stats(now);
        let (Some(welcome), Some(newest_tick), 1..) = (client.welcome(), stats.newest_tick, stats.pongs)
        else {
            return;
        };
        let (welcome, rate) = (welcome.clone(), welcome.timing.tick_rate);
        if let Some(own) = client.own_row(PLAYER) {
            self.pilot.note_position(own.vec3(arena::player::POSITION));
        }
        let State::Joining(client) = std::mem::replace(&mut self.state, State::Between) else { return };
        let Some(time) = client.into_timekeeper() else { return };
        self.state = State::Playing(Box::new(Playing {
            // The schema and the prior of a welcome are tens of kilobytes.
            welcome: Welcome { schema: None, prior: None, ..welcome },
            time,
            snapshots: stats.snapshots,
            acked: 0,
            newest_tick,
            last_heard: now,
            given: None,
            margin: rate.due(u64::from(rate.hz().div_ceil(self.input_hz) + MARGIN_TICKS)),
            grown_at: now,
        }));
    }

    /// Appends what is to be sent now: hello, ping, and the inputs of all ticks since the last time, with an ack. Whether there
    /// is an input among it.
    pub(super) fn poll_transmit(&mut self, now: Micros, scratch: &mut Scratch, out: &mut Vec<u8>) -> bool {
        let playing = match &mut self.state {
            State::Playing(playing) => playing,
            State::Joining(client) => {
                client.poll_transmit(now, out);
                return false;
            }
            State::Between => return false,
        };
        playing.time.poll_transmit(now, out);
        let kind = arena::schema().input();
        let ack = playing.take_ack();
        let has_input = playing.fill(now, &mut self.pilot, kind, scratch);
        if has_input {
            scratch.frame.ack = ack;
            scratch.frame.encode(kind, out);
        } else if let Some(ack) = ack {
            ack.encode(out);
        }
        has_input
    }

    /// For a bot that reads nothing any more: it takes the room to be where its clock says, and goes on giving inputs.
    pub(super) fn assume_room_goes_on(&mut self, now: Micros) {
        if let State::Playing(playing) = &mut self.state {
            playing.newest_tick = playing.time.clock().tick_time(now).tick;
            playing.last_heard = now;
        }
    }

    /// Why the connection is to be closed, if it is.
    pub(super) fn poll_closed(&mut self, now: Micros) -> Option<Closed> {
        match &mut self.state {
            State::Playing(playing) => {
                let is_silent =
                    now.saturating_since(playing.last_heard) > playing.welcome.timing.silence_timeout;
                is_silent.then_some(Closed::Ended(DisconnectReason::Silent))
            }
            State::Joining(client) if client.is_closed() => {
                while let Some(event) = client.poll_event(now) {
                    if let Event::Rejected(reject) = event {
                        return Some(Closed::Rejected(reject.reason));
                    }
                }
                Some(Closed::Ended(client.disconnect_reason().cloned().unwrap_or(DisconnectReason::Lost)))
            }
            State::Joining(_) | State::Between => None,
        }
    }
}

/// Why a connection is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Closed {
    /// The server did not let the bot in.
    Rejected(RejectReason),
    Ended(DisconnectReason),
}

impl Playing {
    fn handle_snapshot(&mut self, now: Micros, payload: &[u8], heard: &mut Heard) -> Result<(), ClientFault> {
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
    fn fill(&mut self, now: Micros, pilot: &mut Pilot, kind: &Kind, scratch: &mut Scratch) -> bool {
        let Welcome { player: Some(_), timing, limits, .. } = &self.welcome else { return false };
        let clock = self.time.clock();
        let time = clock.tick_time(now + self.margin + Micros(clock.rtt().0 / 2));
        // A room that stalls is not run away from.
        let (share, whole) = AHEAD_SHARE;
        let latest = self.newest_tick + limits.input_ahead_ticks_max * share / whole;
        let newest = if time.tick.is_newer_than(latest) { latest } else { time.tick };
        let missing = self.given.map_or(1, |given| newest.since(given));
        if missing <= 0 {
            return false;
        }
        // After a pause as many as a frame takes at most.
        let rows = (missing as u32).min(limits.inputs_per_frame_max);
        scratch.frame.clear();
        for tick in (0..rows).rev().map(|back| newest - back) {
            pilot.fill(kind, tick, timing.tick_rate.dt(), &mut scratch.row);
            scratch.frame.push(kind, tick, &scratch.row);
        }
        let shown = clock.server_time(now).saturating_since(timing.interpolation_delay);
        let shown = clock.tick_at(shown);
        // Nobody is shown what has not come.
        let newest_shown = TickTime { tick: self.newest_tick, fraction: 0.0 };
        let is_known = !shown.tick.is_newer_than(self.newest_tick);
        scratch.frame.view = if is_known { shown } else { newest_shown };
        self.given = Some(newest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use tickwire_client::ClientConfig;
    use tickwire_protocol::frame::write_frame;
    use tickwire_protocol::{PeerId, RoomId, TickRate};
    use tickwire_server::core::{InputCounters, Join, Room, RoomConfig, RoomIdentity, admit};
    use tickwire_sim::arena::{Arena, Level};

    use crate::swarm::pilot::Script;

    const INPUT_HZ: u32 = 20;
    /// From the start of one bot to that of the next.
    const APART: u64 = 2_311;

    /// A bot in a room, and the messages on their way; each way takes as long as the test says.
    struct Seat {
        bot: LightBot,
        peer: Option<PeerId>,
        up: VecDeque<(u64, Vec<u8>)>,
        down: VecDeque<(u64, Vec<u8>)>,
        next_turn: u64,
        heard: Heard,
    }

    struct Match {
        room: Room,
        seats: Vec<Seat>,
        scratch: Scratch,
    }

    impl Match {
        fn new(bots: usize) -> Self {
            let rate = TickRate::new(60).unwrap();
            let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 1 };
            let game = Box::new(Arena::new(Level::for_players(bots)));
            let script = std::sync::Arc::new(Script::record(1, rate));
            let seat = |bot| Seat {
                bot: LightBot::new(
                    Client::new(ClientConfig::new("test"), arena::schema().clone(), Micros::ZERO),
                    Pilot::Scripted { script: script.clone(), bot },
                    INPUT_HZ,
                ),
                peer: None,
                up: VecDeque::new(),
                down: VecDeque::new(),
                next_turn: APART * bot as u64,
                heard: Heard::default(),
            };
            let seats = (0..bots).map(seat).collect();
            let room = Room::new(identity, RoomConfig::new(rate, 20), game, Micros::ZERO);
            Self { room, seats, scratch: Scratch::default() }
        }

        /// Plays from one time to another, microseconds; `way` says how long a message takes that leaves at a time.
        fn play(&mut self, from: u64, to: u64, way: impl Fn(u64) -> u64) {
            for now in (from..to).step_by(500) {
                let at = Micros(now);
                for seat in &mut self.seats {
                    seat.exchange(&mut self.room, &mut self.scratch, now, &way);
                }
                if self.room.poll_timeout() <= at {
                    self.room.advance(at);
                }
                for seat in &mut self.seats {
                    let Some(peer) = seat.peer else { continue };
                    while self.room.has_transmit(peer) {
                        let down = &mut seat.down;
                        self.room.poll_transmit(at, peer, |message| {
                            down.push_back((now + way(now), message.to_vec()));
                        });
                    }
                }
            }
        }

        fn inputs(&self) -> InputCounters {
            let mut sum = InputCounters::default();
            for peer in self.seats.iter().filter_map(|seat| seat.peer) {
                let counters = self.room.input_counters(peer).unwrap();
                sum.on_time += counters.on_time;
                sum.late += counters.late;
                sum.substituted += counters.substituted;
            }
            sum
        }
    }

    impl Seat {
        fn exchange(&mut self, room: &mut Room, scratch: &mut Scratch, now: u64, way: &impl Fn(u64) -> u64) {
            while self.down.front().is_some_and(|(at, _)| *at <= now) {
                let (_, message) = self.down.pop_front().unwrap();
                let heard = self.bot.handle_message(Micros(now), message.into()).unwrap();
                self.heard.snapshots += heard.snapshots;
                self.heard.steps += heard.steps;
                self.heard.steps_without_input += heard.steps_without_input;
            }
            if now >= self.next_turn {
                self.next_turn += 1_000_000 / u64::from(INPUT_HZ);
                let mut message = Vec::new();
                self.bot.poll_transmit(Micros(now), scratch, &mut message);
                if !message.is_empty() {
                    self.up.push_back((now + way(now), message));
                }
            }
            while self.up.front().is_some_and(|(at, _)| *at <= now) {
                let (_, message) = self.up.pop_front().unwrap();
                match self.peer {
                    Some(peer) => room.handle_message(Micros(now), peer, message.into()).unwrap(),
                    None => self.peer = Some(join(room, now, message)),
                }
            }
        }
    }

    fn join(room: &mut Room, now: u64, message: Vec<u8>) -> PeerId {
        let hello = frames(message.into()).next().unwrap().unwrap();
        let stream = tickwire_protocol::handshake::StreamKind::Ordered;
        let hello = admit(&hello.payload, arena::schema(), stream).unwrap().unwrap();
        room.join(Micros(now), Join::new(hello.role, stream)).unwrap()
    }

    #[test]
    fn nearly_all_inputs_come_in_time_and_every_snapshot_is_acked() {
        // Ways of a few milliseconds, and now and then of thirty.
        let mut game = Match::new(24);
        game.play(1_000_000, 12_000_000, |at| if at % 1_700_000 < 40_000 { 30_000 } else { 3_000 });
        assert!(game.seats.iter().all(|seat| seat.bot.is_playing()));
        let InputCounters { on_time, late, substituted, .. } = game.inputs();
        assert!(on_time > 24 * 60 * 9, "{on_time}");
        assert!(
            late * 100 < on_time && substituted * 20 < on_time,
            "{late} late, {substituted} missing of {on_time}"
        );
        let snapshots: u32 = game.seats.iter().map(|seat| seat.heard.snapshots).sum();
        assert!(snapshots > 24 * 20 * 10, "nobody was held back for acks that did not come: {snapshots}");
        for seat in &game.seats {
            // What is not acked is on its way, or waits for the next turn.
            let stats = game.room.peer_stats(Micros(12_000_000), seat.peer.unwrap()).unwrap();
            assert!(stats.frames_in_flight <= 4);
        }
        // What bots are told agrees with what the room counts.
        let told: u32 = game.seats.iter().map(|seat| seat.heard.steps_without_input).sum();
        assert!(u64::from(told) <= substituted + 24, "{told} told, {substituted} counted");
        assert!(u64::from(told) + 24 >= substituted / 2, "{told} told, {substituted} counted");
    }

    #[test]
    fn a_bot_whose_inputs_come_late_gives_them_earlier() {
        let mut game = Match::new(8);
        game.play(1_000_000, 4_000_000, |_| 3_000);
        // The way up and down grows by more than the margin: pings tell soon, feedback at once.
        game.play(4_000_000, 8_000_000, |_| 90_000);
        let before = game.inputs();
        game.play(8_000_000, 14_000_000, |_| 90_000);
        let after = game.inputs();
        let (on_time, missing) = (after.on_time - before.on_time, after.substituted - before.substituted);
        assert!(missing * 50 < on_time, "{missing} missing, {on_time} in time");
    }

    #[test]
    fn a_room_that_stands_still_is_not_run_away_from() {
        let mut game = Match::new(4);
        game.play(1_000_000, 3_000_000, |_| 3_000);
        // Nothing is heard for four seconds; what was sent meanwhile arrives before the room steps again.
        for now in (3_000_000..7_000_000).step_by(500) {
            for seat in &mut game.seats {
                seat.exchange(&mut game.room, &mut game.scratch, now, &|_| 3_000);
            }
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_ends_the_connection() {
        let mut game = Match::new(1);
        game.play(1_000_000, 3_000_000, |_| 3_000);
        let bot = &mut game.seats[0].bot;
        let mut take =
            |message: &[u8]| bot.handle_message(Micros(3_000_000), Bytes::copy_from_slice(message));
        let mut hello = Vec::new();
        write_frame(&mut hello, FrameType::Hello, &[]);
        assert_eq!(take(&hello), Err(ClientFault::Unexpected(FrameType::Hello)));
        // A snapshot of an old tick: the first of all, told in full.
        let mut old = Vec::new();
        write_frame(&mut old, FrameType::Snapshot, &[1, 0, 0, 0, 0]);
        assert!(matches!(take(&old), Err(ClientFault::Malformed(DecodeError::Invalid { .. }))));
        for cut in 1..old.len() {
            assert!(matches!(take(&old[..cut]), Err(ClientFault::Malformed(_))), "{cut}");
        }
    }
}
