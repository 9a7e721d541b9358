//! Whether the server judged shots as the shooters saw them.
//!
//! A client notes, with the picture in which it shoots, where everybody was shown. When the room has stepped the tick of that
//! input, the same ray test is made on those poses, from where the authority has the shooter at that tick, and compared with
//! what the room's cue says.

use std::collections::VecDeque;

use glam::Vec3;
use tickwire_client::View;
use tickwire_protocol::{Cue, EntityId, PlayerId, RowHead, RowRef, Tables, Tick};
use tickwire_sim::arena::{
    EYE_HEIGHT, Level, PLAYER, Ray, SHOT, Trace, cue, input, player, schema, trace_shot,
};

use crate::figures::Figures;

/// The shots of one player that the room has not stepped yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shots {
    waiting: VecDeque<Shot>,
}

/// A shot as its shooter saw it.
#[derive(Clone, Debug)]
struct Shot {
    tick: Tick,
    yaw: f32,
    pitch: f32,
    /// Of the picture: everybody else's feet.
    poses: Vec<(EntityId, Vec3)>,
    /// From the moment of the picture to the step, ticks.
    rewind: f32,
    is_sampled: bool,
}

/// What the room knows after a step.
pub(crate) struct Verdicts<'a> {
    pub(crate) tick: Tick,
    pub(crate) tables: &'a Tables,
    pub(crate) cues: &'a [Cue],
    pub(crate) level: &'a Level,
    /// How far views are rewound at most, ticks.
    pub(crate) rewind_max: f32,
}

impl Shots {
    /// Notes what an input does, if it shoots.
    pub(crate) fn note(&mut self, tick: Tick, row: RowRef<'_>, view: &View<'_>, is_sampled: bool) {
        if !row.boolean(input::FIRE) {
            return;
        }
        let shown = view.tick_time();
        let others = view.entities(PLAYER).filter(|entity| !entity.is_own());
        self.waiting.push_back(Shot {
            tick,
            yaw: row.angle(input::YAW),
            pitch: row.scalar(input::PITCH),
            poses: others.map(|entity| (entity.id(), entity.vec3(player::POSITION))).collect(),
            rewind: tick.since(shown.tick) as f32 - shown.fraction,
            is_sampled,
        });
    }

    /// Compares the shot of the tick that was stepped, if there was one.
    pub(crate) fn settle(&mut self, shooter: PlayerId, verdicts: &Verdicts<'_>, figures: &mut Figures) {
        let is_over = |shot: &Shot| !shot.tick.is_newer_than(verdicts.tick);
        while self.waiting.front().is_some_and(is_over) {
            let Some(shot) = self.waiting.pop_front() else { break };
            if shot.tick == verdicts.tick && shot.is_sampled {
                shot.compare(shooter, verdicts, figures);
            }
        }
    }
}

impl Shot {
    fn compare(&self, shooter: PlayerId, verdicts: &Verdicts<'_>, figures: &mut Figures) {
        let is_shooter = |(head, _): &(RowHead, RowRef<'_>)| head.owner == Some(shooter);
        let Some((head, row)) = verdicts.tables.rows(PLAYER).find(is_shooter) else { return };
        if head.teleported {
            // It was knocked out in this very tick: where it shot from is in no table.
            return;
        }
        let eye = row.vec3(player::POSITION) + Vec3::Y * EYE_HEIGHT;
        let ray = Ray::of_look(eye, self.yaw, self.pitch);
        let Trace { target, .. } = trace_shot(verdicts.level, &ray, self.poses.iter().copied());
        let told = verdicts.cues.iter().find(|told| told.id == SHOT && told.source == Some(head.id));
        // Its input came too late, or not at all: nobody was hit.
        let judged = told.and_then(|told| RowRef::new(schema().cue(SHOT), &told.values).entity(cue::OTHER));
        figures.shots += 1;
        figures.shots_lost += u64::from(told.is_none());
        figures.shots_hit += u64::from(judged.is_some());
        if self.rewind <= verdicts.rewind_max {
            figures.shots_within_cap += 1;
            figures.shots_agreed += u64::from(judged == target);
        }
    }
}
