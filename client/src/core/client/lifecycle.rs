//! Connections that begin and end.

use tickwire_protocol::Micros;
use tickwire_protocol::handshake::{FreshReason, Reject, SessionOutcome, Welcome};

use super::auth::Renewal;
use super::{Client, State};
use crate::core::config::TableVersions;
use crate::core::event::{ClientFault, DisconnectReason, Event};
use crate::core::reconnect::Network;
use crate::core::saved::SavedSessionError;
use crate::core::session::Session;

/// A connection that lasted for so long was good: attempts are counted anew after it. One that is welcomed and ends at once is another
/// failure.
const LASTING: Micros = Micros::from_secs(5);

/// From one attempt to the next that a hint of the system brings forward. Networks that come and go are hinted at many times a second.
const HINTED_APART: Micros = Micros::from_secs(1);

impl Client {
    /// Appends the hello, unless the server would refuse it for what it cannot read: then the connection ends with that.
    pub(super) fn write_hello(&mut self, now: Micros, out: &mut Vec<u8>) {
        let told = TableVersions {
            members: self.members.version(),
            match_state: self.match_state.version(),
            groups: self.groups.version(),
        };
        let resume = self.continuity.resume();
        let bulk = resume.as_ref().and_then(|_| self.transfers.hello());
        let hello = self.config.hello_for(&self.schema, resume.into_iter().chain(bulk), told);
        if let Err(error) = hello.check() {
            return self.handle_disconnect(now, DisconnectReason::InvalidHello(error));
        }
        hello.encode(out);
        self.is_profile_told = true;
        if let State::Hello { asked, .. } = &mut self.state {
            *asked = Some(now);
        }
    }

    /// A server that is full or about to end may let in later who was there before.
    pub(super) fn handle_reject(&mut self, now: Micros, reject: Reject) {
        if self.is_back() && reject.reason.close_code().may_pass() {
            return self.handle_disconnect(now, DisconnectReason::Rejected(reject));
        }
        let session = match &mut self.state {
            State::Hello { before, .. } => before.take(),
            _ => None,
        };
        self.stats.attempts_failed += 1;
        self.state = State::Closed { session, reason: DisconnectReason::Rejected(reject.clone()) };
        self.continuity.end();
        self.transfers.handle_end();
        self.closing = None;
        self.events.push_back(Event::Rejected(reject));
    }

    pub(super) fn handle_welcome(
        &mut self,
        now: Micros,
        asked: Micros,
        welcome: Welcome,
    ) -> Result<(), ClientFault> {
        let (session, player, room) = (welcome.session, welcome.player, welcome.room);
        let had_session = self.continuity.has_session();
        let outcome = self.continuity.handle_welcome(&welcome)?;
        self.transfers.handle_welcome(&welcome)?;
        let outcome = outcome.unwrap_or(SessionOutcome::Fresh(FreshReason::First));
        if let SessionOutcome::Fresh(reason) = outcome
            && had_session
            && !self.config.rejoin
        {
            self.handle_disconnect(now, DisconnectReason::SessionOver(reason));
            return Ok(());
        }
        self.config.note_room(&welcome.room_name);
        let mut begun = Session::new(&self.config, &self.schema, welcome, asked, now)?;
        let State::Hello { before, .. } = &mut self.state else { return Ok(()) };
        let before = before.take();
        let is_back = before.is_some();
        let before = before.and_then(|before| before.into_simulation());
        if let Some(simulation) = self.simulation.take().or(before) {
            begun.predict(simulation);
        }
        if matches!(outcome, SessionOutcome::Fresh(_)) && had_session {
            self.others.clear();
        }
        begun.predict_others(self.others.iter().copied());
        begun.set_budget(self.budget);
        self.pausing.handle_connected(!matches!(outcome, SessionOutcome::Fresh(_)));
        if self.is_paused() {
            begun.set_paused(now, true, &mut self.stats);
        }
        self.state = State::Playing(Box::new(begun));
        self.note_welcome(now, is_back, outcome);
        self.welcomed = now;
        self.renewal = Renewal::default();
        if matches!(outcome, SessionOutcome::Fresh(_)) {
            self.members.clear();
            self.match_state.clear();
            self.groups.clear();
        }
        self.events.push_back(Event::Connected { session, player, room, outcome });
        Ok(())
    }

    /// The connection is over. Of several reasons the first is told. If the game leaves, that is [`Client::close`].
    ///
    /// If the client is to [come back](crate::ClientConfig::reconnect) and the reason [may pass](DisconnectReason::may_pass), it waits
    /// for [`Client::poll_connect`], not less than the server [wants](DisconnectReason::retry_after). So does one that goes on with a
    /// [session](crate::ClientConfig::session) of a program before it, from its first connection on; any other first one that fails is the
    /// end.
    pub fn handle_disconnect(&mut self, now: Micros, reason: DisconnectReason) {
        let is_back = self.is_back();
        let (session, may_come_back) = match &mut self.state {
            State::Hello { before, .. } => {
                let is_welcome_missing =
                    !matches!(reason, DisconnectReason::Left | DisconnectReason::SessionOver(_));
                self.stats.attempts_failed += u64::from(is_welcome_missing);
                (before.take(), is_back)
            }
            State::Playing(_) => {
                self.stats.connections_lost += u64::from(!reason.is_goodbye());
                if now.saturating_since(self.welcomed) >= LASTING {
                    self.attempts.reset();
                }
                (self.take_session(), true)
            }
            State::Waiting { before, .. } if reason == DisconnectReason::Left => (before.take(), false),
            State::Waiting { .. } | State::Closed { .. } => return,
        };
        let attempt = if may_come_back && reason.may_pass() { self.attempts.next() } else { None };
        let Some(attempt) = attempt else {
            // What may pass may be tried again by hand, and then the session goes on.
            if !reason.may_pass() || self.closing.is_some() {
                self.continuity.end();
                self.transfers.handle_end();
            }
            self.closing = None;
            self.state = State::Closed { session, reason: reason.clone() };
            self.events.push_back(Event::Disconnected(reason));
            return;
        };
        self.continuity.rest();
        self.transfers.rest();
        // All whom the server sent away come back at their own moments, and none before it wants them.
        let least = reason.retry_after().unwrap_or(Micros::ZERO);
        self.not_before = now + least;
        let wait = (!self.is_network_down).then_some(least + attempt.wait);
        let until = wait.map(|wait| now + wait);
        self.state = State::Waiting { until, before: session, reason: reason.clone() };
        self.events.push_back(Event::Reconnecting {
            attempt: attempt.number,
            of: attempt.of,
            next_in: wait,
            last_error: reason,
        });
    }

    /// The session, for whoever sets the next state.
    fn take_session(&mut self) -> Option<Box<Session>> {
        let nothing = State::Closed { session: None, reason: DisconnectReason::Left };
        match core::mem::replace(&mut self.state, nothing) {
            State::Playing(session) => Some(session),
            State::Hello { before: session, .. }
            | State::Waiting { before: session, .. }
            | State::Closed { session, .. } => session,
        }
    }

    /// Whether another connection is to be opened now. Asked once for each: then either its messages are handed in, beginning with
    /// the answer to the hello that [`Client::poll_transmit`] gives, or [`Client::handle_disconnect`] says that it failed.
    pub fn poll_connect(&mut self, now: Micros) -> bool {
        let State::Waiting { until, before, reason } = &mut self.state else { return false };
        if until.is_none_or(|until| now < until) {
            return false;
        }
        let reason = Some(reason.clone());
        self.hinted_from = now + HINTED_APART;
        self.state = State::Hello { since: now, asked: None, before: before.take(), reason };
        true
    }

    /// Opens another connection at once, with as many attempts as at first: the player asked for it. The session goes on if it can,
    /// even where the client had given up; after [`Client::close`] or a fault another one begins. Nothing happens while there is a
    /// connection or one is being opened.
    pub fn reconnect(&mut self, now: Micros) {
        match &mut self.state {
            State::Waiting { until, .. } => *until = Some(now),
            State::Closed { session, reason } => {
                let (before, reason) = (session.take(), reason.clone());
                self.state = State::Waiting { until: Some(now), before, reason };
            }
            State::Hello { .. } | State::Playing(_) => return,
        }
        self.attempts.begin_by_hand();
    }

    /// What the system says of the network. While it is down no attempt is made to come back; once it is up, or another, one is made at
    /// once, or as soon as [the server](DisconnectReason::retry_after) wants it, but not within a second of the attempt before: a system that says so all the time makes no storm. A connection that lasts is not given up for it: if the network is another, the server is asked whether it still hears us,
    /// and has two seconds to answer. A system that says nothing loses nothing but time.
    pub fn set_network(&mut self, now: Micros, network: Network) {
        self.is_network_down = network == Network::Down;
        match &mut self.state {
            State::Waiting { until, .. } if self.is_network_down => *until = None,
            State::Waiting { until, .. } => {
                let soonest = now.max(self.not_before).max(self.hinted_from);
                *until = Some(until.map_or(soonest, |until| until.min(soonest)));
            }
            State::Playing(session) if network == Network::Changed => session.doubt(now),
            State::Hello { .. } | State::Playing(_) | State::Closed { .. } => {}
        }
    }

    /// Leaves: the session ends on the server at once, and what its player has there with it. A connection that is just
    /// [lost](Client::handle_disconnect) ends no session.
    ///
    /// With `flush`, what was sent is delivered first, for so long at most, over another connection if need be: until then the client
    /// still hears and tells, gives no inputs, and takes no messages. The owner of the connection goes on as before until
    /// [`Client::is_closed`], then closes it with the code of the [reason](Client::disconnect_reason). Only then the server hears of it:
    /// where there is no connection at that moment, it waits for its window.
    ///
    /// After the end it takes note that the game has left, whatever the end was: the client is
    /// [`Disconnected`](crate::ConnectionState::Disconnected), and a session that was kept for [`Client::reconnect`] is given up.
    pub fn close(&mut self, now: Micros, flush: Option<Micros>) {
        if let State::Closed { reason, .. } = &mut self.state {
            if !reason.is_goodbye() {
                *reason = DisconnectReason::Left;
                self.continuity.end();
                self.transfers.handle_end();
            }
            return;
        }
        let until = now + flush.unwrap_or(Micros::ZERO);
        self.closing = Some(self.closing.map_or(until, |before| before.min(until)));
        self.expire(now);
    }

    /// The session as bytes, for a client in a program that is started anew, or a page that is loaded anew:
    /// [`SavedSession::decode`](crate::SavedSession::decode). What was polled is not told again, what was sent and is not known to be
    /// delivered is sent again, under the same [names](tickwire_protocol::message::MessageId); messages and events that have come and were
    /// not polled come again. Not so what is lost with this program: [requests](crate::Event::Request) that it has not seen or not
    /// answered, answers to its own, and what it has not polled of sessions before this one. Their askers hear by their own deadlines.
    ///
    /// Take it as the last thing, with all events polled, and [lose](Client::handle_disconnect) the connection instead of closing it: each
    /// connection has another token, and what is said or polled afterwards is not in it. A game that saves while it goes on may do so as
    /// often as it likes: what waits to be written expires as before, and where it goes on with the time that it had left.
    ///
    /// # Errors
    /// If there is no session to go on with.
    pub fn export_session(&mut self, now: Micros) -> Result<Vec<u8>, SavedSessionError> {
        self.continuity.save(&self.schema, now)
    }

    /// When the client leaves at the latest, if the game wants that; at once if all is delivered.
    pub(super) fn closes_at(&self) -> Option<Micros> {
        let is_flushed = || self.continuity.is_flushed();
        self.closing.map(|until| if is_flushed() { Micros::ZERO } else { until })
    }

    /// When the server counts as gone.
    pub(super) fn deadline(&self) -> Option<Micros> {
        match &self.state {
            State::Hello { since, .. } => Some(*since + self.config.connect_timeout),
            State::Playing(session) => Some(session.silence_deadline()),
            State::Waiting { .. } | State::Closed { .. } => None,
        }
    }

    pub(super) fn expire(&mut self, now: Micros) {
        self.note_awake(now);
        if self.closes_at().is_some_and(|until| now >= until) {
            self.handle_disconnect(now, DisconnectReason::Left);
        } else if self.deadline().is_some_and(|deadline| now >= deadline) {
            let is_playing = self.is_playing();
            let reason = if is_playing { DisconnectReason::Silent } else { DisconnectReason::NoWelcome };
            self.handle_disconnect(now, reason);
        }
    }
}
