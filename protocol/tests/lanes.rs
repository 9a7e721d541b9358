//! Who always has more to say than fits holds up nobody else for good; and what goes on with an old export.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::frames;
use tickwire_protocol::limits::{
    LATEST_KEYS_MAX, MESSAGE_BYTES_PER_TRANSMIT_MAX, OUTCOMES_WAITING_MAX, REQUESTS_OPEN_MAX,
};
use tickwire_protocol::message::{
    Direction, GameEvent, Inbox, Lane, Message, MessageAck, MessageBody, MessageClass, MessageFrame,
    MessageId, MessageType, MessageTypeId, Outbox, Received, Requests, SendError,
};
use tickwire_protocol::{Micros, Schema, Tick};

const CHAT: MessageTypeId = MessageTypeId(0);
const PLACE: MessageTypeId = MessageTypeId(1);
const HIT: MessageTypeId = MessageTypeId(2);
const MAP: MessageTypeId = MessageTypeId(3);
const BUY: MessageTypeId = MessageTypeId(4);
const NOW: Micros = Micros(1);

fn schema() -> Arc<Schema> {
    use Direction::{BothWays, ToClient};
    Schema::builder("lanes")
        .message(MessageType::new(CHAT, "chat", BothWays, MessageClass::Reliable, 64))
        .message(MessageType::new(PLACE, "place", BothWays, MessageClass::Latest, 2_000))
        .message(MessageType::new(HIT, "hit", ToClient, MessageClass::Event, 64))
        .message(MessageType::new(MAP, "map", ToClient, MessageClass::Reliable, 48 * 1024))
        .message(
            MessageType::new(BUY, "buy", Direction::ToServer, MessageClass::Request, 64)
                .answered_within(40_000),
        )
        .build()
        .unwrap()
}

/// Bytes in which nothing repeats.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    core::iter::repeat_with(next).take(count).collect()
}

/// A sender, and a receiver whose game polls all that comes at once.
struct Way {
    outbox: Outbox,
    inbox: Inbox,
}

impl Way {
    fn new() -> Self {
        Self {
            outbox: Outbox::new(schema(), Direction::ToClient),
            inbox: Inbox::new(schema(), Direction::ToClient),
        }
    }

    fn transmit(&mut self) -> Vec<Message> {
        let mut out = Vec::new();
        self.outbox.poll_transmit(NOW, MESSAGE_BYTES_PER_TRANSMIT_MAX, &mut out);
        for frame in frames(out.into()) {
            self.inbox.handle_message(frame.unwrap().payload).unwrap();
        }
        let mut polled = Vec::new();
        for lane in [Lane::Events, Lane::Requests] {
            polled.extend(core::iter::from_fn(|| self.inbox.poll_lane(lane)));
        }
        polled.extend(core::iter::from_fn(|| self.inbox.poll()));
        let mut ack = Vec::new();
        self.inbox.poll_ack(&mut ack);
        for frame in frames(ack.into()) {
            self.outbox.handle_ack(MessageAck::decode(&frame.unwrap().payload).unwrap()).unwrap();
        }
        polled
    }

    fn send(&mut self, ty: MessageTypeId, key: u32, bytes: usize) {
        self.outbox.send(NOW, ty, key, noise(bytes).into()).unwrap();
    }

    fn tell_of_hits(&mut self, count: usize) {
        for _ in 0..count {
            self.outbox
                .send_event(NOW, MessageId(0), HIT, GameEvent::new("").encode(Tick(1)).into())
                .unwrap();
        }
    }
}

#[test]
fn keys_that_change_all_the_time_have_their_turns() {
    let mut way = Way::new();
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        (0..64).for_each(|key| way.send(PLACE, key, 8));
        seen.extend(way.transmit().iter().map(|message| message.key));
    }
    assert_eq!(seen.len(), 64);
}

#[test]
fn a_flood_in_a_better_lane_leaves_room_for_worse_ones() {
    let mut way = Way::new();
    way.tell_of_hits(100);
    let mut polled = Vec::new();
    for key in 0..40 {
        way.tell_of_hits(24);
        way.send(CHAT, 0, 8);
        way.send(PLACE, key % 4, 8);
        polled.extend(way.transmit());
    }
    let count = |ty| polled.iter().filter(|message| message.ty == ty).count();
    // Each of the two has its turn every other time, and events have what is left: three quarters.
    assert!(count(CHAT) >= 36 && count(PLACE) >= 36, "{} {}", count(CHAT), count(PLACE));
    assert!(count(HIT) >= 24 * 40, "{}", count(HIT));
}

#[test]
fn a_large_message_finds_room_beside_better_ones_and_they_beside_it() {
    let mut way = Way::new();
    let mut polled = Vec::new();
    for number in 0..12 {
        if number % 3 == 0 {
            way.send(MAP, 0, 48 * 1024);
        }
        way.send(PLACE, 0, 2_000);
        polled.push(way.transmit().iter().map(|message| message.ty).collect::<Vec<_>>());
    }
    assert_eq!(polled[..4], [vec![PLACE], vec![MAP], vec![PLACE], vec![PLACE]]);
    assert_eq!(polled.iter().flatten().filter(|ty| **ty == MAP).count(), 4);
}

/// What goes on with a session as it was saved, where the other side has received so much.
fn restored(saved: &[u8], received: Received) -> Outbox {
    let schema = schema();
    let mut outbox = Outbox::restore(&schema, Direction::ToServer, NOW, &mut &saved[..]).unwrap();
    outbox.handle_resumed(received).unwrap();
    outbox
}

#[test]
fn who_goes_on_with_an_old_export_gives_no_request_a_name_that_was_given() {
    let timeout = Micros::from_secs(10);
    let mut outbox = Outbox::new(schema(), Direction::ToServer);
    let mut saved = Vec::new();
    outbox.save(NOW, &mut saved);
    let mut asked = Requests::default();
    let before = asked.ask(NOW, &mut outbox, BUY, b"a", timeout).unwrap();
    let mut outbox = restored(&saved, Received::default().with(Lane::Requests, 1));
    let mut asked = Requests::default();
    let answer = |outbox: &mut Outbox, asked: &mut Requests| {
        let body = Bytes::copy_from_slice(&[before.0 as u8, 0]);
        let message = Message { ty: tickwire_protocol::message::engine::RESPONSE, key: 0, body };
        asked.handle(NOW, &schema(), outbox, message, |_, _| None)
    };
    answer(&mut outbox, &mut asked).unwrap();
    let now = asked.ask(NOW, &mut outbox, BUY, b"b", timeout).unwrap();
    assert_ne!(before, now);
    answer(&mut outbox, &mut asked).unwrap();
    assert_eq!(asked.poll_response(NOW, &mut outbox), None, "it is nobody's answer any more");
}

#[test]
fn requests_beyond_those_that_may_be_open_count_as_asked() {
    let mut outbox = Outbox::new(schema(), Direction::ToClient);
    let (mut requests, mut counted) = (Requests::default(), 0);
    for id in 0..=REQUESTS_OPEN_MAX as u8 {
        let message = Message { ty: BUY, key: 0, body: Bytes::copy_from_slice(&[id]) };
        let count = |_, _| {
            counted += 1;
            None
        };
        requests.handle(NOW, &schema(), &mut outbox, message, count).unwrap();
    }
    assert_eq!(counted, REQUESTS_OPEN_MAX + 1);
    assert_eq!(outbox.messages(), 1, "the last is answered");
}

#[test]
fn no_more_goes_than_there_is_room_for_and_what_begins_in_it_goes_whole() {
    let mut outbox = Outbox::new(schema(), Direction::ToClient);
    for _ in 0..10 {
        outbox.send(NOW, CHAT, 0, vec![0; 30].into()).unwrap();
    }
    outbox.send(NOW, MAP, 0, noise(40_000).into()).unwrap();
    let mut flights = Vec::new();
    let mut acked = 0;
    while outbox.messages() > 0 {
        let mut out = Vec::new();
        assert!(!outbox.has_transmit() || acked == 0);
        outbox.set_room(100);
        assert!(outbox.has_transmit() && !outbox.is_held());
        outbox.poll_transmit(NOW, MESSAGE_BYTES_PER_TRANSMIT_MAX, &mut out);
        flights.push(frames(out.into()).count());
        assert_eq!(outbox.is_held(), acked + flights.last().unwrap() < 11);
        assert!(!outbox.has_transmit());
        acked += flights.last().unwrap();
        outbox.handle_ack(MessageAck::default().with(Lane::Messages, acked as u64)).unwrap();
    }
    assert_eq!(flights, [3, 3, 3, 2]);
}

#[test]
fn newest_messages_after_an_old_export_hold_nothing_up() {
    let mut outbox = Outbox::new(schema(), Direction::ToServer);
    let mut saved = Vec::new();
    outbox.save(NOW, &mut saved);
    for sent in [20_000_u64, 40_000, 1 << 40] {
        let mut outbox = restored(&saved, Received::default().with(Lane::Latest, sent));
        outbox.send(NOW, PLACE, 0, MessageBody::default()).unwrap();
        outbox.poll_transmit(NOW, 1_000, &mut Vec::new());
        assert!(!outbox.has_transmit(), "it was written");
        outbox.handle_ack(MessageAck::default().with(Lane::Latest, sent)).unwrap();
        assert_eq!(outbox.messages(), 1);
        outbox.handle_ack(MessageAck::default().with(Lane::Latest, sent + 1)).unwrap();
        assert_eq!(outbox.messages(), 0);
    }
    // Of what no session ever has nothing is believed.
    for received in [1 << 62, u64::MAX] {
        let mut outbox = Outbox::restore(&schema(), Direction::ToServer, NOW, &mut &saved[..]).unwrap();
        let claim = Lane::SENDING_ORDER.map(|lane| Received::default().with(lane, received));
        assert!(claim.into_iter().all(|claim| outbox.handle_resumed(claim).is_err()));
    }
}

#[test]
fn what_is_restored_from_an_old_export_can_be_exported_again() {
    let mut outbox = Outbox::new(schema(), Direction::ToServer);
    outbox.send(NOW, PLACE, 0, MessageBody::default()).unwrap();
    outbox.poll_transmit(NOW, 1_000, &mut Vec::new());
    let mut saved = Vec::new();
    outbox.save(NOW, &mut saved);
    // Two more were written before that program ended, and the other side has all three, of which it has polled none.
    let mut outbox = restored(&saved, Received::default().with(Lane::Latest, 3));
    let mut saved = Vec::new();
    outbox.save(NOW, &mut saved);
    let mut outbox = restored(&saved, Received::default().with(Lane::Latest, 3));
    assert_eq!(outbox.messages(), 1);
    outbox.handle_ack(MessageAck::default().with(Lane::Latest, 3)).unwrap();
    assert_eq!(outbox.messages(), 0);
}

#[test]
fn answers_wait_for_room_and_none_is_refused() {
    let (mut way, mut asked) = (Way::new(), Requests::default());
    for id in 0..4 {
        let message = Message { ty: BUY, key: 0, body: Bytes::copy_from_slice(&[id]) };
        asked.handle(NOW, &schema(), &mut way.outbox, message, |_, _| None).unwrap();
    }
    let mut seen = Vec::new();
    while let Some(request) = asked.poll_request() {
        let mut respond =
            || asked.respond(NOW, &schema(), &mut way.outbox, request.id, Ok(vec![7; 40_000].into()));
        assert_eq!((respond(), respond()), (Ok(()), Err(SendError::NotAsked)));
        seen.push(request.id.0 as u8);
    }
    let mut answered = Vec::new();
    while asked.can_flush(&way.outbox) || way.outbox.has_transmit() {
        asked.flush(NOW, &mut way.outbox);
        answered.extend(way.transmit().iter().map(|message| message.body[0]));
    }
    assert_eq!((answered, seen), (vec![0, 1, 2, 3], vec![0, 1, 2, 3]));
    assert!(!asked.holds_answers());
}

#[test]
fn events_that_were_taken_ahead_of_others_are_not_told_again_after_an_export() {
    let mut way = Way::new();
    let mut written = Vec::new();
    for body in ["a", "b", "c", "d"] {
        way.outbox.send_event(NOW, MessageId(0), HIT, GameEvent::new(body).encode(Tick(1)).into()).unwrap();
    }
    way.outbox.poll_transmit(NOW, 1_000, &mut written);
    let payloads = frames(written.into()).map(|frame| frame.unwrap().payload).collect::<Vec<_>>();
    payloads[..3].iter().for_each(|payload| way.inbox.handle_message(payload.clone()).unwrap());
    assert!(way.inbox.take_event(1).is_some());
    let mut saved = Vec::new();
    // Twice: what goes on may be saved before anything has come.
    for _ in 0..2 {
        saved.clear();
        way.inbox.save(&mut saved);
        way.inbox = Inbox::restore(&schema(), Direction::ToClient, &mut &saved[..]).unwrap();
    }
    payloads[..2].iter().for_each(|payload| way.inbox.handle_message(payload.clone()).unwrap());
    way.inbox.take_event(0).unwrap();
    assert_eq!(way.inbox.received().of(Lane::Events), 2);
    payloads[2..].iter().for_each(|payload| way.inbox.handle_message(payload.clone()).unwrap());
    let told = core::iter::from_fn(|| way.inbox.poll_lane(Lane::Events))
        .map(|event| GameEvent::decode(event.body).unwrap().1.body);
    assert_eq!(told.collect::<Vec<_>>(), ["c", "d"]);
    let mut ack = Vec::new();
    way.inbox.poll_ack(&mut ack);
    let ack = frames(ack.into()).next().unwrap().unwrap();
    way.outbox.handle_ack(MessageAck::decode(&ack.payload).unwrap()).unwrap();
    assert_eq!(way.outbox.messages(), 0);
}

#[test]
fn of_more_keys_than_there_may_be_the_oldest_goes() {
    let mut way = Way::new();
    for number in 0..=LATEST_KEYS_MAX as u16 {
        let (key, mut written) = (u32::from(number), Vec::new());
        MessageFrame { ty: PLACE, number, key, body: MessageBody::default() }
            .encode(MessageClass::Latest, &mut written);
        let frame = frames(written.into()).next().unwrap().unwrap();
        way.inbox.handle_message(frame.payload).unwrap();
    }
    let keys = core::iter::from_fn(|| way.inbox.poll()).map(|message| message.key).collect::<Vec<_>>();
    assert_eq!((keys.len(), keys[0], way.inbox.dropped()), (LATEST_KEYS_MAX, 1, 1));
}

#[test]
fn who_never_asks_what_became_of_its_messages_is_told_so() {
    let mut outbox = Outbox::new(schema(), Direction::ToServer);
    let sent =
        (0..100_000).take_while(|_| outbox.send(NOW, PLACE, 0, MessageBody::default()).is_ok()).count();
    assert_eq!(sent, OUTCOMES_WAITING_MAX + 1);
    let refused = outbox.send(NOW, CHAT, 0, MessageBody::default());
    assert_eq!(refused, Err(SendError::NotPolled { outcomes: OUTCOMES_WAITING_MAX }));
    assert_eq!(core::iter::from_fn(|| outbox.poll_outcome(NOW)).count(), OUTCOMES_WAITING_MAX);
    assert!(outbox.send(NOW, CHAT, 0, MessageBody::default()).is_ok());
}

#[test]
fn a_late_answer_is_not_taken_for_that_to_a_question_of_the_next_session() {
    let (mut way, mut asked) = (Way::new(), Requests::default());
    let mut ask = |asked: &mut Requests| {
        let message = Message { ty: BUY, key: 0, body: Bytes::from_static(&[0]) };
        asked.handle(NOW, &schema(), &mut way.outbox, message, |_, _| None).unwrap();
        asked.poll_request().unwrap().id
    };
    let before = ask(&mut asked);
    asked.handle_fresh(&Outbox::new(schema(), Direction::ToServer));
    let now = ask(&mut asked);
    let mut respond = |id| asked.respond(NOW, &schema(), &mut way.outbox, id, Ok(Bytes::new()));
    assert_eq!((respond(before), respond(now)), (Err(SendError::NotAsked), Ok(())));
    assert_eq!(way.transmit()[0].body[..], [0, 0], "under the name that the other side knows");
}
