//! The room, its clients, and what a script does to what goes between them.

use bytes::Bytes;
use tickwire_client::{DisconnectReason, Network};
use tickwire_protocol::frame::{FrameType, write_frame};
use tickwire_protocol::handshake::{ResumeToken, Role, StreamKind};
use tickwire_protocol::{Micros, PeerId, RoomId, TickRate};
use tickwire_server::core::{Join, Room, RoomConfig, RoomEvent, RoomIdentity};
use tickwire_sim::arena::schema;

use super::host::Host;
use super::ledger::Ledger;
use super::order::Order;
use super::seat::{LINES_MAX, Seat};
use crate::greeting::read_join;

const SEATS: usize = 2;

/// Virtual time that a script may take.
const SECONDS_MAX: u64 = 120;

/// How long all is left in peace in the end: rounds, and how far apart.
const PEACE_ROUNDS: u32 = 60;
const PEACE_STEP: Micros = Micros::from_millis(50);

/// How much longer transfers may take that are under way then: they wait for all else, and for what a link takes.
const TRANSFER_ROUNDS: u32 = 600;

/// Steps from this one on are those of the games.
const ERRANDS: u8 = 0x80;

/// Players in the room: seats, and those whom they have been and who are still waited for.
const PLAYERS_MAX: u32 = 64;

pub(super) struct Table {
    room: Room,
    now: Micros,
    pub(super) seats: [Seat; SEATS],
    /// Peers of connections that were cut and that the room still takes for alive.
    half_open: Vec<PeerId>,
    tokens: u128,
    has_forger: bool,
    ledger: Ledger,
}

impl Table {
    pub(super) fn new(has_forger: bool) -> Self {
        let rate = TickRate::new(20).unwrap_or_else(|| unreachable!("a rate that there is"));
        let mut config = RoomConfig::new(rate, 10);
        config.players_max = PLAYERS_MAX;
        let identity = RoomIdentity { id: RoomId(1), name: "fuzz".to_owned(), seed: 1 };
        let (ledger, orders, facts) = Ledger::new();
        let game = Box::new(Host::new(orders, facts));
        let now = Micros::ZERO;
        Self {
            room: Room::new(identity, config, game, now),
            now,
            seats: std::array::from_fn(|number| Seat::new(now, number as u64)),
            half_open: Vec::new(),
            tokens: 0,
            has_forger,
            ledger,
        }
    }

    /// One step of a script: what and whom, and how much.
    pub(super) fn step(&mut self, op: u8, much: u8) {
        let index = usize::from(op >> 4) % SEATS;
        let (now, count) = (self.now, usize::from(much % 8) + 1);
        if op >= ERRANDS {
            return self.run_errand(index, op % 16, much);
        }
        let seat = &mut self.seats[index];
        match op % 16 {
            0 => self.pass(match much {
                0..200 => Micros::from_millis(u64::from(much)),
                _ => Micros::from_millis(u64::from(much - 199) * 500),
            }),
            1 => self.arrive_up(index, count),
            2 => self.arrive_down(index, count),
            3 => seat.write(now),
            4 => self.transmit(index),
            5 => {
                let room = LINES_MAX.saturating_sub(seat.said);
                (0..u32::from(much % 32).min(room)).for_each(|_| self.seats[index].say_line(now));
            }
            6 => seat.show_emote(now),
            7 => seat.poll(now, usize::from(much)),
            8 => self.cut(index, much),
            9 => self.find_out(),
            10 => {
                // Whether it had left is seen before it comes back.
                self.run(index);
                self.seats[index].client.reconnect(now);
            }
            11 => self.steal(index, much),
            12 => self.give_inputs(index),
            13 => {
                let flush = (much % 2 == 1).then(|| Micros::from_millis(u64::from(much) * 10));
                seat.client.close(now, flush);
                self.run(index);
            }
            14 if self.has_forger => self.forge(index, much),
            15 if self.has_forger => self.damage(index, much),
            _ => {
                let network = [Network::Down, Network::Up, Network::Changed][usize::from(much % 3)];
                seat.client.set_network(now, network);
            }
        }
    }

    /// What a client's game does; or the server's, with this client's player.
    fn run_errand(&mut self, index: usize, errand: u8, much: u8) {
        let (now, seat) = (self.now, &mut self.seats[index]);
        if errand < 8 {
            let found = seat.errands.step(now, &mut seat.client, errand, much);
            seat.judge(found);
        } else if let Some(player) = seat.player {
            self.ledger.order(Order::read(errand, player, much));
        }
    }

    // ---- time --------------------------------------------------------------------------------------------------

    fn pass(&mut self, time: Micros) {
        let end = (self.now + time).min(Micros::from_secs(SECONDS_MAX));
        while self.room.poll_timeout() <= end {
            self.now = self.now.max(self.room.poll_timeout());
            self.advance();
        }
        self.now = end;
        (0..SEATS).for_each(|index| self.run(index));
    }

    fn advance(&mut self) {
        self.room.advance(self.now);
        self.ledger.read(&mut self.seats);
        while let Some(event) = self.room.poll_event() {
            let RoomEvent::PeerDropped { peer, .. } = event else { continue };
            self.half_open.retain(|other| *other != peer);
            for seat in &mut self.seats {
                if seat.peer == Some(peer) {
                    seat.lose(self.now, DisconnectReason::Lost);
                }
            }
        }
    }

    /// Lets a client open and give up connections.
    fn run(&mut self, index: usize) {
        match self.seats[index].run(self.now) {
            Some((peer, true)) => self.room.leave(peer),
            Some((peer, false)) => self.half_open.push(peer),
            None => {}
        }
    }

    fn give_inputs(&mut self, index: usize) {
        let (client, now) = (&mut self.seats[index].client, self.now);
        while let Some(tick) = client.due_input_tick(now) {
            client.push_input(now, tick, |_| {});
        }
    }

    // ---- what travels ------------------------------------------------------------------------------------------

    fn transmit(&mut self, index: usize) {
        let Seat { peer, down, .. } = &mut self.seats[index];
        if let Some(peer) = *peer {
            let mut push = |message: &[u8]| down.push_back(Bytes::copy_from_slice(message));
            self.room.poll_transmit(self.now, peer, &mut push);
            self.room.poll_filler(self.now, peer, push);
        }
    }

    fn arrive_down(&mut self, index: usize, count: usize) {
        for _ in 0..count {
            let Some(message) = self.seats[index].down.pop_front() else { break };
            // Its own way to end a connection: `run` sees it.
            let _ = self.seats[index].receive(self.now, message);
        }
        self.run(index);
    }

    fn arrive_up(&mut self, index: usize, count: usize) {
        for _ in 0..count {
            let Some(message) = self.seats[index].up.pop_front() else { break };
            match self.seats[index].peer {
                None => self.admit(index, message),
                Some(peer) => self.take(index, peer, message),
            }
        }
    }

    fn take(&mut self, index: usize, peer: PeerId, message: Bytes) {
        let result = self.room.handle_message(self.now, peer, message);
        let seat = &mut self.seats[index];
        if result.is_ok() {
            (seat.has_spoken, seat.confirmed) = (true, Some(peer));
            return;
        }
        assert!(!seat.is_honest, "the room refuses what its client wrote: {result:?}");
        self.room.leave(peer);
        seat.lose(self.now, DisconnectReason::Lost);
    }

    /// Lets a connection in that says hello.
    fn admit(&mut self, index: usize, message: Bytes) {
        self.tokens += 1;
        let join = read_join(message, schema(), ResumeToken(self.tokens.to_le_bytes()));
        let overheard = join.as_ref().and_then(|join| join.resume);
        let joined = join.and_then(|join| self.join(join));
        let seat = &mut self.seats[index];
        seat.peer = joined;
        seat.overheard = overheard;
        if joined.is_none() {
            assert!(!seat.is_honest, "an honest client is not let in");
            seat.lose(self.now, DisconnectReason::Lost);
        }
    }

    fn join(&mut self, join: Join) -> Option<PeerId> {
        let joined = self.room.join(self.now, join);
        // Whose session that took over has lost its connection.
        self.half_open.retain(|peer| self.room.session(*peer).is_some());
        joined.ok()
    }

    // ---- trouble -----------------------------------------------------------------------------------------------

    /// A connection is lost. Some of what is on its way still arrives, and the room finds out at once or later.
    fn cut(&mut self, index: usize, much: u8) {
        self.arrive_up(index, usize::from(much >> 1) % 4);
        if let Some(peer) = self.seats[index].lose(self.now, DisconnectReason::Lost) {
            self.half_open.push(peer);
        }
        if much & 1 == 0 {
            self.find_out();
        }
        self.run(index);
    }

    /// The room hears that connections are no more.
    fn find_out(&mut self) {
        for peer in self.half_open.drain(..) {
            self.room.disconnect(self.now, peer);
        }
    }

    /// Somebody tries the token that a session went on with last, or none that there ever was. It is worth nothing once its owner has
    /// spoken.
    fn steal(&mut self, index: usize, much: u8) {
        let Seat { overheard, has_spoken, peer, .. } = &self.seats[index];
        let (Some(mut resume), true, Some(_)) = (*overheard, *has_spoken, *peer) else { return };
        if much & 1 == 1 {
            resume.token.0[usize::from(much >> 4)] ^= 0x80 | much;
        } else if !self.has_confirmed(index) {
            return;
        }
        self.tokens += 1;
        let token = ResumeToken(self.tokens.to_le_bytes());
        let join = Join { token, resume: Some(resume), ..Join::new(Role::Spectator, StreamKind::Ordered) };
        let Some(thief) = self.join(join) else { return };
        assert_ne!(self.room.session(thief), Some(resume.session), "a session was stolen");
        self.room.leave(thief);
    }

    /// Whether the room has heard the client since it gave it the newest token.
    fn has_confirmed(&self, index: usize) -> bool {
        self.seats[index].peer.is_some_and(|peer| self.seats[index].confirmed == Some(peer))
    }

    /// Somebody on the way writes a frame of what a session carries, or anything else.
    fn forge(&mut self, index: usize, much: u8) {
        const TYPES: [FrameType; 15] = [
            FrameType::Message,
            FrameType::MessageAck,
            FrameType::Ack,
            FrameType::Pong,
            FrameType::BulkOffer,
            FrameType::BulkChunk,
            FrameType::BulkCredit,
            FrameType::BulkEnd,
            FrameType::BulkStop,
            FrameType::Pause,
            FrameType::Profile,
            FrameType::Members,
            FrameType::Match,
            FrameType::Groups,
            FrameType::Budget,
        ];
        let seat = &mut self.seats[index];
        seat.is_honest = false;
        let mut message = Vec::new();
        let payload = [much >> 5, much >> 2, 0, much, b'1', 0];
        let length = usize::from(much % 7).min(payload.len());
        write_frame(&mut message, TYPES[usize::from(much >> 3) % TYPES.len()], &payload[..length]);
        let way = if much & 4 == 0 { &mut seat.up } else { &mut seat.down };
        if seat.is_open {
            way.push_front(message.into());
        }
    }

    /// Somebody on the way changes a byte of what is to arrive next.
    fn damage(&mut self, index: usize, much: u8) {
        let seat = &mut self.seats[index];
        let way = if much & 1 == 0 { &mut seat.up } else { &mut seat.down };
        let Some(message) = way.front_mut() else { return };
        seat.is_honest = false;
        let mut damaged = message.to_vec();
        let place = usize::from(much >> 1) % damaged.len().max(1);
        if let Some(byte) = damaged.get_mut(place) {
            *byte ^= 1 << (much % 8);
        }
        *message = damaged.into();
    }

    // ---- the end -----------------------------------------------------------------------------------------------

    /// Nothing is cut, held up or forged any more; then what was promised is looked at.
    pub(super) fn settle(&mut self) {
        self.find_out();
        for seat in &mut self.seats {
            seat.client.set_network(self.now, Network::Up);
            if !seat.is_honest {
                // Whoever was lied to need not find back.
                seat.lose(self.now, DisconnectReason::Lost)
                    .into_iter()
                    .for_each(|peer| self.room.leave(peer));
            }
        }
        (0..PEACE_ROUNDS).for_each(|_| self.make_peace());
        for _ in 0..TRANSFER_ROUNDS {
            if !self.ledger.has_transfers(&self.seats) {
                break;
            }
            self.make_peace();
        }
        let now = self.now;
        for seat in &mut self.seats {
            seat.settle(now);
            self.ledger.settle(seat);
        }
        self.ledger.settle_tables(&self.room, &self.seats);
    }

    /// A moment in which nothing goes wrong.
    fn make_peace(&mut self) {
        self.now = self.now + PEACE_STEP;
        self.ledger.order(Order::Decide(1));
        self.advance();
        (0..SEATS).for_each(|index| self.run_in_peace(index));
    }

    fn run_in_peace(&mut self, index: usize) {
        self.run(index);
        if !self.seats[index].is_honest {
            return;
        }
        if self.seats[index].client.is_closed() {
            // The first connection is the player's to try again, and so is one after it has left.
            self.seats[index].client.reconnect(self.now);
            self.run(index);
        }
        let seat = &mut self.seats[index];
        seat.client.resume(self.now);
        seat.errands.decide(&mut seat.client, true);
        self.give_inputs(index);
        self.seats[index].write(self.now);
        self.arrive_up(index, usize::MAX);
        self.transmit(index);
        self.arrive_down(index, usize::MAX);
        self.seats[index].poll(self.now, usize::MAX);
    }
}
