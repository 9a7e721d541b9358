//! What a client does beside talking, and what it knows of that: requests, bulk transfers, events, groups, its profile.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use tickwire_client::{Client, Event, ToldEvent};
use tickwire_protocol::bulk::{BulkEvent, BulkId};
use tickwire_protocol::message::{Message, Refusal, Request, RequestId, SendError};
use tickwire_protocol::room::Profile;
use tickwire_protocol::{Micros, PlayerId};
use tickwire_sim::arena::{ASK, CHEERED, TEAM_CHAT};

use super::requests::{Asked, Held, question, timeout};
use super::transfers::{KIND, Transfers, Turn, content, metadata};
use super::{Finding, MARK};

/// Changes of a profile that all are told soon: others hear of one a second.
const PROFILE_BYTES_MAX: u8 = 100;

pub(super) struct Errands {
    /// As whom it asks and offers.
    pub(super) who: u32,
    asked: Asked<RequestId>,
    held: Held<RequestId>,
    transfers: Transfers<()>,
    /// Questions and offers so far.
    count: u32,
    /// What it was asked, and what of its questions the server's game has seen: each once.
    pub(super) seen: BTreeSet<Bytes>,
    pub(super) seen_above: BTreeSet<Bytes>,
    pub(super) received: BTreeSet<Bytes>,
    pub(super) sent: BTreeSet<Bytes>,
    pub(super) not_sent: BTreeSet<Bytes>,
    /// Events by the player that they were for, and the newest of those that name nobody: these come in their order.
    pub(super) events: BTreeMap<PlayerId, BTreeSet<u32>>,
    newest_nameless: u32,
    /// What its groups were told: in this order.
    pub(super) lines: Vec<u32>,
    pub(super) profile: Profile,
}

impl Errands {
    pub(super) fn new(who: u32) -> Self {
        Self {
            who,
            asked: Asked::new(),
            held: Held::new(),
            transfers: Transfers::new(),
            count: 0,
            seen: BTreeSet::new(),
            seen_above: BTreeSet::new(),
            received: BTreeSet::new(),
            sent: BTreeSet::new(),
            not_sent: BTreeSet::new(),
            events: BTreeMap::new(),
            newest_nameless: 0,
            lines: Vec::new(),
            profile: Profile::default(),
        }
    }

    /// One step of a script: which of these things, and how.
    pub(super) fn step(&mut self, now: Micros, client: &mut Client, what: u8, much: u8) -> Finding {
        match what {
            0 => return self.ask(now, client, much),
            1 => self.cancel_request(now, client, much),
            2 => return self.answer(now, client, much),
            3 => return self.offer(now, client, much),
            4 => self.decide(client, !much.is_multiple_of(3)),
            5 => self.stop_any(client, much),
            6 if much.is_multiple_of(2) => client.pause(now),
            6 => client.resume(now),
            _ => self.rename(client, much),
        }
        Ok(())
    }

    /// What it has begun and not heard the end of.
    pub(super) fn open(&self) -> usize {
        self.asked.len() + self.transfers.open().count()
    }

    pub(super) fn has_transfers(&self) -> bool {
        self.transfers.open().next().is_some()
    }

    /// Something of this was told.
    pub(super) fn hear(
        &mut self,
        now: Micros,
        client: &mut Client,
        persons: &BTreeSet<PlayerId>,
        event: Event,
    ) -> Finding {
        match event {
            Event::Request(request) => self.hear_request(now, client, request),
            Event::Response(id, response) => self.asked.hear(now, id, response),
            Event::Bulk(event) => self.hear_transfer(client, event),
            Event::Game(told) => self.hear_event(persons, &told),
            Event::Message(message) => self.hear_line(&message),
            _ => Ok(()),
        }
    }

    // ---- requests ----------------------------------------------------------------------------------------------

    fn ask(&mut self, now: Micros, client: &mut Client, much: u8) -> Finding {
        self.count += 1;
        let (question, timeout) = (question(self.who, self.count, much), timeout(much));
        match client.request(now, ASK, &question, timeout) {
            Ok(id) => self.asked.note(id, question, now + timeout),
            Err(_) => Ok(()),
        }
    }

    fn cancel_request(&mut self, now: Micros, client: &mut Client, which: u8) {
        if let Some(id) = self.asked.cancel(which) {
            client.cancel_request(now, id);
        }
    }

    fn hear_request(&mut self, now: Micros, client: &mut Client, request: Request) -> Finding {
        if !self.seen.insert(request.body.clone()) {
            return Err(format!("{request:?} came twice"));
        }
        match self.held.take(request.id, request.body) {
            Some((id, answer)) => respond(now, client, id, answer),
            None => Ok(()),
        }
    }

    fn answer(&mut self, now: Micros, client: &mut Client, which: u8) -> Finding {
        match self.held.release(which.is_multiple_of(2)) {
            Some((id, answer)) => respond(now, client, id, answer),
            None => Ok(()),
        }
    }

    // ---- bulk transfers ----------------------------------------------------------------------------------------

    fn offer(&mut self, now: Micros, client: &mut Client, much: u8) -> Finding {
        self.count += 1;
        let metadata = metadata(self.who, self.count, much);
        match client.offer_bulk(now, KIND, metadata.clone(), content(&metadata)) {
            Ok(id) => self.transfers.note((), id, metadata),
            Err(_) => Ok(()),
        }
    }

    fn hear_transfer(&mut self, client: &mut Client, event: BulkEvent) -> Finding {
        match self.transfers.hear((), event)? {
            Turn::Accept(id) if !self.accept(client, id) => {
                return Err(format!("{id:?} was offered just now and cannot be accepted"));
            }
            Turn::Cancel(id) => self.cancel_transfer(client, id),
            Turn::Received(metadata) => {
                if !self.received.insert(metadata) {
                    return Err("a content came twice".to_owned());
                }
            }
            Turn::Sent(metadata) => drop(self.sent.insert(metadata)),
            Turn::NotSent(metadata) => drop(self.not_sent.insert(metadata)),
            Turn::Accept(_) | Turn::Nothing => {}
        }
        Ok(())
    }

    /// Accepts an offer that waits for it, or refuses it.
    pub(super) fn decide(&mut self, client: &mut Client, is_wanted: bool) {
        match self.transfers.held() {
            // The other side may have taken it back, and this game not have heard of it.
            Some(((), id)) if is_wanted => drop(self.accept(client, id)),
            Some(((), id)) => self.cancel_transfer(client, id),
            None => {}
        }
    }

    fn stop_any(&mut self, client: &mut Client, which: u8) {
        if let Some(((), id)) = self.transfers.any(which) {
            self.cancel_transfer(client, id);
        }
    }

    fn accept(&mut self, client: &mut Client, id: BulkId) -> bool {
        let is_accepted = client.accept_bulk(id).is_ok();
        if is_accepted {
            self.transfers.handle_accepted((), id);
        }
        is_accepted
    }

    fn cancel_transfer(&mut self, client: &mut Client, id: BulkId) {
        if client.cancel_bulk(id).is_ok() {
            self.transfers.handle_cancelled((), id);
        }
    }

    // ---- events, groups and the profile ------------------------------------------------------------------------

    fn hear_event(&mut self, persons: &BTreeSet<PlayerId>, told: &ToldEvent) -> Finding {
        let mut body = &told.event.body[..];
        if told.ty != CHEERED || body.len() != 16 || body.get_u32_le() != MARK {
            return Ok(());
        }
        let (player, number, is_nameless) =
            (PlayerId(body.get_u32_le()), body.get_u32_le(), body.get_u32_le());
        if !persons.contains(&player) || !self.events.entry(player).or_default().insert(number) {
            return Err(format!("event {number} for {player:?} is no news for {persons:?}"));
        }
        if is_nameless == 1 && core::mem::replace(&mut self.newest_nameless, number) > number {
            return Err(format!("event {number} comes late"));
        }
        Ok(())
    }

    fn hear_line(&mut self, message: &Message) -> Finding {
        let mut body = &message.body[..];
        if message.ty != TEAM_CHAT || body.len() != 8 || body.get_u32_le() != MARK {
            return Ok(());
        }
        let number = body.get_u32_le();
        let is_late = self.lines.last().is_some_and(|newest| *newest >= number);
        self.lines.push(number);
        if is_late { Err(format!("a group's line {number} comes late: {:?}", self.lines)) } else { Ok(()) }
    }

    fn rename(&mut self, client: &mut Client, much: u8) {
        let data = vec![much; usize::from(much % PROFILE_BYTES_MAX)];
        if let Ok(profile) = Profile::new(much.to_string(), data) {
            self.profile = profile.clone();
            client.set_profile(profile);
        }
    }
}

fn respond(now: Micros, client: &mut Client, id: RequestId, answer: Result<Bytes, Refusal>) -> Finding {
    match client.respond(now, id, answer) {
        // Who asked may have taken it back, and the client may have left.
        Ok(()) | Err(SendError::NotAsked | SendError::Closed) => Ok(()),
        Err(error) => Err(format!("an answer is not taken: {error}")),
    }
}
