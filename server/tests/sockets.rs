//! What sockets do to a live server that no protocol forbids: they fill up, they stall, they come all at once, they all go.
#![cfg(feature = "net")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::crowd::shouting_crowd as crowd;
use common::{Honest, PATIENCE, Raw, Running, arena, encoded, hello, start};
use futures_util::{SinkExt as _, StreamExt as _};
use tickwire_protocol::frame::FrameType;
use tickwire_protocol::handshake::Welcome;
use tickwire_protocol::{Micros, Tick, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::ServerConfig;
use tokio_tungstenite::tungstenite::Message;

fn config() -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    // Whoever is gone is gone.
    room.session_window = Micros::ZERO;
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), room)
}

/// For a game that says 30 KB at each step, and no fault but that of the socket.
fn flood() -> ServerConfig {
    let mut config = config();
    config.room.snapshot_hz = 60;
    config.room.are_messages_paced = false;
    config.room.silence_timeout = Micros::from_secs(250);
    config.room.stall_timeout = Micros::from_secs(250);
    config
}

/// A player of that who takes little at once.
async fn narrow(server: &Running) -> Honest {
    let schema = crowd().schema().clone();
    let raw = Raw::connect_narrow(server.addr).await;
    Honest::join_over(raw, &schema, &hello(&schema)).await
}

/// Waits for what the server will do in the end.
async fn until(server: &Running, is_so: impl Fn(&tickwire_server::net::ServerStats) -> bool) {
    let looking = async {
        while !is_so(&server.handle.stats().await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("the server does what is waited for");
}

#[tokio::test]
async fn a_slow_reader_gets_whole_messages_and_then_the_newest_state() {
    let server = start(flood(), crowd()).await;
    let mut slow = narrow(&server).await;
    for _ in 0..3 {
        let told = slow.snapshots;
        let seen = slow.replica.newest_tick().unwrap();
        let before = server.handle.stats().await.total.snapshots_skipped;
        // Nothing is read for a while that is longer than what all buffers on the way hold.
        until(&server, |stats| stats.rooms[0].tick.since(seen) > 120).await;
        let stats = server.handle.stats().await;
        let (resumed, skipped) = (stats.rooms[0].tick, stats.total.snapshots_skipped);
        assert!(skipped.total() > before.total() + 30, "{before:?} {skipped:?}");
        assert_eq!(skipped.budget, 0, "it has none to spend");
        // Each message is decoded and compared with the digest in it, so none is torn, lost or out of order.
        slow.play_until(|slow| slow.replica.newest_tick().unwrap().since(resumed) >= 0).await;
        let (snapshots, ticks) = (slow.snapshots - told, slow.replica.newest_tick().unwrap().since(seen));
        assert!(
            i32::from(snapshots) < ticks / 2,
            "{snapshots} snapshots of {ticks} ticks: old state was queued"
        );
    }
    assert!(slow.digests > 0);
}

#[tokio::test]
async fn pongs_and_the_close_come_between_messages_also_while_one_is_stuck() {
    let server = start(flood(), crowd()).await;
    let mut peer = narrow(&server).await;
    let seen = peer.replica.newest_tick().unwrap();
    until(&server, |stats| stats.rooms[0].tick.since(seen) > 60).await;
    for ping in [b"one", b"two"] {
        peer.raw.socket.send(Message::Ping(ping.to_vec().into())).await.unwrap();
    }
    let pong = async {
        loop {
            match peer.raw.socket.next().await {
                Some(Ok(Message::Binary(_))) => {}
                Some(Ok(Message::Pong(payload))) if *payload == b"one"[..] => {}
                other => return other,
            }
        }
    };
    let pong = tokio::time::timeout(PATIENCE, pong).await.expect("a pong");
    assert_eq!(pong.unwrap().unwrap(), Message::Pong(b"two".to_vec().into()), "the newest ping is answered");
    let stats = server.handle.stats().await;
    let seen = stats.rooms[0].tick;
    until(&server, |stats| stats.rooms[0].tick.since(seen) > 60).await;
    peer.raw.socket.send(Message::text("hello")).await.unwrap();
    let ending = tokio::time::timeout(PATIENCE, peer.raw.ending()).await.expect("an end");
    assert_eq!(ending.1.expect("a close frame behind the message that was stuck").0, 1003);
}

#[tokio::test]
async fn whose_writes_stall_is_closed_with_its_own_code() {
    let mut config = flood();
    config.write_timeout = Duration::from_millis(400);
    let server = start(config, crowd()).await;
    let mut deaf = narrow(&server).await;
    until(&server, |stats| stats.rooms[0].players == 0).await;
    let ending = tokio::time::timeout(PATIENCE, deaf.raw.ending()).await.expect("an end");
    let (code, reason) = ending.1.expect("a close frame");
    assert_eq!(code, 4003, "{reason}");
    assert_eq!(server.handle.stats().await.total.faults, 1);
}

#[tokio::test]
async fn a_client_that_closes_is_answered_with_its_code() {
    let server = start(config(), arena()).await;
    let schema = arena().schema().clone();
    let mut peer = Honest::join(server.addr, &schema, &hello(&schema)).await;
    peer.play_until(|peer| peer.snapshots >= 2).await;
    let goodbye =
        tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4321.into(), reason: "enough".into() };
    peer.raw.socket.send(Message::Close(Some(goodbye))).await.unwrap();
    assert_eq!(peer.raw.ending().await.1.expect("an answer").0, 4321);
    until(&server, |stats| stats.connections == 0 && stats.players == 0).await;
    assert_eq!(server.handle.stats().await.total.faults, 0);
}

#[tokio::test]
async fn a_storm_of_joins_is_let_in_a_few_each_tick() {
    const STORM: usize = 120;
    let mut config = config();
    config.room.players_max = STORM as u32;
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let mut storm = Vec::new();
    for _ in 0..STORM {
        storm.push(Raw::connect(server.addr).await);
    }
    for raw in &mut storm {
        raw.send(encoded(&hello(&schema))).await;
    }
    let mut joins = BTreeMap::new();
    for raw in &mut storm {
        let first = tokio::time::timeout(PATIENCE, raw.receive()).await.expect("in time").expect("a welcome");
        assert_eq!(first[0].ty, FrameType::Welcome);
        *joins.entry(Welcome::decode(&first[0].payload).unwrap().tick.0).or_insert(0) += 1;
    }
    assert!(joins.values().all(|count| *count <= 16), "joins by tick: {joins:?}");
    let stats = server.handle.stats().await;
    assert_eq!((stats.players as usize, stats.total.skipped_steps), (STORM, 0));
}

#[tokio::test]
async fn time_stands_still_in_an_empty_room() {
    let server = start(config(), arena()).await;
    let schema = arena().schema().clone();
    let mut first = Honest::join(server.addr, &schema, &hello(&schema)).await;
    first.play_until(|first| first.snapshots >= 3).await;
    let room = first.welcome.room;
    drop(first);
    until(&server, |stats| stats.rooms[0].players == 0).await;
    let tick = async || -> Tick { server.handle.stats().await.rooms[0].tick };
    let stands_still = async {
        loop {
            let before = tick().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if tick().await == before {
                return before;
            }
        }
    };
    let slept = tokio::time::timeout(PATIENCE, stands_still).await.expect("the room falls asleep");
    let mut second = Honest::join(server.addr, &schema, &hello(&schema)).await;
    assert_eq!(second.welcome.room, room);
    assert_eq!(second.welcome.tick, slept, "it goes on where it was");
    second.play_until(|second| second.digests >= 2).await;
    assert_eq!(server.handle.stats().await.total.skipped_steps, 0, "what was slept through is not late");
}

#[tokio::test]
async fn a_room_that_stays_empty_is_closed_and_what_it_did_is_still_counted() {
    let mut config = config();
    config.room_lifetime = Duration::from_millis(50);
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let mut first = Honest::join(server.addr, &schema, &hello(&schema)).await;
    first.play_until(|first| first.snapshots >= 3).await;
    let sent = server.handle.stats().await.total.messages_sent;
    let room = first.welcome.room;
    drop(first);
    until(&server, |stats| stats.rooms.is_empty()).await;
    assert!(server.handle.stats().await.total.messages_sent >= sent && sent >= 3);
    let second = Honest::join(server.addr, &schema, &hello(&schema)).await;
    assert_ne!(second.welcome.room, room);
}
