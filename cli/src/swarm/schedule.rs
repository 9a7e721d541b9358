//! When bots connect, and when their inputs are due: by the clock, whatever happened before.
//!
//! An input is due at its time, not so long after the last one: a swarm that is held up sends late and says so, instead of
//! sending less and finding the server quick (coordinated omission).

use std::time::Duration;

use tickwire_protocol::Micros;

/// Turns of a wheel are about this far apart, microseconds: what epoll and sleeps can tell apart.
const SLOT_MICROS: u64 = 1_000;

/// Starts spread evenly over a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    over: Duration,
    count: usize,
}

impl Ramp {
    /// `count` starts within `over`, the first at once.
    pub(super) fn new(over: Duration, count: usize) -> Self {
        Self { over, count }
    }

    /// When start number `index` is due, from the ramp's beginning.
    pub(super) fn start_of(&self, index: usize) -> Duration {
        self.over.mul_f64(index as f64 / self.count.max(1) as f64)
    }
}

/// A timing wheel of one period: who sits in a slot is due once in each revolution.
///
/// ```text
///  revolution  |0 1 2 3 ... 49|0 1 2 3 ... 49|       slots of a millisecond, at 20 Hz
/// ```
///
/// Seat `n` belongs to slot `n` modulo their number, so seats need no list, and those of a full table are spread evenly.
#[derive(Clone, Debug)]
pub(super) struct Wheel {
    start: Micros,
    hz: u64,
    slots: u64,
    /// The next turn, counted from the start.
    next: u64,
}

/// A slot whose time has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Turn {
    pub(super) slot: usize,
    /// When it was due.
    pub(super) due: Micros,
}

impl Wheel {
    /// `hz` revolutions a second, at least 1, from `start` on.
    pub(super) fn new(hz: u32, start: Micros) -> Self {
        let hz = u64::from(hz.max(1));
        Self { start, hz, slots: (1_000_000 / hz / SLOT_MICROS).max(1), next: 0 }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// When the next slot is due. Turns never drift: each is counted from the start.
    pub(super) fn next_due(&self) -> Micros {
        self.start + Micros(self.next * 1_000_000 / (self.hz * self.slots))
    }

    /// The next slot, if its time has come. After a stall every slot that was missed is told, with the time at which it was due.
    pub(super) fn turn(&mut self, now: Micros) -> Option<Turn> {
        let due = self.next_due();
        if due > now {
            return None;
        }
        let slot = (self.next % self.slots) as usize;
        self.next += 1;
        Some(Turn { slot, due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_even_and_over_before_its_end() {
        let ramp = Ramp::new(Duration::from_secs(10), 40);
        assert_eq!([0, 1, 20, 39].map(|index| ramp.start_of(index).as_millis()), [0, 250, 5_000, 9_750]);
        assert_eq!(Ramp::new(Duration::ZERO, 4).start_of(3), Duration::ZERO);
        assert_eq!(Ramp::new(Duration::from_secs(1), 0).start_of(0), Duration::ZERO);
    }

    #[test]
    fn every_slot_comes_once_in_a_revolution_and_none_drifts() {
        for hz in [1, 3, 20, 60, 240] {
            let start = Micros(77);
            let mut wheel = Wheel::new(hz, start);
            let mut counts = vec![0; wheel.slots()];
            // 10 s, looked at every 700 us.
            for look in 0..10_000_000 / 700 {
                while let Some(turn) = wheel.turn(start + Micros(look * 700)) {
                    counts[turn.slot] += 1;
                    assert!(
                        turn.due <= start + Micros(look * 700)
                            && turn.due + Micros(700 + 1) > start + Micros(look * 700)
                    );
                }
            }
            let expected = 10 * hz;
            assert!(counts.iter().all(|count| (expected - 1..=expected).contains(count)), "{hz}: {counts:?}");
        }
    }

    #[test]
    fn a_stall_leaves_nothing_out_and_is_seen() {
        let mut wheel = Wheel::new(20, Micros::ZERO);
        while wheel.turn(Micros(10_000)).is_some() {}
        let late: Vec<_> = std::iter::from_fn(|| wheel.turn(Micros(110_000))).collect();
        assert_eq!(late.len(), 100, "two revolutions");
        assert_eq!(late[0], Turn { slot: 11, due: Micros(11_000) });
        assert_eq!(wheel.next_due(), Micros(111_000));
    }
}
