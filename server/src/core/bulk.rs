//! Transfers between a room's step and its players.

use core::ops::Bound;
use std::collections::VecDeque;

use bytes::Bytes;
use tickwire_protocol::PlayerId;
use tickwire_protocol::bulk::{Bulk, BulkError, BulkEvent, BulkId};
use tickwire_protocol::handshake::StreamKind;
use tickwire_sim::BulkMail;

use super::mail::RoomMail;

/// What a step is told of transfers.
#[derive(Debug, Default)]
pub(crate) struct BulkTurn {
    /// Of players whose sessions ended since the last step.
    pub(crate) lost: VecDeque<(PlayerId, BulkEvent)>,
    /// Who was asked last, if one was.
    last: Option<PlayerId>,
}

impl BulkTurn {
    /// A step was made: what it has not asked for of those who left is told to nobody.
    pub(crate) fn handle_step(&mut self) {
        self.lost.clear();
        self.last = None;
    }
}

impl RoomMail<'_> {
    fn bulk_of(&mut self, player: PlayerId) -> Result<&mut Bulk, BulkError> {
        let session = self.session_of(player).ok_or(BulkError::Closed)?;
        Ok(&mut session.bulk)
    }
}

impl BulkMail for RoomMail<'_> {
    fn poll_bulk(&mut self) -> Option<(PlayerId, BulkEvent)> {
        if let Some(lost) = self.bulk.lost.pop_front() {
            return Some(lost);
        }
        // One after another, each as long as there is something: nobody is asked twice for nothing.
        let from = self.bulk.last.map_or(Bound::Unbounded, Bound::Included);
        for (&player, session) in self.players.range((from, Bound::Unbounded)) {
            self.bulk.last = Some(player);
            // Of whom the game does not know it is told nothing.
            let session = self
                .sessions
                .get_mut(session)
                .filter(|session| session.player.as_ref().is_some_and(|player| player.is_announced));
            if let Some(event) = session.and_then(|session| session.bulk.poll_event(self.now)) {
                return Some((player, event));
            }
        }
        None
    }

    fn offer_bulk(
        &mut self,
        to: PlayerId,
        kind: u16,
        metadata: Bytes,
        content: Bytes,
    ) -> Result<BulkId, BulkError> {
        let now = self.now;
        let session = self.session_of(to).ok_or(BulkError::Closed)?;
        if session.stream == StreamKind::Datagram {
            return Err(BulkError::NotOrdered);
        }
        session.bulk.offer(now, kind, metadata, content)
    }

    fn accept_bulk(&mut self, from: PlayerId, id: BulkId) -> Result<(), BulkError> {
        self.bulk_of(from)?.accept(id)
    }

    fn cancel_bulk(&mut self, with: PlayerId, id: BulkId) -> Result<(), BulkError> {
        self.bulk_of(with)?.cancel(id)
    }
}
