//! The default prior: what all scenes teach, told as a server would tell them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tickwire_protocol::history::History;
use tickwire_protocol::limits::{HISTORY_TICKS, REFERENCES_PER_ROW_MAX};
use tickwire_protocol::schema::{KindId, Sight};
use tickwire_protocol::snapshot::train::{Target, Trainer};
use tickwire_protocol::snapshot::{PlannedRow, Prior, References, SectionPlan};
use tickwire_protocol::{EntityId, Tick};

use crate::Scene;

/// Frames of each lesson that are learned from.
const FRAMES: usize = 1000;

/// Frames before that: things fall into place.
const FRAMES_SKIPPED: usize = 20;

/// Rows that a lesson counts as, however many it has: hundreds of cubes must not drown eight cars.
const ROWS_PER_LESSON: f64 = 50_000.0;

/// What frames may name.
#[derive(Clone, Copy, Debug)]
enum Baseline {
    /// The three frames before: an ordered stream.
    Previous,
    /// Those so many and twice as many frames before: datagrams that wait for acks.
    Ack(usize),
}

impl Baseline {
    /// Which of the frames before, the newest being number 0.
    fn named(self) -> Vec<usize> {
        match self {
            Self::Previous => (0..REFERENCES_PER_ROW_MAX).collect(),
            Self::Ack(delay) => vec![delay - 1, 2 * delay - 1],
        }
    }
}

/// Learns the default prior from all scenes. The same seed gives the same prior.
pub fn default_prior(seed: u64, mut tell: impl FnMut(&str)) -> Arc<Prior> {
    let mut trainer = Trainer::new();
    for scene in crate::all() {
        for (scene, baseline) in lessons(&scene) {
            let rows = teach(&mut trainer, &scene, baseline, seed);
            tell(&format!(
                "{:<16} every {} ticks, {baseline:?}: {rows} rows",
                scene.name, scene.frames_every
            ));
        }
    }
    tell("learning");
    trainer.learn(Target::Any)
}

/// A scene at its own rate and, if that is slow, at that of its ticks; each on an ordered stream and with acks.
fn lessons(scene: &Scene) -> Vec<(Scene, Baseline)> {
    let mut lessons: Vec<_> =
        [Baseline::Previous, Baseline::Ack(2)].map(|baseline| (scene.clone(), baseline)).into();
    if scene.frames_every >= 6 {
        let each = Scene { frames_every: 1, frames_jitter: 0, ..scene.clone() };
        lessons.push((each.clone(), Baseline::Previous));
        lessons.push((each, Baseline::Ack(6)));
    }
    lessons
}

/// Shows a lesson; how many rows it has.
fn teach(trainer: &mut Trainer, scene: &Scene, baseline: Baseline, seed: u64) -> usize {
    let ticks = (FRAMES + FRAMES_SKIPPED) as u32 * scene.frames_every;
    let mut rows = 0;
    // Once to count, once to show: what a lesson counts as must be known before.
    for is_counting in [true, false] {
        let mut sender = Sender::new(scene, baseline);
        let mut frames = scene.frame_ticks(seed).peekable();
        let mut frame = 0;
        if !is_counting {
            trainer.begin(scene.schema.clone(), scene.rate, ROWS_PER_LESSON / (rows as f64).max(1.0));
        }
        scene.run(ticks, seed, &mut |tick, tables| {
            sender.publish(tick, tables);
            if frames.next_if(|due| *due == tick).is_none() {
                return;
            }
            frame += 1;
            let plan = sender.plan();
            if frame > FRAMES_SKIPPED && is_counting {
                rows += plan.rows.iter().filter(|row| !row.references.is_empty()).count();
            } else if frame > FRAMES_SKIPPED {
                trainer.show(&sender.history, &plan);
            }
            sender.sent(tick);
        });
    }
    rows
}

/// A server with one spectator, as far as a trainer must see it.
struct Sender {
    history: History,
    baseline: Baseline,
    /// Ticks of the frames sent, newest first.
    frames: VecDeque<Tick>,
    /// Since when each entity is there.
    since: BTreeMap<EntityId, Tick>,
}

impl Sender {
    fn new(scene: &Scene, baseline: Baseline) -> Self {
        let history = History::new(scene.schema.clone(), scene.rate);
        Self { history, baseline, frames: VecDeque::new(), since: BTreeMap::new() }
    }

    fn publish(&mut self, tick: Tick, tables: &tickwire_protocol::Tables) {
        self.history.publish(tick, tables);
        let heads = || tables.iter().flat_map(|(_, table)| table.heads());
        let before = std::mem::take(&mut self.since);
        self.since = heads().map(|head| (head.id, before.get(&head.id).copied().unwrap_or(tick))).collect();
    }

    fn plan(&self) -> SectionPlan {
        let mut plan = SectionPlan::default();
        let Some(newest) = self.history.newest() else { return plan };
        let tick = newest.tick();
        let named = self.baseline.named().into_iter().filter_map(|back| self.frames.get(back).copied());
        named
            .filter(|named| tick.since(*named) < HISTORY_TICKS as i32)
            .for_each(|named| plan.against.push(named));
        for (kind, table) in newest.tables(Sight::Public).iter() {
            let kind = KindId(kind.index());
            for (row, head) in table.heads().iter().enumerate() {
                let since = self.since.get(&head.id).copied().unwrap_or(tick);
                let mut references = References::NONE;
                let is_there = |at: &Tick| !since.is_newer_than(*at);
                plan.against.ticks().take_while(is_there).for_each(|at| references.push(at));
                let planned = PlannedRow { kind, row: row as u32, sight: Sight::Public, references };
                let changed = self.history.track(kind, row).changed(Sight::Public);
                if references.newest().is_none_or(|baseline| changed.is_newer_than(baseline)) {
                    plan.rows.push(planned);
                }
                if !references.is_empty() {
                    plan.held.push(planned);
                }
            }
        }
        plan
    }

    fn sent(&mut self, tick: Tick) {
        self.frames.push_front(tick);
        self.frames.truncate(16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesson_names_frames_at_which_everything_was_there() {
        let scene = crate::all().into_iter().find(|scene| scene.name == "arena").unwrap();
        let mut sender = Sender::new(&scene, Baseline::Ack(2));
        let mut rows = 0;
        scene.run(60, 1, &mut |tick, tables| {
            sender.publish(tick, tables);
            let plan = sender.plan();
            for row in plan.held.iter().chain(&plan.rows) {
                let id = sender.history.newest().unwrap().tables(Sight::Public).table(row.kind).heads()
                    [row.row as usize]
                    .id;
                for at in row.references.ticks() {
                    let then = sender.history.at(at).unwrap().tables(Sight::Public).table(row.kind);
                    assert!(then.find(id).is_some());
                    rows += 1;
                }
            }
            sender.sent(tick);
        });
        assert!(rows > 1000, "{rows}");
    }
}
