//! How well the others are shown: picture by picture, entity by entity; and how well anybody could have shown them.
//!
//! Two bounds stand beside the errors. Both are of the very moments that were shown, and hold for whoever shows these without a jump:
//!
//! - of all pictures: somebody whom the room set down elsewhere later than the newest snapshot cannot be shown there, even if all
//!   else about the future is known. Who goes on without a jump is at best as near as the way from where it was before allows;
//! - of fresh pictures: whoever was shown beside the truth when a view stopped starving is at best as near to it as the way from
//!   there allows.

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
    /// Where it was shown when the view last starved, until it may have come from there to the truth.
    astray: Option<Reach>,
}

/// A place, and how far one may have come from it without a jump.
#[derive(Clone, Copy, Debug)]
struct Reach {
    from: Vec3,
    /// Metres.
    within: f32,
}

impl Reach {
    /// The least possible distance from `place`, metres.
    fn miss(&self, place: Vec3) -> f32 {
        (self.from.distance(place) - self.within).max(0.0)
    }
}

/// The longest step that is no jump, metres: in so much time, seconds, at a view rate.
fn longest_step(dt: f32, rate: f32) -> f32 {
    STEP_FACTOR * SPEED_MAX * dt * rate.max(1.0) + STEP_SLACK
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
        let ahead = picture.server_time.saturating_sub(picture.newest_time);
        let untold_before = core::mem::replace(&mut self.untold, ahead) * u64::from(TICK_HZ);
        let untold_before = untold_before.div_ceil(1_000_000) as u32;
        let untold_now = (ahead * u64::from(TICK_HZ) / 1_000_000) as u32;
        let mut is_anyone = false;
        for entity in picture.view.entities(PLAYER).filter(|entity| !entity.is_own()) {
            is_anyone = true;
            let (id, position) = (entity.id(), entity.vec3(player::POSITION));
            let before =
                self.shown.get(&id).copied().filter(|shown| Some(shown.picture) == last.map(|last| last.0));
            let mut shown = Shown { position, picture: picture.now, frozen: 0, astray: None };
            let time = picture.server_time as f64;
            if !truth.is_new_way(id, time, interval) {
                if let (Some(before), Some(last)) = (before, last) {
                    // A teleport that was not known when the last picture was drawn is shown, flagged, when it is.
                    let is_teleport =
                        untold_before > 0 && truth.is_new_way(id, time, interval + untold_before);
                    let step = Step { before, last, position, is_teleport };
                    shown.frozen = step.judge(id, picture, truth, out);
                    shown.astray = step.widen(picture);
                }
                if let Some(place) = truth.position(id, time) {
                    shown.settle_astray(picture, place);
                    let untold = truth.before_move(id, time, untold_now);
                    shown.note_error(picture, place, untold, out);
                }
            }
            self.shown.insert(id, shown);
        }
        is_anyone
    }
}

impl Shown {
    /// Whether it is still astray, if the truth is at `place`.
    fn settle_astray(&mut self, picture: &Picture<'_>, place: Vec3) {
        self.astray = if picture.is_starved {
            Some(Reach { from: self.position, within: 0.0 })
        } else {
            self.astray.filter(|astray| astray.miss(place) > 0.0)
        };
    }

    /// Notes how far it is from the truth, and how far at least anybody's picture would be. `untold`: where it was, and when, before it
    /// was moved since the newest snapshot.
    fn note_error(&self, picture: &Picture<'_>, place: Vec3, untold: Option<(Vec3, f64)>, out: &mut Figures) {
        if !picture.is_sampled {
            return;
        }
        let centimetres = |metres: f32| f64::from(metres) * 100.0;
        let error = centimetres(self.position.distance(place));
        let untold = untold.map(|(from, when)| Reach {
            from,
            within: longest_step((picture.server_time as f64 - when) as f32 / 1e6, 1.0),
        });
        out.remote_error_cm.add(error);
        out.remote_error_bound_cm.add(centimetres(untold.map_or(0.0, |untold| untold.miss(place))));
        if !picture.is_starved {
            out.remote_error_fresh_cm.add(error);
            let astray = self.astray.map_or(0.0, |astray| astray.miss(place));
            out.remote_error_fresh_bound_cm.add(centimetres(astray));
        }
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
    /// How long it may be and be no jump, metres.
    fn longest(&self, picture: &Picture<'_>) -> f32 {
        let (last_now, last_time) = self.last;
        let passed = (picture.now - last_now) as f64;
        let rate = (picture.server_time as f64 - last_time as f64) / passed;
        longest_step(passed as f32 / 1e6, rate as f32)
    }

    fn is_jump(&self, picture: &Picture<'_>) -> bool {
        self.position.distance(self.before.position) > self.longest(picture)
    }

    /// How far one who was astray may have come with it; nothing if it is a jump, which leaves the way that the bound is about.
    fn widen(&self, picture: &Picture<'_>) -> Option<Reach> {
        let astray = self.before.astray.filter(|_| !self.is_teleport && !self.is_jump(picture))?;
        Some(Reach { within: astray.within + self.longest(picture), ..astray })
    }

    /// Counts what is wrong with it; for how long the entity has been frozen.
    fn judge(&self, id: EntityId, picture: &Picture<'_>, truth: &Truth, out: &mut Figures) -> u64 {
        let Self { before, last: (last_now, last_time), position, is_teleport } = *self;
        let passed = picture.now - last_now;
        let dt = passed as f32 / 1e6;
        let step = position.distance(before.position);
        if picture.is_sampled && self.is_jump(picture) && !is_teleport {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_nearer_than_the_way_without_a_jump_allows() {
        let second = Reach { from: Vec3::ZERO, within: longest_step(1.0, 1.0) };
        assert!((second.within - 15.02).abs() < 1e-4, "1.5 times 10 m/s, and 2 cm");
        assert!((second.miss(Vec3::X * 20.0) - 4.98).abs() < 1e-4);
        assert!(second.miss(Vec3::X * 15.0) <= 0.0);
        assert!(longest_step(1.0, 1.03) > second.within && longest_step(1.0, 0.95) <= second.within);
    }
}
