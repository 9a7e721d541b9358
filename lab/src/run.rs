//! One run: a room, its clients and their links, event by event in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use tickwire_netsim::Direction;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::{Micros, PeerId, PlayerId, RoomId, Tick, TickRate};
use tickwire_server::core::{InputCounters, Join, Room, RoomConfig, RoomEvent, RoomIdentity, admit};
use tickwire_sim::arena::{self, Arena, Level};

use crate::config::{LabConfig, SNAPSHOT_HZ, TICK_HZ};
use crate::figures::Figures;
use crate::liar::{Duel, Liar, Lie};
use crate::player::Player;
use crate::shots::Verdicts;
use crate::truth::Truth;

/// True time at which the room opens, microseconds: views of its first ticks lie before it, and times have no sign.
const OPENS: u64 = 1_000_000;

/// Runs one seed. The same configuration and seed give the same figures.
pub fn run(config: &LabConfig, seed: u64) -> Figures {
    let mut run = Run::new(config, seed);
    let end = run.play(config.seconds);
    run.finish(end)
}

/// Runs one seed with a liar among the players.
pub fn run_with_liar(config: &LabConfig, seed: u64, lie: Lie) -> Duel {
    let mut run = Run::new(config, seed);
    if let Some(player) = run.players.first_mut() {
        player.liar = Some(Liar::new(lie, seed));
    }
    run.play(config.seconds);
    let mut duel = Duel::default();
    for player in &run.players {
        let side = if player.liar.is_some() { &mut duel.liar } else { &mut duel.honest };
        side.add(&player.figures);
    }
    duel
}

struct Run {
    room: Room,
    truth: Truth,
    players: Vec<Player>,
    seats: Vec<Seat>,
    input_frame: InputFrame,
}

/// What the server's side knows of a client.
#[derive(Default)]
struct Seat {
    peer: Option<PeerId>,
    counters: InputCounters,
    /// When the first copy of the input of each tick arrived; those that wait for their step.
    arrivals: BTreeMap<u32, u64>,
    newest_arrival: Option<Tick>,
}

impl Run {
    fn new(config: &LabConfig, seed: u64) -> Self {
        let rate = TickRate::new(TICK_HZ).unwrap_or_else(|| unreachable!("a rate that there is"));
        let room_config = RoomConfig { players_max: config.players, ..RoomConfig::new(rate, SNAPSHOT_HZ) };
        let players = config.players as usize;
        let level = if config.is_peaceful { Level::cells(players) } else { Level::for_players(players) };
        let level = Arc::new(level);
        let identity = RoomIdentity { id: RoomId(1), name: "lab".to_owned(), seed };
        let first = room_config.first_tick;
        let room = Room::new(identity, room_config, Box::new(Arena::new(level.clone())), Micros(OPENS));
        let mut truth = Truth::new(rate, first, OPENS);
        truth.push(room.tables());
        let players: Vec<_> =
            (0..config.players).map(|number| Player::new(config, &level, seed, number, OPENS)).collect();
        let seats = players.iter().map(|_| Seat::default()).collect();
        Self { room, truth, players, seats, input_frame: InputFrame::new() }
    }

    /// Lets so much time pass; when it is over, true microseconds.
    fn play(&mut self, seconds: u32) -> u64 {
        let end = OPENS + u64::from(seconds) * 1_000_000;
        let mut now = OPENS;
        while now < end {
            self.step(now);
            now = self.next_event(now);
        }
        end
    }

    /// When something happens next.
    fn next_event(&self, now: u64) -> u64 {
        let players = self.players.iter().map(|player| {
            let arrival = player.link.next_event(now, Direction::Up).unwrap_or(u64::MAX);
            arrival.min(player.next_event(now))
        });
        players.chain([self.room.poll_timeout().0]).min().unwrap_or(u64::MAX).max(now + 1)
    }

    /// Does all that is due.
    fn step(&mut self, now: u64) {
        for index in 0..self.players.len() {
            while let Some((_, message)) = self.players[index].link.receive(now, Direction::Up) {
                self.handle_message(now, index, message);
            }
        }
        let before = self.room.tick();
        self.room.advance(Micros(now));
        if self.room.tick() != before {
            self.truth.push(self.room.tables());
            self.settle_inputs(now);
            let newest = self.room.tick();
            self.players.iter_mut().for_each(|player| player.settle(now, newest, &self.truth));
            self.settle_shots();
        }
        while let Some(event) = self.room.poll_event() {
            if let RoomEvent::PeerDropped { peer, .. } = event {
                self.drop_peer(peer);
            }
        }
        for index in 0..self.players.len() {
            self.transmit(now, index);
            self.players[index].run(now, &self.truth);
        }
    }

    fn handle_message(&mut self, now: u64, index: usize, message: bytes::Bytes) {
        if self.players[index].is_dropped {
            return;
        }
        let Some(peer) = self.seats[index].peer else {
            self.seats[index].peer = self.admit(now, index, message);
            return;
        };
        self.note_inputs(now, index, message.clone());
        if self.room.handle_message(Micros(now), peer, message).is_err() {
            self.drop_peer(peer);
        }
    }

    fn admit(&mut self, now: u64, index: usize, message: bytes::Bytes) -> Option<PeerId> {
        let frame = frames(message).next()?.ok()?;
        let stream = self.players[index].stream();
        let hello = admit(&frame.payload, arena::schema(), stream).ok()?.ok()?;
        let join = Join::new(hello.role, stream);
        self.room.join(Micros(now), join).ok()
    }

    /// Notes when the first copy of each input came.
    fn note_inputs(&mut self, now: u64, index: usize, message: bytes::Bytes) {
        let (seat, next) = (&mut self.seats[index], self.room.tick() + 1);
        for frame in frames(message).flatten().filter(|frame| frame.ty == FrameType::Input) {
            let kind = arena::schema().input();
            if self.input_frame.decode(&frame.payload, kind, next).is_err() {
                continue;
            }
            for (tick, _) in self.input_frame.rows() {
                if seat.newest_arrival.is_none_or(|newest| tick.is_newer_than(newest)) {
                    seat.newest_arrival = Some(tick);
                    seat.arrivals.insert(tick.0, now);
                    self.players[index].note_arrival(tick, now);
                }
            }
        }
    }

    /// A step was made: who had its own input in it, and how long had that waited?
    fn settle_inputs(&mut self, now: u64) {
        let tick = self.room.tick();
        for (seat, player) in self.seats.iter_mut().zip(&mut self.players) {
            let Some(counters) = seat.peer.and_then(|peer| self.room.input_counters(peer)) else { continue };
            let before = core::mem::replace(&mut seat.counters, counters);
            let arrival = seat.arrivals.remove(&tick.0);
            seat.arrivals.retain(|&held, _| held > tick.0);
            if !player.is_sampled(now) {
                continue;
            }
            player.figures.input_ticks += 1;
            if counters.on_time == before.on_time {
                player.figures.input_late += 1;
            } else if let Some(arrival) = arrival {
                player.figures.input_wait_ms.add((now - arrival) as f64 / 1e3);
            }
        }
    }

    /// A step was made: were the shots in it judged as they were seen?
    fn settle_shots(&mut self) {
        let room = &self.room;
        let verdicts = Verdicts {
            tick: room.tick(),
            tables: room.tables(),
            cues: room.cues(),
            rewind_max: room.config().rewind_max.as_secs_f64() as f32 * TICK_HZ as f32,
        };
        for (seat, player) in self.seats.iter().zip(&mut self.players) {
            if let Some(peer) = seat.peer {
                player.shots.settle(PlayerId(peer.0), &verdicts, &mut player.figures);
            }
        }
    }

    /// Gives a client what is due to it, as far as its link takes it.
    fn transmit(&mut self, now: u64, index: usize) {
        let Some(peer) = self.seats[index].peer else { return };
        let link = &mut self.players[index].link;
        link.flush(now, Direction::Down);
        while link.is_free(Direction::Down) && self.room.has_transmit(peer) {
            self.room.poll_transmit(Micros(now), peer, |message| link.send(now, Direction::Down, message));
        }
    }

    fn drop_peer(&mut self, peer: PeerId) {
        let dropped = self.seats.iter_mut().zip(&mut self.players).find(|(seat, _)| seat.peer == Some(peer));
        if let Some((seat, player)) = dropped {
            *seat = Seat::default();
            player.is_dropped = true;
        }
    }

    fn finish(mut self, end: u64) -> Figures {
        let mut pooled = Figures::default();
        for player in &mut self.players {
            player.finish(end);
            pooled.merge(&player.figures);
        }
        pooled
    }
}
