//! How well a player is shown to itself: how soon an input is seen, how often what was predicted was wrong, and why.

use std::collections::VecDeque;

use glam::Vec3;
use tickwire_client::{Client, Correction};
use tickwire_protocol::{EntityId, Micros, Tick};
use tickwire_sim::arena::{PLAYER, player};

use crate::figures::Figures;
use crate::truth::Truth;

/// Predictions that wait for the room to come to their tick: longer than any lead.
const PREDICTED_MAX: usize = 256;

/// What one client predicts of its own player.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    /// Inputs that have had no picture yet: their ticks, and when they were given.
    unseen: VecDeque<(Tick, u64)>,
    /// Inputs whose whole effect no picture has shown yet.
    unfinished: VecDeque<(Tick, u64)>,
    /// The first prediction for each tick that the room has not stepped yet.
    predicted: VecDeque<(Tick, EntityId, Vec3)>,
    /// Corrections that were noted, and those of them behind a substituted input.
    corrections: (u64, u64),
}

impl Own {
    /// An input was given, and its tick predicted for the first time, unless nothing is predicted.
    pub(crate) fn note_input(
        &mut self,
        now: u64,
        local: Micros,
        tick: Tick,
        client: &Client,
        is_sampled: bool,
        out: &mut Figures,
    ) {
        out.own_inputs += u64::from(is_sampled);
        if client.predicted_tick() != Some(tick) {
            out.unpredicted_inputs += u64::from(is_sampled);
            return;
        }
        self.unseen.push_back((tick, now));
        self.unfinished.push_back((tick, now));
        let view = client.predicted(local);
        let Some(own) = view.entities(PLAYER).next() else { return };
        if self.predicted.len() == PREDICTED_MAX {
            self.predicted.pop_front();
        }
        self.predicted.push_back((tick, own.id(), own.latest().vec3(player::POSITION)));
    }

    /// A picture is drawn. An input shows its effect in the first one that is of a later moment than the tick before it; all
    /// of it in the first one that is of no earlier moment than its own tick.
    pub(crate) fn look(
        &mut self,
        now: u64,
        local: Micros,
        client: &Client,
        is_sampled: bool,
        out: &mut Figures,
    ) {
        let view = client.predicted(local);
        if view.entities(PLAYER).next().is_none() {
            return;
        }
        let time = view.tick_time();
        let has_begun =
            |tick: Tick| (time.tick + 1).since(tick) > 0 || time.tick + 1 == tick && time.fraction > 0.0;
        let is_whole = |tick: Tick| time.tick.since(tick) >= 0;
        while let Some((_, given)) = pop_if(&mut self.unseen, |(tick, _)| has_begun(*tick)) {
            if is_sampled {
                out.own_latency_ms.add((now - given) as f64 / 1e3);
            }
        }
        while let Some((_, given)) = pop_if(&mut self.unfinished, |(tick, _)| is_whole(*tick)) {
            if is_sampled {
                out.own_latency_whole_ms.add((now - given) as f64 / 1e3);
            }
        }
    }

    /// A message was taken in: was something predicted wrongly, and is there a reason for it?
    pub(crate) fn note_corrections(
        &mut self,
        client: &Client,
        local: Micros,
        truth: &Truth,
        is_sampled: bool,
        out: &mut Figures,
    ) {
        let stats = client.stats(local);
        let now = (stats.corrections, stats.corrections_substituted);
        let before = core::mem::replace(&mut self.corrections, now);
        let (made, substituted) = (now.0 - before.0, now.1 - before.1);
        let Some(correction) = stats.last_correction.filter(|_| made > 0 && is_sampled) else { return };
        out.corrections += made;
        out.corrections_substituted += substituted;
        let own = client.own().find(|entity| entity.kind == PLAYER).map(|entity| entity.id);
        let is_last_explained = is_explained(&correction, own, truth);
        // Of several that one message brings, only the last one's ticks are known: the rest is explained by inputs or not at all.
        let others = made - 1 - (substituted - u64::from(correction.is_substituted));
        out.corrections_unexplained += others + u64::from(!is_last_explained);
    }

    /// The room has stepped: judges what was predicted for the ticks up to its newest.
    pub(crate) fn settle(&mut self, newest: Tick, truth: &Truth, is_sampled: bool, out: &mut Figures) {
        while let Some((tick, id, place)) = pop_if(&mut self.predicted, |(tick, ..)| newest.since(*tick) >= 0)
        {
            let so = truth.at(tick, id);
            if let Some(so) = so.filter(|_| is_sampled) {
                out.prediction_error_cm.add(f64::from(place.distance(so)) * 100.0);
            }
        }
    }

    /// The client's clock has jumped or the connection ended: what was given before is not measured.
    pub(crate) fn forget(&mut self) {
        self.unseen.clear();
        self.unfinished.clear();
    }
}

/// The front of a queue, if it is due.
fn pop_if<T>(queue: &mut VecDeque<T>, is_due: impl Fn(&T) -> bool) -> Option<T> {
    queue.front().is_some_and(is_due).then(|| queue.pop_front()).flatten()
}

/// Whether the room has done something in the ticks behind the last agreement that no client can know.
fn is_explained(correction: &Correction, own: Option<EntityId>, truth: &Truth) -> bool {
    let ticks = correction.tick.since(correction.agreed).max(0) as u32;
    let was_disturbed = |own| (0..ticks).any(|ago| truth.was_disturbed(correction.tick - ago, own));
    // Who is gone was taken out by the room.
    correction.is_substituted || own.is_none_or(was_disturbed)
}
