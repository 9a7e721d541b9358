//! The delta codec: from published tables to snapshot frames, and from frames to a replica.
//!
//! ```text
//!  History ──plan (which rows, which named states)──> Codec::write_body ──> body bytes, the same for all peers in step
//!                                                     Codec::write_snapshot = peer part + body ──> SNAPSHOT frame
//!  frame ──> Codec::read_snapshot (looks up named states in the Replica, changes nothing) ──> DecodedSnapshot
//!        ──> Replica::apply (all of it, or it was never decoded)
//! ```
//!
//! * A row decodes from the frame, the schema and at most three published states of its entity that it names.
//! * An absent row means *not sent*, never *gone*: leaving is said.
//! * A plan is cut between rows where a limit is reached; what was not written goes into the next frame.
//!
//! | file | what it decides |
//! |---|---|
//! | `links` | how a schema's fields belong together |
//! | `pace` | times between named states |
//! | `motion`, `predict` | what a field will be, guessed from named states, for the `dense` coder |
//! | `context` | how far off that guess is likely to be |
//! | `straight` | both for the `fast` coder |
//! | `row` | the way through a row's fields, the same for encoder, decoder and trainer |
//! | `code` | the seam: how that becomes bits; `dense` (by `frequencies` and a `range` coder) and `fast` behind it |
//! | [`prior`] | what is learned offline: weights, tables and codes; `models`: which of it is used where |
//! | [`shared`] | what is worked out once for all receivers |
//! | `section` | which rows are told, and their headers; which fit |
//! | `cost` | what that takes |
//! | `explain` | where the bits go |
//! | `body`, `frame` | cues, compression, the peer part: the payload of a SNAPSHOT frame |
//! | [`replica`] | what a receiver holds, by slot and tick |
//! | [`train`] | makes a prior from recorded states |

mod body;
mod code;
mod context;
mod cost;
mod dense;
mod explain;
mod fast;
mod frame;
mod frequencies;
mod lanes;
mod links;
mod models;
mod motion;
mod pace;
mod predict;
pub mod prior;
mod range;
pub mod replica;
mod row;
mod section;
pub mod shared;
mod straight;
pub mod train;

use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::cue::Cue;
use crate::fault::DecodeError;
use crate::ids::EntityId;
use crate::limits::REFERENCES_PER_ROW_MAX;
use crate::schema::{Kind, KindId, Schema, Sight};
use crate::time::{Tick, TickRate};

pub use body::EncodedBody;
pub use explain::Told;
pub use frame::{
    DecodedSnapshot, Feedback, INPUT_TICKS_AWAY_MAX, MARGIN_TICKS, NEAR_TICKS_MAX, SnapshotHeader, TickWidth,
};
pub use prior::Prior;
pub use replica::Replica;
pub use section::{Packing, Written};
pub use shared::RowCache;

use row::RowPlan;

/// How everyone's rows become bits; chosen per room, told in the welcome. A player's own rows are always told by [`Coder::Fast`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Coder {
    /// Prefix codes: cheaper to write and read.
    Fast,
    /// Static tables and a range coder: the fewest bytes.
    #[default]
    Dense,
}

impl Coder {
    /// Its number in the welcome.
    pub const fn wire(self) -> u8 {
        match self {
            Self::Fast => 0,
            Self::Dense => 1,
        }
    }

    /// The coder of rows that are told for these eyes, in rooms with this one. Own rows are told to one receiver each: what the
    /// `dense` coder takes to work out, nobody shares.
    const fn of(self, sight: Sight) -> Self {
        if sight.is_own() { Self::Fast } else { self }
    }

    /// The coder with this number.
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Fast),
            1 => Some(Self::Dense),
            _ => None,
        }
    }
}

/// Encodes and decodes snapshots of one schema at one tick rate, with one coder and prior. Carries nothing from frame to
/// frame. What it worked out of the schema, some hundreds of kilobytes, is shared by its clones.
#[derive(Clone, Debug)]
pub struct Codec {
    schema: Arc<Schema>,
    coder: Coder,
    prior: Arc<Prior>,
    /// Seconds a tick.
    dt: f32,
    /// Per kind, per sight.
    plans: Arc<[[RowPlan; Sight::ALL.len()]]>,
}

impl Codec {
    /// The `dense` coder with the default prior, for rooms of this schema that step at this rate.
    pub fn new(schema: Arc<Schema>, rate: TickRate) -> Self {
        Self::with(schema, rate, Coder::Dense, Prior::default_prior())
    }

    /// A codec for rooms of this schema that step at this rate.
    pub fn with(schema: Arc<Schema>, rate: TickRate, coder: Coder, prior: Arc<Prior>) -> Self {
        let plan = |kind: &Kind, sight: Sight| {
            RowPlan::new(prior.learned(), coder.of(sight) == Coder::Dense, kind, sight)
        };
        let plans = schema.kinds().iter().map(|kind| Sight::ALL.map(|sight| plan(kind, sight))).collect();
        Self { plans, coder, prior, dt: rate.dt(), schema }
    }

    /// What the rows are made of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How rows become bits.
    pub fn coder(&self) -> Coder {
        self.coder
    }

    /// What it guesses with.
    pub fn prior(&self) -> &Arc<Prior> {
        &self.prior
    }
}

/// The ticks of the published states that a row names, newest first: at most three.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct References {
    ticks: [Tick; REFERENCES_PER_ROW_MAX],
    /// As wide as a tick, that all of it is compared at once.
    len: u32,
}

impl References {
    /// Names none: the row is sent whole.
    pub const NONE: Self = Self { ticks: [Tick(0); REFERENCES_PER_ROW_MAX], len: 0 };

    /// Adds an older tick; ignored when there are three.
    pub fn push(&mut self, tick: Tick) {
        if let Some(place) = self.ticks.get_mut(self.len as usize) {
            *place = tick;
            self.len += 1;
        }
    }

    /// Adds a newer tick; of three the oldest goes.
    pub fn push_newest(&mut self, tick: Tick) {
        let [newest, middle, _] = self.ticks;
        self.ticks = [tick, newest, middle];
        self.len = (self.len + 1).min(REFERENCES_PER_ROW_MAX as u32);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ticks, newest first.
    pub fn ticks(&self) -> impl Iterator<Item = Tick> {
        self.ticks[..self.len()].iter().copied()
    }

    /// The baseline.
    pub fn newest(&self) -> Option<Tick> {
        self.ticks[..self.len()].first().copied()
    }

    /// The tick that is furthest back.
    pub fn oldest(&self) -> Option<Tick> {
        self.ticks[..self.len()].last().copied()
    }
}

/// An entity is not in the receiver's view any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leave {
    /// Its slot; what the receiver holds there is meant, whatever its generation.
    pub slot: u16,
    /// Whether it is gone from the world, not just from the view.
    pub despawned: bool,
}

/// A row to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlannedRow {
    /// Of which kind.
    pub kind: KindId,
    /// Its place in the newest published table of its kind.
    pub row: u32,
    /// What the receiver sees of it. [`Sight::Beside`] only if the snapshot's body tells everyone's row of the entity.
    pub sight: Sight,
    /// States that the receiver holds; all must be in the ring, 1 to 127 ticks old.
    pub references: References,
}

/// What a section shall say. Leaves ascend by slot; rows ascend by kind and, within a kind, by place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SectionPlan {
    /// Entities that left.
    pub leaves: Vec<Leave>,
    /// Rows to send.
    pub rows: Vec<PlannedRow>,
    /// Ticks that the section names, newest first: it tells of every entity that the receiver held at the newest of them.
    /// None: rows are told by their slots.
    pub against: References,
    /// If it names ticks: all those entities but the ones that left, ascending like rows, each with as many of the ticks as it
    /// was held at without a break. At each the receiver must hold just what was published then. Where the tenant of a
    /// slot, or what is seen of it, is about to change, nothing may be told against ticks: the receiver does not know yet.
    pub held: Vec<PlannedRow>,
}

impl SectionPlan {
    /// Takes everything out, keeps the memory.
    pub fn clear(&mut self) {
        self.leaves.clear();
        self.rows.clear();
        self.against = References::NONE;
        self.held.clear();
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.rows.is_empty()
    }

    /// Takes out what has been written.
    pub fn drain(&mut self, written: Written) {
        self.leaves.drain(..written.leaves);
        self.rows.drain(..written.rows);
    }
}

/// What a body shall say: peers who hold the same and look with the same eyes are sent one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BodyPlan {
    /// Cues, written before all else.
    pub cues: Vec<Cue>,
    /// Everyone's view.
    pub section: SectionPlan,
}

/// A state that a receiver holds.
#[derive(Clone, Copy, Debug)]
pub struct HeldState<'a> {
    /// Whose.
    pub id: EntityId,
    /// Of which kind.
    pub kind: KindId,
    /// What was told of it.
    pub sight: Sight,
    /// Whether it was at rest.
    pub is_at_rest: bool,
    /// Its columns, side by side: exactly as many as the kind has.
    pub values: &'a [i32],
}

/// The states of an entity that a receiver holds.
#[derive(Clone, Copy, Debug)]
pub struct HeldStates<'a> {
    /// The newest at or before the newest of some ticks.
    pub newest: HeldState<'a>,
    /// The columns of it, and of the newest at or before each of the others, as long as they are of the same entity since it last
    /// came into view.
    pub values: [&'a [i32]; REFERENCES_PER_ROW_MAX],
    /// How many of these there are.
    pub count: usize,
}

/// Finds the states that a row may name.
pub trait StateLookup {
    /// The state in this slot at this tick; of the receiver's own rows, or of everyone's view.
    fn state(&self, is_own: bool, slot: u16, tick: Tick) -> Option<HeldState<'_>>;

    /// Shows the entities of this kind in everyone's view of which a state at or before the newest of these ticks is held
    /// since they last came into it, ascending by slot, until `show` fails.
    fn held_at(
        &self,
        kind: KindId,
        ticks: References,
        show: &mut dyn FnMut(&HeldStates<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError>;
}

/// A row that was decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedRow {
    /// Whose.
    pub id: EntityId,
    /// Of which kind.
    pub kind: KindId,
    /// What is told of it.
    pub sight: Sight,
    /// Whether it named no state.
    pub is_whole: bool,
    /// Whether it stands still since a few ticks.
    pub is_at_rest: bool,
    /// If the named state was at rest: until when it stayed so. In a whole row: until when the entity was last at
    /// rest, if that is not long ago.
    pub held_until: Option<Tick>,
    /// When it last jumped, if that is since the named state; in a whole row, if that is not long ago.
    pub teleported: Option<Tick>,
    /// What it was spawned with; whole rows only.
    pub payload: Option<Bytes>,
    /// Where its columns are in [`DecodedSection::values`].
    pub values: Range<usize>,
}

impl DecodedRow {
    /// A row of which nothing new is told, not even its values.
    #[inline]
    fn as_held(held: &HeldState<'_>) -> Self {
        Self {
            id: held.id,
            kind: held.kind,
            sight: held.sight,
            is_whole: false,
            is_at_rest: false,
            held_until: None,
            teleported: None,
            payload: None,
            values: 0..0,
        }
    }

    /// Whether it tells the owner all but what is told [beside](Sight::Beside) it.
    fn tells_all_but(&self, kind: &Kind) -> bool {
        self.sight == Sight::Team || !kind.has_team_fields()
    }
}

/// A section that was decoded, not yet applied. Reused from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct DecodedSection {
    /// Entities that left.
    pub leaves: Vec<Leave>,
    /// Rows, ascending by kind and slot.
    pub rows: Vec<DecodedRow>,
    /// The columns of all rows.
    pub values: Vec<i32>,
    /// The ticks that it is told against, if it is.
    against: References,
    /// Runs of rows at rest, while it is decoded.
    woken: Vec<u32>,
}

impl DecodedSection {
    fn clear(&mut self) {
        self.leaves.clear();
        self.rows.clear();
        self.values.clear();
        self.against = References::NONE;
    }

    /// The row of an entity.
    fn find(&self, kind: KindId, id: EntityId) -> Option<&DecodedRow> {
        let place = self.rows.binary_search_by_key(&(kind, id.slot), |row| (row.kind, row.id.slot)).ok()?;
        Some(&self.rows[place]).filter(|row| row.id == id)
    }

    /// The columns of one of its rows.
    fn values_of(&self, row: &DecodedRow) -> &[i32] {
        &self.values[row.values.clone()]
    }

    /// Room for the columns of one more row, as they are in these.
    fn push_values(&mut self, values: &[i32]) -> Range<usize> {
        let start = self.values.len();
        self.values.extend_from_slice(values);
        start..self.values.len()
    }
}

/// The tables of docs/WIRE.md that only the coder's own tests can execute.
#[cfg(test)]
mod page {
    /// Both sides of the rows of a fenced block.
    pub(super) fn rows(block: &str) -> Vec<(&'static str, &'static str)> {
        let mut lines = include_str!("../../../docs/WIRE.md").lines();
        lines.find(|line| line.strip_prefix("```") == Some(block)).expect("the page has the block");
        lines.take_while(|line| *line != "```").map(|row| row.split_once(" -> ").expect("an arrow")).collect()
    }
}
