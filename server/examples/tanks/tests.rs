//! The game keeps the contract of a simulation, and clients see of it what they are told, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tickwire_client::net::{self, Wake};
use tickwire_client::protocol::{CloseCode, PeerId, Role, RoomId, StreamKind};
use tickwire_client::{Client, ClientConfig, DisconnectReason, EntityView, Event, View};
use tickwire_server::core::{Join, Room, RoomIdentity};
use tickwire_sim::prelude::*;
use tickwire_sim::testing::assert_rebuilds;

use crate::game::{BASES, DRONES, HEALTH_MAX, SHOT_TICKS, SPEED_MAX, TankGame};
use crate::orders::Orders;
use crate::schema::{DRONE, FIRED, HIT, TANK, TICK_RATE, cue, drone, schema, tank};
use crate::screen::name;
use crate::{bind, play, room};

fn game() -> Box<dyn Simulation> {
    Box::new(TankGame::new(schema()))
}

fn world_config(seed: u64) -> WorldConfig {
    WorldConfig { seed, tick_rate: TICK_RATE, first_tick: Tick(0) }
}

// ---- the simulation alone --------------------------------------------------------------------------------------

fn tank_of(tables: &Tables, player: PlayerId) -> Option<(RowHead, RowRef<'_>)> {
    tables.rows(TANK).find(|(head, _)| head.owner == Some(player))
}

fn team_of(row: RowRef<'_>) -> i32 {
    row.integer(tank::TEAM)
}

/// What the script wants that sees all that the server knows.
fn hunt(tables: &Tables, own: RowRef<'_>) -> Orders {
    let enemies = tables.rows(TANK).filter(|(_, row)| team_of(*row) != team_of(own));
    let enemies = enemies.map(|(_, row)| row.vec2(tank::POSITION));
    let drones = tables.rows(DRONE).map(|(_, row)| row.vec2(drone::POSITION));
    Orders::hunt(own, enemies.chain(drones))
}

/// Inputs of six scripted players, who come and go.
fn fill(world: &World, inputs: &mut PlayerInputs) {
    for player in (0..6).map(PlayerId) {
        // Each is away for 3 s in every 20, at its own time.
        let is_present = (world.tick() + 1 + player.0 * 100).0 % 600 < 510;
        match (tank_of(world.tables(), player), is_present) {
            (Some((_, own)), true) => hunt(world.tables(), own).write(&mut inputs.insert(player)),
            (Some(_), false) => inputs.leave(player),
            (None, true) => Orders::default().write(&mut inputs.join(player)),
            (None, false) => {}
        }
    }
}

#[test]
fn all_that_the_step_reads_is_in_the_tables() {
    let (mut fired, mut drones_down, mut tanks_down) = (0, 0, 0);
    let world = assert_rebuilds(game, world_config(7), 1800, |world, inputs| {
        fill(world, inputs);
        fired += world.cues().iter().filter(|cue| cue.id == FIRED).count();
        let victims = world.cues().iter().filter(|cue| cue.id == HIT).filter_map(|cue| cue.source);
        drones_down += victims.filter(|&victim| world.kind(victim).is_none()).count();
        tanks_down += world.tables().rows(TANK).filter(|(head, _)| head.teleported).count();
    });
    assert!(fired > 100 && drones_down > 10 && tanks_down > 10, "{fired}, {drones_down}, {tanks_down}");
    assert_eq!(world.tables().table(DRONE).len(), DRONES, "one falls, another rises");
}

#[test]
fn guns_take_their_time_and_spare_friends() {
    let mut world = World::new(game(), world_config(8));
    let mut inputs = PlayerInputs::new(schema());
    let (mut teams, mut last_shots, mut shots) = (BTreeMap::new(), BTreeMap::new(), 0);
    for _ in 0..1800 {
        inputs.clear();
        fill(&world, &mut inputs);
        world.step(&inputs);
        teams.extend(world.tables().rows(TANK).map(|(head, row)| (head.id, team_of(row))));
        for cue in world.cues().iter().filter(|cue| cue.id == FIRED) {
            let (shooter, target) = (cue.source.unwrap(), cue.row(&schema()).entity(cue::TARGET));
            assert_ne!(target.and_then(|target| teams.get(&target)), teams.get(&shooter));
            shots += 1;
            if let Some(last) = last_shots.insert(shooter, cue.tick) {
                assert!(cue.tick.since(last) >= SHOT_TICKS, "{shooter} fires at {last} and {}", cue.tick);
            }
        }
    }
    assert!(shots > 100, "{shots}");
}

#[test]
fn a_client_that_knows_a_lone_tank_alone_moves_it_as_the_authority() {
    let mut world = World::new(game(), world_config(3));
    let mut inputs = PlayerInputs::new(schema());
    let [lone, other] = [1, 2].map(PlayerId);
    inputs.join(lone);
    inputs.join(other);
    world.step(&inputs);

    let mut known = Tables::new(schema());
    let (head, row) = tank_of(world.tables(), lone).unwrap();
    let mut values = vec![0; row.kind().column_count()];
    row.copy_to(&mut values);
    known.insert(TANK, head).copy_from(&values);
    known.finish();
    let mut client = World::partial(game(), world_config(3));
    client.restore(world.tick(), &known);

    let mut row_of = |world: &World| {
        let (head, row) = tank_of(world.tables(), lone).unwrap();
        row.copy_to(&mut values);
        (head, values.clone())
    };
    for tick in 0..600_u16 {
        // Ahead, astern into the wall, round and round; and always firing, so that magazines run empty.
        let throttle = [0.5, -1.0, 0.3, -0.2][usize::from(tick / 40 % 4)];
        let orders = Orders { throttle, steer: 0.8, aim: f32::from(tick) * 0.01, fire: true };
        inputs.clear();
        orders.write(&mut inputs.insert(lone));
        client.step(&inputs);
        inputs.insert(other);
        world.step(&inputs);
        assert_eq!(row_of(&client), row_of(&world), "{tick}");
        assert_eq!(client.cues(), world.cues());
        let (_, row) = tank_of(world.tables(), lone).unwrap();
        assert_eq!(row.entity(tank::TARGET), None, "it is alone");
    }
}

// ---- a match in virtual time -----------------------------------------------------------------------------------

/// A room and its clients in one hand: no socket, no waiting, the same every time.
struct Match {
    now: Micros,
    room: Room,
    seats: Vec<Seat>,
}

struct Seat {
    peer: PeerId,
    client: Client,
    events: Vec<Event>,
}

impl Match {
    fn new(players: u64) -> Self {
        let now = Micros::ZERO;
        let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 5 };
        let room = Room::new(identity, room(), game(), now);
        let mut whole = Self { now, room, seats: Vec::new() };
        (0..players).for_each(|_| whole.join());
        whole
    }

    fn join(&mut self) {
        let mut client = Client::new(ClientConfig::new("test"), schema(), self.now);
        // The hello, which a server reads before it lets anyone into a room.
        assert!(client.poll_transmit(self.now, &mut Vec::new()));
        let join = Join::new(Role::Player, StreamKind::Ordered);
        let peer = self.room.join(self.now, join).unwrap();
        self.seats.push(Seat { peer, client, events: Vec::new() });
    }

    /// Everything that happens in the next 5 ms, and then `check` for each client.
    fn run(&mut self, check: &mut dyn FnMut(&Client, &Room, Micros)) {
        let Self { room, seats, .. } = self;
        self.now = self.now + Micros::from_millis(5);
        let now = self.now;
        room.advance(now);
        for Seat { peer, client, events } in seats {
            room.poll_transmit(now, *peer, |message| {
                client.handle_message(now, Bytes::copy_from_slice(message)).unwrap();
            });
            let orders = Orders::scripted(client, now);
            while let Some(tick) = client.due_input_tick(now) {
                client.push_input(now, tick, |row| orders.write(row));
            }
            let mut message = Vec::new();
            if client.poll_transmit(now, &mut message) {
                room.handle_message(now, *peer, Bytes::from(message)).unwrap();
            }
            events.extend(std::iter::from_fn(|| client.poll_event(now)));
            check(client, room, now);
        }
    }

    fn run_for(&mut self, seconds: u64, mut check: impl FnMut(&Client, &Room, Micros)) {
        let end = self.now + Micros::from_secs(seconds);
        while self.now < end {
            self.run(&mut check);
        }
    }
}

impl Seat {
    fn cues(&self) -> Vec<Cue> {
        let cue = |event: &Event| if let Event::Cue(cue) = event { Some(*cue) } else { None };
        self.events.iter().filter_map(cue).collect()
    }
}

#[test]
fn everyone_sees_all_tanks_and_drones_and_knows_their_names() {
    let mut game = Match::new(4);
    game.run_for(1, |_, _, _| {});
    for Seat { client, events, .. } in &game.seats {
        let view = client.view(game.now);
        for (kind, count) in [(TANK, 4), (DRONE, DRONES)] {
            let shown: Vec<_> = view.entities(kind).map(|entity| entity.id()).collect();
            let there: Vec<_> = game.room.tables().rows(kind).map(|(head, _)| head.id).collect();
            assert_eq!(shown, there);
            assert_eq!(shown.len(), count);
        }
        let entered = events.iter().filter(|event| matches!(event, Event::Entered { .. })).count();
        assert_eq!(entered, 4 + DRONES);
        let names: BTreeSet<_> = view.entities(TANK).map(name).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["Heron 2", "Lynx 3", "Marten 4", "Otter 1"]);
        let own: Vec<_> = view.entities(TANK).filter(EntityView::is_own).map(name).collect();
        let player = client.welcome().unwrap().player.unwrap();
        assert!(own.len() == 1 && own[0].ends_with(&format!(" {player}")), "{own:?}");
    }
}

#[test]
fn fields_are_told_to_those_who_may_know_them() {
    let (mut compared, mut reloading, mut hurt_friends) = (0, 0, 0);
    Match::new(4).run_for(20, |client, room, now| {
        let Some(own) = client.own().next() else { return };
        let tables = room.tables();
        if client.stats(now).newest_tick == Some(room.tick()) {
            // Its own row is the server's, to the last column: no rate, no threshold, no secret.
            let (_, row) = tank_of(tables, client.welcome().unwrap().player.unwrap()).unwrap();
            assert!(
                (0..row.kind().column_count()).all(|column| own.row.column(column) == row.column(column))
            );
            compared += 1;
        }
        reloading += i32::from(own.row.integer(tank::AMMO) == 0);
        for tank in client.view(now).entities(TANK) {
            let row = tank.latest();
            assert_eq!(
                (row.integer(tank::AMMO), row.integer(tank::RELOAD_TICKS)),
                (0, 0),
                "the owner's alone"
            );
            assert!(
                !tank.is_told(tank::AMMO) && tank.is_told(tank::TEAM),
                "its owner reads it from `own_row`"
            );
            assert_eq!(tank.is_told(tank::HEALTH), team_of(row) == team_of(own.row));
            let health = row.integer(tank::HEALTH);
            if team_of(row) == team_of(own.row) {
                assert!((1..=HEALTH_MAX).contains(&health), "friends are told: {health}");
                hurt_friends += i32::from(health < HEALTH_MAX);
            } else {
                assert_eq!(health, 0, "enemies are not");
            }
        }
    });
    assert!(compared > 1000 && reloading > 100 && hurt_friends > 100);
}

#[test]
fn what_happens_is_told_once_to_all_alike() {
    let mut game = Match::new(4);
    game.run_for(20, |_, _, _| {});
    let told = game.seats[0].cues();
    for seat in &game.seats {
        let names: BTreeSet<_> = seat.cues().iter().map(|cue| (cue.tick.0, cue.source, cue.nth)).collect();
        assert_eq!(names.len(), told.len(), "each once");
        assert_eq!(seat.cues(), told);
        let stats = seat.client.stats(game.now);
        assert!(
            stats.digests_checked >= 18 && stats.digest_rows > 0 && stats.digest_mismatches == 0,
            "{stats:?}"
        );
        assert_eq!((stats.decode_errors, stats.events_dropped), (0, 0));
    }
    let count = |id| told.iter().filter(|cue| cue.id == id).count();
    assert!(count(FIRED) > count(HIT) && count(HIT) > 20, "{}, {}", count(FIRED), count(HIT));
    let schema = schema();
    for hit in told.iter().filter(|cue| cue.id == HIT) {
        let by = hit.row(&schema).entity(cue::BY);
        let is_its_shot = |cue: &&Cue| cue.id == FIRED && cue.tick == hit.tick && cue.source == by;
        let shot = told.iter().find(is_its_shot).expect("who hits has fired");
        assert_eq!(shot.row(&schema).entity(cue::TARGET), hit.source);
    }
    // Drones that fell were seen to leave, for good.
    let is_fall = |event: &&Event| matches!(event, Event::Left { kind: DRONE, despawned: true, .. });
    assert!(game.seats[0].events.iter().filter(is_fall).count() > 5);
}

#[test]
fn references_outlive_what_they_refer_to() {
    let mut game = Match::new(4);
    let hit_by_of_first = |view: View<'_>| {
        let mut tanks = view.entities(TANK);
        tanks.find(EntityView::is_own).and_then(|tank| tank.entity(tank::HIT_BY))
    };
    let shooter = loop {
        game.run(&mut |_, _, _| {});
        assert!(game.now < Micros::from_secs(60), "nobody hits the first player");
        if let Some(shooter) = hit_by_of_first(game.seats[0].client.view(game.now)) {
            break shooter;
        }
    };
    assert!(game.seats[0].client.view(game.now).find(shooter).is_some(), "it is there to be seen");

    // It leaves, and so does the rest of its team, so that nobody else can hit the first.
    let team = |seat: &Seat| seat.client.own_row(TANK).map(team_of);
    let first = team(&game.seats[0]);
    let (stay, leave): (Vec<_>, Vec<_>) = game.seats.drain(..).partition(|seat| team(seat) == first);
    game.seats = stay;
    for seat in &leave {
        game.room.leave(seat.peer);
    }
    game.run_for(1, |_, _, _| {});
    let Seat { client, events, .. } = &game.seats[0];
    assert!(events.contains(&Event::Left { id: shooter, kind: TANK, despawned: true }));
    assert_eq!(client.view(game.now).find(shooter).map(|tank| tank.id()), None);
    assert_eq!(hit_by_of_first(client.view(game.now)), Some(shooter), "still known who it was");
}

#[test]
fn who_starts_anew_is_not_shown_on_the_way() {
    let mut jumps = 0;
    let mut last = BTreeMap::new();
    Match::new(4).run_for(30, |client, _, now| {
        let viewer = client.welcome().map(|welcome| welcome.peer);
        for tank in client.view(now).entities(TANK) {
            let place = tank.vec2(tank::POSITION);
            let before = last.insert((viewer, tank.id()), place).unwrap_or(place);
            // In 5 ms, with the unevenness of two clocks.
            if place.distance(before) > 3.0 * SPEED_MAX * 0.005 {
                assert!(BASES.iter().any(|base| (place.x - base).abs() < 0.1), "{before} to {place}");
                jumps += 1;
            }
        }
    });
    assert!(jumps > 4, "{jumps}");
}

// ---- over real sockets -----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_match_over_real_sockets_ends_cleanly() {
    let server = bind().await.unwrap();
    let (url, handle) = (format!("ws://{}", server.local_addr().unwrap()), server.handle());
    let serving = tokio::spawn(server.run());
    let others: Vec<_> = (0..3).map(|_| tokio::spawn(play(url.clone()))).collect();
    let mut connection = net::connect(&url, ClientConfig::new("test"), schema()).await.unwrap();
    let mut hits = 0;
    let watching = async {
        loop {
            let (client, now) = (connection.client(), connection.now());
            let are_all_there = client.view(now).entities(TANK).count() == 4;
            if are_all_there && hits >= 3 && client.stats(now).digests_checked >= 2 {
                break;
            }
            match connection.next().await.expect("the server is there") {
                Wake::Input(tick) => {
                    let orders = Orders::scripted(connection.client(), connection.now());
                    connection.push_input(tick, |row| orders.write(row));
                }
                Wake::Event(Event::Cue(cue)) => hits += i32::from(cue.id == HIT),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), watching).await.expect("a match with hits and digests");
    assert_eq!(connection.client().stats(connection.now()).digest_mismatches, 0);
    connection.close().await;
    handle.shutdown();
    for other in others {
        let reason = other.await.unwrap().unwrap();
        let is_farewell = |code| code == CloseCode::GOING_AWAY;
        assert!(matches!(reason, DisconnectReason::Closed { code, .. } if is_farewell(code)), "{reason}");
    }
    serving.await.unwrap();
}
