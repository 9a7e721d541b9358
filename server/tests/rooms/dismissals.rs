//! The game lets players go, and ends its room.

use std::sync::mpsc::channel;

use bytes::Bytes;
use tickwire_client::{ConnectionState, DisconnectReason, Event, MemberEvent};
use tickwire_protocol::handshake::{FreshReason, RejectReason, Role, SessionOutcome, StreamKind};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId};
use tickwire_protocol::room::{LeaveReason, MatchInfo, MatchStatus};
use tickwire_protocol::{CloseCode, Micros, PlayerId, Schema};
use tickwire_server::core::Join;
use tickwire_sim::Audience;

use crate::hall::{Guest, Hall};
use crate::marshal::{Marshal, Orders};

const SECOND: Micros = Micros::from_secs(1);
const NEWS: MessageTypeId = MessageTypeId(0);
const PLACES: u32 = 2;

/// A room for two.
fn hall() -> (Hall, Orders) {
    let news = MessageType::new(NEWS, "news", Direction::ToClient, MessageClass::Reliable, 64);
    let (marshal, orders) = Marshal::new(Schema::builder("dismissals").message(news));
    (Hall::new(Box::new(marshal), |config| config.players_max = PLACES), orders)
}

/// With which code and reason a guest was closed, and what it was told before.
fn ending(guest: &mut Guest, now: Micros) -> (CloseCode, String, Vec<Bytes>) {
    let mut said = Vec::new();
    for event in guest.events(now) {
        match event {
            Event::Message(message) => said.push(message.body),
            Event::Disconnected(DisconnectReason::Closed { code, reason }) => return (code, reason, said),
            _ => {}
        }
    }
    panic!("it was not closed");
}

fn has_failed(guest: &Guest, now: Micros) -> bool {
    matches!(guest.client.connection_state(now), ConnectionState::Failed { .. })
}

fn who_left(guest: &mut Guest, now: Micros) -> Vec<(PlayerId, Option<LeaveReason>)> {
    let left = |event| match event {
        Event::Member(MemberEvent::Left { member, reason }) => Some((member.player, reason)),
        _ => None,
    };
    guest.events(now).into_iter().filter_map(left).collect()
}

#[test]
fn who_is_removed_is_told_why_behind_the_last_words_and_its_place_is_free() {
    let (mut hall, orders) = hall();
    let mut guests = ["ada", "bob", "eve"].map(|name| Guest::new(&hall, Role::Player, name));
    let [ada, bob, eve] = &mut guests;
    hall.pass(SECOND, &mut [ada, bob]);
    let b = bob.player.unwrap();
    orders.give(move |ctx| {
        ctx.send(Audience::Player(b), NEWS, 0, Bytes::from_static(b"farewell")).unwrap();
        ctx.remove_player(b, "you cheat");
        ctx.remove_player(b, "twice is once");
        ctx.remove_player(PlayerId(77), "who is not here is passed over");
    });
    hall.pass(SECOND, &mut [ada, bob]);
    let told = (CloseCode::REMOVED, "you cheat".to_owned(), vec![Bytes::from_static(b"farewell")]);
    assert_eq!(ending(bob, hall.now), told);
    assert!(has_failed(bob, hall.now) && bob.peer.is_none(), "it does not come back by itself");
    assert_eq!(who_left(ada, hall.now), [(b, Some(LeaveReason::Removed))]);
    hall.pass(SECOND, &mut [ada, eve]);
    assert_eq!(ada.names(), "ada eve", "there is a place for another");
}

#[test]
fn the_step_behind_a_removal_is_told_that_the_player_left() {
    let (mut hall, orders) = hall();
    let mut ada = Guest::new(&hall, Role::Player, "ada");
    hall.pass(SECOND, &mut [&mut ada]);
    let a = ada.player.unwrap();
    let (told, seen) = channel();
    orders.give(move |ctx| ctx.remove_player(a, ""));
    hall.pass(Micros::from_millis(20), &mut [&mut ada]);
    orders.give(move |ctx| told.send((ctx.left().to_vec(), ctx.input(a).is_some())).unwrap());
    hall.pass(Micros::from_millis(20), &mut [&mut ada]);
    assert_eq!(seen.recv(), Ok((vec![a], false)));
}

#[test]
fn who_is_removed_while_it_is_away_finds_its_session_gone() {
    let (mut hall, orders) = hall();
    let mut ada = Guest::new(&hall, Role::Player, "ada");
    hall.pass(SECOND, &mut [&mut ada]);
    let a = ada.player.unwrap();
    hall.cut(&mut ada);
    orders.give(move |ctx| ctx.remove_player(a, "gone too long"));
    hall.pass(SECOND, &mut []);
    assert_eq!(hall.room.session_count(), 0);
    hall.pass(SECOND, &mut [&mut ada]);
    assert_eq!(ada.outcome, Some(SessionOutcome::Fresh(FreshReason::Unknown)));
    assert_ne!(ada.player, Some(a));
}

#[test]
fn a_room_that_its_game_ends_tells_everybody_and_lets_in_nobody() {
    let (mut hall, orders) = hall();
    let mut ada = Guest::new(&hall, Role::Player, "ada");
    let mut eve = Guest::new(&hall, Role::Spectator, "eve");
    let mut bob = Guest::new(&hall, Role::Player, "bob");
    hall.pass(SECOND, &mut [&mut ada, &mut bob, &mut eve]);
    hall.cut(&mut bob);
    orders.give(|ctx| {
        ctx.send(Audience::Room, NEWS, 0, Bytes::from_static(b"blue wins")).unwrap();
        ctx.end_room("the match is over");
        ctx.end_room("the first reason counts");
    });
    hall.pass(SECOND, &mut [&mut ada, &mut eve]);
    let told =
        (CloseCode::ROOM_ENDED, "the match is over".to_owned(), vec![Bytes::from_static(b"blue wins")]);
    assert_eq!(ending(&mut ada, hall.now), told);
    assert_eq!(ending(&mut eve, hall.now), told, "who watches is told as well");
    assert!(has_failed(&ada, hall.now) && has_failed(&eve, hall.now));
    assert!(hall.room.is_over());
    assert_eq!((hall.room.session_count(), hall.room.peer_count()), (0, 0), "also of who is away");

    let last = hall.room.tick();
    hall.pass(SECOND, &mut []);
    assert_eq!(hall.room.tick(), last, "no step is made any more");
    let late = hall.room.join(hall.now, Join::new(Role::Player, StreamKind::Ordered));
    assert_eq!(late, Err(RejectReason::NoSuchRoom));
}

#[test]
fn how_the_match_ended_is_told_before_the_room_is_over_wherever_the_next_snapshot_is() {
    for millis in [0, 15, 30, 45] {
        let (mut hall, orders) = hall();
        let mut ada = Guest::new(&hall, Role::Player, "ada");
        hall.pass(SECOND + Micros::from_millis(millis), &mut [&mut ada]);
        orders.give(|ctx| {
            let board = ctx.match_state().unwrap();
            board.set_info(MatchInfo { status: MatchStatus::Ended, ..board.info().clone() }).unwrap();
            ctx.end_room("the match is over");
        });
        hall.pass(SECOND, &mut [&mut ada]);
        assert!(has_failed(&ada, hall.now));
        assert_eq!(ada.client.match_state().info().status, MatchStatus::Ended, "at {millis} ms");
    }
}

#[test]
fn an_empty_room_ends_without_another_step() {
    let (mut hall, orders) = hall();
    orders.give(|ctx| ctx.end_room("nobody came"));
    hall.room.advance(hall.room.poll_timeout());
    assert!(hall.room.is_over());
}
