//! The engine's example game, played by its bots.

use std::sync::Arc;

use tickwire_sim::arena::{Arena, Level, PLAYER, schema};
use tickwire_sim::bots::{BotBody, BotView, Brain};
use tickwire_sim::prelude::*;

use crate::scene::{Scene, Stage, hz};

const RATE: TickRate = hz(60);
const BOTS: u32 = 64;

/// At the rates at which the engine is measured.
pub(crate) fn scene() -> Scene {
    Scene {
        name: "arena",
        schema: schema().clone(),
        rate: RATE,
        frames_every: 3,
        frames_jitter: 0,
        start: |seed| Box::new(Match::new(seed)),
    }
}

/// A room's world without a room.
struct Match {
    level: Arc<Level>,
    world: World,
    inputs: PlayerInputs,
    brains: Vec<Brain>,
    bodies: Vec<(Option<PlayerId>, BotBody)>,
    others: Vec<BotBody>,
}

impl Match {
    fn new(seed: u64) -> Self {
        let level = Arc::new(Level::for_players(BOTS as usize));
        let config = WorldConfig { seed, tick_rate: RATE, first_tick: Tick(0) };
        let world = World::new(Box::new(Arena::new(level.clone())), config);
        let brain = |player| Brain::new(seed << 32 | u64::from(player));
        Self {
            level,
            world,
            inputs: PlayerInputs::new(schema().clone()),
            brains: (0..BOTS).map(brain).collect(),
            bodies: Vec::new(),
            others: Vec::new(),
        }
    }
}

impl Stage for Match {
    fn step(&mut self) {
        let Self { level, world, inputs, brains, bodies, others } = self;
        bodies.clear();
        bodies.extend(world.tables().rows(PLAYER).map(|(head, row)| (head.owner, BotBody::read(row))));
        inputs.clear();
        for (player, brain) in (0..).map(PlayerId).zip(brains) {
            let own = bodies.iter().find(|(owner, _)| *owner == Some(player)).map(|(_, body)| *body);
            others.clear();
            if brain.decides_within(RATE.dt()) || brain.aims_within(RATE.dt()) {
                others
                    .extend(bodies.iter().filter(|(owner, _)| *owner != Some(player)).map(|(_, body)| *body));
            }
            let mut input = if own.is_some() { inputs.insert(player) } else { inputs.join(player) };
            let view = BotView { own, others, targets: others, level: Some(level) };
            brain.think(RATE.dt(), &view, &mut input);
        }
        world.step(inputs);
    }

    fn save(&self, out: &mut Tables) {
        out.copy_from(self.world.tables());
    }
}
