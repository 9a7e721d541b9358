//! What of transfers goes to a peer when nothing else does, and how they go on over another connection.

use tickwire_protocol::bulk::BulkReceived;
use tickwire_protocol::handshake::{Extension, StreamKind};
use tickwire_protocol::limits::BULK_CHUNK_BYTES_MAX;
use tickwire_protocol::{Micros, PeerId, SessionId};

use super::Room;
use crate::core::session::Session;

/// The largest piece in its frame, bytes.
const FILLER_BYTES_MAX: usize = BULK_CHUNK_BYTES_MAX + 64;

impl Room {
    /// Whether [`Room::poll_filler`] is worth its call: part of a transfer waits, nothing else does, and the link has room.
    pub fn has_filler(&self, now: Micros, peer: PeerId) -> bool {
        let has_filler = |session: &Session| {
            session.stream == StreamKind::Ordered && session.bulk.next_filler().is_some_and(|at| now >= at)
        };
        self.session_of(peer).is_some_and(has_filler)
            && !self.has_transmit(peer)
            && self.peers.get(&peer).is_some_and(|peer| peer.leaves_room(now))
    }

    /// Hands `send` a piece of what is transferred to a peer, as one transport message: to be asked behind [`Room::poll_transmit`], when the
    /// transport has taken all that came from there.
    pub fn poll_filler(&mut self, now: Micros, id: PeerId, send: impl FnOnce(&[u8])) {
        self.now = self.now.max(now);
        if !self.has_filler(now, id) {
            return;
        }
        self.message.clear();
        if let Some(session) = self.peers.get(&id).and_then(|peer| self.sessions.get_mut(&peer.session)) {
            session.bulk.poll_filler(now, FILLER_BYTES_MAX, &mut self.message);
        }
        if !self.message.is_empty() {
            send(&self.message);
        }
    }

    /// A session has another connection, whose client has `told` what it has of the transfers, if it has any of this session: they go on, or are
    /// lost. What the client is to be told.
    pub(super) fn resume_bulk(
        &mut self,
        session: SessionId,
        told: Option<BulkReceived>,
    ) -> Option<Extension> {
        let bulk = &mut self.sessions.get_mut(&session)?.bulk;
        if told.is_some_and(|told| bulk.handle_resumed(&told).is_ok()) {
            return Some(bulk.received().extension());
        }
        bulk.handle_fresh();
        None
    }
}
