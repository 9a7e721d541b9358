//! The sender's end of the lane in which the newest message of each key counts.

use std::collections::VecDeque;

use super::frame::OVERHEAD_BYTES_MAX;
use super::types::MessageTypeId;
use super::waiting::{Fates, MessageId, Outcome, Standing, Waiting};
use crate::limits::LATEST_UNACKED_MAX;
use crate::time::Micros;

/// The newest of each key, oldest first: those that were written, with ascending numbers, then the others.
#[derive(Debug, Default)]
pub(super) struct Newest {
    waiting: VecDeque<(Option<u64>, Waiting)>,
    /// How many need not be written on this connection (again).
    written: usize,
    next: u64,
    acked: u64,
    bytes: usize,
}

impl Newest {
    /// Takes the place of the one before of its key: in the queue as well, so that a key which changes all the time has its turn. Behind
    /// the others if the one before was written.
    pub(super) fn replace(&mut self, waiting: Waiting, fates: &mut Fates) {
        self.bytes += waiting.body.len();
        let Some(place) = self.place_of(waiting.ty, waiting.key) else {
            return self.waiting.push_back((None, waiting));
        };
        let is_written = self.waiting[place].0.is_some();
        let old = if is_written {
            self.written -= usize::from(place < self.written);
            self.waiting.push_back((None, waiting));
            self.waiting.remove(place).map(|(_, old)| old)
        } else {
            Some(core::mem::replace(&mut self.waiting[place].1, waiting))
        };
        if let Some(old) = old {
            self.bytes -= old.body.len();
            fates.tell(&old, Outcome::Replaced);
        }
    }

    fn place_of(&self, ty: MessageTypeId, key: u32) -> Option<usize> {
        self.waiting.iter().position(|(_, waiting)| (waiting.ty, waiting.key) == (ty, key))
    }

    /// Bytes of the one that waits under a key.
    pub(super) fn bytes_of(&self, ty: MessageTypeId, key: u32) -> Option<usize> {
        self.place_of(ty, key).map(|place| self.waiting[place].1.body.len())
    }

    /// As it was saved: all that has a number is to be written again.
    pub(super) fn restored(next: u64, acked: u64, waiting: VecDeque<(Option<u64>, Waiting)>) -> Self {
        let bytes = waiting.iter().map(|(_, waiting)| waiting.body.len()).sum();
        Self { waiting, written: 0, next, acked, bytes }
    }

    /// Numbers below this were given after this was saved. How many of them were polled will be told by the next ack; until then they
    /// hold nothing up.
    pub(super) fn catch_up(&mut self, received: u64) {
        self.next = self.next.max(received);
        self.acked = self.acked.max(received);
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.waiting.shrink_to_fit();
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &(Option<u64>, Waiting)> {
        self.waiting.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a message is whose fate is to be told, as far as its receiver is concerned, and how many bytes are to be written before it.
    pub(super) fn standing(&self, id: MessageId) -> Option<(Standing, usize)> {
        let place = self.waiting.iter().position(|(_, waiting)| waiting.id == id)?;
        let (number, waiting) = &self.waiting[place];
        let ahead = self.waiting.iter().take(place).filter(|(number, _)| number.is_none());
        let (count, bytes) = ahead.fold((0, 0), |(count, bytes), (_, it)| (count + 1, bytes + bytes_of(it)));
        let has_room = self.next + count < self.acked + LATEST_UNACKED_MAX;
        let standing = match number {
            Some(_) => Standing::InFlight,
            None if has_room => Standing::Sent,
            None => Standing::Queued,
        };
        waiting.has_fate_to_tell().then_some((standing, bytes))
    }

    /// Bytes of those that were never written, at the most.
    pub(super) fn unwritten_bytes(&self) -> usize {
        let unwritten = self.waiting.iter().filter(|(number, _)| number.is_none());
        unwritten.map(|(_, waiting)| bytes_of(waiting)).sum()
    }

    /// The one in flight with this number.
    pub(super) fn numbered(&mut self, low: u16) -> Option<&mut Waiting> {
        let is_it = |number: Option<u64>| number.is_some_and(|number| number as u16 == low);
        self.waiting.iter_mut().find(|(number, _)| is_it(*number)).map(|(_, waiting)| waiting)
    }

    /// The next to be written and its number, if the receiver's acks are not too far behind.
    pub(super) fn next(&self) -> Option<(u64, &Waiting)> {
        let (number, waiting) = self.waiting.get(self.written)?;
        let number = number.unwrap_or(self.next);
        (number < self.acked + LATEST_UNACKED_MAX).then_some((number, waiting))
    }

    /// That one was written.
    pub(super) fn handle_written(&mut self, number: u64) {
        if let Some((at, _)) = self.waiting.get_mut(self.written) {
            *at = Some(number);
            self.written += 1;
            self.next = self.next.max(number + 1);
        }
    }

    /// One past the newest number that was ever written.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Gives up what has waited too long and was never written. When the next one is to be given up.
    pub(super) fn expire(&mut self, now: Micros, fates: &mut Fates) -> Option<Micros> {
        let mut earliest = None;
        let bytes = &mut self.bytes;
        self.waiting.retain(|(number, waiting)| {
            let stays = number.is_some() || waiting.stays(now, &mut earliest);
            if !stays {
                *bytes -= waiting.body.len();
                fates.tell(waiting, Outcome::Expired);
            }
            stays
        });
        earliest
    }

    /// Those before this number were polled, or replaced before they were.
    pub(super) fn take_delivered(&mut self, end: u64, fates: &mut Fates) {
        self.acked = self.acked.max(end);
        // Numbers ascend; those that were not written yet have none.
        self.give_up_while(fates, Outcome::Delivered, |number| number.is_some_and(|number| number < end));
    }

    /// Those from this number on are to be written again.
    pub(super) fn handle_resumed(&mut self, received: u64) {
        let is_received = |(number, _): &&(Option<u64>, Waiting)| number.is_some_and(|it| it < received);
        self.written = self.waiting.iter().take_while(is_received).count();
    }

    /// Numbers begin anew: what had one is lost.
    pub(super) fn handle_fresh(&mut self, fates: &mut Fates) {
        self.give_up_while(fates, Outcome::Lost, |number| number.is_some());
        (self.written, self.next, self.acked) = (0, 0, 0);
    }

    /// All is lost.
    pub(super) fn handle_end(&mut self, fates: &mut Fates) {
        self.give_up_while(fates, Outcome::Lost, |_| true);
        (self.written, self.next, self.acked) = (0, 0, 0);
    }

    fn give_up_while(&mut self, fates: &mut Fates, outcome: Outcome, is_it: impl Fn(Option<u64>) -> bool) {
        while self.waiting.front().is_some_and(|&(number, _)| is_it(number)) {
            let Some((_, waiting)) = self.waiting.pop_front() else { break };
            self.bytes -= waiting.body.len();
            self.written = self.written.saturating_sub(1);
            fates.tell(&waiting, outcome);
        }
    }
}

/// Bytes on the wire, at the most.
fn bytes_of(waiting: &Waiting) -> usize {
    waiting.body.len() + OVERHEAD_BYTES_MAX
}
