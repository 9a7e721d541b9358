//! Cues: small tick-stamped facts of the moment (a shot, a hit, a jump).

use crate::ids::EntityId;
use crate::limits::COLUMNS_PER_CUE_MAX;
use crate::row::RowRef;
use crate::schema::{CueId, Schema};
use crate::time::Tick;

/// A fact of one tick: what happened, to whom it belongs, and the values that the schema gives it.
///
/// Tick, source and [`nth`](Cue::nth) name it: a client shows it once, however often it arrives, and a client that
/// predicted it recognises it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cue {
    /// The step in which it happened.
    pub tick: Tick,
    /// What happened.
    pub id: CueId,
    /// The entity that it belongs to, if any. A receiver need not know it.
    pub source: Option<EntityId>,
    /// How many cues the same source had emitted before in the same tick.
    pub nth: u8,
    /// The columns of the schema's cue; zeros behind them.
    pub values: [i32; COLUMNS_PER_CUE_MAX],
}

impl Cue {
    /// What names it among all cues of a room.
    pub fn name(&self) -> (Tick, Option<EntityId>, u8) {
        (self.tick, self.source, self.nth)
    }

    /// Its values in the game's own terms.
    ///
    /// # Panics
    /// If `schema` has no such cue; one that was decoded with this schema is always there.
    pub fn row<'a>(&'a self, schema: &'a Schema) -> RowRef<'a> {
        RowRef::new(schema.cue(self.id), &self.values)
    }
}
