//! What goes out to a peer, when its connection can take it.

use tickwire_protocol::handshake::{StreamKind, Welcome};
use tickwire_protocol::{EntityId, Micros, PeerId};

use super::Room;
use crate::core::news::Bulletin;
use crate::core::packer::Space;
use crate::core::peer::Peer;
use crate::core::replicator::Source;
use crate::core::session::Session;

impl Room {
    /// Whether a peer has something to be sent, as of the last call that was told the time: then [`Room::poll_transmit`] is worth its
    /// call.
    pub fn has_transmit(&self, peer: PeerId) -> bool {
        let has_messages = || self.session_of(peer).is_some_and(Session::has_transmit);
        let has_news =
            |peer: &Peer| peer.news.as_ref().is_some_and(|news| news.is_due(self.now, self.bulletin()));
        self.peers
            .get(&peer)
            .is_some_and(|peer| peer.has_transmit(self.now) || has_news(peer) || has_messages())
    }

    /// Hands what is due to a peer to `send`: one transport message on an ordered stream, or datagrams. State is
    /// encoded here and now, so it is the newest; a peer that is not polled for a while skips what was between.
    pub fn poll_transmit(&mut self, now: Micros, id: PeerId, mut send: impl FnMut(&[u8])) {
        self.now = self.now.max(now);
        if !self.has_transmit(id) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        self.message.clear();
        // With a schema or a prior in it the welcome can be as large as a message may be: it goes alone.
        let is_large = |welcome: &Welcome| welcome.schema.is_some() || welcome.prior.is_some();
        let is_alone = peer.welcome.as_deref().is_some_and(is_large);
        peer.write_control(now, self.world.tick(), self.schedule.last_due(), &mut self.message);
        let space = if is_alone { None } else { peer.take_due(now) };
        if let Some(space) = space {
            self.write_state(space, id, &mut send);
        }
        if !is_alone {
            self.write_news(now, id);
        }
        if !is_alone
            && let Some(session) = self.peers.get(&id).and_then(|peer| self.sessions.get_mut(&peer.session))
        {
            session.write_messages(now, &mut self.message);
        }
        if !self.message.is_empty() {
            send(&self.message);
        }
    }

    /// Appends what is due of the room's tables: behind the state, and before messages, which may be about a member.
    fn write_news(&mut self, now: Micros, id: PeerId) {
        let Self { members, match_state, peers, message, .. } = self;
        if let Some(news) = peers.get_mut(&id).and_then(|peer| peer.news.as_mut()) {
            news.write(now, Bulletin { members, match_state }, message);
        }
    }

    pub(super) fn bulletin(&self) -> Bulletin<'_> {
        Bulletin { members: &self.members, match_state: &self.match_state }
    }

    /// Appends a snapshot to the message, or sends that and hands datagrams to `send`.
    fn write_state(&mut self, mut space: Space, id: PeerId, send: &mut impl FnMut(&[u8])) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (world, now) = (&self.world, space.now);
        let payload_of = |entity: EntityId| world.payload(entity).cloned();
        let Self { scene, config, shared, message, .. } = self;
        scene.refresh(&self.history, &config.interest);
        let source = Source {
            codec: &self.codec,
            history: &self.history,
            cues: &self.cues,
            scene,
            interest: &config.interest,
            priority: &config.priority,
            payload_of: &payload_of,
        };
        let feedback = self.sessions.get_mut(&peer.session).and_then(|session| session.take_feedback());
        match peer.stream {
            StreamKind::Ordered => {
                let with_digest = config.digest_interval > Micros::ZERO && peer.take_digest(config, now);
                let riders = message.len();
                space.bytes =
                    space.bytes.saturating_sub(riders + websocket_header_bytes(riders + space.bytes));
                let replicator = &mut peer.replicator;
                let told = replicator.write_ordered(&source, shared, &space, feedback, with_digest, message);
                peer.handle_sent(&space, &told, riders + websocket_header_bytes(message.len()));
            }
            StreamKind::Datagram => {
                if !message.is_empty() {
                    send(message);
                    message.clear();
                }
                let told = peer.replicator.write_datagrams(&source, shared, &space, feedback, send);
                peer.handle_sent(&space, &told, 0);
            }
        }
    }
}

/// Bytes of the header that a WebSocket puts before a message to a client (RFC 6455, section 5.2).
const fn websocket_header_bytes(message_bytes: usize) -> usize {
    match message_bytes {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    }
}
