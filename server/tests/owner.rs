//! The server's owner lets players go and ends rooms, over real sockets.
#![cfg(feature = "net")]

mod common;

use std::time::Duration;

use common::{Honest, PATIENCE, Running, arena, hello, start};
use tickwire_client::net::{self, Connection, Wake};
use tickwire_client::{ClientConfig, DisconnectReason, Event, MemberEvent};
use tickwire_protocol::handshake::{NewRoom, RejectReason, RoomWish};
use tickwire_protocol::room::{LeaveReason, ListRooms};
use tickwire_protocol::{CloseCode, PlayerId, RoomId, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{OwnerError, ServerConfig};

fn config() -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.players_max = 2;
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), room)
}

async fn connect(server: &Running, room: &str) -> Connection {
    let config = ClientConfig { room: RoomWish::Named(room.to_owned()), ..ClientConfig::new("test") };
    net::connect(&format!("ws://{}", server.addr), config, arena().schema().clone()).await.unwrap()
}

fn player(connection: &Connection) -> PlayerId {
    connection.client().welcome().unwrap().player.unwrap()
}

/// Plays until the end, and why that was.
async fn ending(connection: &mut Connection) -> DisconnectReason {
    let plays = async {
        while let Some(wake) = connection.next().await {
            if let Wake::Input(tick) = wake {
                connection.push_input(tick, |_| {});
            }
        }
        connection.client().disconnect_reason().cloned().unwrap()
    };
    tokio::time::timeout(PATIENCE, plays).await.expect("an end")
}

/// Plays until somebody has left.
async fn who_left(connection: &mut Connection) -> (PlayerId, Option<LeaveReason>) {
    let plays = async {
        loop {
            match connection.next().await.expect("it plays on") {
                Wake::Input(tick) => connection.push_input(tick, |_| {}),
                Wake::Event(Event::Member(MemberEvent::Left { member, reason })) => {
                    return (member.player, reason);
                }
                Wake::Event(_) | Wake::Snapshot => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, plays).await.expect("somebody leaves")
}

fn closed(code: CloseCode, reason: &str) -> DisconnectReason {
    DisconnectReason::Closed { code, reason: reason.to_owned() }
}

#[tokio::test]
async fn a_player_that_the_owner_lets_go_is_told_why_and_its_place_is_free() {
    let server = start(config(), arena()).await;
    let (mut ada, mut bob) = (connect(&server, "lobby").await, connect(&server, "lobby").await);
    let (room, b) = (RoomId(1), player(&bob));
    assert_eq!(server.handle.remove_player(room, b, "you were reported").await, Ok(()));
    let mut eve = connect(&server, "lobby").await;
    let (left, why) = tokio::join!(who_left(&mut ada), ending(&mut bob));
    assert_eq!(left, (b, Some(LeaveReason::Removed)));
    assert_eq!(why, closed(CloseCode::REMOVED, "you were reported"));
    // Also who has no connection for the moment.
    let e = player(&eve);
    eve.run_until(eve.now() + tickwire_protocol::Micros::from_millis(200)).await;
    drop(eve);
    assert_eq!(server.handle.remove_player(room, e, "").await, Ok(()));
    assert_eq!(who_left(&mut ada).await, (e, Some(LeaveReason::Removed)));

    assert_eq!(server.handle.remove_player(room, b, "").await, Err(OwnerError::NoSuchPlayer(b)));
    let nowhere = RoomId(9);
    assert_eq!(server.handle.remove_player(nowhere, b, "").await, Err(OwnerError::NoSuchRoom(nowhere)));
}

#[tokio::test]
async fn a_room_that_the_owner_ends_is_off_the_list_and_the_others_play_on() {
    let server = start(config(), arena()).await;
    let schema = arena().schema().clone();
    let mut witness = Honest::join(server.addr, &schema, &hello(&schema)).await;
    let lobby = NewRoom { name: "lobby".to_owned(), players_max: 2, ..NewRoom::default() };
    let room = server.handle.open_room(&lobby, true).unwrap();
    assert_eq!(server.handle.open_room(&lobby, true), Err(RejectReason::RoomExists));
    let mut ada = connect(&server, "lobby").await;
    assert_eq!(server.handle.end_room(room, "maintenance at six").await, Ok(()));
    let names = |server: &Running| {
        let rooms = server.handle.rooms(&ListRooms::default()).rooms;
        rooms.into_iter().map(|room| room.room).collect::<Vec<_>>()
    };
    assert_eq!(names(&server), [witness.welcome.room]);
    assert_eq!(ending(&mut ada).await, closed(CloseCode::ROOM_ENDED, "maintenance at six"));
    assert_eq!(server.handle.end_room(room, "").await, Err(OwnerError::NoSuchRoom(room)));

    // Also one that is there for good and asleep.
    let again = server.handle.open_room(&lobby, true).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.handle.end_room(again, "").await, Ok(()));
    assert_eq!(names(&server), [witness.welcome.room]);
    let digests = witness.digests;
    witness.play_until(|witness| witness.digests > digests).await;
}
