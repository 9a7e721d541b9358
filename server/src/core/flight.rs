//! Bytes on their way to a peer: how many there are, how long they take, and how many more may follow.
//!
//! A stream that is slower than what it is given stores the rest somewhere: in the kernel, in a modem, in a proxy. Whatever is stored is old when it
//! comes out. So no more is sent than arrives within a round trip and [`QUEUE_TARGET`]; meanwhile ticks pass, and what is sent next is
//! the newest of them: the peer sees fresh state at a lower rate.
//!
//! | what | how it is known | unit |
//! |---|---|---|
//! | in flight | sent, and newer than the newest frame that was acked | bytes |
//! | delay | from sending the newest acked frame to its ack; the least of the last [`SAMPLES`], since acks wait for the next input | microseconds |
//! | base | the least delay of the last 10 to 20 s: the way there and back with nothing stored | microseconds |
//! | queueing | delay - base: what is stored, in time | microseconds |
//! | `window` | what may be in flight | bytes |
//!
//! With every ack of `acked` bytes, much as LEDBAT does (RFC 6817, section 2.4.2):
//!
//! ```text
//!  off     = (QUEUE_TARGET - queueing) / QUEUE_TARGET, at least -1
//!  window += gain x off x acked       gain: 1 until the queue first forms, then 1/4; 1 where off is negative
//! ```
//!
//! A snapshot takes half of it at most. It grows only if three eighths were in use, and shrinks only if a quarter was: a peer that is sent little tells nothing about its link. An ack names
//! the **newest** frame that was applied, so a stall of the link, after which everything comes at once, is no long delay: only what lasts is.
//! Where the window has held something back for the length of a base period, the queue that it allows may have become part of the base:
//! then it is cut to its least for [`DRAIN`], to see the way without (as BBR's `ProbeRTT`).
//!
//! Lost datagrams that are older than the newest ack are not in flight. If acks stop, one snapshot is let through every [`PROBE_AFTER`]:
//! nothing waits for ever for an ack that was lost.

use std::collections::VecDeque;

use tickwire_protocol::limits::FRAME_BYTES_MAX;
use tickwire_protocol::{Micros, Tick};

use super::budget::SNAPSHOT_BYTES_MIN;
use super::message_window::MessageWindow;

/// How long what is stored on the way may take, microseconds: RFC 6817's greatest.
const QUEUE_TARGET: i64 = 100_000;

/// What may be in flight before anything is known of a link, bytes: half a second of the usual budget.
const WINDOW_AT_FIRST: u64 = 4 * 1024;
/// At the least, bytes: two snapshots of the usual budget.
const WINDOW_MIN: u64 = 800;
/// At most, bytes: one largest frame after another. 128 KiB on the way to one player are no game.
const WINDOW_MAX: u64 = FRAME_BYTES_MAX as u64;

/// A link on which a game can still be played, bytes a second: 16 kbit/s.
const SLOWEST_LINK: u64 = 2_000;
/// It takes about so long for the largest message, 48 KiB.
const MESSAGE_PATIENCE_MAX: Micros = Micros::from_secs(30);

/// How long a peer may ack nothing before one more snapshot is let through.
const PROBE_AFTER: Micros = Micros::from_millis(500);
/// How large it may be, bytes: one of the usual budget. It is the first that comes through after a second in which all was lost; one with a
/// few rows would make a peer show the others where they were.
const PROBE_BYTES: usize = WINDOW_MIN as usize / 2;
/// Half of how long a least delay is remembered.
const BASE_PERIOD: Micros = Micros::from_secs(10);
/// For how long the window is at its least, to see the base anew.
const DRAIN: Micros = Micros::from_millis(300);
/// Delays of which the least counts.
const SAMPLES: usize = 3;
/// Frames in flight, at most: datagrams are remembered for as many, and a probe each half second is far from it.
const FRAMES_MAX: usize = tickwire_protocol::limits::DATAGRAMS_IN_FLIGHT_MAX;

/// What is on its way to one peer.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Frames newer than the newest that was acked, oldest first.
    frames: VecDeque<Frame>,
    bytes: u64,
    /// Bytes of messages that were sent before one of them, and behind the newest.
    riders: u64,
    behind: u32,
    window: u64,
    delays: [u32; SAMPLES],
    /// Of frames that messages were sent before: a burst every few frames is not seen in the least of all.
    ridden: [u32; SAMPLES],
    base: Base,
    /// No queue has formed yet.
    is_starting: bool,
    /// The window has held something back in this base period.
    is_limiting: bool,
    drain_until: Micros,
    /// When the last ack came, or the first frame after silence was sent.
    progress: Micros,
    /// When something was last let through without an ack.
    probed: Micros,
    messages: MessageWindow,
    messages_sent: Micros,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    tick: Tick,
    at: Micros,
    bytes: u32,
    /// Of messages between the frame before and this one: they have arrived when it has.
    riders: u32,
}

/// The least delay of this period, and of the one before, microseconds.
#[derive(Clone, Copy, Debug)]
struct Base {
    least: u32,
    before: u32,
    began: Micros,
}

impl Default for Flight {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            riders: 0,
            behind: 0,
            window: WINDOW_AT_FIRST,
            delays: [u32::MAX; SAMPLES],
            ridden: [u32::MAX; SAMPLES],
            base: Base { least: u32::MAX, before: u32::MAX, began: Micros::ZERO },
            is_starting: true,
            is_limiting: false,
            drain_until: Micros::ZERO,
            progress: Micros::ZERO,
            probed: Micros::ZERO,
            messages: MessageWindow::default(),
            messages_sent: Micros::ZERO,
        }
    }
}

impl Flight {
    /// Frames newer than the newest that was acked.
    pub(crate) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What may be in flight, bytes.
    pub(crate) fn window(&self, now: Micros) -> u64 {
        if now < self.drain_until { WINDOW_MIN } else { self.window }
    }

    /// What is stored on the way, in time; nothing before the first ack.
    pub(crate) fn queueing(&self) -> Option<Micros> {
        let (delay, base) = (self.delay(), self.base.least());
        (base != u32::MAX).then(|| Micros(u64::from(delay.saturating_sub(base))))
    }

    /// What messages may put on the way at `now`, bytes; the one that begins within it goes whole. A queue is seen early: as soon as the oldest
    /// frame that is not acked is late.
    pub(crate) fn message_room(&self, now: Micros) -> usize {
        let waits = self.frames.front().map_or(0, |oldest| now.saturating_since(oldest.at).0);
        let late = self
            .queueing()
            .map(|known| known.max(Micros(waits.saturating_sub(u64::from(self.base.least())))));
        // Without state nothing tells what has arrived: then so much goes in a while.
        let is_alone = self.frames.is_empty() && now.saturating_since(self.messages_sent) >= PROBE_AFTER;
        let in_flight = if is_alone { 0 } else { self.riders + u64::from(self.behind) };
        self.messages.bytes(late.unwrap_or_default()).saturating_sub(in_flight as usize)
    }

    /// Messages are handed to the transport.
    pub(crate) fn handle_messages(&mut self, now: Micros, bytes: usize) {
        if self.frames.is_empty() && now.saturating_since(self.messages_sent) >= PROBE_AFTER {
            self.behind = 0;
        }
        self.behind = self.behind.saturating_add(bytes as u32);
        self.messages_sent = now;
    }

    /// Messages wait until there are fewer on the way.
    pub(crate) fn handle_messages_held(&mut self) {
        self.messages.handle_held();
    }

    /// No state is sent for a while, and nobody acks what is on its way: it is not waited for.
    pub(crate) fn handle_paused(&mut self) {
        self.frames.clear();
        (self.bytes, self.riders, self.behind) = (0, 0, 0);
    }

    /// Bytes that may follow at `now`; fewer than [`SNAPSHOT_BYTES_MIN`] are none.
    pub(crate) fn room(&self, now: Micros) -> usize {
        let room = self.window(now).saturating_sub(self.bytes) as usize;
        if self.frames.len() < FRAMES_MAX && room >= SNAPSHOT_BYTES_MIN {
            // One that took all of it would have nothing follow it for a round trip.
            return room.min(self.window(now) as usize / 2);
        }
        let silent_since = self.progress.max(self.probed);
        if now.saturating_since(silent_since) >= PROBE_AFTER { PROBE_BYTES } else { 0 }
    }

    /// How long the slowest link that can be played over takes for the messages on their way, behind which acks wait. State is not
    /// counted: it goes on being sent to who acks nothing.
    pub(crate) fn message_patience(&self) -> Micros {
        let bytes = self.riders + u64::from(self.behind);
        Micros(bytes * 1_000_000 / SLOWEST_LINK).min(MESSAGE_PATIENCE_MAX)
    }

    /// For how long nothing was acked of what is in flight.
    pub(crate) fn stalled_for(&self, now: Micros) -> Micros {
        if self.frames.is_empty() { Micros::ZERO } else { now.saturating_since(self.progress) }
    }

    /// Something had to wait for the window, or was cut by it.
    pub(crate) fn handle_limited(&mut self) {
        self.is_limiting = true;
    }

    /// A frame is handed to the transport.
    pub(crate) fn handle_sent(&mut self, now: Micros, tick: Tick, bytes: usize) {
        if self.frames.is_empty() {
            self.progress = self.progress.max(now);
        }
        if self.bytes + bytes as u64 > self.window(now) {
            self.probed = now;
        }
        if self.frames.len() >= FRAMES_MAX
            && let Some(lost) = self.frames.pop_front()
        {
            self.take_out(lost);
        }
        let riders = core::mem::take(&mut self.behind);
        self.frames.push_back(Frame { tick, at: now, bytes: bytes as u32, riders });
        self.bytes += bytes as u64;
        self.riders += u64::from(riders);
    }

    fn take_out(&mut self, frame: Frame) {
        self.bytes -= u64::from(frame.bytes);
        self.riders -= u64::from(frame.riders);
    }

    /// An ack leaves `left` frames in flight; `applied` is told the ticks of those that it takes out.
    pub(crate) fn handle_ack(&mut self, now: Micros, left: usize, mut applied: impl FnMut(Tick)) {
        let gone = self.frames.len().saturating_sub(left);
        let Some(newest) = gone.checked_sub(1).and_then(|last| self.frames.get(last)).copied() else {
            return;
        };
        let before = self.bytes;
        let mut ridden = None;
        for _ in 0..gone {
            let Some(frame) = self.frames.pop_front() else { break };
            self.take_out(frame);
            ridden = Some(frame.at).filter(|_| frame.riders > 0).or(ridden);
            applied(frame.tick);
        }
        self.progress = now;
        let delay_of = |at: Micros| u32::try_from(now.saturating_since(at).0).unwrap_or(u32::MAX - 1);
        let delay = delay_of(newest.at);
        note(&mut self.delays, delay);
        self.take_base(now, delay);
        self.steer(before, before - self.bytes);
        if let Some(at) = ridden {
            note(&mut self.ridden, delay_of(at));
            let queueing = least(&self.ridden).saturating_sub(self.base.least());
            self.messages.handle_ack(now, Micros(u64::from(queueing)));
        }
    }

    fn delay(&self) -> u32 {
        least(&self.delays)
    }

    fn take_base(&mut self, now: Micros, delay: u32) {
        if self.base.least == u32::MAX && self.base.before == u32::MAX {
            // The first delay: a server may have run for long before.
            self.base.began = now;
        }
        if now.saturating_since(self.base.began) >= BASE_PERIOD {
            self.base = Base { least: u32::MAX, before: self.base.least, began: now };
            if core::mem::take(&mut self.is_limiting) {
                self.drain_until = now + DRAIN;
            }
        }
        self.base.least = self.base.least.min(delay);
    }

    /// `in_flight` bytes were on their way before `acked` of them were acked.
    fn steer(&mut self, in_flight: u64, acked: u64) {
        let queueing = i64::from(self.delay().saturating_sub(self.base.least()));
        let off = (QUEUE_TARGET - queueing).max(-QUEUE_TARGET);
        self.is_starting &= queueing < QUEUE_TARGET / 2;
        let step = (acked as i64 * off / QUEUE_TARGET).unsigned_abs();
        if off >= 0 && in_flight * 8 >= self.window * 3 {
            let gain = if self.is_starting { 1 } else { 4 };
            self.window = (self.window + step / gain).min(WINDOW_MAX);
        } else if off < 0 && in_flight * 4 >= self.window {
            self.window = self.window.saturating_sub(step).max(WINDOW_MIN);
        }
    }
}

fn note(delays: &mut [u32; SAMPLES], delay: u32) {
    delays.rotate_right(1);
    delays[0] = delay;
}

fn least(delays: &[u32; SAMPLES]) -> u32 {
    delays.iter().copied().min().unwrap_or(u32::MAX)
}

impl Base {
    fn least(&self) -> u32 {
        self.least.min(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link with a rate and a way there and back, and acks every `ack_every` of the newest that has arrived.
    struct Link {
        bytes_per_second: u64,
        round_trip: u64,
        ack_every: u64,
    }

    /// Sends as much as it may each 50 ms, at most `demand` bytes; the ages at which bytes arrive, in the second half.
    fn play(flight: &mut Flight, link: &Link, demand: usize, seconds: u64) -> (Vec<u64>, u64) {
        let (mut free_at, mut arrivals) = (0_u64, VecDeque::new());
        let (mut ages, mut delivered, mut sent, mut acked) = (Vec::new(), 0, 0_usize, 0_usize);
        for now in (0..seconds * 1_000_000).step_by(1_000) {
            if now % 50_000 == 0 {
                let room = flight.room(Micros(now)).min(demand);
                if room < demand {
                    flight.handle_limited();
                }
                if room > 0 {
                    free_at = free_at.max(now) + room as u64 * 1_000_000 / link.bytes_per_second;
                    arrivals.push_back((free_at + link.round_trip / 2, now, room as u64));
                    flight.handle_sent(Micros(now), Tick(0), room);
                    sent += 1;
                }
            }
            if now % link.ack_every == 0 {
                let half = link.round_trip / 2;
                while let Some((at, from, bytes)) =
                    arrivals.front().copied().filter(|(at, ..)| at + half <= now)
                {
                    arrivals.pop_front();
                    acked += 1;
                    if now > seconds * 500_000 {
                        ages.push(at - from);
                        delivered += bytes;
                    }
                }
                flight.handle_ack(Micros(now), sent - acked, |_| ());
            }
        }
        ages.sort_unstable();
        (ages, delivered * 2 / seconds)
    }

    #[test]
    fn a_slow_link_holds_no_more_than_the_target_and_is_made_use_of() {
        for (bytes_per_second, round_trip, most) in
            [(8_000, 100_000, 330_000), (4_000, 60_000, 380_000), (30_000, 300_000, 400_000)]
        {
            let link = Link { bytes_per_second, round_trip, ack_every: 17_000 };
            let (ages, rate) = play(&mut Flight::default(), &link, 2_000, 120);
            let p99 = ages[ages.len() * 99 / 100];
            assert!(p99 < most, "{p99} us at {bytes_per_second}");
            assert!(rate * 10 > bytes_per_second * 7, "{rate} of {bytes_per_second} B/s");
        }
    }

    #[test]
    fn a_fast_link_never_waits() {
        let link = Link { bytes_per_second: 1_000_000, round_trip: 80_000, ack_every: 50_000 };
        let mut flight = Flight::default();
        let (ages, rate) = play(&mut flight, &link, 400, 60);
        assert!((7_900..=8_100).contains(&rate), "{rate}");
        assert!(ages.last().is_some_and(|age| *age < 41_000) && !flight.is_limiting);
    }

    #[test]
    fn a_large_world_fills_a_fast_link_within_a_second() {
        let link = Link { bytes_per_second: 1_000_000, round_trip: 80_000, ack_every: 17_000 };
        let mut flight = Flight::default();
        play(&mut flight, &link, 20_000, 2);
        assert!(flight.window > 40_000, "{}", flight.window);
    }

    #[test]
    fn a_stall_after_which_all_comes_at_once_is_no_queue() {
        let mut flight = Flight::default();
        let (mut sent, mut acked) = (0, 0);
        for now in (0..60_000_000_u64).step_by(50_000) {
            if flight.room(Micros(now)) >= 300 {
                flight.handle_sent(Micros(now), Tick(0), 300);
                sent += 1;
            }
            // A third of each second is silent; then the newest is acked at once.
            if now % 1_000_000 >= 350_000 {
                acked = sent;
                flight.handle_ack(Micros(now + 40_000), sent - acked, |_| ());
            }
        }
        assert!(sent == 1_200 && flight.window >= WINDOW_AT_FIRST, "{sent}, {}", flight.window);
        assert_eq!(sent - acked, flight.frames());
    }

    #[test]
    fn what_is_on_its_way_when_a_pause_begins_is_not_waited_for() {
        let mut flight = Flight::default();
        flight.handle_sent(Micros(1_000), Tick(1), 300);
        flight.handle_messages(Micros(1_000), 2_000);
        assert_eq!(flight.message_room(Micros(2_000)), 48);
        flight.handle_paused();
        let later = Micros::from_secs(60);
        assert_eq!(
            (flight.stalled_for(later), flight.bytes(), flight.message_room(later)),
            (Micros::ZERO, 0, 2_048)
        );
        // Its ack comes all the same, when state is sent again.
        flight.handle_sent(later, Tick(3_600), 400);
        flight.handle_ack(later, 1, |tick| panic!("{tick:?}"));
        assert_eq!(flight.stalled_for(later + Micros(1)), Micros(1));
    }

    #[test]
    fn who_is_sent_something_large_is_waited_for_and_state_buys_no_time() {
        let mut flight = Flight::default();
        flight.handle_sent(Micros(1_000), Tick(0), 8_000);
        assert_eq!(flight.message_patience(), Micros::ZERO);
        flight.handle_messages(Micros(1_000), 4_000);
        assert_eq!(flight.message_patience(), Micros::from_secs(2));
        flight.handle_sent(Micros(2_000), Tick(1), 100);
        flight.handle_messages(Micros(2_000), 48 * 1024);
        assert_eq!(flight.message_patience(), Micros(26_576_000));
        flight.handle_messages(Micros(2_000), 48 * 1024);
        assert_eq!(flight.message_patience(), MESSAGE_PATIENCE_MAX);
    }

    #[test]
    fn while_no_state_is_sent_a_window_of_messages_goes_now_and_then() {
        let mut flight = Flight::default();
        let mut went = 0;
        for now in (1_000_000..11_000_000_u64).step_by(50_000).map(Micros) {
            let room = flight.message_room(now);
            if room > 0 {
                flight.handle_messages(now, room);
                went += room;
            }
        }
        assert_eq!(went, 20 * 2_048);
    }

    #[test]
    fn without_acks_something_is_let_through_now_and_then() {
        let mut flight = Flight::default();
        let mut sent = Vec::new();
        for now in (0..10_000_000_u64).step_by(50_000).map(Micros) {
            let room = flight.room(now).min(1_000);
            if room > 0 {
                flight.handle_sent(now, Tick(0), room);
                sent.push(now.0);
            }
        }
        assert!((20..26).contains(&sent.len()), "{sent:?}");
        assert_eq!(flight.room(Micros::from_secs(11)), 400, "a whole snapshot");
        assert!(flight.stalled_for(Micros::from_secs(10)) >= Micros::from_secs(9));
        flight.handle_ack(Micros::from_secs(10), 0, |_| ());
        assert_eq!(flight.stalled_for(Micros::from_secs(11)), Micros::ZERO);
    }
}
