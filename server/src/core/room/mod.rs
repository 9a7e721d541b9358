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

mod broadcast;
mod bulk;
mod config;
mod end;
mod join;
mod transmit;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::history::History;
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::recording::RecordingHeader;
use tickwire_protocol::snapshot::Codec;
use tickwire_protocol::{
    CloseCode, Cue, EntityId, Micros, PeerFault, PeerId, PlayerId, RoomId, Schema, SessionId, Tables, Tick,
};
use tickwire_sim::{
    Dismissals, Groups, MatchBoard, Outside, PlayerInputs, RemovalReason, Simulation, World, WorldConfig,
};

pub use config::{BUDGET_BYTES_PER_SECOND, JOIN_BYTES_PER_SECOND, RoomConfig};
pub use join::{Join, schema_welcome};

use super::belief::ViewCounters;
use super::broadcast::Broadcasts;
use super::bulk::BulkTurn;
use super::cue_log::CueLog;
use super::ears::Ears;
use super::identity::{Identity, RoomAccounts};
use super::input_queue::InputCounters;
use super::mail::RoomMail;
use super::members::Members;
use super::outcomes::Outcomes;
use super::peer::{Inbox, Peer};
use super::peer_stats::{PeerStats, Skipped};
use super::recording::{RoomRecording, Stepped, is_turn};
use super::rewind::{Look, Rewind, RewoundEyes};
use super::scene::Scene;
use super::schedule::{Due, Schedule};
use super::session::Session;
use super::shared::Shared;
use super::turn::Turns;

/// From so many peers on, their snapshots fall due at different steps: what is lost of shared bytes is less than what a tick that serves all
/// of them at once is late.
const SPREAD_PEERS: usize = 129;
/// With so many or fewer they are due together again. In between it stays as it is: each change shifts what is due once.
const IN_STEP_PEERS: usize = 96;

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

/// What [`Room::advance`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StepReport {
    /// Steps made, and steps given up because too many were due.
    pub due: Due,
    /// Whether anybody's snapshot fell due.
    pub snapshot_due: bool,
}

/// Something that the owner of the connections has to act on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RoomEvent {
    /// The room has dropped this peer: its connection is to be closed with the fault's code and reason.
    PeerDropped {
        /// Which.
        peer: PeerId,
        /// Why.
        fault: PeerFault,
    },
    /// The game lets this peer go, or has [ended](Room::is_over) the room: its connection is to be closed with this code and reason, which its
    /// client is told.
    PeerDismissed {
        /// Which.
        peer: PeerId,
        /// [`CloseCode::REMOVED`] or [`CloseCode::ROOM_ENDED`].
        code: CloseCode,
        /// Why, in the game's words.
        reason: RemovalReason,
    },
    /// A peer has brought a newer token: [`Room::take_token`] has it. The room is to be told what was found of it, with
    /// [`Room::handle_checked`].
    TokenCame {
        /// Which.
        peer: PeerId,
    },
    /// A session is over: its client has left, was let go, or has not come back in time.
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
    world: World,
    history: History,
    scene: Scene,
    codec: Codec,
    cues: CueLog,
    schedule: Schedule,
    steps: u64,
    /// Snapshots of all who were here, since the room was opened.
    skipped: Skipped,
    /// The latest time that it was told.
    now: Micros,
    /// In boxes, like the sessions: half of a tree's places are empty.
    peers: BTreeMap<PeerId, Box<Peer>>,
    /// Connected or absent.
    sessions: BTreeMap<SessionId, Box<Session>>,
    players: BTreeMap<PlayerId, SessionId>,
    /// Who they are, session by session.
    identities: BTreeMap<SessionId, Identity>,
    members: Members,
    match_state: MatchBoard,
    groups: Groups,
    /// There are so many that their snapshots fall due at different steps.
    is_spread: bool,
    next_id: u32,
    inputs: PlayerInputs,
    rewind: Rewind,
    /// Players whose sessions ended since the last step.
    left: Vec<PlayerId>,
    /// What the last step wants to become of its players and its room.
    dismissals: Dismissals,
    /// The game has ended it.
    is_over: bool,
    mail_turns: Turns,
    bulk_turn: BulkTurn,
    outcomes: Outcomes,
    broadcasts: Broadcasts,
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
        let codec = config.codec(simulation.schema().clone());
        Self::with_codec(identity, config, codec, simulation, now)
    }

    /// The same with a codec of [`RoomConfig::codec`]. Its clones share hundreds of kilobytes, so rooms that are alike are better opened
    /// with one.
    ///
    /// # Panics
    /// If the codec is for another schema than the simulation's.
    pub fn with_codec(
        identity: RoomIdentity,
        config: RoomConfig,
        codec: Codec,
        simulation: Box<dyn Simulation>,
        now: Micros,
    ) -> Self {
        let config = config.within_limits();
        let schema = simulation.schema().clone();
        assert_eq!(codec.schema().hash(), schema.hash(), "the codec is for the simulation's schema");
        let (tick_rate, first_tick) = (config.tick_rate, config.first_tick);
        let mut match_state = MatchBoard::default();
        let _ = match_state.set_info(config.match_info.clone());
        let world = World::new(simulation, WorldConfig { seed: identity.seed, tick_rate, first_tick });
        let history = History::new(schema.clone(), tick_rate).thinned_after(Rewind::reach(&config));
        let mut room = Self {
            identity,
            world,
            history: if config.hold_back { history } else { history.without_holding_back() },
            codec,
            cues: CueLog::new(tick_rate),
            scene: Scene::default(),
            schedule: Schedule::new(tick_rate, now),
            inputs: PlayerInputs::new(schema.clone()),
            rewind: Rewind::new(schema.clone()),
            schema,
            config,
            steps: 0,
            skipped: Skipped::default(),
            now,
            peers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            players: BTreeMap::new(),
            identities: BTreeMap::new(),
            members: Members::new(),
            match_state,
            groups: Groups::default(),
            is_spread: false,
            next_id: 1,
            left: Vec::new(),
            dismissals: Dismissals::default(),
            is_over: false,
            mail_turns: Turns::default(),
            bulk_turn: BulkTurn::default(),
            outcomes: Outcomes::default(),
            broadcasts: Broadcasts::default(),
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

    /// How the match stands, as the simulation says.
    pub fn match_state(&self) -> &MatchBoard {
        &self.match_state
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

    /// Snapshots that were due to whoever was here and gave way to later ones, since the room was opened.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// How fresh a peer's picture is, and what holds it back.
    pub fn peer_stats(&self, now: Micros, peer: PeerId) -> Option<PeerStats> {
        let peer = self.peers.get(&peer)?;
        let age_of = |held: Tick| {
            let ticks = self.world.tick().since(held).max(0);
            now.saturating_since(self.schedule.last_due()) + self.config.tick_rate.due(ticks as u64)
        };
        let held = peer.replicator.held().newest().filter(|_| !peer.is_paused());
        Some(PeerStats { snapshot_age: held.map(age_of), ..peer.stats(now) })
    }

    /// From where a peer looks, for the room's [`Interest`](crate::core::Interest): for spectators, and for players whose eyes are not where their
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
        let RoomConfig { budget, join_rate, snapshot_hz, .. } = self.config;
        let inbox = Inbox { now, schema: &self.schema, next_tick, budget, snapshot_hz, join_rate };
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(&peer.session) else { return Ok(()) };
        let had_token = peer.renewal.has_come();
        let result = peer.handle_message(inbox, session, message, &mut self.input_frame);
        if let (Some(profile), Some(player)) = (peer.profile.take(), session.player_id()) {
            self.members.wish(player, profile);
        }
        match result {
            Ok(()) if peer.renewal.has_come() && !had_token => {
                self.events.push(RoomEvent::TokenCame { peer: id });
            }
            Ok(()) => {}
            Err(_) => self.remove(id),
        }
        result
    }

    /// Part of a message of a peer has come: who says something long over a slow way lives. It says nothing yet. A peer that is not here is
    /// passed over.
    pub fn handle_part(&mut self, now: Micros, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.last_heard = peer.last_heard.max(now);
        }
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

    /// Makes the steps that are due, at most a few at once. Early or repeated calls do nothing, nor does any once the room [is over](Room::is_over).
    ///
    /// # Panics
    /// If the simulation does. The room is of no use afterwards.
    pub fn advance(&mut self, now: Micros) -> StepReport {
        self.now = self.now.max(now);
        let due = self.schedule.take_due(now);
        let mut snapshot_due = false;
        for _ in 0..due.steps {
            self.carry_out_dismissals();
            if self.is_over {
                break;
            }
            self.step(now);
            snapshot_due |= self.find_due(now);
        }
        if self.peers.is_empty() {
            // Nobody is there to be told anything first, and the owner of an empty room may let its time stand still.
            self.carry_out_dismissals();
        }
        if due.steps > 0 {
            self.drop_dead_peers(now);
            self.give_up_absent(now);
        }
        StepReport { due, snapshot_due }
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
        // Sessions have the numbers of their players: these come in ascending order as well.
        for session in self.sessions.values_mut() {
            let peer = session.present_peer().and_then(|peer| self.peers.get_key_value(&peer));
            let Some(player) = &mut session.player else { continue };
            let id = player.id;
            if peer.is_none() && self.config.absence.step(player, &mut self.inputs) {
                if !player.is_announced {
                    // To the game it has left, and what that has asked it with it.
                    session.requests.abandon(now, &mut session.outbox);
                }
                continue;
            }
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
        self.members.grant(now);
        self.step_world(now);
        self.history.publish(tick, self.world.tables());
        self.cues.extend(tick, self.world.cues());
        self.peers.values_mut().for_each(|peer| peer.handle_step());
        self.steps += 1;
        if let Some(recording) = &mut self.recording {
            let world = &self.world;
            let is_recorded = recording.step(&Stepped {
                steps: self.steps,
                inputs: &self.inputs,
                cues: world.cues(),
                history: &self.history,
                payload_of: &|entity| world.payload(entity).cloned(),
            });
            if is_recorded {
                self.history.keep_newest();
            }
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
        let (turns, outcomes, bulk) = (&mut self.mail_turns, &mut self.outcomes, &mut self.bulk_turn);
        let ears = Ears {
            identities: &self.identities,
            peers,
            history: &self.history,
            interest: &self.config.interest,
            scene: &mut self.scene,
        };
        let (schema, groups, broadcasts) = (&self.schema, &mut self.groups, &mut self.broadcasts);
        let mut mail =
            RoomMail { now, schema, players, sessions, turns, outcomes, broadcasts, bulk, groups, ears };
        let accounts = RoomAccounts { room: &self.identity.name, players, identities: &self.identities };
        let outside = Outside {
            eyes: Some(&mut eyes),
            mail: Some(&mut mail),
            accounts: Some(&accounts),
            roster: Some(&self.members),
            match_state: Some(&mut self.match_state),
            dismissals: Some(&mut self.dismissals),
        };
        self.world.step_with(&self.inputs, outside);
        self.bulk_turn.handle_step();
        self.outcomes.handle_step();
        self.mail_turns.handle_step();
    }

    /// Whose snapshots fall due with the step that was made: everybody's at once, so that bodies are shared, or in a large room those
    /// of a part of the peers at each step. Whether anybody's did.
    fn find_due(&mut self, now: Micros) -> bool {
        let (hz, tick_hz) = (self.config.snapshot_hz, self.config.tick_rate.hz());
        let is_turn_of = |phase: u64| is_turn(self.steps + phase, hz, tick_hz);
        let (is_spread, mut is_any) = (self.is_spread, is_turn_of(0));
        if !is_spread && !is_any {
            return false;
        }
        for peer in self.peers.values_mut().filter(|peer| !is_spread || is_turn_of(peer.phase)) {
            self.skipped += peer.handle_due(now);
            is_any = true;
        }
        if is_any {
            self.rewind.handle_due(self.world.tick());
            self.history.keep_newest();
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
        if self.peers.is_empty() {
            // An empty room may sleep for long: it keeps no memory for what nobody is shown.
            (self.shared, self.scene) = Default::default();
        }
    }
}
