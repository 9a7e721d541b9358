//! What is too large for a message, between a step and the players.

use core::fmt;

use bytes::Bytes;
use tickwire_protocol::PlayerId;
use tickwire_protocol::bulk::{BulkError, BulkEvent, BulkId};

use crate::context::StepContext;

/// Carries transfers between a step and the players, beside the messages of [`Mail`](crate::Mail).
pub trait BulkMail: fmt::Debug {
    /// The next thing to be told of a player's transfers.
    fn poll_bulk(&mut self) -> Option<(PlayerId, BulkEvent)>;

    /// Offers a player something.
    fn offer_bulk(
        &mut self,
        to: PlayerId,
        kind: u16,
        metadata: Bytes,
        content: Bytes,
    ) -> Result<BulkId, BulkError>;

    /// Accepts what a player offers.
    fn accept_bulk(&mut self, from: PlayerId, id: BulkId) -> Result<(), BulkError>;

    /// Refuses or stops a transfer, whoever offered it.
    fn cancel_bulk(&mut self, with: PlayerId, id: BulkId) -> Result<(), BulkError>;
}

impl StepContext<'_> {
    /// The next thing that happened to a transfer with a player; ask until there is nothing. A game that does not ask is offered nothing: offers
    /// expire, and cost no memory but for their few bytes of metadata. Those of a player whose session is over are told as
    /// [lost](tickwire_protocol::bulk::BulkFailure::Lost) in the next step, which is told that the player has left if none was before: where
    /// the policy for absence is to remove players, nothing is told of one that is away until it is back or its session over. Always nothing
    /// on a client, which asks its own `poll_event`.
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::protocol::bulk::BulkEvent;
    /// const REPLAY: u16 = 1;
    /// # fn keep(_from: tickwire_sim::protocol::PlayerId, _replay: bytes::Bytes) {}
    /// # fn step(ctx: &mut StepContext<'_>) {
    /// while let Some((player, event)) = ctx.poll_bulk() {
    ///     match event {
    ///         BulkEvent::Offered { id, offer } if offer.kind == REPLAY && offer.bytes < 2_000_000 => {
    ///             // Too much from one player at once: the offer waits.
    ///             let _ = ctx.accept_bulk(player, id);
    ///         }
    ///         BulkEvent::Offered { id, .. } => {
    ///             let _ = ctx.cancel_bulk(player, id);
    ///         }
    ///         BulkEvent::Received { content, .. } => keep(player, content),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn poll_bulk(&mut self) -> Option<(PlayerId, BulkEvent)> {
        self.bulk()?.poll_bulk()
    }

    /// Offers a player something that is too large for a message, at most 16 MiB. `kind` and `metadata`, at most 256 bytes, say what it is. It
    /// goes out behind all else, as the player's link has room, once its client has accepted it. A content that many are
    /// offered is kept once.
    ///
    /// # Errors
    /// If it is too large, too much is under way to this player, or it is not there. Always the last on a client.
    pub fn offer_bulk(
        &mut self,
        to: PlayerId,
        kind: u16,
        metadata: impl Into<Bytes>,
        content: impl Into<Bytes>,
    ) -> Result<BulkId, BulkError> {
        let bulk = self.bulk().ok_or(BulkError::Closed)?;
        bulk.offer_bulk(to, kind, metadata.into(), content.into())
    }

    /// Accepts what a player offers: it comes, and is told whole. It takes as much memory as it has bytes.
    ///
    /// # Errors
    /// If it is no offer that waits, or too much was accepted from this player already: then it still waits.
    pub fn accept_bulk(&mut self, from: PlayerId, id: BulkId) -> Result<(), BulkError> {
        self.bulk().ok_or(BulkError::Closed)?.accept_bulk(from, id)
    }

    /// Refuses what a player offers, or stops a transfer that is under way, whoever offered it.
    ///
    /// # Errors
    /// If there is nothing to be stopped.
    pub fn cancel_bulk(&mut self, with: PlayerId, id: BulkId) -> Result<(), BulkError> {
        self.bulk().ok_or(BulkError::Closed)?.cancel_bulk(with, id)
    }

    fn bulk(&mut self) -> Option<&mut dyn BulkMail> {
        self.outside.mail.as_mut()?.bulk()
    }
}
