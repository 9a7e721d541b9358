//! What the game of one room says to those in others.

use std::sync::Arc;

use tickwire_client::Event;
use tickwire_protocol::handshake::Permission;
use tickwire_protocol::limits::MESSAGES_QUEUED_MAX;
use tickwire_protocol::message::{Direction, GameEvent, MessageClass, MessageType, MessageTypeId, SendError};
use tickwire_server::core::{Broadcast, BroadcastError, Identity, Reach};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

use super::{House, Play, schema};

const SAY: MessageTypeId = MessageTypeId(0);
const TELL: MessageTypeId = MessageTypeId(1);
const LARGE: MessageTypeId = MessageTypeId(2);
const SCORE: MessageTypeId = MessageTypeId(3);
const ASK: MessageTypeId = MessageTypeId(4);
const LARGE_BYTES: usize = 30_000;
/// Messages that wait to be passed on.
const WAITING_MAX: usize = 64;

fn spoken() -> Arc<Schema> {
    let ty = |id, name, class, bytes| MessageType::new(id, name, Direction::ToClient, class, bytes);
    schema([
        ty(SAY, "say", MessageClass::Reliable, 16),
        ty(TELL, "tell", MessageClass::Event, 16),
        ty(LARGE, "large", MessageClass::Reliable, LARGE_BYTES as u32),
        ty(SCORE, "score", MessageClass::Latest, 16),
        MessageType::new(ASK, "ask", Direction::ToServer, MessageClass::Reliable, 16),
    ])
}

fn alice() -> Identity {
    Identity::account("alice".into(), None, vec![Permission("play".into())], vec![]).unwrap()
}

/// Somebody, and alice.
fn house(script: super::Script) -> House {
    let mut house = House::new(spoken(), script, 1);
    house.run(8);
    house.identity = alice();
    house.enter();
    house.run(8);
    house
}

fn heard(house: &House) -> Vec<Vec<String>> {
    let message = |event: &Event| match event {
        Event::Message(message) => Some(String::from_utf8(message.body.to_vec()).unwrap()),
        _ => None,
    };
    house.seats.iter().map(|seat| seat.events.iter().filter_map(message).collect()).collect()
}

/// Passes on what a house has said; how many have it.
fn pass_on(from: &mut House, to: &mut House) -> Reach {
    let mut reach = Reach::default();
    while let Some(broadcast) = from.room.poll_broadcast() {
        reach += to.room.deliver(to.now(), &broadcast);
    }
    reach
}

fn note_outcomes(play: &mut Play, ctx: &mut StepContext<'_>) {
    while let Some((player, id, outcome)) = ctx.poll_outcome() {
        play.note(format!("{player} {} {outcome:?}", id.0));
    }
}

fn speak(play: &mut Play, ctx: &mut StepContext<'_>) {
    note_outcomes(play, ctx);
    if ctx.tick().0 == 30 {
        ctx.send(Audience::All, SAY, 0, "all".into()).unwrap();
        ctx.send(Audience::Room, SAY, 0, "room".into()).unwrap();
        ctx.send(Audience::Account("alice"), SAY, 0, "alice".into()).unwrap();
        ctx.send(Audience::Account("bob"), SAY, 0, "bob".into()).unwrap();
        ctx.send(Audience::All, SCORE, 7, "3:1".into()).unwrap();
        ctx.send(Audience::All, SAY, 0, "last".into()).unwrap();
        ctx.emit_event(Audience::Account("alice"), TELL, &GameEvent::new("of this room")).unwrap();
    }
}

#[test]
fn all_rooms_hear_what_is_for_all_and_an_account_hears_wherever_it_is() {
    let [mut here, mut there] = [house(speak), house(note_outcomes)];
    here.run(20);
    assert_eq!(pass_on(&mut here, &mut there), Reach { sessions: 7, missed: 0 });
    here.run(30);
    there.run(30);
    let [all, room, own, last, score] = ["all", "room", "alice", "last", "3:1"];
    assert_eq!(heard(&here), [vec![all, room, last, score], vec![all, room, own, last, score]]);
    assert_eq!(heard(&there), [vec![all, last, score], vec![all, own, last, score]]);
    let of_events = |house: &House| {
        let seats = house.seats.iter();
        seats.flat_map(|seat| &seat.events).filter(|event| matches!(event, Event::Game(_))).count()
    };
    assert_eq!((of_events(&here), of_events(&there)), (1, 0), "an event is of its room");
    let notes = here.notes();
    assert_eq!(notes.len(), 10, "of those here, each message and event once: {notes:?}");
    assert!(notes.iter().all(|note| note.ends_with("Delivered")));
    assert_eq!(there.notes(), [""; 0], "the game there has said nothing, and hears of nothing");
}

fn speak_in_vain(play: &mut Play, ctx: &mut StepContext<'_>) {
    if ctx.tick().0 != 30 {
        return;
    }
    let note = |result: Result<_, SendError>| play.note(result.unwrap_err().to_string());
    note(ctx.send(Audience::All, MessageTypeId(9), 0, "x".into()));
    note(ctx.send(Audience::All, ASK, 0, "x".into()));
    note(ctx.send(Audience::Account("nobody"), SAY, 0, vec![0; 17].into()));
    note(ctx.send(Audience::All, TELL, 0, "x".into()));
    note(ctx.emit_event(Audience::All, TELL, &GameEvent::new("x")));
}

#[test]
fn what_may_not_be_said_is_refused_where_it_is_said() {
    let mut house = house(speak_in_vain);
    house.run(20);
    let words = [
        "the schema has no message type 9",
        "message `ask` does not go this way: declare it BothWays, or send it from the other side",
        "message `say` has 17 bytes, its type allows 16",
        "message `tell` is sent by `emit_event`",
        "message `tell` is sent by `emit_event, to an audience of its room`",
    ];
    assert_eq!(house.notes(), words);
    assert!(!house.room.has_broadcast());
    let schema = spoken();
    let of_one_room = Broadcast::new(&schema, Audience::Room, SAY, 0, "x".into());
    assert_eq!(of_one_room.unwrap_err(), BroadcastError::OneRoom);
}

fn speak_too_much(play: &mut Play, ctx: &mut StepContext<'_>) {
    let (ty, bytes) = match ctx.tick().0 {
        30 => (SAY, 2),
        60 => (LARGE, LARGE_BYTES),
        _ => return,
    };
    for count in 0.. {
        let body = format!("{count:0bytes$}");
        match ctx.send(Audience::All, ty, 0, body.into()) {
            Ok(_) => {}
            Err(SendError::Full { messages, bytes }) => {
                return play.note(format!("{count} {messages} {bytes}"));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn where_too_much_waits_to_be_passed_on_nobody_gets_more_and_the_game_is_told() {
    let [mut here, mut there] = [house(speak_too_much), house(|_, _| {})];
    here.run(20);
    assert_eq!(here.notes(), ["64 64 128"]);
    here.run(20);
    let said: Vec<_> = (0..WAITING_MAX).map(|count| format!("{count:02}")).collect();
    assert_eq!(heard(&here)[0], said, "nor does anybody here");
    assert_eq!(pass_on(&mut here, &mut there).sessions, 2 * WAITING_MAX);
    there.run(10);
    assert_eq!(heard(&there), [said.clone(), said]);
    here.run(20);
    assert_eq!(here.notes(), [format!("8 8 {}", 8 * LARGE_BYTES)], "there is room again, by bytes as well");
}

#[test]
fn who_takes_no_more_misses_it_and_the_others_do_not() {
    let mut there = house(note_outcomes);
    there.seats[0].is_asleep = true;
    let broadcast = Broadcast::new(&spoken(), Audience::All, SAY, 0, "word".into()).unwrap();
    let mut sent = 0;
    while there.room.deliver(there.now(), &broadcast).missed == 0 {
        sent += 1;
        there.run(1);
    }
    // Of those on their way nobody there has polled one.
    assert_eq!(sent, MESSAGES_QUEUED_MAX);
    there.run(10);
    assert_eq!(heard(&there)[1].len(), sent + 1);
    there.seats[0].is_asleep = false;
    there.run(300);
    assert_eq!(heard(&there)[0].len(), sent);
}

#[test]
fn a_body_is_held_once_for_all_rooms() {
    const SEATS: usize = 32;
    let mut there = House::new(spoken(), |_, _| {}, SEATS);
    there.run(8);
    let body = vec![7; LARGE_BYTES].into();
    let broadcast = Broadcast::new(&spoken(), Audience::All, LARGE, 0, body).unwrap();
    let counted = allocation_counter::measure(|| {
        assert_eq!(there.room.deliver(there.now(), &broadcast).sessions, SEATS);
    });
    let held = counted.bytes_current as usize;
    assert!(held < LARGE_BYTES, "{held} bytes for {SEATS} players");
}
