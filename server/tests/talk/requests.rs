//! Requests of both directions: each is answered once, or ends with why not.

use std::sync::Arc;

use tickwire_client::{Event, REQUEST_TIMEOUT};
use tickwire_protocol::PeerFault;
use tickwire_protocol::limits::REQUESTS_OPEN_MAX;
use tickwire_protocol::message::{
    Direction, MessageClass, MessageType, MessageTypeId, Refusal, RequestError, RequestId, Response,
    SendError,
};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

use super::{HZ, House, Play, schema};

const DOUBLE: MessageTypeId = MessageTypeId(0);
const NEVER: MessageTypeId = MessageTypeId(1);
const UNKNOWN: MessageTypeId = MessageTypeId(2);
const ASK_CLIENT: MessageTypeId = MessageTypeId(3);
const TALK: MessageTypeId = MessageTypeId(4);

fn with_requests() -> Arc<Schema> {
    let to_server = |id, name| MessageType::new(id, name, Direction::ToServer, MessageClass::Request, 8);
    schema([
        to_server(DOUBLE, "double"),
        to_server(NEVER, "never"),
        to_server(UNKNOWN, "unknown"),
        MessageType::new(ASK_CLIENT, "ask", Direction::ToClient, MessageClass::Request, 8).answered_within(2),
        MessageType::new(TALK, "talk", Direction::BothWays, MessageClass::Reliable, 64),
    ])
}

/// Doubles what it is given, refuses zero, leaves some without an answer.
fn answer(play: &mut Play, ctx: &mut StepContext<'_>) {
    while let Some((from, request)) = ctx.poll_request() {
        let value = request.body.first().copied().unwrap_or_default();
        play.note(format!("{} {value}", request.ty));
        let response = match (request.ty, value) {
            (DOUBLE, 0) => Err(Refusal::Game("zero".into())),
            (DOUBLE, value) => Ok(Bytes::from(vec![value.wrapping_mul(2)])),
            (NEVER, _) => continue,
            _ => Err(Refusal::UnknownMethod),
        };
        ctx.respond(from, request.id, response).unwrap();
        assert_eq!(ctx.respond(from, request.id, Ok(Bytes::new())), Err(SendError::NotAsked), "once");
    }
}

fn ask(house: &mut House, ty: MessageTypeId, value: u8) -> RequestId {
    let now = house.now();
    house.seats[0].client.request(now, ty, &[value], REQUEST_TIMEOUT).unwrap()
}

fn responses(house: &House) -> Vec<(RequestId, Response)> {
    let told = |event: &Event| match event {
        Event::Response(id, response) => Some((*id, response.clone())),
        _ => None,
    };
    house.seats[0].events.iter().filter_map(told).collect()
}

#[test]
fn requests_are_answered() {
    let mut house = House::new(with_requests(), answer, 1);
    house.run(20);
    let ids = [ask(&mut house, DOUBLE, 21), ask(&mut house, DOUBLE, 0), ask(&mut house, UNKNOWN, 1)];
    house.run(20);
    let expected = [
        Ok(Bytes::from_static(&[42])),
        Err(RequestError::Refused(Refusal::Game("zero".into()))),
        Err(RequestError::Refused(Refusal::UnknownMethod)),
    ];
    assert_eq!(responses(&house), ids.into_iter().zip(expected).collect::<Vec<_>>());
    assert!(house.seats[0].events.iter().all(|event| !matches!(event, Event::Sent(..))));
}

#[test]
fn what_is_not_answered_ends_in_time_and_makes_room() {
    let mut house = House::new(with_requests(), answer, 1);
    house.run(20);
    for _ in 0..3 {
        let ids = (0..REQUESTS_OPEN_MAX).map(|_| ask(&mut house, NEVER, 1)).collect::<Vec<_>>();
        let now = house.now();
        let one_more = house.seats[0].client.request(now, NEVER, &[1], REQUEST_TIMEOUT);
        assert!(matches!(one_more, Err(SendError::Full { messages: REQUESTS_OPEN_MAX, .. })));
        house.run(9 * HZ);
        assert_eq!(responses(&house), []);
        house.run(2 * HZ);
        let expected = ids.into_iter().map(|id| (id, Err(RequestError::Timeout))).collect::<Vec<_>>();
        assert_eq!(responses(&house), expected);
        house.seats[0].events.clear();
    }
    assert_eq!(house.seats[0].fault, None, "the server keeps no more than it may: they were taken back");
}

#[test]
fn a_request_can_be_taken_back() {
    let mut house = House::new(with_requests(), answer, 1);
    house.run(20);
    let id = ask(&mut house, NEVER, 1);
    house.run(2);
    let now = house.now();
    house.seats[0].client.cancel_request(now, id);
    house.run(2);
    assert_eq!(responses(&house), [(id, Err(RequestError::Cancelled))]);
    house.run(11 * HZ);
    assert_eq!(responses(&house).len(), 1, "nor does it run into its deadline");
}

#[test]
fn each_is_done_and_answered_once_over_lost_connections() {
    let mut house = House::new(with_requests(), answer, 1);
    house.run(60);
    let mut ids = Vec::new();
    for value in 1..40 {
        // Also while there is no connection.
        let now = house.now();
        let id = house.seats[0].client.request(now, DOUBLE, &[value], Micros::from_secs(600)).unwrap();
        ids.push((id, Ok(Bytes::from(vec![value * 2]))));
        house.run(u32::from(value) % 7);
        if value % 5 == 0 {
            house.cut(0);
        }
    }
    house.run(70 * HZ);
    assert_eq!(responses(&house), ids);
    assert_eq!(house.notes().len(), 39, "done once");
}

#[test]
fn a_session_that_ended_answers_nothing() {
    let mut house = House::new(with_requests(), answer, 1);
    house.run(20);
    let long = Micros::from_secs(900);
    let now = house.now();
    let heard = house.seats[0].client.request(now, NEVER, &[1], long).unwrap();
    house.run(10);
    house.cut(0);
    house.end_sessions();
    let now = house.now();
    let queued = house.seats[0].client.request(now, DOUBLE, &[4], long).unwrap();
    house.run(60 * HZ);
    assert_eq!(responses(&house), [(heard, Err(RequestError::Lost)), (queued, Ok(Bytes::from_static(&[8])))]);
}

#[test]
fn a_request_overtakes_a_window_full_of_messages() {
    let mut house = House::new(with_requests(), answer, 1);
    house.run(20);
    let now = house.now();
    // The game does not poll messages.
    while house.seats[0].client.send(now, TALK, 0, vec![1; 64]).is_ok() {}
    house.run(30);
    let id = ask(&mut house, DOUBLE, 1);
    house.run(10);
    assert_eq!(responses(&house), [(id, Ok(Bytes::from_static(&[2])))]);
}

/// Asks each client once, and then once more and takes that back.
fn ask_clients(play: &mut Play, ctx: &mut StepContext<'_>) {
    let tick = ctx.tick().0;
    if tick == HZ || tick == 2 * HZ {
        let players = ctx.players().map(|(player, _)| player).collect::<Vec<_>>();
        for player in players {
            let id = ctx.request(player, ASK_CLIENT, Bytes::from_static(b"?"), Micros::from_secs(5)).unwrap();
            if tick == 2 * HZ {
                ctx.cancel_request(player, id);
            }
        }
        let wrong = ctx.send(Audience::Room, ASK_CLIENT, 0, Bytes::new());
        assert!(matches!(wrong, Err(SendError::OtherCall { call: "request", .. })));
    }
    while let Some((_, id, response)) = ctx.poll_response() {
        play.note(format!("{} {response:?}", id.0));
    }
}

#[test]
fn clients_answer_as_well() {
    let mut house = House::new(with_requests(), ask_clients, 1);
    house.run(HZ + 20);
    let asked = |event: &Event| match event {
        Event::Request(request) => Some(request.clone()),
        _ => None,
    };
    let request = house.seats[0].events.iter().find_map(asked).unwrap();
    assert_eq!((request.ty, &request.body[..]), (ASK_CLIENT, &b"?"[..]));
    let now = house.now();
    let client = &mut house.seats[0].client;
    let too_long = client.respond(now, request.id, Ok(Bytes::from_static(b"yes")));
    assert!(matches!(too_long, Err(SendError::TooLarge { max: 2, .. })));
    client.respond(now, request.id, Ok(Bytes::from_static(b"no"))).unwrap();
    assert_eq!(client.respond(now, request.id, Ok(Bytes::new())), Err(SendError::NotAsked));
    house.run(2 * HZ);
    assert_eq!(house.notes(), ["0 Ok(b\"no\")", "1 Err(Cancelled)"]);
    assert_eq!(
        house.seats[0].events.iter().filter_map(asked).count(),
        1,
        "what was taken back in time is not seen"
    );
}

#[test]
fn who_asks_more_than_may_be_open_or_answers_what_was_not_asked_is_closed() {
    // A request of type 0 with id 7: asked twice.
    let request = |number: u8| vec![6, 10, 0, number, 0, 7, 1, 1];
    // An answer to a request that never was.
    let answer = vec![7, 10, 0x82, 16, 0, 0, 3, 0, 9];
    for (messages, fault) in [
        (vec![request(0), request(1)], "malformed: request, asked twice: 7 has no meaning"),
        (vec![answer], "malformed: answer to what was not asked: 3 has no meaning"),
    ] {
        let mut house = House::new(with_requests(), |_, _| {}, 1);
        house.run(20);
        messages.into_iter().rev().for_each(|message| house.smuggle(0, message.into()));
        house.run(5);
        assert_eq!(house.seats[0].fault.map(|fault: PeerFault| fault.to_string()), Some(fault.to_owned()));
    }
}
