//! What is to be told when the view comes to its tick: cues, and who may have entered or left.

use std::collections::VecDeque;

use tickwire_protocol::{Cue, EntityId, KindId, Tick};

/// Things that wait, at most. A crowded half second brings some hundreds; more means that nobody polls.
const ITEMS_MAX: usize = 4096;

/// Cues that are remembered so as not to be shown again: ten times what a crowded half second brings.
const REMEMBERED_MAX: usize = 4096;

/// How long a cue is remembered, ticks: a frame tells of cues up to 127 ticks before its own, and may itself come late.
const REMEMBERED_TICKS: i32 = 256;

/// What is to be done at a tick. Of one tick, in this order: who is in view sees and is seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Item {
    /// See whether this entity came into view.
    Enter(KindId, EntityId),
    /// Tell the cue.
    Cue(Cue),
    /// See whether this entity left the view.
    Leave(KindId, EntityId),
}

impl Item {
    fn rank(&self) -> u8 {
        match self {
            Self::Enter(..) => 0,
            Self::Cue(_) => 1,
            Self::Leave(..) => 2,
        }
    }
}

/// Things to be done, by tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    items: VecDeque<(Tick, Item)>,
    remembered: VecDeque<(Tick, Option<EntityId>, u8)>,
    dropped: u64,
}

impl Agenda {
    /// Enters something in its place: by tick, then by what it is, then as it came.
    pub(crate) fn push(&mut self, tick: Tick, item: Item) {
        if self.items.len() == ITEMS_MAX {
            self.items.pop_front();
            self.dropped += 1;
        }
        let is_before = |(at, other): &(Tick, Item)| match tick.since(*at) {
            0 => other.rank() <= item.rank(),
            steps => steps > 0,
        };
        let place = self.items.iter().rposition(is_before).map_or(0, |place| place + 1);
        self.items.insert(place, (tick, item));
    }

    /// Enters a cue unless it came before. `newest` is the newest tick that was heard of. Returns whether it is new.
    pub(crate) fn push_cue(&mut self, cue: &Cue, newest: Tick) -> bool {
        let is_old = |tick: Tick| newest.since(tick) > REMEMBERED_TICKS;
        while self.remembered.front().is_some_and(|&(tick, ..)| is_old(tick)) {
            self.remembered.pop_front();
        }
        if is_old(cue.tick) || self.remembered.contains(&cue.name()) {
            return false;
        }
        if self.remembered.len() == REMEMBERED_MAX {
            self.remembered.pop_front();
        }
        self.remembered.push_back(cue.name());
        self.push(cue.tick, Item::Cue(*cue));
        true
    }

    /// The next thing that is due when the view shows `tick`.
    pub(crate) fn pop_due(&mut self, tick: Tick) -> Option<Item> {
        let (at, _) = self.items.front()?;
        if at.is_newer_than(tick) { None } else { self.items.pop_front().map(|(_, item)| item) }
    }

    /// Things that were lost because nobody polled.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::CueId;
    use tickwire_protocol::limits::COLUMNS_PER_CUE_MAX;

    const ID: EntityId = EntityId { slot: 1, generation: 1 };

    fn cue(tick: u32, nth: u8) -> Cue {
        Cue { tick: Tick(tick), id: CueId(0), source: Some(ID), nth, values: [0; COLUMNS_PER_CUE_MAX] }
    }

    fn due(agenda: &mut Agenda, tick: u32) -> Vec<Item> {
        std::iter::from_fn(|| agenda.pop_due(Tick(tick))).collect()
    }

    #[test]
    fn things_come_in_their_order_at_their_tick() {
        let mut agenda = Agenda::default();
        agenda.push(Tick(1), Item::Leave(KindId(0), ID));
        agenda.push_cue(&cue(1, 0), Tick(1));
        agenda.push(Tick(1), Item::Enter(KindId(1), ID));
        agenda.push_cue(&cue(u32::MAX, 0), Tick(1));
        agenda.push_cue(&cue(1, 1), Tick(1));
        assert_eq!(due(&mut agenda, u32::MAX - 1), []);
        assert_eq!(due(&mut agenda, 0), [Item::Cue(cue(u32::MAX, 0))]);
        let last = [
            Item::Enter(KindId(1), ID),
            Item::Cue(cue(1, 0)),
            Item::Cue(cue(1, 1)),
            Item::Leave(KindId(0), ID),
        ];
        assert_eq!(due(&mut agenda, 5), last);
    }

    #[test]
    fn a_cue_is_new_once() {
        let mut agenda = Agenda::default();
        assert!(agenda.push_cue(&cue(10, 0), Tick(10)));
        assert!(!agenda.push_cue(&cue(10, 0), Tick(12)));
        assert!(agenda.push_cue(&cue(10, 1), Tick(12)), "another of the same tick");
        assert_eq!(due(&mut agenda, 10).len(), 2);
        assert!(!agenda.push_cue(&cue(10, 0), Tick(266)), "told and remembered");
        assert!(!agenda.push_cue(&cue(10, 0), Tick(267)), "too old to know");
        assert!(agenda.remembered.is_empty());
    }

    #[test]
    fn what_nobody_polls_for_does_not_pile_up() {
        let mut agenda = Agenda::default();
        for tick in 0..10_000 {
            agenda.push_cue(&cue(tick, 0), Tick(tick));
        }
        assert_eq!((agenda.items.len(), agenda.dropped()), (ITEMS_MAX, 10_000 - ITEMS_MAX as u64));
        assert!(agenda.remembered.len() <= 257);
    }
}
