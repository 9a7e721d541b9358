//! Who goes on with an export that is older than the last words of the program which made it: what that has said and heard since is neither
//! doubled nor taken for something else.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::frames;
use tickwire_protocol::limits::MESSAGE_BYTES_PER_TRANSMIT_MAX;
use tickwire_protocol::message::{
    Direction, GameEvent, Inbox, Lane, MessageAck, MessageClass, MessageId, MessageType, MessageTypeId,
    Missed, Outbox, Outcome,
};
use tickwire_protocol::{Micros, Schema, Tick};

const CHAT: MessageTypeId = MessageTypeId(0);
const GOAL: MessageTypeId = MessageTypeId(1);
const NOW: Micros = Micros(1);

fn schema() -> Arc<Schema> {
    Schema::builder("exports")
        .message(MessageType::new(CHAT, "chat", Direction::BothWays, MessageClass::Reliable, 64))
        .message(MessageType::new(GOAL, "goal", Direction::ToClient, MessageClass::Event, 64))
        .build()
        .unwrap()
}

fn chat(outbox: &mut Outbox, text: &'static str) {
    outbox.send(NOW, CHAT, 0, Bytes::from_static(text.as_bytes()).into()).unwrap();
}

/// All that an outbox writes now, taken in at the other side.
fn transmit(outbox: &mut Outbox, inbox: &mut Inbox) {
    while outbox.has_transmit() {
        let mut written = Vec::new();
        outbox.poll_transmit(NOW, MESSAGE_BYTES_PER_TRANSMIT_MAX, &mut written);
        for frame in frames(written.into()) {
            inbox.handle_message(frame.unwrap().payload).unwrap();
        }
    }
}

fn poll(inbox: &mut Inbox) -> Vec<Bytes> {
    core::iter::from_fn(|| inbox.poll()).map(|message| message.body).collect()
}

fn save(outbox: &mut Outbox) -> Vec<u8> {
    let mut saved = Vec::new();
    outbox.save(NOW, &mut saved);
    saved
}

fn restore(saved: &[u8]) -> Outbox {
    Outbox::restore(&schema(), Direction::ToServer, NOW, &mut &saved[..]).unwrap()
}

#[test]
fn what_is_said_before_the_other_side_is_heard_is_not_taken_for_what_was_written_before() {
    for exports in 0..2 {
        let mut outbox = Outbox::new(schema(), Direction::ToServer);
        let mut inbox = Inbox::new(schema(), Direction::ToServer);
        chat(&mut outbox, "before");
        let saved = save(&mut outbox);
        chat(&mut outbox, "behind");
        transmit(&mut outbox, &mut inbox);
        assert_eq!(poll(&mut inbox), ["before", "behind"]);
        let mut outbox = restore(&saved);
        chat(&mut outbox, "anew");
        for _ in 0..exports {
            outbox = restore(&save(&mut outbox));
        }
        outbox.handle_resumed(inbox.received()).unwrap();
        outbox.handle_ack(MessageAck::default().with(Lane::Messages, 2)).unwrap();
        transmit(&mut outbox, &mut inbox);
        assert_eq!(poll(&mut inbox), ["anew"], "{exports}");
    }
}

/// An inbox that is given more than it takes holds its sender for hostile.
#[test]
fn what_was_written_since_fills_the_window_until_it_was_polled() {
    for exports in 0..2 {
        let mut outbox = Outbox::new(schema(), Direction::ToServer);
        let mut inbox = Inbox::new(schema(), Direction::ToServer);
        let saved = save(&mut outbox);
        (0..300).for_each(|_| chat(&mut outbox, "behind"));
        transmit(&mut outbox, &mut inbox);
        let mut outbox = restore(&saved);
        for _ in 0..exports {
            outbox.handle_resumed(inbox.received()).unwrap();
            outbox = restore(&save(&mut outbox));
        }
        outbox.handle_resumed(inbox.received()).unwrap();
        chat(&mut outbox, "anew");
        transmit(&mut outbox, &mut inbox);
        assert_eq!(poll(&mut inbox), vec!["behind"; 256]);
        outbox.handle_ack(MessageAck::default().with(Lane::Messages, 256)).unwrap();
        transmit(&mut outbox, &mut inbox);
        assert_eq!(poll(&mut inbox), ["anew"], "{exports}");
    }
}

/// Whoever said it is told that it is lost, and that may be wrong: nobody hears it twice.
#[test]
fn what_may_have_been_written_since_does_not_go_to_another_session() {
    let mut outbox = Outbox::new(schema(), Direction::ToServer);
    chat(&mut outbox, "before");
    let mut outbox = restore(&save(&mut outbox));
    chat(&mut outbox, "anew");
    outbox.handle_fresh();
    assert_eq!(outbox.poll_outcome(NOW), Some((MessageId(0), Outcome::Lost)));
    let mut inbox = Inbox::new(schema(), Direction::ToServer);
    transmit(&mut outbox, &mut inbox);
    assert_eq!(poll(&mut inbox), ["anew"]);
}

#[test]
fn events_that_were_told_ahead_of_others_are_not_missing() {
    let mut outbox = Outbox::new(schema(), Direction::ToClient);
    let mut inbox = Inbox::new(schema(), Direction::ToClient);
    for number in 0..4 {
        let event = GameEvent::new(vec![number]).encode(Tick(1));
        outbox.send_event(NOW, MessageId(u64::from(number)), GOAL, event.into()).unwrap();
    }
    transmit(&mut outbox, &mut inbox);
    inbox.take_event(1).unwrap();
    let mut saved = Vec::new();
    inbox.save(&mut saved);
    // The program goes on: it tells the first as well, and the sender hears that two were.
    inbox.take_event(0).unwrap();
    outbox.handle_ack(MessageAck::default().with(Lane::Events, 2)).unwrap();
    let mut inbox = Inbox::restore(&schema(), Direction::ToClient, &mut &saved[..]).unwrap();
    let forgotten = outbox.handle_resumed(inbox.received()).unwrap();
    assert_eq!(forgotten, Missed::default().with(Lane::Events, 2));
    assert_eq!(inbox.handle_resumed(forgotten), Ok(Missed::default().with(Lane::Events, 1)));
    transmit(&mut outbox, &mut inbox);
    let told = core::iter::from_fn(|| inbox.poll_lane(Lane::Events));
    let numbers = told.map(|event| GameEvent::decode(event.body).unwrap().1.body[0]);
    assert_eq!(numbers.collect::<Vec<_>>(), [2, 3]);
}
