//! When a room's ticks are due: fixed steps that never drift, and a bound on catching up.

use tickwire_protocol::{Micros, TickRate};

/// Steps that one wake-up may run to catch up. Beyond that the room lets time go rather than fall behind for good:
/// a stall of 100 ms at 60 Hz costs players one hitch instead of a slow-motion room.
pub const CATCH_UP_STEPS_MAX: u64 = 6;

/// Counts steps against a clock.
///
/// Step n is due at `origin + n / rate`, computed from n and not by adding up, so that rounding never accumulates.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    rate: TickRate,
    origin: Micros,
    done: u64,
    skipped: u64,
}

/// What a wake-up has to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Due {
    /// Steps to run now.
    pub steps: u64,
    /// Steps given up, because more than [`CATCH_UP_STEPS_MAX`] were due.
    pub skipped: u64,
}

impl Schedule {
    /// The first step is due at once.
    pub fn new(rate: TickRate, now: Micros) -> Self {
        Self { rate, origin: now, done: 0, skipped: 0 }
    }

    /// When the next step is due.
    pub fn next_due(&self) -> Micros {
        self.due_time(self.done)
    }

    /// When the last step that was handed out was due: the server time of its tick.
    pub fn last_due(&self) -> Micros {
        self.due_time(self.done.saturating_sub(1))
    }

    /// Steps given up so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Time stood still until `now`, when the next step is due.
    pub fn resume(&mut self, now: Micros) {
        self.origin = self.origin + now.saturating_since(self.next_due());
    }

    /// Hands out the steps that are due at `now`, each once.
    pub fn take_due(&mut self, now: Micros) -> Due {
        let Some(elapsed) = now.0.checked_sub(self.origin.0) else { return Due::default() };
        let mut total = self.rate.steps_in(Micros(elapsed)) + 1;
        // `due` rounds down to the microsecond, so a wake-up exactly then may still see one step too few.
        if self.due_time(total) <= now {
            total += 1;
        }
        let behind = total.saturating_sub(self.done);
        let steps = behind.min(CATCH_UP_STEPS_MAX);
        let skipped = behind - steps;
        self.done += steps;
        if skipped > 0 {
            // Given-up steps move the origin: the next one is a whole step away again.
            self.origin = self.origin + self.rate.due(skipped);
            self.skipped += skipped;
        }
        Due { steps, skipped }
    }

    fn due_time(&self, count: u64) -> Micros {
        self.origin + self.rate.due(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_steps_drifts_by_nothing() {
        let rate = TickRate::new(60).unwrap();
        let mut schedule = Schedule::new(rate, Micros(123));
        let mut steps = 0;
        while schedule.next_due() <= Micros(123) + Micros::from_secs(3600) {
            let now = schedule.next_due();
            let due = schedule.take_due(now);
            assert_eq!(due, Due { steps: 1, skipped: 0 });
            steps += 1;
        }
        assert_eq!(steps, 60 * 3600 + 1);
    }

    #[test]
    fn early_wake_ups_do_nothing() {
        let mut schedule = Schedule::new(TickRate::new(50).unwrap(), Micros::ZERO);
        assert_eq!(schedule.take_due(Micros::ZERO).steps, 1);
        assert_eq!(schedule.take_due(Micros(19_999)).steps, 0);
        assert_eq!(schedule.take_due(Micros(20_000)).steps, 1);
    }

    #[test]
    fn what_was_slept_through_is_neither_caught_up_nor_given_up() {
        let mut schedule = Schedule::new(TickRate::new(50).unwrap(), Micros::ZERO);
        schedule.take_due(Micros::ZERO);
        schedule.resume(Micros::from_secs(9));
        assert_eq!(schedule.next_due(), Micros::from_secs(9));
        assert_eq!(schedule.take_due(Micros::from_secs(9)), Due { steps: 1, skipped: 0 });
        schedule.resume(Micros::from_secs(9));
        assert_eq!(schedule.next_due(), Micros::from_millis(9_020), "no step comes early");
    }

    #[test]
    fn catching_up_is_bounded_and_counted() {
        let mut schedule = Schedule::new(TickRate::new(50).unwrap(), Micros::ZERO);
        schedule.take_due(Micros::ZERO);
        assert_eq!(schedule.take_due(Micros::from_millis(60)).steps, 3);
        let due = schedule.take_due(Micros::from_millis(60 + 1000));
        assert_eq!(due, Due { steps: CATCH_UP_STEPS_MAX, skipped: 50 - CATCH_UP_STEPS_MAX });
        assert_eq!(schedule.next_due(), Micros::from_millis(60 + 1000 + 20));
        assert_eq!(schedule.skipped(), 50 - CATCH_UP_STEPS_MAX);
    }
}
