//! What the game of a fuzzed client does with its session, and what it was promised of that whatever the server does: each message,
//! request and transfer comes to its one end, and no content is told that is not of the size that was offered.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tickwire_protocol::Micros;
use tickwire_protocol::bulk::{BulkEvent, BulkId};
use tickwire_protocol::message::{MessageId, Refusal, RequestError, RequestId, Response};
use tickwire_protocol::room::Profile;

use super::{ASK, CHAT, EMOTE, MARK};
use crate::core::{Client, DisconnectReason, Event, Network};

/// Bytes of the largest content, times 255: some pieces long.
const BYTES_PER_UNIT: usize = 40;

#[derive(Clone, Copy)]
struct Asked {
    deadline: Micros,
    is_cancelled: bool,
}

/// A transfer that is offered to the game.
#[derive(Clone, Copy)]
struct Coming {
    of: u32,
    bytes: u32,
    is_accepted: bool,
}

#[derive(Default)]
pub(super) struct Books {
    sent: BTreeSet<MessageId>,
    asked: BTreeMap<RequestId, Asked>,
    /// Requests of the server's.
    owed: Vec<RequestId>,
    going: BTreeMap<BulkId, u32>,
    coming: BTreeMap<BulkId, Coming>,
}

impl Books {
    /// One thing that a game may do at any time.
    pub(super) fn step(&mut self, now: Micros, client: &mut Client, what: u8, much: u8) {
        match what % 16 {
            0 => self.say(now, client, much),
            1 => drop(client.send(now, MARK, 0, vec![much; 3])),
            2 | 3 => self.ask(now, client, much),
            4 => self.cancel_request(now, client, much),
            5 => self.respond(now, client, much),
            6 | 7 => self.offer(now, client, much),
            8 | 9 => self.accept(client),
            10 => self.cancel_transfer(client, much),
            11 if much.is_multiple_of(2) => client.pause(now),
            11 => client.resume(now),
            12 => client.set_profile(Profile::new(much.to_string(), vec![much; 9]).unwrap_or_default()),
            13 => client.handle_disconnect(now, DisconnectReason::Lost),
            14 if much == 255 => client.close(now, Some(Micros::from_millis(500))),
            14 => client.reconnect(now),
            _ => {
                let network = [Network::Down, Network::Up, Network::Changed][usize::from(much % 3)];
                client.set_network(now, network);
            }
        }
    }

    fn say(&mut self, now: Micros, client: &mut Client, much: u8) {
        let (ty, key) = if much.is_multiple_of(2) { (CHAT, 0) } else { (EMOTE, u32::from(much % 3)) };
        if let Ok(sending) = client.send(now, ty, key, vec![much; usize::from(much)]) {
            assert!(self.sent.insert(sending.id), "{:?} is the name of two", sending.id);
        }
    }

    fn ask(&mut self, now: Micros, client: &mut Client, much: u8) {
        let timeout = Micros::from_millis(u64::from(much) * 8);
        if let Ok(id) = client.request(now, ASK, &[much], timeout) {
            let asked = Asked { deadline: now + timeout, is_cancelled: false };
            assert!(self.asked.insert(id, asked).is_none(), "{id:?} is the name of two");
        }
    }

    fn cancel_request(&mut self, now: Micros, client: &mut Client, which: u8) {
        let place = usize::from(which) % self.asked.len().max(1);
        if let Some((&id, asked)) = self.asked.iter_mut().nth(place) {
            asked.is_cancelled = true;
            client.cancel_request(now, id);
        }
    }

    fn respond(&mut self, now: Micros, client: &mut Client, much: u8) {
        let Some(id) = self.owed.pop() else { return };
        let body = Bytes::from(vec![much; usize::from(much % 4)]);
        let response = if much.is_multiple_of(5) { Err(Refusal::Game(body)) } else { Ok(body) };
        // Who asked may have taken it back.
        let _ = client.respond(now, id, response);
    }

    fn offer(&mut self, now: Micros, client: &mut Client, much: u8) {
        let content = vec![much; usize::from(much) * BYTES_PER_UNIT];
        let bytes = content.len() as u32;
        if let Ok(id) = client.offer_bulk(now, 1, vec![much; 3], content) {
            assert!(self.going.insert(id, bytes).is_none(), "{id:?} is the name of two");
        }
    }

    fn accept(&mut self, client: &mut Client) {
        let waiting = self.coming.iter_mut().find(|(_, coming)| !coming.is_accepted);
        if let Some((&id, coming)) = waiting {
            coming.is_accepted = client.accept_bulk(id).is_ok();
        }
    }

    fn cancel_transfer(&mut self, client: &mut Client, which: u8) {
        let place = usize::from(which) % (self.going.len() + self.coming.len()).max(1);
        let id = self.going.keys().chain(self.coming.keys()).nth(place).copied();
        if let Some(id) = id.filter(|id| client.cancel_bulk(*id).is_ok()) {
            self.coming.remove(&id);
        }
    }

    // ---- what is told ------------------------------------------------------------------------------------------

    pub(super) fn hear(&mut self, now: Micros, event: Event) {
        match event {
            Event::Sent(id, _) => assert!(self.sent.remove(&id), "{id:?} has ended before"),
            Event::Response(id, response) => self.hear_response(now, id, &response),
            Event::Request(request) => self.owed.push(request.id),
            Event::Bulk(event) => self.hear_transfer(event),
            _ => {}
        }
    }

    fn hear_response(&mut self, now: Micros, id: RequestId, response: &Response) {
        let Some(asked) = self.asked.remove(&id) else { panic!("{id:?} has ended before") };
        match response {
            Err(RequestError::Timeout) => assert!(now >= asked.deadline, "{id:?} had time"),
            Err(RequestError::Cancelled) => assert!(asked.is_cancelled, "{id:?} was not taken back"),
            Err(RequestError::Lost | RequestError::Refused(_)) | Ok(_) => {}
        }
    }

    fn hear_transfer(&mut self, event: BulkEvent) {
        match event {
            BulkEvent::Offered { id, offer } => {
                let coming = Coming { of: offer.bytes, bytes: 0, is_accepted: false };
                assert!(self.coming.insert(id, coming).is_none(), "{id:?} was offered before");
            }
            BulkEvent::Receiving { id, bytes, of } => {
                let Some(coming) = self.coming.get_mut(&id) else { panic!("{id:?} is no transfer") };
                assert!(coming.is_accepted && of == coming.of, "{id:?} has another size");
                assert!((coming.bytes + 1..=of).contains(&bytes), "{id:?} has {bytes} of {of}");
                coming.bytes = bytes;
            }
            BulkEvent::Received { id, content } => {
                let Some(coming) = self.coming.remove(&id) else { panic!("{id:?} has ended before") };
                assert!(coming.is_accepted && content.len() == coming.of as usize, "{id:?} is not whole");
            }
            BulkEvent::NotReceived { id, .. } => {
                assert!(self.coming.remove(&id).is_some(), "{id:?} has ended before");
            }
            BulkEvent::Sending { id, bytes, of } => {
                assert!(self.going.get(&id) == Some(&of) && bytes <= of, "{id:?} has {bytes} of {of}");
            }
            BulkEvent::Sent { id } | BulkEvent::NotSent { id, .. } => {
                assert!(self.going.remove(&id).is_some(), "{id:?} has ended before");
            }
        }
    }

    /// The client has left, and has told what it had to tell: all has come to its end.
    pub(super) fn settle(&self) {
        assert!(self.sent.is_empty(), "nobody knows what became of {:?}", self.sent);
        assert!(self.asked.is_empty(), "nobody answers {:?}", self.asked.keys());
        assert!(self.going.is_empty(), "nobody takes {:?}", self.going);
        let accepted = self.coming.iter().filter(|(_, coming)| coming.is_accepted);
        assert_eq!(accepted.count(), 0, "what was accepted has no end");
    }
}
