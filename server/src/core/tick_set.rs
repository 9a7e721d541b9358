//! Some of the ticks that the history holds.

use tickwire_protocol::Tick;
use tickwire_protocol::limits::HISTORY_TICKS;

/// A set of ticks that lie within [`HISTORY_TICKS`] of the newest of them; older ones are forgotten.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct TickSet {
    newest: Tick,
    /// Bit n stands for the newest minus n. No bit at all: the set is empty.
    bits: u128,
}

const _: () = assert!(HISTORY_TICKS == u128::BITS);

impl TickSet {
    pub(crate) fn insert(&mut self, tick: Tick) {
        let ahead = tick.since(self.newest);
        if self.bits == 0 || ahead > 0 {
            let shift = u32::try_from(ahead).unwrap_or(u128::BITS);
            (self.newest, self.bits) = (tick, self.bits.checked_shl(shift).unwrap_or(0) | 1);
        } else {
            self.bits |= 1_u128.checked_shl(ahead.unsigned_abs()).unwrap_or(0);
        }
    }

    pub(crate) fn newest(&self) -> Option<Tick> {
        (self.bits != 0).then_some(self.newest)
    }

    /// The newest that is not newer than `tick`.
    pub(crate) fn at_or_before(&self, tick: Tick) -> Option<Tick> {
        let age = self.newest.since(tick).max(0) as u32;
        let older = self.bits.checked_shr(age).unwrap_or(0);
        (older != 0).then(|| self.newest - (age + older.trailing_zeros()))
    }

    /// The oldest that is newer than `tick`.
    pub(crate) fn after(&self, tick: Tick) -> Option<Tick> {
        let age = self.newest.since(tick).max(0) as u32;
        let newer = self.bits & 1_u128.checked_shl(age).unwrap_or(0).wrapping_sub(1);
        (newer != 0).then(|| self.newest - (u128::BITS - 1 - newer.leading_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain list.
    #[test]
    fn neighbours_are_found_across_the_wrap_and_the_old_is_forgotten() {
        let first = Tick(u32::MAX - 90);
        let mut set = TickSet::default();
        assert_eq!((set.newest(), set.at_or_before(first), set.after(first)), (None, None, None));
        let mut ticks: Vec<Tick> = Vec::new();
        let steps = [3_u32, 6, 9, 4, 40, 12, 41, 90, 91, 89, 130, 7, 400, 401];
        for step in steps {
            set.insert(first + step);
            ticks.push(first + step);
            ticks.sort_by_key(|tick| tick.since(first));
            let newest = *ticks.last().unwrap();
            ticks.retain(|tick| newest.since(*tick) < HISTORY_TICKS as i32);
            assert_eq!(set.newest(), Some(newest));
            for probe in (0..450).map(|probe| first + probe) {
                let before = ticks.iter().rev().find(|tick| !tick.is_newer_than(probe));
                let after = ticks.iter().find(|tick| tick.is_newer_than(probe));
                assert_eq!(set.at_or_before(probe), before.copied(), "{step} {probe}");
                assert_eq!(set.after(probe), after.copied(), "{step} {probe}");
            }
        }
    }
}
