//! Large contents, the same on both sides: each comes to one end, and what arrives is what was offered.

use std::collections::BTreeMap;

use bytes::Bytes;
use tickwire_protocol::bulk::{BulkEvent, BulkFailure, BulkId, BulkOffer};
use tickwire_sim::Random;

use super::report::ChaosReport;
use super::tag::Tag;

/// What contents are to the game.
pub(super) const LOAD: u16 = 7;

/// Sizes of contents, bytes.
const SMALLEST: u32 = 20_000;
const MORE_AT_MOST: u32 = 180_000;

/// How often an offer is refused, and a transfer stopped with each piece of news of it.
const REFUSAL: f32 = 0.1;
const STOP: f32 = 0.005;

/// What is offered under a tag.
pub(super) fn content(tag: Tag) -> Bytes {
    let mut random = tag.random();
    let bytes = (SMALLEST + random.below(MORE_AT_MOST)) as usize;
    let words = core::iter::repeat_with(|| random.next_u64().to_le_bytes());
    words.take(bytes / 8 + 1).flatten().take(bytes).collect()
}

/// What is said of it.
pub(super) fn metadata(tag: Tag, content: &Bytes) -> Bytes {
    [tag.body(), (content.len() as u32).to_le_bytes().to_vec()].concat().into()
}

/// What is to follow from what has become of a transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Accept(BulkId),
    Cancel(BulkId),
    /// The other side has this.
    Sent(Tag),
    /// This side has.
    Received(Tag),
    Nothing,
}

/// The transfers of one side; `W` is with whom, where there are several.
#[derive(Debug)]
pub(super) struct Hauls<W> {
    /// Offered by this side, and to it, and not ended.
    going: BTreeMap<(W, BulkId), Tag>,
    coming: BTreeMap<(W, BulkId), Tag>,
}

impl<W: Copy + Ord> Hauls<W> {
    pub(super) const fn new() -> Self {
        Self { going: BTreeMap::new(), coming: BTreeMap::new() }
    }

    pub(super) fn note(&mut self, with: W, id: BulkId, tag: Tag) {
        self.going.insert((with, id), tag);
    }

    /// So many have not ended.
    pub(super) fn len(&self) -> usize {
        self.going.len() + self.coming.len()
    }

    /// Those who begin anew hear of nothing that was before.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Something has become of a transfer.
    pub(super) fn hear(
        &mut self,
        with: W,
        event: BulkEvent,
        random: &mut Random,
        report: &mut ChaosReport,
    ) -> Turn {
        match event {
            BulkEvent::Offered { id, offer } => {
                let tag = read_offer(&offer, report);
                report.messages_doubled += u64::from(self.coming.insert((with, id), tag).is_some());
                if random.chance(REFUSAL) { Turn::Cancel(id) } else { Turn::Accept(id) }
            }
            BulkEvent::Receiving { id, .. } | BulkEvent::Sending { id, .. } => {
                if random.chance(STOP) {
                    Turn::Cancel(id)
                } else {
                    Turn::Nothing
                }
            }
            BulkEvent::Received { id, content: received } => {
                let Some(tag) = end(&mut self.coming, (with, id), report) else { return Turn::Nothing };
                report.faults += u64::from(received != content(tag));
                Turn::Received(tag)
            }
            BulkEvent::NotReceived { id, why } => {
                report.faults += u64::from(why == BulkFailure::Damaged);
                end(&mut self.coming, (with, id), report);
                Turn::Nothing
            }
            BulkEvent::Sent { id } => {
                end(&mut self.going, (with, id), report).map_or(Turn::Nothing, Turn::Sent)
            }
            BulkEvent::NotSent { id, why } => {
                report.faults += u64::from(why == BulkFailure::Damaged);
                end(&mut self.going, (with, id), report);
                Turn::Nothing
            }
        }
    }

    /// The game has stopped one: of what was offered to it, it hears no more.
    pub(super) fn handle_cancelled(&mut self, with: W, id: BulkId) {
        self.coming.remove(&(with, id));
    }
}

/// A transfer has ended: each does so once.
fn end<K: Copy + Ord>(open: &mut BTreeMap<K, Tag>, key: K, report: &mut ChaosReport) -> Option<Tag> {
    let tag = open.remove(&key);
    report.messages_doubled += u64::from(tag.is_none());
    tag
}

fn read_offer(offer: &BulkOffer, report: &mut ChaosReport) -> Tag {
    let (tag, size) = offer.metadata.split_at(offer.metadata.len().min(Tag::BYTES as usize));
    if offer.kind == LOAD && size == offer.bytes.to_le_bytes() {
        return Tag::read(tag);
    }
    report.faults += 1;
    Tag::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::tag::Person;

    #[test]
    fn another_content_and_a_second_end_are_seen() {
        let tag = |number| Tag::new(Person::of_seat(1), number);
        let (mut hauls, mut report) = (Hauls::new(), ChaosReport::default());
        let mut random = Random::from_seed(1);
        let mut hear = |event, report: &mut ChaosReport| hauls.hear((), event, &mut random, report);
        let offer = |id, number: u32| {
            let content = content(tag(number));
            let (bytes, metadata) = (content.len() as u32, metadata(tag(number), &content));
            BulkEvent::Offered { id: BulkId(id), offer: BulkOffer { kind: LOAD, bytes, metadata } }
        };
        let received = |id, number| BulkEvent::Received { id: BulkId(id), content: content(tag(number)) };
        hear(offer(1, 5), &mut report);
        assert_eq!(hear(received(1, 5), &mut report), Turn::Received(tag(5)));
        assert!(report.is_sound());
        hear(received(1, 5), &mut report);
        assert_eq!(report.messages_doubled, 1);
        hear(offer(3, 6), &mut report);
        hear(received(3, 5), &mut report);
        assert_eq!(report.faults, 1);
    }
}
