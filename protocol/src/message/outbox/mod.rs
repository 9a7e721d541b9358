//! The sender's side: what was given to be sent, until its fate is known.
//!
//! A message waits in the **queue** until it is written; it then has a number and is **in flight** until it is acked.
//! Numbers are given when a message is written first, so what expires before leaves no gap.
//!
//! | file | |
//! |---|---|
//! | `mod.rs` | takes messages, and knows those whose fate is open |
//! | `transmit.rs` | what goes next |
//! | `peer.rs` | what the other side has |

mod peer;
mod transmit;

use std::collections::VecDeque;
use std::sync::Arc;

use super::body::MessageBody;
use super::carried::Carried;
use super::lane::{Lane, QueueLimits, SendLane};
use super::newest::Newest;
use super::notice::Notice;
use super::rate::{Governor, MessageLimits};
use super::send_error::SendError;
use super::types::{Direction, MessageClass, MessageTerms, MessageTypeId};
use super::waiting::{Fates, MessageId, Outcome, Standing, Waiting, earlier};
use crate::limits::{MESSAGE_BYTES_IN_FLIGHT_MAX, OUTCOMES_WAITING_MAX, UNRELIABLE_MESSAGES_WAITING_MAX};
use crate::schema::Schema;
use crate::time::Micros;

/// What one side says to the other.
#[derive(Debug)]
pub struct Outbox {
    schema: Arc<Schema>,
    way: Direction,
    next_id: u64,
    lanes: [SendLane; Lane::ORDERED.len()],
    newest: Newest,
    unreliable: VecDeque<Waiting>,
    limits: QueueLimits,
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
            limits: QueueLimits::default(),
            governor: None,
            earliest_deadline: None,
            is_restored: false,
            turn: None,
            fates: Fates::default(),
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
        waiting.for_each(|waiting| earliest_deadline = earlier(earliest_deadline, waiting.deadline()));
        // What was sent after it was saved had names as well, and requests among it are answered by them.
        let next_id = next_id + IDS_SENT_SINCE_MAX;
        Self { next_id, lanes, newest, earliest_deadline, is_restored: true, ..Self::new(schema, way) }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// It was saved by another program, and the other side has not said yet what it has heard of that.
    pub(super) fn is_restored(&self) -> bool {
        self.is_restored
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
        self.fates.set_told(false);
        self
    }

    /// Somebody asks [`Outbox::poll_outcome`] from now on.
    pub fn tell_outcomes(&mut self) {
        self.fates.set_told(true);
    }

    /// Holds it to the rates of the types, and to the limits that it is [told](Outbox::set_limits).
    #[must_use]
    pub fn governed(self) -> Self {
        Self { governor: Some(Box::new(Governor::of_sender())), ..self }
    }

    /// Keeps less than the format allows, from now on; what waits already stays.
    pub fn set_queue(&mut self, limits: QueueLimits) {
        self.limits = limits;
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
    /// messages names all of them, in ascending order.
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

    /// As [`Outbox::send_as`], of a message whose sender does not hear here what becomes of it.
    pub fn send_untold(
        &mut self,
        now: Micros,
        id: MessageId,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
    ) -> Result<(), SendError> {
        let terms = Self::check_message(&self.schema, self.way, ty, body.len())?;
        self.push_waiting(now, terms, Waiting::new(id, ty, key, body, lifetime_end(now, terms)).untold())
    }

    /// Whether the schema lets a message with a body of so many bytes be sent this way by [`Outbox::send`], to whomever.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_message(
        schema: &Schema,
        way: Direction,
        ty: MessageTypeId,
        bytes: usize,
    ) -> Result<MessageTerms, SendError> {
        check_call(schema, way, ty, "send", bytes)
    }

    /// Whether a body of so many bytes may be sent by this call.
    fn check(&self, ty: MessageTypeId, call: &str, bytes: usize) -> Result<MessageTerms, SendError> {
        let terms = check_call(&self.schema, self.way, ty, call, bytes)?;
        let outcomes = self.fates.len();
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
            waiting.refuse();
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
        let waiting = Waiting::new(id, terms.id, key, body, deadline);
        let waiting = if terms.class == MessageClass::Request { waiting.untold() } else { waiting };
        self.push_waiting(now, terms, waiting)
    }

    fn push_waiting(&mut self, now: Micros, terms: MessageTerms, waiting: Waiting) -> Result<(), SendError> {
        self.expire(now);
        self.check_room(terms, waiting.key, waiting.body.len())?;
        self.earliest_deadline = earlier(self.earliest_deadline, waiting.deadline());
        match terms.lane {
            None => self.push_unreliable(waiting),
            Some(Lane::Latest) => self.newest.replace(waiting, &mut self.fates),
            Some(lane) => self.lanes[lane as usize].push(waiting),
        }
        Ok(())
    }

    fn check_room(&self, terms: MessageTerms, key: u32, bytes: usize) -> Result<(), SendError> {
        let Some(lane) = terms.lane else { return Ok(()) };
        let limits = lane.limits_within(self.limits);
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

    /// Where a message is, on a connection that lasts; nothing if its outcome is known, or will not be told.
    pub fn standing(&self, id: MessageId) -> Option<Standing> {
        let mut ahead = 0;
        for lane in Lane::SENDING_ORDER {
            let (found, unwritten) = match lane {
                Lane::Latest => (self.newest.standing(id), self.newest.unwritten_bytes()),
                lane => {
                    let waiting = &self.lanes[lane as usize];
                    (waiting.standing(id, lane.limits()), waiting.unwritten_bytes())
                }
            };
            if let Some((standing, ahead_in_lane)) = found {
                let is_held = standing == Standing::Sent && self.room <= ahead + ahead_in_lane;
                return Some(if is_held { Standing::Queued } else { standing });
            }
            ahead += unwritten;
        }
        None
    }

    /// Unreliable messages for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next message of the game's whose fate is known. Ask until there is none.
    pub fn poll_outcome(&mut self, now: Micros) -> Option<(MessageId, Outcome)> {
        self.expire(now);
        self.fates.poll()
    }

    /// Whether all that was sent in this lane was written on the connection of now.
    pub fn is_written(&self, lane: Lane) -> bool {
        let lane = &self.lanes[lane as usize];
        lane.end() == lane.first() + lane.len() as u64
    }

    /// Whether another program may go on with what waits in the lanes.
    pub(super) fn set_saved(&mut self, is_saved: bool) {
        self.lanes.iter_mut().for_each(|lane| lane.set_saved(is_saved));
    }

    /// Gives up what has waited too long and was never written; [`Outbox::poll_transmit`] begins with it.
    pub fn expire(&mut self, now: Micros) {
        // What another program had saved may have been written since: until the other side says, nothing is given up.
        if self.is_restored || self.earliest_deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let Self { lanes, newest, fates, .. } = self;
        let lanes = Lane::ORDERED.into_iter().zip(lanes);
        let deadlines = lanes.map(|(lane, waiting)| waiting.expire(now, lane, fates)).fold(None, earlier);
        self.earliest_deadline = earlier(deadlines, newest.expire(now, fates));
    }

    /// Gives back the memory that was needed at some time and is not now: for a session that waits, nobody knows for how long.
    pub fn shrink_to_fit(&mut self) {
        self.lanes.iter_mut().for_each(SendLane::shrink_to_fit);
        self.newest.shrink_to_fit();
        self.unreliable.shrink_to_fit();
        self.fates.shrink_to_fit();
    }
}

/// More than a program sends between two exports of its session: who goes on with an older one gives none of those names again.
const IDS_SENT_SINCE_MAX: u64 = 1 << 24;

/// Whether a body of so many bytes may be sent this way by this call.
fn check_call(
    schema: &Schema,
    way: Direction,
    ty: MessageTypeId,
    call: &str,
    bytes: usize,
) -> Result<MessageTerms, SendError> {
    let declared = schema.message(ty).ok_or(SendError::UnknownType(ty))?;
    let (terms, name) = (declared.terms(), || declared.name().to_owned());
    let takes = match terms.class {
        MessageClass::Reliable | MessageClass::Latest | MessageClass::Unreliable => "send",
        MessageClass::Event => "emit_event",
        MessageClass::Request => "request",
    };
    if !terms.goes(way) {
        return Err(SendError::WrongWay { name: name() });
    }
    if takes != call {
        return Err(SendError::OtherCall { name: name(), call: takes });
    }
    if bytes > terms.bytes_max as usize {
        return Err(SendError::TooLarge { name: name(), bytes, max: terms.bytes_max });
    }
    Ok(terms)
}

/// When a message is given up that was not written by then.
fn lifetime_end(now: Micros, terms: MessageTerms) -> Option<Micros> {
    let lifetime = u64::from(terms.expires_after_millis);
    (lifetime > 0).then(|| now + Micros::from_millis(lifetime))
}
