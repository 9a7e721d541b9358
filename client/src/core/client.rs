//! The client: one session in one room, from hello to goodbye.
//!
//! ```text
//!            welcome               lost               it is time
//!   Hello ───────────> Playing ─────────> Waiting ───────────────> Hello with the session's token ──> ...
//!     │ refused          │ goodbye, or nothing to come back for      │ too often
//!     └─────────> Closed <───────────────────────────────────────────┘
//! ```

use core::fmt;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::{Frame, FrameType, frames};
use tickwire_protocol::handshake::{FreshReason, RejectReason, Role, SessionOutcome, StreamKind, Welcome};
use tickwire_protocol::limits::CLIENT_MESSAGE_BYTES_MAX;
use tickwire_protocol::message::{MessageAck, MessageId, MessageTypeId, SendError};
use tickwire_protocol::room::Profile;
use tickwire_protocol::snapshot::Prior;
use tickwire_protocol::{EntityId, KindId, Micros, RowMut, RowRef, Schema, Tick};
use tickwire_sim::Simulation;

use super::clock::Clock;
use super::config::ClientConfig;
use super::continuity::Continuity;
use super::event::{ClientFault, DisconnectReason, Event};
use super::members::Members;
use super::reconnect::Attempts;
use super::session::{OwnEntity, Session};
use super::stats::ClientStats;
use super::timekeeper::Timekeeper;
use super::view::{Moment, View, Whose};

/// A connection that lasted for so long was good: attempts are counted anew after it. One that is welcomed and ends at once is another
/// failure.
const LASTING: Micros = Micros::from_secs(5);

/// One session in one room, over one connection after another if need be. Does no I/O and reads no clock: bytes and time are
/// handed in and taken out.
///
/// * `handle_*` takes in what came from the transport;
/// * [`due_input_tick`](Client::due_input_tick) and [`push_input`](Client::push_input) take in what the player wants;
/// * `poll_*` gives out what is to be sent, told and waited for;
/// * [`view`](Client::view) and [`own`](Client::own) show the world.
///
/// Every `now` is on one clock of the caller's, which does not go back. Polls only take out what is ready: at the same
/// `now`, extra polls or another order of them change nothing.
pub struct Client {
    config: ClientConfig,
    schema: Arc<Schema>,
    state: State,
    /// What is to be told whatever the view shows.
    events: VecDeque<Event>,
    /// What the session is to predict with, until there is one.
    simulation: Option<Box<dyn Simulation>>,
    continuity: Continuity,
    members: Members,
    /// The server knows what this member calls itself.
    is_profile_told: bool,
    attempts: Attempts,
    /// When the connection of now was welcomed.
    welcomed: Micros,
    /// What it wants to be sent of snapshots, bytes a second.
    budget: Option<u32>,
    stats: ClientStats,
}

#[derive(Debug)]
enum State {
    /// The hello is to be sent, or was and waits for its answer.
    Hello { since: Micros, asked: Option<Micros>, before: Option<Box<Session>> },
    /// Welcomed.
    Playing(Box<Session>),
    /// The connection was lost, and is to be tried anew then; what was last seen can still be seen.
    Waiting { until: Micros, before: Option<Box<Session>>, reason: DisconnectReason },
    /// Over; what was last seen can still be seen. No reason if it was rejected.
    Closed { session: Option<Box<Session>>, reason: Option<DisconnectReason> },
}

impl Client {
    /// A client that is about to say hello. `schema` must be the one that the server's game has.
    pub fn new(config: ClientConfig, schema: Arc<Schema>, now: Micros) -> Self {
        Self {
            state: State::Hello { since: now, asked: None, before: None },
            events: VecDeque::new(),
            simulation: None,
            continuity: Continuity::new(&schema),
            members: Members::default(),
            is_profile_told: true,
            attempts: Attempts::new(config.reconnect, config.seed),
            welcomed: now,
            budget: None,
            config,
            schema,
            stats: ClientStats::default(),
        }
    }

    /// Predicts the player's own entities with this instance of the game, so that an input shows its effect in the next picture
    /// instead of a round trip later: see [`Client::predicted`]. Before the welcome or after it; nothing happens where there is no
    /// player.
    ///
    /// The simulation steps a [partial world](tickwire_sim::World::partial), and what a server says goes into it within the bounds
    /// of the schema: it must keep the [contract](Simulation), for a panic of its step is a panic of
    /// [`Client::push_input`] and [`Client::handle_message`].
    ///
    /// # Panics
    /// If it is of another schema than the client.
    pub fn predict(&mut self, simulation: Box<dyn Simulation>) {
        assert!(
            simulation.schema().hash() == self.schema.hash(),
            "a client of `{}` cannot predict `{}`",
            self.schema.name(),
            simulation.schema().name()
        );
        match &mut self.state {
            State::Playing(session) => session.predict(simulation),
            State::Hello { .. } | State::Waiting { .. } => self.simulation = Some(simulation),
            State::Closed { .. } => {}
        }
    }

    /// From the next snapshot on these entities of others, at most 64, are part of the world that is predicted: who runs into one of
    /// them sees it at once. They go on as the game moves those without an input, and are set right with each snapshot that says
    /// otherwise, which costs a replay. Replaces those of the last call.
    ///
    /// Ask for those that the player may touch before the server's answer comes.
    pub fn predict_others(&mut self, ids: impl IntoIterator<Item = EntityId>) {
        if let State::Playing(session) = &mut self.state {
            session.predict_others(ids);
        }
    }

    /// Asks the server to send no more than this of snapshots, bytes a second, with what the transport puts around them: for a phone that
    /// saves data, or a picture that nobody looks at. It gives at least 1,000, and no more than the room's own budget; with `None` that.
    /// What is less important then comes less often. Told with the next [`Client::poll_transmit`].
    pub fn set_budget(&mut self, bytes_per_second: Option<u32>) {
        self.budget = bytes_per_second;
        if let State::Playing(session) = &mut self.state {
            session.set_budget(bytes_per_second);
        }
    }

    /// Calls itself otherwise from now on, in this room and those to come. The others are told at most once a second; of what changes
    /// more often they hear the newest. Told with the next [`Client::poll_transmit`]. A spectator is not a member: nothing is told of it.
    pub fn set_profile(&mut self, profile: Profile) {
        let is_player = self.config.role == Role::Player && self.config.stream == StreamKind::Ordered;
        self.is_profile_told &= profile == self.config.profile || !is_player;
        self.config.profile = profile;
    }

    // ---- in ----------------------------------------------------------------------------------------------------

    /// Takes in one message of the transport.
    ///
    /// A fault ends the connection, and [`Event::Disconnected`] will tell. The faulty frame and all behind it change
    /// nothing else.
    pub fn handle_message(&mut self, now: Micros, message: Bytes) -> Result<(), ClientFault> {
        self.stats.received_bytes += message.len() as u64;
        if let State::Playing(session) = &mut self.state {
            session.handle_life(now);
        }
        let result = self.handle_frames(now, message);
        if let Err(fault) = result {
            self.stats.decode_errors += u64::from(matches!(fault, ClientFault::Malformed(_)));
            self.handle_disconnect(now, DisconnectReason::Fault(fault));
        }
        result
    }

    fn handle_frames(&mut self, now: Micros, message: Bytes) -> Result<(), ClientFault> {
        for frame in frames(message) {
            let frame = match &self.state {
                State::Closed { .. } => return Ok(()),
                _ => frame?,
            };
            match &mut self.state {
                State::Hello { asked: Some(asked), .. } => {
                    let asked = *asked;
                    self.handle_answer(now, asked, &frame)?;
                }
                State::Hello { asked: None, .. } => return Err(ClientFault::Unexpected(frame.ty)),
                State::Playing(session) => match frame.ty {
                    FrameType::Members => self.members.handle_frame(&frame.payload)?,
                    FrameType::Message => self.continuity.inbox.handle_message(frame.payload)?,
                    FrameType::MessageAck => {
                        self.continuity.outbox.handle_ack(MessageAck::decode(&frame.payload)?)?;
                    }
                    _ => session.handle_frame(now, &frame, &mut self.stats)?,
                },
                // What was still on its way when the connection was given up.
                State::Waiting { .. } | State::Closed { .. } => return Ok(()),
            }
        }
        Ok(())
    }

    /// The answer to the hello.
    fn handle_answer(&mut self, now: Micros, asked: Micros, frame: &Frame) -> Result<(), ClientFault> {
        match frame.ty {
            FrameType::Welcome => self.handle_welcome(now, asked, Welcome::decode(&frame.payload)?)?,
            FrameType::Reject => {
                self.handle_reject(now, RejectReason::decode(&frame.payload)?);
            }
            _ => return Err(ClientFault::Unexpected(frame.ty)),
        }
        Ok(())
    }

    /// A server that is full or about to end may let in later who was there before.
    fn handle_reject(&mut self, now: Micros, reason: RejectReason) {
        let code = reason.close_code();
        if self.is_reconnecting() && code.may_pass() {
            let reason = reason.to_string();
            return self.handle_disconnect(now, DisconnectReason::Closed { code, reason });
        }
        let session = match &mut self.state {
            State::Hello { before, .. } => before.take(),
            _ => None,
        };
        self.state = State::Closed { session, reason: None };
        self.continuity.outbox.handle_end();
        self.events.push_back(Event::Rejected(reason));
    }

    fn handle_welcome(&mut self, now: Micros, asked: Micros, welcome: Welcome) -> Result<(), ClientFault> {
        let (session, player, room) = (welcome.session, welcome.player, welcome.room);
        let outcome = self.continuity.handle_welcome(&welcome)?;
        let mut begun = Session::new(&self.config, &self.schema, welcome, asked, now)?;
        let State::Hello { before, .. } = &mut self.state else { return Ok(()) };
        let before = before.take().and_then(|before| before.into_simulation());
        if let Some(simulation) = self.simulation.take().or(before) {
            begun.predict(simulation);
        }
        begun.set_budget(self.budget);
        self.state = State::Playing(Box::new(begun));
        self.welcomed = now;
        let outcome = outcome.unwrap_or(SessionOutcome::Fresh(FreshReason::First));
        if matches!(outcome, SessionOutcome::Fresh(_)) {
            self.members.clear();
        }
        self.events.push_back(Event::Connected { session, player, room, outcome });
        Ok(())
    }

    /// The connection is over, or the game leaves. Of several reasons the first is told.
    ///
    /// If the client is to [come back](ClientConfig::reconnect) and the reason [may pass](DisconnectReason::may_pass), it waits for
    /// [`Client::poll_connect`].
    pub fn handle_disconnect(&mut self, now: Micros, reason: DisconnectReason) {
        let nothing = State::Closed { session: None, reason: None };
        let (session, was_welcomed) = match core::mem::replace(&mut self.state, nothing) {
            State::Hello { before, .. } => {
                let was_welcomed = before.is_some();
                (before, was_welcomed)
            }
            State::Playing(session) => {
                if now.saturating_since(self.welcomed) >= LASTING {
                    self.attempts.reset();
                }
                (Some(session), true)
            }
            State::Waiting { before, .. } if reason == DisconnectReason::Left => (before, false),
            over @ (State::Waiting { .. } | State::Closed { .. }) => {
                self.state = over;
                return;
            }
        };
        let may_come_back = was_welcomed && reason.may_pass();
        let attempt = if may_come_back { self.attempts.next() } else { None };
        let Some(attempt) = attempt else {
            self.state = State::Closed { session, reason: Some(reason.clone()) };
            self.continuity.outbox.handle_end();
            self.events.push_back(Event::Disconnected(reason));
            return;
        };
        self.state = State::Waiting { until: now + attempt.wait, before: session, reason: reason.clone() };
        self.events.push_back(Event::Reconnecting {
            attempt: attempt.number,
            of: attempt.of,
            next_in: attempt.wait,
            reason,
        });
    }

    /// Whether another connection is to be opened now. Asked once for each: then either its messages are handed in, beginning with
    /// the answer to the hello that [`Client::poll_transmit`] gives, or [`Client::handle_disconnect`] says that it failed.
    pub fn poll_connect(&mut self, now: Micros) -> bool {
        let State::Waiting { until, before, .. } = &mut self.state else { return false };
        if now < *until {
            return false;
        }
        self.state = State::Hello { since: now, asked: None, before: before.take() };
        true
    }

    /// Tries a lost connection anew at once, as often as at first: the player asked for it, or the network is back. Nothing happens
    /// while there is a connection.
    pub fn reconnect(&mut self, now: Micros) {
        match &mut self.state {
            State::Waiting { until, .. } => *until = now,
            State::Closed { session, reason: Some(reason) } if reason.may_pass() => {
                let (before, reason) = (session.take(), reason.clone());
                self.state = State::Waiting { until: now, before, reason };
            }
            State::Hello { .. } | State::Playing(_) | State::Closed { .. } => return,
        }
        self.attempts.reset();
    }

    /// Sends a message of the schema. `key` tells [latest](tickwire_protocol::message::MessageClass::Latest) messages of one type
    /// apart; others pass it over. What is taken while there is no connection is written when there is one again;
    /// [`Event::Sent`] tells what became of it.
    ///
    /// # Errors
    /// Why it is not taken; nothing of it will arrive.
    pub fn send(
        &mut self,
        now: Micros,
        ty: MessageTypeId,
        key: u32,
        body: impl Into<Bytes>,
    ) -> Result<MessageId, SendError> {
        if self.config.stream == StreamKind::Datagram {
            return Err(SendError::NotOrdered);
        }
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        self.continuity.outbox.send(now, ty, key, body.into())
    }

    /// The tick for which the player's input is to be given now, if one is due: ask until none is.
    ///
    /// Inputs are given ahead of the server's time, so that they arrive just before their step. After a pause the ticks
    /// that came too late are left out.
    pub fn due_input_tick(&self, now: Micros) -> Option<Tick> {
        match &self.state {
            State::Playing(session) => session.due_input_tick(now),
            _ => None,
        }
    }

    /// Gives the player's input for a tick, usually the one that [`Client::due_input_tick`] names. `fill` gets a row of
    /// the schema's input with all fields at zero, or the bound nearest to it. What the view shows at `now` is told to the
    /// server, which judges shots by it. If the client [predicts](Client::predict), the tick is stepped.
    ///
    /// Decide first, then write: `fill` cannot look at the client, which is borrowed while it runs.
    ///
    /// ```
    /// # use tickwire_client::{Client, protocol::{FieldId, KindId, Micros}};
    /// # const BODY: KindId = KindId(0);
    /// # const POSITION: FieldId = FieldId(0);
    /// # const MOVE: FieldId = FieldId(0);
    /// # fn frame(client: &mut Client, now: Micros) {
    /// // One decision for all ticks that are due: nothing newer is known between them.
    /// let home = client.own_row(BODY).map_or(glam::Vec2::ZERO, |own| -own.vec2(POSITION));
    /// while let Some(tick) = client.due_input_tick(now) {
    ///     client.push_input(now, tick, |row| {
    ///         row.set_vec2(MOVE, home);
    ///     });
    /// }
    /// # }
    /// ```
    ///
    /// Does nothing where there is no player, or if the tick has its input already.
    pub fn push_input(&mut self, now: Micros, tick: Tick, fill: impl FnOnce(&mut RowMut<'_>)) {
        if let State::Playing(session) = &mut self.state {
            session.push_input(now, tick, fill, &mut self.stats);
        }
    }

    // ---- out ---------------------------------------------------------------------------------------------------

    /// Appends the frames that are ready to `out`, as one message; false if there are none. Ask again after sending.
    pub fn poll_transmit(&mut self, now: Micros, out: &mut Vec<u8>) -> bool {
        self.expire(now);
        let start = out.len();
        match &mut self.state {
            State::Hello { asked: asked @ None, .. } => {
                *asked = Some(now);
                let (resume, told) = (self.continuity.resume(), self.members.version());
                self.config.hello_for(&self.schema, resume, told).encode(out);
                self.is_profile_told = true;
            }
            State::Playing(session) => {
                session.poll_transmit(now, out, &mut self.stats);
                if !core::mem::replace(&mut self.is_profile_told, true) {
                    self.config.profile.encode(out);
                }
                if self.config.stream == StreamKind::Ordered {
                    let bytes_max = session.welcome().limits.message_bytes_max as usize;
                    self.continuity.write_messages(now, bytes_max.saturating_sub(out.len() - start), out);
                }
            }
            State::Hello { .. } | State::Waiting { .. } | State::Closed { .. } => {}
        }
        self.stats.sent_bytes += (out.len() - start) as u64;
        out.len() > start
    }

    /// The next thing to tell the game. Ask until there is none, for every picture that is drawn.
    pub fn poll_event(&mut self, now: Micros) -> Option<Event> {
        self.expire(now);
        // What belongs to a session comes before its end, and before the beginning of the next.
        let is_end = matches!(self.events.front(), Some(Event::Disconnected(_) | Event::Rejected(_)));
        let is_beginning = matches!(self.events.front(), Some(Event::Connected { .. }));
        let former = if is_beginning { self.continuity.inbox.poll_former() } else { None };
        if let Some(message) = former {
            return Some(Event::Message(message));
        }
        if !is_end && let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Some(event) = self.members.poll_event() {
            return Some(Event::Member(event));
        }
        if let Some((message, outcome)) = self.continuity.outbox.poll_outcome(now) {
            return Some(Event::Sent(message, outcome));
        }
        if let Some(message) = self.continuity.inbox.poll() {
            return Some(Event::Message(message));
        }
        match &mut self.state {
            State::Playing(session) => session.poll_event(now),
            _ if is_end => self.events.pop_front(),
            _ => None,
        }
    }

    /// When to call [`Client::poll_transmit`] at the latest if nothing else happens. Inputs have a time of their own,
    /// [`Client::input_timeout`]; events are for those who draw, and come with the pictures.
    pub fn poll_timeout(&self) -> Option<Micros> {
        match &self.state {
            State::Hello { since, asked: None, .. } => Some(*since),
            State::Hello { .. } => self.deadline(),
            State::Playing(session) if self.has_messages(session) || !self.is_profile_told => {
                Some(Micros::ZERO)
            }
            State::Playing(session) => Some(session.next_ping().min(session.silence_deadline())),
            State::Waiting { until, .. } => Some(*until),
            State::Closed { .. } => None,
        }
    }

    /// Whether messages can be written at once: a server that takes less than any message may have is no reason to try for ever.
    fn has_messages(&self, session: &Session) -> bool {
        let takes = session.welcome().limits.message_bytes_max as usize;
        self.config.stream == StreamKind::Ordered
            && takes >= CLIENT_MESSAGE_BYTES_MAX
            && self.continuity.has_transmit()
    }

    /// When the inputs for the next frame are complete, if [`Client::due_input_tick`] is asked then; nothing if there is
    /// no player, or if the server must be heard first.
    pub fn input_timeout(&self) -> Option<Micros> {
        match &self.state {
            State::Playing(session) => session.input_timeout(),
            _ => None,
        }
    }

    /// When the server counts as gone.
    fn deadline(&self) -> Option<Micros> {
        match &self.state {
            State::Hello { since, .. } => Some(*since + self.config.connect_timeout),
            State::Playing(session) => Some(session.silence_deadline()),
            State::Waiting { .. } | State::Closed { .. } => None,
        }
    }

    fn expire(&mut self, now: Micros) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            let is_playing = self.is_playing();
            let reason = if is_playing { DisconnectReason::Silent } else { DisconnectReason::NoWelcome };
            self.handle_disconnect(now, reason);
        }
    }

    /// Gives the client up for its knowledge of the server's time, where somebody goes on with the connection who reads no state;
    /// nothing before the welcome and after the end.
    pub fn into_timekeeper(self) -> Option<Timekeeper> {
        match self.state {
            State::Playing(session) => Some(session.into_timekeeper()),
            State::Hello { .. } | State::Waiting { .. } | State::Closed { .. } => None,
        }
    }

    // ---- what there is to see ----------------------------------------------------------------------------------

    /// The world to draw at `now`: a little in the past, where there are states before and after. Empty before the
    /// welcome.
    pub fn view(&self, now: Micros) -> View<'_> {
        let session = self.session();
        View::new(session, Whose::All, session.map_or_else(Moment::default, |session| session.moment(now)))
    }

    /// The player's own entities as they are predicted, to be drawn at `now` beside the others of [`Client::view`]: between the
    /// last two ticks that were given inputs, with all their fields. An input that was given just now is seen in this very
    /// picture. [`latest`](crate::EntityView::latest) has the newest predicted row, exact.
    ///
    /// Where the server finds otherwise, the state is set right at once, and what is seen within a tenth of a second or so.
    /// What the game spawns for the player is here before the server has spawned it, under an id that is
    /// [provisional](tickwire_sim::is_provisional) until [`Event::Confirmed`].
    ///
    /// Empty where nothing is predicted: without [`Client::predict`], before the first own entity is told of, for a player with more than
    /// 256 entities. Then there is [`Client::own`].
    pub fn predicted(&self, now: Micros) -> View<'_> {
        let session = self.session().filter(|_| self.is_playing());
        let moment = session.and_then(|session| session.predicted_moment(now));
        View::new(session.filter(|_| moment.is_some()), Whose::Predicted, moment.unwrap_or_default())
    }

    /// The newest tick that is predicted; nothing if none is.
    pub fn predicted_tick(&self) -> Option<Tick> {
        self.session()?.prediction()?.newest()
    }

    /// The world at a moment that the caller chooses, on the server's clock: for a replay of the last second, or a
    /// playout of one's own. States are kept for as long as [`Client::view`] needs them, so what is much older is held
    /// as it was first known. Events keep to the time of [`Client::view`].
    pub fn view_at(&self, server_time: Micros) -> View<'_> {
        let session = self.session();
        let moment = session.map_or_else(Moment::default, |session| session.moment_at(server_time));
        View::new(session, Whose::All, moment)
    }

    /// The entities of this client's player as the server last told them: newer than any view, with all their fields,
    /// exact.
    pub fn own(&self) -> impl Iterator<Item = OwnEntity<'_>> {
        self.session().into_iter().flat_map(Session::own)
    }

    /// The first of them that is of this kind: for games where a player has one body.
    pub fn own_row(&self, kind: KindId) -> Option<RowRef<'_>> {
        self.own().find(|entity| entity.kind == kind).map(|entity| entity.row)
    }

    /// Who is in the room: its players, this client's own among them, and those whose connection is lost for the moment. Survives a
    /// lost connection; begins anew with another session. Empty on a connection of datagrams, which is not told.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// What the server said when it let the client in: ids, rates, limits.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.session().map(Session::welcome)
    }

    /// What the room's coder has learned. If the welcome brought it, the game may keep its
    /// [bytes](Prior::encoded) and name it in [`ClientConfig::priors`] the next time.
    pub fn prior(&self) -> Option<&Arc<Prior>> {
        self.session().map(Session::prior)
    }

    /// The server's time, and how far it is away.
    pub fn clock(&self) -> Option<&Clock> {
        self.session().map(Session::clock)
    }

    /// The share of the newest few hundred snapshot datagrams that did not come, 0 to 1; 0 on an ordered stream, where nothing is lost
    /// but time. Round trip and jitter are with the [`clock`](Client::clock).
    pub fn loss(&self) -> f32 {
        self.session().map_or(0.0, Session::loss)
    }

    /// How old the newest state is: the server's time minus the time of its tick.
    pub fn snapshot_age(&self, now: Micros) -> Option<Micros> {
        let (clock, newest) = (self.clock()?, self.stats.newest_tick?);
        Some(clock.server_time(now).saturating_since(clock.time_of(newest)))
    }

    /// Whether the server has let the client in, and the connection lasts.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing(_))
    }

    /// Whether the connection was lost, and the next one is not tried yet.
    #[cfg(feature = "net")]
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Whether the connection was lost and is being tried anew.
    pub fn is_reconnecting(&self) -> bool {
        matches!(self.state, State::Waiting { .. } | State::Hello { before: Some(_), .. })
    }

    /// Whether the connection is over, and does not come back by itself.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Why there is no connection any more; nothing while there is one or one is being opened, or if the client was not let in.
    pub fn disconnect_reason(&self) -> Option<&DisconnectReason> {
        match &self.state {
            State::Waiting { reason, .. } => Some(reason),
            State::Closed { reason, .. } => reason.as_ref(),
            State::Hello { .. } | State::Playing(_) => None,
        }
    }

    /// What the rows are made of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// What has been counted up to `now`.
    pub fn stats(&self, now: Micros) -> ClientStats {
        let mut stats = self.stats;
        if let State::Playing(session) = &self.state {
            session.add_watched(now, &mut stats);
        }
        stats
    }

    /// Snapshots applied.
    #[cfg(feature = "net")]
    pub(crate) fn snapshots(&self) -> u64 {
        self.stats.snapshots
    }

    fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Playing(session) => Some(session),
            State::Hello { before: session, .. }
            | State::Waiting { before: session, .. }
            | State::Closed { session, .. } => session.as_deref(),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.state)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
