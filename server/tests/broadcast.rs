//! What is said to all who are in any room, by a game and by the server's owner, over real sockets.
#![cfg(feature = "net")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{PATIENCE, Running, start};
use tickwire_client::net::{self, Connection, Options, TokenProvider, Wake};
use tickwire_client::{ClientConfig, Event};
use tickwire_protocol::handshake::{NewRoom, Role, RoomSecret, RoomWish};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId, SendError};
use tickwire_protocol::{RoomId, TickRate};
use tickwire_server::auth::{Grant, JwtAuthenticator, JwtKeys, JwtPolicy, mint};
use tickwire_server::core::{BroadcastError, Reach, RoomConfig};
use tickwire_server::net::{AccountPolicy, Game, ServerConfig};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SHOUT: MessageTypeId = MessageTypeId(0);
const NEWS: MessageTypeId = MessageTypeId(1);
const WHISPER: MessageTypeId = MessageTypeId(2);
/// More than a room may have waiting at once.
const FLOOD: u32 = 100;

fn schema() -> Arc<Schema> {
    let nothing =
        Kind::new(KindId(0), "nothing", [Field::new(FieldId(0), "field", FieldType::integer(0..=1))]);
    let news = MessageType::new(NEWS, "news", Direction::ToClient, MessageClass::Event, 64);
    let said = |id, name| MessageType::new(id, name, Direction::BothWays, MessageClass::Reliable, 64);
    Schema::builder("town")
        .kind(nothing)
        .message(said(SHOUT, "shout"))
        .message(news)
        .message(said(WHISPER, "whisper"))
        .build()
        .unwrap()
}

/// What is shouted in one room all hear; `flood` is shouted as numbers. What is whispered an account hears.
struct Town {
    schema: Arc<Schema>,
    to_say: std::ops::Range<u32>,
}

impl Simulation for Town {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        while let Some((_, message)) = ctx.poll_message() {
            match (message.ty, &message.body[..]) {
                (SHOUT, b"flood") => self.to_say = 0..5 * FLOOD,
                (SHOUT, _) => drop(ctx.send(Audience::All, SHOUT, 0, message.body).unwrap()),
                (_, account) => {
                    let account = core::str::from_utf8(account).unwrap();
                    ctx.send(Audience::Account(account), WHISPER, 0, "psst".into()).unwrap();
                }
            }
        }
        for _ in 0..FLOOD {
            let Some(number) = self.to_say.clone().next() else { break };
            match ctx.send(Audience::All, SHOUT, 0, number.to_string().into()) {
                Ok(_) => self.to_say.start += 1,
                // Another step.
                Err(SendError::Full { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn save(&self, _: &mut Tables) {}

    fn load(&mut self, _: &Tables) {}
}

fn town() -> Game {
    Game::new(schema(), |_| Box::new(Town { schema: schema(), to_say: 0..0 }))
}

async fn serve() -> Running {
    let room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), room);
    let keys = JwtKeys::parse(SECRET).unwrap();
    config.access.authenticator = Some(Arc::new(JwtAuthenticator::new(keys, JwtPolicy::default())));
    config.access.guests = true;
    config.access.accounts = AccountPolicy::Allow(4);
    start(config, town()).await
}

struct Citizen {
    connection: Connection,
    heard: Vec<String>,
}

impl Citizen {
    async fn join(server: &Running, room: &str, role: Role, account: Option<&str>) -> Self {
        let room = RoomWish::New(NewRoom {
            name: room.to_owned(),
            secret: RoomSecret::new("sesame").ok().filter(|_| room == "den"),
            or_join: true,
            ..NewRoom::default()
        });
        let config = ClientConfig { room, role, ..ClientConfig::new("test") };
        let token = |name: &str| mint(SECRET, &Grant::new(name.to_owned(), Duration::from_hours(1))).unwrap();
        let tokens = account.map(|name| TokenProvider::fixed(token(name)));
        let options = Options { tokens, ..Options::default() };
        let url = format!("ws://{}", server.addr);
        let connection = net::connect_with(&url, config, schema(), options).await.unwrap();
        Self { connection, heard: Vec::new() }
    }

    /// Says something, and waits until it is on its way.
    async fn say(&mut self, ty: MessageTypeId, body: &str) {
        let now = self.connection.now();
        self.connection.client_mut().send(now, ty, 0, body.as_bytes().to_vec()).unwrap();
        self.connection.run_until(now + Micros::from_millis(100)).await;
    }

    /// Plays until it has heard so many.
    async fn hear(&mut self, count: usize) -> &[String] {
        let hears = async {
            while self.heard.len() < count {
                match self.connection.next().await.expect("the connection lasts") {
                    Wake::Input(tick) => self.connection.push_input(tick, |_| {}),
                    Wake::Event(Event::Message(message)) => {
                        self.heard.push(String::from_utf8(message.body.to_vec()).unwrap());
                    }
                    Wake::Event(_) | Wake::Snapshot => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, hears).await.expect("in time");
        &self.heard
    }
}

#[tokio::test]
async fn what_a_game_says_to_all_comes_into_every_room() {
    let server = serve().await;
    let mut ada = Citizen::join(&server, "square", Role::Player, None).await;
    let mut alice = Citizen::join(&server, "den", Role::Player, Some("alice")).await;
    let mut watcher = Citizen::join(&server, "den", Role::Spectator, None).await;
    let mut again = Citizen::join(&server, "square", Role::Player, Some("alice")).await;
    ada.say(SHOUT, "fire").await;
    for citizen in [&mut ada, &mut alice, &mut watcher, &mut again] {
        assert_eq!(citizen.hear(1).await, ["fire"]);
    }
    ada.say(WHISPER, "alice").await;
    for citizen in [&mut alice, &mut again] {
        assert_eq!(citizen.hear(2).await, ["fire", "psst"], "wherever it is");
    }
    alice.say(SHOUT, "where").await;
    for citizen in [&mut ada, &mut watcher] {
        assert_eq!(citizen.hear(2).await, ["fire", "where"], "and nobody else");
    }
}

#[tokio::test]
async fn whoever_says_too_much_to_all_is_held_back_and_all_of_it_arrives_in_order() {
    let server = serve().await;
    let mut ada = Citizen::join(&server, "square", Role::Player, None).await;
    let mut bob = Citizen::join(&server, "den", Role::Player, None).await;
    ada.say(SHOUT, "flood").await;
    let wanted: Vec<_> = (0..5 * FLOOD).map(|number| number.to_string()).collect();
    let (here, there) = tokio::join!(ada.hear(wanted.len()), bob.hear(wanted.len()));
    assert_eq!((here, there), (&wanted[..], &wanted[..]));
}

#[tokio::test]
async fn the_owner_speaks_to_all_and_to_an_account_and_hears_how_many_have_it() {
    let server = serve().await;
    let say =
        |to, ty, body: &'static str| server.handle.broadcast(to, ty, 0, Bytes::from_static(body.as_bytes()));
    assert_eq!(say(Audience::All, SHOUT, "nobody").await, Ok(Reach::default()));
    let mut ada = Citizen::join(&server, "square", Role::Player, None).await;
    let mut alice = Citizen::join(&server, "den", Role::Spectator, Some("alice")).await;
    assert_eq!(say(Audience::All, SHOUT, "ends at six").await, Ok(Reach { sessions: 2, missed: 0 }));
    assert_eq!(say(Audience::Account("alice"), WHISPER, "psst").await, Ok(Reach { sessions: 1, missed: 0 }));
    assert_eq!(say(Audience::Account("bob"), WHISPER, "psst").await, Ok(Reach::default()));
    assert_eq!(alice.hear(2).await, ["ends at six", "psst"]);
    assert_eq!(ada.hear(1).await, ["ends at six"]);

    let unknown = BroadcastError::Message(SendError::UnknownType(MessageTypeId(9)));
    assert_eq!(say(Audience::All, MessageTypeId(9), "x").await, Err(unknown));
    let event = SendError::OtherCall { name: "news".to_owned(), call: "emit_event" };
    assert_eq!(say(Audience::All, NEWS, "x").await, Err(BroadcastError::Message(event)));
    for of_one_room in [Audience::Room, Audience::Player(PlayerId(1))] {
        assert_eq!(say(of_one_room, SHOUT, "x").await, Err(BroadcastError::OneRoom));
    }
    let rooms: Vec<_> = server.handle.stats().await.rooms.iter().map(|room| room.room).collect();
    assert_eq!(rooms, [RoomId(1), RoomId(2)]);
}
