//! An honest server's end of a session: what it says is well formed and in its order, unless a script damages it on its way.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::bulk::{Bulk, BulkEvent, BulkReceived, Side};
use tickwire_protocol::frame::{Frame, FrameType};
use tickwire_protocol::handshake::{
    Extension, FreshReason, Hello, Resume, ResumeToken, SessionOutcome, SessionTerms,
};
use tickwire_protocol::message::{
    Direction, GameEvent, Inbox, Lane, MessageAck, MessageBody, MessageId, MessageTypeId, Outbox, RequestId,
    Requests,
};
use tickwire_protocol::{DecodeError, Micros, Schema, SessionId, Tick};

use super::{ASK, CHAT, EMOTE, HAPPENED, MARK, TOLD};

/// The largest transport message, bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Bytes of the largest content, times 255.
const BYTES_PER_UNIT: usize = 40;

pub(super) struct Speaker {
    schema: Arc<Schema>,
    outbox: Outbox,
    inbox: Inbox,
    requests: Requests,
    bulk: Bulk,
    events: u64,
    asked: Vec<RequestId>,
    owed: Vec<RequestId>,
    /// The session of now, and what its client has claimed in its last hello.
    session: u32,
    tokens: u8,
    resume: Option<Resume>,
    received: Option<BulkReceived>,
}

impl Speaker {
    pub(super) fn new(schema: &Arc<Schema>) -> Self {
        Self {
            schema: schema.clone(),
            outbox: Outbox::new(schema.clone(), Direction::ToClient).without_outcomes(),
            inbox: Inbox::new(schema.clone(), Direction::ToServer),
            requests: Requests::default(),
            bulk: Bulk::new(Side::Server),
            events: 0,
            asked: Vec::new(),
            owed: Vec::new(),
            session: 1,
            tokens: 0,
            resume: None,
            received: None,
        }
    }

    /// What a welcome says of the session: it goes on if the client's last hello wanted that, and rightly.
    pub(super) fn welcome(&mut self) -> (SessionId, Vec<Extension>) {
        let resumed = self.resume.take().filter(|resume| self.goes_on(resume));
        self.tokens = self.tokens.wrapping_add(1);
        let outcome = match resumed {
            Some(_) => SessionOutcome::Resumed,
            None => SessionOutcome::Fresh(FreshReason::First),
        };
        if resumed.is_none() {
            let (session, tokens) = (self.session + 1, self.tokens);
            *self = Self { session, tokens, ..Self::new(&self.schema.clone()) };
        }
        let terms = SessionTerms {
            outcome,
            token: ResumeToken([self.tokens; 16]),
            window: Micros::from_secs(60),
            received: self.inbox.received(),
        };
        let bulk = resumed.is_some().then(|| self.bulk.received().extension());
        (SessionId(self.session.into()), [terms.extension()].into_iter().chain(bulk).collect())
    }

    fn goes_on(&mut self, resume: &Resume) -> bool {
        let is_mine = resume.session == SessionId(self.session.into()) && resume.token.0 == [self.tokens; 16];
        let told = self.received.take().filter(|_| is_mine);
        told.is_some_and(|told| {
            self.outbox.handle_resumed(resume.received).is_ok() && self.bulk.handle_resumed(&told).is_ok()
        })
    }

    /// One thing that a server's game may do at any time.
    pub(super) fn step(&mut self, now: Micros, tick: Tick, what: u8, much: u8) {
        let body = || MessageBody::from(Bytes::from(vec![much; usize::from(much)]));
        match what % 12 {
            0 => drop(self.outbox.send(now, CHAT, 0, body())),
            1 => drop(self.outbox.send(now, EMOTE, u32::from(much % 3), body())),
            2 => drop(self.outbox.send(now, MARK, 0, body())),
            3 | 4 => self.tell(now, tick, if what % 12 == 3 { TOLD } else { HAPPENED }, much),
            5 | 6 => {
                let timeout = Micros::from_millis(u64::from(much) * 8);
                self.asked.extend(self.requests.ask(now, &mut self.outbox, ASK, &[much], timeout).ok());
            }
            7 => {
                if let Some(id) = self.asked.pop() {
                    self.requests.cancel(now, &mut self.outbox, id);
                }
            }
            8 => {
                if let Some(id) = self.owed.pop() {
                    let answer = Ok(Bytes::from(vec![much; 3]));
                    let _ = self.requests.respond(now, &self.schema, &mut self.outbox, id, answer);
                }
            }
            _ => {
                let content = vec![much; usize::from(much) * BYTES_PER_UNIT];
                let _ = self.bulk.offer(now, 1, Bytes::from(vec![much; 2]), content.into());
            }
        }
    }

    fn tell(&mut self, now: Micros, tick: Tick, ty: MessageTypeId, much: u8) {
        self.events += 1;
        let event = GameEvent::new(vec![much; 3]).encode(tick);
        let _ = self.outbox.send_event(now, MessageId(self.events), ty, MessageBody::from(event));
    }

    /// What is to be said, as one transport message; empty if there is nothing.
    pub(super) fn poll_transmit(&mut self, now: Micros) -> Vec<u8> {
        let mut out = Vec::new();
        self.bulk.poll_control(MESSAGE_BYTES_MAX / 4, &mut out);
        self.requests.flush(now, &mut self.outbox);
        self.outbox.poll_transmit(now, MESSAGE_BYTES_MAX / 2, &mut out);
        self.inbox.poll_ack(&mut out);
        if out.is_empty() {
            self.bulk.poll_filler(now, MESSAGE_BYTES_MAX, &mut out);
        }
        out
    }

    /// Takes in what the client says. An error means that an honest client would not have said it.
    pub(super) fn hear(&mut self, now: Micros, frame: Frame) -> Result<(), DecodeError> {
        match frame.ty {
            FrameType::Hello => {
                let hello = Hello::decode(&frame.payload).unwrap_or_else(|fault| panic!("a hello: {fault}"));
                self.resume = Resume::find(&hello.extensions)?;
                self.received = BulkReceived::find(&hello.extensions)?;
            }
            FrameType::Message => {
                self.inbox.handle_message(frame.payload)?;
                while let Some(message) = self.inbox.poll_lane(Lane::Requests) {
                    self.requests.handle(now, &self.schema, &mut self.outbox, message, |_, _| None)?;
                }
            }
            FrameType::MessageAck => self.outbox.handle_ack(MessageAck::decode(&frame.payload)?)?,
            ty if ty.is_bulk() => self.bulk.handle_frame(now, frame)?,
            _ => {}
        }
        self.listen(now);
        Ok(())
    }

    /// The game polls all that there is, and takes in what is offered.
    fn listen(&mut self, now: Micros) {
        while self.inbox.poll().is_some() {}
        while let Some(request) = self.requests.poll_request() {
            self.owed.push(request.id);
        }
        while self.requests.poll_response(now, &mut self.outbox).is_some() {}
        while let Some(event) = self.bulk.poll_event(now) {
            if let BulkEvent::Offered { id, .. } = event {
                let is_accepted = self.bulk.accept(id);
                assert_eq!(is_accepted, Ok(()), "what is offered just now waits for its answer");
            }
        }
    }
}
