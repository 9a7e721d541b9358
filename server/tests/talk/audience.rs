//! Who hears what the game says, of messages and of events alike.

use std::sync::Arc;

use tickwire_client::Event;
use tickwire_protocol::GroupId;
use tickwire_protocol::handshake::Permission;
use tickwire_protocol::message::{Direction, GameEvent, MessageClass, MessageType, MessageTypeId};
use tickwire_server::core::Identity;
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

use super::{House, Play, schema};

const SAY: MessageTypeId = MessageTypeId(0);
const TELL: MessageTypeId = MessageTypeId(1);
const LARGE: MessageTypeId = MessageTypeId(2);
const LARGE_BYTES: usize = 30_000;

fn spoken() -> Arc<Schema> {
    let ty = |id, name, class, bytes| MessageType::new(id, name, Direction::ToClient, class, bytes);
    schema([
        ty(SAY, "say", MessageClass::Reliable, 16),
        ty(TELL, "tell", MessageClass::Event, 16),
        ty(LARGE, "large", MessageClass::Reliable, LARGE_BYTES as u32),
    ])
}

fn say(ctx: &mut StepContext<'_>, to: Audience<'_>, word: &'static str) {
    ctx.send(to, SAY, 0, word.into()).unwrap();
    ctx.emit_event(to, TELL, &GameEvent::new(word)).unwrap();
}

fn arrive(play: &mut Play, ctx: &mut StepContext<'_>) {
    for &player in ctx.joined() {
        let actor = ctx.spawn(super::ACTOR);
        play.owned.push((actor, player));
    }
}

fn speak(play: &mut Play, ctx: &mut StepContext<'_>) {
    arrive(play, ctx);
    if ctx.tick().0 != 30 {
        return;
    }
    let &[first, second, ..] = &ctx.players().map(|(player, _)| player).collect::<Vec<_>>()[..] else {
        panic!()
    };
    let at = |x, radius| Audience::Near { position: Vec3::new(x, 0.0, 0.0), radius };
    say(ctx, Audience::Room, "room");
    say(ctx, Audience::Except(first), "except");
    say(ctx, Audience::Player(second), "player");
    say(ctx, Audience::Account("alice"), "account");
    let others: Vec<_> = ctx.players().map(|(player, _)| player).skip(1).collect();
    let groups = ctx.groups().unwrap();
    for player in others {
        groups.join(GroupId(5), player).unwrap();
    }
    say(ctx, Audience::Group(GroupId(5)), "group");
    say(ctx, Audience::Group(GroupId(6)), "nobody");
    say(ctx, at(1.0, 1.0), "near");
    say(ctx, at(1.0, 0.5), "nearer");
    say(ctx, at(1.0, -1.0), "nowhere");
    say(ctx, at(f32::NAN, f32::INFINITY), "nan");
}

/// What a client was told, by messages and by events.
fn heard(events: &[Event]) -> [Vec<String>; 2] {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let message = |event: &Event| match event {
        Event::Message(message) => Some(text(&message.body)),
        _ => None,
    };
    let event = |event: &Event| match event {
        Event::Game(told) => Some(text(&told.event.body)),
        _ => None,
    };
    [events.iter().filter_map(message).collect(), events.iter().filter_map(event).collect()]
}

#[test]
fn each_audience_hears_what_is_for_it() {
    let mut house = House::new(spoken(), speak, 0);
    let alice = Identity::account("alice".into(), None, vec![Permission("play".into())], vec![]);
    for identity in [Identity::default(), Identity::default(), alice.unwrap()] {
        house.identity = identity;
        house.enter();
        house.run(8);
    }
    house.run(30);
    let expected: [&[&str]; 3] = [
        &["room", "near"],
        &["room", "except", "player", "group", "near", "nearer"],
        &["room", "except", "account", "group", "near"],
    ];
    for (seat, expected) in house.seats.iter().zip(expected) {
        assert_eq!(heard(&seat.events), [expected, expected]);
    }
}

#[test]
fn where_the_owner_says_that_a_peer_looks_from_counts() {
    let mut house = House::new(spoken(), speak, 2);
    house.run(10);
    let peer = house.seats[0].peer.unwrap();
    house.room.set_focus(peer, Some(Vec3::new(50.0, 0.0, 0.0)));
    house.run(30);
    assert_eq!(heard(&house.seats[0].events)[0], ["room"]);
}

fn speak_at_length(play: &mut Play, ctx: &mut StepContext<'_>) {
    arrive(play, ctx);
    if ctx.tick().0 == 60 {
        ctx.send(Audience::Room, LARGE, 0, vec![7; LARGE_BYTES].into()).unwrap();
    }
}

#[test]
fn a_body_is_held_once_for_all() {
    const SEATS: usize = 32;
    let mut house = House::new(spoken(), speak_at_length, SEATS);
    house.run(58);
    let counted = allocation_counter::measure(|| {
        while house.room.tick().0 < 60 {
            let now = house.room.poll_timeout();
            house.room.advance(now);
        }
    });
    let held = counted.bytes_current as usize;
    assert!((LARGE_BYTES..2 * LARGE_BYTES).contains(&held), "{held} bytes for {SEATS} players");
    house.run(60);
    let is_large =
        |event: &Event| matches!(event, Event::Message(message) if message.body.len() == LARGE_BYTES);
    assert!(house.seats.iter().all(|seat| seat.events.iter().any(is_large)));
}
