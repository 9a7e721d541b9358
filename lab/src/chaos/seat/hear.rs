//! What a client hears, and is told of what it has said.

use tickwire_client::{Event, ToldEvent};
use tickwire_protocol::Micros;
use tickwire_protocol::bulk::BulkEvent;
use tickwire_protocol::handshake::{Reject, RejectReason, SessionOutcome};
use tickwire_protocol::message::{Message, MessageId, Outcome, Request, SendError};

use super::super::asks::{Verdict, answer};
use super::super::game::{NEWEST, NEWS};
use super::super::hauls::Turn;
use super::super::memory::{Said, is_newer};
use super::super::report::ChaosReport;
use super::super::tag::{Person, Tag};
use super::Seat;

/// The longest that an answer takes.
const ANSWER_MICROS_MAX: u32 = 2_000_000;

impl Seat {
    pub(super) fn hear(&mut self, now: Micros, event: Event, report: &mut ChaosReport) {
        match event {
            Event::Connected { session, player, outcome, .. } => {
                // Not who it is now: the game may hear of this when there was another session since.
                let person = player.map(|player| Person::new(session.room().0, player));
                self.note_connected(person, outcome, report);
            }
            Event::Entered { id, .. } => self.scene.enter(id),
            Event::Left { id, .. } => self.scene.leave(id),
            Event::Message(message) => self.hear_message(&message, report),
            Event::Game(told) => self.hear_event(now, &told, report),
            Event::Request(request) => self.hear_question(now, &request, report),
            Event::Response(id, response) => match self.asked.hear(id, response, report) {
                Verdict::Done(tag) => drop(self.done.insert(tag)),
                Verdict::NotDone(tag) => drop(self.not_done.insert(tag)),
                Verdict::Unknown => {}
            },
            Event::Sent(id, outcome) => self.note_outcome(id, outcome),
            Event::Bulk(event) => self.hear_haul(event, report),
            Event::Rejected(Reject { reason: RejectReason::RoomFull { .. }, .. }) => {}
            Event::Rejected(_) => report.faults += 1,
            _ => {}
        }
    }

    /// The view begins anew. Whoever has gone on with an older export is told what it does not hear any more, and nobody else is.
    fn note_connected(&mut self, person: Option<Person>, outcome: SessionOutcome, report: &mut ChaosReport) {
        self.scene.clear();
        let is_set_back = core::mem::take(&mut self.is_set_back);
        if let (SessionOutcome::Resynced { missed }, Some(person)) = (outcome, person) {
            self.memory.miss(person, missed);
            report.resynced += 1;
            report.wrong_outcome_told += u64::from(!is_set_back || missed.total() == 0);
        }
    }

    fn note_outcome(&mut self, id: MessageId, outcome: Outcome) {
        let said = self.memory.waiting.remove(&id);
        match (said, outcome) {
            (Some(Said::Brief(number)), Outcome::Delivered) => drop(self.briefs_delivered.insert(number)),
            (Some(Said::Brief(number)), Outcome::Lost) => drop(self.briefs_uncertain.insert(number)),
            (Some(said), Outcome::Lost) => drop(self.lost.insert(said)),
            _ => {}
        }
    }

    fn hear_message(&mut self, message: &Message, report: &mut ChaosReport) {
        if [NEWEST, NEWS].contains(&message.ty) {
            let Tag { who, number } = Tag::read(&message.body);
            is_newer(&mut self.newest_heard, (message.ty, who), number);
        }
        self.memory.hear_message(message, self.persons.last().copied(), report);
    }

    fn hear_event(&mut self, now: Micros, told: &ToldEvent, report: &mut ChaosReport) {
        self.memory.hear_event(told, report);
        // Of a session that ends all is told at once.
        let is_present = self.persons.last() == Some(&Tag::read(&told.event.body).who);
        if is_present && self.client.is_playing() {
            self.scene.hear(told, self.client.view(now).tick_time().tick, report);
        }
    }

    fn hear_question(&mut self, now: Micros, request: &Request, report: &mut ChaosReport) {
        let tag = Tag::read(&request.body);
        self.memory.hear_question(tag, report);
        self.handled.insert(tag);
        self.owed.take(now.0, ANSWER_MICROS_MAX, &mut self.random, request.id, tag);
    }

    /// Answers what it has thought about for long enough.
    pub(super) fn answer(&mut self, now: Micros, report: &mut ChaosReport) {
        while let Some((id, tag)) = self.owed.pop_due(now.0) {
            let result = self.client.respond(now, id, answer(tag));
            let is_right = matches!(result, Ok(()) | Err(SendError::NotAsked | SendError::Closed));
            report.faults += u64::from(!is_right);
        }
    }

    fn hear_haul(&mut self, event: BulkEvent, report: &mut ChaosReport) {
        match self.hauls.hear((), event, &mut self.random, report) {
            Turn::Accept(id) => report.faults += u64::from(self.client.accept_bulk(id).is_err()),
            Turn::Cancel(id) => {
                if self.client.cancel_bulk(id).is_ok() {
                    self.hauls.handle_cancelled((), id);
                }
            }
            Turn::Sent(tag) => drop(self.sent.insert(tag)),
            Turn::Received(tag) => report.messages_doubled += u64::from(!self.received.insert(tag)),
            Turn::Nothing => {}
        }
    }
}
