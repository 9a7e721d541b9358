//! Transfers between a room's step and its players.

use core::ops::Bound;
use std::collections::VecDeque;

use bytes::Bytes;
use tickwire_protocol::bulk::{Bulk, BulkError, BulkEvent, BulkId};
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::{PlayerId, SessionId};
use tickwire_sim::BulkMail;

use super::mail::RoomMail;

/// What a step is told of transfers.
#[derive(Debug, Default)]
pub(crate) struct BulkTurn {
    /// Of players whose sessions ended since the last step.
    pub(crate) lost: VecDeque<(PlayerId, BulkEvent)>,
    /// Who was asked last, if one was.
    last: Option<SessionId>,
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
        for (&id, session) in self.sessions.range_mut((from, Bound::Unbounded)) {
            self.bulk.last = Some(id);
            // Of whom the game does not know it is told nothing.
            let Some(player) = session.player.as_ref().filter(|player| player.is_announced) else { continue };
            if let Some(event) = session.bulk.poll_event(self.now) {
                return Some((player.id, event));
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
