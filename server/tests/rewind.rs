//! Lag compensation with real clients: who aims at what its client shows hits it, and only because the room rewinds.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig};
use tickwire_protocol::frame::frames;
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::{EntityId, Micros, PeerId, PlayerId, RoomId, RowHead, RowRef, Tick, TickRate};
use tickwire_server::core::{Interest, InterestRule, Join, Looker, Room, RoomConfig, RoomIdentity, admit};
use tickwire_sim::arena::{
    Arena, EYE_HEIGHT, HEIGHT, Level, PLAYER, RELOAD_SECONDS, SHOT, cue, input, player, schema,
};
use tickwire_sim::prelude::{Vec2, Vec3};

/// One way, microseconds.
const LATENCY: u64 = 30_000;
const PICTURE: u64 = 8_000;
const SECOND: u64 = 1_000_000;

/// A client and its link, which delays and does nothing else.
struct Seat {
    client: Client,
    peer: Option<PeerId>,
    up: VecDeque<(u64, Bytes)>,
    down: VecDeque<(u64, Bytes)>,
}

/// A shot as its shooter saw it.
struct Shot {
    tick: Tick,
    target: EntityId,
}

/// One who runs to and fro, and one who stands and shoots at it.
struct Match {
    room: Room,
    runner: Seat,
    shooter: Seat,
    waiting: VecDeque<Shot>,
    last_shot: u64,
    hits: u32,
    shots: u32,
}

impl Seat {
    fn new(stream: StreamKind) -> Self {
        let config = ClientConfig { stream, ..ClientConfig::new("test") };
        let client = Client::new(config, schema().clone(), Micros(0));
        Self { client, peer: None, up: VecDeque::new(), down: VecDeque::new() }
    }

    fn exchange(&mut self, now: u64, room: &mut Room, stream: StreamKind) {
        while let Some(message) = take_due(&mut self.up, now) {
            match self.peer {
                Some(peer) => room.handle_message(Micros(now), peer, message).unwrap(),
                None => self.peer = Some(join(now, room, message, stream)),
            }
        }
        if let Some(peer) = self.peer {
            let send = |message: &[u8]| self.down.push_back((now + LATENCY, Bytes::copy_from_slice(message)));
            room.poll_transmit(Micros(now), peer, send);
        }
        while let Some(message) = take_due(&mut self.down, now) {
            self.client.handle_message(Micros(now), message).unwrap();
        }
        let mut message = Vec::new();
        if self.client.poll_transmit(Micros(now), &mut message) {
            self.up.push_back((now + LATENCY, message.into()));
        }
    }
}

fn take_due(way: &mut VecDeque<(u64, Bytes)>, now: u64) -> Option<Bytes> {
    way.front().is_some_and(|(due, _)| *due <= now).then(|| way.pop_front().unwrap().1)
}

fn join(now: u64, room: &mut Room, message: Bytes, stream: StreamKind) -> PeerId {
    let hello = frames(message).next().unwrap().unwrap();
    let hello = admit(&hello.payload, schema(), stream).unwrap().unwrap();
    let join = Join::new(hello.role, stream);
    room.join(Micros(now), join).unwrap()
}

impl Match {
    fn new(stream: StreamKind, config: RoomConfig) -> Self {
        let level = Arc::new(Level::new(40, Vec::new()));
        let identity = RoomIdentity { id: RoomId(1), name: String::new(), seed: 3 };
        Self {
            room: Room::new(identity, config, Box::new(Arena::new(level)), Micros(0)),
            runner: Seat::new(stream),
            shooter: Seat::new(stream),
            waiting: VecDeque::new(),
            last_shot: 0,
            hits: 0,
            shots: 0,
        }
    }

    /// Who runs is shot at where it is shown.
    fn play(stream: StreamKind, rewind_max: Micros) -> Self {
        let config = RoomConfig { rewind_max, ..RoomConfig::new(TickRate::new(60).unwrap(), 20) };
        let mut game = Self::new(stream, config);
        for now in (0..40 * SECOND).step_by(1_000) {
            game.turn(now, stream);
            if now.is_multiple_of(PICTURE) {
                game.run_about(now);
                let view = game.shooter.client.view(Micros(now));
                let target = view.entities(PLAYER).find(|entity| !entity.is_own());
                let target = target.map(|target| (target.id(), target.vec3(player::POSITION)));
                game.shoot(now, target);
            }
        }
        game
    }

    /// A millisecond passes.
    fn turn(&mut self, now: u64, stream: StreamKind) {
        self.runner.exchange(now, &mut self.room, stream);
        self.shooter.exchange(now, &mut self.room, stream);
        if self.room.advance(Micros(now)).due.steps > 0 {
            self.settle();
        }
    }

    /// Where a peer's player really is.
    fn body(&self, peer: PeerId) -> Option<(EntityId, Vec3)> {
        let mut rows = self.room.tables().rows(PLAYER);
        let (head, row) = rows.find(|(head, _)| head.owner == Some(PlayerId(peer.0)))?;
        Some((head.id, row.vec3(player::POSITION)))
    }

    /// Three quarters of a second one way, then back.
    fn run_about(&mut self, now: u64) {
        let way = if (now / (SECOND * 3 / 4)).is_multiple_of(2) { Vec2::X } else { Vec2::NEG_X };
        while let Some(tick) = self.runner.client.due_input_tick(Micros(now)) {
            self.runner.client.push_input(Micros(now), tick, |row| {
                row.set_vec2(input::MOVE, way);
            });
        }
    }

    /// At the middle of somebody who seems to be at a place, as soon as the weapon is loaded.
    fn shoot(&mut self, now: u64, target: Option<(EntityId, Vec3)>) {
        let client = &mut self.shooter.client;
        while let Some(tick) = client.due_input_tick(Micros(now)) {
            let is_loaded = now > self.last_shot + (RELOAD_SECONDS * 1.2e6) as u64 && now > 2 * SECOND;
            let own = client.own_row(PLAYER).map(|row| row.vec3(player::POSITION));
            let (Some((target, place)), Some(own), true) = (target, own, is_loaded) else {
                client.push_input(Micros(now), tick, |_| {});
                continue;
            };
            let way = place + Vec3::Y * (HEIGHT / 2.0) - own - Vec3::Y * EYE_HEIGHT;
            client.push_input(Micros(now), tick, |row| {
                row.set_angle(input::YAW, Vec2::new(-way.z, -way.x).to_angle())
                    .set_scalar(input::PITCH, Vec2::new(way.x.hypot(way.z), way.y).to_angle())
                    .set_boolean(input::FIRE, true);
            });
            self.last_shot = now;
            self.waiting.push_back(Shot { tick, target });
        }
    }

    /// Whom did the room hit?
    fn settle(&mut self) {
        let tick = self.room.tick();
        while self.waiting.front().is_some_and(|shot| !shot.tick.is_newer_than(tick)) {
            let shot = self.waiting.pop_front().unwrap();
            let told = self.room.cues().iter().find(|cue| cue.id == SHOT).expect("every shot is told");
            let hit = RowRef::new(schema().cue(SHOT), &told.values).entity(cue::OTHER);
            self.shots += 1;
            self.hits += u32::from(hit == Some(shot.target));
        }
    }
}

#[test]
fn who_aims_at_what_is_shown_hits_it_because_the_room_rewinds() {
    for stream in [StreamKind::Ordered, StreamKind::Datagram] {
        let rewound = Match::play(stream, Micros::from_millis(250));
        assert!(rewound.shots > 60, "{} shots", rewound.shots);
        assert_eq!(rewound.hits, rewound.shots, "of {} shots", rewound.shots);
        let counters = rewound.room.view_counters(rewound.shooter.peer.unwrap()).unwrap();
        assert!(counters.believed > 4 * counters.estimated, "{counters:?}");
        let score = |game: &Match| {
            let shooter = PlayerId(game.shooter.peer.unwrap().0);
            let row = game.room.tables().rows(PLAYER).find(|(head, _)| head.owner == Some(shooter));
            row.unwrap().1.integer(player::SCORE)
        };
        assert!(score(&rewound) >= 8, "hits hurt: {}", score(&rewound));

        let present = Match::play(stream, Micros::ZERO);
        assert!(present.hits * 2 < present.shots, "{} of {} hit", present.hits, present.shots);
        let counters = present.room.view_counters(present.shooter.peer.unwrap()).unwrap();
        assert!(counters.capped > 2_000, "{counters:?}");
    }
}

/// Fog that only whoever owns an entity sees through.
#[derive(Debug)]
struct Fog;

impl InterestRule for Fog {
    fn hides(&self, _: &Looker, _: &RowHead, _: RowRef<'_>) -> bool {
        true
    }
}

/// One who stands is shot at by one who knows where, whatever its client shows: hits and shots.
fn shoot_blindly(stream: StreamKind, interest: Interest) -> (u32, u32) {
    let config = RoomConfig { interest, ..RoomConfig::new(TickRate::new(60).unwrap(), 20) };
    let mut game = Match::new(stream, config);
    for now in (0..8 * SECOND).step_by(1_000) {
        game.turn(now, stream);
        while let Some(tick) = game.runner.client.due_input_tick(Micros(now)) {
            game.runner.client.push_input(Micros(now), tick, |_| {});
        }
        let standing = game.runner.peer.and_then(|peer| game.body(peer));
        game.shoot(now, standing);
    }
    (game.hits, game.shots)
}

#[test]
fn who_was_not_shown_is_not_hit() {
    for stream in [StreamKind::Ordered, StreamKind::Datagram] {
        for (interest, is_hit) in [
            (Interest::everything(), true),
            (Interest::within(200.0), true),
            (Interest::within(0.01), false),
            (Interest::everything().rule(Fog), false),
        ] {
            let (hits, shots) = shoot_blindly(stream, interest.clone());
            assert!(shots > 10, "{shots} shots");
            assert_eq!(hits, if is_hit { shots } else { 0 }, "of {shots}, {stream:?}, {interest:?}");
        }
    }
}
