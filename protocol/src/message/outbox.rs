//! The sender's side: what was given to be sent, until its fate is known.
//!
//! A message waits in the **queue** until it is written; it then has a number and is **in flight** until it is acked.
//! Numbers are given when a message is written first, so what expires before leaves no gap.

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use super::body::MessageBody;
use super::carried::Carried;
use super::frame::{MessageAck, OVERHEAD_BYTES_MAX, expand, write_message};
use super::lane::{Lane, Missed, Received, SendLane};
use super::newest::Newest;
use super::notice::Notice;
use super::rate::{Denial, Governor, MessageLimits};
use super::saved::NUMBERS_MAX;
use super::types::{Direction, MessageClass, MessageTerms, MessageTypeId};
use crate::fault::DecodeError;
use crate::limits::{
    MESSAGE_BYTES_IN_FLIGHT_MAX, MESSAGES_PER_TRANSMIT_MAX, OUTCOMES_WAITING_MAX,
    UNRELIABLE_MESSAGES_WAITING_MAX,
};
use crate::schema::Schema;
use crate::time::Micros;

/// Names a message that was given to be sent: on a client for as long as the session lasts, on a server for as long as the room does.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(pub u64);

/// What became of a message. Not told of unreliable ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The game on the other side has polled it.
    Delivered,
    /// It waited too long to be written, and never was.
    Expired,
    /// A newer one of its key took its place. It may have arrived.
    Replaced,
    /// It was not let through: the other side's game has not seen it.
    Refused(Denial),
    /// The session that it was written in has ended. It may have arrived.
    Lost,
}

/// Where a message is whose [`Outcome`] is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It was never written.
    Queued,
    /// It was written, and the other side's game has not polled it.
    InFlight,
}

/// Why a message is not taken. Nothing of it will arrive.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SendError {
    /// The schema has no such type.
    #[error("the schema has no message type {0}")]
    UnknownType(MessageTypeId),
    /// The schema lets only the other side send it.
    #[error("message `{name}` does not go this way: declare it BothWays, or send it from the other side")]
    WrongWay {
        /// The type's name.
        name: String,
    },
    /// Types of its class are sent by another call.
    #[error("message `{name}` is sent by `{call}`")]
    OtherCall {
        /// The type's name.
        name: String,
        /// The call that takes it.
        call: &'static str,
    },
    /// It is larger than its type allows.
    #[error("message `{name}` has {bytes} bytes, its type allows {max}")]
    TooLarge {
        /// The type's name.
        name: String,
        /// Bytes of the body.
        bytes: usize,
        /// The most that its type allows.
        max: u32,
    },
    /// The connection keeps no order, so nothing can be promised of what it carries.
    #[error("this connection carries datagrams: messages need a stream that keeps order")]
    NotOrdered,
    /// Messages are said by players.
    #[error("a spectator says nothing to the game")]
    OnlyWatches,
    /// The game does not ask what became of its messages.
    #[error("{outcomes} outcomes of messages wait to be polled")]
    NotPolled {
        /// So many.
        outcomes: usize,
    },
    /// Some of an audience do not get it; the others do.
    #[error("{missed} of the audience do not get it: {error}")]
    NotAll {
        /// Names it for those who do: what becomes of it there is told by this.
        id: MessageId,
        /// How many do not.
        missed: usize,
        /// Why the first of them does not.
        error: Box<SendError>,
    },
    /// It would not be let through.
    #[error("message `{name}`: {denial}")]
    Denied {
        /// The type's name.
        name: String,
        /// Why, and when to try again.
        denial: Denial,
    },
    /// Nobody waits for this answer: the request was taken back, or answered before.
    #[error("nobody waits for this answer")]
    NotAsked,
    /// There is no session, nor will there be one.
    #[error("the session is over")]
    Closed,
    /// Too much of its kind waits already: the other side does not take it, or is away.
    #[error("{messages} messages with {bytes} bytes wait to be taken: try again when some are delivered")]
    Full {
        /// Messages of its lane that are queued or in flight.
        messages: usize,
        /// Bytes of their bodies.
        bytes: usize,
    },
}

/// A message whose fate is not known.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: MessageId,
    pub(super) ty: MessageTypeId,
    /// Of a latest message: which of its type.
    pub(super) key: u32,
    pub(super) body: MessageBody,
    /// When it is given up if it was not written yet.
    deadline: Option<Micros>,
    /// Whether its sender hears what became of it; who asks for something hears otherwise.
    is_told: bool,
    /// The other side has refused it, and its sender knows.
    is_refused: bool,
}

impl Waiting {
    pub(super) fn new(
        id: MessageId,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
        deadline: Option<Micros>,
    ) -> Self {
        // Of a request nobody waits for the answer any more, but what became of it is told.
        Self { id, ty, key, body, deadline, is_told: !ty.is_engine(), is_refused: false }
    }

    /// One whose sender knows that it was refused.
    pub(super) fn refused(self) -> Self {
        Self { is_refused: true, ..self }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    pub(super) fn id(&self) -> MessageId {
        self.id
    }

    /// It never expires.
    pub(super) fn keep(&mut self) {
        self.deadline = None;
    }

    pub(super) fn deadline(&self) -> Option<Micros> {
        self.deadline
    }

    /// Whether it may still be written at `now`; if so, `earliest` will not be later than its deadline.
    pub(super) fn stays(&self, now: Micros, earliest: &mut Option<Micros>) -> bool {
        let stays = self.deadline.is_none_or(|deadline| now < deadline);
        if stays {
            *earliest = earlier(*earliest, self.deadline);
        }
        stays
    }

    fn encode(&self, class: MessageClass, number: u64, out: &mut Vec<u8>) {
        let Self { ty, key, ref body, .. } = *self;
        write_message((ty, class), number as u16, key, body, out);
    }
}

/// What became of messages, until somebody asks.
#[derive(Debug)]
pub(super) struct Fates {
    known: VecDeque<(MessageId, Outcome)>,
    /// Whether anybody asks.
    are_told: bool,
}

impl Fates {
    pub(super) fn tell(&mut self, waiting: &Waiting, outcome: Outcome) {
        if self.are_told && waiting.is_told && !waiting.is_refused {
            self.known.push_back((waiting.id, outcome));
        }
    }
}

/// What one side says to the other.
#[derive(Debug)]
pub struct Outbox {
    schema: Arc<Schema>,
    way: Direction,
    next_id: u64,
    lanes: [SendLane; Lane::ORDERED.len()],
    newest: Newest,
    unreliable: VecDeque<Waiting>,
    /// What holds it to the rates, if something does: on clients alone.
    governor: Option<Box<Governor>>,
    /// No message in the queue is given up before.
    earliest_deadline: Option<Micros>,
    /// It was saved before: more may have been written since then than it knows.
    is_restored: bool,
    /// Goes first in the next transmission: there was no room for any of it in the last.
    turn: Option<Lane>,
    fates: Fates,
    written: Carried,
    dropped: u64,
    /// How many bytes may go next.
    room: usize,
}

impl Outbox {
    /// Nothing said yet. `way` is `ToServer` on a client and `ToClient` on a server.
    pub fn new(schema: Arc<Schema>, way: Direction) -> Self {
        Self {
            schema,
            way,
            next_id: 0,
            lanes: Default::default(),
            newest: Newest::default(),
            unreliable: VecDeque::new(),
            governor: None,
            earliest_deadline: None,
            is_restored: false,
            turn: None,
            fates: Fates { known: VecDeque::new(), are_told: true },
            written: Carried::default(),
            dropped: 0,
            room: usize::MAX,
        }
    }

    /// One that was saved.
    pub(super) fn restored(
        schema: Arc<Schema>,
        way: Direction,
        next_id: u64,
        lanes: [SendLane; Lane::ORDERED.len()],
        newest: Newest,
    ) -> Self {
        let mut earliest_deadline = None;
        let waiting = lanes.iter().flat_map(SendLane::waiting).chain(newest.waiting().map(|(_, it)| it));
        waiting.for_each(|waiting| earliest_deadline = earlier(earliest_deadline, waiting.deadline));
        // What was sent after it was saved had names as well, and requests among it are answered by them.
        let next_id = next_id + IDS_SENT_SINCE_MAX;
        Self { next_id, lanes, newest, earliest_deadline, is_restored: true, ..Self::new(schema, way) }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(super) fn lane(&self, lane: Lane) -> &SendLane {
        &self.lanes[lane as usize]
    }

    pub(super) fn newest(&self) -> &Newest {
        &self.newest
    }

    /// For who does not ask [`Outbox::poll_outcome`], or [not yet](Outbox::tell_outcomes): outcomes would pile up.
    #[must_use]
    pub fn without_outcomes(mut self) -> Self {
        self.fates.are_told = false;
        self
    }

    /// Somebody asks [`Outbox::poll_outcome`] from now on.
    pub fn tell_outcomes(&mut self) {
        self.fates.are_told = true;
    }

    /// Holds it to the rates of the types, and to the limits that it is [told](Outbox::set_limits).
    #[must_use]
    pub fn governed(self) -> Self {
        Self { governor: Some(Box::new(Governor::of_sender())), ..self }
    }

    /// What the other side allows in all, for who is [governed](Outbox::governed).
    pub fn set_limits(&mut self, limits: Option<MessageLimits>) {
        self.governor.iter_mut().for_each(|governor| governor.set_limits(limits));
    }

    /// What may be sent of what needs a permission, for who is [governed](Outbox::governed).
    pub fn set_permissions(&mut self, may: impl Fn(&str) -> bool) {
        if let Some(governor) = &mut self.governor {
            governor.set_permissions(&self.schema, may);
        }
    }

    /// The other side was heard: time has passed for who is [governed](Outbox::governed).
    pub fn handle_heard(&mut self, now: Micros) {
        self.governor.iter_mut().for_each(|governor| governor.handle_heard(now));
    }

    /// How many more messages of this type are let through now; nothing if there is no bound.
    pub fn remaining(&self, now: Micros, ty: MessageTypeId) -> Option<u32> {
        self.governor.as_ref()?.remaining(now, self.schema.message(ty)?)
    }

    /// Takes a message of the game's. `key` tells latest messages of one type apart, such as by the player that they are about; other
    /// classes pass it over.
    ///
    /// What is taken is written as soon as there is a connection and room on it, and its [`Outcome`] will be told.
    pub fn send(
        &mut self,
        now: Micros,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
    ) -> Result<MessageId, SendError> {
        let terms = self.check(ty, "send", body.len())?;
        let bytes = body.len();
        self.check_governor(now, ty, bytes)?;
        let id = self.push_own(now, terms, key, body, lifetime_end(now, terms))?;
        self.count(now, ty, bytes);
        Ok(id)
    }

    /// As [`Outbox::send`], of a message that its sender has named: one that goes to many has one name in all their outboxes. Who names
    /// messages names all of them, in ascending order, and does not ask for their [`Outbox::standing`].
    pub fn send_as(
        &mut self,
        now: Micros,
        id: MessageId,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
    ) -> Result<(), SendError> {
        let terms = self.check(ty, "send", body.len())?;
        self.push(now, id, terms, key, body, lifetime_end(now, terms))
    }

    /// Takes a game event, as [encoded](super::GameEvent::encode), that its sender has named, as in [`Outbox::send_as`]. Its receiver tells it as
    /// the type says: at once or in view time.
    pub fn send_event(
        &mut self,
        now: Micros,
        id: MessageId,
        ty: MessageTypeId,
        event: MessageBody,
    ) -> Result<(), SendError> {
        let terms = self.check(ty, "emit_event", event.len())?;
        self.push(now, id, terms, 0, event, lifetime_end(now, terms))
    }

    /// Whether a body of so many bytes may be sent by this call.
    fn check(&self, ty: MessageTypeId, call: &str, bytes: usize) -> Result<MessageTerms, SendError> {
        let declared = self.schema.message(ty).ok_or(SendError::UnknownType(ty))?;
        let (terms, name) = (declared.terms(), || declared.name().to_owned());
        let takes = match terms.class {
            MessageClass::Reliable | MessageClass::Latest | MessageClass::Unreliable => "send",
            MessageClass::Event => "emit_event",
            MessageClass::Request => "request",
        };
        if !terms.goes(self.way) {
            return Err(SendError::WrongWay { name: name() });
        }
        if takes != call {
            return Err(SendError::OtherCall { name: name(), call: takes });
        }
        if bytes > terms.bytes_max as usize {
            return Err(SendError::TooLarge { name: name(), bytes, max: terms.bytes_max });
        }
        let outcomes = self.fates.known.len();
        if outcomes >= OUTCOMES_WAITING_MAX {
            return Err(SendError::NotPolled { outcomes });
        }
        Ok(terms)
    }

    /// Takes a request, which [`Requests`](super::Requests) has put together. It is not written after its deadline.
    pub(super) fn send_request(
        &mut self,
        now: Micros,
        ty: MessageTypeId,
        request: MessageBody,
        deadline: Micros,
    ) -> Result<MessageId, SendError> {
        let terms = self.check(ty, "request", request.len())?;
        let bytes = request.len();
        self.check_governor(now, ty, bytes)?;
        let id = self.push_own(now, terms, 0, request, Some(deadline))?;
        self.count(now, ty, bytes);
        Ok(id)
    }

    fn check_governor(&self, now: Micros, ty: MessageTypeId, bytes: usize) -> Result<(), SendError> {
        let (Some(governor), Some(ty)) = (&self.governor, self.schema.message(ty)) else { return Ok(()) };
        let denied = |denial| SendError::Denied { name: ty.name().to_owned(), denial };
        governor.check(now, ty, bytes).map_err(denied)
    }

    /// One was taken: what finds no room is not counted.
    fn count(&mut self, now: Micros, ty: MessageTypeId, bytes: usize) {
        if let (Some(governor), Some(ty)) = (&mut self.governor, self.schema.message(ty)) {
            governor.take(now, ty, bytes);
        }
    }

    /// The other side did not give one of the messages to its game. One that is not here any more is passed over.
    pub fn handle_notice(&mut self, notice: Notice) {
        let Notice { ty, number, denial } = notice;
        let waiting = match MessageTerms::find(&self.schema, ty).and_then(|terms| terms.lane) {
            Some(Lane::Latest) => self.newest.numbered(number),
            Some(lane) => self.lanes[lane as usize].numbered(number),
            None => None,
        };
        if let Some(waiting) = waiting.filter(|waiting| waiting.ty == ty) {
            self.fates.tell(waiting, Outcome::Refused(denial));
            // It keeps its number until that is acked.
            waiting.is_refused = true;
        }
    }

    /// Whether a message of an ordered lane waits here.
    pub(super) fn holds(&self, lane: Lane, id: MessageId) -> bool {
        self.lanes[lane as usize].holds(id)
    }

    /// Takes one of the [engine's own messages](super::engine), whose outcome is not told. It has to be one that goes this way, and no
    /// larger than its type allows: the engine knows its own.
    pub fn send_engine(
        &mut self,
        now: Micros,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
    ) -> Result<(), SendError> {
        let terms = super::engine::terms(ty).filter(|terms| terms.goes(self.way));
        let terms = terms.ok_or(SendError::UnknownType(ty))?;
        debug_assert!(body.len() <= terms.bytes_max as usize, "{} bytes of {ty}", body.len());
        self.push_own(now, terms, key, body, lifetime_end(now, terms)).map(drop)
    }

    /// Takes one that its sender has not named.
    fn push_own(
        &mut self,
        now: Micros,
        terms: MessageTerms,
        key: u32,
        body: MessageBody,
        deadline: Option<Micros>,
    ) -> Result<MessageId, SendError> {
        let id = MessageId(self.next_id);
        self.push(now, id, terms, key, body, deadline)?;
        self.next_id += 1;
        Ok(id)
    }

    fn push(
        &mut self,
        now: Micros,
        id: MessageId,
        terms: MessageTerms,
        key: u32,
        body: MessageBody,
        deadline: Option<Micros>,
    ) -> Result<(), SendError> {
        self.expire(now);
        self.check_room(terms, key, body.len())?;
        self.earliest_deadline = earlier(self.earliest_deadline, deadline);
        let is_told = !terms.id.is_engine() && terms.class != MessageClass::Request;
        let waiting = Waiting { id, ty: terms.id, key, body, deadline, is_told, is_refused: false };
        match terms.lane {
            None => self.push_unreliable(waiting),
            Some(Lane::Latest) => self.newest.replace(waiting, &mut self.fates),
            Some(lane) => self.lanes[lane as usize].push(waiting),
        }
        Ok(())
    }

    fn check_room(&self, terms: MessageTerms, key: u32, bytes: usize) -> Result<(), SendError> {
        let Some(lane) = terms.lane else { return Ok(()) };
        let limits = lane.limits();
        let (messages, waiting) = self.waiting(lane);
        // What takes the place of another asks for no more than the difference.
        let replaced = if lane == Lane::Latest { self.newest.bytes_of(terms.id, key) } else { None };
        let is_full = replaced.is_none() && messages >= limits.queued;
        if is_full || waiting - replaced.unwrap_or_default() + bytes > limits.bytes_queued {
            return Err(SendError::Full { messages, bytes: waiting });
        }
        Ok(())
    }

    /// Whether one of the engine's own messages would be taken.
    pub(super) fn has_room(&self, ty: MessageTypeId, bytes: usize) -> bool {
        super::engine::terms(ty).is_some_and(|terms| self.check_room(terms, 0, bytes).is_ok())
    }

    /// Messages of a lane whose fate is not known, and the bytes of their bodies.
    fn waiting(&self, lane: Lane) -> (usize, usize) {
        match lane {
            Lane::Latest => (self.newest.len(), self.newest.bytes()),
            lane => {
                let lane = &self.lanes[lane as usize];
                (lane.len(), lane.bytes())
            }
        }
    }

    /// What is not written soon is not worth to be written: of more than a few the oldest go.
    fn push_unreliable(&mut self, waiting: Waiting) {
        self.unreliable.push_back(waiting);
        let bytes = |queue: &VecDeque<Waiting>| queue.iter().map(|waiting| waiting.body.len()).sum::<usize>();
        while self.unreliable.len() > UNRELIABLE_MESSAGES_WAITING_MAX
            || bytes(&self.unreliable) > MESSAGE_BYTES_IN_FLIGHT_MAX
        {
            self.unreliable.pop_front();
            self.dropped += 1;
        }
    }

    /// Messages whose fate is not known yet, unreliable ones not counted.
    pub fn messages(&self) -> usize {
        self.newest.len() + self.lanes.iter().map(SendLane::len).sum::<usize>()
    }

    /// Bytes of their bodies.
    pub fn bytes(&self) -> usize {
        self.newest.bytes() + self.lanes.iter().map(SendLane::bytes).sum::<usize>()
    }

    /// What was written.
    pub fn written(&self) -> Carried {
        self.written
    }

    /// Where a message is; nothing if its outcome is known, or will not be told.
    pub fn standing(&self, id: MessageId) -> Option<Standing> {
        let (is_written, waiting) =
            self.lanes.iter().find_map(|lane| lane.find(id)).or_else(|| self.newest.find(id))?;
        let standing = if is_written { Standing::InFlight } else { Standing::Queued };
        (waiting.is_told && !waiting.is_refused).then_some(standing)
    }

    /// Unreliable messages for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next message of the game's whose fate is known. Ask until there is none.
    pub fn poll_outcome(&mut self, now: Micros) -> Option<(MessageId, Outcome)> {
        self.expire(now);
        self.fates.known.pop_front()
    }

    /// Whether [`Outbox::poll_transmit`] has something to write.
    pub fn has_transmit(&self) -> bool {
        (self.room > 0 && self.has_next_of_any()) || !self.unreliable.is_empty()
    }

    /// Whether something waits for [room](Outbox::set_room) on the link.
    pub fn is_held(&self) -> bool {
        self.room == 0 && self.has_next_of_any()
    }

    fn has_next_of_any(&self) -> bool {
        Lane::SENDING_ORDER.into_iter().any(|lane| self.has_next(lane))
    }

    /// How many bytes of messages may go next, as far as is known of the link; what begins within it goes whole. Without, as many as the
    /// receiver keeps.
    pub fn set_room(&mut self, bytes: usize) {
        self.room = bytes;
    }

    /// Whether all that was sent in this lane was written on the connection of now.
    pub fn is_written(&self, lane: Lane) -> bool {
        let lane = &self.lanes[lane as usize];
        lane.end() == lane.first() + lane.len() as u64
    }

    /// Appends at most [`MESSAGES_PER_TRANSMIT_MAX`] MESSAGE frames with at most `bytes_max` bytes in all, and what there is [room](Outbox::set_room) for, on a connection that lasts: better lanes first, and nothing of a lane before what waits in a better one. But a lane for which there was no room at all
    /// goes before them the next time, with a few messages, each in its turn: who always says more than fits holds up nobody for
    /// good. Unreliable messages that find no room are dropped.
    pub fn poll_transmit(&mut self, now: Micros, bytes_max: usize, out: &mut Vec<u8>) {
        self.expire(now);
        let start = out.len();
        let room_end = start.saturating_add(self.room);
        let mut space = Space { end: start + bytes_max, room_end, frames: MESSAGES_PER_TRANSMIT_MAX };
        let mut written = [false; Lane::COUNT];
        if let Some(lane) = self.turn {
            let mut share = Space { frames: MESSAGES_PER_TURN_MAX, ..space };
            self.write_lane(lane, &mut share, out);
            let count = MESSAGES_PER_TURN_MAX - share.frames;
            space.frames -= count;
            written[lane as usize] = count > 0;
        }
        let is_through = Lane::SENDING_ORDER.into_iter().all(|lane| {
            let frames = space.frames;
            let is_through = self.write_lane(lane, &mut space, out);
            written[lane as usize] |= space.frames < frames;
            is_through
        });
        // What is said for the moment goes behind what is promised.
        if is_through {
            self.write_unreliable(&mut space, out);
        }
        if self.room > 0 {
            self.turn = self.next_turn(written);
        }
        if self.room < usize::MAX {
            self.room = self.room.saturating_sub(out.len() - start);
        }
        // What found no room is of no use later.
        self.dropped += self.unreliable.len() as u64;
        self.unreliable.clear();
    }

    /// The next lane, behind the one that had its turn, that has something of which nothing was written.
    fn next_turn(&self, written: [bool; Lane::COUNT]) -> Option<Lane> {
        let place = |turn| Lane::SENDING_ORDER.iter().position(|lane| *lane == turn);
        let first = self.turn.and_then(place).map_or(0, |place| place + 1);
        let mut lanes = Lane::SENDING_ORDER.into_iter().cycle().skip(first).take(Lane::COUNT);
        lanes.find(|&lane| !written[lane as usize] && self.has_next(lane))
    }

    fn has_next(&self, lane: Lane) -> bool {
        match lane {
            Lane::Latest => self.newest.next().is_some(),
            lane => self.lanes[lane as usize].next(lane.limits()).is_some(),
        }
    }

    /// Whether all was written that its receiver has room for.
    fn write_lane(&mut self, lane: Lane, space: &mut Space, out: &mut Vec<u8>) -> bool {
        match lane {
            Lane::Latest => self.write_newest(space, out),
            lane => self.write_ordered(lane, space, out),
        }
    }

    fn write_ordered(&mut self, lane: Lane, space: &mut Space, out: &mut Vec<u8>) -> bool {
        let waiting = &mut self.lanes[lane as usize];
        while let Some((number, next)) = waiting.next(lane.limits()) {
            if !space.take(out, &next.body) {
                return false;
            }
            next.encode(MessageClass::Reliable, number, out);
            self.written.note(Some(lane), next.body.len());
            waiting.handle_written();
        }
        true
    }

    fn write_newest(&mut self, space: &mut Space, out: &mut Vec<u8>) -> bool {
        while let Some((number, next)) = self.newest.next() {
            if !space.take(out, &next.body) {
                return false;
            }
            next.encode(MessageClass::Latest, number, out);
            self.written.note(Some(Lane::Latest), next.body.len());
            self.newest.handle_written(number);
        }
        true
    }

    fn write_unreliable(&mut self, space: &mut Space, out: &mut Vec<u8>) {
        for waiting in self.unreliable.drain(..) {
            if space.take(out, &waiting.body) {
                waiting.encode(MessageClass::Unreliable, 0, out);
                self.written.note(None, waiting.body.len());
            } else {
                self.dropped += 1;
            }
        }
    }

    /// Nothing that waits in the lanes expires any more.
    pub(super) fn keep(&mut self) {
        self.lanes.iter_mut().for_each(SendLane::keep);
    }

    /// Gives up what has waited too long and was never written; [`Outbox::poll_transmit`] begins with it.
    pub fn expire(&mut self, now: Micros) {
        // What another program had saved may have been written since: until the other side says, nothing is given up.
        if self.is_restored || self.earliest_deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let Self { lanes, newest, fates, .. } = self;
        let deadlines = lanes.iter_mut().map(|lane| lane.expire(now, fates)).fold(None, earlier);
        self.earliest_deadline = earlier(deadlines, newest.expire(now, fates));
    }

    /// The other side's game has polled all before these numbers. An error means that it cannot have; nothing has changed then.
    pub fn handle_ack(&mut self, ack: MessageAck) -> Result<(), DecodeError> {
        let mut polled = Received::default();
        for lane in Lane::SENDING_ORDER {
            let (first, end) = match lane {
                Lane::Latest => (self.newest.acked(), self.newest.end()),
                lane => (self.lanes[lane as usize].first(), self.lanes[lane as usize].end()),
            };
            let Some(low) = ack.of(lane) else { continue };
            let told = expand(low, first).filter(|told| *told <= end);
            polled = polled.with(lane, told.ok_or_else(|| never_sent(u64::from(low)))?);
        }
        for lane in Lane::ORDERED {
            self.lanes[lane as usize].take_delivered(polled.of(lane), &mut self.fates);
        }
        self.newest.take_delivered(polled.of(Lane::Latest), &mut self.fates);
        Ok(())
    }

    /// The session goes on over another connection, on whose other side so much has been received. Everything else that was
    /// written before is written again.
    ///
    /// Returns what the other side has forgotten that it had: it was delivered, and is not here any more. An error means that it
    /// claims to have what was never written; nothing has changed then.
    pub fn handle_resumed(&mut self, received: Received) -> Result<Missed, DecodeError> {
        if self.is_restored {
            if let Some(lane) = Lane::SENDING_ORDER.into_iter().find(|&lane| received.of(lane) >= NUMBERS_MAX)
            {
                return Err(never_sent(received.of(lane)));
            }
            self.is_restored = false;
            for lane in Lane::ORDERED {
                self.lanes[lane as usize].catch_up(received.of(lane));
            }
            self.newest.catch_up(received.of(Lane::Latest));
        }
        self.check_resumed(received)?;
        // What was said for the moment is not worth to be heard now.
        self.unreliable.clear();
        self.newest.handle_resumed(received.of(Lane::Latest));
        let mut missed = Missed::default();
        for lane in Lane::ORDERED {
            missed = missed.with(lane, self.lanes[lane as usize].handle_resumed(received.of(lane)));
        }
        Ok(missed)
    }

    /// Whether the other side can have received so much: an error means that it claims to have what was never written.
    pub fn check_resumed(&self, received: Received) -> Result<(), DecodeError> {
        let ends = |lane: Lane| match lane {
            Lane::Latest => self.newest.end(),
            lane => self.lanes[lane as usize].numbered_end(),
        };
        if let Some(lane) = Lane::SENDING_ORDER.into_iter().find(|&lane| received.of(lane) > ends(lane)) {
            return Err(never_sent(received.of(lane)));
        }
        Ok(())
    }

    /// Another session begins, of which the other side knows nothing: what was written before is lost, what was not is
    /// written in the new one.
    pub fn handle_fresh(&mut self) {
        self.is_restored = false;
        self.lanes.iter_mut().for_each(|lane| lane.handle_fresh(&mut self.fates));
        self.newest.handle_fresh(&mut self.fates);
        self.unreliable.clear();
    }

    /// Gives back the memory that was needed at some time and is not now: for a session that waits, nobody knows for how long.
    pub fn shrink_to_fit(&mut self) {
        self.lanes.iter_mut().for_each(SendLane::shrink_to_fit);
        self.newest.shrink_to_fit();
        self.unreliable.shrink_to_fit();
        self.fates.known.shrink_to_fit();
    }

    /// There will be no other session: all that is not delivered is lost.
    pub fn handle_end(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.handle_end(&mut self.fates));
        self.newest.handle_end(&mut self.fates);
        self.unreliable.clear();
    }
}

/// Messages of a lane whose turn it is, before those of better ones: a quarter.
const MESSAGES_PER_TURN_MAX: usize = MESSAGES_PER_TRANSMIT_MAX / 4;

/// More than a program sends between two exports of its session: who goes on with an older one gives none of those names again.
const IDS_SENT_SINCE_MAX: u64 = 1 << 24;

/// What there is left of a transport message.
#[derive(Clone, Copy)]
struct Space {
    /// Where it ends.
    end: usize,
    /// No message begins here or behind.
    room_end: usize,
    frames: usize,
}

impl Space {
    /// Whether a message with this body fits behind what is there; then a frame is taken.
    fn take(&mut self, out: &[u8], body: &MessageBody) -> bool {
        let fits = self.frames > 0
            && out.len() < self.room_end
            && out.len() + OVERHEAD_BYTES_MAX + body.wire_bytes() <= self.end;
        self.frames -= usize::from(fits);
        fits
    }
}

/// When a message is given up that was not written by then.
fn lifetime_end(now: Micros, terms: MessageTerms) -> Option<Micros> {
    let lifetime = u64::from(terms.expires_after_millis);
    (lifetime > 0).then(|| now + Micros::from_millis(lifetime))
}

fn earlier(a: Option<Micros>, b: Option<Micros>) -> Option<Micros> {
    a.into_iter().chain(b).min()
}

fn never_sent(value: u64) -> DecodeError {
    DecodeError::Invalid { what: "ack of messages that were not sent, or were acked before", value }
}
