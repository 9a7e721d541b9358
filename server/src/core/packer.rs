//! From news that do not all fit to those that go now: the highest scores, packed by what the encoder says that they take.

use tickwire_protocol::Micros;
use tickwire_protocol::history::Published;
use tickwire_protocol::limits::BODY_BYTES_MAX;
use tickwire_protocol::snapshot::{BodyPlan, Packing, PlannedRow, RowCache, SectionPlan};

use super::interest::Looker;
use super::knowledge::Knowledge;
use super::priority::{Haste, Order};
use super::replicator::Source;

/// What a snapshot may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) now: Micros,
    /// With the frame's header, without what the transport puts around it.
    pub(crate) bytes: usize,
    /// The link would take less than the budget.
    pub(crate) is_of_link: bool,
    /// Waiting longer brings no more: a row that alone takes more than this goes all the same.
    pub(crate) is_full: bool,
    /// Rows of which nothing was told yet go before others: the peer has just come.
    pub(crate) is_joining: bool,
}

/// Snapshots that may pass over the row whose turn it is because it does not fit: then it goes all the same. Waiting would
/// bring no more where other things take their share of each.
const PASSED_OVER_MAX: u8 = 8;

/// How long the row whose turn it is has been passed over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience(u8);

impl Patience {
    fn is_over(self) -> bool {
        self.0 >= PASSED_OVER_MAX
    }

    /// Rows that do fit in between change nothing: their turn would come again and again.
    fn note(&mut self, is_passed_over: bool, is_all: bool) {
        self.0 = match (is_passed_over, is_all || self.is_over()) {
            (true, _) => self.0.saturating_add(1),
            (false, true) => 0,
            (false, false) => self.0,
        };
    }
}

/// Whose rows are packed, and with which eyes they are weighed.
pub(crate) struct Eyes<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) newest: &'a Published,
    pub(crate) looker: &'a Looker,
    pub(crate) known: &'a mut Knowledge,
    pub(crate) patience: &'a mut Patience,
}

/// Packs the plans of one peer after another in the same memory.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    order: Order,
    packing: Packing,
}

impl Packer {
    /// How many bytes a plan of own rows takes at most.
    pub(crate) fn own_bytes(
        &mut self,
        source: &Source<'_>,
        plan: &SectionPlan,
        rows: &mut RowCache,
    ) -> usize {
        source.codec.section_bytes(source.history, plan, rows, &mut self.packing)
    }

    /// Leaves in the plan of a peer's own rows what fits into `bytes`; whether all does.
    pub(crate) fn pack_own(
        &mut self,
        eyes: &mut Eyes<'_>,
        plan: &mut SectionPlan,
        rows: &mut RowCache,
        bytes: usize,
    ) -> bool {
        eyes.known.wait(eyes.newest, &plan.rows);
        self.sort(eyes, &plan.rows, false);
        let Source { codec, history, .. } = eyes.source;
        let first = self.order.places.first().map(|place| plan.rows[*place as usize]);
        let is_all = codec.pack_section(history, plan, &self.order.places, bytes, rows, &mut self.packing);
        if plan.rows.is_empty() && eyes.patience.is_over() {
            plan.rows.extend(first);
        }
        eyes.patience.note(plan.rows.is_empty() && first.is_some(), is_all);
        if is_all {
            eyes.known.wait_no_more();
        }
        is_all
    }

    /// Leaves in the plan of everyone's view what fits into `bytes`; whether all does.
    pub(crate) fn pack_view(
        &mut self,
        eyes: &mut Eyes<'_>,
        plan: &mut BodyPlan,
        rows: &mut RowCache,
        space: &Space,
        bytes: usize,
    ) -> bool {
        eyes.known.wait(eyes.newest, &plan.section.rows);
        self.sort(eyes, &plan.section.rows, space.is_joining);
        let first = self.order.places.first().map(|place| plan.section.rows[*place as usize]);
        let Source { codec, history, payload_of, .. } = *eyes.source;
        let (order, bytes) = (&self.order.places, bytes.min(BODY_BYTES_MAX));
        let is_all = codec.pack(history, plan, order, payload_of, bytes, rows, &mut self.packing);
        if plan.section.is_empty() && (space.is_full || eyes.patience.is_over()) {
            plan.section.rows.extend(first);
        }
        eyes.patience.note(plan.section.rows.is_empty() && first.is_some(), is_all);
        if is_all {
            eyes.known.wait_no_more();
        }
        is_all
    }

    fn sort(&mut self, eyes: &Eyes<'_>, rows: &[PlannedRow], whole_first: bool) {
        let Eyes { source, newest, looker, known, .. } = eyes;
        let haste = |row: &PlannedRow| {
            let Some(held) = row.references.newest() else {
                return if whole_first { Haste::First } else { Haste::Usual };
            };
            let jumped = source.history.track(row.kind, row.row as usize).teleported;
            if jumped.is_some_and(|jumped| jumped.is_newer_than(held)) {
                Haste::Weighty
            } else {
                Haste::Usual
            }
        };
        source.priority.sort(newest, looker, known, rows, haste, &mut self.order);
    }
}
