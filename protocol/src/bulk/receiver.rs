//! The receiving side: offers that wait for an answer, and contents that come in.
//!
//! ```text
//!                    accepted            all has come
//!   offered ─────────────────> open ─────────────────────> whole
//!      │ refused, expired       │ cancelled                  │ polled: received, or damaged
//!      └────────────────────> ended <────────────────────────┘
//!                               │ BULK_STOP released: its slot is free
//! ```
//!
//! Memory grows with what has come, never with what is claimed; what is accepted at once is bounded before.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame::{BulkEnd, BulkFrame, BulkStop, CONTROL_FRAME_BYTES_MAX};
use super::resume::{BulkReceived, ReceivedOf};
use super::{BulkError, BulkEvent, BulkFailure, BulkId, BulkOffer, Side};
use crate::fault::DecodeError;
use crate::limits::{BULK_BYTES_MAX, BULK_OFFER_MICROS_MAX, BULK_TRANSFERS_MAX, BULK_WINDOW_BYTES};
use crate::time::Micros;

/// All that one side is offered.
#[derive(Debug)]
pub(super) struct Receiver {
    transfers: VecDeque<Incoming>,
    /// Above all that were offered.
    next: BulkId,
    /// What became of those of a session before.
    former: VecDeque<BulkEvent>,
}

#[derive(Debug)]
struct Incoming {
    id: BulkId,
    offer: BulkOffer,
    deadline: Micros,
    is_announced: bool,
    is_accepted: bool,
    content: Vec<u8>,
    hasher: crc32fast::Hasher,
    /// What the game was told of, bytes: as far ahead of it the sender may go.
    polled: u32,
    /// What the sender was told: received, and limit.
    told: Option<(u32, u32)>,
    stop: Option<BulkStop>,
    end: Option<BulkEnd>,
    is_end_written: bool,
}

impl Receiver {
    /// `side` is that of the other, which offers.
    pub(super) fn new(side: Side) -> Self {
        Self { transfers: VecDeque::new(), next: side.first(), former: VecDeque::new() }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.transfers.shrink_to_fit();
        self.former.shrink_to_fit();
    }

    /// Bytes of what was accepted and has not ended.
    fn accepted_bytes(&self) -> usize {
        let is_held = |transfer: &&Incoming| transfer.is_accepted && transfer.end.is_none();
        self.transfers.iter().filter(is_held).map(|transfer| transfer.offer.bytes as usize).sum()
    }

    pub(super) fn accept(&mut self, id: BulkId) -> Result<(), BulkError> {
        let bytes = self.accepted_bytes();
        let slots = self.transfers.len();
        let transfer = self.transfers.iter_mut().find(|transfer| transfer.id == id && transfer.is_waiting());
        let transfer = transfer.ok_or(BulkError::Unknown)?;
        if bytes + transfer.offer.bytes as usize > BULK_BYTES_MAX {
            return Err(BulkError::Full { transfers: slots, bytes });
        }
        transfer.is_accepted = true;
        Ok(())
    }

    /// Refuses an offer, or wants no more of what was accepted.
    pub(super) fn cancel(&mut self, id: BulkId) -> Result<(), BulkError> {
        let transfer = self.transfers.iter_mut().find(|transfer| transfer.id == id && transfer.end.is_none());
        let transfer = transfer.ok_or(BulkError::Unknown)?;
        transfer.finish(if transfer.is_accepted { BulkEnd::Cancelled } else { BulkEnd::Refused });
        Ok(())
    }

    // ---- in ----------------------------------------------------------------------------------------------------

    pub(super) fn handle_offer(
        &mut self,
        now: Micros,
        id: BulkId,
        offer: BulkOffer,
    ) -> Result<(), DecodeError> {
        if id.side() != self.next.side() || id < self.next || id.0 > u32::MAX - 2 {
            return Err(DecodeError::Invalid { what: "bulk offer", value: id.0.into() });
        }
        if self.transfers.len() >= BULK_TRANSFERS_MAX {
            let (value, limit) = (self.transfers.len() as u64 + 1, BULK_TRANSFERS_MAX as u64);
            return Err(DecodeError::TooLarge { what: "bulk transfers at a time", value, limit });
        }
        self.next = BulkId(id.0 + 2);
        self.transfers.push_back(Incoming {
            id,
            offer,
            deadline: now + Micros(BULK_OFFER_MICROS_MAX),
            is_announced: false,
            is_accepted: false,
            content: Vec::new(),
            hasher: crc32fast::Hasher::new(),
            polled: 0,
            told: None,
            stop: None,
            end: None,
            is_end_written: false,
        });
        Ok(())
    }

    pub(super) fn handle_chunk(
        &mut self,
        id: BulkId,
        offset: u32,
        content: &Bytes,
    ) -> Result<(), DecodeError> {
        let invalid = |what, value: u32| Err(DecodeError::Invalid { what, value: value.into() });
        let transfer = self.transfers.iter_mut().find(|transfer| transfer.id == id);
        let Some(transfer) = transfer.filter(|transfer| transfer.stop.is_none()) else {
            return invalid("bulk chunk, of no transfer", id.0);
        };
        if transfer.end.is_some() {
            // It was on its way when the game wanted no more.
            return Ok(());
        }
        if offset != transfer.received() {
            return invalid("bulk chunk, not the next", offset);
        }
        let (through, limit) = (offset as usize + content.len(), transfer.told.map_or(0, |(_, limit)| limit));
        if through > limit as usize {
            let (value, limit) = (through as u64, limit.into());
            return Err(DecodeError::TooLarge { what: "bulk chunk, beyond its credit", value, limit });
        }
        transfer.append(content);
        Ok(())
    }

    pub(super) fn handle_stop(&mut self, id: BulkId, stop: BulkStop) -> Result<(), DecodeError> {
        let invalid = |what| Err(DecodeError::Invalid { what, value: id.0.into() });
        let Some(place) = self.transfers.iter().position(|transfer| transfer.id == id) else {
            let was_there = id.side() == self.next.side() && id < self.next;
            return if was_there { Ok(()) } else { invalid("bulk transfer, never offered") };
        };
        let transfer = &mut self.transfers[place];
        match (transfer.end, stop) {
            (Some(_), BulkStop::Released) => drop(self.transfers.remove(place)),
            (None, BulkStop::Released) => return invalid("release of a bulk transfer, which has not ended"),
            (Some(_), _) => {}
            (None, _) if transfer.stop.is_some() => return invalid("second stop of a bulk transfer"),
            (None, BulkStop::Complete { .. })
                if transfer.received() < transfer.offer.bytes || !transfer.is_accepted =>
            {
                return invalid("stop of a bulk transfer, which is not complete");
            }
            (None, BulkStop::Complete { .. }) => transfer.stop = Some(stop),
            (None, BulkStop::Cancelled | BulkStop::Expired) if transfer.is_announced => {
                transfer.stop = Some(stop);
            }
            // Nobody has heard of it, and nobody will.
            (None, BulkStop::Cancelled | BulkStop::Expired) => transfer.finish(end_of(stop)),
        }
        Ok(())
    }

    // ---- out ---------------------------------------------------------------------------------------------------

    pub(super) fn has_control(&self) -> bool {
        self.transfers.iter().any(|transfer| transfer.credit().is_some() || transfer.has_end())
    }

    /// Appends what the sender is to be told, as far as it fits.
    pub(super) fn poll_control(&mut self, end: usize, out: &mut Vec<u8>) {
        for transfer in &mut self.transfers {
            if out.len() + CONTROL_FRAME_BYTES_MAX > end {
                return;
            }
            let id = transfer.id;
            if let Some((received, limit)) = transfer.credit() {
                BulkFrame::Credit { id, received, limit }.encode(out);
                transfer.told = Some((received, limit));
            } else if let Some(end) = transfer.end.filter(|_| transfer.has_end()) {
                BulkFrame::End { id, end }.encode(out);
                transfer.is_end_written = true;
            }
        }
    }

    /// Whether nothing is under way, nor to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.transfers.is_empty() && self.former.is_empty()
    }

    /// What the game is to be told next.
    pub(super) fn poll_event(&mut self, now: Micros) -> Option<BulkEvent> {
        self.former
            .pop_front()
            .or_else(|| self.transfers.iter_mut().find_map(|transfer| transfer.poll_event(now)))
    }

    /// As [`Receiver::poll_event`], of sessions before this one alone.
    pub(super) fn poll_former(&mut self) -> Option<BulkEvent> {
        self.former.pop_front()
    }

    // ---- another connection ------------------------------------------------------------------------------------

    /// What the sender has to know to go on over another connection.
    pub(super) fn received(&self) -> BulkReceived {
        BulkReceived::new(self.next, self.transfers.iter().map(|transfer| (transfer.id, transfer.state())))
    }

    /// The session goes on over another connection. What was told on the one before may not have arrived, and the sender says again when it
    /// stops.
    pub(super) fn handle_resumed(&mut self) {
        for transfer in &mut self.transfers {
            transfer.told = None;
            transfer.is_end_written = false;
            if transfer.end.is_none() {
                transfer.stop = None;
            }
        }
    }

    /// Another session begins, or none: what was on its way is lost.
    pub(super) fn handle_fresh(&mut self) {
        let side = self.next.side();
        for transfer in self.transfers.drain(..) {
            // Of more than a game can have heard of since it polled last nothing is told.
            if transfer.is_announced && transfer.end.is_none() && self.former.len() < BULK_TRANSFERS_MAX {
                self.former.push_back(BulkEvent::NotReceived { id: transfer.id, why: BulkFailure::Lost });
            }
        }
        self.next = side.first();
    }
}

fn end_of(stop: BulkStop) -> BulkEnd {
    if stop == BulkStop::Expired { BulkEnd::Expired } else { BulkEnd::Cancelled }
}

impl Incoming {
    fn received(&self) -> u32 {
        self.content.len() as u32
    }

    /// Whether the game was asked, and has not answered.
    fn is_waiting(&self) -> bool {
        self.is_announced && !self.is_accepted && self.stop.is_none() && self.end.is_none()
    }

    fn append(&mut self, content: &[u8]) {
        let (length, size) = (self.content.len(), self.offer.bytes as usize);
        if self.content.capacity() < length + content.len() {
            // Twice as much, as vectors grow, but never more than there will be.
            let capacity = (2 * length).max(length + content.len()).min(size);
            self.content.reserve_exact(capacity - length);
        }
        self.content.extend_from_slice(content);
        self.hasher.update(content);
    }

    fn finish(&mut self, end: BulkEnd) {
        self.end = Some(end);
        self.content = Vec::new();
    }

    /// Received, and limit, if the sender is to be told of others than before.
    fn credit(&self) -> Option<(u32, u32)> {
        let is_wanted = self.is_accepted && self.end.is_none();
        if !is_wanted || matches!(self.stop, Some(BulkStop::Cancelled | BulkStop::Expired)) {
            return None;
        }
        let limit = self.offer.bytes.min(self.polled.saturating_add(BULK_WINDOW_BYTES as u32));
        let credit = (self.received(), limit);
        (self.told != Some(credit)).then_some(credit)
    }

    fn has_end(&self) -> bool {
        self.end.is_some() && !self.is_end_written
    }

    fn state(&self) -> ReceivedOf {
        match self.end {
            Some(end) => ReceivedOf::Ended(end),
            None if self.is_accepted => ReceivedOf::Open { bytes: self.received() },
            None => ReceivedOf::Offered,
        }
    }

    fn poll_event(&mut self, now: Micros) -> Option<BulkEvent> {
        let id = self.id;
        if self.end.is_some() {
            return None;
        }
        match self.stop {
            Some(BulkStop::Complete { checksum }) => return Some(self.take_whole(checksum)),
            Some(stop) => {
                self.finish(end_of(stop));
                let why = BulkFailure::of(end_of(stop)).unwrap_or(BulkFailure::Cancelled);
                return Some(BulkEvent::NotReceived { id, why });
            }
            None => {}
        }
        if !self.is_accepted && now >= self.deadline {
            self.finish(BulkEnd::Expired);
            return self.is_announced.then_some(BulkEvent::NotReceived { id, why: BulkFailure::Expired });
        }
        if !core::mem::replace(&mut self.is_announced, true) {
            return Some(BulkEvent::Offered { id, offer: self.offer.clone() });
        }
        if self.received() > self.polled {
            self.polled = self.received();
            return Some(BulkEvent::Receiving { id, bytes: self.polled, of: self.offer.bytes });
        }
        None
    }

    fn take_whole(&mut self, checksum: u32) -> BulkEvent {
        let (id, content) = (self.id, core::mem::take(&mut self.content));
        if self.hasher.clone().finalize() == checksum {
            self.finish(BulkEnd::Received);
            BulkEvent::Received { id, content: content.into() }
        } else {
            self.finish(BulkEnd::Damaged);
            BulkEvent::NotReceived { id, why: BulkFailure::Damaged }
        }
    }
}
