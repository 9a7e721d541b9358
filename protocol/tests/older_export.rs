//! Who goes on with an export that is older than the last words of the program which made it: what that has said and heard since is neither
//! doubled nor taken for something else.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::frame::frames;
use tickwire_protocol::limits::MESSAGE_BYTES_PER_TRANSMIT_MAX;
use tickwire_protocol::message::{
    Direction, GameEvent, Inbox, Lane, MessageAck, MessageClass, MessageId, MessageType, MessageTypeId,
    Missed, Outbox, Outcome, Requests,
};
use tickwire_protocol::{Micros, Schema, Tick};

const CHAT: MessageTypeId = MessageTypeId(0);
const GOAL: MessageTypeId = MessageTypeId(1);
const SOON: MessageTypeId = MessageTypeId(2);
const BUY: MessageTypeId = MessageTypeId(3);
const NOW: Micros = Micros(1);
const SOON_MILLIS: u32 = 100;

fn schema() -> Arc<Schema> {
    Schema::builder("exports")
        .message(MessageType::new(CHAT, "chat", Direction::BothWays, MessageClass::Reliable, 64))
        .message(MessageType::new(GOAL, "goal", Direction::ToClient, MessageClass::Event, 64))
        .message(
            MessageType::new(SOON, "soon", Direction::ToServer, MessageClass::Reliable, 64)
                .expires_after(SOON_MILLIS),
        )
        .message(MessageType::new(BUY, "buy", Direction::ToServer, MessageClass::Request, 64))
        .build()
        .unwrap()
}

fn chat(outbox: &mut Outbox, text: &'static str) {
    say(outbox, CHAT, text);
}

fn say(outbox: &mut Outbox, ty: MessageTypeId, text: &'static str) {
    outbox.send(NOW, ty, 0, Bytes::from_static(text.as_bytes()).into()).unwrap();
}

/// So long after [`NOW`].
fn after(millis: u64) -> Micros {
    NOW + Micros::from_millis(millis)
}

/// What became of messages, by then.
fn outcomes(outbox: &mut Outbox, now: Micros) -> Vec<(u64, Outcome)> {
    core::iter::from_fn(|| outbox.poll_outcome(now)).map(|(id, outcome)| (id.0, outcome)).collect()
}

/// All that an outbox writes now, taken in at the other side.
fn transmit(outbox: &mut Outbox, inbox: &mut Inbox) {
    transmit_at(NOW, outbox, inbox);
}

fn transmit_at(now: Micros, outbox: &mut Outbox, inbox: &mut Inbox) {
    while outbox.has_transmit() {
        let mut written = Vec::new();
        outbox.poll_transmit(now, MESSAGE_BYTES_PER_TRANSMIT_MAX, &mut written);
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
        let event = GameEvent::new(vec![number]).encode(Tick(1)).into();
        outbox.send_event(NOW, MessageId(u64::from(number)), GOAL, event).unwrap();
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

#[test]
fn what_is_saved_expires_where_it_is_and_in_its_time_where_it_goes_on() {
    let mut outbox = Outbox::new(schema(), Direction::ToServer);
    say(&mut outbox, SOON, "soon");
    // A game that saves all the time.
    let saved = (0..=40).map(|millis| {
        let mut saved = Vec::new();
        outbox.save(after(millis), &mut saved);
        saved
    });
    let saved = saved.last().unwrap();
    assert_eq!(outcomes(&mut outbox, after(99)), []);
    assert_eq!(outcomes(&mut outbox, after(100)), [(0, Outcome::Expired)]);
    // 60 ms were left.
    let restored_at = Micros::from_secs(9);
    let mut outbox = Outbox::restore(&schema(), Direction::ToServer, restored_at, &mut &saved[..]).unwrap();
    let hour = restored_at + Micros::from_secs(3_600);
    assert_eq!(outcomes(&mut outbox, hour), [], "it may have been written since: nobody knows yet");
    outbox.handle_resumed(Inbox::new(schema(), Direction::ToServer).received()).unwrap();
    assert_eq!(outcomes(&mut outbox, restored_at + Micros::from_millis(59)), []);
    assert_eq!(outcomes(&mut outbox, restored_at + Micros::from_millis(60)), [(0, Outcome::Expired)]);
    assert!(!outbox.has_transmit(), "what was saved before is of no use any more: it leaves no gap");
}

/// A message that is saved and expires has a number all the same: who goes on with what was saved counts it, and does not know what became of it.
#[test]
fn what_expires_behind_an_export_leaves_the_others_their_numbers() {
    for expires in [true, false] {
        let mut outbox = Outbox::new(schema(), Direction::ToServer);
        let mut inbox = Inbox::new(schema(), Direction::ToServer);
        say(&mut outbox, SOON, "soon");
        say(&mut outbox, CHAT, "first");
        say(&mut outbox, CHAT, "second");
        let saved = save(&mut outbox);
        // The program that has saved goes on for a while, and the other side gets the first two of what it writes.
        let now = after(if expires { 100 } else { 99 });
        assert_eq!(outcomes(&mut outbox, now).len(), usize::from(expires));
        let mut written = Vec::new();
        outbox.poll_transmit(now, MESSAGE_BYTES_PER_TRANSMIT_MAX, &mut written);
        for frame in frames(written.into()).take(2) {
            inbox.handle_message(frame.unwrap().payload).unwrap();
        }
        assert_eq!(poll(&mut inbox), if expires { vec!["first"] } else { vec!["soon", "first"] });
        // Whether it is saved again changes nothing.
        let mut outbox = restore(&saved);
        outbox.handle_resumed(inbox.received()).unwrap();
        let mut outbox = restore(&save(&mut outbox));
        outbox.handle_resumed(inbox.received()).unwrap();
        transmit_at(now, &mut outbox, &mut inbox);
        assert_eq!(poll(&mut inbox), ["second"], "each once");
        outbox.handle_ack(MessageAck::default().with(Lane::Messages, 3)).unwrap();
        let told = [(0, Outcome::Lost), (1, Outcome::Delivered), (2, Outcome::Delivered)];
        assert_eq!(outcomes(&mut outbox, now), told, "it may have arrived");
    }
}

#[test]
fn a_request_that_expires_behind_an_export_is_never_asked() {
    let (mut outbox, mut requests) = (Outbox::new(schema(), Direction::ToServer), Requests::default());
    let (mut inbox, mut asked) = (Inbox::new(schema(), Direction::ToServer), Requests::default());
    requests.ask(NOW, &mut outbox, BUY, b"hat", Micros::from_millis(50)).unwrap();
    requests.ask(NOW, &mut outbox, BUY, b"coat", Micros::from_millis(500)).unwrap();
    let saved = save(&mut outbox);
    transmit_at(after(50), &mut outbox, &mut inbox);
    let mut answers = Outbox::new(schema(), Direction::ToClient);
    while let Some(message) = inbox.poll_lane(Lane::Requests) {
        asked.handle(NOW, &schema(), &mut answers, message, |_, _| None).unwrap();
    }
    let bodies = core::iter::from_fn(|| asked.poll_request()).map(|request| request.body);
    assert_eq!(bodies.collect::<Vec<_>>(), ["coat"]);
    let mut outbox = restore(&saved);
    outbox.handle_resumed(inbox.received()).unwrap();
    assert!(!outbox.has_transmit(), "both are accounted for");
}
