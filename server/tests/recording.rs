//! Rooms that are recorded, and rooms that replay: what was published comes out of the file, and again out of a room.

mod common;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, AckWindow, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::recording::{Event, Recording, RecordingPlayer};
use tickwire_protocol::schema::{Field, FieldType, Kind, Sight};
use tickwire_protocol::snapshot::{Codec, Coder, DecodedSnapshot, Prior, Replica};
use tickwire_protocol::{
    CueId, EntityId, FieldId, KindId, Micros, PeerId, PlayerId, RoomId, RowHead, Schema, Tables, Tick,
    TickRate,
};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};
use tickwire_server::net::{RecordConfig, ServerConfig};
use tickwire_sim::replay::{Replay, ReplayOptions};
use tickwire_sim::{Random, Simulation, StepContext};

const BIRD: KindId = KindId(0);
const NEST: KindId = KindId(1);
const PLACE: FieldId = FieldId(0);
const SPEED: FieldId = FieldId(1);
const SONG: FieldId = FieldId(2);
const HUNGER: FieldId = FieldId(3);
const EGGS: FieldId = FieldId(1);

/// Birds come and go, and one a player; nests are told late.
struct Flock {
    schema: Arc<Schema>,
    birds: Vec<(RowHead, f32, f32)>,
    nest: Option<(EntityId, f32, i32)>,
}

fn schema() -> Arc<Schema> {
    let f = |id, name, ty| Field::new(id, name, ty);
    let place = || FieldType::position([-500.0..=500.0], 0.01);
    let bird = [
        f(PLACE, "place", place()),
        f(SPEED, "speed", FieldType::velocity(PLACE, 50.0, 0.01)),
        f(SONG, "song", FieldType::integer(0..=9)).team_only(),
        f(HUNGER, "hunger", FieldType::integer(0..=1_000)).owner_only(),
    ];
    let nest =
        [f(PLACE, "place", place()).rate_hz(15), f(EGGS, "eggs", FieldType::integer(0..=99)).threshold(7.0)];
    Schema::builder("flock")
        .kind(Kind::new(BIRD, "bird", bird))
        .kind(Kind::new(NEST, "nest", nest))
        .cue(Kind::cue(CueId(0), "chirp", [f(FieldId(0), "loud", FieldType::integer(0..=9))]))
        .input([f(FieldId(0), "flap", FieldType::boolean())])
        .build()
        .unwrap()
}

impl Flock {
    fn boxed() -> Box<Self> {
        Box::new(Self { schema: schema(), birds: Vec::new(), nest: None })
    }
}

impl Simulation for Flock {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.nest = Some((ctx.spawn(NEST), 0.0, 0));
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let mut random: Random = ctx.random_for_room();
        let mut dice = |below: u64| (random.next_u64() % below) as u32;
        self.birds.retain(|(head, ..)| {
            head.owner.is_some_and(|owner| !ctx.left().contains(&owner)) || dice(80) > 0
        });
        let owners = ctx.joined().iter().copied().map(Some).chain((dice(4) == 0).then_some(None));
        for owner in owners {
            let payload = Bytes::from(format!("born in {}", ctx.tick()));
            let id = ctx.spawn_with(BIRD, payload);
            self.birds.push((
                RowHead { owner, ..RowHead::new(id) }.teams(dice(2)),
                0.0,
                dice(20) as f32 - 10.0,
            ));
        }
        for (head, place, speed) in &mut self.birds {
            head.teleported = dice(100) == 0;
            *place = if head.teleported { dice(100) as f32 } else { *place + *speed * ctx.dt() };
            if dice(20) == 0 {
                ctx.cue(CueId(0), Some(head.id)).set_integer(FieldId(0), dice(10) as i32);
            }
        }
        if let Some((_, place, eggs)) = &mut self.nest {
            *place += 0.02;
            *eggs = (*eggs + dice(2) as i32) % 100;
        }
    }

    fn save(&self, out: &mut Tables) {
        for (head, place, speed) in &self.birds {
            let mut row = out.insert(BIRD, *head);
            row.set_scalar(PLACE, *place).set_scalar(SPEED, *speed);
            row.set_integer(SONG, i32::from(head.id.slot % 10)).set_integer(HUNGER, *place as i32 + 500);
        }
        if let Some((id, place, eggs)) = self.nest {
            out.insert(NEST, RowHead::new(id)).set_scalar(PLACE, place).set_integer(EGGS, eggs);
        }
    }

    fn load(&mut self, tables: &Tables) {
        for (head, place, speed) in &mut self.birds {
            let row =
                tables.table(BIRD).row(self.schema.kind(BIRD), tables.table(BIRD).find(head.id).unwrap());
            (*place, *speed) = (row.scalar(PLACE), row.scalar(SPEED));
        }
    }
}

fn room(simulation: Box<dyn Simulation>, first_tick: Tick, is_replay: bool) -> Room {
    let mut config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    config.first_tick = first_tick;
    config.silence_timeout = Micros::from_secs(300);
    config.stall_timeout = Micros::from_secs(300);
    config.hold_back = !is_replay;
    let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 5 };
    Room::new(identity, config, simulation, Micros::ZERO)
}

fn join(room: &mut Room, role: Role, stream: StreamKind) -> PeerId {
    room.join(Micros::ZERO, Join::new(role, stream)).unwrap()
}

/// What was told of a tick: everyone's and the owners' tables.
type Published = BTreeMap<u32, (Tables, Tables)>;

/// Seconds of a room with players that come and go; its file, and what it published at every recorded tick.
fn record(seconds: u64, first_tick: Tick) -> (Vec<u8>, Published) {
    let mut room = room(Flock::boxed(), first_tick, false);
    room.start_recording(None).unwrap();
    let (mut file, mut published) = (Vec::new(), BTreeMap::new());
    let mut player = None;
    for step in 1..=seconds * 60 {
        if step % 60 == 0 {
            player = match player {
                Some(player) => {
                    room.leave(player);
                    None
                }
                None => Some(join(&mut room, Role::Player, StreamKind::Ordered)),
            };
        }
        let report = room.advance(room.config().tick_rate.due(step));
        assert_eq!(report.due.steps, 1);
        if report.snapshot_due {
            let newest = room.history().newest().unwrap();
            let tables = (newest.tables(Sight::Public).clone(), newest.tables(Sight::Own).clone());
            published.insert(newest.tick().0, tables);
        }
        file.extend(room.take_recorded(Vec::new()).unwrap().unwrap());
    }
    file.extend(room.finish_recording().unwrap().unwrap());
    assert!(room.take_recorded(Vec::new()).unwrap().is_none(), "it is recorded no longer");
    (file, published)
}

fn player(file: &[u8]) -> RecordingPlayer<Cursor<Vec<u8>>> {
    RecordingPlayer::new(Recording::open(Cursor::new(file.to_vec())).unwrap()).unwrap()
}

/// Ids and the columns that are told at this sight.
fn assert_same_rows(found: &Tables, wanted: &Tables, sight: Sight, at: Tick) {
    for (kind, table) in wanted.iter() {
        let other = found.table(KindId(kind.index()));
        let ids = |heads: &[RowHead]| heads.iter().map(|head| head.id).collect::<Vec<_>>();
        assert_eq!(ids(other.heads()), ids(table.heads()), "{} at {at}", kind.name());
        for column in (0..kind.column_count()).filter(|column| kind.visible(sight).contains(*column)) {
            for row in 0..table.len() {
                let (found, wanted) = (other.values(row)[column], table.values(row)[column]);
                assert_eq!(found, wanted, "{} {row} {column} at {at}", kind.name());
            }
        }
    }
}

#[test]
fn what_a_room_publishes_comes_out_of_its_file() {
    let (file, published) = record(30, Tick(u32::MAX - 700));
    let mut player = player(&file);
    let (mut ticks, mut cues, mut players, mut inputs) = (0, 0, Vec::new(), 0);
    while let Some(tick) = player.advance().unwrap() {
        let (told, exact) = &published[&tick.0];
        assert_same_rows(player.tables(Sight::Public), told, Sight::Team, tick);
        assert_same_rows(player.tables(Sight::Own), exact, Sight::Own, tick);
        for (head, wanted) in
            player.tables(Sight::Own).table(BIRD).heads().iter().zip(exact.table(BIRD).heads())
        {
            assert_eq!((head.owner, head.teams), (wanted.owner, wanted.teams), "{}", head.id);
            assert!(player.payload(head.id).unwrap().starts_with(b"born in "));
        }
        ticks += 1;
        cues += player.cues().len();
        for event in player.events().iter() {
            match event {
                Event::Joined { player, .. } => players.push((*player, true)),
                Event::Left { player, .. } => players.push((*player, false)),
                Event::Input { .. } => inputs += 1,
                Event::Entity { .. } => {}
            }
        }
    }
    assert_eq!((ticks, player.damage_count()), (published.len(), 0));
    assert!(cues > 100);
    // One comes every two seconds and stays for one.
    assert_eq!(players.len(), 29);
    assert!(players.iter().step_by(2).all(|(_, has_joined)| *has_joined));
    assert!((1..29).step_by(2).all(|place| players[place] == (players[place - 1].0, false)));
    assert!((14 * 60..=15 * 60 + 1).contains(&inputs), "{inputs}");
    assert!(players.iter().all(|(player, _)| *player != PlayerId(0)));
}

#[test]
fn a_recording_says_how_it_is_coded_and_carries_what_it_takes() {
    let default = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let own = RoomConfig { coder: Coder::Fast, prior: Prior::untrained(), ..default.clone() };
    for (config, carried) in [(default, None), (own, Some(Prior::untrained().encoded().to_vec()))] {
        let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 5 };
        let mut room = Room::new(identity, config.clone(), Flock::boxed(), Micros::ZERO);
        room.start_recording(None).unwrap();
        (1..=60).for_each(|step| _ = room.advance(config.tick_rate.due(step)));
        let file = room.finish_recording().unwrap().unwrap();
        let mut player = player(&file);
        let header = player.header();
        assert_eq!((header.coder, header.prior_hash), (config.coder.wire(), config.prior.hash()));
        assert_eq!(header.prior.as_ref().map(|prior| prior.to_vec()), carried);
        let mut ticks = 0;
        while player.advance().unwrap().is_some() {
            ticks += 1;
        }
        assert_eq!((ticks, player.damage_count()), (20, 0));
    }
}

/// A spectator, or a player without an entity, that checks every digest it is told.
struct Watcher {
    peer: PeerId,
    stream: StreamKind,
    codec: Codec,
    replica: Replica,
    decoded: DecodedSnapshot,
    window: AckWindow,
    applied: u16,
    digests: usize,
    cues: BTreeMap<(u32, Option<EntityId>, u8), i32>,
}

impl Watcher {
    fn join(room: &mut Room, role: Role, stream: StreamKind) -> Self {
        Self {
            peer: join(room, role, stream),
            stream,
            codec: Codec::new(schema(), room.config().tick_rate),
            replica: Replica::new(schema(), 128),
            decoded: DecodedSnapshot::default(),
            window: AckWindow::new(),
            applied: 0,
            digests: 0,
            cues: BTreeMap::new(),
        }
    }

    fn poll(&mut self, room: &mut Room, now: Micros) {
        let mut messages = Vec::new();
        room.poll_transmit(now, self.peer, |message| messages.push(Bytes::copy_from_slice(message)));
        for frame in messages.into_iter().flat_map(frames).map(Result::unwrap) {
            if frame.ty != FrameType::Snapshot {
                continue;
            }
            let read =
                self.codec.read_snapshot(&frame.payload, room.tick(), &self.replica, &mut self.decoded);
            let header = read.unwrap();
            self.replica.apply(&self.decoded);
            self.applied = self.applied.wrapping_add(1);
            let ack = match header.sequence {
                Some(sequence) => {
                    assert!(!self.window.insert(sequence), "a datagram came twice");
                    self.window.ack().unwrap()
                }
                None => Ack::new(Sequence(self.applied - 1)),
            };
            for cue in &self.decoded.cues {
                self.cues.insert((cue.tick.0, cue.source, cue.nth), cue.values[0]);
            }
            if let Some(digest) = self.decoded.digest {
                assert_eq!(self.replica.digest().0, digest, "tick {}", header.tick);
                self.digests += 1;
            }
            let mut out = Vec::new();
            ack.encode(&mut out);
            room.handle_message(now, self.peer, out.into()).unwrap();
        }
    }

    /// What is held is exactly this.
    fn assert_holds(&self, told: &Tables, at: Tick) {
        let mut held = Tables::new(schema());
        for track in self.replica.view() {
            let mut values = [0; 64];
            let kind = told.schema().kind(track.kind());
            track.row(kind, track.samples().len() - 1).copy_to(&mut values);
            held.insert(track.kind(), RowHead::new(track.id())).copy_from(&values);
            let is_bird = track.kind() == BIRD;
            assert_eq!(track.payload().is_some_and(|payload| payload.starts_with(b"born in ")), is_bird);
        }
        held.finish();
        assert_same_rows(&held, told, Sight::Public, at);
        assert_eq!(self.replica.own().count(), 0, "nothing in a replay is anyone's own");
    }
}

fn replay_room(file: &[u8], options: ReplayOptions) -> (Room, [Watcher; 3]) {
    let replay = Replay::new(player(file), options).unwrap().unwrap();
    let first_tick = replay.first_tick();
    let mut room = room(Box::new(replay), first_tick, true);
    let watchers = [
        (Role::Spectator, StreamKind::Ordered),
        (Role::Player, StreamKind::Ordered),
        (Role::Spectator, StreamKind::Datagram),
    ];
    let watchers = watchers.map(|(role, stream)| Watcher::join(&mut room, role, stream));
    (room, watchers)
}

#[test]
fn a_room_that_replays_tells_every_recorded_tick_again() {
    let (file, published) = record(20, Tick(u32::MAX - 300));
    let first = Tick(*published.keys().find(|tick| **tick > u32::MAX - 300).unwrap());
    let (mut room, mut watchers) =
        replay_room(&file, ReplayOptions { from: first, repeats: false, stride: 1.0 });
    let mut seen = 0;
    for step in 1..=21 * 60 {
        let now = room.config().tick_rate.due(step);
        let is_due = room.advance(now).snapshot_due;
        for watcher in &mut watchers {
            watcher.poll(&mut room, now);
        }
        let Some((told, _)) = published.get(&room.tick().0).filter(|_| is_due) else { continue };
        assert_same_rows(
            room.history().newest().unwrap().tables(Sight::Public),
            told,
            Sight::Team,
            room.tick(),
        );
        for watcher in &watchers {
            watcher.assert_holds(told, room.tick());
        }
        seen += 1;
    }
    assert_eq!(seen, published.len());
    let mut player = player(&file);
    let mut cues = BTreeMap::new();
    while let Some(tick) = player.advance().unwrap() {
        // Those of before the first tick shown are of states that are not.
        let shown = player.cues().iter().filter(|cue| tick != first || cue.tick == first);
        cues.extend(shown.map(|cue| ((cue.tick.0, cue.source, cue.nth), cue.values[0])));
    }
    for watcher in &watchers {
        assert!(watcher.digests > 15 || watcher.stream == StreamKind::Datagram, "{}", watcher.digests);
        assert_eq!(watcher.cues, cues);
    }
}

#[test]
fn a_replay_can_begin_anywhere_and_again_and_again() {
    let (file, published) = record(8, Tick(100));
    let ticks: Vec<_> = published.keys().copied().collect();
    for (stride, from) in [(1.0, ticks[60] + 1), (4.0, ticks[100]), (0.5, ticks[150])] {
        let (mut room, mut watchers) =
            replay_room(&file, ReplayOptions { from: Tick(from), repeats: true, stride });
        let mut seen = Vec::new();
        for step in 1..=40 * 60 {
            let now = room.config().tick_rate.due(step);
            let is_due = room.advance(now).snapshot_due;
            for watcher in &mut watchers {
                watcher.poll(&mut room, now);
            }
            let newest = room.history().newest().unwrap().tables(Sight::Public);
            let is_shown = |told: &Tables| {
                told.iter().zip(newest.iter()).all(|((kind, told), (_, shown))| {
                    told.len() == shown.len()
                        && (0..kind.column_count())
                            .filter(|column| kind.visible(Sight::Team).contains(*column))
                            .all(|column| {
                                (0..told.len())
                                    .all(|row| told.values(row)[column] == shown.values(row)[column])
                            })
                })
            };
            if is_due {
                let tick = ticks.iter().find(|tick| is_shown(&published[tick].0));
                seen.push(*tick.expect("what is shown was recorded"));
                for watcher in &watchers {
                    watcher.assert_holds(newest, room.tick());
                }
            }
        }
        let begin = *ticks.iter().rfind(|tick| **tick <= from).unwrap();
        assert!(seen.iter().all(|tick| *tick >= begin));
        let passes = seen.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(passes >= 2, "{passes} passes at stride {stride}");
        assert!(watchers[0].digests > 30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_goes_on_where_its_file_cannot_be_written() {
    let path = std::env::temp_dir().join(format!("tickwire-record-{}.twr", std::process::id()));
    std::fs::write(&path, "someone else's").unwrap();
    let room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), room);
    config.record = Some(RecordConfig { path: path.clone(), hz: None });
    let server = common::start(config, common::arena()).await;
    let schema = tickwire_sim::arena::schema();
    let mut client = common::Honest::join(server.addr, schema, &common::hello(schema)).await;
    client.play_until(|client| client.digests >= 3).await;
    server.handle.shutdown();
    server.task.await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"someone else's");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_leaves_whole_files_one_for_each_room() {
    let folder = std::env::temp_dir().join(format!("tickwire-rooms-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    room.players_max = 1;
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), room);
    config.record = Some(RecordConfig { path: folder.join("match.twr"), hz: Some(10) });
    let server = common::start(config, common::arena()).await;
    let schema = tickwire_sim::arena::schema();
    // The first room is full of one: the second client opens another.
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = common::Honest::join(server.addr, schema, &common::hello(schema)).await;
        client.play_until(|client| client.digests >= 2).await;
        clients.push(client);
    }
    server.handle.shutdown();
    server.task.await.unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["match-2.twr", "match.twr"]);
    for name in names {
        let mut player = player(&std::fs::read(folder.join(name)).unwrap());
        assert_eq!(player.header().snapshot_hz, 10);
        assert!(player.recording().is_complete());
        let (mut ticks, mut joined) = (Vec::new(), 0);
        while let Some(tick) = player.advance().unwrap() {
            ticks.push(tick);
            joined += player.events().iter().filter(|event| matches!(event, Event::Joined { .. })).count();
        }
        assert_eq!((player.damage_count(), joined), (0, 1));
        assert!(ticks.len() >= 10 && ticks.windows(2).all(|pair| pair[1].since(pair[0]) == 6));
    }
    std::fs::remove_dir_all(folder).unwrap();
}
