//! The offering side: contents that wait for an answer, go out, and wait to be received.
//!
//! ```text
//!            BULK_OFFER written           BULK_CREDIT                all sent
//!   new ──────────────────────> offered ─────────────> open ───────────────────> complete
//!                                  │ cancelled, expired  │ cancelled                │
//!                                  └──────> stopped <────┘                          │
//!                       BULK_END, in any of them ──> released: its slot is free <───┘
//! ```

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame::{BulkEnd, BulkFrame, BulkStop, CHUNK_OVERHEAD_BYTES, CONTROL_FRAME_BYTES_MAX};
use super::pace::Pace;
use super::resume::{BulkReceived, ReceivedOf};
use super::{BulkError, BulkEvent, BulkFailure, BulkId, BulkOffer, Side};
use crate::fault::DecodeError;
use crate::limits::{
    BULK_BYTES_MAX, BULK_CHUNK_BYTES_MAX, BULK_METADATA_BYTES_MAX, BULK_OFFER_MICROS_MAX, BULK_TRANSFERS_MAX,
};
use crate::time::Micros;

/// All that one side offers.
#[derive(Debug)]
pub(super) struct Sender {
    transfers: VecDeque<Outgoing>,
    next: BulkId,
    /// What the receiver still has, though its end was heard: to be released anew.
    releases: Vec<BulkId>,
    /// What the game is to be told.
    outcomes: VecDeque<BulkEvent>,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    New,
    Offered,
    Open,
}

#[derive(Debug)]
struct Outgoing {
    id: BulkId,
    offer: BulkOffer,
    content: Bytes,
    deadline: Micros,
    stage: Stage,
    /// Offsets: what was written on this connection or received over others; what is known to be received, of that what the game was told;
    /// and where to stop.
    sent: u32,
    received: u32,
    reported: u32,
    limit: u32,
    checksum: Checksum,
    stop: Option<BulkStop>,
    is_stop_written: bool,
}

/// Of what has gone out, each byte once: a connection after another changes nothing.
struct Checksum {
    hasher: crc32fast::Hasher,
    through: u32,
}

impl core::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Checksum").field("through", &self.through).finish_non_exhaustive()
    }
}

impl Checksum {
    fn add(&mut self, content: &[u8], through: u32) {
        if let Some(new) = content.get(self.through as usize..through as usize) {
            self.hasher.update(new);
            self.through = through;
        }
    }
}

impl Sender {
    pub(super) fn new(side: Side) -> Self {
        Self {
            transfers: VecDeque::new(),
            next: side.first(),
            releases: Vec::new(),
            outcomes: VecDeque::new(),
            pace: Pace::default(),
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.transfers.shrink_to_fit();
        self.releases.shrink_to_fit();
        self.outcomes.shrink_to_fit();
        self.pace.shrink_to_fit();
    }

    pub(super) fn offer(
        &mut self,
        now: Micros,
        kind: u16,
        metadata: Bytes,
        content: Bytes,
    ) -> Result<BulkId, BulkError> {
        if content.len() > BULK_BYTES_MAX || metadata.len() > BULK_METADATA_BYTES_MAX {
            return Err(BulkError::TooLarge { bytes: content.len(), metadata: metadata.len() });
        }
        let bytes: usize = self.transfers.iter().map(|transfer| transfer.content.len()).sum();
        let slots = self.transfers.len() + self.outcomes.len();
        if slots >= BULK_TRANSFERS_MAX || bytes + content.len() > BULK_BYTES_MAX {
            return Err(BulkError::Full { transfers: slots, bytes });
        }
        let (id, size) = (self.next, content.len() as u32);
        let next = self.next.0.checked_add(2);
        self.next = BulkId(next.ok_or(BulkError::Full { transfers: slots, bytes })?);
        self.transfers.push_back(Outgoing {
            id,
            offer: BulkOffer { kind, bytes: size, metadata },
            content,
            deadline: now + Micros(BULK_OFFER_MICROS_MAX),
            stage: Stage::New,
            sent: 0,
            received: 0,
            reported: 0,
            limit: 0,
            checksum: Checksum { hasher: crc32fast::Hasher::new(), through: 0 },
            stop: None,
            is_stop_written: false,
        });
        Ok(id)
    }

    /// Takes an offer back, or what is left of it. What was sent whole is out of reach.
    pub(super) fn cancel(&mut self, id: BulkId) -> Result<(), BulkError> {
        let transfer =
            self.transfers.iter_mut().find(|transfer| transfer.id == id && transfer.stop.is_none());
        transfer.ok_or(BulkError::Unknown)?.give_up(BulkStop::Cancelled);
        self.pace.forget(id);
        self.drop_unheard_of();
        Ok(())
    }

    fn expire(&mut self, now: Micros) {
        for transfer in &mut self.transfers {
            let is_waiting = transfer.stage != Stage::Open && transfer.stop.is_none();
            if is_waiting && now >= transfer.deadline {
                transfer.give_up(BulkStop::Expired);
            }
        }
        self.drop_unheard_of();
    }

    /// What the other side never heard of needs no farewell.
    fn drop_unheard_of(&mut self) {
        let outcomes = &mut self.outcomes;
        self.transfers.retain(|transfer| match (transfer.stage, transfer.stop) {
            (Stage::New, Some(stop)) => {
                let why =
                    if stop == BulkStop::Expired { BulkFailure::Expired } else { BulkFailure::Cancelled };
                outcomes.push_back(BulkEvent::NotSent { id: transfer.id, why });
                false
            }
            _ => true,
        });
    }

    // ---- in ----------------------------------------------------------------------------------------------------

    pub(super) fn handle_credit(
        &mut self,
        now: Micros,
        id: BulkId,
        received: u32,
        limit: u32,
    ) -> Result<(), DecodeError> {
        let Some(transfer) = self.find(id)? else { return Ok(()) };
        let is_ordered = (transfer.received..=transfer.sent).contains(&received)
            && (received..=transfer.offer.bytes).contains(&limit)
            && limit >= transfer.limit
            && transfer.stage != Stage::New;
        if !is_ordered && !transfer.is_given_up() {
            return Err(DecodeError::Invalid { what: "bulk credit", value: limit.into() });
        }
        if transfer.is_given_up() {
            return Ok(());
        }
        (transfer.stage, transfer.received, transfer.limit) = (Stage::Open, received, limit);
        transfer.complete_if_sent();
        self.pace.handle_received(now, id, received);
        Ok(())
    }

    pub(super) fn handle_end(&mut self, id: BulkId, end: BulkEnd) -> Result<(), DecodeError> {
        let Some(transfer) = self.find(id)? else { return Ok(()) };
        transfer.check_end(end)?;
        self.settle(id, end);
        self.releases.push(id);
        Ok(())
    }

    /// The transfer of an id; nothing if there was one.
    fn find(&mut self, id: BulkId) -> Result<Option<&mut Outgoing>, DecodeError> {
        if id.side() != self.next.side() || id >= self.next {
            return Err(DecodeError::Invalid { what: "bulk transfer, never offered", value: id.0.into() });
        }
        Ok(self.transfers.iter_mut().find(|transfer| transfer.id == id))
    }

    /// The receiver's end of a transfer is known: that is its outcome.
    fn settle(&mut self, id: BulkId, end: BulkEnd) {
        let Some(place) = self.transfers.iter().position(|transfer| transfer.id == id) else { return };
        self.transfers.remove(place);
        self.pace.forget(id);
        self.outcomes.push_back(match BulkFailure::of(end) {
            None => BulkEvent::Sent { id },
            Some(why) => BulkEvent::NotSent { id, why },
        });
    }

    // ---- out ---------------------------------------------------------------------------------------------------

    pub(super) fn has_control(&self) -> bool {
        !self.releases.is_empty() || self.transfers.iter().any(Outgoing::has_stop)
    }

    /// Appends what frees the other side, as far as it fits.
    pub(super) fn poll_control(&mut self, end: usize, out: &mut Vec<u8>) {
        let fits = |out: &Vec<u8>| out.len() + CONTROL_FRAME_BYTES_MAX <= end;
        while fits(out)
            && let Some(id) = self.releases.pop()
        {
            BulkFrame::Stop { id, stop: BulkStop::Released }.encode(out);
        }
        for transfer in self.transfers.iter_mut().filter(|transfer| transfer.has_stop()) {
            if let Some(stop) = transfer.stop.filter(|_| fits(out)) {
                BulkFrame::Stop { id: transfer.id, stop }.encode(out);
                transfer.is_stop_written = true;
            }
        }
    }

    /// When the next offer or piece may go; nothing if there is none, or if the receiver is to be heard first.
    pub(super) fn next_filler(&self) -> Option<Micros> {
        if self.transfers.iter().any(Outgoing::is_to_be_offered) {
            return Some(Micros::ZERO);
        }
        let open = self.transfers.iter().filter(|transfer| transfer.sendable(&self.pace) > 0);
        open.filter_map(|transfer| self.pace.next_at(transfer.sendable(&self.pace))).min()
    }

    /// Appends one offer or one piece, if it may go now. Offers go before pieces, pieces of the oldest transfer first.
    pub(super) fn poll_filler(&mut self, now: Micros, end: usize, out: &mut Vec<u8>) {
        self.expire(now);
        if let Some(transfer) = self.transfers.iter_mut().find(|transfer| transfer.is_to_be_offered()) {
            // The slot of one that has ended is free on the other side when that has heard so.
            if self.releases.is_empty() && out.len() + transfer.offer_bytes() <= end {
                transfer.stage = Stage::Offered;
                BulkFrame::Offer { id: transfer.id, offer: transfer.offer.clone() }.encode(out);
            }
            return;
        }
        let space = end.saturating_sub(out.len() + CHUNK_OVERHEAD_BYTES).min(BULK_CHUNK_BYTES_MAX) as u32;
        for transfer in &mut self.transfers {
            let wanted = transfer.sendable(&self.pace).min(space);
            if wanted > 0
                && let Some(allowance) = self.pace.allowance(now, wanted)
            {
                let bytes = wanted.min(allowance);
                transfer.write(bytes, out);
                self.pace.handle_sent(now, transfer.id, transfer.sent, bytes);
                return;
            }
        }
    }

    /// Whether nothing is under way, nor to be told.
    pub(super) fn is_idle(&self) -> bool {
        self.transfers.is_empty() && self.outcomes.is_empty()
    }

    /// What the game is to be told next.
    pub(super) fn poll_event(&mut self, now: Micros) -> Option<BulkEvent> {
        self.expire(now);
        for transfer in &mut self.transfers {
            if transfer.received > transfer.reported && !transfer.is_given_up() {
                transfer.reported = transfer.received;
                let (bytes, of) = (transfer.received, transfer.offer.bytes);
                return Some(BulkEvent::Sending { id: transfer.id, bytes, of });
            }
        }
        self.outcomes.pop_front()
    }

    // ---- another connection ------------------------------------------------------------------------------------

    /// The session goes on over another connection, whose other side has received so much. After an error nothing has changed.
    pub(super) fn handle_resumed(&mut self, told: &BulkReceived) -> Result<(), DecodeError> {
        let lie = |id: BulkId| DecodeError::Invalid {
            what: "bulk transfer, not as it was sent",
            value: id.0.into(),
        };
        for (id, state) in told.iter() {
            match self.find(id)? {
                Some(transfer) if !transfer.may_be(state) => return Err(lie(id)),
                None if !matches!(state, ReceivedOf::Ended(_)) => return Err(lie(id)),
                _ => {}
            }
        }
        let is_missing = |transfer: &&Outgoing| {
            let was_heard_of = transfer.id < told.next();
            // One that was written and not heard of is offered again; one that was answered cannot be unheard of.
            if was_heard_of {
                told.find_transfer(transfer.id).is_none()
            } else {
                transfer.stage == Stage::Open
            }
        };
        if told.next() > self.next {
            return Err(lie(told.next()));
        }
        if let Some(transfer) = self.transfers.iter().find(is_missing) {
            return Err(lie(transfer.id));
        }
        self.pace = Pace::default();
        self.releases.clear();
        for transfer in &mut self.transfers {
            transfer.restart(told.find_transfer(transfer.id));
        }
        for (id, state) in told.iter() {
            if let ReceivedOf::Ended(end) = state {
                self.settle(id, end);
                self.releases.push(id);
            }
        }
        self.drop_unheard_of();
        Ok(())
    }

    /// Another session begins, or none: what was written before is lost. What was not is offered there, if there is one.
    pub(super) fn handle_fresh(&mut self, is_end: bool) {
        self.pace = Pace::default();
        self.releases.clear();
        let outcomes = &mut self.outcomes;
        self.transfers.retain(|transfer| {
            let is_kept = transfer.stage == Stage::New && !is_end;
            if !is_kept {
                outcomes.push_back(BulkEvent::NotSent { id: transfer.id, why: BulkFailure::Lost });
            }
            is_kept
        });
    }
}

impl Outgoing {
    fn offer_bytes(&self) -> usize {
        CONTROL_FRAME_BYTES_MAX + self.offer.metadata.len()
    }

    fn is_to_be_offered(&self) -> bool {
        self.stage == Stage::New && self.stop.is_none()
    }

    fn has_stop(&self) -> bool {
        self.stop.is_some() && !self.is_stop_written
    }

    /// Whether the game, or time, has taken it back.
    fn is_given_up(&self) -> bool {
        matches!(self.stop, Some(BulkStop::Cancelled | BulkStop::Expired))
    }

    fn give_up(&mut self, stop: BulkStop) {
        (self.stop, self.is_stop_written) = (Some(stop), false);
        self.content = Bytes::new();
    }

    /// What may be sent if the pace allows it, bytes. Little credit is not worth a frame.
    fn sendable(&self, pace: &Pace) -> u32 {
        if self.stage != Stage::Open || self.stop.is_some() {
            return 0;
        }
        let (left, credit) = (self.offer.bytes - self.sent, self.limit - self.sent);
        if credit < left.min(pace.piece()) { 0 } else { credit }
    }

    fn write(&mut self, bytes: u32, out: &mut Vec<u8>) {
        let (offset, through) = (self.sent, self.sent + bytes);
        let content = self.content.slice(offset as usize..through as usize);
        BulkFrame::Chunk { id: self.id, offset, content }.encode(out);
        self.sent = through;
        self.checksum.add(&self.content, through);
        self.complete_if_sent();
    }

    fn complete_if_sent(&mut self) {
        if self.sent == self.offer.bytes && self.stop.is_none() {
            let checksum = self.checksum.hasher.clone().finalize();
            self.stop = Some(BulkStop::Complete { checksum });
        }
    }

    /// What is received was sent whole.
    fn check_end(&self, end: BulkEnd) -> Result<(), DecodeError> {
        let is_possible = match end {
            BulkEnd::Received | BulkEnd::Damaged => matches!(self.stop, Some(BulkStop::Complete { .. })),
            BulkEnd::Refused | BulkEnd::Cancelled | BulkEnd::Expired => self.stage != Stage::New,
        };
        if is_possible {
            return Ok(());
        }
        Err(DecodeError::Invalid { what: "end of a bulk transfer, not now", value: end as u64 })
    }

    /// Whether the receiver can be so far.
    fn may_be(&self, state: ReceivedOf) -> bool {
        match state {
            ReceivedOf::Offered => self.stage == Stage::Offered,
            // The credit that accepted it may have been lost; nothing was sent then.
            ReceivedOf::Open { bytes } => {
                self.stage != Stage::New && (self.received..=self.sent).contains(&bytes)
            }
            ReceivedOf::Ended(end) => self.check_end(end).is_ok(),
        }
    }

    /// Goes on from what the receiver says it has.
    fn restart(&mut self, state: Option<ReceivedOf>) {
        self.is_stop_written = false;
        match state {
            None => self.stage = Stage::New,
            Some(ReceivedOf::Offered) => self.stage = Stage::Offered,
            Some(ReceivedOf::Open { bytes }) => {
                self.stage = Stage::Open;
                (self.sent, self.received, self.limit) = (bytes, bytes, bytes);
                if !self.is_given_up() {
                    self.stop = None;
                    self.complete_if_sent();
                }
            }
            Some(ReceivedOf::Ended(_)) => {}
        }
    }
}
