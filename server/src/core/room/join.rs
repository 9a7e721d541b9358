//! Who is in a room: sessions begin, go on over other connections, wait, and end.

use tickwire_protocol::bulk::BulkReceived;
use tickwire_protocol::handshake::{
    AuthRefusal, ClientLimits, Features, FreshReason, PackedSchema, RejectReason, Resume, ResumeToken, Role,
    SessionOutcome, StreamKind, Timing, Token, Welcome,
};
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, INPUT_AHEAD_TICKS_MAX, INPUTS_PER_FRAME_MAX};
use tickwire_protocol::room::{Introduction, LeaveReason};
use tickwire_protocol::{Micros, PeerFault, PeerId, PlayerId, SessionId};

use super::{Room, RoomEvent};
use crate::core::belief::ViewBelief;
use crate::core::identity::{Identity, Renewal};
use crate::core::input_queue::InputQueue;
use crate::core::news::News;
use crate::core::peer::Peer;
use crate::core::replicator::Replicator;
use crate::core::session::{Player, Session, Whereabouts};
use crate::core::viewer::Viewer;

/// A connection that wants in.
#[derive(Clone, Debug)]
pub struct Join {
    /// Lets the session go on over the next connection: so many bits of good chance. Nobody else may ever see it.
    pub token: ResumeToken,
    /// The session that it wants to go on, if it does.
    pub resume: Option<Resume>,
    /// What its client has of the transfers of that session.
    pub bulk: Option<BulkReceived>,
    /// What it is told of the session if that is a new one and it wanted no other to go on.
    pub fresh: FreshReason,
    /// Who it is. A session goes on for the account alone that it was begun by.
    pub identity: Identity,
    /// As what.
    pub role: Role,
    /// What carries its frames.
    pub stream: StreamKind,
    /// Whether it wants to be sent the schema.
    pub wants_schema: bool,
    /// Whether it is to be sent the room's prior, because it lacks it.
    pub wants_prior: bool,
    /// What it says of itself, if it wants to be told of the others.
    pub introduction: Option<Introduction>,
}

impl Join {
    /// The first connection of a session, by a client that has schema and prior. Its token is no secret: set another where
    /// sessions are to go on.
    pub fn new(role: Role, stream: StreamKind) -> Self {
        let token = ResumeToken([0; 16]);
        Self {
            token,
            resume: None,
            bulk: None,
            fresh: FreshReason::First,
            identity: Identity::default(),
            role,
            stream,
            wants_schema: false,
            wants_prior: false,
            introduction: None,
        }
    }
}

impl Room {
    /// Sessions, connected or absent.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The session of a peer.
    pub fn session(&self, peer: PeerId) -> Option<SessionId> {
        Some(self.peers.get(&peer)?.session)
    }

    pub(super) fn session_of(&self, peer: PeerId) -> Option<&Session> {
        self.sessions.get(&self.peers.get(&peer)?.session)
    }

    /// Lets a connection in; its welcome comes with its first transmission. A session that goes on keeps its player; a
    /// connection that it still had is [dropped](RoomEvent::PeerDropped).
    pub fn join(&mut self, now: Micros, join: Join) -> Result<PeerId, RejectReason> {
        let peer = PeerId(self.next_id);
        let resumed = join.resume.map(|resume| (resume.session, self.resume_session(peer, &join, &resume)));
        let (session, outcome) = match resumed {
            Some((session, Ok(outcome))) => (session, outcome),
            Some((_, Err(reason))) => (self.begin(now, peer, &join)?, SessionOutcome::Fresh(reason)),
            None => (self.begin(now, peer, &join)?, SessionOutcome::Fresh(join.fresh)),
        };
        self.next_id = self.next_id.wrapping_add(1);
        let told = join.bulk.filter(|_| !matches!(outcome, SessionOutcome::Fresh(_)));
        let bulk = self.resume_bulk(session, told);
        let Some(begun) = self.sessions.get(&session) else { return Err(RejectReason::NoSuchRoom) };
        let viewer = Viewer { player: begun.player_id(), teams: 0, delta: self.config.delta };
        let terms = begun.terms(outcome, self.config.session_window);
        let replicator = Replicator::new(join.stream, viewer, self.cues.next_index());
        let mut connection = Peer::new(join.stream, begun, replicator, &self.config, now);
        connection.renewal = Renewal::new(&join.identity);
        let auth = join.identity.terms(now).map(|terms| terms.extension());
        let mut welcome = self.welcome(&join, session, peer, viewer.player);
        let limits = self.config.message_limits.extension();
        welcome
            .extensions
            .splice(..0, [terms.extension()].into_iter().chain(auth).chain([limits]).chain(bulk));
        self.identities.insert(session, join.identity);
        connection.welcome = Some(Box::new(welcome));
        connection.news = self.introduce(now, viewer.player, outcome, join.introduction);
        connection.news.take_if(|_| join.stream == StreamKind::Datagram);
        connection.phase = u64::from(peer.0 % (self.config.tick_rate.hz() / self.config.snapshot_hz));
        self.peers.insert(peer, connection);
        self.note_peers();
        Ok(peer)
    }

    /// Puts a player into the table of members; what a connection is to be told of the others, if it wants to be.
    fn introduce(
        &mut self,
        now: Micros,
        player: Option<PlayerId>,
        outcome: SessionOutcome,
        introduction: Option<Introduction>,
    ) -> Option<News> {
        let is_fresh = matches!(outcome, SessionOutcome::Fresh(_));
        let told = introduction.as_ref().filter(|_| !is_fresh).map(|said| (said.members, said.match_state));
        let wants_news = introduction.is_some();
        match (player, introduction) {
            (Some(player), said) if is_fresh => {
                self.members.insert(now, player, said.unwrap_or_default().profile);
            }
            (Some(player), said) => {
                self.members.set_connected(player, true);
                if let Some(said) = said {
                    self.members.wish(player, said.profile);
                }
            }
            (None, _) => {}
        }
        wants_news.then(|| News::new(now, self.bulletin(), told))
    }

    /// A new session.
    fn begin(&mut self, now: Micros, peer: PeerId, join: &Join) -> Result<SessionId, RejectReason> {
        let action = if join.role == Role::Player { "play" } else { "watch" };
        if !join.identity.may(action, &self.identity.name) {
            return Err(RejectReason::Forbidden { action: action.to_owned() });
        }
        let players = self.players.len() as u32;
        if join.role == Role::Player && players >= self.config.players_max {
            return Err(RejectReason::RoomFull { players, max: self.config.players_max });
        }
        let player = (join.role == Role::Player).then(|| Player {
            id: PlayerId(peer.0),
            inputs: InputQueue::new(self.schema.input(), self.config.missing_input),
            view: ViewBelief::new(self.config.tick_rate, self.config.rewind_max),
            is_announced: false,
        });
        let id = SessionId::new(self.identity.id, peer.0);
        self.players.extend(player.as_ref().map(|player| (player.id, id)));
        let session = Session::new(id, join.token, peer, join.stream, player, &self.schema, now);
        self.sessions.insert(id, session.allowing(self.config.message_limits));
        Ok(id)
    }

    /// Lets a session go on over this connection, and drops the one that it still had.
    fn resume_session(
        &mut self,
        peer: PeerId,
        join: &Join,
        resume: &Resume,
    ) -> Result<SessionOutcome, FreshReason> {
        self.check_resume(resume, &join.identity)?;
        let session = self.sessions.get_mut(&resume.session).ok_or(FreshReason::Unknown)?;
        let before = session.peer();
        let outcome = session.resume(peer, join.stream, resume, join.token);
        if outcome.is_ok()
            && let Some(player) = &mut session.player
        {
            player.inputs.restart(self.schema.input());
        }
        match outcome {
            // Whoever has the token and claims what cannot be has lost its way: a new session takes the place of this one.
            Err(FreshReason::Inconsistent) => self.end(resume.session, LeaveReason::Removed),
            Err(reason) => return Err(reason),
            Ok(_) => {}
        }
        if let Some(before) = before {
            self.peers.remove(&before);
            self.events.push(RoomEvent::PeerDropped { peer: before, fault: PeerFault::TakenOver });
        }
        outcome
    }

    /// Whether a session would go on for this client: [`Room::join`] begins another one here if not.
    pub fn check_resume(&self, resume: &Resume, identity: &Identity) -> Result<(), FreshReason> {
        self.sessions.get(&resume.session).ok_or(FreshReason::Unknown)?.check(resume)?;
        let owner = self.identities.get(&resume.session).and_then(Identity::name);
        if owner == identity.name() { Ok(()) } else { Err(FreshReason::OtherAccount) }
    }

    /// The token that a peer has brought, to be checked: once.
    pub fn take_token(&mut self, peer: PeerId) -> Option<Token> {
        self.peers.get_mut(&peer)?.renewal.take()
    }

    /// What was found of the token that a peer has brought. One that is refused changes nothing: the one before counts on. A peer
    /// that is not here any more is passed over.
    pub fn handle_checked(&mut self, now: Micros, id: PeerId, found: Result<Identity, AuthRefusal>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(identity) = self.identities.get_mut(&peer.session) else { return };
        let found = found.and_then(|found| {
            if found.name() == identity.name() { Ok(found) } else { Err(AuthRefusal::OtherAccount) }
        });
        peer.renewal.handle_checked(now, found.as_ref().map_err(|refusal| *refusal));
        if let Ok(found) = found {
            *identity = found;
        }
    }

    /// A client has said goodbye: its session is over. Its player's entity is the simulation's to take away.
    pub fn leave(&mut self, peer: PeerId) {
        self.end_of(peer, LeaveReason::Left);
    }

    /// A client is let go, for a fault of its own or because the server wants it: its session is over.
    pub fn remove(&mut self, peer: PeerId) {
        self.end_of(peer, LeaveReason::Removed);
    }

    fn end_of(&mut self, peer: PeerId, reason: LeaveReason) {
        if let Some(peer) = self.peers.remove(&peer) {
            self.note_peers();
            self.end(peer.session, reason);
        }
    }

    /// A connection was lost. Its session waits for its client to come back, as long as the room's configuration says.
    pub fn disconnect(&mut self, now: Micros, peer: PeerId) {
        if self.config.session_window == Micros::ZERO {
            return self.end_of(peer, LeaveReason::Lost);
        }
        let Some(peer) = self.peers.remove(&peer) else { return };
        self.note_peers();
        match self.sessions.get_mut(&peer.session) {
            Some(session) if session.is_known() => {
                session.whereabouts = Whereabouts::AbsentSince(now);
                if let Some(player) = session.player_id() {
                    self.members.set_connected(player, false);
                }
            }
            // A client that never spoke behind its welcome has no token to come back with.
            _ => self.end(peer.session, LeaveReason::Lost),
        }
    }

    fn end(&mut self, session: SessionId, reason: LeaveReason) {
        self.events.push(RoomEvent::SessionEnded { session });
        self.identities.remove(&session);
        let Some(Session { player: Some(player), mut bulk, .. }) = self.sessions.remove(&session) else {
            return;
        };
        self.players.remove(&player.id);
        self.members.remove(player.id, reason);
        if player.is_announced {
            bulk.handle_end();
            let lost = core::iter::from_fn(|| bulk.poll_event(self.now));
            self.bulk_turn.lost.extend(lost.map(|event| (player.id, event)));
            self.left.push(player.id);
        }
    }

    /// Ends the sessions whose clients have not come back in time.
    pub(super) fn give_up_absent(&mut self, now: Micros) {
        let window = self.config.session_window;
        let is_over = |session: &&Session| session.is_given_up(now, window);
        while let Some(session) = self.sessions.values().find(is_over).map(|session| session.id) {
            self.end(session, LeaveReason::Lost);
        }
    }

    /// Lets those go who say nothing, take nothing, or whose token has expired.
    pub(super) fn drop_dead_peers(&mut self, now: Micros) {
        let first = self.events.len();
        for (&peer, state) in &self.peers {
            let fault = state.find_dead(now, &self.config);
            self.events.extend(fault.map(|fault| RoomEvent::PeerDropped { peer, fault }));
        }
        for index in first..self.events.len() {
            if let RoomEvent::PeerDropped { peer, .. } = self.events[index] {
                self.disconnect(now, peer);
            }
        }
    }

    fn welcome(
        &mut self,
        join: &Join,
        session: SessionId,
        peer: PeerId,
        player: Option<PlayerId>,
    ) -> Welcome {
        let config = &self.config;
        let schema = join
            .wants_schema
            .then(|| self.packed_schema.get_or_insert_with(|| PackedSchema::new(&self.schema)).clone());
        Welcome {
            session,
            peer,
            player,
            room: self.identity.id,
            room_name: self.identity.name.clone(),
            room_seed: self.identity.seed,
            tick: self.world.tick(),
            tick_time: self.schedule.last_due(),
            timing: Timing {
                tick_rate: config.tick_rate,
                snapshot_hz: config.snapshot_hz,
                interpolation_delay: config.interpolation_delay,
                ping_interval: config.ping_interval,
                silence_timeout: config.silence_timeout,
                digest_interval: config.digest_interval,
            },
            limits: ClientLimits {
                message_bytes_max: CLIENT_MESSAGE_BYTES_MAX as u32,
                inputs_per_frame_max: INPUTS_PER_FRAME_MAX as u32,
                input_ahead_ticks_max: INPUT_AHEAD_TICKS_MAX,
            },
            missing_input: config.missing_input,
            coder: self.codec.coder().wire(),
            prior_hash: self.codec.prior().hash(),
            prior: join.wants_prior.then(|| self.codec.prior().encoded().to_vec()),
            features: Features::NONE,
            server_build: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
            extensions: config.extensions.clone(),
        }
    }
}
