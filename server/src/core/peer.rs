//! One connection to a room: what it may send, what it has sent, what it is to be sent.

use bytes::Bytes;
use tickwire_protocol::ack::Ack;
use tickwire_protocol::budget::Budget;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{StreamKind, Welcome};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::{
    ACKS_PER_TICK_MAX, FRAMES_PER_TICK_MAX, INPUTS_PER_TICK_MAX, MESSAGES_PER_TICK_MAX,
    PAUSED_SILENCE_TIMEOUT_MICROS,
};
use tickwire_protocol::message::{MessageAck, Outbox};
use tickwire_protocol::pause::Pause;
use tickwire_protocol::ping::{Ping, Pong};
use tickwire_protocol::room::Profile;
use tickwire_protocol::{Micros, Misbehavior, PeerFault, Schema, SessionId, Tick};

use super::budget::{Bucket, SNAPSHOT_BYTES_MIN};
use super::identity::Renewal;
use super::input_rate::InputRate;
use super::news::News;
use super::packer::Space;
use super::peer_stats::{PeerStats, Skipped};
use super::replicator::{Replicator, Told};
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
    has_player: bool,
    pub(crate) replicator: Replicator,
    pub(crate) last_heard: Micros,
    /// When it last said what no machine says by itself.
    last_active: Micros,
    /// Told with the first transmission.
    pub(crate) welcome: Option<Box<Welcome>>,
    /// What it was told of its room's tables, if it wants to be told.
    pub(crate) news: Option<News>,
    /// What it wants to be called from now on.
    pub(crate) profile: Option<Profile>,
    /// How many steps before the others' its snapshots are due, in a room that spreads them.
    pub(crate) phase: u64,
    /// Since when a snapshot is due that was not taken yet.
    due_since: Option<Micros>,
    /// Its client wants no state for now.
    paused_since: Option<Micros>,
    next_digest: Micros,
    pings: Vec<(Ping, Micros)>,
    frames_since_step: u32,
    messages_since_step: u32,
    inputs_since_step: u32,
    input_rate: InputRate,
    acks_since_step: u32,
    budget: Bucket,
    /// Until it was told of all that it saw first.
    joining: Option<Joining>,
    skipped: Skipped,
    cut: u64,
    /// The last snapshot was cut by what the link takes.
    is_squeezed: bool,
    /// Its token.
    pub(crate) renewal: Renewal,
}

/// A peer that has just come.
#[derive(Debug)]
struct Joining {
    since: Micros,
    budget: Bucket,
    /// Rows that are still to be told; nothing before it is known what it sees.
    left: Option<usize>,
}

/// A player that has no entity by then is not waited for, to know what it sees.
const SPAWNS_WITHIN: Micros = Micros::from_secs(1);

/// With more than this stored on the way nothing goes out that can wait: half of what state itself may store.
const FILLER_QUEUEING_MAX: Micros = Micros::from_millis(50);
/// Who was paused for so long is told of the world as one who joins.
const WORTH_JOINING: Micros = Micros::from_secs(5);

/// Why a snapshot that is due is not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Held {
    Budget,
    InFlight,
}

/// Where a peer's frames meet the room: what they may refer to.
#[derive(Clone, Copy)]
pub(crate) struct Inbox<'a> {
    pub(crate) now: Micros,
    pub(crate) schema: &'a Schema,
    /// The tick that will be stepped next.
    pub(crate) next_tick: Tick,
    /// What the room gives a peer, bytes a second, and how often.
    pub(crate) budget: Option<u32>,
    pub(crate) snapshot_hz: u32,
    /// What it gives one that joins.
    pub(crate) join_rate: Option<u32>,
}

impl Peer {
    pub(crate) fn new(
        stream: StreamKind,
        session: &Session,
        replicator: Replicator,
        config: &RoomConfig,
        now: Micros,
    ) -> Self {
        let bucket = |rate| Bucket::new(rate, config.snapshot_hz, now);
        Self {
            stream,
            session: session.id,
            has_player: session.player.is_some(),
            replicator,
            last_heard: now,
            last_active: now,
            welcome: None,
            news: None,
            profile: None,
            phase: 0,
            due_since: (!session.is_paused).then_some(now),
            paused_since: session.is_paused.then_some(now),
            next_digest: now,
            pings: Vec::new(),
            frames_since_step: 0,
            messages_since_step: 0,
            inputs_since_step: 0,
            input_rate: InputRate::default(),
            acks_since_step: 0,
            budget: bucket(config.budget),
            joining: Some(Joining { since: now, budget: bucket(config.join_rate), left: None }),
            skipped: Skipped::default(),
            cut: 0,
            is_squeezed: false,
            renewal: Renewal::default(),
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
            match frame.ty {
                FrameType::Message | FrameType::MessageAck => self.count_message()?,
                _ => self.count_frame()?,
            }
            if is_activity(frame.ty) {
                self.last_active = inbox.now;
            }
            match frame.ty {
                FrameType::Ping => self.handle_ping(Ping::decode(&frame.payload)?, inbox.now),
                FrameType::Input => {
                    scratch.decode(&frame.payload, inbox.schema.input(), inbox.next_tick)?;
                    self.handle_input(session, scratch, inbox)?;
                }
                FrameType::Ack => self.handle_ack(inbox.now, &Ack::decode(&frame.payload)?)?,
                FrameType::Budget => self.handle_budget(Budget::decode(&frame.payload)?, inbox),
                FrameType::Pause => self.handle_pause(session, Pause::decode(&frame.payload)?, inbox),
                // Datagrams may be lost; who only watches has nothing to say.
                FrameType::Message if self.has_player && self.stream == StreamKind::Ordered => {
                    session.handle_message(inbox.now, inbox.schema, frame.payload)?;
                }
                FrameType::Auth => self.renewal.handle_frame(inbox.now, &frame.payload)?,
                FrameType::MessageAck => session.outbox.handle_ack(MessageAck::decode(&frame.payload)?)?,
                ty if ty.is_bulk() && self.has_player && self.stream == StreamKind::Ordered => {
                    session.bulk.handle_frame(inbox.now, frame)?;
                }
                FrameType::Profile if self.has_player => {
                    self.profile = Some(Profile::decode(&frame.payload)?);
                }
                FrameType::Message
                | FrameType::Profile
                | FrameType::List
                | FrameType::Rooms
                | FrameType::Members
                | FrameType::Match
                | FrameType::Groups
                | FrameType::BulkOffer
                | FrameType::BulkChunk
                | FrameType::BulkCredit
                | FrameType::BulkEnd
                | FrameType::BulkStop
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

    /// The windows of messages allow for more than other frames ever are.
    fn count_message(&mut self) -> Result<(), Misbehavior> {
        self.messages_since_step += 1;
        if self.messages_since_step > MESSAGES_PER_TICK_MAX {
            return Err(Misbehavior::Flood(MESSAGES_PER_TICK_MAX));
        }
        Ok(())
    }

    /// Of many acks that come at once the first are looked at: whatever the others tell, the next tick's tell it again.
    fn handle_ack(&mut self, now: Micros, ack: &Ack) -> Result<(), Misbehavior> {
        self.acks_since_step += 1;
        if self.acks_since_step > ACKS_PER_TICK_MAX { Ok(()) } else { self.replicator.handle_ack(now, ack) }
    }

    /// The peer wants less than the room gives, or all of it again.
    fn handle_budget(&mut self, asked: Budget, inbox: Inbox<'_>) {
        let rate = asked.bytes_per_second.into_iter().chain(inbox.budget).min();
        self.budget.set_rate(rate, inbox.snapshot_hz, inbox.now);
        if let (Some(joining), Some(asked)) = (&mut self.joining, asked.bytes_per_second) {
            let rate = joining.budget.rate().map_or(asked, |rate| rate.min(asked));
            joining.budget.set_rate(Some(rate), inbox.snapshot_hz, inbox.now);
        }
    }

    /// No state while the client is paused; then all that has changed, as quickly as to one who joins.
    fn handle_pause(&mut self, session: &mut Session, pause: Pause, inbox: Inbox<'_>) {
        session.set_paused(pause.is_paused, inbox.schema.input());
        if self.paused_since.is_some() == pause.is_paused {
            return;
        }
        // Nor is one due when the pause ends: of the tick that there is it may have been told.
        self.due_since = None;
        if pause.is_paused {
            self.replicator.flight_mut().handle_paused();
        }
        let since = core::mem::replace(&mut self.paused_since, pause.is_paused.then_some(inbox.now));
        // Whoever is paused over and over is sent no more than others are.
        if since.is_some_and(|since| inbox.now.saturating_since(since) >= WORTH_JOINING) {
            let budget = Bucket::new(inbox.join_rate, inbox.snapshot_hz, inbox.now);
            self.joining = Some(Joining { since: inbox.now, budget, left: None });
        }
    }

    /// Whether the peer is to be let go: it says nothing, or takes nothing, or holds a player that nobody plays. Who is paused may sleep.
    pub(crate) fn find_dead(&self, now: Micros, config: &RoomConfig) -> Option<PeerFault> {
        let silent_for = now.saturating_since(self.last_heard);
        let patience =
            if self.paused_since.is_some() { Micros(PAUSED_SILENCE_TIMEOUT_MICROS) } else { Micros::ZERO };
        if silent_for > config.silence_timeout.max(patience) {
            Some(PeerFault::Silent)
        } else if self.paused_since.is_none() && self.is_stalled(now, config.stall_timeout) {
            Some(PeerFault::Stalled)
        } else if self.renewal.is_expired(now) {
            Some(PeerFault::TokenExpired)
        } else if self.is_idle(now, config.idle_timeout) {
            Some(PeerFault::Idle)
        } else {
            None
        }
    }

    /// Who only watches has nothing to say, and who is paused has said so.
    fn is_idle(&self, now: Micros, timeout: Option<Micros>) -> bool {
        let is_to_play = self.has_player && self.paused_since.is_none();
        is_to_play && timeout.is_some_and(|timeout| now.saturating_since(self.last_active) > timeout)
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
        inbox: Inbox<'_>,
    ) -> Result<(), Misbehavior> {
        let next = inbox.next_tick;
        if let Some(ack) = &frame.ack {
            self.handle_ack(inbox.now, ack)?;
        }
        let Some(player) = &mut session.player else { return Err(Misbehavior::InputWithoutPlayer) };
        self.input_rate.take()?;
        self.inputs_since_step += frame.len() as u32;
        if self.inputs_since_step > INPUTS_PER_TICK_MAX {
            return Err(Misbehavior::Flood(INPUTS_PER_TICK_MAX));
        }
        player.view.handle_frame(frame, next, self.replicator.held());
        for (tick, values) in frame.rows() {
            if player.inputs.push(next, tick, values)? {
                self.last_active = inbox.now;
            }
        }
        Ok(())
    }

    /// A step was made: what is counted between two starts anew.
    pub(crate) fn handle_step(&mut self) {
        self.frames_since_step = 0;
        self.messages_since_step = 0;
        self.inputs_since_step = 0;
        self.input_rate.handle_step();
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

    /// A snapshot falls due. One that still is gives way to it; if that is of the same moment, for a step that was caught up, nobody
    /// could have sent it in between. What gave way, if anything did.
    pub(crate) fn handle_due(&mut self, now: Micros) -> Skipped {
        let mut skipped = Skipped::default();
        if self.paused_since.is_some() || self.due_since.replace(now).is_none_or(|since| since == now) {
            return skipped;
        }
        match self.space(now) {
            Err(Held::Budget) => skipped.budget = 1,
            Err(Held::InFlight) => {
                skipped.in_flight = 1;
                self.replicator.handle_limited();
            }
            Ok(_) => skipped.transport = 1,
        }
        self.skipped += skipped;
        skipped
    }

    /// Whether anything waits to be sent that may be.
    pub(crate) fn has_transmit(&self, now: Micros) -> bool {
        (self.due_since.is_some() && self.space(now).is_ok())
            || self.welcome.is_some()
            || !self.pings.is_empty()
            || self.renewal.has_transmit()
    }

    /// Whether its client wants no state for now.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }

    /// Whether the next snapshot is one that is not due yet: the peer is not paused, and none is held back.
    pub(crate) fn expects_state(&self) -> bool {
        !self.is_paused() && self.due_since.is_none()
    }

    /// Whether the link takes more than state has for it: then what can wait may follow. Not while the peer is told of what it sees first.
    pub(crate) fn leaves_room(&self, now: Micros) -> bool {
        let flight = self.replicator.flight();
        let is_queueing = flight.queueing().is_some_and(|queueing| queueing > FILLER_QUEUEING_MAX);
        self.joining.is_none() && !self.is_squeezed && !is_queueing && flight.room(now) >= SNAPSHOT_BYTES_MIN
    }

    /// Tells messages how much they may put on the way, so that state does not wait behind them.
    pub(crate) fn steer_messages(&mut self, now: Micros, outbox: &mut Outbox) {
        let flight = self.replicator.flight_mut();
        outbox.set_room(flight.message_room(now));
        if outbox.is_held() {
            flight.handle_messages_held();
        }
    }

    /// Whether messages of this outbox wait for room that there is now.
    pub(crate) fn has_message_room(&self, now: Micros, outbox: &Outbox) -> bool {
        outbox.is_held() && self.replicator.flight().message_room(now) > 0
    }

    /// Messages were handed to the transport.
    pub(crate) fn handle_messages(&mut self, now: Micros, bytes: usize) {
        self.replicator.flight_mut().handle_messages(now, bytes);
    }

    /// If a snapshot is to be written now, what it may take; then it is not due any more.
    pub(crate) fn take_due(&mut self, now: Micros) -> Option<Space> {
        let space = self.space(now).ok().filter(|_| self.due_since.is_some())?;
        self.due_since = None;
        Some(space)
    }

    /// What a snapshot may take at `now`, of budget and link; or what there is too little of.
    fn space(&self, now: Micros) -> Result<Space, Held> {
        let bucket = self.bucket();
        let (bytes, room) = (bucket.available(now), self.replicator.flight().room(now));
        if room < SNAPSHOT_BYTES_MIN {
            return Err(Held::InFlight);
        }
        if bytes < SNAPSHOT_BYTES_MIN {
            return Err(Held::Budget);
        }
        let is_full = bucket.is_full(now) && (bytes <= room || self.replicator.flight().frames() == 0);
        let is_of_link = room < bytes;
        Ok(Space { now, bytes: bytes.min(room), is_of_link, is_full, is_joining: self.joining.is_some() })
    }

    fn bucket(&self) -> &Bucket {
        self.joining.as_ref().map_or(&self.budget, |joining| &joining.budget)
    }

    /// A snapshot was handed to the transport, with so many bytes of the transport's own and of frames that ride along.
    pub(crate) fn handle_sent(&mut self, space: &Space, told: &Told, around: usize) {
        let (now, bytes) = (space.now, told.bytes + around);
        self.is_squeezed = told.is_cut && space.is_of_link;
        self.cut += u64::from(told.is_cut);
        let Some(joining) = &mut self.joining else {
            self.budget.take(now, bytes);
            return;
        };
        joining.budget.take(now, bytes);
        let is_waiting = self.has_player && !told.owns;
        if joining.left.is_none() && (!is_waiting || now.saturating_since(joining.since) >= SPAWNS_WITHIN) {
            joining.left = Some(told.whole);
        }
        // What comes into its view meanwhile is not waited for, or it might take for ever.
        let sent = told.whole - told.whole_left;
        joining.left = joining.left.map(|left| left.saturating_sub(sent).min(told.whole_left));
        if joining.left == Some(0) {
            self.joining = None;
        }
    }

    /// Whether nothing was acked on an ordered stream of what was sent for longer than that, and than a slow link takes for it: behind a large
    /// message acks wait.
    fn is_stalled(&self, now: Micros, timeout: Micros) -> bool {
        let flight = self.replicator.flight();
        self.stream == StreamKind::Ordered && flight.stalled_for(now) > timeout + flight.message_patience()
    }

    /// How it is doing; all but the age of what its client holds.
    pub(crate) fn stats(&self, now: Micros) -> PeerStats {
        let flight = self.replicator.flight();
        PeerStats {
            snapshot_age: None,
            skipped: self.skipped,
            cut: self.cut,
            frames_in_flight: flight.frames(),
            bytes_in_flight: flight.bytes(),
            window_bytes: flight.window(now),
            queueing: flight.queueing(),
            budget: self.budget.rate(),
            is_joining: self.joining.is_some(),
        }
    }

    /// Appends the welcome, if it was not told yet, and answers to pings.
    pub(crate) fn write_control(&mut self, now: Micros, tick: Tick, tick_time: Micros, out: &mut Vec<u8>) {
        if let Some(welcome) = self.welcome.take() {
            welcome.encode(out);
        }
        self.renewal.poll_transmit(out);
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

/// Whether a frame comes of a game that goes on: acks and pings come of a machine that was left alone as well, and so do inputs that are
/// always the same.
fn is_activity(ty: FrameType) -> bool {
    matches!(ty, FrameType::Message | FrameType::Profile | FrameType::Pause) || ty.is_bulk()
}
