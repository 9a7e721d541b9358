//! A section: the leaves and rows of one snapshot, for everyone's view of a room or for a player's own rows.
//!
//! Rows are told in one of two ways. **By slot**: each says which entity it is, as the gap to the one before, and which states
//! it names. Or **against** up to three ticks that the section names: then every entity that the receiver held at the newest
//! of them is told of, most by a flag alone, which says that it is as it was. Newcomers follow by slot.

mod chances;
mod pack;
mod read;
mod terms;
mod write;

use super::code::{Reader, Writer};
use super::{Codec, DecodedSection, References, RowCache, SectionPlan, StateLookup};
use crate::fault::DecodeError;
use crate::limits::ROWS_PER_SNAPSHOT_MAX;
use crate::time::Tick;

pub(super) use chances::Chances;
pub use pack::Packing;
pub(super) use terms::{dial_numbers, which_dial};
pub(super) use write::RowSource;

use read::{Against, SectionReader};
use terms::{read_leaves, read_references, write_leaves};
use write::SectionWriter;

/// How much of a plan was written: what follows can go into another frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// Leaves written, from the first one on.
    pub leaves: usize,
    /// Rows written, from the first one on.
    pub rows: usize,
}

impl Codec {
    /// Writes leaves and then rows of a plan, until done or until another would make `w` longer than `byte_limit`. A section of own rows
    /// is told `after` the ticks that everyone's view in the same frame is told against. Which ticks this one is told against is
    /// returned, too.
    pub(super) fn write_section(
        &self,
        w: &mut Writer<'_>,
        source: Option<RowSource<'_>>,
        rows: &mut RowCache,
        plan: &SectionPlan,
        after: Option<References>,
        byte_limit: usize,
    ) -> (Written, References) {
        debug_assert!(after.is_none() || plan.against.is_empty(), "own rows are told by slot");
        // What ends the section: a bit for the leaves, one for each kind.
        let end_bytes = (3 + self.schema.kinds().len()).div_ceil(8);
        let fits = |w: &Writer<'_>| w.byte_len() + end_bytes <= byte_limit;
        let mut written = Written { leaves: write_leaves(w, &plan.leaves, fits), rows: 0 };
        let source = source.filter(|_| written.leaves == plan.leaves.len());
        if let Some(source) = &source {
            rows.start(source);
        }
        let mut writer = SectionWriter { w, rows, source: source.as_ref(), fits };
        if !plan.against.is_empty() {
            let mark = writer.w.mark();
            if plan.rows.len() <= ROWS_PER_SNAPSHOT_MAX && writer.write_against(plan) {
                written.rows = plan.rows.len();
                return (written, plan.against);
            }
            // What these rows name the receiver may hold only as it was before: by slot they would need other names.
            writer.w.rewind(mark);
            writer.w.seldom(true);
            writer.w.seldom(false);
            return (written, References::NONE);
        }
        if after.is_none() {
            writer.w.seldom(true);
        }
        written.rows = writer.write_by_slot(&plan.rows, after.unwrap_or_default(), &|_| true);
        (written, References::NONE)
    }

    /// Reads a section into `out`: of the receiver's own rows, if there is everyone's `view` of the same snapshot. `states` are the
    /// receiver's; nothing of it is changed.
    pub(super) fn read_section(
        &self,
        r: &mut Reader<'_>,
        tick: Tick,
        view: Option<&DecodedSection>,
        states: &dyn StateLookup,
        out: &mut DecodedSection,
    ) -> Result<(), DecodeError> {
        out.clear();
        read_leaves(r, &mut out.leaves)?;
        let mut reader = SectionReader { codec: self, tick, view, states, out };
        if view.is_none() && !r.seldom("section")? {
            let against = read_references(r, &self.prior.learned().dials, tick)?;
            if against.is_empty() {
                return Err(DecodeError::Invalid { what: "ticks of a section", value: 0 });
            }
            reader.out.against = against;
            let against = Against::new(against, tick, self.dt);
            for kind in self.schema.kinds() {
                reader.read_held(r, kind, &against)?;
            }
        }
        reader.read_by_slot(r, view.map_or(References::NONE, |view| view.against))?;
        // Receivers take rows in ascending order; held ones came first.
        if !out.rows.is_sorted_by_key(|row| (row.kind, row.id.slot)) {
            out.rows.sort_unstable_by_key(|row| (row.kind, row.id.slot));
        }
        Ok(())
    }
}
