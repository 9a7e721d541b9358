//! What a player saw when it gave its input.

use core::fmt;

use tickwire_protocol::table::Table;
use tickwire_protocol::{KindId, PlayerId};

/// Answers what players were shown: others in the past, as far behind as each player's link made it.
///
/// A server answers from its history and from what each client says of its view; a client that predicts its own player answers
/// from its own view. The same [step](crate::Simulation::step) asks both through
/// [`StepContext::seen_by`](crate::StepContext::seen_by).
pub trait Eyes: fmt::Debug {
    /// The rows of a kind, in ascending id, as they were shown to `player` when it gave its input for this step; nothing if that
    /// is not known.
    ///
    /// Rows are as a client has them: their heads tell the id and nothing else, and fields that the player was not told hold
    /// 0, or the bound nearest to it. Values lie on the lattice of the schema. **The player's own entities are left out**: it
    /// is ahead of its view, in the present of this step. So are entities that have ended since, and those that were not in its
    /// view then, where the room shows not everything to everybody.
    fn seen_by(&mut self, player: PlayerId, kind: KindId) -> Option<&Table>;
}
