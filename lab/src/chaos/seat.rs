//! One client of the chaos lab: what it says, hears and is told, and the connection that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tickwire_client::{
    Backoff, Client, ClientConfig, DisconnectReason, Event, Network, Reconnect, SavedSession,
};
use tickwire_netsim::{Direction, Profile};
use tickwire_protocol::handshake::{RejectReason, Resume, Role, SessionOutcome, SessionTerms, StreamKind};
use tickwire_protocol::message::{Message, MessageId, Outcome};
use tickwire_protocol::{Micros, PeerId, Schema, SessionId};
use tickwire_sim::Random;

use super::game::{BRIEF, MOMENT, NEWEST, Person, TALK, heard, talk};
use super::report::ChaosReport;
use crate::link::Link;

/// Comes back quickly, and never gives up.
const RECONNECT: Reconnect = Reconnect {
    backoff: Backoff::Jittered {
        first_within: Micros::from_millis(50),
        base: Micros::from_millis(100),
        cap: Micros::from_millis(400),
    },
    attempts: u32::MAX,
};

/// A connection, at its client's end.
pub(super) struct Wire {
    pub(super) link: Link,
    /// Who it is at the server's end, once that has answered its hello.
    pub(super) peer: Option<PeerId>,
    /// Whether its session is to go on, by what the lab knows.
    pub(super) is_to_go_on: bool,
    /// Whether the server has heard the client behind the hello.
    pub(super) has_spoken: bool,
    /// When the client finds out that it was cut.
    pub(super) ends: Option<Micros>,
}

/// A message, by its number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Said {
    Talk(u32),
    Newest(u32),
    Brief(u32),
}

pub(super) struct Seat {
    pub(super) client: Client,
    pub(super) wire: Option<Wire>,
    /// The token that was last used: worth nothing once the client has spoken.
    pub(super) overheard: Option<Resume>,
    /// Its session, and all whom it has been, the present one last.
    session: Option<SessionId>,
    pub(super) persons: Vec<Person>,
    random: Random,
    connections: u64,
    /// The messages whose fate is not known.
    waiting: BTreeMap<MessageId, Said>,
    /// What it was told is lost.
    pub(super) lost: BTreeSet<Said>,
    /// Messages that were taken.
    pub(super) said: u32,
    pub(super) newest_said: u32,
    /// By whom it was then: the next number that it is to hear.
    pub(super) next: BTreeMap<Person, u32>,
    pub(super) newest_heard: BTreeMap<Person, u32>,
    /// Messages that expire: how many there were, and how many of them are known to be delivered, and may be.
    briefs: u32,
    pub(super) briefs_delivered: u32,
    pub(super) briefs_lost: u32,
    moments: u32,
    moment_heard: BTreeMap<Person, u32>,
    /// Until then its game does not poll.
    busy_until: Micros,
    /// Until then nobody runs it, and what happens is not noticed.
    asleep_until: Micros,
    /// Until then its game has paused.
    paused_until: Option<Micros>,
    /// When it is started anew, and with what.
    reborn: Option<(Micros, Vec<u8>)>,
    /// It is about to leave.
    is_leaving: bool,
    config: ClientConfig,
    schema: Arc<Schema>,
}

impl Seat {
    pub(super) fn new(schema: &Arc<Schema>, seed: u64, number: u64, role: Role) -> Self {
        let mut random = Random::from_seed(seed ^ ((number + 1) << 32));
        let mut config = ClientConfig::new("chaos");
        (config.reconnect, config.seed) = (Some(RECONNECT), random.next_u64());
        config.connect_timeout = Micros::from_secs(2);
        config.role = role;
        let mut seat = Self {
            client: Client::new(config.clone(), schema.clone(), Micros::ZERO),
            config,
            schema: schema.clone(),
            briefs: 0,
            briefs_delivered: 0,
            briefs_lost: 0,
            moments: 0,
            moment_heard: BTreeMap::new(),
            asleep_until: Micros::ZERO,
            paused_until: None,
            reborn: None,
            is_leaving: false,
            wire: None,
            overheard: None,
            session: None,
            persons: Vec::new(),
            random,
            connections: number << 32,
            waiting: BTreeMap::new(),
            lost: BTreeSet::new(),
            said: 0,
            newest_said: 0,
            next: BTreeMap::new(),
            newest_heard: BTreeMap::new(),
            busy_until: Micros::ZERO,
        };
        seat.open(seed);
        seat
    }

    /// Opens another connection.
    fn open(&mut self, seed: u64) {
        const PROFILES: [&Profile; 4] =
            [&Profile::PERFECT, &Profile::LAN, &Profile::WIFI, &Profile::MOBILE_4G];
        self.connections += 1;
        let profile = PROFILES[self.random.below(PROFILES.len() as u32) as usize];
        self.wire = Some(Wire {
            link: Link::new(StreamKind::Ordered, profile, seed, self.connections),
            peer: None,
            is_to_go_on: false,
            has_spoken: false,
            ends: None,
        });
    }

    pub(super) fn is_player(&self) -> bool {
        self.config.role == Role::Player
    }

    // ---- trouble of its own ------------------------------------------------------------------------------------

    /// Sleeps, pauses, or hears of another network, if chance wants it.
    fn stumble(&mut self, now: Micros, calm_at: Micros) {
        let mut later =
            |most: u32| (now + Micros::from_millis(u64::from(self.random.below(most)))).min(calm_at);
        let (nap, pause, busy) = (later(6_000), later(3_000), later(1_500));
        match self.random.below(1_200) {
            0..4 => self.busy_until = busy,
            4 => self.asleep_until = nap,
            5 => {
                self.client.pause(now);
                self.paused_until = Some(pause);
            }
            6 => self.client.set_network(now, Network::Changed),
            7 => self.client.set_network(now, Network::Down),
            8..12 => self.client.set_network(now, Network::Up),
            12 => {
                // With what it has said, or at once.
                let flush = (self.random.below(2) == 0).then_some(Micros::from_secs(1));
                self.client.close(now, flush);
                self.is_leaving = true;
            }
            _ => {}
        }
    }

    /// Its program ends, and is started anew later with the session that it had, if it had one.
    pub(super) fn die(&mut self, now: Micros, report: &mut ChaosReport) {
        if self.is_leaving || self.reborn.is_some() {
            return;
        }
        // Where it is busy it says no goodbye to its messages either: the server has them still.
        while let Some(event) = self.client.poll_event(now) {
            self.hear(event, report);
        }
        if let Ok(saved) = self.client.export_session(now) {
            let dead_for = Micros::from_millis(u64::from(self.random.below(4_000)));
            self.reborn = Some((now + dead_for, saved));
        }
    }

    /// Whether it is dead; when its time has come, it lives again.
    fn is_dead(&mut self, seed: u64, now: Micros, report: &mut ChaosReport) -> bool {
        let Some((at, _)) = &self.reborn else { return false };
        if now < *at {
            return true;
        }
        let saved = self.reborn.take().map(|(_, saved)| SavedSession::decode(&saved, &self.schema));
        let session = saved.and_then(Result::ok);
        report.faults += u64::from(session.is_none());
        let config = ClientConfig { session, ..self.config.clone() };
        (self.client, self.paused_until) = (Client::new(config, self.schema.clone(), now), None);
        self.open(seed);
        false
    }

    /// Whether it has left. What it was told of its messages then is all that it will be told.
    pub(super) fn has_left(&mut self, now: Micros, report: &mut ChaosReport) -> bool {
        if !self.is_leaving || !self.client.is_closed() || self.reborn.is_some() {
            return false;
        }
        while let Some(event) = self.client.poll_event(now) {
            self.hear(event, report);
        }
        report.messages_lost += self.waiting.len() as u64;
        self.waiting.clear();
        true
    }

    /// Somebody else, on the same machine.
    pub(super) fn begin_anew(&mut self, seed: u64, now: Micros) {
        self.client = Client::new(self.config.clone(), self.schema.clone(), now);
        (self.session, self.is_leaving, self.paused_until) = (None, false, None);
        self.open(seed);
    }

    // ---- as usual ----------------------------------------------------------------------------------------------

    /// One look at everything, as a game takes it with each picture. From `calm_at` on all is well.
    pub(super) fn run(&mut self, seed: u64, now: Micros, calm_at: Micros, report: &mut ChaosReport) {
        let is_calm = now >= calm_at;
        if self.is_dead(seed, now, report) || now < self.asleep_until {
            return;
        }
        if is_calm {
            self.client.set_network(now, Network::Up);
        } else if !self.is_leaving {
            self.stumble(now, calm_at);
        }
        if self.paused_until.is_some_and(|until| now >= until) {
            self.client.resume(now);
            self.paused_until = None;
        }
        if self.wire.as_ref().is_some_and(|wire| wire.ends.is_some_and(|ends| now >= ends)) {
            self.wire = None;
            self.client.handle_disconnect(now, DisconnectReason::Lost);
        }
        if self.client.poll_connect(now) {
            self.open(seed);
        }
        if let Some(wire) = &self.wire {
            let is_to_go_on = wire.is_to_go_on;
            while let Some(wire) = &mut self.wire
                && let Some((_, message)) = wire.link.receive(now.0, Direction::Down)
            {
                let was_playing = self.client.is_playing();
                report.faults += u64::from(self.client.handle_message(now, message).is_err());
                if self.client.is_playing() && !was_playing {
                    self.check_outcome(is_to_go_on, report);
                }
            }
        }
        if is_calm || now >= self.busy_until {
            while let Some(event) = self.client.poll_event(now) {
                self.hear(event, report);
            }
        }
        while let Some(tick) = self.client.due_input_tick(now) {
            self.client.push_input(now, tick, |_| {});
        }
        if !is_calm && self.is_player() {
            self.say(now);
        }
        self.transmit(now);
        if self.is_leaving {
            return;
        }
        if self.client.is_closed() {
            // The very first connection is the player's to try again.
            self.client.reconnect(now);
        }
        if self.client.is_closed() {
            report.faults += 1;
        }
    }

    /// The client was welcomed: what it is told of its session is what the lab knows of it.
    fn check_outcome(&mut self, is_to_go_on: bool, report: &mut ChaosReport) {
        let Some(welcome) = self.client.welcome() else { return };
        let terms = SessionTerms::find(&welcome.extensions).ok().flatten();
        let goes_on = terms.is_some_and(|terms| terms.outcome == SessionOutcome::Resumed);
        let person = welcome.player.map(|player| Person::new(welcome.session.room().0, player));
        let is_same = self.session == Some(welcome.session) && self.persons.last().copied() == person;
        report.wrong_outcome_told += u64::from(goes_on != is_same || goes_on != is_to_go_on);
        report.resumed += u64::from(goes_on);
        report.fresh += u64::from(!goes_on);
        self.session = Some(welcome.session);
        if !is_same {
            self.persons.extend(person);
        }
    }

    fn transmit(&mut self, now: Micros) {
        let Some(Wire { link, ends: None, .. }) = &mut self.wire else { return };
        link.flush(now.0, Direction::Up);
        let mut message = Vec::new();
        while link.is_free(Direction::Up) && self.client.poll_transmit(now, &mut message) {
            link.send(now.0, Direction::Up, &message);
            message.clear();
        }
    }

    fn say(&mut self, now: Micros) {
        let burst = match self.random.below(1_500) {
            0 => 1_100,
            1..=150 => 1 + self.random.below(4),
            _ => 0,
        };
        for _ in 0..burst {
            let body = talk(&mut self.random, Person::default(), self.said);
            if let Ok(id) = self.client.send(now, TALK, 0, body) {
                self.waiting.insert(id, Said::Talk(self.said));
                self.said += 1;
            }
        }
        if self.random.below(20) == 0 {
            let number = self.briefs + 1;
            if let Ok(id) = self.client.send(now, BRIEF, 0, numbered(number)) {
                self.briefs = number;
                self.waiting.insert(id, Said::Brief(number));
            }
            self.moments += 1;
            // One that is refused is one that is missing.
            let _ = self.client.send(now, MOMENT, 0, numbered(self.moments));
        }
        if self.random.below(30) == 0
            && let Ok(id) = self.client.send(now, NEWEST, 7, numbered(self.newest_said + 1))
        {
            self.newest_said += 1;
            self.waiting.insert(id, Said::Newest(self.newest_said));
        }
    }

    fn hear(&mut self, event: Event, report: &mut ChaosReport) {
        match event {
            Event::Message(message) => self.hear_message(&message, report),
            Event::Sent(id, outcome) => self.note_outcome(id, outcome),
            Event::Rejected(RejectReason::RoomFull { .. }) => {}
            Event::Rejected(_) => report.faults += 1,
            _ => {}
        }
    }

    fn note_outcome(&mut self, id: MessageId, outcome: Outcome) {
        let said = self.waiting.remove(&id);
        match (said, outcome) {
            (Some(Said::Brief(_)), Outcome::Delivered) => self.briefs_delivered += 1,
            (Some(Said::Brief(_)), Outcome::Lost) => self.briefs_lost += 1,
            (Some(said), Outcome::Lost) => drop(self.lost.insert(said)),
            _ => {}
        }
    }

    fn hear_message(&mut self, message: &Message, report: &mut ChaosReport) {
        let (person, number) = heard(message);
        if message.ty == MOMENT {
            let newest = self.moment_heard.entry(person).or_default();
            report.messages_doubled += u64::from(number <= *newest);
            *newest = (*newest).max(number);
            return;
        }
        if message.ty == NEWEST {
            let newest = self.newest_heard.entry(person).or_default();
            report.messages_reordered += u64::from(number <= *newest);
            *newest = number;
            return;
        }
        report.messages += 1;
        let next = self.next.entry(person).or_default();
        report.messages_doubled += u64::from(number < *next);
        // Of sessions that are over, what was not polled in time may be missing: fresh was told.
        let is_present = self.persons.last() == Some(&person);
        report.messages_reordered += u64::from(number > *next && is_present);
        *next = (*next).max(number + 1);
    }
}

/// What a client says: to nobody in particular, and a number.
fn numbered(number: u32) -> Vec<u8> {
    [[0; 4], number.to_le_bytes()].concat()
}
