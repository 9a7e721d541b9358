//! What a game implements.

use std::sync::Arc;

use tickwire_protocol::{RowMut, Schema, Tables};

use crate::admission::{JoinRefusal, Newcomer};
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
///   are absent, their players have no input, and nobody joins or leaves. Look entities up, never index them; let what
///   nobody steers coast; keep entities whose [`owner`](tickwire_protocol::RowHead::owner) is not told.
/// - **Fields of others may be untold, and then hold 0** (or the bound nearest to it): those of the owner alone in all
///   rows but the player's own, those of the team in all rows of other teams. Give them a range with 0 in it and a
///   meaning to match: health from 0 to 100 of which who lives has 1 at least, so that 0 says "not known here". Then
///   let what hinges on it (an end, a point) happen only where it is known; the client hears of it as state.
/// - **What is spawned later is spawned because of an event, never because of a count,** or on the authority alone
///   ([`StepContext::is_authority`]). A client that counts monsters, sees two of five and fills up spawns three that
///   never are. One that falls and is followed by another is an event. Its chance is drawn by the id of its maker:
///   its own is a guess on a client.
/// - **A player with nobody near moves as a function of its own row, its own input and static data alone.** Then a
///   client that knows nothing else predicts it without a single error.
/// - **Entities live as long as they are saved.** [`StepContext::spawn`] gives an id; leaving the entity out of
///   `save` ends it, and its slot rests before it is given to another. Kind and spawn payload are fixed for life.
///
/// `save` and `load` must agree: saving what was just loaded writes the same tables, except that
/// [`teleported`](tickwire_protocol::RowHead::teleported) is a fact of one tick and is not to be remembered.
/// [`testing::assert_rebuilds`](crate::testing::assert_rebuilds) checks this, too.
///
/// # What rounding does
///
/// Each tick ends on the steps of the schema, so what changes by **less than half a step a tick does not change at
/// all**, and what changes by a few steps is rounded each time, always the same way:
///
/// - **Slow motion stands still.** At 60 steps a second and a step of 0.01 m, 0.3 m/s is half a step a tick. Choose a
///   step well below what the slowest motion covers in a tick (it costs a bit of the wire for each halving), or add
///   whole steps, rounded up in the share of ticks that makes the mean right, as the
///   [`arena`](crate::arena) does (`spread` in `arena/movement.rs`). The same goes for accelerations, and for what
///   heals, burns or cools.
/// - **Timers drift.** 1/60 s lies on no decimal lattice. Count ticks in an integer field, not seconds in a scalar one:
///   `seconds * ctx.tick_rate().hz()`, rounded once when the timer starts.
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

    /// Whether somebody may begin a session in this room, as a player or to watch: everybody, if a game says nothing.
    ///
    /// Called on a server alone, between two steps, once the engine has nothing against it: its token is good and lets it play or watch
    /// here. It is asked **before anything happens**: who is refused takes no place, ends no session (neither
    /// of its own account nor one that is in the way), and is told to nobody, in no step either. Who is let in may still find the room full; the
    /// step that is told that it [joined](StepContext::joined) is the place for all that follows from it. A session that goes on over another
    /// connection is not asked about, for it is in already: let it go with [`StepContext::remove_player`] if it may not be.
    ///
    /// It decides and changes nothing: `self` is as the last step has left it. Be quick, for the room waits; a panic ends the room as one
    /// in a step does.
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::{JoinRefusal, Newcomer};
    /// # use tickwire_sim::protocol::handshake::Role;
    /// # struct Game { has_begun: bool, banned: std::collections::BTreeSet<String> }
    /// # impl Game {
    /// fn admit(&self, newcomer: &Newcomer<'_>) -> Result<(), JoinRefusal> {
    ///     if newcomer.game_build != "duel 1.3" {
    ///         return Err(JoinRefusal::GameBuild("duel 1.3".into()));
    ///     }
    ///     if newcomer.account.is_some_and(|account| self.banned.contains(account.name)) {
    ///         return Err(JoinRefusal::Game("you are banned until Monday".into()));
    ///     }
    ///     if newcomer.role == Role::Player && self.has_begun && !newcomer.may("join-late") {
    ///         return Err(JoinRefusal::Game("this match has begun: watch it, or choose another".into()));
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why not: its client is told by a [`RejectReason`](tickwire_protocol::handshake::RejectReason), with close code 4001, and does not come
    /// back by itself.
    fn admit(&self, newcomer: &Newcomer<'_>) -> Result<(), JoinRefusal> {
        let _ = newcomer;
        Ok(())
    }

    /// Brings an input to what an honest player can want, where the bounds of its fields alone cannot: a wish that is
    /// longer than 1, two directions at once.
    ///
    /// Called for the input of every player before each step, on the server as on a client that predicts: so a modified
    /// client gains nothing by what it sends, and an honest one predicts what will be made of its input. It sees the row
    /// alone, not the state.
    fn sanitize(&self, input: &mut RowMut<'_>) {
        let _ = input;
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
