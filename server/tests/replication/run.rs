//! A room that plays on bad links and then calms down on good ones.

use bytes::Bytes;
use tickwire_netsim::{Direction, Duplex, Profile};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::snapshot::Coder;
use tickwire_protocol::{Micros, RoomId, Tick, TickRate};
use tickwire_server::core::{Interest, Join, Room, RoomConfig, RoomIdentity};

use crate::receiver::Receiver;
use crate::turmoil::Turmoil;

/// A room, three receivers, and the links between them.
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) profile: &'static Profile,
    pub(crate) stream: StreamKind,
    pub(crate) seconds: u64,
    /// The receiver is not polled at times, as if its socket were full.
    pub(crate) stalls: bool,
    pub(crate) delta: bool,
    pub(crate) coder: Coder,
    pub(crate) interest: Interest,
    /// What each receiver may be sent, bytes a second; checked over every second.
    pub(crate) budget: Option<u32>,
}

/// The room plays on a bad link, then calms down on a good one.
///
/// `check_end` is called for each receiver once all that was sent has arrived.
pub(crate) fn run(run: &Run, check_end: impl Fn(&Receiver, &Room)) -> Vec<Receiver> {
    let rate = TickRate::new(60).unwrap();
    let first_tick = Tick(u32::MAX - 300);
    let calm = Micros::from_secs(run.seconds);
    let mut config = RoomConfig::new(rate, 20);
    (config.first_tick, config.delta, config.silence_timeout) =
        (first_tick, run.delta, Micros::from_secs(100));
    config.coder = run.coder;
    config.interest = run.interest.clone();
    config.budget = run.budget;
    let identity = RoomIdentity { id: RoomId(1), name: "test".to_owned(), seed: run.seed };
    let calm_tick = first_tick + rate.steps_in(calm) as u32;
    let mut room = Room::new(identity, config.clone(), Turmoil::boxed(calm_tick), Micros::ZERO);
    let mut ends: Vec<_> = (0..3)
        .map(|link| {
            let join = Join::new(Role::Player, run.stream);
            let peer = room.join(Micros::ZERO, join).unwrap();
            (Receiver::new(run.stream, peer, &config), Wire::new(run, link), Meter::default())
        })
        .collect();
    let end = calm + Micros::from_secs(4);
    let mut now = Micros::ZERO;
    while now < end {
        now = room.poll_timeout();
        room.advance(now);
        for (receiver, wire, meter) in &mut ends {
            let is_stalled =
                run.stalls && now < calm && (now.0 / 700_000 + u64::from(receiver.peer.0)).is_multiple_of(2);
            if !is_stalled {
                let is_joining = room.peer_stats(now, receiver.peer).unwrap().is_joining;
                room.poll_transmit(now, receiver.peer, |message| {
                    meter.note(now, message, run.stream, is_joining);
                    wire.send(now, Direction::Down, message);
                });
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
        .map(|(receiver, _, meter)| {
            if let Some(rate) = run.budget {
                meter.check(rate);
            }
            check_end(&receiver, &room);
            receiver
        })
        .collect()
}

/// What a receiver was sent after it had joined.
#[derive(Default)]
pub(crate) struct Meter {
    sent: Vec<(u64, u64)>,
}

impl Meter {
    pub(crate) fn note(&mut self, now: Micros, message: &[u8], stream: StreamKind, is_joining: bool) {
        // RFC 6455, section 5.2.
        let header = match (stream, message.len()) {
            (StreamKind::Datagram, _) => 0,
            (_, ..126) => 2,
            (_, ..65_536) => 4,
            _ => 10,
        };
        if !is_joining {
            self.sent.push((now.0, message.len() as u64 + header));
        }
    }

    /// Bytes of the second with the most.
    pub(crate) fn most(&self) -> u64 {
        let of_second = |(index, (from, _)): (usize, &(u64, u64))| {
            let second = self.sent[index..].iter().take_while(move |(at, _)| *at < from + 1_000_000);
            second.map(|(_, bytes)| bytes).sum::<u64>()
        };
        self.sent.iter().enumerate().map(of_second).max().unwrap_or(0)
    }

    /// No second carries more than the rate and one largest snapshot.
    pub(crate) fn check(&self, rate: u32) {
        let burst = (rate / 10).max(640);
        let largest = self.sent.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        assert!(largest <= u64::from(burst), "a snapshot of {largest} bytes");
        assert!(self.most() <= u64::from(rate + burst), "{} bytes in a second of {rate}", self.most());
    }
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
