//! What is refused behind the door, over real sockets: a full room, a full server, and messages that their sender may not send. Each is answered
//! as documented, and whoever is in plays on.
#![cfg(feature = "net")]

mod common;

use std::sync::Arc;

use common::{Honest, PATIENCE, Raw, Running, arena, encoded, hello, start};
use tickwire_protocol::frame::FrameType;
use tickwire_protocol::handshake::{Features, Hello, RejectReason, Role, RoomWish};
use tickwire_protocol::message::engine::NOTICE;
use tickwire_protocol::message::{Direction, MessageClass, MessageFrame, MessageType, MessageTypeId, Notice};
use tickwire_protocol::{Micros, Schema, Tables, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{Game, ServerConfig};
use tickwire_sim::prelude::*;
use tickwire_sim::{JoinRefusal, Newcomer};

const CHAT: MessageTypeId = MessageTypeId(0);
const MUTE: MessageTypeId = MessageTypeId(1);

fn config() -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.session_window = Micros::ZERO;
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), room)
}

async fn is_undisturbed(witness: &mut Honest) {
    let (snapshots, digests) = (witness.snapshots, witness.digests);
    witness.play_until(|witness| witness.snapshots >= snapshots + 5 && witness.digests > digests).await;
}

/// How a hello is refused: the reject, and the close code.
async fn refused(server: &Running, hello: &Hello) -> (RejectReason, u16) {
    let mut raw = Raw::connect(server.addr).await;
    raw.send(encoded(hello)).await;
    let (reject, ending) = tokio::time::timeout(PATIENCE, raw.ending()).await.expect("an end");
    (reject.expect("a reject"), ending.expect("a close").0)
}

#[tokio::test]
async fn what_is_full_says_how_full_and_that_it_may_pass() {
    let mut config = config();
    config.room.players_max = 1;
    (config.directory.players_max, config.directory.rooms_max) = (2, 2);
    config.directory.room_spectators_max = 1;
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    let to = |room: &str| Hello { room: RoomWish::Named(room.to_owned()), ..hello(&schema) };
    let mut witness = Honest::join(server.addr, &schema, &to("first")).await;
    let full = RejectReason::RoomFull { players: 1, max: 1 };
    assert_eq!(refused(&server, &to("first")).await, (full.clone(), 1013));
    let watching = Hello { role: Role::Spectator, ..to("first") };
    let _watching = Honest::join(server.addr, &schema, &watching).await;
    assert_eq!(refused(&server, &watching).await, (full, 1013));
    let mut second = Honest::join(server.addr, &schema, &to("second")).await;
    let full = RejectReason::ServerFull { players: 2, max: 2 };
    assert_eq!(refused(&server, &hello(&schema)).await, (full, 1013));
    is_undisturbed(&mut witness).await;
    is_undisturbed(&mut second).await;
}

#[tokio::test]
async fn where_nobody_may_watch_no_room_is_opened_for_it() {
    let mut config = config();
    config.directory.room_spectators_max = 0;
    let server = start(config, arena()).await;
    let schema = arena().schema().clone();
    for room in [RoomWish::Any, RoomWish::Named("first".to_owned())] {
        let watching = Hello { role: Role::Spectator, room, ..hello(&schema) };
        assert_eq!(refused(&server, &watching).await, (RejectReason::NoSpectators, 4001));
    }
    let mut witness = Honest::join(server.addr, &schema, &hello(&schema)).await;
    is_undisturbed(&mut witness).await;
    assert_eq!(server.handle.stats().await.rooms.len(), 1);
}

/// A game in which nothing is but what is said.
struct Silent(Arc<Schema>);

impl Simulation for Silent {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn admit(&self, newcomer: &Newcomer<'_>) -> Result<(), JoinRefusal> {
        match newcomer {
            Newcomer { game_build: "test 0", .. } => Err(JoinRefusal::GameBuild("test".into())),
            Newcomer { platform: "toaster", .. } => Err(JoinRefusal::Game("no toasters\n".repeat(20))),
            Newcomer { role: Role::Spectator, features, .. } if !features.contains(Features(2)) => {
                Err(JoinRefusal::Features(Features(2)))
            }
            _ => Ok(()),
        }
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        while let Some((from, message)) = ctx.poll_message() {
            // Only what may be said comes so far.
            assert_eq!((message.ty, ctx.may(from, "moderate")), (CHAT, false));
        }
    }

    fn save(&self, _: &mut Tables) {}

    fn load(&mut self, _: &Tables) {}
}

fn silent() -> Game {
    let ty = |id, name| MessageType::new(id, name, Direction::ToServer, MessageClass::Reliable, 16);
    let field = Field::new(FieldId(0), "field", FieldType::integer(0..=9));
    let schema = Schema::builder("silent")
        .kind(Kind::new(KindId(0), "thing", [field]))
        .message(ty(CHAT, "chat").rate_per_minute(1, 1))
        .message(ty(MUTE, "mute").permitted_by("moderate"))
        .build()
        .unwrap();
    Game::new(schema.clone(), move |_| Box::new(Silent(schema.clone())))
}

#[tokio::test]
async fn whom_the_game_does_not_want_is_told_why_and_takes_no_place() {
    let mut config = config();
    (config.room.players_max, config.directory.rooms_max) = (2, 1);
    let server = start(config, silent()).await;
    let schema = silent().schema().clone();
    let mut witness = Honest::join(server.addr, &schema, &hello(&schema)).await;
    let old = Hello { game_build: "test 0".to_owned(), ..hello(&schema) };
    let build = RejectReason::GameBuild { ours: "test".to_owned(), yours: "test 0".to_owned() };
    let toaster = Hello { platform: "toaster".to_owned(), ..hello(&schema) };
    let words = "no toasters ".repeat(20)[..123].to_owned();
    let poor = Hello { role: Role::Spectator, features: Features(1), ..hello(&schema) };
    let features = RejectReason::Features { ours: Features(2), yours: Features(1) };
    for (hello, reason) in [(old, build), (toaster, RejectReason::Game(words)), (poor, features)] {
        assert_eq!(refused(&server, &hello).await, (reason, 4001));
    }
    let mut second = Honest::join(server.addr, &schema, &hello(&schema)).await;
    is_undisturbed(&mut witness).await;
    is_undisturbed(&mut second).await;
}

/// Says messages of a type as no honest client does, a few and then many; the denials that it hears of the few, and how it ended.
async fn insist(server: &Running, schema: &Arc<Schema>, ty: MessageTypeId) -> (Vec<Notice>, u16) {
    let Honest { mut raw, .. } = Honest::join(server.addr, schema, &hello(schema)).await;
    let said = |number: u16| {
        let (mut said, body) = (Vec::new(), vec![number as u8].into());
        MessageFrame { ty, number, key: 0, body }.encode(MessageClass::Reliable, &mut said);
        said
    };
    for number in 0..FEW {
        raw.send(said(number)).await;
    }
    let mut heard = Vec::new();
    while heard.len() < usize::from(FEW) - 2 {
        let frames = raw.receive().await.expect("a few are forgiven");
        for frame in frames.into_iter().filter(|frame| frame.ty == FrameType::Message) {
            let (_, message) = MessageFrame::decode(frame.payload, schema).unwrap();
            assert_eq!(message.ty, NOTICE);
            heard.push(Notice::decode(message.body.into_bytes()).unwrap());
        }
    }
    for number in FEW..MANY {
        raw.send(said(number)).await;
    }
    (heard, raw.ending().await.1.expect("a close").0)
}

const FEW: u16 = 12;
const MANY: u16 = 60;

#[tokio::test]
async fn messages_that_may_not_be_sent_are_refused_one_by_one_and_then_their_sender_is_closed() {
    let server = start(config(), silent()).await;
    let schema = silent().schema().clone();
    let mut witness = Honest::join(server.addr, &schema, &hello(&schema)).await;
    for (ty, comes_again) in [(MUTE, false), (CHAT, true)] {
        let insisting = insist(&server, &schema, ty);
        let (heard, code) = tokio::time::timeout(PATIENCE, insisting).await.expect("an end");
        assert_eq!(code, 4020);
        for Notice { ty: refused, denial, .. } in heard {
            assert_eq!((refused, denial.retry_after().is_some()), (ty, comes_again), "{denial:?}");
        }
        is_undisturbed(&mut witness).await;
    }
}
