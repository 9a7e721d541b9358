//! One client of the chaos lab: what it says, hears and is told, and the connection that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tickwire_client::{Backoff, Client, ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_netsim::{Direction, Profile};
use tickwire_protocol::handshake::{Resume, SessionOutcome, SessionTerms, StreamKind};
use tickwire_protocol::message::{Message, MessageId, Outcome};
use tickwire_protocol::{Micros, PeerId, Schema, SessionId};
use tickwire_sim::Random;

use super::game::{NEWEST, Person, TALK, heard, talk};
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
    /// Until then its game does not poll.
    busy_until: Micros,
}

impl Seat {
    pub(super) fn new(schema: &Arc<Schema>, seed: u64, number: u64) -> Self {
        let mut random = Random::from_seed(seed ^ ((number + 1) << 32));
        let mut config = ClientConfig::new("chaos");
        (config.reconnect, config.seed) = (Some(RECONNECT), random.next_u64());
        config.connect_timeout = Micros::from_secs(2);
        let mut seat = Self {
            client: Client::new(config, schema.clone(), Micros::ZERO),
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

    /// One look at everything, as a game takes it with each picture.
    pub(super) fn run(&mut self, seed: u64, now: Micros, is_calm: bool, report: &mut ChaosReport) {
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
        if self.random.below(300) == 0 && !is_calm {
            self.busy_until = now + Micros::from_millis(u64::from(self.random.below(1_500)));
        }
        if is_calm || now >= self.busy_until {
            while let Some(event) = self.client.poll_event(now) {
                self.hear(event, report);
            }
        }
        while let Some(tick) = self.client.due_input_tick(now) {
            self.client.push_input(now, tick, |_| {});
        }
        if !is_calm {
            self.say(now);
        }
        self.transmit(now);
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
        if self.random.below(30) == 0 {
            let body = [[0; 4], (self.newest_said + 1).to_le_bytes()].concat();
            if let Ok(id) = self.client.send(now, NEWEST, 7, body) {
                self.newest_said += 1;
                self.waiting.insert(id, Said::Newest(self.newest_said));
            }
        }
    }

    fn hear(&mut self, event: Event, report: &mut ChaosReport) {
        match event {
            Event::Message(message) => self.hear_message(&message, report),
            Event::Sent(id, Outcome::Lost) => self.lost.extend(self.waiting.remove(&id)),
            Event::Sent(id, _) => drop(self.waiting.remove(&id)),
            Event::Rejected(_) => report.faults += 1,
            _ => {}
        }
    }

    fn hear_message(&mut self, message: &Message, report: &mut ChaosReport) {
        let (person, number) = heard(message);
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
