//! A message at its sender, from when it is taken until its fate is known.

use std::collections::VecDeque;

use super::body::MessageBody;
use super::engine;
use super::frame::write_message;
use super::lane::Lane;
use super::rate::Denial;
use super::types::{MessageClass, MessageTypeId};
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
    /// The session that it was written in has ended, or the program: this one goes on with an export, and whether the one that made it has
    /// written it before it expired is not known. It may have arrived.
    Lost,
}

/// Where a message is whose [`Outcome`] is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It waits to be written: for a connection, for others of its lane to be polled, or for room on the link.
    Queued,
    /// Nothing holds it up: it is written with what goes out next.
    Sent,
    /// It was written, and the other side's game has not polled it.
    InFlight,
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
    elsewhere: Elsewhere,
}

/// What another program has to do with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Elsewhere {
    Nothing,
    /// One may go on with what was saved here, and then counts it.
    Saved,
    /// One has given the number that it has, to it or to what stood in for it when it had expired.
    MayHaveExpired,
}

impl Waiting {
    pub(super) fn new(
        id: MessageId,
        ty: MessageTypeId,
        key: u32,
        body: MessageBody,
        deadline: Option<Micros>,
    ) -> Self {
        let (is_told, is_refused, elsewhere) = (!ty.is_engine(), false, Elsewhere::Nothing);
        Self { id, ty, key, body, deadline, is_told, is_refused, elsewhere }
    }

    /// One whose sender hears otherwise what became of it.
    pub(super) fn untold(self) -> Self {
        Self { is_told: false, ..self }
    }

    /// The other side has refused it, and its sender knows.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
    }

    /// Whether its sender does not know yet what becomes of it, and will.
    pub(super) fn has_fate_to_tell(&self) -> bool {
        self.is_told && !self.is_refused
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    pub(super) fn id(&self) -> MessageId {
        self.id
    }

    /// Whether another program may go on with it.
    pub(super) fn set_saved(&mut self, is_saved: bool) {
        if !self.may_have_expired() {
            self.elsewhere = if is_saved { Elsewhere::Saved } else { Elsewhere::Nothing };
        }
    }

    pub(super) fn is_saved(&self) -> bool {
        self.elsewhere == Elsewhere::Saved
    }

    /// It is given up, and its place is taken by what says so to the other side.
    pub(super) fn give_way(&mut self, lane: Lane) {
        (self.ty, self.body) = engine::stand_in(lane, &self.body);
        (self.key, self.deadline, self.is_told) = (0, None, false);
    }

    /// It was numbered by another program, which had it until it expired, if it does.
    pub(super) fn doubt(&mut self) {
        if self.deadline.is_some() {
            self.elsewhere = Elsewhere::MayHaveExpired;
        }
    }

    pub(super) fn may_have_expired(&self) -> bool {
        self.elsewhere == Elsewhere::MayHaveExpired
    }

    /// What becomes of it once the other side has its number.
    pub(super) fn delivery(&self) -> Outcome {
        if self.may_have_expired() { Outcome::Lost } else { Outcome::Delivered }
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

    pub(super) fn encode(&self, class: MessageClass, number: u64, out: &mut Vec<u8>) {
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

impl Default for Fates {
    fn default() -> Self {
        Self { known: VecDeque::new(), are_told: true }
    }
}

impl Fates {
    /// Whether anybody asks from now on.
    pub(super) fn set_told(&mut self, are_told: bool) {
        self.are_told = are_told;
    }

    pub(super) fn tell(&mut self, waiting: &Waiting, outcome: Outcome) {
        if self.are_told && waiting.has_fate_to_tell() {
            self.known.push_back((waiting.id, outcome));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn poll(&mut self) -> Option<(MessageId, Outcome)> {
        self.known.pop_front()
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.known.shrink_to_fit();
    }
}

/// Of two deadlines.
pub(super) fn earlier(a: Option<Micros>, b: Option<Micros>) -> Option<Micros> {
    a.into_iter().chain(b).min()
}
