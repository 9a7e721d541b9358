//! The pictures that bots send each other by bulk transfer: up to the server, and down to whom they are for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tickwire_client::Client;
use tickwire_protocol::bulk::{BulkEvent, BulkId, BulkOffer};
use tickwire_protocol::{Micros, PlayerId};
use tickwire_sim::Random;
use tickwire_sim::arena::{PICTURE, addressed, read_addressed};

use super::Wrongs;

/// Bytes of the largest picture: two pieces.
const BYTES_MAX: u32 = 32 * 1024;

/// What a bot knows of pictures at the end: whose, and which of theirs.
#[derive(Clone, Debug, Default)]
pub(in crate::swarm) struct PictureTally {
    /// Which the server has taken, and for whom.
    pub(in crate::swarm) sent: Vec<(PlayerId, u32)>,
    /// Those that came to nothing.
    pub(in crate::swarm) failed: u64,
    pub(in crate::swarm) received: BTreeSet<(PlayerId, u32)>,
}

/// One bot's pictures.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    numbers: u32,
    /// The one that is on its way to the server.
    sending: Option<(BulkId, PlayerId, u32)>,
    sent: Vec<(PlayerId, u32)>,
    failed: u64,
    /// Those that are on their way from it.
    receiving: BTreeMap<BulkId, (PlayerId, u32)>,
    received: BTreeSet<(PlayerId, u32)>,
    wrongs: Wrongs,
}

impl Pictures {
    pub(super) fn wrongs(&self) -> Wrongs {
        self.wrongs
    }

    pub(super) fn tally(&self) -> PictureTally {
        let failed = self.failed + u64::from(self.sending.is_some());
        PictureTally { sent: self.sent.clone(), failed, received: self.received.clone() }
    }

    /// Sends one, unless one is on its way; whether the client takes it.
    pub(super) fn send(&mut self, now: Micros, client: &mut Client, to: PlayerId) -> bool {
        let Some(own) = client.welcome().and_then(|welcome| welcome.player) else { return true };
        if self.sending.is_some() {
            return true;
        }
        let number = self.numbers + 1;
        let metadata = addressed(to, number.to_string().as_bytes());
        let Ok(id) = client.offer_bulk(now, PICTURE, metadata, picture(own, number)) else { return false };
        self.numbers = number;
        self.sending = Some((id, to, number));
        true
    }

    pub(super) fn handle_event(&mut self, event: &BulkEvent, client: &mut Client) {
        match event {
            BulkEvent::Offered { id, offer } => self.take(*id, offer, client),
            BulkEvent::Received { id, content } => self.look_at(*id, content),
            // Whose content is wrong is not received: its sender is told, and does not miss it.
            BulkEvent::NotReceived { id, .. } => drop(self.receiving.remove(id)),
            BulkEvent::Sent { id } => {
                let sent = self.end_of(*id);
                self.sent.extend(sent);
            }
            BulkEvent::NotSent { id, .. } => self.failed += u64::from(self.end_of(*id).is_some()),
            BulkEvent::Sending { .. } | BulkEvent::Receiving { .. } => {}
        }
    }

    /// The picture that is on its way no more; nothing if that was over before.
    fn end_of(&mut self, id: BulkId) -> Option<(PlayerId, u32)> {
        let ended = self.sending.take_if(|(sending, ..)| *sending == id);
        self.wrongs.doubled += u64::from(ended.is_none());
        ended.map(|(_, to, number)| (to, number))
    }

    fn take(&mut self, id: BulkId, offer: &BulkOffer, client: &mut Client) {
        match title(offer) {
            Some(title) if client.accept_bulk(id).is_ok() => drop(self.receiving.insert(id, title)),
            // It will be missed.
            Some(_) => {}
            None => self.wrongs.garbled += 1,
        }
    }

    fn look_at(&mut self, id: BulkId, content: &Bytes) {
        let Some((from, number)) = self.receiving.remove(&id) else {
            self.wrongs.doubled += 1;
            return;
        };
        self.wrongs.garbled += u64::from(*content != picture(from, number));
        self.wrongs.doubled += u64::from(!self.received.insert((from, number)));
    }
}

/// Of whom it is, and which of theirs; nothing if no bot offers this.
fn title(offer: &BulkOffer) -> Option<(PlayerId, u32)> {
    let (from, title) = read_addressed(offer.metadata.clone()).filter(|_| offer.kind == PICTURE)?;
    Some((from, str::from_utf8(&title).ok()?.parse().ok()?))
}

/// The picture of this number that a player sends.
fn picture(from: PlayerId, number: u32) -> Bytes {
    let mut random = Random::from_seed(u64::from(from.0) << 32 | u64::from(number));
    let bytes = 1 + random.below(BYTES_MAX);
    (0..bytes.div_ceil(8)).flat_map(|_| random.next_u64().to_le_bytes()).take(bytes as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::bulk::BulkFailure;
    use tickwire_sim::arena::PICTURE_BYTES_MAX;

    const FROM: PlayerId = PlayerId(3);

    fn received(number: u32, content: &Bytes) -> Pictures {
        let mut pictures =
            Pictures { receiving: [(BulkId(1), (FROM, number))].into(), ..Pictures::default() };
        pictures.look_at(BulkId(1), content);
        pictures
    }

    #[test]
    fn what_is_received_is_what_was_sent() {
        let right = received(2, &picture(FROM, 2));
        assert_eq!((right.wrongs(), right.tally().received), (Wrongs::default(), [(FROM, 2)].into()));
        assert_eq!(received(2, &picture(FROM, 1)).wrongs().garbled, 1);
        let mut twice = right;
        twice.look_at(BulkId(1), &picture(FROM, 2));
        assert_eq!(twice.wrongs().doubled, 1);
        let offer =
            |metadata: &'static [u8]| BulkOffer { kind: PICTURE, bytes: 1, metadata: metadata.into() };
        assert_eq!(title(&offer(b"\x03\0\0\0\x31\x37")), Some((FROM, 17)));
        assert_eq!(title(&offer(b"\x03\0\0\0x")), None);
    }

    #[test]
    fn what_became_of_a_picture_is_told_once() {
        let sending = Some((BulkId(2), FROM, 1));
        let mut client = tests_client();
        let mut sent = Pictures { sending, ..Pictures::default() };
        assert_eq!(sent.tally().failed, 1, "so far it has not come");
        sent.handle_event(&BulkEvent::Sent { id: BulkId(2) }, &mut client);
        assert_eq!((sent.tally().sent, sent.tally().failed), (vec![(FROM, 1)], 0));
        sent.handle_event(&BulkEvent::Sent { id: BulkId(2) }, &mut client);
        assert_eq!(sent.wrongs().doubled, 1);
        let mut failed = Pictures { sending, ..Pictures::default() };
        let not_sent = BulkEvent::NotSent { id: BulkId(2), why: BulkFailure::Refused };
        failed.handle_event(&not_sent, &mut client);
        assert_eq!((failed.tally().sent, failed.tally().failed), (vec![], 1));
    }

    fn tests_client() -> Client {
        let config = tickwire_client::ClientConfig::new("test");
        Client::new(config, tickwire_sim::arena::schema().clone(), Micros(0))
    }

    #[test]
    fn pictures_are_as_the_arena_takes_them() {
        for number in 1..200 {
            assert!((1..=PICTURE_BYTES_MAX as usize).contains(&picture(FROM, number).len()));
        }
        assert_ne!(picture(FROM, 1), picture(PlayerId(4), 1));
    }
}
