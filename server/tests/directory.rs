//! Which rooms there are, and who gets into which, over real sockets.
#![cfg(feature = "net")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Honest, PATIENCE, Raw, Running, arena, encoded, hello, start};
use tickwire_client::ClientConfig;
use tickwire_client::net::{ConnectError, Options, TokenProvider, list_rooms};
use tickwire_protocol::frame::FrameType;
use tickwire_protocol::handshake::{
    AuthRefusal, Hello, NewRoom, Permission, RejectReason, Role, RoomSecret, RoomWish, Token,
};
use tickwire_protocol::limits::CLIENT_MESSAGE_BYTES_MAX;
use tickwire_protocol::room::{
    Introduction, ListRooms, MatchChange, MatchFrame, MatchStatus, RoomFilter, RoomList,
};
use tickwire_protocol::{CloseCode, Micros, RoomId, TickRate};
use tickwire_server::auth::{Authenticator, Credentials, Verdict, Verified};
use tickwire_server::core::{RoomConfig, RoomOpening};
use tickwire_server::net::{AddressLimits, Server, ServerConfig};

fn config() -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.session_window = Micros::ZERO;
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), room)
}

fn secret(text: &str) -> Option<RoomSecret> {
    RoomSecret::new(text).ok()
}

fn duel(name: &str) -> NewRoom {
    NewRoom { name: name.to_owned(), players_max: 2, mode: "duel".to_owned(), ..NewRoom::default() }
}

fn wishing(room: RoomWish) -> Hello {
    Hello { room, ..hello(arena().schema()) }
}

async fn join(server: &Running, room: RoomWish) -> Honest {
    let hello = wishing(room);
    tokio::time::timeout(PATIENCE, Honest::join(server.addr, arena().schema(), &hello))
        .await
        .expect("in time")
}

/// Why a wish is refused, and with which code.
async fn refused(server: &Running, room: RoomWish) -> (RejectReason, u16) {
    let mut raw = Raw::connect(server.addr).await;
    raw.send(encoded(&wishing(room))).await;
    let (reject, ending) = tokio::time::timeout(PATIENCE, raw.ending()).await.expect("an end");
    (reject.expect("a reject"), ending.expect("a close").0)
}

async fn list(server: &Running, question: &ListRooms) -> Result<RoomList, ConnectError> {
    let url = format!("ws://{}/", server.addr);
    list_rooms(&url, &ClientConfig::new("test"), question, &Options::default()).await
}

fn names(list: &RoomList) -> Vec<&str> {
    list.rooms.iter().map(|room| room.name.as_str()).collect()
}

fn question() -> Vec<u8> {
    let mut out = Vec::new();
    ListRooms::default().encode(&mut out);
    out
}

#[tokio::test]
async fn rooms_are_listed_before_a_hello_and_over_the_same_connection_joined() {
    let server = start(config(), arena()).await;
    assert_eq!(list(&server, &ListRooms::default()).await.unwrap(), RoomList::default());
    let _first = join(&server, RoomWish::New(duel("duel-1"))).await;
    let _second = join(&server, RoomWish::New(NewRoom { secret: secret("sesame"), ..duel("duel-2") })).await;
    let _third = join(&server, RoomWish::Named("race".to_owned())).await;

    let mut raw = Raw::connect(server.addr).await;
    raw.send(question()).await;
    let answer = raw.receive().await.expect("an answer");
    assert_eq!(answer[0].ty, FrameType::Rooms);
    let rooms = RoomList::decode(&answer[0].payload).unwrap();
    assert_eq!(names(&rooms), ["duel-1", "race"], "a private room is in no list");
    let first = &rooms.rooms[0];
    assert_eq!((first.players, first.players_max, first.mode.as_str()), (1, 2, "duel"));
    let wish = RoomWish::Existing { name: first.name.clone(), secret: None };
    let joined = Honest::join_over(raw, arena().schema(), &wishing(wish)).await;
    assert_eq!((joined.welcome.room, joined.welcome.room_name.as_str()), (first.room, "duel-1"));

    let filter = RoomFilter { free_places: 1, ..RoomFilter::default() };
    let not_full = list(&server, &ListRooms { filter, ..ListRooms::default() }).await.unwrap();
    assert_eq!(names(&not_full), ["race"]);
    assert_eq!(server.handle.rooms(&ListRooms::default()).rooms.len(), 2);
}

#[tokio::test]
async fn the_list_says_how_matches_stand() {
    let server = start(config(), arena()).await;
    let _player = join(&server, RoomWish::New(duel("duel"))).await;
    let filter =
        RoomFilter { mode: "duel".to_owned(), status: Some(MatchStatus::Running), ..RoomFilter::default() };
    let question = ListRooms { filter, ..ListRooms::default() };
    let runs = async {
        // The arena runs from its first step on.
        while list(&server, &question).await.unwrap().rooms.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, runs).await.expect("the room tells the directory");
}

#[tokio::test]
async fn every_wish_that_fails_has_its_own_answer_and_disturbs_nobody() {
    let mut config = config();
    config.directory.rooms_max = 2;
    let server = start(config, arena()).await;
    let den = NewRoom { secret: secret("sesame"), ..duel("den") };
    let mut host = join(&server, RoomWish::New(den.clone())).await;
    let existing = |name: &str, secret| RoomWish::Existing { name: name.to_owned(), secret };
    for wish in [
        existing("den", secret("sesamf")),
        existing("den", None),
        RoomWish::Named("den".to_owned()),
        RoomWish::New(NewRoom { or_join: true, secret: None, ..den.clone() }),
    ] {
        assert_eq!(refused(&server, wish).await, (RejectReason::WrongSecret, 4001));
    }
    let _guest = join(&server, existing("den", secret("sesame"))).await;
    let full = RejectReason::RoomFull { players: 2, max: 2 };
    assert_eq!(refused(&server, existing("den", secret("sesame"))).await, (full, 1013));
    assert_eq!(refused(&server, existing("nowhere", None)).await, (RejectReason::NoSuchRoom, 4001));
    assert_eq!(refused(&server, RoomWish::New(den)).await, (RejectReason::RoomExists, 4001));
    assert_eq!(refused(&server, RoomWish::Named(String::new())).await, (RejectReason::BadRoomName, 4001));
    let _second = join(&server, RoomWish::New(duel(""))).await;
    let many = RejectReason::TooManyRooms { max: 2 };
    assert_eq!(refused(&server, RoomWish::New(duel("third"))).await, (many, 1013));
    let played = (host.snapshots, host.digests);
    host.play_until(|host| host.snapshots > played.0 && host.digests > played.1).await;
    assert_eq!(server.handle.stats().await.players, 3);
}

#[tokio::test]
async fn an_address_has_so_many_rooms_opened_and_joins_any_number() {
    let mut config = config();
    config.directory.rooms_per_opener_max = 1;
    let uncounted = start(config.clone(), arena()).await;
    let _two =
        [join(&uncounted, RoomWish::New(duel("a"))).await, join(&uncounted, RoomWish::New(duel("b"))).await];
    config.access.addresses = AddressLimits { counts_loopback: true, ..AddressLimits::default() };
    let server = start(config, arena()).await;
    let _host = join(&server, RoomWish::New(duel("a"))).await;
    let many = RejectReason::TooManyRooms { max: 1 };
    assert_eq!(refused(&server, RoomWish::New(duel("b"))).await, (many, 1013));
    let _other = join(&server, RoomWish::Existing { name: "a".to_owned(), secret: None }).await;
    assert_eq!(server.handle.stats().await.players, 2);
}

#[tokio::test]
async fn a_room_begins_with_the_mode_and_settings_that_it_was_opened_with() {
    let server = start(config(), arena()).await;
    let room = NewRoom { settings: vec![7, 9], ..duel("duel") };
    let hello = Hello {
        extensions: vec![Introduction::default().extension()],
        role: Role::Spectator,
        ..wishing(RoomWish::New(room))
    };
    let mut raw = Raw::connect(server.addr).await;
    raw.send(encoded(&hello)).await;
    let told = async {
        loop {
            for frame in raw.receive().await.expect("the room's match") {
                if frame.ty == FrameType::Match {
                    return MatchFrame::decode(&frame.payload).unwrap().changes;
                }
            }
        }
    };
    let changes = tokio::time::timeout(PATIENCE, told).await.expect("in time");
    let Some(MatchChange::Info(info)) = changes.first() else { panic!("{changes:?}") };
    assert_eq!((info.mode.as_str(), &info.settings[..]), ("duel", &[7, 9][..]));
}

#[tokio::test]
async fn clients_open_no_rooms_where_the_owner_has_those_that_there_are() {
    let mut config = config();
    config.directory.opening = RoomOpening::Never;
    config.rooms = vec![NewRoom { name: "lobby".to_owned(), ..NewRoom::default() }];
    config.room_lifetime = Duration::from_millis(20);
    let server = start(config, arena()).await;
    let forbidden = RejectReason::Forbidden { action: "open".to_owned() };
    assert_eq!(refused(&server, RoomWish::New(duel("mine"))).await, (forbidden, 4011));
    let named = RoomWish::Named("mine".to_owned());
    assert_eq!(refused(&server, named.clone()).await, (RejectReason::NoSuchRoom, 4001));
    let mut visitor = join(&server, RoomWish::Any).await;
    assert_eq!(visitor.welcome.room_name, "lobby");
    visitor.play_until(|visitor| visitor.snapshots > 1).await;
    let lobby = visitor.welcome.room;
    drop(visitor);
    let opened = server.handle.open_room(&duel("mine"), false).unwrap();
    assert_eq!(server.handle.open_room(&duel("mine"), false), Err(RejectReason::RoomExists));
    let visitor = join(&server, named).await;
    assert_eq!((visitor.welcome.room, visitor.welcome.room_name.as_str()), (opened, "mine"));
    drop(visitor);
    // The room of a client's wish ends when nobody is in it, the owner's does not.
    let only_the_lobby = async {
        while server.handle.stats().await.rooms.len() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, only_the_lobby).await.expect("an empty room closes");
    assert_eq!(join(&server, RoomWish::Any).await.welcome.room, lobby);
}

#[tokio::test]
async fn a_server_does_not_start_with_rooms_that_cannot_be() {
    for names in [&["a", "a"][..], &["a\u{7}"]] {
        let mut config = config();
        config.rooms = names.iter().map(|name| duel(name)).collect();
        let error = Server::bind(config, arena()).await.err().expect("it says so");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn who_asks_too_often_is_a_flood_and_who_asks_wrongly_is_closed() {
    let server = start(config(), arena()).await;
    let mut raw = Raw::connect(server.addr).await;
    for _ in 0..16 {
        raw.send(question()).await;
        assert_eq!(raw.receive().await.expect("an answer")[0].ty, FrameType::Rooms);
    }
    raw.send(question()).await;
    let ending = tokio::time::timeout(PATIENCE, raw.ending()).await.expect("an end");
    assert_eq!(ending.1.expect("a close").0, CloseCode::POLICY.0);
    let greedy = |bytes: usize| {
        let filter = RoomFilter { name_prefix: "x".repeat(bytes), ..RoomFilter::default() };
        let mut out = Vec::new();
        ListRooms { filter, ..ListRooms::default() }.encode(&mut out);
        out
    };
    let mut huge = Raw::connect(server.addr).await;
    huge.send(greedy(CLIENT_MESSAGE_BYTES_MAX)).await;
    let ending = tokio::time::timeout(PATIENCE, huge.ending()).await.expect("an end");
    assert_eq!(ending.1.expect("a close").0, CloseCode::TOO_BIG.0);
    let wrong = [
        vec![2, 21, 0, 0],
        greedy(65),
        greedy(3_000),
        [question(), question()].concat(),
        [question(), encoded(&wishing(RoomWish::Any))].concat(),
    ];
    for wrong in wrong {
        let mut raw = Raw::connect(server.addr).await;
        raw.send(wrong).await;
        let ending = tokio::time::timeout(PATIENCE, raw.ending()).await.expect("an end");
        assert_eq!(ending.1.expect("a close").0, 1002);
    }
    // In a room nobody asks any more, and nobody joins another.
    for late in [question(), encoded(&wishing(RoomWish::Any))] {
        let mut player = join(&server, RoomWish::Any).await;
        player.raw.send(late).await;
        let ending = tokio::time::timeout(PATIENCE, player.raw.ending()).await.expect("an end");
        assert_eq!(ending.1.expect("a close").0, CloseCode::POLICY.0);
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_also_of_those_who_only_ask() {
    let mut config = config();
    config.access.addresses = AddressLimits {
        connections_max: 2,
        handshakes_per_second: 0,
        counts_loopback: true,
        ..AddressLimits::default()
    };
    let server = start(config, arena()).await;
    let mut asking = Raw::connect(server.addr).await;
    asking.send(question()).await;
    asking.receive().await.expect("an answer");
    let _player = join(&server, RoomWish::Any).await;
    let refused = list(&server, &ListRooms::default()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused { status: 429, .. }), "{refused}");
    drop(asking);
    let again = async {
        while list(&server, &ListRooms::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place is given back");
}

/// Knows tokens by their text: each is an account, and its permission.
struct ByName;

impl Authenticator for ByName {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Verdict<'a> {
        let name = credentials.token.as_str().to_owned();
        let permissions = [name.clone(), "play".to_owned()].map(Permission).to_vec();
        Box::pin(
            async move { Ok(Verified { account: name, valid_for: None, permissions, claims: Vec::new() }) },
        )
    }
}

#[tokio::test]
async fn where_tokens_are_wanted_rooms_are_listed_and_opened_for_who_has_one() {
    let mut config = config();
    config.access.authenticator = Some(Arc::new(ByName));
    let server = start(config, arena()).await;
    let token = |text: &str| Token::new(text).unwrap();
    let unknown = list(&server, &ListRooms::default()).await.unwrap_err();
    let missing = RejectReason::Unauthorized(AuthRefusal::Missing);
    assert!(matches!(&unknown, ConnectError::Rejected(reject) if reject.reason == missing), "{unknown}");

    let with = |text: &str, room| Hello { extensions: vec![token(text).extension()], ..wishing(room) };
    let mut raw = Raw::connect(server.addr).await;
    raw.send(encoded(&with("watch", RoomWish::New(duel("duel"))))).await;
    let forbidden = RejectReason::Forbidden { action: "open".to_owned() };
    assert_eq!(raw.ending().await.0, Some(forbidden));
    let host = with("open", RoomWish::New(duel("duel")));
    let _host = Honest::join(server.addr, arena().schema(), &host).await;

    let options = Options { tokens: Some(TokenProvider::fixed(token("watch"))), ..Options::default() };
    let url = format!("ws://{}/", server.addr);
    let page = list_rooms(&url, &ClientConfig::new("test"), &ListRooms::default(), &options).await.unwrap();
    assert_eq!(names(&page), ["duel"]);
    assert_eq!(page.rooms[0].room, RoomId(1));
}
