//! A game that stops asking, on either side: its senders are held back, nothing piles up, nothing is lost, and nobody else notices.

use std::sync::Arc;

use tickwire_client::Event;
use tickwire_protocol::limits::{MESSAGE_BYTES_QUEUED_MAX, MESSAGES_QUEUED_MAX};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId, SendError};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

use super::{HZ, House, Play, schema};

const UP: MessageTypeId = MessageTypeId(0);
const DOWN: MessageTypeId = MessageTypeId(1);

fn spoken() -> Arc<Schema> {
    schema([
        MessageType::new(UP, "up", Direction::ToServer, MessageClass::Reliable, 3_000),
        MessageType::new(DOWN, "down", Direction::ToClient, MessageClass::Reliable, 16),
    ])
}

/// From a minute on it asks for messages.
fn deaf_at_first(play: &mut Play, ctx: &mut StepContext<'_>) {
    while ctx.tick().0 > 60 * HZ
        && let Some((_, message)) = ctx.poll_message()
    {
        let number = u32::from_le_bytes(message.body[..4].try_into().unwrap());
        play.note(number.to_string());
    }
}

#[test]
fn a_deaf_server_holds_its_clients_back_in_count_and_bytes() {
    for (bytes, most) in [(8, MESSAGES_QUEUED_MAX), (3_000, MESSAGE_BYTES_QUEUED_MAX / 3_000)] {
        let mut house = House::new(spoken(), deaf_at_first, 1);
        let mut taken = 0_u32;
        for _ in 0..40 * HZ {
            house.run(1);
            let now = house.now();
            let mut body = vec![0; bytes];
            body[..4].copy_from_slice(&taken.to_le_bytes());
            match house.seats[0].client.send(now, UP, 0, body) {
                Ok(_) => taken += 1,
                Err(SendError::Full { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(taken as usize, most, "of {bytes} bytes");
        house.run(60 * HZ);
        assert_eq!(house.notes(), (0..taken).map(|number| number.to_string()).collect::<Vec<_>>());
        let now = house.now();
        assert!(house.seats[0].client.send(now, UP, 0, vec![0; 4]).is_ok());
    }
}

/// Somebody comes and another goes at each tenth of a second, and each player is told a number that goes up with each that is taken.
fn restless(play: &mut Play, ctx: &mut StepContext<'_>) {
    if ctx.tick().0.is_multiple_of(6) {
        let id = ctx.spawn(super::ACTOR);
        play.actors.insert(0, id);
        play.actors.truncate(2);
    }
    for (place, (player, _)) in ctx.players().enumerate() {
        let number = play.told[place].to_le_bytes();
        match ctx.send(Audience::Player(player), DOWN, 0, Bytes::copy_from_slice(&number)) {
            Ok(_) => play.told[place] += 1,
            Err(SendError::Full { messages, .. }) => play.note(format!("{place} {messages}")),
            Err(error) => panic!("{error}"),
        }
    }
}

fn numbers(events: &[Event]) -> Vec<u32> {
    let number = |event: &Event| match event {
        Event::Message(message) => Some(u32::from_le_bytes(message.body[..].try_into().unwrap())),
        _ => None,
    };
    events.iter().filter_map(number).collect()
}

#[test]
fn a_client_in_the_background_has_the_newest_state_and_all_messages_when_it_is_back() {
    let mut house = House::new(spoken(), restless, 2);
    house.run(HZ);
    house.seats[0].is_asleep = true;
    let heard = numbers(&house.seats[0].events).len();
    house.seats[0].events.clear();
    house.run(60 * HZ);
    let refused = house.notes();
    assert!(!refused.is_empty() && refused.iter().all(|note| note == &format!("0 {MESSAGES_QUEUED_MAX}")));
    assert!(house.seats[0].events.is_empty());
    house.seats[0].is_asleep = false;
    house.run(1);
    let comings = house.seats[0]
        .events
        .iter()
        .filter(|event| matches!(event, Event::Entered { .. } | Event::Left { .. }));
    assert!(comings.count() <= 8, "600 have come and gone: the view is collapsed to the newest");
    house.run(HZ);
    // It has heard all that was taken, once and in order; the other has missed nothing.
    let told = numbers(&house.seats[0].events);
    assert!(told.len() > MESSAGES_QUEUED_MAX, "{}", told.len());
    assert_eq!(told, (heard as u32..).take(told.len()).collect::<Vec<_>>());
    assert!(numbers(&house.seats[1].events).len() > 60 * HZ as usize);
}
