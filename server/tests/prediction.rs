//! A client that predicts, against a real room: what is right at once, what is made good, and what the eyes see of it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig, Correction, Event};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::{Micros, PeerId, RoomId};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::is_provisional;
use tickwire_sim::prelude::*;

const RUNNER: KindId = KindId(0);
const BOLT: KindId = KindId(1);
const POSITION: FieldId = FieldId(0);
const VELOCITY: FieldId = FieldId(1);
/// Of the runner: told to the owner alone.
const THROWN: FieldId = FieldId(2);
/// Of the bolt.
const AGE: FieldId = FieldId(1);
const WALK: FieldId = FieldId(0);
const THROW: FieldId = FieldId(1);
const LEFT_HAND: CueId = CueId(0);

/// m/s.
const SPEED: f32 = 6.0;
/// How long a bolt flies, ticks.
const FLIGHT_TICKS: i32 = 90;
const HZ: u32 = 60;
/// By this tick a client has found how early its inputs must be given.
const SETTLED: u32 = 90;
const TICK: u64 = 1_000_000 / HZ as u64;

/// Where a gust blows, which no client knows of, and by how much.
#[derive(Clone, Copy, Debug, Default)]
struct Gust {
    tick: u32,
    way: f32,
    teleports: bool,
}

#[derive(Clone, Copy)]
struct Runner {
    id: EntityId,
    owner: Option<PlayerId>,
    position: Vec3,
    velocity: Vec3,
    thrown: i32,
    has_teleported: bool,
}

#[derive(Clone, Copy)]
struct Bolt {
    id: EntityId,
    owner: Option<PlayerId>,
    position: Vec3,
    age: i32,
}

/// Runners on a line who push each other and throw bolts.
struct Track {
    schema: Arc<Schema>,
    gust: Gust,
    runners: Vec<Runner>,
    bolts: Vec<Bolt>,
}

fn schema() -> Arc<Schema> {
    let place = || FieldType::position([-200.0..=200.0, -9.0..=9.0, -9.0..=9.0], 0.01);
    let runner = [
        Field::new(POSITION, "position", place()),
        Field::new(VELOCITY, "velocity", FieldType::velocity(POSITION, 10.0, 0.01)),
        Field::new(THROWN, "thrown", FieldType::integer(0..=999)).owner_only(),
    ];
    let bolt = [
        Field::new(POSITION, "position", place()),
        Field::new(AGE, "age", FieldType::integer(0..=FLIGHT_TICKS)),
    ];
    Schema::builder("field")
        .kind(Kind::new(RUNNER, "runner", runner))
        .kind(Kind::new(BOLT, "bolt", bolt))
        .cue(Kind::cue(LEFT_HAND, "left hand", []))
        .input([
            Field::new(WALK, "walk", FieldType::scalar(-2.0..=2.0, 0.125)),
            Field::new(THROW, "throw", FieldType::boolean()).momentary(),
        ])
        .build()
        .unwrap()
}

impl Track {
    fn game(gust: Gust) -> Box<dyn Simulation> {
        Box::new(Self { schema: schema(), gust, runners: Vec::new(), bolts: Vec::new() })
    }

    fn run(&mut self, ctx: &mut StepContext<'_>) {
        let dt = ctx.dt();
        for runner in &mut self.runners {
            runner.has_teleported = false;
            let input = runner.owner.and_then(|owner| ctx.input(owner));
            if let Some(input) = input {
                runner.velocity = Vec3::X * SPEED * input.scalar(WALK);
                if input.boolean(THROW) {
                    runner.thrown += 1;
                    let id = ctx.spawn_with(BOLT, Bytes::from_static(b"bolt"));
                    // The room's chance, which the client knows.
                    let height = ctx.random(runner.id).range_f32(0.0..5.0);
                    let position = runner.position.with_y(height);
                    self.bolts.push(Bolt { id, owner: runner.owner, position, age: 0 });
                    ctx.cue(LEFT_HAND, Some(id));
                }
            }
            runner.position += runner.velocity * dt;
            if ctx.is_authority() && ctx.tick().0 == self.gust.tick {
                runner.position.x += self.gust.way;
                runner.has_teleported = self.gust.teleports;
            }
        }
        // Who runs into another stops there.
        for a in 0..self.runners.len() {
            for b in 0..self.runners.len() {
                let apart = self.runners[a].position.x - self.runners[b].position.x;
                if a != b && apart.abs() < 1.0 && self.runners[a].velocity.x * apart < 0.0 {
                    self.runners[a].position.x = self.runners[b].position.x + apart.signum();
                }
            }
        }
    }
}

impl Simulation for Track {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn sanitize(&self, input: &mut RowMut<'_>) {
        let walk = input.as_ref().scalar(WALK).clamp(-1.0, 1.0);
        input.set_scalar(WALK, walk);
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.runners.retain(|runner| runner.owner.is_none_or(|owner| !ctx.left().contains(&owner)));
        for &owner in ctx.joined() {
            let position = Vec3::X * 20.0 * self.runners.len() as f32;
            let (id, velocity) = (ctx.spawn(RUNNER), Vec3::ZERO);
            let owner = Some(owner);
            self.runners.push(Runner { id, owner, position, velocity, thrown: 0, has_teleported: false });
        }
        for bolt in &mut self.bolts {
            bolt.position.x += 20.0 * ctx.dt();
            bolt.age += 1;
        }
        self.bolts.retain(|bolt| bolt.age < FLIGHT_TICKS);
        self.run(ctx);
    }

    fn save(&self, out: &mut Tables) {
        for runner in &self.runners {
            let head = RowHead { owner: runner.owner, ..RowHead::new(runner.id) };
            out.insert(RUNNER, head.teleported(runner.has_teleported))
                .set_vec3(POSITION, runner.position)
                .set_vec3(VELOCITY, runner.velocity)
                .set_integer(THROWN, runner.thrown);
        }
        for bolt in &self.bolts {
            let head = RowHead { owner: bolt.owner, ..RowHead::new(bolt.id) };
            out.insert(BOLT, head).set_vec3(POSITION, bolt.position).set_integer(AGE, bolt.age);
        }
    }

    fn load(&mut self, tables: &Tables) {
        self.runners.clear();
        self.runners.extend(tables.rows(RUNNER).map(|(head, row)| Runner {
            id: head.id,
            owner: head.owner,
            position: row.vec3(POSITION),
            velocity: row.vec3(VELOCITY),
            thrown: row.integer(THROWN),
            has_teleported: false,
        }));
        self.bolts.clear();
        self.bolts.extend(tables.rows(BOLT).map(|(head, row)| Bolt {
            id: head.id,
            owner: head.owner,
            position: row.vec3(POSITION),
            age: row.integer(AGE),
        }));
    }
}

/// What one player wants at a tick: to walk, and to throw.
type Wish = fn(u32) -> (f32, bool);

/// A client with its link, whose every message takes `way`.
struct Seat {
    client: Client,
    peer: PeerId,
    wish: Wish,
    up: VecDeque<(u64, Bytes)>,
    down: VecDeque<(u64, Bytes)>,
    /// Inputs given between these ticks are lost on the way.
    lost: core::ops::Range<u32>,
    events: Vec<Event>,
    corrections: Vec<Correction>,
}

struct Match {
    room: Room,
    seats: Vec<Seat>,
    now: u64,
    way: u64,
}

impl Match {
    fn new(stream: StreamKind, gust: Gust, way_millis: u64, wishes: &[Wish]) -> Self {
        let rate = TickRate::new(HZ).unwrap();
        let identity = RoomIdentity { id: RoomId(1), name: "field".into(), seed: 1 };
        let now = 1_000_000;
        let mut room = Room::new(identity, RoomConfig::new(rate, 20), Track::game(gust), Micros(now));
        let seats = wishes.iter().map(|&wish| {
            let join = Join::new(Role::Player, stream);
            let peer = room.join(Micros(now), join).unwrap();
            let config = ClientConfig { stream, ..ClientConfig::new("test") };
            let mut client = Client::new(config, schema(), Micros(now));
            client.predict(Track::game(Gust::default()));
            assert!(client.poll_transmit(Micros(now), &mut Vec::new()), "a hello, which the join answers");
            let (up, down, events) = (VecDeque::new(), VecDeque::new(), Vec::new());
            Seat { client, peer, wish, up, down, lost: 0..0, events, corrections: Vec::new() }
        });
        let seats = seats.collect();
        Self { room, seats, now, way: way_millis * 1_000 }
    }

    /// A picture of every client, 120 a second.
    fn picture(&mut self) {
        self.now += TICK / 2;
        let Self { room, now, way, .. } = self;
        let (now, way) = (*now, *way);
        for seat in &mut self.seats {
            while let Some((_, message)) = arrived(&mut seat.up, now) {
                room.handle_message(Micros(now), seat.peer, message).unwrap();
            }
        }
        room.advance(Micros(now));
        for seat in &mut self.seats {
            room.poll_transmit(Micros(now), seat.peer, |message| {
                seat.down.push_back((now + way, Bytes::copy_from_slice(message)));
            });
            seat.picture(now, way);
        }
    }

    /// Pictures until the room has come to a tick.
    fn run_to(&mut self, tick: u32) {
        while self.room.tick().0 < tick {
            self.picture();
        }
    }

    /// What was made good for a seat since its link is known.
    fn corrections(&self, seat: usize) -> Vec<Correction> {
        let corrections = &self.seats[seat].corrections;
        corrections.iter().copied().filter(|correction| correction.tick.0 > SETTLED).collect()
    }

    /// The row of a seat's runner as the room has it.
    fn runner(&self, seat: usize) -> (EntityId, f32) {
        let player = PlayerId(self.seats[seat].peer.0);
        let (head, row) =
            self.room.tables().rows(RUNNER).find(|(head, _)| head.owner == Some(player)).unwrap();
        (head.id, row.vec3(POSITION).x)
    }
}

/// The next message that is there by now.
fn arrived(link: &mut VecDeque<(u64, Bytes)>, now: u64) -> Option<(u64, Bytes)> {
    link.front().is_some_and(|(at, _)| *at <= now).then(|| link.pop_front()).flatten()
}

impl Seat {
    fn picture(&mut self, now: u64, way: u64) {
        let local = Micros(now);
        while let Some((_, message)) = arrived(&mut self.down, now) {
            let before = self.client.stats(local).corrections;
            self.client.handle_message(local, message).unwrap();
            let after = self.client.stats(local);
            self.corrections.extend(after.last_correction.filter(|_| after.corrections > before));
        }
        while let Some(tick) = self.client.due_input_tick(local) {
            let (walk, throws) = (self.wish)(tick.0);
            self.client.push_input(local, tick, |row| {
                row.set_scalar(WALK, walk).set_boolean(THROW, throws);
            });
        }
        let mut message = Vec::new();
        let given = self.client.predicted_tick().map_or(0, |tick| tick.0);
        while self.client.poll_transmit(local, &mut message) {
            if !self.lost.contains(&given) {
                self.up.push_back((now + way, Bytes::from(core::mem::take(&mut message))));
            }
            message.clear();
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event(local)));
    }

    /// Where the runner is shown.
    fn shown(&self, now: u64) -> Option<f32> {
        let view = self.client.predicted(Micros(now));
        view.entities(RUNNER).next().map(|own| own.vec3(POSITION).x)
    }
}

const STREAMS: [StreamKind; 2] = [StreamKind::Ordered, StreamKind::Datagram];

fn to_and_fro(tick: u32) -> (f32, bool) {
    (if (tick / 40).is_multiple_of(2) { 1.0 } else { -0.5 }, false)
}

fn throwing(tick: u32) -> (f32, bool) {
    (to_and_fro(tick).0, tick % 50 == 7)
}

#[test]
fn what_the_server_does_is_predicted_without_an_error() {
    for stream in STREAMS {
        let mut game = Match::new(stream, Gust::default(), 60, &[to_and_fro]);
        game.run_to(400);
        assert!(game.corrections(0).is_empty(), "{stream:?}");
        // Until the link is known, inputs come too late, or before the room knows of any.
        let first = &game.seats[0].corrections;
        assert!(first.iter().all(|correction| correction.is_substituted), "{first:?}");
        // As far ahead as inputs are.
        let (client, now) = (&game.seats[0].client, Micros(game.now));
        let ahead = client.predicted_tick().unwrap().since(game.room.tick());
        assert!((3..12).contains(&ahead), "{ahead} ticks ahead of the server");
        let view = client.predicted(now);
        let own = view.entities(RUNNER).next().unwrap();
        assert!(own.is_own() && own.is_told(THROWN) && !view.is_starved());
        assert_eq!((own.latest_tick(), view.entities(RUNNER).count()), (client.predicted_tick(), 1));
        assert_eq!(view.find(own.id()).map(|found| found.id()), Some(own.id()));
    }
}

#[test]
fn an_input_is_seen_in_the_picture_it_is_given_in() {
    let stands_and_goes = |tick: u32| (if tick < 200 { 0.0 } else { 1.0 }, false);
    let mut game = Match::new(StreamKind::Ordered, Gust::default(), 100, &[stands_and_goes]);
    game.run_to(100);
    let stood = game.seats[0].shown(game.now).unwrap();
    while game.seats[0].client.predicted_tick().unwrap().0 < 200 {
        assert!((game.seats[0].shown(game.now).unwrap() - stood).abs() < 1e-6);
        game.picture();
    }
    if (game.seats[0].shown(game.now).unwrap() - stood).abs() < 1e-6 {
        game.picture();
    }
    assert!(game.seats[0].shown(game.now).unwrap() > stood, "a round trip of 200 ms does not matter");
}

#[test]
fn what_nobody_could_know_is_made_good_at_once_and_seen_smoothly() {
    for stream in STREAMS {
        let gust = Gust { tick: 200, way: 0.5, teleports: false };
        let mut game = Match::new(stream, gust, 60, &[to_and_fro]);
        game.run_to(180);
        let mut last = game.seats[0].shown(game.now).unwrap();
        let mut longest = 0.0_f32;
        while game.room.tick().0 < 300 {
            game.picture();
            let shown = game.seats[0].shown(game.now).unwrap();
            longest = longest.max((shown - last).abs());
            last = shown;
        }
        let [correction] = game.corrections(0)[..] else { panic!("one for the gust") };
        let stats = game.seats[0].client.stats(Micros(game.now));
        assert!(!correction.is_substituted);
        assert!((200..=202).contains(&correction.tick.0) && correction.agreed.0 < 200, "{correction:?}");
        assert!((correction.error - 0.5).abs() < 0.011, "{correction:?}");
        assert!((4..200).contains(&stats.replayed_ticks), "{}", stats.replayed_ticks);
        // Its own way in a picture, and what fades in it.
        assert!(longest < (SPEED + 5.0) / 120.0 + 0.011, "{longest} m in a picture");
    }
}

#[test]
fn a_teleport_is_no_way() {
    let gust = Gust { tick: 200, way: 3.0, teleports: true };
    let mut game = Match::new(StreamKind::Ordered, gust, 60, &[to_and_fro]);
    game.run_to(180);
    let mut steps = Vec::new();
    let mut last = game.seats[0].shown(game.now).unwrap();
    while game.room.tick().0 < 260 {
        game.picture();
        let shown = game.seats[0].shown(game.now).unwrap();
        steps.push((shown - last).abs());
        last = shown;
    }
    let jumps: Vec<_> = steps.iter().filter(|step| **step > 0.2).collect();
    assert!(jumps.len() == 1 && *jumps[0] > 2.5, "{jumps:?}");
}

#[test]
fn inputs_that_are_lost_are_the_reason_that_is_given() {
    let mut game = Match::new(StreamKind::Datagram, Gust::default(), 60, &[throwing]);
    game.run_to(150);
    let given = game.seats[0].client.predicted_tick().unwrap().0;
    // Long enough that resending does not help; a change of mind is among them.
    game.seats[0].lost = given..given + 60;
    game.run_to(400);
    let corrections = game.corrections(0);
    assert!(!corrections.is_empty());
    assert!(corrections.iter().all(|correction| correction.is_substituted), "{corrections:?}");
    let substituted = game.room.input_counters(game.seats[0].peer).unwrap().substituted;
    assert!(substituted > 20, "{substituted}");
    // The state is right again, to the last integer.
    game.run_to(500);
    assert_eq!(game.corrections(0).len(), corrections.len());
}

#[test]
fn own_cues_and_spawns_are_seen_at_once_and_once() {
    for stream in STREAMS {
        let mut game = Match::new(stream, Gust::default(), 80, &[throwing]);
        game.run_to(300);
        let (mut guesses, mut real) = (0, 0);
        let mut last: Vec<f32> = Vec::new();
        while game.room.tick().0 < 700 {
            game.picture();
            let seat = &game.seats[0];
            let view = seat.client.predicted(Micros(game.now));
            let bolts: Vec<_> = view.entities(BOLT).collect();
            guesses += bolts.iter().filter(|bolt| is_provisional(bolt.id())).count();
            real += bolts.iter().filter(|bolt| !is_provisional(bolt.id())).count();
            assert!(bolts.iter().all(|bolt| bolt.payload().is_some_and(|payload| payload == "bolt")));
            let mut places: Vec<_> = bolts.iter().map(|bolt| bolt.vec3(POSITION).x).collect();
            places.sort_by(f32::total_cmp);
            // Thrown every 50 ticks, on the way for 90: never more than two, and none jumps as it gets its name.
            assert!(places.len() <= 2, "{places:?}");
            for place in &places {
                let is_new = last.len() < places.len();
                let moved = last.iter().map(|last| (place - last).abs()).fold(f32::MAX, f32::min);
                assert!(is_new || moved < 0.5, "{place} of {last:?}");
            }
            last = places;
        }
        assert!(guesses > 20 && real > 200, "{guesses} pictures of guesses, {real} of real ones");
        assert!(game.corrections(0).is_empty(), "{stream:?}: to be spawned ahead is no error");
        let events = &game.seats[0].events;
        let cues: Vec<_> = events
            .iter()
            .filter_map(|event| if let Event::Cue(cue) = event { Some(cue.tick.0) } else { None })
            .collect();
        let thrown = game.seats[0].client.predicted_tick().unwrap().0;
        let first = cues[0];
        let expected: Vec<_> = (first..=thrown).filter(|tick| tick % 50 == 7).collect();
        assert_eq!(cues, expected, "{stream:?}");
        let confirmed = events.iter().filter(|event| matches!(event, Event::Confirmed { .. })).count();
        assert!((cues.len() - 2..=cues.len()).contains(&confirmed), "{confirmed} of {}", cues.len());
    }
}

#[test]
fn others_are_predicted_on_request() {
    // The second stands in the way of the first.
    let ahead: Wish = |tick| (if tick < 100 { 0.0 } else { 1.0 }, false);
    let stands: Wish = |_| (0.0, false);
    let corrections = [None, Some(400), Some(150)].map(|asks_until| {
        let mut game = Match::new(StreamKind::Ordered, Gust::default(), 60, &[ahead, stands]);
        game.run_to(100);
        if let Some(until) = asks_until {
            let other = game.runner(1).0;
            game.seats[0].client.predict_others([other]);
            game.run_to(until);
            game.seats[0].client.predict_others([]);
        }
        game.run_to(400);
        let (x, other) = (game.runner(0).1, game.runner(1).1);
        assert!((other - x - 1.0).abs() < 0.02, "they have met: {x} {other}");
        let seat = &game.seats[0];
        assert_eq!(seat.client.predicted(Micros(game.now)).entities(RUNNER).count(), 1, "own ones are shown");
        game.corrections(0).len()
    });
    assert!(corrections[0] > 0, "who is not there stops nobody");
    assert_eq!(corrections[1], 0);
    assert_eq!(corrections[2], corrections[0], "nobody is any more");
}

#[test]
fn after_a_long_pause_the_prediction_begins_anew() {
    let mut game = Match::new(StreamKind::Ordered, Gust::default(), 40, &[to_and_fro]);
    game.run_to(200);
    let resting = core::mem::replace(&mut game.seats[0].wish, |_| (0.0, false));
    // Nobody asks for inputs, nothing is read.
    let until = game.now + 3_000_000;
    let mut waiting = core::mem::take(&mut game.seats[0].down);
    while game.now < until {
        game.now += TICK / 2;
        let now = game.now;
        game.room.advance(Micros(now));
        let peer = game.seats[0].peer;
        game.room.poll_transmit(Micros(now), peer, |message| {
            waiting.push_back((now, Bytes::copy_from_slice(message)));
        });
    }
    game.seats[0].down = waiting;
    game.seats[0].wish = resting;
    let tick = game.room.tick().0;
    game.run_to(tick + 120);
    let before = game.corrections(0).len();
    game.run_to(tick + 300);
    assert!(game.seats[0].shown(game.now).is_some());
    assert_eq!(game.corrections(0).len(), before);
}
