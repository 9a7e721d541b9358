//! Two-state weather in 1 ms slots: quiet and active spells that follow each other, such as loss and
//! episodes.
//!
//! A chain of spells can only be walked forwards, but the weather must answer for any slot. So time is cut
//! into epochs, and each epoch draws its own chain from its number: going back costs one walk from the start
//! of the epoch, memory is one spell, and no answer depends on what was asked before.

use crate::rng;

/// Spells of one kind of one link and direction.
#[derive(Clone, Debug)]
pub(crate) struct Spells {
    key: u64,
    /// Probability that a quiet slot is followed by an active one.
    begin_probability: f64,
    lengths: Lengths,
    epoch_slots: u64,
    /// The one that was asked for last: it saves the walk, and decides nothing.
    spell: Spell,
}

/// How long active spells last.
#[derive(Clone, Copy, Debug)]
enum Lengths {
    /// Memoryless; both ends of an epoch may cut a spell, and `active_ratio` of epochs begin within one.
    Geometric { end_probability: f64, active_ratio: f64 },
    /// In slots. A spell that does not fit into its epoch is left out, so that all have a length of this
    /// range.
    Uniform { min_slots: u64, max_slots: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Spell {
    epoch: u64,
    index: u64,
    start_slot: u64,
    end_slot: u64,
    is_active: bool,
}

impl Spells {
    /// A Gilbert-Elliott chain: slots are active with probability `ratio` (above 0 and below 1), and a stream
    /// with one sample every `interval_slots` sees runs of `burst` active samples on average.
    ///
    /// With `memory` = 1 - P(quiet to active) - P(active to quiet) per slot, a sample `d` slots after an
    /// active one is quiet with probability (1 - ratio)(1 - memory^d), which has to be 1 / burst at
    /// `interval_slots`.
    pub(crate) fn bursts(key: u64, ratio: f64, burst: f64, interval_slots: f64) -> Self {
        let memory_over_interval = (1.0 - 1.0 / (burst * (1.0 - ratio))).max(0.0);
        let memory = libm::pow(memory_over_interval, 1.0 / interval_slots);
        let end_probability = (1.0 - memory) * (1.0 - ratio);
        Self::new(key, (1.0 - memory) * ratio, Lengths::Geometric { end_probability, active_ratio: ratio })
    }

    /// Active spells of `min_slots..=max_slots`, uniformly, that begin every `interval_slots` on average with
    /// memoryless gaps.
    pub(crate) fn episodes(key: u64, interval_slots: u64, min_slots: u64, max_slots: u64) -> Self {
        let gap_slots = interval_slots as f64 - (min_slots + max_slots) as f64 / 2.0;
        Self::new(key, 1.0 / gap_slots.max(1.0), Lengths::Uniform { min_slots, max_slots })
    }

    fn new(key: u64, begin_probability: f64, lengths: Lengths) -> Self {
        let nowhere = Spell { epoch: u64::MAX, index: 0, start_slot: 0, end_slot: 0, is_active: false };
        let active_slots = match lengths {
            Lengths::Geometric { end_probability, .. } => 1.0 / end_probability,
            Lengths::Uniform { min_slots, max_slots } => (min_slots + max_slots) as f64 / 2.0,
        };
        let epoch_slots = (EPOCH_CYCLES * (1.0 / begin_probability + active_slots)) as u64;
        Self {
            key,
            begin_probability,
            lengths,
            epoch_slots: epoch_slots.min(EPOCH_SLOTS_MAX),
            spell: nowhere,
        }
    }

    /// The slot after the last of the active spell that contains `slot`; `None` in a quiet one.
    pub(crate) fn active_until(&mut self, slot: u64) -> Option<u64> {
        let epoch = slot / self.epoch_slots;
        if self.spell.epoch != epoch || slot < self.spell.start_slot {
            self.spell = self.first(epoch);
        }
        while self.spell.end_slot <= slot {
            self.spell = self.drawn(epoch, self.spell.index + 1, self.spell.end_slot, !self.spell.is_active);
        }
        self.spell.is_active.then_some(self.spell.end_slot)
    }

    fn first(&self, epoch: u64) -> Spell {
        let is_active = match self.lengths {
            Lengths::Geometric { active_ratio, .. } => {
                rng::chance(rng::hash(rng::hash(self.key, epoch), u64::MAX), active_ratio)
            }
            Lengths::Uniform { .. } => false,
        };
        self.drawn(epoch, 0, epoch * self.epoch_slots, is_active)
    }

    fn drawn(&self, epoch: u64, index: u64, start_slot: u64, is_active: bool) -> Spell {
        let word = rng::hash(rng::hash(self.key, epoch), index);
        let epoch_end_slot = (epoch + 1) * self.epoch_slots;
        let length_slots = match self.lengths {
            _ if !is_active => rng::geometric(word, self.begin_probability),
            Lengths::Geometric { end_probability, .. } => rng::geometric(word, end_probability),
            Lengths::Uniform { min_slots, max_slots } => rng::range(word, min_slots, max_slots),
        };
        let end_slot = start_slot.saturating_add(length_slots);
        let is_left_out =
            matches!(self.lengths, Lengths::Uniform { .. }) && is_active && end_slot > epoch_end_slot;
        Spell {
            epoch,
            index,
            start_slot,
            end_slot: if is_left_out { epoch_end_slot } else { end_slot.min(epoch_end_slot) },
            is_active: is_active && !is_left_out,
        }
    }
}

/// Mean number of quiet and active spells, each, in an epoch: enough that the cut at its end touches fewer
/// than 1 in 128 of them, few enough that walking it again costs some 10 us.
const EPOCH_CYCLES: f64 = 128.0;

/// 35 years: no product with a time of use overflows, however rare the spells.
const EPOCH_SLOTS_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_do_not_depend_on_the_order_of_questions() {
        let kinds = [Spells::bursts(3, 0.2, 4.0, 2.0), Spells::episodes(4, 500, 20, 80)];
        for kind in kinds {
            let slots = 3 * kind.epoch_slots;
            let mut forwards = kind.clone();
            let dense: Vec<_> = (0..slots).map(|slot| forwards.active_until(slot)).collect();
            let mut sparse = kind.clone();
            for slot in (0..slots).step_by(997) {
                assert_eq!(sparse.active_until(slot), dense[slot as usize]);
            }
            let mut scattered = kind;
            for i in 0..2_000 {
                let slot = rng::range(rng::hash(9, i), 0, slots - 1);
                assert_eq!(scattered.active_until(slot), dense[slot as usize], "slot {slot}");
            }
        }
    }

    #[test]
    fn episodes_have_whole_lengths_even_at_the_end_of_an_epoch() {
        let mut spells = Spells::episodes(5, 200, 20, 80);
        let mut slot = 0;
        let mut count = 0;
        let slots = 50 * spells.epoch_slots;
        while slot < slots {
            let Some(end_slot) = spells.active_until(slot) else {
                slot += 1;
                continue;
            };
            assert!((20..=80).contains(&(end_slot - slot)), "{} slots at {slot}", end_slot - slot);
            count += 1;
            slot = end_slot;
        }
        let expected = slots / 200;
        assert!(count * 100 > expected * 97 && count * 100 < expected * 103, "{count} of {expected}");
    }

    #[test]
    fn bursts_are_met_where_much_is_lost() {
        let mut spells = Spells::bursts(7, 0.3, 4.0, 10.0);
        let samples: Vec<_> = (0..200_000).map(|i| spells.active_until(i * 10).is_some()).collect();
        let active = samples.iter().filter(|&&is_active| is_active).count() as f64;
        let begun = samples.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        assert!((active / samples.len() as f64 - 0.3).abs() < 0.006);
        assert!((active / begun - 4.0).abs() < 0.08, "{}", active / begun);
    }

    #[test]
    fn independent_slots_when_the_burst_is_one() {
        let mut spells = Spells::bursts(6, 0.5, 1.0, 50.0);
        let active: Vec<_> = (0..100_000).map(|slot| spells.active_until(slot).is_some()).collect();
        let pairs = active.windows(2).filter(|pair| pair[0] && pair[1]).count();
        assert!((24_000..26_000).contains(&pairs), "{pairs}");
    }
}
