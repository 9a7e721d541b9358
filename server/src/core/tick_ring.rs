//! What belongs to ticks that are still to come.

use tickwire_protocol::Tick;
use tickwire_protocol::limits::INPUT_AHEAD_TICKS_MAX;

/// Ticks that there is room for at first. A client's inputs come a few ticks before their step.
const TICKS_AT_FIRST: usize = 16;

/// A few values for each of some ticks: as many ticks ahead as anybody has ever needed, up to [`INPUT_AHEAD_TICKS_MAX`].
#[derive(Clone, Debug)]
pub(crate) struct TickRing<T> {
    /// Per place (tick modulo their number, a power of two): whose values are there.
    ticks: Vec<Option<Tick>>,
    values: Vec<T>,
    /// Values of each tick.
    width: usize,
    blank: T,
}

impl<T: Copy> TickRing<T> {
    /// An empty one for `width` values a tick; `blank` stands where there are none.
    pub(crate) fn new(width: usize, blank: T) -> Self {
        let values = vec![blank; width * TICKS_AT_FIRST];
        Self { ticks: vec![None; TICKS_AT_FIRST], values, width, blank }
    }

    /// Puts in the values of a tick from `next` to [`INPUT_AHEAD_TICKS_MAX`] after it; what is before `next` may be lost. Whether it had
    /// none before: the first ones stay.
    pub(crate) fn insert(&mut self, next: Tick, tick: Tick, values: &[T]) -> bool {
        let ahead = tick.since(next).clamp(0, INPUT_AHEAD_TICKS_MAX as i32) as usize;
        if ahead >= self.ticks.len() {
            self.grow((ahead + 1).next_power_of_two());
        }
        let place = self.place_of(tick);
        if self.ticks[place] == Some(tick) {
            return false;
        }
        self.ticks[place] = Some(tick);
        self.values[place * self.width..][..self.width].copy_from_slice(values);
        true
    }

    /// Takes the values of a tick out, if it has any.
    pub(crate) fn take(&mut self, tick: Tick) -> Option<&[T]> {
        let place = self.place_of(tick);
        self.ticks[place].take_if(|held| *held == tick)?;
        Some(&self.values[place * self.width..][..self.width])
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.ticks.fill(None);
    }

    /// Takes everything out, and the room with it that was not needed at first.
    pub(crate) fn reset(&mut self) {
        self.ticks.truncate(TICKS_AT_FIRST);
        self.values.truncate(TICKS_AT_FIRST * self.width);
        self.ticks.shrink_to_fit();
        self.values.shrink_to_fit();
        self.clear();
    }

    fn place_of(&self, tick: Tick) -> usize {
        tick.0 as usize & (self.ticks.len() - 1)
    }

    /// Those that are still to come are less apart than there were places, so each finds one of its own.
    #[cold]
    fn grow(&mut self, ticks: usize) {
        let larger = Self {
            ticks: vec![None; ticks],
            values: vec![self.blank; self.width * ticks],
            width: self.width,
            blank: self.blank,
        };
        let before = core::mem::replace(self, larger);
        for (from, tick) in before.ticks.iter().enumerate() {
            let Some(tick) = *tick else { continue };
            let place = self.place_of(tick);
            // What is over gives way.
            if self.ticks[place].is_none_or(|held| tick.is_newer_than(held)) {
                self.ticks[place] = Some(tick);
                let values = &before.values[from * self.width..][..self.width];
                self.values[place * self.width..][..self.width].copy_from_slice(values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_what_is_needed_and_loses_nothing_across_the_wrap() {
        let first = Tick(u32::MAX - 9);
        let mut ring = TickRing::new(2, 0);
        for ahead in (0..=INPUT_AHEAD_TICKS_MAX).rev() {
            let value = ahead as i32;
            assert!(ring.insert(first, first + ahead, &[value, -value]), "{ahead}");
            assert!(!ring.insert(first, first + ahead, &[9, 9]), "the first ones stay");
        }
        for ahead in 0..=INPUT_AHEAD_TICKS_MAX {
            let value = ahead as i32;
            assert_eq!(ring.take(first + ahead), Some(&[value, -value][..]));
            assert_eq!(ring.take(first + ahead), None);
        }
        ring.insert(first, first, &[1, 1]);
        ring.clear();
        assert_eq!(ring.take(first), None);
    }

    #[test]
    fn reset_it_is_as_at_first() {
        let mut ring = TickRing::new(1, 0);
        ring.insert(Tick(0), Tick(0) + INPUT_AHEAD_TICKS_MAX, &[1]);
        ring.insert(Tick(0), Tick(3), &[2]);
        assert!(ring.ticks.len() > TICKS_AT_FIRST);
        ring.reset();
        assert_eq!((ring.ticks.capacity(), ring.values.capacity()), (TICKS_AT_FIRST, TICKS_AT_FIRST));
        assert_eq!(ring.take(Tick(3)), None);
        assert!(ring.insert(Tick(0), Tick(0) + INPUT_AHEAD_TICKS_MAX, &[1]), "and grows again");
    }

    #[test]
    fn old_ticks_give_way() {
        let mut ring = TickRing::new(1, 0);
        for tick in 0..100_u32 {
            ring.insert(Tick(tick), Tick(tick) + 3, &[tick as i32]);
        }
        assert_eq!(ring.ticks.len(), TICKS_AT_FIRST);
        assert_eq!(ring.take(Tick(102)), Some(&[99][..]));
        assert_eq!(ring.take(Tick(50)), None);
    }
}
