//! How many bytes of messages may be on their way to a peer, so that state never waits long behind them.
//!
//! What a game says comes in bursts, of which the window of state ([`super::flight`]) knows nothing: that is measured by what state needs,
//! and state often needs little. So messages have one of their own, steered by the same delays, much as TCP Vegas does (Brakmo and
//! Peterson, 1995):
//!
//! | with an ack of state that messages were sent before, | the window |
//! |---|---|
//! | if more than [`QUEUE_MAX`] is stored on the way | is halved, once in [`SHRINKS_AFTER`] |
//! | if messages wait for it | grows by an eighth until the first queue was seen, then by [`STEP`] |
//! | else | stays: who waits for nothing learns nothing of a link |
//!
//! A message that begins within the window goes whole. At the least they go one after another: the most that they can add to the age of
//! state is what one takes. Larger things than that are for bulk transfers.

use tickwire_protocol::Micros;
use tickwire_protocol::limits::FRAME_BYTES_MAX;

/// Of a link of which nothing is known, bytes: a quarter of a second at 64 kbit/s.
const AT_FIRST: u32 = 2 * 1024;
/// At the least, bytes; also as soon as a queue is seen.
const MIN: u32 = 512;
/// At most, bytes.
const MAX: u32 = FRAME_BYTES_MAX as u32;
/// What it grows by, bytes.
const STEP: u32 = 4;
/// What may be stored on the way.
const QUEUE_MAX: Micros = Micros::from_millis(100);
/// What a shrinking has brought is seen later.
const SHRINKS_AFTER: Micros = Micros::from_millis(250);

#[derive(Debug)]
pub(crate) struct MessageWindow {
    bytes: u32,
    /// No queue was seen yet.
    is_starting: bool,
    /// Messages have waited for it since the last ack.
    is_held: bool,
    shrunk: Micros,
}

impl Default for MessageWindow {
    fn default() -> Self {
        Self { bytes: AT_FIRST, is_starting: true, is_held: false, shrunk: Micros::ZERO }
    }
}

impl MessageWindow {
    /// Bytes that may be on their way, if so much is stored there now.
    pub(crate) fn bytes(&self, queueing: Micros) -> usize {
        let bytes = if queueing > QUEUE_MAX { MIN } else { self.bytes };
        bytes as usize
    }

    /// Messages wait until there are fewer on the way.
    pub(crate) fn handle_held(&mut self) {
        self.is_held = true;
    }

    /// State was acked behind messages, and so much was stored on its way.
    pub(crate) fn handle_ack(&mut self, now: Micros, queueing: Micros) {
        let is_held = core::mem::take(&mut self.is_held);
        if queueing > QUEUE_MAX {
            self.is_starting = false;
            if now >= self.shrunk + SHRINKS_AFTER {
                (self.bytes, self.shrunk) = ((self.bytes / 2).max(MIN), now);
            }
        } else if is_held {
            let step = if self.is_starting { self.bytes / 8 } else { STEP };
            self.bytes = (self.bytes + step).min(MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Micros = Micros(QUEUE_MAX.0 + 1);

    /// Acks at 20 Hz for a while, with messages that wait or without.
    fn play(window: &mut MessageWindow, from: u64, acks: u64, queueing: Micros, is_held: bool) -> usize {
        for ack in 0..acks {
            if is_held {
                window.handle_held();
            }
            window.handle_ack(Micros((from + ack) * 50_000), queueing);
        }
        window.bytes(Micros::ZERO)
    }

    #[test]
    fn it_grows_while_it_is_needed_and_no_queue_forms() {
        let mut window = MessageWindow::default();
        assert_eq!(play(&mut window, 0, 100, Micros::ZERO, false), 2_048, "nobody needs more");
        assert_eq!(play(&mut window, 100, 40, QUEUE_MAX, true), FRAME_BYTES_MAX, "within two seconds");
    }

    #[test]
    fn it_shrinks_as_often_as_the_effect_is_seen_and_grows_slowly_from_then_on() {
        let mut window = MessageWindow::default();
        assert_eq!(play(&mut window, 5, 1, LONG, true), 1_024);
        assert_eq!(play(&mut window, 6, 4, LONG, true), 1_024);
        assert_eq!(play(&mut window, 10, 100, LONG, true), 512);
        assert_eq!(play(&mut window, 110, 10, QUEUE_MAX, true), 512 + 40);
        assert_eq!(window.bytes(LONG), 512, "at once, before anything is acked");
    }
}
