//! The client: one session in one room, from hello to goodbye.
//!
//! ```text
//!            welcome               lost               it is time
//!   Hello ───────────> Playing ─────────> Waiting ───────────────> Hello with the session's token ──> ...
//!     │ refused          │ goodbye, or nothing to come back for      │ too often
//!     └─────────> Closed <───────────────────────────────────────────┘
//! ```

mod auth;
mod bulk;
mod figures;
mod lifecycle;
mod look;
mod pause;
mod play;
mod requests;
mod standing;

pub use play::Sending;
pub use requests::REQUEST_TIMEOUT;

use core::fmt;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::{Frame, FrameType, frames};
use tickwire_protocol::handshake::{Reject, StreamKind, Welcome};
use tickwire_protocol::limits::CLIENT_MESSAGE_BYTES_MAX;
use tickwire_protocol::message::{Lane, Message, MessageAck, MessageClass, MessageType};
use tickwire_protocol::{EntityId, Micros, Schema};
use tickwire_sim::Simulation;

use self::auth::Renewal;
use self::bulk::Transfers;
use self::pause::Pausing;
use crate::core::config::ClientConfig;
use crate::core::continuity::Continuity;
use crate::core::event::{ClientFault, DisconnectReason, Event};
use crate::core::groups::Groups;
use crate::core::match_state::MatchState;
use crate::core::members::Members;
use crate::core::moments::ToldEvent;
use crate::core::reconnect::Attempts;
use crate::core::session::Session;
use crate::core::stats::ClientStats;

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
    /// Whom else the game wants predicted.
    others: Vec<EntityId>,
    continuity: Continuity,
    transfers: Transfers,
    members: Members,
    match_state: MatchState,
    groups: Groups,
    /// The server knows what this member calls itself.
    is_profile_told: bool,
    attempts: Attempts,
    /// When the session of now was first welcomed here.
    session_began: Micros,
    /// The server wants to be left alone for so long.
    not_before: Micros,
    /// No hint of the system makes an attempt before.
    hinted_from: Micros,
    /// When the connection of now was welcomed.
    welcomed: Micros,
    /// What it wants to be sent of snapshots, bytes a second.
    budget: Option<u32>,
    renewal: Renewal,
    /// The system says that there is no network.
    is_network_down: bool,
    /// The game has left: until then what it said may still be delivered.
    closing: Option<Micros>,
    pausing: Pausing,
    /// When anybody last came to look.
    last_seen: Micros,
    stats: ClientStats,
}

#[derive(Debug)]
enum State {
    /// The hello is to be sent, or was and waits for its answer.
    Hello {
        since: Micros,
        asked: Option<Micros>,
        before: Option<Box<Session>>,
        /// Why the connection before ended.
        reason: Option<DisconnectReason>,
    },
    /// Welcomed.
    Playing(Box<Session>),
    /// The connection was lost, and is to be tried anew then, or when there is a network; what was last seen can still be seen.
    Waiting { until: Option<Micros>, before: Option<Box<Session>>, reason: DisconnectReason },
    /// Over; what was last seen can still be seen.
    Closed { session: Option<Box<Session>>, reason: DisconnectReason },
}

impl Client {
    /// A client that is about to say hello. `schema` must be the one that the server's game has.
    ///
    /// # Panics
    /// If the session of the configuration was [read](crate::SavedSession::decode) with another schema.
    pub fn new(config: ClientConfig, schema: Arc<Schema>, now: Micros) -> Self {
        let restored = config.session.as_ref().map(|saved| Continuity::restored(saved, &schema, now));
        let mut continuity = match restored {
            None => Continuity::new(&schema),
            Some(Ok(continuity)) => continuity,
            Some(Err(error)) => panic!("{error}"),
        };
        continuity.outbox.set_queue(config.queue);
        Self {
            pausing: Pausing::new(continuity.has_session()),
            state: State::Hello { since: now, asked: None, before: None, reason: None },
            events: VecDeque::new(),
            simulation: None,
            others: Vec::new(),
            continuity,
            transfers: Transfers::new(),
            members: Members::default(),
            match_state: MatchState::default(),
            groups: Groups::default(),
            is_profile_told: true,
            attempts: Attempts::new(config.reconnect.clone(), config.seed),
            session_began: now,
            not_before: now,
            hinted_from: now,
            welcomed: now,
            budget: None,
            renewal: Renewal::default(),
            config,
            schema,
            is_network_down: false,
            closing: None,
            last_seen: now,
            stats: ClientStats::default(),
        }
    }

    /// Takes in one message of the transport.
    ///
    /// A fault ends the connection, and [`Event::Disconnected`] will tell. The faulty frame and all behind it change
    /// nothing else.
    pub fn handle_message(&mut self, now: Micros, message: Bytes) -> Result<(), ClientFault> {
        self.stats.received.messages += 1;
        self.stats.received.bytes += message.len() as u64;
        self.handle_progress(now);
        self.continuity.outbox.handle_heard(now);
        let result = self.handle_frames(now, message);
        if let State::Playing(session) = &self.state {
            self.continuity.outbox.set_room(session.uplink().room(now));
        }
        if let Err(fault) = result {
            self.stats.decode_errors += u64::from(matches!(fault, ClientFault::Malformed(_)));
            self.handle_disconnect(now, DisconnectReason::Fault(fault));
        }
        result
    }

    /// Some bytes of the transport have come, and no message yet: the server is there. For transports that see the parts of a message: over a
    /// slow link one of 64 KiB may take longer than the server may be silent. One that gives whole messages needs it not.
    pub fn handle_progress(&mut self, now: Micros) {
        self.note_awake(now);
        if let State::Playing(session) = &mut self.state {
            session.handle_life(now);
        }
    }

    fn handle_frames(&mut self, now: Micros, message: Bytes) -> Result<(), ClientFault> {
        for frame in frames(message) {
            let frame = match &self.state {
                State::Waiting { .. } | State::Closed { .. } => return Ok(()),
                State::Hello { .. } | State::Playing(_) => frame?,
            };
            match &mut self.state {
                State::Hello { asked: Some(asked), .. } => {
                    let asked = *asked;
                    self.handle_answer(now, asked, &frame)?;
                }
                State::Hello { asked: None, .. } => return Err(ClientFault::Unexpected(frame.ty)),
                State::Playing(session) => match frame.ty {
                    FrameType::Match => self.match_state.handle_frame(&frame.payload)?,
                    FrameType::Groups => self.groups.handle_frame(&frame.payload)?,
                    FrameType::Message => {
                        self.continuity.handle_message(now, &self.schema, frame.payload)?;
                    }
                    FrameType::Members => self.members.handle_frame(&frame.payload)?,
                    FrameType::MessageAck => {
                        self.continuity.outbox.handle_ack(MessageAck::decode(&frame.payload)?)?;
                    }
                    FrameType::Auth => self.handle_auth(&frame.payload)?,
                    ty if ty.is_bulk() => {
                        self.stats.received.bulk_bytes += frame.payload.len() as u64;
                        self.transfers.handle_frame(now, frame)?;
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
                self.handle_reject(now, Reject::decode(&frame.payload)?);
            }
            _ => return Err(ClientFault::Unexpected(frame.ty)),
        }
        Ok(())
    }

    /// Appends the frames that are ready to `out`, as one message; false if there are none. Ask again after sending.
    pub fn poll_transmit(&mut self, now: Micros, out: &mut Vec<u8>) -> bool {
        self.expire(now);
        let start = out.len();
        match &mut self.state {
            State::Hello { asked: None, .. } => self.write_hello(now, out),
            State::Playing(_) if self.renewal.poll_transmit(out) => {}
            State::Playing(session) => {
                // Before inputs: those that the server has when it hears of the end of a pause count as given before it.
                Self::write_pause(&mut self.pausing, false, out);
                let is_asked = session.poll_transmit(now, out, &mut self.stats);
                self.stats.sent.play_bytes += (out.len() - start) as u64;
                if is_asked && self.config.stream == StreamKind::Datagram {
                    Self::write_pause(&mut self.pausing, true, out);
                }
                if !core::mem::replace(&mut self.is_profile_told, true) {
                    self.config.profile.encode(out);
                }
                if self.config.stream == StreamKind::Ordered {
                    let bytes_max = session.welcome().limits.message_bytes_max as usize;
                    let left = bytes_max.saturating_sub(out.len() - start);
                    self.continuity.outbox.set_room(session.uplink().room(now));
                    let bytes = self.continuity.write_messages(now, left, out);
                    session.uplink_mut().handle_messages(now, bytes, self.continuity.outbox.is_held());
                    let before = out.len();
                    self.transfers.poll_transmit(now, start, bytes_max, out);
                    self.stats.sent.bulk_bytes += (out.len() - before) as u64;
                }
            }
            State::Hello { .. } | State::Waiting { .. } | State::Closed { .. } => {}
        }
        self.note_sent(out.len() - start)
    }

    /// The next thing to tell the game. Ask until there is none, for every picture that is drawn.
    pub fn poll_event(&mut self, now: Micros) -> Option<Event> {
        self.expire(now);
        // What belongs to a session comes before its end, and before the beginning of the next.
        let is_connected = |event: &Event| matches!(event, Event::Connected { .. });
        let is_end = matches!(self.events.front(), Some(Event::Disconnected(_) | Event::Rejected(_)));
        // If there was another connection since, what has come over it is behind its beginning.
        let is_anew = is_end && self.events.iter().any(is_connected);
        let is_end = is_end && !is_anew;
        let is_beginning = is_anew || self.events.front().is_some_and(is_connected);
        let former = if is_beginning { self.continuity.inbox.poll_former() } else { None };
        if let Some(message) = former {
            return Some(self.said(message));
        }
        if is_beginning && let Some(event) = self.transfers.poll_former() {
            return Some(Event::Bulk(event));
        }
        if !is_end && let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Some(event) = self.members.poll_event() {
            return Some(Event::Member(event));
        }
        if let Some(news) = self.match_state.poll_news() {
            return Some(Event::Match(news));
        }
        if self.groups.poll_news() {
            return Some(Event::Groups);
        }
        if let Some((message, outcome)) = self.continuity.outbox.poll_outcome(now) {
            return Some(Event::Sent(message, outcome));
        }
        if let Some(event) = self.poll_requests(now) {
            return Some(event);
        }
        if let Some(message) = self.continuity.inbox.poll() {
            return Some(self.said(message));
        }
        if let Some(event) = self.transfers.poll_event(now) {
            return Some(Event::Bulk(event));
        }
        match &mut self.state {
            State::Playing(session) => session.poll_event(now, &mut self.continuity.inbox),
            _ if is_end => match self.continuity.inbox.poll_lane(Lane::Events) {
                Some(event) => Some(self.said(event)),
                None => self.events.pop_front(),
            },
            _ => None,
        }
    }

    /// What a message tells where nothing is to be waited for.
    fn said(&self, message: Message) -> Event {
        let class = self.schema.message(message.ty).map(MessageType::class);
        let event = if class == Some(MessageClass::Event) { ToldEvent::unseen(&message) } else { None };
        event.map_or(Event::Message(message), Event::Game)
    }

    /// When to call [`Client::poll_transmit`] at the latest if nothing else happens. Inputs have a time of their own,
    /// [`Client::input_timeout`]; events are for those who draw, and come with the pictures.
    pub fn poll_timeout(&self) -> Option<Micros> {
        let due = match &self.state {
            State::Hello { since, asked: None, .. } => Some(*since),
            State::Hello { .. } => self.deadline(),
            State::Playing(session)
                if self.renewal.has_transmit() || self.has_messages(session) || !self.is_profile_told =>
            {
                Some(Micros::ZERO)
            }
            State::Playing(session) => {
                let takes_messages = self.takes_messages(session);
                let bulk = self.transfers.poll_timeout().filter(|_| takes_messages);
                let is_held = takes_messages && self.continuity.outbox.is_held();
                let held = is_held.then(|| session.uplink().opens_at());
                let others = [session.next_ping(), session.silence_deadline()];
                bulk.into_iter().chain(held).chain(others).min()
            }
            State::Waiting { until, .. } => *until,
            State::Closed { .. } => return None,
        };
        due.into_iter().chain(self.closes_at()).min()
    }

    /// Whether messages can be written at once.
    fn has_messages(&self, session: &Session) -> bool {
        self.takes_messages(session) && self.continuity.has_transmit()
    }

    /// A server that takes less than any message may have is no reason to try for ever.
    fn takes_messages(&self, session: &Session) -> bool {
        let takes = session.welcome().limits.message_bytes_max as usize;
        self.config.stream == StreamKind::Ordered && takes >= CLIENT_MESSAGE_BYTES_MAX
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
