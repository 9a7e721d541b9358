//! Whether the server judged shots as the shooters saw them.
//!
//! With the picture in which it shoots a client makes the ray test itself: from where it is predicted to be, on the poses in
//! that picture. When the room has stepped the tick of that input, this is compared with what the room's cue says. Shots of those
//! who have been knocked out and do not know it yet, and those while nothing is predicted, are counted apart.

use std::collections::VecDeque;

use tickwire_client::View;
use tickwire_protocol::{Cue, EntityId, PlayerId, RowRef, Tables, Tick};
use tickwire_sim::arena::{Level, PLAYER, Ray, SHOT, cue, player, schema, trace_shot};

use crate::figures::Figures;

/// The shots of one player that the room has not stepped yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shots {
    waiting: VecDeque<Shot>,
    /// When the room last set the shooter down somewhere else.
    moved: Option<Tick>,
}

/// A shot as its shooter saw it.
#[derive(Clone, Copy, Debug)]
struct Shot {
    tick: Tick,
    /// The newest state that the shooter knew.
    newest: Option<Tick>,
    /// Whom it hits in the picture.
    target: Option<EntityId>,
    /// From the moment of the picture to the step, ticks.
    rewind: f32,
    is_sampled: bool,
}

/// What a shooter has before its eyes.
pub(crate) struct Sight<'a> {
    pub(crate) view: View<'a>,
    pub(crate) newest: Option<Tick>,
    pub(crate) level: &'a Level,
}

/// What the room knows after a step.
pub(crate) struct Verdicts<'a> {
    pub(crate) tick: Tick,
    pub(crate) tables: &'a Tables,
    pub(crate) cues: &'a [Cue],
    /// How far views are rewound at most, ticks.
    pub(crate) rewind_max: f32,
}

impl Shots {
    /// Notes a shot along `ray` with the input of `tick`, while `view` is before the shooter's eyes.
    pub(crate) fn note(&mut self, tick: Tick, ray: &Ray, sight: &Sight<'_>, is_sampled: bool) {
        let Sight { view, newest, level } = sight;
        let shown = view.tick_time();
        let others = view.entities(PLAYER).filter(|entity| !entity.is_own());
        let poses = others.map(|entity| (entity.id(), entity.vec3(player::POSITION)));
        let target = trace_shot(level, ray, poses).target;
        let rewind = tick.since(shown.tick) as f32 - shown.fraction;
        self.waiting.push_back(Shot { tick, newest: *newest, target, rewind, is_sampled });
    }

    /// Compares the shot of the tick that was stepped, if there was one.
    pub(crate) fn settle(&mut self, shooter: PlayerId, verdicts: &Verdicts<'_>, figures: &mut Figures) {
        let heads = verdicts.tables.table(PLAYER).heads();
        let Some(head) = heads.iter().find(|head| head.owner == Some(shooter)) else { return };
        if head.teleported {
            self.moved = Some(verdicts.tick);
        }
        let is_over = |shot: &Shot| !shot.tick.is_newer_than(verdicts.tick);
        while self.waiting.front().is_some_and(is_over) {
            let Some(shot) = self.waiting.pop_front() else { break };
            // Who was knocked out and does not know it yet shoots from where it is no more.
            let knows =
                self.moved.is_none_or(|moved| shot.newest.is_some_and(|newest| !moved.is_newer_than(newest)));
            if shot.tick == verdicts.tick && shot.is_sampled {
                if knows {
                    shot.compare(head.id, verdicts, figures);
                } else {
                    figures.shots_unknowing += 1;
                }
            }
        }
    }
}

impl Shot {
    fn compare(&self, shooter: EntityId, verdicts: &Verdicts<'_>, figures: &mut Figures) {
        let told = verdicts.cues.iter().find(|told| told.id == SHOT && told.source == Some(shooter));
        // Its input came too late, or not at all: nobody was hit.
        let judged = told.and_then(|told| RowRef::new(schema().cue(SHOT), &told.values).entity(cue::OTHER));
        figures.shots += 1;
        figures.shots_lost += u64::from(told.is_none());
        figures.shots_hit += u64::from(judged.is_some());
        if self.rewind <= verdicts.rewind_max {
            figures.shots_within_cap += 1;
            figures.shots_agreed += u64::from(judged == self.target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::RowHead;

    #[test]
    fn who_does_not_know_that_it_was_moved_is_counted_apart() {
        const SHOOTER: PlayerId = PlayerId(3);
        let mut tables = Tables::new(schema().clone());
        let id = EntityId { slot: 1, generation: 1 };
        tables.insert(PLAYER, RowHead::new(id).owned_by(SHOOTER));
        tables.finish();
        let verdicts = Verdicts { tick: Tick(10), tables: &tables, cues: &[], rewind_max: 15.0 };
        for (newest, counted) in [(Some(8), (1, 0)), (Some(6), (0, 1)), (None, (0, 1))] {
            let newest = newest.map(Tick);
            let shot = Shot { tick: Tick(10), newest, target: None, rewind: 5.0, is_sampled: true };
            let mut shots = Shots { waiting: [shot].into(), moved: Some(Tick(7)) };
            let mut figures = Figures::default();
            shots.settle(SHOOTER, &verdicts, &mut figures);
            assert_eq!((figures.shots, figures.shots_unknowing), counted, "{newest:?}");
        }
    }
}
