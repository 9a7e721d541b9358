//! The cues of the last half second, each with a running number.

use std::collections::VecDeque;

use tickwire_protocol::limits::CUE_SECONDS_MAX;
use tickwire_protocol::{Cue, Tick, TickRate};

/// Cues in the order in which they happened; old ones are forgotten.
#[derive(Debug)]
pub(crate) struct CueLog {
    cues: VecDeque<Cue>,
    first_index: u64,
    keep_ticks: i32,
}

impl CueLog {
    pub(crate) fn new(rate: TickRate) -> Self {
        let keep_ticks = (rate.hz() as f32 * CUE_SECONDS_MAX) as i32;
        Self { cues: VecDeque::new(), first_index: 0, keep_ticks }
    }

    /// Adds the cues of a tick and forgets those that are too old at it.
    pub(crate) fn extend(&mut self, tick: Tick, cues: &[Cue]) {
        while self.cues.front().is_some_and(|cue| tick.since(cue.tick) > self.keep_ticks) {
            self.cues.pop_front();
            self.first_index += 1;
        }
        self.cues.extend(cues);
    }

    /// The number of the oldest cue that is still here.
    pub(crate) fn first_index(&self) -> u64 {
        self.first_index
    }

    /// The number that the next cue will get.
    pub(crate) fn next_index(&self) -> u64 {
        self.first_index + self.cues.len() as u64
    }

    /// The cues from this number on that are still here, with their numbers.
    pub(crate) fn since(&self, index: u64) -> impl Iterator<Item = (u64, &Cue)> {
        let skip = index.saturating_sub(self.first_index);
        (self.first_index + skip..).zip(self.cues.range((skip as usize).min(self.cues.len())..))
    }
}
