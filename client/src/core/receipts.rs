//! Which snapshots were applied, and when to say so.

use tickwire_protocol::DecodeError;
use tickwire_protocol::ack::{Ack, AckWindow, Sequence};
use tickwire_protocol::handshake::StreamKind;

/// Frames applied and not yet acked after which an ack goes out by itself, if no input frame took it along.
const UNACKED_MAX: u32 = 16;

/// What was applied of a stream of snapshots.
#[derive(Clone, Debug)]
pub(crate) enum Applied {
    /// Frames bear no number: both ends count.
    Ordered {
        /// The number of the next frame.
        next: Sequence,
        /// The newest applied.
        newest: Option<Sequence>,
    },
    /// Each frame bears its number.
    Datagram(AckWindow),
}

/// The book of applied frames.
#[derive(Clone, Debug)]
pub(crate) struct Receipts {
    applied: Applied,
    /// Frames applied since an ack was last sent.
    unacked: u32,
    /// How many of those are let pass before an ack goes by itself.
    patience: u32,
    losses: Losses,
}

/// How many of the newest datagrams did not come.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    newest: Option<Sequence>,
    sent: u32,
    received: u32,
}

impl Losses {
    /// Datagrams after which old ones count half.
    const COUNTED: u32 = 512;

    fn enter(&mut self, sequence: Sequence) {
        let newest = *self.newest.get_or_insert(Sequence(sequence.0.wrapping_sub(1)));
        let ahead = sequence.0.wrapping_sub(newest.0) as i16;
        if ahead > 0 {
            self.newest = Some(sequence);
            self.sent += ahead.unsigned_abs() as u32;
        }
        self.received += 1;
        if self.sent > Self::COUNTED {
            self.sent /= 2;
            self.received /= 2;
        }
    }

    fn ratio(&self) -> f32 {
        let received = self.received.min(self.sent) as f32;
        if self.sent == 0 { 0.0 } else { 1.0 - received / self.sent as f32 }
    }
}

impl Receipts {
    /// Nothing applied yet. Who gives no inputs has nothing that takes acks along: they go at once.
    pub(crate) fn new(stream: StreamKind, gives_inputs: bool) -> Self {
        let applied = match stream {
            StreamKind::Ordered => Applied::Ordered { next: Sequence(0), newest: None },
            StreamKind::Datagram => Applied::Datagram(AckWindow::new()),
        };
        let patience = if gives_inputs { UNACKED_MAX } else { 1 };
        Self { applied, unacked: 0, patience, losses: Losses::default() }
    }

    /// Enters a frame that will be applied; false if it must not be, because it was (or may have been) before.
    pub(crate) fn enter(&mut self, sequence: Option<Sequence>) -> Result<bool, DecodeError> {
        let what = "sequence of a snapshot on this kind of stream";
        let is_new = match (&mut self.applied, sequence) {
            (Applied::Ordered { next, newest }, None) => {
                *newest = Some(*next);
                *next = next.next();
                true
            }
            (Applied::Datagram(window), Some(sequence)) => !window.insert(sequence),
            (Applied::Ordered { .. }, Some(Sequence(number))) => {
                return Err(DecodeError::Invalid { what, value: number.into() });
            }
            (Applied::Datagram(_), None) => return Err(DecodeError::Truncated(what)),
        };
        if let (true, Some(sequence)) = (is_new, sequence) {
            self.losses.enter(sequence);
        }
        self.unacked += u32::from(is_new);
        Ok(is_new)
    }

    /// Share of the newest few hundred datagrams that did not come, or were of no use; 0 on an ordered stream.
    pub(crate) fn loss(&self) -> f32 {
        self.losses.ratio()
    }

    /// What to tell the server in a frame that goes out now.
    pub(crate) fn take_ack(&mut self) -> Option<Ack> {
        self.unacked = 0;
        match &self.applied {
            Applied::Ordered { newest, .. } => newest.map(Ack::new),
            Applied::Datagram(window) => window.ack(),
        }
    }

    /// The same, if an ack must go out by itself.
    pub(crate) fn take_overdue_ack(&mut self) -> Option<Ack> {
        if self.unacked >= self.patience { self.take_ack() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_frames_are_counted() {
        let mut receipts = Receipts::new(StreamKind::Ordered, true);
        assert_eq!(receipts.take_ack(), None);
        for count in 0..70_000_u32 {
            assert_eq!(receipts.enter(None), Ok(true));
            assert_eq!(receipts.take_ack(), Some(Ack::new(Sequence(count as u16))));
        }
        assert!(receipts.enter(Some(Sequence(1))).is_err());
    }

    #[test]
    fn datagrams_are_entered_once() {
        let mut receipts = Receipts::new(StreamKind::Datagram, true);
        assert_eq!(receipts.enter(Some(Sequence(9))), Ok(true));
        assert_eq!(receipts.enter(Some(Sequence(9))), Ok(false));
        assert_eq!(receipts.enter(Some(Sequence(7))), Ok(true));
        assert!(receipts.enter(None).is_err());
        let ack = receipts.take_ack().unwrap();
        assert_eq!(ack.acked().collect::<Vec<_>>(), [Sequence(9), Sequence(7)]);
    }

    #[test]
    fn losses_are_counted_and_late_ones_are_none() {
        let mut receipts = Receipts::new(StreamKind::Datagram, true);
        for number in 0..2_000_u16 {
            // Every tenth is lost; every fifteenth comes after the next.
            let number = if number % 30 == 14 {
                number + 1
            } else if number % 30 == 15 {
                number - 1
            } else {
                number
            };
            if number % 10 != 3 {
                receipts.enter(Some(Sequence(number.wrapping_add(65_000)))).unwrap();
            }
        }
        assert!((receipts.loss() - 0.1).abs() < 0.01, "{}", receipts.loss());
        assert!(Receipts::new(StreamKind::Ordered, true).loss() < 1e-9);
    }

    #[test]
    fn acks_wait_for_a_ride_but_not_for_long() {
        for (gives_inputs, patience) in [(true, 16), (false, 1)] {
            let mut receipts = Receipts::new(StreamKind::Ordered, gives_inputs);
            for _ in 1..patience {
                receipts.enter(None).unwrap();
                assert_eq!(receipts.take_overdue_ack(), None);
            }
            receipts.enter(None).unwrap();
            assert!(receipts.take_overdue_ack().is_some());
            assert_eq!(receipts.take_overdue_ack(), None, "told");
        }
    }
}
