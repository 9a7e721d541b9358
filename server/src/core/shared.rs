//! What is worked out for all peers of a room: steps and rows once a tick, plans for one peer after another in the same
//! memory.

use tickwire_protocol::snapshot::{BodyPlan, EncodedBody, PlannedRow, RowCache, SectionPlan};

use super::cohort::Cohorts;
use super::interest::{Looker, Selection};
use super::packer::Packer;

/// Work that is done once for all peers of a tick.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) cohorts: Cohorts,
    pub(crate) rows: RowCache,
    pub(crate) plans: Plans,
    /// Body of one peer alone, and the datagram that is being written.
    pub(crate) body: EncodedBody,
    pub(crate) frame: Vec<u8>,
    pub(crate) packer: Packer,
}

/// What a peer is to be told.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    pub(crate) looker: Looker,
    pub(crate) selection: Selection,
    /// Of what it is shown.
    pub(crate) view: BodyPlan,
    /// Of its own rows.
    pub(crate) own: SectionPlan,
    /// Own rows of which everyone's tell all that is news.
    pub(crate) followed: Vec<PlannedRow>,
}

/// How many of these rows name no state.
pub(crate) fn whole_rows(rows: &[PlannedRow]) -> usize {
    rows.iter().filter(|row| row.references.is_empty()).count()
}
