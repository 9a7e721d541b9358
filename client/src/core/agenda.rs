//! What is to be told when the view comes to its tick: cues, and who may have entered or left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tickwire_protocol::{Cue, EntityId, KindId, Tick};

/// Cues that wait, at most. A crowded half second brings some hundreds; more means that nobody polls.
const CUES_MAX: usize = 4096;

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

/// The order of what is due at one tick.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    Enter,
    Cue,
    /// A game event, which waits elsewhere.
    Event,
    Leave,
}

/// Things to be done, by tick.
///
/// Who may have entered or left is never lost here; that it does not pile up is up to the [`Stage`](super::stage::Stage),
/// which can say it anew. Of cues the oldest are lost if nobody polls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    edges: BTreeSet<(i64, Rank, KindId, EntityId)>,
    /// By tick, then as they came.
    cues: BTreeMap<(i64, u64), Cue>,
    pushed: u64,
    /// The last tick entered, as it is and on a line that does not wrap.
    near: (Tick, i64),
    remembered: VecDeque<(Tick, Option<EntityId>, u8)>,
    dropped: u64,
}

impl Agenda {
    /// Enters something in its place: by tick, then by what it is; cues then as they came, entities by id.
    pub(crate) fn push(&mut self, tick: Tick, item: Item) {
        let at = self.line(tick);
        self.near = (tick, at);
        match item {
            Item::Enter(kind, id) => {
                self.edges.insert((at, Rank::Enter, kind, id));
            }
            Item::Leave(kind, id) => {
                self.edges.insert((at, Rank::Leave, kind, id));
            }
            Item::Cue(cue) => {
                if self.cues.len() == CUES_MAX {
                    self.cues.pop_first();
                    self.dropped += 1;
                }
                self.cues.insert((at, self.pushed), cue);
                self.pushed += 1;
            }
        }
    }

    /// Where a tick is on the line.
    fn line(&self, tick: Tick) -> i64 {
        self.near.1 + i64::from(tick.since(self.near.0))
    }

    /// Things about entering and leaving that wait.
    pub(crate) fn edges(&self) -> usize {
        self.edges.len()
    }

    /// Forgets who enters and leaves, to be told anew.
    pub(crate) fn clear_edges(&mut self) {
        self.edges.clear();
    }

    /// Remembers that a cue has come; whether it is for the first time. `newest` is the newest tick that was heard of.
    pub(crate) fn is_news(&mut self, cue: &Cue, newest: Tick) -> bool {
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
        true
    }

    /// The next thing that is due when the view shows `tick`.
    pub(crate) fn pop_due(&mut self, tick: Tick) -> Option<Item> {
        let (_, rank) = self.next_due(tick)?;
        if rank == Rank::Cue {
            return self.cues.pop_first().map(|(_, cue)| Item::Cue(cue));
        }
        let (_, _, kind, id) = self.edges.pop_first()?;
        Some(if rank == Rank::Enter { Item::Enter(kind, id) } else { Item::Leave(kind, id) })
    }

    /// Whether a game event of a tick comes before all that is due when the view shows `view`.
    pub(crate) fn is_events_turn(&self, tick: Tick, view: Tick) -> bool {
        self.next_due(view).is_none_or(|next| (self.line(tick), Rank::Event) < next)
    }

    /// When the next thing that is due at `tick` happened, and what it is.
    fn next_due(&self, tick: Tick) -> Option<(i64, Rank)> {
        let due = self.line(tick);
        let edge = self.edges.first().map(|&(at, rank, ..)| (at, rank));
        let cue = self.cues.first_key_value().map(|(&(at, _), _)| (at, Rank::Cue));
        edge.into_iter().chain(cue).min().filter(|&(at, _)| at <= due)
    }

    /// Cues that were lost because nobody polled.
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

    impl Agenda {
        fn push_cue(&mut self, cue: &Cue, newest: Tick) -> bool {
            let is_news = self.is_news(cue, newest);
            if is_news {
                self.push(cue.tick, Item::Cue(*cue));
            }
            is_news
        }
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
    fn an_event_comes_behind_who_enters_and_before_who_leaves() {
        let mut agenda = Agenda::default();
        agenda.push(Tick(5), Item::Leave(KindId(0), ID));
        agenda.push(Tick(5), Item::Enter(KindId(1), ID));
        assert!(agenda.is_events_turn(Tick(9), Tick(4)), "nothing is due");
        assert!(!agenda.is_events_turn(Tick(5), Tick(5)), "somebody enters first");
        assert!(agenda.is_events_turn(Tick(4), Tick(5)));
        agenda.pop_due(Tick(5));
        assert!(agenda.is_events_turn(Tick(5), Tick(5)));
        assert!(!agenda.is_events_turn(Tick(6), Tick(6)));
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
        assert_eq!((agenda.cues.len(), agenda.dropped()), (CUES_MAX, 10_000 - CUES_MAX as u64));
        assert!(agenda.remembered.len() <= 257);
    }
}
