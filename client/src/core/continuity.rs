//! What lasts from one connection of a session to the next: who the client is, and the messages whose fate is not known.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::handshake::{
    AuthTerms, Extension, Resume, ResumeToken, SessionOutcome, SessionTerms, Welcome,
};
use tickwire_protocol::message::{Direction, Inbox, Lane, MessageLimits, Missed, Notice, Outbox, Requests};
use tickwire_protocol::{DecodeError, Micros, Schema, SessionId};

use super::saved::{SavedSession, SavedSessionError};

/// One session, whatever connection it goes over.
#[derive(Debug)]
pub(crate) struct Continuity {
    /// What the server knows it by, once there was a welcome.
    credentials: Option<(SessionId, ResumeToken)>,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    /// What each asks the other for.
    pub(crate) requests: Requests,
}

impl Continuity {
    pub(crate) fn new(schema: &Arc<Schema>) -> Self {
        Self {
            credentials: None,
            outbox: Outbox::new(schema.clone(), Direction::ToServer).governed(),
            inbox: Inbox::new(schema.clone(), Direction::ToClient),
            requests: Requests::default(),
        }
    }

    /// Of a client that was before this one.
    pub(crate) fn restored(
        saved: &SavedSession,
        schema: &Arc<Schema>,
        now: Micros,
    ) -> Result<Self, SavedSessionError> {
        let (outbox, inbox) = saved.restore(schema, now)?;
        Ok(Self {
            credentials: Some((saved.session, saved.token)),
            outbox: outbox.governed(),
            inbox,
            requests: Requests::default(),
        })
    }

    /// The session for a client that comes after this one.
    pub(crate) fn save(&mut self, schema: &Schema, now: Micros) -> Result<Vec<u8>, SavedSessionError> {
        let credentials = self.credentials.ok_or(SavedSessionError::NoSession)?;
        Ok(SavedSession::encode(schema, credentials, &mut self.outbox, &self.inbox, now))
    }

    /// Whether there is a session to come back to.
    pub(crate) fn has_session(&self) -> bool {
        self.credentials.is_some()
    }

    /// The session is over: what was not delivered is lost.
    pub(crate) fn end(&mut self) {
        self.credentials = None;
        self.outbox.handle_end();
        self.requests.handle_fresh(&self.outbox);
    }

    /// Takes in a MESSAGE frame of the server's.
    pub(crate) fn handle_message(
        &mut self,
        now: Micros,
        schema: &Schema,
        payload: Bytes,
    ) -> Result<(), DecodeError> {
        self.inbox.handle_message(payload)?;
        while let Some(message) = self.inbox.poll_lane(Lane::Control) {
            self.outbox.handle_notice(Notice::decode(message.body)?);
        }
        while let Some(message) = self.inbox.poll_lane(Lane::Requests) {
            self.requests.handle(now, schema, &mut self.outbox, message, |_, _| None)?;
        }
        Ok(())
    }

    /// What to say in the hello of the next connection.
    pub(crate) fn resume(&self) -> Option<Extension> {
        let (session, token) = self.credentials?;
        Some(Resume { session, token, received: self.inbox.received() }.extension())
    }

    /// The server has said whether the session goes on.
    pub(crate) fn handle_welcome(
        &mut self,
        welcome: &Welcome,
    ) -> Result<Option<SessionOutcome>, DecodeError> {
        let Some(terms) = SessionTerms::find(&welcome.extensions)? else {
            self.begin_anew();
            return Ok(None);
        };
        let missed = match terms.outcome {
            SessionOutcome::Fresh(_) => None,
            SessionOutcome::Resumed => Some(Missed::default()),
            SessionOutcome::Resynced { missed } => Some(missed),
        };
        let outcome = match missed {
            None => {
                self.begin_anew();
                terms.outcome
            }
            Some(missed) => {
                let is_same = self.credentials.is_some_and(|(session, _)| session == welcome.session);
                let forgotten = self.outbox.handle_resumed(terms.received)?.total();
                if !is_same || forgotten > 0 {
                    let value = forgotten;
                    return Err(DecodeError::Invalid { what: "resumed session, which is another", value });
                }
                // The server does not know what was taken ahead of others: what it has forgotten is not all missing.
                match self.inbox.handle_resumed(missed)? {
                    missed if missed.total() > 0 => SessionOutcome::Resynced { missed },
                    _ => SessionOutcome::Resumed,
                }
            }
        };
        self.credentials = Some((welcome.session, terms.token));
        self.outbox.set_limits(MessageLimits::find(&welcome.extensions)?);
        self.set_permissions(AuthTerms::find(&welcome.extensions)?.as_ref(), &welcome.room_name);
        Ok(Some(outcome))
    }

    /// What the server lets this client do in its room.
    pub(crate) fn set_permissions(&mut self, terms: Option<&AuthTerms>, room: &str) {
        self.outbox.set_permissions(|action| AuthTerms::may(terms, action, room));
    }

    fn begin_anew(&mut self) {
        self.credentials = None;
        self.outbox.handle_fresh();
        self.inbox.handle_fresh();
        self.requests.handle_fresh(&self.outbox);
    }

    /// Appends messages, and what was polled of the server's, to a transport message that may have so many bytes. How many the former have.
    pub(crate) fn write_messages(&mut self, now: Micros, bytes_max: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        self.inbox.poll_ack(out);
        self.requests.flush(now, &mut self.outbox);
        let acked = out.len();
        self.outbox.poll_transmit(now, bytes_max.saturating_sub(acked - start), out);
        out.len() - acked
    }

    /// The connection was lost: keeps what it has to, and no memory beside.
    pub(crate) fn rest(&mut self) {
        self.outbox.shrink_to_fit();
        self.inbox.shrink_to_fit();
        self.requests.shrink_to_fit();
    }

    /// Whether all that was sent is delivered.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outbox.messages() == 0 && !self.outbox.has_transmit() && !self.requests.holds_answers()
    }

    /// Whether there is something to be written.
    pub(crate) fn has_transmit(&self) -> bool {
        self.inbox.has_ack() || self.outbox.has_transmit() || self.requests.can_flush(&self.outbox)
    }
}
