//! What all scenes have in common.

use core::fmt;
use std::sync::Arc;

use tickwire_protocol::schema::SchemaBuilder;
use tickwire_protocol::{EntityId, RowHead, Schema, Tables, Tick, TickRate};
use tickwire_sim::Random;

/// A game that plays itself.
#[derive(Clone)]
pub struct Scene {
    /// What it is called.
    pub name: &'static str,
    /// What its rows are made of.
    pub schema: Arc<Schema>,
    /// How often it steps.
    pub rate: TickRate,
    /// Ticks from one snapshot to the next.
    pub frames_every: u32,
    /// By how many ticks, at most, a snapshot's distance to the next is longer or shorter than that.
    pub frames_jitter: u32,
    pub(crate) start: fn(seed: u64) -> Box<dyn Stage>,
}

/// The state of a scene while it is played.
pub(crate) trait Stage {
    /// Advances by one tick.
    fn step(&mut self);

    /// Writes a row for everything there is; `out` is empty.
    fn save(&self, out: &mut Tables);
}

impl Scene {
    /// Plays `ticks` steps, the first of which is tick 0, and shows the state after each.
    pub fn run(&self, ticks: u32, seed: u64, visit: &mut dyn FnMut(Tick, &Tables)) {
        let mut stage = (self.start)(seed);
        let mut tables = Tables::new(self.schema.clone());
        for tick in 0..ticks {
            stage.step();
            tables.clear();
            stage.save(&mut tables);
            tables.finish();
            visit(Tick(tick), &tables);
        }
    }

    /// The ticks of which a snapshot is sent, without an end; the first is tick 0.
    pub fn frame_ticks(&self, seed: u64) -> impl Iterator<Item = Tick> + use<> {
        let (every, jitter) = (self.frames_every, self.frames_jitter.min(self.frames_every - 1));
        let mut random = Random::from_seed(seed ^ 0x6672_616d_6573);
        core::iter::successors(Some(Tick(0)), move |tick| {
            Some(*tick + (every - jitter) + random.below(2 * jitter + 1))
        })
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("name", &self.name).field("rate", &self.rate).finish_non_exhaustive()
    }
}

/// A tick rate that is written in the code.
pub(crate) const fn hz(hz: u32) -> TickRate {
    match TickRate::new(hz) {
        Some(rate) => rate,
        None => panic!("a rate from 1 to the limit"),
    }
}

/// A schema that is written in the code.
pub(crate) fn built(schema: SchemaBuilder) -> Arc<Schema> {
    match schema.build() {
        Ok(schema) => schema,
        Err(error) => unreachable!("the schemas of scenes are sound: {error}"),
    }
}

/// The head of the row of the `index`th thing in a scene in which nothing comes or goes.
pub(crate) fn head(index: usize) -> RowHead {
    RowHead::new(EntityId { slot: index as u16, generation: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_come_as_often_as_told_and_as_irregularly() {
        let scene =
            |frames_every, frames_jitter| Scene { frames_every, frames_jitter, ..crate::cubes::scene() };
        let gaps = |scene: Scene| -> Vec<i32> {
            let ticks: Vec<_> = scene.frame_ticks(1).take(1001).collect();
            ticks.windows(2).map(|pair| pair[1].since(pair[0])).collect()
        };
        assert_eq!(gaps(scene(3, 0)), [3; 1000]);
        let gaps = gaps(scene(5, 1));
        for gap in 4..=6 {
            let count = gaps.iter().filter(|&&other| other == gap).count();
            assert!((250..420).contains(&count), "{count} gaps of {gap} ticks");
        }
        assert!(gaps.iter().all(|gap| (4..=6).contains(gap)));
    }
}
