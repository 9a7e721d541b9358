//! A room and its receivers over simulated links: what a client holds is what was published, on streams that keep
//! order and on datagrams that are lost, doubled and overtaken; and once the link heals, it is everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_netsim::{Direction, Duplex, Profile};
use tickwire_protocol::ack::{Ack, AckWindow, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Role, StreamKind, Welcome};
use tickwire_protocol::schema::{Field, FieldType, Kind, Sight};
use tickwire_protocol::snapshot::replica::Track;
use tickwire_protocol::snapshot::{Codec, Coder, DecodedSnapshot, Replica};
use tickwire_protocol::{
    Cue, CueId, DecodeError, EntityId, FieldId, KindId, Micros, PeerId, PlayerId, RoomId, RowHead, Schema,
    SessionId, Tables, Tick, TickRate,
};
use tickwire_server::core::{Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::{Simulation, StepContext};

const BODY: KindId = KindId(0);
const MARK: KindId = KindId(1);
const PLACE: FieldId = FieldId(0);
const SPEED: FieldId = FieldId(1);
const SLOW: FieldId = FieldId(2);
const ROUGH: FieldId = FieldId(3);
const INTENT: FieldId = FieldId(4);
const SECRET: FieldId = FieldId(5);
const BANG: CueId = CueId(0);

/// A game in which everything changes at random: who lives, who owns what, teams, motion, rest and jumps.
struct Turmoil {
    schema: Arc<Schema>,
    rows: Vec<Body>,
    /// From this tick on nothing changes any more.
    calm_from: Tick,
    is_calm: bool,
}

#[derive(Clone, Copy)]
struct Body {
    kind: KindId,
    id: EntityId,
    owner: Option<PlayerId>,
    teams: u32,
    teleported: bool,
    place: f32,
    speed: f32,
    counter: i32,
}

fn schema() -> Arc<Schema> {
    let f = |id, name: &str, ty| Field::new(id, name, ty);
    let place = || f(PLACE, "place", FieldType::position([-500.0..=500.0], 0.01));
    let body = [
        place(),
        f(SPEED, "speed", FieldType::velocity(PLACE, 30.0, 0.01)),
        f(SLOW, "slow", FieldType::integer(0..=1_000_000)).rate_hz(10),
        f(ROUGH, "rough", FieldType::integer(0..=1_000_000)).threshold(20.0),
        f(INTENT, "intent", FieldType::integer(0..=1_000_000)).team_only(),
        f(SECRET, "secret", FieldType::integer(0..=1_000_000)).owner_only(),
    ];
    Schema::builder("turmoil")
        .kind(Kind::new(BODY, "body", body))
        .kind(Kind::new(MARK, "mark", [place()]))
        .cue(Kind::cue(BANG, "bang", [f(PLACE, "number", FieldType::integer(0..=1_000_000))]))
        .input([f(PLACE, "press", FieldType::boolean())])
        .build()
        .unwrap()
}

impl Turmoil {
    fn boxed(calm_from: Tick) -> Box<dyn Simulation> {
        Box::new(Self { schema: schema(), rows: Vec::new(), calm_from, is_calm: false })
    }

    fn spawn(&mut self, ctx: &mut StepContext<'_>, owner: Option<PlayerId>) {
        let kind = if ctx.random_for_room().chance(0.3) { MARK } else { BODY };
        let id = ctx.spawn_with(kind, Bytes::from(format!("tick {}", ctx.tick())));
        let (teams, place) = (u32::from(id.slot) % 4, f32::from(id.slot));
        self.rows.push(Body { kind, id, owner, teams, teleported: false, place, speed: 1.0, counter: 0 });
    }
}

impl Simulation for Turmoil {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.is_calm |= ctx.tick() == self.calm_from;
        for &player in ctx.joined() {
            self.spawn(ctx, Some(player));
        }
        for body in &mut self.rows {
            body.teleported = false;
        }
        if self.is_calm {
            return;
        }
        let dt = ctx.dt();
        for body in &mut self.rows {
            let mut random = ctx.random(body.id);
            // Some stand for a second, then go on: rest and waking.
            let stands = (ctx.tick().0 / 60 + u32::from(body.id.slot)).is_multiple_of(3);
            if !stands {
                body.speed += random.range_f32(-1.0..1.0);
                body.place += body.speed * dt;
                body.counter += random.below(9) as i32;
            }
            body.teleported = random.chance(0.01);
            if body.teleported {
                body.place = random.range_f32(-400.0..400.0);
            }
            if random.chance(0.01) {
                body.teams = random.below(4);
            }
            if random.chance(0.05) {
                let counter = body.counter;
                ctx.cue(BANG, Some(body.id)).set_integer(PLACE, counter);
            }
        }
        let mut random = ctx.random_for_room();
        self.rows.retain(|body| body.owner.is_some() || !random.chance(0.004));
        if random.chance(0.3) && self.rows.len() < 40 {
            let player = ctx.players().next().map(|(player, _)| player);
            self.spawn(ctx, player.filter(|_| random.chance(0.2)));
        }
        if random.chance(0.05) {
            let players: Vec<_> = ctx.players().map(|(player, _)| player).collect();
            let index = random.below(self.rows.len().max(1) as u32) as usize;
            let owner = players.get(random.below(players.len() as u32 + 1) as usize).copied();
            if let Some(body) = self.rows.get_mut(index) {
                body.owner = owner;
            }
        }
    }

    fn save(&self, out: &mut Tables) {
        for body in &self.rows {
            let mut head = RowHead::new(body.id).teams(body.teams).teleported(body.teleported);
            head.owner = body.owner;
            let mut row = out.insert(body.kind, head);
            row.set_scalar(PLACE, body.place);
            if body.kind == BODY {
                row.set_scalar(SPEED, body.speed);
                for field in [SLOW, ROUGH, INTENT, SECRET] {
                    row.set_integer(field, body.counter);
                }
            }
        }
    }

    fn load(&mut self, tables: &Tables) {
        for body in &mut self.rows {
            let table = tables.table(body.kind);
            let row = table.row(self.schema.kind(body.kind), table.find(body.id).unwrap());
            body.place = row.scalar(PLACE);
            if body.kind == BODY {
                body.speed = row.scalar(SPEED);
            }
        }
    }
}

/// A receiver with nothing but the protocol: decodes, applies, acks, and checks all it can.
struct Receiver {
    stream: StreamKind,
    peer: PeerId,
    codec: Codec,
    replica: Replica,
    decoded: DecodedSnapshot,
    window: AckWindow,
    applied: u16,
    /// Bytes of the largest snapshot.
    largest: usize,
    near: Tick,
    cues: BTreeSet<(u32, Option<EntityId>, u8)>,
    duplicate_cues: usize,
    digests: usize,
    unknown_states: usize,
}

impl Receiver {
    fn new(stream: StreamKind, peer: PeerId, config: &RoomConfig) -> Self {
        // On an ordered stream no more than the newest three states are named.
        let keep_ticks = if stream == StreamKind::Ordered { 0 } else { 128 };
        Self {
            stream,
            peer,
            codec: Codec::with(schema(), config.tick_rate, config.coder, config.prior.clone()),
            replica: Replica::new(schema(), keep_ticks),
            decoded: DecodedSnapshot::default(),
            window: AckWindow::new(),
            applied: 0,
            largest: 0,
            near: Tick(0),
            cues: BTreeSet::new(),
            duplicate_cues: 0,
            digests: 0,
            unknown_states: 0,
        }
    }

    /// Takes in a message; what it would answer, if anything.
    fn receive(&mut self, message: Bytes) -> Option<Vec<u8>> {
        let mut acks = false;
        for frame in frames(message) {
            let frame = frame.unwrap();
            match frame.ty {
                FrameType::Welcome => self.near = Welcome::decode(&frame.payload).unwrap().tick,
                FrameType::Snapshot => acks |= self.apply(&frame.payload),
                FrameType::Pong => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        let ack = match self.stream {
            StreamKind::Ordered => Ack::new(Sequence(self.applied.wrapping_sub(1))),
            StreamKind::Datagram => self.window.ack()?,
        };
        let mut out = Vec::new();
        ack.encode(&mut out);
        acks.then_some(out)
    }

    /// Takes in at once what the room has for it, and answers.
    fn poll(&mut self, room: &mut Room, now: Micros) {
        let mut messages = Vec::new();
        room.poll_transmit(now, self.peer, |message| messages.push(Bytes::copy_from_slice(message)));
        for message in messages {
            if let Some(answer) = self.receive(message) {
                room.handle_message(now, self.peer, Bytes::from(answer)).unwrap();
            }
        }
        self.check(room);
    }

    fn apply(&mut self, payload: &[u8]) -> bool {
        let near = self.replica.newest_tick().unwrap_or(self.near);
        let header = match self.codec.read_snapshot(payload, near, &self.replica, &mut self.decoded) {
            Ok(header) => header,
            Err(DecodeError::UnknownState { .. }) if self.stream == StreamKind::Datagram => {
                self.unknown_states += 1;
                return false;
            }
            Err(error) => panic!("{error}"),
        };
        if header.sequence.is_some_and(|sequence| self.window.insert(sequence)) {
            return false;
        }
        self.applied = self.applied.wrapping_add(1);
        self.largest = self.largest.max(payload.len());
        self.replica.apply(&self.decoded);
        for cue in &self.decoded.cues {
            let Cue { tick, source, nth, .. } = *cue;
            self.duplicate_cues += usize::from(!self.cues.insert((tick.0, source, nth)));
        }
        if let Some(digest) = self.decoded.digest {
            assert_eq!(self.replica.digest().0, digest, "tick {}", header.tick);
            self.digests += 1;
        }
        true
    }

    /// Every state held is one that was published, in every column that is told.
    fn check(&self, room: &Room) {
        let tracks = self.replica.view().map(|track| (false, track));
        for (is_own, track) in tracks.chain(self.replica.own().map(|track| (true, track))) {
            let kind = room.history().schema().kind(track.kind());
            let sample = track.newest().unwrap();
            let Some(published) = room.history().at(sample.tick) else { continue };
            let sight = if is_own { Sight::Own } else { sample.sight };
            let table = published.tables(sight).table(track.kind());
            let index = table.find(track.id()).unwrap_or_else(|| panic!("{} at {}", track.id(), sample.tick));
            let held = track.row(kind, track.samples().len() - 1);
            for column in (0..kind.column_count()).filter(|&column| kind.visible(sight).contains(column)) {
                assert_eq!(
                    held.column(column),
                    table.row(kind, index).column(column),
                    "{} {column}",
                    track.id()
                );
            }
        }
    }

    /// Everything is held, exactly as it now is, and nothing else.
    fn check_whole(&self, room: &Room) {
        let newest = room.history().newest().unwrap();
        let mut expected = Vec::new();
        for (kind, table) in newest.tables(Sight::Public).iter() {
            expected.extend(table.heads().iter().map(|head| (head.id, kind.index())));
        }
        expected.sort_unstable();
        let held: Vec<_> = self.replica.view().map(|track| (track.id(), track.kind().0)).collect();
        assert_eq!(held, expected);
        let player = PlayerId(self.peer.0);
        let heads = newest.tables(Sight::Public).iter().flat_map(|(_, table)| table.heads());
        let mut owned: Vec<_> = heads.filter(|head| head.owner == Some(player)).map(|head| head.id).collect();
        owned.sort_unstable();
        assert_eq!(self.replica.own().map(Track::id).collect::<Vec<_>>(), owned);
        for track in self.replica.view() {
            let kind = room.history().schema().kind(track.kind());
            let table = newest.tables(Sight::Public).table(track.kind());
            let row = table.row(kind, table.find(track.id()).unwrap());
            let sample = track.newest().unwrap();
            let held = track.row(kind, track.samples().len() - 1);
            for column in
                (0..kind.column_count()).filter(|&column| kind.visible(sample.sight).contains(column))
            {
                assert_eq!(held.column(column), row.column(column), "{} {column} is stale", track.id());
            }
            assert!(track.payload().is_some_and(|payload| payload.starts_with(b"tick ")));
        }
    }
}

struct Run {
    seed: u64,
    profile: &'static Profile,
    stream: StreamKind,
    seconds: u64,
    /// The receiver is not polled at times, as if its socket were full.
    stalls: bool,
    delta: bool,
    coder: Coder,
}

/// The room plays on a bad link, then calms down on a good one.
fn run(run: &Run) -> Vec<Receiver> {
    let rate = TickRate::new(60).unwrap();
    let first_tick = Tick(u32::MAX - 300);
    let calm = Micros::from_secs(run.seconds);
    let mut config = RoomConfig::new(rate, 20);
    (config.first_tick, config.delta, config.silence_timeout) =
        (first_tick, run.delta, Micros::from_secs(100));
    config.coder = run.coder;
    let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: run.seed };
    let calm_tick = first_tick + rate.steps_in(calm) as u32;
    let mut room = Room::new(identity, config.clone(), Turmoil::boxed(calm_tick), Micros::ZERO);
    let mut ends: Vec<_> = (0..3)
        .map(|link| {
            let join = Join {
                session: SessionId(link),
                role: Role::Player,
                stream: run.stream,
                wants_schema: false,
                wants_prior: false,
            };
            let peer = room.join(Micros::ZERO, join).unwrap();
            (Receiver::new(run.stream, peer, &config), Wire::new(run, link))
        })
        .collect();
    let end = calm + Micros::from_secs(4);
    let mut now = Micros::ZERO;
    while now < end {
        now = room.poll_timeout();
        room.advance(now);
        for (receiver, wire) in &mut ends {
            let is_stalled =
                run.stalls && now < calm && (now.0 / 700_000 + u64::from(receiver.peer.0)).is_multiple_of(2);
            if !is_stalled {
                room.poll_transmit(now, receiver.peer, |message| wire.send(now, Direction::Down, message));
            }
            for message in wire.receive(now, Direction::Down) {
                if let Some(answer) = receiver.receive(message) {
                    wire.send(now, Direction::Up, &answer);
                }
                receiver.check(&room);
            }
            for message in wire.receive(now, Direction::Up) {
                room.handle_message(now, receiver.peer, message).unwrap();
            }
        }
    }
    ends.into_iter()
        .map(|(receiver, _)| {
            receiver.check_whole(&room);
            receiver
        })
        .collect()
}

/// A link of either kind.
enum Wire {
    Ordered(Box<Duplex<tickwire_netsim::OrderedLink<Bytes>>>),
    Datagram(Box<Duplex<tickwire_netsim::DatagramLink<Bytes>>>),
}

impl Wire {
    fn new(run: &Run, link: u64) -> Self {
        match run.stream {
            StreamKind::Ordered => Self::Ordered(Box::new(Duplex::ordered(run.profile, run.seed, link))),
            StreamKind::Datagram => Self::Datagram(Box::new(Duplex::datagram(run.profile, run.seed, link))),
        }
    }

    fn send(&mut self, now: Micros, direction: Direction, message: &[u8]) {
        let payload = Bytes::copy_from_slice(message);
        match self {
            Self::Ordered(duplex) => {
                let sent = duplex.toward(direction).try_send(now.0, message.len() as u64, payload);
                assert!(sent.is_ok(), "the link's buffer is full");
            }
            Self::Datagram(duplex) => {
                assert!(direction == Direction::Up || message.len() <= 1150 || now == Micros::ZERO);
                duplex.toward(direction).send(now.0, message.len() as u64, payload);
            }
        }
    }

    fn receive(&mut self, now: Micros, direction: Direction) -> Vec<Bytes> {
        let mut messages = Vec::new();
        match self {
            Self::Ordered(duplex) => {
                while let Some((_, message)) = duplex.toward(direction).receive(now.0) {
                    messages.push(message);
                }
            }
            Self::Datagram(duplex) => {
                while let Some((_, message)) = duplex.toward(direction).receive(now.0) {
                    messages.push(message);
                }
            }
        }
        messages
    }
}

#[test]
fn on_an_ordered_stream_every_digest_agrees_and_no_cue_comes_twice() {
    let (fast, dense) = (Coder::Fast, Coder::Dense);
    for (seed, name, stalls, coder) in [
        (1, "perfect", false, dense),
        (2, "wifi", true, dense),
        (3, "4g", false, dense),
        (4, "lan", true, fast),
        (5, "perfect", false, fast),
    ] {
        let profile = Profile::named(name).unwrap();
        let stream = StreamKind::Ordered;
        for receiver in run(&Run { seed, profile, stream, seconds: 20, stalls, delta: true, coder }) {
            assert!(receiver.digests >= 15, "{} digests", receiver.digests);
            assert!(receiver.cues.len() > 50, "{} cues", receiver.cues.len());
            assert_eq!(receiver.duplicate_cues, 0, "an ordered stream needs no repetition");
        }
    }
}

/// Spectators on ordered streams, each of which waits its own number of ticks after a snapshot fell due.
fn watch(
    config: &RoomConfig,
    game: Box<dyn Simulation>,
    spectators: u32,
    steps: u32,
) -> (Room, Vec<Receiver>) {
    let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 9 };
    let mut room = Room::new(identity, config.clone(), game, Micros::ZERO);
    let stream = StreamKind::Ordered;
    let join = Join {
        session: SessionId(0),
        role: Role::Spectator,
        stream,
        wants_schema: false,
        wants_prior: false,
    };
    let peers: Vec<_> = (0..spectators).map(|_| room.join(Micros::ZERO, join).unwrap()).collect();
    let mut receivers: Vec<_> = peers.iter().map(|&peer| Receiver::new(stream, peer, config)).collect();
    for step in 0..steps {
        let now = room.poll_timeout();
        room.advance(now);
        for receiver in &mut receivers {
            if (step + receiver.peer.0).is_multiple_of(receiver.peer.0) {
                receiver.poll(&mut room, now);
            }
        }
    }
    (room, receivers)
}

/// Peers that are polled at different ticks after the same snapshots have equal plans and need different bytes.
#[test]
fn a_peer_that_is_polled_a_tick_later_gets_that_tick() {
    let config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let (_, receivers) = watch(&config, Turmoil::boxed(Tick(100_000)), 6, 3000);
    assert!(receivers.iter().all(|receiver| receiver.applied > 400), "every spectator plays on");
}

/// More bodies than fit into a snapshot. They rest; then all change at once, now and then; then some do.
struct Crowd {
    schema: Arc<Schema>,
    bodies: Vec<EntityId>,
    counters: Vec<i32>,
}

const CROWD: usize = 6_000;

impl Simulation for Crowd {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.bodies = (0..CROWD).map(|_| ctx.spawn_with(BODY, Bytes::from_static(b"tick "))).collect();
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let tick = ctx.tick().0;
        let mut random = ctx.random_for_room();
        let changes = match tick {
            120..400 if tick % 40 == 0 => CROWD,
            500..700 => CROWD / 10,
            _ => 0,
        };
        for _ in 0..changes {
            let index = if changes == CROWD { random.below(CROWD as u32) } else { random.below(900) };
            self.counters[index as usize] = random.below(1_000_000) as i32;
        }
    }

    fn save(&self, out: &mut Tables) {
        for (id, counter) in self.bodies.iter().zip(&self.counters) {
            let mut row = out.insert(BODY, RowHead::new(*id));
            row.set_scalar(PLACE, (*counter % 400) as f32).set_scalar(SPEED, (*counter % 30) as f32);
            for field in [SLOW, ROUGH] {
                row.set_integer(field, *counter);
            }
        }
    }

    fn load(&mut self, _tables: &Tables) {}
}

#[test]
fn what_does_not_fit_follows_and_nothing_is_mixed_up() {
    for coder in [Coder::Dense, Coder::Fast] {
        let mut config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
        config.coder = coder;
        let game = Crowd { schema: schema(), bodies: Vec::new(), counters: vec![0; CROWD] };
        let (room, receivers) = watch(&config, Box::new(game), 2, 900);
        for receiver in &receivers {
            assert!(receiver.digests > 10, "{} digests", receiver.digests);
            // The whole crowd is more than one body holds, and so is all of its news.
            assert!(receiver.largest > 40_000, "{} bytes", receiver.largest);
            receiver.check_whole(&room);
        }
    }
}

/// Marks that move, go and come back under their old ids, for a tick or for seconds, between snapshots or over many.
struct Hides {
    schema: Arc<Schema>,
    tick: Tick,
    /// Until when each is there, or away.
    bodies: [(bool, Tick); 8],
}

impl Hides {
    fn id(index: usize) -> EntityId {
        EntityId { slot: index as u16 * 2, generation: 5 }
    }
}

impl Simulation for Hides {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let tick = ctx.tick();
        self.tick = tick;
        let mut random = ctx.random_for_room();
        for (index, (is_there, until)) in self.bodies.iter_mut().enumerate() {
            if !until.is_newer_than(tick) {
                *is_there = !*is_there;
                let longest = [4, 20, 200][random.below(3) as usize];
                *until = tick + 1 + random.below(longest);
                if *is_there {
                    ctx.place(MARK, Self::id(index), Bytes::from_static(b"tick "));
                }
            }
        }
    }

    fn save(&self, out: &mut Tables) {
        for (index, _) in self.bodies.iter().enumerate().filter(|(_, (is_there, _))| *is_there) {
            let place = (self.tick.0 * (index as u32 + 1) % 800) as f32 - 400.0;
            out.insert(MARK, RowHead::new(Self::id(index))).set_scalar(PLACE, place);
        }
    }

    fn load(&mut self, _tables: &Tables) {}
}

/// What a receiver keeps of an entity from before it was away is not taken for what it holds now.
#[test]
fn who_comes_back_under_an_old_id_is_told_anew() {
    let config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let game = Hides { schema: schema(), tick: Tick(0), bodies: [(false, Tick(0)); 8] };
    let (_, receivers) = watch(&config, Box::new(game), 5, 6_000);
    for receiver in &receivers {
        assert!(receiver.digests > 50 && receiver.applied > 1_000, "{} frames", receiver.applied);
    }
}

/// A body that stands still and is owned by the first player, but for a few ticks now and then.
struct Flip(Arc<Schema>, Option<EntityId>, bool);

impl Simulation for Flip {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.1 = Some(ctx.spawn(BODY));
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.2 = ctx.tick().0 % 60 > 3;
    }

    fn save(&self, out: &mut Tables) {
        let mut head = RowHead::new(self.1.unwrap());
        head.owner = self.2.then_some(PlayerId(1));
        out.insert(BODY, head);
    }

    fn load(&mut self, _tables: &Tables) {}
}

/// A row that leaves and comes back unchanged, while the word of its leaving is still on its way or its ack is.
#[test]
fn a_leave_that_is_overtaken_by_a_return_hides_nothing() {
    let rate = TickRate::new(60).unwrap();
    let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: 9 };
    let game = Box::new(Flip(schema(), None, true));
    let config = RoomConfig::new(rate, 20);
    let mut room = Room::new(identity, config.clone(), game, Micros::ZERO);
    let stream = StreamKind::Datagram;
    let join =
        Join { session: SessionId(0), role: Role::Player, stream, wants_schema: false, wants_prior: false };
    let peer = room.join(Micros::ZERO, join).unwrap();
    let mut receiver = Receiver::new(stream, peer, &config);
    let delay = Micros::from_millis(80);
    let (mut down, mut up) = (Vec::new(), Vec::new());
    let mut returns = 0;
    for _ in 0..1200 {
        let now = room.poll_timeout();
        room.advance(now);
        room.poll_transmit(now, peer, |message| down.push((now + delay, Bytes::copy_from_slice(message))));
        for (_, message) in down.extract_if(.., |(due, _)| *due <= now) {
            up.extend(receiver.receive(message).map(|answer| (now + delay, answer)));
        }
        for (_, answer) in up.extract_if(.., |(due, _)| *due <= now) {
            room.handle_message(now, peer, Bytes::from(answer)).unwrap();
        }
        // Long after each return the row must be back.
        if room.tick().0 % 60 == 55 {
            assert_eq!(receiver.replica.own().count(), 1, "tick {}", room.tick());
            returns += 1;
        }
    }
    assert!(returns >= 19);
}

#[test]
fn without_deltas_the_same_state_arrives() {
    let profile = Profile::named("perfect").unwrap();
    let run_of = |delta| Run {
        seed: 5,
        profile,
        stream: StreamKind::Ordered,
        seconds: 5,
        stalls: false,
        delta,
        coder: Coder::Dense,
    };
    assert!(run(&run_of(false)).iter().all(|receiver| receiver.digests >= 4));
}

#[test]
fn datagrams_may_be_lost_doubled_and_overtaken() {
    let (fast, dense) = (Coder::Fast, Coder::Dense);
    for (seed, name, stalls, coder) in [
        (1, "perfect", false, fast),
        (2, "lossy", false, dense),
        (3, "lossy", true, fast),
        (4, "satellite", false, dense),
    ] {
        let profile = Profile::named(name).unwrap();
        let stream = StreamKind::Datagram;
        for receiver in run(&Run { seed, profile, stream, seconds: 20, stalls, delta: true, coder }) {
            assert!(receiver.applied > 100, "{name}: {} frames", receiver.applied);
            assert_eq!(receiver.unknown_states, 0, "{name}: only acked states are named");
            assert!(receiver.cues.len() > 50, "{name}: {} cues", receiver.cues.len());
        }
    }
}
