//! Rates of message types: honest clients refuse what is too much themselves, others are held to it.

use std::sync::Arc;

use tickwire_client::{Event, REQUEST_TIMEOUT};
use tickwire_protocol::PeerFault;
use tickwire_protocol::message::engine::{NOTICE, RESPONSE};
use tickwire_protocol::message::{
    Denial, Direction, MessageBody, MessageClass, MessageFrame, MessageLimits, MessageType, MessageTypeId,
    Notice, Outcome, Rate, SendError,
};
use tickwire_sim::prelude::*;

use super::{HZ, House, Play, schema};

const CHAT: MessageTypeId = MessageTypeId(0);
const ASK: MessageTypeId = MessageTypeId(1);
const FREE: MessageTypeId = MessageTypeId(2);
const RARE: MessageTypeId = MessageTypeId(3);

fn with_rates() -> Arc<Schema> {
    let ty = |id, name, class| MessageType::new(id, name, Direction::ToServer, class, 16);
    schema([
        ty(CHAT, "chat", MessageClass::Reliable).rate_per_minute(300, 10),
        ty(ASK, "ask", MessageClass::Request).rate_per_minute(60, 2),
        ty(FREE, "free", MessageClass::Reliable),
        ty(RARE, "rare", MessageClass::Reliable).rate_per_minute(1, 1),
    ])
}

fn hear(play: &mut Play, ctx: &mut StepContext<'_>) {
    while let Some((_, message)) = ctx.poll_message() {
        play.note(format!("{} {}", message.ty, message.body.first().copied().unwrap_or_default()));
    }
    while let Some((from, request)) = ctx.poll_request() {
        ctx.respond(from, request.id, Ok(Bytes::new())).unwrap();
    }
}

#[test]
fn a_client_refuses_what_is_too_much_and_says_when() {
    let mut house = House::new(with_rates(), hear, 1);
    house.run(30);
    let now = house.now();
    let client = &mut house.seats[0].client;
    let taken = (0..100).take_while(|_| client.send(now, CHAT, 0, vec![1]).is_ok()).count();
    assert_eq!(taken, 10);
    let denial = Denial::TooOften { retry_after: Micros::from_millis(200) };
    let denied = SendError::Denied { name: "chat".into(), denial };
    assert_eq!(client.send(now, CHAT, 0, vec![1]), Err(denied));
    assert_eq!(client.remaining(now, CHAT), Some(0));
    assert!(client.send(now, FREE, 0, vec![1]).is_ok(), "other types are not concerned");
    let asked = (0..9).take_while(|_| client.request(now, ASK, &[], REQUEST_TIMEOUT).is_ok()).count();
    assert_eq!(asked, 2);
    house.run(20);
    let now = house.now();
    assert!(house.seats[0].client.send(now, CHAT, 0, vec![1]).is_ok());
}

#[test]
fn who_keeps_to_it_is_never_refused_over_lost_connections() {
    let mut house = House::new(with_rates(), hear, 1);
    let mut sent = 0;
    for tick in 0..120 * HZ {
        house.run(1);
        let now = house.now();
        sent += usize::from(house.seats[0].client.send(now, CHAT, 0, vec![1]).is_ok());
        if tick % 400 == 399 {
            house.cut(0);
        }
    }
    house.run(60 * HZ);
    assert_eq!(house.notes().len(), sent);
    assert!(sent > 100, "{sent}");
    let refused = |event: &&Event| matches!(event, Event::Sent(_, Outcome::Refused(_)));
    assert_eq!(house.seats[0].events.iter().filter(refused).count(), 0);
}

/// A reliable message that a modified client sends, whatever its rate.
fn said(ty: MessageTypeId, number: u16, out: &mut Vec<u8>) {
    let body = Bytes::from(vec![number as u8]);
    MessageFrame { ty, number, key: 0, body: body.into() }.encode(MessageClass::Reliable, out);
}

fn chat(number: u16) -> Bytes {
    let mut out = Vec::new();
    said(CHAT, number, &mut out);
    out.into()
}

fn denials(told: Vec<MessageFrame>) -> Vec<Notice> {
    let notices = told.into_iter().filter(|message| message.ty == NOTICE);
    notices.map(|message| Notice::decode(message.body.into_bytes()).unwrap()).collect()
}

#[test]
fn a_flood_is_cut_down_and_its_sender_told_and_then_closed() {
    let mut house = House::new(with_rates(), hear, 2);
    house.run(30);
    house.seats[0].is_modified = true;
    for number in (0..100).rev() {
        house.smuggle(0, chat(number));
    }
    house.run(10);
    assert_eq!(house.notes().len(), 70, "ten seconds' worth and twice the burst");
    let notices = denials(house.said_to(0));
    assert_eq!(notices.iter().map(|notice| notice.number).collect::<Vec<_>>(), (70..100).collect::<Vec<_>>());
    assert!(
        notices.iter().all(|notice| notice.ty == CHAT && notice.denial.retry_after() > Some(Micros::ZERO))
    );
    assert_eq!(house.seats[0].fault, None);
    for number in (100..110).rev() {
        house.smuggle(0, chat(number));
    }
    house.run(10);
    assert_eq!(house.seats[0].fault, Some(PeerFault::TooOften));
    house.notes();
    let now = house.now();
    house.seats[1].client.send(now, CHAT, 0, vec![7]).unwrap();
    house.run(10);
    assert_eq!(house.notes(), ["0 7"], "nobody else is disturbed");
}

#[test]
fn requests_that_are_asked_too_often_are_answered_so() {
    let mut house = House::new(with_rates(), hear, 1);
    house.run(30);
    house.seats[0].is_modified = true;
    for id in (0..20_u8).rev() {
        let mut out = Vec::new();
        let body = Bytes::from(vec![id]);
        MessageFrame { ty: ASK, number: u16::from(id), key: 0, body: body.into() }
            .encode(MessageClass::Request, &mut out);
        house.smuggle(0, out.into());
    }
    house.run(10);
    let answers = house.said_to(0).into_iter().filter(|message| message.ty == RESPONSE);
    // By status: those that were refused are answered at once.
    let mut statuses = answers.map(|message| message.body[1]).collect::<Vec<_>>();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![0; 14], vec![3; 6]].concat());
    assert_eq!(house.seats[0].fault, None);
}

#[test]
fn all_types_together_have_limits_which_the_welcome_tells() {
    let rate = |per_minute, burst| Rate { per_minute, burst };
    let limits = MessageLimits { messages: rate(600, 20), bytes: rate(6_000, 100) };
    let mut house = House::with_limits(with_rates(), hear, 1, limits);
    house.run(30);
    let now = house.now();
    let client = &mut house.seats[0].client;
    assert_eq!(client.remaining(now, FREE), Some(20));
    let taken = (0..100).take_while(|_| client.send(now, FREE, 0, vec![1; 9]).is_ok()).count();
    assert_eq!(taken, 11);
    let Err(SendError::Denied { denial, .. }) = client.send(now, FREE, 0, vec![1; 9]) else { panic!() };
    assert_eq!(denial, Denial::TooMuch { retry_after: Micros::from_millis(80) });
    let Err(SendError::Denied { denial, .. }) =
        (0..100).try_for_each(|_| client.send(now, FREE, 0, vec![]).map(drop))
    else {
        panic!()
    };
    assert_eq!(denial, Denial::TooMany { retry_after: Micros::from_millis(100) });
    // A modified client is held to the same, with some patience: 2 x 20 and 10 s of 600 a minute.
    house.run(60 * HZ);
    house.notes();
    house.seats[0].is_modified = true;
    for number in (20..180_u16).rev() {
        let mut out = Vec::new();
        MessageFrame { ty: FREE, number, key: 0, body: MessageBody::default() }
            .encode(MessageClass::Reliable, &mut out);
        house.smuggle(0, out.into());
    }
    house.run(10);
    let denials = denials(house.said_to(0)).into_iter().map(|notice| notice.denial).collect::<Vec<_>>();
    assert_eq!(denials.len(), 20);
    assert!(denials.iter().all(|denial| matches!(denial, Denial::TooMany { .. })), "{denials:?}");
}

#[test]
fn a_batch_fails_singly() {
    let mut house = House::new(with_rates(), hear, 1);
    house.run(30);
    house.seats[0].is_modified = true;
    let mut batch = Vec::new();
    for (number, ty) in [RARE, RARE, FREE, RARE, FREE, RARE, CHAT].into_iter().enumerate() {
        said(ty, number as u16, &mut batch);
    }
    house.smuggle(0, batch.into());
    house.run(10);
    assert_eq!(
        house.notes(),
        ["3 0", "3 1", "2 2", "2 4", "0 6"],
        "two of a minute's, and all others in order"
    );
    let told = house.said_to(0);
    assert_eq!(
        denials(told).iter().map(|notice| (notice.ty, notice.number)).collect::<Vec<_>>(),
        [(RARE, 3), (RARE, 5)]
    );
}
