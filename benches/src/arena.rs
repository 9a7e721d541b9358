//! A match of bots in a room: everything between a message that came in and a message that goes out.
//!
//! ```text
//!  brains think, inputs are encoded   (not timed)
//!  Room::handle_message               inbox     once an interval and bot, with the inputs of 3 ticks
//!  Room::advance                      advance   3 times an interval
//!  Room::poll_transmit                transmit  after every step, to each peer that has something to be sent
//!  frames are parsed and counted      (not timed)
//! ```

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Role, StreamKind};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::snapshot::Coder;
use tickwire_protocol::{Micros, PeerId, PlayerId, RoomId, RowMut, TickTime};
use tickwire_server::core::{BUDGET_BYTES_PER_SECOND, Interest, Join, Room, RoomConfig, RoomIdentity};
use tickwire_sim::arena::{Arena, Level, PLAYER, schema};
use tickwire_sim::bots::{BotBody, BotView, Brain};

use crate::stream::Receiver;
use crate::{SEED, SNAPSHOT_HZ, SNAPSHOT_TICKS, TICK_RATE};

/// Intervals that are played, with every value checked, before a match is handed out: the ring of published ticks is
/// then full, and every buffer has its size.
const WARM_INTERVALS: usize = 60;

/// The same for a large crowd: until everybody has moved from where it came in, and was told of its neighbours.
const CROWD_WARM_INTERVALS: usize = 24;

/// Bytes of a snapshot that may be for its peer alone: header, own row, digest.
const PEER_PART_BYTES_MAX: usize = 64;

/// A room, and the bots that play in it.
pub struct Match {
    room: Room,
    now: Micros,
    bots: Vec<Bot>,
    bodies: Vec<(Option<PlayerId>, BotBody)>,
}

struct Bot {
    peer: PeerId,
    brain: Brain,
    input: InputFrame,
    /// What the room has sent since it was last looked at.
    messages: Vec<u8>,
    /// Payload of the last snapshot.
    snapshot: Bytes,
    /// The sequence of the next one.
    next: Sequence,
    /// Nothing once the match is warm: then frames are only counted.
    receiver: Option<Receiver>,
}

/// What a room does, in the order of a [`Match`]'s interval.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// Taking in one message of each bot.
    Inbox,
    /// Stepping and publishing, once a tick.
    Advance,
    /// Encoding for every peer, and copying each message once, as a transport would; after each tick.
    Transmit,
}

/// What an interval from snapshot to snapshot took: [`SNAPSHOT_TICKS`] steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interval {
    /// [`Part::Inbox`].
    pub inbox: Duration,
    /// [`Part::Advance`], all of it.
    pub advance: Duration,
    /// [`Part::Transmit`], all of it.
    pub transmit: Duration,
    /// Snapshots that arrived: one a bot.
    pub snapshots: usize,
    /// Bytes of all messages to bots.
    pub bytes: usize,
}

/// A meter that adds up the time of each part.
fn clock(spent: &mut Interval) -> impl FnMut(Part, &mut dyn FnMut()) {
    |part, work| {
        let start = Instant::now();
        work();
        *match part {
            Part::Inbox => &mut spent.inbox,
            Part::Advance => &mut spent.advance,
            Part::Transmit => &mut spent.transmit,
        } += start.elapsed();
    }
}

/// The nearest so many, however far they are.
fn nearest(count: usize) -> Interest {
    Interest::within(1_000.0).nearest(count)
}

impl Match {
    /// A match of this many bots that has been going on for a few seconds.
    ///
    /// # Panics
    /// If a bot was not told what was published, or not in the bytes that the others were sent as well.
    pub fn new(bots: u32, coder: Coder) -> Self {
        // Bots that all spawn at one tick fire their first shots at one: not all of that would fit at once.
        let mut game = Self::open(bots, coder, Interest::everything(), None);
        for _ in 0..WARM_INTERVALS {
            game.play_interval();
            game.assert_arrived();
        }
        game.bots.iter_mut().for_each(|bot| bot.receiver = None);
        game
    }

    /// The same where each bot is shown the nearest `count`: no two hold the same, and in a large room a third of them is told at each
    /// step. Every frame is decoded while the match gets warm, and its digests are checked.
    ///
    /// # Panics
    /// If a bot was told of fewer than half as many.
    pub fn crowd(bots: u32, coder: Coder, count: usize) -> Self {
        let mut game = Self::open(bots, coder, nearest(count), Some(BUDGET_BYTES_PER_SECOND));
        for _ in 0..WARM_INTERVALS {
            game.play_interval();
        }
        for bot in &mut game.bots {
            let Some(receiver) = bot.receiver.take() else { continue };
            let rows = receiver.held();
            assert!(rows > count / 2 && rows <= count + 1, "peer {} holds {rows} rows", bot.peer);
        }
        game
    }

    /// The same, where nobody decodes what it is sent: in a crowd of a thousand that takes longest of all.
    pub fn crowd_unheard(bots: u32, coder: Coder, count: usize) -> Self {
        let mut game = Self::open(bots, coder, nearest(count), Some(BUDGET_BYTES_PER_SECOND));
        game.bots.iter_mut().for_each(|bot| bot.receiver = None);
        for _ in 0..CROWD_WARM_INTERVALS {
            game.play_interval();
        }
        game
    }

    /// The same where everybody is shown, and is news, but each bot may be sent only so many bytes a second: what comes first is chosen,
    /// and packed, for each.
    ///
    /// # Panics
    /// If that was enough for all.
    pub fn tight(bots: u32, coder: Coder, budget: u32) -> Self {
        let mut game = Self::open(bots, coder, Interest::everything(), Some(budget));
        game.bots.iter_mut().for_each(|bot| bot.receiver = None);
        for _ in 0..WARM_INTERVALS {
            game.play_interval();
        }
        let Interval { bytes, snapshots, .. } = game.play_interval();
        let (sent, most) = (bytes as u32 * SNAPSHOT_HZ, budget * snapshots as u32);
        assert!(sent > most / 10 * 7, "{sent} of {most} bytes a second were used");
        game
    }

    fn open(bots: u32, coder: Coder, interest: Interest, budget: Option<u32>) -> Self {
        let mut config = RoomConfig::new(TICK_RATE, SNAPSHOT_HZ);
        (config.players_max, config.coder) = (bots, coder);
        (config.interest, config.budget) = (interest, budget);
        let identity = RoomIdentity { id: RoomId(1), name: "bench".to_owned(), seed: SEED };
        let arena = Box::new(Arena::new(Level::for_players(bots as usize)));
        let mut room = Room::new(identity, config, arena, Micros::ZERO);
        let mut join = |index| {
            let join = Join::new(Role::Player, StreamKind::Ordered);
            match room.join(Micros::ZERO, join) {
                Ok(peer) => Bot::new(peer, coder),
                Err(reason) => panic!("bot {index} was refused: {reason:?}"),
            }
        };
        let bots = (0..u64::from(bots)).map(&mut join).collect();
        let mut game = Self { room, now: Micros::ZERO, bots, bodies: Vec::new() };
        game.start();
        game
    }

    /// The welcomes, with a snapshot of a world without bots: no step knows of them yet. Then steps up to a snapshot of the
    /// first bot, so that every interval ends with one.
    fn start(&mut self) {
        self.transmit();
        let mut is_snapshot = false;
        while !is_snapshot {
            self.look();
            self.now = self.room.poll_timeout();
            self.room.advance(self.now);
            self.transmit();
            is_snapshot = self.bots.first().is_none_or(|bot| !bot.messages.is_empty());
        }
        self.look();
    }

    /// Has every bot look through what came, be it nothing yet.
    fn look(&mut self) {
        for bot in &mut self.bots {
            bot.take_messages();
        }
    }

    /// Plays on until the next snapshot has reached every bot, and times it.
    ///
    /// # Panics
    /// If not every bot got a snapshot, or the room refused a message.
    pub fn play_interval(&mut self) -> Interval {
        let mut spent = Interval::default();
        let Interval { snapshots, bytes, .. } = self.play_interval_by(&mut clock(&mut spent));
        Interval { snapshots, bytes, ..spent }
    }

    /// The same, where `meter` does the work that it is given, and measures it as it likes: no times are told.
    ///
    /// # Panics
    /// If a bot did not get exactly one snapshot, or the room refused a message.
    pub fn play_interval_by(&mut self, meter: &mut dyn FnMut(Part, &mut dyn FnMut())) -> Interval {
        self.play_to_snapshot_by(meter);
        meter(Part::Transmit, &mut || self.transmit());
        let bytes = self.bots.iter().map(|bot| bot.messages.len()).sum();
        Interval { bytes, snapshots: self.take_messages(), ..Interval::default() }
    }

    /// Plays on until the next snapshot is due to every bot, and sends it to nobody yet.
    ///
    /// # Panics
    /// If the room refused a message, or did not step as it should.
    pub fn play_to_snapshot(&mut self) -> Interval {
        let mut spent = Interval::default();
        self.play_to_snapshot_by(&mut clock(&mut spent));
        spent
    }

    fn play_to_snapshot_by(&mut self, meter: &mut dyn FnMut(Part, &mut dyn FnMut())) {
        let messages = self.think();
        meter(Part::Inbox, &mut || {
            for (bot, message) in self.bots.iter().zip(&messages) {
                if let Err(fault) = self.room.handle_message(self.now, bot.peer, message.clone()) {
                    panic!("the message of peer {} was refused: {fault:?}", bot.peer);
                }
            }
        });
        for tick in 1..=SNAPSHOT_TICKS {
            self.now = self.room.poll_timeout();
            meter(Part::Advance, &mut || {
                let report = self.room.advance(self.now);
                assert_eq!((report.due.steps, report.due.skipped), (1, 0), "steps at {:?}", self.now);
            });
            if tick < SNAPSHOT_TICKS {
                meter(Part::Transmit, &mut || self.transmit());
            }
        }
    }

    fn transmit(&mut self) {
        self.transmit_to(0..self.bots.len());
    }

    /// Sends what is due to these bots, counted from 0.
    pub fn transmit_to(&mut self, bots: Range<usize>) {
        for Bot { peer, messages, .. } in &mut self.bots[bots] {
            self.room.poll_transmit(self.now, *peer, |bytes| messages.extend_from_slice(bytes));
        }
    }

    /// Hands what is due to these bots to `send`, and nothing to them: that is for [`Match::deliver`].
    pub fn transmit_by(&mut self, bots: Range<usize>, mut send: impl FnMut(&[u8])) {
        for bot in &self.bots[bots] {
            self.room.poll_transmit(self.now, bot.peer, &mut send);
        }
    }

    /// Brings a message to a bot.
    pub fn deliver(&mut self, bot: usize, message: &[u8]) {
        self.bots[bot].messages.extend_from_slice(message);
    }

    /// What a bot was sent since it last looked, one message after the other.
    pub fn messages(&self, bot: usize) -> &[u8] {
        &self.bots[bot].messages
    }

    /// Has every bot look through what came; how many snapshots there were.
    ///
    /// # Panics
    /// If a bot did not get exactly one.
    pub fn take_messages(&mut self) -> usize {
        let snapshots = self.bots.iter_mut().map(Bot::take_messages).sum();
        assert_eq!(snapshots, self.bots.len(), "every bot gets one snapshot an interval");
        snapshots
    }

    /// How many bots play.
    pub fn bots(&self) -> usize {
        self.bots.len()
    }

    /// What each bot wants in the next ticks, as a message to the room.
    fn think(&mut self) -> Vec<Bytes> {
        self.bodies.clear();
        let rows = self.room.tables().rows(PLAYER);
        self.bodies.extend(rows.map(|(head, row)| (head.owner, BotBody::read(row))));
        let (kind, next) = (schema().input(), self.room.tick() + 1);
        let mut values = vec![0; kind.column_count()];
        let mut others = Vec::new();
        let bodies = &self.bodies;
        let message = |bot: &mut Bot| {
            let player = Some(PlayerId(bot.peer.0));
            let own = bodies.iter().find(|(owner, _)| *owner == player).map(|(_, body)| *body);
            others.clear();
            others.extend(bodies.iter().filter(|(owner, _)| *owner != player).map(|(_, body)| *body));
            for tick in 0..SNAPSHOT_TICKS {
                let mut row = RowMut::new(kind, &mut values);
                row.reset();
                bot.brain.think(
                    TICK_RATE.dt(),
                    &BotView { own, others: &others, targets: &others, level: None },
                    &mut row,
                );
                bot.input.push(kind, next + tick, &values);
            }
            bot.input.view = TickTime { tick: self.room.tick(), fraction: 0.0 };
            let mut message = Vec::new();
            bot.input.encode(kind, &mut message);
            bot.input.clear();
            Bytes::from(message)
        };
        self.bots.iter_mut().map(message).collect()
    }

    /// Every bot holds what was published, each was told rows, and in the same bytes as the others.
    fn assert_arrived(&self) {
        let Some(Bot { snapshot: first, .. }) = self.bots.first() else { return };
        for bot in &self.bots {
            let Some(receiver) = &bot.receiver else { continue };
            receiver.assert_holds(self.room.history());
            assert!(!receiver.decoded().view.rows.is_empty(), "peer {} was told of nobody", bot.peer);
            let pairs = first.iter().rev().zip(bot.snapshot.iter().rev());
            let shared = pairs.take_while(|(a, b)| a == b).count();
            assert!(shared + PEER_PART_BYTES_MAX >= bot.snapshot.len(), "peer {} shares no body", bot.peer);
            let counters = self.room.input_counters(bot.peer).unwrap_or_default();
            assert!(counters.on_time > 0 && counters.late + counters.substituted == 0, "{counters:?}");
        }
    }
}

impl Bot {
    fn new(peer: PeerId, coder: Coder) -> Self {
        Self {
            peer,
            brain: Brain::new(SEED << 16 | u64::from(peer.0)),
            input: InputFrame::new(),
            messages: Vec::new(),
            snapshot: Bytes::new(),
            next: Sequence(0),
            receiver: Some(Receiver::new(schema(), TICK_RATE, coder)),
        }
    }

    /// Looks through what came; how many snapshots there were.
    fn take_messages(&mut self) -> usize {
        let mut snapshots = 0;
        if self.messages.is_empty() {
            return 0;
        }
        for frame in frames(Bytes::copy_from_slice(&self.messages)) {
            match frame {
                Ok(frame) if frame.ty == FrameType::Snapshot => {
                    snapshots += 1;
                    self.snapshot = frame.payload;
                    self.input.ack = Some(Ack::new(self.next));
                    self.next = self.next.next();
                    if let Some(receiver) = &mut self.receiver {
                        receiver.receive(&self.snapshot);
                    }
                }
                Ok(frame) => assert_eq!(frame.ty, FrameType::Welcome),
                Err(error) => panic!("peer {} got a damaged message: {error}", self.peer),
            }
        }
        self.messages.clear();
        snapshots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_reaches_every_bot() {
        let interval = Match::new(16, Coder::Dense).play_interval();
        assert_eq!(interval.snapshots, 16);
        assert!(interval.bytes > 16 * 16);
    }
}
