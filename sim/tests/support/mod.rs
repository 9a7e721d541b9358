//! Arena matches played by bots who come and go.

use std::sync::Arc;

use tickwire_sim::arena::{Arena, Level, PLAYER};
use tickwire_sim::bots::{BotBody, BotView, Brain};
use tickwire_sim::prelude::*;

pub(crate) fn config(seed: u64) -> WorldConfig {
    WorldConfig { seed, tick_rate: TickRate::new(60).unwrap(), first_tick: Tick(0) }
}

pub(crate) fn arena(level: &Arc<Level>) -> Box<dyn Simulation> {
    Box::new(Arena::new(level.clone()))
}

/// Writes the inputs of `players` bots, players 0, 1, 2... Each is away for 2 s in every 15 s, at its own time.
pub(crate) struct Bots {
    pub(crate) brains: Vec<Brain>,
    pub(crate) level: Arc<Level>,
    /// Nobody ever leaves.
    pub(crate) are_steady: bool,
}

impl Bots {
    pub(crate) fn new(players: u32, seed: u64, level: &Arc<Level>) -> Self {
        let brain = |player| Brain::new(seed << 32 | u64::from(player));
        Self { brains: (0..players).map(brain).collect(), level: level.clone(), are_steady: false }
    }

    pub(crate) fn fill(&mut self, world: &World, inputs: &mut PlayerInputs) {
        let dt = world.config().tick_rate.dt();
        let bodies: Vec<(Option<PlayerId>, BotBody)> =
            world.tables().rows(PLAYER).map(|(head, row)| (head.owner, BotBody::read(row))).collect();
        let mut others = Vec::new();
        for (player, brain) in (0..).map(PlayerId).zip(&mut self.brains) {
            let own = bodies.iter().find(|(owner, _)| *owner == Some(player)).map(|(_, body)| *body);
            let is_present = self.are_steady || (world.tick().0.wrapping_add(player.0 * 97)) % 900 < 780;
            let mut row = match (own, is_present) {
                (None, true) => inputs.join(player),
                (Some(_), true) => inputs.insert(player),
                (Some(_), false) => {
                    inputs.leave(player);
                    continue;
                }
                (None, false) => continue,
            };
            others.clear();
            others.extend(bodies.iter().filter(|(owner, _)| *owner != Some(player)).map(|(_, body)| *body));
            brain.think(
                dt,
                &BotView { own, others: &others, targets: &others, level: Some(&self.level) },
                &mut row,
            );
        }
    }
}
