//! How fast a transfer goes: so that what it puts on a link is gone again within a twentieth of a second.
//!
//! A transfer is a filler. What it stores on the way would hold up the state behind it, so it keeps well below what state itself stores,
//! and gives way when anything else is stored there: a scavenger in the sense of LEDBAT (RFC 6817), with half of its greatest target.
//!
//! | what | how it is known | unit |
//! |---|---|---|
//! | in flight | pieces that were sent, and are not told to be received | bytes |
//! | delay | from sending a piece to hearing that it was received; the least of the last three | microseconds |
//! | base | the least delay of the last 10 to 20 s: the way there and back with nothing stored | microseconds |
//! | queueing | delay - base: what is stored, in time, whoever stored it | microseconds |
//! | `window` | what may be in flight | bytes |
//! | rate | window / delay: what the link takes, or less | bytes a second |
//!
//! ```text
//!  off     = (TARGET - queueing) / TARGET, at least -1
//!  window += gain x off x received       gain: 1 until the queue first forms, then 1/4; 1 where off is negative
//!  may go  = min(window - in flight, what has come at the rate since, at most BURST of it)
//! ```
//!
//! Every [`BASE_PERIOD`] it is silent until nothing is in flight and [`DRAIN`] has passed, to see the way without itself; so does whoever else measures there.

use std::collections::VecDeque;

use super::BulkId;
use crate::limits::{BULK_CHUNK_BYTES_MAX, BULK_WINDOW_BYTES};
use crate::time::Micros;

/// How long what is stored on the way may take, microseconds.
const TARGET: i64 = 50_000;

/// What goes out at once takes no longer than this, microseconds.
const BURST: u64 = 50_000;

/// What may be in flight before anything is known of a link, bytes: a sixteenth of a second at 64 kbit/s.
const WINDOW_AT_FIRST: u32 = 512;
/// At the least, bytes.
const WINDOW_MIN: u32 = 256;
/// At most, bytes: no receiver lets more be under way.
const WINDOW_MAX: u32 = BULK_WINDOW_BYTES as u32;

/// The least that is worth a frame, bytes.
const PIECE_MIN: u32 = 256;

/// Half of how long a least delay is remembered.
const BASE_PERIOD: Micros = Micros::from_secs(10);
/// For how long nothing is sent then.
const DRAIN: Micros = Micros::from_millis(300);

/// A delay is at least this, microseconds: clocks are read once a turn.
const DELAY_MIN: u32 = 500;

/// What a sender has on its way, over all its transfers.
#[derive(Debug)]
pub(super) struct Pace {
    /// Oldest first.
    pieces: VecDeque<Piece>,
    in_flight: u32,
    window: u32,
    delays: [u32; 3],
    base: u32,
    base_before: u32,
    base_began: Option<Micros>,
    /// No queue has formed yet.
    is_starting: bool,
    silent_until: Micros,
    /// Bytes that had come at the rate by `filled`.
    saved: u32,
    filled: Micros,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    id: BulkId,
    /// Where it ends in its content.
    end: u32,
    bytes: u32,
    at: Micros,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            in_flight: 0,
            window: WINDOW_AT_FIRST,
            delays: [u32::MAX; 3],
            base: u32::MAX,
            base_before: u32::MAX,
            base_began: None,
            is_starting: true,
            silent_until: Micros::ZERO,
            saved: 0,
            filled: Micros::ZERO,
        }
    }
}

impl Pace {
    pub(super) fn shrink_to_fit(&mut self) {
        self.pieces.shrink_to_fit();
    }

    /// Bytes that may go now; nothing if fewer than `wanted` or what is worth a frame.
    pub(super) fn allowance(&self, now: Micros, wanted: u32) -> Option<u32> {
        let bytes = match self.rate() {
            _ if now < self.silent_until => 0,
            Some(_) => self.room().min(self.saved_at(now)),
            None if self.in_flight == 0 => self.room(),
            None => 0,
        };
        (bytes >= wanted.min(self.piece())).then_some(bytes)
    }

    /// When [`Pace::allowance`] has something; nothing if it must hear from the receiver first.
    pub(super) fn next_at(&self, wanted: u32) -> Option<Micros> {
        let wanted = wanted.min(self.piece());
        if self.room() < wanted {
            return None;
        }
        let Some(rate) = self.rate() else { return (self.in_flight == 0).then_some(self.silent_until) };
        let missing = u64::from(wanted.saturating_sub(self.saved));
        let wait = Micros((missing * 1_000_000).div_ceil(rate));
        Some((self.filled + wait).max(self.silent_until))
    }

    /// A piece goes out.
    pub(super) fn handle_sent(&mut self, now: Micros, id: BulkId, end: u32, bytes: u32) {
        self.saved = self.saved_at(now).saturating_sub(bytes);
        self.filled = self.filled.max(now);
        self.pieces.push_back(Piece { id, end, bytes, at: now });
        self.in_flight += bytes;
    }

    /// The receiver has a transfer up to `received`.
    pub(super) fn handle_received(&mut self, now: Micros, id: BulkId, received: u32) {
        let (before, mut newest) = (self.in_flight, None);
        self.take_out(|piece| {
            let is_there = piece.id == id && piece.end <= received;
            newest = newest.max(is_there.then_some(piece.at));
            is_there
        });
        let Some(sent) = newest else { return };
        self.saved = self.saved_at(now);
        self.filled = self.filled.max(now);
        let delay = u32::try_from(now.saturating_since(sent).0).unwrap_or(u32::MAX - 1).max(DELAY_MIN);
        self.delays.rotate_right(1);
        self.delays[0] = delay;
        self.take_base(now, delay);
        self.steer(before, before - self.in_flight);
    }

    /// Nothing more is heard of a transfer.
    pub(super) fn forget(&mut self, id: BulkId) {
        self.take_out(|piece| piece.id == id);
    }

    fn take_out(&mut self, mut is_it: impl FnMut(&Piece) -> bool) {
        let in_flight = &mut self.in_flight;
        self.pieces.retain(|piece| {
            let stays = !is_it(piece);
            *in_flight -= if stays { 0 } else { piece.bytes };
            stays
        });
    }

    fn take_base(&mut self, now: Micros, delay: u32) {
        let began = *self.base_began.get_or_insert(now);
        if now.saturating_since(began) >= BASE_PERIOD {
            (self.base_before, self.base, self.base_began) = (self.base, u32::MAX, Some(now));
            self.silent_until = now + DRAIN.max(Micros(u64::from(self.delay()) * 2));
        }
        self.base = self.base.min(delay);
    }

    fn steer(&mut self, in_flight: u32, received: u32) {
        let queueing = i64::from(self.delay().saturating_sub(self.base.min(self.base_before)));
        let off = (TARGET - queueing).max(-TARGET);
        self.is_starting &= queueing < TARGET / 2;
        let step = (i64::from(received) * off / TARGET).unsigned_abs() as u32;
        // Who sends little learns nothing of a link.
        if off >= 0 && u64::from(in_flight) * 2 >= u64::from(self.window) {
            let gain = if self.is_starting { 1 } else { 4 };
            self.window = (self.window + step / gain).min(WINDOW_MAX);
        } else if off < 0 {
            self.window = self.window.saturating_sub(step).max(WINDOW_MIN);
        }
    }

    fn delay(&self) -> u32 {
        self.delays.into_iter().min().unwrap_or(u32::MAX)
    }

    fn room(&self) -> u32 {
        self.window.saturating_sub(self.in_flight)
    }

    /// Bytes a second; nothing before the first answer.
    fn rate(&self) -> Option<u64> {
        let delay = self.delay();
        (delay != u32::MAX).then(|| (u64::from(self.window) * 1_000_000 / u64::from(delay)).max(1))
    }

    /// What may be saved up, bytes.
    fn burst(&self) -> u32 {
        let burst = self.rate().map_or(0, |rate| rate * BURST / 1_000_000);
        (burst.min(u64::from(WINDOW_MAX)) as u32).max(PIECE_MIN)
    }

    fn saved_at(&self, now: Micros) -> u32 {
        // Whatever the rate, and whenever it was: the product stays in its bounds.
        let elapsed = now.saturating_since(self.filled).0.min(10_000_000_000);
        let come = self.rate().map_or(0, |rate| rate * elapsed / 1_000_000);
        (u64::from(self.saved) + come).min(u64::from(self.burst())) as u32
    }

    /// What is worth a frame now, bytes: eight of them fill the window.
    pub(super) fn piece(&self) -> u32 {
        (self.window / 8).min(self.burst()).clamp(PIECE_MIN, BULK_CHUNK_BYTES_MAX as u32)
    }
}
