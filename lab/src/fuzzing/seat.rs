//! One client, and what is on its way to and from the room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tickwire_client::{Backoff, Client, ClientConfig, ClientFault, DisconnectReason, Event, Reconnect};
use tickwire_protocol::handshake::{Resume, SessionOutcome, SessionTerms};
use tickwire_protocol::message::{Message, MessageId, Outcome};
use tickwire_protocol::{Micros, PeerId, PlayerId, SessionId};
use tickwire_sim::arena::{Utterance, schema};

use super::Finding;
use super::errands::Errands;

/// Lines that all say together: nobody who is away misses one because too many wait.
pub(super) const LINES_MAX: u32 = 200;

/// A session is waited for at least as long.
const PATIENCE: Micros = Micros::from_secs(5);

/// State is no older where all is well.
const FRESH: Micros = Micros::from_secs(1);

/// Messages of the transport that a client writes in one go.
const WRITES_MAX: usize = 16;

/// A client and its connection.
pub(super) struct Seat {
    pub(super) client: Client,
    /// Whether the client has a connection; messages on their way either way.
    pub(super) is_open: bool,
    pub(super) up: VecDeque<Bytes>,
    pub(super) down: VecDeque<Bytes>,
    /// Who it is at the room's end, once that has heard a hello.
    pub(super) peer: Option<PeerId>,
    /// The claim with which its session went on last.
    pub(super) overheard: Option<Resume>,
    /// The room has heard the client behind a welcome of this session.
    pub(super) has_spoken: bool,
    /// The connection over which the room has heard the client last: it has read the token that it was given there.
    pub(super) confirmed: Option<PeerId>,
    /// Nobody has damaged or forged anything of it.
    pub(super) is_honest: bool,
    pub(super) errands: Errands,
    session: Option<SessionId>,
    pub(super) player: Option<PlayerId>,
    /// All players that it has been.
    pub(super) persons: BTreeSet<PlayerId>,
    lost_at: Option<Micros>,
    pub(super) said: u32,
    emotes: u32,
    waiting: BTreeMap<MessageId, u32>,
    /// Lines that it was told are lost, or delivered; lines of its own that it has heard.
    lost: BTreeSet<u32>,
    delivered: BTreeSet<u32>,
    heard_own: BTreeSet<u32>,
    /// Lines that were said when the session began.
    said_before: u32,
    /// Of each speaker: the newest line, the newest emote.
    newest_line: BTreeMap<PlayerId, u32>,
    newest_emote: BTreeMap<PlayerId, u32>,
}

impl Seat {
    pub(super) fn new(now: Micros, number: u64) -> Self {
        let backoff = Backoff::Listed(Arc::from([Micros::from_millis(20 + number)]));
        let config = ClientConfig {
            reconnect: Some(Reconnect { backoff, attempts: u32::MAX }),
            ..ClientConfig::new("fuzz")
        };
        Self {
            client: Client::new(config, schema().clone(), now),
            is_open: true,
            up: VecDeque::new(),
            down: VecDeque::new(),
            peer: None,
            overheard: None,
            has_spoken: false,
            confirmed: None,
            is_honest: true,
            errands: Errands::new(number as u32),
            session: None,
            player: None,
            persons: BTreeSet::new(),
            lost_at: None,
            said: 0,
            emotes: 0,
            waiting: BTreeMap::new(),
            lost: BTreeSet::new(),
            delivered: BTreeSet::new(),
            said_before: 0,
            heard_own: BTreeSet::new(),
            newest_line: BTreeMap::new(),
            newest_emote: BTreeMap::new(),
        }
    }

    /// The client loses its connection; who it was at the room's end.
    pub(super) fn lose(&mut self, now: Micros, reason: DisconnectReason) -> Option<PeerId> {
        self.client.handle_disconnect(now, reason);
        self.close(now)
    }

    /// What was on its way is gone.
    pub(super) fn close(&mut self, now: Micros) -> Option<PeerId> {
        if self.is_open {
            self.lost_at.get_or_insert(now);
        }
        self.is_open = false;
        self.up.clear();
        self.down.clear();
        self.peer.take()
    }

    /// Opens a connection if the client wants one. Who it was at the room's end over a connection that it has given up, and whether
    /// it said goodbye there.
    pub(super) fn run(&mut self, now: Micros) -> Option<(PeerId, bool)> {
        let (wants, is_closed) = (self.client.poll_connect(now), self.client.is_closed());
        if is_closed && self.client.disconnect_reason() == Some(&DisconnectReason::Left) {
            // Whoever leaves comes back as somebody else.
            self.has_spoken = false;
        }
        let given_up = if self.is_open && (wants || is_closed) {
            let code = self.client.disconnect_reason().and_then(DisconnectReason::close_code);
            let is_goodbye = code.is_some_and(|code| !code.may_pass());
            self.close(now).map(|peer| (peer, is_goodbye))
        } else {
            None
        };
        self.is_open |= wants;
        given_up
    }

    pub(super) fn write(&mut self, now: Micros) {
        for _ in 0..WRITES_MAX {
            let mut message = Vec::new();
            if !self.client.poll_transmit(now, &mut message) {
                break;
            }
            if self.is_open {
                self.up.push_back(message.into());
            }
        }
    }

    pub(super) fn say_line(&mut self, now: Micros) {
        let (ty, body) = Utterance::Line((self.said + 1).to_string()).encode();
        if let Ok(sending) = self.client.send(now, ty, 0, body) {
            self.said += 1;
            self.waiting.insert(sending.id, self.said);
        }
    }

    pub(super) fn show_emote(&mut self, now: Micros) {
        let (ty, body) = Utterance::Emote((self.emotes + 1).to_string()).encode();
        self.emotes += u32::from(self.client.send(now, ty, 0, body).is_ok());
    }

    /// Hands the client a message of the room's.
    pub(super) fn receive(&mut self, now: Micros, message: Bytes) -> Result<(), ClientFault> {
        let was_playing = self.client.is_playing();
        let result = self.client.handle_message(now, message);
        if self.client.is_playing() && !was_playing && self.is_honest {
            self.check_outcome(now);
        }
        if self.is_honest {
            assert_eq!(result, Ok(()), "the room wrote what its client refuses");
        }
        result
    }

    /// The client was welcomed.
    fn check_outcome(&mut self, now: Micros) {
        let Some(welcome) = self.client.welcome() else { return };
        let terms = SessionTerms::find(&welcome.extensions).ok().flatten();
        let outcome = terms.map(|terms| terms.outcome);
        let away = self.lost_at.take().map_or(Micros::ZERO, |lost| now.saturating_since(lost));
        if outcome == Some(SessionOutcome::Resumed) {
            assert_eq!(self.session, Some(welcome.session), "another session goes on");
            assert_eq!(self.player, welcome.player, "with another player");
            return;
        }
        assert!(
            matches!(outcome, Some(SessionOutcome::Fresh(_))),
            "nobody has forgotten anything: {outcome:?}"
        );
        assert!(!self.has_spoken || away >= PATIENCE, "a session is gone after {away:?}: {outcome:?}");
        (self.session, self.player, self.has_spoken) = (Some(welcome.session), welcome.player, false);
        self.persons.extend(welcome.player);
        self.said_before = self.said;
    }

    /// Tells the game at most so many things.
    pub(super) fn poll(&mut self, now: Micros, events_max: usize) {
        for _ in 0..events_max {
            match self.client.poll_event(now) {
                None => break,
                Some(Event::Message(message)) => {
                    self.hear(&message);
                    self.run_errand(now, Event::Message(message));
                }
                Some(Event::Sent(id, outcome)) => {
                    let number = self.waiting.remove(&id);
                    match outcome {
                        Outcome::Lost => self.lost.extend(number),
                        Outcome::Delivered => self.delivered.extend(number),
                        Outcome::Expired | Outcome::Replaced => {}
                        Outcome::Refused(denial) => panic!("an honest client is refused: {denial:?}"),
                    }
                }
                // Whom it hears from now on speaks to somebody else.
                Some(Event::Connected { outcome: SessionOutcome::Fresh(_), .. }) => {
                    self.newest_line.clear();
                    self.newest_emote.clear();
                }
                Some(event) => self.run_errand(now, event),
            }
        }
    }

    fn run_errand(&mut self, now: Micros, event: Event) {
        let found = self.errands.hear(now, &mut self.client, &self.persons, event);
        self.judge(found);
    }

    /// Whoever was lied to may find anything.
    pub(super) fn judge(&self, found: Finding) {
        if let Err(what) = found {
            assert!(!self.is_honest, "client {}: {what}", self.errands.who);
        }
    }

    fn hear(&mut self, message: &Message) {
        let Some((speaker, said)) = Utterance::decode(message) else { return };
        match said {
            Utterance::Line(line) => {
                let Ok(number) = line.parse() else { return };
                let before = self.newest_line.insert(speaker, number);
                if self.persons.contains(&speaker) && self.is_honest {
                    assert!(self.heard_own.insert(number), "line {number} came twice");
                    assert!(before.is_none_or(|before| number == before + 1), "{number} behind {before:?}");
                }
            }
            Utterance::Emote(name) => {
                let Ok(number) = name.parse::<u32>() else { return };
                let before = self.newest_emote.insert(speaker, number);
                if self.persons.contains(&speaker) && self.is_honest {
                    assert!(before.is_none_or(|before| number >= before), "emote {number} behind {before:?}");
                }
            }
            Utterance::Mark(_) => {}
        }
    }

    /// All is well again: everything that was taken has arrived, or was told to be lost.
    pub(super) fn settle(&mut self, now: Micros) {
        if !self.is_honest {
            return;
        }
        assert!(self.client.is_playing(), "{:?}", self.client.connection_state(now));
        assert_eq!(self.client.stats(now).digest_mismatches, 0, "its state is wrong");
        let age = self.client.snapshot_age(now);
        assert!(age.is_some_and(|age| age <= FRESH), "nobody pauses, and its state is of {age:?} ago");
        // What a session before has brought to the room was passed on to who the client was then.
        let is_excused = |line: &u32| *line <= self.said_before && self.delivered.contains(line);
        let is_known = |line: &u32| self.heard_own.contains(line) || self.lost.contains(line);
        let missing: Vec<_> = (1..=self.said).filter(|line| !is_known(line) && !is_excused(line)).collect();
        assert!(missing.is_empty(), "of {} lines these are missing: {missing:?}", self.said);
    }
}
