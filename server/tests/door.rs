//! What strangers can hold of a server, and what they hear: its slots are for those whom it can count.
#![cfg(feature = "net")]

mod common;

use std::time::Duration;

use common::{Honest, PATIENCE, Raw, Running, arena, dial_from, hello, request, start};
use tickwire_protocol::frame::FrameType;
use tickwire_protocol::handshake::{Hello, Role};
use tickwire_protocol::limits::FRAMES_PER_TICK_MAX;
use tickwire_protocol::pause::Pause;
use tickwire_protocol::ping::Ping;
use tickwire_protocol::{Micros, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{AddressLimits, ProxySpeech, ServerConfig, TrustedProxies};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A server with so many slots, of which each address has so many, the machine's own as well. It waits for hellos for longer than tests
/// wait for anything.
fn config(connections: usize, of_address: u32) -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.session_window = Micros::ZERO;
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), room);
    config.connections_max = connections;
    config.access.addresses = AddressLimits {
        connections_max: of_address,
        handshakes_per_second: 0,
        counts_loopback: true,
        ..AddressLimits::default()
    };
    config.access.guests = true;
    config.handshake_timeout = Duration::from_mins(10);
    config
}

/// Behind proxies at 127.0.0.1.
fn behind(proxies: ProxySpeech, config: ServerConfig) -> ServerConfig {
    let mut config = config;
    config.access.proxies = TrustedProxies { networks: vec!["127.0.0.1".parse().unwrap()], speech: proxies };
    config
}

/// A header of the PROXY protocol for a connection from 192.0.2.`host`.
fn header(host: u8) -> Vec<u8> {
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02";
    [&fixed[..], &[host, 127, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb]].concat()
}

/// What is answered to these bytes on a connection from 127.0.0.`host`.
async fn say(server: &Running, host: u8, bytes: &[u8]) -> String {
    let mut stream = dial_from(host, server.addr).await;
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    let heard = timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer or an end");
    String::from_utf8_lossy(&answer[..heard.unwrap_or(0)]).into_owned()
}

async fn ask(server: &Running, host: u8) -> String {
    say(server, host, request("/", "").as_bytes()).await
}

async fn join(stream: TcpStream) -> Honest {
    let schema = arena().schema().clone();
    let raw = Raw::asking(stream, "ws://127.0.0.1/".into_client_request().unwrap()).await;
    Honest::join_over(raw, &schema, &hello(&schema)).await
}

async fn is_undisturbed(witness: &mut Honest) {
    let (snapshots, digests) = (witness.snapshots, witness.digests);
    witness.play_until(|witness| witness.snapshots >= snapshots + 5 && witness.digests > digests).await;
}

async fn until_taken(server: &Running, slots: usize) {
    let looking = async {
        while server.handle.stats().await.connections != slots {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{slots} slots are taken"));
}

/// Waits until the server has closed all of these but so many.
async fn until_closed(streams: Vec<TcpStream>, but: usize) -> Vec<TcpStream> {
    let mut open = streams;
    let closing = async {
        while open.len() > but {
            open.retain(|stream| {
                let read = stream.try_read(&mut [0; 256]);
                read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            });
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, closing).await.expect("the others are closed");
    open
}

#[tokio::test]
async fn a_full_server_and_a_busy_address_are_told_so_and_when_to_come_back() {
    let server = start(config(3, 2), arena()).await;
    let mut witness = join(dial_from(1, server.addr).await).await;
    // One that says nothing has a slot too.
    let _mute = dial_from(1, server.addr).await;
    until_taken(&server, 2).await;
    let busy = ask(&server, 1).await;
    assert!(busy.starts_with("HTTP/1.1 429 ") && busy.contains("\r\nRetry-After: 30\r\n"), "{busy}");
    assert!(busy.contains("2 connections"), "{busy}");
    let _last = dial_from(2, server.addr).await;
    until_taken(&server, 3).await;
    let full = ask(&server, 3).await;
    assert!(full.starts_with("HTTP/1.1 503 ") && full.contains("\r\nRetry-After: 30\r\n"), "{full}");
    assert!(full.contains("3 connections"), "{full}");
    is_undisturbed(&mut witness).await;
}

#[tokio::test]
async fn handshakes_come_at_a_rate_and_slow_ones_end() {
    let mut config = config(100, 0);
    config.access.addresses.handshakes_per_second = 2;
    config.handshake_timeout = Duration::from_millis(300);
    let server = start(config, arena()).await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(ask(&server, 1).await);
    }
    let too_fast = answers.iter().find(|answer| answer.starts_with("HTTP/1.1 429 ")).expect("too fast");
    assert!(too_fast.contains("Retry-After: 1\r\n") && too_fast.contains("too often"), "{too_fast}");
    assert!(ask(&server, 2).await.starts_with("HTTP/1.1 101 "), "another address");
    assert_eq!(say(&server, 3, b"GET / HT").await, "", "a request without an end");
}

#[tokio::test]
async fn what_an_address_says_too_quickly_waits_and_nobody_is_closed_for_it() {
    let mut config = config(100, 0);
    config.access.addresses.messages_per_second = 200;
    let server = start(config, arena()).await;
    let mut witness = join(dial_from(1, server.addr).await).await;
    let mut hasty = join(dial_from(2, server.addr).await).await;
    let mut ping = Vec::new();
    Ping { client_time: Micros(1) }.encode(&mut ping);
    // At once that would be a flood.
    let said = FRAMES_PER_TICK_MAX as usize + 50;
    for _ in 0..said {
        hasty.raw.send(ping.clone()).await;
    }
    is_undisturbed(&mut witness).await;
    hasty.play_until(|hasty| hasty.pongs >= said).await;
}

#[tokio::test]
async fn an_address_has_its_slots_and_no_others_however_often_it_knocks() {
    let server = start(config(8, 2), arena()).await;
    let mut mute = Vec::new();
    for _ in 0..300 {
        mute.push(dial_from(1, server.addr).await);
    }
    let mut witness = join(dial_from(2, server.addr).await).await;
    until_taken(&server, 3).await;
    // Those that have a slot may take their time; the others have two seconds for a request, and most not even that.
    let since = Instant::now();
    let patient = until_closed(mute, 2).await;
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    is_undisturbed(&mut witness).await;
    until_taken(&server, 3).await;
    drop(patient);
    until_taken(&server, 1).await;
}

#[tokio::test]
async fn a_full_server_says_so_although_others_would_be_told_as_well() {
    let server = start(config(1, 1), arena()).await;
    let _only = dial_from(1, server.addr).await;
    until_taken(&server, 1).await;
    let mut mute = Vec::new();
    for _ in 0..300 {
        mute.push(dial_from(1, server.addr).await);
    }
    let full = ask(&server, 2).await;
    assert!(full.starts_with("HTTP/1.1 503 "), "a crowd of one address leaves no answer: {full:?}");
}

#[tokio::test]
async fn a_proxy_that_does_not_say_for_whom_takes_no_slot_and_ends_soon() {
    for proxies in [ProxySpeech::ForwardedFor, ProxySpeech::ProxyProtocol] {
        let server = start(behind(proxies, config(2, 1)), arena()).await;
        let mut mute = Vec::new();
        for _ in 0..20 {
            mute.push(dial_from(1, server.addr).await);
        }
        let mut dribbling = dial_from(1, server.addr).await;
        let (head, before) = match proxies {
            ProxySpeech::ForwardedFor => {
                (request("/", "X-Forwarded-For: 192.0.2.1\r\n").into_bytes(), vec![])
            }
            ProxySpeech::ProxyProtocol => (header(1), header(2)),
        };
        let dribble = tokio::spawn(async move {
            for byte in head {
                // Whoever was closed may not write any more.
                if dribbling.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(500)).await;
            }
            panic!("nobody waits for a byte every half second");
        });
        let mut stream = dial_from(1, server.addr).await;
        stream.write_all(&before).await.unwrap();
        let mut witness = join(stream).await;
        until_taken(&server, 1).await;
        until_closed(mute, 0).await;
        timeout(PATIENCE, dribble).await.expect("an end").unwrap();
        is_undisturbed(&mut witness).await;
    }
}

#[tokio::test]
async fn whom_a_proxy_brings_has_the_slots_of_his_own_address() {
    let server = start(behind(ProxySpeech::ProxyProtocol, config(3, 1)), arena()).await;
    let mut mute = Vec::new();
    for _ in 0..100 {
        let mut stream = dial_from(1, server.addr).await;
        stream.write_all(&header(1)).await.unwrap();
        mute.push(stream);
    }
    let mut stream = dial_from(1, server.addr).await;
    stream.write_all(&header(2)).await.unwrap();
    let mut witness = join(stream).await;
    until_taken(&server, 2).await;
    until_closed(mute, 1).await;
    is_undisturbed(&mut witness).await;
}

/// Somebody who is in, and from whom nothing comes but signs of life.
struct LeftAlone {
    raw: Raw,
    pongs: usize,
}

impl LeftAlone {
    async fn join(server: &Running, role: Role, then: &[u8]) -> Self {
        let schema = arena().schema().clone();
        let wish = Hello { role, ..hello(&schema) };
        let Honest { mut raw, .. } = Honest::join(server.addr, &schema, &wish).await;
        if !then.is_empty() {
            raw.send(then.to_vec()).await;
        }
        Self { raw, pongs: 0 }
    }

    /// Pings until it is closed, or was answered so often more.
    async fn ping(&mut self, pongs: usize) -> Option<u16> {
        let enough = self.pongs.saturating_add(pongs);
        let mut ping = Vec::new();
        Ping { client_time: Micros(1) }.encode(&mut ping);
        let pinging = async {
            while self.pongs < enough {
                self.raw.send(ping.clone()).await;
                match self.raw.receive().await {
                    Ok(frames) => {
                        self.pongs += frames.iter().filter(|frame| frame.ty == FrameType::Pong).count();
                    }
                    Err(ending) => return Some(ending.expect("a close").0),
                }
                sleep(Duration::from_millis(20)).await;
            }
            None
        };
        timeout(PATIENCE, pinging).await.expect("an end")
    }
}

#[tokio::test]
async fn a_player_that_nobody_plays_is_let_go_but_not_who_watches_or_has_paused() {
    let mut config = config(10, 0);
    config.room.idle_timeout = Some(Micros::from_secs(1));
    config.room.session_window = Micros::from_secs(100);
    let server = start(config, arena()).await;
    let mut witness = join(dial_from(1, server.addr).await).await;
    witness.is_restless = true;
    let mut pause = Vec::new();
    Pause { is_paused: true }.encode(&mut pause);
    let mut alone = LeftAlone::join(&server, Role::Player, &[]).await;
    let mut watching = LeftAlone::join(&server, Role::Spectator, &[]).await;
    let mut paused = LeftAlone::join(&server, Role::Player, &pause).await;
    let (ended, (), watched, waited) = tokio::join!(
        alone.ping(usize::MAX),
        // Two seconds.
        witness.play_until(|witness| witness.digests >= 3),
        watching.ping(60),
        paused.ping(60),
    );
    assert_eq!((ended, watched, waited), (Some(4005), None, None));
    is_undisturbed(&mut witness).await;
    assert_eq!(server.handle.stats().await.players, 2, "its session is over");
}
