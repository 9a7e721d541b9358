//! Since when and until when a peer was shown which entities, as far back as rooms rewind.
//!
//! What a peer knows now is not what it saw when it shot: who has just gone out of its sight was in it then, and who has just come
//! was not. Kept only in rooms that do not show everything to everybody.

use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::{EntityId, Tick};

/// Room for so many entities is made with the first: what a player sees of a small world, or of a large one.
const ENTITIES_AT_FIRST: usize = 64;

/// Which entities the snapshots of one peer were to tell of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sightings {
    /// By id.
    entities: Vec<Sighting>,
    /// Where the next one is likely to be: they are named in the order of slots, mostly the same as the last time.
    hint: usize,
    /// The newest snapshot, and the one before it.
    newest: Option<Tick>,
    before: Option<Tick>,
}

/// It was in view in every snapshot from `first` to `last`.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    id: EntityId,
    first: Tick,
    last: Tick,
}

impl Sightings {
    /// In the snapshot of this tick those are in view that [`note`](Self::note) names next. What no moment can be rewound to is forgotten.
    pub(crate) fn begin(&mut self, tick: Tick) {
        if self.newest != Some(tick) {
            self.before = self.newest.replace(tick);
        }
        self.entities.retain(|seen| tick.since(seen.last) < HISTORY_TICKS as i32);
        self.hint = 0;
    }

    /// Who comes back is shown from now on: the time before that it was away is no part of it.
    pub(crate) fn note(&mut self, id: EntityId) {
        let Some(tick) = self.newest else { return };
        let is_there = self.entities.get(self.hint).is_some_and(|seen| seen.id == id);
        let found = if is_there { Ok(self.hint) } else { self.place_of(id) };
        self.hint = found.unwrap_or_else(|place| place) + 1;
        match found {
            Ok(place) => {
                let seen = &mut self.entities[place];
                let is_continued = seen.last == tick || Some(seen.last) == self.before;
                let first = if is_continued { seen.first } else { tick };
                *seen = Sighting { id, first, last: tick };
            }
            Err(place) => {
                if self.entities.is_empty() {
                    self.entities.reserve(ENTITIES_AT_FIRST);
                }
                self.entities.insert(place, Sighting { id, first: tick, last: tick });
            }
        }
    }

    /// Whether an entity was in the peer's view at this tick: at the snapshots around it, if it was the turn of none then. Later than
    /// the newest snapshot, which a busy link may have missed, what is in view goes on to be.
    pub(crate) fn was_shown(&self, id: EntityId, tick: Tick) -> bool {
        self.place_of(id).is_ok_and(|place| {
            let Sighting { first, last, .. } = self.entities[place];
            let is_in_view = Some(last) == self.newest;
            !first.is_newer_than(tick) && (is_in_view || !tick.is_newer_than(last))
        })
    }

    fn place_of(&self, id: EntityId) -> Result<usize, usize> {
        self.entities
            .binary_search_by_key(&(id.slot, id.generation), |seen| (seen.id.slot, seen.id.generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Tick = Tick(u32::MAX - 4);

    const fn id(slot: u16, generation: u16) -> EntityId {
        EntityId { slot, generation }
    }

    fn snapshot(sightings: &mut Sightings, tick: u32, ids: &[EntityId]) {
        sightings.begin(FIRST + tick);
        for id in ids {
            sightings.note(*id);
        }
    }

    #[test]
    fn who_was_shown_is_remembered_from_the_first_snapshot_to_the_last() {
        let (mut sightings, [one, two]) = (Sightings::default(), [id(7, 1), id(7, 2)]);
        let told: [(u32, &[EntityId]); 5] =
            [(0, &[]), (3, &[one]), (6, &[one]), (9, &[two]), (12, &[two, one])];
        for (tick, ids) in told {
            snapshot(&mut sightings, tick, ids);
        }
        let shown = |id, ticks: [u32; 4]| ticks.map(|tick| sightings.was_shown(id, FIRST + tick));
        assert_eq!(shown(two, [6, 9, 10, 12]), [false, true, true, true], "another in the same slot");
        assert_eq!(shown(one, [3, 6, 11, 12]), [false, false, false, true], "it was away, and is back");
        assert_eq!(shown(one, [13, 15, 18, 90]), [true; 4], "still in view, as far as it was told");
    }

    #[test]
    fn who_went_out_of_sight_was_shown_before() {
        let mut sightings = Sightings::default();
        for tick in (0..60).step_by(3) {
            let there = [id(1, 1)];
            snapshot(&mut sightings, tick, &there[..usize::from((3..30).contains(&tick))]);
        }
        let shown = [0, 2, 3, 27, 28, 57].map(|tick| sightings.was_shown(id(1, 1), FIRST + tick));
        assert_eq!(shown, [false, false, true, true, false, false]);
    }

    #[test]
    fn what_nobody_rewinds_to_is_forgotten() {
        let mut sightings = Sightings::default();
        for tick in 0..2_000 {
            snapshot(&mut sightings, tick, &[id(tick as u16, 1)]);
        }
        assert_eq!(sightings.entities.len(), HISTORY_TICKS as usize);
    }
}
