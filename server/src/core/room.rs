//! One match: the only owner of its world, its history and its peers.
//!
//! ```text
//!  handle_message ──> input queues ──┐ drained at the tick, never between
//!                                    v
//!  advance(now) ──> world.step ──> history.publish ──> cue log        as many steps as are due
//!  poll_transmit(now, peer) ──> the newest tick, encoded now          if a snapshot is due to the peer
//! ```
//!
//! Pure: time and bytes are handed in. A peer that breaks the protocol is dropped by [`Room::handle_message`]'s
//! error; nobody else notices.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::handshake::{
    ClientLimits, Extension, Features, FreshReason, PackedSchema, RejectReason, Resume, ResumeToken, Role,
    SessionOutcome, StreamKind, Timing, Welcome,
};
use tickwire_protocol::history::History;
use tickwire_protocol::input::{InputFrame, MissingInput};
use tickwire_protocol::limits::{
    CLIENT_MESSAGE_BYTES_MAX, DIGEST_INTERVAL_MICROS_MAX, INPUT_AHEAD_TICKS_MAX, INPUTS_PER_FRAME_MAX,
    INTERPOLATION_DELAY_MICROS_MAX, PING_INTERVAL_MICROS_MIN, REWIND_MICROS_MAX, SILENCE_TIMEOUT_MICROS_MAX,
};
use tickwire_protocol::recording::RecordingHeader;
use tickwire_protocol::snapshot::{Codec, Coder, Prior};
use tickwire_protocol::{
    Cue, EntityId, Micros, PeerFault, PeerId, PlayerId, RoomId, Schema, SessionId, Tables, Tick, TickRate,
};
use tickwire_sim::{Outside, PlayerInputs, Simulation, World, WorldConfig};

use super::belief::{ViewBelief, ViewCounters};
use super::cue_log::CueLog;
use super::input_queue::{InputCounters, InputQueue};
use super::interest::Interest;
use super::knowledge::Viewer;
use super::mail::RoomMail;
use super::packer::Space;
use super::peer::{Inbox, Peer};
use super::peer_stats::PeerStats;
use super::priority::Priority;
use super::recording::{RoomRecording, Stepped, is_turn};
use super::replicator::{Replicator, Source};
use super::rewind::{Look, Rewind, RewoundEyes};
use super::scene::Scene;
use super::schedule::{Due, Schedule};
use super::session::{Player, Session, Whereabouts};
use super::shared::Shared;

/// The usual budget of a peer, bytes a second: 64 kbit/s. A player in a room of 64 needs about three quarters of it.
pub const BUDGET_BYTES_PER_SECOND: u32 = 8_000;

/// At which rate a peer that joins is usually told of the world, bytes a second: 512 kbit/s. 1,000 rows take about a third of a second.
pub const JOIN_BYTES_PER_SECOND: u32 = 64_000;

/// From so many peers on, their snapshots fall due at different steps: what is lost of shared bytes is less than what a tick that serves all
/// of them at once is late.
const SPREAD_PEERS: usize = 129;
/// With so many or fewer they are due together again. In between it stays as it is: each change shifts what is due once.
const IN_STEP_PEERS: usize = 96;

/// How a room runs. Every client is told what concerns it in its welcome.
#[derive(Clone, Debug)]
pub struct RoomConfig {
    /// Steps of the simulation.
    pub tick_rate: TickRate,
    /// Snapshots a second to each peer, 1 to the tick rate.
    pub snapshot_hz: u32,
    /// Players that the room takes; spectators are not counted.
    pub players_max: u32,
    /// Whether rows are sent as differences. Without, every row travels whole in every snapshot: for debugging.
    pub delta: bool,
    /// How rows become bits.
    pub coder: Coder,
    /// What the coder guesses with. Clients that lack it are sent it.
    pub prior: Arc<Prior>,
    /// Which entities each peer is shown.
    pub interest: Interest,
    /// Which of them are told first where not all fit.
    pub priority: Priority,
    /// What each peer is sent of snapshots over any second, bytes: engine frames, and the header of a WebSocket message. A snapshot
    /// takes at most the share of two, or 640 bytes, and that is by how much any one second may exceed it. None: as much as its link
    /// takes. At least [`BUDGET_BYTES_PER_SECOND_MIN`](tickwire_protocol::limits::BUDGET_BYTES_PER_SECOND_MIN).
    pub budget: Option<u32>,
    /// What a peer is sent instead of its budget until it was told once of all that it saw at first, bytes a second. None: as much as its link
    /// takes.
    pub join_rate: Option<u32>,
    /// Whether fields with a send rate or a threshold are held back. Not in a room that replays: there they were.
    pub hold_back: bool,
    /// What a player is stepped with whose input has not come.
    pub missing_input: MissingInput,
    /// How far back from the step of an input its player's view is rewound at most, up to
    /// [`REWIND_MICROS_MAX`]. Who sees the others later than that has to lead its aim; who is shot at is
    /// hit behind cover for so long.
    pub rewind_max: Micros,
    /// How far behind the newest state clients show others to begin with.
    pub interpolation_delay: Micros,
    /// How often clients ping.
    pub ping_interval: Micros,
    /// How long nothing may be heard of a peer.
    pub silence_timeout: Micros,
    /// How long a session waits for its client after a connection was lost, and its player stands where it stood, without
    /// input; 0 to give it up at once.
    pub session_window: Micros,
    /// How long a peer on an ordered stream may ack nothing of what it was sent, before it is let go.
    pub stall_timeout: Micros,
    /// How far apart the digests of a peer's state are; 0 for none.
    pub digest_interval: Micros,
    /// The number of the first step.
    pub first_tick: Tick,
    /// What the game tells every client in its welcome, as the level that it plays on; ids from 32,768 on, ascending.
    pub extensions: Vec<Extension>,
}

impl RoomConfig {
    /// The defaults at these rates: two snapshots and a half of interpolation delay, a ping and a digest a second,
    /// a peer gone after five seconds of silence or ten without an ack.
    pub fn new(tick_rate: TickRate, snapshot_hz: u32) -> Self {
        let snapshot_hz = snapshot_hz.clamp(1, tick_rate.hz());
        Self {
            tick_rate,
            snapshot_hz,
            players_max: 64,
            delta: true,
            coder: Coder::default(),
            prior: Prior::default_prior(),
            interest: Interest::everything(),
            priority: Priority::default(),
            budget: Some(BUDGET_BYTES_PER_SECOND),
            join_rate: Some(JOIN_BYTES_PER_SECOND),
            hold_back: true,
            missing_input: MissingInput::Hold,
            rewind_max: Micros::from_millis(250),
            interpolation_delay: Micros(2_500_000 / u64::from(snapshot_hz)),
            ping_interval: Micros::from_secs(1),
            silence_timeout: Micros::from_secs(5),
            session_window: Micros::from_secs(120),
            stall_timeout: Micros::from_secs(10),
            digest_interval: Micros::from_secs(1),
            first_tick: Tick(1),
            extensions: Vec::new(),
        }
        .within_limits()
    }

    /// What every client will take.
    fn within_limits(mut self) -> Self {
        let longest = Micros(SILENCE_TIMEOUT_MICROS_MAX);
        self.snapshot_hz = self.snapshot_hz.clamp(1, self.tick_rate.hz());
        self.rewind_max = self.rewind_max.min(Micros(REWIND_MICROS_MAX));
        self.interpolation_delay = self.interpolation_delay.min(Micros(INTERPOLATION_DELAY_MICROS_MAX));
        self.ping_interval = self.ping_interval.clamp(Micros(PING_INTERVAL_MICROS_MIN), longest);
        self.silence_timeout = self.silence_timeout.clamp(self.ping_interval, longest);
        self.digest_interval = self.digest_interval.min(Micros(DIGEST_INTERVAL_MICROS_MAX));
        self
    }
}

/// Who a room is, beside its configuration.
#[derive(Clone, Debug)]
pub struct RoomIdentity {
    /// Its number.
    pub id: RoomId,
    /// Its name, at most 64 bytes.
    pub name: String,
    /// Where its chance comes from.
    pub seed: u64,
}

/// A connection that wants in.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// Lets the session go on over the next connection: so many bits of good chance. Nobody else may ever see it.
    pub token: ResumeToken,
    /// The session that it wants to go on, if it does.
    pub resume: Option<Resume>,
    /// What it is told of the session if that is a new one and it wanted no other to go on.
    pub fresh: FreshReason,
    /// As what.
    pub role: Role,
    /// What carries its frames.
    pub stream: StreamKind,
    /// Whether it wants to be sent the schema.
    pub wants_schema: bool,
    /// Whether it is to be sent the room's prior, because it lacks it.
    pub wants_prior: bool,
}

impl Join {
    /// The first connection of a session, by a client that has schema and prior. Its token is no secret: set another where
    /// sessions are to go on.
    pub fn new(role: Role, stream: StreamKind) -> Self {
        let token = ResumeToken([0; 16]);
        Self {
            token,
            resume: None,
            fresh: FreshReason::First,
            role,
            stream,
            wants_schema: false,
            wants_prior: false,
        }
    }
}

/// What [`Room::advance`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StepReport {
    /// Steps made, and steps given up because too many were due.
    pub due: Due,
    /// Whether anybody's snapshot fell due.
    pub snapshot_due: bool,
}

/// Something that the owner of the connections has to act on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoomEvent {
    /// The room has dropped this peer: its connection is to be closed with the fault's code and reason.
    PeerDropped {
        /// Which.
        peer: PeerId,
        /// Why.
        fault: PeerFault,
    },
    /// A session is over: its client has left, or has not come back in time.
    SessionEnded {
        /// Which.
        session: SessionId,
    },
}

/// One match.
pub struct Room {
    identity: RoomIdentity,
    config: RoomConfig,
    schema: Arc<Schema>,
    packed_schema: Option<PackedSchema>,
    world: World,
    history: History,
    scene: Scene,
    codec: Codec,
    cues: CueLog,
    schedule: Schedule,
    steps: u64,
    /// The latest time that it was told.
    now: Micros,
    peers: BTreeMap<PeerId, Peer>,
    /// Connected or absent.
    sessions: BTreeMap<SessionId, Session>,
    players: BTreeMap<PlayerId, SessionId>,
    /// There are so many that their snapshots fall due at different steps.
    is_spread: bool,
    next_id: u32,
    inputs: PlayerInputs,
    rewind: Rewind,
    /// Players whose sessions ended since the last step.
    left: Vec<PlayerId>,
    /// Whose message was polled last.
    mail_turn: PlayerId,
    events: Vec<RoomEvent>,
    shared: Shared,
    input_frame: InputFrame,
    message: Vec<u8>,
    recording: Option<RoomRecording>,
}

impl Room {
    /// Opens a room and makes its first step at once.
    pub fn new(
        identity: RoomIdentity,
        config: RoomConfig,
        simulation: Box<dyn Simulation>,
        now: Micros,
    ) -> Self {
        let config = config.within_limits();
        let schema = simulation.schema().clone();
        let (tick_rate, first_tick) = (config.tick_rate, config.first_tick);
        let world = World::new(simulation, WorldConfig { seed: identity.seed, tick_rate, first_tick });
        let history = History::new(schema.clone(), tick_rate);
        let mut room = Self {
            identity,
            world,
            history: if config.hold_back { history } else { history.without_holding_back() },
            codec: Codec::with(schema.clone(), tick_rate, config.coder, config.prior.clone()),
            cues: CueLog::new(tick_rate),
            scene: Scene::default(),
            schedule: Schedule::new(tick_rate, now),
            inputs: PlayerInputs::new(schema.clone()),
            rewind: Rewind::new(schema.clone()),
            schema,
            config,
            packed_schema: None,
            steps: 0,
            now,
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            players: BTreeMap::new(),
            is_spread: false,
            next_id: 1,
            left: Vec::new(),
            mail_turn: PlayerId(0),
            events: Vec::new(),
            shared: Shared::default(),
            input_frame: InputFrame::new(),
            message: Vec::new(),
            recording: None,
        };
        room.advance(now);
        room
    }

    /// Who it is.
    pub fn identity(&self) -> &RoomIdentity {
        &self.identity
    }

    /// How it runs.
    pub fn config(&self) -> &RoomConfig {
        &self.config
    }

    /// The newest tick that was stepped.
    pub fn tick(&self) -> Tick {
        self.world.tick()
    }

    /// The world's rows after the newest step, as simulated.
    pub fn tables(&self) -> &Tables {
        self.world.tables()
    }

    /// What was published lately.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Peers, spectators among them.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Players, those whose connection is lost for the moment among them.
    pub fn player_count(&self) -> u32 {
        self.players.len() as u32
    }

    /// What became of a peer's inputs.
    pub fn input_counters(&self, peer: PeerId) -> Option<InputCounters> {
        Some(self.session_of(peer)?.player.as_ref().map(|player| player.inputs.counters).unwrap_or_default())
    }

    /// What became of the views that a peer's client told.
    pub fn view_counters(&self, peer: PeerId) -> Option<ViewCounters> {
        Some(self.session_of(peer)?.player.as_ref().map(|player| player.view.counters).unwrap_or_default())
    }

    /// What the newest step emitted.
    pub fn cues(&self) -> &[Cue] {
        self.world.cues()
    }

    /// How fresh a peer's picture is, and what holds it back.
    pub fn peer_stats(&self, now: Micros, peer: PeerId) -> Option<PeerStats> {
        let peer = self.peers.get(&peer)?;
        let age_of = |held: Tick| {
            let ticks = self.world.tick().since(held).max(0);
            now.saturating_since(self.schedule.last_due()) + self.config.tick_rate.due(ticks as u64)
        };
        Some(PeerStats { snapshot_age: peer.replicator.held().newest().map(age_of), ..peer.stats(now) })
    }

    /// Sessions, connected or absent.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The session of a peer.
    pub fn session(&self, peer: PeerId) -> Option<SessionId> {
        Some(self.peers.get(&peer)?.session)
    }

    fn session_of(&self, peer: PeerId) -> Option<&Session> {
        self.sessions.get(&self.peers.get(&peer)?.session)
    }

    /// Lets a connection in; its welcome comes with its first transmission. A session that goes on keeps its player; a
    /// connection that it still had is [dropped](RoomEvent::PeerDropped).
    pub fn join(&mut self, now: Micros, join: Join) -> Result<PeerId, RejectReason> {
        let peer = PeerId(self.next_id);
        let resumed = join
            .resume
            .map(|resume| (resume.session, self.resume_session(peer, join.stream, &resume, join.token)));
        let (session, outcome) = match resumed {
            Some((session, Ok(outcome))) => (session, outcome),
            Some((_, Err(reason))) => (self.begin(peer, &join)?, SessionOutcome::Fresh(reason)),
            None => (self.begin(peer, &join)?, SessionOutcome::Fresh(join.fresh)),
        };
        self.next_id = self.next_id.wrapping_add(1);
        let Some(begun) = self.sessions.get(&session) else { return Err(RejectReason::NoSuchRoom) };
        let viewer = Viewer { player: begun.player_id(), delta: self.config.delta };
        let terms = begun.terms(outcome, self.config.session_window);
        let replicator = Replicator::new(join.stream, viewer, self.cues.next_index());
        let mut connection = Peer::new(join.stream, begun, replicator, &self.config, now);
        let mut welcome = self.welcome(&join, session, peer, viewer.player);
        welcome.extensions.insert(0, terms.extension());
        connection.welcome = Some(Box::new(welcome));
        connection.phase = u64::from(peer.0 % (self.config.tick_rate.hz() / self.config.snapshot_hz));
        self.peers.insert(peer, connection);
        self.note_peers();
        Ok(peer)
    }

    /// A new session.
    fn begin(&mut self, peer: PeerId, join: &Join) -> Result<SessionId, RejectReason> {
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
        self.sessions.insert(id, Session::new(id, join.token, peer, join.stream, player, &self.schema));
        Ok(id)
    }

    /// Lets a session go on over this connection, and drops the one that it still had.
    fn resume_session(
        &mut self,
        peer: PeerId,
        stream: StreamKind,
        resume: &Resume,
        token: ResumeToken,
    ) -> Result<SessionOutcome, FreshReason> {
        let session = self.sessions.get_mut(&resume.session).ok_or(FreshReason::Unknown)?;
        let before = session.peer();
        let outcome = session.resume(peer, stream, resume, token);
        if outcome.is_ok()
            && let Some(player) = &mut session.player
        {
            player.inputs.restart(self.schema.input());
        }
        match outcome {
            // Whoever has the token and claims what cannot be has lost its way: a new session takes the place of this one.
            Err(FreshReason::Inconsistent) => self.end(resume.session),
            Err(reason) => return Err(reason),
            Ok(_) => {}
        }
        if let Some(before) = before {
            self.peers.remove(&before);
            self.events.push(RoomEvent::PeerDropped { peer: before, fault: PeerFault::TakenOver });
        }
        outcome
    }

    /// Whether a session would go on: [`Room::join`] begins another one here if not.
    pub fn check_resume(&self, resume: &Resume) -> Result<(), FreshReason> {
        self.sessions.get(&resume.session).ok_or(FreshReason::Unknown)?.check(resume)
    }

    /// A client has said goodbye: its session is over. Its player's entity is the simulation's to take away.
    pub fn leave(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.remove(&peer) {
            self.note_peers();
            self.end(peer.session);
        }
    }

    /// A connection was lost. Its session waits for its client to come back, as long as the room's configuration says.
    pub fn disconnect(&mut self, now: Micros, peer: PeerId) {
        if self.config.session_window == Micros::ZERO {
            return self.leave(peer);
        }
        let Some(peer) = self.peers.remove(&peer) else { return };
        self.note_peers();
        match self.sessions.get_mut(&peer.session) {
            Some(session) if session.is_known() => session.whereabouts = Whereabouts::AbsentSince(now),
            // A client that never spoke behind its welcome has no token to come back with.
            _ => self.end(peer.session),
        }
    }

    fn end(&mut self, session: SessionId) {
        self.events.push(RoomEvent::SessionEnded { session });
        let Some(player) = self.sessions.remove(&session).and_then(|session| session.player) else { return };
        self.players.remove(&player.id);
        if player.is_announced {
            self.left.push(player.id);
        }
    }

    /// Ends the sessions whose clients have not come back in time.
    fn give_up_absent(&mut self, now: Micros) {
        let window = self.config.session_window;
        let is_over = |session: &&Session| session.is_given_up(now, window);
        while let Some(session) = self.sessions.values().find(is_over).map(|session| session.id) {
            self.end(session);
        }
    }

    /// From where a peer looks, for the room's [`Interest`]: for spectators, and for players whose eyes are not where their
    /// body is. With `None`, from its body again. A peer that is not here is passed over.
    pub fn set_focus(&mut self, peer: PeerId, focus: Option<Vec3>) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.replicator.set_focus(focus);
        }
    }

    /// Where to a peer looks, of any length: what lies ahead of it goes first where not all fits its budget. With `None` nobody knows. A
    /// peer that is not here is passed over.
    pub fn set_facing(&mut self, peer: PeerId, facing: Option<Vec3>) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.replicator.set_facing(facing);
        }
    }

    /// Takes in one transport message of a peer, stamped with its arrival. After an error the peer has left; its
    /// connection is to be closed with the fault's code and reason.
    pub fn handle_message(&mut self, now: Micros, id: PeerId, message: Bytes) -> Result<(), PeerFault> {
        let next_tick = self.world.tick() + 1;
        self.now = self.now.max(now);
        let RoomConfig { budget, snapshot_hz, .. } = self.config;
        let inbox = Inbox { now, input_kind: self.schema.input(), next_tick, budget, snapshot_hz };
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(&peer.session) else { return Ok(()) };
        let result = peer.handle_message(inbox, session, message, &mut self.input_frame);
        if result.is_err() {
            self.leave(id);
        }
        result
    }

    /// When the next step is due.
    pub fn poll_timeout(&self) -> Micros {
        self.schedule.next_due()
    }

    /// Lets the room go on at `now` after its owner let its time stand still, as while nobody was in it: what was not
    /// stepped since then is not due any more.
    pub fn resume(&mut self, now: Micros) {
        self.schedule.resume(now);
    }

    /// Makes the steps that are due, at most a few at once. Early or repeated calls do nothing.
    ///
    /// # Panics
    /// If the simulation does. The room is of no use afterwards.
    pub fn advance(&mut self, now: Micros) -> StepReport {
        self.now = self.now.max(now);
        let due = self.schedule.take_due(now);
        let mut snapshot_due = false;
        for _ in 0..due.steps {
            self.step(now);
            snapshot_due |= self.find_due(now);
        }
        if due.steps > 0 {
            self.drop_dead_peers(now);
            self.give_up_absent(now);
        }
        StepReport { due, snapshot_due }
    }

    /// Whether a peer has something to be sent, as of the last call that was told the time: then [`Room::poll_transmit`] is worth its
    /// call.
    pub fn has_transmit(&self, peer: PeerId) -> bool {
        let has_messages = || self.session_of(peer).is_some_and(Session::has_transmit);
        self.peers.get(&peer).is_some_and(|peer| peer.has_transmit(self.now) || has_messages())
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
        if !is_alone
            && let Some(session) = self.peers.get(&id).and_then(|peer| self.sessions.get_mut(&peer.session))
        {
            session.write_messages(now, &mut self.message);
        }
        if !self.message.is_empty() {
            send(&self.message);
        }
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
        let feedback = self.sessions.get_mut(&peer.session).and_then(Session::take_feedback);
        match peer.stream {
            StreamKind::Ordered => {
                let with_digest = config.digest_interval > Micros::ZERO && peer.take_digest(config, now);
                let riders = message.len();
                space.bytes =
                    space.bytes.saturating_sub(riders + websocket_header_bytes(riders + space.bytes));
                let replicator = &mut peer.replicator;
                let told = replicator.write_ordered(&source, shared, &space, feedback, with_digest, message);
                peer.handle_sent(now, &told, riders + websocket_header_bytes(message.len()));
            }
            StreamKind::Datagram => {
                if !message.is_empty() {
                    send(message);
                    message.clear();
                }
                let told = peer.replicator.write_datagrams(&source, shared, &space, feedback, send);
                peer.handle_sent(now, &told, 0);
            }
        }
    }

    /// Records from the next step on, `hz` ticks a second, or as many as there are snapshots. The owner of the room takes
    /// the bytes away with [`Room::take_recorded`] after each [`Room::advance`].
    pub fn start_recording(&mut self, hz: Option<u32>) -> io::Result<()> {
        let tick_rate = self.config.tick_rate;
        let hz = hz.unwrap_or(self.config.snapshot_hz).clamp(1, tick_rate.hz());
        let mut header = RecordingHeader::of(&self.codec, tick_rate, hz);
        header.seed = self.identity.seed;
        self.recording = Some(RoomRecording::new(&header, self.codec.clone())?);
        Ok(())
    }

    /// Swaps what was recorded since the last call for `spare`, which is to be empty. Nothing if the room is not
    /// recorded; after an error it is no longer.
    pub fn take_recorded(&mut self, spare: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        let Some(recording) = &mut self.recording else { return Ok(None) };
        let taken = recording.take(spare);
        if taken.is_err() {
            self.recording = None;
        }
        taken.map(Some)
    }

    /// Ends the recording, if there is one; its last bytes.
    pub fn finish_recording(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.recording.take().map(RoomRecording::finish).transpose()
    }

    /// Records no more; what was not taken away is lost.
    pub fn stop_recording(&mut self) {
        self.recording = None;
    }

    /// What the owner of the connections has to act on.
    pub fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events.pop()
    }

    fn step(&mut self, now: Micros) {
        let tick = self.world.tick() + 1;
        self.inputs.clear();
        self.left.drain(..).for_each(|player| self.inputs.leave(player));
        self.rewind.clear();
        for (&id, session) in &self.players {
            let Some(session) = self.sessions.get_mut(session) else { continue };
            let peer = session.peer().and_then(|peer| self.peers.get_key_value(&peer));
            let Some(player) = &mut session.player else { continue };
            if let Some((&peer, connection)) = peer
                && let Some(moment) = player.view.take(tick)
            {
                let replicator = &connection.replicator;
                let (held, teams) = (*replicator.held(), replicator.own_teams());
                self.rewind.push(Look { player: id, peer, moment, held, teams });
            }
            let is_new = !core::mem::replace(&mut player.is_announced, true);
            let mut row = if is_new { self.inputs.join(id) } else { self.inputs.insert(id) };
            if peer.is_some() {
                row.copy_from(player.inputs.take(self.schema.input(), tick));
            }
        }
        self.step_world(now);
        self.history.publish(tick, self.world.tables());
        self.cues.extend(tick, self.world.cues());
        self.peers.values_mut().for_each(Peer::handle_step);
        self.steps += 1;
        if let Some(recording) = &mut self.recording {
            let world = &self.world;
            recording.step(&Stepped {
                steps: self.steps,
                inputs: &self.inputs,
                cues: world.cues(),
                history: &self.history,
                payload_of: &|entity| world.payload(entity).cloned(),
            });
        }
    }

    /// Steps the world, with what players see and say.
    fn step_world(&mut self, now: Micros) {
        let (peers, is_everything) = (&self.peers, self.config.interest.is_everything());
        let was_shown = |peer: PeerId, id: EntityId, tick: Tick| {
            let peer = peers.get(&peer);
            is_everything || peer.is_some_and(|peer| peer.replicator.sightings().was_shown(id, tick))
        };
        let mut eyes =
            RewoundEyes { rewind: &mut self.rewind, history: &self.history, was_shown: &was_shown };
        let (players, sessions) = (&self.players, &mut self.sessions);
        let mut mail = RoomMail { now, players, sessions, turn: &mut self.mail_turn };
        self.world.step_with(&self.inputs, Outside { eyes: Some(&mut eyes), mail: Some(&mut mail) });
    }

    /// Whose snapshots fall due with the step that was made: everybody's at once, so that bodies are shared, or in a large room those
    /// of a part of the peers at each step. Whether anybody's did.
    fn find_due(&mut self, now: Micros) -> bool {
        let (hz, tick_hz) = (self.config.snapshot_hz, self.config.tick_rate.hz());
        let is_spread = self.is_spread;
        let is_due = |phase: u64| is_turn(self.steps + if is_spread { phase } else { 0 }, hz, tick_hz);
        let mut is_any = is_due(0);
        for peer in self.peers.values_mut().filter(|peer| is_due(peer.phase)) {
            peer.handle_due(now);
            is_any = true;
        }
        if is_any {
            self.rewind.handle_due(self.world.tick());
        }
        is_any
    }

    /// A peer has come or gone.
    fn note_peers(&mut self) {
        self.is_spread = match self.peers.len() {
            ..=IN_STEP_PEERS => false,
            SPREAD_PEERS.. => true,
            _ => self.is_spread,
        };
    }

    /// Lets those go who say nothing, or take nothing.
    fn drop_dead_peers(&mut self, now: Micros) {
        let (silence, stall) = (self.config.silence_timeout, self.config.stall_timeout);
        let first = self.events.len();
        for (&peer, state) in &self.peers {
            let fault = if now.saturating_since(state.last_heard) > silence {
                PeerFault::Silent
            } else if state.stalled_for(now) > stall {
                PeerFault::Stalled
            } else {
                continue;
            };
            self.events.push(RoomEvent::PeerDropped { peer, fault });
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

/// Bytes of the header that a WebSocket puts before a message to a client (RFC 6455, section 5.2).
const fn websocket_header_bytes(message_bytes: usize) -> usize {
    match message_bytes {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    }
}
