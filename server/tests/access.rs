//! Who is let in and who is not, over real sockets: every refusal with its documented answer, and nobody else disturbed.
#![cfg(feature = "net")]

mod common;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use common::{Honest, PATIENCE, Raw, Running, arena, encoded, hello, request, start};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};
use tickwire_client::ClientConfig;
use tickwire_client::net::{ConnectError, Options, TokenProvider, discover};
use tickwire_protocol::handshake::{
    Auth, AuthRefusal, AuthTerms, FreshReason, Hello, Permission, RejectReason, Role, RoomWish,
    SessionOutcome, SessionTerms, Token,
};
use tickwire_protocol::{Micros, PlayerId, Schema, TickRate};
use tickwire_server::auth::{
    Authenticator, Credentials, Grant, JwtAuthenticator, JwtKeys, JwtPolicy, Verdict, generate_key, mint,
};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{AccessConfig, AccountPolicy, Game, LetsIn, Server, ServerConfig};
use tickwire_sim::arena::{Arena, Level};
use tickwire_sim::{Simulation, StepContext};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn grant(account: &str) -> Grant {
    Grant::new(account.to_owned(), Duration::from_hours(1))
}

fn token(account: &str) -> Token {
    mint(SECRET.as_bytes(), &grant(account)).unwrap()
}

fn config() -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.session_window = Micros::ZERO;
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), room)
}

fn trusting(keys: JwtKeys, policy: JwtPolicy) -> ServerConfig {
    let mut config = config();
    config.access.authenticator = Some(Arc::new(JwtAuthenticator::new(keys, policy)));
    config
}

/// A server that knows accounts by the secret, without leeway.
fn signed_in() -> ServerConfig {
    let policy = JwtPolicy { leeway: Duration::ZERO, ..JwtPolicy::default() };
    trusting(JwtKeys::parse(SECRET.as_bytes()).unwrap(), policy)
}

fn with_token(schema: &Schema, token: &Token) -> Hello {
    Hello { extensions: vec![token.extension()], ..hello(schema) }
}

/// A request for a WebSocket with these lines in it; the answer, whole.
async fn ask(addr: SocketAddr, target: &str, lines: &str) -> String {
    say(addr, request(target, lines).as_bytes()).await
}

async fn say(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 4096];
    let heard = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&answer[..heard]).into_owned()
}

/// How a hello is refused: the reject, and the close code.
async fn refused(addr: SocketAddr, hello: &Hello) -> (RejectReason, u16) {
    let mut raw = Raw::connect(addr).await;
    raw.send(encoded(hello)).await;
    let (reject, ending) = tokio::time::timeout(PATIENCE, raw.ending()).await.expect("an end");
    (reject.expect("a reject"), ending.expect("a close").0)
}

/// Somebody who is in, and stays undisturbed by what happens to others.
async fn witness(server: &Running, schema: &Arc<Schema>) -> Honest {
    let mut witness = Honest::join(server.addr, schema, &with_token(schema, &token("witness"))).await;
    witness.play_until(|witness| witness.snapshots >= 2).await;
    witness
}

async fn is_undisturbed(witness: &mut Honest) {
    let (snapshots, digests) = (witness.snapshots, witness.digests);
    witness.play_until(|witness| witness.snapshots >= snapshots + 5 && witness.digests > digests).await;
}

#[tokio::test]
async fn what_the_request_lacks_is_answered_by_name_before_the_upgrade() {
    let mut config = signed_in();
    config.access.origins = vec!["https://play.example.org".to_owned()];
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let mut witness = witness(&server, &schema).await;
    let good = token("alice");
    let bearer = format!("Authorization: Bearer {}\r\n", good.as_str());
    let other = mint(&[b'x'; 32], &grant("alice")).unwrap();
    let wrong = format!("Authorization: Bearer {}\r\n", other.as_str());
    let cases = [
        (
            ask(server.addr, &format!("/?token={}", good.as_str()), "").await,
            "400",
            "no tokens in the address",
        ),
        (ask(server.addr, "/rooms", &bearer).await, "404", "path"),
        (ask(server.addr, "/", "Origin: https://evil.example\r\n").await, "403", "--origin"),
        (ask(server.addr, "/", &wrong).await, "401", "signature"),
        (ask(server.addr, "/", "Authorization: Bearer \r\n").await, "401", "damaged"),
        (say(server.addr, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, "426", "ws://"),
        (say(server.addr, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").await, "400", "no HTTP"),
        (ask(server.addr, "/", &format!("X: {}\r\n", "x".repeat(9_000))).await, "431", "8192"),
        (say(server.addr, &[b'x'; 9_000]).await, "431", "8192"),
    ];
    for (answer, status, words) in cases {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words),
            "{words}: {answer}"
        );
        assert!(!answer.contains(good.as_str()));
    }
    let origin = format!("Origin: https://play.example.org\r\n{bearer}");
    assert!(ask(server.addr, "/", &origin).await.starts_with("HTTP/1.1 101 "));
    is_undisturbed(&mut witness).await;
}

#[tokio::test]
async fn every_wrong_token_is_refused_with_its_reason() {
    let keys = JwtKeys::parse(SECRET.as_bytes()).unwrap();
    let policy = JwtPolicy {
        issuer: Some("game".to_owned()),
        audience: Some("arena".to_owned()),
        leeway: Duration::ZERO,
    };
    let server = start(trusting(keys, policy), arena()).await;
    let schema = arena().schema().clone();
    let good =
        Grant { issuer: Some("game".to_owned()), audience: Some("arena".to_owned()), ..grant("alice") };
    let signed = |grant: &Grant| mint(SECRET.as_bytes(), grant).unwrap();
    let claiming = |name: &str, value: Value| {
        signed(&Grant { claims: Map::from_iter([(name.to_owned(), value)]), ..good.clone() })
    };
    let ed = mint(include_bytes!("keys/ed25519.pem"), &good).unwrap();
    let mut bent = signed(&good).as_str().to_owned();
    let at = bent.len() - 5;
    let other = if bent[at..].starts_with('A') { "B" } else { "A" };
    bent.replace_range(at..=at, other);
    let cut = signed(&good).as_str().rsplit_once('.').unwrap().0.to_owned();
    let spent = Grant { expires_in: Duration::ZERO, ..good.clone() };
    let many: Vec<_> = (0..13).map(|number| number.to_string()).collect();
    let cases = [
        (with_token(&schema, &ed), AuthRefusal::Algorithm),
        (with_token(&schema, &Token::new(bent).unwrap()), AuthRefusal::Signature),
        (with_token(&schema, &Token::new(cut).unwrap()), AuthRefusal::Malformed),
        (with_token(&schema, &Token::new("hello").unwrap()), AuthRefusal::Malformed),
        // {"alg":"none"}
        (with_token(&schema, &Token::new("eyJhbGciOiJub25lIn0.e30.").unwrap()), AuthRefusal::Malformed),
        (with_token(&schema, &claiming("nbf", json!(u32::MAX))), AuthRefusal::NotYet),
        (with_token(&schema, &signed(&Grant { issuer: None, ..good.clone() })), AuthRefusal::Issuer),
        (
            with_token(&schema, &signed(&Grant { audience: Some("x".to_owned()), ..good.clone() })),
            AuthRefusal::Audience,
        ),
        (
            with_token(&schema, &signed(&Grant { account: String::new(), ..good.clone() })),
            AuthRefusal::Claims,
        ),
        (
            with_token(&schema, &signed(&Grant { permissions: Some(many), ..good.clone() })),
            AuthRefusal::Claims,
        ),
        (hello(&schema), AuthRefusal::Missing),
    ];
    for (hello, refusal) in cases {
        assert_eq!(refused(server.addr, &hello).await, (RejectReason::Unauthorized(refusal), 4010));
    }
    let expired = RejectReason::Unauthorized(AuthRefusal::Expired);
    assert_eq!(refused(server.addr, &with_token(&schema, &signed(&spent))).await, (expired, 4010));
    let mut alice = Honest::join(server.addr, &schema, &with_token(&schema, &signed(&good))).await;
    is_undisturbed(&mut alice).await;
}

#[tokio::test]
async fn keys_of_every_kind_verify_what_they_signed_and_nothing_else() {
    let generated = generate_key().unwrap();
    let pairs: [(&[u8], &[u8]); 4] = [
        (include_bytes!("keys/ed25519.pem"), include_bytes!("keys/ed25519.pub.pem")),
        (include_bytes!("keys/p256.pem"), include_bytes!("keys/p256.pub.pem")),
        (include_bytes!("keys/rsa.pem"), include_bytes!("keys/rsa.pub.pem")),
        (generated.as_bytes(), generated.as_bytes()),
    ];
    for (index, (_, public)) in pairs.iter().enumerate() {
        let keys = JwtKeys::parse(public).unwrap();
        let authenticator = JwtAuthenticator::new(keys, JwtPolicy::default());
        for (signer, (private, _)) in pairs.iter().enumerate() {
            let token = mint(private, &grant("alice")).unwrap();
            let credentials = Credentials { token: &token, address: [127, 0, 0, 1].into() };
            let found = authenticator.authenticate(credentials).await.map(|verified| verified.account);
            let wanted = if index == signer { Ok("alice".to_owned()) } else { Err(AuthRefusal::Algorithm) };
            assert_eq!(found, wanted, "key {index}, token {signer}");
        }
        // The classic confusion: a public key, which everybody has, as the secret of HS256.
        if index < 3 {
            let claims = json!({ "sub": "alice", "exp": u32::MAX });
            let secret = EncodingKey::from_secret(public);
            let forged = encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
            let token = Token::new(forged).unwrap();
            let credentials = Credentials { token: &token, address: [127, 0, 0, 1].into() };
            assert_eq!(authenticator.authenticate(credentials).await.map(drop), Err(AuthRefusal::Algorithm));
        }
    }
    assert!(JwtKeys::parse(include_bytes!("keys/p384.pub.pem")).is_err());
}

#[tokio::test]
async fn a_token_comes_by_header_by_subprotocol_or_in_the_hello_and_once() {
    let server = start(signed_in(), arena()).await;
    let schema = arena().schema().clone();
    let (good, bad) = (token("alice"), mint(&[b'x'; 32], &grant("alice")).unwrap());
    let account = |welcome: &Honest| AuthTerms::find(&welcome.welcome.extensions).unwrap().unwrap().account;
    let lines = |token: &Token| {
        [
            ("authorization", format!("Bearer {}", token.as_str())),
            ("sec-websocket-protocol", format!("tickwire, bearer.{}", token.as_str())),
        ]
    };
    for line in lines(&good) {
        let raw = Raw::connect_with(server.addr, &[line]).await;
        let alice = Honest::join_over(raw, &schema, &hello(&schema)).await;
        assert_eq!(account(&alice), "alice");
    }
    let alice = Honest::join(server.addr, &schema, &with_token(&schema, &good)).await;
    assert_eq!(account(&alice), "alice");
    // A browser tells its page nothing of an HTTP status: it hears in a reject what was wrong.
    let [_, subprotocol] = lines(&bad);
    let mut raw = Raw::connect_with(server.addr, &[subprotocol]).await;
    raw.send(encoded(&hello(&schema))).await;
    let (reject, _) = raw.ending().await;
    assert_eq!(reject, Some(RejectReason::Unauthorized(AuthRefusal::Signature)));
    let [header, _] = lines(&good);
    let mut raw = Raw::connect_with(server.addr, &[header]).await;
    raw.send(encoded(&with_token(&schema, &good))).await;
    assert_eq!(raw.ending().await.1.unwrap().0, 1002, "two tokens");
}

#[tokio::test]
async fn a_newer_token_keeps_a_connection_and_an_old_one_ends_it() {
    let server = start(signed_in(), arena()).await;
    let schema = arena().schema().clone();
    let brief = |account: &str, seconds| {
        let grant = Grant { expires_in: Duration::from_secs(seconds), ..grant(account) };
        mint(SECRET.as_bytes(), &grant).unwrap()
    };
    let mut alice = Honest::join(server.addr, &schema, &with_token(&schema, &brief("alice", 3))).await;
    let mut bob = Honest::join(server.addr, &schema, &with_token(&schema, &brief("bob", 3))).await;
    alice.send_token(&brief("alice", 3600)).await;
    let told = alice.answer_to_token().await.expect("granted");
    assert!(told.account == "alice" && told.expires_in.is_some_and(|left| left > Micros::from_secs(3000)));
    bob.send_token(&brief("carol", 3600)).await;
    assert_eq!(bob.answer_to_token().await, Err(AuthRefusal::OtherAccount));
    bob.send_token(&mint(&[b'x'; 32], &grant("bob")).unwrap()).await;
    assert_eq!(bob.answer_to_token().await, Err(AuthRefusal::Signature));
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(ending) = bob.play().await {
                return ending;
            }
        }
    });
    let (code, reason) = ended.await.expect("an end").expect("a close");
    assert_eq!(code, 4013, "{reason}");
    is_undisturbed(&mut alice).await;
}

#[tokio::test]
async fn tokens_that_come_too_fast_are_a_flood() {
    let server = start(signed_in(), arena()).await;
    let schema = arena().schema().clone();
    let mut witness = witness(&server, &schema).await;
    let mut alice = Honest::join(server.addr, &schema, &with_token(&schema, &token("alice"))).await;
    let mut two = Vec::new();
    Auth::Token(token("alice")).encode(&mut two);
    alice.raw.send(two.clone()).await;
    alice.raw.send(two).await;
    let ended = async { while alice.play().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("an end");
    is_undisturbed(&mut witness).await;
}

/// A game that notes who its players are.
struct Nosy {
    arena: Arena,
    seen: Sender<Seen>,
}

type Seen = (PlayerId, Option<(String, Value)>, bool);

impl Simulation for Nosy {
    fn schema(&self) -> &Arc<Schema> {
        self.arena.schema()
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.arena.start(ctx);
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        for &player in ctx.joined() {
            let account = ctx.account(player);
            let account = account
                .map(|account| (account.name.to_owned(), serde_json::from_slice(account.claims).unwrap()));
            self.seen.send((player, account, ctx.may(player, "kick"))).unwrap();
        }
        self.arena.step(ctx);
    }

    fn save(&self, out: &mut tickwire_protocol::Tables) {
        self.arena.save(out);
    }

    fn load(&mut self, tables: &tickwire_protocol::Tables) {
        self.arena.load(tables);
    }
}

#[tokio::test]
async fn the_game_knows_who_its_players_are_and_what_they_may() {
    let (sender, seen) = channel();
    let schema = arena().schema().clone();
    let game = Game::new(schema.clone(), move |_| {
        Box::new(Nosy { arena: Arena::new(Level::for_players(64)), seen: sender.clone() })
    });
    let mut config = signed_in();
    config.access.guests = true;
    let server = start(config, game).await;
    let grant = Grant {
        permissions: Some(vec!["play".to_owned(), "kick".to_owned()]),
        claims: Map::from_iter([("level".to_owned(), json!(7))]),
        ..grant("alice")
    };
    let token = mint(SECRET.as_bytes(), &grant).unwrap();
    let alice = Honest::join(server.addr, &schema, &with_token(&schema, &token)).await;
    let terms = AuthTerms::find(&alice.welcome.extensions).unwrap().unwrap();
    assert_eq!(terms.permissions, ["kick", "play"].map(|name| Permission(name.to_owned())));
    let watching = Hello { role: Role::Spectator, ..with_token(&schema, &token) };
    let forbidden = RejectReason::Forbidden { action: "watch".to_owned() };
    assert_eq!(refused(server.addr, &watching).await, (forbidden, 4011));
    let mut guest = Honest::join(server.addr, &schema, &hello(&schema)).await;
    guest.play_until(|guest| guest.snapshots >= 3).await;
    let (_, account, may_kick) = seen.recv().unwrap();
    let (name, claims) = account.unwrap();
    assert_eq!((name.as_str(), &claims["level"], may_kick), ("alice", &json!(7), true));
    let (_, account, may_kick) = seen.recv().unwrap();
    assert_eq!((account, may_kick), (None, false));
}

#[tokio::test]
async fn an_account_is_here_once_or_so_often_as_it_may_be() {
    let schema = arena().schema().clone();
    let alice = with_token(&schema, &token("alice"));
    for (policy, max) in [(AccountPolicy::Refuse, 1), (AccountPolicy::Allow(2), 2)] {
        let mut config = signed_in();
        config.access.accounts = policy;
        let server = start(config, arena()).await;
        let mut witness = witness(&server, &schema).await;
        let mut here = Vec::new();
        for _ in 0..max {
            here.push(Honest::join(server.addr, &schema, &alice).await);
        }
        let busy = RejectReason::AccountBusy { sessions: max, max };
        assert_eq!(refused(server.addr, &alice).await, (busy, 4012));
        drop(here);
        is_undisturbed(&mut witness).await;
    }
    let mut config = signed_in();
    config.access.accounts = AccountPolicy::Replace;
    let server = start(config, arena()).await;
    let mut witness = witness(&server, &schema).await;
    let mut older = Honest::join(server.addr, &schema, &alice).await;
    let mut newer = Honest::join(server.addr, &schema, &alice).await;
    let (_, ending) = tokio::time::timeout(PATIENCE, older.raw.ending()).await.expect("an end");
    assert_eq!(ending.expect("a close").0, 4014);
    is_undisturbed(&mut newer).await;
    is_undisturbed(&mut witness).await;
}

/// A server that waits for clients that have lost their connection.
fn patient(policy: AccountPolicy) -> ServerConfig {
    let mut config = signed_in();
    config.access.accounts = policy;
    config.room.session_window = Micros::from_secs(100);
    config
}

fn permitted(account: &str, permissions: &[&str]) -> Token {
    let permissions = Some(permissions.iter().map(|name| (*name).to_owned()).collect());
    mint(SECRET.as_bytes(), &Grant { permissions, ..grant(account) }).unwrap()
}

/// Somebody who plays for a moment and whose connection is lost then.
async fn passes_by(server: &Running, schema: &Arc<Schema>, hello: &Hello) {
    let mut gone = Honest::join(server.addr, schema, hello).await;
    gone.play_until(|gone| gone.snapshots >= 3).await;
    drop(gone);
    // Longer than the room takes to hear of it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.handle.stats().await.players, 1, "it is waited for");
}

#[tokio::test]
async fn an_account_counts_as_long_as_its_session_and_not_as_its_connection() {
    let schema = arena().schema().clone();
    let alice = with_token(&schema, &token("alice"));
    let server = start(patient(AccountPolicy::Refuse), arena()).await;
    passes_by(&server, &schema, &alice).await;
    let busy = RejectReason::AccountBusy { sessions: 1, max: 1 };
    let elsewhere = Hello { room: RoomWish::Named("elsewhere".to_owned()), ..alice.clone() };
    for hello in [&alice, &elsewhere] {
        assert_eq!(refused(server.addr, hello).await, (busy.clone(), 4012));
    }
    assert_eq!(server.handle.stats().await.rooms.len(), 1, "no room is opened for who is refused");
    for hello in [&alice, &elsewhere] {
        let server = start(patient(AccountPolicy::Replace), arena()).await;
        passes_by(&server, &schema, &alice).await;
        let mut newer = Honest::join(server.addr, &schema, hello).await;
        is_undisturbed(&mut newer).await;
        assert_eq!(server.handle.stats().await.players, 1, "the absent one is over");
    }
}

#[tokio::test]
async fn the_older_goes_when_the_newer_is_in_and_leaves_it_its_place() {
    let schema = arena().schema().clone();
    let mut config = patient(AccountPolicy::Replace);
    (config.room.players_max, config.directory.players_max) = (1, 1);
    let server = start(config, arena()).await;
    let alice = with_token(&schema, &token("alice"));
    let mut older = Honest::join(server.addr, &schema, &alice).await;
    older.play_until(|older| older.snapshots >= 2).await;
    let watcher = with_token(&schema, &permitted("alice", &["watch"]));
    let forbidden = RejectReason::Forbidden { action: "play".to_owned() };
    assert_eq!(refused(server.addr, &watcher).await, (forbidden, 4011));
    is_undisturbed(&mut older).await;
    let mut newer = Honest::join(server.addr, &schema, &alice).await;
    let (_, ending) = tokio::time::timeout(PATIENCE, older.raw.ending()).await.expect("an end");
    assert_eq!(ending.expect("a close").0, 4014);
    is_undisturbed(&mut newer).await;
    assert_eq!(server.handle.stats().await.players, 1);
}

#[tokio::test]
async fn nobody_opens_a_room_that_he_may_not_be_in() {
    let schema = arena().schema().clone();
    let server = start(signed_in(), arena()).await;
    let alice = with_token(&schema, &permitted("alice", &["open", "play@lobby"]));
    let forbidden = RejectReason::Forbidden { action: "play".to_owned() };
    for room in [RoomWish::Named("vault".to_owned()), RoomWish::Any] {
        let hello = Hello { room, ..alice.clone() };
        assert_eq!(refused(server.addr, &hello).await, (forbidden.clone(), 4011));
    }
    assert_eq!(server.handle.stats().await.rooms.len(), 0);
    let lobby = Hello { room: RoomWish::Named("lobby".to_owned()), ..alice };
    let mut alice = Honest::join(server.addr, &schema, &lobby).await;
    is_undisturbed(&mut alice).await;
}

#[tokio::test]
async fn who_asks_for_the_schema_takes_no_place_and_nobodys() {
    let schema = arena().schema().clone();
    let server = start(signed_in(), arena()).await;
    let token = permitted("alice", &["play"]);
    let url = format!("ws://{}", server.addr);
    let options = Options { tokens: Some(TokenProvider::fixed(token.clone())), ..Options::default() };
    let ask = async || discover(&url, &ClientConfig::new("test"), &options).await.unwrap().hash();
    assert_eq!(ask().await, schema.hash());
    assert_eq!(server.handle.stats().await.rooms.len(), 0);
    let mut alice = Honest::join(server.addr, &schema, &with_token(&schema, &token)).await;
    assert_eq!(ask().await, schema.hash());
    is_undisturbed(&mut alice).await;
    let stranger = discover(&url, &ClientConfig::new("test"), &Options::default()).await;
    let missing = RejectReason::Unauthorized(AuthRefusal::Missing);
    assert!(matches!(stranger, Err(ConnectError::Rejected(reject)) if reject.reason == missing));
}

/// An authenticator that panics when it is asked for the second time.
struct Fragile {
    inner: JwtAuthenticator,
    asked: AtomicU32,
}

impl Authenticator for Fragile {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> Verdict<'a> {
        assert_ne!(self.asked.fetch_add(1, Ordering::Relaxed), 1, "asked for the second time");
        self.inner.authenticate(credentials)
    }
}

#[tokio::test]
async fn a_check_that_panics_is_answered_and_may_be_asked_for_again() {
    let schema = arena().schema().clone();
    let keys = JwtKeys::parse(SECRET.as_bytes()).unwrap();
    let inner = JwtAuthenticator::new(keys, JwtPolicy::default());
    let mut config = config();
    config.access.authenticator = Some(Arc::new(Fragile { inner, asked: AtomicU32::new(0) }));
    let server = start(config, arena()).await;
    let mut alice = Honest::join(server.addr, &schema, &with_token(&schema, &token("alice"))).await;
    alice.send_token(&token("alice")).await;
    assert_eq!(alice.answer_to_token().await, Err(AuthRefusal::Unavailable));
    alice.send_token(&token("alice")).await;
    assert_eq!(alice.answer_to_token().await.map(|terms| terms.account), Ok("alice".to_owned()));
}

#[tokio::test]
async fn a_session_goes_on_for_its_own_account_alone() {
    let mut config = signed_in();
    config.access.accounts = AccountPolicy::Refuse;
    config.room.session_window = Micros::from_secs(100);
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let mut alice = Honest::join(server.addr, &schema, &with_token(&schema, &token("alice"))).await;
    alice.play_until(|alice| alice.snapshots >= 3).await;
    let terms = SessionTerms::find(&alice.welcome.extensions).unwrap().unwrap();
    let resume = tickwire_protocol::handshake::Resume {
        session: alice.welcome.session,
        token: terms.token,
        received: tickwire_protocol::message::Received::default(),
    };
    let back = |account: &str| Hello {
        extensions: vec![resume.extension(), token(account).extension()],
        ..hello(&schema)
    };
    let outcome = |joined: &Honest| SessionTerms::find(&joined.welcome.extensions).unwrap().unwrap().outcome;
    let thief = Honest::join(server.addr, &schema, &back("mallory")).await;
    assert_eq!(outcome(&thief), SessionOutcome::Fresh(FreshReason::OtherAccount));
    alice.play_until(|alice| alice.snapshots >= 6).await;
    // The connection of before still counts, and is not counted against its own session.
    let again = Honest::join(server.addr, &schema, &back("alice")).await;
    assert_eq!(outcome(&again), SessionOutcome::Resumed);
}

#[tokio::test]
async fn a_server_for_all_that_knows_nobody_does_not_start() {
    let mut config = config();
    config.listen = "0.0.0.0:0".parse().unwrap();
    let error = Server::bind(config.clone(), arena()).await.err().expect("an error");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("--auth-key"), "{error}");
    config.access.guests = true;
    assert!(Server::bind(config, arena()).await.is_ok());
    let server = start(signed_in(), arena()).await;
    let schema = arena().schema().clone();
    let missing = RejectReason::Unauthorized(AuthRefusal::Missing);
    assert_eq!(refused(server.addr, &hello(&schema)).await, (missing, 4010), "with keys there are no guests");
}

/// Hears what this thread logs.
struct Log(Sender<String>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let level = event.metadata().level();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                self.0.send(format!("{level} {value:?}")).unwrap();
            }
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_server_says_at_its_start_whom_it_lets_in() {
    let with = |guests, config: ServerConfig| {
        let access = AccessConfig { guests, ..config.access };
        ServerConfig { access, ..config }
    };
    let everywhere = ServerConfig { listen: "0.0.0.0:0".parse().unwrap(), ..with(true, config()) };
    for (config, lets_in, words) in [
        (config(), LetsIn::GuestsOfThisMachine, "only those of this machine are let in"),
        (everywhere, LetsIn::Guests, "all are let in"),
        (signed_in(), LetsIn::Accounts, "only clients with a token are let in"),
        (with(true, signed_in()), LetsIn::AccountsAndGuests, "guests without one"),
    ] {
        let (log, said) = channel();
        let listening = tracing::subscriber::set_default(Log(log));
        let server = Server::bind(config, arena()).await.unwrap();
        drop(listening);
        assert_eq!(server.lets_in(), lets_in);
        let lines: Vec<_> = said.try_iter().collect();
        let is_said = |line: &String| line.starts_with("INFO") && line.contains(words);
        assert_eq!(lines.iter().filter(|line| is_said(line)).count(), 1, "{lines:?}");
    }
}

#[tokio::test]
async fn a_set_of_keys_in_a_file_lets_in_who_has_a_token_of_one_of_them() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/jwks.json");
    let keys = JwtKeys::parse(&std::fs::read(file).unwrap()).unwrap();
    let server = start(trusting(keys, JwtPolicy::default()), arena()).await;
    let schema = arena().schema().clone();
    let ed = EncodingKey::from_ed_pem(include_bytes!("keys/ed25519.pem")).unwrap();
    let ec = EncodingKey::from_ec_pem(include_bytes!("keys/p256.pem")).unwrap();
    let hello = |(algorithm, key): (Algorithm, &EncodingKey), kid: Option<&str>, account: &str| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        let claims = json!({ "sub": account, "exp": u32::MAX });
        with_token(&schema, &Token::new(encode(&header, &claims, key).unwrap()).unwrap())
    };
    let (spring, autumn) = ((Algorithm::EdDSA, &ed), (Algorithm::ES256, &ec));
    let mut players = Vec::new();
    for (key, kid, account) in [
        (spring, Some("spring"), "alice"),
        (autumn, Some("autumn"), "bob"),
        // Of either, if it does not say which.
        (autumn, None, "carol"),
    ] {
        let player = Honest::join(server.addr, &schema, &hello(key, kid, account)).await;
        let terms = AuthTerms::find(&player.welcome.extensions).unwrap().unwrap();
        assert_eq!(terms.account, account);
        players.push(player);
    }
    for (key, kid, refusal) in [
        (spring, "winter", AuthRefusal::UnknownKey),
        (spring, "autumn", AuthRefusal::Algorithm),
        (autumn, "spring", AuthRefusal::Algorithm),
    ] {
        let reason = RejectReason::Unauthorized(refusal);
        assert_eq!(refused(server.addr, &hello(key, Some(kid), "mallory")).await, (reason, 4010));
    }
    for player in &mut players {
        is_undisturbed(player).await;
    }
}

/// An authenticator that never answers.
struct Broken;

impl Authenticator for Broken {
    fn authenticate<'a>(&'a self, _: Credentials<'a>) -> Verdict<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn who_cannot_be_asked_about_is_told_to_come_back() {
    let mut config = config();
    config.access.authenticator = Some(Arc::new(Broken));
    config.access.guests = true;
    config.handshake_timeout = Duration::from_millis(400);
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let unavailable = RejectReason::Unauthorized(AuthRefusal::Unavailable);
    assert_eq!(refused(server.addr, &with_token(&schema, &token("alice"))).await, (unavailable, 1013));
    let mut guest = Honest::join(server.addr, &schema, &hello(&schema)).await;
    is_undisturbed(&mut guest).await;
    assert_eq!(server.handle.stats().await.players, 1);
}
