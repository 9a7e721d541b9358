//! What a game implements.

use std::sync::Arc;

use tickwire_protocol::{Schema, Tables};

use crate::context::StepContext;

/// A game: a state, a step that advances it, and the way of that state into tables and back.
///
/// The engine owns the loop. Each tick a [`World`](crate::World) does three things with a simulation:
///
/// 1. [`step`](Simulation::step) advances the state by one tick;
/// 2. [`save`](Simulation::save) writes it into the tables, which quantizes it to the steps of the schema;
/// 3. [`load`](Simulation::load) reads it back.
///
/// So every step starts from exactly what the wire can say, on the server as on a client that predicts: both go on
/// from the same numbers and stay together bit for bit, whatever the step computes in between.
///
/// # The contract
///
/// - **All that a step reads is in the tables, in the context or in static data** that server and client share
///   (levels, constants). A value that is in neither is lost to a client, and to a world that is rebuilt: a cooldown,
///   a target, a timer needs a column (`owner_only` if nobody else may know). What may stay outside of the tables is
///   memory that `load` or the step fills anew before reading: scratch lists, caches, grids.
///   [`testing::assert_rebuilds`](crate::testing::assert_rebuilds) finds what was forgotten.
/// - **The same inputs give the same bits on every target.** Use `+ - * /` and `sqrt` of `f32` in a fixed order,
///   glam for trigonometry (as this workspace configures it), [`StepContext::random`] for chance. No clock, no
///   platform `sin`, no `mul_add`, no iteration over hash maps.
/// - **The world may be partial.** On a client the same step runs on the few entities that the client predicts: others
///   are absent, their players have no input, fields that their owners alone are told hold 0 (or the bound nearest to
///   it), and nobody joins or leaves. Look entities up, never index them; let what nobody steers coast.
/// - **A player with nobody near moves as a function of its own row, its own input and static data alone.** Then a
///   client that knows nothing else predicts it without a single error.
/// - **Entities live as long as they are saved.** [`StepContext::spawn`] gives an id; leaving the entity out of
///   `save` ends it, and its slot rests before it is given to another. Kind and spawn payload are fixed for life.
///
/// `save` and `load` must agree: saving what was just loaded writes the same tables, except that
/// [`teleported`](tickwire_protocol::RowHead::teleported) is a fact of one tick and is not to be remembered.
pub trait Simulation: Send {
    /// What entities, cues and inputs are made of. The same for the simulation's whole life.
    fn schema(&self) -> &Arc<Schema>;

    /// Sets the scene: spawns what nobody plays (doors, balls, monsters).
    ///
    /// Called once in the life of an authoritative world, in its first tick just before [`step`](Simulation::step).
    /// Never called on a client: its world comes from [`load`](Simulation::load).
    fn start(&mut self, ctx: &mut StepContext<'_>) {
        let _ = ctx;
    }

    /// Advances the state by one tick.
    ///
    /// First take out what belongs to those who [`left`](StepContext::left), then bring in those who
    /// [`joined`](StepContext::joined), then apply the inputs of all who are present.
    fn step(&mut self, ctx: &mut StepContext<'_>);

    /// Writes a row for every entity that lives on. `out` is empty at first; rows may come in any order (ascending
    /// ids are cheapest).
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # const BALL: KindId = KindId(0);
    /// # const POSITION: FieldId = FieldId(0);
    /// # struct Ball { id: EntityId, position: Vec3 }
    /// # struct Game { balls: Vec<Ball> }
    /// # impl Game {
    /// fn save(&self, out: &mut Tables) {
    ///     for ball in &self.balls {
    ///         out.insert(BALL, RowHead::new(ball.id)).set_vec3(POSITION, ball.position);
    ///     }
    /// }
    /// # }
    /// ```
    fn save(&self, out: &mut Tables);

    /// Replaces the whole state by what the tables say.
    fn load(&mut self, tables: &Tables);
}
