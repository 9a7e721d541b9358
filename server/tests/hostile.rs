//! What strangers do to a live server, over real sockets: each fault is closed with its code and its name, and the
//! honest play on.
#![cfg(feature = "net")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::crowd::crowd;
use common::{Honest, PATIENCE, Raw, Running, arena, encoded, hello, start};
use futures_util::SinkExt as _;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, write_frame};
use tickwire_protocol::handshake::{RejectReason, Role, RoomWish, StreamKind, VERSION};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, INPUT_AHEAD_TICKS_MAX};
use tickwire_protocol::ping::Ping;
use tickwire_protocol::{Micros, Schema, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::ServerConfig;
use tickwire_sim::Random;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WsFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

fn config() -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    // Whoever is gone is gone, so that players can be counted.
    room.session_window = Micros::ZERO;
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), room)
}

async fn arena_server() -> (Running, Arc<Schema>) {
    (start(config(), arena()).await, arena().schema().clone())
}

fn frame(ty: FrameType, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, ty, payload);
    out
}

#[tokio::test]
async fn a_first_message_that_is_no_good_hello_is_refused_by_name() {
    let (server, schema) = arena_server().await;
    let good = encoded(&hello(&schema));
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (Vec::new(), 1002, "truncated"),
        (good[..good.len() - 1].to_vec(), 1002, "truncated"),
        ([good.as_slice(), &[0]].concat(), 1002, "trailing"),
        ([good.as_slice(), &good].concat(), 1002, "trailing"),
        (frame(FrameType::Ping, &[0; 8]), 1008, "not allowed"),
        (vec![0xff, 0xff, 0xff, 0x7f, 1], 1002, "limit"),
        (frame(FrameType::Hello, b"TKWR"), 1002, "truncated"),
        (vec![1, 55, 0], 1002, "unknown frame type 55"),
        (vec![0; CLIENT_MESSAGE_BYTES_MAX + 1], 1009, "size limit"),
    ];
    for (bytes, code, words) in cases {
        let mut raw = Raw::connect(server.addr).await;
        raw.send(bytes.clone()).await;
        let (reject, ending) = raw.ending().await;
        let (told, reason) = ending.unwrap_or_else(|| panic!("{words}: no close"));
        assert_eq!((told, reject), (code, None), "{reason}");
        assert!(reason.contains(words), "{reason:?} should say {words:?}");
    }
    let mut raw = Raw::connect(server.addr).await;
    raw.socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(raw.ending().await.1.unwrap().0, 1003);
}

#[tokio::test]
async fn whoever_does_not_fit_is_told_both_values() {
    let (server, schema) = arena_server().await;
    let mut alien = encoded(&hello(&schema));
    alien[2..6].copy_from_slice(b"HTTP");
    let mut old = encoded(&hello(&schema));
    old[6..8].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let other_schema = encoded(&tickwire_protocol::handshake::Hello { schema_hash: 1, ..hello(&schema) });
    let other_stream =
        encoded(&tickwire_protocol::handshake::Hello { stream: StreamKind::Datagram, ..hello(&schema) });
    let cases = [
        (alien, RejectReason::Magic),
        (old, RejectReason::Version { ours: VERSION, yours: VERSION + 1 }),
        (other_schema, RejectReason::Schema { ours: schema.hash(), yours: 1 }),
        (other_stream, RejectReason::Stream { ours: StreamKind::Ordered, yours: StreamKind::Datagram }),
    ];
    for (bytes, reason) in cases {
        let mut raw = Raw::connect(server.addr).await;
        raw.send(bytes).await;
        let (told, ending) = raw.ending().await;
        assert_eq!(told, Some(reason.clone()));
        assert_eq!(ending.unwrap().0, reason.close_code().0);
    }
}

#[tokio::test]
async fn a_player_that_breaks_the_protocol_is_closed_with_the_fault() {
    let (server, schema) = arena_server().await;
    let mut witness = Honest::join(server.addr, &schema, &hello(&schema)).await;
    let input = |ahead: u32, tick: tickwire_protocol::Tick| {
        let mut frame = InputFrame::new();
        frame.push(schema.input(), tick + ahead, &vec![0; schema.input().column_count()]);
        let mut out = Vec::new();
        frame.encode(schema.input(), &mut out);
        out
    };
    let mut ack = Vec::new();
    Ack::new(Sequence(999)).encode(&mut ack);
    let mut ping = Vec::new();
    Ping { client_time: Micros(1) }.encode(&mut ping);
    let flood = ping.repeat(60);
    for (case, code, words) in [
        ("future", 1008, "ahead"),
        ("ack", 1008, "never sent"),
        ("again", 1008, "not allowed"),
        ("flood", 1008, "between two ticks"),
        ("garbage", 1002, "malformed"),
        ("spectator", 1008, "without a player"),
        ("text", 1003, "binary"),
        ("large", 1009, "size limit"),
    ] {
        let mut wish = hello(&schema);
        if case == "spectator" {
            wish.role = Role::Spectator;
        }
        let mut peer = Honest::join(server.addr, &schema, &wish).await;
        peer.play_until(|peer| peer.snapshots >= 2).await;
        let newest = peer.replica.newest_tick().unwrap();
        match case {
            "future" => peer.raw.send(input(INPUT_AHEAD_TICKS_MAX + 500, newest)).await,
            "ack" => peer.raw.send(ack.clone()).await,
            "again" => peer.raw.send(encoded(&wish)).await,
            "flood" => {
                for _ in 0..40 {
                    peer.raw.send(flood.clone()).await;
                }
            }
            "garbage" => peer.raw.send(vec![2, 6, 0xff, 0xff]).await,
            "spectator" => peer.raw.send(input(1, newest)).await,
            "large" => peer.raw.send(vec![0; CLIENT_MESSAGE_BYTES_MAX + 1]).await,
            _ => peer.raw.socket.send(Message::text("hi")).await.unwrap(),
        }
        let (told, reason) = peer.raw.ending().await.1.unwrap_or_else(|| panic!("{case}: no close"));
        assert_eq!(told, code, "{case}: {reason}");
        assert!(reason.contains(words), "{case}: {reason:?} should say {words:?}");
        let snapshots = witness.snapshots;
        witness.play_until(|witness| witness.snapshots >= snapshots + 3).await;
    }
}

#[tokio::test]
async fn what_is_odd_but_lawful_is_no_fault() {
    let (server, schema) = arena_server().await;
    let mut peer = Honest::join(server.addr, &schema, &hello(&schema)).await;
    // An extension, and inputs for ticks long gone.
    peer.raw.send(vec![3, 200, 1, 2, 3]).await;
    let mut late = InputFrame::new();
    late.push(schema.input(), peer.welcome.tick - 3000, &vec![0; schema.input().column_count()]);
    let mut out = Vec::new();
    late.encode(schema.input(), &mut out);
    peer.raw.send(out).await;
    // A message in three fragments with control frames between.
    let mut ping = Vec::new();
    Ping { client_time: Micros(7) }.encode(&mut ping);
    let part = |bytes: &[u8], op, is_last| {
        Message::Frame(WsFrame::message(bytes.to_vec(), OpCode::Data(op), is_last))
    };
    let pongs = peer.pongs;
    for message in [
        part(&ping[..3], Data::Binary, false),
        Message::Ping(vec![1].into()),
        part(&ping[3..5], Data::Continue, false),
        Message::Pong(vec![2].into()),
        part(&ping[5..], Data::Continue, true),
    ] {
        peer.raw.socket.send(message).await.unwrap();
    }
    peer.play_until(|peer| peer.pongs > pongs + 3 && peer.digests >= 2).await;
}

#[tokio::test]
async fn the_silent_and_the_slow_are_let_go() {
    let mut config = config();
    config.handshake_timeout = Duration::from_millis(200);
    config.room.silence_timeout = Micros::from_millis(400);
    config.room.ping_interval = Micros::from_millis(100);
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let mut mute = Raw::connect(server.addr).await;
    assert_eq!(mute.ending().await.1.unwrap().0, 4000, "no hello");
    let mut joined = Honest::join(server.addr, &schema, &hello(&schema)).await;
    assert_eq!(joined.raw.ending().await.1.unwrap().0, 4002, "a hello and then nothing");
    let bare = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    let mut byte = [0];
    bare.readable().await.unwrap();
    assert_eq!(bare.try_read(&mut byte).unwrap(), 0, "not even an upgrade: the socket is closed");
}

#[tokio::test]
async fn one_that_never_reads_is_closed_and_holds_up_nobody() {
    let mut config = config();
    config.room.snapshot_hz = 60;
    config.room.delta = false;
    config.room.silence_timeout = Micros::from_secs(250);
    config.room.stall_timeout = Micros::from_millis(500);
    let server = start(config, crowd()).await;
    let schema = crowd().schema().clone();
    let deaf = Honest::join(server.addr, &schema, &hello(&schema)).await;
    let mut good = Honest::join(server.addr, &schema, &hello(&schema)).await;
    // The server has given up on the deaf one once a single player is left.
    let deaf_is_gone = async {
        while server.handle.stats().await.players > 1 {
            good.play().await.expect("the honest play on");
        }
    };
    tokio::time::timeout(PATIENCE, deaf_is_gone).await.expect("the deaf one is let go");
    let played = good.digests;
    good.play_until(|good| good.digests > played).await;
    drop(deaf);
}

#[tokio::test]
async fn a_room_that_panics_falls_alone() {
    let server = start(config(), crowd()).await;
    let schema = crowd().schema().clone();
    let wish = |name: &str| {
        let mut hello = hello(&schema);
        hello.room = RoomWish::Named(name.to_owned());
        hello
    };
    let mut doomed = Honest::join(server.addr, &schema, &wish("doomed")).await;
    let mut neighbour = Honest::join(server.addr, &schema, &wish("doomed")).await;
    let mut other = Honest::join(server.addr, &schema, &wish("other")).await;
    doomed.play_until(|peer| peer.snapshots >= 1).await;
    let mut boom = InputFrame::new();
    (1..=30)
        .for_each(|ahead| boom.push(schema.input(), doomed.replica.newest_tick().unwrap() + ahead, &[0, 1]));
    let mut out = Vec::new();
    boom.encode(schema.input(), &mut out);
    doomed.raw.send(out).await;
    for peer in [&mut doomed, &mut neighbour] {
        assert_eq!(peer.raw.ending().await.1.unwrap().0, 1011);
    }
    let played = other.digests;
    other.play_until(|other| other.digests > played + 1).await;
    let mut reborn = Honest::join(server.addr, &schema, &wish("doomed")).await;
    reborn.play_until(|peer| peer.digests >= 1).await;
    assert_ne!(reborn.welcome.room, doomed.welcome.room, "a new room of the old name");
}

#[tokio::test]
async fn full_is_told_and_shutdown_says_goodbye() {
    let mut config = config();
    config.directory.players_max = 2;
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let mut first = Honest::join(server.addr, &schema, &hello(&schema)).await;
    let mut second = Honest::join(server.addr, &schema, &hello(&schema)).await;
    let mut third = Raw::connect(server.addr).await;
    third.send(encoded(&hello(&schema))).await;
    let (reject, ending) = third.ending().await;
    assert_eq!(reject, Some(RejectReason::ServerFull { players: 2, max: 2 }));
    assert_eq!(ending.unwrap().0, 1013);
    let mut undecided = Raw::connect(server.addr).await;
    first.play_until(|peer| peer.snapshots >= 3).await;
    server.handle.shutdown();
    for raw in [&mut first.raw, &mut second.raw, &mut undecided] {
        assert_eq!(raw.ending().await.1.unwrap().0, 1001);
    }
    server.task.await.unwrap();
}

/// Ten thousand random and mutated frames, while twenty honest ones play on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_bad_frames_disturb_nobody() {
    const FRAMES: usize = 10_000;
    const HONEST: usize = 20;
    let (server, schema) = arena_server().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut honest = Vec::new();
    for _ in 0..HONEST {
        let mut peer = Honest::join(server.addr, &schema, &hello(&schema)).await;
        let is_over = is_over.clone();
        honest.push(tokio::spawn(async move {
            peer.play_until(|peer| peer.digests >= 2 && is_over.load(Ordering::Relaxed)).await;
            peer
        }));
    }
    let attackers: Vec<_> =
        (0..8_u8).map(|seed| tokio::spawn(attack(server.addr, schema.clone(), seed, FRAMES / 8))).collect();
    let mut refused = 0;
    for attacker in attackers {
        refused += attacker.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(refused > FRAMES / 8, "only {refused} connections were refused: the attack is too tame");
    for peer in honest {
        let mut peer = peer.await.unwrap();
        assert_eq!(peer.replica.own().count(), 1);
        let played = peer.digests;
        peer.play_until(|peer| peer.digests > played).await;
    }
    // Nothing leaks: of all who came only the honest are left.
    let none_left = async {
        while server.handle.stats().await.connections > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, none_left).await.expect("every connection is given back");
    let stats = server.handle.stats().await;
    assert_eq!((stats.players, stats.rooms.iter().map(|room| room.players).sum::<u32>()), (0, 0));
    assert!(stats.skipped_steps() < 60, "the attack must not stall the room");
}

/// Sends bad frames, over as many connections as it takes; how many of these were closed for it.
async fn attack(addr: std::net::SocketAddr, schema: Arc<Schema>, seed: u8, frames: usize) -> usize {
    let mut rng = Random::from_seed(u64::from(seed));
    let mut seeds = vec![encoded(&hello(&schema))];
    let mut out = Vec::new();
    let mut input = InputFrame::new();
    let row = vec![1; schema.input().column_count()];
    (0..5).for_each(|tick| input.push(schema.input(), tickwire_protocol::Tick(tick), &row));
    input.encode(schema.input(), &mut out);
    seeds.push(core::mem::take(&mut out));
    Ack::new(Sequence(1)).encode(&mut out);
    seeds.push(core::mem::take(&mut out));
    Ping { client_time: Micros(5) }.encode(&mut out);
    seeds.push(out);
    let (mut sent, mut refused) = (0, 0);
    while sent < frames {
        let mut raw = Raw::connect(addr).await;
        if rng.below(4) != 0 {
            raw.send(seeds[0].clone()).await;
        }
        for _ in 0..=rng.below(4) {
            let mut bytes = seeds[rng.below(seeds.len() as u32) as usize].clone();
            match rng.below(4) {
                0 => bytes = (0..rng.below(200)).map(|_| rng.next_u32() as u8).collect(),
                1 => bytes.truncate(rng.below(bytes.len() as u32) as usize),
                2 => bytes.extend((0..rng.below(9)).map(|_| rng.next_u32() as u8)),
                _ => {
                    let index = rng.below(bytes.len() as u32) as usize;
                    bytes[index] ^= 1 << rng.below(8);
                }
            }
            raw.send(bytes).await;
            sent += 1;
        }
        // Half wait for the verdict, half are gone before it.
        if rng.below(2) == 0 {
            let verdict = tokio::time::timeout(Duration::from_millis(100), raw.ending()).await;
            refused += usize::from(verdict.is_ok());
        }
    }
    refused
}
