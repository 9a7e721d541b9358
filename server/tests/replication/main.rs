//! A room and its receivers over simulated links: what a client holds is what was published, on streams that keep
//! order and on datagrams that are lost, doubled and overtaken; and once the link heals, it is everything.

mod budget;
mod interest;
mod receiver;
mod run;
mod spread;
mod turmoil;

use std::sync::Arc;

use bytes::Bytes;
use tickwire_netsim::Profile;
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::snapshot::Coder;
use tickwire_protocol::{EntityId, Micros, PlayerId, RoomId, RowHead, Schema, Tables, Tick, TickRate};
use tickwire_server::core::{Interest, Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::{Simulation, StepContext};

use receiver::Receiver;
use run::{Run, run};
use turmoil::{BODY, MARK, PLACE, ROUGH, SLOW, SPEED, Turmoil, schema};

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
        for receiver in run(
            &Run {
                seed,
                profile,
                stream,
                seconds: 20,
                stalls,
                delta: true,
                coder,
                interest: Interest::everything(),
                budget: Some(8_000),
            },
            Receiver::check_whole,
        ) {
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
    let join = Join::new(Role::Spectator, stream);
    let peers: Vec<_> = (0..spectators).map(|_| room.join(Micros::ZERO, join.clone()).unwrap()).collect();
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

/// Peers that are polled at different ticks hold the same states and need different bytes.
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
        (config.coder, config.budget, config.join_rate) = (coder, None, None);
        let game = Crowd { schema: schema(), bodies: Vec::new(), counters: vec![0; CROWD] };
        let (room, receivers) = watch(&config, Box::new(game), 2, 900);
        for receiver in &receivers {
            assert!(receiver.digests > 10, "{} digests", receiver.digests);
            // The whole crowd is more than one snapshot may take, and so is all of its news.
            assert!(receiver.largest > 10_000, "{} bytes", receiver.largest);
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
    let join = Join::new(Role::Player, stream);
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
        interest: Interest::everything(),
        budget: None,
    };
    assert!(run(&run_of(false), Receiver::check_whole).iter().all(|receiver| receiver.digests >= 4));
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
        for receiver in run(
            &Run {
                seed,
                profile,
                stream,
                seconds: 20,
                stalls,
                delta: true,
                coder,
                interest: Interest::everything(),
                budget: Some(8_000),
            },
            Receiver::check_whole,
        ) {
            assert!(receiver.applied > 100, "{name}: {} frames", receiver.applied);
            assert_eq!(receiver.unknown_states, 0, "{name}: only acked states are named");
            assert!(receiver.cues.len() > 50, "{name}: {} cues", receiver.cues.len());
        }
    }
}
