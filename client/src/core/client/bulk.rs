//! What is too large for a message: the client's end of transfers.

use bytes::Bytes;
use tickwire_protocol::bulk::{Bulk, BulkError, BulkEvent, BulkId, BulkReceived, Side};
use tickwire_protocol::handshake::{Extension, Role, StreamKind, Welcome};
use tickwire_protocol::limits::CLIENT_MESSAGE_BYTES_MAX;
use tickwire_protocol::{DecodeError, Frame, Micros, SessionId};

use super::Client;

/// The transfers of a session, whatever connection it goes over.
#[derive(Debug)]
pub(super) struct Transfers {
    bulk: Bulk,
    /// Whose they are: a client that goes on with the session of another process has none of it.
    session: Option<SessionId>,
}

impl Transfers {
    pub(super) fn new() -> Self {
        Self { bulk: Bulk::new(Side::Client), session: None }
    }

    /// What to say in the hello of the next connection.
    pub(super) fn hello(&self) -> Option<Extension> {
        self.session.map(|_| self.bulk.received().extension())
    }

    /// The server has said whether the session goes on, and what it has of its transfers.
    pub(super) fn handle_welcome(&mut self, welcome: &Welcome) -> Result<(), DecodeError> {
        let is_same = self.session == Some(welcome.session);
        match BulkReceived::find(&welcome.extensions)?.filter(|_| is_same) {
            Some(told) => self.bulk.handle_resumed(&told)?,
            None => self.bulk.handle_fresh(),
        }
        self.session = Some(welcome.session);
        Ok(())
    }

    pub(super) fn handle_frame(&mut self, now: Micros, frame: Frame) -> Result<(), DecodeError> {
        self.bulk.handle_frame(now, frame)
    }

    /// The connection was lost: keeps what it has to, and no memory beside.
    pub(super) fn rest(&mut self) {
        self.bulk.shrink_to_fit();
    }

    /// There will be no other session.
    pub(super) fn handle_end(&mut self) {
        self.bulk.handle_end();
        self.session = None;
    }

    /// Appends credit and ends to a transport message; if that is empty all the same, a piece of content. It may have `bytes_max`, and begins at
    /// `start`.
    pub(super) fn poll_transmit(&mut self, now: Micros, start: usize, bytes_max: usize, out: &mut Vec<u8>) {
        self.bulk.poll_control(bytes_max.saturating_sub(out.len() - start), out);
        if out.len() == start {
            self.bulk.poll_filler(now, bytes_max.min(CLIENT_MESSAGE_BYTES_MAX), out);
        }
    }

    /// When there is something to be written; nothing if there is not, or if the server must be heard first.
    pub(super) fn poll_timeout(&self) -> Option<Micros> {
        if self.bulk.has_control() { Some(Micros::ZERO) } else { self.bulk.next_filler() }
    }

    /// The next event of what a session before had.
    pub(super) fn poll_former(&mut self) -> Option<BulkEvent> {
        self.bulk.poll_former()
    }

    pub(super) fn poll_event(&mut self, now: Micros) -> Option<BulkEvent> {
        self.bulk.poll_event(now)
    }
}

impl Client {
    /// Offers the server's game something that is too large for a message, at most 16 MiB: a replay, a picture, a map. `kind` and
    /// `metadata`, at most 256 bytes, say what it is. It goes out behind all else, as the link has room, once the game has accepted it;
    /// [`Event::Bulk`](crate::Event::Bulk) tells how far it is and what became of it. What is offered before there is a connection is offered when there is one.
    ///
    /// ```
    /// # use tickwire_client::{Client, Event, protocol::{Micros, bulk::{BulkEvent, BulkError}}};
    /// const REPLAY: u16 = 1;
    /// # fn upload(client: &mut Client, now: Micros, replay: Vec<u8>) -> Result<(), BulkError> {
    /// let mine = client.offer_bulk(now, REPLAY, &b"match 17"[..], replay)?;
    /// # fn frame(client: &mut Client, now: Micros, mine: tickwire_client::protocol::bulk::BulkId) {
    /// while let Some(event) = client.poll_event(now) {
    ///     match event {
    ///         Event::Bulk(BulkEvent::Sending { id, bytes, of }) if id == mine => println!("{bytes} of {of}"),
    ///         Event::Bulk(BulkEvent::Sent { id }) if id == mine => println!("the server has it"),
    ///         Event::Bulk(BulkEvent::NotSent { id, why }) if id == mine => println!("not sent: {why}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If it is too large, too much is under way, or there is nobody to be offered it.
    pub fn offer_bulk(
        &mut self,
        now: Micros,
        kind: u16,
        metadata: impl Into<Bytes>,
        content: impl Into<Bytes>,
    ) -> Result<BulkId, BulkError> {
        let result = self.check_offering();
        let bulk = &mut self.transfers.bulk;
        let result = result.and_then(|()| bulk.offer(now, kind, metadata.into(), content.into()));
        self.note_refusal(result)
    }

    /// Whether anything can be offered.
    fn check_offering(&self) -> Result<(), BulkError> {
        if self.config.stream == StreamKind::Datagram {
            return Err(BulkError::NotOrdered);
        }
        if self.is_closed() || self.closing.is_some() || self.config.role == Role::Spectator {
            return Err(BulkError::Closed);
        }
        Ok(())
    }

    /// Accepts what the server's game [offers](BulkEvent::Offered): it comes, and is told whole.
    ///
    /// # Errors
    /// If it is no offer that waits, or too much was accepted already: then it still waits.
    pub fn accept_bulk(&mut self, id: BulkId) -> Result<(), BulkError> {
        self.transfers.bulk.accept(id)
    }

    /// Refuses what the server's game offers, or stops a transfer that is under way, whoever offered it.
    ///
    /// # Errors
    /// If there is nothing to be stopped.
    pub fn cancel_bulk(&mut self, id: BulkId) -> Result<(), BulkError> {
        self.transfers.bulk.cancel(id)
    }
}
