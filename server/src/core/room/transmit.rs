//! What goes out to a peer, when its connection can take it.

use tickwire_protocol::handshake::{StreamKind, Welcome};
use tickwire_protocol::snapshot::Feedback;
use tickwire_protocol::{EntityId, Micros, PeerId};

use super::{Room, RoomConfig};
use crate::core::news::Bulletin;
use crate::core::packer::Space;
use crate::core::peer::Peer;
use crate::core::replicator::Source;
use crate::core::session::Session;
use crate::core::shared::Shared;

/// Where snapshots come at least so often a second, tables wait for the next: a tenth of a second at most.
const SOON_HZ: u32 = 10;

/// What waits to be sent to a peer.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// A snapshot, or what only connections say to each other.
    peer: bool,
    /// The room's tables.
    news: bool,
    messages: bool,
}

impl Waiting {
    /// `tables_wait` for a snapshot that is to come: a transport message of their own costs more than all that they say.
    fn of(
        now: Micros,
        tables_wait: bool,
        peer: &Peer,
        session: Option<&Session>,
        bulletin: Bulletin<'_>,
    ) -> Self {
        let has_state = peer.has_transmit(now);
        let messages = session.is_some_and(|it| it.has_transmit() || peer.has_message_room(now, &it.outbox));
        let news_may_go = has_state || messages || !(tables_wait && peer.expects_state());
        let news = news_may_go && peer.news.as_ref().is_some_and(|news| news.is_due(now, bulletin));
        Self { peer: has_state, news, messages }
    }

    fn is_any(self) -> bool {
        self.peer || self.news || self.messages
    }
}

impl Room {
    /// Whether a peer has something to be sent, as of the last call that was told the time: then [`Room::poll_transmit`] would send it.
    pub fn has_transmit(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| {
            let session = self.sessions.get(&peer.session).map(Box::as_ref);
            Waiting::of(self.now, self.tables_wait(), peer, session, self.bulletin()).is_any()
        })
    }

    /// Hands what is due to a peer to `send`: one transport message on an ordered stream, or datagrams. State is
    /// encoded here and now, so it is the newest; a peer that is not polled for a while skips what was between.
    pub fn poll_transmit(&mut self, now: Micros, id: PeerId, mut send: impl FnMut(&[u8])) {
        self.now = self.now.max(now);
        let tables_wait = self.tables_wait();
        let Self { peers, sessions, members, match_state, groups, world, message, .. } = self;
        let Some(peer) = peers.get_mut(&id) else { return };
        let mut session = sessions.get_mut(&peer.session).map(Box::as_mut);
        if self.config.are_messages_paced
            && let Some(session) = &mut session
        {
            peer.steer_messages(now, &mut session.outbox);
        }
        let bulletin = Bulletin { members, match_state, groups };
        let waiting = Waiting::of(self.now, tables_wait, peer, session.as_deref(), bulletin);
        if !waiting.is_any() {
            return;
        }
        message.clear();
        // With a schema or a prior in it the welcome can be as large as a message may be: it goes alone.
        let is_large = |welcome: &Welcome| welcome.schema.is_some() || welcome.prior.is_some();
        let is_alone = peer.welcome.as_deref().is_some_and(is_large);
        peer.write_control(now, world.tick(), self.schedule.last_due(), message);
        if !is_alone {
            if let Some(space) = peer.take_due(now) {
                let payload_of = |entity: EntityId| world.payload(entity).cloned();
                self.scene.refresh(&self.history, &self.config.interest);
                self.history.keep_newest();
                let source = Source {
                    codec: &self.codec,
                    history: &self.history,
                    cues: &self.cues,
                    scene: &self.scene,
                    interest: &self.config.interest,
                    priority: &self.config.priority,
                    payload_of: &payload_of,
                };
                let feedback = session.as_mut().and_then(|session| session.take_feedback());
                let desk = Desk { source, config: &self.config, shared: &mut self.shared, message };
                desk.write_state(space, feedback, peer, &mut send);
            }
            // Behind the state, and before messages, which may be about a member.
            if let Some(news) = peer.news.as_mut().filter(|_| waiting.news) {
                news.write(now, bulletin, message);
            }
            match session {
                Some(session) if waiting.messages => {
                    let before = message.len();
                    session.write_messages(now, message);
                    peer.handle_messages(now, message.len() - before);
                }
                Some(session) => session.outbox.expire(now),
                None => {}
            }
        }
        if !message.is_empty() {
            send(message);
        }
    }

    /// Whoever has to go before the next step is told of the tables now.
    fn tables_wait(&self) -> bool {
        self.config.snapshot_hz >= SOON_HZ && self.dismissals.is_empty()
    }

    pub(super) fn bulletin(&self) -> Bulletin<'_> {
        Bulletin { members: &self.members, match_state: &self.match_state, groups: &self.groups }
    }
}

/// Where a snapshot is written.
struct Desk<'a> {
    source: Source<'a>,
    config: &'a RoomConfig,
    shared: &'a mut Shared,
    message: &'a mut Vec<u8>,
}

impl Desk<'_> {
    /// Appends a snapshot to the message, or sends that and hands datagrams to `send`.
    fn write_state(
        self,
        mut space: Space,
        feedback: Option<Feedback>,
        peer: &mut Peer,
        send: &mut impl FnMut(&[u8]),
    ) {
        let Self { source, config, shared, message } = self;
        match peer.stream {
            StreamKind::Ordered => {
                let with_digest =
                    config.digest_interval > Micros::ZERO && peer.take_digest(config, space.now);
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
