//! Checks that any simulation should pass; for a game's own tests.

use tickwire_protocol::{KindId, Tables};

use crate::inputs::PlayerInputs;
use crate::simulation::Simulation;
use crate::world::{World, WorldConfig};

/// Runs a world for `ticks` and checks at **every** tick that its tables are the whole state, in two ways:
///
/// - All that the step reads is in them: a fresh instance from `make`, loaded from the tables of the tick before, must
///   step to the same rows and emit the same cues as the instance that has been running from the start.
/// - `save` and `load` agree: a fresh instance, loaded from the tables of this tick, must save the same rows, except
///   for [`teleported`](tickwire_protocol::RowHead::teleported). The step cannot show this: where `load` takes a
///   field from another one's column, every instance goes on from the same wrong value.
///
/// `fill` writes the inputs of each tick (they are cleared before) and sees the world as it was after the last one.
/// Let players come and go, and let everything happen that the game has. Returns the world, to look at where it ended.
///
/// # Panics
/// At the first difference, naming the tick, the entity and the field.
///
/// ```
/// # use tickwire_sim::{arena, prelude::*, testing, WorldConfig};
/// let config = WorldConfig { seed: 1, tick_rate: TickRate::new(60).unwrap(), first_tick: Tick(0) };
/// testing::assert_rebuilds(|| Box::new(arena::Arena::default()), config, 200, |world, inputs| {
///     match (world.tick() + 1).0 {
///         0 => {
///             inputs.join(PlayerId(1));
///         }
///         tick @ 1..150 => {
///             inputs.insert(PlayerId(1)).set_boolean(arena::input::JUMP, tick > 20);
///         }
///         150 => inputs.leave(PlayerId(1)),
///         _ => {}
///     }
/// });
/// ```
pub fn assert_rebuilds(
    make: impl Fn() -> Box<dyn Simulation>,
    config: WorldConfig,
    ticks: u32,
    mut fill: impl FnMut(&World, &mut PlayerInputs),
) -> World {
    let mut world = World::new(make(), config);
    let mut inputs = PlayerInputs::new(world.tables().schema().clone());
    for _ in 0..ticks {
        inputs.clear();
        fill(&world, &mut inputs);
        let mut rebuilt = world.rebuild(make());
        rebuilt.step(&inputs);
        world.step(&inputs);
        let tick = world.tick();
        assert_saves_what_it_loads(make(), &world);
        if let Some(difference) = first_difference(world.tables(), rebuilt.tables()) {
            panic!("tick {tick}: a world rebuilt from its tables steps elsewhere: {difference}");
        }
        assert_eq!(
            world.cues(),
            rebuilt.cues(),
            "tick {tick}: a world rebuilt from its tables emits other cues"
        );
    }
    world
}

/// Panics if the simulation, loaded from the world's tables, saves other rows than these.
fn assert_saves_what_it_loads(mut simulation: Box<dyn Simulation>, world: &World) {
    simulation.load(world.tables());
    let mut saved = Tables::new(world.tables().schema().clone());
    simulation.save(&mut saved);
    saved.finish();
    let difference = first_difference(&without_teleports(world.tables()), &without_teleports(&saved));
    if let Some(difference) = difference {
        let tick = world.tick();
        panic!(
            "tick {tick}: `load` and `save` disagree: saved was one, loaded and saved again: {difference}"
        );
    }
}

/// The same rows, none of which has just jumped: that is a fact of one tick, which `load` need not keep.
fn without_teleports(tables: &Tables) -> Tables {
    let mut still = Tables::new(tables.schema().clone());
    let mut values = Vec::new();
    for kind in tables.schema().kinds() {
        values.resize(kind.column_count(), 0);
        for (head, row) in tables.rows(KindId(kind.index())) {
            row.copy_to(&mut values);
            still.insert(KindId(kind.index()), head.teleported(false)).copy_from(&values);
        }
    }
    still
}

/// Where two worlds of the same schema part, in words: which entity, which field, which values.
pub fn first_difference(a: &Tables, b: &Tables) -> Option<String> {
    for ((kind, a), (_, b)) in a.iter().zip(b.iter()) {
        let name = kind.name();
        if let Some((a, b)) = a.heads().iter().zip(b.heads()).find(|(a, b)| a != b) {
            return Some(format!("`{name}`: {a:?} or {b:?}"));
        }
        if a.len() != b.len() {
            return Some(format!("{} or {} rows of `{name}`", a.len(), b.len()));
        }
        for field in kind.fields() {
            for column in field.columns() {
                let values = (0..a.len()).map(|row| (a.values(row)[column], b.values(row)[column]));
                if let Some((row, (a_value, b_value))) = values.enumerate().find(|(_, (a, b))| a != b) {
                    let (id, field) = (a.heads()[row].id, &field.name);
                    return Some(format!(
                        "`{name}` {id}, `{field}` (column {column}): {a_value} or {b_value}"
                    ));
                }
            }
        }
    }
    None
}
