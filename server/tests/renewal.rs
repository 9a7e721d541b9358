//! Tokens that expire while their client plays: it has a newer one, brings it in time, or is out.
#![cfg(feature = "net")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{PATIENCE, Running, arena, start};
use tickwire_client::net::{ConnectError, Connection, Options, TokenProvider, Wake, connect_with};
use tickwire_client::{ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_protocol::handshake::{AuthRefusal, FreshReason, RejectReason, SessionOutcome, Token};
use tickwire_protocol::{CloseCode, Micros, TickRate};
use tickwire_server::auth::{Grant, JwtAuthenticator, JwtKeys, JwtPolicy, mint};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{AccountPolicy, ServerConfig};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn token(seconds: u64) -> Token {
    mint(SECRET.as_bytes(), &Grant::new("alice".to_owned(), Duration::from_secs(seconds))).unwrap()
}

/// A server without grace for tokens, that waits for clients and has an account once.
async fn server() -> Running {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.session_window = Micros::from_secs(100);
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), room);
    let policy = JwtPolicy { leeway: Duration::ZERO, ..JwtPolicy::default() };
    let keys = JwtKeys::parse(SECRET.as_bytes()).unwrap();
    config.access.authenticator = Some(Arc::new(JwtAuthenticator::new(keys, policy)));
    config.access.accounts = AccountPolicy::Refuse;
    start(config, arena()).await
}

/// Where a token goes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Request,
    Hello,
}

/// A client that comes back, and is given these tokens for its connections.
async fn connect(
    server: &Running,
    place: Place,
    tokens: impl Fn(u32) -> Token + Send + Sync + 'static,
) -> Result<Connection, ConnectError> {
    let asked = AtomicU32::new(0);
    let tokens = TokenProvider::new(move || Some(tokens(asked.fetch_add(1, Ordering::Relaxed))));
    let mut config = ClientConfig { reconnect: Some(Reconnect::default()), ..ClientConfig::new("test") };
    let mut options = Options::default();
    match place {
        Place::Request => options.tokens = Some(tokens),
        Place::Hello => config.tokens = Some(tokens),
    }
    let schema = arena().schema().clone();
    connect_with(&format!("ws://{}", server.addr), config, schema, options).await
}

async fn play(
    server: &Running,
    place: Place,
    tokens: impl Fn(u32) -> Token + Send + Sync + 'static,
) -> Connection {
    connect(server, place, tokens).await.unwrap()
}

/// Plays until an event is what is waited for.
async fn until<T>(connection: &mut Connection, is_it: impl Fn(&Event) -> Option<T>) -> T {
    let playing = async {
        loop {
            match connection.next().await.expect("it is told before the end") {
                Wake::Input(tick) => connection.push_input(tick, |_| {}),
                Wake::Snapshot => {}
                Wake::Event(event) => {
                    if let Some(found) = is_it(&event) {
                        return found;
                    }
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, playing).await.expect("what is waited for")
}

fn outcome(event: &Event) -> Option<SessionOutcome> {
    if let Event::Connected { outcome, .. } = event { Some(*outcome) } else { None }
}

fn last_error(event: &Event) -> Option<DisconnectReason> {
    match event {
        Event::Reconnecting { last_error, .. } => Some(last_error.clone()),
        Event::Disconnected(reason) => Some(reason.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn the_provider_is_asked_at_each_connect_and_the_session_goes_on_with_the_newer_token() {
    for place in [Place::Request, Place::Hello] {
        let server = server().await;
        let mut alice = play(&server, place, |asked| token(if asked == 0 { 2 } else { 3600 })).await;
        assert_eq!(until(&mut alice, outcome).await, SessionOutcome::Fresh(FreshReason::First));
        let DisconnectReason::Closed { code, .. } = until(&mut alice, last_error).await else {
            panic!("a close")
        };
        assert_eq!(code, CloseCode::TOKEN_EXPIRED);
        assert_eq!(until(&mut alice, outcome).await, SessionOutcome::Resumed, "{place:?}");
        assert_eq!(server.handle.stats().await.players, 1);
    }
}

#[tokio::test]
async fn who_has_no_newer_token_stops_at_the_refusal() {
    let server = server().await;
    let old = token(2);
    let mut alice = play(&server, Place::Request, {
        let old = old.clone();
        move |_| old.clone()
    })
    .await;
    until(&mut alice, outcome).await;
    let DisconnectReason::Closed { code, .. } = until(&mut alice, last_error).await else {
        panic!("a close")
    };
    assert_eq!(code, CloseCode::TOKEN_EXPIRED);
    let DisconnectReason::Refused { status, reason, .. } = until(&mut alice, last_error).await else {
        panic!("an answer")
    };
    assert!(status == 401 && reason.contains("expired"), "{status} {reason}");
    assert!(alice.client().is_closed(), "it does not try again");

    let expired = RejectReason::Unauthorized(AuthRefusal::Expired);
    let at_once = connect(&server, Place::Hello, move |_| old.clone()).await;
    assert!(matches!(at_once, Err(ConnectError::Rejected(reject)) if reject.reason == expired));
}

#[tokio::test]
async fn who_has_no_newer_token_for_its_hello_is_told_so_and_stops() {
    let server = server().await;
    let old = token(2);
    let mut alice = play(&server, Place::Hello, move |_| old.clone()).await;
    until(&mut alice, outcome).await;
    until(&mut alice, last_error).await;
    let rejected = until(&mut alice, |event| match event {
        Event::Rejected(reject) => Some(reject.reason.clone()),
        _ => None,
    });
    assert_eq!(rejected.await, RejectReason::Unauthorized(AuthRefusal::Expired));
    assert!(alice.client().is_closed(), "it does not try again");
}

#[tokio::test]
async fn who_brings_a_newer_token_in_time_notices_nothing() {
    let server = server().await;
    let mut alice = play(&server, Place::Hello, |_| token(2)).await;
    until(&mut alice, outcome).await;
    alice.client_mut().renew_token(token(3600));
    let checked = until(&mut alice, |event| match event {
        Event::TokenChecked(checked) => Some(checked.clone()),
        _ => None,
    });
    let terms = checked.await.expect("it is taken");
    assert!(terms.expires_in.is_some_and(|left| left > Micros::from_secs(3000)), "{terms:?}");
    let since = tokio::time::Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        match alice.next().await.expect("it plays on") {
            Wake::Input(tick) => alice.push_input(tick, |_| {}),
            Wake::Snapshot => {}
            Wake::Event(event) => assert_eq!(last_error(&event), None),
        }
    }
}
