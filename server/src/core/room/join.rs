//! Who comes into a room: sessions begin, and go on over other connections.

use tickwire_protocol::bulk::BulkReceived;
use tickwire_protocol::handshake::{
    AuthRefusal, ClientLimits, Features, FreshReason, PackedSchema, RejectReason, Resume, ResumeToken, Role,
    SessionOutcome, StreamKind, Timing, Token, Welcome,
};
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, INPUT_AHEAD_TICKS_MAX, INPUTS_PER_FRAME_MAX};
use tickwire_protocol::room::{Introduction, LeaveReason, Profile};
use tickwire_protocol::snapshot::Codec;
use tickwire_protocol::{Micros, PeerFault, PeerId, PlayerId, RoomId, Schema, SessionId, Tick};
use tickwire_sim::Newcomer;

use super::{Room, RoomConfig};
use crate::core::belief::ViewBelief;
use crate::core::identity::{Identity, Renewal};
use crate::core::input_queue::InputQueue;
use crate::core::news::News;
use crate::core::peer::Peer;
use crate::core::replicator::Replicator;
use crate::core::session::{Player, Session};
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
    /// Sessions of the same account that are [over](Room::replace) once it is let in. Their places count as free.
    pub replaces: Vec<SessionId>,
    /// As what.
    pub role: Role,
    /// What carries its frames.
    pub stream: StreamKind,
    /// Whether it is to be sent the room's prior, because it lacks it.
    pub wants_prior: bool,
    /// What it says of itself, if it wants to be told of the others.
    pub introduction: Option<Introduction>,
    /// Which version of the game its client is, as its hello says.
    pub game_build: String,
    /// Where its client runs, as its hello says.
    pub platform: String,
    /// What its client can do beside the rest of the wire's version.
    pub features: Features,
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
            replaces: Vec::new(),
            role,
            stream,
            wants_prior: false,
            introduction: None,
            game_build: String::new(),
            platform: String::new(),
            features: Features::NONE,
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
        self.sessions.get(&self.peers.get(&peer)?.session).map(Box::as_ref)
    }

    /// Lets a connection in; its welcome comes with its first transmission. A session that goes on keeps its player; a
    /// connection that it still had is [dropped](super::RoomEvent::PeerDropped). Whether a new one begins is the game's to say as well
    /// ([`Simulation::admit`](tickwire_sim::Simulation::admit)). Nobody's session ends for one that is refused.
    pub fn join(&mut self, now: Micros, join: Join) -> Result<PeerId, RejectReason> {
        if self.is_over {
            return Err(RejectReason::NoSuchRoom);
        }
        join.identity.check_role(join.role, &self.identity.name)?;
        let peer = PeerId(self.next_id);
        let resumed = join.resume.map(|resume| (resume.session, self.resume_session(peer, &join, &resume)));
        let (session, outcome) = match resumed {
            Some((session, Ok(outcome))) => (session, outcome),
            Some((_, Err(reason))) => (self.begin(now, peer, &join)?, SessionOutcome::Fresh(reason)),
            None => (self.begin(now, peer, &join)?, SessionOutcome::Fresh(join.fresh)),
        };
        self.next_id = self.next_id.wrapping_add(1);
        join.replaces.iter().filter(|&&other| other != session).for_each(|&other| self.replace(other));
        let told = join.bulk.filter(|_| !matches!(outcome, SessionOutcome::Fresh(_)));
        let bulk = self.resume_bulk(session, told);
        let Some(begun) = self.sessions.get(&session) else { return Err(RejectReason::NoSuchRoom) };
        let viewer = Viewer { player: begun.player_id(), teams: 0, delta: self.config.delta };
        let terms = begun.terms(outcome, self.config.session_window);
        let replicator = Replicator::new(join.stream, viewer, self.cues.next_index());
        let mut connection = Peer::new(join.stream, begun, replicator, &self.config, now);
        connection.renewal = Renewal::new(&join.identity);
        let auth = join.identity.terms(now).map(|terms| terms.extension());
        let mut welcome = self.welcome(join.wants_prior, session, peer, viewer.player);
        let limits = self.config.message_limits.extension();
        welcome
            .extensions
            .splice(..0, [terms.extension()].into_iter().chain(auth).chain([limits]).chain(bulk));
        self.identify(session, join.identity);
        connection.welcome = Some(Box::new(welcome));
        connection.news = self.introduce(now, viewer.player, outcome, join.introduction);
        connection.news.take_if(|_| join.stream == StreamKind::Datagram);
        connection.phase = u64::from(peer.0 % (self.config.tick_rate.hz() / self.config.snapshot_hz));
        self.peers.insert(peer, Box::new(connection));
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
        let told = introduction.as_ref().filter(|_| !is_fresh).cloned();
        let wants_news = introduction.is_some();
        match (player, introduction) {
            (Some(player), said) if is_fresh => {
                self.members.insert(now, player, said.unwrap_or_default().profile);
                self.groups.admit(player);
            }
            (Some(player), said) => {
                self.members.set_connected(player, true);
                if let Some(said) = said {
                    self.members.wish(player, said.profile);
                }
            }
            (None, _) => {}
        }
        wants_news.then(|| News::new(now, self.bulletin(), player, told.as_ref()))
    }

    /// Asks the game whether it lets somebody in.
    fn ask_game(&self, join: &Join) -> Result<(), RejectReason> {
        let unnamed = Profile::default();
        let newcomer = Newcomer {
            account: join.identity.account_told(),
            permissions: &|action| join.identity.may(action, &self.identity.name),
            role: join.role,
            profile: join.introduction.as_ref().map_or(&unnamed, |introduction| &introduction.profile),
            game_build: &join.game_build,
            platform: &join.platform,
            features: join.features,
        };
        self.world.admit(&newcomer).map_err(|refusal| refusal.reject(&newcomer))
    }

    /// A new session.
    fn begin(&mut self, now: Micros, peer: PeerId, join: &Join) -> Result<SessionId, RejectReason> {
        // Before anybody gives way to it.
        self.ask_game(join)?;
        if join.role == Role::Player {
            self.find_place(now, join)?;
        }
        let player = (join.role == Role::Player).then(|| Player {
            id: PlayerId(peer.0),
            inputs: InputQueue::new(self.schema.input(), self.config.missing_input),
            view: ViewBelief::new(self.config.tick_rate, self.config.rewind_max),
            is_announced: false,
        });
        let id = SessionId::new(self.identity.id, self.config.first_session.wrapping_add(peer.0));
        self.players.extend(player.as_ref().map(|player| (player.id, id)));
        let session = Session::new(id, join.token, peer, join.stream, player, &self.schema, now);
        let mut session = session.allowing(self.config.message_limits);
        session.outbox.set_queue(self.config.queue);
        self.outcomes.follow(&mut session);
        self.sessions.insert(id, Box::new(session));
        Ok(id)
    }

    /// A place for another player: who is overdue gives way.
    fn find_place(&mut self, now: Micros, join: &Join) -> Result<(), RejectReason> {
        let stays = |session: &&SessionId| !join.replaces.contains(session);
        let max = self.config.players_max;
        loop {
            let players = self.players.values().filter(stays).count() as u32;
            if players < max {
                return Ok(());
            }
            if !self.give_way(now, Role::Player) {
                return Err(RejectReason::RoomFull { players, max });
            }
        }
    }

    /// Lets a session go on over this connection, and drops the one that it still had.
    fn resume_session(
        &mut self,
        peer: PeerId,
        join: &Join,
        resume: &Resume,
    ) -> Result<SessionOutcome, FreshReason> {
        self.check_resume(join)?;
        let session = self.sessions.get_mut(&resume.session).ok_or(FreshReason::Unknown)?;
        let before = session.peer();
        let outcome = session.resume(peer, join.stream, resume, join.token)?;
        if let Some(player) = &mut session.player {
            player.inputs.restart(self.schema.input());
        }
        if let Some(before) = before {
            self.drop_peer(before, PeerFault::TakenOver);
        }
        Ok(outcome)
    }

    /// Whether the session that a connection wants to go on does so for it: [`Room::join`] begins another one here if not.
    ///
    /// Whoever has its token and claims what cannot be has lost its way: that session is over then.
    pub fn check_resume(&mut self, join: &Join) -> Result<(), FreshReason> {
        let Some(resume) = &join.resume else { return Ok(()) };
        let session = self.sessions.get(&resume.session).ok_or(FreshReason::Unknown)?;
        session.check(resume)?;
        if self.identities.get(&resume.session).and_then(Identity::name) != join.identity.name() {
            return Err(FreshReason::OtherAccount);
        }
        if session.role() == join.role && session.is_consistent(resume) {
            return Ok(());
        }
        if let Some(peer) = session.peer() {
            self.drop_peer(peer, PeerFault::TakenOver);
        }
        self.end_session(resume.session, LeaveReason::Removed);
        Err(FreshReason::Inconsistent)
    }

    /// The token that a peer has brought, to be checked: once.
    pub fn take_token(&mut self, peer: PeerId) -> Option<Token> {
        self.peers.get_mut(&peer)?.renewal.take()
    }

    /// What was found of the token that a peer has brought. One that is refused changes nothing: the one before counts on. One
    /// that is good, but takes away what the peer does here, ends its session. A peer that is not here any more is passed over.
    pub fn handle_checked(&mut self, now: Micros, id: PeerId, found: Result<Identity, AuthRefusal>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(identity) = self.identities.get(&peer.session) else { return };
        let found = found.and_then(|found| {
            if found.name() == identity.name() { Ok(found) } else { Err(AuthRefusal::OtherAccount) }
        });
        peer.renewal.handle_checked(now, found.as_ref().map_err(|refusal| *refusal));
        let Ok(found) = found else { return };
        let session = peer.session;
        let role = self.sessions.get(&session).map(|session| session.role());
        if role.is_some_and(|role| found.check_role(role, &self.identity.name).is_err()) {
            self.drop_peer(id, PeerFault::Forbidden);
            return self.end_session(session, LeaveReason::Removed);
        }
        self.identify(session, found);
    }

    /// Whose a session is, and what it may say therefore.
    fn identify(&mut self, id: SessionId, identity: Identity) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.gate.set_permissions(&self.schema, |action| identity.may(action, &self.identity.name));
        }
        self.identities.insert(id, identity);
    }

    fn welcome(
        &self,
        with_prior: bool,
        session: SessionId,
        peer: PeerId,
        player: Option<PlayerId>,
    ) -> Welcome {
        Welcome {
            session,
            peer,
            player,
            room: self.identity.id,
            room_name: self.identity.name.clone(),
            room_seed: self.identity.seed,
            tick: self.world.tick(),
            tick_time: self.schedule.last_due(),
            prior: with_prior.then(|| self.codec.prior().encoded().to_vec()),
            extensions: self.config.extensions.clone(),
            ..blank_welcome(&self.config, &self.codec)
        }
    }
}

/// The answer to one who asks for the schema: a welcome to no room.
pub fn schema_welcome(config: &RoomConfig, codec: &Codec, schema: &Schema) -> Welcome {
    Welcome { schema: Some(PackedSchema::new(schema)), ..blank_welcome(config, codec) }
}

/// What is the same in all rooms.
fn blank_welcome(config: &RoomConfig, codec: &Codec) -> Welcome {
    Welcome {
        session: SessionId(0),
        peer: PeerId(0),
        player: None,
        room: RoomId(0),
        room_name: String::new(),
        room_seed: 0,
        tick: Tick(0),
        tick_time: Micros::ZERO,
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
        coder: codec.coder().wire(),
        prior_hash: codec.prior().hash(),
        prior: None,
        features: Features::NONE,
        server_build: env!("CARGO_PKG_VERSION").to_owned(),
        schema: None,
        extensions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::TickRate;
    use tickwire_protocol::handshake::Permission;
    use tickwire_protocol::message::{Lane, Received};
    use tickwire_protocol::ping::Ping;
    use tickwire_sim::arena::{Arena, Level};

    use super::*;
    use crate::core::{RoomEvent, RoomIdentity};

    const NOW: Micros = Micros::from_secs(1);

    fn room(players_max: u32) -> Room {
        let identity = RoomIdentity { id: RoomId(1), name: "lobby".to_owned(), seed: 1 };
        let mut config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        config.players_max = players_max;
        Room::new(identity, config, Box::new(Arena::new(Level::for_players(8))), Micros::ZERO)
    }

    fn who(name: &str, permissions: &[&str]) -> Identity {
        let permissions = permissions.iter().map(|name| Permission((*name).to_owned())).collect();
        Identity::account(name.to_owned(), None, permissions, Vec::new()).unwrap()
    }

    fn join_as(identity: Identity, role: Role) -> Join {
        Join { identity, ..Join::new(role, StreamKind::Ordered) }
    }

    /// Alice plays; her session and how it goes on.
    fn alice_plays(room: &mut Room) -> (PeerId, Resume) {
        let peer = room.join(NOW, join_as(who("alice", &["play", "watch"]), Role::Player)).unwrap();
        let session = room.session(peer).unwrap();
        (peer, Resume { session, token: ResumeToken([0; 16]), received: Received::default() })
    }

    fn faults(room: &mut Room) -> Vec<(PeerId, PeerFault)> {
        let events = core::iter::from_fn(|| room.poll_event());
        let fault = |event| match event {
            RoomEvent::PeerDropped { peer, fault } => Some((peer, fault)),
            _ => None,
        };
        events.filter_map(fault).collect()
    }

    #[test]
    fn who_may_play_no_longer_does_not_go_on_playing() {
        let mut room = room(8);
        let (peer, resume) = alice_plays(&mut room);
        let back = Join { resume: Some(resume), ..join_as(who("alice", &["watch"]), Role::Player) };
        assert_eq!(room.check_resume(&back), Ok(()));
        let forbidden = RejectReason::Forbidden { action: "play".to_owned() };
        assert_eq!(room.join(NOW, back), Err(forbidden));
        assert_eq!(room.session(peer), Some(resume.session), "the connection of before stays");
        room.handle_checked(NOW, peer, Ok(who("alice", &["play@lobby"])));
        assert_eq!((faults(&mut room), room.player_count()), (Vec::new(), 1));
        room.handle_checked(NOW, peer, Ok(who("alice", &["watch", "play@elsewhere"])));
        assert_eq!(faults(&mut room), [(peer, PeerFault::Forbidden)]);
        assert_eq!((room.player_count(), room.session_count()), (0, 0));
    }

    #[test]
    fn a_resume_in_another_role_or_of_what_was_never_sent_ends_its_session_and_takes_no_place() {
        let never = Received::default().with(Lane::Messages, 7);
        for (role, received) in [(Role::Spectator, Received::default()), (Role::Player, never)] {
            let mut room = room(8);
            let (peer, resume) = alice_plays(&mut room);
            let resume = Resume { received, ..resume };
            let thief = Join { resume: Some(resume), ..join_as(who("mallory", &["play", "watch"]), role) };
            assert_eq!(room.check_resume(&thief), Err(FreshReason::OtherAccount));
            let back = Join { resume: Some(resume), ..join_as(who("alice", &["play", "watch"]), role) };
            assert_eq!(room.check_resume(&back), Err(FreshReason::Inconsistent));
            assert_eq!(faults(&mut room), [(peer, PeerFault::TakenOver)]);
            assert_eq!((room.session_count(), room.peer_count()), (0, 0));
        }
    }

    #[test]
    fn who_was_hardly_here_keeps_its_place_until_somebody_needs_it() {
        let mut room = room(2);
        let second = Micros::from_secs;
        let join = |room: &mut Room, now| room.join(now, Join::new(Role::Player, StreamKind::Ordered));
        let mut ping = Vec::new();
        Ping { client_time: Micros::ZERO }.encode(&mut ping);
        let [first, long] = [(); 2].map(|()| join(&mut room, second(1)).unwrap());
        for (peer, left) in [(first, second(2)), (long, second(61))] {
            room.handle_message(second(1), peer, ping.clone().into()).unwrap();
            room.disconnect(left, peer);
        }
        let (of_first, of_long) = (SessionId::new(RoomId(1), first.0), SessionId::new(RoomId(1), long.0));
        room.give_up_absent(second(70));
        assert_eq!(room.session_count(), 2, "nobody needs a place");
        assert_eq!(room.overdue(second(8), Role::Player), None);
        assert_eq!(room.overdue(second(70), Role::Spectator), None);
        assert_eq!(room.overdue(second(70), Role::Player), Some(of_first));
        assert!(join(&mut room, second(70)).is_ok());
        let full = RejectReason::RoomFull { players: 2, max: 2 };
        assert_eq!(join(&mut room, second(70)), Err(full), "who has played is waited for");
        assert!(room.sessions.contains_key(&of_long) && !room.sessions.contains_key(&of_first));
        let left = core::iter::from_fn(|| room.poll_event());
        assert!(left.into_iter().any(|event| event == RoomEvent::SessionEnded { session: of_first }));
    }

    #[test]
    fn a_newer_session_takes_the_place_of_the_older_but_only_if_it_is_let_in() {
        let mut room = room(1);
        let (peer, resume) = alice_plays(&mut room);
        let newer = |permissions| Join {
            replaces: vec![resume.session],
            ..join_as(who("alice", permissions), Role::Player)
        };
        assert!(room.join(NOW, newer(&["watch"])).is_err());
        assert_eq!((faults(&mut room), room.session(peer)), (Vec::new(), Some(resume.session)));
        let full = RejectReason::RoomFull { players: 1, max: 1 };
        let other = join_as(who("bob", &["play"]), Role::Player);
        assert_eq!(room.join(NOW, other.clone()), Err(full));
        let second = room.join(NOW, newer(&["play"])).expect("the older one's place");
        assert_eq!(faults(&mut room), [(peer, PeerFault::Replaced)]);
        assert_eq!((room.player_count(), room.session(peer)), (1, None));
        let session = room.session(second).unwrap();
        room.replace(session);
        assert_eq!((room.session_count(), faults(&mut room)), (0, vec![(second, PeerFault::Replaced)]));
        room.replace(session);
        assert!(room.join(NOW, other).is_ok());
    }
}
