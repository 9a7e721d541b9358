//! An honest client, as far as it needs to be one: it checks all that it gets, acks it, answers what it is asked and takes what it is offered.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::bulk::{Bulk, BulkEvent, Side};
use tickwire_protocol::frame::{Frame, FrameType, frames};
use tickwire_protocol::limits::CLIENT_MESSAGE_BYTES_MAX;
use tickwire_protocol::message::{Direction, GameEvent, Inbox, Lane, MessageAck, Outbox, Requests};
use tickwire_protocol::room::{GroupChange, MatchChange, MemberChange, TableFrame};
use tickwire_protocol::snapshot::{Codec, DecodedSnapshot, Replica};
use tickwire_protocol::{DecodeError, Micros, PeerId, Schema, Tick, TickRate};
use tickwire_sim::arena::TEAM_CHAT;

use super::clerk::{CONTENT_BYTES, MARK};
use crate::core::Room;

/// How much has come.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Events, lines and questions.
    pub(super) heard: [u32; 3],
    pub(super) tables: u32,
    pub(super) contents: u32,
    pub(super) contents_sent: u32,
}

pub(super) struct Witness {
    pub(super) told: Told,
    peer: PeerId,
    codec: Codec,
    pub(super) replica: Replica,
    decoded: DecodedSnapshot,
    applied: u16,
    schema: Arc<Schema>,
    outbox: Outbox,
    inbox: Inbox,
    requests: Requests,
    bulk: Bulk,
    /// The newest event, line and question of the room's.
    newest: [u32; 3],
}

impl Witness {
    pub(super) fn new(peer: PeerId, schema: &Arc<Schema>, rate: TickRate) -> Self {
        let mut bulk = Bulk::new(Side::Client);
        let offered = bulk.offer(Micros::ZERO, 1, Bytes::new(), vec![3; CONTENT_BYTES].into());
        assert!(offered.is_ok(), "the first offer: {offered:?}");
        Self {
            told: Told::default(),
            peer,
            codec: Codec::new(schema.clone(), rate),
            replica: Replica::new(schema.clone(), 16),
            decoded: DecodedSnapshot::default(),
            applied: 0,
            schema: schema.clone(),
            outbox: Outbox::new(schema.clone(), Direction::ToServer),
            inbox: Inbox::new(schema.clone(), Direction::ToClient),
            requests: Requests::default(),
            bulk,
            newest: [0; 3],
        }
    }

    pub(super) fn watch(&mut self, room: &mut Room, now: Micros) {
        let mut messages = Vec::new();
        let mut push = |message: &[u8]| messages.push(Bytes::copy_from_slice(message));
        room.poll_transmit(now, self.peer, &mut push);
        room.poll_filler(now, self.peer, push);
        for frame in messages.into_iter().flat_map(frames) {
            let frame = frame.unwrap_or_else(|error| panic!("the room wrote what nobody can read: {error}"));
            let ty = frame.ty;
            let read = self.read(now, frame);
            assert_eq!(read, Ok(()), "the room wrote a {ty} that nobody can read");
        }
        self.listen(now);
        let answer = self.write(now);
        if !answer.is_empty() {
            let heard = room.handle_message(now, self.peer, answer.into());
            assert_eq!(heard, Ok(()), "the honest peer was let go");
        }
    }

    fn read(&mut self, now: Micros, frame: Frame) -> Result<(), DecodeError> {
        match frame.ty {
            FrameType::Snapshot => self.apply(&frame),
            FrameType::Message => {
                self.inbox.handle_message(frame.payload)?;
                while let Some(message) = self.inbox.poll_lane(Lane::Requests) {
                    self.requests.handle(now, &self.schema, &mut self.outbox, message, |_, _| None)?;
                }
            }
            FrameType::MessageAck => self.outbox.handle_ack(MessageAck::decode(&frame.payload)?)?,
            FrameType::Members => self.note_table(&TableFrame::<MemberChange>::decode(&frame.payload)?),
            FrameType::Match => self.note_table(&TableFrame::<MatchChange>::decode(&frame.payload)?),
            FrameType::Groups => self.note_table(&TableFrame::<GroupChange>::decode(&frame.payload)?),
            ty if ty.is_bulk() => self.bulk.handle_frame(now, frame)?,
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, frame: &Frame) {
        let near = self.replica.newest_tick().unwrap_or(Tick(0));
        let read = self.codec.read_snapshot(&frame.payload, near, &self.replica, &mut self.decoded);
        assert!(read.is_ok(), "the room wrote a snapshot that nobody can read: {read:?}");
        self.replica.apply(&self.decoded);
        self.applied += 1;
        if let Some(digest) = self.decoded.digest {
            assert_eq!(self.replica.digest().0, digest, "the honest peer's state is wrong");
        }
    }

    fn listen(&mut self, now: Micros) {
        while self.inbox.poll_lane(Lane::Control).is_some() {}
        while let Some(event) = self.inbox.poll_lane(Lane::Events) {
            let event = GameEvent::decode(event.body);
            let (_, event) = event.unwrap_or_else(|error| panic!("an event that nobody can read: {error}"));
            // Others cheer, too.
            self.note(0, event.body.strip_prefix(&MARK));
        }
        while let Some(message) = self.inbox.poll() {
            self.note(1, Some(&message.body[..]).filter(|body| message.ty == TEAM_CHAT && body.len() == 4));
        }
        while let Some(request) = self.requests.poll_request() {
            self.note(2, Some(&request.body));
            let answer =
                self.requests.respond(now, &self.schema, &mut self.outbox, request.id, Ok(request.body));
            assert_eq!(answer, Ok(()), "a question just came");
        }
        while let Some(event) = self.bulk.poll_event(now) {
            match event {
                BulkEvent::Offered { id, .. } => assert_eq!(self.bulk.accept(id), Ok(()), "{id:?}"),
                BulkEvent::Received { id, content } => {
                    let is_whole =
                        content.len() == CONTENT_BYTES && content.iter().all(|byte| *byte == content[0]);
                    assert!(is_whole, "{id:?} is not what was offered");
                    self.told.contents += 1;
                }
                BulkEvent::NotReceived { why, .. } | BulkEvent::NotSent { why, .. } => {
                    panic!("nothing went wrong with a transfer: {why}");
                }
                BulkEvent::Sent { .. } => self.told.contents_sent += 1,
                BulkEvent::Receiving { .. } | BulkEvent::Sending { .. } => {}
            }
        }
    }

    /// Something of the room's own came: the numbers of each kind grow.
    fn note(&mut self, kind: usize, number: Option<&[u8]>) {
        let Some(Ok(number)) = number.map(<[u8; 4]>::try_from) else { return };
        let (number, newest) = (u32::from_le_bytes(number), &mut self.newest[kind]);
        assert!(number > *newest, "{number} came behind {newest}");
        *newest = number;
        self.told.heard[kind] += 1;
    }

    fn note_table<C>(&mut self, told: &TableFrame<C>) {
        self.told.tables += 1;
        assert!(!told.changes.is_empty() || told.head.is_whole, "a table is told, and nothing of it");
    }

    fn write(&mut self, now: Micros) -> Vec<u8> {
        let mut out = Vec::new();
        if self.applied > 0 {
            Ack::new(Sequence(self.applied - 1)).encode(&mut out);
        }
        self.inbox.poll_ack(&mut out);
        self.bulk.poll_control(256, &mut out);
        self.requests.flush(now, &mut self.outbox);
        self.outbox.poll_transmit(now, CLIENT_MESSAGE_BYTES_MAX / 4, &mut out);
        self.bulk.poll_filler(now, CLIENT_MESSAGE_BYTES_MAX - out.len(), &mut out);
        out
    }

    /// In the end: it has heard of all that goes on.
    pub(super) fn is_told(&self) -> bool {
        self.told.heard.iter().all(|heard| *heard > 0)
    }
}
