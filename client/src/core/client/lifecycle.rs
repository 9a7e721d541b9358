//! Connections that begin and end.

use tickwire_protocol::Micros;
use tickwire_protocol::handshake::{FreshReason, RejectReason, SessionOutcome, Welcome};

use super::{Client, State};
use crate::core::event::{ClientFault, DisconnectReason, Event};
use crate::core::session::Session;
use crate::core::timekeeper::Timekeeper;

/// A connection that lasted for so long was good: attempts are counted anew after it. One that is welcomed and ends at once is another
/// failure.
const LASTING: Micros = Micros::from_secs(5);

impl Client {
    /// A server that is full or about to end may let in later who was there before.
    pub(super) fn handle_reject(&mut self, now: Micros, reason: RejectReason) {
        let code = reason.close_code();
        if self.is_reconnecting() && code.may_pass() {
            let reason = reason.to_string();
            return self.handle_disconnect(now, DisconnectReason::Closed { code, reason });
        }
        let session = match &mut self.state {
            State::Hello { before, .. } => before.take(),
            _ => None,
        };
        self.state = State::Closed { session, reason: None };
        self.continuity.outbox.handle_end();
        self.transfers.handle_end();
        self.events.push_back(Event::Rejected(reason));
    }

    pub(super) fn handle_welcome(
        &mut self,
        now: Micros,
        asked: Micros,
        welcome: Welcome,
    ) -> Result<(), ClientFault> {
        let (session, player, room) = (welcome.session, welcome.player, welcome.room);
        let outcome = self.continuity.handle_welcome(&welcome)?;
        self.transfers.handle_welcome(&welcome)?;
        let mut begun = Session::new(&self.config, &self.schema, welcome, asked, now)?;
        let State::Hello { before, .. } = &mut self.state else { return Ok(()) };
        let before = before.take().and_then(|before| before.into_simulation());
        if let Some(simulation) = self.simulation.take().or(before) {
            begun.predict(simulation);
        }
        begun.set_budget(self.budget);
        self.state = State::Playing(Box::new(begun));
        self.welcomed = now;
        let outcome = outcome.unwrap_or(SessionOutcome::Fresh(FreshReason::First));
        self.events.push_back(Event::Connected { session, player, room, outcome });
        Ok(())
    }

    /// The connection is over, or the game leaves. Of several reasons the first is told.
    ///
    /// If the client is to [come back](ClientConfig::reconnect) and the reason [may pass](DisconnectReason::may_pass), it waits for
    /// [`Client::poll_connect`].
    pub fn handle_disconnect(&mut self, now: Micros, reason: DisconnectReason) {
        let nothing = State::Closed { session: None, reason: None };
        let (session, was_welcomed) = match core::mem::replace(&mut self.state, nothing) {
            State::Hello { before, .. } => {
                let was_welcomed = before.is_some();
                (before, was_welcomed)
            }
            State::Playing(session) => {
                if now.saturating_since(self.welcomed) >= LASTING {
                    self.attempts.reset();
                }
                (Some(session), true)
            }
            State::Waiting { before, .. } if reason == DisconnectReason::Left => (before, false),
            over @ (State::Waiting { .. } | State::Closed { .. }) => {
                self.state = over;
                return;
            }
        };
        let may_come_back = was_welcomed && reason.may_pass();
        let attempt = if may_come_back { self.attempts.next() } else { None };
        let Some(attempt) = attempt else {
            self.state = State::Closed { session, reason: Some(reason.clone()) };
            self.continuity.outbox.handle_end();
            self.transfers.handle_end();
            self.events.push_back(Event::Disconnected(reason));
            return;
        };
        self.state = State::Waiting { until: now + attempt.wait, before: session, reason: reason.clone() };
        self.events.push_back(Event::Reconnecting {
            attempt: attempt.number,
            of: attempt.of,
            next_in: attempt.wait,
            reason,
        });
    }

    /// Whether another connection is to be opened now. Asked once for each: then either its messages are handed in, beginning with
    /// the answer to the hello that [`Client::poll_transmit`] gives, or [`Client::handle_disconnect`] says that it failed.
    pub fn poll_connect(&mut self, now: Micros) -> bool {
        let State::Waiting { until, before, .. } = &mut self.state else { return false };
        if now < *until {
            return false;
        }
        self.state = State::Hello { since: now, asked: None, before: before.take() };
        true
    }

    /// Tries a lost connection anew at once, as often as at first: the player asked for it, or the network is back. Nothing happens
    /// while there is a connection.
    pub fn reconnect(&mut self, now: Micros) {
        match &mut self.state {
            State::Waiting { until, .. } => *until = now,
            State::Closed { session, reason: Some(reason) } if reason.may_pass() => {
                let (before, reason) = (session.take(), reason.clone());
                self.state = State::Waiting { until: now, before, reason };
            }
            State::Hello { .. } | State::Playing(_) | State::Closed { .. } => return,
        }
        self.attempts.reset();
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
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            let is_playing = self.is_playing();
            let reason = if is_playing { DisconnectReason::Silent } else { DisconnectReason::NoWelcome };
            self.handle_disconnect(now, reason);
        }
    }

    /// Gives the client up for its knowledge of the server's time, where somebody goes on with the connection who reads no state;
    /// nothing before the welcome and after the end.
    pub fn into_timekeeper(self) -> Option<Timekeeper> {
        match self.state {
            State::Playing(session) => Some(session.into_timekeeper()),
            State::Hello { .. } | State::Waiting { .. } | State::Closed { .. } => None,
        }
    }

    /// Whether the server has let the client in, and the connection lasts.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing(_))
    }

    /// Whether the connection was lost, and the next one is not tried yet.
    #[cfg(feature = "net")]
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Whether the connection was lost and is being tried anew.
    pub fn is_reconnecting(&self) -> bool {
        matches!(self.state, State::Waiting { .. } | State::Hello { before: Some(_), .. })
    }

    /// Whether the connection is over, and does not come back by itself.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Why there is no connection any more; nothing while there is one or one is being opened, or if the client was not let in.
    pub fn disconnect_reason(&self) -> Option<&DisconnectReason> {
        match &self.state {
            State::Waiting { reason, .. } => Some(reason),
            State::Closed { reason, .. } => reason.as_ref(),
            State::Hello { .. } | State::Playing(_) => None,
        }
    }
}
