//! One run of chaos.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_netsim::Direction;
use tickwire_protocol::handshake::{Reject, RejectReason, ResumeToken, Role, StreamKind};
use tickwire_protocol::message::QueueLimits;
use tickwire_protocol::{Micros, PeerId, RoomId, RowHead, Schema, SessionId, TickRate};
use tickwire_server::core::{Absence, Join, Room, RoomConfig, RoomEvent, RoomIdentity};
use tickwire_sim::Random;

use super::facts::Ledger;
use super::game::{Counts, TALKER, Talk, schema};
use super::report::ChaosReport;
use super::seat::{Seat, Wire};
use super::tag::Person;
use crate::greeting::read_join;

/// Players, as many as the room takes; and one more who watches.
pub(super) const PLAYERS: u32 = 3;

/// How long connections are cut.
const CHAOS: Micros = Micros::from_secs(12);

/// How long all is then left in peace: the server may find out late of the last cut, and a place is then kept for the window.
const PEACE: Micros = Micros(LATE.0 + WINDOW.0 + OLD.0);

/// State is old after this: links stall for longer than a second where nobody cuts them, too.
pub(super) const OLD: Micros = Micros::from_secs(3);

/// A connection that is younger does not show yet what it was sent: the picture is a little behind.
const YOUNG: Micros = Micros::from_secs(1);

/// How far apart two looks at everything are.
const STEP: Micros = Micros::from_millis(4);

/// How late an end finds out at most that its connection was cut.
const LATE: Micros = Micros::from_secs(4);

/// How long a session waits for its client: short, so that some stay away for longer.
const WINDOW: Micros = Micros::from_secs(3);

/// Cuts, overheard tokens and new starts of the server, one in so many looks.
const CUT_ODDS: u32 = 300;
const THIEF_ODDS: u32 = 200;
const RESTART_ODDS: u32 = 4_000;

/// Clients that end and are started anew, and strangers that want in, one in so many looks.
const DEATH_ODDS: u32 = 1_000;
const STRANGER_ODDS: u32 = 300;

/// Connections that are cut just when their hello has come, or its welcome is on its way, one in so many.
const AMBUSH_ODDS: u32 = 8;

/// In every fourth run hardly anything may wait, on either side.
const TINY: QueueLimits = QueueLimits { messages: 6, bytes: 400, in_flight: 2 };

pub(super) fn queue_of(seed: u64) -> QueueLimits {
    if seed % 4 == 3 { TINY } else { QueueLimits::default() }
}

/// What the lab itself knows of a session.
#[derive(Clone, Copy)]
struct Known {
    peer: Option<PeerId>,
    absent_since: Micros,
    /// Its client has spoken behind a welcome, so that it can come back.
    has_spoken: bool,
}

pub(super) struct Chaos {
    seed: u64,
    random: Random,
    schema: Arc<Schema>,
    pub(super) room: Room,
    /// How often the server has started anew; players of each have numbers of their own.
    pub(super) starts: u32,
    pub(super) now: Micros,
    pub(super) seats: Vec<Seat>,
    /// Connections that the server does not know are cut, and when it finds out.
    half_open: Vec<(Micros, PeerId)>,
    sessions: BTreeMap<SessionId, Known>,
    /// What was last counted of each player that ever was.
    pub(super) counted: BTreeMap<Person, Counts>,
    /// What the games have told beside.
    pub(super) ledger: Ledger,
    pub(super) report: ChaosReport,
}

/// Runs chaos from a seed: the same seed finds the same.
pub fn run_chaos(seed: u64) -> ChaosReport {
    let mut chaos = Chaos::new(seed);
    // Links that stall end connections even where nobody cuts them. If that was just now, or if it has held up what is large, there is a little
    // more time.
    let (end, last_end) = (CHAOS + PEACE, CHAOS + PEACE + OLD + OLD);
    while chaos.now < end || (chaos.now < last_end && (chaos.is_any_young() || chaos.is_any_open())) {
        chaos.step();
        chaos.now = chaos.now + STEP;
    }
    chaos.settle();
    chaos.report
}

fn rate() -> TickRate {
    TickRate::new(30).unwrap_or_else(|| unreachable!("a rate that there is"))
}

fn open(schema: &Arc<Schema>, ledger: &Ledger, seed: u64, starts: u32, now: Micros) -> Room {
    let identity = RoomIdentity { id: RoomId(starts), name: "chaos".to_owned(), seed };
    let mut config = RoomConfig::new(rate(), 10);
    config.session_window = WINDOW;
    config.silence_timeout = Micros::from_millis(1_500);
    config.ping_interval = Micros::from_millis(300);
    config.players_max = PLAYERS;
    config.queue = queue_of(seed);
    config.absence = [Absence::Stand, Absence::Bot, Absence::Remove][(seed % 3) as usize];
    let left = Micros(CHAOS.0.saturating_sub(now.0));
    let calm = config.first_tick + rate().steps_in(left) as u32;
    Room::new(identity, config, Box::new(Talk::new(schema.clone(), calm, starts, ledger.teller())), now)
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let (schema, ledger, starts) = (schema(), Ledger::new(), 1);
        Self {
            seed,
            random: Random::from_seed(seed),
            room: open(&schema, &ledger, seed, starts, Micros::ZERO),
            seats: (0..=u64::from(PLAYERS))
                .map(|number| {
                    let is_player = number < u64::from(PLAYERS);
                    let role = if is_player { Role::Player } else { Role::Spectator };
                    Seat::new(&schema, seed, number, role)
                })
                .collect(),
            schema,
            starts,
            now: Micros::ZERO,
            half_open: Vec::new(),
            sessions: BTreeMap::new(),
            counted: BTreeMap::new(),
            ledger,
            report: ChaosReport { seeds: 1, ..ChaosReport::default() },
        }
    }

    fn is_any_young(&self) -> bool {
        self.seats.iter().any(|seat| seat.client.stats(self.now).connection_uptime < YOUNG)
    }

    fn is_any_open(&self) -> bool {
        self.ledger.open > 0 || self.seats.iter().any(|seat| seat.open_ends() > 0)
    }

    fn is_calm(&self) -> bool {
        self.now >= CHAOS
    }

    /// Does all that is due, on both ends.
    fn step(&mut self) {
        for index in 0..self.seats.len() {
            self.receive(index);
        }
        self.advance();
        for index in 0..self.seats.len() {
            self.transmit(index);
            if !self.is_calm() {
                self.trouble(index);
            }
            self.seats[index].run(self.seed, self.now, CHAOS, &mut self.report);
            self.check_unseen(index);
            if self.seats[index].has_left(self.now, &mut self.report) {
                self.goodbye(index);
            }
        }
        if !self.is_calm() && self.random.below(RESTART_ODDS) == 0 {
            self.restart();
        }
    }

    /// An event was told before somebody whom it names was in view: only who is gone is not waited for.
    fn check_unseen(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        let is_of_now = seat.wire.as_ref().is_some_and(|wire| wire.ends.is_none());
        for entity in seat.scene.take_unseen() {
            let is_there = self.room.tables().rows(TALKER).any(|(head, _)| head.id == entity);
            self.report.messages_reordered += u64::from(is_there && is_of_now);
        }
    }

    // ---- the server --------------------------------------------------------------------------------------------

    /// Hands the server what has arrived.
    fn receive(&mut self, index: usize) {
        let now = self.now.0;
        while let Some(wire) = self.seats[index].wire.as_mut().filter(|wire| wire.ends.is_none())
            && let Some((_, message)) = wire.link.receive(now, Direction::Up)
        {
            self.take(index, message);
        }
    }

    fn take(&mut self, index: usize, message: Bytes) {
        let Some(wire) = &mut self.seats[index].wire else { return };
        let Some(peer) = wire.peer else { return self.admit(index, message) };
        let is_first = !core::mem::replace(&mut wire.has_spoken, true);
        for known in self.sessions.values_mut().filter(|known| known.peer == Some(peer)) {
            known.has_spoken = true;
        }
        if self.room.handle_message(self.now, peer, message).is_err() {
            self.report.faults += 1;
        }
        if is_first {
            // The replay is on its way, and its acks are not.
            self.ambush(index);
        }
    }

    fn token(&mut self) -> ResumeToken {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        ResumeToken((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    /// Lets a connection in that says hello.
    fn admit(&mut self, index: usize, message: Bytes) {
        let token = self.token();
        let Some(join) = read_join(message, &self.schema, token) else {
            self.report.faults += 1;
            return;
        };
        let resume = join.resume;
        let is_to_go_on = resume.is_some_and(|resume| self.sessions.contains_key(&resume.session));
        let is_full = self.room.player_count() >= PLAYERS;
        let peer = match self.room.join(self.now, join) {
            Ok(peer) => peer,
            Err(reason) => return self.refuse(index, &reason, is_full),
        };
        if let Some(session) = self.room.session(peer) {
            let before = self.sessions.get(&session);
            let has_spoken = before.is_some_and(|before| before.has_spoken);
            self.sessions.insert(session, Known { peer: Some(peer), absent_since: self.now, has_spoken });
        }
        let seat = &mut self.seats[index];
        seat.overheard = resume;
        if let Some(wire) = &mut seat.wire {
            (wire.peer, wire.is_to_go_on) = (Some(peer), is_to_go_on);
        }
        // Its token is used, and it does not know the next one.
        self.ambush(index);
    }

    /// Tells a client that it is not let in.
    fn refuse(&mut self, index: usize, reason: &RejectReason, is_full: bool) {
        let is_right = is_full && matches!(reason, RejectReason::RoomFull { .. });
        self.report.wrong_outcome_told += u64::from(!is_right);
        let mut message = Vec::new();
        Reject::from(reason.clone()).encode(&mut message);
        if let Some(wire) = &mut self.seats[index].wire {
            wire.link.send(self.now.0, Direction::Down, &message);
        }
    }

    /// A client has left: what it wrote before its goodbye comes before it.
    fn goodbye(&mut self, index: usize) {
        while let Some(wire) = self.seats[index].wire.as_mut().filter(|wire| wire.ends.is_none())
            && let Some(at) = wire.link.next_event(self.now.0, Direction::Up)
        {
            // What the stream had no room for is written as soon as it has.
            wire.link.flush(at, Direction::Up);
            if let Some((_, message)) = wire.link.receive(at, Direction::Up) {
                self.take(index, message);
            }
        }
        let wire = self.seats[index].wire.take().filter(|wire| wire.ends.is_none());
        if let Some(peer) = wire.and_then(|wire| wire.peer) {
            self.room.leave(peer);
            self.sessions.retain(|_, known| known.peer != Some(peer));
        }
        self.seats[index].begin_anew(self.seed, self.now);
    }

    fn advance(&mut self) {
        let now = self.now;
        let lost =
            self.half_open.extract_if(.., |(at, _)| now >= *at).map(|(_, peer)| peer).collect::<Vec<_>>();
        for peer in lost {
            self.lose(peer);
        }
        let report = self.room.advance(now);
        while let Some(event) = self.room.poll_event() {
            let RoomEvent::PeerDropped { peer, .. } = event else { continue };
            self.note_lost(peer);
            let wires = self.seats.iter_mut().filter_map(|seat| seat.wire.as_mut());
            for wire in wires.filter(|wire| wire.peer == Some(peer)) {
                wire.ends.get_or_insert(now);
            }
        }
        if report.due.steps > 0 {
            self.ledger.read();
            // The room's rule, told once more.
            self.sessions
                .retain(|_, known| known.peer.is_some() || now.saturating_since(known.absent_since) < WINDOW);
            let rows = self.room.tables().rows(TALKER);
            let starts = self.starts;
            let person = |head: RowHead| head.owner.map(|player| Person::new(starts, player));
            self.counted.extend(rows.filter_map(|(head, row)| Some((person(head)?, Counts::read(row)))));
        }
    }

    /// The server finds out that a connection is no more.
    fn lose(&mut self, peer: PeerId) {
        self.room.disconnect(self.now, peer);
        self.note_lost(peer);
    }

    fn note_lost(&mut self, peer: PeerId) {
        self.sessions.retain(|_, known| known.has_spoken || known.peer != Some(peer));
        for known in self.sessions.values_mut().filter(|known| known.peer == Some(peer)) {
            *known = Known { peer: None, absent_since: self.now, ..*known };
        }
    }

    fn transmit(&mut self, index: usize) {
        let Some(Wire { link, peer: Some(peer), ends: None, .. }) = &mut self.seats[index].wire else {
            return;
        };
        let now = self.now;
        link.flush(now.0, Direction::Down);
        if link.is_free(Direction::Down) {
            self.room.poll_transmit(now, *peer, |message| link.send(now.0, Direction::Down, message));
        }
        if link.is_free(Direction::Down) {
            self.room.poll_filler(now, *peer, |message| link.send(now.0, Direction::Down, message));
        }
    }

    // ---- trouble -----------------------------------------------------------------------------------------------

    /// Cuts a connection at this very moment, if chance wants it.
    fn ambush(&mut self, index: usize) {
        if !self.is_calm() && self.random.below(AMBUSH_ODDS) == 0 {
            self.cut(index);
        }
    }

    /// Somebody new wants in; and leaves at once if there was a place.
    fn knock(&mut self) {
        let is_full = self.room.player_count() >= PLAYERS;
        let answer = self.room.join(self.now, Join::new(Role::Player, StreamKind::Ordered));
        let is_right = match &answer {
            Ok(_) => !is_full,
            Err(reason) => is_full && matches!(reason, RejectReason::RoomFull { max: PLAYERS, .. }),
        };
        self.report.wrong_outcome_told += u64::from(!is_right);
        if let Ok(stranger) = answer {
            self.room.leave(stranger);
        }
    }

    fn trouble(&mut self, index: usize) {
        if self.random.below(CUT_ODDS) == 0 {
            self.cut(index);
        }
        if self.random.below(THIEF_ODDS) == 0 {
            self.steal(index);
        }
        if self.random.below(STRANGER_ODDS) == 0 {
            self.knock();
        }
        if self.random.below(DEATH_ODDS) == 0 {
            self.cut(index);
            self.seats[index].die(self.now, &mut self.report);
        }
    }

    /// Cuts a connection; some of what is on its way still arrives. Both ends find out when chance wants, the server's perhaps
    /// only by the silence.
    fn cut(&mut self, index: usize) {
        let Some(wire) = self.seats[index].wire.as_mut().filter(|wire| wire.ends.is_none()) else { return };
        self.report.cuts += 1;
        let late = |random: &mut Random| match random.below(4) {
            0 => Micros::ZERO,
            1 => Micros(u64::from(random.below(LATE.0 as u32))),
            _ => Micros::from_millis(u64::from(random.below(100))),
        };
        let (client_late, server_late) = (late(&mut self.random), late(&mut self.random));
        let mut arrives = Vec::new();
        for _ in 0..self.random.below(4) {
            let Some(at) = wire.link.next_event(self.now.0, Direction::Up) else { break };
            arrives.extend(wire.link.receive(at, Direction::Up).map(|(_, message)| message));
        }
        wire.ends = Some(self.now + client_late);
        for message in arrives {
            self.take(index, message);
        }
        let peer = self.seats[index].wire.as_ref().and_then(|wire| wire.peer);
        self.half_open.extend(peer.map(|peer| (self.now + server_late, peer)));
    }

    /// Somebody has overheard the token of the last hello, and tries it while its owner plays.
    fn steal(&mut self, index: usize) {
        let Seat { wire, overheard, .. } = &self.seats[index];
        let (Some(resume), Some(Wire { has_spoken: true, ends: None, .. })) = (*overheard, wire) else {
            return;
        };
        let join = Join {
            token: self.token(),
            resume: Some(resume),
            ..Join::new(Role::Spectator, StreamKind::Ordered)
        };
        let Ok(thief) = self.room.join(self.now, join) else { return };
        self.report.wrong_outcome_told += u64::from(self.room.session(thief) == Some(resume.session));
        self.room.leave(thief);
    }

    /// The server starts anew and knows nobody.
    fn restart(&mut self) {
        self.starts += 1;
        self.room = open(&self.schema, &self.ledger, self.seed, self.starts, self.now);
        self.sessions.clear();
        self.half_open.clear();
        for seat in &mut self.seats {
            if let Some(wire) = &mut seat.wire {
                wire.ends.get_or_insert(self.now);
            }
        }
    }
}
