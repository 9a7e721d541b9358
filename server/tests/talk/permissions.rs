//! Permissions of message types: what the welcome allows a client may send, and nothing else gets to the game.

use std::sync::Arc;

use tickwire_client::{Event, REQUEST_TIMEOUT};
use tickwire_protocol::handshake::{Permission, Token};
use tickwire_protocol::message::engine::{NOTICE, RESPONSE};
use tickwire_protocol::message::{
    Denial, Direction, MessageClass, MessageFrame, MessageType, MessageTypeId, Notice, Outcome, SendError,
};
use tickwire_server::core::{Identity, RoomEvent};
use tickwire_sim::prelude::*;

use super::{House, Play, schema};

const CHAT: MessageTypeId = MessageTypeId(0);
const MUTE: MessageTypeId = MessageTypeId(1);
const KICK: MessageTypeId = MessageTypeId(2);

fn with_permissions() -> Arc<Schema> {
    let ty = |id, name, class| MessageType::new(id, name, Direction::ToServer, class, 16);
    schema([
        ty(CHAT, "chat", MessageClass::Reliable),
        ty(MUTE, "mute", MessageClass::Reliable).permitted_by("moderate"),
        ty(KICK, "kick", MessageClass::Request).permitted_by("moderate"),
    ])
}

fn hear(play: &mut Play, ctx: &mut StepContext<'_>) {
    while let Some((_, message)) = ctx.poll_message() {
        play.note(format!("{} {}", message.ty, message.body[0]));
    }
    while let Some((from, request)) = ctx.poll_request() {
        play.note("kick");
        ctx.respond(from, request.id, Ok(Bytes::new())).unwrap();
    }
}

fn account(permissions: &[&str]) -> Identity {
    let permissions = permissions.iter().map(|name| Permission((*name).to_owned())).collect();
    Identity::account("alice".into(), None, permissions, Vec::new()).unwrap()
}

fn house(identity: Identity) -> House {
    let mut house = House::new(with_permissions(), hear, 0);
    house.identity = identity;
    house.enter();
    house.run(30);
    house
}

fn denied(name: &str) -> SendError {
    SendError::Denied { name: name.into(), denial: Denial::Forbidden }
}

#[test]
fn a_client_refuses_at_once_what_its_account_may_not() {
    for identity in [Identity::default(), account(&["play", "moderate@elsewhere"])] {
        let mut house = house(identity);
        let now = house.now();
        let client = &mut house.seats[0].client;
        assert_eq!(client.send(now, MUTE, 0, vec![1]), Err(denied("mute")));
        assert_eq!(client.request(now, KICK, &[], REQUEST_TIMEOUT), Err(denied("kick")));
        assert_eq!((client.remaining(now, MUTE), Denial::Forbidden.retry_after()), (Some(0), None));
        assert!(client.send(now, CHAT, 0, vec![2]).is_ok());
        house.run(10);
        assert_eq!(house.notes(), ["0 2"]);
    }
}

#[test]
fn who_may_everywhere_or_in_this_room_is_heard() {
    for permission in ["moderate", "moderate@house"] {
        let mut house = house(account(&["play", permission]));
        let now = house.now();
        let client = &mut house.seats[0].client;
        client.send(now, MUTE, 0, vec![1]).unwrap();
        client.request(now, KICK, &[], REQUEST_TIMEOUT).unwrap();
        house.run(10);
        let mut notes = house.notes();
        notes.sort_unstable();
        assert_eq!(notes, ["1 1", "kick"]);
    }
}

#[test]
fn a_modified_client_is_told_and_its_game_hears_nothing() {
    let mut house = house(Identity::default());
    house.seats[0].is_modified = true;
    let mut batch = Vec::new();
    let mut say = |ty, number, class| {
        MessageFrame { ty, number, key: 0, body: vec![5].into() }.encode(class, &mut batch);
    };
    say(MUTE, 0, MessageClass::Reliable);
    say(CHAT, 1, MessageClass::Reliable);
    say(KICK, 0, MessageClass::Request);
    house.smuggle(0, batch.into());
    house.run(10);
    assert_eq!(house.notes(), ["0 5"]);
    let told = house.said_to(0);
    let notice = told.iter().find(|message| message.ty == NOTICE).unwrap();
    let expected = Notice { ty: MUTE, number: 0, denial: Denial::Forbidden };
    assert_eq!(Notice::decode(notice.body.clone().into_bytes()), Ok(expected));
    let answer = told.iter().find(|message| message.ty == RESPONSE).unwrap();
    assert_eq!(answer.body[..], [5, 4], "not permitted");
    assert_eq!(house.seats[0].fault, None);
}

#[test]
fn a_newer_token_changes_what_is_permitted_also_of_what_is_on_its_way() {
    let mut house = house(account(&["play", "moderate"]));
    house.seats[0].client.renew_token(Token::new("newer").unwrap());
    house.run(5);
    let came = core::iter::from_fn(|| house.room.poll_event()).find_map(|event| match event {
        RoomEvent::TokenCame { peer } => Some(peer),
        _ => None,
    });
    let now = house.now();
    let client = &mut house.seats[0].client;
    let mute = client.send(now, MUTE, 0, vec![1]).unwrap().id;
    let chat = client.send(now, CHAT, 0, vec![2]).unwrap().id;
    house.room.handle_checked(now, came.unwrap(), Ok(account(&["play"])));
    house.run(20);
    assert_eq!(house.notes(), ["0 2"]);
    let sent = house.seats[0].events.iter().filter_map(|event| match event {
        Event::Sent(id, outcome) => Some((*id, *outcome)),
        _ => None,
    });
    let expected = [(mute, Outcome::Refused(Denial::Forbidden)), (chat, Outcome::Delivered)];
    assert_eq!(sent.collect::<Vec<_>>(), expected);
    let now = house.now();
    assert_eq!(house.seats[0].client.send(now, MUTE, 0, vec![1]), Err(denied("mute")));
}
