//! The own player's cues: told when their tick is predicted, and never again.
//!
//! What was told is remembered until the server's copy has surely come. Copies, and replays that move a cue by a few ticks,
//! are each matched with one that was told: of the same cue and source, the nearest in time.

use std::collections::VecDeque;

use tickwire_protocol::{Cue, CueId, EntityId, Tick};
use tickwire_sim::is_provisional;

/// How far a correction may move a cue that still is the same, ticks. Matching is one to one, so a gun that fires more often
/// is not silenced.
const MOVED_TICKS: u32 = 8;

/// How long a cue that was told is remembered, ticks: the server resends its own for half a second, and it may come late.
const REMEMBERED_TICKS: i32 = 256;

/// Cues that are remembered, and cues that wait for the game to poll.
const CUES_MAX: usize = 1024;

/// A cue that the game was told of before the server said it.
#[derive(Clone, Copy, Debug)]
struct Told {
    tick: Tick,
    id: CueId,
    source: EntityId,
    /// The world as it is predicted now has it at its tick.
    is_predicted: bool,
    /// The server's copy has come.
    is_confirmed: bool,
}

/// What was told, and what is to be told.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnCues {
    told: VecDeque<Told>,
    waiting: VecDeque<Cue>,
}

impl OwnCues {
    /// The next cue for the game.
    pub(super) fn pop(&mut self) -> Option<Cue> {
        self.waiting.pop_front()
    }

    /// Time was set back to this tick: what was told of later ones was of another time.
    pub(super) fn set_back(&mut self, tick: Tick) {
        self.told.retain(|told| !told.tick.is_newer_than(tick));
    }

    /// Ticks behind this one are about to be predicted anew.
    pub(super) fn begin_replay(&mut self, tick: Tick) {
        for told in self.told.iter_mut().filter(|told| told.tick.is_newer_than(tick)) {
            told.is_predicted = false;
        }
    }

    /// A predicted step has emitted a cue of an own entity.
    pub(super) fn predict(&mut self, cue: &Cue, source: EntityId) {
        while self.told.front().is_some_and(|told| cue.tick.since(told.tick) > REMEMBERED_TICKS) {
            self.told.pop_front();
        }
        let is_open = |told: &Told| told.source == source && !told.is_predicted && !told.is_confirmed;
        if let Some(place) = self.nearest(cue, is_open) {
            let told = &mut self.told[place];
            (told.tick, told.is_predicted) = (cue.tick, true);
            return;
        }
        if self.told.len() == CUES_MAX {
            self.told.pop_front();
        }
        let told = Told { tick: cue.tick, id: cue.id, source, is_predicted: true, is_confirmed: false };
        self.told.push_back(told);
        self.tell(*cue);
    }

    /// The server's copy of a cue has come, for the first time; whether the game knows of it. If its source `may_be_new`, it may
    /// be one that was spawned ahead and is not known by its real id yet.
    pub(super) fn confirm(&mut self, cue: &Cue, may_be_new: bool) -> bool {
        let Some(source) = cue.source else { return false };
        let is_of = |told: &Told, from: &dyn Fn(EntityId) -> bool| from(told.source) && !told.is_confirmed;
        let told = match self.nearest(cue, |told| is_of(told, &|known| known == source)) {
            None if may_be_new => self.nearest(cue, |told| is_of(told, &is_provisional)),
            told => told,
        };
        let Some(told) = told else { return false };
        self.told[told].is_confirmed = true;
        true
    }

    /// The game is to hear of this at once.
    pub(super) fn tell(&mut self, cue: Cue) {
        if self.waiting.len() == CUES_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(cue);
    }

    /// An entity that was spawned ahead of the server is now known by its real id.
    pub(super) fn rename(&mut self, guess: EntityId, id: EntityId) {
        self.told.iter_mut().filter(|told| told.source == guess).for_each(|told| told.source = id);
    }

    /// Where the nearest in time is of those that fit.
    fn nearest(&self, cue: &Cue, fits: impl Fn(&Told) -> bool) -> Option<usize> {
        let moved = |told: &Told| told.tick.since(cue.tick).unsigned_abs();
        let is_same = |told: &Told| told.id == cue.id && moved(told) <= MOVED_TICKS && fits(told);
        let same = self.told.iter().enumerate().filter(|(_, told)| is_same(told));
        same.min_by_key(|(_, told)| moved(told)).map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::limits::COLUMNS_PER_CUE_MAX;

    const ID: EntityId = EntityId { slot: 3, generation: 1 };

    fn cue(tick: u32) -> Cue {
        Cue { tick: Tick(tick), id: CueId(0), source: Some(ID), nth: 0, values: [0; COLUMNS_PER_CUE_MAX] }
    }

    fn told(cues: &mut OwnCues) -> Vec<u32> {
        std::iter::from_fn(|| cues.pop()).map(|cue| cue.tick.0).collect()
    }

    #[test]
    fn a_cue_is_told_when_predicted_and_never_again() {
        let mut cues = OwnCues::default();
        cues.predict(&cue(10), ID);
        cues.predict(&cue(14), ID);
        assert_eq!(told(&mut cues), [10, 14]);
        cues.begin_replay(Tick(8));
        cues.predict(&cue(11), ID);
        cues.predict(&cue(15), ID);
        assert_eq!(told(&mut cues), [], "moved by a tick");
        assert!(cues.confirm(&cue(12), false) && cues.confirm(&cue(15), false));
        assert!(!cues.confirm(&cue(16), false), "the server has seen one more");
        cues.predict(&cue(17), ID);
        assert_eq!(told(&mut cues), [17], "the next");
    }

    #[test]
    fn a_replay_that_delays_a_cue_beyond_the_newest_tick_tells_it_once() {
        let mut cues = OwnCues::default();
        cues.predict(&cue(10), ID);
        cues.begin_replay(Tick(8));
        // 9 to 11 are replayed without it; then 12 is predicted.
        cues.predict(&cue(12), ID);
        assert_eq!(told(&mut cues), [10]);
        cues.predict(&cue(13), ID);
        assert_eq!(told(&mut cues), [13], "another one");
    }

    #[test]
    fn a_source_that_was_spawned_ahead_is_known_before_its_name_is() {
        let guess = EntityId { slot: 9, generation: u16::MAX };
        let mut cues = OwnCues::default();
        cues.predict(&Cue { source: Some(guess), ..cue(10) }, guess);
        assert!(!cues.confirm(&cue(10), false), "somebody else's");
        assert!(!cues.confirm(&cue(30), true), "another one of ours");
        assert!(cues.confirm(&cue(12), true));
        assert!(!cues.confirm(&cue(12), true), "one for one");
        cues.predict(&cue(14), ID);
        let other = EntityId { slot: 4, generation: 1 };
        assert!(!cues.confirm(&Cue { source: Some(other), ..cue(14) }, true), "a name that was known");
    }

    #[test]
    fn cues_of_a_time_that_was_set_back_silence_nothing() {
        let mut cues = OwnCues::default();
        cues.predict(&cue(95), ID);
        cues.predict(&cue(100), ID);
        cues.set_back(Tick(90));
        cues.begin_replay(Tick(90));
        cues.predict(&cue(97), ID);
        assert_eq!(told(&mut cues), [95, 100, 97]);
    }

    #[test]
    fn what_nobody_polls_or_confirms_does_not_pile_up() {
        let mut cues = OwnCues::default();
        (0..5_000).for_each(|tick| cues.predict(&cue(tick), ID));
        assert!(cues.told.len() <= REMEMBERED_TICKS as usize + 1);
        assert_eq!(cues.waiting.len(), CUES_MAX);
    }
}
