//! How well the others are shown: picture by picture, entity by entity.

use std::collections::BTreeMap;

use glam::Vec3;
use tickwire_client::View;
use tickwire_protocol::EntityId;
use tickwire_sim::arena::{PLAYER, SPEED_MAX, player};

use crate::config::TICK_HZ;
use crate::figures::Figures;
use crate::truth::Truth;

/// A shown step may be longer by this, metres.
const STEP_SLACK: f32 = 0.02;
/// A shown step may be longer than the greatest speed allows by this factor.
const STEP_FACTOR: f32 = 1.5;
/// Whoever moves slower cannot freeze, m/s.
const FREEZE_SPEED_MIN: f32 = 1.0;
/// Who is shown to move less than this share of the truth stands.
const FREEZE_SHARE: f32 = 0.2;
/// Shorter is no freeze, microseconds.
const FREEZE_MIN: u64 = 50_000;

/// A picture and when it was drawn.
pub(crate) struct Picture<'a> {
    /// True time, microseconds.
    pub(crate) now: u64,
    pub(crate) view: View<'a>,
    /// `View::server_time`, microseconds.
    pub(crate) server_time: u64,
    /// When the newest applied snapshot's tick was due, microseconds.
    pub(crate) newest_time: u64,
    pub(crate) is_starved: bool,
    /// Whether it counts.
    pub(crate) is_sampled: bool,
}

/// What a client has seen of the others so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Motion {
    shown: BTreeMap<EntityId, Shown>,
    /// True time and server time of the last picture.
    last: Option<(u64, u64)>,
    /// How much later than the newest snapshot the last picture was, microseconds.
    untold: u64,
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    position: Vec3,
    picture: u64,
    /// For how long it has stood where it should have moved, microseconds.
    frozen: u64,
}

impl Motion {
    /// True time and server time of the last picture, microseconds.
    pub(crate) fn last(&self) -> Option<(u64, u64)> {
        self.last
    }

    /// Looks at a picture; returns whether somebody else is in it.
    pub(crate) fn look(
        &mut self,
        picture: &Picture<'_>,
        truth: &Truth,
        interval: u32,
        out: &mut Figures,
    ) -> bool {
        let last = self.last.replace((picture.now, picture.server_time));
        let untold = picture.server_time.saturating_sub(picture.newest_time);
        let untold = core::mem::replace(&mut self.untold, untold) * u64::from(TICK_HZ);
        let untold_ticks = untold.div_ceil(1_000_000) as u32;
        let mut is_anyone = false;
        for entity in picture.view.entities(PLAYER).filter(|entity| !entity.is_own()) {
            is_anyone = true;
            let (id, position) = (entity.id(), entity.vec3(player::POSITION));
            let before =
                self.shown.get(&id).copied().filter(|shown| Some(shown.picture) == last.map(|last| last.0));
            let mut shown = Shown { position, picture: picture.now, frozen: 0 };
            let time = picture.server_time as f64;
            if !truth.is_new_way(id, time, interval) {
                if picture.is_sampled
                    && let Some(place) = truth.position(id, time)
                {
                    let error = f64::from(position.distance(place)) * 100.0;
                    out.remote_error_cm.add(error);
                    if !picture.is_starved {
                        out.remote_error_fresh_cm.add(error);
                    }
                }
                if let (Some(before), Some(last)) = (before, last) {
                    // A teleport that was not known when the last picture was drawn is shown, flagged, when it is.
                    let is_teleport = untold > 0 && truth.is_new_way(id, time, interval + untold_ticks);
                    let step = Step { before, last, position, is_teleport };
                    shown.frozen = step.judge(id, picture, truth, out);
                }
            }
            self.shown.insert(id, shown);
        }
        is_anyone
    }
}

/// From one picture to the next.
struct Step {
    before: Shown,
    /// True time and server time of the picture before.
    last: (u64, u64),
    position: Vec3,
    /// Whether it may lead from before a teleport to behind it.
    is_teleport: bool,
}

impl Step {
    /// Counts what is wrong with it; for how long the entity has been frozen.
    fn judge(&self, id: EntityId, picture: &Picture<'_>, truth: &Truth, out: &mut Figures) -> u64 {
        let Self { before, last: (last_now, last_time), position, is_teleport } = *self;
        let passed = picture.now - last_now;
        let dt = passed as f32 / 1e6;
        let rate = (picture.server_time as f64 - last_time as f64) / passed as f64;
        let step = position.distance(before.position);
        let longest = STEP_FACTOR * SPEED_MAX * dt * (rate as f32).max(1.0) + STEP_SLACK;
        if picture.is_sampled && step > longest && !is_teleport {
            out.jumps += 1;
        }
        // How the truth moved on from what was shown last, in the time that has passed.
        let [from, to] = [0, passed].map(|passed| truth.position(id, (last_time + passed) as f64));
        let (Some(from), Some(to)) = (from, to) else { return 0 };
        let moved = from.distance(to);
        if moved <= FREEZE_SPEED_MIN * dt || step >= FREEZE_SHARE * moved {
            return 0;
        }
        let frozen = before.frozen + passed;
        if picture.is_sampled && before.frozen < FREEZE_MIN && frozen >= FREEZE_MIN {
            out.freezes += 1;
        }
        frozen
    }
}
