//! One connection to a room: what it may send, what it has sent, what it is to be sent.

use bytes::Bytes;
use tickwire_protocol::ack::Ack;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{StreamKind, Welcome};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::{ACKS_PER_TICK_MAX, FRAMES_PER_TICK_MAX, INPUTS_PER_TICK_MAX};
use tickwire_protocol::message::MessageAck;
use tickwire_protocol::ping::{Ping, Pong};
use tickwire_protocol::schema::Kind;
use tickwire_protocol::{Micros, Misbehavior, PeerFault, SessionId, Tick};

use super::replicator::Replicator;
use super::room::RoomConfig;
use super::session::Session;

/// Pings that wait for their pong; more at once is no clock sync, and only the newest are answered.
const PINGS_WAITING_MAX: usize = 4;

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: StreamKind,
    /// Whose connection it is.
    pub(crate) session: SessionId,
    pub(crate) replicator: Replicator,
    pub(crate) last_heard: Micros,
    /// Told with the first transmission.
    pub(crate) welcome: Option<Box<Welcome>>,
    /// A snapshot is due and was not taken yet.
    pub(crate) is_due: bool,
    next_digest: Micros,
    pings: Vec<(Ping, Micros)>,
    frames_since_step: u32,
    inputs_since_step: u32,
    acks_since_step: u32,
    stalled_since: Option<Micros>,
}

/// Where a peer's frames meet the room: what they may refer to.
#[derive(Clone, Copy)]
pub(crate) struct Inbox<'a> {
    pub(crate) now: Micros,
    pub(crate) input_kind: &'a Kind,
    /// The tick that will be stepped next.
    pub(crate) next_tick: Tick,
}

impl Peer {
    pub(crate) fn new(stream: StreamKind, session: SessionId, replicator: Replicator, now: Micros) -> Self {
        Self {
            stream,
            session,
            replicator,
            last_heard: now,
            welcome: None,
            is_due: true,
            next_digest: now,
            pings: Vec::new(),
            frames_since_step: 0,
            inputs_since_step: 0,
            acks_since_step: 0,
            stalled_since: None,
        }
    }

    /// Takes in one transport message. After a fault the peer is of no use.
    pub(crate) fn handle_message(
        &mut self,
        inbox: Inbox<'_>,
        session: &mut Session,
        message: Bytes,
        scratch: &mut InputFrame,
    ) -> Result<(), PeerFault> {
        self.last_heard = inbox.now;
        session.handle_life();
        // A message counts by itself: it may hold nothing but frames that are skipped.
        self.count_frame()?;
        for frame in frames(message) {
            let frame = frame?;
            self.count_frame()?;
            match frame.ty {
                FrameType::Ping => self.handle_ping(Ping::decode(&frame.payload)?, inbox.now),
                FrameType::Input => {
                    scratch.decode(&frame.payload, inbox.input_kind, inbox.next_tick)?;
                    self.handle_input(session, scratch, inbox.next_tick)?;
                }
                FrameType::Ack => self.handle_ack(&Ack::decode(&frame.payload)?)?,
                FrameType::Message if session.player.is_some() => {
                    session.inbox.handle_message(frame.payload)?;
                }
                FrameType::MessageAck => session.outbox.handle_ack(MessageAck::decode(&frame.payload)?)?,
                // Who only watches has nothing to say.
                FrameType::Message
                | FrameType::Hello
                | FrameType::Welcome
                | FrameType::Reject
                | FrameType::Pong
                | FrameType::Snapshot => {
                    return Err(Misbehavior::UnexpectedFrame(frame.ty as u8).into());
                }
            }
        }
        Ok(())
    }

    fn count_frame(&mut self) -> Result<(), Misbehavior> {
        self.frames_since_step += 1;
        if self.frames_since_step > FRAMES_PER_TICK_MAX {
            return Err(Misbehavior::Flood(FRAMES_PER_TICK_MAX));
        }
        Ok(())
    }

    /// Of many acks that come at once the first are looked at: whatever the others tell, the next tick's tell it again.
    fn handle_ack(&mut self, ack: &Ack) -> Result<(), Misbehavior> {
        self.acks_since_step += 1;
        if self.acks_since_step > ACKS_PER_TICK_MAX { Ok(()) } else { self.replicator.handle_ack(ack) }
    }

    fn handle_ping(&mut self, ping: Ping, now: Micros) {
        if self.pings.len() == PINGS_WAITING_MAX {
            self.pings.remove(0);
        }
        self.pings.push((ping, now));
    }

    fn handle_input(
        &mut self,
        session: &mut Session,
        frame: &InputFrame,
        next: Tick,
    ) -> Result<(), Misbehavior> {
        if let Some(ack) = &frame.ack {
            self.handle_ack(ack)?;
        }
        let Some(player) = &mut session.player else { return Err(Misbehavior::InputWithoutPlayer) };
        self.inputs_since_step += frame.len() as u32;
        if self.inputs_since_step > INPUTS_PER_TICK_MAX {
            return Err(Misbehavior::Flood(INPUTS_PER_TICK_MAX));
        }
        player.view.handle_frame(frame, next, self.replicator.held());
        for (tick, values) in frame.rows() {
            player.inputs.push(next, tick, values)?;
        }
        Ok(())
    }

    /// A step was made: what is counted between two starts anew.
    pub(crate) fn handle_step(&mut self) {
        self.frames_since_step = 0;
        self.inputs_since_step = 0;
        self.acks_since_step = 0;
    }

    /// Whether the snapshot that is sent at `now` is the one nearest to when a digest is due; each is taken once.
    pub(crate) fn take_digest(&mut self, config: &RoomConfig, now: Micros) -> bool {
        let half_interval = Micros(500_000 / u64::from(config.snapshot_hz));
        let is_due = now + half_interval >= self.next_digest;
        if is_due {
            // From when it was due, not from now, or each would come a little later than the last.
            let next = self.next_digest + config.digest_interval;
            self.next_digest = if next > now { next } else { now + config.digest_interval };
        }
        is_due
    }

    /// Whether anything waits to be sent.
    pub(crate) fn has_transmit(&self, in_flight_max: u64) -> bool {
        self.may_be_sent_state(in_flight_max) || self.welcome.is_some() || !self.pings.is_empty()
    }

    /// Whether a snapshot is to be written now; then it is not due any more.
    pub(crate) fn take_due(&mut self, in_flight_max: u64) -> bool {
        let is_due = self.may_be_sent_state(in_flight_max);
        self.is_due &= !is_due;
        is_due
    }

    fn may_be_sent_state(&self, in_flight_max: u64) -> bool {
        self.is_due && !self.is_stalled(in_flight_max)
    }

    /// On an ordered stream a client that does not ack gets no more: whatever is on the way must come through first.
    fn is_stalled(&self, in_flight_max: u64) -> bool {
        self.stream == StreamKind::Ordered && self.replicator.frames_in_flight() >= in_flight_max
    }

    /// For how long it has been so, as far as calls to this have seen.
    pub(crate) fn stalled_for(&mut self, now: Micros, in_flight_max: u64) -> Micros {
        if !self.is_stalled(in_flight_max) {
            self.stalled_since = None;
            return Micros::ZERO;
        }
        now.saturating_since(*self.stalled_since.get_or_insert(now))
    }

    /// Appends the welcome, if it was not told yet, and answers to pings.
    pub(crate) fn write_control(&mut self, now: Micros, tick: Tick, tick_time: Micros, out: &mut Vec<u8>) {
        if let Some(welcome) = self.welcome.take() {
            welcome.encode(out);
        }
        for (ping, received) in self.pings.drain(..) {
            let server_sent = now.max(received);
            let pong = Pong {
                client_time: ping.client_time,
                server_received: received,
                server_sent,
                tick,
                tick_time,
            };
            pong.encode(out);
        }
    }
}
