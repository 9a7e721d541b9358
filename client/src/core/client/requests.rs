//! What the game asks of the server's game, and is asked.

use bytes::Bytes;
use tickwire_protocol::Micros;
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::message::{MessageTypeId, Refusal, RequestId, SendError};

use super::Client;
use crate::core::event::Event;

/// How long a game usually waits for an answer: as long as for a connection.
pub const REQUEST_TIMEOUT: Micros = Micros::from_secs(10);

impl Client {
    /// Asks the server's game for something of a type of class [`Request`](tickwire_protocol::message::MessageClass::Request).
    /// [`Event::Response`] tells the answer, or why there is none, after `timeout` at the latest ([`REQUEST_TIMEOUT`] is usual), also while
    /// the connection is lost. At most 64 wait for an answer.
    ///
    /// # Errors
    /// Why it is not asked.
    pub fn request(
        &mut self,
        now: Micros,
        ty: MessageTypeId,
        body: &[u8],
        timeout: Micros,
    ) -> Result<RequestId, SendError> {
        let result = self.check_sending();
        let continuity = &mut self.continuity;
        let result =
            result.and_then(|()| continuity.requests.ask(now, &mut continuity.outbox, ty, body, timeout));
        self.note_refusal(result)
    }

    /// Takes a request back: it ends as [cancelled](tickwire_protocol::message::RequestError::Cancelled), unless its answer is here
    /// already.
    pub fn cancel_request(&mut self, now: Micros, id: RequestId) {
        let continuity = &mut self.continuity;
        continuity.requests.cancel(now, &mut continuity.outbox, id);
    }

    /// Answers a request that [`Event::Request`] told, once, now or later.
    ///
    /// # Errors
    /// [`SendError::NotAsked`] if the server's game took it back, was answered before or has ended the session; or why the answer is
    /// not taken: then another may be tried.
    pub fn respond(
        &mut self,
        now: Micros,
        id: RequestId,
        response: Result<Bytes, Refusal>,
    ) -> Result<(), SendError> {
        let result = self.check_sending();
        let (continuity, schema) = (&mut self.continuity, &self.schema);
        let result = result
            .and_then(|()| continuity.requests.respond(now, schema, &mut continuity.outbox, id, response));
        self.note_refusal(result)
    }

    /// Whether anything can be sent.
    pub(super) fn check_sending(&self) -> Result<(), SendError> {
        if self.config.stream == StreamKind::Datagram {
            return Err(SendError::NotOrdered);
        }
        if self.config.role == Role::Spectator {
            return Err(SendError::OnlyWatches);
        }
        if self.is_closed() || self.closing.is_some() {
            return Err(SendError::Closed);
        }
        Ok(())
    }

    pub(super) fn poll_requests(&mut self, now: Micros) -> Option<Event> {
        let continuity = &mut self.continuity;
        if let Some((id, response)) = continuity.requests.poll_response(now, &mut continuity.outbox) {
            return Some(Event::Response(id, response));
        }
        continuity.requests.poll_request().map(Event::Request)
    }
}
