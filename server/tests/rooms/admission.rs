//! The game lets somebody in, or does not.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tickwire_protocol::handshake::{
    Features, FreshReason, Permission, RejectReason, Resume, ResumeToken, Role, StreamKind,
};
use tickwire_protocol::message::Received;
use tickwire_protocol::ping::Ping;
use tickwire_protocol::room::{Introduction, Profile};
use tickwire_protocol::{Micros, PeerId, RoomId};
use tickwire_server::core::{Identity, Join, Room, RoomConfig, RoomEvent, RoomIdentity};
use tickwire_sim::prelude::*;
use tickwire_sim::{JoinRefusal, Newcomer};

const SECOND: Micros = Micros::from_secs(1);

/// Lets in who does not say that it is a troll, and notes whom it was asked about and who has joined.
struct Club {
    schema: Arc<Schema>,
    notes: Sender<String>,
}

impl Simulation for Club {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn admit(&self, newcomer: &Newcomer<'_>) -> Result<(), JoinRefusal> {
        let Newcomer { account, role, profile, game_build, platform, features, .. } = newcomer;
        let account =
            account.map(|account| format!("{} {}", account.name, String::from_utf8_lossy(account.claims)));
        let (name, is_member) = (profile.name(), newcomer.may("member"));
        let note = format!("{account:?} {is_member} {role:?} {name} {game_build} {platform} {features}");
        self.notes.send(note).unwrap();
        if name == "troll" { Err(JoinRefusal::Game("no trolls".into())) } else { Ok(()) }
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        for player in ctx.joined() {
            self.notes.send(format!("{player} joined")).unwrap();
        }
        for player in ctx.left() {
            self.notes.send(format!("{player} left")).unwrap();
        }
    }

    fn save(&self, _: &mut Tables) {}

    fn load(&mut self, _: &Tables) {}
}

fn club(players_max: u32) -> (Room, Receiver<String>) {
    let nothing =
        Kind::new(KindId(0), "nothing", [Field::new(FieldId(0), "field", FieldType::integer(0..=1))]);
    let (notes, noted) = channel();
    let club = Club { schema: Schema::builder("club").kind(nothing).build().unwrap(), notes };
    let identity = RoomIdentity { id: RoomId(1), name: "club".to_owned(), seed: 1 };
    let config = RoomConfig { players_max, ..RoomConfig::new(TickRate::new(60).unwrap(), 20) };
    (Room::new(identity, config, Box::new(club), Micros::ZERO), noted)
}

fn join(name: &str) -> Join {
    let profile = Profile::new(name, b"").unwrap();
    let introduction = Some(Introduction { profile, ..Introduction::default() });
    Join {
        introduction,
        game_build: "club 1.2".to_owned(),
        platform: "test".to_owned(),
        features: Features(4),
        ..Join::new(Role::Player, StreamKind::Ordered)
    }
}

fn alice(name: &str) -> Join {
    let permissions = ["play", "watch", "member@club"].map(|name| Permission(name.to_owned()));
    let identity = Identity::account("alice".into(), None, permissions.into(), b"{\"rank\":3}".to_vec());
    Join { identity: identity.unwrap(), ..join(name) }
}

fn step(room: &mut Room) {
    room.advance(room.poll_timeout());
}

fn notes(noted: &Receiver<String>) -> Vec<String> {
    noted.try_iter().collect()
}

/// It speaks, so that its session waits for it when its connection is lost.
fn speak(room: &mut Room, now: Micros, peer: PeerId) {
    let mut ping = Vec::new();
    Ping { client_time: Micros::ZERO }.encode(&mut ping);
    room.handle_message(now, peer, ping.into()).unwrap();
}

#[test]
fn the_game_is_told_all_that_is_known_of_who_wants_in() {
    let (mut room, noted) = club(8);
    room.join(SECOND, alice("Alice")).unwrap();
    room.join(SECOND, Join { role: Role::Spectator, ..join("") }).unwrap();
    let unknown = Join { introduction: None, ..Join::new(Role::Player, StreamKind::Ordered) };
    room.join(SECOND, unknown).unwrap();
    assert_eq!(
        notes(&noted),
        [
            r#"Some("alice {\"rank\":3}") true Player Alice club 1.2 test 0x00000004"#,
            "None false Spectator  club 1.2 test 0x00000004",
            "None false Player    0x00000000",
        ]
    );
}

#[test]
fn who_is_refused_takes_nothing_from_anybody_and_is_told_to_nobody() {
    let (mut room, noted) = club(1);
    let peer = room.join(SECOND, alice("Alice")).unwrap();
    let session = room.session(peer).unwrap();
    step(&mut room);
    // The room is full, and a session in it is overdue.
    speak(&mut room, SECOND, peer);
    room.disconnect(SECOND, peer);
    let later = Micros::from_secs(60);
    assert_eq!(room.overdue(later, Role::Player), Some(session));
    notes(&noted);
    let no = Err(RejectReason::Game("no trolls".to_owned()));
    assert_eq!(room.join(later, join("troll")), no);
    assert_eq!(room.join(later, Join { replaces: vec![session], ..alice("troll") }), no);
    step(&mut room);
    assert_eq!((room.session_count(), room.player_count(), room.peer_count()), (1, 1, 0));
    assert_eq!(room.poll_event(), None);
    assert_eq!(notes(&noted).len(), 2, "no step hears of it");
    assert!(room.join(later, join("Bob")).is_ok(), "the overdue one gives way to who is let in");
    assert_eq!(room.poll_event(), Some(RoomEvent::SessionEnded { session }));
    step(&mut room);
    assert_eq!(notes(&noted)[1..], ["2 joined", "1 left"]);
}

#[test]
fn a_session_that_goes_on_is_in_already_and_one_that_does_not_is_asked_about() {
    let (mut room, noted) = club(8);
    let peer = room.join(SECOND, join("Ada")).unwrap();
    let session = room.session(peer).unwrap();
    speak(&mut room, SECOND, peer);
    notes(&noted);
    let back = |token| {
        let resume = Resume { session, token: ResumeToken([token; 16]), received: Received::default() };
        Join { resume: Some(resume), ..join("troll") }
    };
    room.disconnect(SECOND, peer);
    room.join(SECOND, back(0)).expect("it comes back, whatever it says of itself now");
    assert_eq!(notes(&noted), [""; 0]);
    assert_eq!(room.check_resume(&back(7)), Err(FreshReason::WrongToken));
    assert_eq!(room.join(SECOND, back(7)), Err(RejectReason::Game("no trolls".to_owned())));
    assert_eq!((notes(&noted).len(), room.session_count()), (1, 1));
}
