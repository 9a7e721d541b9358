//! Where a player will be when its input is stepped: what the eye of its bot aims from.

use std::collections::VecDeque;
use std::sync::Arc;

use tickwire_client::Client;
use tickwire_protocol::{PlayerId, RowHead, RowRef, Tables, Tick, TickRate};
use tickwire_sim::arena::{Arena, Level, PLAYER, schema};
use tickwire_sim::bots::BotBody;
use tickwire_sim::{PlayerInputs, World, WorldConfig};

/// Inputs that are remembered: longer than any round trip.
const INPUTS_MAX: usize = 240;

/// The own player, stepped ahead of what the server has told, by the inputs that were given since.
pub(crate) struct Foresight {
    world: World,
    own: Tables,
    inputs: PlayerInputs,
    given: VecDeque<(Tick, Vec<i32>)>,
}

impl Foresight {
    pub(crate) fn new(level: &Arc<Level>, tick_rate: TickRate) -> Self {
        let config = WorldConfig { seed: 0, tick_rate, first_tick: Tick(0) };
        Self {
            world: World::partial(Box::new(Arena::new(level.clone())), config),
            own: Tables::new(schema().clone()),
            inputs: PlayerInputs::new(schema().clone()),
            given: VecDeque::new(),
        }
    }

    /// Remembers an input.
    pub(crate) fn note(&mut self, tick: Tick, row: RowRef<'_>) {
        let mut values = vec![0; row.kind().column_count()];
        row.copy_to(&mut values);
        if self.given.len() == INPUTS_MAX {
            self.given.pop_front();
        }
        self.given.push_back((tick, values));
    }

    /// The player as it will be at the end of `tick`, as far as it has been decided: its last steps coast.
    pub(crate) fn body(&mut self, client: &Client, newest: Tick, tick: Tick) -> Option<BotBody> {
        let player = client.welcome()?.player?;
        let own = client.own().find(|entity| entity.kind == PLAYER)?;
        self.own.clear();
        let mut values = vec![0; own.row.kind().column_count()];
        own.row.copy_to(&mut values);
        self.own.insert(PLAYER, RowHead::new(own.id).owned_by(player)).copy_from(&values);
        self.world.restore(newest, &self.own);
        let ahead = tick.since(newest).clamp(0, INPUTS_MAX as i32) as u32;
        (0..ahead).for_each(|step| self.step(player, newest + 1 + step));
        self.world.tables().rows(PLAYER).next().map(|(_, row)| BotBody::read(row))
    }

    fn step(&mut self, player: PlayerId, tick: Tick) {
        self.inputs.clear();
        if let Some((_, values)) = self.given.iter().rev().find(|(given, _)| *given == tick) {
            self.inputs.insert(player).copy_from(values);
        }
        self.world.step(&self.inputs);
    }
}
