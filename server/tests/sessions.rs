//! Sessions over real sockets: a connection that is lost is opened anew, and what was promised holds.
#![cfg(feature = "net")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Ending, Honest, PATIENCE, Raw, Running, encoded, hello, start};
use tickwire_client::net::{Connection, Wake, connect};
use tickwire_client::{Backoff, ClientConfig, DisconnectReason, Event, Reconnect};
use tickwire_protocol::frame::FrameType;
use tickwire_protocol::handshake::{
    FreshReason, Resume, ResumeToken, RoomWish, SessionOutcome, SessionTerms, Welcome,
};
use tickwire_protocol::message::{
    Direction, Message, MessageClass, MessageType, MessageTypeId, Outcome, Received,
};
use tickwire_protocol::ping::Ping;
use tickwire_protocol::{CloseCode, Micros, PlayerId, RoomId, RowHead, Schema, SessionId, Tables, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{Game, ServerConfig};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const SAY: MessageTypeId = MessageTypeId(0);
const BODY: KindId = KindId(0);

/// Says what it hears of a player to whom it is meant for.
struct Echo {
    schema: Arc<Schema>,
    audience: fn(PlayerId) -> Audience<'static>,
    bodies: Vec<(EntityId, Option<PlayerId>)>,
}

fn schema() -> Arc<Schema> {
    let field = Field::new(FieldId(0), "field", FieldType::integer(0..=9));
    let say = MessageType::new(SAY, "say", Direction::BothWays, MessageClass::Reliable, 16);
    Schema::builder("echo").kind(Kind::new(BODY, "body", [field])).message(say).build().unwrap()
}

/// Each hears itself.
fn echo() -> Game {
    game(Audience::Player)
}

/// Each hears the others.
fn gossip() -> Game {
    game(Audience::Except)
}

fn game(audience: fn(PlayerId) -> Audience<'static>) -> Game {
    Game::new(schema(), move |_| Box::new(Echo { schema: schema(), audience, bodies: Vec::new() }))
}

impl Simulation for Echo {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.bodies.retain(|(_, player)| player.is_some_and(|player| !ctx.left().contains(&player)));
        for &player in ctx.joined() {
            self.bodies.push((ctx.spawn(BODY), Some(player)));
        }
        while let Some((from, message)) = ctx.poll_message() {
            ctx.send((self.audience)(from), SAY, 0, message.body).unwrap();
        }
    }

    fn save(&self, out: &mut Tables) {
        for &(id, owner) in &self.bodies {
            out.insert(BODY, RowHead { owner, ..RowHead::new(id) });
        }
    }

    fn load(&mut self, tables: &Tables) {
        self.bodies.clear();
        self.bodies.extend(tables.rows(BODY).map(|(head, _)| (head.id, head.owner)));
    }
}

fn config(window: Micros) -> ServerConfig {
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.session_window = window;
    ServerConfig::new("127.0.0.1:0".parse().unwrap(), room)
}

/// So many cuts that nothing comes through any more.
const BROKEN: u32 = u32::MAX;

/// A way to the server that can be cut: all connections over it end without a word.
struct Cable {
    addr: SocketAddr,
    cuts: watch::Sender<u32>,
}

impl Cable {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (cuts, cut) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cut.clone();
                cut.mark_unchanged();
                if *cut.borrow() == BROKEN {
                    continue;
                }
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { addr, cuts }
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts it for ever.
    fn break_off(&self) {
        self.cuts.send_replace(BROKEN);
    }

    async fn connect(&self) -> Connection {
        let waits = [0, 50, 100, 200].map(Micros::from_millis);
        let policy = Reconnect { backoff: Backoff::Listed(waits.into()), attempts: 10 };
        let config = ClientConfig { reconnect: Some(policy), ..ClientConfig::new("test") };
        connect(&format!("ws://{}", self.addr), config, schema()).await.unwrap()
    }
}

/// Plays until an event is what is waited for.
async fn until<T>(connection: &mut Connection, mut is_it: impl FnMut(Event) -> Option<T>) -> T {
    let playing = async {
        loop {
            match connection.next().await.expect("the client comes back") {
                Wake::Event(event) => {
                    if let Some(found) = is_it(event) {
                        return found;
                    }
                }
                Wake::Input(tick) => connection.push_input(tick, |_| {}),
                Wake::Snapshot => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, playing).await.expect("it happens")
}

async fn connected(connection: &mut Connection) -> (SessionId, Option<PlayerId>, SessionOutcome) {
    until(connection, |event| match event {
        Event::Connected { session, player, outcome, .. } => Some((session, player, outcome)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn what_was_said_just_before_leaving_arrives() {
    let server = start(config(Micros::from_secs(60)), gossip()).await;
    let cable = Cable::to(server.addr).await;
    let mut listener = cable.connect().await;
    connected(&mut listener).await;
    for cuts in 0..2 {
        let mut speaker = cable.connect().await;
        connected(&mut speaker).await;
        let now = speaker.now();
        for number in 0..200 {
            speaker.client_mut().send(now, SAY, 0, vec![number]).unwrap();
        }
        (0..cuts).for_each(|_| cable.cut());
        let leaving = tokio::spawn(speaker.close_flushed(Micros::from_secs(10)));
        let mut heard = Vec::new();
        until(&mut listener, |event| {
            if let Event::Message(message) = event {
                heard.push(message.body[0]);
            }
            (heard.len() == 200).then_some(())
        })
        .await;
        assert_eq!(heard, (0..200).collect::<Vec<u8>>());
        assert!(leaving.await.unwrap(), "and it knows");
    }
    let left = async {
        while server.handle.stats().await.players > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("its session is over");
}

#[tokio::test]
async fn who_cannot_say_it_leaves_all_the_same_and_knows() {
    let server = start(config(Micros::from_secs(60)), gossip()).await;
    let cable = Cable::to(server.addr).await;
    let mut speaker = cable.connect().await;
    connected(&mut speaker).await;
    cable.break_off();
    let now = speaker.now();
    speaker.client_mut().send(now, SAY, 0, vec![1]).unwrap();
    let leaving = speaker.close_flushed(Micros::from_millis(300));
    assert!(!tokio::time::timeout(PATIENCE, leaving).await.expect("it leaves"));
}

#[tokio::test]
async fn a_cut_connection_comes_back_with_its_player_and_every_message() {
    let server = start(config(Micros::from_secs(60)), echo()).await;
    let cable = Cable::to(server.addr).await;
    let mut connection = cable.connect().await;
    let (session, player, first) = connected(&mut connection).await;
    assert_eq!(first, SessionOutcome::Fresh(FreshReason::First));
    let (mut said, mut heard, mut delivered) = (0_u8, Vec::new(), 0);
    let mut comebacks = 0;
    while heard.len() < 60 {
        if said < 60 {
            let now = connection.now();
            connection.client_mut().send(now, SAY, 0, vec![said]).unwrap();
            said += 1;
        }
        if said % 20 == 10 && comebacks < u32::from(said / 20) + 1 {
            cable.cut();
            let again = connected_or_heard(&mut connection, &mut heard, &mut delivered).await;
            assert_eq!(again, (session, player, SessionOutcome::Resumed));
            comebacks += 1;
        }
        until(&mut connection, |event| note(event, &mut heard, &mut delivered).then_some(())).await;
    }
    assert_eq!(comebacks, 3);
    assert_eq!(heard, (0..60).collect::<Vec<u8>>(), "once each and in order");
    while delivered < 60 {
        until(&mut connection, |event| note(event, &mut heard, &mut delivered).then_some(())).await;
    }
    assert_eq!(server.handle.stats().await.players, 1, "it never left");
    connection.close().await;
    none_left(&server).await;
}

/// Notes what a message says; whether it was one, or the fate of one.
fn note(event: Event, heard: &mut Vec<u8>, delivered: &mut u32) -> bool {
    match event {
        Event::Message(Message { body, .. }) => heard.push(body[0]),
        Event::Sent(_, outcome) => {
            assert_eq!(outcome, Outcome::Delivered);
            *delivered += 1;
        }
        _ => return false,
    }
    true
}

async fn connected_or_heard(
    connection: &mut Connection,
    heard: &mut Vec<u8>,
    delivered: &mut u32,
) -> (SessionId, Option<PlayerId>, SessionOutcome) {
    until(connection, |event| match event {
        Event::Connected { session, player, outcome, .. } => Some((session, player, outcome)),
        event => {
            note(event, heard, delivered);
            None
        }
    })
    .await
}

async fn none_left(server: &Running) {
    let leaving = async {
        while server.handle.stats().await.players > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, leaving).await.expect("everybody leaves");
}

#[tokio::test]
async fn who_does_not_come_back_in_time_is_gone_and_gives_its_place_back() {
    let server = start(config(Micros::from_millis(300)), echo()).await;
    let mut lost = Honest::join(server.addr, &schema(), &hello(&schema())).await;
    lost.play_until(|lost| lost.snapshots > 3).await;
    drop(lost);
    none_left(&server).await;
}

#[tokio::test]
async fn a_client_that_never_spoke_has_nothing_to_come_back_to() {
    let server = start(config(Micros::from_secs(60)), echo()).await;
    let mute = Honest::join(server.addr, &schema(), &hello(&schema())).await;
    assert_eq!(server.handle.stats().await.players, 1);
    drop(mute);
    none_left(&server).await;
}

/// Joins with a claim to a session; the welcome.
async fn claim(server: &Running, room: RoomWish, resume: Resume) -> Welcome {
    let mut hello = hello(&schema());
    (hello.room, hello.extensions) = (room, vec![resume.extension()]);
    Honest::join(server.addr, &schema(), &hello).await.welcome
}

#[tokio::test]
async fn a_forged_claim_opens_no_door() {
    let server = start(config(Micros::from_secs(60)), echo()).await;
    let named = |name: &str| RoomWish::Named(name.to_owned());
    let mut private = hello(&schema());
    private.room = named("private");
    let owner = Honest::join(server.addr, &schema(), &private).await;
    let received = Received::default();
    let forged = Resume { session: owner.welcome.session, token: ResumeToken([7; 16]), received };
    let welcome = claim(&server, named("lobby"), forged).await;
    assert_eq!(welcome.room_name, "lobby", "not the room of the session that was claimed");
    let terms = SessionTerms::find(&welcome.extensions).unwrap().unwrap();
    assert_eq!(terms.outcome, SessionOutcome::Fresh(FreshReason::WrongToken));
    // A room that there is not.
    let nowhere = Resume { session: SessionId::new(RoomId(77), 1), ..forged };
    let welcome = claim(&server, named("lobby"), nowhere).await;
    let terms = SessionTerms::find(&welcome.extensions).unwrap().unwrap();
    assert_eq!(terms.outcome, SessionOutcome::Fresh(FreshReason::Unknown));
}

#[tokio::test]
async fn a_second_connection_takes_the_session_over() {
    let server = start(config(Micros::from_secs(60)), echo()).await;
    let mut first = Honest::join(server.addr, &schema(), &hello(&schema())).await;
    first.play_until(|first| first.snapshots > 1).await;
    let terms = SessionTerms::find(&first.welcome.extensions).unwrap().unwrap();
    let resume = Resume { session: first.welcome.session, token: terms.token, received: Received::default() };
    let welcome = claim(&server, RoomWish::Any, resume).await;
    assert_eq!((welcome.session, welcome.player), (first.welcome.session, first.welcome.player));
    let ending: Ending = ending_of(&mut first.raw).await;
    assert_eq!(ending.unwrap().0, 4004);
}

async fn ending_of(raw: &mut Raw) -> Ending {
    tokio::time::timeout(PATIENCE, raw.ending()).await.expect("the old connection is closed").1
}

#[tokio::test]
async fn a_server_that_was_started_anew_takes_nobody_for_another() {
    let before = start(config(Micros::from_secs(60)), echo()).await;
    let lost = Honest::join(before.addr, &schema(), &hello(&schema())).await;
    let after = start(config(Micros::from_secs(60)), echo()).await;
    let other = Honest::join(after.addr, &schema(), &hello(&schema())).await;
    assert_eq!(lost.welcome.room, other.welcome.room, "rooms are counted from one");
    let terms = SessionTerms::find(&lost.welcome.extensions).unwrap().unwrap();
    let resume = Resume { session: lost.welcome.session, token: terms.token, received: Received::default() };
    let welcome = claim(&after, RoomWish::Any, resume).await;
    let terms = SessionTerms::find(&welcome.extensions).unwrap().unwrap();
    assert_eq!(terms.outcome, SessionOutcome::Fresh(FreshReason::Unknown));
}

/// Lets go who asks for it with a 0, and ends at a 1.
struct Doorman(Arc<Schema>);

impl Simulation for Doorman {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        while let Some((from, message)) = ctx.poll_message() {
            match message.body[0] {
                0 => ctx.remove_player(from, "as you wish"),
                _ => ctx.end_room("that was it"),
            }
        }
    }

    fn save(&self, _: &mut Tables) {}

    fn load(&mut self, _: &Tables) {}
}

async fn closed(connection: &mut Connection) -> (CloseCode, String) {
    until(connection, |event| match event {
        Event::Disconnected(DisconnectReason::Closed { code, reason }) => Some((code, reason)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn who_is_let_go_is_told_why_and_a_room_that_is_ended_is_gone() {
    let game = Game::new(schema(), |_| Box::new(Doorman(schema())));
    let server = start(config(Micros::from_secs(60)), game).await;
    let cable = Cable::to(server.addr).await;
    let [mut leaves, mut ends, mut stays] =
        [cable.connect().await, cable.connect().await, cable.connect().await];
    for connection in [&mut leaves, &mut ends, &mut stays] {
        connected(connection).await;
    }
    let now = leaves.now();
    leaves.client_mut().send(now, SAY, 0, vec![0]).unwrap();
    assert_eq!(closed(&mut leaves).await, (CloseCode::REMOVED, "as you wish".to_owned()));
    let now = ends.now();
    ends.client_mut().send(now, SAY, 0, vec![1]).unwrap();
    for connection in [&mut ends, &mut stays] {
        assert_eq!(closed(connection).await, (CloseCode::ROOM_ENDED, "that was it".to_owned()));
    }
    let gone = async {
        while !server.handle.stats().await.rooms.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the room is taken away");
    assert_eq!(server.handle.stats().await.players, 0);
    let mut next = cable.connect().await;
    assert_eq!(connected(&mut next).await.2, SessionOutcome::Fresh(FreshReason::First), "another is opened");
}

#[tokio::test]
async fn who_has_played_for_a_moment_keeps_its_place_until_somebody_needs_it() {
    let mut config = config(Micros::from_secs(600));
    config.directory.players_max = 1;
    let server = start(config, echo()).await;
    let mut first = Honest::join(server.addr, &schema(), &hello(&schema())).await;
    first.play_until(|first| first.snapshots > 3).await;
    drop(first);
    // Long before the window is over.
    let let_in = async {
        let mut refused = 0;
        loop {
            let mut raw = Raw::connect(server.addr).await;
            raw.send(encoded(&hello(&schema()))).await;
            let answer = raw.receive().await.expect("an answer");
            match answer[0].ty {
                FrameType::Welcome => return (raw, refused),
                _ => refused += 1,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (_second, refused) = tokio::time::timeout(PATIENCE, let_in).await.expect("it is let in");
    assert!(refused > 0, "the place was kept for a while");
    assert_eq!(server.handle.stats().await.players, 1);
}

#[tokio::test]
async fn who_says_something_for_longer_than_it_may_be_silent_is_heard_to_the_end() {
    let mut config = config(Micros::ZERO);
    (config.room.silence_timeout, config.room.stall_timeout) = (Micros::from_secs(1), Micros::from_secs(60));
    let server = start(config, echo()).await;
    let Honest { mut raw, .. } = Honest::join(server.addr, &schema(), &hello(&schema())).await;
    // Of a type that nobody knows, which is passed over; then a ping.
    let mut message = vec![40, 200];
    message.resize(42, 0);
    Ping { client_time: Micros(7) }.encode(&mut message);
    let pipe = raw.socket.get_mut();
    pipe.write_all(&[0x82, 0x80 | message.len() as u8, 0, 0, 0, 0]).await.unwrap();
    for byte in message {
        tokio::time::sleep(Duration::from_millis(60)).await;
        pipe.write_all(&[byte]).await.unwrap();
        pipe.flush().await.unwrap();
    }
    let answered = async {
        while !raw.receive().await.expect("it is alive").iter().any(|frame| frame.ty == FrameType::Pong) {}
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("an answer");
    // Whose message stops half-way is not.
    raw.socket.get_mut().write_all(&[0x82, 0x80 + 100, 0, 0, 0, 0, 1]).await.unwrap();
    let (_, ending) = tokio::time::timeout(PATIENCE, raw.ending()).await.expect("an end");
    assert_eq!(ending.expect("a close").0, CloseCode::SILENT.0);
}
