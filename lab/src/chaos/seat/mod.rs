//! One client of the chaos lab, and the connection that it has.

mod hear;
mod say;

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tickwire_client::{Backoff, Client, ClientConfig, DisconnectReason, Network, Reconnect, SavedSession};
use tickwire_netsim::{Direction, Profile};
use tickwire_protocol::handshake::{Resume, Role, SessionOutcome, SessionTerms, StreamKind};
use tickwire_protocol::message::{MessageTypeId, RequestId};
use tickwire_protocol::{Micros, PeerId, Schema, SessionId};
use tickwire_sim::Random;

use super::asks::{Asked, Owed};
use super::hauls::Hauls;
use super::memory::{Memory, Said};
use super::report::ChaosReport;
use super::run::queue_of;
use super::scene::Scene;
use super::tag::{Person, Tag};
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

/// A session as bytes, with what the program that made them knew.
struct Export {
    saved: Vec<u8>,
    memory: Memory,
    /// How much it had said.
    said: u32,
    newest_said: u32,
    briefs: u32,
    /// The program goes on behind it.
    is_old: bool,
}

pub(super) struct Seat {
    pub(super) client: Client,
    pub(super) wire: Option<Wire>,
    /// The token that was last used: worth nothing once the client has spoken.
    pub(super) overheard: Option<Resume>,
    /// Its session, and all whom it has been, the present one last.
    session: Option<SessionId>,
    pub(super) persons: Vec<Person>,
    /// As whom it asks and offers.
    who: Person,
    random: Random,
    connections: u64,
    pub(super) memory: Memory,
    /// What it was told is lost.
    pub(super) lost: BTreeSet<Said>,
    /// Messages that were taken; and of those the ones that a program said behind the export with which the next began.
    pub(super) said: u32,
    pub(super) newest_said: u32,
    pub(super) forgotten: BTreeSet<Said>,
    /// The last of them, as it is said with each message.
    hole: Range<u32>,
    /// What such an export knew of the newest only as waiting: it may be written behind what is newer.
    pub(super) rewritten: BTreeSet<u32>,
    /// The newest of each that it ever heard: what was polled of these is not told again to who goes on with an older export.
    pub(super) newest_heard: BTreeMap<(MessageTypeId, Person), u32>,
    /// Messages that expire: how many there were, and which of them are known to be delivered, and may be.
    briefs: u32,
    pub(super) briefs_delivered: BTreeSet<u32>,
    pub(super) briefs_uncertain: BTreeSet<u32>,
    moments: u32,
    /// Questions and contents of its own so far, and their ends.
    questions: u32,
    asked: Asked<RequestId>,
    pub(super) done: BTreeSet<Tag>,
    pub(super) not_done: BTreeSet<Tag>,
    loads: u32,
    hauls: Hauls<()>,
    pub(super) sent: BTreeSet<Tag>,
    pub(super) received: BTreeSet<Tag>,
    /// Questions to it: all that it ever saw, and what it is to answer.
    pub(super) handled: BTreeSet<Tag>,
    owed: Owed<RequestId>,
    pub(super) scene: Scene,
    /// Until then its game does not poll.
    busy_until: Micros,
    /// Until then nobody runs it, and what happens is not noticed.
    asleep_until: Micros,
    /// Until then its game has paused.
    paused_until: Option<Micros>,
    /// One that it has made on this connection, and that is not the last.
    export: Option<Export>,
    /// When it is started anew, and with what.
    reborn: Option<(Micros, Export)>,
    /// It has begun with an older export, and may be told that something is missing.
    is_set_back: bool,
    /// It is about to leave.
    is_leaving: bool,
    pub(super) config: ClientConfig,
    schema: Arc<Schema>,
}

impl Seat {
    pub(super) fn new(schema: &Arc<Schema>, seed: u64, number: u64, role: Role) -> Self {
        let mut random = Random::from_seed(seed ^ ((number + 1) << 32));
        let mut config = ClientConfig::new("chaos");
        (config.reconnect, config.seed) = (Some(RECONNECT), random.next_u64());
        config.connect_timeout = Micros::from_secs(2);
        config.role = role;
        config.queue = queue_of(seed);
        let mut seat = Self {
            client: Client::new(config.clone(), schema.clone(), Micros::ZERO),
            wire: None,
            overheard: None,
            session: None,
            persons: Vec::new(),
            who: Person::of_seat(number as u32),
            random,
            connections: number << 32,
            memory: Memory::default(),
            lost: BTreeSet::new(),
            said: 0,
            newest_said: 0,
            forgotten: BTreeSet::new(),
            hole: 0..0,
            rewritten: BTreeSet::new(),
            newest_heard: BTreeMap::new(),
            briefs: 0,
            briefs_delivered: BTreeSet::new(),
            briefs_uncertain: BTreeSet::new(),
            moments: 0,
            questions: 0,
            asked: Asked::new(),
            done: BTreeSet::new(),
            not_done: BTreeSet::new(),
            loads: 0,
            hauls: Hauls::new(),
            sent: BTreeSet::new(),
            received: BTreeSet::new(),
            handled: BTreeSet::new(),
            owed: Owed::new(),
            scene: Scene::default(),
            busy_until: Micros::ZERO,
            asleep_until: Micros::ZERO,
            paused_until: None,
            export: None,
            reborn: None,
            is_set_back: false,
            is_leaving: false,
            config,
            schema: schema.clone(),
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
    fn stumble(&mut self, now: Micros, calm_at: Micros, report: &mut ChaosReport) {
        let mut later =
            |most: u32| (now + Micros::from_millis(u64::from(self.random.below(most)))).min(calm_at);
        let (nap, pause, busy) = (later(6_000), later(3_000), later(1_500));
        match self.random.below(1_200) {
            13 | 14 => self.export = self.export(now, true, report),
            15 => self.rename(),
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
        let older = self.export.take().filter(|_| self.random.chance(0.5));
        if let Some(export) = older.or_else(|| self.export(now, false, report)) {
            let dead_for = Micros::from_millis(u64::from(self.random.below(4_000)));
            self.reborn = Some((now + dead_for, export));
        }
    }

    fn export(&mut self, now: Micros, is_old: bool, report: &mut ChaosReport) -> Option<Export> {
        // What was not polled of the fates of messages is not told to who goes on.
        while let Some(event) = self.client.poll_event(now) {
            self.hear(now, event, report);
        }
        let saved = self.client.export_session(now).ok()?;
        let Self { said, newest_said, briefs, .. } = *self;
        Some(Export { saved, memory: self.memory.clone(), said, newest_said, briefs, is_old })
    }

    /// Whether it is dead; when its time has come, it lives again.
    fn is_dead(&mut self, seed: u64, now: Micros, report: &mut ChaosReport) -> bool {
        let Some((at, _)) = &self.reborn else { return false };
        if now < *at {
            return true;
        }
        let Some((_, export)) = self.reborn.take() else { return false };
        let session = SavedSession::decode(&export.saved, &self.schema).ok();
        report.faults += u64::from(session.is_none());
        self.forget_behind(export);
        self.restart(ClientConfig { session, ..self.config.clone() }, now);
        self.open(seed);
        false
    }

    /// What the program of before knew and the export does not nobody knows any more.
    fn forget_behind(&mut self, Export { memory, said, newest_said, briefs, is_old, .. }: Export) {
        self.is_set_back |= is_old;
        if is_old {
            let waiting = memory.waiting.values().copied();
            self.rewritten.extend(waiting.filter_map(Said::newest));
            let talk = said..self.said;
            self.forgotten.extend(talk.clone().map(Said::Talk));
            self.forgotten.extend((newest_said + 1..=self.newest_said).map(Said::Newest));
            self.briefs_uncertain.extend(briefs + 1..=self.briefs);
            if !talk.is_empty() {
                let is_one = self.hole.end == talk.start;
                self.hole = if is_one { self.hole.start..talk.end } else { talk };
            }
        }
        self.memory = memory;
    }

    /// Another program, which has asked and offered nothing.
    fn restart(&mut self, config: ClientConfig, now: Micros) {
        self.client = Client::new(config, self.schema.clone(), now);
        (self.paused_until, self.export) = (None, None);
        self.asked.forget(|_| true);
        self.owed.clear();
        self.hauls.clear();
        self.scene.clear();
    }

    /// Whether it has left. What it was told of its messages then is all that it will be told.
    pub(super) fn has_left(&mut self, now: Micros, report: &mut ChaosReport) -> bool {
        if !self.is_leaving || !self.client.is_closed() || self.reborn.is_some() {
            return false;
        }
        while let Some(event) = self.client.poll_event(now) {
            self.hear(now, event, report);
        }
        report.messages_lost += self.open_ends() + self.memory.waiting.len() as u64;
        self.memory.waiting.clear();
        true
    }

    /// What it has asked, offered and been offered, and does not know the end of.
    pub(super) fn open_ends(&self) -> u64 {
        (self.asked.len() + self.hauls.len()) as u64
    }

    /// Somebody else, on the same machine.
    pub(super) fn begin_anew(&mut self, seed: u64, now: Micros) {
        self.restart(self.config.clone(), now);
        (self.session, self.is_leaving, self.is_set_back) = (None, false, false);
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
            self.stumble(now, calm_at, report);
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
                self.hear(now, event, report);
            }
            self.answer(now, report);
        }
        while let Some(tick) = self.client.due_input_tick(now) {
            self.client.push_input(now, tick, |_| {});
        }
        if !is_calm && self.is_player() {
            self.say(now, report);
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
        let goes_on = terms.is_some_and(|terms| !matches!(terms.outcome, SessionOutcome::Fresh(_)));
        let person = welcome.player.map(|player| Person::new(welcome.session.room().0, player));
        let is_same = self.session == Some(welcome.session) && self.persons.last().copied() == person;
        report.wrong_outcome_told += u64::from(goes_on != is_same || goes_on != is_to_go_on);
        report.resumed += u64::from(goes_on);
        report.fresh += u64::from(!goes_on);
        self.session = Some(welcome.session);
        if !is_same {
            self.persons.extend(person);
        }
        // Its token is another from now on.
        self.export = None;
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
}
