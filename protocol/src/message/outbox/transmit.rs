//! What of it goes next: better lanes first, and each in its turn.

use super::super::body::MessageBody;
use super::super::frame::OVERHEAD_BYTES_MAX;
use super::super::lane::Lane;
use super::super::types::MessageClass;
use super::Outbox;
use crate::limits::MESSAGES_PER_TRANSMIT_MAX;
use crate::time::Micros;

/// Messages of a lane whose turn it is, before those of better ones: a quarter.
const MESSAGES_PER_TURN_MAX: usize = MESSAGES_PER_TRANSMIT_MAX / 4;

impl Outbox {
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

    /// Appends at most [`MESSAGES_PER_TRANSMIT_MAX`] MESSAGE frames with at most `bytes_max` bytes in all, and what there is
    /// [room](Outbox::set_room) for, on a connection that lasts.
    ///
    /// Better lanes go first, and nothing of a lane before what waits in a better one. But a lane for which there was no room at all
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
            lane => {
                let waiting = &self.lanes[lane as usize];
                // Mostly nothing does: then limits need not be looked up.
                waiting.has_unwritten() && waiting.next(lane.limits_within(self.limits)).is_some()
            }
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
        let (limits, waiting) = (lane.limits_within(self.limits), &mut self.lanes[lane as usize]);
        while let Some((number, next)) = waiting.next(limits) {
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
}

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
