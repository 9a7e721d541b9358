//! Outbox and inbox as bytes, for a session that is to go on in a program that was started anew.
//!
//! ```text
//!  outbox: next id: 64 | four lanes: first: 64, foreign end: 64, numbered: 16, written since: 16, count: 16, messages | next: 64, acked: 64, count: 16, (number: 64, message)
//!  message: id: 64 | time left: 64 | type: 16 | key: 32 | refused: 1, may have expired: 1, 0: 6 | length: 16 | body
//!  inbox: what was polled of each lane: 6 x 64 | events behind that which were taken all the same: a bit each, 128
//! ```
//!
//! Little-endian; a number or time of all ones is none. What was said for the moment is not kept. Of the inbox only what was polled
//! counts: the sender still has the rest, and writes it again.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::inbox::Inbox;
use super::lane::{Lane, Received, SendLane};
use super::newest::Newest;
use super::outbox::Outbox;
use super::types::{Direction, MessageType, MessageTypeId};
use super::waiting::{MessageId, Waiting};
use crate::fault::DecodeError;
use crate::schema::Schema;
use crate::time::Micros;

const DAMAGED: DecodeError = DecodeError::Damaged("saved messages");

/// No number, or no deadline.
const NONE: u64 = u64::MAX;

/// More messages than any session has.
pub(super) const NUMBERS_MAX: u64 = 1 << 62;

/// What is known of a message beside.
const REFUSED: u8 = 1;
const MAY_HAVE_EXPIRED: u8 = 2;

/// What is left to be read.
struct Reader<'a> {
    bytes: &'a [u8],
    schema: &'a Schema,
    way: Direction,
    now: Micros,
    next_id: u64,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(DAMAGED)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn word(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_le_bytes)
    }

    /// A number of messages, with room for more.
    fn number(&mut self) -> Result<u64, DecodeError> {
        self.word().and_then(|word| if word < NUMBERS_MAX { Ok(word) } else { Err(DAMAGED) })
    }

    fn count(&mut self) -> Result<usize, DecodeError> {
        self.take().map(u16::from_le_bytes).map(usize::from)
    }

    /// A message that may wait in this lane.
    fn message(&mut self, lane: Lane) -> Result<Waiting, DecodeError> {
        let (id, left) = (self.word()?, self.word()?);
        let (ty, key) = (MessageTypeId(u16::from_le_bytes(self.take()?)), u32::from_le_bytes(self.take()?));
        let [flags] = self.take()?;
        let length = self.count()?;
        let (body, rest) = self.bytes.split_at_checked(length).ok_or(DAMAGED)?;
        self.bytes = rest;
        let terms = super::engine::terms(ty).or_else(|| self.schema.message(ty).map(MessageType::terms));
        let is_allowed = terms.is_some_and(|terms| {
            terms.lane == Some(lane) && terms.goes(self.way) && length <= terms.bytes_max as usize
        });
        if !is_allowed || id >= self.next_id || flags > (REFUSED | MAY_HAVE_EXPIRED) {
            return Err(DAMAGED);
        }
        let deadline = (left != NONE).then(|| Micros(self.now.0.saturating_add(left)));
        // Of a request nobody waits for the answer any more, but what became of it is told.
        let mut waiting = Waiting::new(MessageId(id), ty, key, Bytes::copy_from_slice(body).into(), deadline);
        if flags & REFUSED != 0 {
            waiting.refuse();
        }
        if flags & MAY_HAVE_EXPIRED != 0 {
            waiting.doubt();
        }
        Ok(waiting)
    }

    fn lane(&mut self, lane: Lane) -> Result<SendLane, DecodeError> {
        let (first, foreign_end) = (self.number()?, self.number()?);
        let (numbered, saved, count) = (self.count()?, self.count()?, self.count()?);
        let limits = lane.limits();
        let is_ordered = numbered <= saved && saved <= count && foreign_end <= first + numbered as u64;
        if !is_ordered || numbered > limits.in_flight || count > limits.queued {
            return Err(DAMAGED);
        }
        let waiting = (0..count).map(|_| self.message(lane)).collect::<Result<VecDeque<_>, _>>()?;
        Ok(SendLane::restored((first, foreign_end), (numbered, saved), waiting))
    }

    fn newest(&mut self) -> Result<Newest, DecodeError> {
        let (next, acked, count) = (self.number()?, self.number()?, self.count()?);
        if acked > next || count > Lane::Latest.limits().queued {
            return Err(DAMAGED);
        }
        let mut waiting = VecDeque::new();
        // Not from `acked` on: one that another program wrote behind an older export may be received, and not told to be polled yet.
        let mut above = 0;
        for _ in 0..count {
            let number = Some(self.word()?).filter(|number| *number != NONE);
            // Numbers ascend; behind the first without one none has one.
            if number.is_some_and(|number| number < above || number >= next) {
                return Err(DAMAGED);
            }
            above = number.map_or(NONE, |number| number + 1);
            waiting.push_back((number, self.message(Lane::Latest)?));
        }
        Ok(Newest::restored(next, acked, waiting))
    }
}

fn write_message(waiting: &Waiting, now: Micros, out: &mut Vec<u8>) {
    let left = waiting.deadline().map_or(NONE, |deadline| deadline.saturating_since(now).0);
    out.extend_from_slice(&waiting.id().0.to_le_bytes());
    out.extend_from_slice(&left.to_le_bytes());
    out.extend_from_slice(&waiting.ty.0.to_le_bytes());
    out.extend_from_slice(&waiting.key.to_le_bytes());
    let flag = |is_so: bool, flag: u8| if is_so { flag } else { 0 };
    out.push(flag(waiting.is_refused(), REFUSED) | flag(waiting.may_have_expired(), MAY_HAVE_EXPIRED));
    write_count(waiting.body.len(), out);
    out.extend_from_slice(&waiting.body);
}

/// Counts and lengths are bounded far below 65,536 by the limits of lanes and bodies.
fn write_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

impl Outbox {
    /// Appends what [`Outbox::restore`] reads.
    ///
    /// What was not written yet expires here as before, but keeps its place: whoever goes on has to know in which order it got its numbers.
    pub fn save(&mut self, now: Micros, out: &mut Vec<u8>) {
        self.expire(now);
        out.extend_from_slice(&self.next_id().to_le_bytes());
        for lane in Lane::ORDERED {
            let lane = self.lane(lane);
            out.extend_from_slice(&lane.first().to_le_bytes());
            out.extend_from_slice(&lane.foreign_end().to_le_bytes());
            write_count((lane.numbered_end() - lane.first()) as usize, out);
            write_count(lane.written_since(self.is_restored()), out);
            write_count(lane.len(), out);
            lane.waiting().for_each(|waiting| write_message(waiting, now, out));
        }
        let newest = self.newest();
        out.extend_from_slice(&newest.end().to_le_bytes());
        out.extend_from_slice(&newest.acked().to_le_bytes());
        write_count(newest.len(), out);
        for (number, waiting) in newest.waiting() {
            out.extend_from_slice(&number.unwrap_or(NONE).to_le_bytes());
            write_message(waiting, now, out);
        }
        self.set_saved(true);
    }

    /// Takes an outbox from the front of `bytes`, as it was saved: its messages wait for the session to go on, under the names that they
    /// had. What was not polled of their fates is not told.
    pub fn restore<'a>(
        schema: &'a Arc<Schema>,
        way: Direction,
        now: Micros,
        bytes: &mut &'a [u8],
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader { bytes, schema, way, now, next_id: 0 };
        reader.next_id = reader.number()?;
        let mut lanes: [SendLane; Lane::ORDERED.len()] = Default::default();
        for (lane, restored) in Lane::ORDERED.into_iter().zip(&mut lanes) {
            *restored = reader.lane(lane)?;
        }
        let newest = reader.newest()?;
        let next_id = reader.next_id;
        *bytes = reader.bytes;
        Ok(Self::restored(schema.clone(), way, next_id, lanes, newest))
    }
}

impl Inbox {
    /// Appends what [`Inbox::restore`] reads.
    pub fn save(&self, out: &mut Vec<u8>) {
        let polled = self.polled();
        for lane in Lane::SENDING_ORDER {
            out.extend_from_slice(&polled.of(lane).to_le_bytes());
        }
        out.extend_from_slice(&self.events_taken().to_le_bytes());
    }

    /// Takes an inbox from the front of `bytes`: it has received what was polled of the one that was saved, and nothing more.
    pub fn restore(schema: &Arc<Schema>, way: Direction, bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        let mut polled = Received::default();
        for lane in Lane::SENDING_ORDER {
            let (word, rest) = bytes.split_first_chunk().ok_or(DAMAGED)?;
            *bytes = rest;
            let number = Some(u64::from_le_bytes(*word)).filter(|number| *number < NUMBERS_MAX);
            polled = polled.with(lane, number.ok_or(DAMAGED)?);
        }
        let (events, rest) = bytes.split_first_chunk().ok_or(DAMAGED)?;
        *bytes = rest;
        Ok(Self::restored(schema.clone(), way, polled, u128::from_le_bytes(*events)))
    }
}
