//! What is worked out for all peers of a room: bodies and rows once a tick, plans for one peer after another in the same
//! memory.

use tickwire_protocol::Tick;
use tickwire_protocol::history::Published;
use tickwire_protocol::limits::BODY_BYTES_MAX;
use tickwire_protocol::snapshot::{BodyPlan, EncodedBody, RowCache, SectionPlan};

use super::interest::{Looker, Selection};
use super::packer::Packer;
use super::replicator::Source;

/// Work that is done once for all peers of a tick.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) bodies: BodyCache,
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
}

/// Bodies that are kept to be shared.
const BODIES_MAX: usize = 32;

/// Bodies encoded for one tick, by plan: peers that need the same get the same bytes.
#[derive(Debug, Default)]
pub(crate) struct BodyCache {
    tick: Option<Tick>,
    entries: Vec<(BodyPlan, EncodedBody)>,
    used: usize,
    peaks: Peaks,
}

/// The longest lists that a plan had so far, and the longest body. Room for these is made in every copy at once: which plan comes to lie where
/// changes from tick to tick, so else each copy would grow in its own time, for minutes.
#[derive(Debug, Default)]
struct Peaks {
    cues: usize,
    leaves: usize,
    rows: usize,
    held: usize,
    bytes: usize,
}

impl Peaks {
    fn copy(&mut self, to: &mut BodyPlan, from: &BodyPlan) {
        fn copy<T: Copy>(to: &mut Vec<T>, from: &[T], peak: &mut usize) {
            *peak = from.len().max(*peak);
            to.clear();
            to.reserve(*peak);
            to.extend_from_slice(from);
        }
        copy(&mut to.cues, &from.cues, &mut self.cues);
        let (to, from) = (&mut to.section, &from.section);
        copy(&mut to.leaves, &from.leaves, &mut self.leaves);
        copy(&mut to.rows, &from.rows, &mut self.rows);
        copy(&mut to.held, &from.held, &mut self.held);
        to.against = from.against;
    }
}

impl BodyCache {
    /// Where the body of this plan at the newest tick is, encoded unless an equal one was before.
    pub(crate) fn encode(&mut self, source: &Source<'_>, plan: &BodyPlan, rows: &mut RowCache) -> usize {
        let tick = source.history.newest().map(Published::tick);
        if self.tick != tick {
            // A peer that is polled late gets a later tick than others: an equal plan is then another body.
            (self.tick, self.used) = (tick, 0);
        }
        let found = self.entries[..self.used].iter().position(|(cached, _)| cached == plan);
        found.unwrap_or_else(|| {
            if self.used == BODIES_MAX {
                // Where every peer needs another body, none is needed twice: the last place does for all of them.
                self.used -= 1;
            } else if self.used == self.entries.len() {
                self.entries.push(Default::default());
            }
            let (cached, body) = &mut self.entries[self.used];
            self.peaks.copy(cached, plan);
            body.reserve(self.peaks.bytes);
            source.codec.write_body(source.history, plan, source.payload_of, BODY_BYTES_MAX, rows, body);
            self.peaks.bytes = self.peaks.bytes.max(body.byte_len());
            self.used += 1;
            self.used - 1
        })
    }

    pub(crate) fn body(&self, place: usize) -> &EncodedBody {
        &self.entries[place].1
    }
}
