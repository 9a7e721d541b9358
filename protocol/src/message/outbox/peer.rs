//! What the other side has: its acks, and what it tells when a session goes on or begins.

use super::super::frame::{MessageAck, expand};
use super::super::lane::{Lane, Missed, Received, SendLane};
use super::super::saved::NUMBERS_MAX;
use super::Outbox;
use crate::fault::DecodeError;

impl Outbox {
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
        // With the first word over this connection what was saved over the one before is worth nothing any more.
        self.set_saved(false);
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
    /// written in the new one. What another program may have written since it was saved counts as written.
    pub fn handle_fresh(&mut self) {
        if core::mem::take(&mut self.is_restored) {
            self.lanes.iter_mut().for_each(SendLane::take_for_written);
        }
        self.lanes.iter_mut().for_each(|lane| lane.handle_fresh(&mut self.fates));
        self.newest.handle_fresh(&mut self.fates);
        self.unreliable.clear();
    }

    /// There will be no other session: all that is not delivered is lost.
    pub fn handle_end(&mut self) {
        self.is_restored = false;
        self.lanes.iter_mut().for_each(|lane| lane.handle_end(&mut self.fates));
        self.newest.handle_end(&mut self.fates);
        self.unreliable.clear();
    }
}

fn never_sent(value: u64) -> DecodeError {
    DecodeError::Invalid { what: "ack of messages that were not sent, or were acked before", value }
}
