//! Bulk transfers, the same on both sides: each comes to one end, and what arrives is what was offered.

use core::fmt::Debug;
use std::collections::BTreeMap;

use bytes::Bytes;
use tickwire_protocol::bulk::{BulkEvent, BulkFailure, BulkId, BulkOffer};

use super::Finding;

/// What contents are to the game.
pub(super) const KIND: u16 = 7;

/// The largest content is a few pieces long, and more than a client's message takes.
const BYTES_PER_UNIT: usize = 40;

/// What who is offered it does about it: the last byte of what is said of it.
const REFUSE: u8 = 1;
const HOLD: u8 = 2;
/// Takes it, and stops it when a part of it has come.
const STOP: u8 = 3;
const MANNERS: u8 = 4;

/// Who offers it, which of its offers, how large it is and what is to be done about it: no two are the same.
pub(super) fn metadata(who: u32, number: u32, much: u8) -> Bytes {
    let mut metadata = [who.to_le_bytes(), number.to_le_bytes()].concat();
    metadata.extend([much, much % MANNERS]);
    metadata.into()
}

/// What is offered under these words.
pub(super) fn content(metadata: &[u8]) -> Bytes {
    let units = usize::from(metadata.get(8).copied().unwrap_or_default());
    let word = |place: usize| metadata.get(place % 8).map_or(0, |byte| byte.wrapping_mul(31));
    (0..units * BYTES_PER_UNIT).map(|place| word(place).wrapping_add((place / 8) as u8)).collect()
}

/// What follows from what has become of a transfer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Accept(BulkId),
    Cancel(BulkId),
    /// This side has this content; the other side has it; the other side does not get it.
    Received(Bytes),
    Sent(Bytes),
    NotSent(Bytes),
    Nothing,
}

#[derive(Clone, Debug)]
struct Transfer {
    metadata: Bytes,
    /// So much has come.
    bytes: u32,
    is_accepted: bool,
}

/// The transfers of one side; `W` is with whom, where there are several.
#[derive(Debug)]
pub(super) struct Transfers<W> {
    going: BTreeMap<(W, BulkId), Transfer>,
    coming: BTreeMap<(W, BulkId), Transfer>,
}

impl<W: Copy + Debug + Ord> Transfers<W> {
    pub(super) const fn new() -> Self {
        Self { going: BTreeMap::new(), coming: BTreeMap::new() }
    }

    pub(super) fn note(&mut self, with: W, id: BulkId, metadata: Bytes) -> Finding {
        let transfer = Transfer { metadata, bytes: 0, is_accepted: false };
        let before = self.going.insert((with, id), transfer);
        before.map_or(Ok(()), |before| Err(format!("{id:?} is also {before:?}")))
    }

    /// With whom transfers have not ended. What is offered and not answered need not end.
    pub(super) fn open(&self) -> impl Iterator<Item = W> {
        let accepted = self.coming.iter().filter(|(_, transfer)| transfer.is_accepted);
        self.going.keys().chain(accepted.map(|(key, _)| key)).map(|(with, _)| *with)
    }

    /// An offer that waits for its answer.
    pub(super) fn held(&self) -> Option<(W, BulkId)> {
        self.coming.iter().find(|(_, transfer)| !transfer.is_accepted).map(|(key, _)| *key)
    }

    /// Any transfer, to be stopped.
    pub(super) fn any(&self, which: u8) -> Option<(W, BulkId)> {
        let place = usize::from(which) % (self.going.len() + self.coming.len()).max(1);
        self.going.keys().chain(self.coming.keys()).nth(place).copied()
    }

    /// The game has accepted an offer.
    pub(super) fn handle_accepted(&mut self, with: W, id: BulkId) {
        if let Some(transfer) = self.coming.get_mut(&(with, id)) {
            transfer.is_accepted = true;
        }
    }

    /// The game has stopped one: of what was offered to it, it hears no more.
    pub(super) fn handle_cancelled(&mut self, with: W, id: BulkId) {
        self.coming.remove(&(with, id));
    }

    /// Something has become of a transfer.
    pub(super) fn hear(&mut self, with: W, event: BulkEvent) -> Result<Turn, String> {
        match event {
            BulkEvent::Offered { id, offer } => self.hear_offer(with, id, offer),
            BulkEvent::Receiving { id, bytes, of } => {
                let metadata = progress(&mut self.coming, (with, id), bytes, of)?;
                Ok(if metadata.last() == Some(&STOP) { Turn::Cancel(id) } else { Turn::Nothing })
            }
            BulkEvent::Sending { id, bytes, of } => {
                progress(&mut self.going, (with, id), bytes, of)?;
                Ok(Turn::Nothing)
            }
            BulkEvent::Received { id, content: received } => {
                let Transfer { metadata, is_accepted, .. } = end(&mut self.coming, (with, id))?;
                let is_right = is_accepted && received == content(&metadata);
                if is_right {
                    Ok(Turn::Received(metadata))
                } else {
                    Err(format!("{id:?} is not what was offered"))
                }
            }
            BulkEvent::NotReceived { id, why } => {
                end(&mut self.coming, (with, id))?;
                check_failure(id, why).map(|()| Turn::Nothing)
            }
            BulkEvent::Sent { id } => Ok(Turn::Sent(end(&mut self.going, (with, id))?.metadata)),
            BulkEvent::NotSent { id, why } => {
                let Transfer { metadata, .. } = end(&mut self.going, (with, id))?;
                check_failure(id, why)?;
                Ok(if why == BulkFailure::Lost { Turn::Nothing } else { Turn::NotSent(metadata) })
            }
        }
    }

    fn hear_offer(&mut self, with: W, id: BulkId, offer: BulkOffer) -> Result<Turn, String> {
        let BulkOffer { kind, bytes, metadata } = offer;
        let manner = metadata.last().copied();
        let is_right = kind == KIND && bytes as usize == content(&metadata).len();
        let before = self.coming.insert((with, id), Transfer { metadata, bytes: 0, is_accepted: false });
        match (before, manner) {
            (Some(before), _) => Err(format!("{id:?} is offered, and was {before:?}")),
            (None, _) if !is_right => Err(format!("{id:?} is {bytes} bytes of {kind}")),
            (None, Some(REFUSE)) => Ok(Turn::Cancel(id)),
            (None, Some(HOLD)) => Ok(Turn::Nothing),
            (None, _) => Ok(Turn::Accept(id)),
        }
    }
}

/// A transfer has ended: each does so once.
fn end<K: Copy + Debug + Ord>(open: &mut BTreeMap<K, Transfer>, key: K) -> Result<Transfer, String> {
    open.remove(&key).ok_or_else(|| format!("{key:?} has ended before, or never begun"))
}

/// More of a transfer has come, and never less than before.
fn progress<K: Copy + Debug + Ord>(
    open: &mut BTreeMap<K, Transfer>,
    key: K,
    bytes: u32,
    of: u32,
) -> Result<Bytes, String> {
    let transfer = open.get_mut(&key).ok_or_else(|| format!("{key:?} goes on, and is none"))?;
    let size = content(&transfer.metadata).len();
    if of as usize != size || !(transfer.bytes..=of).contains(&bytes) {
        return Err(format!("{key:?} has {bytes} of {of}: it was {transfer:?}"));
    }
    transfer.bytes = bytes;
    Ok(transfer.metadata.clone())
}

/// Nobody has damaged anything.
fn check_failure(id: BulkId, why: BulkFailure) -> Finding {
    if why == BulkFailure::Damaged { Err(format!("{id:?}: {why}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(id: u32, metadata: &Bytes) -> BulkEvent {
        let (bytes, metadata) = (content(metadata).len() as u32, metadata.clone());
        BulkEvent::Offered { id: BulkId(id), offer: BulkOffer { kind: KIND, bytes, metadata } }
    }

    #[test]
    fn another_content_and_a_second_end_are_found() {
        let (mine, other) = (metadata(1, 5, 4), metadata(1, 6, 4));
        let received = |id, metadata| BulkEvent::Received { id: BulkId(id), content: content(metadata) };
        let mut transfers = Transfers::new();
        assert_eq!(transfers.hear((), offered(1, &mine)), Ok(Turn::Accept(BulkId(1))));
        transfers.handle_accepted((), BulkId(1));
        assert_eq!(transfers.open().count(), 1);
        assert_eq!(transfers.hear((), received(1, &mine)), Ok(Turn::Received(mine.clone())));
        assert!(transfers.hear((), received(1, &mine)).is_err(), "it has ended before");
        assert_eq!(transfers.hear((), offered(3, &mine)), Ok(Turn::Accept(BulkId(3))));
        transfers.handle_accepted((), BulkId(3));
        assert!(transfers.hear((), received(3, &other)).is_err(), "it is another content");
    }
}
